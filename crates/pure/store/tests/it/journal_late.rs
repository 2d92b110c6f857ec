//! Consumers that come and go: what they cost, what the file system shows, and what a crash leaves of them.

use std::sync::Arc;

use midge_store::journal::{Committer, PlainRecords, Report, Settings};
use midge_store::port::{Completion, Files, Lane, Mode, Name, Op, Outcome, Promise, Submission, Ticket};

use crate::disk::MemFiles;

struct Bench {
    files: Arc<MemFiles>,
    committer: Committer,
    lane: Lane,
    batch: Vec<Submission>,
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        Bench::over(Arc::default(), settings).0
    }

    fn over(files: Arc<MemFiles>, settings: Settings) -> (Bench, Report) {
        let (mut committer, report) = Committer::open(files.clone(), settings, &PlainRecords).unwrap();
        let lane = committer.register("A/streams/S").unwrap();
        (Bench { files, committer, lane, batch: Vec::new() }, report)
    }

    /// The process is killed, and another one begins.
    fn killed(self) -> (Bench, Report) {
        let Bench { files, committer, .. } = self;
        drop(committer);
        Bench::over(files, Settings::default())
    }

    fn op(&mut self, op: Op) {
        let ticket = Ticket(self.batch.len() as u64);
        self.batch.push(Submission { lane: self.lane, ticket, op });
    }

    /// What the making of a consumer submits.
    fn make(&mut self, name: &str, text: &str) {
        let path = |file: &str| Name::Path(format!("obs/{name}/{file}").into());
        let bytes = |text: &str| bytes::Bytes::copy_from_slice(text.as_bytes());
        let files = vec![(path("meta.inf"), bytes(text)), (path("meta.sum"), bytes("sum"))];
        self.op(Op::Replace { files, promise: Promise::Durable });
        self.delta(name, "start");
        self.op(Op::Replace { files: vec![(path("o.dat"), bytes("state"))], promise: Promise::Durable });
    }

    fn delta(&mut self, name: &str, text: &str) {
        let bytes = bytes::Bytes::copy_from_slice(text.as_bytes());
        self.op(Op::Delta { consumer: name.into(), bytes, promise: Promise::Durable });
    }

    fn delete(&mut self, name: &str) {
        let files = vec![Name::Path(format!("obs/{name}/").into())];
        self.op(Op::Remove { files, promise: Promise::Durable });
    }

    fn commit(&mut self) {
        let mut done: Vec<Completion> = Vec::new();
        let count = self.batch.len();
        self.committer.commit(&mut self.batch, &mut done);
        assert_eq!(done.len(), count);
        assert!(done.iter().all(|completion| matches!(completion.outcome, Outcome::Done)), "{done:?}");
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

    /// Runs the jobs that are there now, not those that follow from them.
    fn run_some_jobs(&mut self) {
        for job in self.committer.take_jobs() {
            let finished = job.run(&*self.files);
            self.committer.finished(finished, &mut Vec::new());
        }
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = self.files.list(&format!("A/streams/S/{folder}")).unwrap_or_default();
        entries.into_iter().map(|entry| entry.name).collect()
    }

    fn content(&self, path: &str) -> String {
        let file = self.files.open(&format!("A/streams/S/{path}"), Mode::Read).unwrap();
        let mut bytes = vec![0; self.files.len(file).unwrap() as usize];
        self.files.read_at(file, 0, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

const FILES: [&str; 3] = ["meta.inf", "meta.sum", "o.dat"];

#[test]
fn consumers_that_come_and_go_together_share_one_sync() {
    let mut bench = Bench::new(Settings::default());
    for n in 0..16 {
        bench.make(&format!("C{n}"), "one");
    }
    let before = bench.files.counts().syncs;
    bench.commit();
    assert_eq!(bench.files.counts().syncs, before + 1);
    bench.committer.idle();
    let (before, folders) = (bench.files.counts().syncs, bench.files.counts().folder_syncs);
    for n in 0..16 {
        bench.delete(&format!("C{n}"));
        bench.make(&format!("D{n}"), "two");
    }
    bench.commit();
    assert_eq!(bench.files.counts().syncs, before + 1);
    assert_eq!(bench.files.counts().folder_syncs, folders);
    bench.committer.idle();
    assert_eq!(bench.names("obs").len(), 16);
    assert_eq!(bench.names("obs/D7"), FILES);
}

#[test]
fn a_consumer_that_lives_shortly_is_never_in_the_file_system() {
    let mut bench = Bench::new(Settings::default());
    let before = bench.files.counts().changes;
    for _ in 0..10 {
        bench.make("C", "text");
        bench.commit();
        bench.delete("C");
        bench.commit();
    }
    assert!(!bench.committer.is_late());
    assert_eq!(bench.files.counts().changes, before);
}

#[test]
fn what_is_late_is_written_when_the_disk_is_idle() {
    let mut bench = Bench::new(Settings::default());
    bench.make("C", "one");
    bench.commit();
    assert!(bench.names("obs").is_empty() && bench.committer.is_idle_wanted());
    bench.committer.idle();
    assert_eq!(bench.names("obs/C"), FILES);
    // A stray file goes with the folder.
    bench.files.open("A/streams/S/obs/C/stray", Mode::Create).unwrap();
    bench.delete("C");
    bench.commit();
    bench.make("C", "two");
    bench.commit();
    assert_eq!(bench.content("obs/C/meta.inf"), "one");
    bench.committer.idle();
    assert_eq!(
        (bench.names("obs/C"), bench.content("obs/C/meta.inf")),
        (FILES.map(String::from).to_vec(), "two".into())
    );
    bench.delete("C");
    bench.commit();
    bench.committer.idle();
    assert!(bench.names("obs").is_empty());
}

#[test]
fn a_kill_before_it_is_written_changes_nothing() {
    let mut bench = Bench::new(Settings::default());
    bench.make("C", "one");
    bench.make("D", "one");
    bench.commit();
    bench.committer.idle();
    bench.delete("C");
    bench.make("E", "one");
    bench.delta("E", "change");
    bench.delta("D", "change");
    bench.commit();
    bench.make("D", "two");
    bench.commit();
    assert_eq!(bench.names("obs"), ["C", "D"]);
    let (bench, report) = bench.killed();
    assert_eq!(bench.names("obs"), ["D", "E"]);
    assert_eq!(bench.names("obs/E"), FILES);
    assert_eq!(bench.content("obs/D/meta.inf"), "two");
    let of: Vec<_> = report.deltas.iter().map(|d| (&*d.consumer, d.changes.len())).collect();
    assert_eq!(of, [("E", 1)], "those before a new state do not count");
}

#[test]
fn no_delta_of_a_consumer_without_a_state_outlives_it() {
    let mut bench = Bench::new(Settings::default());
    bench.delta("C", "of the first");
    bench.commit();
    bench.delete("C");
    bench.commit();
    bench.make("C", "one");
    bench.commit();
    let (bench, report) = bench.killed();
    assert_eq!(bench.content("obs/C/meta.inf"), "one");
    assert!(report.deltas.is_empty(), "{:?}", report.deltas);
}

#[test]
fn a_clean_stop_writes_what_is_late() {
    let mut bench = Bench::new(Settings::default());
    bench.make("C", "one");
    bench.commit();
    let Bench { files, committer, .. } = bench;
    committer.close().unwrap();
    assert!(files.list(".midge/journal").is_err());
    let (bench, _) = Bench::over(files, Settings::default());
    assert_eq!(bench.names("obs/C"), FILES);
}

#[test]
fn what_is_late_is_written_before_its_segment_is_free() {
    let settings = Settings { segment_len: 16384, first_segment_len: 16384, ..Settings::default() };
    let mut bench = Bench::new(settings);
    bench.make("C", "one");
    bench.commit();
    let mut rounds = 0;
    while bench.names("obs").is_empty() {
        assert!(bench.committer.is_late());
        bench.op(Op::Write {
            block: 1,
            offset: rounds * 2000,
            bytes: vec![7; 2000].into(),
            promise: Promise::Durable,
        });
        bench.commit();
        rounds += 1;
        assert!(rounds < 100, "the segment is full by now");
    }
    bench.run_jobs();
    let (bench, _) = bench.killed();
    assert_eq!(bench.names("obs/C"), FILES);
}

#[test]
fn larger_segments_are_made_elsewhere() {
    let mut bench = Bench::new(Settings { reserve_len: 0, ..Settings::default() });
    let first = bench.files.counts().longest;
    let mut offset = 0;
    while bench.files.counts().longest == first {
        let bytes: bytes::Bytes = vec![7; 60_000].into();
        bench.op(Op::Write { block: 1, offset, bytes, promise: Promise::Durable });
        offset += 60_000;
        bench.commit();
        assert_eq!(bench.files.counts().longest, first, "nobody waited for it");
        bench.run_jobs();
    }
    assert_eq!(bench.files.counts().longest, 2 * first);
    assert!(offset < first, "before the first was full");
}

/// Bytes of deltas that are told to the journal of these sizes, in many consumers, without end.
fn busy(answers: bool) -> u64 {
    let settings =
        Settings { segment_len: 16384, first_segment_len: 16384, segments: 3, ..Settings::default() };
    let mut bench = Bench::new(settings);
    let text = "x".repeat(400);
    // More than all segments hold.
    for n in 0..160 {
        bench.delta(&format!("C{n}"), &text);
        bench.commit();
        bench.run_some_jobs();
    }
    for _ in 0..3 {
        if answers && !bench.committer.take_behind().is_empty() {
            for n in 0..160 {
                let path = Name::Path(format!("obs/C{n}/o.dat").into());
                let files = vec![(path, bytes::Bytes::from_static(b"state"))];
                bench.op(Op::Replace { files, promise: Promise::Cached });
            }
            bench.commit();
        }
        bench.run_some_jobs();
    }
    let before = bench.files.counts().written;
    for _ in 0..20 {
        bench.run_some_jobs();
    }
    bench.files.counts().written - before
}

#[test]
fn deltas_are_not_carried_round_and_round_once_their_states_are_written() {
    assert!(busy(false) > 100_000, "they go round while nobody writes states");
    assert_eq!(busy(true), 0);
}

#[test]
fn a_new_store_costs_one_sync_of_a_folder() {
    let mut bench = Bench::new(Settings::default());
    let before = bench.files.counts().folder_syncs;
    for n in 0..10 {
        bench.committer.register(&format!("A/streams/T{n}")).unwrap();
    }
    // Beside those that found no such folder.
    assert_eq!(bench.files.counts().folder_syncs - before, 20);
}

#[test]
fn the_end_of_a_lane_syncs_each_file_and_each_folder_once() {
    const CONSUMERS: u64 = 600;
    for checkpointed in [true, false] {
        let mut bench = Bench::new(Settings::default());
        for n in 0..CONSUMERS {
            bench.make(&format!("C{n}"), "one");
        }
        bench.commit();
        let (syncs, folders) = (bench.files.counts().syncs, bench.files.counts().folder_syncs);
        if checkpointed {
            bench.op(Op::Checkpoint);
            let mut done: Vec<Completion> = Vec::new();
            bench.committer.commit(&mut bench.batch, &mut done);
            let jobs = bench.committer.take_jobs();
            assert_eq!(jobs.len(), 4, "several threads take part in it");
            for job in jobs {
                assert!(done.is_empty());
                let finished = job.run(&*bench.files);
                bench.committer.finished(finished, &mut done);
            }
            assert!(matches!(&done[..], [Completion { outcome: Outcome::Done, .. }]), "{done:?}");
        }
        bench.committer.release(bench.lane).unwrap();
        // The journal has some of its own.
        let files = bench.files.counts().syncs - syncs;
        assert!((3 * CONSUMERS..3 * CONSUMERS + 8).contains(&files), "{checkpointed}: {files}");
        let folders = bench.files.counts().folder_syncs - folders;
        assert!((CONSUMERS..CONSUMERS + 8).contains(&folders), "{checkpointed}: {folders}");
    }
}
