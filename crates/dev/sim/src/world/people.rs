//! Clients: sending what their scripts say, reading what comes.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use midge_stdx::clock::Mono;

use super::{Wire, World};
use crate::clients::{Act, Op, Publish, Reader, Style, encode};
use crate::edge::{Edge, Order, Phase, Sent};
use crate::model::Check;
use crate::net::{Hook, Kind, Link};
use crate::tamper::Break;
use crate::users::PermissionSpec;

/// Bytes that a client has on the wire before it waits.
const MAX_UP: usize = 200_000;
/// Requests that a client remembers to answer.
const MAX_REQUESTS: usize = 50;

/// A client, who connects several times in a row.
#[derive(Debug)]
pub(super) struct Person {
    sessions: VecDeque<(usize, VecDeque<Act>)>,
    name: usize,
    acts: VecDeque<Act>,
    cid: Option<u64>,
    idle_until: Mono,
    deaf_until: Mono,
    /// Answers nothing, not even PING.
    mute: bool,
    reader: Reader,
    requests: Vec<String>,
    answers: usize,
}

impl Person {
    pub(super) fn new(sessions: VecDeque<(usize, VecDeque<Act>)>, mute: bool) -> Person {
        Person {
            sessions,
            name: 0,
            acts: VecDeque::new(),
            cid: None,
            idle_until: Mono(0),
            deaf_until: Mono(0),
            mute,
            reader: Reader::default(),
            requests: Vec::new(),
            answers: 0,
        }
    }

    fn wire<'a>(&self, wires: &'a BTreeMap<u64, Wire>) -> Option<&'a Wire> {
        self.cid.and_then(|cid| wires.get(&cid))
    }

    pub(super) fn can_act(&self, now: Mono, wires: &BTreeMap<u64, Wire>) -> bool {
        match self.wire(wires) {
            None => !self.sessions.is_empty(),
            Some(wire) => {
                !wire.link.gone
                    && !self.acts.is_empty()
                    && now >= self.idle_until
                    && wire.link.up.len() < MAX_UP
            }
        }
    }

    pub(super) fn can_read(&self, now: Mono, wires: &BTreeMap<u64, Wire>) -> bool {
        self.wire(wires).is_some_and(|wire| {
            now >= self.deaf_until && (!wire.link.down.is_empty() || wire.link.closed || wire.link.gone)
        })
    }

    /// When it will act or read again by itself.
    pub(super) fn next_time(&self, now: Mono, wires: &BTreeMap<u64, Wire>) -> Mono {
        let Some(wire) = self.wire(wires) else { return Mono::NEVER };
        let act = if self.acts.is_empty() || wire.link.gone { Mono::NEVER } else { self.idle_until };
        let read = if wire.link.down.is_empty() && !wire.link.closed { Mono::NEVER } else { self.deaf_until };
        [act, read].into_iter().filter(|&at| at > now).min().unwrap_or(Mono::NEVER)
    }

    /// Gives up what it still had to do.
    pub(super) fn stop(&mut self) -> Option<u64> {
        self.sessions.clear();
        self.acts.clear();
        self.cid
    }
}

impl World {
    /// The next act of a client.
    pub(super) fn act(&mut self, n: usize) -> Check<()> {
        let person = &mut self.people[n];
        let Some(cid) = person.cid.filter(|cid| self.wires.contains_key(cid)) else { return self.connect(n) };
        let Some(act) = person.acts.pop_front() else { return Ok(()) };
        let now = self.now.mono;
        match act {
            Act::Send(ops) => self.send(cid, &ops),
            Act::Respond { which, answers } => {
                // Some answer requests that went to others.
                let asked = if which % 4 == 0 { &mut self.asked } else { &mut person.requests };
                if !asked.is_empty() {
                    let reply = asked.swap_remove(which % asked.len());
                    let answer = |n: usize| {
                        let payload = format!("{:03}R{n:04}", person.name % 1000).into_bytes();
                        Op::Publish(Publish { subject: reply.clone(), payload, ..Publish::default() })
                    };
                    let ops: Vec<Op> = (0..answers).map(|n| answer(person.answers + n)).collect();
                    person.answers += answers;
                    self.send(cid, &ops);
                }
            }
            Act::StopReading(time) => {
                person.deaf_until = now + time;
                self.log.event(now, None, cid, "deaf", format_args!("for {time:?}"));
            }
            Act::Idle(time) => person.idle_until = now + time,
            Act::Leave { reset, half } => {
                if let Some(op) = half {
                    self.send_half(cid, op);
                }
                self.leave(cid, reset);
            }
        }
        Ok(())
    }

    pub(super) fn leave(&mut self, cid: u64, reset: bool) {
        if let Some(wire) = self.wires.get_mut(&cid) {
            wire.link.leave(reset);
            let how = if reset { "abruptly" } else { "in order" };
            self.log.event(self.now.mono, None, cid, "leave", format_args!("{how}"));
        }
    }

    fn send(&mut self, cid: u64, ops: &[Op]) {
        let style = Style { odd: 8 };
        let mut encoded: Vec<Vec<u8>> = ops
            .iter()
            .map(|op| match self.tamper.operation(op) {
                Some(other) => encode(&other, style, &mut self.net),
                None => encode(op, style, &mut self.net),
            })
            .collect();
        self.tamper.burst(ops, &mut encoded);
        let (Some(wire), edge) = (self.wires.get_mut(&cid), self.edges.get_mut(&cid)) else { return };
        for op in ops {
            if let Op::Publish(publish) = op
                && !publish.reply.is_empty()
            {
                self.asked.truncate(MAX_REQUESTS - 1);
                self.asked.insert(0, publish.reply.clone());
            }
        }
        for bytes in &encoded {
            wire.link.up.extend(bytes);
            self.log.event(self.now.mono, None, cid, "send", format_args!("{}", crate::report::shown(bytes)));
        }
        if let Some(edge) = edge {
            let sent = |(op, bytes): (&Op, Vec<u8>)| Sent { op: op.clone(), bytes, taken: 0, applied: false };
            edge.sent.extend(ops.iter().zip(encoded).map(sent));
        }
    }

    fn send_half(&mut self, cid: u64, op: Op) {
        let bytes = encode(&op, Style { odd: 0 }, &mut self.net);
        let half = self.net.below(bytes.len());
        if let Some(wire) = self.wires.get_mut(&cid) {
            wire.link.up.extend(&bytes[..half]);
        }
        if let Some(edge) = self.edges.get_mut(&cid).filter(|_| half > 0) {
            edge.sent.push_back(Sent { op, bytes, taken: 0, applied: false });
        }
    }

    /// A client connects; the node greets it.
    fn connect(&mut self, n: usize) -> Check<()> {
        let shard = self.schedule.below(self.shards.len());
        if self.shards[shard].program.is_some() {
            return Ok(());
        }
        let Some((name, acts)) = self.people[n].sessions.pop_front() else { return Ok(()) };
        let addr =
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), u16::try_from(10_000 + name).unwrap_or(1));
        let machine = self.node.broker.accept(Some(addr), shard, self.now);
        let peer = machine.peer().clone();
        let (cid, raised) = (peer.cid, Arc::new(AtomicBool::new(false)));
        let kind = if self.net.percent(self.swarm.owned) { Kind::Owned } else { Kind::Plain };
        let flushes = self.flushes.clone();
        peer.attach(Box::new(Hook { cid, kind, owner: shard, raised: raised.clone(), flushes }));
        let capacity = self.net.between(self.swarm.socket / 2 + 1, self.swarm.socket);
        let link = Link::new(capacity);
        self.wires.insert(cid, Wire { link, owed: VecDeque::new(), ended: None, lossy: false });
        self.edges.insert(
            cid,
            Edge {
                machine,
                peer,
                kind,
                shard,
                raised,
                leftover: Vec::new(),
                need: 0,
                paused_until: None,
                write_blocked: false,
                backlog: false,
                work: None,
                phase: Phase::Open,
                in_flight: None,
                sent: VecDeque::new(),
                orders: VecDeque::new(),
                ended: None,
            },
        );
        let (idle_until, deaf_until, reader) = (Mono(0), Mono(0), Reader::default());
        let person = &mut self.people[n];
        let (sessions, mute) = (std::mem::take(&mut person.sessions), person.mute);
        *person = Person {
            name,
            acts,
            cid: Some(cid),
            idle_until,
            deaf_until,
            reader,
            ..Person::new(sessions, mute)
        };
        self.log.event(self.now.mono, Some(shard), cid, "accept", format_args!("client {n}, {kind:?}"));
        self.greet(shard, cid)
    }

    /// A client reads.
    pub(super) fn read(&mut self, n: usize) -> Check<()> {
        let person = &mut self.people[n];
        let Some(cid) = person.cid else { return Ok(()) };
        let Some(wire) = self.wires.get_mut(&cid) else { return Ok(()) };
        if wire.link.down.is_empty() {
            let lost = if wire.lossy || wire.link.gone { 0 } else { wire.owed.len() };
            let between = person.reader.is_between() || wire.lossy || wire.link.gone;
            let over = wire.link.closed;
            if over {
                let why = wire.ended;
                person.cid = None;
                self.wires.remove(&cid);
                self.log.event(self.now.mono, None, cid, "end", format_args!("{why:?}"));
                if lost > 0 {
                    return Err(format!("connection {cid} ended ({why:?}) with {lost} bytes not written"));
                }
                if !between {
                    return Err(format!("connection {cid} ended ({why:?}) in the middle of a message"));
                }
            } else if wire.link.gone {
                person.cid = None;
            }
            return Ok(());
        }
        let most =
            if self.net.percent(10) { usize::MAX } else { self.net.between(1, self.swarm.habits.gulp) };
        let bytes = wire.link.take(most);
        self.log.event(self.now.mono, None, cid, "read", format_args!("{} bytes", bytes.len()));
        let events = person.reader.push(&bytes).map_err(|e| format!("connection {cid}: {e}"))?;
        let mut pongs = Vec::new();
        for event in events {
            if event.is("PING") && !person.mute {
                pongs.push(Op::Pong);
            }
            if event.sid.is_some() && !event.reply.is_empty() && person.requests.len() < MAX_REQUESTS {
                person.requests.push(String::from_utf8_lossy(&event.reply).into_owned());
            }
        }
        if !wire.link.gone && !pongs.is_empty() {
            self.send(cid, &pongs);
        }
        Ok(())
    }

    /// Somebody from outside interferes: closes a connection, changes permissions, announces lame duck mode.
    pub(super) fn disturb(&mut self) {
        if !self.swarm.admin || self.edges.is_empty() {
            return;
        }
        let nth = self.schedule.below(self.edges.len());
        let Some((&cid, edge)) = self.edges.iter_mut().nth(nth) else { return };
        let open = edge.phase == Phase::Open && edge.peer.closed().is_none();
        match self.schedule.below(10) {
            0 if self.node.broker.kick(cid) => {
                self.log.event(self.now.mono, None, cid, "kick", format_args!(""));
            }
            0 => {}
            1 if !self.model.lame_duck => {
                self.model.lame_duck = true;
                self.node.broker.enter_lame_duck();
                for edge in self.edges.values_mut() {
                    edge.orders.push_back(Order::LameDuck);
                }
                self.log.event(self.now.mono, None, 0, "lame duck", format_args!(""));
            }
            2..5 if open && !self.swarm.users.is_empty() => {
                let spec = PermissionSpec::draw(&mut self.schedule);
                let mut config = spec.config();
                if self.tamper.is(Break::ForgetDenials)
                    && let Some(subscribe) = &mut config.subscribe
                {
                    subscribe.deny = None;
                }
                let (compiled, _) = midge_auth::Permissions::compile(&config);
                self.node.broker.set_permissions(cid, Some(Arc::new(compiled)));
                self.log.event(self.now.mono, None, cid, "permit", format_args!("{spec:?}"));
                edge.orders.push_back(Order::Permit(spec));
            }
            _ => {}
        }
    }
}
