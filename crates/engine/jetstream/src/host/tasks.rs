//! Work that may have to wait for blocks, and what is done when everything before it is durable.

use std::collections::VecDeque;

use midge_broker::batch::Batch;
use midge_stdx::clock::Now;
use midge_store::port::Ticket;
use midge_store::stream::Step;

use super::Host;
use crate::limits::HOST_TASKS;

/// Work in steps: called again after blocks came, until it is ready.
pub(super) type Task = Box<dyn FnMut(&mut Host, &mut Batch, Now) -> Step<()> + Send>;

/// What is done once.
pub(super) type After = Box<dyn FnOnce(&mut Host, &mut Batch, Now) + Send>;

/// See the module.
#[derive(Default)]
pub(super) struct Tasks {
    waiting: VecDeque<Task>,
    /// Tasks were added, or blocks came.
    look: bool,
    after: VecDeque<(Ticket, After)>,
    /// How many of these are requests that are served only then.
    pub(super) deferred: usize,
}

impl Tasks {
    /// Whether so much is under way that nothing new is taken.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() + self.after.len() >= HOST_TASKS
    }

    /// Whether something waits that may go on.
    pub(super) fn can_go_on(&self) -> bool {
        self.look && !self.waiting.is_empty()
    }

    /// One that waits has not finished, though it needs nothing: it goes on with the next turn.
    pub(super) fn go_on(&mut self) {
        self.look = true;
    }

    pub(super) fn blocks_came(&mut self) {
        self.look = true;
    }
}

impl Host {
    /// Begins a task; its first step is taken at once.
    pub(super) fn begin(&mut self, batch: &mut Batch, now: Now, mut task: Task) {
        if task(self, batch, now) == Step::Wait {
            self.tasks.waiting.push_back(task);
        }
    }

    /// Does something when everything that the store was told so far is as durable as was configured.
    pub(super) fn when_durable(&mut self, batch: &mut Batch, now: Now, what: After) {
        let mark = self.store.mark();
        if mark <= self.store.done() && self.tasks.after.is_empty() {
            // It may have become so in this very turn.
            self.see();
            return what(self, batch, now);
        }
        self.tasks.after.push_back((mark, what));
    }

    /// Lets tasks go on.
    pub(super) fn run_tasks(&mut self, batch: &mut Batch, now: Now) {
        if !std::mem::take(&mut self.tasks.look) {
            return;
        }
        for _ in 0..self.tasks.waiting.len() {
            let Some(mut task) = self.tasks.waiting.pop_front() else { break };
            if task(self, batch, now) == Step::Wait {
                self.tasks.waiting.push_back(task);
            }
        }
    }

    /// Does what waited for durability.
    pub(super) fn run_after(&mut self, batch: &mut Batch, now: Now) {
        while self.tasks.after.front().is_some_and(|(mark, _)| *mark <= self.store.done())
            && let Some((_, what)) = self.tasks.after.pop_front()
        {
            what(self, batch, now);
        }
    }

    /// Whether the stream failed while something waited: it is told so, and forgets.
    pub(super) fn drop_tasks(&mut self) {
        self.tasks.waiting.clear();
        self.tasks.after.clear();
        self.tasks.deferred = 0;
    }
}
