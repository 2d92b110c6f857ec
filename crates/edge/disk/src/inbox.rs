//! What the committer finds when it comes back: submissions, requests, ends of jobs. Bounded per lane and in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use midge_stdx::hash::Map;
use midge_store::journal::{Deltas, Finished};
pub use midge_store::port::Submitted;
use midge_store::port::{DiskError, Lane, Op, Promise, Submission};
use parking_lot::{Condvar, Mutex};

use crate::lane::{Completions, LaneOwner};
use crate::limits;
use crate::workers::Aside;

/// Maxima of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) lane_ops: usize,
    pub(crate) lane_bytes: usize,
    pub(crate) disk_bytes: usize,
}

/// Something for the committer that is no operation.
pub(crate) enum Request {
    Register {
        folder: Arc<str>,
        sink: Arc<dyn Completions>,
        reply: SyncSender<Result<Lane, DiskError>>,
    },
    Deltas(Arc<str>, SyncSender<Result<Vec<Deltas>, DiskError>>),
    Unregister(Lane),
    /// There is next to no space.
    NoSpace,
    /// Free space was found after it had run out.
    Space,
    Close(SyncSender<Result<(), DiskError>>),
}

/// How far the life of a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Nothing new is taken; what was taken is completed.
    Closing,
    /// Nothing happens any more.
    Over,
}

struct Entry {
    owner: Arc<LaneOwner>,
    ops: usize,
    bytes: usize,
    /// The call of `submit` that refused last: the rest of its batch is refused as well.
    refused: u64,
    crowded: bool,
    /// Written with `Promise::Cached` since its last sync.
    cached: bool,
    /// Operations at the workers.
    asides: usize,
    /// What waits for them: a deletion, and all that follows.
    held: Option<Vec<Held>>,
}

enum Held {
    Op(Submission),
    Unregister,
}

struct State {
    phase: Phase,
    submissions: Vec<Submission>,
    requests: Vec<Request>,
    finished: Vec<Finished>,
    lanes: Map<u32, Entry>,
    ops: usize,
    bytes: usize,
    asides: usize,
    calls: u64,
    crowded: Vec<u32>,
    cached: Vec<u32>,
    asleep: bool,
    /// It is to look, whatever is queued.
    nudged: bool,
}

/// The queue of a disk.
pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
    /// Something was put in since the last look. Only a hint for a committer that has not gone to sleep.
    hint: AtomicBool,
    bounds: Bounds,
}

/// What was found; the vectors are used again.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) submissions: Vec<Submission>,
    pub(crate) requests: Vec<Request>,
    pub(crate) finished: Vec<Finished>,
    /// Lanes that wrote with `Promise::Cached` for the first time since their last sync.
    pub(crate) cached: Vec<u32>,
    pub(crate) asides: usize,
    pub(crate) queued_ops: usize,
    pub(crate) queued_bytes: usize,
    pub(crate) over: bool,
}

/// What the operations of one lane, next to each other in a batch, counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    pub(crate) lane: u32,
    pub(crate) ops: usize,
    pub(crate) bytes: usize,
}

/// What an operation counts in bytes.
pub(crate) fn weigh(op: &Op) -> usize {
    limits::OP_BYTES
        + match op {
            Op::Write { bytes, .. } | Op::Delta { bytes, .. } | Op::Stage { bytes, .. } => bytes.len(),
            Op::Replace { files, .. } => files.iter().map(|(_, bytes)| bytes.len() + limits::OP_BYTES).sum(),
            Op::Remove { files, .. } => files.len() * limits::OP_BYTES,
            _ => 0,
        }
}

fn is_cached(op: &Op) -> bool {
    matches!(op, Op::Write { promise: Promise::Cached, .. } | Op::Remove { promise: Promise::Cached, .. })
}

impl Inbox {
    pub(crate) fn new(bounds: Bounds) -> Inbox {
        let state = State {
            phase: Phase::Open,
            submissions: Vec::new(),
            requests: Vec::new(),
            finished: Vec::new(),
            lanes: Map::default(),
            ops: 0,
            bytes: 0,
            asides: 0,
            calls: 0,
            crowded: Vec::new(),
            cached: Vec::new(),
            asleep: false,
            nudged: false,
        };
        Inbox { state: Mutex::new(state), wake: Condvar::new(), hint: AtomicBool::new(false), bounds }
    }

    fn woken(&self, state: &mut State) {
        self.hint.store(true, Ordering::Release);
        if std::mem::take(&mut state.asleep) {
            self.wake.notify_one();
        }
    }

    /// Queues what there is room for. What goes to the workers is put into `asides`. Answers also whether the committer was left asleep, because what is
    /// queued is so little that the caller should try to have it done [at once](Inbox::take_light).
    pub(crate) fn submit(&self, batch: &mut Vec<Submission>, asides: &mut Vec<Aside>) -> (Submitted, bool) {
        let mut left = Vec::new();
        let mut result = Submitted::All;
        let mut light = false;
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return (if batch.is_empty() { Submitted::All } else { Submitted::Closed }, false);
        }
        state.calls += 1;
        for submission in batch.drain(..) {
            match state.take_in(submission, &self.bounds, asides) {
                Ok(()) => {}
                Err((submission, why)) => {
                    left.push(submission);
                    result = if result == Submitted::All { why } else { result };
                }
            }
        }
        if !state.submissions.is_empty() {
            light = state.asleep && state.is_light();
            if !light {
                self.woken(&mut state);
            }
        }
        drop(state);
        *batch = left;
        (result, light)
    }

    /// Takes what is queued while the committer sleeps, if it is little and the caller accepts it.
    pub(crate) fn take_light(
        &self,
        into: &mut Vec<Submission>,
        accept: impl FnOnce(&[Submission]) -> bool,
    ) -> bool {
        let mut state = self.state.lock();
        if !state.asleep || !state.is_light() || !accept(&state.submissions) {
            return false;
        }
        std::mem::swap(&mut state.submissions, into);
        true
    }

    /// Has the committer look at its timers.
    pub(crate) fn nudge(&self) {
        let mut state = self.state.lock();
        state.nudged = true;
        self.woken(&mut state);
    }

    /// Wakes the committer if there is something for it.
    pub(crate) fn wake_up(&self) {
        let mut state = self.state.lock();
        if !state.is_quiet() {
            self.woken(&mut state);
        }
    }

    pub(crate) fn request(&self, request: Request) -> Result<(), Request> {
        let mut state = self.state.lock();
        match (state.phase, &request) {
            (Phase::Open, _) | (Phase::Closing, Request::Space | Request::NoSpace) => {}
            _ => return Err(request),
        }
        if let Request::Close(_) = request {
            state.phase = Phase::Closing;
        }
        if let Request::Unregister(lane) = request
            && let Some(entry) = state.lanes.get_mut(&lane.0)
            && (entry.asides > 0 || entry.held.is_some())
        {
            entry.held.get_or_insert_default().push(Held::Unregister);
            return Ok(());
        }
        state.requests.push(request);
        self.woken(&mut state);
        Ok(())
    }

    pub(crate) fn finish(&self, finished: Finished) {
        let mut state = self.state.lock();
        state.finished.push(finished);
        self.woken(&mut state);
    }

    pub(crate) fn register(&self, owner: Arc<LaneOwner>) {
        let lane = owner.lane.0;
        let entry = Entry {
            owner,
            ops: 0,
            bytes: 0,
            refused: 0,
            crowded: false,
            cached: false,
            asides: 0,
            held: None,
        };
        self.state.lock().lanes.insert(lane, entry);
    }

    pub(crate) fn remove(&self, lane: Lane) {
        self.state.lock().lanes.remove(&lane.0);
    }

    /// The lane's files are about to be synced.
    pub(crate) fn settle(&self, lane: u32) -> bool {
        self.state.lock().lanes.get_mut(&lane).is_some_and(|entry| std::mem::take(&mut entry.cached))
    }

    /// Whether everything that was taken has been seen by the committer, and nothing is at the workers.
    pub(crate) fn is_drained(&self) -> bool {
        let state = self.state.lock();
        state.is_quiet() && state.asides == 0
    }

    /// Nothing is taken from here on, and the committer ends as soon as it looks.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Over;
        self.woken(&mut state);
    }

    /// Waits for something, until the deadline. `spin` is for how long to look before sleeping.
    pub(crate) fn wait(&self, deadline: Instant, spin: Duration) {
        if !spin.is_zero() && !self.hint.load(Ordering::Acquire) {
            let end = Instant::now() + spin;
            while !self.hint.load(Ordering::Acquire) && Instant::now() < end {
                std::hint::spin_loop();
            }
        }
        let mut state = self.state.lock();
        while state.is_quiet() {
            state.asleep = true;
            let timed_out = self.wake.wait_until(&mut state, deadline).timed_out();
            state.asleep = false;
            if timed_out {
                break;
            }
        }
    }

    /// Takes what is there.
    pub(crate) fn take(&self, taken: &mut Taken) {
        let mut state = self.state.lock();
        self.hint.store(false, Ordering::Release);
        state.nudged = false;
        std::mem::swap(&mut state.submissions, &mut taken.submissions);
        std::mem::swap(&mut state.requests, &mut taken.requests);
        std::mem::swap(&mut state.finished, &mut taken.finished);
        std::mem::swap(&mut state.cached, &mut taken.cached);
        (taken.asides, taken.over) = (state.asides, state.phase == Phase::Over);
        (taken.queued_ops, taken.queued_bytes) = (state.ops, state.bytes);
    }

    /// These operations are complete. Answers whom to tell that there is room.
    pub(crate) fn release(&self, weights: &[Weight], rooms: &mut Vec<Arc<LaneOwner>>) {
        let mut state = self.state.lock();
        for weight in weights {
            state.let_go(weight);
        }
        state.make_room(&self.bounds, rooms);
    }

    /// An operation of the workers is complete.
    pub(crate) fn aside_done(&self, weight: Weight, rooms: &mut Vec<Arc<LaneOwner>>) {
        let mut state = self.state.lock();
        state.asides -= 1;
        state.let_go(&weight);
        let mut held = None;
        if let Some(entry) = state.lanes.get_mut(&weight.lane) {
            entry.asides -= 1;
            if entry.asides == 0 {
                held = entry.held.take();
            }
        }
        for one in held.into_iter().flatten() {
            match one {
                Held::Op(submission) => state.submissions.push(submission),
                Held::Unregister => state.requests.push(Request::Unregister(Lane(weight.lane))),
            }
        }
        // One that closes waits for the last of them.
        if !state.is_quiet() || (state.phase != Phase::Open && state.asides == 0) {
            self.woken(&mut state);
        }
        state.make_room(&self.bounds, rooms);
    }
}

impl State {
    fn is_quiet(&self) -> bool {
        !self.nudged
            && self.submissions.is_empty()
            && self.requests.is_empty()
            && self.finished.is_empty()
            && self.phase != Phase::Over
    }

    /// Whether all there is are a few short writes that nobody wants synced.
    fn is_light(&self) -> bool {
        let bytes = |one: &Submission| match &one.op {
            Op::Write { bytes, promise: Promise::Cached, .. } => bytes.len(),
            _ => usize::MAX,
        };
        self.phase == Phase::Open
            && self.requests.is_empty()
            && self.finished.is_empty()
            && self.cached.is_empty()
            && self.submissions.len() <= limits::HERE_OPS
            && self.submissions.iter().map(bytes).fold(0, usize::saturating_add) <= limits::HERE_BYTES
    }

    fn take_in(
        &mut self,
        submission: Submission,
        bounds: &Bounds,
        asides: &mut Vec<Aside>,
    ) -> Result<(), (Submission, Submitted)> {
        let lane = submission.lane.0;
        let Some(entry) = self.lanes.get_mut(&lane) else { return Err((submission, Submitted::NoLane)) };
        let bytes = weigh(&submission.op);
        let full = entry.ops >= bounds.lane_ops
            || entry.bytes + bytes > bounds.lane_bytes
            || self.bytes + bytes > bounds.disk_bytes;
        if entry.refused == self.calls || (full && entry.ops > 0) {
            entry.refused = self.calls;
            if !std::mem::replace(&mut entry.crowded, true) {
                self.crowded.push(lane);
            }
            return Err((submission, Submitted::Full));
        }
        entry.ops += 1;
        entry.bytes += bytes;
        self.ops += 1;
        self.bytes += bytes;
        if is_cached(&submission.op) && !std::mem::replace(&mut entry.cached, true) {
            self.cached.push(lane);
        }
        if matches!(submission.op, Op::Work(_) | Op::Stage { .. }) && entry.held.is_none() {
            entry.asides += 1;
            self.asides += 1;
            let Submission { ticket, op, .. } = submission;
            asides.push(Aside { owner: entry.owner.clone(), ticket, op, bytes });
        } else if entry.held.is_some() || (entry.asides > 0 && matches!(submission.op, Op::Delete)) {
            // What works on a folder that is deleted would create it anew.
            entry.held.get_or_insert_default().push(Held::Op(submission));
        } else {
            self.submissions.push(submission);
        }
        Ok(())
    }

    fn let_go(&mut self, weight: &Weight) {
        self.ops -= weight.ops;
        self.bytes -= weight.bytes;
        if let Some(entry) = self.lanes.get_mut(&weight.lane) {
            entry.ops -= weight.ops;
            entry.bytes -= weight.bytes;
        }
    }

    /// Half empty is early enough, and not too often.
    fn make_room(&mut self, bounds: &Bounds, rooms: &mut Vec<Arc<LaneOwner>>) {
        let State { crowded, lanes, bytes, .. } = self;
        crowded.retain(|lane| {
            let Some(entry) = lanes.get_mut(lane) else { return false };
            let half = entry.ops <= bounds.lane_ops / 2
                && entry.bytes <= bounds.lane_bytes / 2
                && *bytes <= bounds.disk_bytes / 2;
            if half || entry.ops == 0 {
                entry.crowded = false;
                rooms.push(entry.owner.clone());
                return false;
            }
            true
        });
    }
}
