//! Cargo tests by name: which program holds them, and whether they pass.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::ledger::CargoTest;
use crate::repo;

/// How long the tests of one program may take.
const LONGEST_SECONDS: &str = "120";

/// A test program: crate, integration target, where it is, and where it runs.
struct Program {
    krate: String,
    target: Option<String>,
    executable: PathBuf,
    dir: PathBuf,
}

/// Runs the named tests, and no others; one line for each that is missing or fails.
pub fn run_named(named: &BTreeSet<CargoTest>) -> Result<Vec<String>> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let crates: BTreeSet<&str> = named.iter().map(|test| test.krate.as_str()).collect();
    let programs = build(&repo::root(), &crates)?.context("the tests do not compile")?;
    let mut missing = named.clone();
    let mut wrong = Vec::new();
    for program in programs {
        let mine: Vec<&CargoTest> = named
            .iter()
            .filter(|test| test.krate == program.krate && test.target == program.target)
            .collect();
        if mine.is_empty() {
            continue;
        }
        for (path, passed) in run(&program, &mine)? {
            let Some(test) = mine.iter().find(|test| test.path == path) else { continue };
            missing.remove(test);
            if !passed {
                wrong.push(format!("{}: did not pass", test.shown()));
            }
        }
    }
    wrong.extend(missing.iter().map(|test| format!("{}: no such test, or it did not run", test.shown())));
    Ok(wrong)
}

/// Whether one test passes in another tree; nothing when it does not compile.
pub fn passes(root: &Path, target_dir: &Path, test: &CargoTest) -> Result<Option<bool>> {
    let Some(programs) = build_one(root, target_dir, test)? else { return Ok(None) };
    for program in
        programs.iter().filter(|program| program.krate == test.krate && program.target == test.target)
    {
        if let Some((_, passed)) = run(program, &[test])?.into_iter().next() {
            return Ok(Some(passed));
        }
    }
    Ok(None)
}

/// Runs tests of one program: the path of each that ran, and whether it passed.
fn run(program: &Program, tests: &[&CargoTest]) -> Result<Vec<(String, bool)>> {
    // A mutation may make a test wait for ever: what does not end in time has not passed.
    let mut command = Command::new("timeout");
    command.arg(LONGEST_SECONDS).arg(&program.executable);
    command.current_dir(&program.dir).env("CARGO_MANIFEST_DIR", &program.dir);
    let output = command.arg("--exact").args(tests.iter().map(|test| &test.path)).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let results = text.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    let ran: BTreeMap<String, bool> = results
        .filter(|(_, result)| *result != "ignored")
        .map(|(path, result)| (path.to_owned(), result == "ok"))
        .collect();
    // A program that was ended says nothing of the tests that it was in.
    let ended = !matches!(output.status.code(), Some(0 | 101));
    let missing = tests.iter().filter(|test| ended && !ran.contains_key(&test.path));
    let missing: Vec<_> = missing.map(|test| (test.path.clone(), false)).collect();
    Ok(ran.into_iter().chain(missing).collect())
}

/// Builds the program of one test in another tree, and nothing else; nothing when it does not compile.
fn build_one(root: &Path, target_dir: &Path, test: &CargoTest) -> Result<Option<Vec<Program>>> {
    let mut cargo = repo::cargo();
    cargo.env("CARGO_TARGET_DIR", target_dir);
    match &test.target {
        Some(target) => cargo.args(["test", "--test", target]),
        // `--lib` would be refused by a crate that is a program.
        None => cargo.args(["test", "--lib", "--bins"]),
    };
    build_with(cargo, root, &BTreeSet::from([test.krate.as_str()]))
}

/// Builds the test programs of some crates; nothing when they do not compile.
fn build(root: &Path, crates: &BTreeSet<&str>) -> Result<Option<Vec<Program>>> {
    let mut cargo = repo::cargo();
    cargo.arg("test");
    build_with(cargo, root, crates)
}

fn build_with(mut cargo: Command, root: &Path, crates: &BTreeSet<&str>) -> Result<Option<Vec<Program>>> {
    cargo.current_dir(root).args(["--no-run", "--message-format=json"]);
    for krate in crates {
        let package = if *krate == "xtask" { (*krate).to_owned() } else { format!("midge-{krate}") };
        cargo.args(["--package", &package]);
    }
    let output = cargo.output().context("starting cargo")?;
    if !output.status.success() {
        return Ok(None);
    }
    let mut programs = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let Some(executable) = message["executable"].as_str() else { continue };
        // Examples and the programs under test are built as well, and are no tests.
        if message["profile"]["test"] != true {
            continue;
        }
        let manifest = message["manifest_path"].as_str().unwrap_or_default();
        let dir = Path::new(manifest).parent().unwrap_or(Path::new(".")).to_path_buf();
        let krate = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let integration = message["target"]["kind"][0] == "test";
        let target = integration.then(|| message["target"]["name"].as_str().unwrap_or_default().to_owned());
        programs.insert(executable.to_owned(), Program { krate, target, executable: executable.into(), dir });
    }
    Ok(Some(programs.into_values().collect()))
}
