//! Changes of a consumer's state as bytes, for the journal and for what replicas tell each other.
//!
//! ```text
//!  u8 kind │ numbers of that kind, uv (times sv) │ next delta …
//!  1 starting: stream      2 raise starting: stream      3 reset: stream
//!  4 delivered: consumer, stream, deliveries, time in nanoseconds
//!  5 acked: consumer, stream      6 forget redelivered: below      7 replaced: length, state as in o.dat with whole times
//! ```

use midge_codec::cursor::{Cursor, CursorError};
use midge_codec::varint::{put_bytes, put_sv, put_uv};

use crate::format::consumer_state::{ConsumerState, Pending, SequencePair};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// The consumer starts after this message of the stream.
    Starting {
        /// The message.
        stream_seq: u64,
    },
    /// The start moves up.
    RaiseStarting {
        /// The message.
        stream_seq: u64,
    },
    /// Everything is forgotten, and the consumer starts after this message.
    Reset {
        /// The message.
        stream_seq: u64,
    },
    /// A message was delivered.
    Delivered {
        /// The delivery and the message.
        sequences: SequencePair,
        /// How many times this message was delivered by now, at least 1.
        deliveries: u64,
        /// When, Unix time in nanoseconds.
        at_ns: i64,
    },
    /// A message, and with some policies everything before it, was acknowledged.
    Acked {
        /// The delivery and the message.
        sequences: SequencePair,
    },
    /// Redeliveries of messages that are gone.
    ForgetRedelivered {
        /// The first message that is kept.
        below: u64,
    },
    /// Another state takes the place of this one.
    Replaced {
        /// The other state.
        state: ConsumerState,
    },
}

/// Why bytes are no deltas.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// A kind that nobody writes.
    #[error("no change of a consumer has kind {kind} (offset {at})")]
    Kind {
        /// The kind.
        kind: u8,
        /// Where it stands.
        at: usize,
    },
    /// Cut, or a number that is none.
    #[error(transparent)]
    Malformed(#[from] CursorError),
}

/// Appends a delta.
pub fn encode(delta: &Delta, out: &mut Vec<u8>) {
    let mut numbers = |kind: u8, numbers: &[u64]| {
        out.push(kind);
        numbers.iter().for_each(|number| put_uv(out, *number));
    };
    match delta {
        Delta::Starting { stream_seq } => numbers(1, &[*stream_seq]),
        Delta::RaiseStarting { stream_seq } => numbers(2, &[*stream_seq]),
        Delta::Reset { stream_seq } => numbers(3, &[*stream_seq]),
        Delta::Delivered { sequences, deliveries, at_ns } => {
            numbers(4, &[sequences.consumer_seq, sequences.stream_seq, *deliveries]);
            put_sv(out, *at_ns);
        }
        Delta::Acked { sequences } => numbers(5, &[sequences.consumer_seq, sequences.stream_seq]),
        Delta::ForgetRedelivered { below } => numbers(6, &[*below]),
        Delta::Replaced { state } => {
            out.push(7);
            let mut body = Vec::new();
            encode_state(state, &mut body);
            put_bytes(out, &body);
        }
    }
}

/// Decodes what [`encode`] appended, one after the other; an error ends it.
pub fn decode(bytes: &[u8]) -> impl Iterator<Item = Result<Delta, DeltaError>> + '_ {
    let mut cursor = Cursor::new(bytes);
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended || cursor.is_empty() {
            return None;
        }
        let delta = decode_one(&mut cursor);
        ended = delta.is_err();
        Some(delta)
    })
}

fn decode_one(cursor: &mut Cursor<'_>) -> Result<Delta, DeltaError> {
    let at = cursor.position();
    Ok(match cursor.u8()? {
        1 => Delta::Starting { stream_seq: cursor.uv()? },
        2 => Delta::RaiseStarting { stream_seq: cursor.uv()? },
        3 => Delta::Reset { stream_seq: cursor.uv()? },
        4 => Delta::Delivered { sequences: pair(cursor)?, deliveries: cursor.uv()?, at_ns: cursor.sv()? },
        5 => Delta::Acked { sequences: pair(cursor)? },
        6 => Delta::ForgetRedelivered { below: cursor.uv()? },
        7 => {
            let len = cursor.uv_len()?;
            let mut body = Cursor::new(cursor.bytes(len)?);
            Delta::Replaced { state: decode_state(&mut body)? }
        }
        kind => return Err(DeltaError::Kind { kind, at }),
    })
}

/// Unlike `o.dat`, with times to the nanosecond: a state that is replaced is no older afterwards.
fn encode_state(state: &ConsumerState, out: &mut Vec<u8>) {
    for pair in [state.delivered, state.ack_floor] {
        put_uv(out, pair.consumer_seq);
        put_uv(out, pair.stream_seq);
    }
    put_uv(out, state.pending.len() as u64);
    for (seq, pending) in &state.pending {
        put_uv(out, *seq);
        put_uv(out, pending.consumer_seq);
        put_sv(out, pending.delivered_ns);
    }
    put_uv(out, state.redelivered.len() as u64);
    for (seq, count) in &state.redelivered {
        put_uv(out, *seq);
        put_uv(out, *count);
    }
}

fn decode_state(cursor: &mut Cursor<'_>) -> Result<ConsumerState, DeltaError> {
    let mut state =
        ConsumerState { delivered: pair(cursor)?, ack_floor: pair(cursor)?, ..ConsumerState::default() };
    for _ in 0..cursor.uv_count(3)? {
        let seq = cursor.uv()?;
        let pending = Pending { consumer_seq: cursor.uv()?, delivered_ns: cursor.sv()? };
        state.pending.insert(seq, pending);
    }
    for _ in 0..cursor.uv_count(2)? {
        let seq = cursor.uv()?;
        state.redelivered.insert(seq, cursor.uv()?);
    }
    Ok(state)
}

fn pair(cursor: &mut Cursor<'_>) -> Result<SequencePair, DeltaError> {
    Ok(SequencePair { consumer_seq: cursor.uv()?, stream_seq: cursor.uv()? })
}
