//! The edge's part of a connection, as the real one has it: what was read and not handled, what it waits for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use midge_auth::PasswordWork;
use midge_broker::conn::ClientConn;
use midge_broker::outbound::Flight;
use midge_broker::peer::Peer;
use midge_broker::reason::Reason;
use midge_stdx::clock::Mono;

use crate::clients::Op;
use crate::net::{Kind, Link, Wrote};
use crate::users::PermissionSpec;

/// An operation on its way, and how much of it the node has taken.
#[derive(Debug)]
pub struct Sent {
    /// What it is.
    pub op: Op,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many of them the node took.
    pub taken: usize,
    /// Whether it has had its effect.
    pub applied: bool,
}

/// What was asked of a connection and not carried out yet.
#[derive(Debug)]
pub enum Order {
    /// Use these permissions.
    Permit(PermissionSpec),
    /// Announce lame duck mode.
    LameDuck,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is served.
    Open,
    /// What is queued is written for the last time.
    Finishing {
        /// Why it ends.
        reason: Reason,
        /// The last flush ends then.
        until: Mono,
        /// What became of the last attempt.
        last: Wrote,
    },
}

/// What the edge is to do next for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Somebody woke it.
    Woken,
    /// The link takes bytes again.
    Write,
    /// A password was checked.
    Checked,
    /// Bytes came, or input waits for the end of a pause.
    Read,
    /// The machine wants to be called.
    Deadline,
    /// The link refused bytes for too long.
    Stalled,
    /// Try the last flush (again).
    Finish,
    /// The time for the last flush is over.
    GiveUp,
}

/// See the module.
#[derive(Debug)]
pub struct Edge {
    /// The connection.
    pub machine: ClientConn,
    /// Its shared side.
    pub peer: Arc<Peer>,
    /// Who may write.
    pub kind: Kind,
    /// The shard that owns it.
    pub shard: usize,
    /// Somebody wants it to look.
    pub raised: Arc<AtomicBool>,
    /// Read and not handled.
    pub leftover: Vec<u8>,
    /// Bytes that the leftover has to grow to.
    pub need: usize,
    /// No reading before.
    pub paused_until: Option<Mono>,
    /// The link refused bytes.
    pub write_blocked: bool,
    /// Complete operations wait in the leftover.
    pub backlog: bool,
    /// A password being checked, and when that is done.
    pub work: Option<(PasswordWork, Mono)>,
    /// Where it stands.
    pub phase: Phase,
    /// What an owned link was blocked with.
    pub in_flight: Option<Flight>,
    /// What the client sent, oldest first.
    pub sent: VecDeque<Sent>,
    /// Orders not carried out.
    pub orders: VecDeque<Order>,
    /// The first reason to end.
    pub ended: Option<Reason>,
}

impl Edge {
    /// When the link will have refused bytes for too long.
    pub fn stall_deadline(&self) -> Mono {
        if !self.write_blocked {
            return Mono::NEVER;
        }
        let since = self.peer.queue().stalled_since();
        since.map_or(Mono::NEVER, |since| since + self.machine.write_deadline())
    }

    /// When time alone gives it something to do: its machine's timers, and everything else.
    pub fn next_times(&self, now: Mono) -> [Mono; 2] {
        if let Phase::Finishing { until, .. } = self.phase {
            return [Mono::NEVER, until];
        }
        let pause = self.paused_until.filter(|&at| at > now).unwrap_or(Mono::NEVER);
        let work = self.work.as_ref().map_or(Mono::NEVER, |w| w.1);
        [self.machine.deadline(), pause.min(work).min(self.stall_deadline())]
    }

    /// Everything that could be done for it now.
    pub fn todos(&self, link: &Link, now: Mono) -> Vec<Todo> {
        let mut list = Vec::new();
        if let Phase::Finishing { until, last, .. } = self.phase {
            if now >= until {
                list.push(Todo::GiveUp);
            } else if last != Wrote::Blocked || link.is_writable() {
                list.push(Todo::Finish);
            }
            return list;
        }
        if self.raised.load(Ordering::Acquire) {
            list.push(Todo::Woken);
        }
        if self.write_blocked && link.is_writable() {
            list.push(Todo::Write);
        }
        match &self.work {
            Some((_, at)) if now >= *at => list.push(Todo::Checked),
            Some(_) => {}
            None if self.paused_until.is_some_and(|until| now < until) => {}
            None if self.backlog || link.is_readable() => list.push(Todo::Read),
            None => {}
        }
        if now >= self.machine.deadline() {
            list.push(Todo::Deadline);
        }
        if now >= self.stall_deadline() {
            list.push(Todo::Stalled);
        }
        list
    }
}
