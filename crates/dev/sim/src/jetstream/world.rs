//! A run: lives of a node between crashes, under clients.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use midge_jetstream::settings::AtRest;
use midge_stdx::clock::{Mono, Now, Wall};
use midge_store::format::keys::Cipher;
use midge_store::journal::{Committer, PlainRecords, Settings};
use midge_store::port::Fault;

use super::copies::{self, CopyModel};
use super::disk::{DiskStep, RESERVE, SimDisk};
use super::extras::{Extra, Extras};
use super::json::Json;
use super::model::{ConsumerModel, Limits, Setting, StreamModel};
use super::node::{Node, Step};
use super::swarm;
use super::tamper::Break;
use super::trouble::Ailment;
use crate::disk::{Odds, SimFiles, Verdict};
use crate::draw::Draw;

/// Why something did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The power went.
    Died,
    /// There was no space for a journal to begin in.
    NoSpace,
    /// The node did what it may not.
    Wrong(String),
}

impl From<String> for Trouble {
    fn from(text: String) -> Trouble {
        Trouble::Wrong(text)
    }
}

pub(super) type Result<T = ()> = std::result::Result<T, Trouble>;

/// What an answer is to.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// A publish, and the last sequence that it expected.
    Publish { stream: usize, id: usize, expected: Option<u64> },
    /// The end of a batch.
    Commit { stream: usize, batch: usize },
    /// An acknowledgement.
    Ack { consumer: usize, seq: u64, life: u64 },
    /// A deletion of one message.
    Delete { stream: usize, id: usize },
    /// A purge.
    Purge { stream: usize, order: u64, subject: Option<usize> },
    /// An update.
    Update { stream: usize, limits: Limits, life: u64 },
    /// A stream that is to be made, in this life of its name.
    MakeStream { stream: usize, life: u64 },
    /// A stream that is to go.
    DropStream { stream: usize, life: u64 },
    /// A consumer that is to be made.
    MakeConsumer { consumer: usize, life: u64 },
    /// A consumer that is to go.
    DropConsumer { consumer: usize, life: u64 },
    /// An update of a consumer.
    ChangeConsumer { consumer: usize, life: u64, setting: Setting },
    /// What was sent to a counter, or a schedule.
    Extra(Extra),
    /// Something whose answer somebody waits for.
    Call,
    /// Something whose answer does not matter.
    Nothing,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everything is put into its files.
    Stop,
    /// The process is killed.
    Kill,
    /// The power is cut.
    Power,
}

/// See the module.
pub(super) struct World {
    pub(super) draw: Draw,
    pub(super) files: Arc<SimFiles>,
    odds: Odds,
    /// Nanoseconds.
    pub(super) now: u64,
    pub(super) node: Option<Node>,
    pub(super) streams: Vec<StreamModel>,
    pub(super) consumers: Vec<ConsumerModel>,
    pub(super) copies: Vec<CopyModel>,
    pub(super) asks: BTreeMap<u64, Ask>,
    pub(super) next_ask: u64,
    pub(super) answers: BTreeMap<u64, Vec<u8>>,
    pub(super) verdict: Verdict,
    aloud: bool,
    pub(super) broken: Option<Break>,
    /// What a broken node remembers.
    pub(super) memory: Vec<super::node::Event>,
    lane_ops: usize,
    first_segment_len: u64,
    pub(super) acts: usize,
    /// Files are encrypted under the key of that number, and may be under the one before.
    keys: Option<(u32, Cipher)>,
    /// A crash may come at any call.
    perilous: bool,
    /// Consumers are updated, deleted, made anew.
    pub(super) mortal_consumers: bool,
    /// Streams are deleted and made anew.
    pub(super) mortal_streams: bool,
    /// What the disk does wrong at times.
    pub(super) ailment: Option<Ailment>,
    /// Streams beside the others.
    pub(super) extras: Extras,
    /// It does so now.
    pub(super) ailing: bool,
    /// It did so since the node was whole last.
    pub(super) shaken: bool,
    /// The node was told to stop: what is not done by then may be refused.
    pub(super) stopping: bool,
}

const START: u64 = 1_000_000_000_000;
const EPOCH: i64 = 1_700_000_000_000_000_000;

/// Both clocks at this time.
pub(super) fn time(now: u64) -> Now {
    Now { mono: Mono(now), wall: Wall(EPOCH + i64::try_from(now).unwrap_or(i64::MAX)) }
}

/// Runs a seed.
pub(super) fn run(seed: u64, broken: Option<Break>, aloud: bool) -> Verdict {
    let mut draw = Draw::new(seed).split("jetstream");
    let files = Arc::new(SimFiles::new(draw.split("files")));
    let odds = Odds { sectors: draw.below(101), lengths: draw.below(101), names: draw.below(101) };
    let extras = Extras::new(draw.split("extras"));
    let ailment = Ailment::draw(draw.split("ailment"));
    let (streams, consumers) = swarm::assets(&mut draw);
    let lane_ops = draw.pick(&[2, 8, 64, 65_536]);
    let first_segment_len = draw.pick(&[16 << 10, 64 << 10, 1 << 20]);
    let acts = draw.between(10, 120);
    let keys = draw.percent(25).then(|| (0, draw.pick(&[Cipher::Aes, Cipher::ChaCha])));
    let (mortal_consumers, mortal_streams) = (draw.percent(40), draw.percent(30));
    if aloud {
        files.trace();
    }
    let mut world = World {
        draw,
        files,
        odds,
        now: START,
        node: None,
        streams,
        consumers,
        copies: Vec::new(),
        asks: BTreeMap::new(),
        next_ask: 0,
        answers: BTreeMap::new(),
        verdict: Verdict::default(),
        aloud,
        broken,
        memory: Vec::new(),
        lane_ops,
        first_segment_len,
        acts,
        keys,
        perilous: false,
        mortal_consumers,
        mortal_streams,
        ailment,
        extras,
        ailing: false,
        shaken: false,
        stopping: false,
    };
    let origins = world.origins();
    world.copies = copies::copies(&mut world.draw, &origins);
    if let Err(failure) = world.lives() {
        world.note(|| format!("FAILED: {failure}"));
        world.verdict.failure = Some(failure);
    }
    std::mem::take(&mut world.verdict)
}

impl World {
    /// A line of the log.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.aloud {
            let line = format!("{:>12.6} {}", (self.now - START) as f64 / 1e9, line());
            self.verdict.log.push(line);
        }
    }

    pub(super) fn saw(&mut self, what: &'static str) {
        *self.verdict.seen.entry(what).or_insert(0) += 1;
    }

    fn time(&self) -> Now {
        time(self.now)
    }

    fn lives(&mut self) -> std::result::Result<(), String> {
        let lives = self.draw.between(1, 4);
        for _ in 0..lives {
            let end = match self.life() {
                Ok(end) => end,
                Err(Trouble::Wrong(text)) => return Err(text),
                Err(_) => End::Power,
            };
            self.end(end)?;
        }
        self.perilous = false;
        self.recover();
        self.shaken = false;
        match self.finale() {
            Ok(()) => Ok(()),
            Err(Trouble::Wrong(text)) => Err(text),
            Err(_) => Err("the power went at the end".into()),
        }
    }

    fn life(&mut self) -> Result<End> {
        self.perilous = true;
        if self.ailment == Some(Ailment::Space) && self.draw.percent(15) {
            self.fall_ill();
        }
        if self.shaken {
            self.saw("lives that begin without space");
        }
        self.open()?;
        let crash = if self.draw.percent(60) { Some(self.draw.below(600) as u64) } else { None };
        self.files.crash_after(crash);
        // One that begins on a full disk serves what it can, and has to be whole when there is space.
        if !self.shaken {
            self.ensure()?;
            if self.draw.percent(70) {
                self.settle()?;
                self.verify_all()?;
            }
        }
        for _ in 0..self.acts {
            self.ail();
            self.act()?;
            self.act_extra()?;
            if self.ailing && self.draw.percent(15) {
                self.use_reserve()?;
            }
            let steps = self.draw.pick(&[0, 1, 2, 5, 20]);
            for _ in 0..steps {
                if !self.pump()? {
                    break;
                }
            }
        }
        if self.draw.percent(60) {
            self.heal()?;
            self.settle()?;
            self.verify_all()?;
            if self.draw.percent(40) {
                self.drain_all()?;
                self.verify_all()?;
            }
        }
        let end = self.draw.pick(&[End::Stop, End::Kill, End::Power, End::Power]);
        if end != End::Power && self.draw.percent(70) {
            self.settle()?;
        }
        Ok(end)
    }

    fn finale(&mut self) -> Result {
        self.open()?;
        self.files.crash_after(None);
        self.ensure()?;
        self.settle()?;
        self.verify_all()?;
        self.drain_all()?;
        self.verify_all()?;
        self.verify_empty()?;
        self.verify_markers()?;
        self.saw("runs to the end");
        Ok(())
    }

    /// The end of a life. What was not confirmed is uncertain from here on, unless the end was a quiet one.
    fn end(&mut self, end: End) -> std::result::Result<(), String> {
        let dead = self.files.is_dead();
        let end = if dead { End::Power } else { end };
        let mut quiet = false;
        if end != End::Power
            && let Some(node) = &mut self.node
        {
            let mut ready = Vec::new();
            node.ready(Now { mono: Mono(self.now), wall: Wall(0) }, &mut ready);
            quiet = ready.is_empty();
        }
        self.note(|| format!("---- {end:?}, quiet {quiet}, dead {dead}"));
        let mut stopped = end != End::Stop;
        if end == End::Stop {
            self.stopping = true;
            let result = self.stop();
            self.stopping = false;
            match result {
                Ok(()) => stopped = !self.shaken,
                Err(Trouble::Wrong(text)) => return Err(text),
                Err(_) => {}
            }
        }
        self.node = None;
        let stays = self.ailing && self.ailment == Some(Ailment::Space) && self.draw.percent(50);
        if !stays {
            self.recover();
        }
        if self.files.is_dead() || end == End::Power {
            self.saw("power cuts");
            self.files.power_cut(self.odds);
            quiet = false;
        } else {
            self.saw(if end == End::Stop { "clean stops" } else { "kills" });
            self.files.kill();
        }
        let shaken = std::mem::replace(&mut self.shaken, stays);
        let certain = stopped && !shaken && (quiet || end == End::Stop);
        // The start was over and the disk well, so what is there is under this key by now, and another may take its place.
        if let Some((number, _)) = self.keys.as_mut().filter(|_| !shaken) {
            *number += u32::from(self.draw.percent(50));
        }
        self.forget(certain);
        Ok(())
    }

    fn stop(&mut self) -> Result {
        if let Some(node) = &self.node {
            node.js.stop();
        }
        let mut left = 100_000;
        while self.node.as_ref().is_some_and(|node| !node.has_stopped()) {
            left -= 1;
            if left == 0 || (!self.pump()? && self.node.as_ref().is_some_and(|node| !node.has_stopped())) {
                return Err(Trouble::Wrong("the node does not stop".into()));
            }
        }
        if let Some(node) = self.node.take() {
            let closed = node.close(&mut self.draw);
            // What a failing disk does not take at the end stays in the journal.
            if !self.files.is_dead() && !self.ailing {
                closed?;
            }
        }
        if self.files.is_dead() { Err(Trouble::Died) } else { Ok(()) }
    }

    /// Opens the store directory, which may be cut as well, and waits until everything is served.
    fn open(&mut self) -> Result {
        loop {
            let perilous = self.perilous && self.draw.percent(25);
            let crash = perilous.then(|| self.draw.below(80) as u64);
            self.files.crash_after(crash);
            match self.try_open() {
                Ok(()) => break,
                Err(Trouble::NoSpace) if !self.files.is_dead() => {
                    // Nothing is left that a journal could begin in. Whoever starts the node starts it again.
                    self.saw("starts refused for the lack of space");
                    self.node = None;
                    self.files.kill();
                    self.recover();
                    continue;
                }
                Err(Trouble::Wrong(text)) if !self.files.is_dead() => return Err(Trouble::Wrong(text)),
                Err(_) => {}
            }
            self.saw("crashes in opening");
            self.note(|| "---- power cut in opening".into());
            self.node = None;
            self.files.power_cut(self.odds);
            self.forget(false);
        }
        self.saw("openings");
        if self.keys.is_some() {
            self.saw("encrypted openings");
        }
        Ok(())
    }

    fn try_open(&mut self) -> Result {
        let settings = Settings {
            segment_len: 2 << 20,
            first_segment_len: self.first_segment_len,
            replace_inline: 4 << 10,
            reserve_len: if self.broken == Some(Break::NoReserve) { 0 } else { RESERVE },
            flaw: self.broken.and_then(Break::flaw),
            ..Settings::default()
        };
        let files: Arc<SimFiles> = self.files.clone();
        let (committer, report) =
            Committer::open(files, settings, &PlainRecords).map_err(|error| match error.fault {
                Fault::Full => Trouble::NoSpace,
                _ => Trouble::Wrong(error.to_string()),
            })?;
        if !report.is_clean() {
            return Err(Trouble::Wrong(format!("{report:?}")));
        }
        let deltas: Vec<String> = report.deltas.iter().map(|deltas| format!("{deltas:?}")).collect();
        self.note(|| format!("---- open, {} frames, deltas {deltas:?}", report.frames));
        let disk = SimDisk::new(self.files.clone(), committer, self.lane_ops, self.broken);
        let at_rest = self.keys.map(|(number, cipher)| AtRest {
            key: format!("key {number}").into_bytes(),
            previous: (number > 0 && self.broken != Some(Break::LoseKey))
                .then(|| format!("key {}", number - 1).into_bytes()),
            cipher,
        });
        let node = Node::start(disk, report.deltas, at_rest, &mut self.draw);
        node.subscribe("_R.>", 0);
        for (at, consumer) in self.consumers.iter().enumerate() {
            let inbox = if consumer.push { format!("_D.{at}") } else { format!("_P.{at}") };
            node.subscribe(&inbox, 100 + at as u32);
        }
        self.node = Some(node);
        let mut left = 100_000;
        while self.node.as_ref().is_some_and(|node| !node.js.recovery.is_done()) {
            left -= 1;
            if !self.pump()? || left == 0 {
                return Err(Trouble::Wrong("the streams do not open".into()));
            }
        }
        if self.files.is_dead() { Err(Trouble::Died) } else { Ok(()) }
    }

    /// One step of the node, if there is one to be done now.
    pub(super) fn pump(&mut self) -> Result<bool> {
        let now = self.time();
        let Some(node) = &mut self.node else { return Ok(false) };
        let mut ready = Vec::new();
        node.ready(now, &mut ready);
        if ready.len() > 1 && !self.draw.percent(10) {
            ready.retain(|step| *step != Step::Disk(DiskStep::Tidy));
        }
        if ready.is_empty() {
            return Ok(false);
        }
        let step = self.draw.pick(&ready);
        self.now += self.draw.between(100, 20_000) as u64;
        let now = self.time();
        if let Some(node) = &mut self.node {
            node.step(step, now, &mut self.draw);
        }
        *self.verdict.seen.entry("steps").or_insert(0) += 1;
        if self.aloud {
            for line in self.files.take_log() {
                self.note(|| format!("  {}", line.trim_start()));
            }
        }
        if self.files.is_dead() {
            return Err(Trouble::Died);
        }
        self.take_events()?;
        Ok(true)
    }

    /// Lets the node do all that it can do without time passing.
    pub(super) fn settle(&mut self) -> Result {
        for _ in 0..100_000 {
            if !self.pump()? {
                self.consumers.iter_mut().for_each(|consumer| consumer.unsettled.clear());
                return Ok(());
            }
        }
        let now = self.time();
        let mut ready = Vec::new();
        let mut due = Mono::NEVER;
        if let Some(node) = &mut self.node {
            node.ready(now, &mut ready);
            due = node.deadline();
        }
        let late = self.now as i128 - i128::from(due.0);
        Err(Trouble::Wrong(format!("the node does not come to rest: {ready:?}, late by {late} ns")))
    }

    /// Time passes, until something is due or for so long.
    pub(super) fn advance(&mut self, most_ns: u64) {
        let due = self.node.as_ref().map_or(u64::MAX, |node| node.deadline().0);
        self.now = due.max(self.now).min(self.now + most_ns);
    }

    /// So much time passes, and the node does what is due meanwhile.
    pub(super) fn pass(&mut self, time_ns: u64) -> Result {
        let until = self.now + time_ns;
        while self.now < until {
            self.advance(until - self.now);
            self.settle()?;
        }
        Ok(())
    }

    /// Publishes, and remembers what an answer would be to.
    pub(super) fn send(&mut self, subject: &str, header: &str, payload: &[u8], ask: Ask) -> Result<usize> {
        self.next_ask += 1;
        let reply = if let Ask::Nothing = ask { String::new() } else { format!("_R.{}", self.next_ask) };
        let now = self.time();
        self.note(|| {
            let mut text = format!("send {subject} {reply} {}", String::from_utf8_lossy(payload));
            if !header.is_empty() {
                let _ = write!(text, " {header:?}");
            }
            text
        });
        if !reply.is_empty() {
            self.asks.insert(self.next_ask, ask);
        }
        let ask = self.next_ask;
        let Some(node) = &mut self.node else { return Err(Trouble::Died) };
        let takers = node.publish(now, subject, &reply, header.as_bytes(), payload);
        if takers == 0 {
            self.asks.remove(&ask);
        }
        self.take_events()?;
        Ok(takers)
    }

    /// Publishes with a reply of its own kind.
    pub(super) fn send_from(&mut self, subject: &str, reply: &str, payload: &[u8]) -> Result {
        let now = self.time();
        self.note(|| format!("send {subject} {reply} {}", String::from_utf8_lossy(payload)));
        let Some(node) = &mut self.node else { return Err(Trouble::Died) };
        node.publish(now, subject, reply, b"", payload);
        self.take_events()
    }

    /// Asks, and waits for the answer.
    pub(super) fn call(&mut self, subject: &str, body: &str) -> Result<Json> {
        if self.send(subject, "", body.as_bytes(), Ask::Call)? == 0 {
            return Err(Trouble::Wrong(format!("nobody takes {subject}")));
        }
        let ask = self.next_ask;
        let begun = self.now;
        loop {
            if let Some(text) = self.answers.remove(&ask) {
                return Ok(Json::read(&text));
            }
            if !self.pump()? {
                let before = self.now;
                self.advance(1_000_000_000);
                if self.now == before || self.now > begun + 20_000_000_000 {
                    return Err(Trouble::Wrong(format!("no answer to {subject} {body}")));
                }
            }
        }
    }

    /// The same, where an error would be wrong.
    pub(super) fn demand(&mut self, subject: &str, body: &str) -> Result<Json> {
        let answer = self.call(subject, body)?;
        if answer.get("error").is_some() {
            return Err(Trouble::Wrong(format!("{subject} {body}: {:?}", answer.get("error"))));
        }
        Ok(answer)
    }
}
