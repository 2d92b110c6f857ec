//! What other threads may see and touch of a connection.
//!
//! The connection itself (its input side) belongs to its machine; a [`Peer`] is the rest: the outbound queue, figures
//! that monitoring reads, and the little that a delivery has to know of its receiver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;

use midge_auth::permissions::{Permissions, ResponseTable};
use midge_stdx::clock::{Now, Wall};
use midge_sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use midge_sync::ordlock::{Mutex, MutexGuard};
use midge_sync::rank;

use crate::account::Account;
use crate::limits::WAITING_PUBLISHERS;
use crate::outbound::{Pool, Queue};
use crate::reason::Reason;
use crate::subscription::Subscription;

/// How queued bytes reach the wire. The edge (or the simulator) registers one per connection.
pub trait Flush: Send + Sync {
    /// Called at the end of a batch that queued bytes for `peer` on the shard `from`: write now, or see to it that the
    /// owner does. With `inline` false the owner has to.
    fn flush(&self, peer: &Arc<Peer>, pool: &mut Pool, from: usize, inline: bool, now: Now);

    /// Makes the owner look at the connection: it was closed, or has bytes to write.
    fn wake(&self);
}

/// What is known of a TLS connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFacts {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The cipher suite's name.
    pub cipher: String,
    /// Whether the handshake came before INFO.
    pub first: bool,
    /// The peer's certificates, leaf first: subject, SPKI hash, certificate hash (lower-case hex).
    pub peer_certificates: Vec<(String, String, String)>,
}

/// What monitoring shows of a connection and seldom changes.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// From CONNECT.
    pub name: String,
    /// From CONNECT.
    pub lang: String,
    /// From CONNECT.
    pub version: String,
    /// Who logged in, as monitoring shows it; empty for nobody.
    pub user: String,
    /// The kind of login for log labels: `user`, `nkey`, `token`; empty for none.
    pub user_kind: &'static str,
    /// The account.
    pub account: Option<Arc<Account>>,
    /// TLS, if the connection has it.
    pub tls: Option<TlsFacts>,
}

/// The shared side of a connection.
pub struct Peer {
    /// Unique per server run.
    pub cid: u64,
    /// The remote address; `None` for a connection inside the process.
    pub addr: Option<SocketAddr>,
    /// When it was accepted.
    pub start: Now,
    /// The shard that owns it.
    pub shard: usize,
    queue: Mutex<{ rank::OUTBOUND }, Queue>,
    hook: OnceLock<Box<dyn Flush>>,
    /// Whether the client understands headers.
    headers: AtomicBool,
    /// Whether replies of delivered messages become publishable.
    tracks_responses: AtomicBool,
    responses: Mutex<{ rank::LEAF }, Option<ResponseTable>>,
    permissions: Mutex<{ rank::LEAF }, Option<Arc<Permissions>>>,
    details: Mutex<{ rank::LEAF }, Details>,
    ended: Mutex<{ rank::LEAF }, Vec<Arc<Subscription>>>,
    has_ended: AtomicBool,
    /// Publishers that wait until the queue is below a mark.
    waiting: Mutex<{ rank::LEAF }, Vec<(Arc<Peer>, usize)>>,
    has_waiting: AtomicBool,
    orders: Mutex<{ rank::LEAF }, Vec<Order>>,
    has_orders: AtomicBool,
    /// Messages received.
    pub in_msgs: AtomicU64,
    /// Bytes of header and payload received.
    pub in_bytes: AtomicU64,
    /// Live subscriptions.
    pub subscriptions: AtomicU64,
    /// When it last sent or was sent something, wall clock.
    pub last_activity: AtomicI64,
    /// The last round trip, nanoseconds; 0 when unknown.
    pub rtt_ns: AtomicU64,
}

/// What somebody asks of a connection's owner.
#[derive(Debug)]
pub enum Order {
    /// Use these permissions from now on.
    Permissions(Option<Arc<Permissions>>),
    /// Send INFO with lame duck mode on.
    LameDuck,
}

/// Orders that wait for their connection; above, the connection is closed.
const MAX_ORDERS: usize = 64;

impl Peer {
    /// A connection that was accepted at `start` on `shard`.
    pub fn new(cid: u64, addr: Option<SocketAddr>, start: Now, shard: usize, max_pending: usize) -> Self {
        Peer {
            cid,
            addr,
            start,
            shard,
            queue: Mutex::new(Queue::new(max_pending)),
            hook: OnceLock::new(),
            headers: AtomicBool::new(false),
            tracks_responses: AtomicBool::new(false),
            responses: Mutex::new(None),
            permissions: Mutex::new(None),
            details: Mutex::new(Details::default()),
            ended: Mutex::new(Vec::new()),
            has_ended: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
            has_waiting: AtomicBool::new(false),
            orders: Mutex::new(Vec::new()),
            has_orders: AtomicBool::new(false),
            in_msgs: AtomicU64::new(0),
            in_bytes: AtomicU64::new(0),
            subscriptions: AtomicU64::new(0),
            last_activity: AtomicI64::new(start.wall.0),
            rtt_ns: AtomicU64::new(0),
        }
    }

    /// Registers how bytes reach the wire; the first registration stays.
    pub fn attach(&self, hook: Box<dyn Flush>) {
        let _ = self.hook.set(hook);
    }

    /// The outbound queue.
    #[inline]
    pub fn queue(&self) -> MutexGuard<'_, { rank::OUTBOUND }, Queue> {
        self.queue.lock()
    }

    /// Flushes after a batch; see [`Flush::flush`].
    #[inline]
    pub fn flush(self: &Arc<Self>, pool: &mut Pool, from: usize, inline: bool, now: Now) {
        if let Some(hook) = self.hook.get() {
            hook.flush(self, pool, from, inline, now);
        }
    }

    /// Wakes the owner.
    pub fn wake(&self) {
        if let Some(hook) = self.hook.get() {
            hook.wake();
        }
    }

    /// Ends the connection from outside its machine; answers whether this call did.
    pub fn close(&self, reason: Reason) -> bool {
        let closed = self.queue().close(reason);
        if closed {
            self.wake();
        }
        closed
    }

    /// Why it ends, once it does.
    pub fn closed(&self) -> Option<Reason> {
        self.queue().closed()
    }

    /// Whether the client understands headers.
    #[inline]
    pub fn headers(&self) -> bool {
        self.headers.load(Ordering::Relaxed)
    }

    /// Says whether the client understands headers.
    pub fn set_headers(&self, on: bool) {
        self.headers.store(on, Ordering::Relaxed);
    }

    /// The wall clock of its last activity.
    pub fn last_activity(&self) -> Wall {
        Wall(self.last_activity.load(Ordering::Relaxed))
    }

    /// Notes activity.
    #[inline]
    pub fn touch(&self, now: Now) {
        self.last_activity.store(now.wall.0, Ordering::Relaxed);
    }

    /// Reads the details under their lock.
    pub fn with_details<T>(&self, read: impl FnOnce(&mut Details) -> T) -> T {
        read(&mut self.details.lock())
    }

    /// Installs what deliveries have to check; dynamic replies start anew.
    pub fn set_permissions(&self, permissions: Option<Arc<Permissions>>, now: Now) {
        let table = permissions.as_ref().and_then(|p| p.responses()).map(|r| ResponseTable::new(r, now.mono));
        self.tracks_responses.store(table.is_some(), Ordering::Release);
        *self.responses.lock() = table;
        *self.permissions.lock() = permissions;
    }

    /// The current permissions; `None` allows everything.
    pub fn permissions(&self) -> Option<Arc<Permissions>> {
        self.permissions.lock().clone()
    }

    /// Whether a delivery passes the deny list.
    pub fn may_receive(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let permissions = self.permissions.lock().clone();
        permissions.is_none_or(|p| p.may_receive(subject, queue))
    }

    /// Whether replies of delivered messages have to be noted.
    #[inline]
    pub fn tracks_responses(&self) -> bool {
        self.tracks_responses.load(Ordering::Acquire)
    }

    /// Allows publishing to `reply` for a while, unless that is allowed anyway.
    pub fn allow_response(&self, reply: &[u8], now: Now) {
        let permissions = self.permissions.lock().clone();
        if permissions.is_some_and(|p| p.may_publish(reply)) {
            return;
        }
        if let Some(table) = self.responses.lock().as_mut() {
            table.add(reply, now.mono);
        }
    }

    /// Uses a dynamic permission to publish; answers whether there was one.
    pub fn use_response(&self, reply: &[u8], now: Now) -> bool {
        self.responses.lock().as_mut().is_some_and(|table| table.use_reply(reply, now.mono))
    }

    /// Lets `publisher` wait until this connection has caught up, when more than `limit` bytes are queued for it.
    /// Answers whether it waits; it is woken, or gives up after its time.
    pub fn hold_back(&self, publisher: &Arc<Peer>, limit: usize) -> bool {
        if publisher.cid == self.cid || !self.queue().is_crowded(limit) {
            return false;
        }
        let mark = limit / 2;
        {
            let mut waiting = self.waiting.lock();
            if waiting.len() < WAITING_PUBLISHERS {
                waiting.push((publisher.clone(), mark));
            }
            self.has_waiting.store(true, Ordering::Release);
        }
        // The consumer may have drained before it could see who waits.
        let drained = self.queue().pending() <= mark;
        if drained {
            self.release_publishers();
        }
        !drained
    }

    /// Wakes the publishers whose mark is reached; flushers call this after they have written.
    #[inline]
    pub fn release_publishers(&self) {
        if self.has_waiting.load(Ordering::Acquire) {
            self.release_some();
        }
    }

    #[cold]
    fn release_some(&self) {
        let (pending, closed) = {
            let queue = self.queue();
            (queue.pending(), queue.closed().is_some())
        };
        let ready: Vec<Arc<Peer>> = {
            let mut waiting = self.waiting.lock();
            let ready =
                waiting.extract_if(.., |(_, mark)| closed || pending <= *mark).map(|(p, _)| p).collect();
            self.has_waiting.store(!waiting.is_empty(), Ordering::Release);
            ready
        };
        for publisher in ready {
            publisher.wake();
        }
    }

    /// Tells the owner that a publisher used up a subscription's maximum.
    pub fn subscription_ended(&self, subscription: Arc<Subscription>) {
        self.ended.lock().push(subscription);
        self.has_ended.store(true, Ordering::Release);
    }

    /// Whether [`Peer::take_ended`] would answer anything.
    #[inline]
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// The subscriptions that publishers ended since the last call.
    pub fn take_ended(&self) -> Vec<Arc<Subscription>> {
        let mut ended = self.ended.lock();
        self.has_ended.store(false, Ordering::Release);
        std::mem::take(&mut ended)
    }

    /// Asks something of the owner and wakes it. A connection with too many orders waiting is closed.
    pub fn order(&self, order: Order) {
        let full = {
            let mut orders = self.orders.lock();
            orders.push(order);
            orders.len() > MAX_ORDERS
        };
        self.has_orders.store(true, Ordering::Release);
        if full {
            self.close(Reason::ServerShutdown);
        }
        self.wake();
    }

    /// Whether [`Peer::take_orders`] would answer anything.
    #[inline]
    pub fn has_orders(&self) -> bool {
        self.has_orders.load(Ordering::Acquire)
    }

    /// The orders given since the last call.
    pub fn take_orders(&self) -> Vec<Order> {
        let mut orders = self.orders.lock();
        self.has_orders.store(false, Ordering::Release);
        std::mem::take(&mut orders)
    }

    /// The label of log lines: `ip:port - cid:n`, with client and user once they are known.
    pub fn label(&self) -> String {
        let address = self.addr.map_or_else(|| "pipe".to_owned(), |a| a.to_string());
        let mut label = format!("{address} - cid:{}", self.cid);
        let details = self.details.lock();
        if !details.version.is_empty() || !details.lang.is_empty() || !details.name.is_empty() {
            let client = [("v", &details.version), ("", &details.lang), ("", &details.name)]
                .iter()
                .filter(|(_, part)| !part.is_empty())
                .map(|(prefix, part)| format!("{prefix}{part}"))
                .collect::<Vec<_>>()
                .join(":");
            label.push_str(&format!(" - \"{client}\""));
        }
        if !details.user_kind.is_empty() {
            let account = details.account.as_ref().map_or("", |a| a.name.as_str());
            let user = if details.user_kind == "token" {
                "token".to_owned()
            } else {
                format!("{}:{}", details.user_kind, details.user)
            };
            label.push_str(&format!(" - \"{account}/{user}\""));
        }
        label
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("cid", &self.cid).field("addr", &self.addr).finish_non_exhaustive()
    }
}
