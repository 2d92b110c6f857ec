//! What expires, and what an operation costs in blocks.

use midge_stdx::clock::{Mono, Now, Wall};
use midge_store::port::{Files, Mode};
use midge_store::stream::{
    Config, Expired, Filter, LastQuery, Medium, NewMessage, NextQuery, PendingQuery, Step, TimeQuery,
    Truncate,
};

use crate::disk::Rig;

const SECOND: i64 = 1_000_000_000;

fn at(seconds: i64) -> Now {
    Now { mono: Mono(seconds as u64 * SECOND as u64), wall: Wall(seconds * SECOND) }
}

fn rigs(change: impl Fn(&mut Config)) -> [Rig; 2] {
    [Medium::Memory, Medium::File].map(|medium| {
        let mut config = Config::new("S", medium);
        change(&mut config);
        match medium {
            Medium::Memory => Rig::memory(config),
            Medium::File => Rig::files(config, 1),
        }
    })
}

fn append(rig: &mut Rig, subject: &str, seconds: i64, ttl_s: u64, headers: &[u8]) -> u64 {
    let message = NewMessage {
        subject: subject.as_bytes(),
        headers,
        payload: &[b'x'; 100],
        ttl_s,
        ..NewMessage::default()
    };
    rig.store.append(at(seconds), &message).unwrap()
}

fn live(rig: &mut Rig) -> Vec<u64> {
    let mut query = NextQuery { filter: Filter::all(), from: 0 };
    let mut seqs = Vec::new();
    loop {
        match rig.store.next(&mut query) {
            Step::Ready(Some(message)) => {
                seqs.push(message.seq);
                query.from = message.seq + 1;
            }
            Step::Ready(None) => return seqs,
            Step::Wait => assert!(rig.step(Mono(0))),
            Step::Failed(error) => panic!("{error}"),
        }
    }
}

/// Expires until nothing more does; answers when the next one is due, in seconds.
fn expire(rig: &mut Rig, seconds: i64) -> Option<i64> {
    loop {
        let next = rig.store.expire(at(seconds));
        if !rig.step(at(seconds).mono) {
            return next.map(|next| next.0 / SECOND);
        }
    }
}

#[test]
fn messages_go_at_their_age_in_order_and_those_that_never_do_stay() {
    let change = |config: &mut Config| {
        (config.max_age_ns, config.block_len, config.ttl) = (10 * SECOND as u64, 400, true);
    };
    for mut rig in rigs(change) {
        for i in 1..=20 {
            let never: &[u8] = if i == 2 { b"NATS/1.0\r\nNats-TTL: never\r\n\r\n" } else { b"" };
            append(&mut rig, "a", i, 0, never);
        }
        assert_eq!(expire(&mut rig, 10), Some(11));
        assert_eq!(live(&mut rig).len(), 20);
        rig.store.evict(Mono(u64::MAX));
        // The message of second 1 is ten seconds old at 11.
        expire(&mut rig, 11);
        assert_eq!(live(&mut rig), (2..=20).collect::<Vec<_>>());
        rig.store.evict(Mono(u64::MAX));
        let next = expire(&mut rig, 15);
        assert_eq!((live(&mut rig)[..3].to_vec(), next), (vec![2, 6, 7], Some(16)));
        expire(&mut rig, 40);
        assert_eq!(live(&mut rig), [2]);
        assert_eq!(rig.store.state().first_seq, 2);
    }
}

#[test]
fn a_message_goes_at_its_own_time() {
    for mut rig in rigs(|config| (config.ttl, config.block_len) = (true, 400)) {
        for (i, ttl) in [(1, 0), (2, 5), (3, 1), (4, 0), (5, 100), (6, 2)] {
            append(&mut rig, "a", 1, ttl, b"");
            assert_eq!(rig.store.appended(), i);
        }
        rig.settle(Mono(0));
        rig.store.evict(Mono(u64::MAX));
        // The wheel fires in whole seconds, and not before its time.
        expire(&mut rig, 1);
        assert_eq!(live(&mut rig).len(), 6);
        expire(&mut rig, 4);
        assert_eq!(live(&mut rig), [1, 2, 4, 5]);
        expire(&mut rig, 7);
        assert_eq!(live(&mut rig), [1, 4, 5]);
        expire(&mut rig, 200);
        assert_eq!(live(&mut rig), [1, 4]);
        let mut changes = Vec::new();
        rig.store.take_changes(&mut changes);
        assert_eq!(changes.iter().map(|change| change.seq).collect::<Vec<_>>(), [3, 6, 2, 5]);
    }
}

#[test]
fn with_markers_the_owner_is_told_which_one_was_the_last_of_its_subject() {
    let change = |config: &mut Config| {
        (config.max_age_ns, config.delete_markers, config.ttl) = (10 * SECOND as u64, true, true);
    };
    for mut rig in rigs(change) {
        for (i, subject) in ["a", "b", "a", "c"].into_iter().enumerate() {
            append(&mut rig, subject, 1 + i as i64, 0, b"");
        }
        expire(&mut rig, 12);
        let mut expired: Vec<Expired> = Vec::new();
        rig.store.take_expired(&mut expired);
        let told: Vec<(u64, bool)> = expired.iter().map(|expired| (expired.seq, expired.last)).collect();
        assert_eq!(told, [(1, false), (2, true)]);
        assert_eq!(live(&mut rig).len(), 4, "the owner decides");
        // What comes of age is told of at its time, and what was told is not told again at once.
        rig.store.expire(at(13));
        expired.clear();
        rig.store.take_expired(&mut expired);
        assert_eq!(expired.iter().map(|expired| expired.seq).collect::<Vec<_>>(), [3]);
        expired.clear();
        expire(&mut rig, 20);
        rig.store.take_expired(&mut expired);
        assert_eq!(expired.len(), 4);
    }
}

#[test]
fn an_expired_message_that_is_still_there_expires_again_after_a_restart() {
    for clean in [true, false] {
        let mut config = Config::new("S", Medium::File);
        (config.delete_markers, config.ttl) = (true, true);
        let mut rig = Rig::files(config, 1);
        append(&mut rig, "a", 1, 2, b"NATS/1.0\r\nNats-TTL: 2s\r\n\r\n");
        append(&mut rig, "b", 1, 0, b"");
        let mut expired: Vec<Expired> = Vec::new();
        expire(&mut rig, 5);
        rig.store.take_expired(&mut expired);
        assert_eq!(expired.len(), 1);
        // Its marker was refused, and then the server stopped.
        rig.settle(at(6).mono);
        rig.reopen(clean, at(7));
        expire(&mut rig, 8);
        expired.clear();
        rig.store.take_expired(&mut expired);
        assert_eq!(expired.iter().map(|expired| expired.seq).collect::<Vec<_>>(), [1], "{clean}");
    }
}

#[test]
fn a_sequence_that_is_given_anew_does_not_expire_with_the_message_that_had_it() {
    for mut rig in rigs(|config: &mut Config| config.ttl = true) {
        append(&mut rig, "a", 1, 0, b"");
        append(&mut rig, "a", 1, 2, b"NATS/1.0\r\nNats-TTL: 2s\r\n\r\n");
        let mut cut = Truncate::new(1);
        while rig.store.truncate(&mut cut, at(2)) == Step::Wait {
            rig.step(at(2).mono);
        }
        assert_eq!(append(&mut rig, "a", 2, 0, b""), 2);
        expire(&mut rig, 10);
        assert_eq!(live(&mut rig), [1, 2]);
    }
}

/// A store of ten blocks of ten messages; `r` stands in the third and the eighth only.
fn ten_blocks() -> Rig {
    let mut config = Config::new("S", Medium::File);
    config.block_len = 1310;
    let mut rig = Rig::files(config, 1);
    for i in 1..=100 {
        let subject = if i == 25 || i == 75 { "r" } else { ["a", "b"][i % 2] };
        append(&mut rig, subject, i as i64, 0, b"");
    }
    assert_eq!(rig.store.blocks(), 10);
    rig.settle(Mono(0));
    rig.store.evict(Mono(u64::MAX));
    rig.works = 0;
    rig
}

fn cost<T>(rig: &mut Rig, mut call: impl FnMut(&mut Rig) -> Step<T>) -> (T, u64) {
    rig.store.evict(Mono(u64::MAX));
    rig.works = 0;
    loop {
        match call(rig) {
            Step::Ready(answer) => return (answer, rig.works),
            Step::Wait => assert!(rig.step(Mono(0))),
            Step::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn operations_read_the_blocks_that_they_need_and_no_others() {
    let mut rig = ten_blocks();
    let r = || Filter::one(b"r");
    let (found, loads) = cost(&mut rig, |rig| rig.store.load(55));
    assert_eq!((found.seq, loads), (55, 1));
    let (found, loads) = cost(&mut rig, |rig| rig.store.last(&r()));
    assert_eq!((found.unwrap().seq, loads), (75, 1));
    let (found, loads) = cost(&mut rig, |rig| rig.store.last(&Filter::one(b"*")));
    assert_eq!((found.unwrap().seq, loads), (100, 1));
    // The block it begins in, and those from the first to the last of the subject.
    for (from, wanted) in [(1, (25, 2)), (31, (75, 5))] {
        let mut query = NextQuery { filter: r(), from };
        let (found, loads) = cost(&mut rig, |rig| rig.store.next(&mut query));
        assert_eq!((found.unwrap().seq, loads), wanted);
    }
    for (from, wanted) in [(100, (75, 2)), (70, (25, 5))] {
        let mut query = NextQuery { filter: r(), from };
        let (found, loads) = cost(&mut rig, |rig| rig.store.previous(&mut query));
        assert_eq!((found.unwrap().seq, loads), wanted);
    }
    let mut query = NextQuery { filter: r(), from: 76 };
    let (found, loads) = cost(&mut rig, |rig| rig.store.next(&mut query));
    assert_eq!((found, loads), (None, 1));
    // Totals by subject are known; a sum from the middle looks at the nearer side only.
    for (filter, from, wanted) in
        [(Filter::all(), 33, (68, 0)), (r(), 0, (2, 0)), (Filter::one(b"a"), 85, (8, 2))]
    {
        let mut query = PendingQuery::new(filter, from, false);
        let (pending, loads) = cost(&mut rig, |rig| rig.store.pending(&mut query));
        assert_eq!((pending.count, loads), wanted);
    }
    let mut query = PendingQuery::new(Filter::all(), 60, true);
    let (pending, loads) = cost(&mut rig, |rig| rig.store.pending(&mut query));
    assert_eq!((pending.count, loads), (3, 0));
    let mut query = LastQuery::new(Filter::all(), 0, 0);
    assert_eq!(cost(&mut rig, |rig| rig.store.last_seqs(&mut query)), (vec![75, 99, 100], 0));
    let mut query = LastQuery::new(Filter::all(), 45, 0);
    assert_eq!(cost(&mut rig, |rig| rig.store.last_seqs(&mut query)), (vec![25, 44, 45], 3));
    let time = TimeQuery { from_ns: 55 * SECOND };
    assert_eq!(cost(&mut rig, |rig| rig.store.seq_from_time(time)), (55, 1));
}

#[test]
fn an_overwrite_of_the_only_message_of_a_subject_reads_nothing() {
    let mut config = Config::new("S", Medium::File);
    (config.block_len, config.max_msgs_per_subject) = (1310, 1);
    let mut rig = Rig::files(config, 1);
    for i in 0..40 {
        append(&mut rig, &format!("k.{i}"), i, 0, b"");
    }
    rig.settle(Mono(0));
    rig.store.evict(Mono(u64::MAX));
    rig.works = 0;
    for i in (0..40).rev() {
        append(&mut rig, &format!("k.{i}"), 100, 0, b"");
    }
    assert_eq!(rig.store.state().messages, 40);
    assert!(!rig.store.is_over_limits());
    rig.settle(Mono(0));
    assert_eq!(rig.works, 0);
    assert_eq!(rig.store.state().first_seq, 41);
}

#[test]
fn an_idle_store_gives_its_blocks_back() {
    let mut rig = ten_blocks();
    let _ = cost(&mut rig, |rig| rig.store.last(&Filter::one(b"r")));
    rig.store.evict(Mono(u64::MAX));
    assert_eq!(rig.store.cached_bytes(), 0);
    assert_eq!(live(&mut rig).len(), 100);
    // No more than a few blocks are kept, however many are read.
    assert!(rig.store.cached_bytes() < 100 * 170);
}

#[test]
fn who_writes_fast_does_not_fill_memory() {
    let mut config = Config::new("S", Medium::File);
    config.block_len = 13_100;
    let mut rig = Rig::files(config, 1);
    for i in 0..2000 {
        append(&mut rig, "k", i, 0, b"");
        rig.settle(Mono(0));
    }
    // The last block, the one before it, and two more, with what leads to their messages.
    assert!(rig.store.cached_bytes() < 4 * 14_500, "{}", rig.store.cached_bytes());
}

#[test]
fn a_block_that_cannot_be_read_whole_is_not_written_anew() {
    for compression in [false, true] {
        // Gone, and cut between two records.
        for keep in [None, Some(131 * 3)] {
            let mut rig = ten_blocks();
            let mut config = rig.store.config().clone();
            config.compression = compression;
            rig.store.configure(config);
            (21..=26).for_each(|seq| {
                cost(&mut rig, |rig| rig.store.remove(seq, false));
            });
            rig.settle(Mono(0));
            rig.store.evict(Mono(u64::MAX));
            let path = format!("{}/msgs/3.blk", rig.folder);
            let mut hurt = rig.file("msgs/3.blk");
            rig.files.remove(&path).unwrap();
            if let Some(keep) = keep {
                hurt.truncate(keep);
                let file = rig.files.open(&path, Mode::Create).unwrap();
                rig.files.write_at(file, 0, &hurt).unwrap();
                rig.files.close(file);
            }
            rig.store.maintain();
            rig.settle(Mono(0));
            // Shorter blocks take their places with the next index.
            rig.store.checkpoint(Mono(1 << 40));
            rig.settle(Mono(1 << 40));
            let after = rig.file("msgs/3.blk");
            assert_eq!(after, if keep.is_some() { hurt } else { Vec::new() }, "compression {compression}");
            assert_eq!(rig.store.state().messages, 94);
        }
    }
}

#[test]
fn the_last_sequence_outlives_its_block() {
    for (count, order) in
        [(8u64, vec![8, 7, 1, 2, 3, 4, 5, 6]), (14, (1..=14).collect()), (15, (1..=15).rev().collect())]
    {
        for stop in [false, true] {
            let mut config = Config::new("S", Medium::File);
            config.block_len = 300;
            let mut rig = Rig::files(config, 1);
            (1..=count).for_each(|i| {
                append(&mut rig, "a", i as i64, 0, b"");
            });
            for seq in &order {
                while let Step::Wait = rig.store.remove(*seq, false) {
                    rig.step(Mono(0));
                }
                rig.settle(Mono(0));
            }
            rig.reopen(stop, at(100));
            let state = rig.store.state();
            assert_eq!((state.messages, state.last_seq), (0, count), "{order:?}");
            assert_eq!(append(&mut rig, "a", 200, 0, b""), count + 1);
        }
    }
}

#[test]
fn what_a_limit_removed_stays_away_when_it_is_raised() {
    let mut config = Config::new("S", Medium::File);
    config.max_msgs_per_subject = 1;
    let mut rig = Rig::files(config.clone(), 1);
    for i in 1..=3 {
        append(&mut rig, "a", i, 0, b"");
    }
    config.max_msgs_per_subject = 5;
    rig.store.configure(config);
    append(&mut rig, "a", 4, 0, b"");
    rig.settle(Mono(0));
    rig.reopen(false, at(10));
    assert_eq!(live(&mut rig), [3, 4]);
}

#[test]
fn what_expired_stays_gone_when_the_end_is_cut_under_other_limits() {
    let mut config = Config::new("S", Medium::File);
    config.max_age_ns = 10 * SECOND as u64;
    let mut rig = Rig::files(config.clone(), 1);
    for seconds in [1, 2, 20, 21] {
        append(&mut rig, "a", seconds, 0, b"");
    }
    rig.settle(at(21).mono);
    expire(&mut rig, 21);
    assert_eq!(live(&mut rig), [3, 4]);
    rig.store.configure(Config { max_age_ns: 0, ..config });
    rig.settle(at(21).mono);
    let mut cut = Truncate::new(3);
    assert!(matches!(rig.store.truncate(&mut cut, at(22)), Step::Ready(1)));
    rig.settle(at(22).mono);
    let recovery = rig.reopen(false, at(22));
    assert!(recovery.is_clean(), "{recovery:?}");
    assert_eq!(live(&mut rig), [3]);
}
