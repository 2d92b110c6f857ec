//! A run: a committer under stores that are scripts, crashes, and the verdict.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_store::journal::{Committer, Event as DiskEvent, Finished, Flaw, Job, Report, Settings};
use midge_store::port::{
    Completion, DiskError, Fault, Files, Lane, Mode, Name, Op, Outcome, Promise, Submission, Ticket,
};

use super::model::{ConsumerLog, FileLog, Level};
use super::script::{META, Open, SUM, SimRecords, Store, number_of, record, whole};
use super::{Faults, Odds, SimFiles};
use crate::draw::Draw;

/// What came of a seed.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// What was wrong, if something was.
    pub failure: Option<String>,
    /// What happened, to show that it does happen.
    pub seen: BTreeMap<&'static str, u64>,
    /// Every event, one a line; empty unless it was asked for.
    pub log: Vec<String>,
}

/// Runs one seed, with a rule of the journal broken on purpose or none.
pub fn run(seed: u64, flaw: Option<Flaw>) -> Verdict {
    judged(World::new(seed, flaw))
}

/// The same, with every event in the verdict.
pub fn trace(seed: u64, flaw: Option<Flaw>) -> Verdict {
    let mut world = World::new(seed, flaw);
    world.log = Some(Vec::new());
    world.files.trace();
    judged(world)
}

fn judged(mut world: World) -> Verdict {
    let _ = midge_stdx::hash::set_seed(0x6d69_6467_6521);
    let failure = world.run().err();
    Verdict { failure, seen: world.seen, log: world.log.unwrap_or_default() }
}

/// What another server left behind.
struct Visit {
    folder: String,
    block: String,
    content: Vec<u8>,
    /// Where in the content its own records begin.
    from: usize,
    /// Its `msgs/index.db`, if it lived long enough to write one.
    index: Option<String>,
}

const INDEX: &[u8] = b"somebody else's index";

impl Visit {
    fn write(&self, files: &SimFiles) -> Result<(), DiskError> {
        let contents = [(Some(&self.block), &*self.content), (self.index.as_ref(), INDEX)];
        for (path, content) in contents.into_iter().filter_map(|(path, content)| Some((path?, content))) {
            let file = files.open(path, Mode::Create)?;
            files.set_len(file, 0)?;
            files.write_at(file, 0, content)?;
            files.sync(file)?;
            files.close(file);
            files.sync_folder(path.rsplit_once('/').map_or("", |(folder, _)| folder))?;
        }
        Ok(())
    }

    /// Nothing of it is gone. Without an index of it, a record that was erased for good may be erased in the part that was there before.
    fn check(&self, files: &SimFiles, told: bool) -> Result<(), String> {
        let content = files.peek(&self.block).unwrap_or_default();
        let from = if told { 0 } else { self.from };
        if content.len() != self.content.len() || content[from..] != self.content[from..] {
            return Err(format!("what somebody else wrote was changed, noticed: {told}"));
        }
        match &self.index {
            Some(path) if files.peek(path).as_deref() != Some(INDEX) => Err("their index was changed".into()),
            _ => Ok(()),
        }
    }
}

struct World {
    draw: Draw,
    files: Arc<SimFiles>,
    settings: Settings,
    committer: Option<Committer>,
    stores: Vec<Store>,
    jobs: Vec<Job>,
    results: Vec<Finished>,
    ticket: u64,
    odds: Odds,
    cached: usize,
    tidy: bool,
    faults: Faults,
    prompt_jobs: usize,
    seen: BTreeMap<&'static str, u64>,
    log: Option<Vec<String>>,
}

impl World {
    fn new(seed: u64, flaw: Option<Flaw>) -> World {
        let root = Draw::new(seed);
        let mut draw = root.split("disk");
        let first = draw.pick(&[8u64, 16, 32]) << 10;
        let settings = Settings {
            first_segment_len: first,
            segment_len: first * draw.pick(&[1u64, 2, 4]),
            segments: draw.between(2, 4),
            handles: draw.between(2, 40),
            replace_inline: draw.between(20, 2000),
            reserve_len: first / 4,
            flaw,
        };
        let odds = Odds {
            sectors: draw.pick(&[0, 30, 70, 100]),
            lengths: draw.pick(&[0, 50, 100]),
            names: draw.pick(&[0, 50, 100]),
        };
        let faults = match draw.below(6) {
            0 => Faults { sync_errors: 3, ..Faults::default() },
            1 => Faults { sync_errors: 8, only_files: true, ..Faults::default() },
            2 => Faults { capacity: Some(200_000 + draw.below(200_000) as u64), ..Faults::default() },
            _ => Faults::default(),
        };
        World {
            files: Arc::new(SimFiles::new(root.split("files"))),
            settings,
            committer: None,
            stores: Vec::new(),
            jobs: Vec::new(),
            results: Vec::new(),
            ticket: 0,
            odds,
            cached: draw.pick(&[0, 20, 60]),
            tidy: draw.percent(50),
            faults,
            prompt_jobs: draw.pick(&[10, 50, 100]),
            seen: BTreeMap::new(),
            log: None,
            draw,
        }
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// Adds to the log, if there is one.
    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.append(&mut self.files.take_log());
            log.push(line());
        }
    }

    /// The folder of a lane, for the log.
    fn whose(&self, lane: Lane) -> String {
        let store = self.stores.iter().find(|s| s.lane == lane);
        store.filter(|_| self.log.is_some()).map_or_else(String::new, |s| s.folder.clone())
    }

    fn run(&mut self) -> Result<(), String> {
        self.recover(Level::Durable)?;
        for n in 0..self.draw.between(1, 4) {
            self.stores.push(Store::new(format!("$G/streams/S{n}"), self.tidy));
        }
        for _ in 0..self.draw.between(2, 6) {
            self.register_all()?;
            self.files.set_faults(self.faults);
            let power = self.draw.percent(70);
            let soon = self.draw.between(1, 900) as u64;
            if self.draw.percent(75) {
                self.files.crash_after(Some(soon));
            }
            for _ in 0..self.draw.between(1, 60) {
                self.step()?;
                if self.files.is_dead() {
                    break;
                }
            }
            self.files.set_faults(Faults::default());
            self.end(power)?;
        }
        Ok(())
    }

    /// Ends the process, in one of three ways, and looks at what is there.
    fn end(&mut self, power: bool) -> Result<(), String> {
        let dead = self.files.is_dead();
        if !dead && self.draw.percent(40) {
            self.saw("clean stops");
            self.note(|| "clean stop".into());
            self.files.crash_after(None);
            self.close()?;
        }
        self.committer = None;
        self.jobs.clear();
        self.results.clear();
        if power {
            self.saw("power cuts");
            self.files.power_cut(self.odds);
        } else {
            self.saw("kills");
            self.files.kill();
        }
        self.note(|| if power { "power cut".into() } else { "kill".into() });
        let visit = self.visit();
        let level = if power { Level::Durable } else { Level::Cached };
        let report = self.recover(level)?;
        if let Some(visit) = &visit {
            let told = report.foreign.iter().any(|f| f.folder == visit.folder);
            visit.check(&self.files, told).map_err(|e| format!("{}: {e}", visit.folder))?;
            if told {
                self.saw("visits that were noticed");
            }
        }
        let stranger = |f: &str| visit.as_ref().is_some_and(|visit| visit.folder == f);
        if let Some(wrong) = report.foreign.iter().find(|f| !stranger(&f.folder)) {
            return Err(format!("{} was taken for somebody else's: {}", wrong.folder, wrong.cause));
        }
        if let Some(damage) = report.damage.first() {
            return Err(format!("{} at {}: {}", damage.segment, damage.position, damage.cause));
        }
        self.look(&report, level, &|f| stranger(f))
    }

    fn close(&mut self) -> Result<(), String> {
        let Some(mut committer) = self.committer.take() else { return Ok(()) };
        let mut done = Vec::new();
        self.jobs.append(&mut committer.take_jobs());
        let mut results = std::mem::take(&mut self.results);
        results.extend(std::mem::take(&mut self.jobs).into_iter().map(|job| job.run(&*self.files)));
        // What ended while the driver ended may not be told any more.
        let told = self.draw.percent(70);
        results.into_iter().filter(|_| told).for_each(|finished| committer.finished(finished, &mut done));
        let events = committer.take_events();
        self.hear(events);
        self.completed(done)?;
        match committer.close() {
            Err(error) if told => return Err(format!("close: {error}")),
            // The journal is still there.
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        self.stores.iter_mut().for_each(|store| store.log.settled(self.ticket));
        Ok(())
    }

    /// What an operator is told: a file that the device failed to take may have lost what was only cached.
    fn hear(&mut self, events: Vec<DiskEvent>) {
        for event in events {
            self.note(|| format!("    {event:?}"));
            let (what, error) = match event {
                DiskEvent::JournalFailed(error) => ("journal failures", error),
                DiskEvent::NoSegment(error) => ("no segment", error),
                DiskEvent::Repaired(error) => ("repairs", error),
                DiskEvent::Stuck(error) => ("stuck files", error),
                DiskEvent::Uncut(error) => ("uncut files", error),
            };
            self.saw(what);
            for store in &mut self.stores {
                let rest = error.path.strip_prefix(&store.folder).and_then(|rest| rest.strip_prefix('/'));
                let log = store.log.files.iter_mut().find(|(name, _)| rest == Some(&name.to_string()));
                log.into_iter().for_each(|(_, log)| log.doubt());
            }
        }
    }

    /// Somebody else's server opens some directories after the stop: it cuts blocks at the first bad record and goes on from there. Only where stores write
    /// whole records: without them, nobody could tell.
    fn visit(&mut self) -> Option<Visit> {
        if !self.tidy || !self.draw.percent(30) || self.stores.is_empty() {
            return None;
        }
        let at = self.draw.below(self.stores.len());
        let folder = self.stores[at].folder.clone();
        let (&number, _) = self.stores[at].blocks.last_key_value()?;
        let block = format!("{folder}/msgs/{number}.blk");
        let mut content = self.files.peek(&block)?;
        let mut from = 0;
        while let Some(len) = whole(&content[from..]) {
            from += len;
        }
        content.truncate(from);
        for _ in 0..self.draw.between(1, 6) {
            record(&mut content, 0xf00d_0000_0000 + self.draw.bits() % 1000, 20);
        }
        let index = self.draw.percent(50).then(|| format!("{folder}/msgs/index.db"));
        let visit = Visit { folder, block, content, from, index };
        visit.write(&self.files).ok()?;
        self.saw("visits of another server");
        self.note(|| format!("another server wrote {} from {from} on, and {:?}", visit.block, visit.index));
        Some(visit)
    }

    /// Opens the directory, with crashes in between.
    fn recover(&mut self, level: Level) -> Result<Report, String> {
        let mut first: Option<Report> = None;
        for attempt in 0.. {
            if attempt < 4 && self.draw.percent(40) {
                let soon = self.draw.below(120) as u64;
                self.files.crash_after(Some(soon));
            } else {
                self.files.crash_after(None);
            }
            match Committer::open(self.files.clone(), self.settings, &SimRecords) {
                Ok((committer, report)) if !self.files.is_dead() => {
                    self.files.crash_after(None);
                    self.committer = Some(committer);
                    self.note(|| format!("replayed: {report:?}"));
                    // An attempt that was cut may have left others aside already.
                    let mut all = report;
                    if let Some(first) = first {
                        all.foreign.extend(first.foreign);
                    }
                    return Ok(all);
                }
                Ok((_, report)) => first = Some(report),
                Err(error) if !self.files.is_dead() => return Err(format!("open: {error}")),
                Err(_) => {}
            }
            self.note(|| "crash in recovery".into());
            self.saw("crashes in recovery");
            if level == Level::Durable { self.files.power_cut(self.odds) } else { self.files.kill() }
        }
        Err("unreachable".into())
    }

    fn look(&mut self, report: &Report, level: Level, stranger: &dyn Fn(&str) -> bool) -> Result<(), String> {
        for at in 0..self.stores.len() {
            let folder = self.stores[at].folder.clone();
            if stranger(&folder) {
                let fresh = Store::new(format!("{folder}x"), self.tidy);
                self.stores[at] = fresh;
                continue;
            }
            let there = self.files.list(&folder).is_ok();
            if let Some((_, known)) = self.stores[at].log.deleted {
                if there && known == Level::Durable {
                    return Err(format!("{folder} was deleted and is back"));
                }
                if !there {
                    self.saw("deleted stores");
                    self.stores[at] = self.stores[at].begun_anew();
                    continue;
                }
            }
            self.look_at_files(at, level)?;
            self.look_at_consumers(at, report, level)?;
            let store = &mut self.stores[at];
            store.open.clear();
            (store.failed, store.deleting, store.log.deleted, store.last_done) = (false, false, None, 0);
        }
        Ok(())
    }

    fn look_at_files(&mut self, at: usize, level: Level) -> Result<(), String> {
        let store = &mut self.stores[at];
        store.blocks.clear();
        let (mut pair, mut blocks) = (Vec::new(), Vec::new());
        for (name, log) in &mut store.log.files {
            let path = format!("{}/{name}", store.folder);
            let actual = self.files.peek(&path);
            let pieces = matches!(name, Name::Block(_));
            log.check(actual.as_deref(), level, pieces).map_err(|e| format!("{path} {e}"))?;
            if let (Name::Block(block), Some(content)) = (name, &actual) {
                blocks.push((*block, content.clone()));
            }
            if let Name::Path(path) = name
                && (**path == *META || **path == *SUM)
            {
                pair.push(actual.as_ref().and_then(|c| number_of(c)));
            }
            if level == Level::Durable { *log = FileLog::found(actual, level) } else { log.look(actual) }
        }
        blocks.iter().for_each(|(block, content)| store.found(*block, content));
        if pair.windows(2).any(|two| two[0] != two[1]) {
            return Err(format!("{}: {META} and {SUM} are of different operations: {pair:?}", store.folder));
        }
        Ok(())
    }

    fn look_at_consumers(&mut self, at: usize, report: &Report, level: Level) -> Result<(), String> {
        let store = &mut self.stores[at];
        for (name, log) in &mut store.log.consumers {
            let content = self.files.peek(&format!("{}/obs/{name}/o.dat", store.folder));
            let state = content.as_ref().and_then(|c| number_of(c));
            let found = report.deltas.iter().find(|d| *d.folder == *store.folder && *d.consumer == **name);
            let deltas: Vec<u64> =
                found.map_or(Vec::new(), |d| d.changes.iter().filter_map(|(_, b)| number_of(b)).collect());
            log.check(state, &deltas, level)
                .map_err(|e| format!("{}: consumer {name}: {e}", store.folder))?;
            *log = ConsumerLog::found(state, &deltas);
        }
        Ok(())
    }

    fn register_all(&mut self) -> Result<(), String> {
        let Some(committer) = &mut self.committer else { return Ok(()) };
        for store in &mut self.stores {
            store.lane = committer.register(&store.folder).map_err(|e| format!("register: {e}"))?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let mut batch = Vec::new();
        for _ in 0..self.draw.between(1, 25) {
            let at = self.draw.below(self.stores.len());
            self.submit(at, &mut batch);
        }
        let mut done = Vec::new();
        for Submission { lane, ticket, op } in &batch {
            let whose = self.whose(*lane);
            self.note(|| format!("{whose} {}: {op:?}", ticket.0));
        }
        let Some(committer) = &mut self.committer else { return Ok(()) };
        committer.commit(&mut batch, &mut done);
        if self.draw.percent(10) {
            committer.idle();
        }
        if self.draw.percent(5) {
            committer.close_unused();
        }
        let mut jobs = committer.take_jobs();
        self.jobs.append(&mut jobs);
        let mut late = Vec::new();
        for job in std::mem::take(&mut self.jobs) {
            if self.draw.percent(self.prompt_jobs) {
                self.results.push(job.run(&*self.files));
            } else {
                late.push(job);
            }
        }
        self.jobs = late;
        if self.draw.percent(70) {
            for result in std::mem::take(&mut self.results) {
                committer.finished(result, &mut done);
            }
        }
        let events = committer.take_events();
        self.hear(events);
        self.completed(done)?;
        self.revive()
    }

    fn completed(&mut self, done: Vec<Completion>) -> Result<(), String> {
        // With the power off, what returns is seen by nobody.
        let dead = self.files.is_dead();
        for Completion { lane, ticket: Ticket(ticket), outcome } in done {
            let whose = self.whose(lane);
            self.note(|| format!("    {whose} {ticket}: {outcome:?}"));
            let Some(store) = self.stores.iter_mut().find(|s| s.lane == lane) else { continue };
            let Some(open) = store.open.remove(&ticket) else {
                return Err(format!("{ticket} completed twice, or was never submitted"));
            };
            match outcome {
                _ if dead => {}
                Outcome::Failed(error) => {
                    store.failed = true;
                    if error.fault == Fault::Device {
                        store.log.files.values_mut().for_each(FileLog::doubt);
                    }
                    *self.seen.entry("failures").or_default() += 1;
                }
                Outcome::Done | Outcome::Worked(_) => {
                    if !open.checkpoint {
                        if ticket < store.last_done {
                            return Err(format!("{ticket} completed after {}", store.last_done));
                        }
                        store.last_done = ticket;
                    }
                    store.log.completed(ticket, open.level);
                    if open.checkpoint {
                        store.log.settled(ticket);
                    }
                    store.deleting &= !open.delete;
                    *self.seen.entry("completions").or_default() += 1;
                    if open.delete {
                        *self.seen.entry("deletions").or_default() += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Stores that were deleted begin anew; those that failed look at their files and go on.
    fn revive(&mut self) -> Result<(), String> {
        if self.files.is_dead() {
            return Ok(());
        }
        for at in 0..self.stores.len() {
            let store = &mut self.stores[at];
            let gone = matches!(store.log.deleted, Some((_, Level::Durable)));
            if gone {
                // Even when the power goes in its midst: the folder may be there again, with nothing in it.
                let mut fresh = store.begun_anew();
                let Some(committer) = &mut self.committer else { return Ok(()) };
                match committer.register(&fresh.folder) {
                    Ok(lane) => fresh.lane = lane,
                    Err(_) if self.files.is_dead() => {}
                    Err(error) => return Err(format!("register again: {error}")),
                }
                self.stores[at] = fresh;
            } else if store.failed && store.open.is_empty() {
                store.failed = false;
                store.deleting = false;
                let ticket = self.next_ticket();
                let mut batch =
                    vec![Submission { lane: self.stores[at].lane, ticket: Ticket(ticket), op: Op::Resume }];
                let store = &mut self.stores[at];
                store.open.insert(ticket, Open { level: Level::Open, checkpoint: false, delete: false });
                store.blocks.clear();
                store.next_block += 1;
                let mut done = Vec::new();
                if let Some(committer) = &mut self.committer {
                    committer.commit(&mut batch, &mut done);
                }
                self.completed(done)?;
            }
        }
        Ok(())
    }

    fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    fn submit(&mut self, at: usize, batch: &mut Vec<Submission>) {
        if self.stores[at].deleting || self.stores[at].failed {
            return;
        }
        let ticket = self.next_ticket();
        let promise = if self.draw.percent(self.cached) { Promise::Cached } else { Promise::Durable };
        let (draw, store) = (&mut self.draw, &mut self.stores[at]);
        let kind = draw.below(100);
        let (op, level) = match kind {
            0..50 => store.append(draw, ticket, promise),
            50..55 => store.erase(draw, ticket, promise),
            55..63 => store.replace(draw, ticket, promise),
            63..78 => store.delta(draw, ticket, promise),
            78..83 => store.remove(draw, ticket, promise),
            83..87 => store.set_len(draw, ticket),
            87..93 => match store.adopt(draw, ticket, &self.files) {
                Some(op) => (op, Level::Durable),
                None => return,
            },
            93..97 => (Op::Checkpoint, Level::Open),
            97 => {
                store.deleting = true;
                store.log.deleted = Some((ticket, Level::Open));
                (Op::Delete, Level::Durable)
            }
            _ => store.replace(draw, ticket, promise),
        };
        let open = Open { level, checkpoint: matches!(op, Op::Checkpoint), delete: matches!(op, Op::Delete) };
        store.open.insert(ticket, open);
        let name = match &op {
            Op::Write { .. } => "writes",
            Op::Replace { .. } => "replacements",
            Op::Remove { .. } => "removals",
            Op::Adopt { .. } => "adoptions",
            Op::SetLen { .. } => "lengths",
            Op::Delta { .. } => "deltas",
            _ => "other operations",
        };
        batch.push(Submission { lane: store.lane, ticket: Ticket(ticket), op });
        self.saw(name);
    }
}
