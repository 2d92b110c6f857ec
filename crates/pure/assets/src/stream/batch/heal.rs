//! What a crash left of an atomic batch.
//!
//! The members of a batch have consecutive sequences and nothing is stored between them; each says its place in the batch, and the last one that it ends it
//! (`Nats-Batch-Commit`). So a stream whose very last sequence holds a member that does not end its batch was cut off in the middle: everything from
//! the first member on is removed, its sequences are given anew. Nobody has seen them, since no member is visible before the last one is durable; and for the same
//! reason nothing can have removed the last member of a complete batch before the others were whole.
//!
//! A power cut may also keep the end of a write and lose its middle. The store tells which sequences it has lost; the rest of a batch that one of them belonged
//! to is removed. None of it was acknowledged.
//!
//! What a message takes with it — a roll-up, or the schedule that a message was published by — goes behind it, and before anything else is stored. So it is the last
//! message, or the last batch, for which that may not have come to its end; it is done again.
//!
//! A stream that is filled from others goes on behind the last message that it has of them, and nobody sends again what is missing before: what follows the
//! first message that a power cut has torn is removed with it, and read once more. Nothing of it was ever on stable storage. A message that was lost
//! otherwise is lost alone.

use std::collections::{BTreeSet, VecDeque};

use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::Now;
use midge_store::stream::{Compact, Filter, PurgeQuery, Step, Store, Truncate};

use crate::stream::headers::{Headers, number};
use crate::stream::rollup::Rollup;

/// Members of a batch that are looked at; longer batches are none of ours.
const MAX_MEMBERS: u64 = 1 << 20;

/// Takes back what is not whole of atomic batches. Run once, when the store was opened and before anything else.
#[derive(Debug, Default)]
pub struct Heal {
    lost: Vec<u64>,
    /// The stream goes on from the first of these that was torn.
    again_from: Option<u64>,
    truncate: Option<Truncate>,
    /// Whether the end was looked at.
    cut: bool,
    strays: Option<VecDeque<u64>>,
    removed: u64,
    /// Messages may take others with them here.
    rolls_up: bool,
    /// Messages are published by others, which then go.
    schedules: bool,
    /// What the last messages take with them; not known before everything else is done.
    taken: Option<Vec<Taken>>,
}

/// What a message takes with it.
#[derive(Debug)]
enum Taken {
    All(Compact),
    Some(PurgeQuery),
}

impl Heal {
    /// For a store that has lost these sequences, ascending, in its last writes.
    pub fn after(lost: Vec<u64>) -> Heal {
        Heal { lost, ..Heal::default() }
    }

    /// For a stream that is filled from others: what follows the sequence that a power cut has torn is read once more.
    pub fn following(self, torn: Option<u64>) -> Heal {
        Heal { again_from: torn, ..self }
    }

    /// Finishes, too, what the last messages were to take with them by the rules of this stream.
    pub fn in_stream(self, config: &StreamConfig) -> Heal {
        let rolls_up = config.allow_rollup_hdrs && !config.deny_purge;
        Heal { rolls_up, schedules: config.allow_msg_schedules, ..self }
    }

    /// Goes on; answers how many messages were removed.
    pub fn step(&mut self, store: &mut Store, now: Now) -> Step<u64> {
        if let Some(torn) = self.again_from {
            let truncate = self.truncate.get_or_insert_with(|| Truncate::new(torn.saturating_sub(1)));
            self.removed += ready!(store.truncate(truncate, now));
            (self.again_from, self.truncate) = (None, None);
        }
        if !self.cut {
            if self.truncate.is_none() {
                self.truncate = ready!(torn(store)).map(Truncate::new);
            }
            if let Some(truncate) = &mut self.truncate {
                self.removed += ready!(store.truncate(truncate, now));
            }
            self.cut = true;
        }
        ready!(self.take_strays(store));
        if self.taken.is_none() {
            self.taken = Some(ready!(taken(store, self.rolls_up, self.schedules)));
        }
        while let Some(next) = self.taken.as_mut().and_then(|all| all.last_mut()) {
            let step = match next {
                Taken::All(query) => store.compact(query),
                Taken::Some(query) => store.purge_matching(query),
            };
            match step {
                Step::Wait => return Step::Wait,
                Step::Ready(gone) => self.removed += gone,
                Step::Failed(_) => {}
            }
            self.taken.as_mut().and_then(Vec::pop);
        }
        Step::Ready(self.removed)
    }

    /// Removes what is left of batches that are not whole.
    fn take_strays(&mut self, store: &mut Store) -> Step<()> {
        if self.strays.is_none() {
            self.strays = Some(ready!(strays(store, &self.lost)));
        }
        while let Some(seq) = self.strays.as_ref().and_then(VecDeque::front).copied() {
            match store.remove(seq, false) {
                Step::Ready(gone) => self.removed += u64::from(gone),
                Step::Wait => return Step::Wait,
                Step::Failed(_) => {}
            }
            self.strays.as_mut().and_then(VecDeque::pop_front);
        }
        Step::Ready(())
    }
}

/// What the last message, or the members of the last batch, take with them.
fn taken(store: &mut Store, rolls_up: bool, schedules: bool) -> Step<Vec<Taken>> {
    let mut taken = Vec::new();
    let mut seq = store.appended();
    for _ in 0..MAX_MEMBERS {
        let message = match store.load(seq) {
            Step::Ready(message) => message,
            Step::Wait => return Step::Wait,
            Step::Failed(_) => break,
        };
        let headers = Headers::read(message.headers());
        let rollup = headers.rollup.filter(|_| rolls_up).and_then(|value| Rollup::parse(value).ok());
        match rollup {
            Some(Rollup::All) => taken.push(Taken::All(Compact::new(seq))),
            Some(Rollup::Subject) => {
                taken.push(Taken::Some(PurgeQuery::new(Filter::one(message.subject()), seq, 0)));
            }
            None => {}
        }
        if let Some(scheduler) =
            headers.scheduler.filter(|_| schedules && headers.schedule_next == Some(b"purge"))
        {
            taken.push(Taken::Some(PurgeQuery::new(Filter::one(scheduler), seq, 0)));
        }
        let place = headers.batch_seq.filter(|_| headers.stream_source.is_none()).and_then(number);
        if place.is_none_or(|place| place <= 1) || seq <= store.state().first_seq {
            break;
        }
        seq -= 1;
    }
    Step::Ready(taken)
}

/// What a member of a batch says of itself.
struct Member {
    id: Vec<u8>,
    place: u64,
    ends: bool,
}

fn member(store: &mut Store, seq: u64) -> Step<Option<Member>> {
    let message = match store.load(seq) {
        Step::Ready(message) => message,
        Step::Wait => return Step::Wait,
        Step::Failed(_) => return Step::Ready(None),
    };
    let headers = Headers::read(message.headers());
    // A copy has the headers of the batch that it was a member of elsewhere; here it came alone.
    if headers.stream_source.is_some() {
        return Step::Ready(None);
    }
    let (Some(id), Some(place)) = (headers.batch_id, headers.batch_seq.and_then(number)) else {
        return Step::Ready(None);
    };
    let ends = headers.batch_commit.is_some();
    Step::Ready(Some(Member { id: id.to_vec(), place, ends }))
}

/// Members of batches of which others were lost: before a gap, those of a batch that does not end there; behind it, those of one that did not begin there.
fn strays(store: &mut Store, lost: &[u64]) -> Step<VecDeque<u64>> {
    let (first, last) = (store.state().first_seq, store.appended());
    let mut found = BTreeSet::new();
    let is_lost = |seq: u64| lost.binary_search(&seq).is_ok();
    for &gap in lost.iter().filter(|gap| **gap > first && **gap < last) {
        let before = gap - 1;
        if !is_lost(before)
            && let Some(end) = ready!(member(store, before)).filter(|member| !member.ends)
        {
            let from = before.saturating_sub(end.place.saturating_sub(1).min(MAX_MEMBERS));
            for seq in from.max(first)..=before {
                if ready!(member(store, seq)).is_some_and(|member| member.id == end.id) {
                    found.insert(seq);
                }
            }
        }
        let behind = gap + 1;
        if !is_lost(behind)
            && let Some(start) = ready!(member(store, behind)).filter(|member| member.place > 1)
        {
            for seq in behind..=last.min(behind + MAX_MEMBERS) {
                let Some(next) = ready!(member(store, seq)).filter(|member| member.id == start.id) else {
                    break;
                };
                found.insert(seq);
                if next.ends {
                    break;
                }
            }
        }
    }
    Step::Ready(found.into_iter().collect())
}

/// The sequence before a torn batch with which the stream ends.
fn torn(store: &mut Store) -> Step<Option<u64>> {
    let last = store.appended();
    if store.state().messages == 0 {
        return Step::Ready(None);
    }
    let Some(end) = ready!(member(store, last)) else { return Step::Ready(None) };
    let (id, place) = (&*end.id, end.place);
    if end.ends || place == 0 || place > MAX_MEMBERS || place > last {
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
