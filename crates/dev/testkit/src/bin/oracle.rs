//! Plays all scripts against the reference server and against another, and shows where they differ. Started by `cargo xtask oracle`,
//! which finds the servers.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use midge_testkit::certificates::Certificates;
use midge_testkit::oracle::{Schemas, Stage, Transcript, Verdict, corpus, play, unified};
use midge_testkit::script::{Script, parse};
use midge_testkit::server::Server;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What the command line asks for.
#[derive(Default)]
struct Request {
    reference: PathBuf,
    server: PathBuf,
    scripts: PathBuf,
    corpus: Option<PathBuf>,
    only: Option<String>,
    repeat: usize,
    jobs: usize,
    show: bool,
    accept: bool,
    codes: bool,
    schemas: Option<PathBuf>,
}

/// How often the reference is played again before what it said counts as different: with some scripts it is not the same each time.
const GO_VARIES: usize = 4;

/// What became of a script.
#[derive(Default)]
struct Outcome {
    /// What is wrong.
    report: Option<String>,
    /// How often the reference had to be played again.
    again: usize,
    /// The documents that the reference and the other server sent.
    documents: [Vec<Value>; 2],
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("oracle: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn request() -> Result<Request> {
    let mut request = Request { repeat: 1, jobs: 4, ..Request::default() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--reference" => request.reference = value()?.into(),
            "--server" => request.server = value()?.into(),
            "--scripts" => request.scripts = value()?.into(),
            "--corpus" => request.corpus = Some(value()?.into()),
            "--only" => request.only = Some(value()?),
            "--repeat" => request.repeat = value()?.parse()?,
            "--jobs" => request.jobs = value()?.parse()?,
            "--show" => request.show = true,
            "--accept" => request.accept = true,
            "--codes" => request.codes = true,
            "--schemas" => request.schemas = Some(value()?.into()),
            other => bail!("unknown argument {other}"),
        }
    }
    for program in [&mut request.reference, &mut request.server] {
        *program = std::fs::canonicalize(&*program)
            .with_context(|| format!("no program at {}", program.display()))?;
    }
    ensure!(request.reference.is_file(), "no reference server at {}", request.reference.display());
    ensure!(request.server.is_file(), "no server at {}", request.server.display());
    Ok(request)
}

async fn run() -> Result<bool> {
    let request = Arc::new(request()?);
    let scratch = std::env::temp_dir().join(format!("midge-oracle-{}", std::process::id()));
    let certificates = Certificates::create(&scratch.join("certificates"))?;
    let stage = |program: &Path, name: &str| Stage {
        program: program.to_path_buf(),
        certificates: certificates.clone(),
        scratch: scratch.join(name),
    };
    let stages = Arc::new((stage(&request.reference, "reference"), stage(&request.server, "server")));
    for (stage, name) in [(&stages.0, "reference"), (&stages.1, "server")] {
        // Otherwise every script would wait in vain for a server that cannot start at all.
        let dir = stage.scratch.join("first");
        std::fs::create_dir_all(&dir)?;
        let started = Server::start(&stage.program, &dir, &[], &[]).await;
        started
            .with_context(|| format!("the {name} {} does not start", stage.program.display()))?
            .kill()
            .await?;
    }
    let scripts = read_scripts(&request)?;
    let total = scripts.len();
    let mut failed = Vec::new();
    let mut explained = 0;
    let mut varied = Vec::new();
    let mut schemas = request.schemas.as_deref().map(Schemas::read).transpose()?;
    let permits = Arc::new(Semaphore::new(request.jobs));
    let mut runs = JoinSet::new();
    for (path, script) in scripts {
        let (permits, stages, request) = (permits.clone(), stages.clone(), request.clone());
        runs.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let outcome = compare(&stages.0, &stages.1, &request, &path, &script).await;
            (script, outcome)
        });
    }
    while let Some(run) = runs.join_next().await {
        let (script, outcome) = run?;
        let outcome = outcome
            .unwrap_or_else(|error| Outcome { report: Some(format!("{error:#}\n")), ..Outcome::default() });
        if let Some(schemas) = &mut schemas {
            schemas.hold(&script.name, &outcome.documents);
        }
        if outcome.again > 0 && outcome.report.is_none() {
            varied.push(script.name.clone());
        }
        match outcome.report {
            None if script.differs.is_some() => explained += 1,
            None => {}
            Some(report) => failed.push((script.name, report)),
        }
    }
    if let Some(schemas) = &schemas {
        schemas.report().iter().for_each(|line| println!("{line}"));
    }
    if !varied.is_empty() {
        varied.sort();
        println!("the reference was not the same each time: {}", varied.join(", "));
    }
    failed.sort();
    for (name, report) in &failed {
        println!("==== {name}\n{report}");
    }
    println!(
        "{total} scripts: {} equal, {explained} differ as registered, {} failed",
        total - explained - failed.len(),
        failed.len()
    );
    let files = check_corpus(&request, &scratch).await?;
    if failed.is_empty() && files {
        std::fs::remove_dir_all(&scratch)?;
    } else {
        println!("folders of the runs: {}", scratch.display());
    }
    Ok(failed.is_empty() && files)
}

fn read_scripts(request: &Request) -> Result<Vec<(PathBuf, Script)>> {
    let mut scripts = Vec::new();
    for area in std::fs::read_dir(&request.scripts)
        .with_context(|| format!("reading {}", request.scripts.display()))?
    {
        let area = area?.path();
        if !area.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&area)? {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "txt") {
                continue;
            }
            let part = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{}/{}", part(&area), part(&path));
            if request.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            scripts.push((path, parse(&name, &text).with_context(|| name.clone())?));
        }
    }
    scripts.sort_by(|left, right| left.0.cmp(&right.0));
    ensure!(!scripts.is_empty() || request.only.as_deref() == Some("corpus"), "no script is chosen");
    Ok(scripts)
}

/// Plays a script on both stages; a report when something is wrong.
async fn compare(
    reference: &Stage,
    server: &Stage,
    request: &Request,
    path: &Path,
    script: &Script,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut expected = play_reference(reference, script, &mut outcome).await?;
    if request.show {
        println!("==== {}\n{}\n", script.name, expected.lines.join("\n"));
    }
    if !expected.stuck.is_empty() {
        outcome.report = Some(format!(
            "the reference got stuck, each time: {}\n{}\n",
            expected.stuck.join("; "),
            expected.lines[expected.lines.len().saturating_sub(12)..].join("\n")
        ));
        return Ok(outcome);
    }
    if script.jetstream
        && request.reference != request.server
        && let Some(report) = check_codes(request, path, script, &expected)?
    {
        outcome.report = Some(report);
        return Ok(outcome);
    }
    for _ in 0..request.repeat {
        let found = play(server, script).await.context("server")?;
        outcome.report = judge(request, path, script, &expected, &found)?;
        let mut left = if script.jetstream { GO_VARIES } else { 0 };
        while outcome.report.is_some() && left > 0 {
            let other = play(reference, script).await.context("reference")?;
            left -= 1;
            outcome.again += 1;
            if other.stuck.is_empty() && other.lines != expected.lines {
                let report = judge(request, path, script, &other, &found)?;
                if report.is_none() {
                    (outcome.report, expected) = (report, other);
                }
            }
        }
        outcome.documents[1].extend(found.documents);
        if outcome.report.is_some() {
            break;
        }
    }
    outcome.documents[0] = expected.documents;
    Ok(outcome)
}

/// Plays a script on the reference until it comes to its end: a reference that sends less than it did the last time is no transcript to hold another
/// server against, and on a busy machine one that loses an advisory now and then does just that.
async fn play_reference(reference: &Stage, script: &Script, outcome: &mut Outcome) -> Result<Transcript> {
    let mut played = play(reference, script).await.context("reference")?;
    while !played.stuck.is_empty() && outcome.again < GO_VARIES {
        outcome.again += 1;
        played = play(reference, script).await.context("reference")?;
    }
    Ok(played)
}

/// Compares the error codes that a script lists with those that the Go server showed, or lists them.
fn check_codes(
    request: &Request,
    path: &Path,
    script: &Script,
    expected: &Transcript,
) -> Result<Option<String>> {
    let mut codes: Vec<u16> = expected
        .lines
        .iter()
        .flat_map(|line| line.split("err_code").skip(1))
        .filter_map(|rest| {
            let rest = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
        .collect();
    codes.sort_unstable();
    codes.dedup();
    if script.codes.as_deref().unwrap_or_default() == codes {
        return Ok(None);
    }
    let list = codes.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
    if !request.codes {
        return Ok(Some(format!("lists other error codes than are shown (--codes writes them): {list}\n")));
    }
    let text = std::fs::read_to_string(path)?;
    let mut lines: Vec<String> =
        text.lines().filter(|line| !line.starts_with("# codes: ")).map(str::to_owned).collect();
    if !codes.is_empty() {
        let at = lines.iter().position(|line| line.starts_with("# pins: ")).context("a line `# pins:`")?;
        lines.insert(at + 1, format!("# codes: {list}"));
    }
    std::fs::write(path, lines.join("\n") + "\n")?;
    Ok(None)
}

fn judge(
    request: &Request,
    path: &Path,
    script: &Script,
    expected: &Transcript,
    found: &Transcript,
) -> Result<Option<String>> {
    if script.differs.is_none() {
        return Ok(unified("go", &expected.lines, "midge", &found.lines));
    }
    if request.reference == request.server {
        return Ok(None);
    }
    if found.lines == expected.lines {
        return Ok(Some("registered as different, and is not\n".to_owned()));
    }
    if request.accept {
        let text = std::fs::read_to_string(path)?;
        let text = text.split("=== midge").next().unwrap_or_default().trim_end().to_owned();
        std::fs::write(path, format!("{text}\n=== midge\n{}\n", found.lines.join("\n")))?;
        return Ok(None);
    }
    let Some(recorded) = &script.expected else {
        return Ok(Some(
            "differs, and has no recorded transcript of midge: --accept records it\n".to_owned(),
        ));
    };
    Ok(unified("recorded", recorded, "midge", &found.lines))
}

/// The configuration corpus; whether all is well.
async fn check_corpus(request: &Request, scratch: &Path) -> Result<bool> {
    let Some(dir) = request.corpus.as_ref().filter(|dir| dir.is_dir()) else { return Ok(true) };
    if request.only.as_ref().is_some_and(|only| only != "corpus") {
        return Ok(true);
    }
    let register = std::fs::read_to_string(request.scripts.join("corpus-differs.tsv")).unwrap_or_default();
    let explained: Vec<String> =
        register.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect();
    let explained = if request.reference == request.server { Vec::new() } else { explained };
    let verdicts =
        corpus((&request.reference, &request.server), scratch, dir, &explained, request.jobs).await?;
    let mut wrong = 0;
    for (name, verdict) in &verdicts {
        if let Verdict::Different(report) = verdict {
            wrong += 1;
            println!("==== corpus {name}\n{report}");
        }
    }
    println!("{} configuration files: {wrong} judged differently", verdicts.len());
    Ok(wrong == 0)
}
