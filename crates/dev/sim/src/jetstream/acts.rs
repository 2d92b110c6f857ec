//! What clients do.

use super::features::RollUp;
use super::model::{AckPolicy, BatchModel, Fate, Outcome, Publish, Purge, Retention};
use super::swarm;
use super::tamper::Break;
use super::world::{Ask, Result, World};

impl World {
    /// One act of some client.
    pub(super) fn act(&mut self) -> Result {
        let stream = self.draw.below(self.streams.len());
        match self.draw.below(100) {
            0..38 => self.publish(stream)?,
            38..43 => self.publish_batch(stream)?,
            43..58 => self.pull()?,
            58..83 => self.answer_delivery()?,
            83..87 => self.delete(stream)?,
            87..88 => self.purge(stream)?,
            88..90 => self.update(stream)?,
            90..92 if self.mortal_consumers => self.consumer_life()?,
            92..93 if self.mortal_streams => self.drop_stream(stream)?,
            _ => {
                let most = self.draw.pick(&[1_000_000, 100_000_000, 2_000_000_000, 15_000_000_000]);
                self.advance(most);
                self.note(|| "time passes".into());
            }
        }
        Ok(())
    }

    /// Writes a publish down; answers its number, subject and payload.
    fn new_publish(&mut self, stream: usize, msg_id: Option<u64>) -> (usize, String, Vec<u8>) {
        let model = &mut self.streams[stream];
        let id = model.publishes.len();
        let subject = self.draw.below(model.subjects.len());
        let filler = self.draw.pick(&[0, 5, 60, 700]);
        let filler = self.draw.below(filler + 1);
        let letter = b'a' + self.draw.below(26) as u8;
        let mut payload = format!("{id}|").into_bytes();
        payload.extend(std::iter::repeat_n(letter, filler));
        let order = model.next_order();
        model.publishes.push(Publish {
            order,
            subject,
            payload: payload.clone(),
            header_len: 0,
            msg_id,
            sent_at: self.now,
            told_at: None,
            outcome: Outcome::Unknown,
            seq: None,
            fate: Fate::Kept,
            dead: false,
            is_marker: false,
            ttl_ns: 0,
            roll_up: None,
            has_room: false,
        });
        model.publishes[id].has_room = !model.may_be_full(id);
        (id, model.subjects[subject].clone(), payload)
    }

    pub(super) fn publish(&mut self, stream: usize) -> Result {
        if !self.streams[stream].exists && self.draw.percent(50) {
            return self.make_stream(stream);
        }
        let model = &mut self.streams[stream];
        let mut header = String::new();
        let msg_id = match self.draw.below(10) {
            // Anew, or what was sent before.
            0..3 => {
                model.next_msg_id += 1;
                Some(model.next_msg_id)
            }
            3..5 if model.next_msg_id > 0 => {
                let back = self.draw.below(model.next_msg_id.min(8) as usize) as u64;
                Some(model.next_msg_id - back)
            }
            _ => None,
        };
        if let Some(msg_id) = msg_id {
            header = format!("Nats-Msg-Id: m{msg_id}\r\n");
        }
        let mut expected = None;
        if self.draw.percent(10) {
            expected = Some(self.streams[stream].last_told);
            header += &format!("Nats-Expected-Last-Sequence: {}\r\n", self.streams[stream].last_told);
        }
        let (ttl_ns, roll_up) = self.ask_for_more(stream, &mut header);
        if !header.is_empty() {
            header = format!("NATS/1.0\r\n{header}\r\n");
        }
        let (id, subject, payload) = self.new_publish(stream, msg_id);
        let publish = &mut self.streams[stream].publishes[id];
        (publish.header_len, publish.ttl_ns, publish.roll_up) = (header.len(), ttl_ns, roll_up);
        if roll_up.is_some() {
            self.streams[stream].will_roll_up(id);
            self.disturb(stream);
        }
        self.saw("publishes");
        if self.send(&subject, &header, &payload, Ask::Publish { stream, id, expected })? == 0 {
            self.streams[stream].publishes[id].outcome = Outcome::Refused;
        }
        Ok(())
    }

    /// What a message asks for beside being stored: how long it lives, and what goes with it.
    fn ask_for_more(&mut self, stream: usize, header: &mut String) -> (u64, Option<RollUp>) {
        let (mut ttl_ns, mut roll_up) = (0, None);
        let features = self.streams[stream].features;
        if features.ttl && self.draw.percent(25) {
            let seconds = self.draw.between(1, 8) as u64;
            ttl_ns = seconds * 1_000_000_000;
            let said = if self.broken == Some(Break::ForgetLife) { 99 } else { seconds };
            *header += &format!("Nats-TTL: {said}s\r\n");
            self.saw("times to live");
        }
        if features.roll_up && self.draw.percent(8) {
            let all = self.draw.percent(30);
            roll_up = Some(if all { RollUp::All } else { RollUp::Subject });
            let verb = if self.broken == Some(Break::KeepRolledUp) { "X-Rollup" } else { "Nats-Rollup" };
            *header += &format!("{verb}: {}\r\n", if all { "all" } else { "sub" });
            self.saw("roll-ups");
        }
        (ttl_ns, roll_up)
    }

    fn publish_batch(&mut self, stream: usize) -> Result {
        let batch = self.streams[stream].batches.len();
        self.streams[stream].batches.push(BatchModel::default());
        let count = self.draw.between(1, 6);
        let open = self.draw.percent(15);
        self.saw("batches");
        for number in 1..=count {
            let (id, subject, payload) = self.new_publish(stream, None);
            let last = number == count && !open;
            let commit = if last { "Nats-Batch-Commit: 1\r\n" } else { "" };
            let header = format!(
                "NATS/1.0\r\nNats-Batch-Id: b{batch}\r\nNats-Batch-Sequence: {number}\r\n{commit}\r\n"
            );
            let model = &mut self.streams[stream];
            model.publishes[id].header_len = header.len();
            model.batches[batch].members.push(id);
            model.batches[batch].open = !last;
            if open {
                model.publishes[id].outcome = Outcome::Refused;
            }
            let ask = if last { Ask::Commit { stream, batch } } else { Ask::Nothing };
            if self.send(&subject, &header, &payload, ask)? == 0 {
                let model = &mut self.streams[stream];
                model.batches[batch].open = true;
                for member in model.batches[batch].members.clone() {
                    model.publishes[member].outcome = Outcome::Refused;
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn pull(&mut self) -> Result {
        if self.consumers.is_empty() {
            return Ok(());
        }
        let at = self.draw.below(self.consumers.len());
        if !self.consumers[at].exists && self.draw.percent(50) {
            return self.make_consumer(at);
        }
        if self.consumers[at].push || self.consumers[at].pulls > 5 {
            return Ok(());
        }
        let batch = self.draw.pick(&[1, 2, 5, 50]);
        let no_wait = self.draw.percent(30);
        self.pull_from(at, batch, no_wait)
    }

    /// Asks a consumer for messages.
    pub(super) fn pull_from(&mut self, at: usize, batch: usize, no_wait: bool) -> Result {
        let consumer = &mut self.consumers[at];
        consumer.pulls += 1;
        let stream = self.streams[consumer.stream].name.clone();
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", consumer.name);
        let body = if no_wait {
            format!(r#"{{"batch":{batch},"no_wait":true}}"#)
        } else {
            let expires = self.draw.pick(&[1_000_000_000u64, 5_000_000_000]);
            format!(r#"{{"batch":{batch},"expires":{expires}}}"#)
        };
        self.saw("pulls");
        self.send_from(&subject, &format!("_P.{at}"), body.as_bytes())
    }

    fn answer_delivery(&mut self) -> Result {
        if self.consumers.is_empty() {
            return Ok(());
        }
        let at = self.draw.below(self.consumers.len());
        let consumer = &self.consumers[at];
        if consumer.held.is_empty() || consumer.policy == AckPolicy::None {
            return Ok(());
        }
        let which = self.draw.below(consumer.held.len());
        let keep = self.draw.percent(15);
        let (seq, subject) = if keep {
            self.consumers[at].held[which].clone()
        } else {
            self.consumers[at].held.swap_remove(which)
        };
        let confirm = self.draw.percent(50);
        match self.draw.below(20) {
            0..13 => self.acknowledge(at, seq, &subject, "", confirm),
            13..16 => {
                let text = self.draw.pick(&["-NAK", "-NAK {\"delay\": 300000000}"]);
                self.saw("naks");
                self.send(&subject, "", text.as_bytes(), Ask::Nothing).map(|_| ())
            }
            16..18 => self.send(&subject, "", b"+WPI", Ask::Nothing).map(|_| ()),
            // Of one message, whatever the policy.
            _ if self.consumers[at].policy == AckPolicy::Explicit => {
                self.saw("terms");
                self.acknowledge(at, seq, &subject, "+TERM", confirm)
            }
            _ => Ok(()),
        }
    }

    /// Acknowledges a message.
    pub(super) fn acknowledge(
        &mut self,
        at: usize,
        seq: u64,
        subject: &str,
        text: &str,
        confirm: bool,
    ) -> Result {
        self.consumers[at].sent_ack(seq);
        let life = self.consumers[at].life;
        self.saw(if confirm { "acknowledgements to be confirmed" } else { "acknowledgements" });
        let ask = if confirm { Ask::Ack { consumer: at, seq, life } } else { Ask::Nothing };
        self.send(subject, "", text.as_bytes(), ask).map(|_| ())
    }

    /// What is taken away from a stream may have been pending.
    pub(super) fn disturb(&mut self, stream: usize) {
        for consumer in self.consumers.iter_mut().filter(|consumer| consumer.stream == stream) {
            (consumer.exact, consumer.calm) = (false, false);
        }
    }

    fn delete(&mut self, stream: usize) -> Result {
        let model = &self.streams[stream];
        let known: Vec<(u64, usize)> = model.by_seq.iter().map(|(seq, id)| (*seq, *id)).collect();
        if known.is_empty() || !model.is_there() {
            return Ok(());
        }
        let (seq, id) = self.draw.pick(&known);
        self.streams[stream].publishes[id].fate =
            self.streams[stream].publishes[id].fate.max(Fate::MaybeGone);
        self.disturb(stream);
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{}", self.streams[stream].name);
        let no_erase = self.draw.percent(50);
        self.saw("deletes");
        let body = format!(r#"{{"seq":{seq},"no_erase":{no_erase}}}"#);
        self.send(&subject, "", body.as_bytes(), Ask::Delete { stream, id }).map(|_| ())
    }

    pub(super) fn purge(&mut self, stream: usize) -> Result {
        if !self.streams[stream].is_there() {
            return Ok(());
        }
        let order = self.streams[stream].next_order();
        let subject = self.draw.percent(60).then(|| self.draw.below(4));
        self.streams[stream]
            .mark(Fate::MaybeGone, order, |publish| subject.is_none_or(|subject| publish.subject == subject));
        self.streams[stream].purges.push(Purge { order, subject, until: None });
        self.disturb(stream);
        let name = &self.streams[stream].name;
        let body = match subject {
            None => String::new(),
            Some(subject) => format!(r#"{{"filter":"{}"}}"#, self.streams[stream].subjects[subject]),
        };
        let to = format!("$JS.API.STREAM.PURGE.{name}");
        self.saw("purges");
        self.send(&to, "", body.as_bytes(), Ask::Purge { stream, order, subject }).map(|_| ())
    }

    fn update(&mut self, stream: usize) -> Result {
        let model = &self.streams[stream];
        if model.retention != Retention::Limits || !model.is_there() || model.features.new_per_subject {
            return Ok(());
        }
        let limits = swarm::limits(&mut self.draw);
        let model = &mut self.streams[stream];
        model.asked.push(limits);
        model.tightest = model.tightest.tighter(limits);
        let body = swarm::stream_config(model, limits);
        let life = model.life;
        let subject = format!("$JS.API.STREAM.UPDATE.{}", model.name);
        self.disturb(stream);
        self.saw("updates");
        self.send(&subject, "", body.as_bytes(), Ask::Update { stream, limits, life }).map(|_| ())
    }
}
