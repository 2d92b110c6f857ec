//! What is in the files after changes: what was deleted is not, what expired stays away, and what is encrypted is read again.

use midge_stdx::clock::{Mono, Wall};
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::format::archive::{Limits, Reader, Writer};
use midge_store::format::inflow::Inflow;
use midge_store::format::keys::{Cipher, MasterKey};
use midge_store::port::{Completion, DiskError, Fault, Files, Op, Outcome, Submission};
use midge_store::stream::{
    Config, Encryption, Filter, LastQuery, Medium, NewMessage, Step, Store, StoreError, StoreKeys,
};

use crate::disk::Rig;
use crate::open::read_all;
use crate::open_replay::{copy, opening};
use crate::parity_store::{
    SECOND, at, compact, ends, live, many, message, put, remove, reopen_all_ways, rig, truncate, wait,
};

/// How often bytes stand in any file of the store.
fn stands(rig: &Rig, bytes: &[u8]) -> usize {
    let files = crate::open::snapshot(&rig.files, &rig.folder);
    files.values().filter(|file| file.windows(bytes.len()).any(|window| window == bytes)).count()
}

#[test]
fn an_erased_message_leaves_no_bytes() {
    for compression in [false, true] {
        let mut rig =
            rig(Medium::File, |config| (config.compression, config.block_len) = (compression, 1000));
        let text = |i: u64| format!("the secret of message {i:03}, {}", "again and ".repeat(8));
        for i in 1..=20 {
            rig.store.append(at(i as i64), &message("a", b"", text(i).as_bytes())).unwrap();
        }
        rig.settle(Mono(1));
        assert!(rig.store.blocks() > 2);
        remove(&mut rig, [2, 4, 5]);
        for seq in [3, 6, 12, 20] {
            assert_eq!(wait!(rig, rig.store.remove(seq, true)), Ok(true));
            assert_eq!(wait!(rig, rig.store.remove(seq, true)), Ok(false));
            rig.settle(Mono(1));
            if !compression {
                assert_eq!(stands(&rig, text(seq).as_bytes()), 0, "{seq}");
            }
        }
        if !compression {
            assert_eq!(stands(&rig, text(19).as_bytes()), 1);
        }
        rig.store.evict(Mono(u64::MAX));
        assert_eq!(live(&mut rig), [1, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19]);
        assert_eq!((ends(&rig), rig.store.deleted()), ((1, 20, 13), 7));
        // Nothing that was deleted before it in the same block comes back.
        reopen_all_ways(&mut rig);
        for seq in [7, 19] {
            assert_eq!(wait!(rig, rig.store.load(seq)).unwrap().payload(), text(seq).as_bytes());
        }
        assert_eq!(put(&mut rig, "a"), 21);
        reopen_all_ways(&mut rig);
    }
}

#[test]
fn tombstones_fill_blocks_and_go_with_what_they_speak_of() {
    let mut rig = rig(Medium::File, |config| config.block_len = 620);
    many(&mut rig, 100);
    assert_eq!(rig.store.blocks(), 5);
    remove(&mut rig, (1..=100).filter(|seq| seq % 20 > 3));
    rig.settle(Mono(1));
    assert!(rig.store.blocks() >= 9, "tombstones stand in blocks like messages: {}", rig.store.blocks());
    let before = rig.store.utilization();
    assert!(before.0 > 4 * before.1, "{before:?}");
    reopen_all_ways(&mut rig);
    for _ in 0..3 {
        rig.store.maintain();
        rig.settle(Mono(1));
        reopen_all_ways(&mut rig);
    }
    let after = rig.store.utilization();
    assert!(after.0 < before.0 / 2 + 620 && after.1 == before.1, "{before:?} {after:?}");
    assert_eq!(live(&mut rig).len(), 20);
    // What cannot be shorter is not written again.
    rig.store.maintain();
    rig.settle(Mono(1));
    let works = rig.works;
    rig.store.maintain();
    rig.settle(Mono(1));
    assert_eq!(rig.works, works);
    rig.store.purge().unwrap();
    rig.settle(Mono(1));
    assert!((rig.store.blocks(), rig.store.utilization().0) <= (1, 60));
    reopen_all_ways(&mut rig);
}

#[test]
fn ages_and_lifetimes_outlive_a_restart() {
    for clean in [true, false] {
        let mut rig =
            rig(Medium::File, |config| (config.max_age_ns, config.ttl) = (100 * SECOND as u64, true));
        for i in 1..=10 {
            let ttl_s = if i % 2 == 0 { 20 } else { 0 };
            let new = NewMessage {
                ttl_s,
                headers: if ttl_s > 0 { b"NATS/1.0\r\nNats-TTL: 20\r\n\r\n" } else { b"" },
                ..message("a", b"", b"")
            };
            rig.store.append(at(i), &new).unwrap();
        }
        assert_eq!(rig.store.expire(at(15)), Some(Wall(22 * SECOND)));
        rig.settle(Mono(1));
        rig.reopen(clean, at(16));
        let expire = |rig: &mut Rig, seconds| {
            rig.store.expire(at(seconds));
            while rig.step(Mono(1)) {
                rig.store.expire(at(seconds));
            }
        };
        expire(&mut rig, 21);
        assert_eq!(live(&mut rig).len(), 10, "not before its time");
        expire(&mut rig, 26);
        assert_eq!(live(&mut rig), [1, 3, 5, 7, 8, 9, 10]);
        // What expired by its own time has a tombstone.
        reopen_all_ways(&mut rig);
        expire(&mut rig, 104);
        assert_eq!(live(&mut rig), [5, 7, 9]);
        rig.settle(Mono(1));
        rig.reopen(clean, at(2000));
        expire(&mut rig, 2000);
        assert_eq!((ends(&rig), rig.store.subjects()), ((11, 10, 0), 0));
        reopen_all_ways(&mut rig);
        assert_eq!(put(&mut rig, "a"), 11);
    }
}

fn encrypted_keys() -> StoreKeys {
    StoreKeys {
        owner: "$G".into(),
        master: MasterKey::new(b"s3cr3t"),
        previous: None,
        cipher: Cipher::ChaCha,
        entropy: Box::new(Seeded::new(5)),
    }
}

#[test]
fn an_encrypted_store_is_read_after_every_kind_of_change() {
    for compression in [false, true] {
        let config = Config { block_len: 700, compression, ..Config::new("S", Medium::File) };
        let mut rig = Rig::files(Config::new("other", Medium::File), 1);
        rig.folder = "$G/streams/S".into();
        let lane = rig.committer.as_mut().unwrap().register("$G/streams/S").unwrap();
        let StoreKeys { owner, master, cipher, entropy, .. } = encrypted_keys();
        let encryption = Encryption { cipher, owner: owner.into(), master, entropy };
        rig.store = Store::create(config.clone(), lane, Some(encryption), None, Box::new(Seeded::new(9)));
        let mut next = 0;
        let mut append = |rig: &mut Rig, count: u64| {
            for _ in 0..count {
                next += 1;
                let payload = format!("plain words of message {next}, plain words, plain words");
                rig.store.append(at(next), &message("a", b"", payload.as_bytes())).unwrap();
            }
            rig.settle(Mono(1));
        };
        let check = |rig: &mut Rig| {
            assert_eq!(stands(rig, b"plain words"), 0);
            let known = live(rig);
            let files = copy(&rig.files);
            let opened = opening(&config, Some(encrypted_keys())).run(&files).unwrap();
            assert!(opened.recovery.is_clean(), "{:?}", opened.recovery);
            assert_eq!(opened.state().last_seq, rig.store.state().last_seq);
            let mut store = crate::open::store(opened);
            let all = read_all(&mut store, &files, "$G/streams/S");
            assert_eq!(all.keys().copied().collect::<Vec<_>>(), known);
        };
        append(&mut rig, 20);
        check(&mut rig);
        compact(&mut rig, 9);
        append(&mut rig, 2);
        compact(&mut rig, 15);
        append(&mut rig, 7);
        check(&mut rig);
        remove(&mut rig, [16, 18, 19, 21, 24]);
        rig.store.maintain();
        append(&mut rig, 3);
        check(&mut rig);
        truncate(&mut rig, 26);
        rig.settle(Mono(1));
        check(&mut rig);
        rig.store.append(at(27), &message("a", b"", b"plain words")).unwrap();
        rig.settle(Mono(1));
        check(&mut rig);
        rig.store.purge().unwrap();
        rig.store.append(at(28), &message("a", b"", b"plain words")).unwrap();
        rig.settle(Mono(1));
        check(&mut rig);
    }
}

#[test]
fn what_is_cut_off_behind_damage_does_not_come_back() {
    let mut rig = rig(Medium::File, |config| config.block_len = 4000);
    many(&mut rig, 8);
    rig.settle(Mono(1));
    let path = format!("{}/msgs/1.blk", rig.folder);
    let record = rig.file("msgs/1.blk").len() / 8;
    rig.reopen(true, at(2000));
    let mut bytes = rig.file("msgs/1.blk");
    // Not even its length is there.
    bytes[4 * record..5 * record].fill(0);
    crate::open::put(&rig.files, &path, &bytes);
    rig.files.remove(&format!("{}/msgs/index.db", rig.folder)).unwrap();
    rig.reopen(false, at(2000));
    assert_eq!(live(&mut rig), [1, 2, 3, 4, 6, 7, 8]);
    truncate(&mut rig, 4);
    assert_eq!(live(&mut rig), [1, 2, 3, 4]);
    for seq in 5..=8 {
        assert_eq!(rig.store.append(at(seq), &message("b", b"", b"anew")), Ok(seq as u64));
    }
    rig.settle(Mono(1));
    rig.reopen(false, at(2000));
    assert_eq!(live(&mut rig), (1..=8).collect::<Vec<_>>());
    for seq in 5..=8 {
        assert_eq!(wait!(rig, rig.store.load(seq)).unwrap().payload(), b"anew");
    }
}

#[test]
fn a_message_is_durable_with_its_own_write_not_with_what_is_submitted_before_it() {
    let mut rig = rig(Medium::File, |_| {});
    many(&mut rig, 1);
    rig.settle(Mono(1));
    put(&mut rig, "a");
    // The index goes first; it speaks of what is purged.
    rig.store.purge().unwrap();
    let mut taken = Vec::new();
    rig.store.take_submissions(&mut taken);
    let mut written = false;
    for Submission { lane, ticket, op } in taken {
        written |= matches!(op, Op::Write { .. });
        rig.store.complete(Completion { lane, ticket, outcome: Outcome::Done }, Mono(1));
        assert_eq!(rig.store.durable(), if written { 2 } else { 1 });
    }
    assert_eq!(rig.store.durable(), 2);
}

#[test]
fn a_large_block_of_which_most_is_dead_is_written_anew_at_once() {
    for compression in [false, true] {
        let mut rig = rig(Medium::File, |config| {
            (config.block_len, config.compression) = (4 << 20, compression);
        });
        let mut draw = Seeded::new(4);
        let mut payload = vec![0; 100_000];
        for i in 1..=45 {
            draw.fill(&mut payload);
            rig.store.append(at(i), &message("a", b"", &payload)).unwrap();
        }
        rig.settle(Mono(1));
        assert_eq!(rig.store.blocks(), 2);
        let len = rig.file("msgs/1.blk").len();
        compact(&mut rig, 10);
        rig.settle(Mono(1));
        assert_eq!(rig.file("msgs/1.blk").len(), len, "most of it is alive");
        remove(&mut rig, (20..=41).filter(|seq| seq % 5 > 0));
        rig.settle(Mono(1));
        reopen_all_ways(&mut rig);
        assert!(rig.file("msgs/1.blk").len() < len * 6 / 10);
        assert_eq!(ends(&rig), (10, 45, 19));
        rig.store.append(at(46), &message("a", b"", &payload)).unwrap();
        let found = loop {
            match rig.store.load(45) {
                Step::Wait => assert!(rig.step(Mono(1))),
                step => break step.ready().unwrap(),
            }
        };
        assert_eq!(found.payload(), &payload[..]);
    }
}

#[test]
fn after_a_failed_write_appends_are_refused_and_after_a_failed_read_they_are_not() {
    let broken = |call| DiskError {
        fault: Fault::Device,
        call,
        path: "1.blk".into(),
        text: "input/output error".into(),
    };
    let mut rig = rig(Medium::File, |_| {});
    many(&mut rig, 9);
    rig.settle(Mono(1));
    rig.store.evict(Mono(u64::MAX));
    let fail = |rig: &mut Rig, call: &'static str| {
        let mut taken = Vec::new();
        rig.store.take_submissions(&mut taken);
        assert!(!taken.is_empty());
        for Submission { lane, ticket, .. } in taken {
            rig.store.complete(Completion { lane, ticket, outcome: Outcome::Failed(broken(call)) }, Mono(1));
        }
    };
    assert_eq!(rig.store.load(1), Step::Wait);
    fail(&mut rig, "read");
    assert_eq!(rig.store.load(1), Step::Failed(StoreError::Disk(broken("read"))));
    let mut last = LastQuery::new(Filter::all(), 5, 0);
    assert_eq!(rig.store.last_seqs(&mut last), Step::Wait);
    fail(&mut rig, "read");
    assert_eq!(rig.store.last_seqs(&mut last), Step::Failed(StoreError::Disk(broken("read"))));
    assert_eq!(rig.store.failure(), None);
    assert_eq!(put(&mut rig, "a"), 10);
    rig.settle(Mono(1));
    assert_eq!(wait!(rig, rig.store.load(1)).unwrap().seq, 1);
    assert_eq!(put(&mut rig, "a"), 11);
    fail(&mut rig, "write");
    assert_eq!(rig.store.failure(), Some(&broken("write")));
    let refused = StoreError::Disk(broken("write"));
    assert_eq!(rig.store.append(at(12), &message("a", b"", b"")), Err(refused.clone()));
    assert_eq!(rig.store.skip(0, at(12), false), Err(refused.clone()));
    assert_eq!(rig.store.remove(3, false), Step::Failed(refused));
    assert_eq!((rig.store.appended(), rig.store.durable()), (11, 10));
    assert_eq!(wait!(rig, rig.store.load(10)).unwrap().seq, 10, "reading goes on");
    // What was not durable was promised to nobody.
    rig.reopen(false, at(20));
    assert_eq!((ends(&rig), rig.store.failure()), ((1, 10, 10), None));
    assert_eq!(put(&mut rig, "a"), 11);
}

#[test]
fn an_empty_backup_is_one_and_without_its_end_it_is_none() {
    let limits = Limits { message: 100, document: 100 };
    let mut backup = Vec::new();
    Writer::new(&mut backup).finish(&mut backup);
    let read = |bytes: &[u8]| {
        let mut reader = Reader::new(Inflow::new(), limits);
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[reader.push(rest)?..];
            assert_eq!(reader.next_entry()?, None);
        }
        reader.finish()
    };
    assert_eq!(read(&backup), Ok(()));
    for cut in 0..backup.len() {
        assert!(read(&backup[..cut]).is_err(), "cut at {cut}");
    }
}
