//! Whole stores over the disk that forgets: after every crash, everything that was complete is there, and nothing that never happened is.
//!
//! The state after each operation is remembered under its mark. What is found after a crash holds every message that was there when the last complete operation
//! ended and that nothing removed since, and none that was gone by then or never there.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_stdx::clock::{Mono, Now, Wall};
use midge_store::journal::{self, Committer, Flaw, PlainRecords, Settings};
use midge_store::port::{Completion, Op, Submission};
use midge_store::recover::History;
use midge_store::stream::{
    Compact, Config, Discard, Filter, Medium, NewMessage, NextQuery, Opening, PurgeQuery, Step, Store,
};

use super::{Odds, SimFiles, Verdict};
use crate::draw::Draw;

const FOLDER: &str = "$G/streams/S";
const SUBJECTS: [&str; 5] = ["a", "b", "a.1", "a.2", "kv.one"];

/// Subject and payload.
type Content = (String, Vec<u8>);

/// Live messages: sequence to content. And the last sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shown {
    last_seq: u64,
    messages: BTreeMap<u64, Content>,
}

struct World {
    draw: Draw,
    files: Arc<SimFiles>,
    flaw: Option<Flaw>,
    odds: Odds,
    config: Config,
    now: Now,
    committer: Option<Committer>,
    store: Store,
    queue: Vec<Submission>,
    aside: Vec<Submission>,
    /// What the store showed after each operation, by the mark of that operation.
    past: Vec<(u64, Shown)>,
    /// The power went before the last operation could be seen; the message that it appended, if it was an append and removed nothing.
    unseen: Option<Option<(u64, Content)>>,
    verdict: Verdict,
    /// Every operation goes into the log.
    aloud: bool,
}

/// Runs a seed.
pub fn run_stores(seed: u64, flaw: Option<Flaw>) -> Verdict {
    run_with(seed, flaw, false)
}

/// The same, with a log of every operation.
pub fn trace_stores(seed: u64, flaw: Option<Flaw>) -> Verdict {
    run_with(seed, flaw, true)
}

fn run_with(seed: u64, flaw: Option<Flaw>, aloud: bool) -> Verdict {
    let mut draw = Draw::new(seed).split("stores");
    let files = Arc::new(SimFiles::new(draw.split("files")));
    let mut config = Config::new("S", Medium::File);
    config.block_len = 300 + draw.below(3000) as u32;
    config.compression = draw.percent(30);
    match draw.below(4) {
        0 => config.max_msgs = 5 + draw.below(40) as u64,
        1 => config.max_msgs_per_subject = 1 + draw.below(3) as u64,
        2 => (config.max_msgs, config.discard) = (20, Discard::New),
        _ => {}
    }
    let odds = Odds { sectors: draw.below(101), lengths: draw.below(101), names: draw.below(101) };
    let now = Now { mono: Mono(1), wall: Wall(1_000_000) };
    let store = Store::in_memory(Config::new("none", Medium::Memory), Box::new(draw.seeded()));
    let mut world = World {
        draw,
        files,
        flaw,
        odds,
        config,
        now,
        committer: None,
        store,
        queue: Vec::new(),
        aside: Vec::new(),
        past: vec![(0, Shown::default())],
        unseen: None,
        verdict: Verdict::default(),
        aloud,
    };
    let config = format!("{:?}", world.config);
    world.note(|| config);
    for _ in 0..4 {
        if let Err(failure) = world.life() {
            world.verdict.failure = Some(failure);
            break;
        }
    }
    world.verdict
}

impl World {
    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.aloud {
            self.verdict.log.push(line());
        }
    }

    fn saw(&mut self, what: &'static str) {
        *self.verdict.seen.entry(what).or_insert(0) += 1;
    }

    fn settings(&self) -> Settings {
        Settings {
            segment_len: 64 << 10,
            first_segment_len: 16 << 10,
            replace_inline: 4 << 10,
            reserve_len: 4 << 10,
            flaw: self.flaw,
            ..Settings::default()
        }
    }

    /// From an opening to a crash or a clean stop.
    fn life(&mut self) -> Result<(), String> {
        self.open()?;
        let crash_at = if self.draw.percent(70) { Some(self.draw.below(400) as u64) } else { None };
        self.files.crash_after(crash_at);
        for _ in 0..self.draw.between(5, 80) {
            if self.files.is_dead() {
                break;
            }
            self.now.mono.0 += 1;
            self.now.wall.0 += 10;
            self.act();
            if self.draw.percent(60) {
                self.step();
            }
        }
        if !self.files.is_dead() && self.draw.percent(30) {
            self.stop();
        }
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        (self.committer, self.queue, self.aside) = (None, Vec::new(), Vec::new());
        // Only what was complete when the power went is promised.
        let done = self.store.done().0;
        self.note(|| format!("the end, complete up to {done}"));
        let first = self.past.iter().rposition(|(mark, _)| *mark <= done).unwrap_or(0);
        self.past.drain(..first);
        if self.files.is_dead() || self.draw.percent(50) {
            self.saw("power cuts");
            self.files.power_cut(self.odds);
        } else {
            self.saw("kills");
            self.files.kill();
        }
    }

    /// Opens what is there, which may be cut as well, and compares.
    fn open(&mut self) -> Result<(), String> {
        loop {
            let crash_at = if self.draw.percent(25) { Some(self.draw.below(60) as u64) } else { None };
            self.files.crash_after(crash_at);
            match self.try_open() {
                Ok(()) => {}
                Err(failure) if !self.files.is_dead() => return Err(failure),
                Err(_) => {}
            }
            if !self.files.is_dead() {
                break;
            }
            self.saw("crashes in opening");
            self.committer = None;
            self.files.power_cut(self.odds);
        }
        self.files.crash_after(None);
        let found = self.shown()?;
        self.compare(&found)?;
        self.saw("openings");
        self.past = vec![(0, found)];
        Ok(())
    }

    fn try_open(&mut self) -> Result<(), String> {
        let files: Arc<SimFiles> = self.files.clone();
        let (mut committer, report) =
            Committer::open(files, self.settings(), &PlainRecords).map_err(|error| error.to_string())?;
        if !report.is_clean() {
            return Err(format!("{report:?}"));
        }
        let opening = Opening {
            config: self.config.clone(),
            folder: FOLDER.into(),
            history: History::Constant,
            encryption: None,
            now: self.now,
            headers: None,
        };
        let opened = opening.run(&*self.files).map_err(|error| error.to_string())?;
        let lane = committer.register(FOLDER).map_err(|error| error.to_string())?;
        let recovery = format!("opened: {:?}", opened.recovery);
        self.note(|| recovery);
        self.store = opened.into_store(lane, Box::new(self.draw.seeded()), self.now.mono);
        self.committer = Some(committer);
        (self.queue, self.aside) = (Vec::new(), Vec::new());
        Ok(())
    }

    /// What was found holds what the last complete operation left and nothing removed since, and nothing that was not there then or later.
    fn compare(&mut self, found: &Shown) -> Result<(), String> {
        match (self.unseen.take(), self.past.last()) {
            (Some(Some((seq, message))), Some((mark, last))) => {
                let mut next = last.clone();
                next.last_seq = seq;
                next.messages.insert(seq, message);
                let mark = *mark;
                self.past.push((mark, next));
            }
            // Anything may have been half done; what else there is to check is checked in other runs.
            (Some(None), _) => return Ok(()),
            _ => {}
        }
        let states: Vec<&Shown> = self.past.iter().map(|(_, shown)| shown).collect();
        // What was not complete may be there in part and out of order: the operating system writes what was not synced as it likes.
        let Some(complete) = states.first() else { return Ok(()) };
        let stays = |seq: &u64| states.iter().all(|state| state.messages.contains_key(seq));
        let kept =
            complete.messages.keys().filter(|seq| stays(seq)).all(|seq| found.messages.contains_key(seq));
        let happened = |(seq, content): (&u64, &Content)| {
            states.iter().any(|state| state.messages.get(seq) == Some(content))
        };
        let last = states.iter().any(|state| state.last_seq == found.last_seq);
        if kept && last && found.messages.iter().all(happened) {
            return Ok(());
        }
        let keys = |shown: &Shown| (shown.last_seq, shown.messages.keys().copied().collect::<Vec<_>>());
        Err(format!(
            "{:?} was found, of {} states from {:?} to {:?}",
            keys(found),
            states.len(),
            states.first().map(|shown| keys(shown)),
            states.last().map(|shown| keys(shown))
        ))
    }

    /// Everything that the store shows, and remembers.
    fn shown(&mut self) -> Result<Shown, String> {
        let mut shown = Shown::default();
        while self.store.is_over_limits() && self.step() {}
        let mut query = NextQuery { filter: Filter::all(), from: 0 };
        loop {
            match self.store.next(&mut query) {
                Step::Ready(Some(message)) => {
                    query.from = message.seq + 1;
                    let subject = String::from_utf8_lossy(message.subject()).into_owned();
                    shown.messages.insert(message.seq, (subject, message.payload().to_vec()));
                }
                Step::Ready(None) => break,
                Step::Failed(error) => return Err(error.to_string()),
                Step::Wait if !self.step() => return Err("it waits for nothing".into()),
                Step::Wait => {}
            }
        }
        shown.last_seq = self.store.appended();
        let state = self.store.state();
        if state.messages != shown.messages.len() as u64 {
            return Err(format!("{state:?} beside {} messages", shown.messages.len()));
        }
        Ok(shown)
    }

    fn act(&mut self) {
        let mut appended = None;
        self.store.take_changes(&mut Vec::new());
        let seq = 1 + self.draw.below(self.store.appended() as usize + 2) as u64;
        match self.draw.below(20) {
            0..3 => {
                let erase = self.draw.percent(50);
                self.note(|| format!("remove {seq} erase {erase}"));
                self.ask(|store, _| store.remove(seq, erase));
            }
            3 => {
                let mut query =
                    PurgeQuery::new(Filter::one(SUBJECTS[seq as usize % 5].as_bytes()), 0, seq % 3);
                self.note(|| format!("{query:?}"));
                self.ask(|store, _| store.purge_matching(&mut query));
            }
            4 if self.draw.percent(20) => {
                self.note(|| "purge".into());
                let _ = self.store.purge();
            }
            5 if self.draw.percent(30) => {
                self.note(|| format!("compact {seq}"));
                let mut query = Compact::new(seq);
                self.ask(|store, _| store.compact(&mut query));
            }
            6 => {
                self.note(|| format!("skip {}", seq % 4));
                let _ = self.store.skip_range(0, seq % 4, self.now, false);
            }
            7 => {
                self.note(|| "maintain".into());
                self.store.maintain();
            }
            8 => self.store.evict(Mono(u64::MAX)),
            9 if self.draw.percent(30) => {
                self.note(|| "index".into());
                self.now.mono.0 += 200_000_000_000;
                self.store.checkpoint(self.now.mono);
            }
            _ => {
                let payload = vec![b'a' + self.draw.below(26) as u8; self.draw.below(200)];
                let subject = SUBJECTS[self.draw.below(5)].as_bytes();
                let message = NewMessage { subject, payload: &payload, ..NewMessage::default() };
                if let Ok(seq) = self.store.append(self.now, &message) {
                    let of = String::from_utf8_lossy(subject).into_owned();
                    self.note(|| format!("append {of} {seq} ({})", payload.len()));
                    appended = Some((seq, (String::from_utf8_lossy(subject).into_owned(), payload)));
                }
            }
        }
        if !self.files.is_dead()
            && self.store.failure().is_none()
            && let Ok(shown) = self.shown()
            && !self.files.is_dead()
        {
            let mark = self.store.mark().0;
            let keys: Vec<u64> = shown.messages.keys().copied().collect();
            self.note(|| format!("    {mark}: {keys:?}"));
            self.past.push((mark, shown));
            return;
        }
        let mut changes = Vec::new();
        self.store.take_changes(&mut changes);
        // What waits for a block is removed when it is opened.
        let removes = !changes.is_empty() || self.store.is_over_limits();
        self.unseen.get_or_insert(appended.filter(|_| !removes));
    }

    fn ask<T>(&mut self, mut ask: impl FnMut(&mut Store, Now) -> Step<T>) {
        while let Step::Wait = ask(&mut self.store, self.now) {
            if !self.step() {
                return;
            }
        }
    }

    /// Does some of what was submitted. Answers whether there was anything.
    fn step(&mut self) -> bool {
        let mut taken = Vec::new();
        self.store.take_submissions(&mut taken);
        for submission in taken {
            let aside = matches!(submission.op, Op::Work(_) | Op::Stage { .. });
            if aside { self.aside.push(submission) } else { self.queue.push(submission) }
        }
        let Some(committer) = &mut self.committer else { return false };
        let mut done = Vec::new();
        if self.aside.is_empty() || (!self.queue.is_empty() && self.draw.percent(50)) {
            if self.queue.is_empty() {
                return false;
            }
            committer.commit(&mut self.queue, &mut done);
            for job in committer.take_jobs() {
                let finished = job.run(&*self.files);
                committer.finished(finished, &mut done);
            }
        } else {
            let at = self.draw.below(self.aside.len());
            let Submission { lane, ticket, op } = self.aside.remove(at);
            let outcome = journal::aside(&*self.files, FOLDER, op);
            done.push(Completion { lane, ticket, outcome });
        }
        // With the power off, what returns is seen by nobody.
        if !self.files.is_dead() {
            done.into_iter().for_each(|completion| {
                self.store.complete(completion, self.now.mono);
            });
        }
        !self.files.is_dead()
    }

    fn stop(&mut self) {
        self.saw("clean stops");
        while let Step::Wait = self.store.stop() {
            if !self.step() {
                return;
            }
        }
        self.store.close();
        while self.step() {}
        if let Some(committer) = self.committer.take()
            && !self.files.is_dead()
        {
            let _ = committer.close();
        }
    }
}
