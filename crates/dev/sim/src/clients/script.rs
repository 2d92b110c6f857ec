//! What one connection's client will do, drawn beforehand.

use std::time::Duration;

use midge_broker::reason::Reason;

use super::ops::{Act, Connect, Fault, Op, Publish};
use crate::draw::Draw;
use crate::swarm::Swarm;

/// A script and what is needed to draw it.
#[derive(Debug)]
pub struct Script<'a> {
    swarm: &'a Swarm,
    draw: &'a mut Draw,
    /// Tells this connection's messages from all others.
    name: usize,
    messages: usize,
    next_sid: usize,
    /// The sids used, and whether they are of queue subscriptions.
    sids: Vec<(String, bool)>,
    /// Whether the last CONNECT asked for headers.
    headers: bool,
}

/// A subject of one to three tokens, with or without wildcards.
pub fn pattern(draw: &mut Draw, wildcards: bool) -> String {
    let mut tokens: Vec<&str> = Vec::new();
    for _ in 0..draw.pick(&[1, 2, 2, 3]) {
        tokens.push(if wildcards && draw.percent(30) { "*" } else { draw.one(&["a", "a", "b", "c"]) });
    }
    if wildcards && draw.percent(20) {
        if tokens.len() == 3 {
            tokens.pop();
        }
        tokens.push(">");
    }
    tokens.join(".")
}

impl Script<'_> {
    /// The acts of connection number `name`.
    pub fn draw(swarm: &Swarm, draw: &mut Draw, name: usize) -> Vec<Act> {
        let mut script =
            Script { swarm, draw, name, messages: 0, next_sid: 0, sids: Vec::new(), headers: false };
        let mut acts = Vec::new();
        if script.draw.percent(95) {
            let mut ops = vec![script.connect()];
            if script.draw.percent(80) {
                ops.push(Op::Ping(0));
            }
            ops.extend((0..script.draw.below(4)).map(|_| script.sub()));
            acts.push(Act::Send(ops));
        }
        for _ in 0..swarm.acts {
            let act = script.act();
            acts.push(act);
        }
        if script.draw.percent(70) {
            let half = script.draw.percent(40).then(|| Op::Publish(script.publish()));
            acts.push(Act::Leave { reset: script.draw.percent(40), half });
        }
        acts
    }

    fn act(&mut self) -> Act {
        let habits = &self.swarm.habits;
        if self.draw.percent(habits.bad) {
            return Act::Send(vec![self.bad()]);
        }
        if self.draw.percent(habits.stop_reading) {
            return Act::StopReading(Duration::from_micros(self.draw.pick(&[300, 5_000, 60_000, 900_000])));
        }
        match self.draw.below(100) {
            0..20 => {
                let sub = self.sub();
                let Op::Sub { sid, queue, .. } = &sub else { return Act::Send(vec![sub]) };
                let max = self.draw.percent(self.swarm.habits.max)
                    && !(queue.is_some() && self.swarm.drop_for_slow);
                if !max {
                    return Act::Send(vec![sub]);
                }
                let unsub = Op::Unsub { sid: sid.clone(), max: Some(self.draw.between(1, 5).to_string()) };
                Act::Send(vec![sub, unsub])
            }
            20..30 => Act::Send(vec![self.unsub()]),
            30..68 => Act::Send(self.messages()),
            68..73 => Act::Send(vec![Op::Ping(if self.draw.percent(20) { self.draw.below(200) } else { 0 })]),
            73..76 => Act::Send(vec![self.harmless()]),
            76..77 if self.draw.percent(50) => Act::Send(vec![self.connect()]),
            77..92 => Act::Respond { which: self.draw.below(1000), answers: self.draw.pick(&[1, 1, 2, 4]) },
            92..93 if self.draw.percent(30) => {
                Act::Leave { reset: self.draw.percent(50), half: Some(Op::Publish(self.publish())) }
            }
            93..97 => Act::Idle(Duration::from_micros(self.draw.pick(&[10, 700, 20_000, 2_500_000]))),
            _ => {
                let mixed = self.draw.between(2, 8);
                Act::Send((0..mixed).map(|_| self.any()).collect())
            }
        }
    }

    fn any(&mut self) -> Op {
        match self.draw.below(10) {
            0 | 1 => self.sub(),
            2 => self.unsub(),
            3 => Op::Ping(0),
            _ => Op::Publish(self.publish()),
        }
    }

    fn harmless(&mut self) -> Op {
        match self.draw.below(4) {
            0 => Op::Pong,
            1 => Op::Nothing("+OK"),
            2 => Op::Nothing("INFO {\"server_id\":\"x\"}"),
            _ => Op::Unsub { sid: "nobody".to_owned(), max: None },
        }
    }

    fn connect(&mut self) -> Op {
        let habits = &self.swarm.habits;
        let headers = self.draw.percent(habits.headers);
        self.headers = headers && self.swarm.headers;
        let mut connect = Connect {
            verbose: Some(self.draw.percent(habits.verbose)),
            pedantic: Some(self.draw.percent(habits.pedantic)),
            echo: Some(!self.draw.percent(habits.no_echo)),
            headers: Some(headers),
            no_responders: Some(
                (headers && self.swarm.headers || self.draw.percent(habits.bad))
                    && self.draw.percent(habits.no_responders),
            ),
            protocol: Some(i64::from(self.draw.percent(80))),
            ..Connect::default()
        };
        // What is absent keeps its value, or the default.
        for field in [&mut connect.verbose, &mut connect.pedantic, &mut connect.echo] {
            if self.draw.percent(10) {
                *field = None;
            }
        }
        if self.draw.percent(10) {
            connect.protocol = None;
        }
        if self.draw.percent(habits.bad) {
            match self.draw.below(3) {
                0 => connect.protocol = Some(2),
                1 => connect.account = Some("X".to_owned()),
                _ => connect.login = Some(("nobody".to_owned(), "x".to_owned())),
            }
        } else if !self.swarm.users.is_empty() && self.draw.percent(92) {
            let user = &self.swarm.users[self.draw.below(self.swarm.users.len())];
            connect.login = Some((user.name.clone(), user.password()));
        }
        Op::Connect(connect)
    }

    fn sub(&mut self) -> Op {
        if self.draw.percent(8) && !self.sids.is_empty() {
            // A sid in use: the old subscription stays.
            let (sid, queue) = self.sids[self.draw.below(self.sids.len())].clone();
            let queue = queue.then(|| "q1".to_owned());
            return Op::Sub { subject: format!("a.{}", pattern(self.draw, true)), queue, sid };
        }
        self.next_sid += 1;
        let sid = format!("{}{}", self.draw.one(&["", "", "s"]), self.next_sid);
        let mut subject = match self.draw.below(30) {
            0 => ">".to_owned(),
            1 => "*".to_owned(),
            2 => "_INBOX.>".to_owned(),
            3..8 => format!("_INBOX.{}.>", self.name),
            8 => self
                .draw
                .one(&["a..b", ".a", "a.", ">.a", "a.>.b", "a*", "*b.c", "a.>>", "same", "$SYS.>"])
                .to_owned(),
            9 => "same".to_owned(),
            _ => pattern(self.draw, true),
        };
        let queue = self.draw.percent(self.swarm.habits.queue);
        if queue && !self.swarm.wild_queues && matches!(subject.as_str(), ">" | "*" | "same") {
            subject = pattern(self.draw, false);
        }
        if queue && !self.swarm.wild_queues && (subject.starts_with('*') || subject.starts_with('>')) {
            subject.replace_range(..1, "a");
        }
        self.sids.push((sid.clone(), queue));
        let name = self.draw.one(&["q1", "q1", "q2", "q2", "v.1", "_sys_"]);
        let queue = queue.then(|| name.to_owned());
        Op::Sub { subject, queue, sid }
    }

    fn unsub(&mut self) -> Op {
        let Some((sid, queue)) =
            Some(&self.sids).filter(|s| !s.is_empty()).map(|s| &s[self.draw.below(s.len())])
        else {
            return Op::Unsub { sid: "1".to_owned(), max: None };
        };
        // A member that loses messages for being slow counts those that passed it by, which nobody can know.
        let max = self.draw.percent(self.swarm.habits.max) && !(*queue && self.swarm.drop_for_slow);
        let max = max.then(|| match self.draw.below(12) {
            0 => "0".to_owned(),
            1 => "x".to_owned(),
            2 => "007".to_owned(),
            _ => self.draw.between(1, 9).to_string(),
        });
        Op::Unsub { sid: sid.clone(), max }
    }

    fn messages(&mut self) -> Vec<Op> {
        if !self.draw.percent(self.swarm.habits.burst) {
            return vec![Op::Publish(self.publish())];
        }
        let first = self.publish();
        let count = self.draw.pick(&[2, 5, 20, 90]);
        let count = if first.payload.len() > 1000 { count.min(6) } else { count };
        let mut ops = vec![Op::Publish(first.clone())];
        for _ in 1..count {
            let mut next = Publish { zeros: 0, ..first.clone() };
            // Equal lines join most readily; other replies and sizes join too.
            let other = self.draw.percent(15);
            if other && !next.reply.is_empty() {
                next.reply = self.inbox();
            }
            if !self.is_nameless(&next) {
                let size = if other { self.size() } else { first.payload.len() };
                next.payload = self.payload(size);
                if next.payload.len() < 8 {
                    next.reply = self.inbox();
                }
            }
            ops.push(Op::Publish(next));
        }
        ops
    }

    /// Whether the message may be equal to others.
    fn is_nameless(&self, publish: &Publish) -> bool {
        publish.subject == "same" && publish.payload.is_empty() && !self.swarm.wild_queues
    }

    fn inbox(&mut self) -> String {
        self.messages += 1;
        format!("_INBOX.{}.{}", self.name, self.messages)
    }

    fn size(&mut self) -> usize {
        if self.draw.percent(self.swarm.habits.large) {
            let size = self.draw.pick(&[1_990, 2_048, 2_100, 16_300, 16_384, 16_500, 65_600, 140_000]);
            return size.min(self.most());
        }
        let size = match self.draw.below(10) {
            0 => 0,
            1 => self.draw.below(8),
            2..8 => self.draw.between(8, 60),
            _ => self.draw.between(60, 900),
        };
        size.min(self.most())
    }

    /// The largest payload that keeps within the limit, with the largest header.
    fn most(&self) -> usize {
        self.swarm.max_payload.saturating_sub(100)
    }

    /// A payload that no other message has, if it is long enough for that.
    fn payload(&mut self, size: usize) -> Vec<u8> {
        self.messages += 1;
        let mut payload = format!("{:03}{:05}", self.name % 1000, self.messages % 100_000).into_bytes();
        payload.truncate(size);
        let filler = self.draw.one(&["x", "\r\n", "MSG a 1 2\r\n", "\u{0}\u{7f}é"]).as_bytes();
        while payload.len() < size {
            let n = filler.len().min(size - payload.len());
            payload.extend_from_slice(&filler[..n]);
        }
        payload
    }

    fn publish(&mut self) -> Publish {
        let subject = match self.draw.below(40) {
            0 => self.draw.one(&["a..b", "a.", ".a", "a.*", "a.>", "*", ">", "*b.c", "a*"]).to_owned(),
            1 => self.draw.one(&["$NRG.x", "_GR_.x", "$JS.API.x", "_R_.x", "$SYS.x"]).to_owned(),
            2 => {
                let reply = self.inbox();
                return Publish {
                    subject: "$SYS.REQ.USER.INFO".to_owned(),
                    reply: if self.draw.percent(80) { reply } else { String::new() },
                    payload: self.payload(10),
                    ..Publish::default()
                };
            }
            3 => "same".to_owned(),
            4 | 5 => format!("_INBOX.{}.{}", self.draw.between(1, 9), self.draw.below(60)),
            _ => pattern(self.draw, false),
        };
        let size = if subject == "same" && self.draw.percent(60) { 0 } else { self.size() };
        let bad = self.draw.percent(self.swarm.habits.bad);
        let header = ((self.headers || bad) && self.draw.percent(25)).then(|| {
            let extra = self.draw.pick(&["", "A: 1\r\n", "Key: value\r\nOther: x\r\n"]);
            if self.draw.percent(10) { Vec::new() } else { format!("NATS/1.0\r\n{extra}\r\n").into_bytes() }
        });
        let request = self.draw.percent(self.swarm.habits.request);
        let mut publish = Publish {
            subject,
            reply: if request { self.inbox() } else { String::new() },
            header,
            payload: self.payload(size),
            zeros: if self.draw.percent(4) { self.draw.between(1, 3) } else { 0 },
        };
        if self.draw.percent(1) {
            publish.reply = self.draw.one(&["_R_.x", "_GR_.x", "$JS.ACK.x", "$JS.ACK.", "a.b"]).to_owned();
        }
        // Short messages are told apart by their reply, or by their subject.
        if publish.payload.len() < 8 && publish.header.is_none() && self.is_nameless(&publish) {
            publish.reply = String::new();
        } else if publish.payload.len() < 8 && !publish.reply.starts_with("_INBOX") {
            publish.reply = self.inbox();
        }
        publish
    }

    fn bad(&mut self) -> Op {
        let unknown = ("Unknown Protocol Operation", Reason::ProtocolViolation);
        let silent = |bytes: &str| (bytes.as_bytes().to_vec(), bytes.len(), None, Reason::ProtocolViolation);
        let (bytes, notice, answer, reason) = match self.draw.below(14) {
            0 => (b"HELLO\r\n".to_vec(), 2, Some(unknown.0), unknown.1),
            1 => (b"\r\n".to_vec(), 1, Some(unknown.0), unknown.1),
            2 => (b"MSG a 1 2\r\nhi\r\n".to_vec(), 1, Some(unknown.0), unknown.1),
            3 => (b"PUB a 2\r\nhixx".to_vec(), 12, Some(unknown.0), unknown.1),
            4 => silent("PUB a\r\n"),
            5 => silent("PUB a 12x\r\n"),
            6 => silent("PUB a 1234567890\r\n"),
            7 => silent("SUB a\r\n"),
            8 => silent("SUB a b c d\r\n"),
            9 => silent("UNSUB\t \t1 2 3\r\n"),
            10 => silent("CONNECT {\"verbose\":1}\r\n"),
            11 => (b"-ERR 'tired'\r\n".to_vec(), 14, None, Reason::ParseError),
            12 => {
                let line = format!("SUB {} 1\r\n", "a".repeat(self.swarm.max_control_line + 1));
                (
                    line.into_bytes(),
                    self.swarm.max_control_line + 5,
                    Some("maximum control line exceeded"),
                    Reason::MaxControlLineExceeded,
                )
            }
            _ => {
                let line = format!("PUB a {}\r\n", self.swarm.max_payload + 1);
                let notice = line.len();
                (
                    (line + "some of it").into_bytes(),
                    notice,
                    Some("Maximum Payload Violation"),
                    Reason::MaxPayloadExceeded,
                )
            }
        };
        Op::Bad(Fault { bytes, notice, answer, reason })
    }
}
