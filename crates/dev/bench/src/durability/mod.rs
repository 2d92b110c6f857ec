//! What durability costs on this machine: bare loops first, then the committer of `midge-store` over the real disk.
//!
//! Messages of 128 bytes, records of 169. A turn is what is outstanding at once, made durable together.

mod raw;

use std::path::PathBuf;
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
}

fn arguments(given: &mut dyn Iterator<Item = String>) -> Result<Arguments, String> {
    let mut parsed = Arguments {
        folder: PathBuf::from("target/durability"),
        run: Duration::from_millis(1500),
        only: String::new(),
    };
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--folder" => parsed.folder = value()?.into(),
            "--millis" => {
                let millis = value()?.parse().map_err(|_| "--millis takes a number")?;
                parsed.run = Duration::from_millis(millis);
            }
            "--only" => parsed.only = value()?,
            other => {
                return Err(format!(
                    "unknown argument {other}: durability [--folder PATH] [--millis N] [--only TEXT]"
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
    let print = |name: &str, make: &dyn Fn(&std::path::Path) -> Result<Row, String>| {
        if !name.contains(&arguments.only) {
            return Ok(());
        }
        let folder = &arguments.folder;
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let row = make(folder);
        std::fs::remove_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
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
    Ok(())
}
