//! Delivering as far as it goes.

use midge_jsapi::consumer_config::{AckPolicy, PriorityPolicy};
use midge_jsapi::headers;
use midge_store::consumer::delta::Delta;
use midge_store::format::consumer_state::SequencePair;
use midge_store::port::Promise;
use midge_store::stream::{Message, Step, Store};

use super::machine::{Consumer, Passed, Progress};
use super::outlet::{Cx, Delivery};
use super::pending;
use super::pins::{PINNED, Pin};
use super::requests::Slot;
use super::status;

/// How long delivery rests when somebody is there and takes nothing.
pub(super) const RETRY_NS: i64 = 100_000_000;

/// What comes next.
pub(super) enum Chosen {
    /// A message, which would be delivered for that time; 1 is the first.
    Message(Message, u64),
    /// Everything that may be seen was delivered.
    End,
    /// Too much is not acknowledged.
    Stalled,
}

impl Consumer {
    /// Delivers up to `budget` messages. Call it after any other input, and again with more to do, or when a block came that it waited for:
    /// nothing is lost by asking.
    pub fn turn(&mut self, cx: &mut Cx<'_>, budget: usize) -> Step<Progress> {
        let mut progress = Progress::default();
        let step = self.deliver(cx, budget, &mut progress);
        self.keep(cx.store);
        self.tidy_overdue();
        match step {
            Step::Ready(()) => Step::Ready(progress),
            Step::Wait => Step::Wait,
            Step::Failed(error) => Step::Failed(error),
        }
    }

    /// Counts the messages that wait for delivery, if their number is not known: call it before telling it, where it may wait for a block. Nothing
    /// is delivered before.
    pub fn count(&mut self, cx: &mut Cx<'_>) -> Step<()> {
        self.waiting.step(&self.next.filter, self.next.from, cx.stream.visible, cx.store)
    }

    fn deliver(&mut self, cx: &mut Cx<'_>, budget: usize, progress: &mut Progress) -> Step<()> {
        let counted = self.count(cx);
        if !matches!(counted, Step::Ready(())) {
            return counted;
        }
        if self.is_paused(cx.now) {
            return Step::Ready(());
        }
        while progress.delivered < budget {
            let goes_on = if self.rules.push { self.push_one(cx) } else { self.pull_one(cx) };
            match goes_on {
                Step::Ready(true) => progress.delivered += 1,
                Step::Ready(false) => return Step::Ready(()),
                Step::Wait => return Step::Wait,
                Step::Failed(error) => return Step::Failed(error),
            }
        }
        progress.more = true;
        Step::Ready(())
    }

    /// The next message, without taking it.
    pub(super) fn choose(&mut self, cx: &mut Cx<'_>) -> Step<Chosen> {
        while let Some(seq) = self.redelivery.first() {
            if !self.kept.state().pending.contains_key(&seq) {
                debug_assert!(false, "{seq} is queued and not pending");
                self.redelivery.remove(seq);
                continue;
            }
            let deliveries = self.deliveries(seq);
            if self.rules.max_deliver > 0 && deliveries >= self.rules.max_deliver {
                self.give_up(cx, seq);
                continue;
            }
            match cx.store.load(seq) {
                Step::Ready(message) => return Step::Ready(Chosen::Message(message, deliveries + 1)),
                Step::Wait => return Step::Wait,
                Step::Failed(error) if pending::is_gone(&error) => self.lost(cx, seq),
                Step::Failed(error) => return Step::Failed(error),
            }
        }
        if self.unacked() >= self.rules.max_ack_pending {
            return Step::Ready(Chosen::Stalled);
        }
        let visible = cx.stream.visible;
        while let Some(seq) = self.skip.front().copied() {
            if seq > visible {
                return Step::Ready(Chosen::End);
            }
            match cx.store.load(seq) {
                Step::Ready(message) if self.matches(message.subject()) => {
                    return Step::Ready(Chosen::Message(message, 1));
                }
                Step::Wait => return Step::Wait,
                // The filters may have changed.
                Step::Ready(_) => {
                    self.skip.pop_front();
                }
                Step::Failed(error) if pending::is_gone(&error) => {
                    self.skip.pop_front();
                }
                Step::Failed(error) => return Step::Failed(error),
            }
        }
        if self.next.from > visible {
            return Step::Ready(Chosen::End);
        }
        match cx.store.next(&mut self.next) {
            Step::Ready(Some(message)) if message.seq <= visible => {
                if !self.may_pass_over(cx.store, message.seq) {
                    return Step::Wait;
                }
                self.next.from = message.seq;
                Step::Ready(Chosen::Message(message, 1))
            }
            Step::Ready(found) => {
                // All up to here was looked at.
                self.next.from = found.map_or(visible + 1, |message| message.seq).max(self.next.from);
                self.waiting.none();
                Step::Ready(Chosen::End)
            }
            Step::Wait => Step::Wait,
            Step::Failed(error) => Step::Failed(error),
        }
    }

    /// Whether everything before this sequence was delivered or is gone for good. A copy takes what it is not sent for gone, and would never have what is there
    /// again after a power cut.
    pub(super) fn may_pass_over(&mut self, store: &mut Store, seq: u64) -> bool {
        if !self.is_copy() {
            return true;
        }
        let Passed { through, gap, .. } = &mut self.passed;
        if let Some((end, mark)) = *gap {
            if store.done() < mark {
                return false;
            }
            (*through, *gap) = ((*through).max(end - 1), None);
        }
        if seq > *through + 1 {
            *gap = store.removals_after(*through).map(|mark| (seq, mark));
        }
        gap.is_none()
    }

    /// Whether it waits for removals to become durable. [`Consumer::turn`] is worth a call when [`Store::done`] has moved.
    pub fn waits_for_removals(&self) -> bool {
        self.passed.gap.is_some()
    }

    /// The store failed and was opened again. What had been removed from it, and not durably, is there again: it comes behind what was delivered.
    pub fn store_changed(&mut self, cx: &mut Cx<'_>) {
        self.keep(cx.store);
        let Passed { through, taken, .. } = self.passed;
        self.passed.gap = None;
        self.next.from = self.next.from.min(through + 1);
        let mut state = self.kept.state().clone();
        // A purge took these along to where the stream began then.
        let lowest = if self.rules.ack == AckPolicy::FlowControl { taken } else { through };
        state.ack_floor.stream_seq = state.ack_floor.stream_seq.min(lowest);
        let pending = state.pending.last_key_value().map_or(0, |(seq, _)| *seq);
        state.delivered.stream_seq = state.delivered.stream_seq.min(through).max(pending);
        if state != *self.kept.state() {
            self.keep_now(Delta::Replaced { state }, Promise::Cached, cx.store);
        }
        self.waiting.forget();
        let _ = self.count(cx);
    }

    /// How many wait behind a message that is about to be delivered.
    #[inline]
    pub(super) fn pending_behind(&self, seq: u64, deliveries: u64, visible: u64) -> u64 {
        if deliveries > 1 {
            return self.num_pending(visible);
        }
        if !self.skip.is_empty() {
            return self.num_pending(visible) - 1;
        }
        self.waiting.after(seq).min(visible.saturating_sub(seq))
    }

    /// Writes down a delivery.
    pub(super) fn delivered(&mut self, cx: &mut Cx<'_>, seq: u64, deliveries: u64, time: i64) {
        let sequences = SequencePair { consumer_seq: self.next_delivery, stream_seq: seq };
        self.next_delivery += 1;
        let change = Delta::Delivered { sequences, deliveries, at_ns: time };
        if deliveries > 1 {
            self.redelivery.remove(seq);
            self.keep_now(change, Promise::Cached, cx.store);
        } else {
            self.unkept.push(change);
            if self.skip.pop_front().is_none() {
                self.passed.through = seq;
                self.next.from = seq + 1;
                self.waiting.delivered(seq);
            }
        }
        self.last_delivered = Some(cx.now.wall);
        self.last_used = time;
        if self.takes_acks() {
            self.redelivery.overdue.set(time.saturating_add(self.ack_wait_ns(deliveries - 1)), seq);
        } else if self.rules.ack == AckPolicy::None && self.rules.removes {
            cx.out.done_with(&self.identity.name, seq, seq);
        }
    }

    /// Puts together what is delivered: the acknowledgement subject in `self.reply`, and in `self.header` a header block if it is another one than
    /// the stored one. Answers whether it is.
    pub(super) fn compose(
        &mut self,
        cx: &Cx<'_>,
        message: &Message,
        deliveries: u64,
        pin: Option<&Pin>,
    ) -> bool {
        let behind = self.pending_behind(message.seq, deliveries, cx.stream.visible);
        self.write_reply(cx, message.seq, message.ts_ns, deliveries, behind);
        if !self.config.headers_only && pin.is_none() {
            return false;
        }
        status::begin(&mut self.header, message.headers());
        if self.config.headers_only {
            let mut digits = itoa::Buffer::new();
            let len = digits.format(message.payload().len()).as_bytes();
            status::add_header(&mut self.header, headers::MSG_SIZE, len);
        }
        if let Some(pin) = pin {
            status::add_header(&mut self.header, headers::PIN_ID, &pin.id);
        }
        true
    }

    /// Bytes that a composed message counts for, beside the subject that it is sent to or has.
    pub(super) fn weight(&self, message: &Message, own_header: bool) -> u64 {
        let header = if own_header { self.header.len() } else { message.headers().len() };
        let payload = if self.config.headers_only { 0 } else { message.payload().len() };
        (self.reply.len() + header + payload) as u64
    }

    /// The delivery of a composed message.
    pub(super) fn delivery<'a>(
        &'a self,
        to: &'a [u8],
        group: Option<&'a [u8]>,
        message: &'a Message,
        own_header: bool,
    ) -> Delivery<'a> {
        Delivery {
            to,
            group,
            subject: message.subject(),
            reply: &self.reply,
            header: if own_header { &self.header } else { message.headers() },
            payload: if self.config.headers_only { b"" } else { message.payload() },
            message,
        }
    }

    /// Serves one request; false when there is nothing to do.
    fn pull_one(&mut self, cx: &mut Cx<'_>) -> Step<bool> {
        let head = self.pick(cx);
        if head.is_none() && !self.requests.any_no_wait() {
            return Step::Ready(false);
        }
        match self.choose(cx) {
            Step::Ready(Chosen::Message(message, deliveries)) => {
                Step::Ready(head.is_some_and(|head| self.serve(cx, head, &message, deliveries)))
            }
            Step::Ready(Chosen::End) => {
                self.end_of_stream(cx);
                Step::Ready(false)
            }
            Step::Ready(Chosen::Stalled) => Step::Ready(false),
            Step::Wait => Step::Wait,
            Step::Failed(error) => Step::Failed(error),
        }
    }

    /// The request that is served next.
    fn pick(&mut self, cx: &mut Cx<'_>) -> Option<Slot> {
        let time = self.time(cx.now);
        loop {
            let slot = match self.rules.policy {
                PriorityPolicy::None | PriorityPolicy::Prioritized => self.requests.first()?,
                PriorityPolicy::PinnedClient => {
                    let slot = self.requests.first()?;
                    if self.pin.is_some() && self.requests.get(slot).level != PINNED {
                        return None;
                    }
                    slot
                }
                PriorityPolicy::Overflow => {
                    let (pending, unacked) = (self.num_pending(cx.stream.visible), self.unacked() as u64);
                    let mut requests = self.requests.iter();
                    requests
                        .find(|(_, request)| {
                            let (by_pending, by_unacked) = (request.min_pending, request.min_ack_pending);
                            (by_pending == 0 && by_unacked == 0)
                                || (by_pending > 0 && pending >= by_pending)
                                || (by_unacked > 0 && unacked >= by_unacked)
                        })?
                        .0
                }
            };
            if !self.requests.get(slot).is_expired(time) {
                return Some(slot);
            }
            self.end_request(cx, slot, "408 Request Timeout");
        }
    }

    /// Delivers a message to the first request that takes it; false when none did.
    fn serve(&mut self, cx: &mut Cx<'_>, head: Slot, message: &Message, deliveries: u64) -> bool {
        let time = self.time(cx.now);
        let pinned = self.rules.policy == PriorityPolicy::PinnedClient;
        let mut slot = head;
        for _ in 0..=self.requests.len() {
            let pin = pinned.then(|| self.pin_for(cx));
            let own_header = self.compose(cx, message, deliveries, pin.as_ref());
            let weight = message.subject().len() as u64 + self.weight(message, own_header);
            if self.requests.get(slot).bytes.is_some_and(|left| weight > left) {
                self.end_request(cx, slot, "409 Message Size Exceeds MaxBytes");
            } else {
                let inbox = &self.requests.get(slot).inbox;
                if cx.out.deliver(&self.delivery(inbox, None, message, own_header)) {
                    if let Some(pin) = pin {
                        self.pinned(cx, slot, pin);
                    }
                    self.delivered(cx, message.seq, deliveries, time);
                    self.served(cx, slot, weight, time);
                    return true;
                }
                if cx.out.has_interest(&self.requests.get(slot).inbox) {
                    // Somebody is there and takes nothing, now.
                    let again = time.saturating_add(RETRY_NS);
                    self.sweep_at = Some(self.sweep_at.map_or(again, |at| at.min(again)));
                    self.requests.rotate(slot);
                } else if !self.unheard(cx, slot) {
                    self.requests.rotate(slot);
                }
            }
            match self.pick(cx) {
                Some(next) => slot = next,
                None => return false,
            }
        }
        false
    }

    fn served(&mut self, cx: &mut Cx<'_>, slot: Slot, weight: u64, time: i64) {
        let request = self.requests.get_mut(slot);
        request.delivered += 1;
        request.last_sent = time;
        request.batch -= 1;
        request.bytes = request.bytes.map(|left| left - weight);
        if request.batch == 0 {
            if request.bytes.is_some_and(|left| left > 0) {
                self.end_request(cx, slot, "409 Batch Completed");
            } else {
                self.remove_request(cx, slot);
            }
        } else if request.bytes == Some(0) {
            self.remove_request(cx, slot);
        } else {
            self.requests.rotate(slot);
        }
    }

    /// Nothing is left to deliver: those that do not wait for more are told.
    fn end_of_stream(&mut self, cx: &mut Cx<'_>) {
        if !self.requests.any_no_wait() {
            return;
        }
        let done: Vec<Slot> = self
            .requests
            .iter()
            .filter(|(_, request)| request.no_wait && (request.expires_at.is_none() || request.delivered > 0))
            .map(|(slot, _)| slot)
            .collect();
        for slot in done {
            self.end_plainly(cx, slot, "404 No Messages");
        }
    }
}
