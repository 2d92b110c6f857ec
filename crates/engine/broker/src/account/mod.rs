//! Accounts: isolated subject spaces, each with an index and limits.

mod registry;
mod stamps;
mod watch;

use std::sync::Arc;

use midge_index::sublist::{Matched, Sublist, SublistError};
use midge_sync::atomic::{AtomicU64, Ordering};
use midge_sync::cells::Cells;
use midge_sync::ordlock::RwLock;
use midge_sync::rank;

pub use registry::Accounts;
pub use stamps::{Stamp, Stamps};
pub use watch::Watcher;

use crate::subscription::Subscription;

/// The global account: connections without another one.
pub const GLOBAL: &str = "$G";

/// The system account, unless it is configured under another name.
pub const SYSTEM: &str = "$SYS";

/// The counters of an account.
pub mod counter {
    /// Messages from clients.
    pub const IN_MSGS: usize = 0;
    /// Bytes from clients.
    pub const IN_BYTES: usize = 1;
    /// Messages to clients.
    pub const OUT_MSGS: usize = 2;
    /// Bytes to clients.
    pub const OUT_BYTES: usize = 3;
    /// Slow consumers.
    pub const SLOW_CONSUMERS: usize = 4;
    /// Lookups in the index.
    pub const MATCHES: usize = 5;
    /// Lookups answered by a shard's memory of routes.
    pub const CACHE_HITS: usize = 6;
    /// Subscriptions found, summed over lookups in the index.
    pub const FANOUT: usize = 7;
    /// How many there are.
    pub const LEN: usize = 8;
}

/// What an account allows; −1 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLimits {
    /// Connections of clients.
    pub max_connections: i64,
    /// Subscriptions per connection.
    pub max_subscriptions: i64,
    /// Bytes of header and payload.
    pub max_payload: i64,
}

impl Default for AccountLimits {
    fn default() -> Self {
        AccountLimits { max_connections: -1, max_subscriptions: -1, max_payload: -1 }
    }
}

/// A subject space.
#[derive(Debug)]
pub struct Account {
    /// Tells accounts of one server apart; never reused.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Whether it is the system account.
    pub is_system: bool,
    /// What it allows.
    pub limits: AccountLimits,
    /// Sums of [`counter`].
    pub counters: Cells<{ counter::LEN }>,
    index: RwLock<{ rank::INDEX }, Sublist<Arc<Subscription>>>,
    stamps: Stamps,
    watches: watch::Watches,
    clients: AtomicU64,
    max_fanout: AtomicU64,
}

impl Account {
    /// An account without subscriptions; `shards` is the number of threads that count.
    pub fn new(id: u32, name: &str, is_system: bool, limits: AccountLimits, shards: usize) -> Self {
        Account {
            id,
            name: name.to_owned(),
            is_system,
            limits,
            counters: Cells::new(shards),
            index: RwLock::new(Sublist::new()),
            stamps: Stamps::new(),
            watches: watch::Watches::default(),
            clients: AtomicU64::new(0),
            max_fanout: AtomicU64::new(0),
        }
    }

    /// The state of the index as far as `subject` is concerned: equal stamps mean equal matches.
    #[inline]
    pub fn stamp(&self, subject: &[u8]) -> Stamp {
        self.stamps.of(subject)
    }

    /// Adds a subscription; routes that it changes are forgotten everywhere.
    pub fn insert(&self, subscription: Arc<Subscription>) -> Result<(), SublistError> {
        {
            let mut index = self.index.write();
            index.insert(subscription.clone())?;
            self.stamps.touch(subscription.subject());
        }
        self.watches.changed(subscription.subject());
        Ok(())
    }

    /// Puts subscriptions in the place of others under one lock, so that a message finds the ones or the others, and never both or none. Answers
    /// those that were put in.
    pub fn replace(&self, gone: &[Arc<Subscription>], new: Vec<Arc<Subscription>>) -> Vec<Arc<Subscription>> {
        let mut inserted = Vec::with_capacity(new.len());
        {
            let mut index = self.index.write();
            for subscription in gone {
                if index.remove(subscription).is_ok() {
                    self.stamps.touch(subscription.subject());
                }
            }
            for subscription in new {
                if index.insert(subscription.clone()).is_ok() {
                    self.stamps.touch(subscription.subject());
                    inserted.push(subscription);
                }
            }
        }
        for subscription in gone.iter().chain(&inserted) {
            self.watches.changed(subscription.subject());
        }
        inserted
    }

    /// Removes a subscription; answers whether it was there.
    pub fn remove(&self, subscription: &Arc<Subscription>) -> bool {
        let removed = {
            let mut index = self.index.write();
            let removed = index.remove(subscription).is_ok();
            if removed {
                self.stamps.touch(subscription.subject());
            }
            removed
        };
        if removed {
            self.watches.changed(subscription.subject());
        }
        removed
    }

    /// Removes many subscriptions under one lock; answers how many were there.
    pub fn remove_all<'a>(
        &self,
        subscriptions: impl Iterator<Item = &'a Arc<Subscription>> + Clone,
    ) -> usize {
        let mut removed = 0;
        {
            let mut index = self.index.write();
            for subscription in subscriptions.clone() {
                if index.remove(subscription).is_ok() {
                    self.stamps.touch(subscription.subject());
                    removed += 1;
                }
            }
        }
        for subscription in subscriptions {
            self.watches.changed(subscription.subject());
        }
        removed
    }

    /// Whether somebody listens to a literal subject.
    pub fn has_interest(&self, subject: &[u8]) -> bool {
        let mut matched = Matched::default();
        self.index.read().matching(subject, &mut matched);
        !matched.plain.is_empty() || !matched.queues.is_empty()
    }

    /// Whether somebody subscribed to just this literal subject: plainly, or as a member of the queue group. Whoever watches it by a
    /// wildcard does not count.
    pub fn has_subscriber(&self, subject: &[u8], group: Option<&[u8]>) -> bool {
        let mut matched = Matched::default();
        self.index.read().matching(subject, &mut matched);
        let meant = |s: &Arc<Subscription>| s.subject() == subject && s.queue() == group;
        match group {
            None => matched.plain.iter().any(meant),
            Some(_) => matched.queues.iter().flatten().any(meant),
        }
    }

    /// Whether a message to a literal subject would be taken by somebody.
    pub fn has_takers(&self, subject: &[u8]) -> bool {
        let mut matched = Matched::default();
        self.index.read().matching(subject, &mut matched);
        let takes = |s: &Arc<Subscription>| match &s.target {
            crate::subscription::Target::Peer(_) => true,
            crate::subscription::Target::Internal(service) => service.takes(subject),
        };
        matched.plain.iter().any(takes) || matched.queues.iter().flatten().any(takes)
    }

    /// Tells `watcher` from now on when [`Account::has_subscriber`] may have changed for a literal subject.
    pub fn watch(&self, subject: &[u8], watcher: Arc<dyn Watcher>) {
        self.watches.add(subject, watcher);
    }

    /// Tells it no more.
    pub fn unwatch(&self, subject: &[u8], watcher: &Arc<dyn Watcher>) {
        self.watches.remove(subject, watcher);
    }

    /// What matches a subject, with the stamp under which that holds.
    pub fn matching(&self, subject: &[u8], out: &mut Matched<Arc<Subscription>>) -> Stamp {
        let index = self.index.read();
        let stamp = self.stamps.of(subject);
        index.matching(subject, out);
        stamp
    }

    /// Notes the width of a route for the statistics.
    pub fn saw_fanout(&self, width: u64) {
        if width > self.max_fanout.load(Ordering::Relaxed) {
            self.max_fanout.store(width, Ordering::Relaxed);
        }
    }

    /// The widest route so far.
    pub fn max_fanout(&self) -> u64 {
        self.max_fanout.load(Ordering::Relaxed)
    }

    /// Visits every subscription under the read lock; `visit` must not take a lock of rank 30 or below.
    pub fn for_each_subscription(&self, mut visit: impl FnMut(&Arc<Subscription>)) {
        self.index.read().for_each(|s| visit(s));
    }

    /// Subscriptions held, inserted and removed so far.
    pub fn index_counts(&self) -> (usize, u64, u64) {
        let index = self.index.read();
        let counts = index.counts();
        (index.len(), counts.inserts, counts.removes)
    }

    /// Counts a client in, unless the account is full.
    pub fn join(&self) -> bool {
        let limit = self.limits.max_connections;
        let before = self.clients.fetch_add(1, Ordering::AcqRel);
        if limit >= 0 && before >= limit.unsigned_abs() {
            self.clients.fetch_sub(1, Ordering::AcqRel);
            return false;
        }
        true
    }

    /// Counts a client out.
    pub fn leave(&self) {
        self.clients.fetch_sub(1, Ordering::AcqRel);
    }

    /// Clients bound to the account.
    pub fn clients(&self) -> u64 {
        self.clients.load(Ordering::Acquire)
    }
}
