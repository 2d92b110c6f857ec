//! The state of a consumer: `o.dat`, the Raft snapshot of a consumer, and the JSON of backups.
//!
//! ```text
//!  u8 22 │ u8 2 │ uv floor consumer │ uv floor stream │ uv delivered consumer │ uv delivered stream
//!  uv pending │ if any: sv base, in seconds │ each: uv stream − floor, uv consumer − floor, sv base − second of delivery
//!  uv redelivered │ each: uv stream − floor, uv deliveries − 1
//! ```
//!
//! Differences wrap around at 2⁶⁴, so that a sequence below the floor survives. Times are kept to the second. Version 1 lacks the
//! consumer sequences of pending messages, adds times to the base, and holds what was delivered as a distance from the floor.

use std::collections::BTreeMap;

use midge_codec::cursor::{Cursor, CursorError};
use midge_codec::varint::{put_sv, put_uv};
use serde::Deserialize;

const MAGIC: u8 = 22;
const VERSION: u8 = 2;
const SECOND_NS: i64 = 1_000_000_000;
const HIGH_BIT: u64 = 1 << 63;

/// A sequence of the consumer with that of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequencePair {
    /// How many deliveries.
    pub consumer_seq: u64,
    /// Which message of the stream.
    pub stream_seq: u64,
}

/// A message that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The delivery; 0 in files of version 1.
    pub consumer_seq: u64,
    /// When it was delivered last, Unix time in nanoseconds.
    pub delivered_ns: i64,
}

/// What a consumer has delivered and what was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerState {
    /// The last delivery.
    pub delivered: SequencePair,
    /// Everything up to here is acknowledged.
    pub ack_floor: SequencePair,
    /// By stream sequence.
    pub pending: BTreeMap<u64, Pending>,
    /// How often a message was delivered after the first time, by stream sequence.
    pub redelivered: BTreeMap<u64, u64>,
}

/// Why bytes are no state of a consumer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerStateError {
    /// Another file.
    #[error("corrupt state file")]
    Magic,
    /// Written by a newer server.
    #[error("unsupported version: {0}")]
    Version(u8),
    /// Shorter than it says, or a number that is none.
    #[error("corrupt state file: {0}")]
    Malformed(#[from] CursorError),
    /// A sequence that cannot be.
    #[error("corrupt state file: impossible sequence at offset {at}")]
    Sequence {
        /// After what was read when it was noticed.
        at: usize,
    },
    /// The JSON is not of this form.
    #[error("consumer state: {0}")]
    Json(String),
}

/// Encodes a state at `now_ns`, version 2, entries by sequence.
pub fn encode(state: &ConsumerState, now_ns: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 + state.pending.len() * 6 + state.redelivered.len() * 4);
    out.extend_from_slice(&[MAGIC, VERSION]);
    let floor = state.ack_floor;
    for value in
        [floor.consumer_seq, floor.stream_seq, state.delivered.consumer_seq, state.delivered.stream_seq]
    {
        put_uv(&mut out, value);
    }
    put_uv(&mut out, state.pending.len() as u64);
    if !state.pending.is_empty() {
        let base = now_ns.saturating_add(SECOND_NS / 2).div_euclid(SECOND_NS);
        put_sv(&mut out, base);
        for (seq, pending) in &state.pending {
            put_uv(&mut out, seq.wrapping_sub(floor.stream_seq));
            put_uv(&mut out, pending.consumer_seq.wrapping_sub(floor.consumer_seq));
            put_sv(&mut out, base.wrapping_sub(pending.delivered_ns / SECOND_NS));
        }
    }
    put_uv(&mut out, state.redelivered.len() as u64);
    for (seq, count) in &state.redelivered {
        put_uv(&mut out, seq.wrapping_sub(floor.stream_seq));
        put_uv(&mut out, *count);
    }
    out
}

/// Decodes a state of version 1 or 2. An empty file is the state of a new consumer; what follows the state is ignored.
pub fn decode(bytes: &[u8]) -> Result<ConsumerState, ConsumerStateError> {
    if bytes.is_empty() {
        return Ok(ConsumerState::default());
    }
    let mut cursor = Cursor::new(bytes);
    if cursor.u8()? != MAGIC {
        return Err(ConsumerStateError::Magic);
    }
    let version = cursor.u8()?;
    if !matches!(version, 1 | 2) {
        return Err(ConsumerStateError::Version(version));
    }
    let floor = SequencePair { consumer_seq: cursor.uv()?, stream_seq: cursor.uv()? };
    let mut delivered = SequencePair { consumer_seq: cursor.uv()?, stream_seq: cursor.uv()? };
    if version == 1 {
        let absolute = |delivered: u64, floor: u64| {
            if floor > 1 { delivered.wrapping_add(floor - 1) } else { delivered }
        };
        delivered.consumer_seq = absolute(delivered.consumer_seq, floor.consumer_seq);
        delivered.stream_seq = absolute(delivered.stream_seq, floor.stream_seq);
    }
    if (floor.stream_seq | delivered.stream_seq) & HIGH_BIT != 0 {
        return Err(ConsumerStateError::Sequence { at: cursor.position() });
    }
    let mut state = ConsumerState { delivered, ack_floor: floor, ..ConsumerState::default() };
    decode_pending(&mut cursor, version, &mut state)?;
    for _ in 0..cursor.uv_count(2)? {
        let (seq, count) = (cursor.uv()?.wrapping_add(floor.stream_seq), cursor.uv()?);
        if seq != 0 && count != 0 {
            state.redelivered.insert(seq, count);
        }
    }
    Ok(state)
}

fn decode_pending(
    cursor: &mut Cursor<'_>,
    version: u8,
    state: &mut ConsumerState,
) -> Result<(), ConsumerStateError> {
    let count = cursor.uv_count(if version == 1 { 2 } else { 3 })?;
    if count == 0 {
        return Ok(());
    }
    let (base, floor) = (cursor.sv()?, state.ack_floor);
    for _ in 0..count {
        let at = cursor.position();
        let seq = cursor.uv()?.wrapping_add(floor.stream_seq);
        if seq == 0 {
            return Err(ConsumerStateError::Sequence { at });
        }
        let (consumer_seq, second) = match version {
            1 => (0, base.wrapping_add(cursor.sv()?)),
            _ => (cursor.uv()?.wrapping_add(floor.consumer_seq), base.wrapping_sub(cursor.sv()?)),
        };
        state.pending.insert(
            seq,
            Pending {
                consumer_seq,
                delivered_ns: second.clamp(i64::MIN / SECOND_NS, i64::MAX / SECOND_NS) * SECOND_NS,
            },
        );
    }
    Ok(())
}

/// Appends the JSON form: times to the nanosecond, members in the order of the Go server's, maps by the text of their keys.
pub fn encode_json(state: &ConsumerState, out: &mut String) {
    let pair = |out: &mut String, name: &str, pair: SequencePair| {
        let SequencePair { consumer_seq, stream_seq } = pair;
        *out += &format!("\"{name}\":{{\"consumer_seq\":{consumer_seq},\"stream_seq\":{stream_seq}}}");
    };
    out.push('{');
    pair(out, "delivered", state.delivered);
    out.push(',');
    pair(out, "ack_floor", state.ack_floor);
    push_map(out, "pending", &state.pending, |pending| {
        format!("{{\"Sequence\":{},\"Timestamp\":{}}}", pending.consumer_seq, pending.delivered_ns)
    });
    push_map(out, "redelivered", &state.redelivered, u64::to_string);
    out.push('}');
}

fn push_map<T>(out: &mut String, name: &str, map: &BTreeMap<u64, T>, value: impl Fn(&T) -> String) {
    if map.is_empty() {
        return;
    }
    let mut members: Vec<(String, &T)> = map.iter().map(|(seq, value)| (seq.to_string(), value)).collect();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    *out += &format!(",\"{name}\":{{");
    for (at, (seq, member)) in members.into_iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        *out += &format!("{comma}\"{seq}\":{}", value(member));
    }
    out.push('}');
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct JsonPair {
    consumer_seq: u64,
    stream_seq: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct JsonPending {
    #[serde(rename = "Sequence", alias = "sequence")]
    sequence: u64,
    #[serde(rename = "Timestamp", alias = "timestamp")]
    timestamp: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Json {
    delivered: JsonPair,
    ack_floor: JsonPair,
    pending: Option<BTreeMap<u64, JsonPending>>,
    redelivered: Option<BTreeMap<u64, u64>>,
}

/// Reads the JSON form. Unknown members are ignored; impossible sequences are refused, as by [`decode`].
pub fn decode_json(json: &[u8]) -> Result<ConsumerState, ConsumerStateError> {
    // A struct would also be read from an array.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(ConsumerStateError::Json("not an object".to_owned()));
    }
    let json: Json =
        serde_json::from_slice(json).map_err(|error| ConsumerStateError::Json(error.to_string()))?;
    let pair = |pair: JsonPair| SequencePair { consumer_seq: pair.consumer_seq, stream_seq: pair.stream_seq };
    let pending = json.pending.unwrap_or_default();
    let impossible =
        (json.delivered.stream_seq | json.ack_floor.stream_seq) & HIGH_BIT != 0 || pending.contains_key(&0);
    if impossible {
        return Err(ConsumerStateError::Json("impossible sequence".to_owned()));
    }
    let pending = pending
        .into_iter()
        .map(|(seq, p)| (seq, Pending { consumer_seq: p.sequence, delivered_ns: p.timestamp }))
        .collect();
    let redelivered = json
        .redelivered
        .unwrap_or_default()
        .into_iter()
        .filter(|&(seq, count)| seq != 0 && count != 0)
        .collect();
    Ok(ConsumerState {
        delivered: pair(json.delivered),
        ack_floor: pair(json.ack_floor),
        pending,
        redelivered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ConsumerState {
        let pending = |consumer_seq, second: i64| Pending { consumer_seq, delivered_ns: second * SECOND_NS };
        ConsumerState {
            delivered: SequencePair { consumer_seq: 30, stream_seq: 25 },
            ack_floor: SequencePair { consumer_seq: 10, stream_seq: 12 },
            // 4 lies below the floor; the last was delivered after the write time.
            pending: BTreeMap::from([(4, pending(3, 1000)), (13, pending(11, 990)), (25, pending(30, 1010))]),
            redelivered: BTreeMap::from([(4, 2), (13, 1)]),
        }
    }

    #[test]
    fn a_state_survives_and_so_do_sequences_below_the_floor() {
        let state = state();
        let bytes = encode(&state, 1000 * SECOND_NS + 499_999_999);
        assert_eq!(decode(&bytes).unwrap(), state);
        assert_eq!(decode(&encode(&state, 1000 * SECOND_NS + 500_000_000)).unwrap(), state);
        for cut in 1..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = bytes.clone();
        longer.extend_from_slice(b"anything");
        assert_eq!(decode(&longer).unwrap(), state);
    }

    #[test]
    fn a_new_consumer() {
        assert_eq!(encode(&ConsumerState::default(), 77), [22, 2, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decode(&[]).unwrap(), ConsumerState::default());
        assert_eq!(decode(&[22, 2, 0, 0, 0, 0, 0, 0]).unwrap(), ConsumerState::default());
    }

    #[test]
    fn version_1_counts_from_the_floor_and_adds_times() {
        let mut bytes = vec![22, 1, 10, 12, 21, 14, 1];
        put_sv(&mut bytes, 1000);
        bytes.push(1);
        put_sv(&mut bytes, -10);
        bytes.extend_from_slice(&[1, 1, 3]);
        let state = decode(&bytes).unwrap();
        assert_eq!(state.delivered, SequencePair { consumer_seq: 30, stream_seq: 25 });
        assert_eq!(
            state.pending,
            BTreeMap::from([(13, Pending { consumer_seq: 0, delivered_ns: 990 * SECOND_NS })])
        );
        assert_eq!(state.redelivered, BTreeMap::from([(13, 3)]));
        assert_eq!(
            decode(&[22, 1, 1, 1, 5, 6, 0, 0]).unwrap().delivered,
            SequencePair { consumer_seq: 5, stream_seq: 6 }
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(decode(&[21, 2, 0, 0, 0, 0, 0, 0]), Err(ConsumerStateError::Magic));
        assert_eq!(decode(&[22, 3, 0, 0, 0, 0, 0, 0]).unwrap_err().to_string(), "unsupported version: 3");
        // Pending sequence 0.
        assert_eq!(
            decode(&[22, 2, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0]),
            Err(ConsumerStateError::Sequence { at: 8 })
        );
        let mut high = vec![22, 2, 0];
        put_uv(&mut high, HIGH_BIT);
        high.extend_from_slice(&[0, 0, 0, 0]);
        assert!(matches!(decode(&high), Err(ConsumerStateError::Sequence { .. })));
        // More pending entries than bytes.
        assert!(matches!(
            decode(&[22, 2, 0, 0, 0, 0, 0xff, 0xff, 0x7f, 0]),
            Err(ConsumerStateError::Malformed(_))
        ));
        // Redelivered entries without a sequence or a count are dropped.
        assert_eq!(
            decode(&[22, 2, 0, 0, 0, 0, 0, 3, 0, 5, 6, 0, 7, 1]).unwrap().redelivered,
            BTreeMap::from([(7, 1)])
        );
    }

    #[test]
    fn json_is_the_same_state() {
        let mut state = state();
        state.pending.insert(100, Pending { consumer_seq: 31, delivered_ns: 1_234_567_890_123_456_789 });
        let mut text = String::new();
        encode_json(&state, &mut text);
        assert!(text.starts_with("{\"delivered\":{\"consumer_seq\":30,\"stream_seq\":25},\"ack_floor\":{"));
        assert!(
            text.contains("\"pending\":{\"100\":{\"Sequence\":31,\"Timestamp\":1234567890123456789},\"13\":")
        );
        assert_eq!(decode_json(text.as_bytes()).unwrap(), state);
        let mut text = String::new();
        encode_json(&ConsumerState::default(), &mut text);
        assert!(!text.contains("pending") && !text.contains("redelivered"));
        assert_eq!(decode_json(text.as_bytes()).unwrap(), ConsumerState::default());
        assert!(decode_json(b"{\"pending\":null,\"other\":[1]}").is_ok());
        for bad in [
            "[]",
            "{\"pending\":{\"0\":{}}}",
            "{\"delivered\":{\"stream_seq\":9223372036854775808}}",
            "{\"pending\":{\"x\":{}}}",
        ] {
            assert!(matches!(decode_json(bad.as_bytes()), Err(ConsumerStateError::Json(_))), "{bad}");
        }
    }
}
