//! A stream with all that its decisions depend on.

use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::stream_config::{Storage, StreamConfig};
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Seeded;
use midge_store::port::Lane;
use midge_store::stream::{Config, Filter, Medium, Message, NextQuery, Step, Store};

use super::disk::Disk;

use crate::stream::config::{StoreCx, store_config};
use crate::stream::publish::{Admission, Interest, Limits, Outbox};
use crate::stream::{Cx, Incoming, Origin, Stream, Verdict};

/// What the outside is like.
pub struct Outside {
    pub wanted: Option<&'static [u8]>,
    pub full: bool,
    pub room: u64,
    pub atomic: usize,
}

impl Interest for Outside {
    fn wants(&self, subject: &[u8]) -> bool {
        self.wanted == Some(subject)
    }
}

impl Admission for Outside {
    fn server_full(&self) -> bool {
        self.full
    }
    fn admit(&self, bytes: u64) -> Result<(), ApiError> {
        if bytes > self.room { Err(errors::ACCOUNT_RESOURCES_EXCEEDED.into()) } else { Ok(()) }
    }
    fn atomic_batches(&self) -> usize {
        self.atomic
    }
    fn fast_batches(&self) -> usize {
        0
    }
}

pub struct Bench {
    pub stream: Stream,
    pub store: Store,
    pub outside: Outside,
    pub limits: Limits,
    pub outbox: Outbox,
    pub now: Now,
    entropy: Seeded,
    disk: Option<Disk>,
}

pub const SECOND: i64 = 1_000_000_000;

pub fn config() -> StreamConfig {
    StreamConfig {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        storage: Storage::Memory,
        max_msgs: -1,
        max_bytes: -1,
        max_msgs_per_subject: -1,
        max_msg_size: -1,
        max_consumers: -1,
        num_replicas: 1,
        duplicate_window_ns: 120 * SECOND,
        ..StreamConfig::default()
    }
}

impl Bench {
    pub fn new(config: StreamConfig) -> Bench {
        let cx =
            StoreCx { sync_interval_set: false, sync_always: false, encrypted: false, max_payload: 1 << 20 };
        let store = Store::in_memory(store_config(&config, &cx), Box::new(Seeded::new(2)));
        let mut entropy = Seeded::new(1);
        let now = Now { mono: Mono(1_000_000_000), wall: Wall(1_800_000_000 * SECOND) };
        Bench {
            stream: Stream::new(config, now.wall, &mut entropy),
            store,
            outside: Outside { wanted: None, full: false, room: u64::MAX, atomic: 0 },
            limits: Limits::default(),
            outbox: Outbox::default(),
            now,
            entropy,
            disk: None,
        }
    }

    /// With files, in blocks of so many bytes, which are never in memory when they are needed.
    pub fn on_disk(config: StreamConfig, block_len: u32) -> Bench {
        let mut bench = Bench::new(config);
        let told = bench.store.config().clone();
        let told = Config { medium: Medium::File, block_len, ..told };
        bench.store = Store::create(told, Lane(1), None, None, Box::new(Seeded::new(2)));
        bench.disk = Some(Disk::default());
        bench
    }

    /// Blocks that were read.
    pub fn loads(&self) -> usize {
        self.disk.as_ref().map_or(0, |disk| disk.loads)
    }

    pub fn pass(&mut self, ns: i64) {
        self.now.mono.0 += ns as u64;
        self.now.wall.0 += ns;
    }

    pub fn with<T>(&mut self, mut run: impl FnMut(&mut Stream, &mut Store, &mut Cx<'_>) -> Step<T>) -> T {
        if let Some(disk) = &mut self.disk {
            while disk.pump(&mut self.store, self.now.mono) {}
            self.store.evict(Mono::NEVER);
        }
        self.again(&mut run)
    }

    /// Without forgetting anything first.
    fn again<T>(&mut self, mut run: impl FnMut(&mut Stream, &mut Store, &mut Cx<'_>) -> Step<T>) -> T {
        for _ in 0..10_000 {
            let mut cx = Cx {
                now: self.now,
                entropy: &mut self.entropy,
                interest: &self.outside,
                admit: &self.outside,
                limits: &self.limits,
                outbox: &mut self.outbox,
            };
            match (run(&mut self.stream, &mut self.store, &mut cx), &mut self.disk) {
                (Step::Ready(answer), _) => return answer,
                (Step::Wait, Some(disk)) => {
                    assert!(disk.pump(&mut self.store, self.now.mono), "it waits for nothing");
                }
                (Step::Wait, None) => panic!("a store in memory does not wait"),
                (Step::Failed(error), _) => panic!("{error}"),
            }
        }
        panic!("it waits for ever")
    }

    pub fn send(&mut self, message: &Incoming<'_>) -> Verdict {
        let verdict = self.with(|stream, store, cx| stream.publish(store, message, cx));
        self.with(|stream, store, _| stream.settle(store));
        verdict
    }

    pub fn publish(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> Verdict {
        self.publish_as(Origin::Client, subject, headers, payload)
    }

    pub fn publish_as(
        &mut self,
        origin: Origin,
        subject: &str,
        headers: &[(&str, &str)],
        payload: &str,
    ) -> Verdict {
        let block = block(headers);
        let (subject, payload) = (subject.as_bytes(), payload.as_bytes());
        self.send(&Incoming { subject, reply: b"r", headers: &block, payload, origin })
    }

    /// The number and text of a refusal.
    pub fn refused(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> String {
        match self.publish(subject, headers, payload) {
            Verdict::Refused(error) => format!("{} {}", error.err_code, error.description),
            other => format!("{other:?}"),
        }
    }

    pub fn stored(&mut self, subject: &str, headers: &[(&str, &str)], payload: &str) -> u64 {
        match self.publish(subject, headers, payload) {
            Verdict::Stored { seq } | Verdict::Counted { seq, .. } => seq,
            other => panic!("{other:?}"),
        }
    }

    pub fn expire(&mut self) -> Option<Wall> {
        let mut next = self.with(|stream, store, cx| stream.expire(store, cx));
        // A store does not wait for what expires: it asks for blocks, and wants to be called again.
        while self.disk.as_mut().is_some_and(|disk| disk.pump(&mut self.store, self.now.mono)) {
            next = self.again(|stream, store, cx| stream.expire(store, cx));
        }
        next
    }

    pub fn messages(&mut self) -> Vec<Message> {
        let mut query = NextQuery { filter: Filter::all(), from: 0 };
        let mut found = Vec::new();
        while let Some(message) = self.with(|_, store, _| store.next(&mut query)) {
            query.from = message.seq + 1;
            found.push(message);
        }
        found
    }

    pub fn seqs(&mut self) -> Vec<u64> {
        self.messages().iter().map(|message| message.seq).collect()
    }

    pub fn message(&mut self, seq: u64) -> Message {
        self.with(|_, store, _| store.load(seq))
    }
}

pub fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    if headers.is_empty() {
        return Vec::new();
    }
    let mut block = String::from("NATS/1.0\r\n");
    for (name, value) in headers {
        block.push_str(&format!("{name}: {value}\r\n"));
    }
    block.push_str("\r\n");
    block.into_bytes()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
