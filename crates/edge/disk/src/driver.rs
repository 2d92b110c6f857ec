//! The thread that drives the committer: everything that is queued, in one batch, again and again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use midge_stdx::hash::{Map, Set};
use midge_store::journal::{Committer, Event, Finished};
use midge_store::port::{Completion, DiskError, Fault, Lane, Op, Outcome, Submission, Ticket};

use crate::inbox::{Inbox, Request, Taken, Weight, weigh};
use crate::lane::{Completions, LaneOwner};
use crate::limits;
use crate::metrics::Metrics;
use crate::space::Space;
use crate::workers::{Task, Workers};

/// A checkpoint of the disk's own, for what was written with `Promise::Cached`. No store uses such tickets.
const INTERVAL: Ticket = Ticket(u64::MAX);
/// A checkpoint before a lane is released, so that the release has little to sync.
const LEAVING: Ticket = Ticket(u64::MAX - 1);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) idle_after: Duration,
    pub(crate) spin: Duration,
    pub(crate) sync_interval: Duration,
    pub(crate) close_after: Duration,
    pub(crate) probe_every: Duration,
    pub(crate) probe_short: Duration,
}

/// When what is due next.
struct Due {
    idle: Option<Instant>,
    flush: Option<Instant>,
    late: Option<Instant>,
    close: Instant,
    probe: Instant,
    /// Lanes with cached bytes, by the time of their sync.
    cached: VecDeque<(Instant, u32)>,
}

/// The state of the thread.
pub(crate) struct Driver {
    committer: Committer,
    inbox: Arc<Inbox>,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
    space: Arc<Space>,
    pace: Pace,
    lanes: Map<u32, Arc<LaneOwner>>,
    /// Lanes that wait for their last checkpoint.
    leaving: Set<u32>,
    /// Those of them whose checkpoint is done, while a job may still lose something of theirs.
    parting: Vec<Lane>,
    /// Folders of lanes that could not be released.
    unreleased: Map<Arc<str>, Lane>,
    batch: Vec<Submission>,
    done: Vec<Completion>,
    run: Vec<Completion>,
    weights: Vec<Weight>,
    rooms: Vec<Arc<LaneOwner>>,
    /// Owners that were handed something and not woken yet.
    asleep: Vec<Arc<LaneOwner>>,
    /// Jobs that are under way.
    jobs: usize,
    due: Due,
    logged: Map<u32, Instant>,
    closing: Option<SyncSender<Result<(), DiskError>>>,
    /// Until when its thread sleeps, if nothing comes.
    until: Instant,
    /// When it last went to sleep.
    slept: Instant,
    /// What others than its thread have it do.
    light: Vec<Submission>,
}

/// How a life goes on.
pub(crate) enum Next {
    /// Wait until then, and look for so long before sleeping.
    Wait(Instant, Duration),
    /// It is over: the disk was dropped, or closed, and then somebody is to be answered.
    Over(Option<SyncSender<Result<(), DiskError>>>),
}

impl Driver {
    pub(crate) fn new(
        committer: Committer,
        inbox: Arc<Inbox>,
        workers: Arc<Workers>,
        metrics: Arc<Metrics>,
        space: Arc<Space>,
        pace: Pace,
    ) -> Driver {
        let now = Instant::now();
        let due = Due {
            idle: None,
            flush: None,
            late: None,
            close: now + pace.close_after,
            probe: now,
            cached: VecDeque::new(),
        };
        Driver {
            committer,
            inbox,
            workers,
            metrics,
            space,
            pace,
            lanes: Map::default(),
            leaving: Set::default(),
            parting: Vec::new(),
            unreleased: Map::default(),
            batch: Vec::new(),
            done: Vec::new(),
            run: Vec::new(),
            weights: Vec::new(),
            rooms: Vec::new(),
            asleep: Vec::new(),
            jobs: 0,
            due,
            logged: Map::default(),
            closing: None,
            until: now,
            slept: now,
            light: Vec::new(),
        }
    }

    /// Does what is queued.
    pub(crate) fn step(&mut self, taken: &mut Taken) -> Next {
        let now = Instant::now();
        let short_wait = now.duration_since(self.slept) < self.pace.spin * 2;
        self.inbox.take(taken);
        if taken.over {
            return Next::Over(None);
        }
        self.metrics.queued_operations.set(taken.queued_ops as u64);
        self.metrics.queued_bytes.set(taken.queued_bytes as u64);
        self.finished(&mut taken.finished);
        for lane in taken.cached.drain(..) {
            self.due.cached.push_back((now + self.pace.sync_interval, lane));
        }
        self.commit(&mut taken.submissions, now);
        for request in taken.requests.drain(..) {
            self.request(request, now);
        }
        self.timers(now);
        self.hand_out(now);
        // What only a job knows to have failed has to be known before the end.
        if self.closing.is_some() && self.jobs == 0 && self.inbox.is_drained() {
            return Next::Over(self.closing.take());
        }
        // Who does not wait for a sync asks again sooner, or later, than one takes.
        let spin = if short_wait && self.committer.has_synced() { self.pace.spin } else { Duration::ZERO };
        (self.until, self.slept) = (self.due.next(), Instant::now());
        Next::Wait(self.until, spin)
    }

    /// Does what is queued while its thread sleeps, on the thread of whoever submitted it, if that is no more than writing. False when it is not done.
    pub(crate) fn here(&mut self) -> bool {
        if self.committer.is_idle_wanted() {
            return false;
        }
        let mut batch = std::mem::take(&mut self.light);
        let committer = &self.committer;
        let taken = self.inbox.take_light(&mut batch, |all| committer.is_plain(all));
        if taken {
            self.commit(&mut batch, Instant::now());
        }
        self.light = batch;
        if taken
            && (self.committer.has_news() || self.committer.is_idle_wanted() || self.due.next() < self.until)
        {
            self.inbox.nudge();
        }
        taken
    }

    /// Tells the committer of jobs that ended; lanes that waited for them may end now.
    fn finished(&mut self, finished: &mut Vec<Finished>) {
        if finished.is_empty() {
            return;
        }
        for finished in finished.drain(..) {
            self.jobs -= 1;
            self.committer.finished(finished, &mut self.done);
        }
        std::mem::take(&mut self.parting).into_iter().for_each(|lane| self.leave(lane));
    }

    /// Executes everything that was submitted, in pieces of a bounded size, and tells the owners.
    fn commit(&mut self, submissions: &mut Vec<Submission>, now: Instant) {
        while !submissions.is_empty() {
            self.weights.clear();
            let (mut bytes, mut count) = (0, 0);
            for submission in &*submissions {
                if bytes > limits::ROUND_BYTES {
                    break;
                }
                let weight = weigh(&submission.op);
                bytes += weight;
                count += 1;
                let lane = submission.lane.0;
                match self.weights.last_mut().filter(|last| last.lane == lane) {
                    Some(last) => (last.ops, last.bytes) = (last.ops + 1, last.bytes + weight),
                    None => self.weights.push(Weight { lane, ops: 1, bytes: weight }),
                }
            }
            if count == submissions.len() {
                std::mem::swap(&mut self.batch, submissions);
            } else {
                self.batch.extend(submissions.drain(..count));
            }
            self.metrics.batches.add(1);
            self.metrics.operations.add(count);
            self.metrics.batch_sizes.record(count);
            self.committer.commit(&mut self.batch, &mut self.done);
            let weights = std::mem::take(&mut self.weights);
            self.inbox.release(&weights, &mut self.rooms);
            self.weights = weights;
            self.deliver(now);
            self.rooms.drain(..).for_each(|owner| owner.call(|sink| sink.room()));
            self.due.idle = None;
        }
        self.deliver(now);
    }

    /// Sends the completions to their owners, lane by lane.
    fn deliver(&mut self, now: Instant) {
        if self.done.is_empty() {
            return;
        }
        let mut done = std::mem::take(&mut self.done);
        let mut own = false;
        for completion in &done {
            own |= completion.ticket >= LEAVING;
            // A store that was deleted has nothing left to be put in order when its lane ends.
            let ended = |error: &DiskError| completion.ticket == LEAVING && error.fault == Fault::Absent;
            if let Outcome::Failed(error) = &completion.outcome
                && !ended(error)
            {
                self.failed(completion.lane, error, now);
            }
        }
        if own {
            done.retain(|completion| {
                let leaves = completion.ticket == LEAVING;
                if leaves {
                    self.leave(completion.lane);
                }
                !leaves && completion.ticket != INTERVAL
            });
        }
        let first = done.first().map(|completion| completion.lane);
        if done.iter().all(|completion| Some(completion.lane) == first) {
            first.into_iter().for_each(|lane| self.hand_over(lane, &mut done));
        } else {
            let mut run = std::mem::take(&mut self.run);
            for completion in done.drain(..) {
                if let Some(lane) = run.last().map(|last: &Completion| last.lane)
                    && lane != completion.lane
                {
                    self.hand_over(lane, &mut run);
                }
                run.push(completion);
            }
            let last = run.last().map(|completion| completion.lane);
            last.into_iter().for_each(|lane| self.hand_over(lane, &mut run));
            self.run = run;
        }
        self.done = done;
        self.asleep.drain(..).for_each(|owner| owner.call(|sink| sink.wake()));
    }

    fn hand_over(&mut self, lane: Lane, batch: &mut Vec<Completion>) {
        if let Some(owner) = self.lanes.get(&lane.0) {
            owner.call(|sink| sink.complete(batch));
            if !self.asleep.last().is_some_and(|last| last.shares_owner(owner)) {
                self.asleep.push(owner.clone());
            }
        }
        batch.clear();
    }

    fn failed(&mut self, lane: Lane, error: &DiskError, now: Instant) {
        self.metrics.failures.add(1);
        self.space.failed(lane, error);
        if error.fault == Fault::Full {
            self.due.probe = self.due.probe.min(now + self.pace.probe_short);
        }
        let last = self.logged.get(&lane.0).copied();
        if last.is_none_or(|last| now.duration_since(last) >= limits::LOG_EVERY) {
            self.logged.insert(lane.0, now);
            let folder = self.lanes.get(&lane.0).map_or("", |owner| &*owner.folder);
            tracing::error!(
                blame = "disk",
                folder,
                "{error}; what follows is refused until the store has seen it"
            );
        }
    }

    fn request(&mut self, request: Request, now: Instant) {
        match request {
            Request::Register { folder, sink, reply } => {
                let result = self.register(&folder, sink);
                // Who asked may have gone; then the lane is of no use, and ends with the disk.
                let _ = reply.try_send(result);
            }
            Request::Deltas(folder, reply) => {
                let settled = self.release_former(&folder);
                let _ = reply.try_send(settled.and_then(|()| self.committer.deltas(&folder)));
            }
            Request::Unregister(lane) => {
                self.inbox.remove(lane);
                if self.lanes.contains_key(&lane.0) && self.leaving.insert(lane.0) {
                    self.checkpoint(lane, LEAVING, now);
                }
            }
            Request::NoSpace => {
                tracing::error!(blame = "disk", "there is no space; what is left is for what makes room");
                self.committer.give_up_reserve();
                self.due.probe = self.due.probe.min(now + self.pace.probe_short);
            }
            Request::Space => {
                self.committer.take_reserve();
                for lane in self.space.take_waiting() {
                    if let Some(owner) = self.lanes.get(&lane) {
                        owner.call(|sink| sink.space());
                    }
                }
            }
            Request::Close(reply) => {
                self.closing = Some(reply);
                let mut lanes: Vec<u32> = self.lanes.keys().copied().collect();
                lanes.sort_unstable();
                // Several threads sync side by side what the end would sync in a row.
                lanes.into_iter().for_each(|lane| self.checkpoint(Lane(lane), INTERVAL, now));
            }
        }
    }

    fn register(&mut self, folder: &Arc<str>, sink: Arc<dyn Completions>) -> Result<Lane, DiskError> {
        self.release_former(folder)?;
        let lane = self.committer.register(folder)?;
        let owner = Arc::new(LaneOwner::new(lane, folder.clone(), sink));
        self.lanes.insert(lane.0, owner.clone());
        self.inbox.register(owner);
        Ok(lane)
    }

    /// What the journal still says of an earlier lane of this folder is done.
    fn release_former(&mut self, folder: &str) -> Result<(), DiskError> {
        if let Some(&former) = self.unreleased.get(folder) {
            self.committer.release(former)?;
            self.unreleased.remove(folder);
        }
        Ok(())
    }

    fn checkpoint(&mut self, lane: Lane, ticket: Ticket, now: Instant) {
        self.inbox.settle(lane.0);
        self.batch.push(Submission { lane, ticket, op: Op::Checkpoint });
        self.committer.commit(&mut self.batch, &mut self.done);
        self.deliver(now);
    }

    /// Ends a lane whose files were synced.
    fn leave(&mut self, lane: Lane) {
        // One that was deleted has ended already.
        let open = self.committer.folder(lane).is_some();
        let result = if open { self.committer.release(lane) } else { Ok(()) };
        // A job of a segment may sync a file of it right now: the lane ends when that has come back.
        if matches!(&result, Err(error) if error.fault == Fault::Busy) && self.jobs > 0 {
            self.parting.push(lane);
            return;
        }
        self.leaving.remove(&lane.0);
        self.logged.remove(&lane.0);
        let Some(owner) = self.lanes.remove(&lane.0) else { return };
        if let Err(error) = &result {
            tracing::error!(
                blame = "disk",
                folder = &*owner.folder,
                "{error}; the store is closed, and the journal still speaks of it"
            );
            self.unreleased.insert(owner.folder.clone(), lane);
        }
        owner.call(|sink| sink.released(result));
    }

    fn timers(&mut self, now: Instant) {
        if self.due.idle.is_some_and(|at| at <= now) {
            self.committer.idle();
            (self.due.idle, self.due.flush) = (None, None);
        }
        if self.due.flush.is_some_and(|at| at <= now) {
            self.committer.flush();
            self.due.flush = None;
        }
        if self.due.late.is_some_and(|at| at <= now) {
            self.committer.write_late();
        }
        while let Some((_, lane)) = self.due.cached.pop_front_if(|(at, _)| *at <= now) {
            if self.lanes.contains_key(&lane) && self.inbox.settle(lane) {
                self.checkpoint(Lane(lane), INTERVAL, now);
            }
        }
        if self.due.close <= now {
            self.due.close = now + self.pace.close_after;
            self.committer.close_unused();
        }
        if self.due.probe <= now {
            let short = self.space.is_short();
            self.due.probe = now + if short { self.pace.probe_short } else { self.pace.probe_every };
            self.workers.push_task(Task::Probe);
        }
        let after = now + self.pace.idle_after;
        if self.committer.is_idle_wanted() {
            self.due.idle.get_or_insert(after);
        }
        if !self.committer.is_late() {
            self.due.late = None;
        } else {
            self.due.late.get_or_insert(now + limits::LATE_AFTER);
        }
        if !self.committer.is_flush_wanted() {
            self.due.flush = None;
        } else {
            self.due.flush.get_or_insert(after);
        }
    }

    /// Passes on what the committer wants done elsewhere, and what it wants known.
    fn hand_out(&mut self, now: Instant) {
        for job in self.committer.take_jobs() {
            self.jobs += 1;
            self.workers.push_task(Task::Job(job));
        }
        self.metrics.jobs.set(self.jobs as u64);
        for lane in self.committer.take_behind() {
            if let Some(owner) = self.lanes.get(&lane.0) {
                owner.call(|sink| sink.behind());
            }
        }
        for lane in self.committer.take_refusing() {
            if let Some(owner) = self.lanes.get(&lane.0) {
                owner.call(|sink| sink.refused());
            }
        }
        for event in self.committer.take_events() {
            match event {
                Event::JournalFailed(error) => tracing::error!(
                    blame = "disk",
                    "journal: {error}; what was not on stable storage is refused, and another segment begun"
                ),
                Event::NoSegment(error) => {
                    tracing::error!(blame = "disk", "journal: no segment can be begun: {error}");
                    if error.fault == Fault::Full {
                        self.due.probe = self.due.probe.min(now + self.pace.probe_short);
                    }
                }
                Event::Repaired(error) => tracing::warn!(
                    blame = "disk",
                    "{error} at a checkpoint; the file was written again from the journal"
                ),
                Event::Uncut(error) => tracing::error!(
                    blame = "disk",
                    "{error}; what was refused stays in the file until its store is opened anew"
                ),
                Event::Stuck(error) => tracing::error!(
                    blame = "disk",
                    "{error} at a checkpoint; the journal is kept until this succeeds"
                ),
            }
        }
    }

    /// The end after [`Driver::run`]: with somebody to answer, a clean one.
    pub(crate) fn end(self, reply: Option<SyncSender<Result<(), DiskError>>>) {
        let Driver { committer, lanes, inbox, workers, .. } = self;
        inbox.end();
        workers.end();
        let Some(reply) = reply else { return };
        let result = committer.close();
        let mut owners: Vec<Arc<LaneOwner>> = lanes.into_values().collect();
        owners.sort_unstable_by_key(|owner| owner.lane);
        for owner in owners {
            owner.call(|sink| sink.released(result.clone()));
        }
        let _ = reply.try_send(result);
    }

    /// The end after a panic: nothing of the committer is trusted, and the journal has what was promised.
    pub(crate) fn fail(self) {
        let Driver { lanes, inbox, workers, .. } = self;
        inbox.end();
        workers.end();
        let text = "the thread of the disk panicked".to_owned();
        let error = DiskError { fault: Fault::Device, call: "commit", path: String::new(), text };
        for owner in lanes.into_values() {
            owner.call(|sink| sink.released(Err(error.clone())));
        }
    }
}

impl Due {
    fn next(&self) -> Instant {
        let cached = self.cached.front().map(|(at, _)| *at);
        let soon = [self.idle, self.flush, self.late, cached].into_iter().flatten();
        soon.chain([self.close, self.probe]).min().unwrap_or(self.close)
    }
}
