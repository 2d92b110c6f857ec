//! Reading segments: which frames count, and what is damage.

use std::sync::Arc;

use super::JOURNAL;
use super::layout::{self, FIRST_FRAME, Frame, Hashes, SEGMENT_HEAD, SegmentHeader};
use super::limits::SECTOR;
use super::report::Damage;
use crate::port::{DiskError, Entry, Fault, Files, Mode};

/// A segment in memory, with the frames that count.
pub(super) struct Read {
    pub(super) path: Arc<str>,
    pub(super) header: SegmentHeader,
    pub(super) bytes: Vec<u8>,
    /// Only so many frames, from the first, count.
    pub(super) limit: u64,
}

/// All segments.
#[derive(Default)]
pub(super) struct Found {
    /// In order, without a gap, from the oldest that counts to the last that can be trusted.
    pub(super) usable: Vec<Read>,
    /// Every file in the folder of the journal.
    pub(super) paths: Vec<Arc<str>>,
    /// Those among them that say nothing: free ones, or of a journal that was ended.
    pub(super) void: Vec<Arc<str>>,
    /// What cannot be read although it was promised.
    pub(super) damage: Vec<Damage>,
    /// The highest sequence and slot in use.
    pub(super) sequence: u64,
    pub(super) slot: u64,
}

/// The frames of a segment from its first on, while the chain holds.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    hashes: Hashes,
    at: usize,
    sequence: u64,
    number: u64,
    before: u64,
}

/// Reads the frames of a segment; of none when its header does not hold.
pub(super) fn frames(bytes: &[u8], hashes: Hashes) -> Frames<'_> {
    match SegmentHeader::decode(bytes, &hashes) {
        Some((header, sum)) => Frames {
            bytes,
            hashes,
            at: usize::try_from(FIRST_FRAME).unwrap_or(usize::MAX),
            sequence: header.sequence,
            number: 0,
            before: sum,
        },
        None => Frames { bytes: &[], hashes, at: 0, sequence: 0, number: 0, before: 0 },
    }
}

impl<'a> Frames<'a> {
    /// Where the next frame starts, or would.
    fn position(&self) -> usize {
        self.at
    }

    /// Whether a later frame of this use of the segment says that the one which is missing here was on stable storage.
    fn is_missed(&self) -> bool {
        (self.at..self.bytes.len()).step_by(SECTOR).any(|at| {
            let rest = self.bytes.get(at..).unwrap_or_default();
            // Most of what stands there is of earlier uses, or in the midst of a frame: hashing what that seems to be takes longer than all the rest.
            layout::link(rest).is_some_and(|l| l.sequence == self.sequence && l.synced > self.number)
                && layout::open(rest, &self.hashes).is_some()
        })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let frame = layout::open(self.bytes.get(self.at..)?, &self.hashes)?;
        let link = frame.link;
        if (link.sequence, link.number, link.before) != (self.sequence, self.number, self.before) {
            return None;
        }
        self.at += frame.len;
        self.number += 1;
        self.before = frame.sum;
        Some(frame)
    }
}

/// The whole content of a file.
pub(super) fn read_segment(files: &dyn Files, path: &str) -> Result<Vec<u8>, DiskError> {
    read_up_to(files, path, u64::MAX)
}

fn read_up_to(files: &dyn Files, path: &str, most: u64) -> Result<Vec<u8>, DiskError> {
    let handle = files.open(path, Mode::Read)?;
    let read = || {
        let len = files.len(handle)?.min(most);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let read = files.read_at(handle, 0, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    };
    let result = read();
    files.close(handle);
    result
}

/// Reads all segments and decides which frames count.
pub(super) fn read_segments(files: &dyn Files) -> Result<Found, DiskError> {
    read_segments_as(files, false)
}

/// The same; with `every`, of whatever generation, as it must not be.
pub(super) fn read_segments_as(files: &dyn Files, every: bool) -> Result<Found, DiskError> {
    let hashes = Hashes::default();
    let mut found = Found::default();
    let mut read = Vec::new();
    let entries = match files.list(JOURNAL) {
        Err(error) if error.fault == Fault::Absent => return Ok(found),
        other => other?,
    };
    for Entry { name, folder, .. } in entries {
        let Ok(slot) = name.parse::<u64>() else { continue };
        if folder {
            continue;
        }
        let path: Arc<str> = format!("{JOURNAL}/{name}").into();
        found.slot = found.slot.max(slot);
        found.paths.push(path.clone());
        // A free one is not read whole.
        let head = read_up_to(files, &path, SECTOR as u64)?;
        let bytes =
            if SegmentHeader::decode(&head, &hashes).is_some() { read_segment(files, &path)? } else { head };
        if let Some((header, _)) = SegmentHeader::decode(&bytes, &hashes) {
            found.sequence = found.sequence.max(header.sequence);
            read.push(Read { path, header, bytes, limit: 0 });
        } else if bytes.get(..SEGMENT_HEAD).is_some_and(|head| !is_torn(head)) {
            let cause = "the header of the segment cannot be read".into();
            found.damage.push(Damage { segment: path.to_string(), position: 0, cause });
        } else {
            found.void.push(path);
        }
    }
    read.sort_by_key(|r| r.header.sequence);
    let live_from = read.iter().map(|r| r.header.live_from).max().unwrap_or(0);
    if every {
        for mut segment in read {
            segment.limit = frames(&segment.bytes, hashes.clone()).count() as u64;
            found.usable.push(segment);
        }
        return Ok(found);
    }
    read.retain(|r| r.header.sequence >= live_from);
    judge(&mut found, read, &hashes);
    Ok(found)
}

/// Whether the header may have been on its way from zeros, or to them: nothing was promised under it then.
fn is_torn(head: &[u8]) -> bool {
    head.first() == Some(&0) || head.last() == Some(&0)
}

/// Puts the segments in the order of the chain that the newest header tells: one that could not be begun is in none. Where the chain is broken, it goes
/// on with the newest before; those behind the first break are damage.
fn chain(mut read: Vec<Read>, hashes: &Hashes) -> (Vec<Read>, Option<Damage>) {
    let (mut order, mut broken): (Vec<Read>, _) = (Vec::new(), None);
    while let Some(newest) = read.pop() {
        let wanted = order.last().map(|next| next.header.previous);
        match wanted {
            Some(wanted) if newest.header.sequence > wanted => continue,
            Some(wanted) if newest.header.sequence < wanted => {
                // Those before the first were freed since the last header was written. What never was begun has no frames.
                if frames(&newest.bytes, hashes.clone()).next().is_none() {
                    continue;
                }
                let cause = format!("segment {wanted} of the journal is missing before it");
                let segment = order.last().map_or_else(String::new, |next| next.path.to_string());
                broken = Some(Damage { segment, position: 0, cause });
                order.clear();
            }
            _ => {}
        }
        order.push(newest);
    }
    order.reverse();
    (order, broken)
}

fn judge(found: &mut Found, read: Vec<Read>, hashes: &Hashes) {
    let (read, broken) = chain(read, hashes);
    let told = |next: &Read| Some((next.header.previous_frames, next.header.previous_most));
    let limits: Vec<Option<(u64, u64)>> = read.iter().skip(1).map(told).chain([None]).collect();
    for (mut segment, limits) in read.into_iter().zip(limits) {
        let (promised, most) = (limits.map(|l| l.0), limits.map_or(u64::MAX, |l| l.1));
        let mut walk = frames(&segment.bytes, hashes.clone());
        let count = walk.by_ref().take(usize::try_from(most).unwrap_or(usize::MAX)).count() as u64;
        segment.limit = count;
        let lost = match promised {
            Some(promised) => count < promised,
            None => walk.is_missed(),
        };
        let position = walk.position() as u64;
        let path = segment.path.to_string();
        found.usable.push(segment);
        if lost {
            let cause = format!("frame {count} was on stable storage and cannot be read");
            found.damage.push(Damage { segment: path, position, cause });
            return;
        }
    }
    found.damage.extend(broken);
}
