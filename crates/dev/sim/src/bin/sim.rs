//! Seeds in, verdicts out.
//!
//! `sim --seeds 2000 [--from 1]` runs many, `sim --seed 17` runs one and prints every event, `--short` cuts a failing
//! one, `--break NAME` breaks the node on purpose.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;

use midge_sim::model::Seen;
use midge_sim::{Settings, run, shorten, tamper};

#[derive(Default)]
struct Arguments {
    seed: Option<u64>,
    from: u64,
    seeds: u64,
    short: bool,
    quiet: bool,
    acts: Option<usize>,
    broken: Option<tamper::Break>,
}

fn parse() -> Result<Arguments, String> {
    let mut parsed = Arguments { from: 1, seeds: 200, ..Arguments::default() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        let number = |text: String| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
        match argument.as_str() {
            "--seed" => parsed.seed = Some(number(value()?)?),
            "--from" => parsed.from = number(value()?)?,
            "--seeds" => parsed.seeds = number(value()?)?,
            "--acts" => parsed.acts = usize::try_from(number(value()?)?).ok(),
            "--short" => parsed.short = true,
            "--quiet" => parsed.quiet = true,
            "--break" => {
                let name = value()?;
                let found = tamper::ALL.into_iter().find(|b| format!("{b:?}").eq_ignore_ascii_case(&name));
                parsed.broken = Some(found.ok_or(format!("{name} is none of {:?}", tamper::ALL))?);
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("sim: {error}");
            return ExitCode::from(2);
        }
    };
    let settings = Settings { broken: arguments.broken, acts: arguments.acts, verbose: false };
    if let Some(seed) = arguments.seed {
        let acts = if arguments.short { shorten(seed, settings) } else { arguments.acts };
        if arguments.short {
            println!("fails with {acts:?} acts per connection");
        }
        let outcome = run(seed, Settings { verbose: !arguments.quiet, acts, ..settings });
        println!("{outcome}\nhash {:016x}", outcome.hash);
        return if outcome.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let (mut seen, mut events, mut failed) = (Seen::default(), 0, 0u64);
    for seed in arguments.from..arguments.from + arguments.seeds {
        let outcome = run(seed, settings);
        seen.add(&outcome.seen);
        events += outcome.events;
        if outcome.failure.is_some() {
            failed += 1;
            println!("{outcome}");
            if failed >= 5 {
                println!("giving up after {failed} failures");
                break;
            }
        }
    }
    println!("{} seeds, {events} events, {failed} failed", arguments.seeds);
    for (what, count) in seen.list() {
        println!("{count:>12} {what}");
    }
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
