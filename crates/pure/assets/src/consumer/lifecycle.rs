//! What happens to a consumer from outside: messages come and go, its configuration changes, it pauses, begins anew, ends.

use midge_jsapi::consumer_config::{ConsumerConfig, DeliverPolicy};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::levels;
use midge_stdx::clock::Wall;
use midge_store::consumer::delta::Delta;
use midge_store::format::consumer_state::SequencePair;
use midge_store::port::Promise;
use midge_store::stream::{Step, TimeQuery};

use super::config;
use super::machine::{Consumer, Passed, drop_below};
use super::outlet::{Cx, Event};
use super::pending::is_live;
use super::push::Push;

/// What those are told that have to ask again.
const INTERRUPTED: &str = "409 Leadership Change";

impl Consumer {
    /// A message became visible. Answers whether it is one to deliver, so that [`Consumer::turn`] is worth a call. Call it for every message that
    /// [`Consumer::matches`], in order, before the turn in which it is visible; others change nothing.
    #[inline]
    pub fn stored(&mut self, seq: u64, subject: &[u8]) -> bool {
        let (filter, next) = (&self.next.filter, self.next.from);
        self.waiting.stored(seq, next, || filter.matches(subject))
    }

    /// A message left the stream, other than because this consumer was done with it. O(log pending).
    pub fn removed(&mut self, cx: &mut Cx<'_>, seq: u64, subject: &[u8]) {
        if !self.matches(subject) {
            return;
        }
        self.keep(cx.store);
        if let Ok(at) = self.skip.binary_search(&seq) {
            self.skip.remove(at);
        } else {
            self.waiting.removed(seq, self.next.from);
        }
        let state = self.kept.state();
        if state.pending.contains_key(&seq) {
            self.lost(cx, seq);
        } else if state.redelivered.contains_key(&seq) {
            // It was given up, and is kept for nobody now.
            let sequences = SequencePair { consumer_seq: 0, stream_seq: seq };
            self.keep_now(Delta::Acked { sequences }, Promise::Cached, cx.store);
        }
    }

    /// Many messages left the stream at once: by a purge, by a roll-up, by a limit. O(pending).
    pub fn purged(&mut self, cx: &mut Cx<'_>) {
        self.keep(cx.store);
        let first = cx.store.state().first_seq;
        self.skip.retain(|seq| *seq >= first && is_live(cx.store, *seq));
        self.next.from = self.next.from.max(first);
        self.waiting.forget();
        let before = self.kept.state();
        let lowest = before.pending.first_key_value().map(|(seq, _)| *seq);
        let mut state = before.clone();
        state.redelivered = state.redelivered.split_off(&first);
        state.pending.retain(|seq, _| *seq < first || is_live(cx.store, *seq));
        state.redelivered.retain(|seq, _| state.pending.contains_key(seq) || is_live(cx.store, *seq));
        match state.pending.first_key_value() {
            None if lowest.is_some() => state.ack_floor = state.delivered,
            // The floor moves up to the lowest that is left.
            Some((seq, pending)) if Some(*seq) != lowest => {
                let below = seq.saturating_sub(1);
                state.ack_floor.stream_seq = state.ack_floor.stream_seq.max(below);
                let before = pending.consumer_seq.saturating_sub(1);
                state.ack_floor.consumer_seq = state.ack_floor.consumer_seq.max(before);
            }
            _ => {}
        }
        if first > 0 && state.ack_floor.stream_seq + 1 < first {
            drop_below(&mut state, first);
        }
        if state != *before {
            if state.pending.len() < before.pending.len() {
                // What left while it was waited for counts as acknowledged.
                self.last_acked = Some(cx.now.wall);
            }
            self.keep_now(Delta::Replaced { state }, Promise::Cached, cx.store);
            let pending = &self.kept.state().pending;
            self.redelivery.retain(|seq| pending.contains_key(&seq));
            self.tidy_overdue();
        }
        let _ = self.count(cx);
    }

    /// Pauses until then, or goes on when that is past or nothing. Requests may end and heartbeats are sent meanwhile.
    pub fn pause(&mut self, cx: &mut Cx<'_>, until: Option<Wall>) {
        self.config.pause_until = until;
        // What a server has to know to serve it depends on this too.
        let required = levels::required_of_consumer(&self.config);
        levels::keep(&mut self.config.metadata, required);
        let time = self.time(cx.now);
        let paused = until.filter(|until| *until > cx.now.wall);
        self.resume_at = paused.map(|until| time.saturating_add(until.0 - cx.now.wall.0));
        cx.out.advise(&self.identity.name, Event::Pause { paused: paused.is_some(), until });
    }

    /// Begins anew at a sequence, or with 0 behind the acknowledgement floor, and answers where. What was delivered is forgotten.
    ///
    /// # Errors
    /// (in the answer) The position is before the one that the configuration asks for, or fixed.
    pub fn reset(&mut self, cx: &mut Cx<'_>, seq: u64) -> Step<Result<u64, ApiError>> {
        let refuse = |text: &str| Step::Ready(Err(errors::CONSUMER_INVALID_RESET.because(text)));
        if seq > 0 {
            match self.config.deliver_policy {
                DeliverPolicy::All => {}
                DeliverPolicy::ByStartSequence if seq >= self.config.opt_start_seq => {}
                DeliverPolicy::ByStartSequence => return refuse("below start seq"),
                DeliverPolicy::ByStartTime => {
                    let from_ns = self.config.opt_start_time.map_or(0, |time| time.0);
                    match cx.store.seq_from_time(TimeQuery { from_ns }) {
                        Step::Ready(first) if seq >= first => {}
                        Step::Ready(_) => return refuse("below start time"),
                        Step::Wait => return Step::Wait,
                        Step::Failed(error) => return Step::Failed(error),
                    }
                }
                DeliverPolicy::Last | DeliverPolicy::New | DeliverPolicy::LastPerSubject => {
                    return refuse("not allowed");
                }
            }
        }
        self.keep(cx.store);
        let floor = self.kept.state().ack_floor.stream_seq;
        let position = if seq > 0 { seq } else { floor + 1 };
        self.return_to_skip();
        if self.skip.is_empty() {
            self.next.from = position.max(cx.store.state().first_seq);
        }
        self.keep_now(Delta::Reset { stream_seq: position - 1 }, Promise::Durable, cx.store);
        self.next_delivery = 1;
        let behind_skip = self.next.from.saturating_sub(1);
        self.passed = Passed::through(if self.skip.is_empty() { position - 1 } else { behind_skip });
        (self.last_delivered, self.last_acked) = (None, None);
        self.redelivery.clear();
        self.waiting.forget();
        let _ = self.count(cx);
        self.last_used = self.time(cx.now);
        Step::Ready(Ok(position))
    }

    /// Of the last messages of subjects, those that are not acknowledged are delivered anew: they are put back on the list.
    fn return_to_skip(&mut self) {
        if self.skip.is_empty() {
            return;
        }
        let unacked: Vec<u64> = self.kept.state().pending.keys().copied().collect();
        for seq in unacked.into_iter().rev() {
            self.skip.push_front(seq);
        }
    }

    /// Takes over a configuration that [`config::update`] let pass.
    pub fn update(&mut self, cx: &mut Cx<'_>, new: ConsumerConfig) {
        self.keep(cx.store);
        let old = self.config.clone();
        self.set_rules(new, cx.stream.config.retention);
        let filter = config::filter(&self.config);
        if filter != self.next.filter {
            self.skip.retain(|seq| {
                match cx.store.load(*seq) {
                    Step::Ready(message) => filter.matches(message.subject()),
                    // It is looked at when its turn comes.
                    Step::Wait | Step::Failed(_) => true,
                }
            });
            self.next.filter = filter;
            // What the former filter passed over stays behind.
            self.passed.through = self.next.from.saturating_sub(1);
            self.waiting.forget();
            let _ = self.count(cx);
        }
        if old.deliver_subject != self.config.deliver_subject {
            let replay_through = self.push.replay_through;
            self.push = Push::new(&self.config);
            self.push.replay_through = replay_through;
            self.push.inactive_since = self.time(cx.now);
            let unacked: Vec<u64> = self.kept.state().pending.keys().copied().collect();
            unacked.into_iter().for_each(|seq| self.redelivery.push(seq));
        }
        if old.deliver_subject != self.config.deliver_subject
            || old.deliver_group != self.config.deliver_group
        {
            self.interest_changed(cx);
        }
        if old.max_deliver != self.config.max_deliver {
            // Some of those that are due may have been delivered often enough now.
            self.redelivery.queued().into_iter().for_each(|seq| self.again(cx, seq));
        }
        if old.ack_wait_ns != self.config.ack_wait_ns || old.backoff_ns != self.config.backoff_ns {
            self.rebuild_overdue();
        }
        if old.priority_policy != self.config.priority_policy
            || old.priority_groups != self.config.priority_groups
        {
            self.forget_priorities();
        }
    }

    /// Those that wait are all alike under another policy.
    fn forget_priorities(&mut self) {
        self.pin = None;
        let level = match self.config.priority_policy {
            midge_jsapi::consumer_config::PriorityPolicy::PinnedClient => super::pins::STAND_BY,
            _ => 0,
        };
        let slots: Vec<_> = self.requests.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.requests.relevel(slot, level);
        }
    }

    /// The server stops: those that wait are told. The caller writes the state.
    pub fn server_shutdown(&mut self, cx: &mut Cx<'_>) {
        self.keep(cx.store);
        self.end_all(cx, "409 Server Shutdown", true);
    }

    /// Another takes its place, which does not know who waits: those that do are told to ask again.
    pub fn interrupted(&mut self, cx: &mut Cx<'_>) {
        self.end_all(cx, INTERRUPTED, false);
    }

    /// The consumer is deleted, or its stream: those that wait are told.
    pub fn deleted(&mut self, cx: &mut Cx<'_>) {
        self.keep(cx.store);
        self.end_all(cx, "409 Consumer Deleted", false);
    }
}
