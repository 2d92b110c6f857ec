//! The machine of a client connection.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashTable;
use midge_auth::permissions::Permissions;
use midge_stdx::clock::{Mono, Now};
use midge_stdx::hash::MapHasher;
use midge_sync::atomic::Ordering;
use midge_wire::connect::Connect;
use midge_wire::parse::{Op, Parser, Publish, Rules, Step};
use smallvec::SmallVec;

use super::handshake::PendingLogin;
use super::pings::Pings;
use super::{Flow, Ingested};
use crate::account::{Account, counter as account_counter};
use crate::batch::Batch;
use crate::broker::{Broker, counter};
use crate::limits::RUN_MESSAGES;
use crate::peer::{Peer, TlsFacts};
use crate::reason::Reason;
use crate::routing::{self, Origin};
use crate::settings::Settings;
use crate::subscription::Subscription;

/// Consecutive publishes to one subject.
pub(super) type Run<'a> = SmallVec<[Publish<'a>; RUN_MESSAGES]>;

/// See the module.
pub struct ClientConn {
    pub(super) broker: Arc<Broker>,
    pub(super) settings: Arc<Settings>,
    pub(super) peer: Arc<Peer>,
    pub(super) account: Arc<Account>,
    /// Whether the account counts this connection.
    pub(super) joined: bool,
    pub(super) parser: Parser,
    pub(super) rules: Rules,
    pub(super) options: Box<Connect>,
    pub(super) permissions: Option<Arc<Permissions>>,
    pub(super) subscriptions: HashTable<Arc<Subscription>>,
    pub(super) hasher: MapHasher,
    /// Negative for no limit; 0 allows none.
    pub(super) max_subscriptions: i64,
    /// CONNECT has to come before anything else.
    pub(super) expects_connect: bool,
    pub(super) connected: bool,
    /// The INFO that follows the first PONG was sent.
    pub(super) introduced: bool,
    pub(super) nonce: String,
    pub(super) login: Option<PendingLogin>,
    pub(super) tls: bool,
    /// Names in the client's certificate, for logins that map it to a user.
    pub(super) certificate: Option<Arc<midge_auth::tls_map::PeerNames>>,
    pub(super) auth_deadline: Mono,
    pub(super) pings: Pings,
    /// Received since the last report to the counters.
    pub(super) in_msgs: u64,
    pub(super) in_bytes: u64,
    /// Whether the messages that follow the first of a run may join it.
    pub(super) joinable: bool,
}

impl ClientConn {
    pub(crate) fn new(broker: Arc<Broker>, settings: Arc<Settings>, peer: Arc<Peer>, now: Now) -> Self {
        let account = broker.accounts.global().clone();
        let rules = Rules {
            max_control_line: settings.max_control_line,
            max_payload: settings.max_payload,
            headers: false,
        };
        let pings = Pings::new(&settings, now);
        let max_subscriptions = if settings.max_subscriptions > 0 { settings.max_subscriptions } else { -1 };
        ClientConn {
            broker,
            settings,
            peer,
            account,
            joined: false,
            parser: Parser::default(),
            rules,
            options: Box::default(),
            permissions: None,
            subscriptions: HashTable::new(),
            hasher: MapHasher::default(),
            max_subscriptions,
            expects_connect: false,
            connected: false,
            introduced: false,
            nonce: String::new(),
            login: None,
            tls: false,
            certificate: None,
            auth_deadline: Mono::NEVER,
            pings,
            in_msgs: 0,
            in_bytes: 0,
            joinable: false,
        }
    }

    /// The shared side of the connection.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// The connection counts as one of TLS from now on; call before [`ClientConn::secured`].
    pub fn set_tls(&mut self, facts: TlsFacts, certificate: Option<Arc<midge_auth::tls_map::PeerNames>>) {
        self.tls = true;
        self.certificate = certificate;
        self.peer.with_details(|details| details.tls = Some(facts));
    }

    /// Handles input. `input` is everything received and not consumed yet.
    pub fn ingest(&mut self, batch: &mut Batch, input: &Bytes) -> Ingested {
        self.catch_up(batch);
        let mut run: Run<'_> = SmallVec::new();
        let mut at = 0;
        let mut need = 0;
        let tracing = self.broker.is_tracing();
        let flow = loop {
            let rest = input.get(at..).unwrap_or_default();
            let Some(first) = rest.first() else { break Flow::Continue };
            if self.expects_connect && !self.connected && !matches!(first, b'C' | b'c') {
                match self.first_operation_without_connect(batch) {
                    Flow::Continue => {}
                    flow => break flow,
                }
            }
            let repeated =
                if self.joinable && !tracing { run.last().and_then(|p| p.repeated(rest)) } else { None };
            if let Some(publish) = repeated
                && run.len() < RUN_MESSAGES
            {
                at += publish.whole.len();
                self.in_msgs += 1;
                self.in_bytes += publish.body().len() as u64;
                run.push(publish);
                continue;
            }
            match self.parser.next(rest, &self.rules) {
                Step::Op(Op::Publish(publish), taken) => {
                    at += taken;
                    if tracing {
                        self.trace_publish(&publish);
                    }
                    self.in_msgs += 1;
                    self.in_bytes += publish.body().len() as u64;
                    let joins = self.joinable
                        && run.len() < RUN_MESSAGES
                        && run.first().is_some_and(|f| f.subject == publish.subject)
                        && !super::publish::is_reserved_reply(publish.reply);
                    if !joins {
                        self.route(batch, &mut run, input);
                        if !self.admit(batch, &publish) {
                            continue;
                        }
                    }
                    run.push(publish);
                    if tracing {
                        // Traces tell of a message's deliveries before they tell of the next message.
                        self.route(batch, &mut run, input);
                    }
                    if batch.is_full() {
                        break Flow::Continue;
                    }
                }
                Step::Op(op, taken) => {
                    at += taken;
                    self.route(batch, &mut run, input);
                    if tracing {
                        self.trace_op(&op);
                    }
                    match self.operate(batch, op) {
                        Flow::Continue if batch.is_full() => break Flow::Continue,
                        Flow::Continue => {}
                        flow => break flow,
                    }
                }
                Step::Skipped(taken) => at += taken,
                Step::More(bytes) => {
                    need = bytes;
                    break Flow::Continue;
                }
                Step::Fault(fault) => {
                    self.route(batch, &mut run, input);
                    break self.fault(batch, fault, rest);
                }
            }
        };
        self.route(batch, &mut run, input);
        self.report(batch);
        let stall = batch.stall();
        let flow = match flow {
            Flow::Continue if !stall.is_zero() => Flow::Throttle(stall),
            flow => flow,
        };
        Ingested { consumed: at, need, flow }
    }

    /// Routes what the run holds and empties it.
    #[inline]
    fn route(&mut self, batch: &mut Batch, run: &mut Run<'_>, input: &Bytes) {
        if run.is_empty() {
            return;
        }
        let origin = Origin {
            peer: &self.peer,
            account: &self.account,
            echo: self.options.echo,
            no_responders: self.options.no_responders,
            drop_for_slow: self.settings.no_fast_producer_stall,
            trace: self.broker.is_tracing().then_some(self.settings.trace),
        };
        routing::publish(batch, &origin, run, Some(input));
        run.clear();
        self.joinable = false;
    }

    fn operate(&mut self, batch: &mut Batch, op: Op<'_>) -> Flow {
        match op {
            Op::Connect(json) => self.connect(batch, json),
            Op::Ping => {
                self.pinged(batch);
                Flow::Continue
            }
            Op::Pong => {
                self.ponged(batch.now);
                Flow::Continue
            }
            Op::Subscribe { subject, queue, sid } => {
                self.subscribe(batch, subject, queue, sid);
                Flow::Continue
            }
            Op::Unsubscribe { sid, max } => {
                self.unsubscribe(batch, sid, max);
                Flow::Continue
            }
            Op::Info(json) => self.peer_info(json),
            Op::Nothing => Flow::Continue,
            Op::PeerError(text) => {
                let text = String::from_utf8_lossy(text);
                tracing::error!("{} - Client Error {text}", self.peer.label());
                Flow::Close(Reason::ParseError)
            }
            Op::Publish(_) => Flow::Continue,
        }
    }

    /// Moves the figures of this batch to where others read them.
    fn report(&mut self, batch: &mut Batch) {
        let (messages, bytes) = (std::mem::take(&mut self.in_msgs), std::mem::take(&mut self.in_bytes));
        let shard = batch.shard;
        if messages > 0 {
            self.peer.in_msgs.fetch_add(messages, Ordering::Relaxed);
            self.peer.in_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.broker.counters.add(shard, counter::IN_MSGS, messages);
            self.broker.counters.add(shard, counter::IN_BYTES, bytes);
            self.account.counters.add(shard, account_counter::IN_MSGS, messages);
            self.account.counters.add(shard, account_counter::IN_BYTES, bytes);
            self.pings.active(batch.now.mono);
        }
        let (messages, bytes) = batch.take_delivered();
        if messages > 0 {
            self.broker.counters.add(shard, counter::OUT_MSGS, messages);
            self.broker.counters.add(shard, counter::OUT_BYTES, bytes);
            self.account.counters.add(shard, account_counter::OUT_MSGS, messages);
            self.account.counters.add(shard, account_counter::OUT_BYTES, bytes);
        }
        if !batch.stall().is_zero() {
            self.broker.counters.add(shard, counter::STALLS, 1);
        }
        self.peer.touch(batch.now);
    }

    /// Ends the connection: subscriptions leave the index, monitoring remembers it. The edge calls this once, after the
    /// last flush.
    pub fn close(&mut self, batch: &mut Batch, reason: Reason) {
        // A reason that somebody else gave first is the true one.
        self.peer.queue().close(reason);
        let reason = self.peer.closed().unwrap_or(reason);
        let mut subscriptions: Vec<Arc<Subscription>> = self.subscriptions.drain().collect();
        // Those that a publisher has ended meanwhile are not its own any more.
        subscriptions.retain(|sub| sub.end());
        if !self.broker.is_stopping() {
            self.account.remove_all(subscriptions.iter());
        }
        if self.joined {
            self.account.leave();
            self.joined = false;
        }
        match reason {
            Reason::SlowConsumerPendingBytes | Reason::SlowConsumerWriteDeadline
                if !self.waits_for_login() =>
            {
                self.broker.counters.add(batch.shard, counter::SLOW_CONSUMERS, 1);
                self.account.counters.add(batch.shard, account_counter::SLOW_CONSUMERS, 1);
            }
            Reason::StaleConnection => self.broker.counters.add(batch.shard, counter::STALE, 1),
            _ => {}
        }
        if reason == Reason::SlowConsumerPendingBytes {
            let max = self.settings.max_pending;
            tracing::info!("{} - Slow Consumer Detected: MaxPending of {max} Exceeded", self.peer.label());
        }
        tracing::debug!("{} - Client connection closed: {}", self.peer.label(), reason.text());
        self.broker.forget(&self.peer, reason, subscriptions, batch.now);
    }

    /// How long the socket may refuse bytes.
    pub fn write_deadline(&self) -> std::time::Duration {
        self.settings.write_deadline
    }

    /// Whether a socket that took some bytes within the deadline may go on.
    pub fn retries_writes(&self) -> bool {
        self.settings.retry_writes
    }

    /// Whether a login is required and has not happened.
    pub fn waits_for_login(&self) -> bool {
        self.expects_connect && !self.connected
    }
}

impl std::fmt::Debug for ClientConn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientConn").field("peer", &self.peer).finish_non_exhaustive()
    }
}
