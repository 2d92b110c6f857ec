//! The log of a run: a line per event in columns, and a hash over all of them.

use std::collections::VecDeque;
use std::fmt::Write as _;

use midge_stdx::clock::Mono;

/// Events that a failing run prints.
const KEPT: usize = 80;

/// What happened, in order.
#[derive(Debug)]
pub struct Log {
    kept: VecDeque<String>,
    hash: u64,
    events: u64,
    line: String,
    verbose: bool,
}

impl Log {
    /// An empty log; `verbose` prints every event as it happens.
    pub fn new(verbose: bool) -> Log {
        let (kept, line) = (VecDeque::new(), String::new());
        Log { kept, hash: 0xcbf2_9ce4_8422_2325, events: 0, line, verbose }
    }

    /// Notes an event: when, on which shard (`-` for none), of which connection, what, and the particulars.
    pub fn event(
        &mut self,
        at: Mono,
        shard: Option<usize>,
        cid: u64,
        what: &str,
        more: std::fmt::Arguments<'_>,
    ) {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let shard = shard.map_or_else(|| "-".to_owned(), |s| s.to_string());
        // Writing to a string cannot fail.
        let _ = write!(line, "{:>13.6} {shard:>2} {cid:>4} {what:<10} {more}", at.0 as f64 / 1e9);
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        self.events += 1;
        if self.verbose {
            eprint_line(&line);
        }
        if self.kept.len() == KEPT
            && let Some(oldest) = self.kept.pop_front()
        {
            self.line = oldest;
        }
        self.kept.push_back(line);
    }

    /// The hash over all events: equal runs have equal ones.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last events, one a line.
    pub fn tail(&self) -> String {
        let mut text = String::from("         time sh  cid what       particulars\n");
        for line in &self.kept {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

#[allow(clippy::print_stderr, reason = "a replay is watched by a person")]
fn eprint_line(line: &str) {
    eprintln!("{line}");
}

/// Bytes for a line: the first of them, escaped.
pub fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 120;
    let start = bytes.get(..bytes.len().min(MOST)).unwrap_or_default().escape_ascii().to_string();
    if bytes.len() > MOST { format!("{start}… ({} bytes)", bytes.len()) } else { start }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Events of the run.
    pub events: u64,
    /// The hash over them.
    pub hash: u64,
    /// Operations that the node handled.
    pub operations: u64,
    /// Messages that it delivered.
    pub deliveries: u64,
    /// What each part of the model saw, for judging how much is covered.
    pub seen: crate::model::Seen,
    /// What went wrong.
    pub failure: Option<Failure>,
}

/// A run that broke a rule.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The rule and how it was broken.
    pub what: String,
    /// The events before it.
    pub tail: String,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(failure) = &self.failure else {
            return write!(f, "seed {}: {} events, {} operations", self.seed, self.events, self.operations);
        };
        write!(
            f,
            "{}seed {} failed: {}\nreplay: cargo run --release -p midge-sim --bin sim -- --seed {}",
            failure.tail, self.seed, failure.what, self.seed
        )
    }
}
