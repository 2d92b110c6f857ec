//! `cargo xtask bench`: midge beside the Go server. The measuring is done by the bench crate; this finds the servers.

use std::process::ExitCode;

use anyhow::Result;

use crate::{oracle, repo, tools};

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    let go = tools::python()?.go_server;
    let midge = oracle::build_midge()?;
    let mut cargo = repo::cargo();
    cargo.args(["run", "--quiet", "--release", "--package", "midge-bench", "--"]).args(arguments);
    let status = cargo.env("MIDGE_BENCH_GO", go).env("MIDGE_BENCH_MIDGE", midge).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
