//! What time brings: ages, batches, schedules, consumers, tidying up.

use midge_assets::stream::Cx;
use midge_broker::batch::Batch;
use midge_stdx::clock::{Mono, Now, Wall};
use midge_store::stream::{Change, Step};

use super::publish::Allowance;
use super::{Host, Life};
use crate::limits::{CACHE_KEPT, RETRY_EVERY, TIDY_EVERY};

impl Host {
    /// Something happened: it is tidied up after a while.
    #[inline]
    pub(super) fn touch(&mut self, now: Now) {
        // What was stored may be due before anything else.
        self.expire_at = now.mono;
        if self.tidy_at == Mono::NEVER {
            self.tidy_at = now.mono + TIDY_EVERY;
        }
    }

    /// Another turn is wanted soon, whatever arrives.
    pub(super) fn come_back(&mut self) {
        self.again = true;
    }

    /// Does what is due.
    pub(super) fn expire(&mut self, batch: &mut Batch, now: Now) {
        if self.life.is_ending() {
            return;
        }
        self.look_for_space(now);
        self.expire_consumers(batch, now);
        self.expire_stream(batch, now);
        if now.mono >= self.follow.deadline() && matches!(self.life, Life::Serving) {
            self.tick_links(batch, now);
        }
        self.tick_snapshots(batch, now);
        self.tick_restore(batch, now);
        self.removed(batch, now);
        if now.mono >= self.tidy_at {
            self.tidy(batch, now);
        }
    }

    /// Ages, batches, markers, schedules.
    fn expire_stream(&mut self, batch: &mut Batch, now: Now) {
        if now.mono < self.expire_at && self.stream.deadline().is_none_or(|at| now.mono < at) {
            return;
        }
        // What is to be published is tried again later; what goes makes room.
        let full = self.has_no_space(now);
        let (storage, untold) = (self.config.storage, self.untold());
        let admit = Allowance { js: &self.js, account: &self.account, storage, untold, full };
        let mut cx = Cx {
            now,
            entropy: &mut self.entropy,
            interest: &self.consumers,
            admit: &admit,
            limits: &self.limits,
            outbox: &mut self.outbox,
        };
        self.expire_at = match self.stream.expire(&mut self.store, &mut cx) {
            Step::Ready(Some(at)) => mono_of(at, now),
            Step::Ready(None) => Mono::NEVER,
            // The block brings a turn of its own, and then it is looked at again.
            Step::Wait => Mono::NEVER,
            Step::Failed(_) => now.mono + RETRY_EVERY,
        };
        self.empty_outbox(batch, now);
    }

    /// Consumers and the stream learn of messages that limits, ages or requests took away.
    pub(super) fn removed(&mut self, batch: &mut Batch, now: Now) {
        let mut changes = std::mem::take(&mut self.changes);
        self.store.take_changes(&mut changes);
        if self.consumers.len() > 0 {
            // Who learns of a purge counts what is there, without what single removals of the same turn took: those are told before.
            for change in changes.iter().filter(|change| change.seq > 0) {
                self.tell_of_change(batch, change, now);
            }
            if let Some(purge) = changes.iter().find(|change| change.seq == 0) {
                self.tell_of_change(batch, purge, now);
            }
        }
        changes.clear();
        self.changes = changes;
    }

    pub(super) fn tell_of_change(&mut self, batch: &mut Batch, change: &Change, now: Now) {
        if change.seq == 0 {
            for id in self.consumers.ids() {
                self.with_consumer(batch, id, now, |consumer, cx| consumer.purged(cx));
            }
            return;
        }
        let matched = self.consumers.take_matched(&change.subject);
        for id in &matched {
            self.with_consumer(batch, *id, now, |consumer, cx| {
                consumer.removed(cx, change.seq, &change.subject);
            });
        }
        self.consumers.give_matched(matched);
    }

    fn tidy(&mut self, batch: &mut Batch, now: Now) {
        self.tidy_at = Mono::NEVER;
        if self.has_no_space(now) {
            // None of this is needed, and all of it would have to be written.
            self.tidy_at = now.mono + TIDY_EVERY;
            self.store.evict(now.mono - CACHE_KEPT);
            return;
        }
        self.store.checkpoint(now.mono);
        self.store.maintain();
        for id in self.consumers.ids() {
            self.with_consumer(batch, id, now, |consumer, cx| consumer.checkpoint(cx));
        }
        self.store.evict(now.mono - CACHE_KEPT);
        if self.store.cached_bytes() > 0 && self.lane.is_some() {
            // What is read now leaves memory the next time.
            self.tidy_at = now.mono + TIDY_EVERY;
        }
    }
}

/// The monotonic time of a wall clock time, as far as the clocks agree now.
fn mono_of(wall: Wall, now: Now) -> Mono {
    let ahead = wall.0.saturating_sub(now.wall.0);
    match u64::try_from(ahead) {
        Ok(ahead) => Mono(now.mono.0.saturating_add(ahead)),
        Err(_) => now.mono,
    }
}
