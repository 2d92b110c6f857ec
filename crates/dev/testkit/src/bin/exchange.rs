//! One stream, passed to and fro between the Go server and our store: `exchange --reference PATH [--seeds N] [--from N]`.
//!
//! ```text
//!   Go: create, publish, delete, purge ─ stop or kill ─▶ Opening, compare ─ the same in our store ─ stop or kill ─▶ Go, compare ─▶ …
//! ```
//!
//! Compared are the totals, the deleted sequences, and every live message: sequence, time, subject, headers, payload.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::{Client, HeaderMap};
use midge_disk::{Completions, Disk, Settings};
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::format::keys::{Cipher, MasterKey};
use midge_store::journal::PlainRecords;
use midge_store::port::Completion;
use midge_store::recover::History;
use midge_store::stream::{
    Config, Filter, Medium, NewMessage, NextQuery, Opening, PurgeQuery, Step, Store, StoreKeys,
};
use midge_testkit::server::Server;
use serde_json::{Value, json};

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

/// The Go server on the store directory.
struct Reference {
    server: Server,
    client: Client,
}

impl Reference {
    async fn start(program: &Path, dir: &Path, case: &Case) -> Result<Reference> {
        let cipher = match case.cipher {
            None => String::new(),
            Some(Cipher::ChaCha) => format!("key: {KEY:?}, cipher: chacha, "),
            Some(Cipher::Aes) => format!("key: {KEY:?}, cipher: aes, "),
        };
        let store = dir.join("store");
        let config = dir.join("server.conf");
        std::fs::write(
            &config,
            format!("jetstream {{ {cipher}store_dir: {:?} }}\n", store.display().to_string()),
        )?;
        let arguments = ["-c".to_owned(), config.display().to_string()];
        let server = Server::start(program, dir, &arguments, &[]).await?;
        let client = async_nats::connect(format!("127.0.0.1:{}", server.port)).await?;
        Ok(Reference { server, client })
    }

    async fn ask(&self, subject: &str, request: Value) -> Result<Value> {
        let reply = self.client.request(format!("$JS.API.{subject}"), request.to_string().into()).await?;
        let reply: Value = serde_json::from_slice(&reply.payload)?;
        ensure!(reply["error"].is_null(), "{subject}: {}", reply["error"]);
        Ok(reply)
    }

    async fn create(&self, case: &Case) -> Result<()> {
        let config = json!({
            "name": STREAM, "subjects": ["a", "b", "a.>", "kv.>"], "storage": "file", "retention": "limits",
            "max_msgs": case.max_msgs, "max_msgs_per_subject": case.max_msgs_per_subject,
            "compression": if case.compression { "s2" } else { "none" },
            // Small blocks: a quarter of this, and no limit in sight.
            "max_bytes": if case.limited() { -1 } else { 4_000_000 },
        });
        self.ask(&format!("STREAM.CREATE.{STREAM}"), config).await?;
        Ok(())
    }

    async fn work(&self, draw: &mut Seeded, count: u64) -> Result<()> {
        for _ in 0..count {
            let last =
                self.ask(&format!("STREAM.INFO.{STREAM}"), json!({})).await?["state"]["last_seq"].as_u64();
            match draw.below(20) {
                0..3 => {
                    let (seq, no_erase) = (1 + draw.below(last.unwrap_or(0) + 1), draw.below(2) == 0);
                    // It may be gone already.
                    let request = json!({"seq": seq, "no_erase": no_erase});
                    let _ = self.ask(&format!("STREAM.MSG.DELETE.{STREAM}"), request).await;
                }
                3 if draw.below(3) == 0 => {
                    let filter = ["a.>", "kv.one"][draw.below(2) as usize];
                    self.ask(&format!("STREAM.PURGE.{STREAM}"), json!({"filter": filter})).await?;
                }
                4 if draw.below(12) == 0 => {
                    self.ask(&format!("STREAM.PURGE.{STREAM}"), json!({})).await?;
                }
                _ => {
                    let (subject, headers, payload) = draw_message(draw);
                    let request = async_nats::Request::new().headers(headers).payload(payload.into());
                    let ack = self.client.send_request(subject, request).await?;
                    ensure!(
                        !String::from_utf8_lossy(&ack.payload).contains("\"error\""),
                        "{:?}",
                        ack.payload
                    );
                }
            }
        }
        Ok(())
    }

    async fn snapshot(&self) -> Result<Snapshot> {
        let info = self.ask(&format!("STREAM.INFO.{STREAM}"), json!({"deleted_details": true})).await?;
        let state = &info["state"];
        let number = |key: &str| state[key].as_u64().unwrap_or(0);
        let deleted: Vec<u64> =
            state["deleted"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let mut snapshot = Snapshot {
            messages: number("messages"),
            bytes: number("bytes"),
            first_seq: number("first_seq"),
            last_seq: number("last_seq"),
            ..Snapshot::default()
        };
        if snapshot.messages == 0 {
            return Ok(snapshot);
        }
        for seq in snapshot.first_seq..=snapshot.last_seq {
            if deleted.contains(&seq) {
                continue;
            }
            let reply = self.ask(&format!("STREAM.MSG.GET.{STREAM}"), json!({"seq": seq})).await?;
            let message = &reply["message"];
            let part = |key: &str| {
                message[key].as_str().map_or(Ok(Vec::new()), |text| {
                    data_encoding::BASE64.decode(text.as_bytes()).context("base64")
                })
            };
            let time = message["time"].as_str().context("a time")?;
            let time = midge_stdx::gotime::parse_rfc3339(time).ok().flatten().context("a time")?;
            let stored = Stored {
                subject: message["subject"].as_str().unwrap_or_default().into(),
                ts_ns: time.0,
                headers: part("hdrs")?,
                payload: part("data")?,
            };
            snapshot.stored.insert(seq, stored);
        }
        Ok(snapshot)
    }

    async fn end(mut self, clean: bool) -> Result<()> {
        if clean {
            self.server.signal("TERM")?;
            self.server.exit().await?;
        } else {
            self.server.kill().await?;
        }
        Ok(())
    }
}

/// Where completions arrive.
#[derive(Default)]
struct Mailbox {
    queue: Mutex<Vec<Completion>>,
    wake: Condvar,
}

impl Completions for Mailbox {
    fn complete(&self, batch: &mut Vec<Completion>) {
        self.queue.lock().unwrap_or_else(|e| e.into_inner()).append(batch);
        self.wake.notify_one();
    }
}

/// Our store on the same directory.
struct Ours {
    disk: Disk,
    mailbox: Arc<Mailbox>,
    store: Store,
    clock: u64,
}

impl Ours {
    fn open(dir: &Path, case: &Case) -> Result<Ours> {
        let (disk, _) = Disk::open(&dir.join("store/jetstream"), Settings::default(), &PlainRecords)?;
        let folder = format!("$G/streams/{STREAM}");
        let limit = |limit: i64| u64::try_from(limit).unwrap_or(0);
        let mut config = Config::new(STREAM, Medium::File);
        config.max_msgs = limit(case.max_msgs);
        config.max_msgs_per_subject = limit(case.max_msgs_per_subject);
        config.compression = case.compression;
        config.block_len = 32_000;
        let encryption = case.cipher.map(|cipher| StoreKeys {
            owner: "$G".into(),
            master: MasterKey::new(KEY.as_bytes()),
            previous: None,
            cipher,
            entropy: Box::new(Seeded::new(case.seed + 77)),
        });
        let now = Now { mono: Mono(1), wall: wall() };
        let opening = Opening {
            config,
            folder: folder.clone(),
            history: History::Unknown,
            encryption,
            now,
            headers: None,
        };
        let opened = opening.run(&*disk.files())?;
        let recovery = &opened.recovery;
        ensure!(recovery.damage.is_empty() && recovery.lost.is_empty(), "{recovery:?}");
        let mailbox = Arc::new(Mailbox::default());
        let lane = disk.register(&folder, mailbox.clone())?;
        let store = opened.into_store(lane, Box::new(Seeded::new(case.seed)), now.mono);
        Ok(Ours { disk, mailbox, store, clock: 1 })
    }

    /// Hands what was asked for to the disk, and takes what ended.
    fn pump(&mut self) {
        let mut submissions = Vec::new();
        self.store.take_submissions(&mut submissions);
        while !submissions.is_empty() {
            let _ = self.disk.submit(&mut submissions);
        }
        let queue = self.mailbox.queue.lock().unwrap_or_else(|e| e.into_inner());
        let (mut queue, _) = self
            .mailbox
            .wake
            .wait_timeout_while(queue, Duration::from_millis(200), |queue| queue.is_empty())
            .unwrap_or_else(|e| e.into_inner());
        let completions: Vec<Completion> = queue.drain(..).collect();
        drop(queue);
        self.clock += 1;
        completions.into_iter().for_each(|completion| {
            self.store.complete(completion, Mono(self.clock));
        });
    }

    fn ask<T>(&mut self, mut ask: impl FnMut(&mut Store) -> Step<T>) -> Result<T> {
        loop {
            match ask(&mut self.store) {
                Step::Ready(answer) => return Ok(answer),
                Step::Failed(error) => bail!("{error}"),
                Step::Wait => self.pump(),
            }
        }
    }

    fn settle(&mut self) -> Result<()> {
        self.pump();
        while !self.store.is_settled() {
            self.pump();
        }
        match self.store.failure() {
            Some(error) => bail!("{error}"),
            None => Ok(()),
        }
    }

    fn work(&mut self, draw: &mut Seeded, count: u64) -> Result<()> {
        for _ in 0..count {
            match draw.below(20) {
                0..3 => {
                    let (seq, erase) = (1 + draw.below(self.store.appended() + 1), draw.below(2) == 0);
                    let _ = self.ask(|store| store.remove(seq, erase));
                }
                3 if draw.below(3) == 0 => {
                    let filter = [&b"a.>"[..], b"kv.one"][draw.below(2) as usize];
                    let mut query = PurgeQuery::new(Filter::one(filter), 0, 0);
                    self.ask(|store| store.purge_matching(&mut query))?;
                }
                4 if draw.below(12) == 0 => {
                    self.store.purge()?;
                }
                5 => self.store.maintain(),
                6 if draw.below(4) == 0 => {
                    self.settle()?;
                    self.store.evict(Mono(u64::MAX));
                }
                _ => {
                    let (subject, headers, payload) = draw_message(draw);
                    let headers = header_block(&headers);
                    let message = NewMessage {
                        subject: subject.as_bytes(),
                        headers: &headers,
                        payload: &payload,
                        ..NewMessage::default()
                    };
                    self.store.append(Now { mono: Mono(self.clock), wall: wall() }, &message)?;
                }
            }
            if draw.below(3) == 0 {
                self.pump();
            }
        }
        self.settle()
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        while self.store.is_over_limits() {
            self.pump();
        }
        let state = *self.store.state();
        let mut snapshot = Snapshot {
            messages: state.messages,
            bytes: state.bytes,
            first_seq: state.first_seq,
            last_seq: state.last_seq,
            ..Snapshot::default()
        };
        let mut query = NextQuery { filter: Filter::all(), from: 0 };
        while let Some(message) = self.ask(|store| store.next(&mut query))? {
            query.from = message.seq + 1;
            let stored = Stored {
                subject: String::from_utf8_lossy(message.subject()).into_owned(),
                ts_ns: message.ts_ns,
                headers: message.headers().to_vec(),
                payload: message.payload().to_vec(),
            };
            snapshot.stored.insert(message.seq, stored);
        }
        Ok(snapshot)
    }

    /// Ends as a server that stops, or as one that is killed: then nothing more is done with the files.
    fn end(mut self, clean: bool) -> Result<()> {
        self.settle()?;
        if clean {
            self.ask(|store| store.stop())?;
            self.store.close();
            self.settle()?;
            self.disk.close()?;
        }
        Ok(())
    }
}

fn wall() -> Wall {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

async fn run(case: &Case, reference: &Path, dir: &Path) -> Result<usize> {
    let mut compared = 0;
    let mut draw = Seeded::new(case.seed ^ 0x5eed);
    let mut expected: Option<Snapshot> = None;
    // After a kill, what limits had removed is not certain: streams with limits are stopped.
    let mut clean = || case.limited() || draw.below(2) == 0;
    let ends = [clean(), clean(), clean(), clean()];
    for (round, pair) in ends.chunks(2).enumerate() {
        let go = Reference::start(reference, dir, case).await?;
        match &expected {
            None => go.create(case).await?,
            Some(expected) => {
                let found = expected.compare(&go.snapshot().await?);
                let told = || format!("the Go server, round {round}, after {ends:?}: {}", go.server.stderr());
                compared += found.with_context(told)?;
            }
        }
        go.work(&mut draw, 60).await?;
        let snapshot = go.snapshot().await?;
        go.end(pair[0]).await?;
        let mut ours = Ours::open(dir, case).with_context(|| format!("round {round}, after {ends:?}"))?;
        snapshot
            .compare(&ours.snapshot()?)
            .with_context(|| format!("our store, round {round}, after {ends:?}"))?;
        ours.work(&mut draw, 60)?;
        expected = Some(ours.snapshot()?);
        ours.end(pair[1])?;
    }
    let go = Reference::start(reference, dir, case).await?;
    compared +=
        expected.unwrap_or_default().compare(&go.snapshot().await?).context("the Go server, at the end")?;
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
