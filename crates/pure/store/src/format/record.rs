//! One record of a block file.
//!
//! ```text
//!  0        4            12         20     22        22+S       (26+S)              len-8    len
//!  ├ length ┼ sequence   ┼ time     ┼ S    ┼ subject ┼ [H]      ┼ [headers] payload ┼ checksum ┤
//!    bit 31: headers
//!             bit 63: erased or skip
//!             bit 62: tombstone
//! ```
//!
//! All numbers are little-endian. The checksum, [`NamedHash`] under `<stream>-<block>`, covers bytes 4 to 19, the subject, the headers and
//! the payload: the three lengths are *not* covered. A wrong length of the record is noticed, because the checksum is then sought elsewhere;
//! a wrong length of the subject or of the headers that still fits moves bytes between subject, headers and payload unnoticed.

use midge_stdx::entropy::Entropy;
use midge_stdx::hash::NamedHash;

/// Bytes before the subject.
pub const HEAD_LEN: usize = 22;
/// Bytes of the checksum that ends a record.
pub const CHECKSUM_LEN: usize = 8;
/// A record without subject, headers and payload: every tombstone and every skip.
pub const EMPTY_LEN: usize = HEAD_LEN + CHECKSUM_LEN;
/// The longest record, in bytes.
pub const MAX_LEN: usize = 32 * 1024 * 1024;
/// The longest subject, in bytes.
pub const MAX_SUBJECT_LEN: usize = 0xffff;
/// The highest sequence: two bits above it are marks.
pub const MAX_SEQ: u64 = TOMBSTONE - 1;

const HEADERS: u32 = 1 << 31;
const ERASED: u64 = 1 << 63;
const TOMBSTONE: u64 = 1 << 62;

/// The key of the checksums of one block. Computed once per block.
#[derive(Clone, Debug)]
pub struct RecordKey(NamedHash);

impl RecordKey {
    /// The key of block `block` of the stream (or group) of this name.
    pub fn new(stream: &str, block: u32) -> RecordKey {
        RecordKey(NamedHash::new(format!("{stream}-{block}").as_bytes()))
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A message.
    Message {
        /// Empty in a write-ahead log.
        subject: &'a [u8],
        /// The header block, `NATS/1.0` and on; empty when there is none.
        headers: &'a [u8],
        /// The payload.
        payload: &'a [u8],
    },
    /// The sequence was deleted; the record may stand in any later block.
    Tombstone,
    /// A message that was overwritten; its time is 0. Also what a record of sequence 0 counts as.
    Erased,
    /// The sequence, and all that lie between it and the record before, were consumed without a message.
    Skip,
}

/// A decoded record, borrowed from the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The sequence, without marks.
    pub seq: u64,
    /// Unix time in nanoseconds.
    pub ts_ns: i64,
    /// What it is.
    pub kind: Kind<'a>,
    bytes: &'a [u8],
    covered: [&'a [u8]; 3],
    checksum: &'a [u8; CHECKSUM_LEN],
}

impl<'a> Record<'a> {
    /// The length in bytes: what the record counts for in the size of a stream.
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// All of the record.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The checksum that it carries.
    #[inline]
    pub fn checksum(&self) -> [u8; CHECKSUM_LEN] {
        *self.checksum
    }

    /// Whether the checksum is right.
    #[inline]
    pub fn verify(&self, key: &RecordKey) -> bool {
        key.0.sum(&self.covered) == *self.checksum
    }
}

/// The head of a record, read without looking at the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The stated length in bytes. Not checked.
    pub len: u32,
    /// Whether the record has headers.
    pub headers: bool,
    /// The sequence, without marks.
    pub seq: u64,
    /// Marked as erased or skip.
    pub erased: bool,
    /// Marked as a tombstone.
    pub tombstone: bool,
    /// Unix time in nanoseconds.
    pub ts_ns: i64,
    /// The stated length of the subject. Not checked.
    pub subject_len: u16,
}

/// The head of the record that starts at `at`, or nothing when the bytes end within it. Nothing in it has been checked.
#[inline]
pub fn peek(bytes: &[u8], at: usize) -> Option<Head> {
    let head: &[u8; HEAD_LEN] = bytes.get(at..)?.first_chunk()?;
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let seq = u64::from_le_bytes([head[4], head[5], head[6], head[7], head[8], head[9], head[10], head[11]]);
    let ts_ns =
        i64::from_le_bytes([head[12], head[13], head[14], head[15], head[16], head[17], head[18], head[19]]);
    Some(Head {
        len: len & !HEADERS,
        headers: len & HEADERS != 0,
        seq: seq & MAX_SEQ,
        erased: seq & ERASED != 0,
        tombstone: seq & TOMBSTONE != 0,
        ts_ns,
        subject_len: u16::from_le_bytes([head[20], head[21]]),
    })
}

/// The stated length of the record that starts at `at`, or nothing when the bytes end within it.
#[inline]
pub fn peek_len(bytes: &[u8], at: usize) -> Option<u32> {
    let len: &[u8; 4] = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*len) & !HEADERS)
}

/// The sequence, without marks, of the record that starts at `at`, or nothing when the bytes end within it.
#[inline]
pub fn peek_seq(bytes: &[u8], at: usize) -> Option<u64> {
    let seq: &[u8; 8] = bytes.get(at.checked_add(4)?..)?.first_chunk()?;
    Some(u64::from_le_bytes(*seq) & MAX_SEQ)
}

/// Why bytes are no record. Lengths are those that the record states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end within the head.
    #[error("{have} bytes are too few for the head of a record")]
    Head {
        /// How many there are.
        have: usize,
    },
    /// Shorter than any record, or longer than [`MAX_LEN`].
    #[error("a record of {len} bytes is outside {EMPTY_LEN} to {MAX_LEN}")]
    Length {
        /// The stated length.
        len: u32,
    },
    /// The bytes end within the record.
    #[error("a record of {len} bytes where {have} are left")]
    Truncated {
        /// The stated length.
        len: u32,
        /// How many there are.
        have: usize,
    },
    /// The subject does not fit the record.
    #[error("a subject of {subject_len} bytes does not fit a record of {len}")]
    Subject {
        /// The stated length of the subject.
        subject_len: u16,
        /// The stated length of the record.
        len: u32,
    },
    /// Marked as having headers, which do not fit the record.
    #[error("headers do not fit a record of {len} bytes")]
    Headers {
        /// The stated length of the record.
        len: u32,
    },
}

/// Reads the record that `bytes` start with; more may follow it. The checksum is not verified ([`Record::verify`]).
#[inline]
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, RecordError> {
    let head = peek(bytes, 0).ok_or(RecordError::Head { have: bytes.len() })?;
    let len = head.len;
    if (len as usize) < EMPTY_LEN || len as usize > MAX_LEN {
        return Err(RecordError::Length { len });
    }
    let whole = bytes.get(..len as usize).ok_or(RecordError::Truncated { len, have: bytes.len() })?;
    let subject_error = RecordError::Subject { subject_len: head.subject_len, len };
    let (rest, checksum) = whole.split_last_chunk::<CHECKSUM_LEN>().ok_or(RecordError::Length { len })?;
    let (fixed, rest) = rest.split_at_checked(HEAD_LEN).ok_or(RecordError::Length { len })?;
    let stamped = fixed.get(4..20).ok_or(RecordError::Length { len })?;
    let (subject, rest) = rest.split_at_checked(usize::from(head.subject_len)).ok_or(subject_error)?;
    let (body, headers_len) = match (head.headers, rest.split_first_chunk::<4>()) {
        (false, _) => (rest, 0),
        (true, Some((headers_len, body))) => (body, u32::from_le_bytes(*headers_len) as usize),
        (true, None) => return Err(RecordError::Headers { len }),
    };
    let (headers, payload) = body.split_at_checked(headers_len).ok_or(RecordError::Headers { len })?;
    let kind = if head.tombstone {
        Kind::Tombstone
    } else if head.erased && whole.len() == EMPTY_LEN {
        Kind::Skip
    } else if head.erased || head.seq == 0 {
        Kind::Erased
    } else {
        Kind::Message { subject, headers, payload }
    };
    Ok(Record {
        seq: head.seq,
        ts_ns: head.ts_ns,
        kind,
        bytes: whole,
        covered: [stamped, subject, body],
        checksum,
    })
}

/// Why a record is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The record would be longer than [`MAX_LEN`].
    #[error("message too large")]
    TooLarge,
    /// The subject is longer than [`MAX_SUBJECT_LEN`].
    #[error("subject too long")]
    Subject,
    /// The sequence is above [`MAX_SEQ`].
    #[error("sequence too high")]
    Sequence,
}

/// What was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Length in bytes.
    pub len: u32,
    /// The checksum, which is also the last eight bytes: the mark of a block that ends here.
    pub checksum: [u8; CHECKSUM_LEN],
}

/// The length in bytes of the record of a message, which may be more than [`MAX_LEN`].
#[inline]
pub fn message_len(subject_len: usize, headers_len: usize, payload_len: usize) -> u64 {
    let field = if headers_len > 0 { 4 } else { 0 };
    (EMPTY_LEN as u64 + field)
        .saturating_add(subject_len as u64)
        .saturating_add(headers_len as u64)
        .saturating_add(payload_len as u64)
}

/// Appends a message to `out`. Nothing is appended when it is refused.
#[inline]
pub fn encode_message(
    out: &mut Vec<u8>,
    key: &RecordKey,
    seq: u64,
    ts_ns: i64,
    subject: &[u8],
    headers: &[u8],
    payload: &[u8],
) -> Result<Written, Refused> {
    let subject_len = u16::try_from(subject.len()).map_err(|_| Refused::Subject)?;
    let len = message_len(subject.len(), headers.len(), payload.len());
    if len > MAX_LEN as u64 {
        return Err(Refused::TooLarge);
    }
    check_seq(seq)?;
    out.reserve(len as usize);
    // The limit above keeps every length within 32 bits.
    let mark = if headers.is_empty() { 0 } else { HEADERS };
    let stamp = push_head(out, len as u32 | mark, seq, ts_ns, subject_len);
    out.extend_from_slice(subject);
    if !headers.is_empty() {
        out.extend_from_slice(&(headers.len() as u32).to_le_bytes());
        out.extend_from_slice(headers);
    }
    out.extend_from_slice(payload);
    let checksum = key.0.sum(&[&stamp, subject, headers, payload]);
    out.extend_from_slice(&checksum);
    Ok(Written { len: len as u32, checksum })
}

/// Appends the tombstone of a sequence: `ts_ns` is the time of the deleted message, or of the last one when only the sequence is remembered.
pub fn encode_tombstone(
    out: &mut Vec<u8>,
    key: &RecordKey,
    seq: u64,
    ts_ns: i64,
) -> Result<Written, Refused> {
    check_seq(seq)?;
    Ok(push_empty(out, key, seq | TOMBSTONE, ts_ns))
}

/// Appends a skip: `seq` and everything since the record before it hold no message.
pub fn encode_skip(out: &mut Vec<u8>, key: &RecordKey, seq: u64, ts_ns: i64) -> Result<Written, Refused> {
    check_seq(seq)?;
    Ok(push_empty(out, key, seq | ERASED, ts_ns))
}

/// Appends a record of `len` bytes that overwrites a message of that length, filled with what `filler` draws.
///
/// # Errors
/// When `len` is outside [`EMPTY_LEN`] to [`MAX_LEN`], or the sequence too high.
pub fn encode_erased(
    out: &mut Vec<u8>,
    key: &RecordKey,
    seq: u64,
    len: u32,
    filler: &mut dyn Entropy,
) -> Result<Written, Refused> {
    check_seq(seq)?;
    let body_len =
        (len as usize).checked_sub(EMPTY_LEN).filter(|_| len as usize <= MAX_LEN).ok_or(Refused::TooLarge)?;
    out.reserve(len as usize);
    let stamp = push_head(out, len, seq | ERASED, 0, 0);
    let start = out.len();
    out.resize(start + body_len, 0);
    let body = out.get_mut(start..).unwrap_or_default();
    filler.fill(body);
    let checksum = key.0.sum(&[&stamp, body]);
    out.extend_from_slice(&checksum);
    Ok(Written { len, checksum })
}

fn check_seq(seq: u64) -> Result<(), Refused> {
    if seq > MAX_SEQ { Err(Refused::Sequence) } else { Ok(()) }
}

fn push_empty(out: &mut Vec<u8>, key: &RecordKey, seq: u64, ts_ns: i64) -> Written {
    let stamp = push_head(out, EMPTY_LEN as u32, seq, ts_ns, 0);
    let checksum = key.0.sum(&[&stamp]);
    out.extend_from_slice(&checksum);
    Written { len: EMPTY_LEN as u32, checksum }
}

/// Appends the head and returns the part of it that the checksum covers.
#[inline]
fn push_head(out: &mut Vec<u8>, len: u32, seq: u64, ts_ns: i64, subject_len: u16) -> [u8; 16] {
    let stamp = ((u128::from(ts_ns as u64) << 64) | u128::from(seq)).to_le_bytes();
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&stamp);
    out.extend_from_slice(&subject_len.to_le_bytes());
    stamp
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_stdx::entropy::Seeded;

    fn key() -> RecordKey {
        RecordKey::new("ORDERS", 3)
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let mut out = Vec::new();
        let written = encode_message(&mut out, &key(), 7, -5, b"a.b", b"NATS/1.0\r\n\r\n", b"hello").unwrap();
        assert_eq!(out.len(), written.len as usize);
        out.extend_from_slice(b"the next record");
        let record = decode(&out).unwrap();
        assert_eq!(
            (record.seq, record.ts_ns, record.len(), record.checksum()),
            (7, -5, written.len as usize, written.checksum)
        );
        assert_eq!(
            record.kind,
            Kind::Message { subject: b"a.b", headers: b"NATS/1.0\r\n\r\n", payload: b"hello" }
        );
        assert!(record.verify(&key()));
        assert!(!record.verify(&RecordKey::new("ORDERS", 4)));
        assert!(!record.verify(&RecordKey::new("ORDER", 3)));
    }

    #[test]
    fn marks_make_kinds() {
        for (kind, seq) in [(Kind::Tombstone, MAX_SEQ), (Kind::Skip, 9), (Kind::Erased, 10)] {
            let mut out = Vec::new();
            match kind {
                Kind::Tombstone => encode_tombstone(&mut out, &key(), seq, 77).unwrap(),
                Kind::Skip => encode_skip(&mut out, &key(), seq, 77).unwrap(),
                _ => encode_erased(&mut out, &key(), seq, 500, &mut Seeded::new(1)).unwrap(),
            };
            let record = decode(&out).unwrap();
            assert!(record.verify(&key()));
            assert_eq!(
                (record.kind, record.seq, record.ts_ns),
                (kind, seq, if kind == Kind::Erased { 0 } else { 77 })
            );
            assert_eq!(record.len(), if kind == Kind::Erased { 500 } else { EMPTY_LEN });
            assert_eq!(peek_seq(&out, 0), Some(seq));
            assert_eq!(peek_len(&out, 0), Some(record.len() as u32));
        }
        let mut out = Vec::new();
        encode_message(&mut out, &key(), 0, 1, b"a", b"", b"").unwrap();
        assert_eq!(decode(&out).unwrap().kind, Kind::Erased);
    }

    #[test]
    fn what_cannot_be_stored_is_refused_and_leaves_nothing() {
        let mut out = Vec::new();
        let long = vec![b'a'; MAX_SUBJECT_LEN + 1];
        assert_eq!(encode_message(&mut out, &key(), 1, 1, &long, b"", b""), Err(Refused::Subject));
        let most = vec![0; MAX_LEN - EMPTY_LEN - 1];
        assert_eq!(encode_message(&mut out, &key(), 1, 1, b"ab", b"", &most), Err(Refused::TooLarge));
        assert_eq!(encode_message(&mut out, &key(), MAX_SEQ + 1, 1, b"a", b"", b""), Err(Refused::Sequence));
        assert_eq!(encode_erased(&mut out, &key(), 1, 29, &mut Seeded::new(1)), Err(Refused::TooLarge));
        assert!(out.is_empty());
        assert_eq!(encode_message(&mut out, &key(), 1, 1, b"a", b"", &most).unwrap().len as usize, MAX_LEN);
        assert!(decode(&out).unwrap().verify(&key()));
    }

    #[test]
    fn every_truncation_is_an_error_and_every_bit_flip_is_noticed() {
        let mut whole = Vec::new();
        encode_message(&mut whole, &key(), 1, 2, b"a.b", b"NATS/1.0\r\n\r\n", b"payload").unwrap();
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // The lengths of subject and headers only say where one covered part ends and the next begins: moving that border changes
            // nothing that is covered.
            let border = (20..22).contains(&(bit / 8)) || (25..29).contains(&(bit / 8));
            assert!(border || !decode(&flipped).is_ok_and(|record| record.verify(&key())), "bit {bit}");
        }
    }

    #[test]
    fn headers_that_do_not_fit_are_corrupt() {
        let mut out = Vec::new();
        encode_tombstone(&mut out, &key(), 1, 1).unwrap();
        out[3] |= 0x80;
        assert_eq!(decode(&out), Err(RecordError::Headers { len: 30 }));
        let mut out = Vec::new();
        encode_message(&mut out, &key(), 1, 1, b"a", b"NATS/1.0\r\n\r\n", b"").unwrap();
        out[23] += 1;
        assert_eq!(decode(&out), Err(RecordError::Headers { len: out.len() as u32 }));
    }
}
