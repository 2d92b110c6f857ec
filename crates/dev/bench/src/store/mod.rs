//! The message store beside bare loops on the same disk: `bench store`.

mod host;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use host::{Host, PAYLOAD};
use midge_disk::RealFiles;
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::port::{Completion, Outcome};
use midge_store::recover::History;
use midge_store::stream::{Config, Filter, Medium, NewMessage, NextQuery, Opening, Store, Sync};

use crate::durability;

/// Messages of the rows about reading.
const MANY: u64 = 1_000_000;

struct Arguments {
    folder: PathBuf,
    run: Duration,
    rounds: usize,
    only: String,
    /// Only open the store in this folder.
    probe: Option<PathBuf>,
    messages: u64,
    /// Only make so many streams there, and leave them idle.
    idle: usize,
}

fn arguments(given: &mut dyn Iterator<Item = String>) -> Result<Arguments, String> {
    let mut parsed = Arguments {
        folder: std::env::temp_dir().join(format!("midge-bench-store-{}", std::process::id())),
        run: Duration::from_secs(2),
        rounds: 5,
        only: String::new(),
        probe: None,
        messages: 0,
        idle: 0,
    };
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--folder" => parsed.folder = PathBuf::from(value()?),
            "--seconds" => {
                let seconds: f64 = value()?.parse().map_err(|_| "--seconds takes a number")?;
                parsed.run = Duration::from_secs_f64(seconds);
            }
            "--rounds" => parsed.rounds = value()?.parse().map_err(|_| "--rounds takes a number")?,
            "--only" => parsed.only = value()?,
            "--probe" => parsed.probe = Some(PathBuf::from(value()?)),
            "--idle" => parsed.idle = value()?.parse().map_err(|_| "--idle takes a number")?,
            "--messages" => parsed.messages = value()?.parse().map_err(|_| "--messages takes a number")?,
            other => {
                return Err(format!(
                    "unknown argument {other}: store [--folder F] [--seconds S] [--rounds N] [--only TEXT]"
                ));
            }
        }
    }
    Ok(parsed)
}

/// CPU time of this process.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn in_folder<T>(arguments: &Arguments, run: impl Fn(&Path) -> Result<T, String>) -> Result<T, String> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let result = run(folder);
    std::fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    result
}

/// One figure of one round, and what it is measured by.
struct Figure {
    name: &'static str,
    unit: &'static str,
    /// At least (true) or at most (false) this.
    at_least: bool,
    floor: f64,
    aim: f64,
    measure: fn(&Arguments) -> Result<f64, String>,
}

/// Runs every figure in turns, and prints medians.
pub(crate) fn run(given: &mut dyn Iterator<Item = String>) -> Result<bool, String> {
    let arguments = arguments(given)?;
    if let Some(folder) = arguments.probe.as_ref().filter(|_| arguments.idle > 0) {
        return probe_idle(folder, arguments.idle).map(|()| true);
    }
    if let Some(folder) = &arguments.probe {
        return probe(folder, arguments.messages).map(|()| true);
    }
    let figures: Vec<Figure> =
        figures().into_iter().filter(|figure| figure.name.contains(&arguments.only)).collect();
    let mut values = vec![Vec::new(); figures.len()];
    for round in 0..arguments.rounds {
        for (figure, values) in figures.iter().zip(&mut values) {
            let value = (figure.measure)(&arguments).map_err(|e| format!("{}: {e}", figure.name))?;
            eprintln!("{} {}/{}: {value:.3} {}", figure.name, round + 1, arguments.rounds, figure.unit);
            values.push(value);
        }
    }
    println!("| figure | median | best | floor | aim | |\n|---|--:|--:|--:|--:|---|");
    let mut all = true;
    for (figure, mut values) in figures.iter().zip(values) {
        values.sort_unstable_by(f64::total_cmp);
        let median = values.get(values.len() / 2).copied().unwrap_or_default();
        let best = if figure.at_least { values.last() } else { values.first() }.copied().unwrap_or_default();
        let holds = if figure.at_least { median >= figure.floor } else { median <= figure.floor };
        all &= holds;
        let sign = if figure.at_least { "≥" } else { "≤" };
        println!(
            "| {}, {} | {median:.3} | {best:.3} | {sign} {} | {} | {} |",
            figure.name,
            figure.unit,
            figure.floor,
            figure.aim,
            if holds { "holds" } else { "missed" }
        );
    }
    Ok(all)
}

fn figures() -> Vec<Figure> {
    let figure =
        |name, unit, at_least, floor, aim, measure| Figure { name, unit, at_least, floor, aim, measure };
    vec![
        figure(
            "durable appends, 1,000 outstanding, one stream",
            "of the bare loop's best rate",
            true,
            0.7,
            0.9,
            busy,
        ),
        figure("durable append, one outstanding", "of the bare loop's latency", false, 1.25, 1.1, alone),
        figure(
            "durable appends, 1,000 streams, one outstanding each",
            "of one fdatasync per append",
            true,
            10.0,
            40.0,
            wide,
        ),
        figure("unsynced append of 128 B, CPU of the store", "ns", false, 350.0, 200.0, append_cpu),
        figure(
            "unsynced append of 128 B, CPU of all threads, into files",
            "ns",
            false,
            1000.0,
            600.0,
            append_cpu_disk,
        ),
        figure("sequential read, checksums verified, cached pages", "M records/s", true, 5.0, 8.0, read),
        figure("last by subject over 1 M subjects, warm", "µs", false, 1.5, 0.6, last),
        figure("open of 1 M messages after a kill", "s", false, 0.25, 0.1, open_one),
        figure("open of 10 M messages after a kill", "s", false, 2.0, 0.8, open_ten),
        figure(
            "memory of an opened store, 10 M messages over 1 M subjects",
            "bytes per subject",
            false,
            120.0,
            60.0,
            open_memory,
        ),
        figure("memory of a live subject beside its length", "bytes", false, 64.0, 40.0, subject_memory),
        figure("memory of an open idle stream", "bytes", false, 8192.0, 4096.0, idle_memory),
    ]
}

fn busy(arguments: &Arguments) -> Result<f64, String> {
    let mut best: f64 = 0.0;
    for outstanding in [100, 300, 1000] {
        let rate = in_folder(arguments, |folder| durability::bare(folder, outstanding, arguments.run / 3))?.0;
        best = best.max(rate);
    }
    let ours = in_folder(arguments, |folder| {
        let mut host = Host::create(folder, 1, Sync::Always, |_| {})?;
        let (done, took) = host.append(1000, arguments.run)?;
        host.close()?;
        Ok(done as f64 / took.as_secs_f64())
    })?;
    eprintln!("  {ours:.0}/s beside {best:.0}/s");
    Ok(ours / best)
}

fn alone(arguments: &Arguments) -> Result<f64, String> {
    let bare = in_folder(arguments, |folder| durability::bare(folder, 1, arguments.run))?.1;
    let ours = in_folder(arguments, |folder| {
        let mut host = Host::create(folder, 1, Sync::Always, |_| {})?;
        let (done, took) = host.append(1, arguments.run)?;
        host.close()?;
        Ok(took.as_secs_f64() * 1e6 / done as f64)
    })?;
    eprintln!("  {ours:.0} µs beside {bare:.0} µs");
    Ok(ours / bare)
}

fn wide(arguments: &Arguments) -> Result<f64, String> {
    let bare = in_folder(arguments, |folder| durability::bare(folder, 1, arguments.run))?.0;
    let ours = in_folder(arguments, |folder| {
        let mut host = Host::create(folder, 1000, Sync::Always, |_| {})?;
        let (done, took) = host.append(1, arguments.run)?;
        host.close()?;
        Ok(done as f64 / took.as_secs_f64())
    })?;
    eprintln!("  {ours:.0}/s beside {bare:.0}/s");
    Ok(ours / bare)
}

/// The store alone: encoding, checksum, index, submission and completion, in batches of 100.
fn append_cpu(_: &Arguments) -> Result<f64, String> {
    let config = Config { sync: Sync::Interval, ..Config::new("S", Medium::File) };
    let lane = midge_store::port::Lane(0);
    let mut store = Store::create(config, lane, None, None, Box::new(Seeded::new(1)));
    let payload = [0x5a; PAYLOAD];
    let message = NewMessage { subject: b"orders.new1", payload: &payload, ..NewMessage::default() };
    let mut out = Vec::new();
    let start = cpu();
    for n in 0..MANY / 100 {
        let now = Now { mono: Mono(n), wall: Wall(1_700_000_000_000_000_000 + n as i64) };
        for _ in 0..100 {
            store.append(now, &message).map_err(|e| e.to_string())?;
        }
        store.take_submissions(&mut out);
        for submission in out.drain(..) {
            let (lane, ticket) = (submission.lane, submission.ticket);
            store.complete(Completion { lane, ticket, outcome: Outcome::Done }, now.mono);
        }
        if n % 100 == 0 {
            store.evict(Mono(n));
        }
    }
    Ok((cpu() - start).as_nanos() as f64 / MANY as f64)
}

fn append_cpu_disk(arguments: &Arguments) -> Result<f64, String> {
    in_folder(arguments, |folder| {
        let mut host = Host::create(folder, 1, Sync::Interval, |_| {})?;
        let start = cpu();
        let (done, _) = host.append(1000, arguments.run)?;
        let took = cpu() - start;
        host.close()?;
        Ok(took.as_nanos() as f64 / done as f64)
    })
}

fn fill(host: &mut Host, count: u64, subject: impl Fn(u64) -> String) -> Result<(), String> {
    let payload = [0x5a; PAYLOAD];
    for n in 0..count {
        let subject = subject(n);
        let message = NewMessage { subject: subject.as_bytes(), payload: &payload, ..NewMessage::default() };
        let now = host.now();
        host.stores[0].append(now, &message).map_err(|e| e.to_string())?;
        if n % 1000 == 999 {
            host.submit([0])?;
            host.wait(&mut Vec::new())?;
        }
    }
    host.settle()
}

fn read(arguments: &Arguments) -> Result<f64, String> {
    in_folder(arguments, |folder| {
        let mut host = Host::create(folder, 1, Sync::Interval, |_| {})?;
        fill(&mut host, MANY, |_| "orders.new1".into())?;
        host.stores[0].evict(Mono(u64::MAX));
        let mut query = NextQuery { filter: Filter::all(), from: 1 };
        let (wall, start) = (Instant::now(), cpu());
        let mut bytes = 0;
        while let Some(message) = host.ask(0, |store| store.next(&mut query))? {
            bytes += message.payload().len() as u64;
            query.from = message.seq + 1;
        }
        let (cpu, wall) = (cpu() - start, wall.elapsed());
        host.close()?;
        if bytes != MANY * PAYLOAD as u64 {
            return Err(format!("{bytes} bytes were read"));
        }
        eprintln!("  {:.2} M records/s by the clock", MANY as f64 / wall.as_secs_f64() / 1e6);
        Ok(MANY as f64 / cpu.as_secs_f64() / 1e6)
    })
}

/// Opens a store of `count` messages over `subjects` subjects that a killed process left, in a process of its own; answers seconds, and bytes of
/// memory that it took.
fn reopened(arguments: &Arguments, count: u64, subjects: u64) -> Result<(f64, f64), String> {
    in_folder(arguments, |folder| {
        let mut host = Host::create(folder, 1, Sync::Interval, |_| {})?;
        fill(&mut host, count, |n| format!("kv.bucket.{:06}", n.wrapping_mul(7_919) % subjects))?;
        drop(host);
        probed(folder, ["--messages", &count.to_string()])
    })
}

/// What a process of its own finds out: two figures.
fn probed(folder: &Path, what: [&str; 2]) -> Result<(f64, f64), String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut probe = std::process::Command::new(program);
    probe.args(["store", "--probe"]).arg(folder).args(what);
    let output = probe.output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut figures = text.split_whitespace().map(str::parse::<f64>);
    match (figures.next(), figures.next()) {
        (Some(Ok(took)), Some(Ok(memory))) => Ok((took, memory)),
        _ => Err(format!("the probe said {text:?} {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Makes streams with ten messages of ten subjects each; or opens those that are there, and prints what that took, and what memory one of them takes.
fn probe_idle(folder: &Path, count: usize) -> Result<(), String> {
    let (before, start) = (resident()?, Instant::now());
    let is_there = folder.join("$G").exists();
    let mut host = if is_there { Host::open(folder, count)? } else { fill_idle(folder, count)? };
    host.settle()?;
    println!("{} {}", start.elapsed().as_secs_f64(), (resident()? - before) / count as f64);
    for at in 0..count {
        host.ask(at, Store::stop)?;
    }
    host.close()
}

fn fill_idle(folder: &Path, count: usize) -> Result<Host, String> {
    let mut host = Host::create(folder, count, Sync::Interval, |_| {})?;
    for n in 0..10 {
        let subject = format!("orders.{n}");
        for at in 0..count {
            let now = host.now();
            let (subject, payload) = (subject.as_bytes(), &[0x5a; PAYLOAD]);
            let message = NewMessage { subject, payload, ..NewMessage::default() };
            host.stores[at].append(now, &message).map_err(|e| e.to_string())?;
        }
        host.submit(0..count)?;
        host.settle()?;
    }
    Ok(host)
}

fn idle_memory(arguments: &Arguments) -> Result<f64, String> {
    in_folder(arguments, |folder| {
        probed(folder, ["--idle", "5000"])?;
        Ok(probed(folder, ["--idle", "5000"])?.1)
    })
}

/// Opens a store, and prints what that took.
fn probe(folder: &Path, count: u64) -> Result<(), String> {
    let files = RealFiles::open(folder).map_err(|e| e.to_string())?;
    let before = resident()?;
    let opening = Opening {
        config: Config { sync: Sync::Interval, ..Config::new("S0", Medium::File) },
        folder: "$G/streams/S0".into(),
        history: History::Constant,
        encryption: None,
        now: Now::default(),
        headers: None,
    };
    let start = Instant::now();
    let opened = opening.run(&files).map_err(|e| e.to_string())?;
    let took = start.elapsed().as_secs_f64();
    let store = opened.into_store(midge_store::port::Lane(0), Box::new(Seeded::new(1)), Mono(0));
    if store.state().messages != count {
        return Err(format!("{:?} was found", store.state()));
    }
    println!("{took} {}", resident()? - before);
    Ok(())
}

/// Bytes of this process in memory.
fn resident() -> Result<f64, String> {
    let text = std::fs::read_to_string("/proc/self/statm").map_err(|e| e.to_string())?;
    let pages: f64 =
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).ok_or("no figure in statm")?;
    Ok(pages * rustix::param::page_size() as f64)
}

fn open_one(arguments: &Arguments) -> Result<f64, String> {
    Ok(reopened(arguments, MANY, 1000)?.0)
}

fn open_ten(arguments: &Arguments) -> Result<f64, String> {
    Ok(reopened(arguments, 10 * MANY, 1000)?.0)
}

fn open_memory(arguments: &Arguments) -> Result<f64, String> {
    Ok(reopened(arguments, 10 * MANY, MANY)?.1 / MANY as f64)
}

fn many_subjects() -> Result<Store, String> {
    let mut store = Store::in_memory(Config::new("S", Medium::Memory), Box::new(Seeded::new(1)));
    for n in 0..MANY {
        let subject = subject(n);
        let message = NewMessage { subject: subject.as_bytes(), payload: b"x", ..NewMessage::default() };
        store.append(Now::default(), &message).map_err(|e| e.to_string())?;
    }
    Ok(store)
}

fn subject(n: u64) -> String {
    format!("kv.bucket.{:06}", n.wrapping_mul(7_919) % MANY)
}

fn last(_: &Arguments) -> Result<f64, String> {
    let mut store = many_subjects()?;
    let mut draw = Seeded::new(7);
    let filters: Vec<Filter> =
        (0..200_000).map(|_| Filter::one(subject(draw.below(MANY)).as_bytes())).collect();
    for filter in &filters[..1000] {
        store.last(filter);
    }
    let start = cpu();
    let mut found = 0;
    for filter in &filters {
        found += usize::from(matches!(store.last(filter), midge_store::stream::Step::Ready(Some(_))));
    }
    let took = cpu() - start;
    if found != filters.len() {
        return Err(format!("{found} were found"));
    }
    Ok(took.as_nanos() as f64 / 1000.0 / filters.len() as f64)
}

fn subject_memory(_: &Arguments) -> Result<f64, String> {
    let store = many_subjects()?;
    let length: u64 = (0..MANY).map(|n| subject(n).len() as u64).sum();
    Ok((store.subject_memory() as f64 - length as f64) / MANY as f64)
}
