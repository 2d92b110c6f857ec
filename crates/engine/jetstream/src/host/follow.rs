//! Mirrors and sources: other streams that feed this one, each through a consumer there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use midge_assets::stream::follow::{
    Action, Delivered, Link, Origins, Owner, Renaming, Role, Taken, first_start, index_name, read_through,
};
use midge_assets::stream::{Cx, Verdict};
use midge_broker::batch::Batch;
use midge_broker::routing::Outgoing;
use midge_broker::subscription::{Subscription, Target};
use midge_jsapi::info::SourceInfo;
use midge_jsapi::stream_config::StreamSource;
use midge_stdx::clock::{Mono, Now};
use midge_store::stream::Step;

use super::publish::Allowance;
use super::{ConsumerDoor, ForConsumer, GetDoor, Host, Parts};
use crate::limits::RECOVERY_LOOK_EVERY;

/// How long a stream waits that had to refuse what another one fed it.
const RESUME_AFTER: Duration = Duration::from_secs(2);

/// Messages behind which a mirror does not answer direct gets for its origin.
const CURRENT_LAG: u64 = 10;

/// One stream that feeds this one.
struct Slot {
    link: Link,
    role: Role,
    renaming: Renaming,
    origins: Origins,
    index: String,
    deliveries: Option<Arc<Subscription>>,
    replies: Option<Arc<Subscription>>,
    /// Something was refused: it is read again from there, then.
    resume_at: Mono,
    /// A delivery that the link has counted and that is not stored.
    open: Option<(u64, i64)>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Follow {
    slots: Vec<Slot>,
    /// Where a mirror answers direct gets in place of its origin.
    mirror_doors: Vec<Arc<Subscription>>,
    /// Nothing is asked for before, as other streams of this server are still being opened.
    held_until: Mono,
}

impl Follow {
    /// When something is due.
    pub(super) fn deadline(&self) -> Mono {
        let due = |slot: &Slot| slot.resume_at.min(slot.link.deadline());
        self.slots.iter().map(due).min().unwrap_or(Mono::NEVER).max(self.held_until)
    }
}

impl Host {
    fn new_slot(&self, role: Role, source: &StreamSource, twice: bool) -> Slot {
        let owner = Owner {
            stream: (&*self.handle.name).into(),
            account: self.account.name().into(),
            domain: self.js.settings.domain.as_str().into(),
        };
        let index = index_name(source);
        let (taken, identity) = match role {
            Role::Mirror => (self.store.appended(), String::new()),
            Role::Source => {
                let known = read_through(&self.store, &index);
                known.map_or_else(Default::default, |(seq, identity)| {
                    (seq, String::from_utf8_lossy(identity).into_owned())
                })
            }
        };
        let shown = twice.then_some(index.as_str());
        Slot {
            link: Link::new(role, source.clone(), owner, shown, taken, identity),
            role,
            renaming: Renaming::new(source),
            origins: Origins::new(source),
            index,
            deliveries: None,
            replies: None,
            resume_at: Mono::NEVER,
            open: None,
        }
    }

    /// Follows what the configuration names, and nothing else; what was followed already goes on.
    pub(super) fn follow_configured(&mut self) {
        let mut before = std::mem::take(&mut self.follow.slots);
        let config = self.config.clone();
        let mirror = config.mirror.iter().map(|source| (Role::Mirror, source));
        let sources = config.sources.iter().map(|source| (Role::Source, source));
        for (role, source) in mirror.chain(sources) {
            let same = before.iter().position(|slot| slot.role == role && slot.link.source() == source);
            let slot = match same {
                Some(at) => before.remove(at),
                None => {
                    let twice = config.sources.iter().filter(|other| other.name == source.name).count() > 1;
                    self.new_slot(role, source, twice)
                }
            };
            self.follow.slots.push(slot);
        }
        for slot in &mut before {
            self.close_slot(slot);
        }
        // The numbers under which deliveries come have changed.
        for at in 0..self.follow.slots.len() {
            self.reopen_slot(at);
        }
        self.open_mirror_doors();
    }

    /// What is listened to comes under the number of the slot.
    fn reopen_slot(&mut self, at: usize) {
        let Some(slot) = self.follow.slots.get(at) else { return };
        let subjects = [(&slot.deliveries, true), (&slot.replies, false)].map(|(door, deliveries)| {
            door.as_ref().map(|d| (Bytes::copy_from_slice(d.subject()), deliveries))
        });
        for (subject, deliveries) in subjects.into_iter().flatten() {
            self.listen(at, subject, deliveries);
        }
    }

    fn close_slot(&self, slot: &mut Slot) {
        for door in [slot.deliveries.take(), slot.replies.take()].into_iter().flatten() {
            self.account.account.remove(&door);
        }
    }

    /// Listens to nothing any more.
    pub(super) fn unfollow(&mut self) {
        let mut slots = std::mem::take(&mut self.follow.slots);
        for slot in &mut slots {
            self.close_slot(slot);
        }
        self.account.account.remove_all(self.follow.mirror_doors.iter());
        self.follow.mirror_doors.clear();
    }

    fn listen(&mut self, at: usize, subject: Bytes, deliveries: bool) {
        let what = if deliveries { ForConsumer::Delivery } else { ForConsumer::LinkReply };
        let door = ConsumerDoor { inbox: self.handle.inbox.clone(), id: at as u32, what };
        let target = Target::Internal(Arc::new(door));
        let door = Arc::new(Subscription::new(target, &subject, None, b"js", false));
        let Some(slot) = self.follow.slots.get_mut(at) else { return };
        let place = if deliveries { &mut slot.deliveries } else { &mut slot.replies };
        let old: Vec<_> = place.take().into_iter().collect();
        *place = self.account.account.replace(&old, vec![door]).pop();
    }

    /// A mirror that is current answers direct gets for its origin, if it may.
    fn open_mirror_doors(&mut self) {
        let current = self.follow.slots.first().is_some_and(|slot| slot.link.lag() < CURRENT_LAG);
        let answers = self.config.mirror_direct && current;
        let origin = self.config.mirror.as_ref().filter(|mirror| answers && mirror.external.is_none());
        let doors = origin.into_iter().flat_map(|mirror| {
            ["", ".>"].map(|tail| {
                let subject = format!("$JS.API.DIRECT.GET.{}{tail}", mirror.name);
                let target = Target::Internal(Arc::new(GetDoor(self.handle.inbox.clone())));
                Arc::new(Subscription::new(target, subject.as_bytes(), Some(b"_sys_"), b"js", false))
            })
        });
        self.follow.mirror_doors = self.account.account.replace(&self.follow.mirror_doors, doors.collect());
    }

    /// What time brings.
    pub(super) fn tick_links(&mut self, batch: &mut Batch, now: Now) {
        if !self.js.recovery.is_done() {
            self.follow.held_until = now.mono + RECOVERY_LOOK_EVERY;
            return;
        }
        let last_ns = self.store.state().last_ts_ns;
        for at in 0..self.follow.slots.len() {
            self.resume_link(at, now);
            let mut actions = Vec::new();
            let Some(slot) = self.follow.slots.get_mut(at) else { break };
            if slot.resume_at == Mono::NEVER {
                let start = first_start(slot.role, slot.link.source(), last_ns);
                slot.link.tick(now, start, &mut self.entropy, &mut actions);
            }
            self.act(batch, at, actions, now);
        }
    }

    /// Reads again from where something was refused.
    fn resume_link(&mut self, at: usize, now: Now) {
        let Some(slot) = self.follow.slots.get(at) else { return };
        if slot.resume_at > now.mono {
            return;
        }
        let (role, source) = (slot.role, slot.link.source().clone());
        let twice = self.config.sources.iter().filter(|other| other.name == source.name).count() > 1;
        let mut anew = self.new_slot(role, &source, twice);
        if let Some(slot) = self.follow.slots.get_mut(at) {
            std::mem::swap(slot, &mut anew);
        }
        self.close_slot(&mut anew);
    }

    fn act(&mut self, batch: &mut Batch, at: usize, actions: Vec<Action>, now: Now) {
        for action in actions {
            match action {
                Action::Subscribe { subject, deliveries } => self.listen(at, subject, deliveries),
                Action::Unsubscribe => {
                    if let Some(door) = self.follow.slots.get_mut(at).and_then(|slot| slot.deliveries.take())
                    {
                        self.account.account.remove(&door);
                    }
                }
                Action::Publish { subject, reply, headers, payload, when_durable } => {
                    let send = move |host: &mut Host, batch: &mut Batch, _: Now| {
                        let message = Outgoing {
                            to: &subject,
                            subject: &subject,
                            reply: &reply,
                            header: &headers,
                            payload: &payload,
                        };
                        host.js.send(batch, &host.account, &message);
                    };
                    if when_durable {
                        self.when_durable(batch, now, Box::new(send));
                    } else {
                        send(self, batch, now);
                    }
                }
            }
        }
    }

    /// The answer to a request for a consumer.
    pub(super) fn link_reply(&mut self, batch: &mut Batch, at: u32, parts: &Parts<'_>, now: Now) {
        let mut actions = Vec::new();
        if let Some(slot) = self.follow.slots.get_mut(at as usize) {
            slot.link.on_reply(parts.header, parts.payload, now, &mut self.entropy, &mut actions);
        }
        self.act(batch, at as usize, actions, now);
    }

    /// Something that another stream delivers.
    pub(super) fn followed(&mut self, batch: &mut Batch, at: u32, parts: &Parts<'_>, now: Now) -> Step<()> {
        let mut actions = Vec::new();
        let Some(slot) = self.follow.slots.get_mut(at as usize) else { return Step::Ready(()) };
        if slot.resume_at != Mono::NEVER {
            return Step::Ready(());
        }
        let open = match slot.open.take() {
            Some(open) => Some(open),
            None => {
                let link = &mut slot.link;
                match link.on_delivery(parts.reply, parts.header, now, &mut self.entropy, &mut actions) {
                    Taken::Message { seq, ts_ns } => Some((seq, ts_ns)),
                    Taken::Nothing => None,
                }
            }
        };
        self.act(batch, at as usize, actions, now);
        let Some((seq, ts_ns)) = open else { return Step::Ready(()) };
        if self.has_no_space(now) {
            self.hold_link(at as usize, now);
            return Step::Ready(());
        }
        self.go_ahead();
        let (subject, headers, payload) = (parts.subject, parts.header, parts.payload);
        let delivered = Delivered { seq, ts_ns, subject, headers, payload };
        let step = self.store_followed(at as usize, &delivered, now);
        match step {
            Step::Wait => {
                if let Some(slot) = self.follow.slots.get_mut(at as usize) {
                    slot.open = Some((seq, ts_ns));
                }
                return Step::Wait;
            }
            Step::Ready(Verdict::Refused(error)) => {
                tracing::warn!(
                    "Stream '{} > {}' cannot take what it is fed: {error}",
                    self.account.name(),
                    self.handle.name
                );
                self.hold_link(at as usize, now);
            }
            Step::Failed(_) => self.hold_link(at as usize, now),
            Step::Ready(_) => self.took(at as usize, seq),
        }
        self.touch(now);
        self.empty_outbox(batch, now);
        Step::Ready(())
    }

    fn hold_link(&mut self, at: usize, now: Now) {
        if let Some(slot) = self.follow.slots.get_mut(at) {
            slot.resume_at = now.mono + RESUME_AFTER;
        }
    }

    fn took(&mut self, at: usize, seq: u64) {
        let Some(slot) = self.follow.slots.get_mut(at) else { return };
        let was_current = slot.link.lag() < CURRENT_LAG;
        slot.link.took(seq);
        if slot.role == Role::Source {
            self.store.sourced(slot.index.as_bytes(), seq, slot.link.identity().as_bytes());
        } else if was_current == self.follow.mirror_doors.is_empty() {
            self.open_mirror_doors();
        }
    }

    fn store_followed(&mut self, at: usize, message: &Delivered<'_>, now: Now) -> Step<Verdict> {
        let Some(slot) = self.follow.slots.get(at) else { return Step::Ready(Verdict::Handled) };
        if slot.role == Role::Mirror {
            return self.stream.mirror(&mut self.store, message, &slot.renaming, now, &mut self.entropy);
        }
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
        let identity = slot.link.identity();
        self.stream.source(&mut self.store, message, &slot.origins, identity, &slot.renaming, &mut cx)
    }

    /// What is told of those who feed this stream: the mirror, and the sources.
    pub(super) fn told_links(&self, now: Now) -> (Option<SourceInfo>, Vec<SourceInfo>) {
        let told = |slot: &Slot| {
            let source = slot.link.source();
            SourceInfo {
                name: source.name.clone(),
                external: source.external.clone(),
                lag: slot.link.lag(),
                seq: match slot.role {
                    Role::Mirror => 0,
                    Role::Source => read_through(&self.store, &slot.index).map_or(0, |(seq, _)| seq),
                },
                active_ns: slot.link.active_ns(now.mono),
                error: slot.link.error().cloned(),
                filter_subject: source.filter_subject.clone(),
                subject_transforms: source.subject_transforms.clone(),
            }
        };
        let of = |role: Role| self.follow.slots.iter().filter(move |slot| slot.role == role).map(told);
        (of(Role::Mirror).next(), of(Role::Source).collect())
    }
}
