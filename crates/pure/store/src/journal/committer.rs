//! The committer: its state, its beginning and its end.

use std::sync::Arc;

use midge_stdx::hash::{Map, Set};

use super::checkpoint::{Held, Job, Pending, Waiting};
use super::gather::under;
use super::lanes::{ConsumerState, FileId, FileState, FileTable, LaneState, Standing};
use super::late::Late;
use super::record::Fingerprint;
use super::replay::{Records, replay_at};
use super::report::{Deltas, Report};
use super::segments::{Segments, no_lane};
use super::settings::{Flaw, Settings};
use super::{HOME, INDEX, JOURNAL, STAGED, TRASH, layout, limits, parent, record, reserve};
use crate::format::names;
use crate::port::{DiskError, Entry, Fault, Files, Handle, Lane, Mode, Name};

/// Something that an operator should hear of.
#[derive(Clone, Debug)]
pub enum Event {
    /// A write or sync of the journal failed; what was not synced was refused, and another segment begun.
    JournalFailed(DiskError),
    /// No other segment could be begun.
    NoSegment(DiskError),
    /// A file could not be synced at a checkpoint, and was written again from the journal.
    Repaired(DiskError),
    /// A file could not be synced at a checkpoint, nor written again: the segment that holds its writes is kept.
    Stuck(DiskError),
    /// What was appended for a frame that was refused could not be cut off: it is read until the file is written again.
    Uncut(DiskError),
}

/// What is gathered for one frame, and for what follows it.
#[derive(Default)]
pub(super) struct Round {
    /// A frame's head and the records so far.
    pub(super) frame: Vec<u8>,
    pub(super) records: u32,
    /// Somebody waits for stable storage.
    pub(super) sync: bool,
    pub(super) posts: Vec<super::post::Post>,
    /// Files with bytes of the frame, and where they ended before.
    pub(super) appended: Vec<(FileId, u64)>,
    /// Folders to sync after the actions, and whose submission asks.
    pub(super) folders: Vec<(Arc<str>, usize)>,
    /// Submissions that are complete with this round, in order.
    pub(super) results: Vec<(usize, Option<DiskError>)>,
}

impl Round {
    pub(super) fn clear(&mut self) {
        self.frame.clear();
        self.frame.resize(layout::FRAME_HEAD, 0);
        (self.records, self.sync) = (0, false);
        self.posts.clear();
        self.appended.clear();
        self.folders.clear();
        self.results.clear();
    }

    /// Bytes of the records so far.
    pub(super) fn body(&self) -> usize {
        self.frame.len() - layout::FRAME_HEAD
    }
}

/// Executes what stores submit, over the one journal of a store directory.
///
/// Owned by one thread. Everything that may wait goes through [`Files`] inside [`Committer::commit`], except syncs at checkpoints, which are handed out as
/// [`Job`]s and may run anywhere.
pub struct Committer {
    pub(super) files: Arc<dyn Files>,
    pub(super) settings: Settings,
    pub(super) segments: Segments,
    pub(super) lanes: Vec<LaneState>,
    folders: Map<Arc<str>, u32>,
    pub(super) table: FileTable,
    pub(super) round: Round,
    /// Unjournaled bytes on their way to a file.
    pub(super) scratch: Vec<u8>,
    pub(super) touched: Vec<usize>,
    pub(super) rounds: u64,
    /// The round of the last call of [`Committer::close_unused`].
    unused_since: u64,
    pub(super) jobs: Vec<Job>,
    pub(super) pending: Map<u64, Pending>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) held: Vec<Held>,
    pub(super) next_job: u64,
    pub(super) events: Vec<Event>,
    /// The next number of a staged file or of a folder in the trash; never used twice while a journal could speak of it.
    pub(super) next_number: u64,
    /// The number of the next delta, of whatever consumer.
    pub(super) next_delta: u64,
    /// The process before did not stop cleanly.
    pub(super) unclean: bool,
    /// The current segment says of folders of consumers that they go: it is closed once the disk is idle.
    pub(super) cleared: bool,
    /// Files of consumers that are not in their places yet.
    pub(super) late: Late,
    /// Lanes with deltas that had to be carried on.
    pub(super) behind: Set<u32>,
    /// Lanes that refuse, for what failed while nobody waited for it.
    pub(super) refusing: Set<u32>,
    /// Files of which freed segments said that they go: they are forgotten when no round has them in hand.
    pub(super) removed: Vec<FileId>,
    /// Segments of the journal before this one. A job removes them; until that is on stable storage, only headers of this one say that they do not count.
    former: Vec<Arc<str>>,
    /// How long the reserve is, and whether it is there.
    pub(super) reserve_len: u64,
    pub(super) reserved: bool,
    /// Folders whose own names are on stable storage.
    known: Set<Arc<str>>,
    /// Where the current segment was when erased bytes or deleted folders began to wait for its end.
    pub(super) hasten: Option<u64>,
}

impl Committer {
    /// Replays what an earlier process left behind, and begins a new journal. What the journal alone holds (deltas of consumers) is in the report, and
    /// stays in the journal until the files that supersede it are replaced.
    pub fn open(
        files: Arc<dyn Files>,
        settings: Settings,
        records: &dyn Records,
    ) -> Result<(Committer, Report), DiskError> {
        match Self::begin(files.clone(), settings, records) {
            // What was kept for such a day may be just what a journal needs.
            Err(error) if error.fault == Fault::Full => {
                let given = reserve::give_up(&*files);
                let tried = given.then(|| Self::begin(files.clone(), settings, records));
                match tried {
                    Some(Err(error)) if error.fault != Fault::Full => Err(error),
                    Some(Ok(begun)) => Ok(begun),
                    // It grows when there is space.
                    _ => Self::begin(files, settings.with_small_segments(), records),
                }
            }
            other => other,
        }
    }

    fn begin(
        files: Arc<dyn Files>,
        settings: Settings,
        records: &dyn Records,
    ) -> Result<(Committer, Report), DiskError> {
        files.create_folder(JOURNAL)?;
        files.create_folder(STAGED)?;
        files.create_folder(TRASH)?;
        files.sync_folder(HOME)?;
        files.sync_folder("")?;
        let mut found = replay_at(&*files, records, settings.flaw)?;
        found.void_is_gone(&*files)?;
        let changes = |d: &super::Deltas| -> u64 {
            let each = d.consumer.len() + d.folder.len() + 640;
            d.changes.iter().map(|(_, bytes)| (bytes.len() + each) as u64).sum()
        };
        let carried = found.report.deltas.iter().map(changes).sum();
        let (sequence, slot) = (found.next_sequence, found.next_slot);
        let segments = Segments::begin(files.clone(), settings, sequence, slot, carried)?;
        let mut committer = Committer {
            files,
            settings,
            segments,
            lanes: Vec::new(),
            folders: Map::default(),
            table: FileTable::default(),
            round: Round::default(),
            scratch: Vec::new(),
            touched: Vec::new(),
            rounds: 1,
            unused_since: 0,
            jobs: Vec::new(),
            pending: Map::default(),
            waiting: Vec::new(),
            held: Vec::new(),
            next_job: 1,
            events: Vec::new(),
            next_number: found.next_number,
            next_delta: found.next_delta,
            unclean: !found.segments.is_empty(),
            cleared: false,
            late: Late::default(),
            behind: Set::default(),
            refusing: Set::default(),
            removed: Vec::new(),
            former: Vec::new(),
            reserve_len: settings.reserve_len,
            reserved: false,
            known: Set::default(),
            hasten: None,
        };
        committer.adopt_deltas(&found.report)?;
        committer.segments.publish()?;
        let old = if settings.flaw == Some(Flaw::ReplayOldJournal) { &[][..] } else { &found.segments };
        committer.former = old.to_vec();
        committer.remove_later(old.to_vec());
        committer.empty(STAGED)?;
        committer.empty(TRASH)?;
        committer.take_reserve();
        Ok((committer, found.report))
    }

    /// Writes the deltas that a replay found into the new journal, before the old one goes.
    fn adopt_deltas(&mut self, report: &Report) -> Result<(), DiskError> {
        self.round.clear();
        for deltas in &report.deltas {
            let lane = self.lane_of(&deltas.folder);
            let first = deltas.changes.first().map_or(0, |(index, _)| *index);
            for (index, bytes) in &deltas.changes {
                let need = bytes.len() + deltas.consumer.len() + deltas.folder.len() + 128;
                if self.round.body() + need > limits::FRAME_LEN {
                    self.write_carried()?;
                }
                self.mention(lane);
                let number = u32::try_from(lane).unwrap_or(u32::MAX);
                record::delta(&mut self.round.frame, number, &deltas.consumer, *index, bytes);
                self.round.records += 1;
            }
            let state = ConsumerState { first, segment: self.segments.oldest() };
            self.lanes[lane].consumers.insert(deltas.consumer.clone(), state);
        }
        self.write_carried()
    }

    /// Writes and syncs a frame of deltas that are carried on.
    pub(super) fn write_carried(&mut self) -> Result<(), DiskError> {
        if self.round.records > 0 {
            let records = self.round.records;
            self.segments.append(&mut self.round.frame, records)?;
            self.segments.sync()?;
        }
        self.round.clear();
        Ok(())
    }

    /// The deltas of the consumers of a store that no file holds: for a store that is opened anew while the journal is in use. Reads the whole journal.
    pub fn deltas(&self, folder: &str) -> Result<Vec<Deltas>, DiskError> {
        super::replay::deltas(&*self.files, folder)
    }

    fn lane_of(&mut self, folder: &Arc<str>) -> usize {
        if let Some(&lane) = self.folders.get(folder) {
            return lane as usize;
        }
        let lane = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        self.lanes.push(LaneState::new(folder.clone(), Standing::Idle));
        self.folders.insert(folder.clone(), lane);
        lane as usize
    }

    fn empty(&self, folder: &str) -> Result<(), DiskError> {
        for Entry { name, folder: is_folder, .. } in self.files.list(folder)? {
            let path = format!("{folder}/{name}");
            if is_folder { self.files.remove_folder(&path)? } else { self.files.remove(&path)? }
        }
        Ok(())
    }

    /// Opens a lane for the store in this folder, which is created when absent. To be called when the store has read, and where needed mended, its files,
    /// and before it submits anything. A folder whose lane was not released is refused.
    pub fn register(&mut self, folder: &str) -> Result<Lane, DiskError> {
        let refuse = |text: &str| DiskError {
            fault: Fault::Busy,
            call: "register",
            path: folder.into(),
            text: text.into(),
        };
        if folder.is_empty() || folder.len() > limits::NAME_LEN {
            return Err(refuse("not a folder for a store"));
        }
        let key: Arc<str> = folder.into();
        let former = self.folders.get(&key).copied();
        if former.is_some_and(|lane| self.lanes[lane as usize].standing == Standing::Open) {
            return Err(refuse("a store is open there already"));
        }
        let new = self.name_folder(folder)?;
        if self.unclean && !new {
            // The process before may have renamed what a power cut would rename back.
            self.sync_folder(&format!("{folder}/msgs"))?;
        }
        let number = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        let mut state = LaneState::new(key.clone(), Standing::Open);
        if let Some(former) = former {
            state.consumers = std::mem::take(&mut self.lanes[former as usize].consumers);
            self.lanes[former as usize].standing = Standing::Gone;
        }
        self.lanes.push(state);
        self.folders.insert(key, number);
        Ok(Lane(number))
    }

    /// Creates the folder when absent, and has its name and those above it on stable storage. Answers whether it was absent.
    fn name_folder(&mut self, folder: &str) -> Result<bool, DiskError> {
        let new = matches!(self.files.sync_folder(folder), Err(error) if error.fault == Fault::Absent);
        if new {
            self.files.create_folder(folder)?;
        }
        let (mut path, mut synced) = (folder, Vec::new());
        while !path.is_empty() {
            let above = parent(path);
            // One that is known has its own name on stable storage, as have all above it.
            let known = self.known.contains(above);
            if !known || (new && path == folder) {
                self.files.sync_folder(above)?;
                synced.push(above);
            }
            if known {
                break;
            }
            path = above;
        }
        self.known.extend(synced.into_iter().map(Arc::from));
        Ok(new)
    }

    /// Ends a lane: everything is in its own files, on stable storage, and the journal speaks of none of them any more. Deltas stay. Refused as busy while
    /// a [`Job`] that has not come back may have lost something of the lane.
    pub fn release(&mut self, lane: Lane) -> Result<(), DiskError> {
        self.write_late();
        let index = lane.0 as usize;
        let state = self.lanes.get(index).filter(|l| l.standing == Standing::Open);
        let mut ids: Vec<FileId> = state.ok_or_else(|| no_lane("release"))?.files.values().copied().collect();
        ids.sort_unstable();
        self.redo(index)?;
        for id in &ids {
            if self.is_checkpointed(*id) {
                continue;
            }
            // Each folder is synced once, however many of its names changed.
            let folders = self.settle_bytes(*id)?;
            self.lanes[index].folders.extend(folders);
            if self.table.get(*id).cached {
                let path = self.table.get(*id).path.to_string();
                let text = "the outcome of an earlier sync is not known".into();
                return Err(DiskError { fault: Fault::Busy, call: "release", path, text });
            }
        }
        for folder in &self.lanes[index].folders {
            self.sync_folder(folder)?;
        }
        self.lanes[index].folders.clear();
        ids.iter().for_each(|id| self.table.get_mut(*id).named = true);
        // Nothing is recorded before all of that is done: another try would rely on records that were never written.
        self.round.clear();
        let oldest = self.segments.oldest();
        for id in &ids {
            if self.table.get(*id).is_live(oldest) {
                let need = 2 * limits::NAME_LEN + 64;
                if !self.segments.fits(self.round.body() + need) {
                    self.write_carried()?;
                    self.segments.rotate(need)?;
                    self.hand_out_last();
                }
                self.mention(index);
                record::barrier(&mut self.round.frame, lane.0, &self.table.get(*id).name);
                self.round.records += 1;
            }
        }
        self.write_carried()?;
        ids.into_iter().for_each(|id| self.drop_file(id));
        self.lanes[index].standing = Standing::Idle;
        Ok(())
    }

    /// Has the current segment say what the number of this lane means.
    pub(super) fn mention(&mut self, lane: usize) {
        let sequence = self.segments.sequence();
        if self.lanes[lane].registered == sequence {
            return;
        }
        let index = match self.lanes[lane].index {
            Some(index) => index,
            None => {
                let path = format!("{}/{INDEX}", self.lanes[lane].folder);
                let index = fingerprint(&*self.files, &path);
                self.lanes[lane].index = Some(index);
                index
            }
        };
        let number = u32::try_from(lane).unwrap_or(u32::MAX);
        record::lane(&mut self.round.frame, number, &self.lanes[lane].folder, index);
        self.round.records += 1;
        self.lanes[lane].registered = sequence;
    }

    /// What a file of a lane is to the committer, known from now on.
    pub(super) fn file(&mut self, lane: usize, name: &Name) -> FileId {
        if let Some(&id) = self.lanes[lane].files.get(name) {
            return id;
        }
        let path: Arc<str> = format!("{}/{name}", self.lanes[lane].folder).into();
        let id = self.table.insert(FileState {
            lane: u32::try_from(lane).unwrap_or(u32::MAX),
            name: name.clone(),
            path,
            handle: None,
            end: 0,
            used: self.rounds,
            live: 0,
            live_end: 0,
            whole: false,
            removed: false,
            listed: 0,
            unsynced: false,
            cached: false,
            framed: 0,
            pending: false,
            met: false,
            named: false,
            suspect: false,
        });
        self.lanes[lane].files.insert(name.clone(), id);
        id
    }

    /// Opens a file to be written; creates it, and its folder, when absent.
    pub(super) fn handle(&mut self, id: FileId) -> Result<Handle, DiskError> {
        let rounds = self.rounds;
        let state = self.table.get_mut(id);
        state.used = rounds;
        if let Some(handle) = state.handle {
            return Ok(handle);
        }
        let path = state.path.clone();
        let (handle, found) = match self.files.open(&path, Mode::Write) {
            Ok(handle) => (handle, true),
            Err(error) if error.fault == Fault::Absent => (self.create(id, &path)?, false),
            Err(error) => return Err(error),
        };
        let len = self.files.len(handle).inspect_err(|_| self.files.close(handle))?;
        let state = self.table.get_mut(id);
        state.handle = Some(handle);
        // What was found may not be on stable storage: who wrote it, and how, is not known.
        state.cached |= found && !state.met;
        (state.unsynced, state.met) = (state.unsynced || state.cached, true);
        state.end = state.end.max(len);
        self.table.open += 1;
        Ok(handle)
    }

    fn create(&mut self, id: FileId, path: &Arc<str>) -> Result<Handle, DiskError> {
        let handle = match self.files.open(path, Mode::Create) {
            Err(error) if error.fault == Fault::Absent => {
                self.files.create_folder(parent(path))?;
                self.files.open(path, Mode::Create)?
            }
            other => other?,
        };
        self.list_folders(id, path);
        Ok(handle)
    }

    /// The names on the way to this file change: they are to be synced with the checkpoint of the segment, and of the lane.
    pub(super) fn list_folders(&mut self, id: FileId, path: &str) {
        let lane = self.table.get(id).lane as usize;
        let top = self.lanes[lane].folder.clone();
        let mut folder = parent(path);
        loop {
            for list in [&mut self.segments.current.folders, &mut self.lanes[lane].folders] {
                if !list.contains(folder) {
                    list.insert(folder.into());
                }
            }
            if folder.len() <= top.len() {
                return;
            }
            folder = parent(folder);
        }
    }

    /// The segment speaks of this file: it is to be synced with the segment's checkpoint.
    pub(super) fn list_file(&mut self, id: FileId) {
        let sequence = self.segments.sequence();
        let state = self.table.get_mut(id);
        state.live = sequence;
        if state.listed != sequence {
            state.listed = sequence;
            self.segments.current.files.push(state.path.clone());
        }
    }

    /// Whether a checkpoint of the lane has put everything of a consumer's file on stable storage, its name included. What is replaced as a whole is listed
    /// when it is gathered: nothing was since, and the jobs have come back.
    fn is_checkpointed(&self, id: FileId) -> bool {
        let state = self.table.get(id);
        under(&state.name, names::CONSUMERS)
            && state.whole
            && !(state.removed || state.unsynced || state.cached || state.suspect)
            && !self.is_being_synced(state.lane, &state.path)
    }

    /// Everything written to the file is on stable storage, or its removal is.
    pub(super) fn settle(&mut self, id: FileId) -> Result<(), DiskError> {
        let lane = self.table.get(id).lane as usize;
        // Should one fail, the lane's next checkpoint tries again.
        let folders = self.settle_bytes(id)?;
        for (at, folder) in folders.iter().enumerate() {
            if let Err(error) = self.sync_folder(folder) {
                self.lanes[lane].folders.extend(folders.into_iter().skip(at));
                return Err(error);
            }
        }
        if !folders.is_empty() {
            self.table.get_mut(id).named = true;
        }
        Ok(())
    }

    /// The same for what was written; answers which folders are to be synced for its name, or its removal, to stay.
    fn settle_bytes(&mut self, id: FileId) -> Result<Vec<Arc<str>>, DiskError> {
        let mut folders = Vec::new();
        if self.settings.flaw == Some(Flaw::NoBarrier) {
            return Ok(folders);
        }
        let oldest = self.segments.oldest();
        let state = self.table.get(id);
        let (path, live, removed) = (state.path.clone(), state.is_live(oldest), state.removed);
        if removed {
            folders.push(parent(&path).into());
        }
        let mut uncertain = self.is_uncertain(&path);
        // One that was to be removed and could not be still holds what only the journal has, too.
        if state.unsynced || live {
            let opened = match state.handle {
                Some(handle) => Some(handle),
                None => match self.files.open(&path, Mode::Write) {
                    Ok(handle) => Some(handle),
                    Err(error) if error.fault == Fault::Absent => None,
                    Err(error) => return Err(error),
                },
            };
            // From here on the handle is told of what fails; before, another may have been.
            uncertain |= self.is_uncertain(&path);
            if let Some(handle) = opened {
                let doubtful = uncertain || self.table.get(id).suspect;
                let again = if doubtful { self.rewrite(&path) } else { Ok(()) };
                let synced = again.and_then(|()| self.files.sync(handle));
                if self.table.get(id).handle.is_none() {
                    self.files.close(handle);
                }
                if let Err(error) = synced {
                    self.repair(&path, error.clone());
                    return Err(error);
                }
            }
            folders.extend(self.unnamed(id));
        }
        let state = self.table.get_mut(id);
        (state.unsynced, state.suspect) = (false, false);
        // What only was cached cannot be written again: when the job comes back, its owner is told.
        state.cached &= uncertain;
        Ok(folders)
    }

    /// The folders on the way to the file, when its name may not be on stable storage.
    fn unnamed(&self, id: FileId) -> Vec<Arc<str>> {
        let state = self.table.get(id);
        let top = self.lanes[state.lane as usize].folder.len();
        let (mut folders, mut folder) = (Vec::new(), parent(&state.path));
        while !state.named && folder.len() >= top {
            folders.push(folder.into());
            folder = parent(folder);
        }
        folders
    }

    /// Has the name of the file on stable storage.
    pub(super) fn name_file(&mut self, id: FileId) -> Result<(), DiskError> {
        self.unnamed(id).iter().try_for_each(|folder| self.sync_folder(folder))?;
        self.table.get_mut(id).named = true;
        Ok(())
    }

    pub(super) fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        if self.settings.flaw == Some(Flaw::ForgetFolders) {
            return Ok(());
        }
        match self.files.sync_folder(path) {
            Err(error) if error.fault == Fault::Absent => Ok(()),
            other => other,
        }
    }

    /// Closes the file, if it is open.
    pub(super) fn close_file(&mut self, id: FileId) {
        if let Some(handle) = self.table.get_mut(id).handle.take() {
            self.files.close(handle);
            self.table.open -= 1;
        }
    }

    /// Forgets the file.
    pub(super) fn drop_file(&mut self, id: FileId) {
        self.close_file(id);
        if let Some(state) = self.table.remove(id) {
            let lane = &mut self.lanes[state.lane as usize];
            lane.files.remove(&state.name);
            if lane.hot.is_some_and(|(_, hot)| hot == id) {
                lane.hot = None;
            }
        }
    }

    /// Closes the files that rest longest when too many are open, and forgets those that need no memory.
    pub(super) fn rest(&mut self) {
        self.forget_removed();
        if self.table.open <= self.settings.handles {
            return;
        }
        let mut open: Vec<(u64, FileId)> =
            self.table.iter().filter(|(_, f)| f.handle.is_some()).map(|(id, f)| (f.used, id)).collect();
        open.sort_unstable();
        let many = self.settings.handles / 4 + 1;
        open.into_iter().take(many).for_each(|(_, id)| self.close_or_drop(id));
    }

    /// Closes the files that were not used since the last call.
    pub fn close_unused(&mut self) {
        let since = std::mem::replace(&mut self.unused_since, self.rounds);
        let unused: Vec<FileId> = self
            .table
            .iter()
            .filter(|(_, f)| f.handle.is_some() && f.used <= since)
            .map(|(id, _)| id)
            .collect();
        unused.into_iter().for_each(|id| self.close_or_drop(id));
    }

    /// Closes the file, and forgets it when it needs no memory.
    fn close_or_drop(&mut self, id: FileId) {
        let state = self.table.get(id);
        if state.is_live(self.segments.oldest()) || state.unsynced || state.pending || state.suspect {
            self.close_file(id);
        } else {
            self.drop_file(id);
        }
    }

    /// Ends the lane's folder: it may be registered anew.
    pub(super) fn forget_lane(&mut self, lane: usize) {
        let ids: Vec<FileId> = self.lanes[lane].files.values().copied().collect();
        ids.into_iter().for_each(|id| self.drop_file(id));
        let folder = self.lanes[lane].folder.clone();
        self.folders.remove(&folder);
        let state = &mut self.lanes[lane];
        state.standing = Standing::Gone;
        state.consumers.clear();
        state.folders.clear();
    }

    /// What happened that an operator should hear of, since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Lanes with deltas that had to be carried on since the last call: their owners should replace the states.
    pub fn take_behind(&mut self) -> Vec<Lane> {
        let mut lanes: Vec<Lane> = self.behind.drain().map(Lane).collect();
        lanes.sort_unstable();
        lanes
    }

    /// Whether the last batch was put on stable storage before it was complete.
    pub fn has_synced(&self) -> bool {
        self.round.sync
    }

    /// Whether [`Committer::idle`] has something to do: unsynced deltas, erased bytes, deleted folders, files that are late.
    pub fn is_idle_wanted(&self) -> bool {
        self.segments.unsynced() || self.hasten.is_some() || self.cleared || self.is_late()
    }

    /// Whether [`Committer::flush`] has something to do: unsynced deltas.
    pub fn is_flush_wanted(&self) -> bool {
        self.segments.unsynced()
    }

    /// Syncs deltas that were only cached. For a disk that is never idle, to be called a few milliseconds after the first of them.
    pub fn flush(&mut self) {
        if let Err(error) = self.segments.sync() {
            self.journal_failed(error);
        }
    }

    /// To be called a few milliseconds after the last batch: syncs what was only cached, and has erased bytes and deleted folders go.
    pub fn idle(&mut self) {
        self.write_late();
        self.flush();
        if self.hasten.is_some() || self.cleared {
            self.rotate(0).unwrap_or_else(|error| self.events.push(Event::NoSegment(error)));
        }
    }

    /// The folder of a lane, for work that is done aside.
    pub fn folder(&self, lane: Lane) -> Option<Arc<str>> {
        self.lanes.get(lane.0 as usize).filter(|l| l.standing == Standing::Open).map(|l| l.folder.clone())
    }

    /// A clean stop: every file is synced and the journal removed, unless it still holds deltas that no store has taken over. Every [`Job`] that was
    /// taken has come back through [`Committer::finished`]: what only a job knows to have failed would be lost.
    pub fn close(mut self) -> Result<(), DiskError> {
        self.drop_reserve();
        self.write_late();
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].standing == Standing::Open {
                self.release(Lane(u32::try_from(lane).unwrap_or(u32::MAX)))?;
            }
        }
        if self.segments.current.bad {
            self.rotate(0)?;
        }
        self.carry_cached()?;
        self.segments.sync()?;
        let oldest = self.segments.oldest();
        let held = self.lanes.iter().flat_map(|l| l.consumers.values()).any(|c| c.segment >= oldest);
        if held {
            self.segments.close();
            return Ok(());
        }
        self.end_former()?;
        let voided = self.segments.void();
        self.segments.close();
        voided?;
        for folder in [JOURNAL, STAGED, TRASH] {
            self.files.remove_folder(folder)?;
        }
        self.files.sync_folder(HOME)
    }

    /// Has the journal before this one gone for good, before this one ceases to say so.
    fn end_former(&mut self) -> Result<(), DiskError> {
        if self.former.is_empty() {
            return Ok(());
        }
        for path in std::mem::take(&mut self.former) {
            match self.files.remove(&path) {
                Err(error) if error.fault != Fault::Absent => return Err(error),
                _ => {}
            }
        }
        self.files.sync_folder(JOURNAL)
    }
}

/// What tells this content of the file from another; none when there is no such file, or it cannot be read.
pub(super) fn fingerprint(files: &dyn Files, path: &str) -> Option<Fingerprint> {
    let handle = files.open(path, Mode::Read).ok()?;
    let mut tail = [0; 8];
    let found = files.len(handle).and_then(|len| {
        let read = files.read_at(handle, len.saturating_sub(8), &mut tail)?;
        Ok(Fingerprint::new(len, tail.get(..read).unwrap_or_default()))
    });
    files.close(handle);
    found.ok()
}
