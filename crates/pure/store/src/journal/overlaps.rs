//! Tests of jobs that overlap: while one of them is in the midst of a sync, others end.

#![allow(clippy::disallowed_types, reason = "a test shares between threads what a disk shares")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::committer::{Committer, Event};
use super::replay::PlainRecords;
use super::settings::Settings;
use crate::port::{
    Completion, DiskError, Entry, Fault, Files, Handle, Lane, Mode, Op, Outcome, Promise, Submission, Ticket,
};

const BLOCK: &str = "lane/msgs/1.blk";

/// A file as a kernel keeps it: what a sync failed to write is taken for written afterwards.
#[derive(Default)]
struct Content {
    now: Vec<u8>,
    stable: Vec<u8>,
    dirty: Vec<(usize, Vec<u8>)>,
}

type Midway = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Tree {
    files: BTreeMap<String, Content>,
    handles: Vec<String>,
    /// The next sync of the block does this, and then fails if it says so.
    midway: Option<(Midway, bool)>,
}

#[derive(Default)]
struct Memory(Mutex<Tree>);

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    content.resize(content.len().max(offset + bytes.len()), 0);
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn error(fault: Fault, call: &'static str, path: &str) -> DiskError {
    DiskError { fault, call, path: path.into(), text: format!("{fault:?}") }
}

impl Memory {
    fn of<T>(&self, file: Handle, act: impl FnOnce(&mut Content) -> T) -> T {
        let mut tree = self.0.lock().unwrap();
        let path = tree.handles[file.0 as usize].clone();
        act(tree.files.entry(path).or_default())
    }

    fn stable(&self) -> Vec<u8> {
        self.0.lock().unwrap().files[BLOCK].stable.clone()
    }

    fn at_sync(&self, fails: bool, midway: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap().midway = Some((Box::new(midway), fails));
    }
}

impl Files for Memory {
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError> {
        let mut tree = self.0.lock().unwrap();
        if !mode.creates() && !tree.files.contains_key(path) {
            return Err(error(Fault::Absent, "open", path));
        }
        tree.files.entry(path.into()).or_default();
        tree.handles.push(path.into());
        Ok(Handle(tree.handles.len() as u32 - 1))
    }

    fn close(&self, _: Handle) {}

    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.of(file, |content| {
            let rest = content.now.get(offset as usize..).unwrap_or_default();
            let len = rest.len().min(into.len());
            into[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.of(file, |content| {
            put(&mut content.now, offset as usize, bytes);
            content.dirty.push((offset as usize, bytes.to_vec()));
            Ok(())
        })
    }

    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        self.of(file, |content| Ok(content.now.len() as u64))
    }

    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.of(file, |content| content.now.resize(len as usize, 0));
        Ok(())
    }

    fn allocate(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.set_len(file, len.max(self.len(file)?))
    }

    fn sync(&self, file: Handle) -> Result<(), DiskError> {
        let (dirty, midway) = {
            let mut tree = self.0.lock().unwrap();
            let path = tree.handles[file.0 as usize].clone();
            let midway = if path == BLOCK { tree.midway.take() } else { None };
            (std::mem::take(&mut tree.files.entry(path).or_default().dirty), midway)
        };
        if let Some((midway, fails)) = midway {
            midway();
            if fails {
                return Err(error(Fault::Device, "sync", BLOCK));
            }
        }
        self.of(file, |content| {
            dirty.iter().for_each(|(offset, bytes)| put(&mut content.stable, *offset, bytes));
        });
        Ok(())
    }

    fn sync_folder(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, DiskError> {
        let tree = self.0.lock().unwrap();
        let inside = tree.files.iter().filter_map(|(name, content)| {
            let name = name.strip_prefix(path)?.strip_prefix('/').filter(|rest| !rest.contains('/'))?;
            Some(Entry { name: name.into(), folder: false, len: content.now.len() as u64 })
        });
        Ok(inside.collect())
    }

    fn create_folder(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut tree = self.0.lock().unwrap();
        let content = tree.files.remove(from).ok_or_else(|| error(Fault::Absent, "rename", from))?;
        tree.files.insert(to.into(), content);
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let gone = self.0.lock().unwrap().files.remove(path);
        gone.map(|_| ()).ok_or_else(|| error(Fault::Absent, "remove", path))
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        self.0.lock().unwrap().files.retain(|name, _| !name.starts_with(path));
        Ok(())
    }

    fn free(&self) -> Result<u64, DiskError> {
        Ok(1 << 40)
    }
}

/// A committer with one lane, shared with what happens in the midst of a sync.
#[derive(Clone)]
struct Bench {
    files: Arc<Memory>,
    committer: Arc<Mutex<Committer>>,
    done: Arc<Mutex<Vec<Completion>>>,
    lane: Lane,
}

impl Bench {
    fn new() -> Bench {
        let files: Arc<Memory> = Arc::default();
        let settings = Settings { segment_len: 1 << 16, first_segment_len: 1 << 16, ..Settings::default() };
        let (mut committer, _) = Committer::open(files.clone(), settings, &PlainRecords).unwrap();
        let lane = committer.register("lane").unwrap();
        Bench { files, committer: Arc::new(Mutex::new(committer)), done: Arc::default(), lane }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Committer) -> T) -> T {
        act(&mut self.committer.lock().unwrap())
    }

    fn submit(&self, op: Op) {
        let mut batch = vec![Submission { lane: self.lane, ticket: Ticket(1), op }];
        self.with(|committer| committer.commit(&mut batch, &mut self.done.lock().unwrap()));
    }

    fn write(&self, offset: u64, bytes: &'static [u8], promise: Promise) {
        self.submit(Op::Write { block: 1, offset, bytes: bytes.into(), promise });
        assert!(matches!(self.outcome(), Outcome::Done));
    }

    fn outcome(&self) -> Outcome {
        let completion = self.done.lock().unwrap().pop();
        completion.expect("something is complete").outcome
    }

    /// Promised bytes, cached ones above them, and the job of the segment that holds the former.
    fn segment(&self, at: u64) -> super::Job {
        self.write(at, b"safe", Promise::Durable);
        self.write(at + 4, b"lazy", Promise::Cached);
        self.with(|committer| {
            committer.rotate(0).unwrap();
            let mut jobs = committer.take_jobs();
            assert_eq!(jobs.len(), 1);
            jobs.remove(0)
        })
    }

    /// Runs a job and hands its end over.
    fn run(&self, job: super::Job) {
        let finished = job.run(&*self.files);
        self.with(|committer| committer.finished(finished, &mut self.done.lock().unwrap()));
    }

    fn closed(&self) -> usize {
        self.with(|committer| committer.segments.closed.len())
    }

    fn assert_well(&self) {
        let events = self.with(Committer::take_events);
        assert!(events.is_empty(), "{events:?}");
        let refused = self.with(|committer| committer.lanes[self.lane.0 as usize].refused.clone());
        assert!(refused.is_none(), "{refused:?}");
    }

    /// The lane was told of what may be gone, and the promised bytes are there.
    fn assert_told(&self, text: &str) {
        let events = self.with(Committer::take_events);
        assert!(matches!(&events[..], [Event::Repaired(error)] if error.text == text), "{events:?}");
        assert!(self.with(|committer| committer.lanes[self.lane.0 as usize].refused.is_some()));
        let stable = self.files.stable();
        assert_eq!((&stable[..4], &stable[8..12]), (&b"safe"[..], &b"safe"[..]));
    }
}

#[test]
fn a_sync_that_still_runs_is_waited_for() {
    for older_first in [true, false] {
        let bench = Bench::new();
        let (older, newer) = (bench.segment(0), bench.segment(8));
        let (inner, outer) = if older_first { (older, newer) } else { (newer, older) };
        let within = bench.clone();
        bench.files.at_sync(false, move || {
            within.run(inner);
            within.assert_well();
            assert_eq!(within.closed(), 2, "the other may have been told of an error");
        });
        bench.run(outer);
        bench.assert_well();
        assert_eq!(bench.closed(), 0);
        bench.with(|committer| committer.release(bench.lane)).unwrap();
        assert_eq!(bench.files.stable(), b"safelazysafelazy");
    }
}

#[test]
fn a_sync_that_was_waited_for_and_fails_is_repaired_before_segments_are_freed() {
    let bench = Bench::new();
    let (older, newer) = (bench.segment(0), bench.segment(8));
    let within = bench.clone();
    bench.files.at_sync(true, move || within.run(older));
    bench.run(newer);
    bench.assert_told("Device");
    assert_eq!(bench.closed(), 0);
}

#[test]
fn a_checkpoint_waits_for_a_sync_of_a_later_job() {
    let bench = Bench::new();
    bench.write(0, b"safe", Promise::Durable);
    bench.write(4, b"lazy", Promise::Cached);
    bench.submit(Op::Checkpoint);
    let checkpoint = bench.with(Committer::take_jobs).remove(0);
    let later = bench.segment(8);
    let within = bench.clone();
    bench.files.at_sync(true, move || {
        within.run(checkpoint);
        assert!(within.done.lock().unwrap().is_empty(), "bytes before it may be lost");
    });
    bench.run(later);
    assert!(matches!(bench.outcome(), Outcome::Failed(_)));
    bench.assert_told("Device");
}

#[test]
fn a_segment_is_reclaimed_while_a_sync_runs_and_what_fails_then_is_told() {
    for fails in [false, true] {
        let bench = Bench::new();
        let (older, newer) = (bench.segment(0), bench.segment(8));
        let within = bench.clone();
        bench.files.at_sync(fails, move || {
            within.with(Committer::reclaim).unwrap();
            within.assert_well();
            assert_eq!(within.closed(), 1);
            assert_eq!(within.files.stable()[..4], b"safe"[..]);
        });
        bench.run(older);
        bench.run(newer);
        assert_eq!(bench.closed(), 0);
        if fails { bench.assert_told("Device") } else { bench.assert_well() }
    }
}

#[test]
fn a_release_that_was_too_early_is_complete_the_next_time() {
    let bench = Bench::new();
    let job = bench.segment(0);
    let within = bench.clone();
    bench.files.at_sync(false, move || {
        let refused = within.with(|committer| committer.release(within.lane)).unwrap_err();
        assert_eq!(refused.fault, Fault::Busy);
        let folders = within.with(|committer| committer.lanes[within.lane.0 as usize].folders.len());
        assert!(folders > 0, "nothing was synced of them");
    });
    bench.run(job);
    bench.with(|committer| committer.release(bench.lane)).unwrap();
    bench.assert_well();
    assert_eq!(bench.files.stable(), b"safelazy");
}
