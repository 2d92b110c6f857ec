//! `cargo xtask clients`: real client libraries and the `nats` command against midge.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{oracle, repo, tools};

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    let mut server: Option<PathBuf> = None;
    let mut only = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--server" => server = Some(std::fs::canonicalize(value).with_context(|| value.clone())?),
            "--only" => only = vec!["--only".to_owned(), value.clone()],
            other => bail!("unknown argument {other}: --server PATH, --only TEXT"),
        }
    }
    let tools::Python { interpreter: python, go_server } = tools::python()?;
    let (node, nats) = (tools::node()?, tools::nats_cli()?);
    let server = match server {
        Some(path) => path,
        None => oracle::build_midge()?,
    };
    oracle::build_helper("exercise")?;
    let status = Command::new(oracle::build_helper("clients")?)
        .current_dir(repo::root())
        .arg("--server")
        .arg(server)
        .arg("--python")
        .arg(python)
        .arg("--reference")
        .arg(go_server)
        .arg("--node")
        .arg(node)
        .arg("--nats")
        .arg(nats)
        .args(["--scripts", "crates/dev/testkit/clients"])
        .args(only)
        .status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
