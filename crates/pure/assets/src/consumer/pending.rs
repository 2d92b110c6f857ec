//! How many messages wait for their first delivery.

use midge_store::stream::{Filter, PendingQuery, Step, Store, StoreError};

/// The number of visible messages that match and lie at or behind the next one to look at. What the list of last messages holds is not in
/// it.
#[derive(Debug)]
pub(super) struct Waiting {
    count: u64,
    /// Messages up to here are in the count.
    through: u64,
    recount: Option<Recount>,
}

/// A count under way: from the next message on, less those that nobody may see yet.
#[derive(Debug)]
struct Recount {
    all: PendingQuery,
    unseen: PendingQuery,
}

impl Waiting {
    /// Nothing is known yet.
    pub(super) fn unknown() -> Waiting {
        Waiting { count: 0, through: 0, recount: None }.renewed()
    }

    fn renewed(mut self) -> Waiting {
        self.forget();
        self
    }

    /// The count is to be made anew.
    pub(super) fn forget(&mut self) {
        let empty = || PendingQuery::new(Filter::all(), 0, false);
        self.recount = Some(Recount { all: empty(), unseen: empty() });
    }

    /// Whether it is known.
    #[inline]
    pub(super) fn is_known(&self) -> bool {
        self.recount.is_none()
    }

    /// The number.
    #[inline]
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Counts, if it is not known. Costs as [`Store::pending`], twice.
    pub(super) fn step(&mut self, filter: &Filter, from: u64, visible: u64, store: &mut Store) -> Step<()> {
        let Some(recount) = &mut self.recount else { return Step::Ready(()) };
        if recount.all.from != from || recount.all.filter != *filter {
            recount.all = PendingQuery::new(filter.clone(), from, false);
        }
        if recount.unseen.from != visible + 1 || recount.unseen.filter != *filter {
            recount.unseen = PendingQuery::new(filter.clone(), visible + 1, false);
        }
        // The tail first: its blocks are in memory, and both answers are of the same moment.
        let unseen = match store.pending(&mut recount.unseen) {
            Step::Ready(pending) => pending.count,
            Step::Wait => return Step::Wait,
            Step::Failed(error) => return Step::Failed(error),
        };
        match store.pending(&mut recount.all) {
            Step::Ready(pending) => {
                let unseen = if from > visible { pending.count } else { unseen };
                (self.count, self.through) = (pending.count.saturating_sub(unseen), visible);
                self.recount = None;
                Step::Ready(())
            }
            Step::Wait => Step::Wait,
            Step::Failed(error) => Step::Failed(error),
        }
    }

    /// A message became visible; `matches` says whether it counts, and is asked only when it may.
    #[inline]
    pub(super) fn stored(&mut self, seq: u64, next: u64, matches: impl FnOnce() -> bool) -> bool {
        if self.recount.is_some() {
            return matches();
        }
        if seq <= self.through {
            return false;
        }
        self.through = seq;
        let counts = seq >= next && matches();
        self.count += u64::from(counts);
        counts
    }

    /// A message was delivered for the first time.
    #[inline]
    pub(super) fn delivered(&mut self, seq: u64) {
        if seq <= self.through {
            self.count = self.count.saturating_sub(1);
        }
    }

    /// The number after a message would be delivered.
    #[inline]
    pub(super) fn after(&self, seq: u64) -> u64 {
        self.count.saturating_sub(u64::from(seq <= self.through))
    }

    /// A message that matches was removed.
    pub(super) fn removed(&mut self, seq: u64, next: u64) {
        if self.recount.is_none() && seq >= next && seq <= self.through {
            self.count = self.count.saturating_sub(1);
        }
    }

    /// There is nothing left.
    #[inline]
    pub(super) fn none(&mut self) {
        self.count = 0;
    }
}

/// Whether a message is gone for good.
pub(super) fn is_gone(error: &StoreError) -> bool {
    matches!(error, StoreError::NotFound | StoreError::Deleted | StoreError::End)
}

/// Whether a message is there, loaded or not.
pub(super) fn is_live(store: &mut Store, seq: u64) -> bool {
    match store.load(seq) {
        Step::Ready(_) | Step::Wait => true,
        Step::Failed(error) => !is_gone(&error),
    }
}
