//! What is told about the messages of a stream.

use midge_jsapi::info::{LostStreamData, StreamState};
use midge_stdx::clock::Wall;
use midge_store::stream::{Filter, PendingQuery, Step, Store};

/// Subjects of one page.
pub const SUBJECTS_PER_PAGE: usize = 100_000;
/// Deleted sequences that are listed at most.
pub const MAX_DELETED: usize = 10_000_000;

/// A page of the subjects of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectPage {
    /// Subjects that match.
    pub total: usize,
    /// How many were passed over; the request's, but not below 0.
    pub offset: usize,
    /// Subjects of a page at most.
    pub limit: usize,
    /// Subjects with their messages, in order.
    pub subjects: Vec<(String, u64)>,
}

/// The state of a stream as far as it is `visible`; only bytes and subjects are those of everything that was appended.
pub fn state(store: &mut Store, visible: u64, consumers: usize) -> Step<StreamState> {
    let first_ns = ready!(store.first_ts_ns());
    let totals = *store.state();
    let lost = store.lost();
    let lost = (!lost.seqs.is_empty() || lost.bytes > 0)
        .then(|| LostStreamData { msgs: lost.seqs.clone(), bytes: lost.bytes });
    let shown = totals.last_seq.min(visible);
    // A store that was closed by a stop counts nothing any more, and is told of when all is durable.
    let hidden = match shown == totals.last_seq {
        true => 0,
        false => ready!(store.pending(&mut PendingQuery::new(Filter::all(), shown + 1, false))).count,
    };
    let last_ts = ready!(last_time(store, shown, totals.last_seq, totals.last_ts_ns));
    Step::Ready(StreamState {
        messages: totals.messages.saturating_sub(hidden),
        bytes: totals.bytes,
        first_seq: totals.first_seq.min(shown + 1),
        first_ts: (first_ns != 0).then_some(Wall(first_ns)),
        last_seq: shown,
        last_ts,
        num_subjects: count(store.subjects() as u64),
        num_deleted: count(store.deleted()),
        lost,
        consumer_count: count(consumers as u64),
        ..StreamState::default()
    })
}

/// The time of the last sequence that is shown.
fn last_time(store: &mut Store, shown: u64, last_seq: u64, last_ns: i64) -> Step<Option<Wall>> {
    if shown == last_seq {
        return Step::Ready((last_ns != 0).then_some(Wall(last_ns)));
    }
    match store.load(shown) {
        Step::Wait => Step::Wait,
        Step::Ready(message) => Step::Ready(Some(Wall(message.ts_ns))),
        Step::Failed(_) => Step::Ready((last_ns != 0).then_some(Wall(last_ns))),
    }
}

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The subjects that match a filter, `offset` of them passed over. O(subjects that match), but only a page of them is copied.
pub fn subjects(store: &Store, filter: &Filter, offset: i64) -> SubjectPage {
    let offset = usize::try_from(offset).unwrap_or(0);
    let mut page = SubjectPage { total: 0, offset, limit: SUBJECTS_PER_PAGE, subjects: Vec::new() };
    store.matching_subjects(filter, |subject, state| {
        let at = page.total;
        page.total += 1;
        if at >= offset && page.subjects.len() < SUBJECTS_PER_PAGE {
            page.subjects.push((String::from_utf8_lossy(subject).into_owned(), state.total()));
        }
    });
    page
}

/// The deleted sequences between the first and the last, ascending, as far as a list may go. A cursor: it looks at some thousand messages at a time.
#[derive(Debug, Default)]
pub struct Deleted {
    next: u64,
    found: Vec<u64>,
}

impl Deleted {
    /// Goes on; answers the list when it is complete.
    pub fn step(&mut self, store: &mut Store, visible: u64) -> Step<Option<Vec<u64>>> {
        let state = *store.state();
        let last = state.last_seq.min(visible);
        self.next = self.next.max(state.first_seq);
        let mut query = midge_store::stream::NextQuery { filter: Filter::all(), from: self.next };
        for _ in 0..4096 {
            if self.next > last || self.found.len() >= MAX_DELETED {
                return Step::Ready(Some(std::mem::take(&mut self.found)));
            }
            query.from = self.next;
            let live = ready!(store.next(&mut query)).map_or(last + 1, |message| message.seq.min(last + 1));
            let room = MAX_DELETED - self.found.len();
            self.found.extend((self.next..live).take(room));
            self.next = live + 1;
        }
        Step::Ready(None)
    }
}
