//! Messages that nobody needs any more: of streams with retention by interest, and of work queues.

use midge_store::stream::{Filter, NextQuery, Step, Store};

/// Messages above which only the front of a stream is looked at.
const MAX_CHECKED: u64 = 100_000;
/// Messages that one step looks at.
const BUDGET: usize = 4096;

/// The consumers of a stream.
pub trait Consumers {
    /// Some consumer still needs the message: its filter matches, and it was neither acknowledged nor is it below where that consumer begins; or it was delivered as
    /// often as is permitted, and is kept for that.
    fn need(&self, seq: u64, subject: &[u8]) -> bool;
}

/// Removes a message that was acknowledged, if nobody else needs it; answers whether it was removed.
pub fn acknowledged(consumers: &dyn Consumers, store: &mut Store, seq: u64) -> Step<bool> {
    let message = match store.load(seq) {
        Step::Ready(message) => message,
        Step::Wait => return Step::Wait,
        Step::Failed(error) if super::get::is_absence(&error) => return Step::Ready(false),
        Step::Failed(error) => return Step::Failed(error),
    };
    if consumers.need(seq, message.subject()) { Step::Ready(false) } else { taken(store, seq) }
}

/// Removes a message of a work queue that whoever it was given to has done; answers whether it was there.
pub fn taken(store: &mut Store, seq: u64) -> Step<bool> {
    match store.remove(seq, false) {
        Step::Failed(error) if super::get::is_absence(&error) => Step::Ready(false),
        step => step,
    }
}

/// Looks for messages that nobody needs: after a start, when a consumer went or changed what it wants, or when a stream began to go by interest. In a long stream it ends with
/// the first message that is needed.
#[derive(Debug)]
pub struct Recheck {
    next: NextQuery,
    last: u64,
    front_only: Option<bool>,
    removed: u64,
}

impl Default for Recheck {
    fn default() -> Recheck {
        Recheck::new(Filter::all())
    }
}

impl Recheck {
    /// Of the messages that `filter` means.
    pub fn new(filter: Filter) -> Recheck {
        Recheck { next: NextQuery { filter, from: 0 }, last: 0, front_only: None, removed: 0 }
    }

    /// Goes on; answers how many messages were removed when it is done. Only for retention by interest.
    pub fn step(&mut self, consumers: &dyn Consumers, store: &mut Store) -> Step<Option<u64>> {
        let front_only = match self.front_only {
            Some(front_only) => front_only,
            None => {
                self.last = store.appended();
                *self.front_only.insert(store.state().messages > MAX_CHECKED)
            }
        };
        for _ in 0..BUDGET {
            let message = match ready!(store.next(&mut self.next)) {
                Some(message) if message.seq <= self.last => message,
                _ => return Step::Ready(Some(self.removed)),
            };
            if consumers.need(message.seq, message.subject()) {
                if front_only {
                    return Step::Ready(Some(self.removed));
                }
            } else {
                self.removed += u64::from(ready!(store.remove(message.seq, false)));
            }
            self.next.from = message.seq + 1;
        }
        Step::Ready(None)
    }
}
