//! What clients sent, what they were told, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

use super::features::{Features, RollUp};

/// How a publish is learned of that is read when the node is at rest.
pub(super) const GET: &str = "a get";

/// How a stream keeps its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retention {
    Limits,
    Interest,
    WorkQueue,
}

/// What became of a publish, as far as the publisher knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// No answer yet, or never.
    Unknown,
    /// It was told to be stored.
    Acked,
    /// It was told to be a duplicate.
    Duplicate,
    /// It was refused.
    Refused,
}

/// Whether something other than limits took a message away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    Kept,
    /// Asked for, and not answered.
    MaybeGone,
    /// Confirmed.
    Gone,
}

/// One message that was published.
#[derive(Clone, Debug)]
pub(super) struct Publish {
    /// Its place in the order in which the stream was told.
    pub(super) order: u64,
    pub(super) subject: usize,
    pub(super) payload: Vec<u8>,
    pub(super) header_len: usize,
    pub(super) msg_id: Option<u64>,
    pub(super) sent_at: u64,
    pub(super) told_at: Option<u64>,
    pub(super) outcome: Outcome,
    pub(super) seq: Option<u64>,
    pub(super) fate: Fate,
    /// The stream that it was sent to was deleted since.
    pub(super) dead: bool,
    /// Nobody sent it: it stands for what expired.
    pub(super) is_marker: bool,
    /// How long it lives; 0 for ever.
    pub(super) ttl_ns: u64,
    /// What it takes away.
    pub(super) roll_up: Option<RollUp>,
    /// Its subject was not full when it was sent.
    pub(super) has_room: bool,
}

/// A purge, and what was sent after it but may have been executed before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purge {
    /// Its place in the order.
    pub(super) order: u64,
    /// One subject by number; none for all.
    pub(super) subject: Option<usize>,
    /// Its answer came before anything behind this was sent.
    pub(super) until: Option<u64>,
}

impl Purge {
    fn may_take(&self, publish: &Publish) -> bool {
        let overtook = publish.order > self.order && self.until.is_none_or(|until| publish.order <= until);
        overtook && self.subject.is_none_or(|subject| publish.subject == subject)
    }
}

/// An atomic batch.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchModel {
    pub(super) members: Vec<usize>,
    pub(super) committed: bool,
    pub(super) refused: bool,
    /// Its commit was never sent.
    pub(super) open: bool,
}

/// The limits of a stream; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) max_msgs: u64,
    pub(super) max_per_subject: u64,
    pub(super) max_bytes: u64,
    pub(super) max_age_ns: u64,
}

impl Limits {
    /// The strictest of both.
    pub(super) fn tighter(self, other: Limits) -> Limits {
        let least = |a: u64, b: u64| if a == 0 || (b > 0 && b < a) { b } else { a };
        Limits {
            max_msgs: least(self.max_msgs, other.max_msgs),
            max_per_subject: least(self.max_per_subject, other.max_per_subject),
            max_bytes: least(self.max_bytes, other.max_bytes),
            max_age_ns: least(self.max_age_ns, other.max_age_ns),
        }
    }

    /// Whether the stream as a whole may be full.
    pub(super) fn sized(self) -> bool {
        self.max_msgs > 0 || self.max_bytes > 0
    }

    /// Whether messages may go by themselves.
    pub(super) fn any(self) -> bool {
        self != Limits::default()
    }
}

/// A stream, as clients know it.
#[derive(Clone, Debug)]
pub(super) struct StreamModel {
    pub(super) name: String,
    pub(super) retention: Retention,
    pub(super) discard_new: bool,
    pub(super) features: Features,
    /// It ends with its node.
    pub(super) in_memory: bool,
    pub(super) subjects: Vec<String>,
    /// Its creation was confirmed.
    pub(super) exists: bool,
    /// Its creation was asked for.
    pub(super) coming: bool,
    /// Its deletion was asked for.
    pub(super) leaving: bool,
    /// How often it was deleted.
    pub(super) life: u64,
    /// The limits that were confirmed last.
    pub(super) limits: Limits,
    /// Limits that were asked for and not confirmed.
    pub(super) asked: Vec<Limits>,
    /// The tightest limits that there ever were.
    pub(super) tightest: Limits,
    pub(super) publishes: Vec<Publish>,
    pub(super) by_seq: BTreeMap<u64, usize>,
    /// From the place in the order to the sequence.
    orders: BTreeMap<u64, u64>,
    by_msg_id: BTreeMap<u64, BTreeSet<u64>>,
    pub(super) batches: Vec<BatchModel>,
    pub(super) purges: Vec<Purge>,
    pub(super) next_order: u64,
    pub(super) next_msg_id: u64,
    /// The last sequence that anybody was told of.
    pub(super) last_told: u64,
}

impl StreamModel {
    pub(super) fn new(name: &str, retention: Retention, limits: Limits, discard_new: bool) -> StreamModel {
        StreamModel {
            name: name.into(),
            retention,
            discard_new,
            features: Features::default(),
            in_memory: false,
            subjects: (0..4).map(|n| format!("{name}.{n}")).collect(),
            exists: false,
            coming: false,
            leaving: false,
            life: 0,
            limits,
            asked: Vec::new(),
            tightest: limits,
            publishes: Vec::new(),
            by_seq: BTreeMap::new(),
            orders: BTreeMap::new(),
            by_msg_id: BTreeMap::new(),
            batches: Vec::new(),
            purges: Vec::new(),
            next_order: 0,
            next_msg_id: 0,
            last_told: 0,
        }
    }

    /// It is there, and nobody has asked for its end.
    pub(super) fn is_there(&self) -> bool {
        self.exists && !self.leaving
    }

    /// It is gone, with everything in it. Numbers go on, so that nothing new is taken for something old.
    pub(super) fn reset(&mut self) {
        self.publishes.iter_mut().for_each(|publish| publish.dead = true);
        (self.exists, self.coming, self.leaving) = (false, false, false);
        self.life += 1;
        self.asked.clear();
        self.tightest = self.limits;
        self.by_seq.clear();
        self.orders.clear();
        self.by_msg_id.clear();
        self.purges.clear();
        self.last_told = 0;
    }

    pub(super) fn next_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// Which publish a payload belongs to.
    pub(super) fn find(&self, subject: &str, payload: &[u8]) -> Result<usize, String> {
        let text = payload.split(|b| *b == b'|').next().unwrap_or_default();
        let id: Option<usize> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        let known = id.filter(|id| {
            self.publishes.get(*id).is_some_and(|p| {
                p.payload == payload && self.subjects.get(p.subject).is_some_and(|s| s == subject)
            })
        });
        let text = || format!("{}: {subject} {:?}", self.name, String::from_utf8_lossy(payload));
        let known = known.ok_or_else(|| format!("{} was never published", text()))?;
        if self.publishes[known].dead {
            return Err(format!("{} is of an earlier life", text()));
        }
        Ok(known)
    }

    /// Somebody was told that this publish has this sequence.
    pub(super) fn learn(&mut self, seq: u64, id: usize, how: &str) -> Result<(), String> {
        let name = &self.name;
        if let Some(other) = self.by_seq.get(&seq)
            && *other != id
        {
            return Err(format!("{name}: sequence {seq} is publish {id} by {how}, and was {other}"));
        }
        let publish = &mut self.publishes[id];
        if let Some(before) = publish.seq
            && before != seq
        {
            return Err(format!("{name}: publish {id} is at {seq} by {how}, and was at {before}"));
        }
        if publish.outcome == Outcome::Refused {
            return Err(format!("{name}: publish {id} is at {seq} by {how}, and was refused"));
        }
        let order = publish.order;
        publish.seq = Some(seq);
        self.by_seq.insert(seq, id);
        self.last_told = self.last_told.max(seq);
        let before = self.orders.range(..order).next_back().filter(|(_, s)| **s >= seq);
        let after = self.orders.range(order + 1..).next().filter(|(_, s)| **s <= seq);
        if let Some((other, at)) = before.or(after) {
            return Err(format!(
                "{name}: publish {id}, {order} in order, is at {seq} by {how}, and {other} in order is at {at}"
            ));
        }
        self.orders.insert(order, seq);
        // Consumers may be sent what goes as long as the node is not at rest.
        if how == GET {
            self.rolled_up(id);
        }
        if let Some(msg_id) = self.publishes[id].msg_id {
            let places = self.by_msg_id.get(&msg_id).cloned().unwrap_or_default();
            // What was removed is forgotten by a start.
            let may_go = self.retention != Retention::Limits
                || self.may_lose()
                // A mirror tells of what is gone.
                || self.may_be_removed(&self.publishes[id]);
            let other = places.iter().find(|other| {
                let publish = self.by_seq.get(other).and_then(|id| self.publishes.get(*id));
                **other != seq && !may_go && publish.is_none_or(|p| !self.may_be_removed(p))
            });
            if let Some(other) = other {
                return Err(format!("{}: id m{msg_id} is stored at {other} and at {seq}", self.name));
            }
            self.by_msg_id.entry(msg_id).or_default().insert(seq);
        }
        Ok(())
    }

    /// A publisher was told that its message is a duplicate of this sequence.
    pub(super) fn duplicate(&mut self, id: usize, seq: u64) -> Result<(), String> {
        let name = self.name.clone();
        let Some(msg_id) = self.publishes[id].msg_id else {
            return Err(format!("{name}: publish {id} has no id, and was told to be a duplicate of {seq}"));
        };
        self.publishes[id].outcome = Outcome::Duplicate;
        let places = self.by_msg_id.get(&msg_id).cloned().unwrap_or_default();
        let may_go = self.retention != Retention::Limits || self.may_lose();
        let removed =
            |other: &u64| self.by_seq.get(other).is_some_and(|id| self.may_be_removed(&self.publishes[*id]));
        if !places.is_empty() && !places.contains(&seq) && !may_go && !places.iter().any(removed) {
            return Err(format!("{name}: id m{msg_id} is at {places:?}, and a duplicate was told of {seq}"));
        }
        self.by_msg_id.entry(msg_id).or_default().insert(seq);
        self.last_told = self.last_told.max(seq);
        // The original is promised by this as if its own publisher had been told.
        if let Some(original) = self.by_seq.get(&seq) {
            let publish = &mut self.publishes[*original];
            if publish.msg_id != Some(msg_id) {
                return Err(format!("{name}: publish {id} is no duplicate of {original} at {seq}"));
            }
            publish.outcome = Outcome::Acked;
            return Ok(());
        }
        // One that was promised by an earlier duplicate may not have been seen yet.
        let open =
            |p: &Publish| p.outcome == Outcome::Unknown || (p.outcome == Outcome::Acked && p.seq.is_none());
        let same = |p: &&mut Publish| p.msg_id == Some(msg_id) && !p.dead && open(p);
        let mut candidates: Vec<&mut Publish> = self.publishes.iter_mut().filter(same).collect();
        match candidates.as_mut_slice() {
            [] => {
                return Err(format!(
                    "{name}: publish {id} is a duplicate of nothing that was sent, at {seq}"
                ));
            }
            // There is but one that it can be.
            [only] => only.outcome = Outcome::Acked,
            _ => {}
        }
        Ok(())
    }

    /// Everything that was told to the stream so far is removed, as far as it answers to `which`.
    pub(super) fn mark(&mut self, fate: Fate, until_order: u64, which: impl Fn(&Publish) -> bool) {
        for publish in &mut self.publishes {
            if publish.order <= until_order && which(publish) {
                publish.fate = publish.fate.max(fate);
            }
        }
    }

    /// Whether a request may have taken a message away.
    pub(super) fn may_be_removed(&self, publish: &Publish) -> bool {
        publish.fate != Fate::Kept || self.purges.iter().any(|purge| purge.may_take(publish))
    }

    /// Whether a purge may have taken a message that was sent after it and before its answer: then it took everything before that message as well.
    pub(super) fn may_be_purged(&self, publish: &Publish, found: &BTreeMap<u64, usize>) -> bool {
        self.purges.iter().filter(|purge| purge.may_take(publish)).any(|purge| {
            let mut left = found.values().map(|id| &self.publishes[*id]);
            !left.any(|other| other.order < publish.order && purge.may_take(other))
        })
    }

    /// Whether this purge is one of this life.
    pub(super) fn has_purge(&self, order: u64) -> bool {
        self.purges.iter().any(|purge| purge.order == order)
    }

    /// Purges that were not answered never will be.
    pub(super) fn close_purges(&mut self) {
        let until = self.next_order;
        for purge in &mut self.purges {
            purge.until.get_or_insert(until);
        }
    }

    /// Bytes that a message counts for, in a file or in memory.
    pub(super) fn stored_len(&self, publish: &Publish) -> u64 {
        if self.in_memory {
            let subject = self.subjects[publish.subject].len();
            return (subject + publish.header_len + publish.payload.len() + 16) as u64;
        }
        let header = if publish.header_len > 0 { publish.header_len + 4 } else { 0 };
        (22 + self.subjects[publish.subject].len() + header + publish.payload.len() + 8) as u64
    }

    /// Whether limits may have taken the message at this sequence away.
    pub(super) fn may_have_gone(&self, id: usize, now: u64) -> bool {
        let publish = &self.publishes[id];
        let later = |p: &&Publish| {
            p.order > publish.order && !p.dead && !matches!(p.outcome, Outcome::Refused | Outcome::Duplicate)
        };
        let tightest = self.tightest;
        let over = |limit: u64, count: u64| limit > 0 && count >= limit;
        let (stays, stays_of_subject) = (self.discard_new, self.features.new_per_subject);
        let same = |p: &&Publish| p.subject == publish.subject;
        let of_subject = self.publishes.iter().filter(later).filter(same).count() as u64;
        over(if stays { 0 } else { tightest.max_msgs }, self.publishes.iter().filter(later).count() as u64)
            || over(if stays_of_subject { 0 } else { tightest.max_per_subject }, of_subject)
            || over(publish.ttl_ns, now.saturating_sub(publish.sent_at))
            || (tightest.max_bytes > 0
                && !stays
                && self.publishes.iter().filter(later).map(|p| self.stored_len(p)).sum::<u64>()
                    + self.stored_len(publish)
                    > tightest.max_bytes)
            || over(tightest.max_age_ns, now.saturating_sub(publish.sent_at))
    }

    /// Whether the message is too old by now; `slack` is how late that may be noticed.
    pub(super) fn is_too_old(&self, id: usize, now: u64, slack: u64) -> bool {
        let age = if self.asked.is_empty() { self.limits.max_age_ns } else { 0 };
        let Publish { told_at, ttl_ns, .. } = self.publishes[id];
        let past = |age: u64| age > 0 && told_at.is_some_and(|told| now > told + age + slack);
        past(age) || past(ttl_ns)
    }
}

/// How a consumer acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AckPolicy {
    Explicit,
    All,
    None,
}

/// A consumer, as its client knows it.
#[derive(Clone, Debug)]
pub(super) struct ConsumerModel {
    pub(super) stream: usize,
    pub(super) name: String,
    /// Subjects by number; empty for all.
    pub(super) filter: Vec<usize>,
    pub(super) policy: AckPolicy,
    pub(super) ack_wait_ns: u64,
    /// 0 for any number.
    pub(super) max_deliver: u64,
    pub(super) max_ack_pending: u64,
    pub(super) push: bool,
    /// Its creation was confirmed.
    pub(super) exists: bool,
    /// Its creation was asked for.
    pub(super) coming: bool,
    /// Its deletion was asked for.
    pub(super) leaving: bool,
    /// How often it was deleted.
    pub(super) life: u64,
    /// Nothing was taken from its stream since its creation was asked for.
    pub(super) calm: bool,
    /// Updates that were asked for and not confirmed.
    pub(super) asked: Vec<Setting>,
    /// Every filter of this life.
    pub(super) filters: Vec<Vec<usize>>,
    /// What was sent behind this place in the order came under the present filter.
    pub(super) since: u64,
    /// What was sent behind this place in the order came when it was there.
    pub(super) born: u64,
    /// Everything that reached the client: sequence, and how often.
    pub(super) delivered: BTreeMap<u64, u64>,
    /// Acknowledgements that were confirmed.
    pub(super) confirmed: BTreeSet<u64>,
    /// Acknowledgements that were sent.
    pub(super) acked: BTreeSet<u64>,
    /// What was delivered and not acknowledged, when that is known exactly.
    pub(super) pending: BTreeSet<u64>,
    /// Acknowledged, and the node may not have read that yet.
    pub(super) unsettled: BTreeSet<u64>,
    /// Whether it is.
    pub(super) exact: bool,
    /// The highest sequence that was acknowledged since `pending` is exact.
    pub(super) acked_below: BTreeSet<u64>,
    /// Messages in the hands of the client, with the subject of the acknowledgement.
    pub(super) held: Vec<(u64, String)>,
    /// Requests that may still be waiting.
    pub(super) pulls: usize,
    /// The last delivery and its place, of this life of the node.
    pub(super) last: (u64, u64),
}

/// What an update of a consumer changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) filter: Vec<usize>,
    pub(super) ack_wait_ns: u64,
    pub(super) max_ack_pending: u64,
}

fn meant(filter: &[usize], subject: usize) -> bool {
    filter.is_empty() || filter.contains(&subject)
}

impl ConsumerModel {
    pub(super) fn matches(&self, subject: usize) -> bool {
        meant(&self.filter, subject)
    }

    /// Whether it may have been meant to have a message, by a filter that it has or had.
    pub(super) fn may_match(&self, subject: usize) -> bool {
        self.matches(subject) || self.filters.iter().any(|filter| meant(filter, subject))
    }

    /// Whether it is meant to have a message, whatever became of its updates.
    pub(super) fn is_meant(&self, publish: &Publish) -> bool {
        let always = self.filters.iter().all(|filter| meant(filter, publish.subject));
        // When a marker was stored is not known: a former filter may have passed it over.
        let after = publish.order > self.since && (self.since == 0 || !publish.is_marker);
        let now = self.asked.is_empty() && after;
        self.matches(publish.subject) && (now || always)
    }

    /// Whether a message was sent to a stream that certainly had it.
    pub(super) fn has_interest(&self, publish: &Publish) -> bool {
        self.exists && !self.leaving && publish.order > self.born && self.is_meant(publish)
    }

    /// Whether every delivery of this life has reached the client: nothing is lost between a node and this client but by a crash.
    pub(super) fn knows_all(&self) -> bool {
        self.exact
    }

    /// Whether nobody knows if it is there, or with which configuration.
    pub(super) fn is_uncertain(&self) -> bool {
        self.coming || self.leaving || !self.asked.is_empty()
    }

    /// How it is configured. Without acknowledgements, nothing is said of them.
    pub(super) fn setting(&self) -> Setting {
        let acks = u64::from(self.policy != AckPolicy::None);
        Setting {
            filter: self.filter.clone(),
            ack_wait_ns: acks * self.ack_wait_ns,
            max_ack_pending: acks * self.max_ack_pending,
        }
    }

    /// An update is in force, of those that were asked for.
    pub(super) fn adopt(&mut self, setting: Setting, order: u64) {
        if setting.filter != self.filter {
            (self.filter, self.since) = (setting.filter, order);
        }
        (self.ack_wait_ns, self.max_ack_pending) = (setting.ack_wait_ns, setting.max_ack_pending);
    }

    /// It is gone. What a work queue had done stays done.
    pub(super) fn reset(&mut self, retention: Retention) {
        (self.exists, self.coming, self.leaving, self.exact) = (false, false, false, false);
        self.life += 1;
        (self.since, self.born, self.last) = (0, 0, (0, 0));
        self.asked.clear();
        self.filters = vec![self.filter.clone()];
        self.delivered.clear();
        if retention != Retention::WorkQueue {
            self.confirmed.clear();
            self.acked.clear();
        }
        self.pending.clear();
        self.unsettled.clear();
        self.acked_below.clear();
        self.held.clear();
        self.pulls = 0;
    }

    /// It was made; `exact` if nothing is uncertain of what was delivered in this life.
    pub(super) fn made(&mut self, order: u64, exact: bool) {
        (self.exists, self.coming, self.born, self.exact) = (true, false, order, exact && self.calm);
    }

    /// An acknowledgement goes out.
    pub(super) fn sent_ack(&mut self, seq: u64) {
        match self.policy {
            AckPolicy::All => {
                self.acked.extend(self.delivered.range(..=seq).map(|(seq, _)| *seq));
                self.acked_below.extend(self.pending.range(..=seq).copied());
                self.unsettled.extend(self.pending.range(..=seq).copied());
                self.pending = self.pending.split_off(&(seq + 1));
            }
            _ => {
                self.acked.insert(seq);
                if self.pending.remove(&seq) {
                    self.unsettled.insert(seq);
                    self.acked_below.insert(seq);
                }
            }
        }
    }

    /// An acknowledgement was confirmed.
    pub(super) fn confirm(&mut self, seq: u64) {
        match self.policy {
            AckPolicy::All => self.confirmed.extend(self.delivered.range(..=seq).map(|(seq, _)| *seq)),
            _ => {
                self.confirmed.insert(seq);
            }
        }
    }

    /// Whether every acknowledgement that would remove this message may have been given.
    pub(super) fn may_be_done(&self, seq: u64) -> bool {
        match self.policy {
            AckPolicy::None => self.delivered.contains_key(&seq),
            _ => self.acked.contains(&seq),
        }
    }
}
