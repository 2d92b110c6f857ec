//! What is refused because the journal could not be synced: nothing of it is seen, now or later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use midge_store::journal::{Committer, PlainRecords, Report, Settings};
use midge_store::port::{
    DiskError, Entry, Fault, Files, Handle, Lane, Mode, Op, Outcome, Promise, Submission, Ticket,
};

use crate::disk::MemFiles;

/// Files of which one sync fails on demand.
#[derive(Default)]
struct Sick {
    files: MemFiles,
    fails: AtomicBool,
}

impl Files for Sick {
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError> {
        self.files.open(path, mode)
    }
    fn close(&self, file: Handle) {
        self.files.close(file);
    }
    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.files.read_at(file, offset, into)
    }
    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.files.write_at(file, offset, bytes)
    }
    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        self.files.len(file)
    }
    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.files.set_len(file, len)
    }
    fn allocate(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.files.allocate(file, len)
    }
    fn sync(&self, file: Handle) -> Result<(), DiskError> {
        if self.fails.swap(false, Relaxed) {
            let (path, text) = (String::new(), "input/output error".to_owned());
            return Err(DiskError { fault: Fault::Device, call: "sync", path, text });
        }
        self.files.sync(file)
    }
    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        self.files.sync_folder(path)
    }
    fn list(&self, path: &str) -> Result<Vec<Entry>, DiskError> {
        self.files.list(path)
    }
    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        self.files.create_folder(path)
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.files.rename(from, to)
    }
    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.files.remove(path)
    }
    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        self.files.remove_folder(path)
    }
    fn free(&self) -> Result<u64, DiskError> {
        self.files.free()
    }
}

const FOLDER: &str = "A/streams/S";

struct Bench {
    files: Arc<Sick>,
    committer: Committer,
    lane: Lane,
}

impl Bench {
    fn over(files: Arc<Sick>) -> (Bench, Report) {
        let (mut committer, report) =
            Committer::open(files.clone(), Settings::default(), &PlainRecords).unwrap();
        let lane = committer.register(FOLDER).unwrap();
        (Bench { files, committer, lane }, report)
    }

    /// Whether all of these, in one batch, are done.
    fn commit(&mut self, ops: Vec<Op>) -> bool {
        let lane = self.lane;
        let submission = |(ticket, op)| Submission { lane, ticket: Ticket(ticket), op };
        let mut batch: Vec<Submission> = (1..).zip(ops).map(submission).collect();
        let (mut done, count) = (Vec::new(), batch.len());
        self.committer.commit(&mut batch, &mut done);
        assert_eq!(done.len(), count);
        let all = done.iter().all(|completion| matches!(completion.outcome, Outcome::Done));
        let none = done.iter().all(|completion| matches!(completion.outcome, Outcome::Failed(_)));
        assert!(all || none, "{done:?}");
        all
    }

    fn refuse(&mut self, ops: Vec<Op>) {
        self.files.fails.store(true, Relaxed);
        assert!(!self.commit(ops));
        assert!(!self.files.fails.load(Relaxed));
    }

    fn run_jobs(&mut self) {
        loop {
            let jobs = self.committer.take_jobs();
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                let finished = job.run(&*self.files);
                self.committer.finished(finished, &mut Vec::new());
            }
        }
    }

    fn block(&self, number: u32) -> Vec<u8> {
        let file = self.files.open(&format!("{FOLDER}/msgs/{number}.blk"), Mode::Read).unwrap();
        let mut bytes = vec![0; self.files.len(file).unwrap() as usize];
        self.files.read_at(file, 0, &mut bytes).unwrap();
        bytes
    }
}

fn write(block: u32, offset: u64, bytes: &'static [u8]) -> Op {
    Op::Write { block, offset, bytes: Bytes::from_static(bytes), promise: Promise::Durable }
}

fn delta(bytes: &'static [u8]) -> Op {
    Op::Delta { consumer: "c".into(), bytes: Bytes::from_static(bytes), promise: Promise::Durable }
}

#[test]
fn what_was_appended_for_a_refused_frame_leaves_the_files() {
    let (mut bench, _) = Bench::over(Arc::default());
    assert!(bench.commit(vec![write(1, 0, b"first")]));
    bench.refuse(vec![write(1, 5, b"second"), delta(b"between"), write(1, 11, b"third"), write(2, 0, b"x")]);
    assert_eq!(bench.block(1), b"first");
    assert_eq!(bench.block(2), b"");
    // The lane goes on when its store has seen it, and where it was.
    assert!(bench.commit(vec![Op::Resume, write(1, 5, b"again")]));
    assert_eq!(bench.block(1), b"firstagain");
    bench.run_jobs();
    let Bench { files, committer, .. } = bench;
    drop(committer);
    let (bench, report) = Bench::over(files);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(bench.block(1), b"firstagain");
}

#[test]
fn refused_deltas_are_not_carried_on_with_those_before() {
    let (mut bench, _) = Bench::over(Arc::default());
    assert!(bench.commit(vec![delta(b"kept")]));
    bench.refuse(vec![delta(b"refused")]);
    // The segment with both is freed.
    bench.run_jobs();
    let Bench { files, committer, .. } = bench;
    drop(committer);
    let (_, report) = Bench::over(files);
    let found: Vec<&[u8]> = report.deltas.iter().flat_map(|d| d.changes.iter().map(|(_, b)| &**b)).collect();
    assert_eq!(found, [b"kept"]);
}
