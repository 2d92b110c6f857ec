//! `cargo xtask tidy`: rules that neither the compiler nor clippy can see. The same checks run as a test of this package.

mod layers;
mod prose;
mod sources;

use std::process::ExitCode;

use anyhow::Result;

/// What is wrong, one line each, with the place first.
pub type Findings = Vec<String>;

pub fn task(arguments: &[String]) -> Result<ExitCode> {
    anyhow::ensure!(arguments.is_empty(), "tidy takes no arguments");
    let findings = run()?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{} untidy places", findings.len());
    Ok(ExitCode::FAILURE)
}

/// All checks over the whole repository.
pub fn run() -> Result<Findings> {
    let mut findings = Findings::new();
    layers::check(&mut findings)?;
    sources::check(&mut findings)?;
    prose::check(&mut findings)?;
    Ok(findings)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let findings = super::run().expect("the checks run");
        assert!(findings.is_empty(), "untidy:\n{}", findings.join("\n"));
    }
}
