//! Where a consumer begins.

use midge_jsapi::consumer_config::{ConsumerConfig, DeliverPolicy};
use midge_store::stream::{Filter, LastQuery, NextQuery, Step, Store, TimeQuery};

use super::config;

/// Where a consumer begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// The first sequence to look at.
    pub seq: u64,
    /// Before anything else these sequences are delivered, ascending; after them it goes on behind [`Start::resume`].
    pub skip: Vec<u64>,
    /// The last sequence that `skip` accounts for; 0 without one.
    pub resume: u64,
}

/// The search for it: call [`StartQuery::step`] until it is ready.
#[derive(Clone, Debug)]
pub struct StartQuery {
    policy: DeliverPolicy,
    opt_seq: u64,
    opt_time_ns: i64,
    filter: Filter,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// Known without a search.
    Plain,
    /// The first match from a time on, and what the time alone leads to.
    Time(Option<(NextQuery, u64)>),
    /// The last match, backwards from what counts.
    Last(Option<NextQuery>),
    /// The last match of each subject, up to what counted when the search began.
    Subjects(Option<(LastQuery, u64)>),
}

impl StartQuery {
    /// For a configuration that was checked, on a stream with this limit per subject.
    pub fn new(config: &ConsumerConfig, max_msgs_per_subject: i64) -> StartQuery {
        let filter = config::filter(config);
        let kind = match config.deliver_policy {
            DeliverPolicy::Last if !filter.is_all() => Kind::Last(None),
            DeliverPolicy::ByStartTime => Kind::Time(None),
            // Where every subject has one message, the last ones are all there are.
            DeliverPolicy::LastPerSubject if max_msgs_per_subject != 1 => Kind::Subjects(None),
            _ => Kind::Plain,
        };
        StartQuery {
            policy: config.deliver_policy,
            opt_seq: config.opt_start_seq,
            opt_time_ns: config.opt_start_time.map_or(0, |time| time.0),
            filter,
            kind,
        }
    }

    /// Searches as far as the store can answer; `through` is the last sequence that counts: what was
    /// appended, since whoever stored it and then asks means it, and nothing is delivered before it is visible. O(subjects) for the last per subject.
    pub fn step(&mut self, store: &mut Store, through: u64) -> Step<Start> {
        let mut start = Start::default();
        match &mut self.kind {
            Kind::Time(query) => {
                let (query, from) = match query {
                    Some(query) => query,
                    None => match store.seq_from_time(TimeQuery { from_ns: self.opt_time_ns }) {
                        Step::Ready(from) => {
                            query.insert((NextQuery { filter: self.filter.clone(), from }, from))
                        }
                        Step::Wait => return Step::Wait,
                        Step::Failed(error) => return Step::Failed(error),
                    },
                };
                start.seq = *from;
                if !query.filter.is_all() {
                    match store.next(query) {
                        Step::Ready(message) => start.seq = message.map_or(start.seq, |message| message.seq),
                        Step::Wait => return Step::Wait,
                        Step::Failed(error) => return Step::Failed(error),
                    }
                }
            }
            Kind::Last(query) => {
                let query =
                    query.get_or_insert_with(|| NextQuery { filter: self.filter.clone(), from: through });
                match store.previous(query) {
                    Step::Ready(message) => start.seq = message.map_or(0, |message| message.seq),
                    Step::Wait => return Step::Wait,
                    Step::Failed(error) => return Step::Failed(error),
                }
            }
            Kind::Subjects(_) if through == 0 => start.seq = 1,
            Kind::Subjects(query) => {
                let (query, resume) =
                    query.get_or_insert_with(|| (LastQuery::new(self.filter.clone(), through, 0), through));
                match store.last_seqs(query) {
                    Step::Ready(seqs) => {
                        // Without any, nothing up to here matches.
                        (start.seq, start.resume) = (*resume, *resume);
                        start.seq = seqs.first().copied().unwrap_or(start.seq);
                        start.skip = seqs;
                    }
                    Step::Wait => return Step::Wait,
                    Step::Failed(error) => return Step::Failed(error),
                }
            }
            Kind::Plain => match self.policy {
                DeliverPolicy::Last => start.seq = through,
                DeliverPolicy::New => start.seq = store.state().last_seq.saturating_add(1),
                DeliverPolicy::ByStartSequence => start.seq = self.opt_seq,
                DeliverPolicy::All | DeliverPolicy::LastPerSubject | DeliverPolicy::ByStartTime => {
                    start.seq = store.state().first_seq;
                }
            },
        }
        let state = store.state();
        let keeps_future = self.opt_seq != 0;
        if state.first_seq == 0 && !keeps_future {
            start.seq = 1;
        } else if start.seq > state.last_seq && !keeps_future {
            start.seq = state.last_seq + 1;
        } else if start.seq < state.first_seq {
            start.seq = state.first_seq;
        }
        start.seq = start.seq.max(1);
        Step::Ready(start)
    }
}
