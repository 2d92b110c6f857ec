//! Tests over real files, and over real files with faults.

mod faults;
mod files;
mod injecting;
mod threads;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use midge_store::journal::PlainRecords;
use midge_store::port::{Completion, DiskError, Lane, Op, Outcome, Promise, Submission, Ticket};
use parking_lot::{Condvar, Mutex};

use crate::{Completions, Disk, Settings, Submitted};

/// Longer than any test takes: who waits so long waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store directory of its own, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Place(std::env::temp_dir().join(format!("midge-disk-{}-{number}", std::process::id())))
    }

    fn open(&self, settings: Settings) -> Disk {
        Disk::open(&self.0, settings, &PlainRecords).unwrap().0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Default)]
struct Got {
    completions: Vec<Completion>,
    rooms: usize,
    spaces: usize,
    behind: usize,
    refused: usize,
    released: Option<Result<(), DiskError>>,
}

/// An owner that keeps what it is told.
#[derive(Default)]
struct Owner {
    got: Mutex<Got>,
    told: Condvar,
    next: AtomicU64,
}

impl Completions for Owner {
    fn complete(&self, batch: &mut Vec<Completion>) {
        self.got.lock().completions.append(batch);
        self.told.notify_all();
    }

    fn room(&self) {
        self.got.lock().rooms += 1;
        self.told.notify_all();
    }

    fn space(&self) {
        self.got.lock().spaces += 1;
        self.told.notify_all();
    }

    fn behind(&self) {
        self.got.lock().behind += 1;
        self.told.notify_all();
    }

    fn refused(&self) {
        self.got.lock().refused += 1;
        self.told.notify_all();
    }

    fn released(&self, result: Result<(), DiskError>) {
        self.got.lock().released = Some(result);
        self.told.notify_all();
    }
}

impl Owner {
    fn new(disk: &Disk, folder: &str) -> (Arc<Owner>, Lane) {
        let owner = Arc::new(Owner::default());
        let lane = disk.register(folder, owner.clone()).unwrap();
        (owner, lane)
    }

    fn wait<T>(&self, what: &str, mut until: impl FnMut(&mut Got) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut got = self.got.lock();
        loop {
            if let Some(found) = until(&mut got) {
                return found;
            }
            assert!(!self.told.wait_until(&mut got, deadline).timed_out(), "waited in vain for {what}");
        }
    }

    /// Submits and waits for the end.
    fn run(&self, disk: &Disk, lane: Lane, op: Op) -> Outcome {
        let ticket = self.send(disk, lane, op);
        self.end_of(ticket)
    }

    fn send(&self, disk: &Disk, lane: Lane, op: Op) -> Ticket {
        let ticket = Ticket(self.next.fetch_add(1, Ordering::Relaxed));
        assert_eq!(disk.submit(&mut vec![Submission { lane, ticket, op }]), Submitted::All);
        ticket
    }

    fn end_of(&self, ticket: Ticket) -> Outcome {
        self.wait(&format!("{ticket:?}"), |got| {
            let at = got.completions.iter().position(|c| c.ticket == ticket)?;
            Some(got.completions.remove(at).outcome)
        })
    }

    fn released(&self) -> Result<(), DiskError> {
        self.wait("the end of the lane", |got| got.released.clone())
    }
}

/// Waits for something that nobody tells.
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

fn write(block: u32, offset: u64, bytes: &[u8], promise: Promise) -> Op {
    Op::Write { block, offset, bytes: Bytes::copy_from_slice(bytes), promise }
}

#[track_caller]
fn done(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
}

#[track_caller]
fn failed(outcome: Outcome) -> DiskError {
    match outcome {
        Outcome::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}
