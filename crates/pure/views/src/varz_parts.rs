//! The objects inside `/varz`. Fields print in the order in which they stand here.

use midge_jsapi::account::{ServerConfig, ServerLimits, ServerStats};
use serde::Serialize;

use crate::json::{Nanos, Time, is_default};
use crate::told::Told;

/// The cluster; empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClusterVarz {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where routes connect.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub addr: String,
    /// Where routes connect.
    #[serde(skip_serializing_if = "is_default")]
    pub cluster_port: i64,
    /// Seconds for logging in.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_timeout: f64,
    /// Routes, as host and port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Seconds for a handshake.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_timeout: f64,
    /// Whether routes use TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_required: bool,
    /// Whether certificates are verified.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_verify: bool,
    /// Connections per route.
    #[serde(skip_serializing_if = "is_default")]
    pub pool_size: i64,
    /// Time for one write.
    #[serde(skip_serializing_if = "is_default")]
    pub write_deadline: Nanos,
    /// What happens after it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub write_timeout: String,
    /// When the certificate expires.
    #[serde(skip_serializing_if = "Time::is_none")]
    pub tls_cert_not_after: Time,
}

/// The gateways; empty when there are none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GatewayVarz {
    /// The cluster's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where gateways connect.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Where gateways connect.
    #[serde(skip_serializing_if = "is_default")]
    pub port: i64,
    /// Seconds for logging in.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_timeout: f64,
    /// Seconds for a handshake.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_timeout: f64,
    /// Whether gateways use TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_required: bool,
    /// Whether certificates are verified.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_verify: bool,
    /// The advertised address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advertise: String,
    /// Attempts to connect.
    #[serde(skip_serializing_if = "is_default")]
    pub connect_retries: i64,
    /// The remote clusters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<RemoteGatewayVarz>,
    /// Whether others are refused.
    #[serde(skip_serializing_if = "is_default")]
    pub reject_unknown: bool,
    /// Time for one write.
    #[serde(skip_serializing_if = "is_default")]
    pub write_deadline: Nanos,
    /// What happens after it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub write_timeout: String,
    /// When the certificate expires.
    #[serde(skip_serializing_if = "Time::is_none")]
    pub tls_cert_not_after: Time,
}

/// One remote cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RemoteGatewayVarz {
    /// Its name.
    pub name: String,
    /// Seconds for a handshake.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_timeout: f64,
    /// Where it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// The leaf nodes; empty when there are none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LeafVarz {
    /// Where leaf nodes connect.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Where leaf nodes connect.
    #[serde(skip_serializing_if = "is_default")]
    pub port: i64,
    /// Seconds for logging in.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_timeout: f64,
    /// Seconds for a handshake.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_timeout: f64,
    /// Whether leaf nodes use TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_required: bool,
    /// Whether certificates are verified.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_verify: bool,
    /// Servers that this one is a leaf of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<RemoteLeafVarz>,
    /// Whether certificates are checked with OCSP.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_ocsp_peer_verify: bool,
    /// Time for one write.
    #[serde(skip_serializing_if = "is_default")]
    pub write_deadline: Nanos,
    /// What happens after it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub write_timeout: String,
    /// When the certificate expires.
    #[serde(skip_serializing_if = "Time::is_none")]
    pub tls_cert_not_after: Time,
}

/// One server that this one is a leaf of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RemoteLeafVarz {
    /// The account bound to it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub local_account: String,
    /// Seconds for a handshake.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_timeout: f64,
    /// Where it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// What does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny: Option<DenyVarz>,
    /// Whether its certificate is checked with OCSP.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_ocsp_peer_verify: bool,
}

/// Subjects that do not pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DenyVarz {
    /// Not sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<String>,
    /// Not received.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
}

/// The MQTT listener; empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MqttVarz {
    /// Where clients connect.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Where clients connect.
    #[serde(skip_serializing_if = "is_default")]
    pub port: i64,
    /// Who clients without credentials are.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_auth_user: String,
    /// Seconds for logging in.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_timeout: f64,
    /// Whether certificates name users.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_map: bool,
    /// Seconds for a handshake.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_timeout: f64,
    /// Certificates that are accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_pinned_certs: Vec<String>,
    /// The JetStream domain used.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub js_domain: String,
    /// Time for an acknowledgement.
    #[serde(skip_serializing_if = "is_default")]
    pub ack_wait: Nanos,
    /// Messages that may wait for one.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ack_pending: u64,
    /// Whether certificates are checked with OCSP.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_ocsp_peer_verify: bool,
    /// When the certificate expires.
    #[serde(skip_serializing_if = "Time::is_none")]
    pub tls_cert_not_after: Time,
}

/// The WebSocket listener; empty when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WebsocketVarz {
    /// Where clients connect.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Where clients connect.
    #[serde(skip_serializing_if = "is_default")]
    pub port: i64,
    /// The advertised address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub advertise: String,
    /// Who clients without credentials are.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub no_auth_user: String,
    /// The cookie with the JWT.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt_cookie: String,
    /// Time for the handshake.
    #[serde(skip_serializing_if = "is_default")]
    pub handshake_timeout: Nanos,
    /// Seconds for logging in.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_timeout: f64,
    /// Whether it runs without TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub no_tls: bool,
    /// Whether certificates name users.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_map: bool,
    /// Certificates that are accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_pinned_certs: Vec<String>,
    /// Whether only pages of this host may connect.
    #[serde(skip_serializing_if = "is_default")]
    pub same_origin: bool,
    /// Hosts whose pages may connect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// Whether frames are compressed.
    #[serde(skip_serializing_if = "is_default")]
    pub compression: bool,
    /// Whether certificates are checked with OCSP.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_ocsp_peer_verify: bool,
    /// When the certificate expires.
    #[serde(skip_serializing_if = "Time::is_none")]
    pub tls_cert_not_after: Time,
}

/// JetStream; empty when it is off.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JetStreamVarz {
    /// Its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Told<ServerConfig>>,
    /// Its figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<Told<ServerStats>>,
    /// Its limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Told<ServerLimits>>,
}

/// The cache of OCSP answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OcspPeerCacheVarz {
    /// Where it is kept.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cache_type: String,
    /// Hits.
    #[serde(skip_serializing_if = "is_default")]
    pub cache_hits: i64,
    /// Misses.
    #[serde(skip_serializing_if = "is_default")]
    pub cache_misses: i64,
    /// Answers held.
    #[serde(skip_serializing_if = "is_default")]
    pub cached_responses: i64,
    /// Answers held: revoked.
    #[serde(skip_serializing_if = "is_default")]
    pub cached_revoked_responses: i64,
    /// Answers held: good.
    #[serde(skip_serializing_if = "is_default")]
    pub cached_good_responses: i64,
    /// Answers held: unknown.
    #[serde(skip_serializing_if = "is_default")]
    pub cached_unknown_responses: i64,
}

/// A count per kind of connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KindCounts {
    /// Clients.
    pub clients: u64,
    /// Routes.
    pub routes: u64,
    /// Gateways.
    pub gateways: u64,
    /// Leaf nodes.
    pub leafs: u64,
}

/// Waits for the disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DiskWaits {
    /// Waiting now.
    pub waiters: i64,
    /// Waits so far.
    pub waits: u64,
    /// Time waited so far.
    pub wait_time: Nanos,
    /// The longest wait.
    pub max_wait_time: Nanos,
}

/// Trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProxiesVarz {
    /// Them.
    pub trusted: Vec<ProxyVarz>,
}

/// One trusted proxy.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProxyVarz {
    /// Its public key.
    pub key: String,
}
