//! What lies around the records of a block file.
//!
//! ```text
//!  file ──keystream (encrypted stores)──▶ "cmp" │ u8 algorithm │ uv plain length │ S2 stream │ last 8 bytes ──▶ records
//!                                         or the records themselves
//! ```
//!
//! The last eight bytes of a file are those of the plaintext in both cases: the checksum of the last record. Only blocks that are not the
//! last one are compressed. The Go server does not look at the stated length; here it tells of a chunk that is missing or was passed over.

use std::borrow::Cow;

use midge_codec::cursor::Cursor;
use midge_codec::s2::{self, Level, S2Error};
use midge_codec::varint::put_uv;

use super::record::{CHECKSUM_LEN, RecordKey, decode};

const MARK: &[u8; 3] = b"cmp";
const ALGORITHM_NONE: u8 = 0;
const ALGORITHM_S2: u8 = 1;
const STREAM_IDENTIFIER: &[u8; 10] = b"\xff\x06\x00\x00S2sTwO";

/// The most bytes that a compressed block may decode to. Blocks are at most 8 MiB and one record of 32 MiB long.
pub const MAX_PLAIN_LEN: usize = 128 << 20;

/// What is wrong with a compressed block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unpackable {
    /// The file ends within its head, or its head is none.
    #[error("compressed block: no head of {len} bytes")]
    Head {
        /// The length of the file in bytes.
        len: usize,
    },
    /// The first fault of the stream.
    #[error("compressed block, after {body_at} bytes: {error}")]
    Stream {
        /// Where the stream starts in the file.
        body_at: usize,
        /// The fault, with its offset in the stream.
        error: S2Error,
    },
    /// The stream is sound, but a chunk too few or too many.
    #[error("compressed block: {actual} bytes where its head states {stated}")]
    Length {
        /// What the head states, in bytes.
        stated: u64,
        /// What was decoded, in bytes.
        actual: u64,
    },
}

/// The plaintext of a block file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked<'a> {
    /// The records. After a fault: those chunks that could still be decoded, one after the other, so that the borders between them are
    /// torn records for [`super::scan`].
    pub records: Cow<'a, [u8]>,
    /// Whether the file is compressed: offsets in it are then not those of the records.
    pub compressed: bool,
    /// What could not be decoded.
    pub fault: Option<Unpackable>,
}

/// Undoes compression. `key` tells a compressed block from one whose first record has a length that reads like the mark.
pub fn unpack<'a>(file: &'a [u8], key: &RecordKey) -> Unpacked<'a> {
    let plain =
        |records: &'a [u8]| Unpacked { records: Cow::Borrowed(records), compressed: false, fault: None };
    let sound = |records: &[u8]| decode(records).is_ok_and(|record| record.verify(key));
    let mut head = Cursor::new(file);
    let marked = head.bytes(MARK.len()).is_ok_and(|mark| mark == MARK);
    let algorithm = head.u8().unwrap_or(ALGORITHM_NONE);
    if !marked || !matches!(algorithm, ALGORITHM_NONE | ALGORITHM_S2) || sound(file) {
        return plain(file);
    }
    let len = head.uv();
    if algorithm == ALGORITHM_NONE {
        return if len.is_ok() && sound(head.rest()) { plain(head.rest()) } else { plain(file) };
    }
    let body_at = head.position();
    let (Ok(stated), Some((body, tail))) = (len, head.rest().split_last_chunk::<CHECKSUM_LEN>()) else {
        let fault = Some(Unpackable::Head { len: file.len() });
        return Unpacked { records: Cow::Borrowed(&[]), compressed: true, fault };
    };
    let (mut records, mut fault) = match s2::decode(body, MAX_PLAIN_LEN) {
        Ok(records) => (records, None),
        Err(error) => (salvage(body), Some(Unpackable::Stream { body_at, error })),
    };
    records.extend_from_slice(tail);
    let actual = records.len() as u64;
    if fault.is_none() && actual != stated {
        fault = Some(Unpackable::Length { stated, actual });
    }
    Unpacked { records: Cow::Owned(records), compressed: true, fault }
}

/// Decodes every chunk by itself, leaving out what does not decode.
fn salvage(body: &[u8]) -> Vec<u8> {
    let (mut out, mut rest, mut single) = (Vec::new(), body, Vec::new());
    while let Some((&[kind, a, b, c], _)) = rest.split_first_chunk::<4>() {
        let len = 4 + u32::from_le_bytes([a, b, c, 0]) as usize;
        let (chunk, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
        if kind < 0x80 {
            single.clear();
            single.extend_from_slice(STREAM_IDENTIFIER);
            single.extend_from_slice(chunk);
            out.extend(s2::decode(&single, MAX_PLAIN_LEN.saturating_sub(out.len())).unwrap_or_default());
        }
        rest = after;
    }
    out
}

/// The compressed form of the records of a block, or nothing when that is not shorter.
pub fn pack(records: &[u8]) -> Option<Vec<u8>> {
    let (body, tail) = records.split_last_chunk::<CHECKSUM_LEN>()?;
    let mut out = Vec::with_capacity(records.len() / 2 + 64);
    out.extend_from_slice(MARK);
    out.push(ALGORITHM_S2);
    put_uv(&mut out, records.len() as u64);
    s2::encode(body, Level::Fast, &mut out);
    out.extend_from_slice(tail);
    (out.len() < records.len()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::super::record::{Kind, encode_message};
    use super::super::scan::{Item, Scan};
    use super::*;

    fn block(key: &RecordKey, first_len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        encode_message(&mut out, key, 1, 1, b"a", b"", &vec![b'x'; first_len - 31]).unwrap();
        encode_message(&mut out, key, 2, 1, b"a", b"", &[b'y'; 300]).unwrap();
        out
    }

    #[test]
    fn what_is_packed_unpacks_to_the_same_and_ends_alike() {
        let key = RecordKey::new("S", 1);
        let records = block(&key, 5000);
        let packed = pack(&records).unwrap();
        assert_eq!(packed[packed.len() - 8..], records[records.len() - 8..]);
        let unpacked = unpack(&packed, &key);
        assert_eq!((&*unpacked.records, unpacked.compressed, unpacked.fault), (&records[..], true, None));
        let unpacked = unpack(&records, &key);
        assert_eq!((&*unpacked.records, unpacked.compressed, unpacked.fault), (&records[..], false, None));
        assert_eq!(pack(&[1; 7]), None);
        assert_eq!(pack(b"random_noise-that.does/not-shrink"), None);
    }

    #[test]
    fn a_first_record_whose_length_reads_like_the_mark_is_plain() {
        let key = RecordKey::new("S", 1);
        for len in [0x0070_6d63, 0x0170_6d63] {
            let records = block(&key, len);
            assert!(records.starts_with(MARK));
            assert_eq!(unpack(&records, &key).records.len(), records.len());
            let packed = pack(&records).unwrap();
            assert_eq!(unpack(&packed, &key).records.len(), records.len());
        }
        let records = block(&key, 100);
        let mut stored = b"cmp\0".to_vec();
        put_uv(&mut stored, records.len() as u64);
        stored.extend_from_slice(&records);
        assert_eq!(*unpack(&stored, &key).records, *records);
    }

    #[test]
    fn a_packed_block_cut_or_changed_anywhere_says_so() {
        let key = RecordKey::new("S", 1);
        let records = block(&key, 269);
        assert_eq!(records.len(), 600);
        let packed = pack(&records).unwrap();
        for cut in 0..packed.len() {
            let unpacked = unpack(&packed[..cut], &key);
            assert!(unpacked.fault.is_some() || *unpacked.records != *records, "cut at {cut}");
        }
        for bit in 0..packed.len() * 8 {
            let mut flipped = packed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let unpacked = unpack(&flipped, &key);
            // What passes decodes to the same, because a copy may come from elsewhere in a run. The last eight bytes are outside the stream; the scan of records notices them. Without the mark, the file is no compressed one.
            let unnoticed = unpacked.compressed && unpacked.fault.is_none();
            let same = unpacked.records.len() == records.len() && unpacked.records[..592] == records[..592];
            assert!(!unnoticed || same, "bit {bit}");
        }
    }

    #[test]
    fn a_bad_chunk_costs_its_own_records_only() {
        let key = RecordKey::new("S", 1);
        let mut records = Vec::new();
        for seq in 1..=4096u64 {
            encode_message(&mut records, &key, seq, 1, b"a", b"", &[seq as u8; 1000]).unwrap();
        }
        let mut packed = pack(&records).unwrap();
        // Somewhere in the second of several chunks.
        let first_len = u32::from_le_bytes([packed[19], packed[20], packed[21], 0]) as usize;
        let at = 8 + 10 + 4 + first_len + 4 + 100;
        packed[at] ^= 0xff;
        let unpacked = unpack(&packed, &key);
        assert!(unpacked.fault.is_some());
        let seqs: Vec<u64> = Scan::new(&unpacked.records, &key)
            .filter_map(|item| match item {
                Item::Record { record, .. } if matches!(record.kind, Kind::Message { .. }) => {
                    Some(record.seq)
                }
                _ => None,
            })
            .collect();
        assert!(seqs.contains(&1) && seqs.contains(&4096));
        assert!(seqs.len() > 2900 && seqs.len() < 4096, "{}", seqs.len());
    }
}
