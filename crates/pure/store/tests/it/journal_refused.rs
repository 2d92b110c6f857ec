//! What is refused, because the journal could not be synced or a file not be written: nothing of it is seen, now or later.

use std::sync::Arc;

use bytes::Bytes;
use midge_store::journal::{Committer, PlainRecords, Report, Settings};
use midge_store::port::{Files, Lane, Mode, Op, Outcome, Promise, Submission, Ticket};

use crate::disk::MemFiles;

const FOLDER: &str = "A/streams/S";

struct Bench {
    files: Arc<MemFiles>,
    committer: Committer,
    lane: Lane,
}

impl Bench {
    fn over(files: Arc<MemFiles>) -> (Bench, Report) {
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
        self.files.fail_sync();
        assert!(!self.commit(ops));
        assert!(!self.files.is_failing());
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
fn what_a_failing_write_has_written_leaves_the_file() {
    for promise in [Promise::Durable, Promise::Cached] {
        let write = |offset, bytes| Op::Write { block: 1, offset, bytes: Bytes::from_static(bytes), promise };
        let (mut bench, _) = Bench::over(Arc::default());
        assert!(bench.commit(vec![write(0, b"first")]));
        bench.files.fail_write();
        assert!(!bench.commit(vec![write(5, b"second"), write(11, b"third")]));
        assert_eq!(bench.block(1), b"first", "{promise:?}");
        assert!(bench.commit(vec![Op::Resume, write(5, b"again")]));
        assert_eq!(bench.block(1), b"firstagain", "{promise:?}");
    }
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
