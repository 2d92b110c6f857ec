//! What clients are told.

use super::features::is_marker;
use super::json::Json;
use super::model::{AckPolicy, Fate, Outcome, StreamModel};
use super::node::Event;
use super::world::{Ask, Result, Trouble, World};

/// Errors that a publish may meet: a wrong last sequence, a full stream, a batch that was given up.
const EXPECTED: [u64; 4] = [10071, 10077, 10164, 10176];

impl World {
    /// Deals with everything that reached clients.
    pub(super) fn take_events(&mut self) -> Result {
        let Some(node) = &self.node else { return Ok(()) };
        let mut events = node.take_events();
        if self.broken.is_some() {
            self.tamper(&mut events);
        }
        for event in events {
            self.note(|| {
                let header = String::from_utf8_lossy(&event.header).replace("\r\n", " ");
                let payload = String::from_utf8_lossy(&event.payload);
                format!("     {} {} {} {header}{payload}", event.to, event.subject, event.reply)
            });
            if event.to == 0 {
                self.answered(&event)?;
            } else {
                self.delivered((event.to - 100) as usize, &event)?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, event: &Event) -> Result {
        let number = event.subject.strip_prefix("_R.").and_then(|text| text.parse::<u64>().ok());
        let Some(number) = number else { return Ok(()) };
        let Some(ask) = self.asks.remove(&number) else {
            return Err(Trouble::Wrong(format!("two answers to request {number}")));
        };
        let answer = Json::read(&event.payload);
        let failed = answer.get("error").is_some();
        if event.header.starts_with(b"NATS/1.0 503") {
            return self.met_nobody(&ask);
        }
        match ask {
            Ask::MakeStream { .. }
            | Ask::DropStream { .. }
            | Ask::MakeConsumer { .. }
            | Ask::DropConsumer { .. }
            | Ask::ChangeConsumer { .. } => {
                let error = failed.then(|| format!("{:?}", answer.get("error")));
                if !self.is_the_disks(&answer) {
                    self.life_answered(ask, error)?;
                }
            }
            Ask::Call => {
                self.answers.insert(number, event.payload.clone());
            }
            Ask::Nothing => {}
            Ask::Extra(extra) => self.extra_answered(extra, &answer)?,
            Ask::Publish { stream, id, expected } => self.published(stream, id, expected, &answer)?,
            Ask::Commit { stream, batch } => self.committed(stream, batch, &answer)?,
            Ask::Ack { consumer, life, .. } if self.consumers[consumer].life != life => {}
            Ask::Ack { consumer, seq, .. } => {
                if self.is_the_disks(&answer) {
                    self.saw("acknowledgements refused by the disk");
                    return Ok(());
                }
                if !event.payload.is_empty() {
                    return Err(Trouble::Wrong(format!("an acknowledgement was answered {answer:?}")));
                }
                self.saw("confirmed acknowledgements");
                self.consumers[consumer].confirm(seq);
            }
            Ask::Delete { stream, id } => {
                // One that was gone was found by nobody.
                if !failed && !self.streams[stream].publishes[id].dead {
                    self.streams[stream].publishes[id].fate = Fate::Gone;
                }
            }
            Ask::Purge { stream, order, .. } if !self.streams[stream].has_purge(order) => {}
            Ask::Purge { stream, order, subject } => {
                // One that waited for a block when the node was told to stop is not done, or not to its end.
                let cut_off =
                    self.stopping && answer.get("error").get("description").text() == "store is closed";
                if failed && (self.streams[stream].leaving || self.is_the_disks(&answer) || cut_off) {
                    return Ok(());
                }
                if failed {
                    return Err(Trouble::Wrong(format!("a purge failed: {answer:?}")));
                }
                let model = &mut self.streams[stream];
                model.mark(Fate::Gone, order, |publish| {
                    subject.is_none_or(|subject| publish.subject == subject)
                });
                let until = model.next_order;
                model.purges.iter_mut().filter(|purge| purge.order == order).for_each(|purge| {
                    purge.until = Some(until);
                });
            }
            Ask::Update { stream, life, .. } if self.streams[stream].life != life => {}
            Ask::Update { stream, limits, .. } => {
                // What a stop overtakes is refused, and may be done all the same.
                let cut_off =
                    self.stopping && answer.get("error").get("description").text() == "store is closed";
                let uncertain = cut_off || self.streams[stream].leaving;
                if failed && (uncertain || self.is_the_disks(&answer)) {
                    return Ok(());
                }
                if failed {
                    return Err(Trouble::Wrong(format!("an update failed: {answer:?}")));
                }
                let model = &mut self.streams[stream];
                model.limits = limits;
                // They are answered in the order in which they were asked.
                let at = model.asked.iter().position(|asked| *asked == limits).map_or(0, |at| at + 1);
                model.asked.drain(..at);
            }
        }
        Ok(())
    }

    /// What comes behind a deletion is answered as if nothing were there.
    fn met_nobody(&mut self, ask: &Ask) -> Result {
        let stream = match ask {
            Ask::Publish { stream, .. } | Ask::Commit { stream, .. } => Some(*stream),
            // One whose files were opened anew has another number, and what was on its way does not find it.
            Ask::Ack { .. } | Ask::Nothing => None,
            _ => return Err(Trouble::Wrong("a request met nobody".into())),
        };
        if let Some(model) = stream.map(|stream| &self.streams[stream])
            && !model.leaving
        {
            return Err(Trouble::Wrong(format!("{}: a publish met nobody", model.name)));
        }
        self.saw("requests that met nobody");
        Ok(())
    }

    fn published(&mut self, stream: usize, id: usize, expected: Option<u64>, answer: &Json) -> Result {
        let now = self.now;
        if self.is_the_disks(answer) {
            self.saw("publishes refused by the disk");
            return Ok(());
        }
        let model = &mut self.streams[stream];
        if model.publishes[id].dead {
            return Ok(());
        }
        let error = answer.get("error");
        if error.is_some() {
            let code = error.get("err_code").number();
            if !EXPECTED.contains(&code) {
                return Err(Trouble::Wrong(format!("{}: publish {id} was refused: {error:?}", model.name)));
            }
            if code == 10077 && !model.discard_new {
                return Err(Trouble::Wrong(format!("{}: publish {id} was refused: {error:?}", model.name)));
            }
            if model.publishes[id].seq.is_some() {
                return Err(Trouble::Wrong(format!("{}: publish {id} was refused and stored", model.name)));
            }
            if code == 10077
                && model.features.new_per_subject
                && !model.limits.sized()
                && model.publishes[id].has_room
            {
                return Err(Trouble::Wrong(format!(
                    "{}: publish {id} was refused, with room for it",
                    model.name
                )));
            }
            model.publishes[id].outcome = Outcome::Refused;
            return Ok(());
        }
        let seq = answer.get("seq").number();
        if answer.get("duplicate").is_some() {
            model.duplicate(id, seq)?;
            self.saw("duplicates");
            return Ok(());
        }
        if seq == 0 {
            return Err(Trouble::Wrong(format!("{}: publish {id} was answered {answer:?}", model.name)));
        }
        model.learn(seq, id, "its acknowledgement")?;
        model.publishes[id].outcome = Outcome::Acked;
        model.publishes[id].told_at = Some(now);
        if expected.is_some_and(|expected| expected + 1 != seq) {
            return Err(Trouble::Wrong(format!("{}: publish {id} expected {expected:?}", model.name)));
        }
        self.saw("acknowledged publishes");
        Ok(())
    }

    fn committed(&mut self, stream: usize, batch: usize, answer: &Json) -> Result {
        let now = self.now;
        if self.is_the_disks(answer) {
            return Ok(());
        }
        let model = &mut self.streams[stream];
        let members = model.batches[batch].members.clone();
        if members.iter().any(|member| model.publishes[*member].dead) {
            return Ok(());
        }
        let error = answer.get("error");
        if error.is_some() {
            if !EXPECTED.contains(&error.get("err_code").number()) {
                return Err(Trouble::Wrong(format!("{}: batch {batch}: {error:?}", model.name)));
            }
            model.batches[batch].refused = true;
            for member in members {
                if model.publishes[member].seq.is_some() {
                    return Err(Trouble::Wrong(format!(
                        "{}: batch {batch} was refused and stored",
                        model.name
                    )));
                }
                model.publishes[member].outcome = Outcome::Refused;
            }
            return Ok(());
        }
        let (seq, count) = (answer.get("seq").number(), answer.get("count").number());
        if count != members.len() as u64 || seq < count {
            return Err(Trouble::Wrong(format!("{}: batch {batch}: {answer:?}", model.name)));
        }
        model.batches[batch].committed = true;
        for (at, member) in members.into_iter().enumerate() {
            model.learn(seq - count + 1 + at as u64, member, "the acknowledgement of its batch")?;
            model.publishes[member].outcome = Outcome::Acked;
            model.publishes[member].told_at = Some(now);
        }
        self.saw("committed batches");
        Ok(())
    }

    fn delivered(&mut self, at: usize, event: &Event) -> Result {
        let tokens: Vec<&str> = event.reply.split('.').collect();
        let [_, "ACK", of, name, count, seq, _, _, _] = tokens.as_slice() else {
            let text = String::from_utf8_lossy(&event.header);
            let consumer = &mut self.consumers[at];
            if !text.starts_with("NATS/1.0 100") {
                consumer.pulls = consumer.pulls.saturating_sub(1);
            }
            return Ok(());
        };
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        let (count, seq) = (number(count), number(seq));
        let consumer = &mut self.consumers[at];
        let model = &mut self.streams[consumer.stream];
        let who = format!("{} {}", consumer.name, model.name);
        if *of != model.name || *name != consumer.name {
            return Err(Trouble::Wrong(format!("{who} was sent a message of {of} {name}")));
        }
        let id = if is_marker(&event.header) {
            model.marker(seq, &event.subject, &event.header)?
        } else {
            let id = model.find(&event.subject, &event.payload)?;
            model.learn(seq, id, "a delivery")?;
            id
        };
        let publish = &model.publishes[id];
        let wrong = |text: &str| Err(Trouble::Wrong(format!("{who}: {seq}, publish {id}, {text}")));
        if publish.fate == Fate::Gone {
            return wrong("was delivered after its removal was confirmed");
        }
        let settled = count == 1 && consumer.asked.is_empty();
        if !(if settled { consumer.matches(publish.subject) } else { consumer.may_match(publish.subject) }) {
            return wrong("was delivered and is not wanted");
        }
        if !consumer.exists && !consumer.coming {
            return wrong("was delivered to a consumer that is gone");
        }
        if count > 1 && consumer.knows_all() && !consumer.delivered.contains_key(&seq) {
            return wrong("was delivered again, and never before");
        }
        if consumer.confirmed.contains(&seq) {
            return wrong("was delivered after its acknowledgement was confirmed");
        }
        if count == 1 {
            if seq <= consumer.last.0 && !self.shaken {
                return wrong(&format!("was delivered for the first time after {}", consumer.last.0));
            }
            consumer.last.0 = seq;
        } else if consumer.policy == AckPolicy::None {
            return wrong("was delivered twice, and nothing is acknowledged");
        }
        *consumer.delivered.entry(seq).or_insert(0) += 1;
        if consumer.exact && consumer.max_deliver > 0 && count > consumer.max_deliver {
            return wrong(&format!("was delivered {count} times"));
        }
        // It may be given up from here on, even while the consumer is only just being made.
        if consumer.max_deliver > 0 && count >= consumer.max_deliver {
            (consumer.exact, consumer.calm) = (false, false);
        }
        if consumer.policy != AckPolicy::None {
            let crossed = count > 1 && consumer.unsettled.contains(&seq);
            if consumer.exact && count > 1 && !crossed && !consumer.pending.contains(&seq) {
                return wrong("was delivered again, and was not pending");
            }
            if !crossed {
                consumer.pending.insert(seq);
            }
            let most = consumer.max_ack_pending;
            if consumer.exact && count == 1 && consumer.pending.len() as u64 > most {
                return wrong(&format!("was delivered beside {} others", consumer.pending.len() - 1));
            }
            consumer.held.push((seq, event.reply.clone()));
        }
        self.saw(if count == 1 { "deliveries" } else { "redeliveries" });
        Ok(())
    }

    /// A disk that failed is well again, and nothing more is answered that was asked before. Says how much it was.
    pub(super) fn give_up(&mut self) -> usize {
        let unanswered = self.asks.values().filter(|ask| !matches!(ask, Ask::Nothing)).count();
        self.asks.clear();
        self.streams.iter_mut().for_each(StreamModel::close_purges);
        for consumer in &mut self.consumers {
            (consumer.exact, consumer.last.0) = (false, 0);
            consumer.unsettled.clear();
        }
        unanswered
    }

    /// The node is gone. Unless its end was a quiet one, nobody knows what it still did.
    pub(super) fn forget(&mut self, certain: bool) {
        self.asks.clear();
        self.answers.clear();
        self.streams.iter_mut().for_each(StreamModel::close_purges);
        for at in 0..self.streams.len() {
            if self.streams[at].in_memory {
                self.stream_gone(at);
            }
        }
        for consumer in &mut self.consumers {
            consumer.pulls = 0;
            if !certain {
                (consumer.exact, consumer.last.0) = (false, 0);
            }
            if self.draw.percent(50) {
                consumer.held.clear();
            }
        }
    }
}
