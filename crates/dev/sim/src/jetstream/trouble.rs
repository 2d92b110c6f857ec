//! A disk whose syncs fail, or that is full for a while.
//!
//! While it lasts, requests may fail or stay unanswered, and what they asked for may be the case or not. Afterwards the node has to be whole by itself, without
//! another start, and to have everything that it ever confirmed.

use super::disk::RESERVE;
use super::json::Json;
use super::model::{AckPolicy, Fate, Outcome, StreamModel};
use super::tamper::Break;
use super::world::{Ask, Result, Trouble, World};
use crate::disk::Faults;
use crate::draw::Draw;

/// What the disk of a run does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ailment {
    /// Syncs of a hundred that fail, and lose what was written; those of the journal, too, or not.
    Syncs { percent: usize, only_files: bool },
    /// It is full.
    Space,
}

/// How long a node may take to be whole again: it tries every second, and a full disk every five.
const RECOVERED_AFTER_NS: u64 = 12_000_000_000;

/// How long it may take until what can be read is served again, on a full disk.
const REOPENED_AFTER_NS: u64 = 2_500_000_000;

/// How often it is read without space, and how many of those may not be served.
const READS: usize = 8;
const READ_EVERY_NS: u64 = 700_000_000;
const MISSED: usize = 3;

/// Errors that a failing disk gives: of resources, and of storing.
const FAILURES: [u64; 4] = [10023, 10074, 10077, 10110];

impl Ailment {
    /// The one of a run, in some runs.
    pub(super) fn draw(mut draw: Draw) -> Option<Ailment> {
        match draw.below(10) {
            0 => Some(Ailment::Syncs { percent: draw.between(2, 30), only_files: false }),
            1 => Some(Ailment::Syncs { percent: draw.between(5, 50), only_files: true }),
            2 => Some(Ailment::Space),
            _ => None,
        }
    }
}

impl World {
    /// The disk falls ill, or recovers, or stays as it is.
    pub(super) fn ail(&mut self) {
        if self.ailing {
            if self.draw.percent(10) {
                self.recover();
            }
            return;
        }
        if self.draw.percent(5) {
            self.fall_ill();
        }
    }

    /// The disk does from here on what the run's does wrong.
    pub(super) fn fall_ill(&mut self) {
        let Some(ailment) = self.ailment.filter(|_| !self.ailing) else { return };
        let faults = match ailment {
            Ailment::Syncs { percent, only_files } => {
                Faults { sync_errors: percent, only_files, ..Faults::default() }
            }
            Ailment::Space => {
                let left = self.draw.pick(&[0, 1000, 20_000, if self.node.is_some() { 0 } else { 400_000 }]);
                let capacity = self.files.used() + self.draw.below(left + 1) as u64;
                Faults { capacity: Some(capacity), ..Faults::default() }
            }
        };
        self.note(|| format!("---- {faults:?}"));
        self.saw(if ailment == Ailment::Space { "times without space" } else { "times of failing syncs" });
        self.files.set_faults(faults);
        (self.ailing, self.shaken) = (true, true);
        self.consumers.iter_mut().for_each(|consumer| consumer.exact = false);
    }

    /// The disk does everything again. What it did before is as uncertain as ever.
    pub(super) fn recover(&mut self) {
        if std::mem::take(&mut self.ailing) {
            self.note(|| "---- the disk is well".into());
            self.files.set_faults(Faults::default());
        }
    }

    /// The disk recovers, and the node has to.
    pub(super) fn heal(&mut self) -> Result {
        if !self.shaken {
            return Ok(());
        }
        self.recover();
        self.settle()?;
        self.pass(RECOVERED_AFTER_NS)?;
        let unanswered = self.give_up();
        self.saw("recoveries from failures");
        for _ in 0..unanswered {
            self.saw("requests without an answer");
        }
        self.shaken = false;
        self.ensure()
    }

    /// Without space, messages are refused, and what makes room is done on what was kept back for that.
    pub(super) fn use_reserve(&mut self) -> Result {
        self.settle()?;
        let kept = self.files.peek(".midge/reserve").map_or(0, |file| file.len() as u64);
        let fits = |stream: &StreamModel| stream.is_there() && !stream.in_memory;
        let own: Vec<usize> = (0..self.streams.len()).filter(|at| fits(&self.streams[*at])).collect();
        let short = self.broken != Some(Break::NoReserve) && kept < RESERVE;
        if self.ailment != Some(Ailment::Space) || own.is_empty() || short {
            return Ok(());
        }
        let capacity = Some(self.files.used());
        self.files.set_faults(Faults { capacity, ..Faults::default() });
        self.note(|| format!("---- to the last byte: {capacity:?}"));
        let (first, refused) = (self.draw.pick(&own), "publishes refused by the disk");
        let count = |world: &World| world.verdict.seen.get(refused).copied().unwrap_or(0);
        let before = count(self);
        for _ in 0..40 {
            if count(self) > before {
                break;
            }
            self.publish(first)?;
            self.settle()?;
        }
        self.pass(REOPENED_AFTER_NS)?;
        // One may be full by its own limits, and refuse for that.
        if count(self) == before {
            return Ok(());
        }
        for at in own {
            if self.streams[at].is_there() {
                self.make_room(at)?;
            }
        }
        self.saw("streams served from the reserve");
        if self.draw.percent(60) { self.read_without_space() } else { Ok(()) }
    }

    /// When the reserve is gone as well, everything can still be read, all the time.
    fn read_without_space(&mut self) -> Result {
        self.settle()?;
        let capacity = Some(self.files.used());
        self.files.set_faults(Faults { capacity, ..Faults::default() });
        self.note(|| format!("---- beyond the reserve: {capacity:?}"));
        let mut missed = 0;
        for _ in 0..READS {
            self.pass(READ_EVERY_NS)?;
            for at in 0..self.streams.len() {
                let stream = &self.streams[at];
                let Some(seq) = stream.by_seq.keys().next_back().copied().filter(|_| stream.is_there())
                else {
                    continue;
                };
                let subject = format!("$JS.API.DIRECT.GET.{}", stream.name);
                missed += usize::from(!self.is_answered(&subject, &format!(r#"{{"seq":{seq}}}"#))?);
                let subject = format!("$JS.API.STREAM.INFO.{}", self.streams[at].name);
                missed += usize::from(!self.is_answered(&subject, "")?);
            }
        }
        // An operation that was under way may fail, and the files are read again, then.
        if missed > MISSED {
            return Err(Trouble::Wrong(format!(
                "without space, {missed} requests that read were not served"
            )));
        }
        self.saw("times of reading without space");
        Ok(())
    }

    /// Whether a request that reads is served at once.
    fn is_answered(&mut self, subject: &str, body: &str) -> Result<bool> {
        self.send(subject, "", body.as_bytes(), Ask::Call)?;
        let ask = self.next_ask;
        self.settle()?;
        let answer = self.answers.remove(&ask);
        Ok(answer.is_some_and(|text| !self.is_the_disks(&Json::read(&text))))
    }

    /// What a stream does on a full disk, at rest.
    fn make_room(&mut self, at: usize) -> Result {
        let (name, id) = (self.streams[at].name.clone(), self.streams[at].publishes.len());
        let wrong = |text: String| Err(Trouble::Wrong(format!("{name}: without space, {text}")));
        self.publish(at)?;
        self.settle()?;
        // A segment of the journal that went may have made room enough.
        let none = self.files.room().is_some_and(|room| room < 2 * RESERVE);
        if let Some(publish) = self.streams[at].publishes.get(id).filter(|_| none) {
            if publish.outcome != Outcome::Unknown {
                return wrong(format!("publish {id} was answered {:?}", publish.outcome));
            }
            if self
                .asks
                .values()
                .any(|ask| matches!(ask, Ask::Publish { stream, id: of, .. } if (*stream, *of) == (at, id)))
            {
                return wrong(format!("publish {id} was not answered"));
            }
        }
        for which in 0..self.consumers.len() {
            let consumer = &self.consumers[which];
            let there = consumer.stream == at && consumer.exists && !consumer.is_uncertain();
            let Some((seq, subject)) = consumer.held.last().cloned().filter(|_| there) else { continue };
            // What a crash made the consumer forget to have delivered is not acknowledged.
            if consumer.policy == AckPolicy::None || consumer.last.0 < seq {
                continue;
            }
            self.consumers[which].held.pop();
            self.acknowledge(which, seq, &subject, "", true)?;
            self.settle()?;
            if !self.consumers[which].confirmed.contains(&seq) {
                return wrong(format!("the acknowledgement of {seq} was not confirmed"));
            }
            self.saw("acknowledgements on the reserve");
        }
        let known = self.streams[at].by_seq.iter().next_back().map(|(seq, id)| (*seq, *id));
        if let Some((seq, id)) = known {
            let publish = &mut self.streams[at].publishes[id];
            publish.fate = publish.fate.max(Fate::MaybeGone);
            self.disturb(at);
            let answer =
                self.call(&format!("$JS.API.STREAM.MSG.DELETE.{name}"), &format!(r#"{{"seq":{seq}}}"#))?;
            if self.is_the_disks(&answer) {
                return wrong(format!("the deletion of {seq} was answered {answer:?}"));
            }
            if !answer.get("error").is_some() {
                self.streams[at].publishes[id].fate = Fate::Gone;
                self.saw("deletions on the reserve");
            }
        }
        if self.draw.percent(40) {
            self.purge(at)?;
            self.settle()?;
            if self.streams[at].purges.last().is_some_and(|purge| purge.until.is_none()) {
                return wrong("a purge was not done".to_owned());
            }
            self.saw("purges on the reserve");
        }
        Ok(())
    }

    /// Whether an answer is an error that may be the disk's: what was asked for may have been done.
    pub(super) fn is_the_disks(&self, answer: &Json) -> bool {
        self.shaken && FAILURES.contains(&answer.get("error").get("err_code").number())
    }
}
