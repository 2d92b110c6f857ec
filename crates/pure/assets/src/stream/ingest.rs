//! One message: checked, then stored.

use std::borrow::Cow;

use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::headers as names;
use midge_jsapi::stream_config::{Discard, Retention, Storage};
use midge_jsapi::subjects::BatchReply;
use midge_stdx::gotime;
use midge_store::format::record::{MAX_LEN, message_len};
use midge_store::stream::{Compact, Filter, Medium, NewMessage, PurgeQuery, Step, Store, StoreError};

use super::batch::Overlay;
use super::counter::{self, Total};
use super::decimal::Decimal;
use super::dedupe::Print;
use super::headers::{Headers, rewrite};
use super::publish::{Cx, Incoming, Origin, Verdict};
use super::republish::Copied;
use super::rollup::Rollup;
use super::schedule::rules::{self, Scheduling};
use super::ttl::Ttl;
use super::{Chore, Stream, expect, refuse};

/// Bytes of a header block at most.
const MAX_HEADER_LEN: usize = 65_535;
/// Bytes that a message in memory counts for besides its parts.
const MEMORY_OVERHEAD: u64 = 16;

/// A message whose subject is the final one.
pub(super) struct Member<'m> {
    pub subject: &'m [u8],
    pub block: &'m [u8],
    pub headers: &'m Headers<'m>,
    pub payload: &'m [u8],
    pub origin: Origin,
    /// The last one of an atomic batch that does not say so itself.
    pub commits: bool,
}

impl<'m> Member<'m> {
    pub fn new(
        subject: &'m [u8],
        block: &'m [u8],
        headers: &'m Headers<'m>,
        payload: &'m [u8],
    ) -> Member<'m> {
        Member { subject, block, headers, payload, origin: Origin::Client, commits: false }
    }
}

/// Why a message is not stored.
pub(super) enum Refusal {
    Error(ApiError),
    /// It was, at that sequence.
    Duplicate(u64),
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Refusal {
        Refusal::Error(error)
    }
}

/// How a message is stored.
pub(super) struct Plan<'m> {
    ttl: Ttl,
    rollup: Option<Rollup>,
    pub print: Option<Print>,
    total: Option<Total>,
    scheduling: Scheduling<'m>,
    /// Somebody wants it.
    wanted: bool,
    /// The sequence before it of its subject, where that is needed.
    previous: u64,
    /// Bytes that it counts for.
    pub counted: u64,
}

impl Plan<'_> {
    pub fn total_value(&self) -> Option<&Decimal> {
        self.total.as_ref().map(|total| &total.value)
    }
}

/// Unwraps a result, or ends with what stands in its place.
macro_rules! check {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Step::Ready(Err(Refusal::from(ApiError::from(error)))),
        }
    };
}

impl Stream {
    /// Checks a message and stores it, unless the verdict says otherwise. With [`Step::Wait`] nothing has changed, but for chores that are done.
    ///
    /// A plain message costs no allocation, and what [`Store::append`] costs.
    pub fn publish(&mut self, store: &mut Store, message: &Incoming<'_>, cx: &mut Cx<'_>) -> Step<Verdict> {
        ready!(self.settle(store));
        ready!(self.recall_for(store, message.headers));
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut message = *message;
        let mut headers = Headers::read(message.headers);
        if headers.needs_cleaning() {
            scratch.cleaned.clear();
            rewrite(message.headers, |name| name == names::REQUEST_INFO, &[], &mut scratch.cleaned);
            message.headers = &scratch.cleaned;
            headers = Headers::read(message.headers);
        }
        if let Some(transform) = &self.transform
            && matches!(message.origin, Origin::Client | Origin::Source)
            && transform.applies_to(message.subject)
        {
            scratch.subject.clear();
            transform.rewrite(message.subject, cx.entropy, &mut scratch.subject);
            message.subject = &scratch.subject;
        }
        let max = self.config.max_msg_size;
        let size = message.headers.len() + message.payload.len();
        let too_large = usize::try_from(max).is_ok_and(|max| max > 0 && size > max);
        let step = if message.origin.is_client() && too_large && !self.config.sealed {
            // What is too large is looked at no further.
            Step::Ready(Verdict::Refused(errors::STREAM_MESSAGE_EXCEEDS_MAXIMUM.into()))
        } else if message.origin.is_client() && headers.batch_id.is_some_and(|id| !id.is_empty()) {
            self.atomic_member(store, &message, &headers, cx)
        } else if message.origin.is_client() && BatchReply::is_meant(message.reply) {
            self.fast_member(store, &message, &headers, cx)
        } else {
            self.single(store, &message, &headers, cx)
        };
        // The buffers that were used for storing are the newer ones.
        let used = std::mem::replace(&mut self.scratch, scratch);
        (self.scratch.headers, self.scratch.payload) = (used.headers, used.payload);
        step
    }

    /// A message that is no member of an atomic batch.
    pub(super) fn single(
        &mut self,
        store: &mut Store,
        message: &Incoming<'_>,
        headers: &Headers<'_>,
        cx: &mut Cx<'_>,
    ) -> Step<Verdict> {
        let mut member = Member::new(message.subject, message.headers, headers, message.payload);
        member.origin = message.origin;
        let plan = match self.check(store, &member, cx, None) {
            Step::Wait => return Step::Wait,
            Step::Failed(error) => return Step::Ready(Verdict::Refused(refuse::store(&error))),
            Step::Ready(Err(Refusal::Error(error))) => return Step::Ready(Verdict::Refused(error)),
            Step::Ready(Err(Refusal::Duplicate(seq))) => return Step::Ready(Verdict::Duplicate { seq }),
            Step::Ready(Ok(plan)) => plan,
        };
        let value = plan.total_value().map(|value| value.text().into_boxed_str());
        let wanted = plan.wanted;
        let verdict = match self.store_member(store, &member, plan, cx, false) {
            Err(error) => Verdict::Refused(error),
            Ok(seq) if !wanted => Verdict::Skipped { seq },
            Ok(seq) => match value {
                Some(value) => Verdict::Counted { seq, value },
                None => Verdict::Stored { seq },
            },
        };
        Step::Ready(verdict)
    }

    /// Every rule, in the order in which the first that fails answers.
    pub(super) fn check<'m>(
        &self,
        store: &mut Store,
        member: &Member<'m>,
        cx: &Cx<'_>,
        batch: Option<&Overlay>,
    ) -> Step<Result<Plan<'m>, Refusal>> {
        let Member { subject, block, headers, payload, origin, .. } = *member;
        let config = &self.config;
        let client = origin.is_client();
        let record_len = message_len(subject.len(), block.len(), payload.len());
        if config.storage == Storage::File && record_len > MAX_LEN as u64 {
            check!(Err(refuse::store(&StoreError::TooLarge)));
        }
        if config.sealed {
            check!(Err(errors::STREAM_SEALED));
        }
        let increment = check!(counter::check_increment(headers, payload, config.allow_msg_counter, client));
        if headers.expected_stream.is_some_and(|name| !name.is_empty() && name != config.name.as_bytes()) {
            check!(Err(errors::STREAM_NOT_MATCH));
        }
        let mut ttl = Ttl::parse(headers.ttl);
        let unreadable = batch.is_some() && ttl == Ttl::Invalid;
        if (ttl.is_set() || unreadable) && !config.allow_msg_ttl {
            if client {
                check!(Err(errors::MESSAGE_TTL_DISABLED));
            }
            ttl = Ttl::None;
        }
        check!(ready!(expect::subject_sequence(store, headers, subject, batch)));
        check!(expect::sequence(store, headers, batch));
        let scheduling = check!(ready!(rules::check(config, store, headers, subject, origin, cx.now.wall)));
        if client && headers.stream_source.is_some() {
            check!(Err(errors::MESSAGE_SOURCE_HEADER_NOT_ALLOWED));
        }
        let mut print = None;
        if let Some(id) = headers.msg_id.filter(|id| !id.is_empty() && self.dedupe.is_on()) {
            let own = self.dedupe.print(id);
            if let Some(seq) = self.dedupe.find(own, cx.now.wall.0) {
                return Step::Ready(Err(Refusal::Duplicate(seq)));
            }
            if batch.is_some_and(|batch| batch.has(own)) {
                return Step::Ready(Err(Refusal::Duplicate(0)));
            }
            print = Some(own);
        }
        if headers.expected_last_id.is_some_and(|id| id != self.last_id) {
            check!(Err(refuse::wrong_last_msg_id(&self.last_id)));
        }
        let rollup = check!(self.check_rollup(headers, subject, origin, batch, scheduling.rolls_up()));
        let mut total = None;
        if config.allow_msg_counter {
            let Some(increment) = increment else { check!(Err(errors::MESSAGE_INCREMENT_MISSING)) };
            let staged = batch.and_then(|batch| batch.value_of(subject));
            let sum = check!(ready!(counter::add(store, subject, block, payload, &increment, staged)));
            total = Some(sum);
        }
        let size = (block.len() + payload.len()) as u64;
        let max = u64::try_from(config.max_msg_size).unwrap_or(u64::MAX);
        if (config.max_msg_size > 0 && size > max)
            || total.as_ref().is_some_and(|total| too_long(total, block, max, cx.limits.max_payload))
        {
            check!(Err(errors::STREAM_MESSAGE_EXCEEDS_MAXIMUM));
        }
        if block.len() > MAX_HEADER_LEN {
            check!(Err(errors::STREAM_HEADER_EXCEEDS_MAXIMUM));
        }
        if cx.admit.server_full() {
            check!(Err(errors::INSUFFICIENT_RESOURCES));
        }
        let wanted = config.retention != Retention::Interest || cx.interest.wants(subject);
        let counted = counted(store, subject, block, payload);
        if wanted {
            check!(cx.admit.admit(counted + batch.map_or(0, Overlay::bytes)));
            if ttl == Ttl::Invalid {
                check!(Err(errors::MESSAGE_TTL_INVALID));
            }
        }
        let previous = if self.republish.is_some() { ready!(expect::last_of(store, subject)) } else { 0 };
        let ttl = self.raised(ttl);
        Step::Ready(Ok(Plan { ttl, rollup, print, total, scheduling, wanted, previous, counted }))
    }

    /// `Nats-Rollup`.
    fn check_rollup(
        &self,
        headers: &Headers<'_>,
        subject: &[u8],
        origin: Origin,
        batch: Option<&Overlay>,
        scheduled: bool,
    ) -> Result<Option<Rollup>, ApiError> {
        let Some(value) = headers.rollup.filter(|value| !value.is_empty()) else {
            return Ok(scheduled.then_some(Rollup::Subject));
        };
        let permitted = self.config.allow_rollup_hdrs && !self.config.deny_purge;
        if !permitted {
            return if origin == Origin::Source {
                Ok(None)
            } else {
                Err(errors::STREAM_ROLLUP_FAILED.because("rollup not permitted"))
            };
        }
        let rollup = Rollup::parse(value).map_err(|()| {
            let text = midge_stdx::goquote::quote(&value.to_ascii_lowercase());
            errors::STREAM_ROLLUP_FAILED.because(format!("rollup value invalid: {text}"))
        })?;
        if let Some(batch) = batch {
            if rollup == Rollup::Subject && batch.wrote(subject) {
                return Err(errors::STREAM_ROLLUP_FAILED.because("batch rollup sub invalid"));
            }
            if rollup == Rollup::All && batch.messages() > 0 {
                return Err(errors::STREAM_ROLLUP_FAILED.because("batch rollup all invalid"));
            }
        }
        Ok(Some(rollup))
    }

    /// A lifetime that is not shorter than that of a marker.
    fn raised(&self, ttl: Ttl) -> Ttl {
        let marker_ns = self.config.subject_delete_marker_ttl_ns;
        match ttl {
            Ttl::Seconds(seconds) if marker_ns > 0 && self.config.max_msgs_per_subject != 1 => {
                Ttl::Seconds(seconds.max(marker_ns.unsigned_abs() / 1_000_000_000))
            }
            other => other,
        }
    }

    /// What a store would refuse a member of an atomic batch for: nothing may be refused when the first was stored.
    pub(super) fn fits(
        &self,
        store: &Store,
        member: &Member<'_>,
        plan: &Plan<'_>,
        batch: &Overlay,
    ) -> Result<bool, ApiError> {
        let config = &self.config;
        if member.subject.len() > midge_store::format::record::MAX_SUBJECT_LEN {
            return Err(refuse::store(&StoreError::Unstorable));
        }
        if message_len(member.subject.len(), member.block.len() + 64, member.payload.len()) > MAX_LEN as u64 {
            return Err(refuse::store(&StoreError::TooLarge));
        }
        let mut replaced = None;
        if let Ok(most @ 1..) = u64::try_from(config.max_msgs_per_subject) {
            let (mut total, mut last_len) = (0, 0);
            store.matching_subjects(&Filter::one(member.subject), |_, state| {
                (total, last_len) = (state.total(), state.last_len);
            });
            if total + batch.messages_of(member.subject) >= most {
                replaced = Some(if total == 1 { u64::from(last_len) } else { 0 });
            }
        }
        if config.discard == Discard::Old {
            return Ok(replaced.is_some());
        }
        if replaced.is_some() && config.discard_new_per_subject && member.headers.rollup.is_none() {
            return Err(refuse::store(&StoreError::MaxMsgsPerSubject));
        }
        let state = store.state();
        if let Ok(most @ 1..) = u64::try_from(config.max_msgs)
            && state.messages + batch.added() >= most
            && replaced.is_none()
        {
            return Err(refuse::store(&StoreError::MaxMsgs));
        }
        if let Ok(most @ 1..) = u64::try_from(config.max_bytes)
            && state.bytes + batch.bytes() + plan.counted > most
            && replaced.is_none_or(|replaced| replaced < plan.counted)
        {
            return Err(refuse::store(&StoreError::MaxBytes));
        }
        Ok(replaced.is_some())
    }

    /// Stores a message that was checked; answers its sequence. Members of an atomic batch are stored even if nobody wants them, and removed afterwards.
    pub(super) fn store_member(
        &mut self,
        store: &mut Store,
        member: &Member<'_>,
        plan: Plan<'_>,
        cx: &mut Cx<'_>,
        batched: bool,
    ) -> Result<u64, ApiError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let headers = self.final_headers(member, &plan, &mut scratch.headers);
        let payload = match &plan.total {
            Some(total) => {
                scratch.payload.clear();
                total.payload(&mut scratch.payload);
                &scratch.payload[..]
            }
            None => member.payload,
        };
        let result = if plan.wanted || batched {
            let message = NewMessage {
                subject: member.subject,
                headers: &headers,
                payload,
                ttl_s: plan.ttl.seconds(),
                scheduled: plan.scheduling.is_schedule(),
            };
            store.append_at(0, cx.now.wall.0, cx.now.mono, &message, !batched)
        } else {
            store.skip(0, cx.now, true)
        };
        let stored = match result {
            Ok(seq) => {
                if plan.wanted
                    && let Some(republish) = &self.republish
                {
                    let copied = Copied {
                        stream: self.config.name.as_bytes(),
                        subject: member.subject,
                        seq,
                        time: cx.now.wall,
                        previous: plan.previous,
                        headers: &headers,
                        payload,
                    };
                    cx.outbox.republished.extend(republish.copy(&copied, cx.entropy));
                }
                Ok(seq)
            }
            Err(error) => Err(refuse::store(&error)),
        };
        drop(headers);
        self.scratch = scratch;
        let seq = stored?;
        self.remember(member, &plan, seq, cx);
        self.follow_up(store, member, &plan, seq, batched);
        Ok(seq)
    }

    /// What ids and schedules know of a message that was stored.
    fn remember(&mut self, member: &Member<'_>, plan: &Plan<'_>, seq: u64, cx: &Cx<'_>) {
        self.last_id.clear();
        self.last_id.extend_from_slice(member.headers.msg_id.unwrap_or_default());
        if let Some(print) = plan.print {
            self.dedupe.insert(print, seq, cx.now.wall.0);
        }
        if plan.wanted || matches!(plan.scheduling, Scheduling::Fired { .. }) {
            self.schedules.stored(member.subject, seq, &plan.scheduling);
        }
    }

    /// The chores that follow.
    fn follow_up(&mut self, store: &Store, member: &Member<'_>, plan: &Plan<'_>, seq: u64, batched: bool) {
        match plan.rollup {
            None => {}
            // One that nobody waits for takes everything with it.
            Some(Rollup::All) => self.chores.push_back(Chore::Compact(Compact::new(seq))),
            Some(Rollup::Subject) => {
                let filter = Filter::one(member.subject);
                let mut total = 0;
                store.matching_subjects(&filter, |_, state| total += state.total());
                if total > 1 {
                    let kept = u64::from(!(plan.wanted || batched));
                    let below = if kept == 0 { seq } else { 0 };
                    self.chores.push_back(Chore::Purge(PurgeQuery::new(filter, below, kept)));
                }
            }
        }
        if let Some(scheduler) = plan.scheduling.purges() {
            self.schedules.forget(scheduler);
            self.chores.push_back(Chore::Purge(PurgeQuery::new(Filter::one(scheduler), 0, 0)));
        }
        if batched && !plan.wanted {
            self.chores.push_back(Chore::Remove(seq));
        }
    }

    /// The header block that is stored.
    fn final_headers<'a>(
        &self,
        member: &Member<'a>,
        plan: &'a Plan<'_>,
        out: &'a mut Vec<u8>,
    ) -> Cow<'a, [u8]> {
        let block = plan.total.as_ref().and_then(|total| total.headers.as_deref()).unwrap_or(member.block);
        let mut number = itoa::Buffer::new();
        let raised = match plan.ttl {
            Ttl::Seconds(seconds) if Ttl::parse(member.headers.ttl) != plan.ttl => {
                Some(number.format(seconds).as_bytes())
            }
            _ => None,
        };
        let rolls_up = plan.scheduling.rolls_up() && member.headers.rollup.is_none();
        if raised.is_none() && !rolls_up && !member.commits {
            return Cow::Borrowed(block);
        }
        let mut add: Vec<(&[u8], &[u8])> = Vec::new();
        add.extend(raised.map(|seconds| (names::TTL, seconds)));
        if rolls_up {
            add.push((names::ROLLUP, b"sub"));
        }
        if member.commits {
            add.push((names::BATCH_COMMIT, b"1"));
        }
        out.clear();
        rewrite(block, |name| raised.is_some() && name == names::TTL, &add, out);
        Cow::Borrowed(out)
    }
}

/// What a message counts for, in bytes.
pub(super) fn counted(store: &Store, subject: &[u8], headers: &[u8], payload: &[u8]) -> u64 {
    match store.config().medium {
        Medium::File => message_len(subject.len(), headers.len(), payload.len()),
        Medium::Memory => (subject.len() + headers.len() + payload.len()) as u64 + MEMORY_OVERHEAD,
    }
}

/// Whether what a counter comes to is longer than a message may be.
fn too_long(total: &Total, block: &[u8], max_msg_size: u64, max_payload: u64) -> bool {
    let mut payload = Vec::new();
    total.payload(&mut payload);
    let len = (total.headers.as_deref().unwrap_or(block).len() + payload.len()) as u64;
    len > max_payload || len > max_msg_size
}

/// The value of the header `Nats-TTL` of a marker.
pub(super) fn marker_ttl(ttl_ns: i64) -> String {
    gotime::duration_text(ttl_ns)
}
