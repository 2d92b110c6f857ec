//! `cargo xtask bench`: midge beside the Go server. The measuring is done by the bench crate; this finds the servers.

use std::process::ExitCode;

use anyhow::Result;

use crate::{oracle, repo, tools};

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    let mut cargo = repo::cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "midge-bench", "--"]).args(arguments);
    // What measures the store and its disk alone needs no server.
    if !matches!(arguments.first().map(String::as_str), Some("store" | "durability")) {
        cargo.env("MIDGE_BENCH_GO", tools::python()?.go_server);
        cargo.env("MIDGE_BENCH_MIDGE", oracle::build_midge()?);
    }
    let status = cargo.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
