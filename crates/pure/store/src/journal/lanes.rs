//! What the committer knows of stores and of their files.

use std::collections::BTreeSet;
use std::sync::Arc;

use midge_stdx::hash::Map;

use super::record::Fingerprint;
use crate::port::{DiskError, Handle, Name};

/// A file with a place in the table.
pub(super) type FileId = usize;

/// A file that was written, or of which the journal speaks.
pub(super) struct FileState {
    pub(super) lane: u32,
    pub(super) name: Name,
    /// Relative to the store directory.
    pub(super) path: Arc<str>,
    pub(super) handle: Option<Handle>,
    /// The end of the file, with what this round writes: below it, a write is an overwrite.
    pub(super) end: u64,
    /// Round of the last use, to close those that rest.
    pub(super) used: u64,
    /// The last segment with a record of it.
    pub(super) live: u64,
    /// Those records reach so far.
    pub(super) live_end: u64,
    /// One of them replaces or removes the file: what is not journaled would not survive a replay.
    pub(super) whole: bool,
    /// One of them removes it: it may not come back before a barrier.
    pub(super) removed: bool,
    /// The last segment in whose list of files it is.
    pub(super) listed: u64,
    /// Written since its last sync.
    pub(super) unsynced: bool,
    /// Written since its last sync without the journal.
    pub(super) cached: bool,
    /// The last round with a record of it.
    pub(super) framed: u64,
    /// An action that waits for the frame will replace or remove it.
    pub(super) pending: bool,
    /// It was opened before, so that what is known of it is known.
    pub(super) met: bool,
    /// Its name, and those of the folders up to the lane's, are on stable storage.
    pub(super) named: bool,
    /// A sync of it failed, and it could not be written again: no segment with a record of it is freed.
    pub(super) suspect: bool,
}

impl FileState {
    /// Whether a replay would touch it.
    pub(super) fn is_live(&self, oldest: u64) -> bool {
        self.live >= oldest
    }

    /// Forgets the records: a barrier is on stable storage.
    pub(super) fn settled(&mut self) {
        (self.live, self.live_end) = (0, 0);
        (self.whole, self.removed, self.pending) = (false, false, false);
    }
}

/// The deltas of a consumer that only the journal holds. There is one while there are such.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConsumerState {
    /// The oldest that counts.
    pub(super) first: u64,
    /// The oldest segment that holds one that counts.
    pub(super) segment: u64,
}

/// What a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// A store uses it.
    Open,
    /// No store uses it; the journal may hold deltas.
    Idle,
    /// Its folder was deleted.
    Gone,
}

/// A lane.
pub(super) struct LaneState {
    pub(super) folder: Arc<str>,
    pub(super) standing: Standing,
    /// Why it is refused.
    pub(super) refused: Option<DiskError>,
    /// The journal holds operations of it that were not carried out.
    pub(super) undone: bool,
    pub(super) files: Map<Name, FileId>,
    /// The block that was written last.
    pub(super) hot: Option<(u32, FileId)>,
    /// The last segment that says what its number means.
    pub(super) registered: u64,
    /// `msgs/index.db`, once it was looked at.
    pub(super) index: Option<Option<Fingerprint>>,
    pub(super) consumers: Map<Arc<str>, ConsumerState>,
    /// Folders with names that may not be on stable storage.
    pub(super) folders: BTreeSet<Arc<str>>,
    /// Its submissions in the batch, and how many of them are behind.
    pub(super) queue: Vec<usize>,
    pub(super) at: usize,
    /// Where the round began for it.
    pub(super) round_at: usize,
    /// The frame of this round speaks of it.
    pub(super) in_frame: bool,
    /// A round in which nothing of it follows any more.
    pub(super) barred: u64,
    /// The submission from which on it failed in this round.
    pub(super) failed: Option<(usize, DiskError)>,
}

impl LaneState {
    pub(super) fn new(folder: Arc<str>, standing: Standing) -> LaneState {
        LaneState {
            folder,
            standing,
            refused: None,
            undone: false,
            files: Map::default(),
            hot: None,
            registered: 0,
            index: None,
            consumers: Map::default(),
            folders: BTreeSet::new(),
            queue: Vec::new(),
            at: 0,
            round_at: 0,
            in_frame: false,
            barred: 0,
            failed: None,
        }
    }

    /// Whether the operation that comes next is the first of the round.
    pub(super) fn is_first(&self) -> bool {
        self.at == self.round_at
    }
}

/// The files of all lanes, in places that are used again.
#[derive(Default)]
pub(super) struct FileTable {
    places: Vec<Option<FileState>>,
    vacant: Vec<FileId>,
    pub(super) open: usize,
}

impl FileTable {
    pub(super) fn insert(&mut self, state: FileState) -> FileId {
        if let Some(id) = self.vacant.pop() {
            self.places[id] = Some(state);
            return id;
        }
        self.places.push(Some(state));
        self.places.len() - 1
    }

    pub(super) fn remove(&mut self, id: FileId) -> Option<FileState> {
        let state = self.places.get_mut(id)?.take()?;
        self.vacant.push(id);
        Some(state)
    }

    /// The file, if it is still known.
    pub(super) fn find(&self, id: FileId) -> Option<&FileState> {
        self.places.get(id)?.as_ref()
    }

    /// The file, which the caller knows to be there: ids come from a lane's own map.
    pub(super) fn get(&self, id: FileId) -> &FileState {
        self.places[id].as_ref().expect("a lane lists only files that are in the table")
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, id: FileId) -> &mut FileState {
        self.places[id].as_mut().expect("a lane lists only files that are in the table")
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FileId, &FileState)> {
        self.places.iter().enumerate().filter_map(|(id, state)| Some((id, state.as_ref()?)))
    }
}
