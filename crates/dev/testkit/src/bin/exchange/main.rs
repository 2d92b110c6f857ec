//! One stream, passed to and fro between the Go server and our store: `exchange --reference PATH [--seeds N] [--from N]`.
//!
//! ```text
//!   Go: create, publish, delete, purge ─ stop or kill ─▶ Opening, compare ─ the same in our store ─ stop or kill ─▶ Go, compare ─▶ …
//! ```
//!
//! In every other stream, our store runs over a disk that forgets before all that (`power.rs`), and the power is cut.
//!
//! Compared are the totals, the deleted sequences, and every live message: sequence, time, subject, headers, payload.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for people")]

mod go;
mod ours;
mod power;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use async_nats::HeaderMap;
use go::Reference;
use midge_stdx::clock::Wall;
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::format::keys::Cipher;
use ours::Ours;

const STREAM: &str = "EXCHANGE";
const KEY: &str = "a key for the exchange of stores";

/// What is done to a stream.
#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    compression: bool,
    cipher: Option<Cipher>,
    max_msgs: i64,
    max_msgs_per_subject: i64,
}

impl Case {
    fn draw(seed: u64) -> Case {
        let mut draw = Seeded::new(seed);
        let cipher = [None, Some(Cipher::ChaCha), Some(Cipher::Aes)][draw.below(3) as usize];
        let (compression, limited) = (draw.below(2) == 0, draw.below(3));
        let max_msgs = if limited == 1 { 40 } else { -1 };
        let max_msgs_per_subject = if limited == 2 { 3 } else { -1 };
        Case { seed, compression, cipher, max_msgs, max_msgs_per_subject }
    }

    fn limited(&self) -> bool {
        self.max_msgs > 0 || self.max_msgs_per_subject > 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stored {
    subject: String,
    ts_ns: i64,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

/// Every message that was ever stored: subject, headers, payload.
type History = BTreeMap<u64, (String, Vec<u8>, Vec<u8>)>;

/// Everything that can be seen of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Snapshot {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
    stored: BTreeMap<u64, Stored>,
}

impl Snapshot {
    /// The Go server leaves no tombstone of the last message of a block that stays for the tombstones in it, so that a kill of either server brings back what it
    /// removed: such messages are taken as they come.
    fn forgive(&mut self, other: &Snapshot, removed: &BTreeSet<u64>) {
        for (seq, stored) in &other.stored {
            if removed.contains(seq) && !self.stored.contains_key(seq) {
                self.stored.insert(*seq, stored.clone());
                (self.messages, self.bytes, self.first_seq) = (other.messages, other.bytes, other.first_seq);
            }
        }
    }

    /// Whether another one is the same; answers how many messages were compared.
    fn compare(&self, other: &Snapshot) -> Result<usize> {
        let totals = |s: &Snapshot| (s.messages, s.bytes, s.first_seq, s.last_seq);
        for (seq, stored) in &self.stored {
            match other.stored.get(seq) {
                Some(there) if there == stored => {}
                there => bail!("sequence {seq}: {there:?} rather than {stored:?}"),
            }
        }
        let more: Vec<&u64> = other.stored.keys().filter(|seq| !self.stored.contains_key(seq)).collect();
        ensure!(more.is_empty(), "sequences {more:?} came back");
        ensure!(totals(self) == totals(other), "{:?} rather than {:?}", totals(other), totals(self));
        Ok(self.stored.len())
    }
}

/// A message as both sides publish it.
fn draw_message(draw: &mut Seeded) -> (String, HeaderMap, Vec<u8>) {
    let subject = ["a", "b", "a.1", "a.2.x", "kv.one", "kv.two"][draw.below(6) as usize].to_owned();
    let mut headers = HeaderMap::new();
    if draw.below(4) == 0 {
        headers.insert("Some-Header", "its value");
    }
    let len = if draw.below(30) == 0 { 70_000 } else { draw.below(300) };
    let payload = (0..len).map(|_| draw.below(26) as u8 + b'a').collect();
    (subject, headers, payload)
}

fn header_block(headers: &HeaderMap) -> Vec<u8> {
    if headers.is_empty() { Vec::new() } else { b"NATS/1.0\r\nSome-Header: its value\r\n\r\n".to_vec() }
}

fn wall() -> Wall {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

async fn run(case: &Case, reference: &Path, dir: &Path) -> Result<usize> {
    let mut compared = 0;
    let mut draw = Seeded::new(case.seed ^ 0x5eed);
    let mut expected: Option<Snapshot> = None;
    let mut history = History::new();
    // By the Go server.
    let mut removed = BTreeSet::new();
    // After a kill, what limits had removed is not certain: streams with limits are stopped.
    let mut clean = || case.limited() || draw.below(2) == 0;
    let ends = [clean(), clean(), clean(), clean()];
    for (round, pair) in ends.chunks(2).enumerate() {
        let go = Reference::start(reference, dir, case).await?;
        match &mut expected {
            None => go.create(case).await?,
            Some(expected) => {
                let found = go.snapshot().await?;
                expected.forgive(&found, &removed);
                let found = expected.compare(&found);
                let told = || format!("the Go server, round {round}, after {ends:?}: {}", go.server.stderr());
                compared += found.with_context(told)?;
            }
        }
        let purges = ends.iter().all(|clean| *clean);
        removed.append(&mut go.work(&mut draw, 60, purges, &mut history).await?);
        let mut snapshot = go.snapshot().await?;
        go.end(pair[0]).await?;
        let mut ours = Ours::open(dir, case).with_context(|| format!("round {round}, after {ends:?}"))?;
        let found = ours.snapshot()?;
        if !pair[0] {
            snapshot.forgive(&found, &removed);
        }
        snapshot.compare(&found).with_context(|| format!("our store, round {round}, after {ends:?}"))?;
        ours.work(&mut draw, 60, &mut history)?;
        expected = Some(ours.snapshot()?);
        ours.end(pair[1])?;
    }
    if case.seed.is_multiple_of(2) {
        let Some(before) = &mut expected else { bail!("nothing was compared") };
        compared += power::cut(case, reference, dir, &mut draw, (before, &mut history)).await?;
    }
    let go = Reference::start(reference, dir, case).await?;
    let (mut expected, found) = (expected.unwrap_or_default(), go.snapshot().await?);
    expected.forgive(&found, &removed);
    compared += expected.compare(&found).context("the Go server, at the end")?;
    go.end(true).await?;
    Ok(compared)
}

#[tokio::main]
async fn main() -> Result<()> {
    let (mut reference, mut seeds, mut from) = (PathBuf::from("nats-server"), 20, 1);
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let value = given.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--reference" => reference = value.into(),
            "--seeds" => seeds = value.parse()?,
            "--from" => from = value.parse()?,
            other => bail!("unknown argument {other}"),
        }
    }
    let (mut failed, mut compared) = (0, 0);
    for seed in from..from + seeds {
        let case = Case::draw(seed);
        let dir = std::env::temp_dir().join(format!("midge-exchange-{}-{seed}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        match run(&case, &reference, &dir).await {
            Ok(messages) => {
                compared += messages;
                std::fs::remove_dir_all(&dir)?;
            }
            Err(error) => {
                failed += 1;
                println!("{case:?}, left in {}: {error:#}", dir.display());
            }
        }
    }
    println!("{seeds} streams passed to and fro, {compared} messages compared, {failed} failed");
    ensure!(failed == 0, "{failed} failed");
    Ok(())
}
