//! Threads for what needs no order: reading and computing, staging, syncs at checkpoints, looking at free space.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use midge_store::journal::{Job, aside};
use midge_store::port::{Completion, DiskError, Fault, Files, Op, Outcome, Ticket};
use parking_lot::{Condvar, Mutex};

use crate::inbox::{Inbox, Weight};
use crate::lane::LaneOwner;
use crate::metrics::Metrics;
use crate::space::Space;

/// An operation that needs no order.
pub(crate) struct Aside {
    pub(crate) owner: Arc<LaneOwner>,
    pub(crate) ticket: Ticket,
    pub(crate) op: Op,
    pub(crate) bytes: usize,
}

/// What the disk itself has done elsewhere.
pub(crate) enum Task {
    Job(Job),
    Probe,
}

#[derive(Default)]
struct Queue {
    /// At most one per segment, one per lane and some hundred of its files, and a probe.
    tasks: VecDeque<Task>,
    /// Bounded with the lanes.
    asides: VecDeque<Aside>,
    over: bool,
}

/// The queue of the workers.
#[derive(Default)]
pub(crate) struct Workers {
    queue: Mutex<Queue>,
    /// For threads that do anything, and for the one that is kept for tasks.
    any: Condvar,
    tasks: Condvar,
}

/// What a worker needs.
pub(crate) struct Worker {
    pub(crate) workers: Arc<Workers>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) space: Arc<Space>,
    /// Words about files that somebody else changed.
    pub(crate) foreign: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Takes tasks only, so that long computations never hold up a checkpoint.
    pub(crate) tasks_only: bool,
}

enum Next {
    Task(Task),
    Aside(Aside),
}

impl Workers {
    pub(crate) fn push_asides(&self, asides: Vec<Aside>) {
        if asides.is_empty() {
            return;
        }
        let many = asides.len() > 1;
        self.queue.lock().asides.extend(asides);
        if many {
            self.any.notify_all();
        } else {
            self.any.notify_one();
        }
    }

    pub(crate) fn push_task(&self, task: Task) {
        let mut queue = self.queue.lock();
        match &task {
            Task::Job(job) if job.is_urgent() => queue.tasks.push_front(task),
            _ => queue.tasks.push_back(task),
        }
        drop(queue);
        self.tasks.notify_one();
        self.any.notify_one();
    }

    /// Ends all threads; what is queued is dropped.
    pub(crate) fn end(&self) {
        let mut queue = self.queue.lock();
        queue.over = true;
        let dropped = (std::mem::take(&mut queue.tasks), std::mem::take(&mut queue.asides));
        drop(queue);
        drop(dropped);
        self.any.notify_all();
        self.tasks.notify_all();
    }

    fn next(&self, tasks_only: bool) -> Option<Next> {
        let mut queue = self.queue.lock();
        loop {
            if queue.over {
                return None;
            }
            if let Some(task) = queue.tasks.pop_front() {
                return Some(Next::Task(task));
            }
            if tasks_only {
                self.tasks.wait(&mut queue);
                continue;
            }
            if let Some(aside) = queue.asides.pop_front() {
                return Some(Next::Aside(aside));
            }
            self.any.wait(&mut queue);
        }
    }
}

impl Worker {
    /// The life of a thread.
    pub(crate) fn run(self) {
        let (mut done, mut rooms) = (Vec::new(), Vec::new());
        while let Some(next) = self.workers.next(self.tasks_only) {
            match next {
                Next::Task(Task::Job(job)) => {
                    let finished = job.run(&*self.files);
                    for text in (self.foreign)() {
                        self.metrics.foreign.add(1);
                        tracing::warn!(
                            blame = "operator",
                            "a file was changed by somebody else while in use: {text}"
                        );
                    }
                    self.inbox.finish(finished);
                }
                Next::Task(Task::Probe) => {
                    if let Some(request) = self.space.probe(&*self.files, &self.metrics) {
                        let _ = self.inbox.request(request);
                    }
                }
                Next::Aside(aside) => self.run_aside(aside, &mut done, &mut rooms),
            }
        }
    }

    fn run_aside(&self, one: Aside, done: &mut Vec<Completion>, rooms: &mut Vec<Arc<LaneOwner>>) {
        let Aside { owner, ticket, op, bytes } = one;
        let run = AssertUnwindSafe(|| aside(&*self.files, &owner.folder, op));
        let outcome = catch_unwind(run).unwrap_or_else(|_| {
            tracing::error!(blame = "us", folder = &*owner.folder, "a computation for a store panicked");
            let (call, path, text) = ("work", owner.folder.to_string(), "it panicked".to_owned());
            Outcome::Failed(DiskError { fault: Fault::Denied, call, path, text })
        });
        if let Outcome::Failed(error) = &outcome {
            self.metrics.failures.add(1);
            self.space.failed(owner.lane, error);
            tracing::error!(blame = "disk", folder = &*owner.folder, "{error}");
        }
        self.metrics.asides.add(1);
        done.push(Completion { lane: owner.lane, ticket, outcome });
        owner.call(|sink| {
            sink.complete(done);
            sink.wake();
        });
        done.clear();
        // Only now, so that a lane ends after its last completion.
        self.inbox.aside_done(Weight { lane: owner.lane.0, ops: 1, bytes }, rooms);
        rooms.drain(..).for_each(|owner| owner.call(|sink| sink.room()));
    }
}
