//! What all connections of a server share.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use midge_auth::decide::Users;
use midge_stdx::clock::{Now, Wall};
use midge_stdx::entropy::Entropy;
use midge_sync::atomic::{AtomicBool, AtomicU64, Ordering};
use midge_sync::cells::Cells;
use midge_sync::ordlock::{Mutex, RwLock};
use midge_sync::rank;
use midge_sync::snapshot::Snapshot;
use midge_wire::info::Info;

use crate::account::Accounts;
use crate::batch::Batch;
use crate::conn::ClientConn;
use crate::peer::{Order, Peer};
use crate::reason::Reason;
use crate::routing::{self, Outgoing};
use crate::settings::Settings;
use crate::subscription::Subscription;

/// The counters of a server.
pub mod counter {
    /// Messages from clients.
    pub const IN_MSGS: usize = 0;
    /// Bytes from clients.
    pub const IN_BYTES: usize = 1;
    /// Messages to clients.
    pub const OUT_MSGS: usize = 2;
    /// Bytes to clients.
    pub const OUT_BYTES: usize = 3;
    /// Slow consumers closed.
    pub const SLOW_CONSUMERS: usize = 4;
    /// Stale connections closed.
    pub const STALE: usize = 5;
    /// Times a publisher was made to wait.
    pub const STALLS: usize = 6;
    /// Connections ever accepted.
    pub const TOTAL_CONNECTIONS: usize = 7;
    /// Logins refused.
    pub const AUTH_FAILURES: usize = 8;
    /// How many there are.
    pub const LEN: usize = 9;
}

/// The API level that the reference server announces, with or without JetStream.
const API_LEVEL: u64 = 5;

/// Subscriptions that the list of closed connections keeps in all; the oldest connections lose theirs first.
const MAX_CLOSED_SUBSCRIPTIONS: usize = 100_000;

/// A connection that has ended.
#[derive(Debug)]
pub struct ClosedConn {
    /// Its figures as they were at the end.
    pub peer: Arc<Peer>,
    /// When it ended.
    pub stop: Wall,
    /// Why.
    pub reason: Reason,
    /// Its subscriptions at the end.
    pub subscriptions: Vec<Arc<Subscription>>,
}

#[derive(Debug, Default)]
struct ClosedRing {
    list: VecDeque<Arc<ClosedConn>>,
    /// Connections at the front whose subscriptions were dropped, and subscriptions kept by the others.
    kept_subscriptions: usize,
    by_reason: BTreeMap<Reason, u64>,
}

/// See the module.
pub struct Broker {
    settings: Snapshot<Settings>,
    users: Snapshot<Users>,
    /// The accounts.
    pub accounts: Accounts,
    /// Sums of [`counter`].
    pub counters: Cells<{ counter::LEN }>,
    peers: RwLock<{ rank::REGISTRY }, BTreeMap<u64, Arc<Peer>>>,
    open: AtomicU64,
    closed: Mutex<{ rank::REGISTRY }, ClosedRing>,
    next_cid: AtomicU64,
    secrets: Mutex<{ rank::LEAF }, Box<dyn Entropy>>,
    lame_duck: AtomicBool,
    stopping: AtomicBool,
    tracing: AtomicBool,
    server: Arc<Peer>,
}

impl Broker {
    /// A server without connections. `secrets` must not be predictable: nonces are drawn from it. `shards` is the
    /// number of threads that count.
    pub fn new(
        settings: Settings,
        users: Users,
        accounts: Accounts,
        secrets: Box<dyn Entropy>,
        shards: usize,
    ) -> Arc<Broker> {
        Arc::new(Broker {
            settings: Snapshot::new(settings),
            users: Snapshot::new(users),
            accounts,
            counters: Cells::new(shards),
            peers: RwLock::new(BTreeMap::new()),
            open: AtomicU64::new(0),
            closed: Mutex::new(ClosedRing::default()),
            next_cid: AtomicU64::new(0),
            secrets: Mutex::new(secrets),
            lame_duck: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            tracing: AtomicBool::new(false),
            server: Arc::new(Peer::new(0, None, Now::default(), 0, usize::MAX)),
        })
    }

    /// In whose name the server itself publishes: no connection, and registered nowhere.
    pub fn server_peer(&self) -> &Arc<Peer> {
        &self.server
    }

    /// Publishes a message of the server itself; answers how many receivers took it. The figures of the account and of the server count it.
    pub fn send(
        &self,
        batch: &mut Batch,
        account: &Arc<crate::account::Account>,
        message: &Outgoing<'_>,
    ) -> usize {
        let reached = routing::send(batch, account, &self.server, message);
        let (messages, bytes) = batch.take_delivered();
        if messages > 0 {
            self.counters.add(batch.shard, counter::OUT_MSGS, messages);
            self.counters.add(batch.shard, counter::OUT_BYTES, bytes);
            account.counters.add(batch.shard, crate::account::counter::OUT_MSGS, messages);
            account.counters.add(batch.shard, crate::account::counter::OUT_BYTES, bytes);
        }
        reached
    }

    /// The current settings.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load()
    }

    /// Replaces the settings; connections that exist keep theirs.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.store(settings);
    }

    /// Host and port for INFO, known once the listener is bound.
    pub fn set_address(&self, (host, port): (String, u16)) {
        let mut settings = Settings::clone(&self.settings());
        (settings.host, settings.port) = (host, port);
        self.set_settings(settings);
    }

    /// The current users.
    pub fn users(&self) -> Arc<Users> {
        self.users.load()
    }

    /// Draws a connection id.
    pub fn next_cid(&self) -> u64 {
        self.next_cid.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Registers a connection that was accepted on `shard`. It is refused later, after INFO, when there are too many.
    pub fn accept(self: &Arc<Self>, addr: Option<SocketAddr>, shard: usize, now: Now) -> ClientConn {
        let settings = self.settings();
        let cid = self.next_cid();
        let peer = Arc::new(Peer::new(cid, addr, now, shard, settings.max_pending));
        self.peers.write().insert(cid, peer.clone());
        self.open.fetch_add(1, Ordering::AcqRel);
        self.counters.add(shard, counter::TOTAL_CONNECTIONS, 1);
        ClientConn::new(self.clone(), settings, peer, now)
    }

    /// Forgets an open connection and remembers it as closed.
    pub(crate) fn forget(
        &self,
        peer: &Arc<Peer>,
        reason: Reason,
        subscriptions: Vec<Arc<Subscription>>,
        now: Now,
    ) {
        if self.peers.write().remove(&peer.cid).is_none() {
            return;
        }
        self.open.fetch_sub(1, Ordering::AcqRel);
        let max = self.settings().max_closed_clients;
        let mut ring = self.closed.lock();
        *ring.by_reason.entry(reason).or_insert(0) += 1;
        if max == 0 {
            return;
        }
        ring.kept_subscriptions += subscriptions.len();
        ring.list.push_back(Arc::new(ClosedConn {
            peer: peer.clone(),
            stop: now.wall,
            reason,
            subscriptions,
        }));
        while ring.list.len() > max || ring.kept_subscriptions > MAX_CLOSED_SUBSCRIPTIONS {
            match ring.list.pop_front() {
                Some(oldest) => ring.kept_subscriptions -= oldest.subscriptions.len(),
                None => break,
            }
        }
    }

    /// Open connections.
    pub fn connections(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }

    /// Every open connection, by id.
    pub fn peers(&self) -> Vec<Arc<Peer>> {
        self.peers.read().values().cloned().collect()
    }

    /// An open connection by its id.
    pub fn peer(&self, cid: u64) -> Option<Arc<Peer>> {
        self.peers.read().get(&cid).cloned()
    }

    /// Closed connections, oldest first.
    pub fn closed_connections(&self) -> Vec<Arc<ClosedConn>> {
        self.closed.lock().list.iter().cloned().collect()
    }

    /// Connections closed so far by reason, those forgotten included.
    pub fn closed_counts(&self) -> Vec<(Reason, u64)> {
        self.closed.lock().by_reason.iter().map(|(reason, n)| (*reason, *n)).collect()
    }

    /// Replaces the permissions of a live connection: publishing follows at once, subscriptions that are no longer
    /// allowed are removed with an error. Answers whether the connection exists.
    pub fn set_permissions(
        &self,
        cid: u64,
        permissions: Option<Arc<midge_auth::permissions::Permissions>>,
    ) -> bool {
        let Some(peer) = self.peer(cid) else { return false };
        peer.order(Order::Permissions(permissions));
        true
    }

    /// Closes a connection. Answers whether it existed and was open.
    pub fn kick(&self, cid: u64) -> bool {
        self.peer(cid).is_some_and(|peer| peer.close(Reason::Kicked))
    }

    /// Tells every client that understands it that the server is about to go. Answers the clients there are.
    pub fn enter_lame_duck(&self) -> Vec<Arc<Peer>> {
        self.lame_duck.store(true, Ordering::Release);
        let peers = self.peers();
        for peer in &peers {
            peer.order(Order::LameDuck);
        }
        peers
    }

    /// Whether lame duck mode is on.
    pub fn is_lame_duck(&self) -> bool {
        self.lame_duck.load(Ordering::Acquire)
    }

    /// Closes every connection; from now on the bookkeeping of subscriptions is skipped.
    pub fn shut_down(&self) {
        self.stopping.store(true, Ordering::Release);
        for peer in self.peers() {
            peer.close(Reason::ServerShutdown);
        }
    }

    /// Whether the server is going down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether protocol traces are logged.
    #[inline]
    pub fn is_tracing(&self) -> bool {
        self.tracing.load(Ordering::Relaxed)
    }

    /// Switches protocol traces.
    pub fn set_tracing(&self, on: bool) {
        self.tracing.store(on, Ordering::Relaxed);
    }

    /// Eleven unpredictable bytes for a nonce.
    pub(crate) fn draw_nonce(&self) -> [u8; 11] {
        let mut nonce = [0; 11];
        self.secrets.lock().fill(&mut nonce);
        nonce
    }

    /// A number for jitter.
    pub(crate) fn draw(&self, bound: u64) -> u64 {
        self.secrets.lock().below(bound)
    }

    /// The INFO document for a connection, without what depends on its account.
    pub(crate) fn info(&self, settings: &Settings, peer: &Peer, users: &Users) -> Info {
        let identity = &settings.identity;
        let in_process = peer.addr.is_none();
        Info {
            server_id: identity.server_id.clone(),
            server_name: identity.server_name.clone(),
            version: identity.version.clone(),
            proto: 1,
            git_commit: identity.git_commit.clone(),
            go: identity.built_with.clone(),
            host: settings.host.clone(),
            port: settings.port,
            headers: settings.headers,
            auth_required: users.info_auth_required(),
            tls_required: settings.tls_required && !in_process,
            tls_verify: settings.tls_verify,
            tls_available: settings.tls_available || (settings.tls_required && in_process),
            max_payload: settings.max_payload,
            client_id: peer.cid,
            client_ip: peer.addr.map_or_else(String::new, |a| a.ip().to_string()),
            ldm: self.is_lame_duck(),
            api_lvl: API_LEVEL,
            jetstream: settings.jetstream,
            domain: settings.domain.clone(),
            xkey: identity.xkey.clone(),
            midge: identity.midge_version.clone(),
            ..Info::default()
        }
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("connections", &self.connections()).finish_non_exhaustive()
    }
}
