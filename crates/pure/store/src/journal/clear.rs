//! Small folders, removed file by file.
//!
//! A folder that is moved into the trash costs two syncs of folders, and a round in which nothing of its lane follows. That of a consumer holds three
//! or four files: those go by name, with one record, and the empty folder after them.

use std::sync::Arc;

use super::committer::Committer;
use super::gather::under;
use super::lanes::FileId;
use super::limits;
use crate::format::names;
use crate::port::{DiskError, Fault, Name};

/// A folder whose files are removed one by one.
pub(super) struct Small {
    pub(super) folder: Arc<str>,
    pub(super) files: Vec<Name>,
    /// When it was seen that no such folder stands in the file system, by what had been written of what is late.
    pub(super) absent: Option<u64>,
}

/// The files of a folder, and when it was seen that it does not stand.
type Standing = (Vec<Name>, Option<u64>);

impl Committer {
    /// Tells the folders of consumers, which hold nothing but a few files, from those that go into the trash.
    pub(super) fn small_folders(
        &self,
        lane: usize,
        folders: Vec<Arc<str>>,
    ) -> Result<(Vec<Small>, Vec<Arc<str>>), DiskError> {
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for folder in folders {
            match self.files_of_small(lane, &folder)? {
                Some((files, absent)) => small.push(Small { folder, files, absent }),
                None => large.push(folder),
            }
        }
        Ok((small, large))
    }

    fn files_of_small(&self, lane: usize, folder: &str) -> Result<Option<Standing>, DiskError> {
        let consumer = folder.strip_prefix(names::CONSUMERS).and_then(|rest| rest.strip_prefix('/'));
        if consumer.is_none_or(|name| name.is_empty() || name.contains('/')) {
            return Ok(None);
        }
        let (entries, absent) = match self.files.list(&format!("{}/{folder}", self.lanes[lane].folder)) {
            Err(error) if error.fault == Fault::Absent => (Vec::new(), Some(self.late.written())),
            other => (other?, None),
        };
        if entries.len() > limits::SMALL_FOLDER || entries.iter().any(|entry| entry.folder) {
            return Ok(None);
        }
        // The state ends the deltas that the journal has of the consumer, whether it was ever written or not.
        let state = Name::Path(format!("{folder}/{}", names::CONSUMER_STATE).into());
        let found = entries.iter().map(|entry| Name::Path(format!("{folder}/{}", entry.name).into()));
        let known = self.lanes[lane].files.iter();
        let known = known.filter(|(name, id)| under(name, folder) && !self.table.get(**id).removed);
        let mut files: Vec<Name> = found.chain(known.map(|(name, _)| name.clone())).chain([state]).collect();
        files.sort_unstable();
        files.dedup();
        Ok(Some((files, absent)))
    }

    /// The frame says that this file goes.
    pub(super) fn removing(&mut self, id: FileId) {
        let path = self.table.get(id).path.clone();
        self.list_folders(id, &path);
        let sequence = self.segments.sequence();
        let state = self.table.get_mut(id);
        (state.pending, state.unsynced, state.cached) = (true, false, false);
        (state.whole, state.removed) = (true, true);
        state.live = sequence;
        self.segments.current.removed.push(id);
    }

    /// Forgets files of which no segment says any more that they were removed.
    pub(super) fn forget_removed(&mut self) {
        let oldest = self.segments.oldest();
        for id in std::mem::take(&mut self.removed) {
            let over = |f: &super::lanes::FileState| {
                f.removed
                    && !f.is_live(oldest)
                    && !f.pending
                    && !f.unsynced
                    && !f.suspect
                    && f.handle.is_none()
            };
            if self.table.find(id).is_some_and(over) {
                self.drop_file(id);
            }
        }
    }
}
