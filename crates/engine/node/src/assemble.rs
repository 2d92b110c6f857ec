//! From options to a node.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use midge_auth::decide::{Complaint, Setting, Users};
use midge_auth::nkey::{KeyKind, KeyPair};
use midge_broker::account::{AccountLimits, Accounts, SYSTEM};
use midge_broker::broker::Broker;
use midge_broker::settings::{Identity, Settings, TraceSettings};
use midge_config::Options;
use midge_config::schema::{Port, WriteTimeout};
use midge_jetstream::JetStream;
use midge_stdx::clock::Now;
use midge_sync::atomic::AtomicBool;
use midge_sync::ordlock::Mutex;
use midge_sync::rank;
use midge_sync::snapshot::Snapshot;
use midge_views::metrics::DiskFigures;

use crate::observe::MonitoringFacts;
use crate::ports::{Host, Ports};

/// The version whose behaviour this server has; clients and tools gate features on it.
pub const COMPAT_VERSION: &str = "2.15.1";

/// A node: what all listeners and all observers of one server share.
pub struct Node {
    /// Connections, accounts, routing.
    pub broker: Arc<Broker>,
    /// The options it was made from.
    pub options: Options,
    /// When it was made.
    pub started: Now,
    /// Whether its listeners accept.
    pub ready: AtomicBool,
    /// Ports bound for monitoring.
    pub monitoring: Snapshot<MonitoringFacts>,
    pub(crate) host: Box<dyn Host>,
    /// Its streams, once [`crate::jetstream::start`] was called.
    pub jetstream: OnceLock<Arc<JetStream>>,
    /// Reads the figures of the store directory, once [`Node::show_disk`] was called.
    pub(crate) disk_figures: OnceLock<Box<dyn Fn() -> DiskFigures + Send + Sync>>,
    pub(crate) http_requests: Mutex<{ rank::LEAF }, BTreeMap<String, u64>>,
}

/// Makes a node. Errors are the operator's: entries of the configuration that cannot be used.
pub fn assemble(options: Options, mut ports: Ports, now: Now) -> Result<Arc<Node>, String> {
    let key = KeyPair::generate(KeyKind::Server, ports.secrets.as_mut());
    let curve = KeyPair::generate(KeyKind::Curve, ports.secrets.as_mut());
    let server_id = key.public();
    let name = &options.server.server_name;
    let identity = Identity {
        server_name: if name.is_empty() { server_id.clone() } else { name.clone() },
        server_id,
        version: COMPAT_VERSION.to_owned(),
        midge_version: ports.midge_version.clone(),
        built_with: format!("midge{}", ports.midge_version),
        git_commit: String::new(),
        xkey: curve.public(),
    };
    let settings = settings(&options, identity);
    let system = if options.server.no_system_account {
        None
    } else if options.server.system_account.is_empty() {
        Some(SYSTEM)
    } else {
        Some(options.server.system_account.as_str())
    };
    let configured: Vec<(String, AccountLimits)> = options
        .accounts
        .iter()
        .map(|account| {
            let limits = AccountLimits {
                max_connections: i64::from(account.limits.max_connections),
                max_subscriptions: i64::from(account.limits.max_subscriptions),
                max_payload: i64::from(account.limits.max_payload),
            };
            (account.name.clone(), limits)
        })
        .collect();
    let setting = Setting {
        only_builtin_accounts: configured.iter().all(|(name, _)| Some(name.as_str()) == system),
        maps_certificates: options.tls.as_ref().is_some_and(|tls| tls.verify_and_map),
    };
    let (users, complaints) = Users::compile(&options.authorization, setting);
    for complaint in &complaints {
        match complaint {
            Complaint::Entry { user, entry } => tracing::error!("user \"{user}\": {entry}"),
            Complaint::Nkey { nkey, error } => tracing::error!("nkey \"{nkey}\": {error}"),
        }
    }
    let accounts = Accounts::new(system, &configured, ports.shards);
    let broker = Broker::new(settings, users, accounts, ports.secrets, ports.shards);
    broker.set_tracing(options.logging.trace);
    let node = Arc::new(Node {
        broker,
        options,
        started: now,
        ready: AtomicBool::new(false),
        monitoring: Snapshot::new(MonitoringFacts::default()),
        host: ports.host,
        jetstream: OnceLock::new(),
        disk_figures: OnceLock::new(),
        http_requests: Mutex::new(BTreeMap::new()),
    });
    crate::user_info::install(&node);
    Ok(node)
}

fn settings(options: &Options, identity: Identity) -> Settings {
    let limits = &options.limits;
    let size = |n: i64| usize::try_from(n).unwrap_or(0);
    let tls = options.tls.as_ref();
    Settings {
        identity,
        host: options.listen.host.clone(),
        port: match options.listen.port {
            Port::Fixed(port) => port,
            Port::Random => 0,
        },
        max_connections: limits.max_connections,
        max_subscriptions: limits.max_subscriptions,
        max_subscription_tokens: usize::from(limits.max_sub_tokens),
        max_control_line: size(limits.max_control_line),
        max_payload: limits.max_payload,
        max_pending: size(limits.max_pending),
        max_closed_clients: size(limits.max_closed_clients),
        ping_interval: limits.ping_interval,
        ping_max: u32::try_from(limits.ping_max).unwrap_or(0),
        auth_timeout: options.auth_timeout(),
        write_deadline: limits.write_deadline,
        retry_writes: limits.write_timeout == WriteTimeout::Retry,
        headers: !options.server.no_header_support,
        no_fast_producer_stall: options.server.no_fast_producer_stall,
        tls_required: tls.is_some() && !options.allow_non_tls,
        tls_available: tls.is_some() && options.allow_non_tls,
        tls_verify: tls.is_some_and(|tls| tls.verify),
        tls_map: tls.is_some_and(|tls| tls.verify_and_map),
        jetstream: false,
        domain: options.jetstream.domain.clone(),
        trace: TraceSettings {
            max_len: size(options.logging.max_traced_msg_len),
            headers_only: options.logging.trace_headers,
        },
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("broker", &self.broker).finish_non_exhaustive()
    }
}
