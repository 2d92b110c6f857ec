//! The part of an account that JetStream knows: its streams, its limits, what it uses.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_broker::account::Account;
use midge_jsapi::account::AccountLimits;
use midge_jsapi::stream_config::{Storage, StreamConfig};
use midge_stdx::clock::Wall;
use midge_sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use midge_sync::ordlock::{Mutex, RwLock};
use midge_sync::rank;

use crate::host::Inbox;
use crate::registry::{Promised, Registry};

/// Bytes in use, by storage; written by hosts, read by everybody.
#[derive(Debug, Default)]
pub struct Usage {
    memory: AtomicI64,
    store: AtomicI64,
}

impl Usage {
    /// Bytes of this storage.
    pub fn of(&self, storage: Storage) -> i64 {
        self.cell(storage).load(Ordering::Relaxed).max(0)
    }

    /// Adds, or takes away, bytes.
    pub fn add(&self, storage: Storage, bytes: i64) {
        self.cell(storage).fetch_add(bytes, Ordering::Relaxed);
    }

    fn cell(&self, storage: Storage) -> &AtomicI64 {
        match storage {
            Storage::Memory => &self.memory,
            Storage::File => &self.store,
        }
    }
}

/// Requests of the API.
#[derive(Debug, Default)]
pub struct ApiCounts {
    /// Answered.
    pub total: AtomicU64,
    /// Answered with an error.
    pub errors: AtomicU64,
}

/// What others may read of a stream at any time.
#[derive(Debug, Default)]
pub struct Vitals {
    /// Live messages.
    pub messages: AtomicU64,
    /// Bytes of live messages.
    pub bytes: AtomicU64,
    /// The first live sequence.
    pub first_seq: AtomicU64,
    /// The last sequence that is shown.
    pub last_seq: AtomicU64,
    /// Consumers.
    pub consumers: AtomicU64,
    /// Appends are refused, or the stream has stopped.
    pub failed: AtomicBool,
    /// Why.
    pub failure: Mutex<{ rank::LEAF }, String>,
}

/// How far the life of a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its store is being created or opened.
    Opening,
    /// It is served.
    Running,
    /// It is known and cannot be served: [`StreamHandle::offline`] says why.
    Offline,
    /// It is being deleted.
    Deleting,
}

/// Why a stream cannot be served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offline {
    /// What is told.
    pub(crate) why: String,
    /// Its configuration is lost: it can be made again.
    pub(crate) unconfigured: bool,
    /// Consumers that cannot be served, and why.
    pub(crate) consumers: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Facts {
    config: Arc<StreamConfig>,
    phase: Phase,
    offline: Offline,
}

/// A stream, as everybody but its host sees it.
pub struct StreamHandle {
    /// Its name.
    pub name: Arc<str>,
    /// When it was created.
    pub created: Wall,
    /// Where its host gets its inputs.
    pub(crate) inbox: Arc<Inbox>,
    /// Figures.
    pub vitals: Vitals,
    facts: Mutex<{ rank::LEAF }, Facts>,
}

impl StreamHandle {
    pub(crate) fn new(
        name: Arc<str>,
        created: Wall,
        config: Arc<StreamConfig>,
        inbox: Arc<Inbox>,
        phase: Phase,
    ) -> StreamHandle {
        let facts = Mutex::new(Facts { config, phase, offline: Offline::default() });
        StreamHandle { name, created, inbox, vitals: Vitals::default(), facts }
    }

    /// The configuration, as last accepted.
    pub fn config(&self) -> Arc<StreamConfig> {
        self.facts.lock().config.clone()
    }

    pub(crate) fn set_config(&self, config: Arc<StreamConfig>) {
        self.facts.lock().config = config;
    }

    /// How far its life is.
    pub fn phase(&self) -> Phase {
        self.facts.lock().phase
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.facts.lock().phase = phase;
    }

    /// Why it cannot be served, if so.
    pub fn offline(&self) -> Option<String> {
        let facts = self.facts.lock();
        (facts.phase == Phase::Offline).then(|| facts.offline.why.clone())
    }

    /// Its consumers that cannot be served, and why.
    pub(crate) fn offline_consumers(&self) -> BTreeMap<String, String> {
        self.facts.lock().offline.consumers.clone()
    }

    /// Nothing says what it was: it may be made again over what there is.
    pub(crate) fn is_unconfigured(&self) -> bool {
        let facts = self.facts.lock();
        facts.phase == Phase::Offline && facts.offline.unconfigured
    }

    pub(crate) fn set_offline(&self, offline: Offline) {
        let mut facts = self.facts.lock();
        (facts.phase, facts.offline) = (Phase::Offline, offline);
    }
}

impl std::fmt::Debug for StreamHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamHandle").field("name", &self.name).finish_non_exhaustive()
    }
}

/// An account with JetStream.
pub struct JsAccount {
    /// The account.
    pub account: Arc<Account>,
    /// What it may use.
    pub limits: AccountLimits,
    /// What it uses.
    pub usage: Usage,
    /// Its requests.
    pub api: ApiCounts,
    streams: RwLock<{ rank::REGISTRY }, Registry>,
}

impl JsAccount {
    /// An account without streams.
    pub fn new(account: Arc<Account>, limits: AccountLimits) -> JsAccount {
        JsAccount {
            account,
            limits,
            usage: Usage::default(),
            api: ApiCounts::default(),
            streams: RwLock::new(Registry::default()),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.account.name
    }

    /// A stream by its name.
    pub fn stream(&self, name: &str) -> Option<Arc<StreamHandle>> {
        self.streams.read().get(name).cloned()
    }

    /// All streams, by name, those that are being deleted excepted.
    pub fn streams(&self) -> Vec<Arc<StreamHandle>> {
        let all = self.all_streams();
        all.into_iter().filter(|stream| stream.phase() != Phase::Deleting).collect()
    }

    /// All streams, also those that are being deleted.
    pub(crate) fn all_streams(&self) -> Vec<Arc<StreamHandle>> {
        self.streams.read().all().cloned().collect()
    }

    pub(crate) fn insert(&self, stream: Arc<StreamHandle>) {
        self.streams.write().insert(stream);
    }

    /// A stream has another configuration.
    pub(crate) fn configure(&self, stream: &StreamHandle, config: Arc<StreamConfig>) {
        self.streams.write().configure(&stream.name, config.clone());
        stream.set_config(config);
    }

    /// A stream is being deleted: nothing is compared with it any more.
    pub(crate) fn delete(&self, stream: &StreamHandle) {
        stream.set_phase(Phase::Deleting);
        self.streams.write().delete(&stream.name);
    }

    /// The configuration of a stream that is not being deleted.
    pub(crate) fn config(&self, name: &str) -> Option<Arc<StreamConfig>> {
        self.streams.read().counted(name).cloned()
    }

    /// Whether there is a stream of this name of which nothing says what it was.
    pub(crate) fn is_unconfigured(&self, name: &str) -> bool {
        self.stream(name).is_some_and(|stream| stream.is_unconfigured())
    }

    /// Whether a stream but the one of this name has a subject that overlaps.
    pub(crate) fn others_overlap(&self, name: &str, subject: &str) -> bool {
        self.streams.read().others_overlap(name, subject)
    }

    /// Streams but the one of this name, and what those of this storage are promised.
    pub(crate) fn others(&self, name: &str, storage: Storage) -> (usize, Promised) {
        let streams = self.streams.read();
        let promised = streams.promised(storage);
        match streams.counted(name) {
            None => (streams.len(), promised),
            Some(own) if own.storage == storage => (streams.len() - 1, promised.without(own)),
            Some(_) => (streams.len() - 1, promised),
        }
    }

    /// Forgets all streams.
    pub(crate) fn clear(&self) {
        let streams = std::mem::take(&mut *self.streams.write());
        drop(streams);
    }

    pub(crate) fn remove(&self, name: &str) -> Option<Arc<StreamHandle>> {
        self.streams.write().remove(name)
    }

    /// Bytes that streams of this storage have reserved with `max_bytes`.
    pub fn reserved(&self, storage: Storage) -> i64 {
        self.streams.read().promised(storage).bytes()
    }

    /// Consumers of all its streams.
    pub fn consumers(&self) -> u64 {
        self.streams().iter().map(|stream| stream.vitals.consumers.load(Ordering::Relaxed)).sum()
    }
}

impl std::fmt::Debug for JsAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsAccount").field("name", &self.account.name).finish_non_exhaustive()
    }
}
