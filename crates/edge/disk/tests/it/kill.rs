//! Rounds of killing.
//!
//! `MIDGE_KILL_ROUNDS` and `MIDGE_KILL_SEED` say how many, and from which seed on; a failure names its seed.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use midge_disk::Disk;
use midge_store::journal::PlainRecords;

use crate::child;
use crate::model::Lane;
use crate::script::Draw;

const DIRECTORY: &str = "MIDGE_KILL_DIRECTORY";
const SEED: &str = "MIDGE_KILL_SEED";
const LANES: &str = "MIDGE_KILL_LANES";
const ROUNDS: &str = "MIDGE_KILL_ROUNDS";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The part of the process that is killed; a test of its own for the sake of its name.
#[test]
fn victim() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        let directory = PathBuf::from(directory);
        child::run(&directory, number(SEED).unwrap_or(0), number(LANES).unwrap_or(1));
    }
}

/// A directory that goes with its owner.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn start(directory: &Path, seed: u64, lanes: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "kill::victim", "--nocapture", "--test-threads", "1"]);
    command.env(DIRECTORY, directory).env(SEED, seed.to_string()).env(LANES, lanes.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().expect("a process")
}

/// What a process said until it was killed.
#[derive(Debug)]
struct Said {
    /// By lane: sent, and ended in one piece from the first on.
    lanes: Vec<(u64, u64)>,
    failed: Option<String>,
}

/// Lets it live until it has said so many lines and a little longer, and kills it.
fn watch(mut child: Child, lanes: u64, lines: u64, longer: Duration) -> Said {
    let mut said = Said { lanes: vec![(0, 0); usize::try_from(lanes).expect("few")], failed: None };
    let mut ahead = vec![BTreeSet::new(); said.lanes.len()];
    let mut reader = BufReader::new(child.stdout.take().expect("its output"));
    let (mut line, mut count, mut killed) = (String::new(), 0, false);
    loop {
        if !killed && count > lines {
            let start = Instant::now();
            while start.elapsed() < longer {
                std::hint::spin_loop();
            }
            child.kill().expect("killed");
            killed = true;
        }
        line.clear();
        if reader.read_line(&mut line).expect("its output") == 0 {
            break;
        }
        let words: Vec<&str> = line.trim_end().split(' ').collect();
        let [what, lane, ticket] = words[..] else { continue };
        // A last line may be cut.
        if !line.starts_with('@') || !line.ends_with('\n') {
            continue;
        }
        count += 1;
        let (lane, ticket) =
            (lane.parse::<usize>().expect("a lane"), ticket.parse::<u64>().expect("a ticket"));
        let (sent, ended) = &mut said.lanes[lane];
        match what {
            "@S" => *sent = ticket,
            "@D" => {
                // A staged file or a checkpoint may end before or after its neighbours.
                ahead[lane].insert(ticket);
                while ahead[lane].remove(&(*ended + 1)) {
                    *ended += 1;
                }
            }
            "@O" => {}
            _ => said.failed = Some(line.clone()),
        }
    }
    let _ = child.wait();
    assert!(killed, "it ended by itself, having said {count} lines");
    said
}

fn round(seed: u64) {
    let mut draw = Draw::new(seed);
    let place = Place(std::env::temp_dir().join(format!("midge-kill-{}-{seed}", std::process::id())));
    let directory = &place.0;
    let lanes = 1 + draw.below(6);
    let lines = match draw.below(4) {
        0 => draw.below(20),
        1 => draw.below(6000),
        _ => draw.below(800),
    };
    let longer = Duration::from_nanos(draw.below(600_000));
    let said = watch(start(directory, seed, lanes), lanes, lines, longer);
    assert_eq!(said.failed, None, "seed {seed}");
    let lanes: Vec<Lane> = (0..lanes)
        .zip(&said.lanes)
        .map(|(lane, (sent, ended))| Lane::new(seed, lane, *ended, *sent))
        .collect();
    let judge = |when: &str, report| {
        for lane in &lanes {
            if let Err(why) = lane.judge(directory, report) {
                panic!("seed {seed}, {when}: {why}\n{report:?}\n{}", lane.history());
            }
        }
    };
    // One that is killed while it opens.
    if draw.below(3) == 0 {
        let longer = Duration::from_nanos(draw.below(3_000_000));
        watch(start(directory, seed, 0), 1, 0, longer);
    }
    let (disk, report) = Disk::open(directory, child::settings(seed), &PlainRecords).expect("it opens");
    assert!(report.is_clean(), "seed {seed}: {report:?}");
    judge("opened", Some(&report));
    disk.close().expect("it closes");
    drop(disk);
    judge("closed", None);
    let deltas = !report.deltas.is_empty();
    assert_eq!(directory.join(".midge/journal").exists(), deltas, "seed {seed}: deltas alone keep a journal");
}

#[test]
fn what_ended_is_there_after_a_kill_and_nothing_that_was_not_submitted() {
    if number(DIRECTORY).is_some() {
        return;
    }
    let (first, rounds) = (number(SEED).unwrap_or(1), number(ROUNDS).unwrap_or(24));
    (first..first + rounds).for_each(round);
}
