//! Acknowledgements, refusals and giving up.

use midge_jsapi::consumer_config::AckPolicy;
use midge_stdx::gotime;
use midge_store::consumer::delta::Delta;
use midge_store::format::consumer_state::{ConsumerState, Pending, SequencePair};
use midge_store::port::Promise;

use super::machine::Consumer;
use super::outlet::{AckOf, Cx, Event};

/// Why a message is terminated that left the stream before it was acknowledged.
pub(super) const DELETED: &str = "Unacknowledged message was deleted";

impl Consumer {
    /// A message to an acknowledgement subject. `header` is its header block. With a reply it is answered by an empty message: an
    /// acknowledgement when it is durable, anything else at once. An acknowledgement of what was not delivered is not answered.
    /// O(log pending), but for what an acknowledgement of many drops.
    pub fn ack(&mut self, cx: &mut Cx<'_>, of: &AckOf, payload: &[u8], reply: &[u8]) {
        if !self.takes_acks() {
            return;
        }
        let was_delivered = of.stream_seq < self.next_seq_or_delivered();
        self.keep(cx.store);
        self.last_used = self.time(cx.now);
        match payload {
            b"" | b"+ACK" | b"+OK" => {
                if was_delivered {
                    self.ack_message(cx, of, true, reply);
                }
            }
            b"+WPI" => {
                self.progress(cx, of.stream_seq);
                reply_now(cx, reply);
            }
            _ => {
                if let Some(request) = payload.strip_prefix(b"+NXT") {
                    if was_delivered {
                        self.ack_message(cx, of, true, b"");
                    }
                    if !reply.is_empty() {
                        self.pull(cx, request.trim_ascii(), b"", reply);
                    }
                } else if let Some(delay) = payload.strip_prefix(b"-NAK") {
                    self.nak(cx, of, delay.trim_ascii());
                    reply_now(cx, reply);
                } else if let Some(reason) = payload.strip_prefix(b"+TERM") {
                    if was_delivered {
                        let reason = String::from_utf8_lossy(reason.trim_ascii());
                        self.terminate(cx, of, &reason, reply);
                    }
                } else {
                    reply_now(cx, reply);
                }
            }
        }
    }

    /// The sequence from which on nothing was delivered.
    fn next_seq_or_delivered(&self) -> u64 {
        if self.skip.is_empty() { self.next.from } else { self.kept.state().delivered.stream_seq + 1 }
    }

    fn ack_message(&mut self, cx: &mut Cx<'_>, of: &AckOf, sample: bool, reply: &[u8]) {
        let pending = self.kept.state().pending.get(&of.stream_seq).copied();
        if let Some(pending) = pending
            && sample
        {
            self.sample(cx, of, &pending);
        }
        let promise = if reply.is_empty() { Promise::Cached } else { Promise::Durable };
        match self.rules.ack {
            AckPolicy::Explicit => self.ack_one(cx, of.stream_seq, promise),
            _ => self.ack_through(cx, of.stream_seq, promise),
        }
        if !reply.is_empty() {
            cx.out.reply_durable(reply);
        }
    }

    fn sample(&mut self, cx: &mut Cx<'_>, of: &AckOf, pending: &Pending) {
        if self.rules.sample_percent > 0 && cx.entropy.below(100) < self.rules.sample_percent {
            let event = Event::Acked {
                consumer_seq: of.consumer_seq,
                stream_seq: of.stream_seq,
                ack_time_ns: self.time(cx.now).saturating_sub(pending.delivered_ns).max(0),
                deliveries: of.deliveries,
            };
            cx.out.advise(&self.identity.name, event);
        }
    }

    /// One message is done. With a promise of durability the change is kept even when there is nothing to change, so that what was
    /// acknowledged before is durable as well.
    pub(super) fn ack_one(&mut self, cx: &mut Cx<'_>, seq: u64, promise: Promise) {
        let state = self.kept.state();
        let pending = state.pending.get(&seq).copied();
        let known = pending.is_some() || state.redelivered.contains_key(&seq);
        if self.rules.ack == AckPolicy::Explicit {
            // Whoever acknowledges again is there as well.
            self.last_acked = Some(cx.now.wall);
        }
        if !known && promise == Promise::Cached {
            return;
        }
        let consumer_seq = pending.map_or(0, |pending| pending.consumer_seq);
        // Files of the first version do not know the delivery; it counts as one above the floor.
        let consumer_seq = match pending {
            Some(_) => consumer_seq.max(state.ack_floor.consumer_seq + 1),
            None => consumer_seq,
        };
        let sequences = SequencePair { consumer_seq, stream_seq: seq };
        self.keep_now(Delta::Acked { sequences }, promise, cx.store);
        self.redelivery.remove(seq);
        if known {
            self.last_acked = Some(cx.now.wall);
            self.tidy_overdue();
            if self.rules.removes {
                cx.out.done_with(&self.identity.name, seq, seq);
            }
        }
    }

    /// Everything up to a message is done.
    pub(super) fn ack_through(&mut self, cx: &mut Cx<'_>, seq: u64, promise: Promise) {
        let state = self.kept.state();
        let floor = state.ack_floor;
        let Some((last, pending)) = state.pending.range(..=seq).next_back() else {
            return self.ack_one(cx, seq, promise);
        };
        let delivered = state.delivered;
        let through = seq.min(delivered.stream_seq);
        let consumer_seq = if *last == through {
            pending.consumer_seq
        } else {
            // It has left the stream, and with it the number of its delivery.
            let above = state.pending.range(through + 1..).next();
            above.map_or(delivered.consumer_seq, |(_, next)| next.consumer_seq.saturating_sub(1))
        };
        // By redeliveries, a number may stand before that of an earlier message.
        let consumer_seq = consumer_seq.max(floor.consumer_seq + 1);
        let sequences = SequencePair { consumer_seq, stream_seq: through };
        self.keep_now(Delta::Acked { sequences }, promise, cx.store);
        if self.redelivery.len() > 0 {
            self.redelivery.retain(|queued| queued > through);
        }
        self.last_acked = Some(cx.now.wall);
        self.tidy_overdue();
        if self.rules.removes {
            cx.out.done_with(&self.identity.name, floor.stream_seq + 1, through);
        }
    }

    /// Deadlines of what was acknowledged are thrown away before they outnumber the others.
    pub(super) fn tidy_overdue(&mut self) {
        if self.redelivery.overdue.is_stale(self.kept.state().pending.len()) {
            self.rebuild_overdue();
        }
    }

    /// The receiver is still at work: the time begins anew.
    fn progress(&mut self, cx: &mut Cx<'_>, seq: u64) {
        let time = self.time(cx.now);
        self.put_off(cx, seq, time);
    }

    /// Writes down another time of delivery for a message that is out.
    fn put_off(&mut self, cx: &mut Cx<'_>, seq: u64, delivered_ns: i64) {
        let Some(pending) = self.kept.state().pending.get(&seq).copied() else { return };
        let deliveries = self.deliveries(seq);
        // A refusal would leave the message as it is.
        let above = self.kept.state().ack_floor.consumer_seq + 1;
        let sequences = SequencePair { consumer_seq: pending.consumer_seq.max(above), stream_seq: seq };
        self.keep_now(
            Delta::Delivered { sequences, deliveries, at_ns: delivered_ns },
            Promise::Cached,
            cx.store,
        );
        if let Some(at) = self.overdue_at(seq) {
            self.redelivery.overdue.set(at, seq);
            self.tidy_overdue();
        }
    }

    /// How often a pending message was delivered.
    #[inline]
    pub(super) fn deliveries(&self, seq: u64) -> u64 {
        self.kept.state().redelivered.get(&seq).map_or(1, |redelivered| redelivered + 1)
    }

    fn nak(&mut self, cx: &mut Cx<'_>, of: &AckOf, delay: &[u8]) {
        let seq = of.stream_seq;
        let state = self.kept.state();
        if of.consumer_seq <= state.ack_floor.consumer_seq
            || of.consumer_seq > state.delivered.consumer_seq
            || !state.pending.contains_key(&seq)
        {
            return;
        }
        let (consumer_seq, deliveries) = (of.consumer_seq, of.deliveries);
        cx.out.advise(&self.identity.name, Event::Naked { consumer_seq, stream_seq: seq, deliveries });
        let delay_ns = delay_ns(delay);
        if delay_ns > 0 {
            self.redelivery.remove(seq);
            let redeliveries = self.deliveries(seq) - 1;
            // The deadline follows from the time of delivery.
            let time = self.time(cx.now).saturating_add(delay_ns);
            self.put_off(cx, seq, time.saturating_sub(self.ack_wait_ns(redeliveries)));
        } else {
            self.again(cx, seq);
        }
    }

    /// A pending message is due again: queued, or given up if it was delivered often enough.
    pub(super) fn again(&mut self, cx: &mut Cx<'_>, seq: u64) {
        if self.rules.max_deliver > 0 && self.deliveries(seq) >= self.rules.max_deliver {
            self.give_up(cx, seq);
        } else {
            self.redelivery.push(seq);
        }
    }

    /// A message was delivered as often as may be: it is not pending any more, and remembered as one that was not acknowledged.
    pub(super) fn give_up(&mut self, cx: &mut Cx<'_>, seq: u64) {
        let Some(pending) = self.kept.state().pending.get(&seq).copied() else { return };
        let deliveries = self.deliveries(seq);
        self.redelivery.remove(seq);
        let sequences = SequencePair {
            consumer_seq: pending.consumer_seq.max(self.kept.state().ack_floor.consumer_seq + 1),
            stream_seq: seq,
        };
        let beyond = Delta::Delivered {
            sequences,
            deliveries: deliveries.max(self.rules.max_deliver) + 1,
            at_ns: pending.delivered_ns,
        };
        self.keep_now(beyond, Promise::Cached, cx.store);
        self.tidy_overdue();
        cx.out.advise(&self.identity.name, Event::MaxDeliver { stream_seq: seq, deliveries });
    }

    fn terminate(&mut self, cx: &mut Cx<'_>, of: &AckOf, reason: &str, reply: &[u8]) {
        let pending = self.kept.state().pending.contains_key(&of.stream_seq);
        self.ack_message(cx, of, false, reply);
        if pending {
            let AckOf { stream_seq, consumer_seq, deliveries } = *of;
            let event = Event::Terminated { consumer_seq, stream_seq, deliveries, reason };
            cx.out.advise(&self.identity.name, event);
        }
    }

    /// A pending message has left the stream.
    pub(super) fn lost(&mut self, cx: &mut Cx<'_>, seq: u64) {
        self.keep(cx.store);
        let Some(pending) = self.kept.state().pending.get(&seq).copied() else { return };
        let (consumer_seq, deliveries) = (pending.consumer_seq, self.deliveries(seq));
        self.redelivery.remove(seq);
        let state = self.kept.state();
        // What was given up is not pending, and not acknowledged either.
        let given_up = state.redelivered.range(..seq).any(|(before, _)| !state.pending.contains_key(before));
        let lowest = state.pending.first_key_value().is_some_and(|(first, _)| *first == seq) && !given_up;
        if self.rules.ack == AckPolicy::Explicit || lowest {
            let sequences = SequencePair {
                consumer_seq: consumer_seq.max(self.kept.state().ack_floor.consumer_seq + 1),
                stream_seq: seq,
            };
            self.keep_now(Delta::Acked { sequences }, Promise::Cached, cx.store);
        } else {
            // An acknowledgement would take those before it along.
            let mut state: ConsumerState = self.kept.state().clone();
            state.pending.remove(&seq);
            state.redelivered.remove(&seq);
            self.keep_now(Delta::Replaced { state }, Promise::Cached, cx.store);
        }
        self.last_acked = Some(cx.now.wall);
        self.tidy_overdue();
        let event = Event::Terminated { consumer_seq, stream_seq: seq, deliveries, reason: DELETED };
        cx.out.advise(&self.identity.name, event);
    }
}

fn reply_now(cx: &mut Cx<'_>, reply: &[u8]) {
    if !reply.is_empty() {
        cx.out.reply_now(reply);
    }
}

/// The delay of a refusal: a duration, or an object with `delay` in nanoseconds; 0 for none and for what is neither.
fn delay_ns(text: &[u8]) -> i64 {
    let Ok(text) = std::str::from_utf8(text) else { return 0 };
    if text.starts_with('{') {
        let parsed: Option<serde_json::Value> = serde_json::from_str(text).ok();
        return parsed
            .as_ref()
            .and_then(|value| value.get("delay"))
            .and_then(|delay| delay.as_i64())
            .unwrap_or(0);
    }
    if text.is_empty() { 0 } else { gotime::parse_duration(text).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_durations_or_objects() {
        assert_eq!(delay_ns(b"5s"), 5_000_000_000);
        assert_eq!(delay_ns(br#"{"delay": 1500}"#), 1500);
        for none in [&b""[..], b"soon", b"{", br#"{"delay":"5s"}"#, b"\xff"] {
            assert_eq!(delay_ns(none), 0);
        }
    }
}
