//! What all hosts of a server share.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_assets::stream::Limits;
use midge_assets::stream::config::StoreCx;
use midge_assets::stream::publish::BatchLimits;
use midge_broker::account::Account;
use midge_broker::batch::Batch;
use midge_broker::broker::Broker;
use midge_broker::internal::Service;
use midge_broker::routing::Outgoing;
use midge_broker::subscription::{Subscription, Target};
use midge_broker::turn::Signal;
use midge_jsapi::stream_config::Storage;
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::port::StoreDisk;
use midge_sync::atomic::{AtomicBool, AtomicU64, Ordering};
use midge_sync::ordlock::{Mutex, RwLock};
use midge_sync::rank;

use crate::account::{ApiCounts, JsAccount, StreamHandle, Usage};
use crate::api::manager::{ManagerInbox, Told};
use crate::host::{Host, Inbox, Item, Order};
use crate::ports::{Jobs, Ports};
use crate::settings::{Settings, SyncPolicy};

/// How far the start is.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Streams found in the store directory.
    pub found: AtomicU64,
    /// Of these, streams that are served, or known to be damaged.
    pub opened: AtomicU64,
    /// All of them.
    pub done: AtomicBool,
    /// Accounts in the store directory that have no JetStream, with their streams.
    pub(crate) skipped: Mutex<{ rank::LEAF }, Vec<(String, Vec<String>)>>,
}

impl Recovery {
    /// Accounts in the store directory that have no JetStream, with their streams: nobody serves them.
    pub fn skipped(&self) -> Vec<(String, Vec<String>)> {
        self.skipped.lock().clone()
    }

    /// Whether everything is open, or known to be damaged.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

/// JetStream on one server.
pub struct JetStream {
    /// The configuration.
    pub settings: Settings,
    /// Connections and accounts.
    pub broker: Arc<Broker>,
    disk: Mutex<{ rank::LEAF }, Option<Arc<dyn StoreDisk>>>,
    /// Where requests come in.
    doors: Mutex<{ rank::LEAF }, Vec<(Arc<Account>, Arc<Subscription>)>>,
    pub(crate) runner: Arc<dyn midge_broker::turn::Runner>,
    pub(crate) jobs: Arc<dyn Jobs>,
    entropy: Mutex<{ rank::LEAF }, Box<dyn Entropy>>,
    accounts: RwLock<{ rank::REGISTRY }, BTreeMap<String, Arc<JsAccount>>>,
    /// Bytes in use, of all accounts.
    pub usage: Usage,
    /// Requests, of all accounts.
    pub api: ApiCounts,
    /// Requests that are being served.
    pub inflight: AtomicU64,
    /// How far the start is.
    pub recovery: Recovery,
    pub(crate) manager: ManagerInbox,
    /// Hosts that have not ended.
    hosts: AtomicU64,
    stopping: AtomicBool,
    next_placement: AtomicU64,
    /// Open batches of all streams.
    pub(crate) atomic_batches: AtomicU64,
    /// See above.
    pub(crate) fast_batches: AtomicU64,
}

impl JetStream {
    /// JetStream for the given accounts, without streams.
    pub fn new(
        settings: Settings,
        broker: Arc<Broker>,
        accounts: impl IntoIterator<Item = JsAccount>,
        ports: Ports,
    ) -> Arc<JetStream> {
        let Ports { runner, jobs, disk, entropy } = ports;
        let accounts = accounts.into_iter().map(|a| (a.name().to_owned(), Arc::new(a))).collect();
        Arc::new(JetStream {
            settings,
            broker,
            disk: Mutex::new(disk),
            doors: Mutex::new(Vec::new()),
            runner,
            jobs,
            entropy: Mutex::new(entropy),
            accounts: RwLock::new(accounts),
            usage: Usage::default(),
            api: ApiCounts::default(),
            inflight: AtomicU64::new(0),
            recovery: Recovery::default(),
            manager: ManagerInbox::default(),
            hosts: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            next_placement: AtomicU64::new(0),
            atomic_batches: AtomicU64::new(0),
            fast_batches: AtomicU64::new(0),
        })
    }

    /// An account with JetStream.
    pub fn account(&self, name: &str) -> Option<Arc<JsAccount>> {
        self.accounts.read().get(name).cloned()
    }

    /// All of them, by name.
    pub fn accounts(&self) -> Vec<Arc<JsAccount>> {
        self.accounts.read().values().cloned().collect()
    }

    /// The store directory, while it is open.
    pub(crate) fn disk(&self) -> Option<Arc<dyn StoreDisk>> {
        self.disk.lock().clone()
    }

    /// Opens a way in, for as long as JetStream runs.
    pub(crate) fn open_door(&self, account: &Arc<Account>, subject: &[u8], door: Arc<dyn Service>) {
        let subscription = Arc::new(Subscription::new(Target::Internal(door), subject, None, b"js", false));
        // A domain or name that makes no subject was refused before.
        if account.insert(subscription.clone()).is_ok() {
            self.doors.lock().push((account.clone(), subscription));
        }
    }

    /// Lets go of the store directory and of everything that leads here; to be called when all hosts have ended.
    pub fn release(&self) {
        self.disk.lock().take();
        let doors = std::mem::take(&mut *self.doors.lock());
        for (account, door) in doors {
            account.remove(&door);
        }
        for account in self.accounts() {
            account.clear();
        }
    }

    /// Randomness that cannot be guessed, for keys.
    pub(crate) fn secret_entropy(self: &Arc<Self>) -> Box<dyn Entropy> {
        Box::new(SecretEntropy(self.clone()))
    }

    /// What streams are told of the server's limits.
    pub(crate) fn stream_limits(&self, account: &JsAccount) -> Limits {
        let limits = &self.settings.limits;
        let payload = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
        Limits {
            max_payload: payload(self.broker.settings().max_payload)
                .min(payload(account.account.limits.max_payload)),
            batch: BatchLimits {
                max_msgs: limits.batch_msgs as u64,
                atomic_per_stream: limits.batch_inflight_per_stream,
                atomic_per_server: limits.batch_inflight_total,
                fast_per_stream: limits.fast_inflight_per_stream,
                fast_per_server: limits.fast_inflight_total,
                idle_ns: u64::try_from(limits.batch_timeout.as_nanos()).unwrap_or(u64::MAX),
                ..BatchLimits::default()
            },
        }
    }

    /// What stores are told of the server's settings.
    pub(crate) fn store_rules(&self) -> StoreCx {
        StoreCx {
            sync_interval_set: matches!(self.settings.sync, SyncPolicy::Interval(_)),
            sync_always: self.settings.sync_always,
            encrypted: self.settings.at_rest.is_some(),
            max_payload: u64::try_from(self.broker.settings().max_payload).unwrap_or(u64::MAX),
        }
    }

    /// The inbox of a new host.
    pub(crate) fn new_inbox(&self) -> Arc<Inbox> {
        let settings = &self.settings;
        Arc::new(Inbox::new(Signal::new(), settings.max_buffered_msgs, settings.max_buffered_bytes))
    }

    /// Runs a host from now on.
    pub(crate) fn run(&self, host: Host, handle: &StreamHandle) {
        self.hosts.fetch_add(1, Ordering::AcqRel);
        self.runner.run(Box::new(host), handle.inbox.signal().clone(), self.next_placement());
        if self.is_stopping() {
            // It was being opened when the others were told.
            let _ = handle.inbox.send(Item::Order(Box::new(Order::Stop)));
        }
    }

    /// One of the streams that were found is open, or known to be damaged.
    pub(crate) fn opened(&self) {
        let opened = self.recovery.opened.fetch_add(1, Ordering::AcqRel) + 1;
        if opened == self.recovery.found.load(Ordering::Acquire) {
            self.recovered();
        }
    }

    /// Everything that was found is open.
    pub(crate) fn recovered(&self) {
        self.recovery.done.store(true, Ordering::Release);
    }

    /// Stops every host: what is open is put into its files. Returns at once; [`JetStream::hosts`] tells when they have ended.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for account in self.accounts() {
            for stream in account.all_streams() {
                let _ = stream.inbox.send(Item::Order(Box::new(Order::Stop)));
            }
        }
        self.manager.tell(Told::Stop);
    }

    /// Randomness for one owner.
    pub(crate) fn draw_entropy(&self) -> Seeded {
        Seeded::new(self.entropy.lock().next_u64())
    }

    /// A shard for a new host: one after the other.
    pub(crate) fn next_placement(&self) -> u64 {
        self.next_placement.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn host_ended(&self) {
        self.hosts.fetch_sub(1, Ordering::AcqRel);
    }

    /// Hosts that have not ended.
    pub fn hosts(&self) -> u64 {
        self.hosts.load(Ordering::Acquire)
    }

    /// Whether the server goes down.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Bytes that all accounts have reserved.
    pub fn reserved(&self, storage: Storage) -> i64 {
        self.accounts().iter().map(|account| account.reserved(storage)).sum()
    }

    /// Publishes a message of the server itself in an account; answers how many receivers took it.
    pub(crate) fn send(&self, batch: &mut Batch, account: &JsAccount, message: &Outgoing<'_>) -> usize {
        self.broker.send(batch, &account.account, message)
    }
}

impl std::fmt::Debug for JetStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JetStream").field("hosts", &self.hosts()).finish_non_exhaustive()
    }
}

/// Draws from the server's own source.
struct SecretEntropy(Arc<JetStream>);

impl Entropy for SecretEntropy {
    fn next_u64(&mut self) -> u64 {
        self.0.entropy.lock().next_u64()
    }

    fn fill(&mut self, out: &mut [u8]) {
        self.0.entropy.lock().fill(out);
    }
}
