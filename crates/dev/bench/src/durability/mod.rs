//! What durability costs on this machine: bare loops first, then the disk of `midge-disk`, then what floors say about both.
//!
//! Messages of 128 bytes, records of 169. A turn is what is outstanding at once, made durable together.

mod raw;
mod threads;

pub(crate) use threads::Mailbox;

use std::path::{Path, PathBuf};
use std::time::Duration;

use raw::Sync;

/// Bytes of a record: 22 of header, 11 of subject, 128 of payload, 8 of checksum.
const RECORD: usize = 169;

/// How many streams, with how many messages outstanding each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shape {
    streams: usize,
    outstanding: usize,
}

/// One figure.
struct Row {
    name: String,
    shape: Shape,
    messages: u64,
    turns: u64,
    took: Duration,
}

impl Row {
    fn rate(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    fn turn_us(&self) -> f64 {
        self.took.as_secs_f64() * 1e6 / self.turns.max(1) as f64
    }

    fn line(&self) -> String {
        let Shape { streams, outstanding } = self.shape;
        format!("| {} | {streams} | {outstanding} | {:.0} | {:.0} |", self.name, self.rate(), self.turn_us())
    }
}

/// The shapes that the decision was taken by.
const SHAPES: [Shape; 4] = [
    Shape { streams: 1, outstanding: 1 },
    Shape { streams: 1, outstanding: 1000 },
    Shape { streams: 10, outstanding: 1000 },
    Shape { streams: 1000, outstanding: 1 },
];

struct Arguments {
    folder: PathBuf,
    run: Duration,
    only: String,
    rounds: usize,
}

fn arguments(given: &mut dyn Iterator<Item = String>) -> Result<Arguments, String> {
    let mut parsed = Arguments {
        folder: PathBuf::from("target/durability"),
        run: Duration::from_millis(1500),
        only: String::new(),
        rounds: 5,
    };
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--folder" => parsed.folder = value()?.into(),
            "--millis" => {
                let millis = value()?.parse().map_err(|_| "--millis takes a number")?;
                parsed.run = Duration::from_millis(millis);
            }
            "--rounds" => parsed.rounds = value()?.parse().map_err(|_| "--rounds takes a number")?,
            "--only" => parsed.only = value()?,
            other => {
                return Err(format!(
                    "unknown argument {other}: durability [--folder PATH] [--millis N] [--rounds N] [--only TEXT]"
                ));
            }
        }
    }
    Ok(parsed)
}

/// Prints the table.
pub(crate) fn run(given: &mut dyn Iterator<Item = String>) -> Result<(), String> {
    let arguments = arguments(given)?;
    println!("| way | streams | outstanding each | messages/s | µs per turn |\n|---|--:|--:|--:|--:|");
    let print = |name: &str, make: &dyn Fn(&Path) -> Result<Row, String>| {
        if !name.contains(&arguments.only) {
            return Ok(());
        }
        let row = in_folder(&arguments, make);
        println!("{}", row.map_err(|e| format!("{name}: {e}"))?.line());
        Ok::<(), String>(())
    };
    let time = arguments.run;
    for outstanding in [1, 10, 100, 1000, 10_000] {
        print("append", &|f| raw::append(f, outstanding, time))?;
    }
    for (streams, threads, outstanding) in [(10, 10, 1), (60, 60, 1), (1000, 60, 1), (10, 10, 1000)] {
        print("append many", &|f| raw::append_many(f, streams, threads, outstanding, time))?;
    }
    for outstanding in [1, 1000, 10_000] {
        for (sync, padded) in [
            (Sync::Data, 1),
            (Sync::Data, 512),
            (Sync::Data, 4096),
            (Sync::Open, 512),
            (Sync::Open, 4096),
            (Sync::Direct, 4096),
        ] {
            print("overwrite", &|f| raw::overwrite(f, outstanding, sync, padded, time))?;
        }
    }
    for shape in SHAPES {
        for (sync, segment) in [(Sync::Data, 4 << 20), (Sync::Data, 32 << 20), (Sync::Open, 32 << 20)] {
            print("journal", &|f| raw::journal(f, shape, sync, segment, time))?;
        }
    }
    for shape in SHAPES {
        print(&format!("disk {} x {}", shape.streams, shape.outstanding), &|f| {
            threads::disk(f, shape, time)
        })?;
    }
    if "floors".contains(&arguments.only) { floors(&arguments) } else { Ok(()) }
}

fn in_folder(arguments: &Arguments, make: impl Fn(&Path) -> Result<Row, String>) -> Result<Row, String> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let row = make(folder);
    std::fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    row
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// The disk beside bare loops, in turns, by the medians of all rounds.
fn floors(arguments: &Arguments) -> Result<(), String> {
    let time = arguments.run;
    let mut rounds: [Vec<f64>; 9] = Default::default();
    for _ in 0..arguments.rounds {
        let mut best: f64 = 0.0;
        for outstanding in [10, 100, 1000] {
            best = best.max(in_folder(arguments, |f| raw::append(f, outstanding, time))?.rate());
        }
        let shape = |streams, outstanding| Shape { streams, outstanding };
        let disk = |shape| in_folder(arguments, |f| threads::disk(f, shape, time));
        let one = disk(shape(1, 1))?;
        let figures = [
            best,
            in_folder(arguments, |f| raw::overwrite(f, 1000, Sync::Data, 512, time))?.rate(),
            disk(shape(1, 1000))?.rate(),
            in_folder(arguments, |f| raw::append(f, 1, time))?.turn_us(),
            in_folder(arguments, |f| raw::overwrite(f, 1, Sync::Data, 512, time))?.turn_us(),
            one.turn_us(),
            in_folder(arguments, |f| raw::append_many(f, 1000, 1, 1, time))?.rate(),
            disk(shape(1000, 1))?.rate(),
            disk(shape(10, 1000))?.rate(),
        ];
        rounds.iter_mut().zip(figures).for_each(|(all, one)| all.push(one));
    }
    let [append, overwrite, busy, append_us, overwrite_us, single_us, per_file, thousand, ten] =
        rounds.map(median);
    println!("\nmedians of {} rounds\n", arguments.rounds);
    println!("| figure | bare loop | the disk | ratio | floor |\n|---|--:|--:|--:|--:|");
    let line = |name: &str, bare: f64, disk: f64, floor: &str| {
        println!("| {name} | {bare:.0} | {disk:.0} | {:.2} | {floor} |", disk / bare);
    };
    line("1 × 1,000, messages/s, beside appends, best of 10 to 1,000", append, busy, "≥ 0.70");
    line("1 × 1,000, messages/s, beside a preallocated file", overwrite, busy, "");
    line("1 × 1, µs, beside an append", append_us, single_us, "≤ 1.25");
    line("1 × 1, µs, beside a preallocated file", overwrite_us, single_us, "≤ 1.25");
    line("1,000 × 1, messages/s, beside a sync per append", per_file, thousand, "≥ 10");
    line("10 × 1,000, messages/s, beside appends to one file", append, ten, "");
    Ok(())
}

/// A bare loop that appends and syncs: messages per second, and microseconds per turn.
pub(crate) fn bare(folder: &Path, outstanding: usize, run: Duration) -> Result<(f64, f64), String> {
    let row = raw::append(folder, outstanding, run)?;
    Ok((row.rate(), row.turn_us()))
}
