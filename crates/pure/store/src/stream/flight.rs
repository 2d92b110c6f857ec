//! What was submitted and is not complete, and what to do when it is.

use std::collections::VecDeque;

use midge_stdx::clock::Mono;
use midge_stdx::hash::Map;

use super::Store;
use super::load::Loaded;
use super::rewrite::Rewritten;
use crate::port::{Completion, DiskError, Op, Outcome, Submission, Ticket};

struct InFlight {
    ticket: Ticket,
    /// The last sequence that is written when it is complete.
    seq: u64,
    written: Option<Written>,
}

/// A block, and the end of what was written into it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    pub(super) index: u32,
    pub(super) end: u32,
    pub(super) epoch: u32,
}

/// Ordered operations under way.
#[derive(Default)]
pub(super) struct Flight {
    ops: VecDeque<InFlight>,
    last: Ticket0,
    done: Ticket0,
    durable: u64,
    failure: Option<DiskError>,
    removals: Removals,
}

/// Removals that may not be durable.
#[derive(Default)]
struct Removals {
    /// The highest sequence that was removed.
    highest: u64,
    /// Some came since `last` was taken.
    more: bool,
    /// With this operation, those before are durable.
    last: Ticket0,
}

/// A ticket that may be none yet.
type Ticket0 = u64;

impl Flight {
    pub(super) fn begin(durable: u64) -> Flight {
        Flight { durable, ..Flight::default() }
    }

    pub(super) fn push(&mut self, ticket: Ticket, seq: u64, written: Option<Written>) {
        self.last = ticket.0;
        self.ops.push_back(InFlight { ticket, seq, written });
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// The last sequence that operations under way, or complete, have written.
    pub(super) fn submitted(&self) -> u64 {
        self.ops.back().map_or(self.durable, |op| op.seq)
    }

    pub(super) fn last(&self) -> Ticket {
        Ticket(self.last)
    }

    pub(super) fn done(&self) -> Ticket {
        Ticket(self.done)
    }

    pub(super) fn failure(&self) -> Option<&DiskError> {
        self.failure.as_ref()
    }

    /// Sequences above this one are to be given anew.
    pub(super) fn truncated(&mut self, seq: u64) {
        self.durable = self.durable.min(seq);
        self.ops.iter_mut().for_each(|op| op.seq = op.seq.min(seq));
    }

    /// This sequence, and perhaps some below it, were removed, by what is or will be submitted.
    pub(super) fn removed(&mut self, seq: u64) {
        self.removals.highest = self.removals.highest.max(seq);
        self.removals.more = true;
    }

    fn removals_after(&mut self, seq: u64) -> Option<Ticket> {
        let removals = &mut self.removals;
        if std::mem::take(&mut removals.more) {
            removals.last = self.last;
        }
        if removals.last <= self.done {
            removals.highest = 0;
        }
        (removals.highest > seq).then_some(Ticket(removals.last))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

/// What runs aside.
pub(super) enum Aside {
    Load(u32),
    Rewrite(u32),
    /// A rewritten file was staged for this block.
    Staged(u32, Box<Rewritten>),
    /// A checkpoint.
    Sync,
}

/// Operations that complete out of order.
pub(super) type Works = Map<Ticket, Aside>;

impl Store {
    /// Submits an operation that completes out of order.
    pub(super) fn submit_aside(&mut self, op: Op, what: Aside) {
        let Some(disk) = &mut self.disk else { return };
        let ticket = Ticket(disk.next_ticket);
        disk.next_ticket += 1;
        disk.works.insert(ticket, what);
        disk.out.push(Submission { lane: disk.lane, ticket, op });
    }

    /// Takes a completion. Answers whether operations that waited are to be called again.
    ///
    /// A failed operation leaves the store refusing appends; [`Store::failure`] says why.
    pub fn complete(&mut self, completion: Completion, now: Mono) -> bool {
        self.now = now;
        let Some(disk) = &mut self.disk else { return false };
        if let Some(aside) = disk.works.remove(&completion.ticket) {
            return self.complete_aside(aside, completion.outcome);
        }
        let Some(front) = disk.flight.ops.front().map(|op| op.ticket) else { return false };
        debug_assert_eq!(front, completion.ticket, "operations of a lane complete in order");
        let Some(op) = disk.flight.ops.pop_front() else { return false };
        match completion.outcome {
            Outcome::Failed(error) => {
                disk.flight.failure.get_or_insert(error);
            }
            // What fails is never done, nor is what comes behind it: whoever waits for that must not be told that it is.
            Outcome::Done | Outcome::Worked(_) if disk.flight.failure.is_none() => {
                disk.flight.done = op.ticket.0;
                disk.flight.durable = disk.flight.durable.max(op.seq);
                if let Some(written) = op.written {
                    self.wrote(written);
                }
            }
            _ => {}
        }
        false
    }

    /// If messages behind `seq` were removed by what is not durable: when [`Store::done`] reaches this, it is. A power cut before has them there again.
    pub fn removals_after(&mut self, seq: u64) -> Option<Ticket> {
        self.seal();
        self.disk.as_mut()?.flight.removals_after(seq)
    }

    fn wrote(&mut self, written: Written) {
        let Some(at) = self.block_numbered(written.index) else { return };
        let last = at + 1 == self.blocks.len();
        let block = &mut self.blocks[at];
        if block.epoch != written.epoch {
            return;
        }
        block.written = block.written.max(written.end);
        if !last && block.written == block.raw_len {
            self.pack(at);
        }
    }

    fn complete_aside(&mut self, aside: Aside, outcome: Outcome) -> bool {
        match (aside, outcome) {
            (Aside::Load(index), Outcome::Worked(answer)) => {
                if let Ok(loaded) = answer.downcast::<Loaded>() {
                    self.loaded(index, *loaded);
                }
                self.settle_debts();
                true
            }
            (Aside::Rewrite(index), Outcome::Worked(answer)) => {
                if let Ok(rewritten) = answer.downcast::<Rewritten>() {
                    self.rewritten(index, rewritten);
                }
                false
            }
            (Aside::Staged(index, rewritten), Outcome::Done) => {
                self.staged(index, *rewritten);
                false
            }
            (Aside::Load(index), Outcome::Failed(error)) => {
                self.load_failed(index, error);
                true
            }
            (Aside::Rewrite(index) | Aside::Staged(index, _), _) => {
                if let Some(at) = self.block_numbered(index) {
                    self.blocks[at].rewriting = false;
                }
                false
            }
            (Aside::Sync, Outcome::Failed(error)) => {
                if let Some(disk) = &mut self.disk {
                    disk.flight.failure.get_or_insert(error);
                }
                false
            }
            (Aside::Sync | Aside::Load(_), _) => false,
        }
    }

    /// Whether everything that was submitted is complete.
    pub fn is_settled(&self) -> bool {
        self.tail.is_empty()
            && self.disk.as_ref().is_none_or(|disk| disk.flight.is_empty() && disk.works.is_empty())
    }
}
