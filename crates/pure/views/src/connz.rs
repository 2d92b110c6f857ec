//! `/connz`: connections, open and closed, one by one.

use std::cmp::Ordering;
use std::time::Duration;

use midge_stdx::clock::Wall;
use midge_stdx::gotime;
use serde::Serialize;

use crate::json::{Time, is_default};
use crate::query::Query;
use crate::subsz::{SubDetail, page};
use crate::uptime::uptime_text;

/// Which connections are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Those that are open.
    #[default]
    Open,
    /// Those that were closed lately.
    Closed,
    /// Both.
    All,
}

/// How subscriptions are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subscriptions {
    /// Not at all.
    #[default]
    Counted,
    /// By subject.
    Subjects,
    /// With details.
    Details,
}

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Id, which is the order of arrival.
    #[default]
    Cid,
    /// Number of subscriptions, most first; so are all counts.
    Subs,
    /// Bytes that wait to be sent.
    Pending,
    /// Messages sent.
    MsgsTo,
    /// Messages received.
    MsgsFrom,
    /// Bytes sent.
    BytesTo,
    /// Bytes received.
    BytesFrom,
    /// Last activity, latest first.
    Last,
    /// Time without activity, longest first.
    Idle,
    /// Time since the start, shortest first.
    Uptime,
    /// When it was closed, latest first.
    Stop,
    /// Why it was closed, by text.
    Reason,
    /// Round trip time, longest first.
    Rtt,
}

const SORTS: [(&str, Sort); 15] = [
    ("", Sort::Cid),
    ("cid", Sort::Cid),
    ("start", Sort::Cid),
    ("subs", Sort::Subs),
    ("pending", Sort::Pending),
    ("msgs_to", Sort::MsgsTo),
    ("msgs_from", Sort::MsgsFrom),
    ("bytes_to", Sort::BytesTo),
    ("bytes_from", Sort::BytesFrom),
    ("last", Sort::Last),
    ("idle", Sort::Idle),
    ("uptime", Sort::Uptime),
    ("stop", Sort::Stop),
    ("reason", Sort::Reason),
    ("rtt", Sort::Rtt),
];

/// The parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnzOptions {
    /// `sort`
    pub sort: Sort,
    /// `auth`: whether users and accounts are shown.
    pub auth: bool,
    /// `subs`
    pub subscriptions: Subscriptions,
    /// `offset`
    pub offset: i64,
    /// `limit`
    pub limit: i64,
    /// `cid`: this connection only; 0 for all.
    pub cid: u64,
    /// `state`
    pub state: State,
    /// `user`: only connections of this user.
    pub user: String,
    /// `acc`: only connections of this account.
    pub account: String,
    /// `mqtt_client`: only the connection with this MQTT client id.
    pub mqtt_client: String,
}

impl ConnzOptions {
    /// Decodes the parameters; an error is the body of a 400 answer.
    pub fn decode(query: &Query) -> Result<ConnzOptions, String> {
        let auth = query.boolean("auth")?;
        let subscriptions = match query.bytes("subs") {
            detail if detail.eq_ignore_ascii_case(b"detail") => Subscriptions::Details,
            _ if query.boolean("subs")? => Subscriptions::Subjects,
            _ => Subscriptions::Counted,
        };
        let (offset, limit, cid) = (query.int("offset")?, query.int("limit")?, query.uint64("cid")?);
        let state = match query.text("state").to_lowercase().as_str() {
            "" | "open" => State::Open,
            "closed" => State::Closed,
            "any" | "all" => State::All,
            _ => return Err(format!("Error decoding state for {}", query.text("state"))),
        };
        let wanted = query.text("sort");
        let found = SORTS.iter().find(|(name, _)| *name == wanted);
        let &(_, sort) = found.ok_or_else(|| format!("invalid sorting option: {wanted}"))?;
        if matches!(sort, Sort::Stop | Sort::Reason) && state != State::Closed {
            return Err(format!("sort by {wanted} only valid on closed connections"));
        }
        Ok(ConnzOptions {
            sort,
            auth,
            subscriptions,
            offset,
            limit,
            cid,
            state,
            user: query.text("user"),
            account: query.text("acc"),
            mqtt_client: query.text("mqtt_client"),
        })
    }
}

/// What a node knows about a connection, open or closed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnInfo {
    /// Its id.
    pub cid: u64,
    /// `Client` or `Leafnode`.
    pub kind: &'static str,
    /// `nats`, `mqtt` or `websocket`.
    pub protocol: &'static str,
    /// The peer's address.
    pub ip: String,
    /// The peer's port.
    pub port: u16,
    /// When it was accepted.
    pub start: Wall,
    /// When something last happened on it.
    pub last_activity: Wall,
    /// When it was closed.
    pub stop: Option<Wall>,
    /// Why it was closed.
    pub reason: &'static str,
    /// The round trip time, when it is known.
    pub rtt: Option<Duration>,
    /// Bytes that wait to be sent.
    pub pending_bytes: u64,
    /// Messages received.
    pub in_msgs: u64,
    /// Messages sent.
    pub out_msgs: u64,
    /// Bytes received.
    pub in_bytes: u64,
    /// Bytes sent.
    pub out_bytes: u64,
    /// Times that it was held up as a publisher.
    pub stalls: u64,
    /// The number of its subscriptions.
    pub subscriptions: usize,
    /// `name` of its CONNECT.
    pub name: String,
    /// `lang` of its CONNECT.
    pub lang: String,
    /// `version` of its CONNECT.
    pub version: String,
    /// `1.2`, `1.3` or nothing.
    pub tls_version: &'static str,
    /// The cipher suite's name.
    pub tls_cipher_suite: String,
    /// The certificates that it showed.
    pub tls_peer_certs: Vec<TlsPeerCert>,
    /// Whether the handshake came before INFO.
    pub tls_first: bool,
    /// Key, user name or `[REDACTED]`.
    pub user: String,
    /// Its account.
    pub account: String,
    /// The account's display name; the account itself when empty.
    pub name_tag: String,
    /// Its subscriptions; needed only when they are asked for.
    pub subscription_details: Vec<SubDetail>,
    /// The user's JWT, unless it is a bearer's.
    pub jwt: String,
    /// The key that issued it.
    pub issuer_key: String,
    /// The user's tags.
    pub tags: Vec<String>,
    /// The MQTT client id.
    pub mqtt_client: String,
    /// The key of the proxy that it came through.
    pub proxy_key: String,
}

/// A certificate that a peer showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TlsPeerCert {
    /// Its subject.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The digest of its public key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub spki_sha256: String,
    /// The digest of the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cert_sha256: String,
}

/// The document.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Connz {
    /// The server.
    pub server_id: String,
    /// When it was made.
    pub now: Time,
    /// The connections of this page.
    pub num_connections: usize,
    /// The connections of this state and account, on all pages and of all users.
    pub total: usize,
    /// The first entry of this page.
    pub offset: usize,
    /// The entries of a page.
    pub limit: usize,
    /// This page; `None` for an unknown account.
    pub connections: Option<Vec<ConnDocument>>,
}

/// One connection as it is printed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are those of ConnInfo, where they are explained")]
pub struct ConnDocument {
    pub cid: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: &'static str,
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    pub protocol: &'static str,
    pub ip: String,
    pub port: u16,
    pub start: Time,
    pub last_activity: Time,
    #[serde(skip_serializing_if = "Time::is_none")]
    pub stop: Time,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'static str,
    pub rtt: String,
    pub uptime: String,
    pub idle: String,
    pub pending_bytes: u64,
    pub in_msgs: u64,
    pub out_msgs: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub stalls: u64,
    pub subscriptions: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub tls_version: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tls_cipher_suite: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_peer_certs: Vec<TlsPeerCert>,
    #[serde(skip_serializing_if = "is_default")]
    pub tls_first: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub authorized_user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions_list_detail: Vec<SubDetail>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mqtt_client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyKey>,
}

/// The proxy that a connection came through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProxyKey {
    /// Its key.
    pub key: String,
}

/// The account that is not named in documents.
const GLOBAL_ACCOUNT: &str = "$G";

impl ConnInfo {
    fn uptime(&self, now: Wall) -> Duration {
        elapsed(self.start, self.stop.unwrap_or(now))
    }

    fn idle(&self, now: Wall) -> Duration {
        elapsed(self.last_activity, self.stop.unwrap_or(now))
    }

    fn document(self, options: &ConnzOptions, now: Wall) -> ConnDocument {
        let mut document = ConnDocument {
            cid: self.cid,
            kind: self.kind,
            protocol: self.protocol,
            start: self.start.into(),
            last_activity: self.last_activity.into(),
            stop: Time(self.stop),
            reason: self.reason,
            rtt: rtt_text(self.rtt.unwrap_or_default()),
            uptime: uptime_text(self.uptime(now)),
            idle: uptime_text(self.idle(now)),
            ip: self.ip,
            port: self.port,
            pending_bytes: self.pending_bytes,
            in_msgs: self.in_msgs,
            out_msgs: self.out_msgs,
            in_bytes: self.in_bytes,
            out_bytes: self.out_bytes,
            stalls: self.stalls,
            subscriptions: self.subscriptions,
            name: self.name,
            lang: self.lang,
            version: self.version,
            tls_version: self.tls_version,
            tls_cipher_suite: self.tls_cipher_suite,
            tls_first: self.tls_first,
            mqtt_client: self.mqtt_client,
            proxy: Some(ProxyKey { key: self.proxy_key }).filter(|proxy| !proxy.key.is_empty()),
            ..ConnDocument::default()
        };
        match options.subscriptions {
            Subscriptions::Counted => {}
            Subscriptions::Subjects => {
                document.subscriptions_list =
                    self.subscription_details.into_iter().map(|s| s.subject).collect();
            }
            Subscriptions::Details => document.subscriptions_list_detail = self.subscription_details,
        }
        if options.auth {
            document.authorized_user = self.user;
            document.name_tag = if self.name_tag.is_empty() { self.account.clone() } else { self.name_tag };
            document.account = if self.account == GLOBAL_ACCOUNT { String::new() } else { self.account };
            document.tls_peer_certs = self.tls_peer_certs;
            (document.jwt, document.issuer_key, document.tags) = (self.jwt, self.issuer_key, self.tags);
        }
        document
    }
}

fn elapsed(from: Wall, to: Wall) -> Duration {
    Duration::from_nanos(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}

/// Between a microsecond and a millisecond, nanoseconds are noise.
fn rtt_text(rtt: Duration) -> String {
    let nanos = i64::try_from(rtt.as_nanos()).unwrap_or(i64::MAX);
    gotime::duration_text(if (1_001..1_000_000).contains(&nanos) { nanos / 1000 * 1000 } else { nanos })
}

fn order(sort: Sort, now: Wall, a: &ConnInfo, b: &ConnInfo) -> Ordering {
    let by = match sort {
        Sort::Cid => Ordering::Equal,
        Sort::Subs => b.subscriptions.cmp(&a.subscriptions),
        Sort::Pending => b.pending_bytes.cmp(&a.pending_bytes),
        Sort::MsgsTo => b.out_msgs.cmp(&a.out_msgs),
        Sort::MsgsFrom => b.in_msgs.cmp(&a.in_msgs),
        Sort::BytesTo => b.out_bytes.cmp(&a.out_bytes),
        Sort::BytesFrom => b.in_bytes.cmp(&a.in_bytes),
        Sort::Last => b.last_activity.cmp(&a.last_activity),
        Sort::Idle => b.idle(now).cmp(&a.idle(now)),
        Sort::Uptime => a.uptime(now).cmp(&b.uptime(now)),
        Sort::Stop => b.stop.cmp(&a.stop),
        Sort::Reason => a.reason.cmp(b.reason),
        Sort::Rtt => b.rtt.cmp(&a.rtt),
    };
    by.then(a.cid.cmp(&b.cid))
}

/// Makes the document of the connections that the node holds (`open`) and remembers (`closed`); lists that the options
/// do not ask for may be left empty.
pub fn connz(
    server_id: &str,
    open: Vec<ConnInfo>,
    closed: Vec<ConnInfo>,
    options: &ConnzOptions,
    now: Wall,
) -> Connz {
    let mut list = match options.state {
        State::Open => open,
        State::Closed => closed,
        State::All => open.into_iter().chain(closed).collect(),
    };
    list.retain(|conn| options.account.is_empty() || conn.account == options.account);
    let total = list.len();
    let (offset, mut limit) = page(options.offset, options.limit);
    if options.cid != 0 {
        limit = 1;
        list.retain(|conn| conn.cid == options.cid && conn.kind != "Leafnode");
    }
    list.retain(|conn| options.user.is_empty() || conn.user == options.user);
    list.retain(|conn| options.mqtt_client.is_empty() || conn.mqtt_client == options.mqtt_client);
    list.sort_by(|a, b| order(options.sort, now, a, b));
    let page = list.into_iter().skip(offset).take(limit);
    let connections: Vec<ConnDocument> = page.map(|conn| conn.document(options, now)).collect();
    Connz {
        server_id: server_id.to_owned(),
        now: now.into(),
        num_connections: connections.len(),
        total,
        offset,
        limit,
        connections: Some(connections),
    }
}

impl Connz {
    /// The answer when the account asked for does not exist: half empty, and not an error.
    pub fn unknown_account(options: &ConnzOptions, now: Wall) -> Connz {
        let (offset, limit) = page(options.offset, options.limit);
        Connz { now: now.into(), offset, limit, ..Connz::default() }
    }
}

#[cfg(test)]
#[path = "connz_tests.rs"]
mod tests;
