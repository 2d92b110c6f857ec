//! The segments on disk: created, written, begun anew.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::JOURNAL;
use super::lanes::FileId;
use super::layout::{FIRST_FRAME, Hashes, Link, SegmentHeader, frame_len, seal};
use super::limits::{FILL_LEN, FIRST_SEGMENTS, SECTOR};
use super::settings::{Flaw, Settings};
use crate::port::{DiskError, Fault, Files, Handle, Mode};

/// A segment in use, or waiting for its files to be synced.
pub(super) struct Segment {
    pub(super) path: Arc<str>,
    pub(super) handle: Handle,
    pub(super) header: SegmentHeader,
    /// Where the next frame goes.
    pub(super) at: u64,
    pub(super) frames: u64,
    pub(super) synced: u64,
    /// Frames whose operations were completed, on stable storage or not.
    pub(super) completed: u64,
    last_sum: u64,
    /// It may hold bytes that were erased since.
    pub(super) wipe: bool,
    /// Files and folders that it speaks of, each once.
    pub(super) files: Vec<Arc<str>>,
    pub(super) folders: BTreeSet<Arc<str>>,
    /// Folders in the trash that go once the segment is free.
    pub(super) trash: Vec<u64>,
    /// Files of which it says that they go; by then they may have been forgotten, and others have their places.
    pub(super) removed: Vec<FileId>,
    /// All its files are synced.
    pub(super) checkpointed: bool,
    /// A write or sync of it failed: it takes no further frame.
    pub(super) bad: bool,
}

struct Free {
    path: Arc<str>,
    handle: Handle,
    len: u64,
}

/// A segment that is to be created while another is in use.
#[derive(Clone, Debug)]
pub(super) struct Growth {
    path: Arc<str>,
    len: u64,
}

impl Growth {
    /// Creates it. On any thread.
    pub(super) fn create(&self, files: &dyn Files) -> Result<Handle, DiskError> {
        create(files, &self.path, self.len)
    }
}

/// What a segment that is free no longer holds on to.
#[derive(Default)]
pub(super) struct Freed {
    pub(super) trash: Vec<u64>,
    pub(super) removed: Vec<FileId>,
}

/// All segments of a store directory.
pub(super) struct Segments {
    files: Arc<dyn Files>,
    hashes: Hashes,
    settings: Settings,
    pub(super) current: Segment,
    /// Oldest first.
    pub(super) closed: VecDeque<Segment>,
    free: Vec<Free>,
    next_slot: u64,
    /// Bytes of the next one that is created.
    next_len: u64,
    /// One is being created elsewhere.
    growing: bool,
    /// The segment in the midst of which that was last asked for.
    grown_at: u64,
    /// Space is for what has to be written: none is taken ahead.
    pub(super) sparing: bool,
    /// Never given twice: a segment that could not be begun may still be found under it.
    next_sequence: u64,
}

fn zero(files: &dyn Files, handle: Handle, from: u64, to: u64) -> Result<(), DiskError> {
    let zeros = vec![0; 1 << 20];
    let mut at = from;
    while at < to {
        let part = usize::try_from(to - at).unwrap_or(zeros.len()).min(zeros.len());
        files.write_at(handle, at, &zeros[..part])?;
        at += part as u64;
    }
    Ok(())
}

fn create(files: &dyn Files, path: &str, len: u64) -> Result<Handle, DiskError> {
    let handle = files.open(path, Mode::Sectors)?;
    let fill = || {
        files.allocate(handle, len)?;
        // Reserved space that was never written costs a metadata update with the first write of each part. One sync of all of it would hold up those of
        // the segment that is in use.
        let mut at = 0;
        while at < len {
            let end = len.min(at + FILL_LEN);
            zero(files, handle, at, end)?;
            files.sync(handle)?;
            at = end;
        }
        files.sync_folder(JOURNAL)
    };
    fill().inspect_err(|_| {
        files.close(handle);
        // A segment without a header is no segment: one that cannot be removed is found and removed at the next start.
        let _ = files.remove(path);
    })?;
    Ok(handle)
}

impl Segment {
    fn new(free: Free, header: SegmentHeader, sum: u64) -> Segment {
        Segment {
            path: free.path,
            handle: free.handle,
            header,
            at: FIRST_FRAME,
            frames: 0,
            synced: 0,
            completed: 0,
            last_sum: sum,
            wipe: false,
            files: Vec::new(),
            folders: BTreeSet::new(),
            trash: Vec::new(),
            removed: Vec::new(),
            checkpointed: false,
            bad: false,
        }
    }
}

impl Segments {
    /// Begins a journal in an existing folder, with a sequence above all that were used and room for `carried` bytes of frames. It counts, and those before
    /// it do not any more, once it is [published](Segments::publish).
    pub(super) fn begin(
        files: Arc<dyn Files>,
        settings: Settings,
        sequence: u64,
        slot: u64,
        carried: u64,
    ) -> Result<Segments, DiskError> {
        let mut free = Vec::new();
        let first_len = settings.first_segment_len.max(FIRST_FRAME + carried).next_multiple_of(SECTOR as u64);
        for (n, len) in (0..FIRST_SEGMENTS as u64).zip([first_len, settings.first_segment_len]) {
            let path: Arc<str> = format!("{JOURNAL}/{}", slot + n).into();
            match create(&*files, &path, len) {
                Ok(handle) => free.push(Free { path, handle, len }),
                Err(error) => {
                    // Whoever tries again should find the space that the others took.
                    for segment in free {
                        files.close(segment.handle);
                        let _ = files.remove(&segment.path);
                    }
                    return Err(error);
                }
            }
        }
        let hashes = Hashes::default();
        let first = free.remove(0);
        let header = SegmentHeader {
            sequence,
            live_from: sequence,
            previous: 0,
            previous_frames: 0,
            previous_most: 0,
            len: first.len,
        };
        let (_, sum) = header.encode(&hashes);
        let current = Segment::new(first, header, sum);
        let next_len = settings.first_segment_len.saturating_mul(2).min(settings.segment_len);
        Ok(Segments {
            files,
            hashes,
            settings,
            current,
            closed: VecDeque::new(),
            free,
            next_slot: slot + FIRST_SEGMENTS as u64,
            next_len,
            growing: false,
            grown_at: 0,
            sparing: false,
            next_sequence: sequence + 1,
        })
    }

    /// Writes the header of the first segment, with what it holds by now: from here on a replay reads it, and nothing older.
    pub(super) fn publish(&mut self) -> Result<(), DiskError> {
        let (bytes, _) = self.current.header.encode(&self.hashes);
        self.files.write_at(self.current.handle, 0, &bytes)?;
        self.files.sync(self.current.handle)
    }

    /// The oldest segment that a replay would read.
    pub(super) fn oldest(&self) -> u64 {
        self.closed.front().map_or(self.current.header.sequence, |s| s.header.sequence)
    }

    /// The sequence of the current segment.
    pub(super) fn sequence(&self) -> u64 {
        self.current.header.sequence
    }

    /// Whether a frame with such a body fits into the current segment.
    pub(super) fn fits(&self, body: usize) -> bool {
        !self.current.bad && self.current.at + frame_len(body) as u64 <= self.current.header.len
    }

    /// Whether a new segment has to be created, or the oldest freed, before the next can begin.
    pub(super) fn exhausted(&self, body: usize) -> bool {
        let need = FIRST_FRAME + frame_len(body) as u64;
        !self.free.iter().any(|f| f.len >= need) && self.closed.len() + 1 >= self.settings.segments
    }

    /// Seals and writes a frame. After an error the segment takes no further frame.
    pub(super) fn append(&mut self, frame: &mut Vec<u8>, records: u32) -> Result<(), DiskError> {
        let segment = &mut self.current;
        let link = Link {
            sequence: segment.header.sequence,
            number: segment.frames,
            synced: segment.synced,
            before: segment.last_sum,
        };
        let sum = seal(frame, records, link, &self.hashes);
        self.files.write_at(segment.handle, segment.at, frame).inspect_err(|_| segment.bad = true)?;
        segment.last_sum = sum;
        segment.at += frame.len() as u64;
        segment.frames += 1;
        Ok(())
    }

    /// Whether frames were written that are not on stable storage.
    pub(super) fn unsynced(&self) -> bool {
        !self.current.bad && self.current.synced < self.current.frames
    }

    /// Puts what was written on stable storage. An error is never followed by another try on the same file.
    pub(super) fn sync(&mut self) -> Result<(), DiskError> {
        if self.unsynced() && self.settings.flaw != Some(Flaw::AcknowledgeBeforeSync) {
            self.files.sync(self.current.handle).inspect_err(|_| self.current.bad = true)?;
        }
        if !self.current.bad {
            self.current.synced = self.current.frames;
        }
        Ok(())
    }

    /// Closes the current segment and begins another, with room for such a body. On an error the current one stays, and takes no further frame when the
    /// other may be found to follow it.
    pub(super) fn rotate(&mut self, body: usize) -> Result<(), DiskError> {
        if !self.current.bad {
            // An error leaves the frames that are synced, which is what the next header counts.
            let _ = self.sync();
        }
        let need = FIRST_FRAME + frame_len(body).next_multiple_of(SECTOR) as u64;
        let fitting = self.free.iter().enumerate().filter(|(_, f)| f.len >= need);
        let fresh = match fitting.max_by_key(|(_, f)| f.len).map(|(at, _)| at) {
            Some(at) => self.free.swap_remove(at),
            None => self.enlarge(need)?,
        };
        let header = SegmentHeader {
            sequence: self.next_sequence,
            live_from: self.oldest(),
            previous: self.sequence(),
            previous_frames: self.current.synced,
            previous_most: self.current.synced.max(self.current.completed),
            len: fresh.len,
        };
        self.next_sequence += 1;
        match start(&*self.files, &self.hashes, fresh, header) {
            Ok(next) => self.closed.push_back(std::mem::replace(&mut self.current, next)),
            Err((broken, error)) => {
                // Its header says how many frames of the current one count.
                self.current.bad = true;
                let _ = self.files.write_at(broken.handle, 0, &[0; SECTOR]);
                let _ = self.files.sync(broken.handle);
                self.discard(&broken);
                let _ = self.files.sync_folder(JOURNAL);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Creates one here and now. While a larger one is on its way, the least does.
    fn enlarge(&mut self, need: u64) -> Result<Free, DiskError> {
        let usual =
            if self.growing || self.sparing { self.settings.first_segment_len } else { self.next_len };
        let Growth { path, len } = self.slot(usual.max(need.next_multiple_of(SECTOR as u64)));
        let handle = create(&*self.files, &path, len)?;
        if !self.growing {
            self.larger();
        }
        Ok(Free { path, handle, len })
    }

    fn slot(&mut self, len: u64) -> Growth {
        self.next_slot += 1;
        Growth { path: format!("{JOURNAL}/{}", self.next_slot - 1).into(), len }
    }

    fn larger(&mut self) {
        self.next_len = self.next_len.saturating_mul(2).min(self.settings.segment_len);
    }

    /// The segment to create elsewhere, once the one in use is half full and none of the next size is there to follow it: filling it takes longer than
    /// anybody should wait.
    pub(super) fn growth(&mut self) -> Option<Growth> {
        let half = self.current.at > self.current.header.len / 2;
        let ready = self.free.iter().any(|f| f.len >= self.next_len);
        let many = self.closed.len() + 1 >= self.settings.segments;
        // One that failed is not tried again and again.
        if !half || ready || many || self.growing || self.sparing || self.grown_at == self.sequence() {
            return None;
        }
        (self.growing, self.grown_at) = (true, self.sequence());
        Some(self.slot(self.next_len))
    }

    /// It was created, or not.
    pub(super) fn grown(&mut self, growth: Growth, created: Result<Handle, DiskError>) {
        self.growing = false;
        if let Ok(handle) = created {
            let Growth { path, len } = growth;
            self.free.push(Free { path, handle, len });
            self.larger();
        }
    }

    fn discard(&self, segment: &Free) {
        self.files.close(segment.handle);
        // One that stays has no valid header: it is removed at the next start.
        let _ = self.files.remove(&segment.path);
    }

    /// Makes the oldest closed segment free: wiped if it has to be, and without a header, on stable storage, before anything relies on its being gone.
    pub(super) fn free_oldest(&mut self) -> Result<Freed, DiskError> {
        let Some(segment) = self.closed.front() else { return Ok(Freed::default()) };
        if self.settings.flaw != Some(Flaw::KeepHeaderOfFreed) {
            // First the header alone: half wiped under a header that holds, it would look damaged.
            self.files.write_at(segment.handle, 0, &[0; SECTOR])?;
            self.files.sync(segment.handle)?;
            if segment.wipe {
                zero(&*self.files, segment.handle, SECTOR as u64, segment.at)?;
                self.files.sync(segment.handle)?;
            }
        }
        let Some(segment) = self.closed.pop_front() else { return Ok(Freed::default()) };
        let free = Free { path: segment.path, handle: segment.handle, len: segment.header.len };
        let wanted = free.len >= self.next_len && free.len <= self.settings.segment_len;
        let spare = self.free.iter().filter(|f| f.len >= self.next_len).count();
        if segment.bad || (!wanted && spare > 0) {
            self.discard(&free);
        } else {
            self.free.push(free);
        }
        while self.free.len() > self.settings.segments {
            let least = self.free.iter().enumerate().min_by_key(|(_, f)| f.len).map(|(at, _)| at);
            let Some(least) = least else { break };
            let least = self.free.swap_remove(least);
            self.discard(&least);
        }
        Ok(Freed { trash: segment.trash, removed: segment.removed })
    }

    /// Every segment that a replay would read may hold bytes that were just overwritten.
    pub(super) fn mark_erased(&mut self) {
        self.current.wipe = true;
        self.closed.iter_mut().for_each(|s| s.wipe = true);
    }

    /// Has the journal say nothing any more, so that its segments can be removed in any order.
    pub(super) fn void(&mut self) -> Result<(), DiskError> {
        // From the oldest on: what is left after a crash is a journal of which the beginning is free.
        for segment in self.closed.iter().chain([&self.current]) {
            self.files.write_at(segment.handle, 0, &[0; SECTOR])?;
            self.files.sync(segment.handle)?;
        }
        Ok(())
    }

    /// Closes all files.
    pub(super) fn close(&mut self) {
        let handles = self.closed.drain(..).map(|s| s.handle).chain(self.free.drain(..).map(|f| f.handle));
        handles.chain([self.current.handle]).for_each(|handle| self.files.close(handle));
    }

    pub(super) fn hashes(&self) -> &Hashes {
        &self.hashes
    }
}

fn start(
    files: &dyn Files,
    hashes: &Hashes,
    free: Free,
    header: SegmentHeader,
) -> Result<Segment, (Free, DiskError)> {
    let (bytes, sum) = header.encode(hashes);
    if let Err(error) = files.write_at(free.handle, 0, &bytes).and_then(|()| files.sync(free.handle)) {
        return Err((free, error));
    }
    Ok(Segment::new(free, header, sum))
}

/// What fails when a lane is asked for that is not there.
pub(super) fn no_lane(call: &'static str) -> DiskError {
    DiskError { fault: Fault::Absent, call, path: String::new(), text: "no such store is open".into() }
}
