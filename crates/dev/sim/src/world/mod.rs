//! The scheduler over one node, its shards, links and clients.

mod finale;
mod observe;
mod people;
mod shards;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use midge_broker::reason::Reason;
use midge_node::{Host, Node, Ports, Usage};
use midge_stdx::clock::{Mono, Now, Wall};

use crate::Settings;
use crate::clients::Script;
use crate::draw::Draw;
use crate::edge::Edge;
use crate::model::{Check, Model};
use crate::net::{Flushes, Link};
use crate::report::{Failure, Log, Outcome};
use crate::shard::Shard;
use crate::swarm::Swarm;
use crate::tamper::Tamper;
use people::Person;

/// Steps after which a run is called endless.
const MAX_STEPS: u64 = 400_000;

/// A machine that never changes.
#[derive(Debug)]
struct Still;

impl Host for Still {
    fn usage(&self) -> Usage {
        Usage { memory: 1 << 24, cores: 4, usable_cores: 4, ..Usage::default() }
    }
}

/// A link and what has to arrive through it.
#[derive(Debug)]
pub(crate) struct Wire {
    link: Link,
    /// What the node queued, from the first byte on that the link has not taken.
    owed: VecDeque<u8>,
    /// Why the connection ended.
    ended: Option<Reason>,
    /// The last flush ran out of time, or what was queued was thrown away.
    lossy: bool,
}

/// What a step of the scheduler does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Shard(usize),
    Act(usize),
    Read(usize),
    Arrive(u64),
    Hurry,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    seed: u64,
    swarm: Swarm,
    node: Arc<Node>,
    flushes: Arc<Flushes>,
    log: Log,
    now: Now,
    schedule: Draw,
    net: Draw,
    shards: Vec<Shard>,
    edges: BTreeMap<u64, Edge>,
    wires: BTreeMap<u64, Wire>,
    people: Vec<Person>,
    model: Model,
    tamper: Tamper,
    /// Where the latest requests want their answers.
    asked: Vec<String>,
    /// Connections that ended: why, how many subscriptions they had, and whether their figures are certain.
    gone: Vec<(u64, Reason, usize)>,
    /// The figures of connections that ended: messages out, bytes out.
    sent: (u64, u64),
    /// Whether an overflow or an answer of the server makes the figures uncertain.
    uncertain: bool,
    slow: u64,
    stale: u64,
    stopping: bool,
    steps: u64,
}

impl World {
    /// The world of a seed, before anything happened.
    pub fn new(seed: u64, settings: Settings) -> World {
        let root = Draw::new(seed);
        let swarm = Swarm::draw(&mut root.split("swarm"));
        let now = Now { mono: Mono(1_000_000_000), wall: Wall(1_700_000_000_000_000_000) };
        let tamper = Tamper::new(settings.broken, root.split("tamper"));
        let mut options = swarm.options();
        tamper.options(&mut options);
        let ports = Ports {
            secrets: Box::new(root.split("secrets").seeded()),
            shards: swarm.shards,
            midge_version: "0.0.0".to_owned(),
            host: Box::new(Still),
        };
        let node = midge_node::assemble(options, ports, now).expect("the options of a swarm are good");
        let mut batches = root.split("batches");
        let shards = (0..swarm.shards).map(|index| Shard::new(index, batches.bits())).collect();
        let mut scripts = root.split("scripts");
        let mut name = 0;
        let people = (0..swarm.clients)
            .map(|_| {
                let sessions = (0..swarm.sessions)
                    .map(|_| {
                        name += 1;
                        let mut acts = Script::draw(&swarm, &mut scripts, name);
                        acts.truncate(settings.acts.unwrap_or(usize::MAX));
                        (name, VecDeque::from(acts))
                    })
                    .collect();
                Person::new(sessions, scripts.percent(swarm.habits.mute))
            })
            .collect();
        World {
            seed,
            node,
            flushes: Flushes::new(root.split("hooks"), swarm.leave_to_owner),
            log: Log::new(settings.verbose),
            now,
            schedule: root.split("schedule"),
            net: root.split("net"),
            shards,
            edges: BTreeMap::new(),
            wires: BTreeMap::new(),
            people,
            model: Model::new(swarm.clone()),
            tamper,
            asked: Vec::new(),
            gone: Vec::new(),
            sent: (0, 0),
            uncertain: false,
            slow: 0,
            stale: 0,
            stopping: false,
            steps: 0,
            swarm,
        }
    }

    /// Runs to the end and tells how it went.
    pub fn run(mut self) -> Outcome {
        let result = self.run_all();
        let failure = result.err().map(|what| Failure { what, tail: self.log.tail() });
        Outcome {
            seed: self.seed,
            events: self.log.events(),
            hash: self.log.hash(),
            operations: self.model.seen.operations,
            deliveries: self.model.seen.deliveries,
            seen: self.model.seen,
            failure,
        }
    }

    fn run_all(&mut self) -> Check<()> {
        let swarm = format!("{:?}", self.swarm);
        self.log.event(self.now.mono, None, 0, "swarm", format_args!("{swarm}"));
        while self.step()? {}
        self.check_quiet()?;
        self.end()?;
        while self.step()? {}
        self.check_end()
    }

    /// Passes a little time, so that no two things happen at once.
    fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono + time;
        self.now.wall = self.now.wall + time;
    }

    /// Does one thing; answers false when nothing is left to do but to wait for PINGs.
    fn step(&mut self) -> Check<bool> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err("the run does not end".to_owned());
        }
        let little = self.schedule.micros(1, 30);
        self.pass(little);
        let enabled = self.enabled();
        if enabled.is_empty() {
            return Ok(self.wait());
        }
        if self.schedule.percent(1) {
            self.disturb();
        }
        match enabled[self.schedule.below(enabled.len())] {
            Step::Shard(shard) => self.step_shard(shard)?,
            Step::Act(person) => self.act(person)?,
            Step::Read(person) => self.read(person)?,
            Step::Arrive(cid) => self.arrive(cid),
            Step::Hurry => {
                let jump = self.schedule.micros(10, 3_000);
                self.pass(jump);
            }
        }
        Ok(true)
    }

    fn enabled(&mut self) -> Vec<Step> {
        let now = self.now.mono;
        let mut list = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let busy = shard.program.is_some();
            let has_work = || {
                self.edges.iter().any(|(cid, e)| {
                    e.shard == index && self.wires.get(cid).is_some_and(|w| !e.todos(&w.link, now).is_empty())
                })
            };
            if busy || has_work() {
                // Shards are quick, as a rule.
                list.extend([Step::Shard(index); 3]);
            }
        }
        for (n, person) in self.people.iter().enumerate() {
            if person.can_act(now, &self.wires) {
                list.push(Step::Act(n));
            }
            if person.can_read(now, &self.wires) {
                list.extend([Step::Read(n); 2]);
            }
        }
        for (cid, wire) in &self.wires {
            if !wire.link.up.is_empty() && wire.link.received.len() < self.swarm.socket {
                list.push(Step::Arrive(*cid));
            }
        }
        if !list.is_empty() && self.schedule.percent(3) {
            list.push(Step::Hurry);
        }
        list
    }

    /// Bytes of a client reach the node's socket.
    fn arrive(&mut self, cid: u64) {
        let Some(wire) = self.wires.get_mut(&cid) else { return };
        let most = match self.net.below(10) {
            0 => 1,
            1..5 => self.net.between(1, 60),
            5..8 => self.net.between(1, 3_000),
            _ => usize::MAX,
        };
        let n = wire.link.arrive(most);
        self.log.event(self.now.mono, None, cid, "arrive", format_args!("{n} bytes"));
    }

    /// Nothing can happen now: jumps to when something can. Answers false when only PINGs are to come.
    fn wait(&mut self) -> bool {
        let now = self.now.mono;
        let (mut all, mut busy) = (Mono::NEVER, Mono::NEVER);
        for edge in self.edges.values() {
            // A pause that is over and has nothing to go on with is no reason to go on.
            let [timer, working] = edge.next_times(now);
            all = all.min(timer).min(working);
            busy = busy.min(working);
            if edge.machine.waits_for_login() {
                busy = busy.min(timer);
            }
        }
        for person in &self.people {
            busy = busy.min(person.next_time(now, &self.wires));
        }
        if busy == Mono::NEVER {
            return false;
        }
        let late = self.schedule.micros(0, 100);
        let until = all.min(busy) + late;
        self.pass(until.since(self.now.mono));
        true
    }
}
