//! What a crash left of an atomic batch.
//!
//! The members of a batch have consecutive sequences and nothing is stored between them; each says its place in the batch, and the last one that it ends it
//! (`Nats-Batch-Commit`). So a stream whose very last sequence holds a member that does not end its batch was cut off in the middle: everything from
//! the first member on is removed, its sequences are given anew. Nobody has seen them, since no member is visible before the last one is durable; and for the same
//! reason nothing can have removed the last member of a complete batch before the others were whole.

use midge_stdx::clock::Now;
use midge_store::stream::{Step, Store, Truncate};

use crate::stream::headers::{Headers, number};

/// Members of a batch that are looked at; longer batches are none of ours.
const MAX_MEMBERS: u64 = 1 << 20;

/// Takes back the part of an atomic batch with which the stream ends. Run once, when the store was opened and before anything else.
#[derive(Debug, Default)]
pub struct Heal {
    truncate: Option<Truncate>,
}

impl Heal {
    /// Goes on; answers how many messages were removed.
    pub fn step(&mut self, store: &mut Store, now: Now) -> Step<u64> {
        if self.truncate.is_none() {
            match ready!(torn(store)) {
                Some(keep) => self.truncate = Some(Truncate::new(keep)),
                None => return Step::Ready(0),
            }
        }
        match &mut self.truncate {
            Some(truncate) => store.truncate(truncate, now),
            None => Step::Ready(0),
        }
    }
}

/// The sequence before a torn batch with which the stream ends.
fn torn(store: &mut Store) -> Step<Option<u64>> {
    let last = store.appended();
    if store.state().messages == 0 {
        return Step::Ready(None);
    }
    let message = match store.load(last) {
        Step::Ready(message) => message,
        Step::Wait => return Step::Wait,
        // Deleted, or nothing there: no batch ends here.
        Step::Failed(_) => return Step::Ready(None),
    };
    let headers = Headers::read(message.headers());
    let (Some(id), Some(place)) = (headers.batch_id, headers.batch_seq.and_then(number)) else {
        return Step::Ready(None);
    };
    if headers.batch_commit.is_some() || place == 0 || place > MAX_MEMBERS || place > last {
        return Step::Ready(None);
    }
    // The members before are of the same batch, as far as limits have left them there.
    for seq in (last - place + 1..last).rev() {
        match store.load(seq) {
            Step::Wait => return Step::Wait,
            Step::Failed(_) => {}
            Step::Ready(earlier) => {
                let read = Headers::read(earlier.headers());
                if read.batch_id != Some(id) || read.batch_commit.is_some() {
                    return Step::Ready(None);
                }
            }
        }
    }
    Step::Ready(Some(last - place))
}
