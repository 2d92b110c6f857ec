//! Seeds in, verdicts out.
//!
//! `sim --seeds 2000 [--from 1]` runs many, `sim --seed 17` runs one and prints every event, `--short` cuts a failing
//! one, `--break NAME` breaks the node on purpose. `sim --disk` runs the journal of the stores over a disk that forgets instead, `--flaw NAME` with a rule
//! of it broken; `sim --jetstream` a node with JetStream over that disk, with clients and crashes.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;

use midge_sim::disk::FLAWS;
use midge_sim::jetstream;
use midge_sim::model::Seen;
use midge_sim::{Settings, run, shorten, tamper};
use midge_store::journal::Flaw;

#[derive(Default)]
struct Arguments {
    seed: Option<u64>,
    from: u64,
    seeds: u64,
    short: bool,
    quiet: bool,
    acts: Option<usize>,
    broken: Option<tamper::Break>,
    disk: bool,
    stores: bool,
    flaw: Option<Flaw>,
    jetstream: bool,
    fault: Option<jetstream::Break>,
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
            "--disk" => parsed.disk = true,
            "--jetstream" => parsed.jetstream = true,
            "--stores" => (parsed.disk, parsed.stores) = (true, true),
            "--flaw" => {
                let name = value()?;
                let found = FLAWS.into_iter().find(|f| format!("{f:?}").eq_ignore_ascii_case(&name));
                parsed.flaw = Some(found.ok_or(format!("{name} is none of {FLAWS:?}"))?);
            }
            "--quiet" => parsed.quiet = true,
            "--break" => {
                let name = value()?;
                let named = |b: &jetstream::Break| format!("{b:?}").eq_ignore_ascii_case(&name);
                if let Some(fault) = jetstream::BREAKS.into_iter().find(named) {
                    (parsed.jetstream, parsed.fault) = (true, Some(fault));
                    continue;
                }
                let found = tamper::ALL.into_iter().find(|b| format!("{b:?}").eq_ignore_ascii_case(&name));
                parsed.broken = Some(found.ok_or(format!("{name} is none of {:?}", tamper::ALL))?);
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(parsed)
}

/// Runs seeds of the journal, of stores, or of a node with JetStream.
fn disk(arguments: &Arguments) -> ExitCode {
    let (from, count) = arguments.seed.map_or((arguments.from, arguments.seeds), |seed| (seed, 1));
    let mut seen = std::collections::BTreeMap::new();
    let mut failed = 0u64;
    for seed in from..from + count {
        let aloud = arguments.seed.is_some() && !arguments.quiet;
        let run = if aloud { midge_sim::disk::trace } else { midge_sim::disk::run };
        let run = match (arguments.stores, aloud) {
            (false, _) => run,
            (true, false) => midge_sim::disk::run_stores,
            (true, true) => midge_sim::disk::trace_stores,
        };
        let verdict = if arguments.jetstream {
            jetstream::run(seed, arguments.fault, aloud)
        } else {
            run(seed, arguments.flaw)
        };
        verdict.log.iter().for_each(|line| println!("{line}"));
        for (what, times) in verdict.seen {
            *seen.entry(what).or_insert(0) += times;
        }
        if let Some(failure) = verdict.failure {
            failed += 1;
            println!("seed {seed}: {failure}");
            if failed >= 5 {
                println!("giving up after {failed} failures");
                break;
            }
        }
    }
    println!("{count} seeds, {failed} failed");
    for (what, times) in seen {
        println!("{times:>12} {what}");
    }
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("sim: {error}");
            return ExitCode::from(2);
        }
    };
    if arguments.disk || arguments.jetstream {
        return disk(&arguments);
    }
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
