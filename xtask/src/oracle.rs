//! `cargo xtask oracle core` and `jetstream`: scripted conversations with the released Go server and with midge, compared.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::{audit, repo, tools};

/// Scripts of the first floor; in `jetstream` below it, those of the second.
const SCRIPTS: &str = "crates/dev/testkit/scripts";
const JETSTREAM: &str = "crates/dev/testkit/scripts/jetstream";
/// Configuration files that both servers judge.
const CORPUS: &str = "crates/pure/config/tests/corpus";

const USAGE: &str = "\
usage: cargo xtask oracle store [--seeds N] [--from N]
       cargo xtask oracle core|jetstream [--only TEXT] [--server PATH] [--repeat N] [--jobs N] [--show] [--accept] [--codes]
                                [--schemas DIR] | --audit

  --only TEXT    scripts whose name contains TEXT; `corpus` for the configuration files
  --server PATH  compare this program instead of a release build of midge
  --show         print the transcripts of the Go server
  --accept       record midge's transcripts in scripts that differ on purpose
  --codes        write into scripts about JetStream which error codes they show
  --schemas DIR  hold all documents that came against the JSON schemas below a folder
  --audit        list sections and errors of the scope without a script, without running anything
";

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    let mut passed_on = Vec::new();
    let mut server: Option<PathBuf> = None;
    let mut audited = false;
    let mut rest = arguments.iter();
    let jetstream = match rest.next().map(String::as_str) {
        Some("core") => false,
        Some("jetstream") => true,
        Some("store") => return store(rest.as_slice()),
        Some("walk") => return walk(),
        other => bail!("unknown set of scripts {other:?}\n\n{USAGE}"),
    };
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--audit" => audited = true,
            "--server" => server = Some(rest.next().context("--server needs a path")?.into()),
            "--show" | "--accept" | "--codes" => passed_on.push(argument.clone()),
            "--only" | "--repeat" | "--jobs" | "--schemas" => {
                passed_on.push(argument.clone());
                passed_on.push(rest.next().with_context(|| format!("{argument} needs a value"))?.clone());
            }
            other => bail!("unknown argument {other}\n\n{USAGE}"),
        }
    }
    if audited {
        return if jetstream { audit::jetstream() } else { audit::task() };
    }
    let reference = tools::python()?.go_server;
    let server = match server {
        Some(path) => std::fs::canonicalize(&path).with_context(|| path.display().to_string())?,
        None => build_midge()?,
    };
    let status = Command::new(build_helper("oracle")?)
        .current_dir(repo::root())
        .arg("--reference")
        .arg(reference)
        .arg("--server")
        .arg(server)
        .args(if jetstream {
            vec!["--scripts", JETSTREAM, "--jobs", "8"]
        } else {
            vec!["--scripts", SCRIPTS, "--corpus", CORPUS]
        })
        .args(passed_on)
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Streams passed to and fro between the Go server and our store.
fn store(arguments: &[String]) -> Result<ExitCode> {
    let reference = tools::python()?.go_server;
    let status = Command::new(build_helper("exchange")?)
        .current_dir(repo::root())
        .arg("--reference")
        .arg(reference)
        .args(arguments)
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The walk of `docs/migrating.md`: a store directory goes from the Go server to midge, back, and to midge again.
fn walk() -> Result<ExitCode> {
    let reference = tools::python()?.go_server;
    let status = Command::new(build_helper("walk")?)
        .current_dir(repo::root())
        .arg("--reference")
        .arg(reference)
        .arg("--server")
        .arg(build_midge()?)
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The release build of midge.
pub fn build_midge() -> Result<PathBuf> {
    repo::check(repo::cargo().args(["build", "--quiet", "--release", "--package", "midge-cli"]))?;
    let path = repo::target().join("release/midge");
    ensure!(path.is_file(), "no program at {}", path.display());
    Ok(path)
}

/// A program of the test kit.
pub fn build_helper(name: &str) -> Result<PathBuf> {
    repo::check(repo::cargo().args(["build", "--quiet", "--package", "midge-testkit", "--bin", name]))?;
    Ok(repo::target().join("debug").join(name))
}

/// The folder of all scripts.
pub fn scripts() -> PathBuf {
    repo::root().join(SCRIPTS)
}

/// The folder of the scripts about JetStream.
pub fn jetstream_scripts() -> PathBuf {
    repo::root().join(JETSTREAM)
}
