//! What has become durable is shown: answers go out, messages are published again, consumers learn of new messages.

use midge_broker::batch::Batch;
use midge_broker::routing::Outgoing;
use midge_jsapi::puback::PubAck;
use midge_stdx::clock::Now;
use midge_store::stream::Step;
use midge_sync::atomic::Ordering;

use super::held::{Answer, Entry};
use super::{Host, Life};
use crate::limits::TURN_TOLD;

impl Host {
    /// Whoever asks from now on is told of everything that is durable, and consumers count it; what has left the stream is told before, as none of it is
    /// counted any more.
    pub(super) fn see(&mut self, batch: &mut Batch, now: Now) {
        if self.store.has_changes() {
            self.removed(batch, now);
        }
        let visible = self.stream.visible(self.store.durable());
        if visible > self.visible {
            self.visible = visible;
            self.tasks.blocks_came();
        }
        self.tell();
    }

    /// See the module.
    pub(super) fn show(&mut self, batch: &mut Batch, now: Now) {
        self.see(batch, now);
        let durable = self.store.durable();
        while let Some(entry) = self.held.pop(durable, self.store.done()) {
            self.send_answer(batch, &entry);
        }
        self.held.tidy();
        while self.republished.front().is_some_and(|message| message.seq <= durable)
            && let Some(message) = self.republished.pop_front()
        {
            let message = Outgoing {
                to: &message.subject,
                subject: &message.subject,
                reply: b"",
                header: &message.headers,
                payload: &message.payload,
            };
            self.js.send(batch, &self.account, &message);
        }
        self.run_after(batch, now);
    }

    fn send_answer(&mut self, batch: &mut Batch, entry: &Entry) {
        let text = match entry.answer {
            Answer::Text => self.held.text(entry),
            Answer::Empty => b"",
            Answer::Stored | Answer::Duplicate => {
                self.text.clear();
                let (stream, domain) = (&*self.handle.name, &*self.js.settings.domain);
                let ack = PubAck { stream, domain, seq: entry.seq };
                match entry.answer {
                    Answer::Duplicate => ack.duplicate(&mut self.text),
                    _ => ack.stored(&mut self.text),
                }
                &self.text
            }
        };
        let to = self.held.reply(entry);
        let message = Outgoing { to, subject: to, reply: b"", header: b"", payload: text };
        self.js.send(batch, &self.account, &message);
    }

    /// Consumers learn of the messages that can be seen since they were told the last time.
    fn tell(&mut self) {
        if self.consumers.len() == 0 {
            self.told = self.visible;
            return;
        }
        let mut budget = TURN_TOLD;
        while self.told < self.visible && budget > 0 {
            budget -= 1;
            let seq = self.told + 1;
            match self.store.subject_of(seq) {
                Step::Ready(message) => self.tell_consumers(seq, message.subject()),
                Step::Wait => return,
                // Skipped, or gone again already.
                Step::Failed(_) => {}
            }
            self.told = seq;
        }
        if self.told < self.visible {
            self.come_back();
        }
    }

    /// What everybody may read is brought up to date, and what is in use counted.
    pub(super) fn report(&mut self) {
        // What is being deleted counts for nothing any more.
        if matches!(self.life, Life::Deleting { .. }) {
            return;
        }
        let state = *self.store.state();
        let vitals = &self.handle.vitals;
        vitals.messages.store(state.messages, Ordering::Relaxed);
        vitals.bytes.store(state.bytes, Ordering::Relaxed);
        vitals.first_seq.store(state.first_seq, Ordering::Relaxed);
        vitals.last_seq.store(self.visible.min(state.last_seq), Ordering::Relaxed);
        vitals.consumers.store(self.consumers.shown() as u64, Ordering::Relaxed);
        let used = i64::try_from(state.bytes).unwrap_or(i64::MAX);
        if used != self.used {
            let more = used - self.used;
            self.used = used;
            self.account.usage.add(self.config.storage, more);
            self.js.usage.add(self.config.storage, more);
        }
    }
}
