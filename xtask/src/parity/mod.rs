//! `cargo xtask parity`: the ledger of the Go server's tests, audited.

mod ledger;
mod mutate;
mod tests;

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::{oracle, repo};
use ledger::{Proof, Row, Status};

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    let mut mutations: Option<usize> = None;
    let mut check: Option<&String> = None;
    let mut seed: u64 =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.subsec_nanos().into();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--check" => check = Some(value),
            "--mutate" => mutations = Some(value.parse()?),
            "--seed" => seed = value.parse()?,
            other => bail!("unknown argument {other}: --mutate N, --seed S, --check ID"),
        }
    }
    let rows = ledger::read(&repo::root().join("parity/ledger.tsv"))?;
    if let Some(id) = check {
        let wrong = mutate::check(id)?;
        return Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut wrong = audit(&rows)?;
    if wrong.is_empty()
        && let Some(count) = mutations
    {
        wrong = mutate::run(&rows, count, seed)?;
    }
    for line in &wrong {
        println!("{line}");
    }
    let count = |status: Status| rows.iter().filter(|row| row.status == status).count();
    println!(
        "{} rows: {} covered, {} not applicable, {} deferred; {} wrong",
        rows.len(),
        count(Status::Covered),
        count(Status::NotApplicable),
        count(Status::Deferred),
        wrong.len()
    );
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every upstream name has a row, every row says enough, and every proof exists and ran.
fn audit(rows: &[Row]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let names =
        std::fs::read_to_string(repo::root().join("parity/upstream.tsv")).context("parity/upstream.tsv")?;
    let mut seen = BTreeSet::new();
    for row in rows {
        if !seen.insert(row.key()) {
            wrong.push(format!("{}: twice", row.key().replace('\t', " ")));
        }
        match row.status {
            Status::Covered if row.by.is_empty() => wrong.push(format!("{}: covered by nothing", row.test)),
            Status::NotApplicable | Status::Deferred if row.note.is_empty() => {
                wrong.push(format!("{}: no reason", row.test));
            }
            _ => {}
        }
    }
    for name in names.lines().skip(1).filter(|name| !seen.contains(*name)) {
        wrong.push(format!("{}: not in the ledger", name.replace('\t', " ")));
    }
    let covered = || rows.iter().filter(|row| row.status == Status::Covered);
    for row in covered() {
        for proof in &row.by {
            if let Proof::Script(script) = proof
                && !oracle::scripts().join(format!("{script}.txt")).is_file()
            {
                wrong.push(format!("{}: no script {script}", row.test));
            }
        }
    }
    let named: BTreeSet<_> = covered().flat_map(|row| &row.by).filter_map(Proof::cargo_test).collect();
    let failures = tests::run_named(&named)?;
    ensure!(failures.len() <= named.len(), "more failures than tests");
    wrong.extend(failures);
    Ok(wrong)
}
