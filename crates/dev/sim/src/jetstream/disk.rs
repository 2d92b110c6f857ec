//! The store directory as the simulated node sees it: the journal's committer over files that forget, driven step by step.
//!
//! Operations of a lane are committed in the order of their submission and their completions delivered in that order; how many at a time, when, which lane
//! first, and when work aside is done, is for the seed to say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use midge_store::journal::{self, Committer, Deltas, Job};
use midge_store::port::{
    Completion, Completions, DiskError, Fault, Files, Lane, Op, Outcome, Promise, StoreDisk, Submission,
    Submitted, Ticket,
};

use super::tamper::Break;
use crate::disk::SimFiles;
use crate::draw::Draw;

/// A checkpoint before a lane ends. No store uses such tickets.
const LEAVING: Ticket = Ticket(u64::MAX - 1);
/// What may be kept back when space runs out.
pub(super) const RESERVE: u64 = 64 << 10;
/// With so many bytes free, there is space again.
const SPACE_BACK: u64 = 64 << 20;
/// A checkpoint for what was only cached.
const INTERVAL: Ticket = Ticket(u64::MAX);

enum Held {
    Op(Submission),
    Unregister,
}

struct Entry {
    folder: Arc<str>,
    sink: Arc<dyn Completions>,
    /// Operations that were taken and are not done.
    ops: usize,
    /// The call of `submit` that refused last.
    refused: u64,
    crowded: bool,
    cached: bool,
    asides: usize,
    /// What waits for work aside: a deletion, and all that follows.
    held: Option<Vec<Held>>,
    /// Completions that the owner does not know of.
    done: VecDeque<Completion>,
    room: bool,
    released: Option<Result<(), DiskError>>,
}

struct State {
    committer: Committer,
    lanes: BTreeMap<u32, Entry>,
    queue: VecDeque<Submission>,
    unregister: Vec<Lane>,
    asides: Vec<Submission>,
    jobs: Vec<Job>,
    running: usize,
    leaving: BTreeSet<u32>,
    /// Lanes that had no space.
    short: BTreeSet<u32>,
    /// Somebody looked, and there was no space.
    found_full: bool,
    parting: Vec<Lane>,
    unreleased: BTreeMap<Arc<str>, Lane>,
    calls: u64,
    lane_ops: usize,
    broken: Option<Break>,
}

/// See the module.
pub(super) struct SimDisk {
    files: Arc<SimFiles>,
    state: Mutex<State>,
}

/// What a disk may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskStep {
    /// Some of what was submitted.
    Commit,
    /// One piece of work.
    Aside,
    /// One job of the committer.
    Job,
    /// Tell an owner.
    Deliver,
    /// What the disk does when it is idle.
    Tidy,
    /// There is none left.
    NoSpace,
    /// There is space again.
    Space,
}

impl SimDisk {
    pub(super) fn new(
        files: Arc<SimFiles>,
        committer: Committer,
        lane_ops: usize,
        broken: Option<Break>,
    ) -> SimDisk {
        let state = State {
            committer,
            lanes: BTreeMap::new(),
            queue: VecDeque::new(),
            unregister: Vec::new(),
            asides: Vec::new(),
            jobs: Vec::new(),
            running: 0,
            leaving: BTreeSet::new(),
            short: BTreeSet::new(),
            found_full: false,
            parting: Vec::new(),
            unreleased: BTreeMap::new(),
            calls: 0,
            lane_ops,
            broken,
        };
        SimDisk { files, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What can be done now.
    pub(super) fn ready(&self, into: &mut Vec<DiskStep>) {
        let state = self.lock();
        if !state.queue.is_empty() || !state.unregister.is_empty() {
            into.push(DiskStep::Commit);
        }
        if !state.asides.is_empty() {
            into.push(DiskStep::Aside);
        }
        if !state.jobs.is_empty() {
            into.push(DiskStep::Job);
        }
        if state.lanes.values().any(Entry::has_news) {
            into.push(DiskStep::Deliver);
        }
        if state.committer.is_idle_wanted() {
            into.push(DiskStep::Tidy);
        }
        let none = |room: u64| room < RESERVE / 4;
        if state.committer.has_reserve() && self.files.room().is_some_and(none) {
            into.push(DiskStep::NoSpace);
        }
        if state.is_short() && self.files.free().is_ok_and(|free| free >= SPACE_BACK) {
            into.push(DiskStep::Space);
        }
    }

    /// Does something.
    pub(super) fn step(&self, step: DiskStep, draw: &mut Draw) {
        let mut state = self.lock();
        match step {
            DiskStep::Commit => state.commit(draw, self.files.is_dead()),
            DiskStep::Aside => {
                let at = draw.below(state.asides.len());
                let Submission { lane, ticket, op } = state.asides.swap_remove(at);
                let Some(folder) = state.lanes.get(&lane.0).map(|entry| entry.folder.clone()) else { return };
                let outcome = journal::aside(&*self.files, &folder, op);
                if let Some(entry) = state.lanes.get_mut(&lane.0) {
                    entry.ops -= 1;
                    entry.room |= entry.crowded;
                    entry.sink.complete(&mut vec![Completion { lane, ticket, outcome }]);
                    entry.sink.wake();
                }
                state.aside_done(lane);
            }
            DiskStep::Job => {
                let at = draw.below(state.jobs.len());
                let job = state.jobs.swap_remove(at);
                let finished = job.run(&*self.files);
                let mut done = Vec::new();
                state.running -= 1;
                state.committer.finished(finished, &mut done);
                state.queue_done(done);
                std::mem::take(&mut state.parting).into_iter().for_each(|lane| state.leave(lane));
                state.take_jobs();
            }
            DiskStep::Deliver => state.deliver(draw),
            DiskStep::Tidy => {
                match draw.below(4) {
                    0 => state.committer.close_unused(),
                    1 => state.sync_cached(),
                    _ => {}
                }
                if draw.percent(50) {
                    state.committer.flush()
                } else {
                    state.committer.idle()
                }
                if state.committer.is_idle_wanted() {
                    state.committer.idle();
                }
                state.take_jobs();
            }
            DiskStep::NoSpace => {
                state.committer.give_up_reserve();
                state.found_full = true;
            }
            DiskStep::Space => {
                state.found_full = false;
                state.committer.take_reserve();
                for lane in std::mem::take(&mut state.short) {
                    if let Some(entry) = state.lanes.get(&lane) {
                        entry.sink.space();
                    }
                }
            }
        }
        for lane in state.committer.take_behind() {
            if let Some(entry) = state.lanes.get(&lane.0) {
                entry.sink.behind();
            }
        }
        for lane in state.committer.take_refusing() {
            if let Some(entry) = state.lanes.get(&lane.0) {
                entry.sink.refused();
            }
        }
        let _ = state.committer.take_events();
    }

    /// A clean end, when all hosts have ended.
    pub(super) fn close(self: Arc<Self>, draw: &mut Draw) -> Result<(), DiskError> {
        let mut ready = Vec::new();
        loop {
            ready.clear();
            self.ready(&mut ready);
            let Some(step) = ready.first() else { break };
            self.step(*step, draw);
            if self.files.is_dead() {
                return Ok(());
            }
        }
        let Some(disk) = Arc::into_inner(self) else {
            let text = "somebody uses the disk after the end".to_owned();
            return Err(DiskError { fault: Fault::Busy, call: "close", path: String::new(), text });
        };
        disk.state.into_inner().unwrap_or_else(PoisonError::into_inner).committer.close()
    }
}

impl Entry {
    fn has_news(&self) -> bool {
        !self.done.is_empty() || self.room || self.released.is_some()
    }
}

impl State {
    fn is_short(&self) -> bool {
        self.found_full || !self.short.is_empty()
    }

    fn release_former(&mut self, folder: &str) -> Result<(), DiskError> {
        if let Some(&former) = self.unreleased.get(folder) {
            self.committer.release(former)?;
            self.unreleased.remove(folder);
        }
        Ok(())
    }

    fn take_jobs(&mut self) {
        let jobs = self.committer.take_jobs();
        self.running += jobs.len();
        self.jobs.extend(jobs);
    }

    fn commit(&mut self, draw: &mut Draw, dead: bool) {
        if dead {
            return;
        }
        let count = if draw.percent(60) { self.queue.len() } else { draw.between(0, self.queue.len()) };
        let mut batch: Vec<Submission> = self.queue.drain(..count).collect();
        for submission in &batch {
            if let Some(entry) = self.lanes.get_mut(&submission.lane.0) {
                entry.ops -= 1;
                entry.room |= entry.crowded;
            }
        }
        let mut lost = Vec::new();
        if self.broken == Some(Break::LoseDeltas) {
            for Submission { lane, ticket, .. } in batch.extract_if(.., |s| matches!(s.op, Op::Delta { .. }))
            {
                lost.push(Completion { lane, ticket, outcome: Outcome::Done });
            }
        }
        self.run_batch(&mut batch);
        self.queue_done(lost);
        if self.queue.is_empty() {
            for lane in std::mem::take(&mut self.unregister) {
                if self.lanes.contains_key(&lane.0) && self.leaving.insert(lane.0) {
                    self.run_batch(&mut vec![Submission { lane, ticket: LEAVING, op: Op::Checkpoint }]);
                }
            }
        }
    }

    fn run_batch(&mut self, batch: &mut Vec<Submission>) {
        let mut done = Vec::new();
        self.committer.commit(batch, &mut done);
        self.queue_done(done);
        self.take_jobs();
    }

    fn queue_done(&mut self, done: Vec<Completion>) {
        let mut left = Vec::new();
        for mut completion in done {
            if self.broken == Some(Break::AcknowledgeFailed)
                && matches!(completion.outcome, Outcome::Failed(_))
            {
                completion.outcome = Outcome::Done;
            }
            match completion.ticket {
                LEAVING => left.push(completion.lane),
                INTERVAL => {}
                _ => {
                    if matches!(&completion.outcome, Outcome::Failed(error) if error.fault == Fault::Full) {
                        self.short.insert(completion.lane.0);
                    }
                    if let Some(entry) = self.lanes.get_mut(&completion.lane.0) {
                        entry.done.push_back(completion);
                    }
                }
            }
        }
        left.into_iter().for_each(|lane| self.leave(lane));
    }

    /// Ends a lane whose files were synced.
    fn leave(&mut self, lane: Lane) {
        let open = self.committer.folder(lane).is_some();
        let result = if open { self.committer.release(lane) } else { Ok(()) };
        if matches!(&result, Err(error) if error.fault == Fault::Busy) && self.running > 0 {
            self.parting.push(lane);
            return;
        }
        self.leaving.remove(&lane.0);
        let Some(entry) = self.lanes.get_mut(&lane.0) else { return };
        if result.is_err() {
            self.unreleased.insert(entry.folder.clone(), lane);
        }
        entry.released = Some(result);
    }

    /// Tells one owner of some of what was done for it.
    fn deliver(&mut self, draw: &mut Draw) {
        let news: Vec<u32> =
            self.lanes.iter().filter(|(_, entry)| entry.has_news()).map(|(lane, _)| *lane).collect();
        if news.is_empty() {
            return;
        }
        let lane = draw.pick(&news);
        let Some(entry) = self.lanes.get_mut(&lane) else { return };
        let count = if draw.percent(70) { entry.done.len() } else { draw.between(0, entry.done.len()) };
        if count > 0 {
            let mut batch = entry.done.drain(..count).collect();
            entry.sink.complete(&mut batch);
            entry.sink.wake();
        }
        if !entry.done.is_empty() {
            return;
        }
        if std::mem::take(&mut entry.room) {
            entry.crowded = false;
            entry.sink.room();
        }
        if let Some(result) = entry.released.take() {
            entry.sink.released(result);
            self.lanes.remove(&lane);
        }
    }

    fn sync_cached(&mut self) {
        let lanes: Vec<u32> = self
            .lanes
            .iter_mut()
            .filter_map(|(lane, entry)| std::mem::take(&mut entry.cached).then_some(*lane))
            .collect();
        for lane in lanes {
            self.run_batch(&mut vec![Submission { lane: Lane(lane), ticket: INTERVAL, op: Op::Checkpoint }]);
        }
    }

    fn take_in(&mut self, submission: Submission) -> Result<(), (Submission, Submitted)> {
        let lane = submission.lane.0;
        let Some(entry) = self.lanes.get_mut(&lane).filter(|entry| entry.released.is_none()) else {
            return Err((submission, Submitted::NoLane));
        };
        if entry.refused == self.calls || entry.ops >= self.lane_ops {
            (entry.refused, entry.crowded) = (self.calls, true);
            return Err((submission, Submitted::Full));
        }
        entry.ops += 1;
        entry.cached |= matches!(
            &submission.op,
            Op::Write { promise: Promise::Cached, .. } | Op::Remove { promise: Promise::Cached, .. }
        );
        if matches!(submission.op, Op::Work(_) | Op::Stage { .. }) && entry.held.is_none() {
            entry.asides += 1;
            self.asides.push(submission);
        } else if entry.held.is_some() || (entry.asides > 0 && matches!(submission.op, Op::Delete)) {
            entry.held.get_or_insert_default().push(Held::Op(submission));
        } else {
            self.queue.push_back(submission);
        }
        Ok(())
    }

    fn aside_done(&mut self, lane: Lane) {
        let Some(entry) = self.lanes.get_mut(&lane.0) else { return };
        entry.asides -= 1;
        if entry.asides > 0 {
            return;
        }
        for one in entry.held.take().into_iter().flatten() {
            match one {
                Held::Op(submission) => self.queue.push_back(submission),
                Held::Unregister => self.unregister.push(lane),
            }
        }
    }
}

impl StoreDisk for SimDisk {
    fn register(&self, folder: &str, sink: Arc<dyn Completions>) -> Result<Lane, DiskError> {
        let mut state = self.lock();
        state.release_former(folder)?;
        let lane = state.committer.register(folder)?;
        let entry = Entry {
            folder: folder.into(),
            sink,
            ops: 0,
            refused: 0,
            crowded: false,
            cached: false,
            asides: 0,
            held: None,
            done: VecDeque::new(),
            room: false,
            released: None,
        };
        state.lanes.insert(lane.0, entry);
        Ok(lane)
    }

    fn unregister(&self, lane: Lane) {
        let mut state = self.lock();
        let Some(entry) = state.lanes.get_mut(&lane.0) else { return };
        if entry.asides > 0 || entry.held.is_some() {
            entry.held.get_or_insert_default().push(Held::Unregister);
        } else {
            state.unregister.push(lane);
        }
    }

    fn submit(&self, batch: &mut Vec<Submission>) -> Submitted {
        let mut state = self.lock();
        state.calls += 1;
        let mut left = Vec::new();
        let mut result = Submitted::All;
        for submission in batch.drain(..) {
            if let Err((submission, why)) = state.take_in(submission) {
                left.push(submission);
                result = if result == Submitted::All { why } else { result };
            }
        }
        *batch = left;
        result
    }

    fn deltas(&self, folder: &str) -> Result<Vec<Deltas>, DiskError> {
        let mut state = self.lock();
        state.release_former(folder)?;
        state.committer.deltas(folder)
    }

    fn files(&self) -> Arc<dyn Files> {
        self.files.clone()
    }

    fn space(&self) -> u64 {
        let free = self.files.free().unwrap_or(0);
        if free < 2 * RESERVE && self.lock().is_short() { 0 } else { free }
    }
}
