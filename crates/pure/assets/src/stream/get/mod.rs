//! Messages for those who ask for them.
//!
//! What others see is what is durable. A message that was appended and is not durable makes the question wait ([`Got::Later`]) instead of being passed over: what it
//! replaced may be gone already.

pub mod direct;

use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::requests::MsgGet;
use midge_store::stream::{Filter, Message, NextQuery, Step, Store, TimeQuery};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// The message.
    Message(Message),
    /// It is not durable: ask again when everything up to this sequence is visible.
    Later(u64),
    /// There is none.
    NotFound,
}

/// Which single message is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// That of a sequence.
    At(u64),
    /// The last of a subject, with or without wildcards.
    Last(Filter),
    /// The first that is meant, from a sequence on.
    Next(NextQuery),
    /// The first that is meant, of that time or later.
    Since {
        /// Which are meant.
        filter: Filter,
        /// Unix nanoseconds.
        from_ns: i64,
        /// Deleted messages are passed over.
        searched: Option<NextQuery>,
    },
}

impl Which {
    /// Reads a request for one message.
    ///
    /// # Errors
    /// 10003: the request says too little, or what contradicts itself, or asks for several.
    pub fn of(request: &MsgGet) -> Result<Which, ApiError> {
        if request.batch != 0 || request.max_bytes != 0 || has_several(request) {
            return Err(errors::BAD_REQUEST.into());
        }
        Which::single(request).ok_or_else(|| errors::BAD_REQUEST.into())
    }

    /// What a request says without regard to batches.
    pub(super) fn single(request: &MsgGet) -> Option<Which> {
        let (last, next) = (!request.last_by_subj.is_empty(), !request.next_by_subj.is_empty());
        let timed = request.start_time.is_some();
        let nothing = request.seq == 0 && !last && !next && !timed;
        if nothing || (request.seq > 0 && (last || timed)) || (last && (timed || next)) {
            return None;
        }
        let filter = || Filter::one(request.next_by_subj.as_bytes());
        Some(match request.start_time {
            _ if last => Which::Last(Filter::one(request.last_by_subj.as_bytes())),
            Some(time) => Which::Since { filter: filter(), from_ns: time.0, searched: None },
            None if next => Which::Next(NextQuery { filter: filter(), from: request.seq.max(1) }),
            None => Which::At(request.seq),
        })
    }

    /// Looks for the message. `visible` is the highest sequence that others may see.
    pub fn find(&mut self, store: &mut Store, visible: u64) -> Step<Got> {
        let found = match self {
            Which::At(seq) if *seq > store.appended() || *seq == 0 => None,
            Which::At(seq) => match store.load(*seq) {
                Step::Wait => return Step::Wait,
                Step::Ready(message) => Some(message),
                Step::Failed(error) if is_absence(&error) => None,
                Step::Failed(error) => return Step::Failed(error),
            },
            Which::Last(filter) => ready!(store.last(filter)),
            Which::Next(query) => ready!(store.next(query)),
            Which::Since { filter, from_ns, searched } => {
                let query = match searched {
                    Some(query) => query,
                    None => {
                        let from = ready!(store.seq_from_time(TimeQuery { from_ns: *from_ns }));
                        searched.insert(NextQuery { filter: filter.clone(), from })
                    }
                };
                ready!(store.next(query))
            }
        };
        Step::Ready(match found {
            None => Got::NotFound,
            Some(message) if message.seq > visible => Got::Later(message.seq),
            Some(message) => Got::Message(message),
        })
    }
}

/// The last messages of several subjects are wanted.
pub(super) fn has_several(request: &MsgGet) -> bool {
    !request.multi_last.is_empty() || request.up_to_seq > 0 || request.up_to_time.is_some()
}

/// Nothing is there, and nothing is wrong.
pub(super) fn is_absence(error: &midge_store::stream::StoreError) -> bool {
    use midge_store::stream::StoreError;
    matches!(error, StoreError::NotFound | StoreError::End | StoreError::Deleted)
}
