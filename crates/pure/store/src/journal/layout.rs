//! Headers of segments and frames.
//!
//! ```text
//! segment:  0 "midgeJL1"  8 sequence  16 live from  24 previous  32 its frames on stable storage  40 its frames at most  48 length  56 checksum
//! frame:    0 body bytes (u32)  4 records (u32)  8 sequence of the segment  16 number in it  24 synced
//!          32 checksum of the frame before  40 checksum of bytes 0..40 and the body  48 body, zeros to a multiple of 512
//! ```
//!
//! All numbers are little-endian. The sequence of the segment is under the checksum, so a frame that an earlier use of the file left behind is none.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used))]

use midge_stdx::hash::NamedHash;

use super::limits::{SECTOR, SEGMENT_HEADER_LEN};

const MAGIC: &[u8; 8] = b"midgeJL1";
/// Bytes of a segment's header that mean something.
pub(super) const SEGMENT_HEAD: usize = 64;
/// Bytes of a frame before its body.
pub const FRAME_HEAD: usize = 48;

/// The header of a segment. One of zeros is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Rises with every use of a segment.
    pub sequence: u64,
    /// The oldest segment whose operations were not all in their files when this one was begun.
    pub live_from: u64,
    /// The segment before; 0 when there is none.
    pub previous: u64,
    /// Frames of the segment before that are on stable storage.
    pub previous_frames: u64,
    /// Frames of it that count, if they are there: the rest of them were only cached. What follows was refused.
    pub previous_most: u64,
    /// Bytes of the file.
    pub len: u64,
}

/// Hashes headers and frames.
#[derive(Clone, Debug)]
pub struct Hashes(NamedHash);

impl Default for Hashes {
    fn default() -> Self {
        Hashes(NamedHash::new(b"midge journal 1"))
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

impl SegmentHeader {
    /// The header as bytes, a sector of them, and its checksum, which the first frame continues.
    pub fn encode(&self, hashes: &Hashes) -> (Vec<u8>, u64) {
        let mut out = MAGIC.to_vec();
        let Self { sequence, live_from, previous, previous_frames, previous_most, len } = *self;
        for field in [sequence, live_from, previous, previous_frames, previous_most, len] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        let sum = hashes.0.sum(&[&out]);
        out.extend_from_slice(&sum);
        out.resize(SECTOR, 0);
        (out, u64::from_le_bytes(sum))
    }

    /// The header and its checksum; none when the segment is free or its header damaged.
    pub fn decode(bytes: &[u8], hashes: &Hashes) -> Option<(SegmentHeader, u64)> {
        let sum = word(bytes, SEGMENT_HEAD - 8)?;
        let covered = bytes.get(..SEGMENT_HEAD - 8)?;
        if !covered.starts_with(MAGIC) || u64::from_le_bytes(hashes.0.sum(&[covered])) != sum {
            return None;
        }
        let header = SegmentHeader {
            sequence: word(bytes, 8)?,
            live_from: word(bytes, 16)?,
            previous: word(bytes, 24)?,
            previous_frames: word(bytes, 32)?,
            previous_most: word(bytes, 40)?,
            len: word(bytes, 48)?,
        };
        Some((header, sum))
    }
}

/// Where a frame stands in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The segment.
    pub sequence: u64,
    /// The number of the frame in it, from 0.
    pub number: u64,
    /// Frames of the segment that were on stable storage when this one was written.
    pub synced: u64,
    /// The checksum of the frame before, or of the segment's header.
    pub before: u64,
}

/// Bytes of a frame whose body has so many.
pub fn frame_len(body: usize) -> usize {
    (FRAME_HEAD + body).next_multiple_of(SECTOR)
}

/// Fills in the head of `frame`, which is a head of any content with the body behind it, and pads it; answers the checksum.
pub fn seal(frame: &mut Vec<u8>, records: u32, link: Link, hashes: &Hashes) -> u64 {
    let body = frame.len().saturating_sub(FRAME_HEAD);
    let mut head = Vec::with_capacity(FRAME_HEAD);
    head.extend_from_slice(&u32::try_from(body).unwrap_or(u32::MAX).to_le_bytes());
    head.extend_from_slice(&records.to_le_bytes());
    for field in [link.sequence, link.number, link.synced, link.before] {
        head.extend_from_slice(&field.to_le_bytes());
    }
    let sum = hashes.0.sum(&[&head, frame.get(FRAME_HEAD..).unwrap_or_default()]);
    head.extend_from_slice(&sum);
    if let Some(place) = frame.get_mut(..FRAME_HEAD) {
        place.copy_from_slice(&head);
    }
    frame.resize(frame_len(body), 0);
    u64::from_le_bytes(sum)
}

/// A frame that was read.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its place.
    pub link: Link,
    /// Its checksum.
    pub sum: u64,
    /// How many records the body holds.
    pub records: u32,
    /// The records.
    pub body: &'a [u8],
    /// Bytes that it takes in the segment.
    pub len: usize,
}

/// The frame that starts here, if its checksum holds; its place is the caller's to judge.
pub fn open<'a>(bytes: &'a [u8], hashes: &Hashes) -> Option<Frame<'a>> {
    let body_len = usize::try_from(half(bytes, 0)?).ok()?;
    let records = half(bytes, 4)?;
    let body = bytes.get(FRAME_HEAD..FRAME_HEAD.checked_add(body_len)?)?;
    let sum = word(bytes, 40)?;
    if records == 0 || u64::from_le_bytes(hashes.0.sum(&[bytes.get(..40)?, body])) != sum {
        return None;
    }
    Some(Frame { link: link(bytes)?, sum, records, body, len: frame_len(body_len) })
}

/// What would be the place of the frame that starts here, if one does.
pub fn link(bytes: &[u8]) -> Option<Link> {
    Some(Link {
        sequence: word(bytes, 8)?,
        number: word(bytes, 16)?,
        synced: word(bytes, 24)?,
        before: word(bytes, 32)?,
    })
}

/// Where frames begin.
pub(super) const FIRST_FRAME: u64 = SEGMENT_HEADER_LEN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_a_flipped_bit_does_not() {
        let hashes = Hashes::default();
        let header = SegmentHeader {
            sequence: 7,
            live_from: 5,
            previous: 6,
            previous_frames: 40,
            previous_most: 41,
            len: 1 << 20,
        };
        let (mut bytes, sum) = header.encode(&hashes);
        assert_eq!(bytes.len(), SECTOR);
        assert_eq!(SegmentHeader::decode(&bytes, &hashes), Some((header, sum)));
        for at in 0..SEGMENT_HEAD {
            bytes[at] ^= 4;
            assert_eq!(SegmentHeader::decode(&bytes, &hashes), None, "byte {at}");
            bytes[at] ^= 4;
        }
        assert_eq!(SegmentHeader::decode(&[0; SECTOR], &hashes), None);
        assert_eq!(SegmentHeader::decode(&bytes[..20], &hashes), None);
    }

    #[test]
    fn a_frame_comes_back_whole_or_not_at_all() {
        let hashes = Hashes::default();
        let link = Link { sequence: 3, number: 9, synced: 8, before: 77 };
        let mut bytes = vec![0; FRAME_HEAD];
        bytes.extend_from_slice(&[1; 600]);
        let sum = seal(&mut bytes, 2, link, &hashes);
        assert_eq!(bytes.len(), 1024);
        let frame = open(&bytes, &hashes).unwrap();
        assert_eq!((frame.link, frame.sum, frame.records, frame.len), (link, sum, 2, 1024));
        assert_eq!(frame.body, &[1; 600]);
        for len in 0..FRAME_HEAD + 600 {
            assert!(open(&bytes[..len], &hashes).is_none(), "cut at {len}");
        }
        for at in 0..FRAME_HEAD + 600 {
            bytes[at] ^= 1;
            assert!(open(&bytes, &hashes).is_none(), "byte {at}");
            bytes[at] ^= 1;
        }
    }
}
