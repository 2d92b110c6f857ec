//! One message to be stored.

use midge_assets::stream::publish::{AbandonReason, Admission, Answer as BatchAnswer};
use midge_assets::stream::{Cx, Incoming, Origin, Verdict};
use midge_broker::batch::Batch;
use midge_jsapi::advisories::{self, BatchAbandoned};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::puback::{self, PubAck};
use midge_jsapi::stream_config::Storage;
use midge_stdx::clock::Now;
use midge_store::stream::Step;
use midge_sync::atomic::Ordering;

use super::held::{Answer, New, Until};
use super::{Host, Life, Parts};
use crate::account::{JsAccount, Usage};
use crate::system::JetStream;

/// What account and server have left for one stream.
pub(super) struct Allowance<'a> {
    pub(super) js: &'a JetStream,
    pub(super) account: &'a JsAccount,
    pub(super) storage: Storage,
    /// Bytes that the stream has taken and account and server were not told of.
    pub(super) untold: i64,
    /// The disk has no space for messages.
    pub(super) full: bool,
}

impl Allowance<'_> {
    fn used(&self, of: &Usage) -> i64 {
        of.of(self.storage).saturating_add(self.untold)
    }
}

impl Admission for Allowance<'_> {
    fn server_full(&self) -> bool {
        let max = match self.storage {
            Storage::Memory => self.js.settings.max_memory,
            Storage::File => self.js.settings.max_file,
        };
        self.full || self.used(&self.js.usage) > max
    }

    fn admit(&self, bytes: u64) -> Result<(), ApiError> {
        let limits = &self.account.limits;
        let max = match self.storage {
            Storage::Memory => limits.max_memory,
            Storage::File => limits.max_storage,
        };
        let used = self.used(&self.account.usage);
        let wanted = used.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
        if max >= 0 && wanted > max { Err(errors::ACCOUNT_RESOURCES_EXCEEDED.into()) } else { Ok(()) }
    }

    fn atomic_batches(&self) -> usize {
        self.js.atomic_batches.load(Ordering::Relaxed) as usize
    }

    fn fast_batches(&self) -> usize {
        self.js.fast_batches.load(Ordering::Relaxed) as usize
    }
}

impl Host {
    /// What is in use here and was not told yet: that happens once in a turn.
    pub(super) fn untold(&self) -> i64 {
        i64::try_from(self.store.state().bytes).unwrap_or(i64::MAX).saturating_sub(self.used)
    }

    /// Decides about one message. [`Step::Wait`] leaves it for later.
    pub(super) fn publish(&mut self, batch: &mut Batch, parts: &Parts<'_>, now: Now) -> Step<()> {
        self.store_message(batch, parts, Origin::Client, now)
    }

    /// The same for messages of this server's own.
    pub(super) fn store_message(
        &mut self,
        batch: &mut Batch,
        parts: &Parts<'_>,
        origin: Origin,
        now: Now,
    ) -> Step<()> {
        if self.has_no_space(now) {
            self.refuse(parts.reply, &errors::INSUFFICIENT_RESOURCES.into());
            return Step::Ready(());
        }
        self.go_ahead();
        match self.stream.settle(&mut self.store) {
            Step::Wait => return Step::Wait,
            Step::Ready(()) | Step::Failed(_) => {}
        }
        let message = Incoming {
            subject: parts.subject,
            reply: parts.reply,
            headers: parts.header,
            payload: parts.payload,
            origin,
        };
        let (storage, untold) = (self.config.storage, self.untold());
        let admit = Allowance { js: &self.js, account: &self.account, storage, untold, full: false };
        let mut cx = Cx {
            now,
            entropy: &mut self.entropy,
            interest: &self.consumers,
            admit: &admit,
            limits: &self.limits,
            outbox: &mut self.outbox,
        };
        let verdict = match self.stream.publish(&mut self.store, &message, &mut cx) {
            Step::Ready(verdict) => verdict,
            Step::Wait => return Step::Wait,
            Step::Failed(error) => {
                tracing::error!(
                    blame = "disk",
                    "JetStream stream '{} > {}' write error: {error}",
                    self.account.name(),
                    self.handle.name
                );
                self.refuse(parts.reply, &errors::STREAM_STORE_FAILED.because(&error));
                return Step::Ready(());
            }
        };
        self.touch(now);
        self.count_batches();
        self.answer(parts.reply, verdict);
        self.empty_outbox(batch, now);
        Step::Ready(())
    }

    /// Open batches are bounded for the whole server, too.
    pub(super) fn count_batches(&mut self) {
        if !matches!(self.life, Life::Deleting { .. }) {
            self.tell_batches(self.stream.open_batches());
        }
    }

    /// No batch of this stream goes on.
    pub(super) fn end_batches(&mut self) {
        self.tell_batches((0, 0));
    }

    fn tell_batches(&mut self, (atomic, fast): (usize, usize)) {
        let (atomic_before, fast_before) = std::mem::replace(&mut self.open_batches, (atomic, fast));
        for (all, now, before) in
            [(&self.js.atomic_batches, atomic, atomic_before), (&self.js.fast_batches, fast, fast_before)]
        {
            match now.checked_sub(before) {
                Some(more) => all.fetch_add(more as u64, Ordering::Relaxed),
                None => all.fetch_sub((before - now) as u64, Ordering::Relaxed),
            };
        }
    }

    /// Answers once everything that was decided so far is durable, so that answers keep their order and tell nothing that may yet be lost.
    fn refuse(&mut self, reply: &[u8], error: &ApiError) {
        if reply.is_empty() || self.config.no_ack {
            return;
        }
        self.text.clear();
        puback::refused(error, &self.handle.name, &mut self.text);
        let until = Until::Sequence(self.store.appended());
        self.held.push(&New { until, answer: Answer::Text, seq: 0, reply, text: &self.text });
    }

    /// Answers at once: nothing before it will become durable.
    pub(super) fn refuse_now(&mut self, batch: &mut Batch, reply: &[u8], error: &ApiError) {
        if !reply.is_empty() && !self.config.no_ack {
            let mut text = Vec::new();
            puback::refused(error, &self.handle.name, &mut text);
            self.send_body(batch, reply, &text);
        }
    }

    fn answer(&mut self, reply: &[u8], verdict: Verdict) {
        if reply.is_empty() || self.config.no_ack {
            return;
        }
        let seq = verdict.seq();
        let (stream, domain) = (&*self.handle.name, &*self.js.settings.domain);
        self.text.clear();
        let answer = match verdict {
            Verdict::Stored { .. } | Verdict::Skipped { .. } => Answer::Stored,
            Verdict::Duplicate { .. } => Answer::Duplicate,
            Verdict::Staged => Answer::Empty,
            Verdict::Handled => return,
            Verdict::Refused(error) => return self.refuse(reply, &error),
            Verdict::Counted { seq, value } => {
                PubAck { stream, domain, seq }.counted(&value, &mut self.text);
                Answer::Text
            }
            Verdict::Committed { seq, batch, count } => {
                PubAck { stream, domain, seq }.batch(&batch, count, &mut self.text);
                Answer::Text
            }
        };
        // A duplicate of a message that is not durable yet waits for it; so does whatever came after.
        let until = Until::Sequence(if seq == 0 { self.visible } else { seq });
        self.held.push(&New { until, answer, seq, reply, text: &self.text });
    }

    /// Sends, or holds, what a decision had to say besides its answer.
    pub(super) fn empty_outbox(&mut self, batch: &mut Batch, now: Now) {
        if self.outbox.replies.is_empty()
            && self.outbox.abandoned.is_empty()
            && self.outbox.republished.is_empty()
        {
            return;
        }
        self.republished.extend(self.outbox.republished.drain(..));
        for reply in std::mem::take(&mut self.outbox.replies) {
            self.text.clear();
            let (stream, domain) = (&*self.handle.name, &*self.js.settings.domain);
            match &reply.body {
                BatchAnswer::Flow { batch_seq, interval } => {
                    puback::flow_ack(*batch_seq, *interval, &mut self.text);
                }
                BatchAnswer::Gap { expected, got } => puback::flow_gap(*expected, *got, &mut self.text),
                BatchAnswer::Error { batch_seq, error } => {
                    puback::flow_refused(*batch_seq, error, &mut self.text);
                }
                BatchAnswer::Committed { seq, batch, count, duplicate: false } => {
                    PubAck { stream, domain, seq: *seq }.batch(batch, *count, &mut self.text);
                }
                BatchAnswer::Committed { seq, batch, count, duplicate: true } => {
                    PubAck { stream, domain, seq: *seq }.duplicate_batch(batch, *count, &mut self.text);
                }
                BatchAnswer::Refused(error) => puback::refused(error, stream, &mut self.text),
            }
            let until = Until::Sequence(reply.after_seq);
            let (subject, text) = (&reply.subject, &self.text);
            self.held.push(&New { until, answer: Answer::Text, seq: 0, reply: subject, text });
        }
        for abandoned in std::mem::take(&mut self.outbox.abandoned) {
            let reason = match abandoned.reason {
                AbandonReason::Timeout => advisories::AbandonReason::Timeout,
                AbandonReason::Large => advisories::AbandonReason::Large,
                AbandonReason::Incomplete => advisories::AbandonReason::Incomplete,
                AbandonReason::Unsupported => advisories::AbandonReason::Unsupported,
            };
            let handle = self.handle.clone();
            let event = BatchAbandoned { account: "", stream: &handle.name, batch: &abandoned.batch, reason };
            self.advise(batch, &event, now);
        }
    }
}
