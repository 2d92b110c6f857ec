//! Work that may have to wait for blocks, and what is done when everything before it is durable.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use midge_broker::batch::Batch;
use midge_jsapi::errors::ApiError;
use midge_jsapi::subjects::ApiCall;
use midge_stdx::clock::Now;
use midge_store::port::Ticket;
use midge_store::stream::Step;
use midge_sync::atomic::Ordering;

use super::Host;
use super::api::Asked;
use crate::api::ApiRequest;
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
    /// Requests that may wait for an answer; those that got theirs go with the next ones.
    asked: VecDeque<Weak<ApiRequest>>,
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

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.after.is_empty()
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
        // What waits for space is no promise, nor does anything come behind it that is.
        let done = self.is_held_back() || mark <= self.store.done();
        if done && self.tasks.after.is_empty() {
            // It may have become so in this very turn.
            self.see(batch, now);
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

    /// Takes a request, which may wait: should that be in vain, it is refused.
    pub(super) fn ask(&mut self, request: Box<ApiRequest>) -> Asked {
        let request: Asked = Arc::from(request);
        let asked = &mut self.tasks.asked;
        while asked.front().is_some_and(|first| first.strong_count() == 0) {
            asked.pop_front();
        }
        if asked.len() >= 2 * HOST_TASKS {
            // One that waits for long is in front of many that did not.
            asked.retain(|one| one.strong_count() > 0);
        }
        asked.push_back(Arc::downgrade(&request));
        request
    }

    /// Nothing that waits will come to pass: requests among it are told why.
    pub(super) fn drop_tasks(&mut self, batch: &mut Batch, error: &ApiError, now: Now) {
        let asked: Vec<Asked> = self.tasks.asked.drain(..).filter_map(|one| one.upgrade()).collect();
        self.tasks.waiting.clear();
        self.tasks.after.clear();
        self.tasks.deferred = 0;
        for request in asked.iter().filter(|request| !request.answered.load(Ordering::Relaxed)) {
            if let Some(call) = ApiCall::parse(&request.subject) {
                request.refuse(batch, call.reply_kind(), error, now);
            }
        }
    }
}
