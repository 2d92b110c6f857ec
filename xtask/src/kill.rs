//! `cargo xtask kill`: a release build killed under load again and again, and what it holds after each restart.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::oracle;

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    let mut server: Option<PathBuf> = None;
    let mut passed_on = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--server" => server = Some(std::fs::canonicalize(value).with_context(|| value.clone())?),
            "--rounds" | "--seed" => passed_on.extend([argument.clone(), value.clone()]),
            other => bail!("unknown argument {other}: --rounds N, --seed N, --server PATH"),
        }
    }
    let server = match server {
        Some(path) => path,
        None => oracle::build_midge()?,
    };
    let status =
        Command::new(oracle::build_helper("kill")?).arg("--server").arg(server).args(passed_on).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
