//! `cargo xtask icount`: instructions of the hot functions, against the recorded counts.
//!
//! Wall clocks of busy machines tell little; instructions repeat. Each workload runs under valgrind with two numbers of
//! iterations, and the difference per iteration has to stay within three percent of what `crates/dev/bench/icount.tsv`
//! holds. `--record` writes that file.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::repo;

/// How far a count may be from its record, either way; an improvement is recorded, not enjoyed silently.
const TOLERANCE: f64 = 0.03;

/// Workloads and the iterations of the shorter run.
const WORKLOADS: [(&str, u64); 4] =
    [("parse", 200), ("match", 20_000), ("deliver", 2_000), ("permission", 50_000)];

const RECORD: &str = "crates/dev/bench/icount.tsv";

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    let record = match arguments {
        [] => false,
        [only] if only == "--record" => true,
        _ => bail!("usage: cargo xtask icount [--record]"),
    };
    if Command::new("valgrind").arg("--version").output().is_err() {
        bail!("valgrind is missing; install it (apt-get install valgrind)");
    }
    let built = repo::cargo()
        .args(["build", "--quiet", "--release", "--locked", "--package", "midge-bench", "--bin", "icount"])
        .status()?;
    ensure!(built.success(), "the workloads do not build");
    let mut counts = Vec::new();
    for (name, iterations) in WORKLOADS {
        let (short, long) = (count(name, iterations)?, count(name, 2 * iterations)?);
        counts.push((name, long.saturating_sub(short) / iterations));
    }
    let path = repo::root().join(RECORD);
    if record {
        let text: String = counts.iter().map(|(name, count)| format!("{name}\t{count}\n")).collect();
        std::fs::write(&path, text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let recorded = std::fs::read_to_string(&path).with_context(|| RECORD.to_owned())?;
    let mut holds = true;
    for (name, count) in counts {
        let line = recorded.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
        let before: u64 = line.with_context(|| format!("{name} is not recorded"))?.parse()?;
        let change = (count as f64 - before as f64) / before as f64;
        let fits = change.abs() <= TOLERANCE;
        holds &= fits;
        let verdict = if fits { "" } else { "  beyond 3 %: mend it, or record it with the reason" };
        println!("{name}: {count} instructions, recorded {before}, {:+.1} %{verdict}", change * 100.0);
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Instructions of a run, as valgrind counts them.
fn count(name: &str, iterations: u64) -> Result<u64> {
    let program = repo::target().join("release/icount");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &iterations.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().rev().find(|line| line.contains("Collected :"));
    let number = line.and_then(|line| line.rsplit(':').next()).map(str::trim).unwrap_or_default();
    number.parse().with_context(|| format!("valgrind did not count {name}: {text}"))
}
