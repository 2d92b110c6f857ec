//! Mirrors, and streams with sources: every message of an origin once, in order, whatever happens to the node.

use std::collections::BTreeMap;

use super::features::{header_of, is_marker};
use super::json::base64;
use super::model::{Outcome, Retention};
use super::tamper::Break;
use super::world::{Result, Trouble, World};
use crate::draw::Draw;

/// A stream that copies others.
#[derive(Clone, Debug)]
pub(super) struct CopyModel {
    pub(super) name: String,
    /// The streams that it copies.
    origins: Vec<usize>,
    mirror: bool,
    /// Its creation was confirmed.
    exists: bool,
    /// What it was seen to hold when the node was at rest: origin and publish.
    seen: BTreeMap<u64, (usize, usize)>,
}

/// The copies of a run.
pub(super) fn copies(draw: &mut Draw, origins: &[usize]) -> Vec<CopyModel> {
    let model = |name: &str, origins: &[usize], mirror: bool| CopyModel {
        name: name.into(),
        origins: origins.to_vec(),
        mirror,
        exists: false,
        seen: BTreeMap::new(),
    };
    let mut copies = Vec::new();
    if let Some(first) = origins.first() {
        if draw.percent(25) {
            copies.push(model("m0", &[*first], true));
        }
        if draw.percent(25) {
            copies.push(model("a0", origins, false));
        }
    }
    copies
}

fn wrong<T>(text: String) -> Result<T> {
    Err(Trouble::Wrong(text))
}

impl World {
    /// Streams that may be copied: others take messages away that nobody has copied yet.
    pub(super) fn origins(&self) -> Vec<usize> {
        let fits = |at: &usize| {
            let stream = &self.streams[*at];
            stream.retention == Retention::Limits && !stream.in_memory && !self.mortal_streams
        };
        (0..self.streams.len()).filter(fits).collect()
    }

    /// Every copy is there.
    pub(super) fn ensure_copies(&mut self) -> Result {
        for at in 0..self.copies.len() {
            let copy = &self.copies[at];
            let (name, exists) = (copy.name.clone(), copy.exists);
            if exists {
                self.demand(&format!("$JS.API.STREAM.INFO.{name}"), "")?;
                continue;
            }
            let origins: Vec<String> =
                copy.origins.iter().map(|at| format!(r#"{{"name":"{}"}}"#, self.streams[*at].name)).collect();
            let from = match copy.mirror {
                true => format!(r#""mirror":{}"#, origins.join("")),
                false => format!(r#""sources":[{}]"#, origins.join(",")),
            };
            let body = format!(r#"{{"name":"{name}",{from},"storage":"file","num_replicas":1}}"#);
            self.demand(&format!("$JS.API.STREAM.CREATE.{name}"), &body)?;
            self.copies[at].exists = true;
        }
        Ok(())
    }

    /// Every copy has what its origins have, once and in order.
    pub(super) fn verify_copies(&mut self) -> Result {
        for at in 0..self.copies.len() {
            let mut missing = String::new();
            let mut complete = false;
            // A link that was cut is made anew after a while.
            for _ in 0..40 {
                let held = self.read_copy(at)?;
                match self.missing_of(at, &held)? {
                    None => {
                        self.copies[at].seen = held;
                        complete = true;
                        break;
                    }
                    Some(text) => missing = text,
                }
                self.pass(1_000_000_000)?;
            }
            if !complete {
                return wrong(missing);
            }
            self.saw("complete copies");
        }
        Ok(())
    }

    /// What a copy holds, checked for itself.
    fn read_copy(&mut self, at: usize) -> Result<BTreeMap<u64, (usize, usize)>> {
        let name = self.copies[at].name.clone();
        if self.broken == Some(Break::LoseCopy) {
            self.call(&format!("$JS.API.STREAM.MSG.DELETE.{name}"), r#"{"seq":2,"no_erase":true}"#)?;
        }
        let state = self.demand(&format!("$JS.API.STREAM.INFO.{name}"), "")?.get("state").clone();
        let mut held = BTreeMap::new();
        let mut last: BTreeMap<usize, u64> = BTreeMap::new();
        for seq in state.get("first_seq").number().max(1)..=state.get("last_seq").number() {
            let answer =
                self.call(&format!("$JS.API.STREAM.MSG.GET.{name}"), &format!(r#"{{"seq":{seq}}}"#))?;
            if answer.get("error").get("err_code").number() == 10037 {
                continue;
            }
            let message = answer.get("message");
            let subject = message.get("subject").text();
            let origin = self.copies[at].origins.iter().copied().find(|origin| {
                subject.strip_prefix(&self.streams[*origin].name).is_some_and(|rest| rest.starts_with('.'))
            });
            let Some(origin) = origin else { return wrong(format!("{name}: {seq} is of {subject}")) };
            let header = header_of(message);
            if is_marker(&header) {
                // Where it was made is not said: a mirror has it under its origin's sequence.
                if self.copies[at].mirror {
                    let id = self.streams[origin].marker(seq, subject, &header)?;
                    held.insert(seq, (origin, id));
                }
                continue;
            }
            let id = self.streams[origin].find(subject, &base64(message.get("data").text()))?;
            let model = &mut self.streams[origin];
            if self.copies[at].mirror {
                model.learn(seq, id, "a mirror")?;
            } else if model.publishes[id].outcome == Outcome::Refused {
                return wrong(format!("{name}: {seq} is publish {id}, which was refused"));
            }
            let order = model.publishes[id].order;
            let before = last.insert(origin, order).unwrap_or(0);
            if before >= order {
                return wrong(format!(
                    "{name}: {seq}, publish {id}, comes after one that was sent later, or twice"
                ));
            }
            held.insert(seq, (origin, id));
        }
        for (seq, was) in &self.copies[at].seen {
            if held.get(seq) != Some(was) {
                return wrong(format!("{name}: {seq} was {was:?}, and is {:?}", held.get(seq)));
            }
        }
        Ok(held)
    }

    /// What an origin has and its copy has not.
    fn missing_of(&mut self, at: usize, held: &BTreeMap<u64, (usize, usize)>) -> Result<Option<String>> {
        for origin in self.copies[at].origins.clone() {
            let (_, found) = self.look(origin)?;
            let unknown = |id: usize| !self.copies[at].mirror && self.streams[origin].publishes[id].is_marker;
            let there = |id: usize| unknown(id) || held.values().any(|copied| *copied == (origin, id));
            if let Some((seq, id)) = found.iter().find(|(_, id)| !there(**id)) {
                let name = &self.copies[at].name;
                return Ok(Some(format!("{name}: {seq} of {origin}, publish {id}, was never copied")));
            }
        }
        Ok(None)
    }
}
