//! Blocks that are not in memory: everything answers that it waits, and goes on as if nothing had been.

use std::collections::BTreeMap;

use midge_jsapi::consumer_config::{ConsumerConfig, DeliverPolicy};

use midge_store::port::{
    Completion, DiskError, Entry, Fault, Files, Handle, Lane, Mode, Name, Op, Outcome, Submission,
};
use midge_store::stream::{Filter, PurgeQuery};

use super::*;

/// The files of blocks, by number.
#[derive(Default)]
struct Blocks(BTreeMap<u32, Vec<u8>>);

type Answer<T> = Result<T, DiskError>;

fn refused<T>(path: &str) -> Answer<T> {
    Err(DiskError { fault: Fault::Absent, call: "test", path: path.to_owned(), text: "absent".to_owned() })
}

impl Files for Blocks {
    fn open(&self, path: &str, _: Mode) -> Answer<Handle> {
        let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".blk"));
        match name.and_then(|name| name.parse().ok()).filter(|index| self.0.contains_key(index)) {
            Some(index) => Ok(Handle(index)),
            None => refused(path),
        }
    }
    fn close(&self, _: Handle) {}
    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Answer<usize> {
        let rest = self.0[&file.0].get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
    fn len(&self, file: Handle) -> Answer<u64> {
        Ok(self.0[&file.0].len() as u64)
    }
    fn write_at(&self, _: Handle, _: u64, _: &[u8]) -> Answer<()> {
        refused("write_at")
    }
    fn set_len(&self, _: Handle, _: u64) -> Answer<()> {
        refused("set_len")
    }
    fn allocate(&self, _: Handle, _: u64) -> Answer<()> {
        refused("allocate")
    }
    fn sync(&self, _: Handle) -> Answer<()> {
        refused("sync")
    }
    fn sync_folder(&self, path: &str) -> Answer<()> {
        refused(path)
    }
    fn list(&self, path: &str) -> Answer<Vec<Entry>> {
        refused(path)
    }
    fn create_folder(&self, path: &str) -> Answer<()> {
        refused(path)
    }
    fn rename(&self, path: &str, _: &str) -> Answer<()> {
        refused(path)
    }
    fn remove(&self, path: &str) -> Answer<()> {
        refused(path)
    }
    fn remove_folder(&self, path: &str) -> Answer<()> {
        refused(path)
    }
    fn free(&self) -> Answer<u64> {
        Ok(u64::MAX)
    }
}

/// A disk that does one thing after the other, and counts what consumers had kept.
#[derive(Default)]
struct Disk {
    blocks: Blocks,
    deltas: usize,
    loads: usize,
}

impl Disk {
    /// Does everything that the store asked for.
    fn run(&mut self, store: &mut Store, now: Mono) {
        loop {
            let mut batch: Vec<Submission> = Vec::new();
            store.take_submissions(&mut batch);
            if batch.is_empty() {
                return;
            }
            for Submission { lane, ticket, op } in batch {
                let outcome = match op {
                    Op::Write { block, offset, bytes, .. } => {
                        let file = self.blocks.0.entry(block).or_default();
                        file.resize(file.len().max(offset as usize + bytes.len()), 0);
                        file[offset as usize..offset as usize + bytes.len()].copy_from_slice(&bytes);
                        Outcome::Done
                    }
                    Op::Replace { files, .. } => {
                        for (name, bytes) in files {
                            if let Name::Block(index) = name {
                                self.blocks.0.insert(index, bytes.to_vec());
                            }
                        }
                        Outcome::Done
                    }
                    Op::Work(work) => {
                        self.loads += 1;
                        Outcome::Worked(work.run(&self.blocks, "folder"))
                    }
                    Op::Delta { .. } => {
                        self.deltas += 1;
                        Outcome::Done
                    }
                    _ => Outcome::Done,
                };
                store.complete(Completion { lane, ticket, outcome }, now);
            }
        }
    }
}

/// A rig whose stream is in files, with messages of many blocks.
fn rig(messages: u64, disk: &mut Disk) -> Rig {
    let mut rig = Rig::empty(stream_config());
    let mut config = Config::new("S", Medium::File);
    config.block_len = 2000;
    rig.store = Store::create(config, Lane(1), None, None, Box::new(Seeded::new(1)));
    for n in 1..=messages {
        rig.publish(["s.a", "s.b", "s.c"][(n % 3) as usize], &"x".repeat(150));
        if n % 20 == 0 {
            disk.run(&mut rig.store, rig.now.mono);
        }
    }
    disk.run(&mut rig.store, rig.now.mono);
    rig
}

/// Everything is out of memory.
fn forget(rig: &mut Rig) {
    rig.now.mono = Mono(rig.now.mono.0 + S);
    rig.now.wall = Wall(rig.now.wall.0 + S as i64);
    rig.store.evict(rig.now.mono);
}

/// Turns until nothing is waited for; forgets blocks between, as seldom as lets it go on.
fn turn(rig: &mut Rig, disk: &mut Disk) -> usize {
    let mut waits = 0;
    loop {
        let visible = rig.store.durable();
        while rig.told < visible {
            rig.told += 1;
            let seq = rig.told;
            let subject = ["s.a", "s.b", "s.c"][(seq % 3) as usize];
            rig.consumer.as_mut().unwrap().stored(seq, subject.as_bytes());
        }
        match with!(rig, |consumer, cx| consumer.turn(cx, 7)) {
            Step::Ready(progress) if progress.more => {}
            Step::Ready(_) => return waits,
            Step::Wait => {
                waits += 1;
                forget(rig);
                disk.run(&mut rig.store, rig.now.mono);
            }
            Step::Failed(error) => panic!("{error}"),
        }
        assert!(waits < 10_000);
    }
}

fn create(rig: &mut Rig, disk: &mut Disk, config: ConsumerConfig) {
    let config = config::check(config, &check_cx(&rig.stream)).unwrap();
    let mut query = StartQuery::new(&config, -1);
    let start = loop {
        forget(rig);
        disk.run(&mut rig.store, rig.now.mono);
        let visible = rig.store.durable();
        if let Some(start) = query.step(&mut rig.store, visible).ready() {
            break start;
        }
    };
    let kept = ConsumerStore::new("C".into(), Keeping::File, None, KeptPolicy::Explicit, 0);
    rig.visible = Some(rig.store.durable());
    rig.begin(config, kept, start);
}

#[test]
fn delivery_goes_on_when_blocks_come() {
    for filter in ["", "s.b", "s.*"] {
        let mut disk = Disk::default();
        let mut rig = rig(90, &mut disk);
        let config = ConsumerConfig { filter_subject: filter.to_owned(), ..pull_config() };
        create(&mut rig, &mut disk, config);
        forget(&mut rig);
        with!(&mut rig, |consumer, cx| consumer.pull(cx, b"100", b"", b"a"));
        let waits = turn(&mut rig, &mut disk);
        assert!(waits > 5, "blocks were waited for: {waits}");
        let expected: Vec<String> =
            (1..=90).filter(|n| filter != "s.b" || n % 3 == 1).map(|n| format!("a: {n}")).collect();
        assert_eq!(rig.messages(), expected, "filter {filter:?}");
        assert_eq!(rig.info().num_pending, 0);
        assert!(disk.deltas > 0 && disk.deltas < expected.len(), "deliveries are kept by the turn");
    }
}

#[test]
fn redeliveries_and_counts_wait_as_well() {
    let mut disk = Disk::default();
    let mut rig = rig(60, &mut disk);
    create(&mut rig, &mut disk, pull_config());
    with!(&mut rig, |consumer, cx| consumer.pull(cx, b"60", b"", b"a"));
    turn(&mut rig, &mut disk);
    let replies = rig.replies();
    assert_eq!(replies.len(), 60);
    for reply in [&replies[40], &replies[3], &replies[20]] {
        let of = ack_of(reply);
        with!(&mut rig, |consumer, cx| consumer.ack(cx, &of, b"-NAK", b""));
    }
    forget(&mut rig);
    with!(&mut rig, |consumer, cx| consumer.pull(cx, b"3", b"", b"a"));
    assert!(turn(&mut rig, &mut disk) > 0);
    assert_eq!(rig.messages(), ["a: 41", "a: 4", "a: 21"]);
    // A change of filters counts anew, from the middle of the stream.
    let filtered = ConsumerConfig { filter_subject: "s.b".to_owned(), ..pull_config() };
    let mut other = self::rig(60, &mut disk);
    create(&mut other, &mut disk, pull_config());
    with!(&mut other, |consumer, cx| consumer.pull(cx, b"20", b"", b"a"));
    turn(&mut other, &mut disk);
    forget(&mut other);
    let config = config::check(filtered, &check_cx(&other.stream)).unwrap();
    with!(&mut other, |consumer, cx| consumer.update(cx, config));
    turn(&mut other, &mut disk);
    assert_eq!(other.info().num_pending, (21..=60).filter(|n| n % 3 == 1).count() as u64);
}

#[test]
fn last_ones_are_found_in_blocks_that_are_not_there() {
    let mut disk = Disk::default();
    let mut rig = rig(61, &mut disk);
    let config = ConsumerConfig {
        deliver_policy: DeliverPolicy::LastPerSubject,
        filter_subject: "s.*".to_owned(),
        ..pull_config()
    };
    create(&mut rig, &mut disk, config);
    let mut query = PurgeQuery::new(Filter::one(b"s.a"), 0, 0);
    while rig.store.purge_matching(&mut query).ready().is_none() {
        disk.run(&mut rig.store, rig.now.mono);
    }
    with!(&mut rig, |consumer, cx| consumer.purged(cx));
    forget(&mut rig);
    with!(&mut rig, |consumer, cx| consumer.pull(cx, b"9", b"", b"a"));
    turn(&mut rig, &mut disk);
    assert_eq!(rig.messages(), ["a: 59", "a: 61"]);
}

#[test]
fn what_is_acknowledged_with_a_reply_is_durable_and_the_rest_follows() {
    let mut disk = Disk::default();
    let mut rig = rig(10, &mut disk);
    create(&mut rig, &mut disk, pull_config());
    with!(&mut rig, |consumer, cx| consumer.pull(cx, b"10", b"", b"a"));
    turn(&mut rig, &mut disk);
    disk.run(&mut rig.store, rig.now.mono);
    let promises = |rig: &mut Rig| {
        let mut batch = Vec::new();
        rig.store.take_submissions(&mut batch);
        let mut promises = Vec::new();
        for Submission { lane, ticket, op } in batch {
            if let Op::Delta { promise, .. } = op {
                promises.push(promise);
            }
            rig.store.complete(Completion { lane, ticket, outcome: Outcome::Done }, rig.now.mono);
        }
        promises
    };
    use midge_store::port::Promise::{Cached, Durable};
    let of = |seq| AckOf { stream_seq: seq, consumer_seq: seq, deliveries: 1 };
    with!(&mut rig, |consumer, cx| consumer.ack(cx, &of(1), b"", b""));
    assert_eq!(promises(&mut rig), [Cached]);
    with!(&mut rig, |consumer, cx| consumer.ack(cx, &of(2), b"", b"r"));
    assert_eq!(promises(&mut rig), [Durable]);
    with!(&mut rig, |consumer, cx| consumer.ack(cx, &of(1), b"", b"r"));
    assert_eq!(promises(&mut rig), [Durable], "the plain one of before becomes durable with this one");
    with!(&mut rig, |consumer, cx| consumer.ack(cx, &of(3), b"-NAK", b"r"));
    assert_eq!(promises(&mut rig), [], "a refusal is forgotten by a restart");
}

#[test]
fn copies_are_sent_nothing_behind_a_removal_that_is_not_durable() {
    for (direct, limit) in [(false, false), (true, false), (true, true)] {
        let mut disk = Disk::default();
        let mut rig = rig(4, &mut disk);
        let config = ConsumerConfig { direct, ack_policy: AckPolicy::None, ..pull_config() };
        let kept = ConsumerStore::new("C".into(), Keeping::File, None, KeptPolicy::None, 0);
        rig.visible = Some(rig.store.durable());
        rig.begin(config, kept, Start { seq: 1, ..Start::default() });
        with!(&mut rig, |consumer, cx| consumer.pull(cx, b"1", b"", b"a"));
        turn(&mut rig, &mut disk);
        assert_eq!(rig.messages(), ["a: 1"]);
        if limit {
            // The two that displace messages 2 and 3 are appended, and not durable.
            let config = rig.store.config().clone();
            rig.store.configure(Config { max_msgs: 3, ..config });
            disk.run(&mut rig.store, rig.now.mono);
            rig.publish("s.a", "x");
            rig.publish("s.a", "x");
        } else {
            assert!(matches!(rig.store.remove(2, false), Step::Ready(true)));
            assert!(matches!(rig.store.remove(3, false), Step::Ready(true)));
        }
        with!(&mut rig, |consumer, cx| consumer.pull(cx, b"1", b"", b"a"));
        let step = with!(&mut rig, |consumer, cx| consumer.turn(cx, 7));
        assert_eq!(matches!(step, Step::Wait), direct);
        assert_eq!(rig.consumer.as_ref().unwrap().waits_for_removals(), direct);
        assert_eq!(
            rig.messages().len(),
            usize::from(!direct),
            "2 and 3 may be there again after a power cut"
        );
        disk.run(&mut rig.store, rig.now.mono);
        let step = with!(&mut rig, |consumer, cx| consumer.turn(cx, 7));
        assert!(matches!(step, Step::Ready(_)));
        assert_eq!(rig.messages(), if direct { vec!["a: 4"] } else { vec![] });
    }
}

#[test]
fn what_an_opening_brings_back_is_delivered_by_consumers_that_stay() {
    let mut disk = Disk::default();
    let mut rig = rig(4, &mut disk);
    create(&mut rig, &mut disk, ConsumerConfig { mem_storage: true, ..pull_config() });
    with!(&mut rig, |consumer, cx| consumer.pull(cx, b"1", b"", b"a"));
    turn(&mut rig, &mut disk);
    // A purge that is refused: it never reaches the disk.
    assert_eq!(rig.store.purge(), Ok(4));
    with!(&mut rig, |consumer, cx| consumer.purged(cx));
    with!(&mut rig, |consumer, cx| consumer.pull(cx, b"9", b"", b"a"));
    turn(&mut rig, &mut disk);
    assert_eq!(rig.messages(), ["a: 1"]);
    rig.store = self::rig(4, &mut Disk::default()).store;
    with!(&mut rig, |consumer, cx| consumer.store_changed(cx));
    turn(&mut rig, &mut disk);
    assert_eq!(rig.messages(), ["a: 2", "a: 3", "a: 4"]);
}

/// A purge that the disk refused took nothing: whoever was not sent what is there again gets it now, with the numbers that are due.
#[test]
fn what_is_there_again_after_a_failure_is_delivered() {
    for (direct, ack_policy) in
        [(true, AckPolicy::None), (false, AckPolicy::None), (false, AckPolicy::Explicit)]
    {
        let mut disk = Disk::default();
        let mut rig = rig(4, &mut disk);
        let config = ConsumerConfig { direct, ack_policy, ..pull_config() };
        let kept = ConsumerStore::new("C".into(), Keeping::Memory, None, KeptPolicy::None, 0);
        rig.begin(config, kept, Start { seq: 1, ..Start::default() });
        with!(&mut rig, |consumer, cx| consumer.pull(cx, b"1", b"", b"a"));
        turn(&mut rig, &mut disk);
        assert_eq!(rig.messages(), ["a: 1"]);
        rig.store.purge().unwrap();
        with!(&mut rig, |consumer, cx| consumer.purged(cx));
        turn(&mut rig, &mut disk);
        let mut again = self::rig(4, &mut Disk::default());
        std::mem::swap(&mut rig.store, &mut again.store);
        with!(&mut rig, |consumer, cx| consumer.store_changed(cx));
        assert_eq!(rig.info().num_pending, 3);
        with!(&mut rig, |consumer, cx| consumer.pull(cx, b"9", b"", b"a"));
        turn(&mut rig, &mut disk);
        assert_eq!(rig.messages(), ["a: 2", "a: 3", "a: 4"]);
        let info = rig.info();
        assert_eq!((info.delivered.stream_seq, info.delivered.consumer_seq), (4, 4));
        assert_eq!(info.num_ack_pending, if ack_policy == AckPolicy::Explicit { 3 } else { 0 });
    }
}

#[test]
fn copies_do_not_begin_behind_a_removal_that_is_not_durable() {
    use midge_jsapi::consumer_config::DeliverPolicy;
    for (direct, deliver_policy) in
        [(false, DeliverPolicy::All), (true, DeliverPolicy::All), (true, DeliverPolicy::ByStartSequence)]
    {
        let mut disk = Disk::default();
        let mut rig = rig(4, &mut disk);
        let limited = Config { max_msgs: 3, ..rig.store.config().clone() };
        rig.store.configure(limited);
        disk.run(&mut rig.store, rig.now.mono);
        rig.visible = Some(rig.store.durable());
        // It displaces message 2, and is not durable.
        rig.publish("s.a", "x");
        let opt_start_seq = if deliver_policy == DeliverPolicy::All { 0 } else { 2 };
        let config = ConsumerConfig {
            direct,
            deliver_policy,
            opt_start_seq,
            ack_policy: AckPolicy::None,
            ..pull_config()
        };
        let kept = ConsumerStore::new("C".into(), Keeping::Memory, None, KeptPolicy::None, 0);
        rig.begin(config, kept, Start { seq: 3, ..Start::default() });
        with!(&mut rig, |consumer, cx| consumer.pull(cx, b"1", b"", b"a"));
        let step = with!(&mut rig, |consumer, cx| consumer.turn(cx, 7));
        assert_eq!(matches!(step, Step::Wait), direct, "{deliver_policy:?}");
        assert_eq!(rig.messages().len(), usize::from(!direct), "2 may be there again after a power cut");
        disk.run(&mut rig.store, rig.now.mono);
        let step = with!(&mut rig, |consumer, cx| consumer.turn(cx, 7));
        assert!(matches!(step, Step::Ready(_)));
        assert_eq!(rig.messages(), if direct { vec!["a: 3"] } else { vec![] });
    }
}
