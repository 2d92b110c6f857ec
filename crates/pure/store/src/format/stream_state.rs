//! The state of a replicated stream: the data of Raft snapshots of stream groups.
//!
//! ```text
//!  u8 42 │ u8 version │ uv messages │ uv bytes │ uv first seq │ uv last seq │ uv failed
//!  version 2: uv sources │ each: uv length, index name, uv sequence, uv length, identity
//!  uv deleted │ if any, to the end: u8 22 …: a sequence set; u8 33: a run: uv first, uv count
//! ```
//!
//! Version 1 is written without sources, version 2 with them. Old servers sent JSON.

use midge_codec::cursor::{Cursor, CursorError};
use midge_codec::varint::{put_bytes, put_uv};
use midge_index::seqset::{SeqSet, SeqSetError};
use serde::Deserialize;

use super::side::Source;

const MAGIC: u8 = 42;
const SET: u8 = 22;
const RUN: u8 = 33;

/// Some of the deleted sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteBlock {
    /// These.
    Set(SeqSet),
    /// So many from a first one on.
    Run {
        /// The first.
        first: u64,
        /// How many; at least one.
        count: u64,
    },
}

/// The state of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamState<'a> {
    /// Live messages.
    pub messages: u64,
    /// The lengths of their records, in bytes.
    pub bytes: u64,
    /// The first live sequence.
    pub first_seq: u64,
    /// The last sequence.
    pub last_seq: u64,
    /// How many proposals the leader rejected.
    pub failed: u64,
    /// How far sources were read; nothing in version 1.
    pub sources: Option<Vec<Source<'a>>>,
    /// How many sequences between first and last are not live, as the sender counted them.
    pub deleted_count: u64,
    /// Which. They need not add up to the count.
    pub deleted: Vec<DeleteBlock>,
}

/// Why bytes are no state of a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamStateError {
    /// Something else, or an unknown version.
    #[error("bad stream state encoding")]
    Encoding,
    /// A number that is none, or more than follows.
    #[error("stream state snapshot is corrupt: {0}")]
    Malformed(#[from] CursorError),
    /// A set of deleted sequences.
    #[error("stream state snapshot is corrupt: {0}")]
    Set(#[from] SeqSetError),
    /// Deleted sequences of no known form, or beyond the last possible one.
    #[error("stream state snapshot is corrupt: bad delete block at offset {at}")]
    Deleted {
        /// Where they start.
        at: usize,
    },
    /// The JSON is not of this form.
    #[error("stream state snapshot is corrupt: {0}")]
    Json(String),
}

/// Reads a state in any of its forms.
pub fn decode(bytes: &[u8]) -> Result<StreamState<'_>, StreamStateError> {
    if bytes.first() == Some(&b'{') {
        return decode_json(bytes);
    }
    let mut cursor = Cursor::new(bytes);
    let head = (cursor.u8(), cursor.u8());
    let (Ok(MAGIC), Ok(version @ (1 | 2))) = head else { return Err(StreamStateError::Encoding) };
    let mut state = StreamState {
        messages: cursor.uv()?,
        bytes: cursor.uv()?,
        first_seq: cursor.uv()?,
        last_seq: cursor.uv()?,
        failed: cursor.uv()?,
        ..StreamState::default()
    };
    if version == 2 {
        let count = cursor.uv_count(3)?;
        let mut sources = Vec::with_capacity(count);
        for _ in 0..count {
            let len = cursor.uv_len()?;
            let index_name = cursor.bytes(len)?;
            let seq = cursor.uv()?;
            let len = cursor.uv_len()?;
            sources.push(Source { index_name, seq, identity: cursor.bytes(len)? });
        }
        state.sources = Some(sources);
    }
    state.deleted_count = cursor.uv()?;
    while state.deleted_count > 0 && !cursor.is_empty() {
        state.deleted.push(delete_block(&mut cursor)?);
    }
    Ok(state)
}

fn delete_block(cursor: &mut Cursor<'_>) -> Result<DeleteBlock, StreamStateError> {
    let at = cursor.position();
    match cursor.rest().first() {
        // The magic of a set is its own first byte.
        Some(&SET) => Ok(DeleteBlock::Set(SeqSet::decode(cursor)?)),
        Some(&RUN) => {
            cursor.u8()?;
            let (first, count) = (cursor.uv()?, cursor.uv()?);
            if count == 0 || first.checked_add(count - 1).is_none() {
                return Err(StreamStateError::Deleted { at });
            }
            Ok(DeleteBlock::Run { first, count })
        }
        _ => Err(StreamStateError::Deleted { at }),
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Json {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    clfs: u64,
    deleted: Option<Vec<u64>>,
}

fn decode_json(json: &[u8]) -> Result<StreamState<'_>, StreamStateError> {
    let json: Json =
        serde_json::from_slice(json).map_err(|error| StreamStateError::Json(error.to_string()))?;
    let mut set = SeqSet::new();
    json.deleted.unwrap_or_default().into_iter().for_each(|seq| _ = set.insert(seq));
    Ok(StreamState {
        messages: json.messages,
        bytes: json.bytes,
        first_seq: json.first_seq,
        last_seq: json.last_seq,
        failed: json.clfs,
        sources: None,
        deleted_count: set.len(),
        deleted: if set.is_empty() { Vec::new() } else { vec![DeleteBlock::Set(set)] },
    })
}

/// Writes a state. A set with more members than the format of sets has room for is written as its runs.
pub fn encode(state: &StreamState<'_>) -> Vec<u8> {
    let mut out = vec![MAGIC, if state.sources.is_some() { 2 } else { 1 }];
    for value in [state.messages, state.bytes, state.first_seq, state.last_seq, state.failed] {
        put_uv(&mut out, value);
    }
    if let Some(sources) = &state.sources {
        put_uv(&mut out, sources.len() as u64);
        for source in sources {
            put_bytes(&mut out, source.index_name);
            put_uv(&mut out, source.seq);
            put_bytes(&mut out, source.identity);
        }
    }
    put_uv(&mut out, state.deleted_count);
    if state.deleted_count == 0 {
        return out;
    }
    for block in &state.deleted {
        match block {
            DeleteBlock::Run { first, count } => put_run(&mut out, *first, *count),
            DeleteBlock::Set(set) if set.is_empty() || set.encode(&mut out) => {}
            DeleteBlock::Set(set) => {
                set.ranges()
                    .for_each(|(first, last)| put_run(&mut out, first, (last - first).saturating_add(1)));
            }
        }
    }
    out
}

fn put_run(out: &mut Vec<u8>, first: u64, count: u64) {
    out.push(RUN);
    put_uv(out, first);
    put_uv(out, count);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> StreamState<'static> {
        let mut set = SeqSet::new();
        set.insert(4);
        set.insert_range(5000, 9000);
        StreamState {
            messages: 9,
            bytes: 324,
            first_seq: 1,
            last_seq: 10_000,
            failed: 3,
            sources: Some(vec![Source { index_name: b"S > >", seq: 7, identity: b"id" }]),
            deleted_count: 9991,
            deleted: vec![DeleteBlock::Run { first: 2, count: 2 }, DeleteBlock::Set(set)],
        }
    }

    #[test]
    fn a_state_survives_and_every_cut_is_noticed() {
        for sources in [true, false] {
            let mut state = state();
            state.sources = state.sources.filter(|_| sources);
            let bytes = encode(&state);
            assert_eq!(decode(&bytes).unwrap(), state);
            let whole_blocks =
                [bytes.len(), bytes.len() - 3 * 266 - 266 - 10, bytes.len() - 3 * 266 - 266 - 10 - 3];
            for cut in (0..bytes.len()).filter(|cut| !whole_blocks.contains(cut)) {
                assert!(decode(&bytes[..cut]).is_err(), "cut at {cut} of {}", bytes.len());
            }
        }
    }

    #[test]
    fn bytes_of_the_go_server() {
        let mut bytes = vec![0x2a, 0x01, 0x09, 0xc4, 0x02, 0x01, 0x0a, 0x00, 0x01, 0x16, 0x02];
        bytes.extend_from_slice(&[1, 0, 0, 0, 1, 0, 0, 0]);
        bytes.extend_from_slice(&[0; 8]);
        bytes.push(1 << 4);
        bytes.extend_from_slice(&[0; 255]);
        bytes.extend_from_slice(&[1, 0]);
        let state = decode(&bytes).unwrap();
        assert_eq!((state.messages, state.bytes, state.last_seq, state.deleted_count), (9, 324, 10, 1));
        let [DeleteBlock::Set(set)] = &state.deleted[..] else { panic!("no set") };
        assert!(set.iter().eq([4]));
        assert_eq!(encode(&state), bytes);
    }

    #[test]
    fn the_old_json() {
        let json =
            b"{\"messages\":9,\"bytes\":324,\"first_seq\":1,\"last_seq\":10,\"clfs\":2,\"deleted\":[4]}";
        let state = decode(json).unwrap();
        assert_eq!((state.messages, state.failed, state.deleted_count), (9, 2, 1));
        assert_eq!(decode(b"{\"deleted\":null}").unwrap(), StreamState::default());
        assert!(matches!(decode(b"{\"deleted\":[-1]}"), Err(StreamStateError::Json(_))));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(decode(b""), Err(StreamStateError::Encoding));
        assert_eq!(decode(&[42, 3, 0, 0, 0, 0, 0, 0]), Err(StreamStateError::Encoding));
        assert_eq!(decode(&[42, 1, 0, 0, 0, 0, 0, 1, 34]), Err(StreamStateError::Deleted { at: 8 }));
        assert_eq!(decode(&[42, 1, 0, 0, 0, 0, 0, 1, 33, 5, 0]), Err(StreamStateError::Deleted { at: 8 }));
        let mut beyond = vec![42, 1, 0, 0, 0, 0, 0, 1, 33, 2];
        put_uv(&mut beyond, u64::MAX);
        assert_eq!(decode(&beyond), Err(StreamStateError::Deleted { at: 8 }));
    }
}
