//! A batch, in rounds: gather, write, sync, act, complete.

use super::committer::{Committer, Event};
use super::lanes::Standing;
use super::segments::no_lane;
use super::settings::Flaw;
use super::{limits, parent};
use crate::port::{Completion, DiskError, Files, Mode, Op, Outcome, Promise, Submission};

/// How gathering went on.
pub(super) enum Flow {
    /// The operation is in the round.
    Next,
    /// It has to wait for the end of this round.
    Stop,
}

/// Executes an operation that needs no order: [`Op::Stage`] and [`Op::Work`]. On any thread.
pub fn aside(files: &dyn Files, folder: &str, op: Op) -> Outcome {
    let done = |result: Result<(), DiskError>| result.map_or_else(Outcome::Failed, |()| Outcome::Done);
    match op {
        Op::Work(work) => Outcome::Worked(work.run(files, folder)),
        Op::Stage { file, bytes } => {
            let path = format!("{folder}/{file}");
            done(files.create_folder(parent(&path)).and_then(|()| put_file(files, &path, &bytes, true)))
        }
        other => {
            let text = format!("{other:?} has its place in an order");
            Outcome::Failed(DiskError {
                fault: crate::port::Fault::Denied,
                call: "aside",
                path: folder.into(),
                text,
            })
        }
    }
}

/// Gives a file this content, whatever it had.
pub(super) fn put_file(files: &dyn Files, path: &str, bytes: &[u8], sync: bool) -> Result<(), DiskError> {
    let handle = files.open(path, Mode::Create)?;
    let put = || {
        if files.len(handle)? > 0 {
            files.set_len(handle, 0)?;
        }
        files.write_at(handle, 0, bytes)?;
        if sync { files.sync(handle) } else { Ok(()) }
    };
    let result = put();
    files.close(handle);
    result
}

impl Committer {
    /// Executes everything in the batch, which is empty afterwards, with as few frames and syncs as possible, and appends the completions; those of
    /// [`Op::Checkpoint`] may come from [`Committer::finished`].
    pub fn commit(&mut self, batch: &mut Vec<Submission>, done: &mut Vec<Completion>) {
        for (index, submission) in batch.iter().enumerate() {
            let number = submission.lane.0 as usize;
            match self.lanes.get_mut(number).filter(|l| l.standing == Standing::Open || !l.queue.is_empty()) {
                Some(lane) => {
                    if lane.queue.is_empty() {
                        self.touched.push(number);
                    }
                    lane.queue.push(index);
                }
                None => done.push(completion(submission, Outcome::Failed(no_lane("submit")))),
            }
        }
        let mut touched = std::mem::take(&mut self.touched);
        while !touched.is_empty() {
            self.run_round(&touched, batch, done);
            touched.retain(|&lane| {
                let lane = &mut self.lanes[lane];
                let more = lane.at < lane.queue.len();
                if !more {
                    lane.queue.clear();
                    lane.at = 0;
                }
                more
            });
        }
        self.touched = touched;
        batch.clear();
        self.spend_reserve(done);
        self.write_if_much();
        self.rest();
        self.hasten_on();
        self.grow();
    }

    /// Whether all of these are appends to blocks that are open, promised to the operating system alone, so that nothing but writing has to be done.
    pub fn is_plain(&self, batch: &[Submission]) -> bool {
        let oldest = self.segments.oldest();
        let plain = |one: &Submission| {
            let Op::Write { block, offset, promise: Promise::Cached, .. } = &one.op else { return false };
            let Some(lane) = self.lanes.get(one.lane.0 as usize) else { return false };
            let id = lane.hot.filter(|(hot, _)| hot == block).map(|(_, id)| id);
            let Some(file) = id.and_then(|id| self.table.find(id)) else { return false };
            lane.standing == Standing::Open
                && lane.refused.is_none()
                && file.handle.is_some()
                && *offset >= file.end
                && !(file.pending || file.removed || file.is_live(oldest))
        };
        batch.iter().all(plain)
    }

    /// Whether there are jobs or events that nobody has taken.
    pub fn has_news(&self) -> bool {
        !self.jobs.is_empty() || !self.events.is_empty()
    }

    fn run_round(&mut self, touched: &[usize], batch: &mut [Submission], done: &mut Vec<Completion>) {
        self.rounds += 1;
        self.round.clear();
        for &lane in touched {
            let state = &mut self.lanes[lane];
            (state.round_at, state.in_frame, state.failed) = (state.at, false, None);
            self.gather_lane(lane, batch, done);
        }
        match self.write_frame() {
            Ok(()) => self.supersede(batch),
            Err(error) => {
                self.fail_frame(touched, &error);
                self.cut_appended();
                self.journal_failed(error);
            }
        }
        self.run_posts(batch);
        self.sync_folders(batch);
        for at in 0..self.round.results.len() {
            let (index, own) = &mut self.round.results[at];
            let (index, own) = (*index, own.take());
            let lane = &self.lanes[batch[index].lane.0 as usize];
            let failed = lane.failed.as_ref().filter(|(from, _)| index >= *from);
            let outcome =
                own.or(failed.map(|(_, error)| error.clone())).map_or(Outcome::Done, Outcome::Failed);
            done.push(completion(&batch[index], outcome));
        }
        self.round.results.clear();
    }

    fn gather_lane(&mut self, lane: usize, batch: &mut [Submission], done: &mut Vec<Completion>) {
        while let Some(&index) = self.lanes[lane].queue.get(self.lanes[lane].at) {
            let state = &mut self.lanes[lane];
            if state.standing != Standing::Open {
                state.at += 1;
                self.round.results.push((index, Some(no_lane("submit"))));
                continue;
            }
            if let Op::Resume = batch[index].op {
                if !state.is_first() {
                    return;
                }
                state.at += 1;
                let redone = self.redo(lane);
                self.lanes[lane].refused = redone.clone().err();
                self.round.results.push((index, redone.err()));
                continue;
            }
            let refused = state.failed.as_ref().map(|(_, error)| error).or(state.refused.as_ref());
            if let Some(error) = refused.cloned() {
                state.at += 1;
                self.round.results.push((index, Some(error)));
                continue;
            }
            match self.gather(lane, index, batch, done) {
                Ok(Flow::Next) => {}
                Ok(Flow::Stop) => return,
                Err(error) => {
                    self.fail(lane, index, error.clone());
                    self.lanes[lane].at += 1;
                    self.round.results.push((index, Some(error)));
                }
            }
        }
    }

    /// The lane failed with this submission: it, and what follows it, is not done.
    pub(super) fn fail(&mut self, lane: usize, index: usize, error: DiskError) {
        let state = &mut self.lanes[lane];
        state.refused = Some(error.clone());
        // It may have been about to change; what is there is looked at again.
        state.index = None;
        if state.failed.as_ref().is_none_or(|(from, _)| index < *from) {
            state.failed = Some((index, error));
        }
    }

    fn write_frame(&mut self) -> Result<(), DiskError> {
        if self.round.records > 0 {
            let records = self.round.records;
            self.segments.append(&mut self.round.frame, records)?;
        }
        if self.round.sync {
            self.segments.sync()?;
        }
        let current = &mut self.segments.current;
        if !current.bad {
            current.completed = current.frames;
        }
        Ok(())
    }

    fn fail_frame(&mut self, touched: &[usize], error: &DiskError) {
        for &lane in touched {
            if self.lanes[lane].in_frame {
                let from = self.lanes[lane].queue.get(self.lanes[lane].round_at).copied().unwrap_or(0);
                self.fail(lane, from, error.clone());
            }
        }
    }

    pub(super) fn journal_failed(&mut self, error: DiskError) {
        self.events.push(Event::JournalFailed(error));
        if let Err(error) = self.rotate(0) {
            self.events.push(Event::NoSegment(error));
        }
    }

    fn sync_folders(&mut self, batch: &[Submission]) {
        let mut folders = std::mem::take(&mut self.round.folders);
        folders.sort();
        let mut last: Option<(&str, Result<(), DiskError>)> = None;
        for (folder, index) in &folders {
            let result = match &last {
                Some((path, result)) if *path == &**folder => result.clone(),
                _ => self.sync_folder(folder),
            };
            if let Err(error) = &result {
                self.fail(batch[*index].lane.0 as usize, *index, error.clone());
            }
            last = Some((folder, result));
        }
        folders.clear();
        self.round.folders = folders;
    }

    /// Whether the frame takes a record of so many bytes; begins another segment when an empty frame does not.
    pub(super) fn room(&mut self, lane: usize, need: usize) -> Result<bool, DiskError> {
        let need = need + self.lanes[lane].folder.len() + 64;
        let body = self.round.body();
        if self.round.records > 0 {
            return Ok(body + need <= limits::FRAME_LEN && self.segments.fits(body + need));
        }
        if !self.segments.fits(need) {
            self.rotate(need)?;
        }
        Ok(true)
    }

    /// Begins another segment; the closed one is to be checkpointed.
    pub(super) fn rotate(&mut self, need: usize) -> Result<(), DiskError> {
        if self.segments.exhausted(need)
            && let Err(error) = self.reclaim()
        {
            self.events.push(Event::Stuck(error));
        }
        self.segments.rotate(need)?;
        (self.hasten, self.cleared) = (None, false);
        if self.settings.flaw == Some(Flaw::ReuseBeforeCheckpoint) {
            let _ = self.segments.free_oldest();
            return Ok(());
        }
        self.hand_out_last();
        self.carry_cached()
    }

    fn hasten_on(&mut self) {
        if self.hasten.is_some_and(|from| self.segments.current.at > from + limits::ERASED_LEN)
            && let Err(error) = self.rotate(0)
        {
            self.events.push(Event::NoSegment(error));
        }
    }
}

fn completion(submission: &Submission, outcome: Outcome) -> Completion {
    Completion { lane: submission.lane, ticket: submission.ticket, outcome }
}
