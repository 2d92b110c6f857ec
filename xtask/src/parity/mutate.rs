//! Breaking things on purpose: a covered row is only covered if its test fails when the behaviour is broken.
//!
//! It happens in a copy of the tree under `target/mutants`, so that an interrupted run leaves nothing broken behind. Each
//! mutation is applied and built once for all the rows that it serves, and of the tree only what the proofs need is built.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::ledger::{Proof, Row, Status};
use super::tests;
use crate::{oracle, repo, tools};

struct Mutation {
    id: String,
    file: String,
    search: String,
    replace: String,
    expected: Vec<Proof>,
}

/// One line for each sampled row whose test did not notice.
pub fn run(rows: &[Row], count: usize, seed: u64) -> Result<Vec<String>> {
    println!("a sample of {count} covered rows, seed {seed}");
    let mutations = read(&repo::root().join("parity/mutations.tsv"))?;
    let covered: Vec<&Row> = rows.iter().filter(|row| row.status == Status::Covered).collect();
    let mut wrong = Vec::new();
    // By mutation, in the order of the file, the proofs that rows of the sample rest on.
    let mut plan: BTreeMap<usize, BTreeSet<&Proof>> = BTreeMap::new();
    for row in sample(&covered, count, seed) {
        let fitting = mutations.iter().enumerate().find_map(|(at, mutation)| {
            let proof = row.by.iter().find(|proof| mutation.expected.contains(proof))?;
            Some((at, proof))
        });
        match fitting {
            Some((at, proof)) => drop(plan.entry(at).or_default().insert(proof)),
            None => wrong.push(format!("{}: no mutation is registered for {}", row.test, shown(&row.by))),
        }
    }
    let plan = plan.into_iter().filter_map(|(at, proofs)| Some((mutations.get(at)?, proofs)));
    wrong.extend(apply(plan)?);
    Ok(wrong)
}

/// Every mutation whose id contains `text`, against all that it is expected to break.
pub fn check(text: &str) -> Result<Vec<String>> {
    let mutations = read(&repo::root().join("parity/mutations.tsv"))?;
    let chosen = mutations.iter().filter(|mutation| mutation.id.contains(text));
    apply(chosen.map(|mutation| (mutation, mutation.expected.iter().collect())))
}

/// Applies mutations one by one; a line for each proof that did not notice, or could not be asked.
fn apply<'a>(plan: impl Iterator<Item = (&'a Mutation, BTreeSet<&'a Proof>)>) -> Result<Vec<String>> {
    let tree = Tree::copy()?;
    let mut wrong = Vec::new();
    for (mutation, proofs) in plan {
        let results = match tree.noticed(mutation, &proofs) {
            Ok(results) => results,
            Err(error) => {
                println!("FAILED  {}: {error:#}", mutation.id);
                wrong.push(format!("{}: {error:#}", mutation.id));
                continue;
            }
        };
        for (proof, noticed) in results {
            println!("{} {} by {}", if noticed { "noticed" } else { "MISSED " }, mutation.id, proof.shown());
            if !noticed {
                wrong.push(format!("{} does not notice {}", proof.shown(), mutation.id));
            }
        }
    }
    Ok(wrong)
}

fn shown(proofs: &[Proof]) -> String {
    proofs.iter().map(Proof::shown).collect::<Vec<_>>().join(" ")
}

fn read(path: &Path) -> Result<Vec<Mutation>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut mutations = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, file, search, replace, expected] = columns[..] else {
            bail!("parity/mutations.tsv:{}: not five columns", number + 1);
        };
        let expected = expected.split_whitespace().map(Proof::parse).collect::<Result<_>>()?;
        let text = |column: &str| column.replace("\\n", "\n");
        mutations.push(Mutation {
            id: id.into(),
            file: file.into(),
            search: text(search),
            replace: text(replace),
            expected,
        });
    }
    Ok(mutations)
}

/// Rows in an order that only the seed decides.
fn sample<'a>(rows: &[&'a Row], count: usize, seed: u64) -> Vec<&'a Row> {
    let mut rows = rows.to_vec();
    let mut state = seed;
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    for place in (1..rows.len()).rev() {
        let other = usize::try_from(next() % (place as u64 + 1)).unwrap_or(0);
        rows.swap(place, other);
    }
    rows.truncate(count);
    rows
}

/// The copy of the tree in which things are broken.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    fn copy() -> Result<Self> {
        let root = repo::target().join("mutants/tree");
        let target = repo::target().join("mutants/target");
        let mut git = Command::new("git");
        git.current_dir(repo::root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        for name in repo::capture(&mut git)?.lines() {
            let (from, to) = (repo::root().join(name), root.join(name));
            // What git still lists may have been deleted; what did not change keeps its time, and is not rebuilt.
            let Ok(bytes) = std::fs::read(&from) else { continue };
            if std::fs::read(&to).is_ok_and(|present| present == bytes) {
                continue;
            }
            std::fs::create_dir_all(to.parent().context("a folder")?)?;
            std::fs::write(&to, bytes)?;
        }
        Ok(Self { root, target })
    }

    /// Applies a mutation, and says of each proof whether it fails.
    fn noticed<'a>(
        &self,
        mutation: &Mutation,
        proofs: &BTreeSet<&'a Proof>,
    ) -> Result<Vec<(&'a Proof, bool)>> {
        let path = self.root.join(&mutation.file);
        let text = std::fs::read_to_string(&path).with_context(|| mutation.file.clone())?;
        let places = text.matches(&mutation.search).count();
        ensure!(places == 1, "the search text stands {places} times in {}", mutation.file);
        std::fs::write(&path, text.replacen(&mutation.search, &mutation.replace, 1))?;
        let results =
            proofs.iter().map(|proof| Ok((*proof, !self.passes(proof)?))).collect::<Result<Vec<_>>>();
        std::fs::write(&path, text)?;
        results
    }

    fn passes(&self, proof: &Proof) -> Result<bool> {
        match proof {
            Proof::Cargo(test) => tests::passes(&self.root, &self.target, test)?
                .context("the mutated code does not compile, or has no such test"),
            Proof::Script(script) => {
                let mut cargo = repo::cargo();
                cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
                repo::check(cargo.args(["build", "--quiet", "--package", "midge-cli"]))
                    .context("the mutated code does not compile")?;
                let mut command = Command::new(oracle::build_helper("oracle")?);
                command.arg("--reference").arg(tools::python()?.go_server);
                command.arg("--server").arg(self.target.join("debug/midge"));
                let (folder, name) = match script.strip_prefix("jetstream/") {
                    Some(name) => (oracle::jetstream_scripts(), name),
                    None => (oracle::scripts(), script.as_str()),
                };
                command.arg("--scripts").arg(folder).args(["--only", name]);
                Ok(command.stdout(Stdio::null()).status()?.success())
            }
        }
    }
}
