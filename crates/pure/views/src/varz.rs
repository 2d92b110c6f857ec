//! `/varz`: the server as a whole. Fields print in the order in which they stand here.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::json::{Nanos, Time, is_default};

pub use crate::varz_parts::*;

/// The document. What is absent prints as `{}` or not at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Varz {
    /// The server's id.
    pub server_id: String,
    /// Its name.
    pub server_name: String,
    /// The version of NATS that it behaves as.
    pub version: String,
    /// The protocol version.
    pub proto: i64,
    /// Commit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// The runtime; shown only.
    pub go: String,
    /// Where clients connect.
    pub host: String,
    /// Where clients connect.
    pub port: i64,
    /// Whether clients must log in.
    #[serde(skip_serializing_if = "is_default")]
    pub auth_required: bool,
    /// Whether clients must use TLS.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_required: bool,
    /// Whether clients must show certificates.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_verify: bool,
    /// Whether their certificates are checked with OCSP.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_ocsp_peer_verify: bool,
    /// The advertised address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ip: String,
    /// Where clients may connect in the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// The same for WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ws_connect_urls: Vec<String>,
    /// Connections allowed.
    pub max_connections: i64,
    /// Subscriptions allowed per connection.
    #[serde(skip_serializing_if = "is_default")]
    pub max_subscriptions: i64,
    /// Time between pings.
    pub ping_interval: Nanos,
    /// Unanswered pings before a connection is stale.
    pub ping_max: i64,
    /// Where monitoring listens.
    pub http_host: String,
    /// Where monitoring listens.
    pub http_port: i64,
    /// What paths start with.
    pub http_base_path: String,
    /// Where monitoring listens with TLS.
    pub https_port: i64,
    /// Seconds for logging in.
    pub auth_timeout: f64,
    /// Bytes of a control line.
    pub max_control_line: i64,
    /// Bytes of a message.
    pub max_payload: i64,
    /// Bytes that may wait for one connection.
    pub max_pending: i64,
    /// Its cluster.
    pub cluster: ClusterVarz,
    /// Its gateways.
    pub gateway: GatewayVarz,
    /// Its leaf nodes.
    pub leaf: LeafVarz,
    /// Its MQTT listener.
    pub mqtt: MqttVarz,
    /// Its WebSocket listener.
    pub websocket: WebsocketVarz,
    /// Its JetStream.
    pub jetstream: JetStreamVarz,
    /// Seconds for a TLS handshake.
    pub tls_timeout: f64,
    /// Time for one write.
    pub write_deadline: Nanos,
    /// What happens after it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub write_timeout: String,
    /// When it started.
    pub start: Time,
    /// When this was made.
    pub now: Time,
    /// How long it has been up.
    pub uptime: String,
    /// Resident memory.
    pub mem: u64,
    /// Processors.
    pub cores: i64,
    /// Threads that do the work.
    pub gomaxprocs: i64,
    /// Memory limit.
    #[serde(skip_serializing_if = "is_default")]
    pub gomemlimit: i64,
    /// Percent of one processor.
    pub cpu: f64,
    /// Open connections.
    pub connections: u64,
    /// Connections so far.
    pub total_connections: u64,
    /// Routes.
    pub routes: u64,
    /// Servers behind routes.
    pub remotes: u64,
    /// Leaf nodes.
    pub leafnodes: u64,
    /// Messages received.
    pub in_msgs: u64,
    /// Bytes received.
    pub in_bytes: u64,
    /// Messages received of clients.
    pub in_client_msgs: u64,
    /// Bytes received of clients.
    pub in_client_bytes: u64,
    /// Messages sent.
    pub out_msgs: u64,
    /// Bytes sent.
    pub out_bytes: u64,
    /// Messages sent to clients.
    pub out_client_msgs: u64,
    /// Bytes sent to clients.
    pub out_client_bytes: u64,
    /// Connections closed for reading too slowly.
    pub slow_consumers: u64,
    /// Connections closed for silence.
    pub stale_connections: u64,
    /// Times that a publisher was held up.
    pub stalled_clients: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Requests by path.
    pub http_req_stats: BTreeMap<String, u64>,
    /// When the configuration was read.
    pub config_load_time: Time,
    /// Digest of the configuration file.
    pub config_digest: String,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Known flags.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub feature_flags: BTreeMap<String, bool>,
    /// Operators that are trusted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_operators_jwt: Vec<String>,
    /// Their claims.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_operators_claim: Vec<serde_json::Value>,
    /// The system account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system_account: String,
    /// Logins into accounts that are not pinned.
    #[serde(skip_serializing_if = "is_default")]
    pub pinned_account_fails: u64,
    /// Cache of OCSP answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ocsp_peer_cache: Option<OcspPeerCacheVarz>,
    /// Slow consumers by kind.
    pub slow_consumer_stats: KindCounts,
    /// Stale connections by kind.
    pub stale_connection_stats: KindCounts,
    /// Waits for the disk.
    pub disk_io_wait_stats: DiskWaits,
    /// Trusted proxies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxies: Option<ProxiesVarz>,
    /// When the certificate expires.
    #[serde(skip_serializing_if = "Time::is_none")]
    pub tls_cert_not_after: Time,
    /// midge's own version.
    pub midge_version: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::pretty;
    use midge_stdx::clock::Wall;

    /// The names of the top-level fields, in order.
    fn fields(document: &str) -> Vec<&str> {
        let of_top = document.lines().filter_map(|line| line.strip_prefix("  \""));
        of_top.filter_map(|line| line.split_once('"')).map(|(name, _)| name).collect()
    }

    #[test]
    fn a_plain_server_prints_the_fields_of_the_released_one() {
        let varz = Varz {
            git_commit: "b2fd3ef".into(),
            auth_required: true,
            start: Wall(0).into(),
            feature_flags: [("js_ack_fc_v2".to_owned(), false)].into(),
            system_account: "$SYS".into(),
            ..Varz::default()
        };
        let expected = "server_id server_name version proto git_commit go host port auth_required max_connections \
            ping_interval ping_max http_host http_port http_base_path https_port auth_timeout max_control_line \
            max_payload max_pending cluster gateway leaf mqtt websocket jetstream tls_timeout write_deadline start \
            now uptime mem cores gomaxprocs cpu connections total_connections routes remotes leafnodes in_msgs \
            in_bytes in_client_msgs in_client_bytes out_msgs out_bytes out_client_msgs out_client_bytes \
            slow_consumers stale_connections stalled_clients subscriptions http_req_stats config_load_time \
            config_digest feature_flags system_account slow_consumer_stats stale_connection_stats \
            disk_io_wait_stats midge_version";
        let text = pretty(&varz);
        assert_eq!(fields(&text), expected.split_whitespace().collect::<Vec<_>>());
        for empty in ["cluster", "gateway", "leaf", "mqtt", "websocket", "jetstream"] {
            assert!(text.contains(&format!("\"{empty}\": {{}}")), "{empty}");
        }
        assert!(text.contains("\"now\": \"0001-01-01T00:00:00Z\"") && text.contains("\"auth_timeout\": 0,"));
    }

    #[test]
    fn optional_fields_appear_with_their_values() {
        let varz = Varz {
            tls_required: true,
            tls_verify: true,
            connect_urls: vec!["a:1".into()],
            max_subscriptions: 7,
            gomemlimit: 9,
            metadata: [("k".to_owned(), "v".to_owned())].into(),
            tls_cert_not_after: Wall(0).into(),
            cluster: ClusterVarz { name: "c".into(), ..ClusterVarz::default() },
            ..Varz::default()
        };
        let text = pretty(&varz);
        for name in
            ["tls_required", "tls_verify", "connect_urls", "max_subscriptions", "gomemlimit", "metadata"]
        {
            assert!(fields(&text).contains(&name), "{name}");
        }
        assert!(text.contains("\"cluster\": {\n    \"name\": \"c\"\n  }"));
        assert!(text.contains("\"tls_cert_not_after\": \"1970-01-01T00:00:00Z\",\n  \"midge_version\""));
    }
}
