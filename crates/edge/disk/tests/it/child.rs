//! The process that is killed: it says what it is about to submit, and what ended.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use midge_disk::{Completions, Disk, Settings, Submitted};
use midge_store::journal::{self, PlainRecords};
use midge_store::port::{Completion, DiskError, Op, Outcome, Submission, Ticket};
use parking_lot::{Condvar, Mutex};

use crate::script::{Draw, Script};

/// How many operations a lane may have under way.
const OUTSTANDING: u64 = 40;

pub(crate) fn settings(seed: u64) -> Settings {
    let small = seed.is_multiple_of(2);
    let len = if small { 1 << 20 } else { 32 << 20 };
    let journal = journal::Settings { segment_len: len, ..journal::Settings::default() };
    Settings { journal, ..Settings::default() }
}

#[derive(Default)]
struct Ended {
    /// So many operations of the lane have ended.
    count: u64,
    released: bool,
}

/// The owner of one lane.
struct Owner {
    lane: u64,
    ended: Mutex<Ended>,
    told: Condvar,
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        // Nobody is left to kill it.
        std::process::exit(1);
    }
}

#[allow(clippy::print_stderr, reason = "the judge passes it on")]
fn complain(outcome: &Outcome) {
    eprintln!("{outcome:?}");
}

impl Completions for Owner {
    fn complete(&self, batch: &mut Vec<Completion>) {
        let mut text = String::new();
        for Completion { ticket, outcome, .. } in &*batch {
            let fine = matches!(outcome, Outcome::Done);
            text += &format!("@{} {} {}\n", if fine { 'D' } else { 'F' }, self.lane, ticket.0);
            if !fine {
                complain(outcome);
            }
        }
        say(&text);
        self.ended.lock().count += batch.len() as u64;
        self.told.notify_all();
        batch.clear();
    }

    fn released(&self, _: Result<(), DiskError>) {
        self.ended.lock().released = true;
        self.told.notify_all();
    }
}

impl Owner {
    fn wait(&self, until: impl Fn(&Ended) -> bool) {
        let mut ended = self.ended.lock();
        while !until(&ended) {
            self.told.wait(&mut ended);
        }
    }
}

/// Runs one lane for ever.
fn live(disk: &Disk, seed: u64, number: u64) {
    let mut script = Script::new(seed, number);
    let mut draw = Draw::new(seed ^ (number << 32));
    let new = || Arc::new(Owner { lane: number, ended: Mutex::default(), told: Condvar::new() });
    let folder = format!("G/streams/S{number}");
    let mut owner = new();
    let mut lane = disk.register(&folder, owner.clone()).expect("a lane");
    let (mut sent, mut here) = (0, 0);
    loop {
        let mut batch = Vec::new();
        let mut alone = false;
        for _ in 0..1 + draw.below(12) {
            let op = script.next();
            sent += 1;
            here += 1;
            // What has no order, or begins another lane, is waited for.
            alone = matches!(op, Op::Stage { .. } | Op::Delete);
            let last = matches!(op, Op::Delete);
            batch.push(Submission { lane, ticket: Ticket(sent), op });
            if alone {
                say(&format!("@S {number} {sent}\n"));
                assert_eq!(disk.submit(&mut batch), Submitted::All);
                owner.wait(|ended| ended.count == here);
            }
            if last {
                disk.unregister(lane);
                owner.wait(|ended| ended.released);
                owner = new();
                lane = disk.register(&folder, owner.clone()).expect("a lane");
                here = 0;
            }
            if alone {
                break;
            }
        }
        if !alone {
            say(&format!("@S {number} {sent}\n"));
            assert_eq!(disk.submit(&mut batch), Submitted::All);
        }
        owner.wait(|ended| ended.count + OUTSTANDING > here);
    }
}

/// The process.
pub(crate) fn run(directory: &Path, seed: u64, lanes: u64) {
    say("\n@O 0 0\n");
    let (disk, _) = Disk::open(directory, settings(seed), &PlainRecords).expect("a store directory");
    std::thread::scope(|scope| {
        for number in 0..lanes {
            let disk = &disk;
            scope.spawn(move || live(disk, seed, number));
        }
    });
}
