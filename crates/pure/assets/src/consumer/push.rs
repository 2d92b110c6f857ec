//! Delivery to a subject: interest, flow control, rate limit, replay at the original pace, heartbeats.

use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig, ReplayPolicy};
use midge_jsapi::headers;
use midge_store::port::Promise;
use midge_store::stream::{Message, Step};
use midge_wire::headers::find;

use super::machine::Consumer;
use super::outlet::Cx;
use super::status;
use super::turn::{Chosen, RETRY_NS};

/// Bytes that may be out when flow control begins, and at most.
const WINDOW_START: u64 = 2 << 20;
const WINDOW_MAX: u64 = 32 << 20;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a consumer that pushes remembers.
#[derive(Debug)]
pub(super) struct Push {
    /// Somebody listens.
    pub(super) active: bool,
    /// Since when nobody does.
    pub(super) inactive_since: i64,
    /// When something was sent last, or somebody began to listen.
    pub(super) last_sent: i64,
    /// Delivery rests until then.
    pub(super) not_before: Option<i64>,
    /// Up to here messages are replayed at their pace.
    pub(super) replay_through: u64,
    /// The time of the message that was replayed last, and when it was sent.
    replayed: Option<(i64, i64)>,
    /// When everything that was sent is paid for, at the limit of the rate.
    paid_at: i64,
    flow: Option<Flow>,
}

/// The window of flow control.
#[derive(Debug)]
struct Flow {
    /// Bytes that may be out.
    window: u64,
    /// Bytes that are.
    out: u64,
    /// Those of them that the question that is open asks about.
    asked: u64,
    /// The subject of its answer; empty when none is open.
    subject: Vec<u8>,
}

impl Flow {
    fn new() -> Flow {
        Flow { window: WINDOW_START, out: 0, asked: 0, subject: Vec::new() }
    }
}

impl Push {
    pub(super) fn new(config: &ConsumerConfig) -> Push {
        Push {
            active: false,
            inactive_since: 0,
            last_sent: 0,
            not_before: None,
            replay_through: 0,
            replayed: None,
            paid_at: i64::MIN,
            flow: config.flow_control.then(Flow::new),
        }
    }
}

impl Consumer {
    /// The queue group that it delivers to.
    pub(super) fn deliver_group(&self) -> Option<&[u8]> {
        let group = self.config.deliver_group.as_bytes();
        (!group.is_empty()).then_some(group)
    }

    /// Interest in the deliver subject, or in an inbox, may have changed. O(1) when it pushes, else O(waiting requests).
    pub fn interest_changed(&mut self, cx: &mut Cx<'_>) {
        if !self.rules.push {
            return self.sweep(cx);
        }
        let active = cx.out.has_subscriber(self.config.deliver_subject.as_bytes(), self.deliver_group());
        self.set_active(cx, active);
    }

    pub(super) fn set_active(&mut self, cx: &Cx<'_>, active: bool) {
        if active == self.push.active {
            return;
        }
        let time = self.time(cx.now);
        self.push.active = active;
        if active {
            // Who listens now knows nothing of questions that were asked before.
            self.push.last_sent = time;
            self.push.not_before = None;
            self.push.flow = self.config.flow_control.then(Flow::new);
        } else {
            self.push.inactive_since = time;
        }
    }

    /// Whether flow control lets nothing through.
    fn is_held(&self) -> bool {
        self.push.flow.as_ref().is_some_and(|flow| flow.out > flow.window)
    }

    /// Delivers one message; false when there is nothing to do.
    pub(super) fn push_one(&mut self, cx: &mut Cx<'_>) -> Step<bool> {
        let time = self.time(cx.now);
        if !self.push.active || self.is_held() || self.push.not_before.is_some_and(|at| at > time) {
            return Step::Ready(false);
        }
        self.push.not_before = None;
        match self.choose(cx) {
            Step::Ready(Chosen::Message(message, deliveries)) => {
                Step::Ready(self.send(cx, &message, deliveries, time))
            }
            Step::Ready(Chosen::End) => Step::Ready(false),
            Step::Ready(Chosen::Stalled) => {
                if self.rules.ack == AckPolicy::FlowControl {
                    self.ask(cx);
                }
                Step::Ready(false)
            }
            Step::Wait => Step::Wait,
            Step::Failed(error) => Step::Failed(error),
        }
    }

    fn send(&mut self, cx: &mut Cx<'_>, message: &Message, deliveries: u64, time: i64) -> bool {
        let replays = deliveries == 1
            && self.config.replay_policy == ReplayPolicy::Original
            && message.seq <= self.push.replay_through;
        if replays && let Some((stored, sent)) = self.push.replayed {
            let due = sent.saturating_add(message.ts_ns.saturating_sub(stored).max(0));
            if due > time {
                self.push.not_before = Some(due);
                return false;
            }
        }
        let own_header = self.compose(cx, message, deliveries, None);
        let weight = self.config.deliver_subject.len() as u64 + self.weight(message, own_header);
        let paid_at = match self.pay(cx, weight, time) {
            Ok(paid_at) => paid_at,
            Err(at) => {
                self.push.not_before = Some(at);
                return false;
            }
        };
        let to = self.config.deliver_subject.as_bytes();
        if !cx.out.deliver(&self.delivery(to, self.deliver_group(), message, own_header)) {
            self.push.not_before = Some(time.saturating_add(RETRY_NS));
            self.interest_changed(cx);
            return false;
        }
        self.push.paid_at = paid_at;
        self.push.last_sent = time;
        if replays {
            self.push.replayed = Some((message.ts_ns, time));
        }
        self.delivered(cx, message.seq, deliveries, time);
        if let Some(flow) = &mut self.push.flow {
            flow.out += weight;
            if flow.out > flow.window / 2 {
                self.ask(cx);
            }
        }
        true
    }

    /// When so many more bytes are paid for at the limit of the rate, or when they may be sent at the earliest.
    fn pay(&self, cx: &Cx<'_>, bytes: u64, time: i64) -> Result<i64, i64> {
        let bps = self.config.rate_limit_bps;
        if bps == 0 {
            return Ok(self.push.paid_at);
        }
        let cost = |bytes: u64| {
            i64::try_from(u128::from(bytes) * 8_000_000_000 / u128::from(bps)).unwrap_or(i64::MAX / 4)
        };
        let burst = u64::try_from(cx.stream.config.max_msg_size).ok().filter(|size| *size > 0);
        // A message that is larger than the burst goes when nothing is owed.
        let burst_ns = cost(burst.unwrap_or(cx.stream.max_payload).max(bytes));
        let paid_at = self.push.paid_at.max(time).saturating_add(cost(bytes));
        let earliest = paid_at.saturating_sub(burst_ns);
        if earliest > time { Err(earliest) } else { Ok(paid_at) }
    }

    /// Asks the subscriber to say when it has come so far, unless it was asked.
    pub(super) fn ask(&mut self, cx: &mut Cx<'_>) {
        let Some(flow) = &mut self.push.flow else { return };
        if !flow.subject.is_empty() {
            return;
        }
        flow.asked = flow.out;
        let subject = &mut flow.subject;
        subject.extend_from_slice(b"$JS.FC.");
        if cx.stream.ack_v2 {
            let domain = cx.stream.domain;
            subject.extend_from_slice(if domain.is_empty() { b"_" } else { domain.as_bytes() });
            subject.push(b'.');
            subject.extend_from_slice(cx.stream.account_hash.as_bytes());
            subject.push(b'.');
        }
        for name in [&self.identity.stream, &self.identity.name] {
            subject.extend_from_slice(name.as_bytes());
            subject.push(b'.');
        }
        for _ in 0..4 {
            subject.push(ALPHABET[cx.entropy.below(62) as usize]);
        }
        status::plain(&mut self.header, "100 FlowControl Request");
        cx.out.status(self.config.deliver_subject.as_bytes(), subject, &self.header);
    }

    /// A message to a flow control subject. Whoever answers the open question makes room, and with the policy of flow control acknowledges
    /// what its header names.
    pub fn flow_reply(&mut self, cx: &mut Cx<'_>, subject: &[u8], header: &[u8]) {
        let Some(flow) = self.push.flow.as_mut().filter(|flow| flow.subject == subject) else { return };
        flow.out = flow.out.saturating_sub(flow.asked);
        flow.asked = 0;
        flow.subject.clear();
        flow.window = (flow.window * 2).min(WINDOW_MAX);
        if self.rules.ack != AckPolicy::FlowControl {
            return;
        }
        let number = |name: &[u8]| {
            find(header, name).and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<u64>().ok())
        };
        // Both, or it is no acknowledgement.
        if let (Some(_), Some(seq)) = (number(headers::LAST_CONSUMER), number(headers::LAST_STREAM)) {
            self.keep(cx.store);
            self.passed.taken = self.passed.taken.max(seq.min(self.passed.through));
            self.ack_through(cx, seq, Promise::Cached);
        }
    }

    /// When the next heartbeat to the deliver subject is due.
    pub(super) fn next_beat(&self) -> Option<i64> {
        let beats = self.rules.push && self.push.active && self.config.idle_heartbeat_ns > 0;
        beats.then(|| self.push.last_sent.saturating_add(self.config.idle_heartbeat_ns))
    }

    pub(super) fn beat(&mut self, cx: &mut Cx<'_>, time: i64) {
        self.push.last_sent = time;
        let stalled = self.push.flow.as_ref().map_or(&b""[..], |flow| &flow.subject);
        let (delivery, seq) = self.last_seen();
        status::heartbeat(&mut self.header, delivery, seq, stalled);
        if !cx.out.status(self.config.deliver_subject.as_bytes(), b"", &self.header) {
            self.interest_changed(cx);
        } else if self.rules.ack == AckPolicy::FlowControl && self.unacked() > 0 {
            self.ask(cx);
        }
    }

    /// The last delivery, and the message that was looked at last.
    pub(super) fn last_seen(&self) -> (u64, u64) {
        (self.next_delivery - 1, self.next_seq().saturating_sub(1))
    }
}
