//! Consumers over streams in memory.

mod acks;
mod lives;
mod model;
mod pulls;
mod pushes;
mod starts;
mod waits;

use std::collections::BTreeSet;

use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig};
use midge_jsapi::stream_config::{Retention, StreamConfig};
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Seeded;
use midge_store::consumer::{AckPolicy as KeptPolicy, ConsumerStore, Keeping};
use midge_store::stream::{Config, Medium, NewMessage, Step, Store};

use super::config::{self, CheckCx};
use super::outlet::{AckOf, Cx, Delivery, Event, Outlet, StreamFacts};
use super::{Consumer, Identity, Start, StartQuery};

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;
const BEGIN_NS: i64 = 1_700_000_000_000_000_000;

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Out {
    Message {
        to: String,
        subject: String,
        reply: String,
        header: String,
        payload: String,
    },
    /// A status, its lines joined by `|`.
    Status {
        to: String,
        reply: String,
        text: String,
    },
    Durable(String),
    Now(String),
    Event(String),
    Done(u64, u64),
}

#[derive(Default)]
struct Recorder {
    out: Vec<Out>,
    /// Subjects without interest.
    deaf: BTreeSet<String>,
    /// Subjects whose interest takes nothing.
    stuck: BTreeSet<String>,
    rewritten: bool,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(header: &[u8]) -> String {
    text(header).trim_end().replace("\r\n", "|")
}

impl Recorder {
    fn hears(&self, subject: &[u8]) -> bool {
        !self.deaf.contains(&text(subject))
    }
}

impl Outlet for Recorder {
    fn deliver(&mut self, delivery: &Delivery<'_>) -> bool {
        if !self.hears(delivery.to) || self.stuck.contains(&text(delivery.to)) {
            return false;
        }
        self.out.push(Out::Message {
            to: text(delivery.to),
            subject: text(delivery.subject),
            reply: text(delivery.reply),
            header: lines(delivery.header),
            payload: text(delivery.payload),
        });
        true
    }

    fn status(&mut self, to: &[u8], reply: &[u8], header: &[u8]) -> bool {
        self.out.push(Out::Status {
            to: text(to),
            reply: text(reply),
            text: lines(header).trim_start_matches("NATS/1.0 ").to_owned(),
        });
        self.hears(to)
    }

    fn has_interest(&mut self, subject: &[u8]) -> bool {
        self.hears(subject)
    }

    fn has_subscriber(&mut self, subject: &[u8], _group: Option<&[u8]>) -> bool {
        self.hears(subject)
    }

    fn is_rewritten(&self, _inbox: &[u8]) -> bool {
        self.rewritten
    }

    fn reply_durable(&mut self, reply: &[u8]) {
        self.out.push(Out::Durable(text(reply)));
    }

    fn reply_now(&mut self, reply: &[u8]) {
        self.out.push(Out::Now(text(reply)));
    }

    fn advise(&mut self, consumer: &str, event: Event<'_>) {
        assert_eq!(consumer, "C");
        self.out.push(Out::Event(format!("{event:?}")));
    }

    fn done_with(&mut self, _consumer: &str, first: u64, last: u64) {
        self.out.push(Out::Done(first, last));
    }
}

/// A stream with one consumer.
struct Rig {
    store: Store,
    stream: StreamConfig,
    consumer: Option<Consumer>,
    now: Now,
    entropy: Seeded,
    out: Recorder,
    /// What may be seen; none for everything.
    visible: Option<u64>,
    /// Up to here the consumer was told.
    told: u64,
    has_leafs: bool,
}

fn pull_config() -> ConsumerConfig {
    ConsumerConfig {
        durable_name: "C".to_owned(),
        name: "C".to_owned(),
        ack_policy: AckPolicy::Explicit,
        ..ConsumerConfig::default()
    }
}

fn push_config() -> ConsumerConfig {
    ConsumerConfig { deliver_subject: "to".to_owned(), ..pull_config() }
}

/// Calls what needs the store, the time and so on.
macro_rules! with {
    ($rig:expr, |$consumer:ident, $cx:ident| $body:expr) => {{
        let rig: &mut Rig = $rig;
        let visible = rig.visible();
        let facts = facts(&rig.stream, visible, rig.has_leafs);
        let mut cx = Cx {
            store: &mut rig.store,
            stream: &facts,
            now: rig.now,
            entropy: &mut rig.entropy,
            out: &mut rig.out,
        };
        let $cx = &mut cx;
        let $consumer = rig.consumer.as_mut().expect("there is a consumer");
        $body
    }};
}
use with;

impl Rig {
    fn empty(stream: StreamConfig) -> Rig {
        let mut config = Config::new("S", Medium::Memory);
        config.max_msgs = u64::try_from(stream.max_msgs).unwrap_or(0);
        Rig {
            store: Store::in_memory(config, Box::new(Seeded::new(1))),
            stream,
            consumer: None,
            now: Now { mono: Mono(S), wall: Wall(BEGIN_NS) },
            entropy: Seeded::new(7),
            out: Recorder::default(),
            visible: None,
            told: 0,
            has_leafs: false,
        }
    }

    fn visible(&self) -> u64 {
        self.visible.unwrap_or(self.store.state().last_seq)
    }

    /// A stream with messages `s.1` … and a consumer.
    fn new(messages: u64, config: ConsumerConfig) -> Rig {
        Rig::on(stream_config(), messages, config)
    }

    fn on(stream: StreamConfig, messages: u64, config: ConsumerConfig) -> Rig {
        let mut rig = Rig::empty(stream);
        for n in 1..=messages {
            rig.publish(&format!("s.{n}"), "hello");
        }
        rig.create(config);
        rig
    }

    fn create(&mut self, config: ConsumerConfig) {
        let config = config::check(config, &check_cx(&self.stream)).expect("a configuration that is allowed");
        let mut query = StartQuery::new(&config, self.stream.max_msgs_per_subject);
        let visible = self.visible();
        let start = query.step(&mut self.store, visible).ready().expect("everything is in memory");
        let kept = ConsumerStore::new("C".into(), Keeping::Memory, None, KeptPolicy::Explicit, 0);
        self.begin(config, kept, start);
    }

    /// A new consumer.
    fn begin(&mut self, config: ConsumerConfig, kept: ConsumerStore, start: Start) {
        let visible = self.visible();
        let facts = facts(&self.stream, visible, self.has_leafs);
        let mut cx = Cx {
            store: &mut self.store,
            stream: &facts,
            now: self.now,
            entropy: &mut self.entropy,
            out: &mut self.out,
        };
        let identity = Identity { stream: "S".into(), name: "C".into(), created: self.now.wall };
        self.consumer = Some(Consumer::new(identity, config, kept, start, &mut cx));
        self.told = self.visible();
    }

    /// A consumer with the state that it kept.
    fn recover(&mut self, config: ConsumerConfig, kept: ConsumerStore) {
        let facts = StreamFacts {
            config: &self.stream,
            visible: self.visible(),
            domain: "",
            account_hash: "ACCHASH0",
            ack_v2: false,
            has_leafs: self.has_leafs,
            max_payload: 1 << 20,
        };
        let mut cx = Cx {
            store: &mut self.store,
            stream: &facts,
            now: self.now,
            entropy: &mut self.entropy,
            out: &mut self.out,
        };
        let identity = Identity { stream: "S".into(), name: "C".into(), created: Wall(BEGIN_NS) };
        self.consumer = Some(Consumer::recover(identity, config, kept, &mut cx));
        self.told = self.visible();
    }

    fn publish(&mut self, subject: &str, payload: &str) -> u64 {
        let message =
            NewMessage { subject: subject.as_bytes(), payload: payload.as_bytes(), ..NewMessage::default() };
        self.store.append(self.now, &message).expect("there is room")
    }

    /// Tells the consumer what became visible, and lets it deliver.
    fn turn(&mut self) {
        while self.told < self.visible() {
            self.told += 1;
            let seq = self.told;
            if let Step::Ready(message) = self.store.load(seq)
                && let Some(consumer) = &mut self.consumer
            {
                consumer.stored(seq, message.subject());
            }
        }
        let step = with!(self, |consumer, cx| consumer.turn(cx, usize::MAX));
        assert!(matches!(step, Step::Ready(_)), "{step:?}");
    }

    fn pull(&mut self, body: &str, inbox: &str) {
        with!(self, |consumer, cx| consumer.pull(cx, body.as_bytes(), b"", inbox.as_bytes()));
        self.turn();
    }

    /// A message to the acknowledgement subject.
    fn ack(&mut self, subject: &str, body: &str, reply: &str) {
        let of = ack_of(subject);
        with!(self, |consumer, cx| consumer.ack(cx, &of, body.as_bytes(), reply.as_bytes()));
        self.turn();
    }

    /// Lets time pass, deadline by deadline. Answers whether the consumer is to be deleted.
    fn pass(&mut self, nanos: u64) -> bool {
        let end = Mono(self.now.mono.0 + nanos);
        let mut unused = false;
        for _ in 0..100_000 {
            let due = self.consumer.as_ref().and_then(Consumer::deadline).filter(|due| *due <= end);
            let to = due.unwrap_or(end).max(self.now.mono);
            self.now.wall = Wall(self.now.wall.0 + (to.0 - self.now.mono.0) as i64);
            self.now.mono = to;
            if due.is_none() {
                return unused;
            }
            unused |= with!(self, |consumer, cx| consumer.expire(cx));
            self.turn();
            if unused {
                return true;
            }
        }
        panic!("deadlines come without end");
    }

    fn take(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out.out)
    }

    /// The messages that came out, as `inbox: stream sequence`; what else did is dropped.
    fn messages(&mut self) -> Vec<String> {
        let short = |out: Out| match out {
            Out::Message { to, reply, .. } => Some(format!("{to}: {}", ack_of(&reply).stream_seq)),
            _ => None,
        };
        self.take().into_iter().filter_map(short).collect()
    }

    /// The acknowledgement subjects that came out.
    fn replies(&mut self) -> Vec<String> {
        let reply = |out: Out| match out {
            Out::Message { reply, .. } => Some(reply),
            _ => None,
        };
        self.take().into_iter().filter_map(reply).collect()
    }

    fn statuses(&mut self) -> Vec<String> {
        let short = |out: Out| match out {
            Out::Status { to, text, .. } => Some(format!("{to}: {text}")),
            _ => None,
        };
        self.take().into_iter().filter_map(short).collect()
    }

    fn events(&mut self) -> Vec<String> {
        let event = |out: Out| match out {
            Out::Event(event) => Some(event),
            _ => None,
        };
        self.take().into_iter().filter_map(event).collect()
    }

    fn info(&self) -> midge_jsapi::info::ConsumerInfo {
        self.consumer.as_ref().expect("there is a consumer").info(self.now, self.visible())
    }

    /// Delivered and floor as (consumer, stream) pairs, and the numbers of unacknowledged, redelivered and pending ones.
    fn numbers(&self) -> ((u64, u64), (u64, u64), i64, i64, u64) {
        let info = self.info();
        (
            (info.delivered.consumer_seq, info.delivered.stream_seq),
            (info.ack_floor.consumer_seq, info.ack_floor.stream_seq),
            info.num_ack_pending,
            info.num_redelivered,
            info.num_pending,
        )
    }
}

fn facts(config: &StreamConfig, visible: u64, has_leafs: bool) -> StreamFacts<'_> {
    StreamFacts {
        config,
        visible,
        domain: "",
        account_hash: "ACCHASH0",
        ack_v2: false,
        has_leafs,
        max_payload: 1 << 20,
    }
}

pub(super) fn stream_config() -> StreamConfig {
    StreamConfig {
        name: "S".to_owned(),
        subjects: vec!["s.>".to_owned()],
        num_replicas: 1,
        ..StreamConfig::default()
    }
}

pub(super) fn check_cx(stream: &StreamConfig) -> CheckCx<'_> {
    CheckCx {
        stream,
        others: &[],
        name: "C",
        existing: None,
        pedantic: false,
        clustered: false,
        max_ack_pending: 0,
        max_request_batch: 0,
        max_consumers: 0,
        default_max_consumers: 0,
    }
}

fn retention(retention: Retention) -> StreamConfig {
    StreamConfig { retention, ..stream_config() }
}

fn ack_of(subject: &str) -> AckOf {
    let tokens: Vec<u64> = subject.split('.').skip(4).map(|token| token.parse().expect("a number")).collect();
    AckOf { deliveries: tokens[0], stream_seq: tokens[1], consumer_seq: tokens[2] }
}
