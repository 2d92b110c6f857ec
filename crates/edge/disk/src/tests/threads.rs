//! A disk without faults.

use std::any::Any;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use midge_store::journal::{self, PlainRecords};
use midge_store::port::{
    Completion, Fault, Files, Lane, Mode, Name, Op, Outcome, Promise, Submission, Ticket, Work,
};

use super::{Owner, Place, done, failed, until, write};
use crate::{Completions, Disk, Settings, Submitted};

fn path(text: &str) -> Name {
    Name::Path(text.into())
}

/// Runs when it is told to.
struct Gated(Receiver<()>);

impl Work for Gated {
    fn run(self: Box<Self>, files: &dyn Files, folder: &str) -> Box<dyn Any + Send> {
        self.0.recv().unwrap();
        let entries = files.list(folder).map_or(0, |entries| entries.len());
        Box::new(entries)
    }
}

struct Panics;

impl Work for Panics {
    fn run(self: Box<Self>, _: &dyn Files, _: &str) -> Box<dyn Any + Send> {
        panic!("on purpose");
    }
}

#[test]
fn operations_of_many_lanes_end_in_the_order_of_each() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let owners: Vec<_> = (0..20).map(|n| Owner::new(&disk, &format!("G/streams/S{n}"))).collect();
    let mut batch = Vec::new();
    for ticket in 0..100 {
        for (_, lane) in &owners {
            let promise = if ticket % 7 == 0 { Promise::Cached } else { Promise::Durable };
            let op = write(1, ticket * 5, b"midge", promise);
            batch.push(Submission { lane: *lane, ticket: Ticket(ticket), op });
        }
    }
    while !batch.is_empty() {
        let mut part = batch.drain(..batch.len().min(333)).collect();
        assert_eq!(disk.submit(&mut part), Submitted::All);
        assert!(part.is_empty());
    }
    for (n, (owner, lane)) in owners.iter().enumerate() {
        let got = owner.wait("a hundred", |got| {
            (got.completions.len() == 100).then(|| std::mem::take(&mut got.completions))
        });
        let order: Vec<u64> = got.iter().map(|c| c.ticket.0).collect();
        assert!(
            order.is_sorted() && got.iter().all(|c| c.lane == *lane && matches!(c.outcome, Outcome::Done))
        );
        let file = std::fs::read(place.0.join(format!("G/streams/S{n}/msgs/1.blk"))).unwrap();
        assert_eq!(file, b"midge".repeat(100));
    }
    let metrics = disk.metrics();
    assert_eq!(metrics.operations.get(), 2000);
    assert!(metrics.batches.get() <= 2000 && metrics.commit_syncs.figures().count() > 0);
}

#[test]
fn a_closed_disk_leaves_files_and_no_journal() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let (owner, lane) = Owner::new(&disk, "S");
    let mut batch: Vec<Submission> = (0..50)
        .map(|n| Submission { lane, ticket: Ticket(n), op: write(1, n, b"x", Promise::Durable) })
        .collect();
    assert_eq!(disk.submit(&mut batch), Submitted::All);
    disk.close().unwrap();
    let got = owner.got.lock();
    assert_eq!((got.completions.len(), got.released.clone()), (50, Some(Ok(()))));
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), [b'x'; 50]);
    assert_eq!(std::fs::read_dir(place.0.join(".midge")).unwrap().count(), 0);
    drop(got);
    let mut late = vec![Submission { lane, ticket: Ticket(50), op: Op::Checkpoint }];
    assert_eq!(disk.submit(&mut late), Submitted::Closed);
    assert_eq!(late.len(), 1);
    assert_eq!(disk.register("T", owner.clone()).unwrap_err().call, "register");
    assert_eq!(disk.close().unwrap_err().call, "close");
    drop(disk);
    let (_, report) = Disk::open(&place.0, Settings::default(), &PlainRecords).unwrap();
    assert_eq!((report.frames, report.segments), (0, 0));
}

#[test]
fn a_dropped_disk_is_as_after_a_kill() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 0, b"first", Promise::Durable)));
    let op = Op::Delta { consumer: "C".into(), bytes: Bytes::from_static(b"one"), promise: Promise::Durable };
    done(owner.run(&disk, lane, op));
    let again = disk.clone();
    drop(disk);
    done(owner.run(&again, lane, write(1, 5, b"second", Promise::Durable)));
    drop(again);
    assert!(owner.got.lock().released.is_none());
    std::fs::remove_file(place.0.join("S/msgs/1.blk")).unwrap();
    let (disk, report) = Disk::open(&place.0, Settings::default(), &PlainRecords).unwrap();
    assert_eq!((report.frames, report.files_written), (3, 1));
    assert_eq!(report.deltas[0].changes[0].1, &b"one"[..]);
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), b"firstsecond");
    disk.close().unwrap();
    let left = std::fs::read_dir(place.0.join(".midge/journal")).unwrap().count();
    assert!(left > 0, "the delta is in no file");
}

#[test]
fn more_than_the_maximum_is_left_and_room_is_told() {
    let place = Place::new();
    let disk = place.open(Settings { lane_ops: 8, ..Settings::default() });
    let (crowded, lane) = Owner::new(&disk, "S");
    let (other, other_lane) = Owner::new(&disk, "T");
    let (gate, gated) = sync_channel(1);
    assert_eq!(crowded.send(&disk, lane, Op::Work(Box::new(Gated(gated)))), Ticket(0));
    let mut batch: Vec<Submission> =
        (1..=9).map(|n| Submission { lane, ticket: Ticket(n), op: Op::Checkpoint }).collect();
    batch.push(Submission { lane: other_lane, ticket: Ticket(0), op: write(1, 0, b"t", Promise::Durable) });
    let refused_before = crowded.got.lock().completions.len();
    let answer = disk.submit(&mut batch);
    done(other.end_of(Ticket(0)));
    assert_eq!((answer, refused_before), (Submitted::Full, 0));
    assert_eq!(batch.iter().map(|s| s.ticket.0).collect::<Vec<_>>(), [8, 9]);
    gate.send(()).unwrap();
    crowded.wait("room", |got| (got.rooms > 0).then_some(()));
    assert_eq!(disk.submit(&mut batch), Submitted::All);
    for ticket in 1..=9 {
        done(crowded.end_of(Ticket(ticket)));
    }
    let huge = vec![1; 100];
    drop(disk);
    let disk = place.open(Settings { lane_bytes: 10, disk_bytes: 10, ..Settings::default() });
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 0, &huge, Promise::Durable)));
}

#[test]
fn an_unknown_lane_is_said_to_be() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let (owner, lane) = Owner::new(&disk, "S");
    let mut batch = vec![
        Submission { lane: Lane(99), ticket: Ticket(0), op: Op::Checkpoint },
        Submission { lane, ticket: Ticket(1), op: Op::Checkpoint },
    ];
    assert_eq!(disk.submit(&mut batch), Submitted::NoLane);
    assert_eq!(batch.len(), 1);
    done(owner.end_of(Ticket(1)));
}

#[test]
fn a_lane_ends_with_its_files_synced_and_may_begin_again() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let (owner, lane) = Owner::new(&disk, "S");
    assert_eq!(disk.register("S", owner.clone()).unwrap_err().fault, Fault::Busy);
    let last = owner.send(&disk, lane, write(1, 0, b"x", Promise::Cached));
    let (gate, gated) = sync_channel(1);
    let work = owner.send(&disk, lane, Op::Work(Box::new(Gated(gated))));
    disk.unregister(lane);
    done(owner.end_of(last));
    assert!(owner.got.lock().released.is_none(), "a computation still uses the folder");
    gate.send(()).unwrap();
    assert!(matches!(owner.end_of(work), Outcome::Worked(_)));
    owner.released().unwrap();
    let mut late = vec![Submission { lane, ticket: Ticket(9), op: Op::Checkpoint }];
    assert_eq!(disk.submit(&mut late), Submitted::NoLane);
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 1, b"y", Promise::Durable)));
    assert!(disk.metrics().other_syncs.figures().count() > 0, "cached bytes were synced by a worker");
}

#[test]
fn a_store_is_deleted_when_nothing_works_in_its_folder() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 0, b"x", Promise::Durable)));
    let (gate, gated) = sync_channel(1);
    let work = owner.send(&disk, lane, Op::Work(Box::new(Gated(gated))));
    let delete = owner.send(&disk, lane, Op::Delete);
    let stage = Op::Stage { file: path("late"), bytes: Bytes::from_static(b"late") };
    let stage = owner.send(&disk, lane, stage);
    let (other, other_lane) = Owner::new(&disk, "T");
    done(other.run(&disk, other_lane, write(1, 0, b"t", Promise::Durable)));
    assert!(place.0.join("S/msgs/1.blk").exists());
    gate.send(()).unwrap();
    let Outcome::Worked(entries) = owner.end_of(work) else { panic!("no work") };
    assert_eq!(entries.downcast_ref(), Some(&1_usize));
    done(owner.end_of(delete));
    // Staged before the deletion, or refused after it.
    owner.end_of(stage);
    disk.unregister(lane);
    owner.released().unwrap();
    assert!(!place.0.join("S").exists());
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 0, b"anew", Promise::Durable)));
    disk.close().unwrap();
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), b"anew");
}

#[test]
fn staged_files_are_adopted() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 0, b"long and sparse", Promise::Durable)));
    let staged = path("msgs/1.blk.tmp");
    let bytes = Bytes::from_static(b"compact");
    done(owner.run(&disk, lane, Op::Stage { file: staged.clone(), bytes }));
    done(owner.run(&disk, lane, Op::Adopt { staged, file: Name::Block(1) }));
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), b"compact");
}

#[test]
fn what_was_only_cached_is_synced_at_the_interval() {
    let place = Place::new();
    let disk = place.open(Settings { sync_interval: Duration::from_millis(1), ..Settings::default() });
    let (owner, lane) = Owner::new(&disk, "S");
    for round in 1..4 {
        done(owner.run(&disk, lane, write(1, round, b"x", Promise::Cached)));
        until("it is synced", || disk.metrics().other_syncs.figures().count() >= round);
    }
    let syncs = disk.metrics().commit_syncs.figures().count();
    let op = Op::Delta { consumer: "C".into(), bytes: Bytes::from_static(b"d"), promise: Promise::Cached };
    done(owner.run(&disk, lane, op));
    until("the delta is synced", || disk.metrics().commit_syncs.figures().count() > syncs);
    assert!(owner.got.lock().completions.is_empty(), "the disk's own checkpoints are nobody's business");
}

fn open_blocks(place: &Place) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter(|target| target.starts_with(&place.0) && target.extension().is_some_and(|e| e == "blk"))
        .count()
}

#[test]
fn files_that_rest_are_closed_and_opened_again() {
    let place = Place::new();
    let disk = place.open(Settings { close_after: Duration::from_millis(1), ..Settings::default() });
    let (owner, lane) = Owner::new(&disk, "S");
    for n in 0..3 {
        done(owner.run(&disk, lane, write(1, n, b"x", Promise::Durable)));
        until("it is closed", || open_blocks(&place) == 0);
    }
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), b"xxx");
    let disk = {
        drop(disk);
        place.open(Settings::default())
    };
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 3, b"x", Promise::Durable)));
    assert_eq!(open_blocks(&place), 1, "one that was just used is kept open");
}

#[test]
fn files_that_others_write_are_counted_at_checkpoints() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 0, b"ours", Promise::Durable)));
    done(owner.run(&disk, lane, Op::Checkpoint));
    assert_eq!(disk.metrics().foreign.get(), 0);
    done(owner.run(&disk, lane, write(1, 4, b"ours", Promise::Durable)));
    std::fs::write(place.0.join("S/msgs/1.blk"), b"cut").unwrap();
    done(owner.run(&disk, lane, Op::Checkpoint));
    assert_eq!(disk.metrics().foreign.get(), 1);
}

/// Panics when it is told something.
struct Broken;

impl Completions for Broken {
    fn complete(&self, _: &mut Vec<Completion>) {
        panic!("on purpose");
    }
}

#[test]
fn owners_and_computations_that_panic_harm_nobody_else() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let (owner, lane) = Owner::new(&disk, "S");
    let broken = disk.register("T", Arc::new(Broken)).unwrap();
    for ticket in 0..3 {
        let op = write(1, ticket, b"t", Promise::Durable);
        assert_eq!(
            disk.submit(&mut vec![Submission { lane: broken, ticket: Ticket(ticket), op }]),
            Submitted::All
        );
    }
    for _ in 0..4 {
        assert_eq!(failed(owner.run(&disk, lane, Op::Work(Box::new(Panics)))).text, "it panicked");
    }
    done(owner.run(&disk, lane, write(1, 0, b"x", Promise::Durable)));
    disk.close().unwrap();
    assert_eq!(std::fs::read(place.0.join("T/msgs/1.blk")).unwrap(), b"ttt");
}

#[test]
fn the_files_themselves_are_there_for_opening() {
    let place = Place::new();
    let disk = place.open(Settings::default());
    assert_ne!(disk.space(), u64::MAX, "space is known from the beginning");
    let files = disk.files();
    files.create_folder("S").unwrap();
    let file = files.open("S/meta.inf", Mode::Create).unwrap();
    files.write_at(file, 0, b"{}").unwrap();
    files.close(file);
    let (owner, lane) = Owner::new(&disk, "S");
    let replaced =
        vec![(path("meta.inf"), Bytes::from_static(b"{1}")), (path("meta.sum"), Bytes::from_static(b"1"))];
    done(owner.run(&disk, lane, Op::Replace { files: replaced, promise: Promise::Durable }));
    assert_eq!(std::fs::read(place.0.join("S/meta.inf")).unwrap(), b"{1}");
    assert_eq!(disk.metrics().free_bytes.get(), disk.space());
}

#[test]
fn who_leaves_changes_in_the_journal_is_told_when_they_are_copied() {
    let place = Place::new();
    let journal = journal::Settings { first_segment_len: 65_536, segment_len: 65_536, ..Default::default() };
    let disk = place.open(Settings { journal, ..Settings::default() });
    let (quiet, other) = Owner::new(&disk, "Q");
    let (owner, lane) = Owner::new(&disk, "S");
    let delta = |promise| Op::Delta { consumer: "C".into(), bytes: Bytes::from_static(b"d"), promise };
    done(owner.run(&disk, lane, delta(Promise::Durable)));
    // The segment in which it stands is full, and used again.
    for n in 0.. {
        let bytes: &'static [u8] = &[7; 4096];
        done(quiet.run(&disk, other, write(1, n * 4096, bytes, Promise::Durable)));
        if owner.got.lock().behind > 0 {
            break;
        }
        assert!(n < 1000, "it was copied by now");
    }
    assert_eq!(quiet.got.lock().behind, 0);
}

#[test]
fn files_of_consumers_do_not_wait_for_a_disk_that_is_never_idle() {
    let place = Place::new();
    let disk = place.open(Settings { idle_after: Duration::from_secs(3600), ..Settings::default() });
    let (owner, lane) = Owner::new(&disk, "S");
    let files = vec![(path("obs/C/meta.inf"), Bytes::from_static(b"x"))];
    done(owner.run(&disk, lane, Op::Replace { files, promise: Promise::Durable }));
    until("it is written", || place.0.join("S/obs/C/meta.inf").exists());
}

/// Appends one byte after the other; what is written, and how many ends were there as soon as they were submitted.
fn appended(promises: &[Promise], count: u64) -> (Vec<u8>, Vec<u64>, usize) {
    let place = Place::new();
    let disk = place.open(Settings::default());
    let (owner, lane) = Owner::new(&disk, "S");
    let mut at_once = 0;
    for n in 0..count {
        let promise = promises[n as usize % promises.len()];
        let before = owner.got.lock().completions.len();
        let digit = n as usize % 10;
        let byte: &'static [u8] = &b"0123456789"[digit..=digit];
        owner.send(&disk, lane, write(1, n, byte, promise));
        at_once += usize::from(owner.got.lock().completions.len() > before);
        if n % 7 == 0 {
            // The committer has time to go to sleep.
            owner.wait("everything", |got| (got.completions.len() as u64 == n + 1).then_some(()));
            std::thread::yield_now();
        }
    }
    let ends = owner.wait("all of them", |got| {
        (got.completions.len() as u64 == count).then(|| std::mem::take(&mut got.completions))
    });
    let order = ends.iter().map(|end| end.ticket.0).collect();
    (std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), order, at_once)
}

#[test]
fn what_nobody_wants_synced_is_written_by_whoever_submits_it() {
    let mut done_here = 0;
    until("the committer sleeps", || {
        done_here += appended(&[Promise::Cached], 50).2;
        done_here > 0
    });
}

#[test]
fn whoever_writes_it_the_order_stays() {
    let expected: Vec<u8> = (0..2000).map(|n| b"0123456789"[n % 10]).collect();
    for promises in [&[Promise::Cached][..], &[Promise::Cached, Promise::Cached, Promise::Durable]] {
        let (content, order, _) = appended(promises, 2000);
        assert_eq!(content, expected);
        assert!(order.is_sorted());
    }
}
