//! The consumer itself: its parts, its beginning, and what it answers about itself.

use std::collections::VecDeque;
use std::sync::Arc;

use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy};
use midge_jsapi::stream_config::Retention;
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Entropy;
use midge_store::consumer::delta::Delta;
use midge_store::consumer::{AckPolicy as KeptPolicy, ConsumerStore};
use midge_store::format::consumer_state::{ConsumerState, SequencePair};
use midge_store::port::{Promise, Ticket};
use midge_store::stream::{Filter, NextQuery, Store};

use super::outlet::Cx;
use super::pending::Waiting;
use super::pins::Pin;
use super::push::Push;
use super::redelivery::Redelivery;
use super::requests::Requests;
use super::start::Start;
use super::{config, status};

/// Which consumer it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The stream's name.
    pub stream: Arc<str>,
    /// Its own.
    pub name: Arc<str>,
    /// When it was made.
    pub created: Wall,
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages that were delivered.
    pub delivered: usize,
    /// The budget ended it: there may be more to do.
    pub more: bool,
}

/// What was delivered, or never will be: a removal that is not durable may yet come to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// What was delivered; for copies, nothing that was passed over up to here comes back.
    pub(super) through: u64,
    /// What copies have said that they have.
    pub(super) taken: u64,
    /// For copies: below the first of these nothing is there; that is durable with the second.
    pub(super) gap: Option<(u64, Ticket)>,
}

impl Passed {
    /// Everything up to a sequence.
    pub(super) fn through(seq: u64) -> Passed {
        Passed { through: seq, taken: seq, gap: None }
    }
}

/// Rules that follow from a configuration.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) ack: AckPolicy,
    /// 0 for any number.
    pub(super) max_deliver: u64,
    pub(super) max_ack_pending: usize,
    pub(super) push: bool,
    /// Acknowledgements are measured, in percent.
    pub(super) sample_percent: u64,
    /// Acknowledged messages leave the stream.
    pub(super) removes: bool,
    pub(super) policy: PriorityPolicy,
}

impl Rules {
    fn of(config: &ConsumerConfig, retention: Retention) -> Rules {
        Rules {
            ack: config.ack_policy,
            max_deliver: u64::try_from(config.max_deliver).unwrap_or(0),
            max_ack_pending: match (config.ack_policy, config.max_ack_pending) {
                (AckPolicy::None, _) | (_, ..=0) => usize::MAX,
                (_, limit) => usize::try_from(limit).unwrap_or(usize::MAX),
            },
            push: !config.deliver_subject.is_empty(),
            sample_percent: config::sample_percent(&config.sample_freq).unwrap_or(0),
            removes: retention != Retention::Limits,
            policy: config.priority_policy,
        }
    }

    /// The policy by which the kept state moves.
    pub(super) fn kept_policy(config: &ConsumerConfig) -> KeptPolicy {
        match config.ack_policy {
            AckPolicy::None => KeptPolicy::None,
            AckPolicy::All => KeptPolicy::All,
            AckPolicy::Explicit => KeptPolicy::Explicit,
            AckPolicy::FlowControl => KeptPolicy::FlowControl,
        }
    }
}

/// See the module.
pub struct Consumer {
    pub(super) identity: Identity,
    pub(super) config: ConsumerConfig,
    pub(super) rules: Rules,
    /// What was delivered and acknowledged.
    pub(super) kept: ConsumerStore,
    /// First deliveries of this turn, not in `kept` yet.
    pub(super) unkept: Vec<Delta>,
    /// What is delivered, and the sequence to look at next.
    pub(super) next: NextQuery,
    /// What needs no other look, whatever comes of removals.
    pub(super) passed: Passed,
    /// Sequences that are delivered before, ascending.
    pub(super) skip: VecDeque<u64>,
    /// The number of the next delivery.
    pub(super) next_delivery: u64,
    pub(super) waiting: Waiting,
    pub(super) redelivery: Redelivery,
    pub(super) requests: Requests,
    pub(super) push: Push,
    pub(super) pin: Option<Pin>,
    /// From the monotonic clock to the times in `kept`.
    anchor_ns: i64,
    pub(super) last_delivered: Option<Wall>,
    pub(super) last_acked: Option<Wall>,
    /// The last use, in its own time.
    pub(super) last_used: i64,
    /// Added to the threshold of inactivity.
    pub(super) jitter_ns: i64,
    /// When a pause ends.
    pub(super) resume_at: Option<i64>,
    /// When requests without interest are looked at again.
    pub(super) sweep_at: Option<i64>,
    /// When they were the last time because too many waited.
    pub(super) swept: Option<i64>,
    /// Buffers, and the part of acknowledgement subjects that is always the same.
    pub(super) reply: Vec<u8>,
    pub(super) header: Vec<u8>,
    prefix: Vec<u8>,
    prefix_v2: Option<bool>,
}

impl Consumer {
    /// A new consumer, with a configuration that was checked and a store without history. Its start is durable when
    /// [`Store::done`] reaches [`Store::mark`].
    pub fn new(
        identity: Identity,
        config: ConsumerConfig,
        kept: ConsumerStore,
        start: Start,
        cx: &mut Cx<'_>,
    ) -> Consumer {
        let mut consumer = Consumer::assemble(identity, config, kept, cx);
        let before = consumer.behind(&start);
        consumer.passed = Passed::through(if start.skip.is_empty() { before } else { start.resume });
        // Cannot be refused: nothing is compared.
        let _ = consumer.kept.apply(&[Delta::Starting { stream_seq: before }], Promise::Durable, cx.store);
        consumer.next.from = if start.skip.is_empty() { start.seq } else { start.resume + 1 };
        consumer.skip = start.skip.into();
        consumer.begin(cx);
        consumer
    }

    /// The sequence behind which a new one begins. A copy does not take what was removed before its first message for gone: see
    /// [`Consumer::may_pass_over`].
    fn behind(&self, start: &Start) -> u64 {
        let before = start.seq.saturating_sub(1);
        match self.config.deliver_policy {
            _ if !self.is_copy() => before,
            DeliverPolicy::All => 0,
            DeliverPolicy::ByStartSequence => before.min(self.config.opt_start_seq.saturating_sub(1)),
            _ => before,
        }
    }

    /// Whether another stream is filled with what this one delivers.
    pub(super) fn is_copy(&self) -> bool {
        self.config.direct || self.config.sourcing
    }

    /// A consumer that was there before, with the state that it kept. What was lost of the stream, or removed from it meanwhile, is taken out
    /// of that state. Messages that are due again are so at once. A list of last messages of subjects that was not at its end goes on as
    /// everything that follows. A consumer that never delivered anything begins anew:
    /// [`ConsumerStore::has_state`], [`Consumer::new`].
    pub fn recover(
        identity: Identity,
        config: ConsumerConfig,
        kept: ConsumerStore,
        cx: &mut Cx<'_>,
    ) -> Consumer {
        let mut consumer = Consumer::assemble(identity, config, kept, cx);
        consumer.reconcile(cx.store);
        let state = consumer.kept.state();
        consumer.passed =
            Passed { taken: state.ack_floor.stream_seq, ..Passed::through(state.delivered.stream_seq) };
        consumer.next.from = (state.delivered.stream_seq + 1).max(cx.store.state().first_seq).max(1);
        consumer.next_delivery = state.delivered.consumer_seq + 1;
        consumer.begin(cx);
        consumer
    }

    fn assemble(
        identity: Identity,
        config: ConsumerConfig,
        kept: ConsumerStore,
        cx: &mut Cx<'_>,
    ) -> Consumer {
        let mut consumer = Consumer {
            rules: Rules::of(&config, cx.stream.config.retention),
            next: NextQuery { filter: config::filter(&config), from: 1 },
            identity,
            kept,
            unkept: Vec::new(),
            passed: Passed::default(),
            skip: VecDeque::new(),
            next_delivery: 1,
            waiting: Waiting::unknown(),
            redelivery: Redelivery::new(),
            requests: Requests::new(),
            push: Push::new(&config),
            pin: None,
            anchor_ns: cx.now.wall.0.saturating_sub_unsigned(cx.now.mono.0),
            last_delivered: None,
            last_acked: None,
            last_used: 0,
            jitter_ns: 0,
            resume_at: None,
            sweep_at: None,
            swept: None,
            reply: Vec::new(),
            header: Vec::new(),
            prefix: Vec::new(),
            prefix_v2: None,
            config,
        };
        consumer.jitter_ns = 100_000_000 + cx.entropy.below(900_000_000) as i64;
        let max_deliver = consumer.rules.max_deliver;
        consumer.kept.configure(Rules::kept_policy(&consumer.config), max_deliver);
        consumer
    }

    fn begin(&mut self, cx: &mut Cx<'_>) {
        let time = self.time(cx.now);
        self.last_used = time;
        self.rebuild_overdue();
        if let Some(until) = self.config.pause_until.filter(|until| *until > cx.now.wall) {
            self.resume_at = Some(time.saturating_add(until.0 - cx.now.wall.0));
        }
        self.push.replay_through = cx.store.state().last_seq;
        self.push.inactive_since = time;
        // Where nothing has to be loaded, the number is known from the beginning.
        let _ = self.count(cx);
        self.interest_changed(cx);
    }

    /// Takes out of the kept state what the stream has no more, lost or removed while nobody looked.
    fn reconcile(&mut self, store: &mut Store) {
        let (first, last) = (store.state().first_seq, store.state().last_seq);
        let before = self.kept.state();
        if before.delivered.consumer_seq == 0 && self.may_be_ahead() {
            return;
        }
        let lowest = before.pending.first_key_value().map_or(u64::MAX, |(seq, _)| *seq);
        if before.delivered.stream_seq <= last && before.ack_floor.stream_seq <= last && lowest >= first {
            return;
        }
        let mut state = before.clone();
        if state.delivered.stream_seq > last {
            state.pending.retain(|seq, _| *seq <= last);
            state.redelivered.retain(|seq, _| *seq <= last);
            if state.ack_floor.stream_seq >= last {
                state.pending.clear();
                state.ack_floor.stream_seq = last;
            }
            let highest = state.pending.last_key_value();
            state.delivered = highest.map_or(state.ack_floor, |(seq, pending)| SequencePair {
                consumer_seq: pending.consumer_seq.max(state.ack_floor.consumer_seq),
                stream_seq: *seq,
            });
        }
        drop_below(&mut state, first);
        // Sound by construction; were it not, the state as it was is the better one.
        let _ = self.kept.apply(&[Delta::Replaced { state }], Promise::Cached, store);
    }

    /// Whether it may have been told to begin, or begin anew, at a message that is yet to come.
    fn may_be_ahead(&self) -> bool {
        match self.config.deliver_policy {
            DeliverPolicy::All | DeliverPolicy::ByStartSequence | DeliverPolicy::ByStartTime => true,
            DeliverPolicy::Last | DeliverPolicy::New | DeliverPolicy::LastPerSubject => false,
        }
    }

    /// The time of the clock in which kept times are read: the wall clock as it was when the consumer came to be, and counted on from there.
    #[inline]
    pub(super) fn time(&self, now: Now) -> i64 {
        self.anchor_ns.saturating_add_unsigned(now.mono.0)
    }

    /// The reading of the monotonic clock at one of its times.
    pub(super) fn mono(&self, time: i64) -> Mono {
        Mono(u64::try_from(time.saturating_sub(self.anchor_ns)).unwrap_or(0))
    }

    /// Which consumer it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Its configuration.
    pub fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    /// The state that is kept.
    pub fn state(&self) -> &ConsumerState {
        self.kept.state()
    }

    /// Whether it delivers to a subject rather than to those who ask.
    pub fn is_push(&self) -> bool {
        self.rules.push
    }

    /// Whether it takes acknowledgements, by messages to its acknowledgement subjects.
    pub fn takes_acks(&self) -> bool {
        matches!(self.rules.ack, AckPolicy::All | AckPolicy::Explicit)
    }

    /// What is delivered to it.
    pub fn filter(&self) -> &Filter {
        &self.next.filter
    }

    /// Whether a message of this subject is delivered to it.
    #[inline]
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.next.filter.matches(subject)
    }

    /// Whether it has yet to deliver that message or to have it acknowledged. One that was given up is needed until it leaves the stream
    /// otherwise.
    pub fn needs(&self, seq: u64, subject: &[u8]) -> bool {
        let state = self.kept.state();
        if !self.matches(subject) {
            return false;
        }
        let outstanding = match self.rules.ack {
            AckPolicy::Explicit => {
                let to_come = seq >= self.next.from || self.skip.binary_search(&seq).is_ok();
                seq > state.ack_floor.stream_seq && (to_come || state.pending.contains_key(&seq))
            }
            AckPolicy::None | AckPolicy::All | AckPolicy::FlowControl => seq > state.ack_floor.stream_seq,
        };
        outstanding || state.redelivered.contains_key(&seq)
    }

    /// The next sequence to look at.
    #[inline]
    pub(super) fn next_seq(&self) -> u64 {
        self.skip.front().map_or(self.next.from, |seq| *seq)
    }

    /// Messages that are not acknowledged.
    #[inline]
    pub(super) fn unacked(&self) -> usize {
        let fresh = if self.rules.ack == AckPolicy::None { 0 } else { self.unkept.len() };
        self.kept.state().pending.len() + fresh
    }

    /// Messages that wait for their first delivery, never more than there can be.
    pub(super) fn num_pending(&self, visible: u64) -> u64 {
        let room = (visible + 1).saturating_sub(self.next.from);
        self.skip.len() as u64 + self.waiting.count().min(room)
    }

    /// How long an acknowledgement may take after that many redeliveries, in nanoseconds.
    pub(super) fn ack_wait_ns(&self, redeliveries: u64) -> i64 {
        let backoff = &self.config.backoff_ns;
        let at = usize::try_from(redeliveries).unwrap_or(usize::MAX).min(backoff.len().saturating_sub(1));
        backoff.get(at).copied().unwrap_or(self.config.ack_wait_ns).max(1_000_000)
    }

    /// The longest of them.
    pub(super) fn longest_wait_ns(&self) -> i64 {
        self.config.backoff_ns.iter().copied().fold(self.config.ack_wait_ns, i64::max)
    }

    /// When a message is delivered again if it is not acknowledged.
    pub(super) fn overdue_at(&self, seq: u64) -> Option<i64> {
        let pending = self.kept.state().pending.get(&seq)?;
        if !self.takes_acks() || self.redelivery.contains(seq) {
            return None;
        }
        let redeliveries = self.kept.state().redelivered.get(&seq).copied().unwrap_or(0);
        Some(pending.delivered_ns.saturating_add(self.ack_wait_ns(redeliveries)))
    }

    /// Makes the heap of deadlines anew. O(pending).
    pub(super) fn rebuild_overdue(&mut self) {
        let seqs = self.kept.state().pending.keys().copied();
        let entries: Vec<_> = seqs.filter_map(|seq| Some((self.overdue_at(seq)?, seq))).collect();
        self.redelivery.overdue.rebuild(entries.into_iter());
    }

    /// Hands first deliveries to the kept state.
    pub(super) fn keep(&mut self, store: &mut Store) {
        if !self.unkept.is_empty() {
            let kept = self.kept.apply(&self.unkept, Promise::Cached, store);
            debug_assert_eq!(kept, Ok(()), "first deliveries are never refused");
            self.unkept.clear();
        }
    }

    /// Has a change kept that a message is out of the question for otherwise.
    pub(super) fn keep_now(&mut self, change: Delta, promise: Promise, store: &mut Store) {
        self.keep(store);
        // A refusal says that the message is not pending, which leaves nothing to do.
        let _ = self.kept.apply(&[change], promise, store);
    }

    /// Writes the whole state if that is shorter than its changes. Call now and then.
    pub fn checkpoint(&mut self, cx: &mut Cx<'_>) {
        self.keep(cx.store);
        self.kept.checkpoint(self.time(cx.now), cx.entropy, cx.store);
    }

    /// Writes the whole state if there are changes that only the journal has.
    pub fn catch_up(&mut self, cx: &mut Cx<'_>) {
        self.keep(cx.store);
        self.kept.catch_up(self.time(cx.now), cx.entropy, cx.store);
    }

    /// Writes the whole state, as when the consumer is made and when the server stops. O(pending).
    pub fn write(&mut self, promise: Promise, now: Now, entropy: &mut dyn Entropy, store: &mut Store) {
        self.keep(store);
        self.kept.write(self.time(now), entropy, promise, store);
    }

    /// Gives back the kept state, to delete its files.
    pub fn into_store(self) -> ConsumerStore {
        self.kept
    }

    /// Writes the acknowledgement subject of a delivery into `self.reply`.
    #[inline]
    pub(super) fn write_reply(&mut self, cx: &Cx<'_>, seq: u64, ts_ns: i64, deliveries: u64, pending: u64) {
        if self.prefix_v2 != Some(cx.stream.ack_v2) {
            self.prefix.clear();
            self.prefix_v2 = Some(cx.stream.ack_v2);
            self.prefix.extend_from_slice(b"$JS.ACK.");
            self.push_prefix_v2(cx);
        }
        self.reply.clear();
        self.reply.extend_from_slice(&self.prefix);
        let ts = ts_ns.unsigned_abs();
        for (at, number) in [deliveries, seq, self.next_delivery, ts, pending].into_iter().enumerate() {
            if at > 0 {
                self.reply.push(b'.');
            }
            if at == 3 && ts_ns < 0 {
                self.reply.push(b'-');
            }
            status::push_number(&mut self.reply, number);
        }
    }

    fn push_prefix_v2(&mut self, cx: &Cx<'_>) {
        let mut names: Vec<&str> = Vec::with_capacity(4);
        if cx.stream.ack_v2 {
            let domain = cx.stream.domain;
            names.extend([if domain.is_empty() { "_" } else { domain }, cx.stream.account_hash]);
        }
        names.extend([&*self.identity.stream, &*self.identity.name]);
        for name in names {
            self.prefix.extend_from_slice(name.as_bytes());
            self.prefix.push(b'.');
        }
    }

    /// The retention of the stream changed.
    pub fn stream_updated(&mut self, retention: Retention) {
        self.rules.removes = retention != Retention::Limits;
    }

    pub(super) fn set_rules(&mut self, config: ConsumerConfig, retention: Retention) {
        self.rules = Rules::of(&config, retention);
        self.kept.configure(Rules::kept_policy(&config), self.rules.max_deliver);
        self.config = config;
    }
}

/// Drops what lies below a sequence and moves the floors up to it.
pub(super) fn drop_below(state: &mut ConsumerState, first: u64) {
    let above = state.pending.split_off(&first);
    let dropped = std::mem::replace(&mut state.pending, above);
    state.redelivered = state.redelivered.split_off(&first);
    if let Some((_, last)) = dropped.last_key_value() {
        state.ack_floor.consumer_seq = state.ack_floor.consumer_seq.max(last.consumer_seq);
    }
    let below = first.saturating_sub(1);
    state.ack_floor.stream_seq = state.ack_floor.stream_seq.max(below);
    state.delivered.stream_seq = state.delivered.stream_seq.max(below);
    if state.pending.is_empty() {
        state.ack_floor = SequencePair {
            consumer_seq: state.delivered.consumer_seq,
            stream_seq: state.delivered.stream_seq.max(state.ack_floor.stream_seq),
        };
    }
}
