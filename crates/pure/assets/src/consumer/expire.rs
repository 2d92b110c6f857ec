//! What happens when time passes.

use midge_jsapi::consumer_config::PriorityPolicy;
use midge_stdx::clock::{Mono, Now};

use super::alarms::Alarms;
use super::machine::Consumer;
use super::outlet::{Cx, Event};
use super::status;

/// Overdue messages that one call takes; more are due at once.
const OVERDUE_BATCH: usize = 1024;

impl Consumer {
    /// When [`Consumer::expire`] is due; it may be called earlier and then does nothing. O(1).
    pub fn deadline(&self) -> Option<Mono> {
        let pin = self.pin.as_ref().map(|pin| pin.ends_at);
        let resting = if self.rules.push && self.push.active { self.push.not_before } else { None };
        [
            self.redelivery.overdue.next(),
            self.requests.next_deadline(),
            self.next_beat(),
            self.resume_at,
            self.sweep_at,
            self.unused_at(),
            pin,
            resting,
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|time| self.mono(time))
    }

    /// Does what is due; call [`Consumer::turn`] afterwards. Answers true when nobody has used the consumer for so long that it is to be
    /// deleted. O(log n) for each thing that is due.
    pub fn expire(&mut self, cx: &mut Cx<'_>) -> bool {
        self.keep(cx.store);
        let time = self.time(cx.now);
        if self.resume_at.is_some_and(|at| at <= time) {
            self.resume(cx, time);
        }
        self.expire_requests(cx, time);
        self.expire_acks(cx, time);
        if self.sweep_at.is_some_and(|at| at <= time) {
            self.sweep(cx);
        }
        if self.next_beat().is_some_and(|at| at <= time) {
            self.beat(cx, time);
        }
        if self.push.not_before.is_some_and(|at| at <= time) {
            self.push.not_before = None;
        }
        let pinned = self.rules.policy == PriorityPolicy::PinnedClient;
        if pinned && self.pin.as_ref().is_some_and(|pin| pin.ends_at <= time) {
            self.drop_pin(cx, "timeout");
        }
        self.is_unused(cx, time)
    }

    fn is_unused(&mut self, cx: &mut Cx<'_>, time: i64) -> bool {
        if self.unused_at().is_none_or(|at| at > time) {
            return false;
        }
        if self.requests.len() > 0 {
            // Somebody waits, if those who asked without a limit of time are still there.
            self.sweep(cx);
            self.last_used = time;
            return false;
        }
        true
    }

    fn expire_requests(&mut self, cx: &mut Cx<'_>, time: i64) {
        while let Some(slot) = self.requests.pop_due(time) {
            if self.requests.get(slot).is_expired(time) {
                self.end_request(cx, slot, "408 Request Timeout");
                continue;
            }
            let (delivery, seq) = self.last_seen();
            status::heartbeat(&mut self.header, delivery, seq, b"");
            if cx.out.status(&self.requests.get(slot).inbox, b"", &self.header) {
                self.requests.get_mut(slot).last_sent = time;
            } else if self.unheard(cx, slot) {
                continue;
            } else {
                self.requests.get_mut(slot).last_sent = time;
            }
            self.requests.again(slot);
        }
    }

    fn expire_acks(&mut self, cx: &mut Cx<'_>, time: i64) {
        let mut due = Vec::new();
        let mut overdue = std::mem::replace(&mut self.redelivery.overdue, Alarms::new());
        while due.len() < OVERDUE_BATCH
            && let Some(seq) = overdue.pop_due(time, |seq| self.overdue_at(seq))
        {
            due.push(seq);
        }
        self.redelivery.overdue = overdue;
        // A message may have several deadlines, of which only the last counts; those that are due together go in their order in the stream.
        due.sort_unstable();
        due.dedup();
        for seq in due {
            self.again(cx, seq);
        }
    }

    /// When it counts as unused, if nothing happens until then and nobody waits.
    fn unused_at(&self) -> Option<i64> {
        let threshold = self.config.inactive_threshold_ns;
        if threshold <= 0 {
            return None;
        }
        if self.rules.push {
            return (!self.push.active).then(|| self.push.inactive_since.saturating_add(threshold));
        }
        let unacked = if self.unacked() > 0 { self.longest_wait_ns() } else { 0 };
        Some(self.last_used.saturating_add(threshold).saturating_add(unacked).saturating_add(self.jitter_ns))
    }

    /// Whether it delivers nothing for now.
    pub(super) fn is_paused(&self, now: Now) -> bool {
        self.resume_at.is_some() && self.config.pause_until.is_some_and(|until| until > now.wall)
    }

    fn resume(&mut self, cx: &mut Cx<'_>, time: i64) {
        let until = self.config.pause_until;
        match until.filter(|until| *until > cx.now.wall) {
            // The wall clock went back.
            Some(until) => self.resume_at = Some(time.saturating_add(until.0 - cx.now.wall.0)),
            None => {
                self.resume_at = None;
                cx.out.advise(&self.identity.name, Event::Pause { paused: false, until });
            }
        }
    }
}
