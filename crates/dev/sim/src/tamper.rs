//! Nodes that are broken on purpose, to see that the checks notice.
//!
//! The product knows nothing of this. What a client sends is changed on its way to the node, or what the node queued is
//! changed on its way to the model, or the simulated edge does its part wrong.

use midge_config::Options;

use crate::clients::{Event, Op};
use crate::draw::Draw;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// A delivered message is lost.
    DropMessage,
    /// A delivered message comes twice.
    DuplicateMessage,
    /// Two messages of one publisher change places.
    SwapMessages,
    /// Two members of a queue group get the same message.
    TwoMembers,
    /// A subscription gets one message more than its maximum.
    OneMoreThanMax,
    /// A subscription survives its connection.
    KeepSubscription,
    /// A client gets its own messages although it does not want them.
    IgnoreNoEcho,
    /// Clients that do not understand headers get them.
    IgnoreNoHeaders,
    /// Nobody is told that nobody was there.
    NoNoResponders,
    /// A deny list is forgotten.
    ForgetDenials,
    /// More may be queued for a connection than configured.
    RaisedPending,
    /// A flusher lays its flag down before it has written, so that a second one overtakes it.
    FlushOutOfOrder,
    /// A flusher whose socket refuses bytes wakes nobody.
    StrandBytes,
    /// A connection ends while another shard still writes its last bytes.
    EndTooSoon,
}

/// Every one of them.
pub const ALL: [Break; 14] = [
    Break::DropMessage,
    Break::DuplicateMessage,
    Break::SwapMessages,
    Break::TwoMembers,
    Break::OneMoreThanMax,
    Break::KeepSubscription,
    Break::IgnoreNoEcho,
    Break::IgnoreNoHeaders,
    Break::NoNoResponders,
    Break::ForgetDenials,
    Break::RaisedPending,
    Break::FlushOutOfOrder,
    Break::StrandBytes,
    Break::EndTooSoon,
];

/// The breakage of a run, if any.
#[derive(Debug)]
pub struct Tamper {
    kind: Option<Break>,
    draw: Draw,
    done: bool,
}

impl Tamper {
    /// A run with this breakage.
    pub fn new(kind: Option<Break>, draw: Draw) -> Tamper {
        Tamper { kind, draw, done: false }
    }

    /// Whether this is what is broken.
    pub fn is(&self, kind: Break) -> bool {
        self.kind == Some(kind)
    }

    /// Changes the options of the node behind the model's back.
    pub fn options(&self, options: &mut Options) {
        if self.is(Break::ForgetDenials) {
            for user in &mut options.authorization.users {
                if let Some(subscribe) = user.permissions.as_mut().and_then(|p| p.subscribe.as_mut()) {
                    subscribe.deny = None;
                }
            }
        }
        if self.is(Break::RaisedPending) {
            options.limits.max_pending += options.limits.max_pending / 4;
        }
    }

    /// Changes an operation behind the model's back.
    pub fn operation(&mut self, op: &Op) -> Option<Op> {
        let mut op = op.clone();
        match (self.kind?, &mut op) {
            (Break::IgnoreNoEcho, Op::Connect(connect)) => connect.echo = connect.echo.map(|_| true),
            (Break::IgnoreNoHeaders, Op::Connect(connect)) => connect.headers = connect.headers.map(|_| true),
            (Break::NoNoResponders, Op::Connect(connect)) => connect.no_responders = Some(false),
            (Break::OneMoreThanMax, Op::Unsub { max: Some(max), .. }) => {
                *max = max.parse::<u64>().map_or(max.clone(), |n| (n + 1).to_string());
            }
            (Break::TwoMembers, Op::Sub { queue: Some(queue), .. })
                if queue != "_sys_" && self.draw.percent(50) =>
            {
                *queue = format!("{queue}x");
            }
            _ => return None,
        }
        Some(op)
    }

    /// Changes the order of two encoded messages of one burst.
    pub fn burst(&mut self, ops: &[Op], bytes: &mut [Vec<u8>]) {
        if !self.is(Break::SwapMessages) || self.done {
            return;
        }
        for n in 1..ops.len() {
            let both = matches!((&ops[n - 1], &ops[n]), (Op::Publish(a), Op::Publish(b)) if a != b);
            if both && bytes[n - 1].len() == bytes[n].len() {
                bytes.swap(n - 1, n);
                self.done = true;
                return;
            }
        }
    }

    /// Changes what the node queued for one connection in one batch.
    pub fn queued(&mut self, events: &mut Vec<Event>) {
        let Some(at) = events.iter().position(|e| e.sid.is_some()) else { return };
        if self.done || !self.draw.percent(10) {
            return;
        }
        match self.kind {
            Some(Break::DropMessage) => {
                events.remove(at);
            }
            Some(Break::DuplicateMessage) => {
                let twice = events[at].clone();
                events.insert(at, twice);
            }
            _ => return,
        }
        self.done = true;
    }
}
