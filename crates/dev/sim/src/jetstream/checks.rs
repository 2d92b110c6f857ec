//! What is asked of a node at rest, and held against what clients know.

use std::collections::BTreeMap;

use super::features::{header_of, is_marker};
use super::json::{Json, base64};
use super::model::{AckPolicy, ConsumerModel, Fate, GET, Limits, Outcome, Publish, Retention};
use super::swarm;
use super::tamper::Break;
use super::world::{Result, Trouble, World};

/// How late an age may be noticed.
const LATE: u64 = 2_000_000_000;

fn wrong<T>(text: String) -> Result<T> {
    Err(Trouble::Wrong(text))
}

impl World {
    /// Every stream and consumer is there: what was confirmed is as it was, the rest is made.
    pub(super) fn ensure(&mut self) -> Result {
        for at in 0..self.streams.len() {
            let name = self.streams[at].name.clone();
            if self.streams[at].exists {
                let info = self.call(&format!("$JS.API.STREAM.INFO.{name}"), "")?;
                if info.get("error").is_some() && self.streams[at].leaving {
                    self.stream_gone(at);
                } else if info.get("error").is_some() {
                    return wrong(format!("{name}: is there, and was answered {info:?}"));
                } else {
                    // What was asked for and not done never will be.
                    self.streams[at].leaving = false;
                    self.check_config(at, &info)?;
                }
            }
            if self.streams[at].in_memory {
                self.verify_with_consumers(at)?;
                self.saw("streams in memory begun anew");
            }
            if !self.streams[at].exists {
                let body = swarm::stream_config(&self.streams[at], self.streams[at].limits);
                self.demand(&format!("$JS.API.STREAM.CREATE.{name}"), &body)?;
                (self.streams[at].exists, self.streams[at].coming) = (true, false);
            }
        }
        for at in 0..self.consumers.len() {
            self.ensure_consumer(at)?;
        }
        self.ensure_copies()?;
        self.ensure_extras()
    }

    fn ensure_consumer(&mut self, at: usize) -> Result {
        let consumer = &self.consumers[at];
        let model = &self.streams[consumer.stream];
        let (name, stream, retention) = (consumer.name.clone(), model.name.clone(), model.retention);
        if consumer.exists {
            let info = self.call(&format!("$JS.API.CONSUMER.INFO.{stream}.{name}"), "")?;
            let order = self.streams[self.consumers[at].stream].next_order;
            let consumer = &mut self.consumers[at];
            if info.get("error").is_some() && consumer.leaving {
                consumer.reset(retention);
            } else if info.get("error").is_some() {
                return wrong(format!("{stream} {name}: is there, and was answered {info:?}"));
            } else {
                consumer.leaving = false;
                let found = swarm::setting_of(info.get("config"), &stream);
                if found != consumer.setting() && !consumer.asked.contains(&found) {
                    return wrong(format!(
                        "{stream} {name}: has {found:?}, and was told to have {:?} or {:?}",
                        consumer.setting(),
                        consumer.asked
                    ));
                }
                consumer.adopt(found, order);
                consumer.asked.clear();
            }
        }
        let consumer = &self.consumers[at];
        if !consumer.exists {
            let model = &self.streams[consumer.stream];
            let body = swarm::consumer_config(at, consumer, &consumer.setting(), model);
            // It may have been made, and have delivered, before a crash.
            let exact = !model.may_lose() && !consumer.coming;
            let order = model.next_order;
            (self.consumers[at].coming, self.consumers[at].calm) = (true, true);
            self.demand(&format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}"), &body)?;
            self.consumers[at].made(order, exact);
        }
        Ok(())
    }

    /// The configuration is the one that was confirmed last, or one that was asked for since.
    fn check_config(&mut self, at: usize, info: &Json) -> Result {
        let config = info.get("config");
        let limit = |name: &str| u64::try_from(config.get(name).signed()).unwrap_or(0);
        let mut found = Limits {
            max_msgs: limit("max_msgs"),
            max_per_subject: limit("max_msgs_per_subject"),
            max_bytes: limit("max_bytes"),
            max_age_ns: limit("max_age"),
        };
        if self.broken == Some(Break::ForgetUpdate) && self.verdict.seen.contains_key("updates") {
            found.max_msgs += 1;
        }
        let stream = &mut self.streams[at];
        if found != stream.limits && !stream.asked.contains(&found) {
            return wrong(format!(
                "{}: has {found:?}, and was told to have {:?} or {:?}",
                stream.name, stream.limits, stream.asked
            ));
        }
        stream.limits = found;
        stream.asked.clear();
        Ok(())
    }

    pub(super) fn verify_all(&mut self) -> Result {
        self.saw("verifications");
        for at in 0..self.streams.len() {
            self.verify_with_consumers(at)?;
        }
        self.verify_copies()?;
        self.verify_extras()
    }

    /// A stream and its consumers, as they are at one moment. Ages may pass in between.
    fn verify_with_consumers(&mut self, at: usize) -> Result {
        if !self.streams[at].exists {
            let info = self.call(&format!("$JS.API.STREAM.INFO.{}", self.streams[at].name), "")?;
            let gone = info.get("error").get("err_code").number() == 10059;
            return if gone {
                Ok(())
            } else {
                wrong(format!("{}: is gone, and is there", self.streams[at].name))
            };
        }
        for _ in 0..100 {
            let (state, found) = self.verify_stream(at)?;
            let mut infos = Vec::new();
            for consumer in 0..self.consumers.len() {
                if self.consumers[consumer].stream == at {
                    let (stream, name) = (&self.streams[at].name, &self.consumers[consumer].name);
                    let subject = format!("$JS.API.CONSUMER.INFO.{stream}.{name}");
                    if !self.consumers[consumer].exists {
                        let info = self.call(&subject, "")?;
                        if info.get("error").get("err_code").number() != 10014 {
                            return wrong(format!("{subject}: is gone, and is there"));
                        }
                        continue;
                    }
                    infos.push((consumer, self.demand(&subject, "")?));
                }
            }
            let subject = format!("$JS.API.STREAM.INFO.{}", self.streams[at].name);
            if self.demand(&subject, "")?.get("state") != &state {
                continue;
            }
            for (consumer, info) in infos {
                self.verify_consumer(consumer, &info, &found)?;
            }
            return Ok(());
        }
        wrong(format!("{}: changes all the time", self.streams[at].name))
    }

    /// Everything that the stream holds: sequence and publish.
    fn scan(&mut self, at: usize, first: u64, last: u64) -> Result<BTreeMap<u64, usize>> {
        let name = self.streams[at].name.clone();
        let mut found = BTreeMap::new();
        for seq in first.max(1)..=last {
            let answer =
                self.call(&format!("$JS.API.STREAM.MSG.GET.{name}"), &format!(r#"{{"seq":{seq}}}"#))?;
            if answer.get("error").get("err_code").number() == 10037 {
                continue;
            }
            let message = answer.get("message");
            if message.get("seq").number() != seq {
                return wrong(format!("{name}: asked for {seq}, answered {answer:?}"));
            }
            let (subject, header) = (message.get("subject").text(), header_of(message));
            let id = if is_marker(&header) {
                self.saw("markers");
                self.streams[at].marker(seq, subject, &header)?
            } else {
                let id = self.streams[at].find(subject, &base64(message.get("data").text()))?;
                self.streams[at].learn(seq, id, GET)?;
                id
            };
            found.insert(seq, id);
        }
        Ok(found)
    }

    /// What the stream says of itself, and what it holds. Ages may pass in between.
    pub(super) fn look(&mut self, at: usize) -> Result<(Json, BTreeMap<u64, usize>)> {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.streams[at].name);
        for _ in 0..100 {
            let state = self.demand(&subject, "")?.get("state").clone();
            let found = self.scan(at, state.get("first_seq").number(), state.get("last_seq").number())?;
            self.settle()?;
            if self.demand(&subject, "")?.get("state") == &state {
                return Ok((state, found));
            }
        }
        wrong(format!("{}: changes all the time", self.streams[at].name))
    }

    fn verify_stream(&mut self, at: usize) -> Result<(Json, BTreeMap<u64, usize>)> {
        let name = self.streams[at].name.clone();
        let told = self.streams[at].last_told;
        let (state, found) = self.look(at)?;
        let (first, last) = (state.get("first_seq").number(), state.get("last_seq").number());
        if last < told {
            return wrong(format!("{name}: ends at {last}, and {told} was told of"));
        }
        let mut messages = state.get("messages").number();
        if self.broken == Some(Break::WrongMessages) {
            messages += 1;
        }
        // One that never had a message begins at 0, until it is purged.
        let never = u64::from(last > 0 || first == 1);
        let begins = found.first_key_value().map_or((last + 1) * never, |(seq, _)| *seq);
        let deleted = state.get("num_deleted").number();
        let length = (last + 1) * never - first;
        if messages != found.len() as u64 || first != begins || length != messages + deleted {
            return wrong(format!(
                "{name}: {messages} messages from {first} to {last}, {deleted} deleted; found {:?}",
                found.keys().collect::<Vec<_>>()
            ));
        }
        let model = &self.streams[at];
        let bytes: u64 = found.values().map(|id| model.stored_len(&model.publishes[*id])).sum();
        if bytes != state.get("bytes").number() {
            return wrong(format!("{name}: {} bytes, found {bytes}", state.get("bytes").number()));
        }
        self.check_limits(at, &found, bytes)?;
        self.check_kept(at, &found)?;
        self.check_batches(at, &found)?;
        self.check_done(at, &found)?;
        Ok((state, found))
    }

    fn check_limits(&self, at: usize, found: &BTreeMap<u64, usize>, bytes: u64) -> Result {
        let model = &self.streams[at];
        // What was asked for and not answered may or may not be in force.
        if !model.asked.is_empty() {
            return Ok(());
        }
        let mut limits = model.limits;
        if self.broken == Some(Break::ForgetLimit) {
            limits.max_msgs = limits.max_msgs.saturating_sub(1);
        }
        let over = |limit: u64, count: u64| limit > 0 && count > limit;
        let mut by_subject: BTreeMap<usize, u64> = BTreeMap::new();
        for id in found.values() {
            *by_subject.entry(model.publishes[*id].subject).or_insert(0) += 1;
        }
        let most = by_subject.values().copied().max().unwrap_or(0);
        // One that refuses what is new keeps what it had when a limit was lowered.
        if model.discard_new && self.verdict.seen.contains_key("updates") {
            return Ok(());
        }
        if over(limits.max_msgs, found.len() as u64)
            || over(limits.max_bytes, bytes)
            || over(limits.max_per_subject, most)
        {
            return wrong(format!(
                "{}: {limits:?}, and {} messages, {bytes} bytes, {most} of one subject",
                model.name,
                found.len()
            ));
        }
        let now = self.now + if self.broken == Some(Break::ForgetMarkers) { LATE } else { 0 };
        let shown = |id: &usize| self.broken == Some(Break::ForgetMarkers) && model.publishes[*id].is_marker;
        let shown: BTreeMap<u64, usize> =
            found.iter().filter(|(_, id)| !shown(id)).map(|(seq, id)| (*seq, *id)).collect();
        if let Some(seq) = model.unmarked(&shown, now) {
            return wrong(format!(
                "{}: {seq} was the last of its subject and expired, without a marker",
                model.name
            ));
        }
        for (seq, id) in found {
            if model.is_too_old(*id, self.now, LATE) {
                return wrong(format!("{}: {seq}, publish {id}, is too old and still there", model.name));
            }
        }
        Ok(())
    }

    /// What was acknowledged is there, unless something took it away; what was removed is not.
    fn check_kept(&self, at: usize, found: &BTreeMap<u64, usize>) -> Result {
        let model = &self.streams[at];
        for (id, publish) in model.publishes.iter().enumerate().filter(|(_, publish)| !publish.dead) {
            let place = publish.seq.filter(|seq| found.contains_key(seq));
            if let Some(seq) = place {
                if publish.fate == Fate::Gone {
                    return wrong(format!("{}: {seq}, publish {id}, was removed and is there", model.name));
                }
                continue;
            }
            if publish.outcome != Outcome::Acked || publish.fate != Fate::Kept {
                continue;
            }
            let Some(seq) = publish.seq else { continue };
            if model.may_have_gone(id, self.now)
                || self.may_be_done(at, seq, publish)
                || model.may_be_purged(publish, found)
            {
                continue;
            }
            return wrong(format!("{}: {seq}, publish {id}, was acknowledged and is lost", model.name));
        }
        Ok(())
    }

    /// Whether those who need the message may have acknowledged it.
    fn may_be_done(&self, at: usize, seq: u64, publish: &Publish) -> bool {
        let mut own = self.consumers.iter().filter(|c| c.stream == at);
        match self.streams[at].retention {
            Retention::Limits => false,
            Retention::WorkQueue => own.any(|consumer| consumer.may_be_done(seq)),
            Retention::Interest => own.filter(|c| c.has_interest(publish)).all(|c| c.may_be_done(seq)),
        }
    }

    fn check_batches(&self, at: usize, found: &BTreeMap<u64, usize>) -> Result {
        let model = &self.streams[at];
        if model.may_lose() || model.retention != Retention::Limits {
            return Ok(());
        }
        for (number, batch) in model.batches.iter().enumerate() {
            if batch.members.iter().any(|id| model.publishes[*id].dead) {
                continue;
            }
            let members = batch.members.iter().map(|id| &model.publishes[*id]);
            let removed = members.clone().any(|member| model.may_be_removed(member));
            let there = members.filter(|m| m.seq.is_some_and(|seq| found.contains_key(&seq))).count();
            if !removed && there != 0 && there != batch.members.len() {
                return wrong(format!(
                    "{}: {there} of {} messages of batch {number} are there",
                    model.name,
                    batch.members.len()
                ));
            }
        }
        Ok(())
    }

    /// Nothing stays that everybody has acknowledged.
    fn check_done(&self, at: usize, found: &BTreeMap<u64, usize>) -> Result {
        let model = &self.streams[at];
        let own = || self.consumers.iter().filter(|c| c.stream == at);
        if model.retention == Retention::Limits || own().any(ConsumerModel::is_uncertain) {
            return Ok(());
        }
        for (seq, id) in found {
            let subject = model.publishes[*id].subject;
            let mut those = own().filter(|c| c.exists && c.matches(subject));
            // What was given up is kept.
            if those.clone().any(|consumer| consumer.max_deliver > 0) {
                continue;
            }
            let done = match model.retention {
                Retention::WorkQueue => those.any(|consumer| consumer.confirmed.contains(seq)),
                _ => those.all(|consumer| consumer.confirmed.contains(seq)),
            };
            if done || self.broken == Some(Break::KeepWork) && !model.publishes[*id].payload.is_empty() {
                return wrong(format!("{}: {seq}, publish {id}, is done with and still there", model.name));
            }
        }
        Ok(())
    }

    fn verify_consumer(&mut self, at: usize, info: &Json, found: &BTreeMap<u64, usize>) -> Result {
        let consumer = &self.consumers[at];
        let model = &self.streams[consumer.stream];
        let (stream, name) = (model.name.clone(), consumer.name.clone());
        let delivered = info.get("delivered").get("stream_seq").number();
        let mut floor = info.get("ack_floor").get("stream_seq").number();
        let (mut pending, mut ack_pending) =
            (info.get("num_pending").number(), info.get("num_ack_pending").number());
        match self.broken {
            Some(Break::WrongPending) => pending += 1,
            Some(Break::WrongAckPending) => ack_pending += 1,
            Some(Break::WrongFloor) => floor = delivered,
            _ => {}
        }
        let who = format!("{stream} {name}");
        let ahead = || found.range(delivered + 1..).map(|(_, id)| &model.publishes[*id]);
        let waiting = ahead().filter(|publish| consumer.matches(publish.subject)).count() as u64;
        // What another filter had passed over stays behind.
        let least = ahead().filter(|publish| consumer.is_meant(publish)).count() as u64;
        if consumer.asked.is_empty() && !(least..=waiting).contains(&pending) {
            return wrong(format!("{who}: {pending} are pending after {delivered}, and {waiting} are there"));
        }
        if floor > delivered {
            return wrong(format!("{who}: the floor {floor} lies above {delivered}"));
        }
        if consumer.policy == AckPolicy::None {
            return if ack_pending == 0 { Ok(()) } else { wrong(format!("{who}: waits for {ack_pending}")) };
        }
        if let Some(lost) = self.lost_above(at, floor, found) {
            return wrong(format!("{who}: the floor is {floor}, and {lost} was not acknowledged"));
        }
        if !consumer.exact {
            return Ok(());
        }
        self.saw("exact counts");
        let consumer = &self.consumers[at];
        let expected = consumer.pending.len() as u64;
        if ack_pending != expected {
            return wrong(format!(
                "{who}: {ack_pending} wait for acknowledgements, and {:?} were not acknowledged",
                consumer.pending
            ));
        }
        let lowest = consumer.pending.first().copied();
        let below = lowest.and_then(|lowest| consumer.acked_below.range(..lowest).next_back().copied());
        let exact = match lowest {
            None => floor == delivered || consumer.delivered.is_empty(),
            Some(lowest) => floor < lowest && floor >= below.unwrap_or(0),
        };
        if !exact {
            return wrong(format!(
                "{who}: the floor is {floor}; {lowest:?} is pending, {below:?} acknowledged"
            ));
        }
        Ok(())
    }

    /// A message below the floor for which no acknowledgement was ever sent.
    fn lost_above(&self, at: usize, floor: u64, found: &BTreeMap<u64, usize>) -> Option<u64> {
        let consumer = &self.consumers[at];
        let model = &self.streams[consumer.stream];
        // Those that were delivered often enough are given up.
        if consumer.max_deliver > 0 {
            return None;
        }
        let open = |(seq, id): &(&u64, &usize)| {
            consumer.is_meant(&model.publishes[**id]) && !consumer.acked.contains(seq)
        };
        found.range(..=floor).find(open).map(|(seq, _)| *seq)
    }

    /// Every consumer is served until it has everything.
    pub(super) fn drain_all(&mut self) -> Result {
        self.settle()?;
        for at in 0..self.consumers.len() {
            if self.consumers[at].exists {
                self.drain(at)?;
            }
        }
        self.settle()
    }

    fn drain(&mut self, at: usize) -> Result {
        let consumer = &self.consumers[at];
        let (stream, name) = (self.streams[consumer.stream].name.clone(), consumer.name.clone());
        for _ in 0..300 {
            // What expires meanwhile may leave a marker, which comes later.
            let told = self.demand(&format!("$JS.API.STREAM.INFO.{stream}"), "")?;
            let last = told.get("state").get("last_seq").number();
            if !self.consumers[at].push {
                self.consumers[at].pulls = 0;
                self.pull_from(at, 20, true)?;
            }
            self.settle()?;
            for (seq, subject) in std::mem::take(&mut self.consumers[at].held) {
                self.acknowledge(at, seq, &subject, "", true)?;
            }
            self.settle()?;
            let info = self.demand(&format!("$JS.API.CONSUMER.INFO.{stream}.{name}"), "")?;
            if info.get("num_pending").number() == 0 && info.get("num_ack_pending").number() == 0 {
                self.settle()?;
                return self.drained(at, last);
            }
            self.pass(5_000_000_000)?;
        }
        wrong(format!("{stream} {name}: does not come to its end"))
    }

    /// Everything that is there up to a sequence was delivered at least once.
    fn drained(&mut self, at: usize, last: u64) -> Result {
        self.saw("drained consumers");
        let stream = self.consumers[at].stream;
        let name = self.streams[stream].name.clone();
        let (_, found) = self.look(stream)?;
        let undisturbed = !self.streams[stream].may_lose();
        let consumer = &mut self.consumers[at];
        let model = &self.streams[stream];
        for (seq, id) in found.range(..=last) {
            if consumer.is_meant(&model.publishes[*id]) && !consumer.delivered.contains_key(seq) {
                return wrong(format!("{name} {}: {seq}, publish {id}, was never delivered", consumer.name));
            }
        }
        consumer.pending.clear();
        consumer.acked_below = consumer.acked.clone();
        consumer.exact = undisturbed && consumer.max_deliver == 0;
        Ok(())
    }

    /// Whether somebody takes every message of the stream.
    fn all_is_wanted(&self, at: usize) -> bool {
        let wanted =
            |subject| self.consumers.iter().any(|c| c.stream == at && c.exists && c.matches(subject));
        (0..self.streams[at].subjects.len()).all(wanted)
    }

    /// What expires last of a subject leaves a marker, which can be seen until it is as old.
    fn verify_marker_of(&mut self, at: usize) -> Result {
        let model = &self.streams[at];
        let age = model.limits.max_age_ns;
        if !model.features.markers || !model.exists || age < 3 * LATE {
            return Ok(());
        }
        self.publish(at)?;
        self.settle()?;
        self.pass(age + LATE + LATE / 2)?;
        self.verify_stream(at).map(|_| ())
    }

    /// The same of all streams.
    pub(super) fn verify_markers(&mut self) -> Result {
        (0..self.streams.len()).try_for_each(|at| self.verify_marker_of(at))
    }

    /// What was worked off leaves nothing behind.
    pub(super) fn verify_empty(&mut self) -> Result {
        for at in 0..self.streams.len() {
            let own: Vec<_> = self.consumers.iter().filter(|consumer| consumer.stream == at).collect();
            let certain = own.iter().all(|c| c.max_deliver == 0 && c.policy == AckPolicy::Explicit);
            let retention = self.streams[at].retention;
            if retention == Retention::Limits || own.is_empty() || !certain || !self.all_is_wanted(at) {
                continue;
            }
            let name = self.streams[at].name.clone();
            let state = self.demand(&format!("$JS.API.STREAM.INFO.{name}"), "")?.get("state").clone();
            let left = state.get("messages").number();
            if left > 0 {
                return wrong(format!("{name}: {left} messages are left when all is done"));
            }
            self.saw("queues worked off");
        }
        Ok(())
    }
}
