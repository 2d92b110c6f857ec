//! One stream: what it stores, refuses, replaces and forgets.
//!
//! ```text
//!   Incoming ──▶ Stream::publish ──▶ Verdict            the host acknowledges it when its sequence is durable
//!                    │      └──────▶ Outbox             copies, answers to batches, advisories
//!                    ▼
//!       headers → transform → batch? → checks → store ──▶ chores (rollup, purged schedules)
//!
//!   Stream::settle   does the chores, which may wait for blocks; publish does them first
//!   Stream::expire   ages, lifetimes, markers, schedules, idle batches; answers when to come again
//! ```
//!
//! A stream owns no messages: the caller hands in the [`Store`] with every call. What may need a block answers [`Step`] and is called again with the same
//! arguments after the store took the block; nothing has changed in between. Decisions use everything that was appended; what others see is what is durable, and never
//! a part of an atomic batch: see [`Stream::visible`].
//!
//! Not here: consumers, subscriptions, who may call what, when the disk is driven.

/// Goes on with the answer of a [`Step`], or waits.
macro_rules! ready {
    ($step:expr) => {
        match $step {
            ::midge_store::stream::Step::Ready(answer) => answer,
            ::midge_store::stream::Step::Wait => return ::midge_store::stream::Step::Wait,
            ::midge_store::stream::Step::Failed(error) => return ::midge_store::stream::Step::Failed(error),
        }
    };
}

pub mod backup;
pub mod batch;
pub mod config;
mod counter;
pub mod decimal;
pub mod dedupe;
mod expect;
mod expire;
pub mod follow;
pub mod get;
pub mod headers;
pub mod info;
mod ingest;
pub mod interest;
pub mod publish;
pub mod purge;
mod refuse;
pub mod republish;
mod rollup;
pub mod schedule;
mod ttl;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Entropy;
use midge_store::stream::{Compact, Expired, Filter, PurgeQuery, Step, Store};
use midge_subject::transform::Transform;

pub use batch::heal::Heal;
pub use publish::{Cx, Incoming, Limits, Origin, Outbox, Verdict};
pub use ttl::Ttl;

use batch::atomic::Atomic;
use batch::fast::Fast;
use dedupe::{Dedupe, Rebuild};
use headers::Headers;
use republish::Republish;
use schedule::Schedules;

/// Work that follows a message that was stored, and may need blocks.
#[derive(Debug)]
enum Chore {
    /// Messages that are replaced.
    Purge(PurgeQuery),
    /// Everything before a message.
    Compact(Compact),
    /// A message that nobody wants.
    Remove(u64),
}

/// See the module.
pub struct Stream {
    config: StreamConfig,
    created: Wall,
    transform: Option<Transform>,
    republish: Option<Republish>,
    dedupe: Dedupe,
    /// Ids of stored messages are still being gathered.
    recall: Option<Rebuild>,
    /// The id of the last message; empty when it has none.
    last_id: Vec<u8>,
    chores: VecDeque<Chore>,
    atomic: Atomic,
    fast: Fast,
    schedules: Schedules,
    /// Messages that expired and are not dealt with.
    expired: VecDeque<Expired>,
    /// First and last sequences of atomic batches that may not be durable.
    unsettled: VecDeque<(u64, u64)>,
    scratch: Scratch,
}

/// Memory that is used again.
#[derive(Default)]
struct Scratch {
    cleaned: Vec<u8>,
    subject: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

impl Stream {
    /// A stream with a configuration that was checked, created at a time.
    pub fn new(config: StreamConfig, created: Wall, entropy: &mut dyn Entropy) -> Stream {
        let mut stream = Stream {
            dedupe: Dedupe::new(config.duplicate_window_ns, entropy),
            recall: None,
            created,
            transform: None,
            republish: None,
            last_id: Vec::new(),
            chores: VecDeque::new(),
            atomic: Atomic::default(),
            fast: Fast::default(),
            schedules: Schedules::default(),
            expired: VecDeque::new(),
            unsettled: VecDeque::new(),
            scratch: Scratch::default(),
            config: StreamConfig::default(),
        };
        stream.reconfigure(config);
        stream
    }

    /// Takes over a configuration that was checked. The store is configured by the caller, with [`config::store_config`].
    pub fn reconfigure(&mut self, config: StreamConfig) {
        self.dedupe.set_window(if config.mirror.is_some() { 0 } else { config.duplicate_window_ns });
        let transform = config.subject_transform.as_ref();
        // A checked configuration has no transform that cannot be made.
        self.transform =
            transform.and_then(|t| Transform::optional(t.src.as_bytes(), t.dest.as_bytes()).ok().flatten());
        self.republish = config.republish.as_ref().and_then(|r| Republish::new(r).ok().flatten());
        if !config.allow_atomic {
            self.atomic.clear();
        }
        if !config.allow_batched {
            self.fast.clear();
        }
        if !config.allow_msg_schedules {
            self.schedules = Schedules::default();
        }
        self.config = config;
    }

    /// The configuration.
    pub fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// When the stream was created.
    pub fn created(&self) -> Wall {
        self.created
    }

    /// The ids that were stored lately. [`Stream::recall`] fills it after a start.
    pub fn dedupe(&mut self) -> &mut Dedupe {
        &mut self.dedupe
    }

    /// Ids of stored messages are to be gathered, after a start. Until that is done, a message with an id waits; others do not.
    pub fn begin_recall(&mut self, now: Wall) {
        self.recall = Some(Rebuild::new(&self.dedupe, now.0));
    }

    /// Gathers ids for a while; answers whether that is done.
    pub fn recall(&mut self, store: &mut Store) -> Step<bool> {
        let Some(rebuild) = &mut self.recall else { return Step::Ready(true) };
        if !ready!(rebuild.step(&mut self.dedupe, store)) {
            return Step::Ready(false);
        }
        self.recall = None;
        Step::Ready(true)
    }

    /// The same until it is done, if this message has an id. What cannot be read is no reason to refuse it.
    fn recall_for(&mut self, store: &mut Store, headers: &[u8]) -> Step<()> {
        while self.recall.is_some() && Headers::read(headers).msg_id.is_some() {
            match self.recall(store) {
                Step::Wait => return Step::Wait,
                Step::Ready(_) => {}
                Step::Failed(_) => self.recall = None,
            }
        }
        Step::Ready(())
    }

    /// The schedules. They are filled after a start with what opening the store found.
    pub fn schedules(&mut self) -> &mut Schedules {
        &mut self.schedules
    }

    /// Open atomic and open fast batches.
    pub fn open_batches(&self) -> (usize, usize) {
        (self.atomic.len(), self.fast.len())
    }

    /// Finds out the id of the last message, after a start. Call until ready, with the rebuild of ids.
    pub fn recall_last_id(&mut self, store: &mut Store) -> Step<()> {
        let last = ready!(store.last(&Filter::all()));
        self.last_id.clear();
        if let Some(message) = last
            && let Some(id) = Headers::read(message.headers()).msg_id
        {
            self.last_id.extend_from_slice(id);
        }
        Step::Ready(())
    }

    /// The highest sequence that others may see, given the durable one: that, but no part of an atomic batch.
    pub fn visible(&mut self, durable: u64) -> u64 {
        while let Some((_, last)) = self.unsettled.front()
            && *last <= durable
        {
            self.unsettled.pop_front();
        }
        match self.unsettled.front() {
            Some((first, _)) => durable.min(first - 1),
            None => durable,
        }
    }

    /// Whether nothing has to be done before the next publish.
    pub fn is_settled(&self) -> bool {
        self.chores.is_empty()
    }

    /// Does the chores. [`Stream::publish`] does them first; whoever purges or deletes has to as well.
    pub fn settle(&mut self, store: &mut Store) -> Step<()> {
        while let Some(chore) = self.chores.front_mut() {
            let step = match chore {
                Chore::Purge(query) => store.purge_matching(query).map(|_| ()),
                Chore::Compact(query) => store.compact(query).map(|_| ()),
                Chore::Remove(seq) => store.remove(*seq, false).map(|_| ()),
            };
            match step {
                Step::Wait => return Step::Wait,
                // A message that is gone already, or a store that takes nothing any more: what remains is not worth repeating.
                Step::Ready(()) | Step::Failed(_) => self.chores.pop_front(),
            };
        }
        Step::Ready(())
    }

    /// When [`Stream::expire`] has to be called for the sake of batches.
    pub fn deadline(&self) -> Option<Mono> {
        [self.atomic.deadline(), self.fast.deadline()].into_iter().flatten().min()
    }

    /// Gives up batches to which nothing came for too long.
    pub fn expire_batches(&mut self, now: Now, outbox: &mut Outbox) {
        self.atomic.expire(now, &mut outbox.abandoned);
        self.fast.expire(now, &mut outbox.abandoned);
    }
}
