//! The corpus: files whose outcome is recorded, and mutations of them that must not panic.

// A test is a program: it may meet the operating system.
#![allow(clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use midge_config::{Command, Identity, MemorySource, Source, configure};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// Name and bytes of every file of a directory, with the prefix before the name.
fn files(directory: &Path, prefix: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the corpus is there").flatten() {
        let path = entry.path();
        let name = entry.file_name().into_string().expect("names are plain");
        if path.is_file() && name.ends_with(".conf") {
            found.push((format!("{prefix}{name}"), std::fs::read(&path).expect("it can be read")));
        }
    }
    found.sort();
    found
}

/// The corpus in memory; what the operating system says of directories is said here.
struct Corpus(MemorySource);

impl Source for Corpus {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "." | "inc" => Err(format!("read {path}: is a directory")),
            path => self.0.read(path),
        }
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

fn source() -> Corpus {
    let included = files(&corpus().join("inc"), "inc/");
    let files = files(&corpus(), "").into_iter().chain(included);
    Corpus(files.fold(MemorySource::new(), |source, (name, text)| source.file(&name, text)))
}

fn test_only(source: &dyn Source, name: &str) -> (i32, String) {
    let arguments = ["-t", "-c", name].map(String::from);
    let identity = Identity { compat_version: String::from("2.15.1"), midge_version: String::new() };
    match configure(&arguments, source, &identity) {
        Command::TestConfig { message, .. } => (0, message),
        Command::Fail { stderr, exit_code, .. } => (exit_code, stderr),
        other => panic!("{name}: {other:?}"),
    }
}

/// The lines of a report without its excerpts, sorted: other servers list them in any order.
fn lines(report: &str) -> Vec<String> {
    let report = report.strip_prefix("nats-server: ").unwrap_or(report);
    let mut lines: Vec<String> = report
        .lines()
        .take_while(|line| !line.is_empty() && !line.trim_start().starts_with("-->"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// `outcomes.tsv`: name, status and the sorted lines, a NUL spelled out, as the released server 2.15.1 answers.
fn outcomes() -> BTreeMap<String, (i32, Vec<String>)> {
    let text = std::fs::read_to_string(corpus().join("outcomes.tsv")).expect("outcomes are recorded");
    let mut outcomes = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let name = fields.next().expect("a name").to_owned();
        let status = fields.next().and_then(|field| field.parse().ok()).expect("a status");
        let lines = fields.map(|line| line.replace("<NUL>", "\0")).collect();
        outcomes.insert(name, (status, lines));
    }
    outcomes
}

#[test]
fn every_file_of_the_corpus_has_its_recorded_outcome() {
    let source = source();
    let outcomes = outcomes();
    let names: Vec<String> = files(&corpus(), "").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), outcomes.len(), "every file has an outcome");
    let mut wrong = Vec::new();
    for name in names {
        let (status, report) = test_only(&source, &name);
        let got = (status, lines(&report));
        if outcomes.get(&name) != Some(&got) {
            wrong.push(format!("{name}: {got:?}\n  recorded: {:?}", outcomes.get(&name)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A small generator: the run must be the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % sides.max(1)
    }
}

#[test]
fn mutations_of_the_corpus_never_panic() {
    let seeds = files(&corpus(), "");
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..20_000 {
        let mut text = seeds[dice.roll(seeds.len())].1.clone();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(text.len() + 1);
            match dice.roll(4) {
                0 => text.truncate(at),
                1 => text.insert(at, u8::try_from(dice.roll(256)).unwrap_or(0)),
                2 => {
                    let other = &seeds[dice.roll(seeds.len())].1;
                    let from = dice.roll(other.len() + 1);
                    text.splice(at..at, other[from..].iter().copied());
                }
                _ if at < text.len() => {
                    text.remove(at);
                }
                _ => {}
            }
        }
        let source = MemorySource::new().file("m.conf", text);
        let (status, report) = test_only(&source, "m.conf");
        assert!(!report.is_empty() && (0..=1).contains(&status), "round {round}");
    }
}
