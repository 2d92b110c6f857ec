//! A store beside a model that does everything the slow way.

use std::collections::{BTreeMap, BTreeSet};

use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::stream::{
    Compact, Config, Discard, Filter, LastQuery, Medium, NewMessage, NextQuery, PendingQuery, PurgeQuery,
    State, StateQuery, Step, StoreError, SubjectQuery, Summary, TimeQuery, Truncate,
};

use crate::disk::Rig;

#[derive(Clone, Debug)]
struct Stored {
    subject: String,
    headers: Vec<u8>,
    payload: Vec<u8>,
    ts_ns: i64,
}

struct Model {
    config: Config,
    messages: BTreeMap<u64, Stored>,
    last_seq: u64,
    last_ts_ns: i64,
}

impl Model {
    fn counted(&self, message: &Stored) -> u64 {
        let parts = message.subject.len() + message.headers.len() + message.payload.len();
        (match self.config.medium {
            Medium::Memory => parts + 16,
            Medium::File => parts + if message.headers.is_empty() { 30 } else { 34 },
        }) as u64
    }

    fn bytes(&self) -> u64 {
        self.messages.values().map(|message| self.counted(message)).sum()
    }

    fn of_subject(&self, subject: &str) -> Vec<u64> {
        self.messages.iter().filter(|(_, m)| m.subject == subject).map(|(seq, _)| *seq).collect()
    }

    fn limits(&mut self) {
        let most = self.config.max_msgs_per_subject as usize;
        if most > 0 {
            let subjects: BTreeSet<String> = self.messages.values().map(|m| m.subject.clone()).collect();
            for subject in subjects {
                let of = self.of_subject(&subject);
                let more = of.len().saturating_sub(most);
                of.iter().take(more).for_each(|seq| {
                    self.messages.remove(seq);
                });
            }
        }
        if self.config.discard == Discard::Old {
            let over = |m: &Model| {
                (m.config.max_msgs > 0 && m.messages.len() as u64 > m.config.max_msgs)
                    || (m.config.max_bytes > 0 && m.bytes() > m.config.max_bytes)
            };
            while over(self) && self.messages.pop_first().is_some() {}
        }
    }

    fn refusal(&self, message: &Stored) -> Option<StoreError> {
        let config = &self.config;
        if config.discard == Discard::Old {
            return None;
        }
        let of = self.of_subject(&message.subject);
        let full = config.max_msgs_per_subject > 0 && of.len() as u64 >= config.max_msgs_per_subject;
        if full && config.discard_new_per_subject {
            return Some(StoreError::MaxMsgsPerSubject);
        }
        if config.max_msgs > 0 && self.messages.len() as u64 >= config.max_msgs && !full {
            return Some(StoreError::MaxMsgs);
        }
        None
    }

    fn append(&mut self, message: Stored) {
        self.last_seq += 1;
        self.last_ts_ns = message.ts_ns;
        self.messages.insert(self.last_seq, message);
        self.limits();
    }

    fn state(&self) -> State {
        State {
            messages: self.messages.len() as u64,
            bytes: self.bytes(),
            first_seq: match self.messages.keys().next() {
                Some(first) => *first,
                None if self.last_seq == 0 => 0,
                None => self.last_seq + 1,
            },
            last_seq: self.last_seq,
            last_ts_ns: self.last_ts_ns,
        }
    }

    fn matching<'a>(&'a self, filter: &'a Filter) -> impl DoubleEndedIterator<Item = (u64, &'a Stored)> {
        self.messages.iter().filter(|(_, m)| filter.matches(m.subject.as_bytes())).map(|(seq, m)| (*seq, m))
    }
}

struct Run {
    rig: Rig,
    model: Model,
    draw: Seeded,
    now: Now,
    log: Vec<String>,
}

/// Calls until the answer is there, doing what was asked for in between.
macro_rules! wait {
    ($run:expr, $call:expr) => {
        loop {
            match $call {
                Step::Ready(answer) => break Ok(answer),
                Step::Failed(error) => break Err(error),
                Step::Wait => assert!($run.rig.step($run.now.mono), "it waits for nothing"),
            }
        }
    };
}

const SUBJECTS: [&str; 7] = ["a", "b", "a.1", "a.2", "a.3.x", "kv.one", "kv.two"];
const FILTERS: [&[&str]; 7] = [&[], &["a"], &["a.*"], &["kv.>"], &["*"], &["a.1", "kv.two"], &["none.*"]];

impl Run {
    fn new(seed: u64) -> Run {
        let mut draw = Seeded::new(seed);
        let medium = if draw.below(3) == 0 { Medium::Memory } else { Medium::File };
        let mut config = Config::new("S", medium);
        config.block_len = 200 + draw.below(2500) as u32;
        let mut limit = |most: u64| if draw.below(3) == 0 { 1 + draw.below(most) } else { 0 };
        (config.max_msgs, config.max_bytes) = (limit(60), limit(6) * 700);
        config.max_msgs_per_subject = limit(4);
        if draw.below(4) == 0 {
            config.discard = Discard::New;
            config.max_bytes = 0;
            config.discard_new_per_subject = draw.below(2) == 0;
        }
        config.compression = draw.below(3) == 0;
        let rig = match medium {
            Medium::Memory => Rig::memory(config.clone()),
            Medium::File => Rig::files(config.clone(), seed),
        };
        let model = Model { config, messages: BTreeMap::new(), last_seq: 0, last_ts_ns: 0 };
        let now = Now { mono: Mono(1), wall: Wall(1_000_000) };
        Run { rig, model, draw, now, log: Vec::new() }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.draw.below(of.len() as u64) as usize]
    }

    fn filter(&mut self) -> Filter {
        let subjects = self.pick(&FILTERS);
        Filter::of(subjects.iter().map(|subject| subject.as_bytes()))
    }

    fn seq(&mut self) -> u64 {
        let first = self.model.messages.keys().next().copied().unwrap_or(0);
        match self.draw.below(4) {
            0 => self.draw.below(self.model.last_seq + 3),
            1 => first,
            2 => self.model.last_seq,
            _ => first + self.draw.below(self.model.last_seq.saturating_sub(first) + 2),
        }
    }

    fn append(&mut self) {
        let subject = self.pick(&SUBJECTS);
        let headers = if self.draw.below(4) == 0 { b"NATS/1.0\r\nA: b\r\n\r\n".to_vec() } else { Vec::new() };
        let len = if self.draw.below(20) == 0 { 3000 } else { self.draw.below(120) };
        let payload: Vec<u8> = (0..len).map(|_| b"abcdefgh"[self.draw.below(8) as usize]).collect();
        let stored = Stored { subject: subject.into(), headers, payload, ts_ns: self.now.wall.0 };
        let message = NewMessage {
            subject: subject.as_bytes(),
            headers: &stored.headers,
            payload: &stored.payload,
            ..NewMessage::default()
        };
        let got = self.rig.store.append(self.now, &message);
        self.log.push(format!("append {subject} {len}: {got:?}"));
        match self.model.refusal(&stored) {
            Some(refusal) => assert_eq!(got, Err(refusal)),
            None => {
                assert_eq!(got, Ok(self.model.last_seq + 1));
                self.model.append(stored);
            }
        }
    }

    fn change(&mut self) {
        // What waits for a block is done later by the store, and at once by the model.
        while self.rig.store.is_over_limits() && self.rig.step(self.now.mono) {}
        let seq = self.seq();
        match self.draw.below(20) {
            0..8 => {
                let erase = self.draw.below(2) == 0;
                let got = wait!(self, self.rig.store.remove(seq, erase));
                self.log.push(format!("remove {seq} erase {erase}: {got:?}"));
                let there = self.model.messages.remove(&seq).is_some();
                match got {
                    Ok(removed) => assert_eq!(removed, there),
                    Err(error) => {
                        assert!(!there && matches!(error, StoreError::NotFound | StoreError::End), "{error}");
                    }
                }
            }
            8 => {
                assert_eq!(self.rig.store.purge().unwrap(), self.model.messages.len() as u64);
                self.log.push("purge".into());
                self.model.messages.clear();
            }
            9..12 => {
                let filter = self.filter();
                let (below, keep) = if self.draw.below(2) == 0 { (seq, 0) } else { (0, self.draw.below(4)) };
                self.log.push(format!("purge {filter:?} below {below} keep {keep}"));
                let mut query = PurgeQuery::new(filter.clone(), below, keep);
                let got = wait!(self, self.rig.store.purge_matching(&mut query)).unwrap();
                self.purged(&filter, below, keep, got);
            }
            12..14 => {
                let to = seq + self.draw.below(2) * self.draw.below(4);
                self.log.push(format!("compact {to}"));
                let mut query = Compact::new(to);
                let got = wait!(self, self.rig.store.compact(&mut query)).unwrap();
                self.compacted(to, got);
            }
            14..16 => {
                self.log.push(format!("truncate {seq}"));
                let mut query = Truncate::new(seq);
                let now = self.now;
                let got = wait!(self, self.rig.store.truncate(&mut query, now)).unwrap();
                self.truncated(seq, got);
            }
            16..18 => {
                let count = 1 + self.draw.below(5);
                self.log.push(format!("skip {count}"));
                let touch = self.draw.below(2) == 0;
                self.rig.store.skip_range(0, count, self.now, touch).unwrap();
                self.model.last_seq += count;
                if touch || self.model.last_ts_ns == 0 {
                    self.model.last_ts_ns = self.now.wall.0;
                }
            }
            18 => {
                self.log.push("evict".into());
                self.rig.store.evict(Mono(u64::MAX));
            }
            _ => {
                self.log.push("maintain".into());
                self.rig.store.maintain();
            }
        }
    }

    fn purged(&mut self, filter: &Filter, below: u64, keep: u64, got: u64) {
        if filter.is_all() && below > 1 {
            return self.compacted(below, got);
        }
        let below = match below {
            0 => u64::MAX,
            other => other,
        };
        let seqs: Vec<u64> = self.model.matching(filter).map(|(seq, _)| seq).collect();
        let count = seqs.len().saturating_sub(keep as usize);
        let gone: Vec<u64> = seqs.into_iter().filter(|seq| below != 1 && *seq < below).take(count).collect();
        assert_eq!(got, gone.len() as u64);
        gone.iter().for_each(|seq| {
            self.model.messages.remove(seq);
        });
    }

    fn compacted(&mut self, to: u64, got: u64) {
        let before = self.model.messages.len() as u64;
        if to == 0 || to > self.model.last_seq {
            self.model.messages.clear();
            self.model.last_seq = self.model.last_seq.max(to.saturating_sub(1));
        } else {
            self.model.messages = self.model.messages.split_off(&to);
        }
        assert_eq!(got, before - self.model.messages.len() as u64);
    }

    fn truncated(&mut self, seq: u64, got: u64) {
        let before = self.model.messages.len() as u64;
        if seq < self.model.last_seq || seq == 0 {
            self.model.messages.split_off(&(seq + 1));
            self.model.last_seq = seq;
            // Of a deleted message the time may be gone.
            self.model.last_ts_ns = match self.model.messages.get(&seq) {
                Some(last) => last.ts_ns,
                None => self.rig.store.state().last_ts_ns,
            };
        }
        assert_eq!(got, before - self.model.messages.len() as u64);
    }

    fn check(&mut self) {
        while self.rig.store.is_over_limits() && self.rig.step(self.now.mono) {}
        let mut expected = self.model.state();
        let got = *self.rig.store.state();
        if self.model.messages.is_empty() {
            // Before the first message and after a purge.
            assert!(got.first_seq == expected.first_seq || (got.first_seq == 1 && got.last_seq == 0));
            expected.first_seq = got.first_seq;
        }
        assert_eq!(got, expected);
        let names: BTreeSet<&str> = self.model.messages.values().map(|m| m.subject.as_str()).collect();
        assert_eq!(self.rig.store.subjects(), names.len());
        let (filter, seq) = (self.filter(), self.seq());
        self.check_messages(&filter, seq);
        self.check_sums(&filter, seq);
    }

    fn check_messages(&mut self, filter: &Filter, seq: u64) {
        let got = wait!(self, self.rig.store.load(seq));
        let wanted = if seq == 0 && self.model.config.medium == Medium::File {
            self.model.messages.first_key_value()
        } else {
            self.model.messages.get_key_value(&seq)
        };
        match (got, wanted) {
            (Ok(got), Some((seq, message))) => {
                assert_eq!((got.seq, got.ts_ns), (*seq, message.ts_ns));
                assert_eq!(got.subject(), message.subject.as_bytes());
                assert_eq!((got.headers(), got.payload()), (&message.headers[..], &message.payload[..]));
            }
            (Err(error), None) => {
                let end = error == StoreError::End;
                let first = seq == 0 && self.model.config.medium == Medium::File;
                assert!(first || end == (seq > self.model.last_seq), "{error}");
            }
            (got, wanted) => panic!("load {seq}: {got:?} rather than {wanted:?}"),
        }
        let mut query = NextQuery { filter: filter.clone(), from: seq };
        let got = wait!(self, self.rig.store.next(&mut query)).unwrap().map(|m| m.seq);
        assert_eq!(
            got,
            self.model.matching(filter).map(|(s, _)| s).find(|s| *s >= seq),
            "next {filter:?} {seq}"
        );
        let mut query = NextQuery { filter: filter.clone(), from: seq };
        let got = wait!(self, self.rig.store.previous(&mut query)).unwrap().map(|m| m.seq);
        let wanted = self.model.matching(filter).map(|(s, _)| s).rfind(|s| *s <= seq);
        assert_eq!(got, wanted, "previous {filter:?} {seq}");
        let got = wait!(self, self.rig.store.last(filter)).unwrap().map(|m| m.seq);
        assert_eq!(got, self.model.matching(filter).map(|(s, _)| s).next_back(), "last {filter:?}");
        let at = self.now.wall.0 - self.draw.below(200) as i64 * 10;
        let got = wait!(self, self.rig.store.seq_from_time(TimeQuery { from_ns: at })).unwrap();
        let wanted = self.model.messages.iter().find(|(_, m)| m.ts_ns >= at).map(|(s, _)| *s);
        assert_eq!(got, wanted.unwrap_or(self.model.last_seq + 1), "from time {at}");
    }

    fn check_sums(&mut self, filter: &Filter, seq: u64) {
        let after: Vec<u64> = self.model.matching(filter).map(|(s, _)| s).filter(|s| *s >= seq).collect();
        let mut query = PendingQuery::new(filter.clone(), seq, false);
        let got = wait!(self, self.rig.store.pending(&mut query)).unwrap();
        assert_eq!(
            (got.count, got.valid_through),
            (after.len() as u64, self.model.last_seq),
            "{filter:?} {seq}"
        );
        let mut lasts: BTreeMap<&str, u64> = BTreeMap::new();
        let mut subjects: BTreeMap<&str, Summary> = BTreeMap::new();
        for (s, message) in self.model.matching(filter) {
            lasts.insert(&message.subject, s);
            let summary =
                subjects.entry(&message.subject).or_insert(Summary { first_seq: s, ..Summary::default() });
            summary.messages += 1;
            summary.last_seq = s;
        }
        let mut query = PendingQuery::new(filter.clone(), seq, true);
        let got = wait!(self, self.rig.store.pending(&mut query)).unwrap();
        let wanted = lasts.values().filter(|last| **last >= seq).count();
        assert_eq!(got.count, wanted as u64, "last per subject {filter:?} {seq}");
        let mut query = SubjectQuery::new(filter.clone());
        let got = wait!(self, self.rig.store.subjects_state(&mut query)).unwrap();
        let wanted: Vec<(Box<[u8]>, Summary)> =
            subjects.iter().map(|(s, sum)| (s.as_bytes().into(), *sum)).collect();
        assert_eq!(got, wanted, "{filter:?}");
        let mut query = LastQuery::new(filter.clone(), seq, 0);
        let got = wait!(self, self.rig.store.last_seqs(&mut query)).unwrap();
        let upto = if seq == 0 { u64::MAX } else { seq };
        let mut wanted: BTreeMap<&str, u64> = BTreeMap::new();
        for (s, message) in self.model.matching(filter).filter(|(s, _)| *s <= upto) {
            wanted.insert(&message.subject, s);
        }
        let mut wanted: Vec<u64> = wanted.into_values().collect();
        wanted.sort_unstable();
        assert_eq!(got, wanted, "last of each {filter:?} up to {seq}");
        let mut query = StateQuery::new(seq, filter.clone());
        let got = wait!(self, self.rig.store.filtered_state(&mut query)).unwrap();
        if !after.is_empty() {
            let wanted = Summary {
                messages: after.len() as u64,
                first_seq: after[0],
                last_seq: after[after.len() - 1],
            };
            assert_eq!(got, wanted, "state of {filter:?} from {seq}");
        }
    }

    /// Everything is done, and the server stops or is killed.
    fn reopen(&mut self) {
        while self.rig.store.is_over_limits() && self.rig.step(self.now.mono) {}
        self.rig.settle(self.now.mono);
        let clean = self.draw.below(2) == 0;
        let recovery = self.rig.reopen(clean, self.now);
        self.log.push(format!("reopen, clean {clean}: {:?}", recovery.how));
        if self.model.last_seq == 0 {
            // Nothing on disk says when it was emptied.
            self.model.last_ts_ns = self.rig.store.state().last_ts_ns;
        }
        assert!(recovery.damage.is_empty(), "{recovery:?}");
        assert!(recovery.lost.is_empty(), "{recovery:?}");
        self.check();
        let last = self.model.last_seq;
        for subject in SUBJECTS {
            self.check_sums(&Filter::of([subject.as_bytes()]), last / 2);
        }
    }

    fn go(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now.mono.0 += 1;
            self.now.wall.0 += 10;
            if self.rig.committer.is_some() && self.draw.below(25) == 0 {
                self.reopen();
            }
            match self.draw.below(10) {
                0..6 => self.append(),
                6..8 => self.change(),
                _ => {
                    self.rig.step(self.now.mono);
                }
            }
            self.check();
        }
        self.rig.settle(self.now.mono);
        self.check();
    }
}

fn seeds(range: std::ops::Range<u64>) {
    for seed in range {
        let mut run = Run::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.go(150)));
        if let Err(panic) = result {
            let tail = run.log.len().saturating_sub(12);
            let said = panic.downcast_ref::<String>().map_or("", String::as_str);
            panic!("seed {seed} {:?}\n{}\n{said}", run.model.config, run.log[tail..].join("\n"));
        }
    }
}

#[test]
fn a_store_agrees_with_a_model_that_walks_every_message() {
    seeds(0..120);
}

#[test]
fn an_encrypted_store_stays_encrypted_when_it_is_as_new() {
    let now = Now { mono: Mono(1), wall: Wall(1_000_000) };
    let mut rig = Rig::encrypted(Config::new("S", Medium::File), 1);
    let message = NewMessage { subject: b"a", payload: b"plain words", ..NewMessage::default() };
    let stands = |bytes: &[u8]| bytes.windows(11).any(|window| window == b"plain words");
    rig.store.append(now, &message).unwrap();
    rig.settle(now.mono);
    assert!(matches!(rig.store.truncate(&mut Truncate::new(0), now), Step::Ready(1)));
    assert_eq!(rig.store.append(now, &message), Ok(1));
    rig.settle(now.mono);
    let block = rig.file("msgs/2.blk");
    assert!(!block.is_empty() && !stands(&block) && !rig.file("msgs/2.key").is_empty());
    let recovery = rig.reopen(false, now);
    assert!(recovery.is_clean(), "{recovery:?}");
    let loaded = loop {
        match rig.store.load(1) {
            Step::Wait => assert!(rig.step(now.mono)),
            other => break other.ready().unwrap(),
        }
    };
    assert_eq!((loaded.subject(), loaded.payload()), (&b"a"[..], &b"plain words"[..]));
}

#[test]
fn what_is_given_anew_is_durable_only_when_it_is_written() {
    let now = Now { mono: Mono(1), wall: Wall(1_000_000) };
    let message = NewMessage { subject: b"a", payload: b"words", ..NewMessage::default() };
    for keep in [0, 1] {
        let mut rig = Rig::files(Config::new("S", Medium::File), 1);
        for _ in 0..3 {
            rig.store.append(now, &message).unwrap();
        }
        rig.settle(now.mono);
        assert_eq!(rig.store.durable(), 3);
        let mut cut = Truncate::new(keep);
        assert!(matches!(rig.store.truncate(&mut cut, now), Step::Ready(removed) if removed == 3 - keep));
        assert_eq!(rig.store.durable(), keep);
        assert_eq!(rig.store.append(now, &message), Ok(keep + 1));
        assert_eq!(rig.store.durable(), keep, "nothing of it is written");
        rig.settle(now.mono);
        assert_eq!(rig.store.durable(), keep + 1);
    }
}

#[test]
fn a_long_message_is_durable_when_its_own_write_is_complete() {
    let mut rig = Rig::files(Config::new("S", Medium::File), 1);
    let now = |ms: u64| Now { mono: Mono(ms), wall: Wall(ms as i64) };
    for (round, len) in [10usize, 100_000, 70_000, 1 << 20].into_iter().enumerate() {
        let payload = vec![b'x'; len];
        let message = NewMessage { subject: b"s", payload: &payload, ..NewMessage::default() };
        let seq = rig.store.append(now(round as u64), &message).unwrap();
        rig.settle(Mono(round as u64));
        assert_eq!(rig.store.durable(), seq, "{len} bytes");
    }
}
