//! What a publisher may demand of the stream before its message is stored.

use midge_jsapi::errors::{self, ApiError};
use midge_store::stream::{Filter, Step, Store};

use super::batch::Overlay;
use super::headers::{Headers, seq_of};
use super::refuse;

/// The last sequence of a subject or filter; 0 for none. O(subjects that match), and a block only where the last message is not known.
pub(super) fn last_of(store: &mut Store, subject: &[u8]) -> Step<u64> {
    let filter = Filter::one(subject);
    let (mut last, mut unknown) = (0, filter.is_all());
    if !unknown {
        store.matching_subjects(&filter, |_, state| match state.last_seq() {
            Some(seq) => last = last.max(seq),
            None => unknown = true,
        });
    }
    if !unknown {
        return Step::Ready(last);
    }
    store.last(&filter).map(|message| message.map_or(0, |message| message.seq))
}

/// `Nats-Expected-Last-Subject-Sequence` and its subject.
pub(super) fn subject_sequence(
    store: &mut Store,
    headers: &Headers<'_>,
    subject: &[u8],
    batch: Option<&Overlay>,
) -> Step<Result<(), ApiError>> {
    let Some(expected) = headers.expected_subject_seq.filter(|seq| !seq.is_empty()) else {
        let alone = headers.expected_subject.is_some();
        return Step::Ready(if alone {
            Err(errors::STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID.into())
        } else {
            Ok(())
        });
    };
    let filter = headers.expected_subject.filter(|filter| !filter.is_empty()).unwrap_or(subject);
    if batch.is_some_and(|batch| batch.wrote(filter)) {
        return Step::Ready(Err(errors::STREAM_WRONG_LAST_SEQUENCE_UNNUMBERED.into()));
    }
    let last = ready!(last_of(store, filter));
    let met = seq_of(expected) == last;
    Step::Ready(if met { Ok(()) } else { Err(refuse::wrong_last_sequence(last)) })
}

/// `Nats-Expected-Last-Sequence`.
pub(super) fn sequence(
    store: &Store,
    headers: &Headers<'_>,
    batch: Option<&Overlay>,
) -> Result<(), ApiError> {
    let Some(expected) = headers.expected_last_seq.filter(|seq| !seq.is_empty()) else { return Ok(()) };
    let before = batch.map_or(0, Overlay::messages);
    let last = store.appended() + before;
    match seq_of(expected) == last {
        false => Err(refuse::wrong_last_sequence(last)),
        // Only the first member of a batch can know what comes before it.
        true if before > 0 => Err(errors::STREAM_WRONG_LAST_SEQUENCE_UNNUMBERED.into()),
        true => Ok(()),
    }
}
