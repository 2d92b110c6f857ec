//! Plays one hostile scenario at full size against a running server; started by `cargo xtask hostile`.
//!
//! ```text
//! hostile                        lists the scenarios: name, tab, configuration
//! hostile NAME ADDRESS PID       plays one and prints a line of figures
//! ```

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

#[path = "../tests/it/hostile/scenarios.rs"]
mod scenarios;
#[path = "../tests/it/hostile/watch.rs"]
mod watch;

use scenarios::{ALL, Scenario, Size};

const SIZE: Size = Size { connections: 10_000, subscriptions: 1_000_000, flood: 256 << 20 };

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = std::io::stdout();
    let [name, address, pid] = &arguments[..] else {
        for scenario in ALL {
            writeln!(out, "{}\t{}", scenario.name, scenario.config)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let scenario = ALL.iter().find(|scenario| scenario.name == name).ok_or("no such scenario")?;
    let (line, fits) = play(scenario, address.parse()?, pid.parse()?)?;
    writeln!(out, "{line}")?;
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play(scenario: &Scenario, addr: SocketAddr, pid: u32) -> Result<(String, bool), Box<dyn Error>> {
    let neighbour = watch::Neighbour::start(addr, r#"{"verbose":false,"user":"u","pass":"p"}"#)?;
    let before = watch::peak_memory(pid)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on((scenario.play)(addr, SIZE));
    let took = neighbour.stop()?;
    let grown = watch::peak_memory(pid)?.saturating_sub(before);
    let bound = (scenario.bound)(SIZE);
    let part = |of: usize| took.get(took.len() * of / 1000).copied().unwrap_or_default();
    let line = format!(
        "{:<40} {:>8.1} {:>8.1}   {:>10.2?} {:>10.2?} {:>10.2?}",
        scenario.name,
        grown as f64 / f64::from(1 << 20),
        bound as f64 / f64::from(1 << 20),
        part(500),
        part(990),
        took.last().copied().unwrap_or_default(),
    );
    Ok((line, grown <= bound))
}
