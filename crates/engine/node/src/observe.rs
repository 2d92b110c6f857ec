//! How monitoring sees a node.

mod accounts;
mod jetstream;

use std::sync::Arc;
use std::time::Duration;

use midge_broker::account::{Account, counter as account_counter};
use midge_broker::broker::{Broker, ClosedConn, counter};
use midge_broker::peer::Peer;
use midge_broker::subscription::Subscription;
use midge_config::schema::WriteTimeout;
use midge_stdx::clock::{Now, Wall};
use midge_subject::{name, wildcard};
use midge_sync::atomic::Ordering;
use midge_views::accountz::{Accountz, AccountzOptions};
use midge_views::connz::{ConnInfo, Connz, ConnzOptions, State, Subscriptions, TlsPeerCert};
use midge_views::healthz::{Healthz, HealthzOptions};
use midge_views::json::{Nanos, Time};
use midge_views::jsz::{Jsz, JszOptions};
use midge_views::metrics::{DiskFigures, MetricsSnapshot};
use midge_views::observe::{Observe, Question, Wake};
use midge_views::subsz::{IndexStats, SubDetail, SubjectRules, Subsz, SubszOptions};
use midge_views::varz::{KindCounts, Varz};

use crate::Node;

/// Feature flags that the reference server knows, with their defaults there.
const FEATURE_FLAGS: [(&str, bool); 4] = [
    ("js_ack_fc_v2", false),
    ("js_api_reply_v2", false),
    ("js_raft_delete_range", true),
    ("js_snapshot_sources", false),
];

const RULES: SubjectRules = SubjectRules { is_publish: name::is_valid_publish, matches: wildcard::matches };

impl Observe for Node {
    fn count_request(&self, path: &str) {
        // Only the paths that exist are counted, so the map stays small.
        *self.http_requests.lock().entry(path.to_owned()).or_insert(0) += 1;
    }

    fn varz(&self, now: Now) -> Varz {
        let mut varz = self.static_varz();
        let usage = self.host.usage();
        let broker = &self.broker;
        let sum = |n| broker.counters.sum(n);
        varz.now = Time(Some(now.wall));
        varz.uptime = midge_views::uptime_text(now.mono.since(self.started.mono));
        varz.mem = usage.memory;
        varz.cores = i64::try_from(usage.cores).unwrap_or(0);
        varz.gomaxprocs = i64::try_from(usage.usable_cores).unwrap_or(0);
        varz.gomemlimit = i64::try_from(usage.memory_limit).unwrap_or(0);
        varz.cpu = usage.cpu_percent;
        varz.connections = broker.connections();
        varz.total_connections = sum(counter::TOTAL_CONNECTIONS);
        (varz.in_msgs, varz.in_bytes) = (sum(counter::IN_MSGS), sum(counter::IN_BYTES));
        (varz.out_msgs, varz.out_bytes) = (sum(counter::OUT_MSGS), sum(counter::OUT_BYTES));
        (varz.in_client_msgs, varz.in_client_bytes) = (varz.in_msgs, varz.in_bytes);
        (varz.out_client_msgs, varz.out_client_bytes) = (varz.out_msgs, varz.out_bytes);
        varz.slow_consumers = sum(counter::SLOW_CONSUMERS);
        varz.stale_connections = sum(counter::STALE);
        varz.stalled_clients = sum(counter::STALLS);
        varz.slow_consumer_stats = KindCounts { clients: varz.slow_consumers, ..KindCounts::default() };
        varz.stale_connection_stats = KindCounts { clients: varz.stale_connections, ..KindCounts::default() };
        varz.subscriptions = self.subscriptions();
        varz.jetstream = self.jetstream_varz();
        varz.http_req_stats = self.http_requests.lock().clone();
        varz
    }

    fn connz(&self, options: &ConnzOptions, now: Now) -> Result<Connz, String> {
        if !options.account.is_empty() && self.broker.accounts.find(&options.account).is_none() {
            return Ok(Connz::unknown_account(options, now.wall));
        }
        let with_subs = options.subscriptions != Subscriptions::Counted;
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        if options.state != State::Closed {
            let peers = match options.cid {
                0 => self.broker.peers(),
                cid => self.broker.peer(cid).into_iter().collect(),
            };
            open = peers.iter().map(|peer| conn_info(peer)).collect();
            if with_subs {
                self.add_subscriptions(&mut open, options);
            }
        }
        if options.state != State::Open || (options.cid != 0 && open.is_empty()) {
            closed = self.broker.closed_connections().iter().map(|c| closed_info(c, with_subs)).collect();
        }
        let server_id = &self.broker.settings().identity.server_id;
        Ok(midge_views::connz::connz(server_id, open, closed, options, now.wall))
    }

    fn subsz(&self, options: &SubszOptions, now: Now) -> Result<Subsz, String> {
        let accounts: Vec<Arc<Account>> = self
            .broker
            .accounts
            .all()
            .into_iter()
            .filter(|account| options.account.is_empty() || account.name == options.account)
            .collect();
        let list = || {
            let mut list = Vec::new();
            for account in &accounts {
                account.for_each_subscription(|sub| {
                    let account = account.name.clone();
                    list.push(SubDetail { account_tag: account.clone(), account, ..detail(sub) });
                });
            }
            list.sort_by(|a, b| (a.cid, &a.sid).cmp(&(b.cid, &b.sid)));
            list
        };
        let server_id = &self.broker.settings().identity.server_id;
        midge_views::subsz::subsz(server_id, index_stats(&accounts), list, options, RULES, now.wall)
    }

    fn accountz(&self, options: &AccountzOptions, now: Now) -> Result<Accountz, String> {
        self.accounts_document(options, now)
    }

    fn jsz(&self, options: &JszOptions, wake: Wake) -> Result<Box<dyn Question<Jsz>>, String> {
        self.ask_jsz(options, wake)
    }

    fn healthz(&self, options: &HealthzOptions, wake: Wake) -> Box<dyn Question<Healthz>> {
        self.ask_healthz(options, wake)
    }

    fn metrics(&self, now: Now) -> MetricsSnapshot {
        let usage = self.host.usage();
        let broker = &self.broker;
        let sum = |n| broker.counters.sum(n);
        let identity = &broker.settings().identity;
        MetricsSnapshot {
            server_id: identity.server_id.clone(),
            server_name: identity.server_name.clone(),
            midge_version: identity.midge_version.clone(),
            uptime: now.mono.since(self.started.mono),
            connections: broker.connections(),
            total_connections: sum(counter::TOTAL_CONNECTIONS),
            subscriptions: self.subscriptions(),
            accounts: broker.accounts.all().len() as u64,
            in_msgs: sum(counter::IN_MSGS),
            in_bytes: sum(counter::IN_BYTES),
            out_msgs: sum(counter::OUT_MSGS),
            out_bytes: sum(counter::OUT_BYTES),
            pending_bytes: broker.peers().iter().map(|peer| peer.queue().pending() as u64).sum(),
            slow_consumers: sum(counter::SLOW_CONSUMERS),
            stale_connections: sum(counter::STALE),
            stalled_clients: sum(counter::STALLS),
            auth_failures: sum(counter::AUTH_FAILURES),
            memory: usage.memory,
            cpu_seconds: usage.cpu_seconds,
            open_files: usage.open_files,
            closed: closed_by_reason(broker),
            jetstream: self.jetstream_figures(),
        }
    }
}

impl Node {
    /// Has the figures of the store directory shown, which `read` gets. The first call counts.
    pub fn show_disk(&self, read: impl Fn() -> DiskFigures + Send + Sync + 'static) {
        let _ = self.disk_figures.set(Box::new(read));
    }

    fn subscriptions(&self) -> u64 {
        self.broker.accounts.all().iter().map(|account| account.index_counts().0 as u64).sum()
    }

    /// The feature flags that the reference server knows, as they are set here.
    pub(crate) fn feature_flags(&self) -> Vec<(&'static str, bool)> {
        let stated = &self.options.server.feature_flags;
        FEATURE_FLAGS
            .iter()
            .map(|&(flag, default)| {
                let last = stated.iter().rev().find(|(name, _)| name == flag);
                (flag, last.map_or(default, |(_, on)| *on))
            })
            .collect()
    }

    /// What does not change while the server runs.
    fn static_varz(&self) -> Varz {
        let settings = self.broker.settings();
        let (options, identity) = (&self.options, &settings.identity);
        let users = self.broker.users();
        let tls = options.tls.as_ref();
        let bound = self.monitoring.load();
        Varz {
            server_id: identity.server_id.clone(),
            server_name: identity.server_name.clone(),
            version: identity.version.clone(),
            proto: 1,
            git_commit: identity.git_commit.clone(),
            go: identity.built_with.clone(),
            host: settings.host.clone(),
            port: i64::from(settings.port),
            auth_required: users.auth_required(),
            tls_required: settings.tls_required,
            tls_verify: settings.tls_verify,
            max_connections: settings.max_connections,
            max_subscriptions: settings.max_subscriptions.max(0),
            ping_interval: Nanos(settings.ping_interval),
            ping_max: i64::from(settings.ping_max),
            http_host: options.monitoring.host.clone(),
            http_port: i64::from(bound.http),
            http_base_path: options.monitoring.stated_base_path.clone(),
            https_port: i64::from(bound.https),
            auth_timeout: settings.auth_timeout.as_secs_f64(),
            max_control_line: i64::try_from(settings.max_control_line).unwrap_or(i64::MAX),
            max_payload: settings.max_payload,
            max_pending: i64::try_from(settings.max_pending).unwrap_or(i64::MAX),
            tls_timeout: tls.map_or(Duration::from_secs(2), |tls| tls.timeout).as_secs_f64(),
            write_deadline: Nanos(settings.write_deadline),
            write_timeout: match options.limits.write_timeout {
                WriteTimeout::Default => String::new(),
                WriteTimeout::Close => "close".to_owned(),
                WriteTimeout::Retry => "retry".to_owned(),
            },
            start: Time(Some(self.started.wall)),
            config_load_time: Time(Some(self.started.wall)),
            config_digest: options.origin.digest.clone(),
            tags: options.server.server_tags.clone(),
            metadata: options.server.server_metadata.iter().cloned().collect(),
            feature_flags: self.feature_flags().into_iter().map(|(flag, on)| (flag.to_owned(), on)).collect(),
            system_account: self.broker.accounts.system().map_or_else(String::new, |a| a.name.clone()),
            tls_cert_not_after: Time(bound.certificate_expiry),
            midge_version: identity.midge_version.clone(),
            ..Varz::default()
        }
    }

    /// Lists the subscriptions of the connections on the page, from the indexes.
    fn add_subscriptions(&self, open: &mut [ConnInfo], options: &ConnzOptions) {
        let mut at: std::collections::BTreeMap<u64, usize> = std::collections::BTreeMap::new();
        for (n, conn) in open.iter().enumerate() {
            if options.cid == 0 || conn.cid == options.cid {
                at.insert(conn.cid, n);
            }
        }
        for account in self.broker.accounts.all() {
            account.for_each_subscription(|sub| {
                let Some(cid) = sub.peer().map(|peer| peer.cid) else { return };
                if let Some(conn) = at.get(&cid).and_then(|&n| open.get_mut(n)) {
                    conn.subscription_details.push(detail(sub));
                }
            });
        }
        for conn in open {
            conn.subscription_details.sort_by(|a, b| a.sid.cmp(&b.sid));
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A subscription as connz shows it; subsz adds the account.
fn detail(sub: &Subscription) -> SubDetail {
    SubDetail {
        subject: text(sub.subject()),
        queue: text(sub.queue().unwrap_or_default()),
        sid: text(sub.sid()),
        msgs: i64::try_from(sub.delivered()).unwrap_or(i64::MAX),
        max: sub.max().map_or(0, |max| i64::try_from(max).unwrap_or(i64::MAX)),
        cid: sub.peer().map_or(0, |peer| peer.cid),
        ..SubDetail::default()
    }
}

fn conn_info(peer: &Peer) -> ConnInfo {
    let (pending, out_msgs, out_bytes, stalls) = {
        let queue = peer.queue();
        (queue.pending(), queue.out_msgs, queue.out_bytes, queue.stalls)
    };
    let details = peer.with_details(|details| details.clone());
    let tls = details.tls.unwrap_or_default();
    let account = details.account.map_or_else(|| "$G".to_owned(), |account| account.name.clone());
    ConnInfo {
        cid: peer.cid,
        kind: "Client",
        protocol: "nats",
        ip: peer.addr.map_or_else(String::new, |addr| addr.ip().to_string()),
        port: peer.addr.map_or(0, |addr| addr.port()),
        start: peer.start.wall,
        last_activity: peer.last_activity(),
        rtt: Some(peer.rtt_ns.load(Ordering::Relaxed)).filter(|&ns| ns > 0).map(Duration::from_nanos),
        pending_bytes: pending as u64,
        in_msgs: peer.in_msgs.load(Ordering::Relaxed),
        out_msgs,
        in_bytes: peer.in_bytes.load(Ordering::Relaxed),
        out_bytes,
        stalls,
        subscriptions: usize::try_from(peer.subscriptions.load(Ordering::Relaxed)).unwrap_or(0),
        name: details.name,
        lang: details.lang,
        version: details.version,
        tls_version: tls.version,
        tls_cipher_suite: tls.cipher,
        tls_peer_certs: tls
            .peer_certificates
            .into_iter()
            .map(|(subject, spki_sha256, cert_sha256)| TlsPeerCert { subject, spki_sha256, cert_sha256 })
            .collect(),
        tls_first: tls.first,
        user: details.user,
        name_tag: account.clone(),
        account,
        ..ConnInfo::default()
    }
}

fn closed_info(conn: &ClosedConn, with_subs: bool) -> ConnInfo {
    let mut info = conn_info(&conn.peer);
    info.stop = Some(conn.stop);
    info.reason = conn.reason.text();
    info.subscriptions = conn.subscriptions.len();
    if with_subs {
        info.subscription_details = conn.subscriptions.iter().map(|sub| detail(sub)).collect();
    }
    info
}

fn index_stats(accounts: &[Arc<Account>]) -> IndexStats {
    let mut stats = IndexStats::default();
    let (mut lookups, mut hits, mut fanout) = (0, 0, 0);
    for account in accounts {
        let (held, inserts, removes) = account.index_counts();
        stats.num_subscriptions += held as u64;
        stats.num_inserts += inserts;
        stats.num_removes += removes;
        hits += account.counters.sum(account_counter::CACHE_HITS);
        lookups += account.counters.sum(account_counter::MATCHES);
        fanout += account.counters.sum(account_counter::FANOUT);
        stats.max_fanout = stats.max_fanout.max(account.max_fanout());
    }
    stats.num_matches = hits + lookups;
    let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    stats.cache_hit_rate = ratio(hits, stats.num_matches);
    stats.avg_fanout = ratio(fanout, lookups);
    stats
}

fn closed_by_reason(broker: &Broker) -> Vec<(String, u64)> {
    broker.closed_counts().into_iter().map(|(reason, n)| (reason.text().to_owned(), n)).collect()
}

/// The ports that monitoring was bound to, and until when the certificate is good.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonitoringFacts {
    /// The HTTP port, 0 for none.
    pub http: u16,
    /// The HTTPS port, 0 for none.
    pub https: u16,
    /// When the server's certificate expires.
    pub certificate_expiry: Option<Wall>,
}
