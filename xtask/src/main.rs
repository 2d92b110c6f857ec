//! Project tasks, run as `cargo xtask TASK`. Everything that needs a program from outside this repository is a task here, so that
//! `cargo test` stays hermetic.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod audit;
mod bench;
mod clients;
mod dist;
mod fuzz;
mod hostile;
mod icount;
mod kill;
mod oracle;
mod parity;
mod repo;
mod tidy;
mod tools;

const USAGE: &str = "\
usage: cargo xtask TASK [options]

  tidy      layers, bans, file sizes, links: the rules of the house
  oracle    scripted conversations with the Go server and midge, compared
  bench     speed and memory beside the Go server
  dist      a release archive
  clients   client libraries and the nats command against midge
  parity    the ledger of the Go server's tests, audited
  fuzz      every fuzz target for some seconds
  icount    instructions of the hot functions, against the recorded counts
  kill      a release build killed under load, and what it holds after each restart
  hostile   floods and half-finished input against a release build: memory bounds, and how others are served
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    match run(&task, &rest) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask {task}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &str, rest: &[String]) -> anyhow::Result<ExitCode> {
    match task {
        "bench" => bench::task(rest),
        "dist" => dist::task(rest),
        "clients" => clients::task(rest),
        "fuzz" => fuzz::task(rest),
        "hostile" => hostile::task(rest),
        "icount" => icount::task(rest),
        "kill" => kill::task(rest),
        "oracle" => oracle::task(rest),
        "parity" => parity::task(rest),
        "tidy" => tidy::task(rest),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => {
            eprintln!("unknown task {other:?}\n\n{USAGE}");
            Ok(ExitCode::FAILURE)
        }
    }
}
