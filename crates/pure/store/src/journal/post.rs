//! What follows a frame that is on stable storage.

use std::ops::Range;
use std::sync::Arc;

use super::commit::put_file;
use super::committer::Committer;
use super::gather::{is_index, under};
use super::lanes::FileId;
use super::late::may_wait;
use super::{STAGED, TRASH, consumer_of, parent};
use crate::port::{DiskError, Fault, Name, Op, Submission};

/// An action of a submission.
pub(super) struct Post {
    pub(super) lane: usize,
    pub(super) index: usize,
    pub(super) act: Act,
}

/// What is done.
pub(super) enum Act {
    /// Bytes of the frame over others in a file.
    Overwrite { id: FileId, offset: u64, range: Range<usize> },
    /// The contents of the submission in their places.
    Replace,
    /// Staged contents in their places.
    Rename { staged: Vec<u64> },
    /// The files of the submission go.
    Remove,
    /// A small folder of the lane goes, with these files; when it was seen that it does not stand in the file system.
    Clear { folder: Arc<str>, files: Vec<FileId>, absent: Option<u64> },
    /// A folder of the lane, or all of it, goes into the trash.
    Trash { folder: Arc<str>, number: u64 },
    /// A staged file takes its place.
    Adopt { id: FileId, source: String },
    /// A block gets its length.
    SetLen { id: FileId, len: u64 },
    /// A barrier is on stable storage.
    Settled { id: FileId },
}

impl Act {
    pub(super) fn is_overwrite(&self) -> bool {
        matches!(self, Act::Overwrite { .. })
    }
}

impl Committer {
    pub(super) fn run_posts(&mut self, batch: &[Submission]) {
        let mut posts = std::mem::take(&mut self.round.posts);
        for post in posts.drain(..) {
            let Post { lane, index, act } = post;
            if self.lanes[lane].failed.as_ref().is_some_and(|(from, _)| *from <= index) {
                self.give_up(lane, &batch[index].op, &act);
                continue;
            }
            if may_wait(&act, &batch[index].op) {
                self.put_late(lane, &batch[index].op, &act);
                continue;
            }
            if !act.is_overwrite() {
                self.write_late();
            }
            if let Err(error) = self.act(lane, index, &batch[index].op, &act) {
                self.give_up(lane, &batch[index].op, &act);
                self.fail(lane, index, error);
            }
        }
        self.round.posts = posts;
    }

    fn act(&mut self, lane: usize, index: usize, op: &Op, act: &Act) -> Result<(), DiskError> {
        match act {
            Act::Overwrite { id, offset, range } => {
                let handle = self.handle(*id)?;
                self.files.write_at(handle, *offset, &self.round.frame[range.clone()])
            }
            Act::Replace => {
                let Op::Replace { files, .. } = op else { return Ok(()) };
                for (name, bytes) in files {
                    let staged = format!("{STAGED}/{}", self.next_number);
                    self.next_number += 1;
                    // A torn index would look like somebody else's.
                    put_file(&*self.files, &staged, bytes, is_index(name))?;
                    self.take_place(lane, name, &staged)?;
                }
                Ok(())
            }
            Act::Rename { staged } => {
                let Op::Replace { files, .. } = op else { return Ok(()) };
                for ((name, _), number) in files.iter().zip(staged) {
                    self.make_folder(lane, name)?;
                    self.take_place(lane, name, &format!("{STAGED}/{number}"))?;
                }
                Ok(())
            }
            Act::Remove => {
                let Op::Remove { files, .. } = op else { return Ok(()) };
                let plain = |n: &&Name| !matches!(n, Name::Path(path) if path.ends_with('/'));
                files.iter().filter(plain).try_for_each(|name| self.unlink(lane, name))
            }
            // It waits: it does not come here.
            Act::Clear { .. } => Ok(()),
            Act::Trash { folder, number } => self.throw_away(lane, index, folder, *number),
            Act::Adopt { id, source } => {
                self.close_file(*id);
                let path = self.table.get(*id).path.clone();
                self.files.rename(source, &path)?;
                self.drop_file(*id);
                Ok(())
            }
            Act::SetLen { id, len } => {
                let handle = self.handle(*id)?;
                self.files.set_len(handle, *len)?;
                self.files.sync(handle)?;
                self.name_file(*id)?;
                let state = self.table.get_mut(*id);
                state.settled();
                (state.end, state.unsynced) = (*len, false);
                Ok(())
            }
            Act::Settled { id } => {
                self.drop_file(*id);
                Ok(())
            }
        }
    }

    /// The folder is there, on stable storage, before the only copy of a content moves into it.
    fn make_folder(&mut self, lane: usize, name: &Name) -> Result<(), DiskError> {
        let id = self.file(lane, name);
        let path = self.table.get(id).path.clone();
        self.files.create_folder(parent(&path))?;
        let top = self.lanes[lane].folder.clone();
        let mut folder = parent(parent(&path));
        while folder.len() >= top.len() {
            self.sync_folder(folder)?;
            folder = parent(folder);
        }
        Ok(())
    }

    /// A staged file takes the place of a file of the lane.
    pub(super) fn take_place(&mut self, lane: usize, name: &Name, staged: &str) -> Result<(), DiskError> {
        let id = self.file(lane, name);
        self.close_file(id);
        let path = self.table.get(id).path.clone();
        match self.files.rename(staged, &path) {
            Err(error) if error.fault == Fault::Absent => {
                self.files.create_folder(parent(&path))?;
                self.files.rename(staged, &path)?;
            }
            other => other?,
        }
        let state = self.table.get_mut(id);
        (state.end, state.pending, state.named) = (0, false, false);
        Ok(())
    }

    fn unlink(&mut self, lane: usize, name: &Name) -> Result<(), DiskError> {
        let id = self.file(lane, name);
        self.close_file(id);
        let path = self.table.get(id).path.clone();
        match self.files.remove(&path) {
            Err(error) if error.fault != Fault::Absent => return Err(error),
            _ => {}
        }
        let oldest = self.segments.oldest();
        let state = self.table.get_mut(id);
        (state.end, state.pending, state.named) = (0, false, false);
        if !state.is_live(oldest) {
            self.drop_file(id);
        }
        Ok(())
    }

    fn throw_away(
        &mut self,
        lane: usize,
        index: usize,
        folder: &Arc<str>,
        number: u64,
    ) -> Result<(), DiskError> {
        let top = self.lanes[lane].folder.clone();
        let path = if folder.is_empty() { top.to_string() } else { format!("{top}/{folder}") };
        let inside = self.lanes[lane].files.iter().filter(|(name, _)| under(name, folder));
        let mut ids: Vec<FileId> = inside.map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids.iter().for_each(|id| self.close_file(*id));
        let target = format!("{TRASH}/{number}");
        match self.files.rename(&path, &target) {
            // Something has to stand there: without it, a replay would throw away what gets the name next.
            Err(error) if error.fault == Fault::Absent => self.files.create_folder(&target)?,
            other => other?,
        }
        for part in [parent(&path), TRASH] {
            self.round.folders.push((part.into(), index));
        }
        if folder.is_empty() {
            self.forget_lane(lane);
            return Ok(());
        }
        ids.into_iter().for_each(|id| self.drop_file(id));
        if under(&Name::Path(super::INDEX.into()), folder) {
            self.lanes[lane].index = Some(None);
        }
        Ok(())
    }

    /// The frame is on stable storage: the deltas of these consumers do not count any more, whatever becomes of the actions, which a replay would do again.
    pub(super) fn supersede(&mut self, batch: &[Submission]) {
        let posts = std::mem::take(&mut self.round.posts);
        for Post { lane, index, act } in &posts {
            match (act, &batch[*index].op) {
                (Act::Replace | Act::Rename { .. }, Op::Replace { files, .. }) => {
                    files.iter().for_each(|(name, _)| self.superseded(*lane, name));
                }
                (Act::Remove, Op::Remove { files, .. }) => {
                    files.iter().for_each(|name| self.superseded(*lane, name));
                }
                (Act::Trash { folder, .. } | Act::Clear { folder, .. }, _) => {
                    let state = |name: &Arc<str>| Name::Path(format!("obs/{name}/o.dat").into());
                    self.lanes[*lane].consumers.retain(|name, _| !under(&state(name), folder));
                }
                _ => {}
            }
        }
        self.round.posts = posts;
    }

    fn superseded(&mut self, lane: usize, name: &Name) {
        let Name::Path(path) = name else { return };
        let Some(consumer) = consumer_of(path) else { return };
        self.lanes[lane].consumers.remove(consumer);
    }

    /// The action is not done: what waits for it may go on once the lane has caught up with the journal.
    fn give_up(&mut self, lane: usize, op: &Op, act: &Act) {
        self.lanes[lane].undone = true;
        let mut ids = Vec::new();
        let known = |name: &Name| self.lanes[lane].files.get(name).copied();
        match (act, op) {
            (Act::Replace | Act::Rename { .. }, Op::Replace { files, .. }) => {
                ids.extend(files.iter().filter_map(|(name, _)| known(name)));
            }
            (Act::Remove, Op::Remove { files, .. }) => ids.extend(files.iter().filter_map(known)),
            (Act::Trash { folder, .. }, _) => {
                let inside = self.lanes[lane].files.iter().filter(|(name, _)| under(name, folder));
                ids.extend(inside.map(|(_, id)| *id));
            }
            (Act::Adopt { id, .. } | Act::SetLen { id, .. } | Act::Settled { id }, _) => ids.push(*id),
            _ => {}
        }
        for id in ids {
            let state = self.table.get_mut(id);
            state.pending = false;
            // Whether it was removed is no longer known: it is not created again without a barrier.
            state.whole = true;
        }
    }
}
