//! A disk over files that fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use midge_store::journal::{self, PlainRecords};
use midge_store::port::{Fault, Lane, Name, Op, Outcome, Promise, Submission, Ticket};

use super::injecting::{Injecting, Rule};
use super::{Owner, Place, done, failed, write};
use crate::{Disk, Settings, Submitted};

fn small() -> Settings {
    let journal =
        journal::Settings { first_segment_len: 1 << 20, segment_len: 1 << 20, ..Default::default() };
    Settings { journal, probe_short: Duration::from_millis(2), ..Settings::default() }
}

fn start(place: &Place) -> (Arc<Injecting>, Disk) {
    let files = Injecting::new(place);
    let none = Arc::new(Vec::new);
    let disk = Disk::over(&place.0, files.clone(), none, small(), &PlainRecords).unwrap().0;
    (files, disk)
}

fn once(call: &'static str, path: &'static str, fault: Fault) -> Rule {
    Rule { call, path, after: 0, times: 1, fault }
}

#[test]
fn a_sync_that_fails_fails_what_waited_for_it_and_only_that() {
    let place = Place::new();
    let (files, disk) = start(&place);
    let (hit, hit_lane) = Owner::new(&disk, "S");
    let (spared, spared_lane) = Owner::new(&disk, "T");
    done(hit.run(&disk, hit_lane, write(1, 0, b"one", Promise::Durable)));
    done(spared.run(&disk, spared_lane, write(1, 0, b"one", Promise::Durable)));
    files.rule(once("sync", ".midge/journal/", Fault::Device));
    let error = failed(hit.run(&disk, hit_lane, write(1, 3, b"two", Promise::Durable)));
    assert_eq!((error.fault, error.call), (Fault::Device, "sync"));
    let error = failed(hit.run(&disk, hit_lane, write(1, 6, b"three", Promise::Cached)));
    assert_eq!(error.fault, Fault::Device, "refused until the store has seen the failure");
    done(spared.run(&disk, spared_lane, write(1, 3, b"two", Promise::Durable)));
    done(hit.run(&disk, hit_lane, Op::Resume));
    done(hit.run(&disk, hit_lane, write(1, 3, b"2wo", Promise::Durable)));
    assert_eq!(disk.metrics().failures.get(), 2);
    drop((disk, files));
    let disk = place.open(small());
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), b"one2wo");
    assert_eq!(std::fs::read(place.0.join("T/msgs/1.blk")).unwrap(), b"onetwo");
    disk.close().unwrap();
}

/// A store that failed is opened anew while the journal goes on: what was promised of its consumers, and no file holds, is told.
#[test]
fn a_store_that_failed_finds_the_deltas_of_its_consumers() {
    let place = Place::new();
    let (files, disk) = start(&place);
    let (owner, lane) = Owner::new(&disk, "S");
    let (other, other_lane) = Owner::new(&disk, "T");
    let delta = |bytes: &'static [u8]| Op::Delta {
        consumer: "C".into(),
        bytes: Bytes::from_static(bytes),
        promise: Promise::Durable,
    };
    let state = vec![(Name::Path("obs/C/o.dat".into()), Bytes::from_static(b"state"))];
    done(owner.run(&disk, lane, delta(b"in the state")));
    done(owner.run(&disk, lane, Op::Replace { files: state, promise: Promise::Durable }));
    done(owner.run(&disk, lane, delta(b"one")));
    done(other.run(&disk, other_lane, delta(b"of another")));
    done(owner.run(&disk, lane, delta(b"two")));
    files.rule(once("sync", ".midge/journal/", Fault::Device));
    failed(owner.run(&disk, lane, delta(b"three")));
    done(other.run(&disk, other_lane, delta(b"more")));
    let told = disk.deltas("S").unwrap();
    assert_eq!((told.len(), &*told[0].consumer), (1, "C"));
    let changes: Vec<&[u8]> = told[0].changes.iter().map(|(_, bytes)| &bytes[..]).collect();
    assert_eq!(changes, [&b"one"[..], b"two"]);
    assert!(disk.deltas("U").unwrap().is_empty());
}

#[test]
fn a_torn_frame_is_refused_and_the_next_segment_serves() {
    let place = Place::new();
    let (files, disk) = start(&place);
    let (owner, lane) = Owner::new(&disk, "S");
    files.rule(once("write", ".midge/journal/", Fault::Device));
    failed(owner.run(&disk, lane, write(1, 0, b"lost", Promise::Durable)));
    done(owner.run(&disk, lane, Op::Resume));
    done(owner.run(&disk, lane, write(1, 0, b"kept", Promise::Durable)));
    assert!(files.is_stable(b"kept") && !files.is_stable(b"lost"));
    disk.close().unwrap();
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), b"kept");
}

#[test]
fn a_file_that_cannot_be_synced_at_a_checkpoint_is_written_again() {
    let place = Place::new();
    let (files, disk) = start(&place);
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 0, b"x", Promise::Durable)));
    files.rule(once("sync", "S/msgs/1.blk", Fault::Device));
    done(owner.run(&disk, lane, Op::Checkpoint));
    assert_eq!(files.failed_syncs(), 1, "the journal had everything");
    done(owner.run(&disk, lane, write(1, 1, b"y", Promise::Cached)));
    files.rule(once("sync", "S/msgs/1.blk", Fault::Device));
    let error = failed(owner.run(&disk, lane, Op::Checkpoint));
    assert_eq!((error.fault, files.failed_syncs()), (Fault::Device, 2), "what was only cached may be gone");
    done(owner.run(&disk, lane, Op::Resume));
    done(owner.run(&disk, lane, write(1, 1, b"z", Promise::Durable)));
    disk.close().unwrap();
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), b"xz");
}

#[test]
fn who_waits_for_nothing_is_told_of_a_lane_that_refuses() {
    let place = Place::new();
    let (files, disk) = start(&place);
    let (owner, lane) = Owner::new(&disk, "S");
    let (calm, calm_lane) = Owner::new(&disk, "T");
    done(calm.run(&disk, calm_lane, write(1, 0, b"x", Promise::Durable)));
    files.rule(Rule {
        call: "write",
        path: ".midge/staged/",
        after: 0,
        times: usize::MAX,
        fault: Fault::Device,
    });
    let config = vec![(Name::Path("obs/C/meta.inf".into()), Bytes::from_static(b"x"))];
    done(owner.run(&disk, lane, Op::Replace { files: config, promise: Promise::Durable }));
    owner.wait("word of it", |got| (got.refused > 0).then_some(()));
    assert_eq!(failed(owner.run(&disk, lane, Op::Checkpoint)).fault, Fault::Device);
    assert_eq!(calm.got.lock().refused, 0);
    files.forgive();
    disk.close().unwrap();
}

#[test]
fn a_full_file_system_is_told_and_so_is_its_end() {
    let place = Place::new();
    let (files, disk) = start(&place);
    let (owner, lane) = Owner::new(&disk, "S");
    let (calm, calm_lane) = Owner::new(&disk, "T");
    done(calm.run(&disk, calm_lane, write(1, 0, b"x", Promise::Durable)));
    files.set_free(0);
    files.rule(Rule { call: "write", path: "S/msgs/", after: 0, times: usize::MAX, fault: Fault::Full });
    assert_eq!(failed(owner.run(&disk, lane, write(1, 0, b"full", Promise::Durable))).fault, Fault::Full);
    assert_eq!(failed(owner.run(&disk, lane, Op::Checkpoint)).fault, Fault::Full);
    done(calm.run(&disk, calm_lane, write(1, 1, b"y", Promise::Durable)));
    super::until("there is none", || disk.space() == 0);
    assert_eq!(owner.got.lock().spaces, 0);
    files.forgive();
    files.set_free(u64::MAX);
    owner.wait("space", |got| (got.spaces > 0).then_some(()));
    done(owner.run(&disk, lane, Op::Resume));
    done(owner.run(&disk, lane, write(1, 0, b"done", Promise::Durable)));
    assert_eq!(calm.got.lock().spaces, 0, "nothing of it had failed");
    disk.close().unwrap();
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), b"done");
}

#[test]
fn without_space_for_segments_the_old_ones_are_used_again() {
    let place = Place::new();
    let (files, disk) = start(&place);
    let (owner, lane) = Owner::new(&disk, "S");
    files.rule(Rule { call: "allocate", path: "", after: 0, times: usize::MAX, fault: Fault::Full });
    files.rule(Rule { call: "create", path: ".midge/", after: 0, times: usize::MAX, fault: Fault::Full });
    let bytes = vec![7; 100_000];
    for n in 0..100 {
        done(owner.run(&disk, lane, write(1, n * 100_000, &bytes, Promise::Durable)));
    }
    done(owner.run(&disk, lane, Op::Remove { files: vec![Name::Block(1)], promise: Promise::Durable }));
    disk.close().unwrap();
    assert!(!place.0.join("S/msgs/1.blk").exists());
}

#[test]
fn a_start_with_little_space_begins_with_what_was_kept_and_small_segments() {
    let place = Place::new();
    place.open(small()).close().unwrap();
    for times in [1, 2] {
        let files = Injecting::new(&place);
        files.rule(Rule { call: "allocate", path: "journal", after: 0, times, fault: Fault::Full });
        let none = Arc::new(Vec::new);
        let (disk, _) = Disk::over(&place.0, files, none, small(), &PlainRecords).unwrap();
        let (owner, lane) = Owner::new(&disk, "S");
        done(owner.run(&disk, lane, write(1, 0, b"kept", Promise::Durable)));
        // The next start finds a reserve to be given up.
        drop(disk);
    }
}

#[test]
fn a_start_without_space_says_so_and_harms_nothing() {
    let place = Place::new();
    let disk = place.open(small());
    let (owner, lane) = Owner::new(&disk, "S");
    done(owner.run(&disk, lane, write(1, 0, b"kept", Promise::Durable)));
    drop(disk);
    let files = Injecting::new(&place);
    files.rule(Rule { call: "allocate", path: "", after: 0, times: usize::MAX, fault: Fault::Full });
    let none = Arc::new(Vec::new);
    let error = Disk::over(&place.0, files, none, small(), &PlainRecords).err().unwrap();
    assert!(error.to_string().contains("on purpose"), "{error}");
    std::fs::remove_file(place.0.join("S/msgs/1.blk")).unwrap();
    place.open(small()).close().unwrap();
    assert_eq!(std::fs::read(place.0.join("S/msgs/1.blk")).unwrap(), b"kept");
}

#[test]
fn while_a_sync_takes_long_submissions_gather_and_computations_go_on() {
    let place = Place::new();
    let (files, disk) = start(&place);
    let (owner, lane) = Owner::new(&disk, "S");
    files.hold_syncs();
    let first = owner.send(&disk, lane, write(1, 0, b"x", Promise::Durable));
    super::until("a sync waits", || files.waiting_syncs() == 1);
    let batches = disk.metrics().batches.get();
    let tickets: Vec<Ticket> =
        (1..500).map(|n| owner.send(&disk, lane, write(1, n, b"x", Promise::Durable))).collect();
    let stage = Op::Stage { file: Name::Path("aside".into()), bytes: Bytes::new() };
    done(owner.run(&disk, lane, stage));
    assert!(owner.got.lock().completions.is_empty(), "nothing is promised meanwhile");
    files.release_syncs();
    done(owner.end_of(first));
    tickets.into_iter().for_each(|ticket| done(owner.end_of(ticket)));
    assert_eq!(disk.metrics().batches.get() - batches, 1, "all that gathered shares one sync");
}

/// The bytes of an operation, which stand nowhere else.
fn mark(lane: Lane, ticket: u64) -> [u8; 16] {
    let mut mark = *b"mark\0\0\0\0\0\0\0\0\0\0\0\0";
    mark[4..8].copy_from_slice(&lane.0.to_le_bytes());
    mark[8..].copy_from_slice(&ticket.to_le_bytes());
    mark
}

/// One lane: writes, and writes again what failed, until all are done.
fn persist(files: &Injecting, disk: &Disk, owner: &Owner, lane: Lane, count: u64) -> usize {
    let (mut at, mut next, mut failures) = (0, 0, 0);
    while at < count {
        let many = (count - at).min(1 + next % 7);
        let batch: Vec<Submission> = (0..many)
            .map(|n| {
                let op = write(1, (at + n) * 16, &mark(lane, at + n), Promise::Durable);
                Submission { lane, ticket: Ticket(next + n), op }
            })
            .collect();
        assert_eq!(disk.submit(&mut { batch }), Submitted::All);
        let mut good = true;
        for n in 0..many {
            match owner.end_of(Ticket(next + n)) {
                Outcome::Done => {
                    assert!(good, "what follows a failure was done");
                    assert!(files.is_stable(&mark(lane, at)), "promised, and not on stable storage");
                    at += 1;
                }
                _ => good = false,
            }
        }
        next += many;
        if !good {
            failures += 1;
            let resume = vec![Submission { lane, ticket: Ticket(next), op: Op::Resume }];
            assert_eq!(disk.submit(&mut { resume }), Submitted::All);
            next += 1;
            done(owner.end_of(Ticket(next - 1)));
        }
    }
    failures
}

#[test]
fn nothing_is_promised_whose_sync_failed() {
    for seed in 0..4 {
        let place = Place::new();
        let (files, disk) = start(&place);
        let owners: Vec<_> = (0..4).map(|n| Owner::new(&disk, &format!("S{n}"))).collect();
        files.odds(80, seed);
        let run = |(owner, lane): &(Arc<Owner>, Lane)| persist(&files, &disk, owner, *lane, 60);
        let failures: usize = std::thread::scope(|scope| {
            let running: Vec<_> = owners.iter().map(|one| scope.spawn(move || run(one))).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!(files.failed_syncs() > 0 && failures > 0, "no sync failed");
        files.forgive();
        drop(disk);
        drop(files);
        place.open(small()).close().unwrap();
        for (n, (_, lane)) in owners.iter().enumerate() {
            let wanted: Vec<u8> = (0..60).flat_map(|ticket| mark(*lane, ticket)).collect();
            assert_eq!(std::fs::read(place.0.join(format!("S{n}/msgs/1.blk"))).unwrap(), wanted);
        }
    }
}
