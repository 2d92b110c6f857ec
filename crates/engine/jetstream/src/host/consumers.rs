//! The consumers of a stream: who they are, who has something to do, how messages reach them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use midge_assets::consumer::{AckOf, Consumer, Cx, StreamFacts};
use midge_assets::stream::interest;
use midge_assets::stream::publish::Interest;
use midge_broker::account::Watcher;
use midge_broker::batch::Batch;
use midge_broker::subscription::{Subscription, Target};
use midge_index::overlap::Overlaps;
use midge_jsapi::stream_config::StreamConfig;
use midge_jsapi::subjects::{self, AckSubject};
use midge_stdx::clock::{Mono, Now};
use midge_store::format::keys::AssetKey;
use midge_store::stream::Step;

use super::held::{Answer, New, Until};
use super::outlet::{HostOutlet, Said};
use super::{ConsumerDoor, ForConsumer, Host, Inbox, InterestDoor, Parts};
use crate::account::JsAccount;
use crate::limits::TURN_DELIVERIES;
use crate::recover::Unread;
use crate::system::JetStream;

/// Bits of a consumer's number that say where it stands. Those above differ from one consumer to the next in the same place: what was meant for one that is gone
/// may still be in the inbox.
const PLACE_BITS: u32 = 22;

/// One consumer of the host.
pub(crate) struct Slot {
    /// Its number.
    id: u32,
    consumer: Box<Consumer>,
    key: Option<AssetKey>,
    doors: Vec<Arc<Subscription>>,
    watched: Option<(Box<[u8]>, Arc<InterestDoor>)>,
    /// It stands in the queue of those with something to do.
    ready: bool,
    /// It waits for a block.
    waits: bool,
    /// When it is due.
    due: Mono,
}

fn place_of(id: u32) -> usize {
    (id & ((1 << PLACE_BITS) - 1)) as usize
}

fn found(slots: &[Option<Slot>], id: u32) -> Option<&Slot> {
    slots.get(place_of(id))?.as_ref().filter(|slot| slot.id == id)
}

fn found_mut(slots: &mut [Option<Slot>], id: u32) -> Option<&mut Slot> {
    slots.get_mut(place_of(id))?.as_mut().filter(|slot| slot.id == id)
}

/// See the module.
#[derive(Default)]
pub(crate) struct Consumers {
    /// The domain that stands in acknowledgement subjects; empty for none.
    domain: String,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    names: BTreeMap<Arc<str>, u32>,
    /// Who gets which subjects, so that a message costs what those cost that it is for.
    filters: Overlaps<u32>,
    /// Memory that is used again.
    matched: Vec<u32>,
    /// Those whose files cannot be read. What they need is not known, so that nothing is taken for needless.
    pub(super) unread: BTreeMap<Arc<str>, Unread>,
    /// How many of them serve mirrors and sources of other streams.
    direct: usize,
    ready: VecDeque<u32>,
    /// Those that wait for removals to become durable.
    for_removals: Vec<u32>,
    /// By the time at which they are due; entries that do not agree with their slot are old.
    due: BTreeMap<(Mono, u32), ()>,
    pub(super) said: Said,
}

impl Consumers {
    /// None, on a server of this domain.
    pub(super) fn new(domain: &str) -> Consumers {
        Consumers { domain: domain.to_owned(), ..Consumers::default() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// How many are told of: those of mirrors and sources are not.
    pub(crate) fn shown(&self) -> usize {
        self.names.len() - self.direct
    }

    /// The number of a consumer.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.names.get(name).copied()
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Consumer> {
        found(&self.slots, id).map(|slot| &*slot.consumer)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Consumer> {
        self.slot(id).map(|slot| &mut *slot.consumer)
    }

    /// The key of a consumer's files.
    pub(crate) fn key(&self, id: u32) -> Option<&AssetKey> {
        found(&self.slots, id)?.key.as_ref()
    }

    pub(crate) fn set_key(&mut self, id: u32, key: Option<AssetKey>) {
        if let Some(slot) = self.slot(id) {
            slot.key = key;
        }
    }

    /// All of them, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Consumer)> {
        self.names.values().filter_map(|id| Some((*id, self.get(*id)?)))
    }

    /// Their numbers, by name.
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.names.values().copied().collect()
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The earliest time at which one is due.
    pub(crate) fn deadline(&self) -> Mono {
        self.due.first_key_value().map_or(Mono::NEVER, |((at, _), ())| *at)
    }

    fn slot(&mut self, id: u32) -> Option<&mut Slot> {
        found_mut(&mut self.slots, id)
    }

    pub(super) fn make_ready(&mut self, id: u32) {
        if let Some(slot) = self.slot(id)
            && !slot.ready
        {
            slot.ready = true;
            self.ready.push_back(id);
        }
    }

    /// Those that waited for a block look again.
    pub(super) fn blocks_came(&mut self) {
        for at in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { continue };
            if std::mem::take(&mut slot.waits) {
                let id = slot.id;
                self.make_ready(id);
            }
        }
    }

    /// Those that waited for something to become durable look again.
    pub(super) fn more_is_done(&mut self) {
        for id in std::mem::take(&mut self.for_removals) {
            self.make_ready(id);
        }
    }

    fn set_due(&mut self, id: u32) {
        let Some(slot) = self.slot(id) else { return };
        let due = slot.consumer.deadline().unwrap_or(Mono::NEVER);
        let before = std::mem::replace(&mut slot.due, due);
        if before != due {
            self.due.remove(&(before, id));
            if due != Mono::NEVER {
                self.due.insert((due, id), ());
            }
        }
    }

    fn pop_due(&mut self, now: Mono) -> Option<u32> {
        let (at, id) = *self.due.first_key_value()?.0;
        if at > now {
            return None;
        }
        self.due.remove(&(at, id));
        if let Some(slot) = self.slot(id) {
            slot.due = Mono::NEVER;
        }
        Some(id)
    }

    /// Takes a consumer in, without letting anything reach it yet.
    pub(crate) fn insert(&mut self, consumer: Consumer) -> u32 {
        let name = consumer.identity().name.clone();
        self.unread.remove(&name);
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.slots.push(None);
                self.slots.len() as u32 - 1
            }
        };
        let slot = Slot {
            id,
            consumer: Box::new(consumer),
            key: None,
            doors: Vec::new(),
            watched: None,
            ready: false,
            waits: false,
            due: Mono::NEVER,
        };
        self.direct += usize::from(slot.consumer.config().direct);
        self.slots[place_of(id)] = Some(slot);
        self.names.insert(name, id);
        self.list_filters(id);
        self.make_ready(id);
        id
    }

    /// Lists what a consumer gets.
    pub(crate) fn list_filters(&mut self, id: u32) {
        let Some(slot) = found(&self.slots, id) else { return };
        let filter = slot.consumer.filter();
        if filter.is_all() {
            self.filters.insert(b">", id);
        }
        filter.subjects().for_each(|subject| self.filters.insert(subject, id));
    }

    /// Takes what a consumer gets off the list, before that changes.
    pub(crate) fn unlist_filters(&mut self, id: u32) {
        let Some(slot) = found(&self.slots, id) else { return };
        let filter = slot.consumer.filter();
        if filter.is_all() {
            self.filters.remove(b">", &id);
        }
        for subject in filter.subjects() {
            self.filters.remove(subject, &id);
        }
    }

    /// Whether one of those that get messages of a subject is as wanted.
    fn any_of(&self, subject: &[u8], wanted: impl Fn(&Consumer) -> bool) -> bool {
        self.filters.any(subject, |id| self.get(*id).is_some_and(&wanted))
    }

    /// Those that get messages of a subject, each once.
    pub(super) fn take_matched(&mut self, subject: &[u8]) -> Vec<u32> {
        let mut matched = std::mem::take(&mut self.matched);
        matched.clear();
        self.filters.any(subject, |id| {
            matched.push(*id);
            false
        });
        // Two filters of one consumer may match.
        matched.sort_unstable();
        matched.dedup();
        matched
    }

    /// Gives back what was taken.
    pub(super) fn give_matched(&mut self, matched: Vec<u32>) {
        self.matched = matched;
    }

    /// Takes a consumer out, with what let messages reach it closed.
    pub(crate) fn remove(&mut self, id: u32, account: &JsAccount) -> Option<Consumer> {
        self.unlist_filters(id);
        let mut slot = self.slots.get_mut(place_of(id))?.take_if(|slot| slot.id == id)?;
        slot.close(account);
        self.due.remove(&(slot.due, id));
        self.ready.retain(|ready| *ready != id);
        self.direct -= usize::from(slot.consumer.config().direct);
        self.names.remove(&slot.consumer.identity().name);
        self.free.push(id.wrapping_add(1 << PLACE_BITS));
        Some(*slot.consumer)
    }

    /// Lets messages reach a consumer: what belongs to its configuration is opened, the rest closed.
    pub(crate) fn open_doors(&mut self, id: u32, account: &JsAccount, inbox: &Arc<Inbox>) {
        let domain = if self.domain.is_empty() { "_" } else { &self.domain };
        let hash = subjects::hash8(account.name().as_bytes());
        let place = format!("{domain}.{}", String::from_utf8_lossy(&hash));
        let Some(slot) = self.slot(id) else { return };
        slot.unwatch(account);
        let consumer = &slot.consumer;
        let identity = consumer.identity();
        let (stream, name) = (&*identity.stream, &*identity.name);
        let mut doors: Vec<(String, ForConsumer)> = Vec::new();
        if consumer.takes_acks() {
            doors.push((format!("$JS.ACK.{stream}.{name}.*.*.*.*.*"), ForConsumer::Ack));
            doors.push((format!("$JS.ACK.{place}.{stream}.{name}.*.*.*.*.*.>"), ForConsumer::Ack));
            doors.push((format!("$JS.ACK.{place}.{stream}.{name}.*.*.*.*.*"), ForConsumer::Ack));
        }
        doors.push((format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"), ForConsumer::Pull));
        doors.push((format!("$JS.API.CONSUMER.RESET.{stream}.{name}"), ForConsumer::Reset));
        if consumer.config().flow_control {
            doors.push((format!("$JS.FC.{stream}.{name}.*"), ForConsumer::Flow));
            doors.push((format!("$JS.FC.{place}.{stream}.{name}.*"), ForConsumer::Flow));
        }
        let doors = doors.into_iter().map(|(subject, what)| {
            let door = Arc::new(ConsumerDoor { inbox: inbox.clone(), id, what });
            Arc::new(Subscription::new(Target::Internal(door), subject.as_bytes(), None, b"js", false))
        });
        // At once, so that no acknowledgement or pull gets lost by an update.
        slot.doors = account.account.replace(&slot.doors, doors.collect());
        if consumer.is_push() {
            let subject = consumer.config().deliver_subject.as_bytes();
            let watcher = Arc::new(InterestDoor::new(inbox.clone(), id));
            account.account.watch(subject, watcher.clone());
            slot.watched = Some((subject.into(), watcher));
        }
    }
}

impl Slot {
    fn close(&mut self, account: &JsAccount) {
        account.account.remove_all(self.doors.iter());
        self.doors.clear();
        self.unwatch(account);
    }

    fn unwatch(&mut self, account: &JsAccount) {
        if let Some((subject, watcher)) = self.watched.take() {
            let watcher: Arc<dyn Watcher> = watcher;
            account.account.unwatch(&subject, &watcher);
        }
    }
}

impl Interest for Consumers {
    fn wants(&self, subject: &[u8]) -> bool {
        !self.unread.is_empty() || self.any_of(subject, |consumer| consumer.matches(subject))
    }
}

impl interest::Consumers for Consumers {
    fn need(&self, seq: u64, subject: &[u8]) -> bool {
        !self.unread.is_empty() || self.any_of(subject, |consumer| consumer.needs(seq, subject))
    }
}

impl Host {
    /// Calls one consumer with everything that it may need, and deals with what it said. What left the stream before is told before: a consumer that counted without
    /// it would take it off once more.
    pub(super) fn with_consumer<T>(
        &mut self,
        batch: &mut Batch,
        id: u32,
        now: Now,
        call: impl FnOnce(&mut Consumer, &mut Cx<'_>) -> T,
    ) -> Option<T> {
        if self.store.has_changes() {
            self.removed(batch, now);
        }
        let Host {
            js, account, handle, config, store, consumers, entropy, visible, ids, account_hash, ..
        } = self;
        let Consumers { slots, said, .. } = consumers;
        let slot = found_mut(slots, id)?;
        let facts = facts(js, config, account_hash, *visible, self.limits.max_payload);
        let mut out = HostOutlet { js, account, stream: &handle.name, id, batch, said, ids, now };
        let mut cx = Cx { store, stream: &facts, now, entropy, out: &mut out };
        let answer = call(&mut slot.consumer, &mut cx);
        self.consumers.set_due(id);
        if self.consumers.said.has_replies() {
            let until = Until::Ticket(self.store.mark());
            let held = &mut self.held;
            self.consumers.said.replies(|reply| {
                held.push(&New { until, answer: Answer::Empty, seq: 0, reply, text: b"" });
            });
        }
        Some(answer)
    }

    /// The same for what makes consumers, which are not here yet.
    pub(super) fn with_cx<T>(
        &mut self,
        batch: &mut Batch,
        now: Now,
        call: impl FnOnce(&mut Cx<'_>) -> T,
    ) -> T {
        if self.store.has_changes() {
            self.removed(batch, now);
        }
        let Host {
            js, account, handle, config, store, consumers, entropy, visible, ids, account_hash, ..
        } = self;
        let facts = facts(js, config, account_hash, *visible, self.limits.max_payload);
        let said = &mut consumers.said;
        let mut out = HostOutlet { js, account, stream: &handle.name, id: u32::MAX, batch, said, ids, now };
        call(&mut Cx { store, stream: &facts, now, entropy, out: &mut out })
    }

    /// Something for a consumer arrived.
    pub(super) fn for_consumer(
        &mut self,
        batch: &mut Batch,
        id: u32,
        what: ForConsumer,
        parts: &Parts<'_>,
        now: Now,
    ) -> Step<()> {
        self.touch(now);
        match what {
            ForConsumer::Delivery => return self.followed(batch, id, parts, now),
            ForConsumer::SnapshotAck => {
                self.snapshot_ack(batch, id, now);
                return Step::Ready(());
            }
            ForConsumer::Chunk => {
                self.restore_chunk(batch, parts, now);
                return Step::Ready(());
            }
            ForConsumer::LinkReply => {
                self.link_reply(batch, id, parts, now);
                return Step::Ready(());
            }
            ForConsumer::Ack | ForConsumer::Pull if self.consumers.get(id).is_none() => {
                self.meets_nobody(batch, parts);
                return Step::Ready(());
            }
            ForConsumer::Ack => {
                let Some(subject) = AckSubject::parse(parts.subject) else { return Step::Ready(()) };
                let AckSubject { stream_seq, consumer_seq, deliveries, .. } = subject;
                let of = AckOf { stream_seq, consumer_seq, deliveries };
                self.with_consumer(batch, id, now, |consumer, cx| {
                    consumer.ack(cx, &of, parts.payload, parts.reply);
                });
            }
            ForConsumer::Pull => {
                self.with_consumer(batch, id, now, |consumer, cx| {
                    consumer.pull(cx, parts.payload, parts.header, parts.reply);
                });
            }
            ForConsumer::Flow => {
                self.with_consumer(batch, id, now, |consumer, cx| {
                    consumer.flow_reply(cx, parts.subject, parts.header);
                });
            }
            ForConsumer::Reset => self.reset_consumer(batch, id, parts, now),
        }
        self.consumers.make_ready(id);
        Step::Ready(())
    }

    /// Interest in a deliver subject may have changed.
    pub(super) fn interest_changed(&mut self, batch: &mut Batch, id: u32, now: Now) {
        if let Some(slot) = found(&self.consumers.slots, id) {
            if let Some((_, watcher)) = &slot.watched {
                watcher.seen();
            }
            self.with_consumer(batch, id, now, |consumer, cx| consumer.interest_changed(cx));
            self.consumers.make_ready(id);
        }
    }

    /// Lets consumers deliver, in turn; answers whether one of them has more.
    pub(super) fn deliver(&mut self, batch: &mut Batch, now: Now) -> bool {
        let mut budget = TURN_DELIVERIES;
        for _ in 0..self.consumers.ready.len() {
            if budget == 0 {
                return true;
            }
            let Some(id) = self.consumers.ready.pop_front() else { break };
            if let Some(slot) = self.consumers.slot(id) {
                slot.ready = false;
            }
            let step = self.with_consumer(batch, id, now, |consumer, cx| consumer.turn(cx, budget));
            match step {
                Some(Step::Ready(progress)) => {
                    budget = budget.saturating_sub(progress.delivered);
                    if progress.delivered > 0 {
                        self.touch(now);
                    }
                    if progress.more {
                        self.consumers.make_ready(id);
                    }
                }
                Some(Step::Wait) => {
                    if let Some(slot) = self.consumers.slot(id) {
                        slot.waits = true;
                        let for_removals = slot.consumer.waits_for_removals();
                        self.consumers.for_removals.extend(for_removals.then_some(id));
                    }
                }
                Some(Step::Failed(error)) => {
                    tracing::error!(
                        blame = "disk",
                        "JetStream consumer of stream '{} > {}' cannot read: {error}",
                        self.account.name(),
                        self.handle.name
                    );
                }
                None => {}
            }
        }
        self.consumers.has_ready()
    }

    /// Tells those that get it of a message that can be seen from now on.
    pub(super) fn tell_consumers(&mut self, seq: u64, subject: &[u8]) {
        let matched = self.consumers.take_matched(subject);
        for id in &matched {
            if self.consumers.get_mut(*id).is_some_and(|consumer| consumer.stored(seq, subject)) {
                self.consumers.make_ready(*id);
            }
        }
        self.consumers.give_matched(matched);
    }

    /// Writes the states of consumers whose changes only the journal has, if it asked for that.
    pub(super) fn catch_up(&mut self, batch: &mut Batch, now: Now) {
        if self.opening || self.crowded || !std::mem::take(&mut self.behind) {
            return;
        }
        for id in self.consumers.ids() {
            self.with_consumer(batch, id, now, |consumer, cx| consumer.catch_up(cx));
        }
    }

    /// Deadlines of consumers.
    pub(super) fn expire_consumers(&mut self, batch: &mut Batch, now: Now) {
        while let Some(id) = self.consumers.pop_due(now.mono) {
            let unused = self.with_consumer(batch, id, now, |consumer, cx| consumer.expire(cx));
            self.consumers.make_ready(id);
            if unused == Some(true) {
                self.delete_consumer(batch, id, now);
            }
        }
    }
}

/// What consumers ask of their stream.
fn facts<'a>(
    js: &'a JetStream,
    config: &'a StreamConfig,
    account_hash: &'a str,
    visible: u64,
    max_payload: u64,
) -> StreamFacts<'a> {
    StreamFacts {
        config,
        visible,
        domain: &js.settings.domain,
        account_hash,
        ack_v2: js.settings.ack_v2,
        // Leaf nodes do not connect to this server.
        has_leafs: false,
        max_payload,
    }
}
