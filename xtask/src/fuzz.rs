//! `cargo xtask fuzz`: every target under `fuzz/fuzz_targets`, for a number of seconds each.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::{repo, tools};

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    let mut seconds: u32 = 60;
    let mut only: Option<String> = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().with_context(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--seconds" => seconds = value.parse()?,
            "--only" => only = Some(value.clone()),
            other => bail!("unknown argument {other}: --seconds N, --only TEXT"),
        }
    }
    let root = repo::root();
    let sources = repo::files(&root.join("fuzz/fuzz_targets"), &|path| repo::has_extension(path, "rs"))?;
    let names =
        sources.iter().filter_map(|path| path.file_stem()).map(|name| name.to_string_lossy().into_owned());
    let names: Vec<String> =
        names.filter(|name| only.as_ref().is_none_or(|only| name.contains(only.as_str()))).collect();
    if names.is_empty() {
        println!("no fuzz targets");
        return Ok(ExitCode::SUCCESS);
    }
    let fuzz = tools::cargo_fuzz()?;
    for name in &names {
        println!("fuzzing {name} for {seconds} s");
        // The sanitizer and coverage flags are unstable; the pinned stable compiler accepts them with this variable.
        let status = Command::new(&fuzz)
            .args([
                "run",
                name,
                "--",
                &format!("-max_total_time={seconds}"),
                "-print_final_stats=0",
                "-verbosity=0",
            ])
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(&root)
            .status()?;
        ensure!(status.success(), "{name} failed; the input is under fuzz/artifacts/{name}");
    }
    println!("{} targets held", names.len());
    Ok(ExitCode::SUCCESS)
}
