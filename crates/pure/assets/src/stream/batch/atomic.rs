//! Batches that are stored whole or not at all.
//!
//! Members are staged in memory until the last one comes. Then every rule is checked for all of them, in order, each against the stream as the members before it
//! would leave it; one that fails takes the batch down. Otherwise all are appended without anything in between, at consecutive sequences, and handed to the
//! disk together. Until the last of them is durable none is visible (see [`Stream::visible`](crate::stream::Stream::visible)), so that what
//! [`heal`](super::heal) takes back after a crash was seen by nobody.

use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::headers as names;
use midge_jsapi::levels;
use midge_stdx::clock::{Mono, Now};
use midge_stdx::hash::Map;
use midge_store::stream::{Step, Store};

use super::{MAX_ID_LEN, Overlay};
use crate::stream::headers::{Headers, number, rewrite};
use crate::stream::ingest::{Member, Refusal};
use crate::stream::publish::{AbandonReason, Abandoned, Cx, Incoming, Verdict};
use crate::stream::{Stream, refuse};

/// A batch that is not complete.
#[derive(Debug, Default)]
struct Batch {
    /// Subjects, headers and payloads of all members, one behind the other.
    bytes: Vec<u8>,
    members: Vec<Lengths>,
    deadline: Mono,
}

#[derive(Clone, Copy, Debug)]
struct Lengths {
    subject: usize,
    headers: usize,
    payload: usize,
}

impl Batch {
    fn push(&mut self, subject: &[u8], headers: &[u8], payload: &[u8]) {
        for part in [subject, headers, payload] {
            self.bytes.extend_from_slice(part);
        }
        let (subject, headers, payload) = (subject.len(), headers.len(), payload.len());
        self.members.push(Lengths { subject, headers, payload });
    }

    fn members(&self) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
        let mut rest = &self.bytes[..];
        self.members.iter().filter_map(move |lengths| {
            let (subject, after) = rest.split_at_checked(lengths.subject)?;
            let (headers, after) = after.split_at_checked(lengths.headers)?;
            let (payload, after) = after.split_at_checked(lengths.payload)?;
            rest = after;
            Some((subject, headers, payload))
        })
    }
}

/// The open batches of a stream.
#[derive(Debug, Default)]
pub struct Atomic {
    open: Map<Box<[u8]>, Batch>,
    staged_bytes: usize,
}

/// How a member ends its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commit {
    No,
    /// It is the last member.
    With,
    /// The one before was the last.
    Before,
}

impl Atomic {
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

    /// Gives up those to which nothing came for too long, in the order of their names.
    pub fn expire(&mut self, now: Now, abandoned: &mut Vec<Abandoned>) {
        let mut late: Vec<Box<[u8]>> = Vec::new();
        for (id, batch) in &self.open {
            if batch.deadline <= now.mono {
                late.push(id.clone());
            }
        }
        late.sort_unstable();
        for id in late {
            self.drop_batch(&id);
            abandoned.push(Abandoned { batch: text(&id), reason: AbandonReason::Timeout });
        }
    }

    /// Drops all, without a word.
    pub fn clear(&mut self) {
        self.open.clear();
        self.staged_bytes = 0;
    }

    fn take(&mut self, id: &[u8]) -> Option<Batch> {
        let batch = self.open.remove(id)?;
        self.staged_bytes -= batch.bytes.len();
        Some(batch)
    }

    fn put(&mut self, id: &[u8], batch: Batch) {
        self.staged_bytes += batch.bytes.len();
        self.open.insert(id.into(), batch);
    }

    fn drop_batch(&mut self, id: &[u8]) {
        let _ = self.take(id);
    }

    fn members(&self, id: &[u8]) -> Option<u64> {
        self.open.get(id).map(|batch| batch.members.len() as u64)
    }
}

fn text(id: &[u8]) -> Box<str> {
    String::from_utf8_lossy(id).into()
}

impl Stream {
    /// A member of an atomic batch. Its subject is the transformed one.
    pub(in crate::stream) fn atomic_member(
        &mut self,
        store: &mut Store,
        member: &Incoming<'_>,
        headers: &Headers<'_>,
        cx: &mut Cx<'_>,
    ) -> Step<Verdict> {
        let id = headers.batch_id.unwrap_or_default();
        let seq = match self.atomic_place(id, headers, cx) {
            Ok(seq) => seq,
            Err(error) => return Step::Ready(Verdict::Refused(error)),
        };
        let commit = match headers.batch_commit {
            None => Commit::No,
            Some(b"1") => Commit::With,
            Some(b"eob") if seq > 1 => Commit::Before,
            Some(b"eob") => {
                self.abandon(id, AbandonReason::Incomplete, cx);
                return Step::Ready(Verdict::Refused(errors::ATOMIC_PUBLISH_INCOMPLETE_BATCH.into()));
            }
            Some(_) => {
                self.atomic.drop_batch(id);
                return Step::Ready(Verdict::Refused(errors::ATOMIC_PUBLISH_INVALID_BATCH_COMMIT.into()));
            }
        };
        let max = cx.limits.batch.max_msgs;
        if seq - u64::from(commit == Commit::Before) > max {
            self.abandon(id, AbandonReason::Large, cx);
            return Step::Ready(Verdict::Refused(refuse::batch_too_large(max)));
        }
        let mut own = Vec::new();
        let block = if headers.required_level.is_some() {
            rewrite(member.headers, |name| name == names::REQUIRED_API_LEVEL, &[], &mut own);
            &own[..]
        } else {
            member.headers
        };
        let mut batch = self.atomic.take(id).unwrap_or_default();
        if commit == Commit::No {
            batch.push(member.subject, block, member.payload);
            batch.deadline = cx.now.mono + std::time::Duration::from_nanos(cx.limits.batch.idle_ns);
            self.atomic.put(id, batch);
            if self.atomic.staged_bytes > cx.limits.batch.max_staged_bytes {
                self.abandon(id, AbandonReason::Large, cx);
                return Step::Ready(Verdict::Refused(errors::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT.into()));
            }
            return Step::Ready(Verdict::Staged);
        }
        let with = (commit == Commit::With).then_some((member.subject, block, member.payload));
        let step = self.commit(store, &batch, with, cx);
        match step {
            // Nothing has changed: the same member comes again.
            Step::Wait => {
                if seq > 1 {
                    self.atomic.put(id, batch);
                }
                Step::Wait
            }
            Step::Failed(error) => Step::Ready(Verdict::Refused(refuse::store(&error))),
            Step::Ready(Err(error)) => Step::Ready(Verdict::Refused(error)),
            Step::Ready(Ok((seq, count))) => Step::Ready(Verdict::Committed { seq, batch: text(id), count }),
        }
    }

    /// The place of a member in its batch, after whatever can be wrong with that.
    fn atomic_place(&mut self, id: &[u8], headers: &Headers<'_>, cx: &mut Cx<'_>) -> Result<u64, ApiError> {
        if !self.config.allow_atomic {
            return Err(errors::ATOMIC_PUBLISH_DISABLED.into());
        }
        if id.len() > MAX_ID_LEN {
            return Err(errors::ATOMIC_PUBLISH_INVALID_BATCH_ID.into());
        }
        let Some(seq) = headers.batch_seq.and_then(number) else {
            return Err(errors::ATOMIC_PUBLISH_MISSING_SEQ.into());
        };
        let max = cx.limits.batch.max_msgs;
        let members = self.atomic.members(id);
        if let Some(level) = headers.required_level
            && !levels::is_served(level)
        {
            self.abandon(id, AbandonReason::Unsupported, cx);
            return Err(errors::REQUIRED_API_LEVEL.into());
        }
        match members {
            None if seq != 1 && seq > max => Err(refuse::batch_too_large(max)),
            None if seq != 1 => Err(errors::ATOMIC_PUBLISH_INCOMPLETE_BATCH.into()),
            None if self.atomic.len() >= cx.limits.batch.atomic_per_stream
                || cx.admit.atomic_batches() >= cx.limits.batch.atomic_per_server =>
            {
                Err(errors::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT.into())
            }
            Some(members) if seq != members + 1 => {
                self.abandon(id, AbandonReason::Incomplete, cx);
                Err(errors::ATOMIC_PUBLISH_INCOMPLETE_BATCH.into())
            }
            _ => Ok(seq),
        }
    }

    fn abandon(&mut self, id: &[u8], reason: AbandonReason, cx: &mut Cx<'_>) {
        self.atomic.drop_batch(id);
        cx.outbox.abandoned.push(Abandoned { batch: text(id), reason });
    }

    /// Checks all members, and stores them; answers the last sequence and how many they are. Changes nothing before every check has passed.
    fn commit(
        &mut self,
        store: &mut Store,
        batch: &Batch,
        with: Option<(&[u8], &[u8], &[u8])>,
        cx: &mut Cx<'_>,
    ) -> Step<Result<(u64, u64), ApiError>> {
        let members: Vec<(&[u8], &[u8], &[u8])> = batch.members().chain(with).collect();
        let mut overlay = Overlay::default();
        let mut checked = Vec::with_capacity(members.len());
        let last = members.len().wrapping_sub(1);
        let read: Vec<Headers<'_>> = members.iter().map(|(_, block, _)| Headers::read(block)).collect();
        for (at, ((subject, block, payload), headers)) in members.iter().zip(&read).enumerate() {
            if headers.expected_last_id.is_some() {
                return Step::Ready(Err(refuse::batch_header("Nats-Expected-Last-Msg-Id")));
            }
            let mut member = Member::new(subject, block, headers, payload);
            // Without its last message, the batch ends with the one before.
            member.commits = with.is_none() && at == last;
            let plan = match ready!(self.check(store, &member, cx, Some(&overlay))) {
                Ok(plan) => plan,
                Err(Refusal::Error(error)) => return Step::Ready(Err(error)),
                Err(Refusal::Duplicate(_)) => {
                    return Step::Ready(Err(errors::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE.into()));
                }
            };
            let replaces = match self.fits(store, &member, &plan, &overlay) {
                Ok(replaces) => replaces,
                Err(error) => return Step::Ready(Err(error)),
            };
            overlay.add(subject, plan.counted, replaces, plan.print, plan.total_value());
            checked.push((member, plan));
        }
        let first = store.appended() + 1;
        let count = checked.len() as u64;
        for (member, plan) in checked {
            if let Err(error) = self.store_member(store, &member, plan, cx, true) {
                // The disk failed, and takes nothing any more: what was appended stays hidden, and is taken back when the stream is opened again.
                self.unsettled.push_back((first, u64::MAX));
                return Step::Ready(Err(error));
            }
        }
        let seq = store.appended();
        self.unsettled.push_back((first, seq));
        Step::Ready(Ok((seq, count)))
    }
}
