//! Checkpoints: syncs that run elsewhere, and what follows when they are done.

use std::sync::Arc;

use super::committer::{Committer, Event};
use super::image::Image;
use super::lanes::Standing;
use super::record::{Reader, Record};
use super::scan::{frames, read_segment, read_segments};
use super::{TRASH, limits, record};
use crate::port::{Completion, DiskError, Fault, Files, Lane, Mode, Outcome, Ticket};

/// Files and folders to sync, or folders of the trash to remove. May run on any thread, at any time.
#[derive(Debug)]
pub struct Job {
    id: u64,
    files: Vec<Arc<str>>,
    folders: Vec<Arc<str>>,
    trash: Vec<u64>,
}

/// What became of a [`Job`]; to be handed to [`Committer::finished`].
#[derive(Debug)]
pub struct Finished {
    id: u64,
    failed: Vec<(Arc<str>, DiskError)>,
    failed_folders: Vec<(Arc<str>, DiskError)>,
}

/// What waits for a job.
pub(super) enum Pending {
    Segment(u64),
    Lane(Lane, Ticket),
}

fn sync_path(files: &dyn Files, path: &str) -> Result<(), DiskError> {
    let handle = match files.open(path, Mode::Write) {
        // Removed since: the removal has its own record.
        Err(error) if error.fault == Fault::Absent => return Ok(()),
        other => other?,
    };
    let synced = files.sync(handle);
    files.close(handle);
    synced
}

fn sync_folder(files: &dyn Files, path: &str) -> Result<(), DiskError> {
    match files.sync_folder(path) {
        Err(error) if error.fault == Fault::Absent => Ok(()),
        other => other,
    }
}

impl Job {
    /// Does it.
    pub fn run(self, files: &dyn Files) -> Finished {
        let (mut failed, mut failed_folders) = (Vec::new(), Vec::new());
        for path in self.files {
            if let Err(error) = sync_path(files, &path) {
                failed.push((path, error));
            }
        }
        for path in self.folders {
            if let Err(error) = sync_folder(files, &path) {
                failed_folders.push((path, error));
            }
        }
        for number in self.trash {
            // What stays is removed at the next start.
            let _ = files.remove_folder(&format!("{TRASH}/{number}"));
        }
        Finished { id: self.id, failed, failed_folders }
    }
}

impl Committer {
    /// Work to be done elsewhere, since the last call.
    pub fn take_jobs(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }

    fn hand_out(&mut self, files: Vec<Arc<str>>, folders: Vec<Arc<str>>, trash: Vec<u64>) -> u64 {
        let id = self.next_job;
        self.next_job += 1;
        let forget = self.settings.flaw == Some(super::Flaw::ForgetFolders);
        let folders = if forget { Vec::new() } else { folders };
        self.jobs.push(Job { id, files, folders, trash });
        id
    }

    /// The segment that was closed last is to be checkpointed.
    pub(super) fn hand_out_last(&mut self) {
        let Some(segment) = self.segments.closed.back() else { return };
        let (files, folders) = (segment.files.clone(), segment.folders.clone());
        let sequence = segment.header.sequence;
        let id = self.hand_out(files, folders, Vec::new());
        self.pending.insert(id, Pending::Segment(sequence));
    }

    /// Hands out the syncs of a lane's checkpoint; false when there is nothing to sync.
    pub(super) fn checkpoint_lane(&mut self, lane: usize, ticket: Ticket) -> bool {
        let mut paths = Vec::new();
        let mut ids: Vec<_> = self.lanes[lane].files.values().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let state = self.table.get_mut(id);
            if state.unsynced {
                state.unsynced = false;
                paths.push(state.path.clone());
            }
        }
        let folders = std::mem::take(&mut self.lanes[lane].folders);
        if paths.is_empty() && folders.is_empty() {
            return false;
        }
        let id = self.hand_out(paths, folders, Vec::new());
        let lane = Lane(u32::try_from(lane).unwrap_or(u32::MAX));
        self.pending.insert(id, Pending::Lane(lane, ticket));
        true
    }

    /// Takes the end of a job.
    pub fn finished(&mut self, finished: Finished, done: &mut Vec<Completion>) {
        match self.pending.remove(&finished.id) {
            Some(Pending::Segment(sequence)) => {
                let at = self.segments.closed.iter().position(|s| s.header.sequence == sequence);
                let Some(at) = at else { return };
                let repaired =
                    self.repair_all(finished.failed) && self.folders_again(finished.failed_folders);
                self.segments.closed[at].checkpointed = repaired;
                if let Err(error) = self.free_checkpointed() {
                    self.events.push(Event::Stuck(error));
                }
            }
            Some(Pending::Lane(lane, ticket)) => {
                let mut outcome = Outcome::Done;
                for (path, error) in finished.failed {
                    self.repair(&path, error.clone());
                    self.lanes[lane.0 as usize].refused = Some(error.clone());
                    outcome = Outcome::Failed(error);
                }
                for (path, error) in finished.failed_folders {
                    let state = &mut self.lanes[lane.0 as usize];
                    state.refused = Some(error.clone());
                    state.folders.push(path);
                    outcome = Outcome::Failed(error);
                }
                done.push(Completion { lane, ticket, outcome });
            }
            None => {}
        }
    }

    /// Tries folders once more.
    fn folders_again(&mut self, failed: Vec<(Arc<str>, DiskError)>) -> bool {
        let mut all = true;
        for (path, _) in failed {
            if let Err(error) = self.sync_folder(&path) {
                self.events.push(Event::Stuck(error));
                all = false;
            }
        }
        all
    }

    /// Repairs what failed, and what is suspect since earlier; false when something stays so.
    fn repair_all(&mut self, mut failed: Vec<(Arc<str>, DiskError)>) -> bool {
        for (_, state) in self.table.iter().filter(|(_, f)| f.suspect) {
            if failed.iter().all(|(path, _)| *path != state.path) {
                let text = "an earlier sync failed".into();
                let path = state.path.clone();
                let error = DiskError { fault: Fault::Device, call: "sync", path: path.to_string(), text };
                failed.push((path, error));
            }
        }
        let mut all = true;
        for (path, error) in failed {
            all &= self.repair(&path, error);
        }
        all
    }

    /// Frees the segments at the front of which all files are synced.
    fn free_checkpointed(&mut self) -> Result<(), DiskError> {
        while self.segments.closed.front().is_some_and(|s| s.checkpointed) {
            self.carry_deltas()?;
            let trash = self.segments.free_oldest()?;
            if !trash.is_empty() {
                self.hand_out(Vec::new(), Vec::new(), trash);
            }
        }
        Ok(())
    }

    /// Frees the oldest segment here and now, because no other may be created.
    pub(super) fn reclaim(&mut self) -> Result<(), DiskError> {
        let Some(segment) = self.segments.closed.front() else { return Ok(()) };
        let mut failed = Vec::new();
        for path in segment.files.clone() {
            if let Err(error) = sync_path(&*self.files, &path) {
                failed.push((path, error));
            }
        }
        for path in segment.folders.clone() {
            self.sync_folder(&path)?;
        }
        let first = failed.first().map(|(_, error)| error.clone());
        if !self.repair_all(failed) {
            let text = "an earlier sync failed".into();
            let error = DiskError { fault: Fault::Device, call: "sync", path: String::new(), text };
            return Err(first.unwrap_or(error));
        }
        if let Some(segment) = self.segments.closed.front_mut() {
            segment.checkpointed = true;
        }
        self.free_checkpointed()
    }

    /// Copies the deltas of the oldest segment that still count into the current one.
    fn carry_deltas(&mut self) -> Result<(), DiskError> {
        let Some(segment) = self.segments.closed.front() else { return Ok(()) };
        let sequence = segment.header.sequence;
        let held = |c: &super::lanes::ConsumerState| c.segment <= sequence;
        if !self.lanes.iter().any(|lane| lane.consumers.values().any(held)) {
            return Ok(());
        }
        let bytes = read_segment(&*self.files, &segment.path)?;
        // What is gathered for a round is not to be disturbed: this may happen in its middle, before its first record.
        let round = std::mem::take(&mut self.round);
        self.round.clear();
        let carried = self.carry_from(&bytes);
        self.round = round;
        carried?;
        let current = self.segments.sequence();
        for state in self.lanes.iter_mut().flat_map(|lane| lane.consumers.values_mut()) {
            if state.segment <= sequence {
                state.segment = self.segments.closed.get(1).map_or(current, |s| s.header.sequence);
            }
        }
        Ok(())
    }

    fn carry_from(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        let mut folders: midge_stdx::hash::Map<u32, usize> = Default::default();
        for frame in frames(bytes, self.segments.hashes().clone()) {
            for found in Reader::new(frame.body) {
                match found {
                    Ok((number, Record::Lane { folder, .. })) => {
                        let open =
                            |l: &super::lanes::LaneState| l.folder == folder && l.standing != Standing::Gone;
                        if let Some(lane) = self.lanes.iter().position(open) {
                            folders.insert(number, lane);
                        } else {
                            folders.remove(&number);
                        }
                    }
                    Ok((number, Record::Delta { consumer, index, bytes })) => {
                        let Some(&lane) = folders.get(&number) else { continue };
                        let first = self.lanes[lane].consumers.get(&consumer).map(|c| c.first);
                        if first.is_some_and(|first| index >= first) {
                            let delta = frame.body.get(bytes).unwrap_or_default();
                            self.carry(lane, &consumer, index, delta)?;
                        }
                    }
                    _ => {}
                }
            }
        }
        self.write_carried()
    }

    fn carry(&mut self, lane: usize, consumer: &str, index: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let need = bytes.len() + consumer.len() + self.lanes[lane].folder.len() + 128;
        if self.round.body() + need > limits::FRAME_LEN || !self.segments.fits(self.round.body() + need) {
            self.write_carried()?;
        }
        if !self.segments.fits(need) {
            // Beyond the usual number of segments if need be: the one that is about to be freed makes up for it.
            self.segments.rotate(need)?;
            self.hand_out_last();
        }
        self.mention(lane);
        record::delta(&mut self.round.frame, u32::try_from(lane).unwrap_or(u32::MAX), consumer, index, bytes);
        self.round.records += 1;
        Ok(())
    }

    /// A file could not be synced: what the kernel holds of it is not to be trusted, so that the journal's bytes are written again. False when that fails
    /// too.
    pub(super) fn repair(&mut self, path: &Arc<str>, error: DiskError) -> bool {
        let owner = self.table.iter().find(|(_, f)| f.path == *path).map(|(id, f)| (id, f.lane as usize));
        if let Some((id, _)) = owner {
            // A fresh descriptor: the old one may report an error that was dealt with, or hide one that was not.
            self.close_file(id);
            // What was only cached is not in the journal: the owner has to know that it may be gone.
            let state = self.table.get_mut(id);
            if std::mem::take(&mut state.cached) {
                self.lanes[state.lane as usize].refused = Some(error.clone());
            }
        }
        let again = || {
            let read = read_segments(&*self.files)?;
            // What the journal does not speak of was only cached, and is gone as far as the device is concerned: the owner is told.
            Image::build(&read.usable).rewrite(&*self.files, path)?;
            sync_path(&*self.files, path)
        };
        match again() {
            Ok(()) => {
                if let Some((id, _)) = owner {
                    self.table.get_mut(id).suspect = false;
                }
                self.events.push(Event::Repaired(error));
                true
            }
            Err(again) => {
                if let Some((id, lane)) = owner {
                    self.table.get_mut(id).suspect = true;
                    self.lanes[lane].refused = Some(again.clone());
                }
                self.events.push(Event::Stuck(again));
                false
            }
        }
    }
}
