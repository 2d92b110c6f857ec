//! Files of consumers, written a little later than they are promised.
//!
//! Once the frame is on stable storage, a consumer that was made, changed or deleted survives whatever happens: a replay does it. So the file system
//! hears of it when the disk has time, or soon in any case, and of a consumer that was deleted meanwhile not at all. What is late is written before
//! anything else is done to files of stores, before the segment that speaks of it is closed, and before a lane ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::commit::put_file;
use super::committer::Committer;
use super::gather::under;
use super::lanes::FileId;
use super::post::Act;
use super::{STAGED, limits};
use crate::format::names;
use crate::port::{DiskError, Fault, Lane, Name, Op};

/// What is not in its place yet.
#[derive(Default)]
pub(super) struct Late {
    /// New contents, by lane.
    files: BTreeMap<(usize, Name), Bytes>,
    /// Folders that go, before any of the files is written.
    folders: BTreeSet<(usize, Arc<str>)>,
    bytes: usize,
    /// How often something was written.
    written: u64,
}

impl Late {
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.folders.is_empty()
    }

    /// Changes whenever the file system has caught up.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    fn is_much(&self) -> bool {
        self.files.len() + self.folders.len() > limits::LATE_FILES || self.bytes > limits::LATE_LEN
    }
}

/// Whether what is to be done after the frame may be done later.
pub(super) fn may_wait(act: &Act, op: &Op) -> bool {
    match (act, op) {
        (Act::Replace, Op::Replace { files, .. }) => {
            files.iter().all(|(name, _)| under(name, names::CONSUMERS))
        }
        (Act::Clear { .. }, _) => true,
        _ => false,
    }
}

impl Committer {
    /// Takes over what may wait.
    pub(super) fn put_late(&mut self, lane: usize, op: &Op, act: &Act) {
        match (act, op) {
            (Act::Replace, Op::Replace { files, .. }) => {
                for (name, bytes) in files {
                    let id = self.file(lane, name);
                    self.is_in_place(id);
                    self.late.bytes += bytes.len();
                    let before = self.late.files.insert((lane, name.clone()), bytes.clone());
                    self.late.bytes -= before.map_or(0, |bytes| bytes.len());
                }
            }
            (Act::Clear { folder, files, absent }, _) => {
                files.iter().for_each(|id| self.is_in_place(*id));
                let inside = |&(l, ref name): &(usize, Name)| l == lane && under(name, folder);
                let dropped = self.late.files.extract_if(.., |key, _| inside(key));
                self.late.bytes -= dropped.map(|(_, bytes)| bytes.len()).sum::<usize>();
                // One that was never written needs no removal.
                if *absent != Some(self.late.written) {
                    self.late.folders.insert((lane, folder.clone()));
                }
            }
            _ => {}
        }
    }

    /// To those who ask for it, the file is as the frame says.
    fn is_in_place(&mut self, id: FileId) {
        self.close_file(id);
        let state = self.table.get_mut(id);
        (state.end, state.pending, state.named) = (0, false, false);
    }

    /// Whether something waits to be written.
    pub fn is_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Writes what waits. What fails is done from the journal, when the store has seen it or before the segment is freed.
    pub fn write_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let written = self.late.written + 1;
        let Late { files, folders, .. } =
            std::mem::replace(&mut self.late, Late { written, ..Late::default() });
        for (lane, folder) in folders {
            let path = format!("{}/{folder}", self.lanes[lane].folder);
            match self.files.remove_folder(&path) {
                Err(error) if error.fault != Fault::Absent => self.late_failed(lane, error),
                _ => {}
            }
        }
        for ((lane, name), bytes) in files {
            let staged = format!("{STAGED}/{}", self.next_number);
            self.next_number += 1;
            let id = self.file(lane, &name);
            let pending = self.table.get(id).pending;
            let put = put_file(&*self.files, &staged, &bytes, false)
                .and_then(|()| self.take_place(lane, &name, &staged));
            // The round that is being gathered may be about to replace it again.
            self.table.get_mut(id).pending = pending;
            if let Err(error) = put {
                self.late_failed(lane, error);
            }
        }
    }

    pub(super) fn write_if_much(&mut self) {
        if self.late.is_much() {
            self.write_late();
        }
    }

    /// Lanes that refuse since the last call, without an operation of theirs that failed: their owners should know.
    pub fn take_refusing(&mut self) -> Vec<Lane> {
        let mut lanes: Vec<Lane> = self.refusing.drain().map(Lane).collect();
        lanes.sort_unstable();
        lanes
    }

    /// Refuses what a lane submits from here on.
    pub(super) fn refuse(&mut self, lane: usize, error: DiskError) {
        self.lanes[lane].refused = Some(error);
        self.refusing.extend(u32::try_from(lane));
    }

    fn late_failed(&mut self, lane: usize, error: DiskError) {
        let state = &mut self.lanes[lane];
        state.undone = true;
        state.refused.get_or_insert(error);
        self.refusing.extend(u32::try_from(lane));
    }

    /// What the journal holds of this lane was carried out from it.
    pub(super) fn forget_late(&mut self, lane: usize) {
        self.late.files.retain(|(l, _), _| *l != lane);
        self.late.folders.retain(|(l, _)| *l != lane);
        self.late.bytes = self.late.files.values().map(Bytes::len).sum();
    }
}
