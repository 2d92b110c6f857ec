//! Streams: midge beside the released server, in turns, each round with a fresh store directory.

mod consume;
mod many;
mod publish;
mod report;
mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::load::Sample;
use crate::server::{Program, Programs, Server};
use publish::{PLAIN, Publishes};

/// A floor, as a ratio midge / reference; unless it says otherwise the reference is as it is installed, without a sync per message.
#[derive(Clone, Copy, Debug)]
enum Floor {
    Rate(f64),
    /// Against the reference with `sync_interval: always`.
    RateAlways(f64),
    P50Always(f64),
    P99Always(f64),
    P99(f64),
    P50(f64),
    Cpu(f64),
    Memory(f64),
}

/// What a row does with a server; rows that restart it get the whole setting.
enum Work {
    /// A fresh server.
    Once(fn(&Server) -> Result<Sample, String>),
    /// A server over a directory that was filled once and is only read.
    Filled { fill: fn(&Server) -> Result<(), String>, run: fn(&Server) -> Result<Sample, String> },
    /// From the start after a kill until the information about the stream is right.
    Recovery { messages: usize },
    /// From the start after a clean stop until a request is answered with these words; then the whole memory of the process for each of `count`.
    Opened { fill: fn(&Server) -> Result<(), String>, request: &'static str, words: String, count: usize },
    /// Bytes that a clean stop leaves in the store directory, for each of `count`.
    Kept { fill: fn(&Server) -> Result<(), String>, count: usize },
}

struct Row {
    name: &'static str,
    /// Whether midge too runs with a sync every two minutes.
    relaxed: bool,
    floors: Vec<Floor>,
    work: Work,
}

const SECONDS: Duration = Duration::from_secs(1);
const REPLAY: usize = 1_000_000;
const PULLS: usize = 200_000;
const KEYS: usize = 100_000;
/// Pending messages of each consumer whose acknowledgements are confirmed.
const CONFIRMED: usize = 10_000;
const GROUPS: usize = 1000;

fn row(name: &'static str, floors: Vec<Floor>, run: fn(&Server) -> Result<Sample, String>) -> Row {
    Row { name, relaxed: false, floors, work: Work::Once(run) }
}

fn filled(
    name: &'static str,
    floors: Vec<Floor>,
    fill: fn(&Server) -> Result<(), String>,
    run: fn(&Server) -> Result<Sample, String>,
) -> Row {
    Row { name, relaxed: false, floors, work: Work::Filled { fill, run } }
}

fn rows() -> Vec<Row> {
    use Floor::{Cpu, Memory, P50, P50Always, P99, P99Always, Rate, RateAlways};
    let relaxed = |row: Row| Row { relaxed: true, ..row };
    vec![
        row(
            "durable publish, 1,000 in flight, 128 B",
            vec![Rate(1.0), RateAlways(40.0), P99Always(1.0)],
            |s| publish::run(s, &PLAIN),
        ),
        row("durable publish, 1,000 in flight, 1 KiB", vec![Rate(0.9), P99Always(1.0)], |s| {
            publish::run(s, &Publishes { size: 1024, ..PLAIN })
        }),
        row("10 streams × 1,000 in flight, 128 B", vec![Rate(0.9), RateAlways(25.0), P99Always(1.0)], |s| {
            publish::run(s, &Publishes { streams: 10, ..PLAIN })
        }),
        row("1,000 streams × 1 in flight, 128 B", vec![Rate(0.4), P99Always(1.0)], |s| {
            publish::lanes(s, 1000, SECONDS)
        }),
        row("durable publish, one at a time", vec![P50Always(0.85), P99Always(1.0)], |s| {
            publish::run(s, &Publishes { window: 1, ..PLAIN })
        }),
        relaxed(row("sync_interval 2m, one at a time", vec![P50(0.95), Cpu(0.6), P99(1.0)], |s| {
            publish::run(s, &Publishes { window: 1, ..PLAIN })
        })),
        relaxed(row("sync_interval 2m, 1,000 in flight", vec![Cpu(0.4), Rate(2.0), P99(1.0)], |s| {
            publish::run(s, &PLAIN)
        })),
        row("memory stream, 1,000 in flight", vec![Cpu(0.4), Memory(0.6), P99(1.0)], |s| {
            let config = ",\"storage\":\"memory\"";
            publish::run(s, &Publishes { most: 500_000, config, ..PLAIN })
        }),
        row("key-value: 100k subjects, one message each", vec![Cpu(0.35)], |s| {
            let config = ",\"max_msgs_per_subject\":1,\"discard\":\"new\",\"allow_direct\":true";
            publish::run(s, &Publishes { most: KEYS, subjects: KEYS, config, ..PLAIN })
        }),
        row("with Nats-Msg-Id, 1,000 in flight", vec![Cpu(0.4)], |s| {
            publish::run(s, &Publishes { most: 300_000, ids: true, ..PLAIN })
        }),
        filled(
            "ordered replay of 1 M messages",
            vec![Cpu(0.4)],
            |s| consume::fill(s, REPLAY, 1, ""),
            |s| consume::ordered(s, REPLAY),
        ),
        row("pull, batches of 500, explicit acks", vec![Cpu(0.4)], |s| {
            consume::fill(s, PULLS, 1, "")?;
            consume::pull(s, 1, PULLS)
        }),
        row("the same, 10 consumers", vec![Cpu(0.4)], |s| {
            consume::fill(s, PULLS / 4, 1, "")?;
            consume::pull(s, 10, PULLS / 4)
        }),
        filled(
            "direct get by subject, 64 in flight",
            vec![Cpu(0.5), P99(1.0)],
            |s| consume::fill(s, KEYS, KEYS, ",\"max_msgs_per_subject\":1,\"allow_direct\":true"),
            |s| consume::direct(s, KEYS, 64, 200_000),
        ),
        row("confirmed acks, 64 outstanding, 10 consumers", vec![Rate(1.0)], |s| {
            consume::fill(s, CONFIRMED, 1, "")?;
            consume::confirmed(s, 10, CONFIRMED, 64)
        }),
        filled(
            "a filtered consumer over 1 M subjects",
            vec![P50(0.5)],
            |s| {
                let load = Publishes { most: REPLAY, subjects: REPLAY, groups: GROUPS, ..PLAIN };
                consume::fill_with(s, &load, "")
            },
            |s| consume::filtered(s, GROUPS, REPLAY / GROUPS),
        ),
        row("one stream, 100 push consumers", vec![Rate(1.0), Cpu(0.5)], |s| consume::push(s, 100, 2_000)),
        row("consumers made and deleted", vec![Rate(1.5), P99(1.0)], |s| consume::churn(s, 16, SECONDS)),
        Row {
            name: "1 M messages, kill -9, until stream info is right",
            relaxed: false,
            floors: vec![P50(0.4)],
            work: Work::Recovery { messages: 1_000_000 },
        },
    ]
}

const INFO: &str = "$JS.API.STREAM.INFO.S0";

fn opened(
    name: &'static str,
    floors: Vec<Floor>,
    request: &'static str,
    count: usize,
    fill: fn(&Server) -> Result<(), String>,
) -> Row {
    let what = if request == INFO { "messages" } else { "streams" };
    let words = format!("\"{what}\":{count},");
    Row { name, relaxed: false, floors, work: Work::Opened { fill, request, words, count } }
}

/// Much of something. Too long for every run of the other rows.
fn many() -> Vec<Row> {
    use Floor::{Memory, P50, Rate};
    vec![
        row("1 M subjects, one message each", vec![Memory(0.5)], |s| many::subjects(s, 1_000_000)),
        row("1 M ids of messages in the window", vec![Memory(0.5)], |s| many::ids(s, 1_000_000)),
        row("10,000 streams", vec![Rate(1.5), Memory(0.5)], |s| many::streams(s, 10_000)),
        row("100,000 consumers on 100 streams", vec![Rate(1.5), Memory(0.5)], |s| {
            many::consumers(s, 100, 100_000)
        }),
        opened("10,000 streams, opened", vec![P50(0.5), Memory(0.5)], "$JS.API.INFO", 10_000, |s| {
            many::streams(s, 10_000).map(drop)
        }),
        opened("10 M messages over 1 M subjects, opened", vec![Memory(0.5)], INFO, 10_000_000, |s| {
            consume::fill(s, 10_000_000, 1_000_000, "")
        }),
        Row {
            name: "1 M messages of 128 B, bytes on disk after a clean stop",
            relaxed: false,
            floors: vec![Memory(1.02)],
            work: Work::Kept { fill: |s| consume::fill(s, 1_000_000, 1, ""), count: 1_000_000 },
        },
    ]
}

/// A server, how it is configured, and where it stores.
struct Setting<'a> {
    program: &'a Program,
    sync: Option<&'static str>,
    dir: PathBuf,
}

impl Setting<'_> {
    fn start(&self, store: &Path) -> Result<Server, String> {
        std::fs::create_dir_all(&self.dir).map_err(|e| e.to_string())?;
        let file = self.dir.join("server.conf");
        let sync = self.sync.map(|sync| format!(", sync_interval: {sync}")).unwrap_or_default();
        let text = format!("jetstream {{ store_dir: \"{}\"{sync} }}\n", store.display());
        std::fs::write(&file, text).map_err(|e| e.to_string())?;
        Server::start(self.program, &["-c", &file.display().to_string()])
    }

    /// Starts it; answers when a request is answered with these words, and after how many microseconds that was.
    fn start_until(&self, store: &Path, request: &str, words: &str) -> Result<(Server, f64), String> {
        let started = Instant::now();
        let server = self.start(store)?;
        let mut wire = wire::Wire::connect(server.port)?;
        loop {
            let answer = wire.request(request, "").unwrap_or_default();
            if answer.contains(words) {
                return Ok((server, started.elapsed().as_nanos() as f64 / 1e3));
            }
            if started.elapsed() > Duration::from_secs(60) {
                return Err(format!("after a minute: {answer}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn run(&self, work: &Work) -> Result<Sample, String> {
        let (store, kept) = (self.dir.join("store"), self.dir.join("kept"));
        match work {
            Work::Once(run) => {
                remove(&store)?;
                run(&self.start(&store)?)
            }
            Work::Filled { fill, run } => {
                if !kept.exists() {
                    fill(&self.start(&kept)?)?;
                }
                run(&self.start(&kept)?)
            }
            Work::Recovery { messages } => {
                if !kept.exists() {
                    // Dropping the server kills it.
                    consume::fill(&self.start(&kept)?, *messages, 1, "")?;
                }
                remove(&store)?;
                copy(&kept, &store)?;
                let (_, p50_us) = self.start_until(&store, INFO, &format!("\"messages\":{messages},"))?;
                Ok(Sample { p50_us, ..Sample::default() })
            }
            Work::Opened { fill, request, words, count } => {
                if !kept.exists() {
                    let server = self.start(&kept)?;
                    fill(&server)?;
                    server.stop()?;
                }
                let (server, p50_us) = self.start_until(&kept, request, words)?;
                let memory = many::settled_kb(&server) as f64 * 1024.0 / *count as f64;
                server.stop()?;
                Ok(Sample { p50_us, memory, ..Sample::default() })
            }
            Work::Kept { fill, count } => {
                remove(&store)?;
                let server = self.start(&store)?;
                fill(&server)?;
                server.stop()?;
                Ok(Sample { memory: bytes_in(&store)? as f64 / *count as f64, ..Sample::default() })
            }
        }
    }
}

fn remove(dir: &Path) -> Result<(), String> {
    if dir.exists() { std::fs::remove_dir_all(dir).map_err(|e| e.to_string()) } else { Ok(()) }
}

/// Bytes of all files below a folder, as far as they have space on the device.
fn bytes_in(dir: &Path) -> Result<u64, String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).map_err(|e| e.to_string())? {
        let entry = entry.map_err(|e| e.to_string())?;
        let meta = entry.metadata().map_err(|e| e.to_string())?;
        sum += if meta.is_dir() { bytes_in(&entry.path())? } else { meta.blocks() * 512 };
    }
    Ok(sum)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::create_dir_all(to).map_err(|e| e.to_string())?;
    for entry in std::fs::read_dir(from).map_err(|e| e.to_string())? {
        let path = entry.map_err(|e| e.to_string())?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// One round of a row: the reference as installed, the reference with a sync per message if a floor asks for it, midge.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    reference: Sample,
    always: Option<Sample>,
    midge: Sample,
}

/// `bench jetstream [--rounds N] [--only TEXT] [--document FILE]`, and the same for `many`; whether all floors hold.
pub(crate) fn run(set: &str, arguments: &mut dyn Iterator<Item = String>) -> Result<bool, String> {
    let (mut rounds, mut only, mut document) = (5, String::new(), None);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--rounds" => rounds = value.parse().map_err(|_| "--rounds takes a number")?,
            "--only" => only = value,
            "--document" => document = Some(value),
            other => {
                return Err(format!(
                    "unknown argument {other}: {set} [--rounds N] [--only TEXT] [--document FILE]"
                ));
            }
        }
    }
    let programs = Programs::from_environment()?;
    crate::client::raise_open_files();
    let scratch = std::env::temp_dir().join(format!("midge-bench-stored-{}", std::process::id()));
    let mut results = Vec::new();
    let all = if set == "many" { many() } else { rows() };
    for row in all.into_iter().filter(|row| row.name.contains(&only)) {
        let result = measure(&row, &programs, rounds, &scratch);
        remove(&scratch)?;
        match result {
            Ok(samples) => results.push(report::Outcome::new(&row, &samples)),
            Err(error) => {
                eprintln!("{}: {error}", row.name);
                results.push(report::Outcome::failed(&row, &error));
            }
        }
    }
    let table = report::table(&results);
    println!("{table}");
    if let Some(path) = document {
        let command = format!("Made by `cargo xtask bench {set} --rounds {rounds}`.\n\n{table}");
        crate::report::between_marks(&path, set, &command)?;
    }
    Ok(results.iter().all(report::Outcome::holds))
}

fn measure(row: &Row, programs: &Programs, rounds: usize, scratch: &Path) -> Result<Vec<Round>, String> {
    let setting = |program, sync, name: &str| Setting { program, sync, dir: scratch.join(name) };
    let reference = setting(&programs.reference, None, "reference");
    let always = setting(&programs.reference, Some("always"), "always");
    let midge = setting(&programs.midge, row.relaxed.then_some("2m"), "midge");
    let with_always = row
        .floors
        .iter()
        .any(|f| matches!(f, Floor::RateAlways(_) | Floor::P50Always(_) | Floor::P99Always(_)));
    let mut samples = Vec::new();
    for n in 0..rounds {
        let round = Round {
            reference: reference.run(&row.work).map_err(|e| format!("Go: {e}"))?,
            always: if with_always {
                Some(always.run(&row.work).map_err(|e| format!("Go, always: {e}"))?)
            } else {
                None
            },
            midge: midge.run(&row.work).map_err(|e| format!("midge: {e}"))?,
        };
        let synced = round.always.map(|sample| format!("{sample} | ")).unwrap_or_default();
        eprintln!("{} {}/{rounds}: {} | {synced}{}", row.name, n + 1, round.reference, round.midge);
        samples.push(round);
    }
    Ok(samples)
}
