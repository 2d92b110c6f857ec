//! Messages that are published later, once or again and again.
//!
//! A message with `Nats-Schedule` is a schedule; there is one per subject, its last message. When it is due, [`fire`] publishes what it says to its target, with a
//! header that says when it is due next; storing that is what moves the schedule on, so that what was published and what comes next never disagree.

pub mod cron;
pub mod fire;
pub mod pattern;
pub mod rules;

use std::collections::BTreeSet;

use midge_stdx::clock::Wall;
use midge_stdx::hash::Map;
use midge_store::format::record::{Kind, Record};
use midge_store::stream::{HeaderRules, Scheduled, SourceProgress};

use super::headers::Headers;
use pattern::Pattern;
use rules::Scheduling;

/// When the schedules of a stream are due.
#[derive(Debug, Default)]
pub struct Schedules {
    by_subject: Map<Box<[u8]>, Entry>,
    due: BTreeSet<(Wall, Box<[u8]>)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seq: u64,
    next: Wall,
}

impl Schedules {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_subject.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }

    /// Takes over what opening a store found.
    pub fn restore(&mut self, found: &[Scheduled]) {
        for schedule in found {
            self.set(&schedule.subject, schedule.seq, Wall(schedule.next_ns));
        }
    }

    /// What there is, by subject, to be kept beside the messages.
    pub fn list(&self) -> Vec<Scheduled> {
        let mut list: Vec<Scheduled> = Vec::with_capacity(self.by_subject.len());
        for (subject, entry) in &self.by_subject {
            list.push(Scheduled { subject: subject.clone(), next_ns: entry.next.0, seq: entry.seq });
        }
        list.sort_unstable_by(|a, b| a.subject.cmp(&b.subject));
        list
    }

    /// When the first one is due.
    pub fn next(&self) -> Option<Wall> {
        self.due.first().map(|(next, _)| *next)
    }

    /// When that of a subject is due.
    pub fn next_of(&self, subject: &[u8]) -> Option<Wall> {
        self.by_subject.get(subject).map(|entry| entry.next)
    }

    /// The first that is due: its subject and sequence.
    pub(super) fn first_due(&self, now: Wall) -> Option<(Box<[u8]>, u64)> {
        let (next, subject) = self.due.first()?;
        let entry = self.by_subject.get(subject)?;
        (*next <= now).then(|| (subject.clone(), entry.seq))
    }

    /// Puts one off, without changing its message.
    pub(super) fn put_off(&mut self, subject: &[u8], until: Wall) {
        if let Some(entry) = self.by_subject.get(subject).copied() {
            self.set(subject, entry.seq, until);
        }
    }

    pub(super) fn forget(&mut self, subject: &[u8]) {
        if let Some((subject, entry)) = self.by_subject.remove_entry(subject) {
            self.due.remove(&(entry.next, subject));
        }
    }

    fn set(&mut self, subject: &[u8], seq: u64, next: Wall) {
        self.forget(subject);
        self.by_subject.insert(subject.into(), Entry { seq, next });
        self.due.insert((next, subject.into()));
    }

    /// A message was stored.
    pub(super) fn stored(&mut self, subject: &[u8], seq: u64, scheduling: &Scheduling<'_>) {
        match scheduling {
            Scheduling::Schedule { next, .. } => self.set(subject, seq, *next),
            Scheduling::Fired { scheduler, next } => {
                match next {
                    Some(next) => self.put_off(scheduler, *next),
                    None => self.forget(scheduler),
                }
                self.replaced(subject);
            }
            Scheduling::None => self.replaced(subject),
        }
    }

    /// Any message takes the place of the schedule of its subject.
    fn replaced(&mut self, subject: &[u8]) {
        if !self.by_subject.is_empty() {
            self.forget(subject);
        }
    }
}

/// What headers mean to a stream, for opening its store.
pub struct Rules {
    /// The time of the opening.
    pub now: Wall,
    /// Sources that the stream has.
    pub sources: usize,
}

impl HeaderRules for Rules {
    fn schedule(&self, message: &Record<'_>) -> Option<i64> {
        let Kind::Message { headers, .. } = message.kind else { return None };
        let headers = Headers::read(headers);
        let pattern = Pattern::parse(headers.schedule?, headers.schedule_zone).ok()?;
        pattern.resumed(Wall(message.ts_ns), self.now).map(|next| next.0)
    }

    fn source(&self, headers: &[u8]) -> Option<SourceProgress> {
        super::follow::header::progress(Headers::read(headers).stream_source?)
    }

    fn sources(&self) -> usize {
        self.sources
    }
}
