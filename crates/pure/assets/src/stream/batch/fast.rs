//! Batches that are stored as they come.
//!
//! The place of a member stands in the reply subject: `<prefix>.<batch>.<flow>.<gap>.<seq>.<op>.$FI`. One answer stands for many members; how many is agreed
//! on with each answer: it doubles as long as the publisher wants more and few others publish, and halves otherwise.

use bytes::Bytes;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::levels;
use midge_jsapi::subjects::{BatchOp, BatchReply, GapRule};
use midge_stdx::clock::{Mono, Now};
use midge_stdx::hash::Map;
use midge_store::stream::{Step, Store};

use super::MAX_ID_LEN;
use crate::stream::Stream;
use crate::stream::headers::Headers;
use crate::stream::publish::{AbandonReason, Abandoned, Answer, Cx, Incoming, Reply, Verdict};

/// Messages between two answers at most, over all batches of a stream.
const SHARED_FLOW: u64 = 500;

/// A batch that is not complete.
#[derive(Debug)]
struct Batch {
    /// The last place that came, which is what the batch counts as its messages: gaps that the publisher accepts are among them.
    last: u64,
    /// The sequence in the stream of the last one that was stored.
    stream_seq: u64,
    /// The last message had been stored before.
    duplicate: bool,
    interval: u64,
    /// The place that was answered last.
    answered: u64,
    deadline: Mono,
}

/// The open batches of a stream.
#[derive(Debug, Default)]
pub struct Fast {
    open: Map<Box<[u8]>, Batch>,
}

impl Fast {
    /// Open batches.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the next one may have to be given up.
    pub fn deadline(&self) -> Option<Mono> {
        self.open.values().map(|batch| batch.deadline).min()
    }

    /// Gives up those to which nothing came for too long, in the order of their names. What they stored stays.
    pub fn expire(&mut self, now: Now, abandoned: &mut Vec<Abandoned>) {
        let mut late: Vec<Box<[u8]>> = Vec::new();
        self.open.retain(|id, batch| {
            let keep = batch.deadline > now.mono;
            if !keep {
                late.push(id.clone());
            }
            keep
        });
        late.sort_unstable();
        abandoned.extend(late.iter().map(|id| Abandoned {
            batch: String::from_utf8_lossy(id).into(),
            reason: AbandonReason::Timeout,
        }));
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}

/// A missing member does not end the batch.
fn passes(place: BatchReply<'_>) -> bool {
    place.gap == GapRule::Pass
}

fn reply(to: &[u8], after_seq: u64, body: Answer, cx: &mut Cx<'_>) {
    if !to.is_empty() {
        cx.outbox.replies.push(Reply { after_seq, subject: Bytes::copy_from_slice(to), body });
    }
}

impl Stream {
    /// A member of a fast batch. Its subject is the transformed one.
    pub(in crate::stream) fn fast_member(
        &mut self,
        store: &mut Store,
        member: &Incoming<'_>,
        headers: &Headers<'_>,
        cx: &mut Cx<'_>,
    ) -> Step<Verdict> {
        let refused = |error| Step::Ready(Verdict::Refused(error));
        if !self.config.allow_batched {
            return refused(errors::BATCH_PUBLISH_DISABLED.into());
        }
        let Some(place) = BatchReply::parse(member.reply) else {
            return refused(errors::BATCH_PUBLISH_INVALID_PATTERN.into());
        };
        if place.id.len() > MAX_ID_LEN {
            return refused(errors::BATCH_PUBLISH_INVALID_BATCH_ID.into());
        }
        let known = self.fast.open.contains_key(place.id);
        if let Some(level) = headers.required_level
            && !levels::is_served(level)
        {
            self.fast.open.remove(place.id);
            return refused(errors::REQUIRED_API_LEVEL.into());
        }
        let starts = place.op == BatchOp::Start || (place.op == BatchOp::Commit && place.seq == 1);
        if !known && !starts {
            return refused(errors::BATCH_PUBLISH_UNKNOWN_BATCH_ID.into());
        }
        if !known
            && (self.fast.len() >= cx.limits.batch.fast_per_stream
                || cx.admit.fast_batches() >= cx.limits.batch.fast_per_server)
        {
            return refused(errors::BATCH_PUBLISH_TOO_MANY_INFLIGHT.into());
        }
        let step = self.fast_known(store, member, headers, place, cx);
        if let Some(batch) = self.fast.open.get_mut(place.id) {
            batch.deadline = cx.now.mono + std::time::Duration::from_nanos(cx.limits.batch.idle_ns);
        }
        step
    }

    fn fast_known(
        &mut self,
        store: &mut Store,
        member: &Incoming<'_>,
        headers: &Headers<'_>,
        place: BatchReply<'_>,
        cx: &mut Cx<'_>,
    ) -> Step<Verdict> {
        let known = self.fast.open.contains_key(place.id);
        let last = self.fast.open.get(place.id).map_or(0, |batch| batch.last);
        let ping = place.op == BatchOp::Ping;
        let expected = last + u64::from(!ping || place.seq > last);
        let gap = if ping { place.seq > last } else { place.seq != expected };
        let backward = !ping && place.seq < expected;
        if known && gap && (backward || !passes(place)) {
            self.fast_gap(place, expected, member.reply, cx);
            self.fast_commit(place.id, member.reply, cx);
            return Step::Ready(Verdict::Handled);
        }
        if ping {
            if gap {
                self.fast_gap(place, expected, member.reply, cx);
                if let Some(batch) = self.fast.open.get_mut(place.id) {
                    batch.last = place.seq;
                    if batch.last - batch.answered >= batch.interval {
                        batch.answered = batch.last;
                    }
                }
            }
            self.fast_answer(place, member.reply, true, cx);
            return Step::Ready(Verdict::Handled);
        }
        if place.op == BatchOp::End {
            if known && gap {
                self.fast_gap(place, expected, member.reply, cx);
            }
            if let Some(batch) = self.fast.open.get_mut(place.id) {
                batch.last = place.seq - 1;
            }
            self.fast_commit(place.id, member.reply, cx);
            return Step::Ready(Verdict::Handled);
        }
        let verdict = ready!(self.single(store, member, headers, cx));
        if known && gap {
            self.fast_gap(place, expected, member.reply, cx);
        }
        self.fast_stored(member, place, known, verdict, cx);
        Step::Ready(Verdict::Handled)
    }

    /// Goes on after a message was stored or refused.
    fn fast_stored(
        &mut self,
        member: &Incoming<'_>,
        place: BatchReply<'_>,
        known: bool,
        verdict: Verdict,
        cx: &mut Cx<'_>,
    ) {
        let alone = self.fast.is_empty();
        let interval = if alone { place.flow.min(SHARED_FLOW) } else { 1 };
        if !known && place.op != BatchOp::Commit {
            reply(member.reply, 0, Answer::Flow { batch_seq: 0, interval }, cx);
        }
        if let (Verdict::Refused(error), false, false) = (&verdict, known, passes(place)) {
            reply(member.reply, 0, Answer::Refused(error.clone()), cx);
            return;
        }
        if !known {
            let fresh = Batch {
                last: 0,
                stream_seq: 0,
                duplicate: false,
                interval,
                answered: 0,
                deadline: Mono::NEVER,
            };
            self.fast.open.insert(place.id.into(), fresh);
        }
        let Some(batch) = self.fast.open.get_mut(place.id) else { return };
        let ends = !passes(place) || place.op == BatchOp::Commit;
        let mut refused: Option<ApiError> = None;
        match verdict {
            Verdict::Refused(error) => refused = Some(error),
            other => {
                batch.duplicate = matches!(other, Verdict::Duplicate { .. });
                batch.stream_seq = batch.stream_seq.max(other.seq());
            }
        }
        batch.last = place.seq - u64::from(refused.is_some() && ends);
        if let Some(error) = refused {
            reply(member.reply, 0, Answer::Error { batch_seq: place.seq, error }, cx);
            if ends {
                self.fast_commit(place.id, member.reply, cx);
            }
        } else if place.op == BatchOp::Commit {
            self.fast_commit(place.id, member.reply, cx);
        } else {
            self.fast_answer(place, member.reply, false, cx);
        }
    }

    fn fast_gap(&mut self, place: BatchReply<'_>, expected: u64, to: &[u8], cx: &mut Cx<'_>) {
        let got = place.seq + u64::from(place.op == BatchOp::Ping);
        reply(to, 0, Answer::Gap { expected, got }, cx);
    }

    /// Answers if it is time to, or in any case.
    fn fast_answer(&mut self, place: BatchReply<'_>, to: &[u8], always: bool, cx: &mut Cx<'_>) {
        let shared = SHARED_FLOW / (self.fast.len() as u64).max(1);
        let Some(batch) = self.fast.open.get_mut(place.id) else { return };
        if !always && batch.last - batch.answered < batch.interval {
            return;
        }
        let wanted = shared.min(place.flow).max(1);
        // A ping is answered with what was acknowledged last, which may have got lost, and changes nothing.
        if !always {
            batch.interval = if batch.interval < wanted {
                (batch.interval * 2).min(wanted)
            } else {
                (batch.interval / 2).max(wanted)
            };
            batch.answered = batch.last;
        }
        let (after, body) =
            (batch.stream_seq, Answer::Flow { batch_seq: batch.answered, interval: batch.interval });
        reply(to, after, body, cx);
    }

    /// Ends a batch with what it has.
    fn fast_commit(&mut self, id: &[u8], to: &[u8], cx: &mut Cx<'_>) {
        let Some(batch) = self.fast.open.remove(id) else { return };
        let body = Answer::Committed {
            seq: batch.stream_seq,
            batch: String::from_utf8_lossy(id).into(),
            count: batch.last,
            duplicate: batch.duplicate && batch.last == 1,
        };
        reply(to, batch.stream_seq, body, cx);
    }
}
