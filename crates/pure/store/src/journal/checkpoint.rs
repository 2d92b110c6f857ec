//! Checkpoints: syncs that run elsewhere, and what follows when they are done.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::committer::{Committer, Event};
use super::image::Image;
use super::lanes::Standing;
use super::record::{Reader, Record};
use super::scan::{Found, frames, read_segment, read_segments};
use super::segments::{Freed, Growth};
use super::{TRASH, limits, record};
use crate::port::{Completion, DiskError, Fault, Files, Handle, Lane, Mode, Outcome, Ticket};

/// Files and folders to sync, folders of the trash or old segments to remove, or a segment to create. May run on any thread, at any time.
#[derive(Debug)]
pub struct Job {
    id: u64,
    files: Arc<[Sync]>,
    folders: Vec<Arc<str>>,
    trash: Vec<u64>,
    old: Vec<Arc<str>>,
    growth: Option<Growth>,
}

/// What became of a [`Job`]; to be handed to [`Committer::finished`].
#[derive(Debug)]
pub struct Finished {
    id: u64,
    failed: Vec<(Arc<str>, DiskError)>,
    failed_folders: Vec<(Arc<str>, DiskError)>,
    grown: Option<(Growth, Result<Handle, DiskError>)>,
}

/// The sync of a file in a job. An error is reported to one caller only: so the committer has to know which syncs may have had one.
#[derive(Debug)]
struct Sync {
    path: Arc<str>,
    state: AtomicU8,
}

const WAITS: u8 = 0;
const RUNS: u8 = 1;
const DONE: u8 = 2;
const FAILED: u8 = 3;

impl Sync {
    /// Takes it on, so that nobody else will do it; false when somebody has.
    fn take(&self) -> bool {
        self.state.compare_exchange(WAITS, RUNS, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn ended(&self, state: u8) {
        self.state.store(state, Ordering::Release);
    }

    /// [`RUNS`] or [`FAILED`], when it may have failed, with the error on its way.
    fn uncertain(&self) -> Option<u8> {
        Some(self.state.load(Ordering::Acquire)).filter(|state| matches!(*state, RUNS | FAILED))
    }
}

/// A job that has not come back.
pub(super) struct Pending {
    /// In the order of their paths.
    files: Arc<[Sync]>,
    waits: Waits,
}

impl Pending {
    fn find(&self, path: &str) -> Option<&Sync> {
        self.files.binary_search_by(|sync| (*sync.path).cmp(path)).ok().and_then(|at| self.files.get(at))
    }
}

/// What waits for it.
enum Waits {
    /// The segment, to be freed.
    Segment(u64),
    /// A checkpoint of a lane.
    Lane(usize),
    Nobody,
}

/// A checkpoint of a lane. A sync that failed in one job is reported as done to the next one that tries: so it waits for every job with one of its files.
pub(super) struct Waiting {
    lane: Lane,
    ticket: Ticket,
    jobs: Vec<u64>,
    /// In their order.
    files: Vec<Arc<str>>,
    failed: Option<DiskError>,
}

/// A segment whose own job has come back, while syncs of its files ran in others: an error may have been told to those.
pub(super) struct Held {
    sequence: u64,
    jobs: Vec<u64>,
    files: Arc<[Sync]>,
    repaired: bool,
}

/// A sync that may have failed in a job that has not come back.
struct Uncertain {
    job: u64,
    path: Arc<str>,
    failed: bool,
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

/// What is reported of a sync that failed in a job that has not come back.
fn failed_elsewhere(path: Arc<str>) -> (Arc<str>, DiskError) {
    let text = "a sync in another job failed".into();
    let error = DiskError { fault: Fault::Device, call: "sync", path: path.to_string(), text };
    (path, error)
}

/// Does what is left of a job's syncs; answers which failed.
fn share(files: &dyn Files, syncs: &[Sync]) -> Vec<(Arc<str>, DiskError)> {
    let mut failed = Vec::new();
    for sync in syncs.iter().filter(|sync| sync.take()) {
        failed.extend(sync_path(files, &sync.path).err().map(|error| (sync.path.clone(), error)));
        sync.ended(DONE);
    }
    failed
}

impl Job {
    /// Whether writers will soon wait for it.
    pub fn is_urgent(&self) -> bool {
        self.growth.is_some()
    }

    /// Does it.
    pub fn run(self, files: &dyn Files) -> Finished {
        let (mut failed, mut failed_folders) = (Vec::new(), Vec::new());
        for sync in self.files.iter().filter(|sync| sync.take()) {
            match sync_path(files, &sync.path) {
                Ok(()) => sync.ended(DONE),
                Err(error) => {
                    sync.ended(FAILED);
                    failed.push((sync.path.clone(), error));
                }
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
        for path in self.old {
            // The same.
            let _ = files.remove(&path);
        }
        let grown = self.growth.map(|growth| (growth.clone(), growth.create(files)));
        Finished { id: self.id, failed, failed_folders, grown }
    }
}

impl Committer {
    /// Work to be done elsewhere, since the last call.
    pub fn take_jobs(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }

    fn hand_out(&mut self, mut files: Vec<Arc<str>>, folders: Vec<Arc<str>>, trash: Vec<u64>, waits: Waits) {
        let id = self.next_job;
        self.next_job += 1;
        let forget = self.settings.flaw == Some(super::Flaw::ForgetFolders);
        let folders = if forget { Vec::new() } else { folders };
        let sync = |path| Sync { path, state: AtomicU8::new(WAITS) };
        files.sort_unstable();
        files.dedup();
        let files: Arc<[Sync]> = files.into_iter().map(sync).collect();
        self.pending.insert(id, Pending { files: files.clone(), waits });
        self.jobs.push(Job { id, files, folders, trash, old: Vec::new(), growth: None });
    }

    /// Segments that no replay reads any more are removed elsewhere: that takes its time, and nothing depends on it.
    pub(super) fn remove_later(&mut self, old: Vec<Arc<str>>) {
        if !old.is_empty() {
            self.hand_out(Vec::new(), Vec::new(), Vec::new(), Waits::Nobody);
            self.jobs.last_mut().into_iter().for_each(|job| job.old.clone_from(&old));
        }
    }

    /// Has the next segment created, if it is time.
    pub(super) fn grow(&mut self) {
        if let Some(growth) = self.segments.growth() {
            self.hand_out(Vec::new(), Vec::new(), Vec::new(), Waits::Nobody);
            self.jobs.last_mut().into_iter().for_each(|job| job.growth = Some(growth.clone()));
        }
    }

    /// Whether a sync of this file may have failed in a job, which has not said so yet: the next sync would be told that all is well.
    pub(super) fn is_uncertain(&self, path: &Arc<str>) -> bool {
        let here = |pending: &Pending| pending.find(path).is_some_and(|sync| sync.uncertain().is_some());
        self.pending.values().any(here)
    }

    /// Whether a job that has not come back syncs the file, or folders of its lane.
    pub(super) fn is_being_synced(&self, lane: u32, path: &Arc<str>) -> bool {
        let of_lane = |waits: &Waits| matches!(waits, Waits::Lane(own) if *own == lane as usize);
        self.pending.values().any(|pending| of_lane(&pending.waits) || pending.find(path).is_some())
    }

    /// The syncs of these files that may have failed in a job that has not come back.
    fn uncertain(&self, among: impl Fn(&Arc<str>) -> bool) -> Vec<Uncertain> {
        let mut found = Vec::new();
        for (&job, pending) in &self.pending {
            for sync in &*pending.files {
                if let Some(state) = sync.uncertain().filter(|_| among(&sync.path)) {
                    found.push(Uncertain { job, path: sync.path.clone(), failed: state == FAILED });
                }
            }
        }
        found.sort_by(|a, b| (&a.path, a.job).cmp(&(&b.path, b.job)));
        found
    }

    /// The segment that was closed last is to be checkpointed.
    pub(super) fn hand_out_last(&mut self) {
        self.write_late();
        let Some(segment) = self.segments.closed.back() else { return };
        let (files, folders) = (segment.files.clone(), segment.folders.iter().cloned().collect());
        let sequence = segment.header.sequence;
        self.hand_out(files, folders, Vec::new(), Waits::Segment(sequence));
    }

    /// Hands out the syncs of a lane's checkpoint; false when there is nothing to sync.
    pub(super) fn checkpoint_lane(&mut self, lane: usize, ticket: Ticket) -> bool {
        self.write_late();
        let mut paths = Vec::new();
        let mut ids: Vec<_> = self.lanes[lane].files.values().copied().collect();
        ids.sort_unstable();
        let mut all = Vec::new();
        for id in ids {
            let state = self.table.get_mut(id);
            all.push(state.path.clone());
            if state.unsynced {
                state.unsynced = false;
                paths.push(state.path.clone());
            }
        }
        all.sort_unstable();
        let mut folders = Vec::from_iter(std::mem::take(&mut self.lanes[lane].folders));
        let known = |sync: &Sync| all.binary_search(&sync.path).is_ok();
        let common = |pending: &Pending| pending.files.iter().any(known);
        let mut jobs: Vec<u64> =
            self.pending.iter().filter(|(_, pending)| common(pending)).map(|(id, _)| *id).collect();
        if paths.is_empty() && folders.is_empty() && jobs.is_empty() {
            return false;
        }
        // Several threads sync side by side what is much.
        loop {
            let files = paths.split_off(paths.len().saturating_sub(limits::JOB_FILES));
            let some = folders.split_off(folders.len().saturating_sub(limits::JOB_FILES));
            jobs.push(self.next_job);
            self.hand_out(files, some, Vec::new(), Waits::Lane(lane));
            if paths.is_empty() && folders.is_empty() {
                break;
            }
        }
        let lane = Lane(u32::try_from(lane).unwrap_or(u32::MAX));
        self.waiting.push(Waiting { lane, ticket, jobs, files: all, failed: None });
        true
    }

    /// Takes the end of a job.
    pub fn finished(&mut self, finished: Finished, done: &mut Vec<Completion>) {
        let Some(pending) = self.pending.remove(&finished.id) else { return };
        if let Some((growth, created)) = finished.grown {
            self.segments.grown(growth, created);
        }
        match pending.waits {
            Waits::Segment(sequence) => {
                let own = |path: &Arc<str>| pending.files.iter().any(|sync| sync.path == *path);
                let (elsewhere, running): (Vec<_>, Vec<_>) =
                    self.uncertain(own).into_iter().partition(|sync| sync.failed);
                let mut failed = finished.failed;
                failed.extend(elsewhere.into_iter().map(|sync| failed_elsewhere(sync.path)));
                let repaired = self.repair_all(failed) && self.folders_again(finished.failed_folders);
                let jobs = running.into_iter().map(|sync| sync.job).collect();
                self.held.push(Held { sequence, jobs, files: pending.files, repaired });
            }
            Waits::Lane(_) => {
                for (path, error) in finished.failed {
                    self.repair(&path, error);
                }
                let own = self.waiting.iter().position(|w| w.jobs.contains(&finished.id));
                if let Some(at) = own {
                    // Jobs that were handed out later may have been told of an error first.
                    let uncertain = self.uncertain(|path| self.waiting[at].files.binary_search(path).is_ok());
                    let waiting = &mut self.waiting[at];
                    waiting.jobs.extend(uncertain.into_iter().map(|sync| sync.job));
                    for (path, error) in finished.failed_folders {
                        self.lanes[waiting.lane.0 as usize].folders.insert(path);
                        waiting.failed = Some(error);
                    }
                }
            }
            Waits::Nobody => {}
        }
        self.checkpoint_held(finished.id);
        self.complete_waiting(finished.id, done);
    }

    /// Segments that waited for this job only, or for none, are checkpointed.
    fn checkpoint_held(&mut self, job: u64) {
        for held in &mut self.held {
            held.jobs.retain(|id| *id != job);
        }
        let mut any = false;
        for Held { sequence, repaired, .. } in self.held.extract_if(.., |h| h.jobs.is_empty()) {
            let segment = self.segments.closed.iter_mut().find(|s| s.header.sequence == sequence);
            segment.into_iter().for_each(|segment| segment.checkpointed = repaired);
            any = true;
        }
        if any && let Err(error) = self.free_checkpointed() {
            self.events.push(Event::Stuck(error));
        }
    }

    /// A checkpoint with this file does not keep its promise.
    fn fail_waiting(&mut self, path: &Arc<str>, error: &DiskError) {
        for waiting in self.waiting.iter_mut().filter(|w| w.files.binary_search(path).is_ok()) {
            waiting.failed.get_or_insert_with(|| error.clone());
        }
    }

    /// Checkpoints that waited for this job only are complete.
    fn complete_waiting(&mut self, job: u64, done: &mut Vec<Completion>) {
        for waiting in &mut self.waiting {
            waiting.jobs.retain(|id| *id != job);
        }
        for Waiting { lane, ticket, failed, .. } in self.waiting.extract_if(.., |w| w.jobs.is_empty()) {
            if let Some(error) = &failed {
                self.lanes[lane.0 as usize].refused = Some(error.clone());
                self.refusing.insert(lane.0);
            }
            done.push(Completion { lane, ticket, outcome: failed.map_or(Outcome::Done, Outcome::Failed) });
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
            (0..self.lanes.len()).try_for_each(|lane| self.redo(lane))?;
            self.carry_deltas()?;
            let Freed { trash, removed } = self.segments.free_oldest()?;
            self.removed.extend(removed);
            if !trash.is_empty() {
                self.hand_out(Vec::new(), Vec::new(), trash, Waits::Nobody);
            }
        }
        self.carry_cached()
    }

    /// Frees the oldest segment here and now, because no other may be created.
    pub(super) fn reclaim(&mut self) -> Result<(), DiskError> {
        let Some(segment) = self.segments.closed.front() else { return Ok(()) };
        let sequence = segment.header.sequence;
        let job = self.pending.values().find(|p| matches!(p.waits, Waits::Segment(s) if s == sequence));
        let mut failed: Vec<_> = match job {
            Some(job) => share(&*self.files, &job.files),
            None => {
                let sync = |path: &Arc<str>| Some((path.clone(), sync_path(&*self.files, path).err()?));
                segment.files.iter().filter_map(sync).collect()
            }
        };
        for Uncertain { path, failed: known, .. } in self.uncertain(|path| segment.files.contains(path)) {
            if known {
                failed.push(failed_elsewhere(path));
            } else if let Err(error) = self.put_again(&path) {
                // One that still runs may be told of an error that another sync is not: only what was written after it is certain.
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
        // What was refused stands behind, and does not count.
        let counts = segment.synced.max(segment.completed);
        let held = |c: &super::lanes::ConsumerState| c.segment <= sequence;
        if !self.lanes.iter().any(|lane| lane.consumers.values().any(held)) {
            return Ok(());
        }
        let bytes = read_segment(&*self.files, &segment.path)?;
        // What is gathered for a round is not to be disturbed: this may happen in its middle, before its first record.
        let round = std::mem::take(&mut self.round);
        self.round.clear();
        let carried = self.carry_from(&bytes, 0..counts);
        self.round = round;
        carried?;
        let current = self.segments.sequence();
        let next = self.segments.closed.get(1).map_or(current, |s| s.header.sequence);
        for (number, lane) in (0..).zip(&mut self.lanes) {
            for state in lane.consumers.values_mut().filter(|state| state.segment <= sequence) {
                state.segment = next;
                if lane.standing == Standing::Open {
                    self.behind.insert(number);
                }
            }
        }
        Ok(())
    }

    /// Deltas that were only cached stand in frames of a closed segment that do not count, because a sync failed: they are told again.
    pub(super) fn carry_cached(&mut self) -> Result<(), DiskError> {
        while let Some(at) = self.segments.closed.iter().position(|s| s.completed > s.synced) {
            let segment = &mut self.segments.closed[at];
            let range = segment.synced..std::mem::replace(&mut segment.completed, segment.synced);
            let (sequence, path) = (segment.header.sequence, segment.path.clone());
            let bytes = read_segment(&*self.files, &path)?;
            let round = std::mem::take(&mut self.round);
            self.round.clear();
            let carried = self.carry_from(&bytes, range.clone());
            self.round = round;
            if carried.is_err() {
                let segment = self.segments.closed.iter_mut().find(|s| s.header.sequence == sequence);
                segment.into_iter().for_each(|s| s.completed = range.end);
                return carried;
            }
        }
        Ok(())
    }

    /// Copies the deltas that still count from these frames of a segment.
    fn carry_from(&mut self, bytes: &[u8], wanted: Range<u64>) -> Result<(), DiskError> {
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
                        if wanted.contains(&frame.link.number) && first.is_some_and(|first| index >= first) {
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

    /// The journal as a replay would read it, without what was refused because it could not be put on stable storage.
    pub(super) fn read_back(&self) -> Result<Found, DiskError> {
        let mut found = read_segments(&*self.files)?;
        if let Some(damage) = found.damage.first() {
            let (call, path) = ("read", damage.segment.clone());
            return Err(DiskError { fault: Fault::Device, call, path, text: damage.cause.clone() });
        }
        let current = &self.segments.current;
        for segment in found.usable.iter_mut().filter(|s| s.header.sequence == current.header.sequence) {
            segment.limit = segment.limit.min(current.synced.max(current.completed));
        }
        Ok(found)
    }

    /// Writes the journal's bytes of a file again.
    pub(super) fn rewrite(&self, path: &str) -> Result<(), DiskError> {
        Image::build(&self.read_back()?.usable).rewrite(&*self.files, path).map(|_| ())
    }

    /// Writes the journal's bytes of a file again, and syncs them.
    fn put_again(&self, path: &str) -> Result<(), DiskError> {
        // Opened before they are written: an error of theirs is told here, whoever else is told of it.
        let handle = match self.files.open(path, Mode::Write) {
            Err(error) if error.fault == Fault::Absent => return Ok(()),
            other => other?,
        };
        let synced = self.rewrite(path).and_then(|()| self.files.sync(handle));
        self.files.close(handle);
        synced
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
            let lane = state.lane as usize;
            if std::mem::take(&mut state.cached) {
                self.refuse(lane, error.clone());
                self.fail_waiting(path, &error);
            }
        }
        // What the journal does not speak of was only cached, and is gone as far as the device is concerned: the owner is told.
        match self.put_again(path) {
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
                    self.refuse(lane, again.clone());
                }
                self.fail_waiting(path, &again);
                let with = |held: &&mut Held| held.files.iter().any(|sync| sync.path == *path);
                self.held.iter_mut().filter(with).for_each(|held| held.repaired = false);
                self.events.push(Event::Stuck(again));
                false
            }
        }
    }
}
