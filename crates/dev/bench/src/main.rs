//! Whole-server runs: midge beside the released reference server, on the same machine, in turns.
//!
//! ```text
//!   rows ─▶ for each round: start reference, run, stop; start midge, run, stop ─▶ medians, best, floors ─▶ table
//! ```
//!
//! Server cost is CPU time of all its threads per delivered message, read in nanoseconds from the scheduler. Every run
//! verifies that all messages arrived, and in order. The servers' paths come from `MIDGE_BENCH_GO` and
//! `MIDGE_BENCH_MIDGE`; `cargo xtask bench core` sets them.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command")]

mod client;
mod durability;
mod load;
mod report;
mod rows;
mod server;
mod store;
mod stored;

use std::process::ExitCode;

/// What the command line asks for.
struct Arguments {
    rounds: usize,
    only: String,
    document: Option<String>,
}

fn arguments() -> Result<Option<Arguments>, String> {
    let mut parsed = Arguments { rounds: 5, only: String::new(), document: None };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "core" => {}
            "durability" => {
                durability::run(&mut given)?;
                return Ok(None);
            }
            "store" => {
                return if store::run(&mut given)? { Ok(None) } else { Err("a floor was missed".into()) };
            }
            "jetstream" | "many" => {
                return if stored::run(&argument, &mut given)? {
                    Ok(None)
                } else {
                    Err("a floor was missed".into())
                };
            }
            "--rounds" => parsed.rounds = value()?.parse().map_err(|_| "--rounds takes a number")?,
            "--only" => parsed.only = value()?,
            "--document" => parsed.document = Some(value()?),
            other => {
                return Err(format!(
                    "unknown argument {other}: core [--rounds N] [--only TEXT] [--document FILE]"
                ));
            }
        }
    }
    Ok(Some(parsed))
}

fn run() -> Result<bool, String> {
    let Some(arguments) = arguments()? else { return Ok(true) };
    let programs = server::Programs::from_environment()?;
    client::raise_open_files();
    let mut results = Vec::new();
    for row in rows::all().into_iter().filter(|row| row.name.contains(&arguments.only)) {
        let mut samples = Vec::new();
        for round in 0..arguments.rounds {
            let reference = (row.run)(&programs.reference, None).map_err(|e| format!("{}: {e}", row.name))?;
            let midge =
                (row.run)(&programs.midge, Some(&reference)).map_err(|e| format!("{}: {e}", row.name))?;
            eprintln!("{} {}/{}: {reference} | {midge}", row.name, round + 1, arguments.rounds);
            samples.push((reference, midge));
        }
        results.push(report::Result::new(&row, &samples));
    }
    let table = report::table(&results);
    println!("{table}");
    if let Some(path) = &arguments.document {
        report::write_document(path, &table, arguments.rounds)?;
    }
    Ok(results.iter().all(report::Result::holds))
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("some floors do not hold");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
