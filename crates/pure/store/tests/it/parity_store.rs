//! Operations one by one, with the numbers that they have to give: in memory, in files, and in files that were opened again.

use midge_stdx::clock::{Mono, Now, Wall};
use midge_store::port::Files;
use midge_store::stream::{
    Compact, Config, Discard, Filter, How, LastQuery, Medium, NewMessage, NextQuery, PendingQuery,
    PurgeQuery, State, StateQuery, Step, StoreError, SubjectQuery, Summary, TimeQuery, Truncate,
};

use crate::disk::Rig;

pub const SECOND: i64 = 1_000_000_000;
/// Bytes of a block that holds three of the messages that [`put`] stores.
const SHORT: u32 = 100;

pub fn at(seconds: i64) -> Now {
    Now { mono: Mono(seconds as u64 * SECOND as u64), wall: Wall(seconds * SECOND) }
}

pub fn rig(medium: Medium, change: impl Fn(&mut Config)) -> Rig {
    let mut config = Config::new("S", medium);
    config.block_len = SHORT;
    change(&mut config);
    match medium {
        Medium::Memory => Rig::memory(config),
        Medium::File => Rig::files(config, 1),
    }
}

/// One in memory and one in files, whose blocks hold three messages.
fn rigs(change: impl Fn(&mut Config)) -> [Rig; 2] {
    [Medium::Memory, Medium::File].map(|medium| rig(medium, &change))
}

fn is_file(rig: &Rig) -> bool {
    rig.store.config().medium == Medium::File
}

/// Calls until the answer is there.
macro_rules! wait {
    ($rig:expr, $call:expr) => {
        loop {
            match $call {
                Step::Ready(answer) => break Ok(answer),
                Step::Failed(error) => break Err::<_, StoreError>(error),
                Step::Wait => assert!($rig.step(Mono(1)), "it waits for nothing"),
            }
        }
    };
}
pub(crate) use wait;

/// A message without payload, at the second that is its sequence.
pub fn put(rig: &mut Rig, subject: &str) -> u64 {
    let now = at(rig.store.state().last_seq as i64 + 1);
    let seq = rig.store.append(now, &message(subject, b"", b"")).unwrap();
    while rig.store.is_over_limits() && rig.step(Mono(1)) {}
    seq
}

pub fn message<'a>(subject: &'a str, headers: &'a [u8], payload: &'a [u8]) -> NewMessage<'a> {
    NewMessage { subject: subject.as_bytes(), headers, payload, ..NewMessage::default() }
}

fn fill(rig: &mut Rig, subjects: &str) {
    for subject in subjects.split(' ') {
        put(rig, subject);
    }
}

/// Messages of one subject.
pub fn many(rig: &mut Rig, count: u64) {
    for _ in 0..count {
        put(rig, "a");
    }
}

pub fn remove(rig: &mut Rig, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        assert_eq!(wait!(rig, rig.store.remove(seq, false)), Ok(true), "{seq}");
    }
}

fn of(subjects: &str) -> Filter {
    Filter::of(subjects.split(' ').map(str::as_bytes))
}

fn next(rig: &mut Rig, filter: &str, from: u64) -> Option<u64> {
    let mut query = NextQuery { filter: of(filter), from };
    wait!(rig, rig.store.next(&mut query)).unwrap().map(|found| found.seq)
}

fn previous(rig: &mut Rig, filter: &str, from: u64) -> Option<u64> {
    let mut query = NextQuery { filter: of(filter), from };
    wait!(rig, rig.store.previous(&mut query)).unwrap().map(|found| found.seq)
}

fn last(rig: &mut Rig, filter: &str) -> Option<u64> {
    wait!(rig, rig.store.last(&of(filter))).unwrap().map(|found| found.seq)
}

fn lasts(rig: &mut Rig, filter: &str, upto: u64, most: usize) -> Result<Vec<u64>, StoreError> {
    let mut query = LastQuery::new(of(filter), upto, most);
    wait!(rig, rig.store.last_seqs(&mut query))
}

fn pending(rig: &mut Rig, filter: &str, from: u64, last_per_subject: bool) -> u64 {
    let mut query = PendingQuery::new(of(filter), from, last_per_subject);
    let pending = wait!(rig, rig.store.pending(&mut query)).unwrap();
    assert_eq!(pending.valid_through, rig.store.state().last_seq);
    pending.count
}

fn purge(rig: &mut Rig, filter: &str, below: u64, keep: u64) -> u64 {
    let mut query = PurgeQuery::new(of(filter), below, keep);
    wait!(rig, rig.store.purge_matching(&mut query)).unwrap()
}

pub fn compact(rig: &mut Rig, seq: u64) -> u64 {
    let mut query = Compact::new(seq);
    wait!(rig, rig.store.compact(&mut query)).unwrap()
}

pub fn truncate(rig: &mut Rig, seq: u64) -> u64 {
    let mut query = Truncate::new(seq);
    wait!(rig, rig.store.truncate(&mut query, at(1000))).unwrap()
}

pub fn live(rig: &mut Rig) -> Vec<u64> {
    let mut seqs = Vec::new();
    while let Some(seq) = next(rig, ">", seqs.last().map_or(0, |seq| seq + 1)) {
        seqs.push(seq);
    }
    seqs
}

/// First, last and number of messages.
pub fn ends(rig: &Rig) -> (u64, u64, u64) {
    let State { first_seq, last_seq, messages, .. } = *rig.store.state();
    (first_seq, last_seq, messages)
}

fn totals(rig: &mut Rig) -> Vec<(String, u64, u64, u64)> {
    let mut query = SubjectQuery::new(Filter::all());
    let found = wait!(rig, rig.store.subjects_state(&mut query)).unwrap();
    assert_eq!(found.len(), rig.store.subjects());
    let shown = |(subject, sum): (Box<[u8]>, Summary)| {
        (String::from_utf8(subject.to_vec()).unwrap(), sum.messages, sum.first_seq, sum.last_seq)
    };
    found.into_iter().map(shown).collect()
}

/// Stops, or is killed, and opens again; in files, all must be as before.
pub fn reopen(rig: &mut Rig, clean: bool) -> Option<How> {
    if !is_file(rig) {
        return None;
    }
    rig.settle(Mono(1));
    let before = (*rig.store.state(), live(rig), totals(rig));
    let recovery = rig.reopen(clean, at(2000));
    assert!(recovery.is_clean(), "{recovery:?}");
    assert_eq!((*rig.store.state(), live(rig), totals(rig)), before);
    Some(recovery.how)
}

/// Opened with the index, after a kill, and without any index.
pub fn reopen_all_ways(rig: &mut Rig) {
    reopen(rig, true);
    reopen(rig, false);
    if is_file(rig) {
        reopen(rig, true);
        rig.files.remove(&format!("{}/msgs/index.db", rig.folder)).unwrap();
        assert!(matches!(reopen(rig, false), Some(How::Rebuilt { .. })));
    }
}

#[test]
fn a_message_counts_for_its_record() {
    let headers = b"NATS/1.0\r\nname: derek\r\n\r\n";
    for (medium, plain, with_headers) in [(Medium::File, 38, 67), (Medium::Memory, 24, 49)] {
        let mut rig = rig(medium, |config| config.block_len = 1000);
        assert_eq!(rig.store.append(at(1), &message("foo", b"", b"hello")), Ok(1));
        assert_eq!(rig.store.state().bytes, plain);
        assert_eq!(rig.store.append(at(2), &message("foo", headers, b"hello")), Ok(2));
        let sum = State {
            messages: 2,
            bytes: plain + with_headers,
            first_seq: 1,
            last_seq: 2,
            last_ts_ns: 2 * SECOND,
        };
        assert_eq!(*rig.store.state(), sum);
        rig.settle(Mono(1));
        if medium == Medium::File {
            assert_eq!(rig.file("msgs/1.blk").len() as u64, sum.bytes);
        }
        reopen_all_ways(&mut rig);
        let found = wait!(rig, rig.store.load(2)).unwrap();
        assert_eq!((found.seq, found.ts_ns, found.subject()), (2, 2 * SECOND, &b"foo"[..]));
        assert_eq!((found.headers(), found.payload()), (&headers[..], &b"hello"[..]));
        assert_eq!(wait!(rig, rig.store.load(1)).unwrap().headers(), b"");
        assert_eq!(wait!(rig, rig.store.load(3)), Err(StoreError::End));
        remove(&mut rig, [1]);
        assert_eq!(rig.store.state().bytes, with_headers);
    }
}

#[test]
fn limits_remove_the_oldest() {
    for mut rig in rigs(|config| config.max_msgs = 10) {
        many(&mut rig, 10);
        assert_eq!(ends(&rig), (1, 10, 10));
        many(&mut rig, 5);
        assert_eq!(ends(&rig), (6, 15, 10));
        reopen_all_ways(&mut rig);
        assert_eq!(totals(&mut rig), [("a".to_owned(), 10, 6, 15)]);
    }
    for mut rig in rigs(|config| config.max_bytes = 93) {
        let most = if is_file(&rig) { 3 } else { 5 };
        many(&mut rig, 8);
        assert_eq!(ends(&rig), (9 - most, 8, most));
        // What is longer than the limit by itself takes a sequence, and all the others with it.
        rig.store.append(at(9), &message("a", b"", &[0; 200])).unwrap();
        while rig.store.is_over_limits() && rig.step(Mono(1)) {}
        assert_eq!((ends(&rig), rig.store.state().bytes, rig.store.subjects()), ((10, 9, 0), 0, 0));
        assert_eq!(put(&mut rig, "a"), 10);
        reopen_all_ways(&mut rig);
    }
    for mut rig in rigs(|config| (config.max_msgs, config.max_msgs_per_subject) = (4, 2)) {
        fill(&mut rig, "a a a b b b c");
        assert_eq!(live(&mut rig), [3, 5, 6, 7]);
        put(&mut rig, "d");
        assert_eq!(live(&mut rig), [5, 6, 7, 8]);
        put(&mut rig, "b");
        assert_eq!(live(&mut rig), [6, 7, 8, 9]);
        reopen_all_ways(&mut rig);
    }
}

/// Appends each, and tells what the last one got.
fn discarded(rig: &mut Rig, check: bool, messages: &[(&str, &[u8], usize)]) -> Result<u64, StoreError> {
    let mut result = Ok(0);
    for (subject, headers, len) in messages {
        assert!(result.is_ok(), "{result:?}");
        let payload = vec![b'x'; *len];
        let new = message(subject, headers, &payload);
        result = rig.store.append_at(0, SECOND, Mono(1), &new, check);
        while rig.store.is_over_limits() && rig.step(Mono(1)) {}
    }
    result
}

#[test]
fn a_full_store_refuses_or_replaces() {
    use StoreError::{MaxBytes, MaxMsgs, MaxMsgsPerSubject};
    type Case<'a> = ((u64, u64, u64, bool), &'a [(&'a str, &'a [u8], usize)], Result<u64, StoreError>);
    let rollup: &[u8] = b"NATS/1.0\r\nNats-Rollup: sub\r\n\r\n";
    // Limits of messages, bytes and per subject, whether the last refuses as well; in bytes of payload beside the overhead of each message.
    let cases: [Case<'_>; 16] = [
        ((1, 0, 0, false), &[("a", b"", 0)], Ok(1)),
        ((1, 0, 0, false), &[("a", b"", 0), ("b", b"", 0)], Err(MaxMsgs)),
        ((1, 0, 0, false), &[("a", b"", 0), ("a", b"", 0)], Err(MaxMsgs)),
        ((1, 0, 1, false), &[("a", b"", 0), ("a", b"", 0)], Ok(2)),
        ((1, 0, 1, false), &[("a", b"", 0), ("b", b"", 0)], Err(MaxMsgs)),
        ((2, 0, 2, false), &[("a", b"", 0), ("b", b"", 0), ("a", b"", 0)], Err(MaxMsgs)),
        ((0, 0, 1, false), &[("a", b"", 0), ("a", b"", 0)], Ok(2)),
        ((0, 0, 1, true), &[("a", b"", 0), ("b", b"", 0)], Ok(2)),
        ((0, 0, 1, true), &[("a", b"", 0), ("a", b"", 0)], Err(MaxMsgsPerSubject)),
        ((0, 0, 1, true), &[("a", b"", 0), ("a", rollup, 0)], Ok(2)),
        ((1, 0, 1, true), &[("a", b"", 0), ("a", b"", 0)], Err(MaxMsgsPerSubject)),
        ((0, 1, 0, false), &[("a", b"", 0), ("b", b"", 0)], Err(MaxBytes)),
        ((0, 2, 0, false), &[("a", b"", 0), ("b", b"", 0)], Ok(2)),
        ((0, 2, 0, false), &[("a", b"", 0), ("b", b"", 1)], Err(MaxBytes)),
        ((0, 1, 1, false), &[("a", b"", 0), ("a", b"", 0)], Ok(2)),
        ((0, 1, 1, false), &[("a", b"", 0), ("a", b"", 1)], Err(MaxBytes)),
    ];
    for ((max_msgs, max_bytes, per_subject, refuse), messages, wanted) in cases {
        for discard in [Discard::New, Discard::Old] {
            for check in [true, false] {
                let stores = rigs(|config| {
                    // Bytes are given as so many messages of a subject of one byte.
                    let each = if config.medium == Medium::File { 31 } else { 17 };
                    (config.max_msgs, config.max_bytes) = (max_msgs, max_bytes * each);
                    (config.max_msgs_per_subject, config.discard_new_per_subject) = (per_subject, refuse);
                    config.discard = discard;
                });
                for mut rig in stores {
                    let got = discarded(&mut rig, check, messages);
                    let refused = discard == Discard::New && check;
                    let wanted = if refused { wanted.clone() } else { Ok(messages.len() as u64) };
                    let what = format!("{:?} check {check} {messages:?}", rig.store.config());
                    assert_eq!(got, wanted, "{what}");
                    // What is refused leaves nothing.
                    let last = messages.len() as u64 - u64::from(wanted.is_err());
                    assert_eq!(rig.store.state().last_seq, last, "{what}");
                }
            }
        }
    }
    assert_eq!(MaxMsgs.to_string(), "maximum messages exceeded");
    assert_eq!(MaxBytes.to_string(), "maximum bytes exceeded");
    assert_eq!(MaxMsgsPerSubject.to_string(), "maximum messages per subject exceeded");
}

#[test]
fn searches_go_forward_and_backward() {
    for mut rig in rigs(|_| {}) {
        assert_eq!(
            (next(&mut rig, ">", 0), previous(&mut rig, ">", 9), last(&mut rig, ">")),
            (None, None, None)
        );
        fill(&mut rig, "a b.1 c b.2 a c c c c b.1 c c");
        reopen(&mut rig, true);
        for (filter, from, wanted) in [
            ("a", 0, Some(1)),
            ("a", 2, Some(5)),
            ("a", 6, None),
            ("a b.2", 2, Some(4)),
            ("b.*", 5, Some(10)),
            ("b.*", 11, None),
            ("b.2 b.1 x", 3, Some(4)),
            ("x y.>", 1, None),
            (">", 7, Some(7)),
            ("a >", 12, Some(12)),
            ("c", 13, None),
            ("c", u64::MAX, None),
        ] {
            assert_eq!(next(&mut rig, filter, from), wanted, "{filter} from {from}");
        }
        for (filter, from, wanted) in [
            ("a", 12, Some(5)),
            ("a", 4, Some(1)),
            ("b.2", 3, None),
            ("a b.2", 4, Some(4)),
            ("b.*", 9, Some(4)),
            ("b.* a", u64::MAX, Some(10)),
            (">", 7, Some(7)),
            ("x >", 100, Some(12)),
            ("c", 2, None),
            ("a", 0, None),
        ] {
            assert_eq!(previous(&mut rig, filter, from), wanted, "{filter} back from {from}");
        }
        remove(&mut rig, [5, 6, 7, 8, 9, 12]);
        assert_eq!(
            (next(&mut rig, ">", 5), previous(&mut rig, ">", 9), previous(&mut rig, "a >", 12)),
            (Some(10), Some(4), Some(11))
        );
        assert_eq!((next(&mut rig, "a", 2), previous(&mut rig, "a", 9)), (None, Some(1)));
        assert_eq!((next(&mut rig, "c", 4), previous(&mut rig, "c", 10)), (Some(11), Some(3)));
        assert_eq!(
            (last(&mut rig, ">"), last(&mut rig, "c"), last(&mut rig, "b.*")),
            (Some(11), Some(11), Some(10))
        );
        remove(&mut rig, [10]);
        assert_eq!(
            (last(&mut rig, "b.*"), last(&mut rig, "b.1"), last(&mut rig, "x")),
            (Some(4), Some(2), None)
        );
    }
}

#[test]
fn times_lead_to_sequences_over_gaps() {
    for mut rig in rigs(|_| {}) {
        let from = |rig: &mut Rig, at_ns| {
            let query = TimeQuery { from_ns: at_ns };
            wait!(rig, rig.store.seq_from_time(query)).unwrap()
        };
        assert_eq!(from(&mut rig, 5), 1);
        many(&mut rig, 12);
        remove(&mut rig, [4, 5, 6, 7, 8, 11, 12]);
        for kill in [false, true] {
            for (seconds, wanted) in [
                (-1, 1),
                (1, 1),
                (2, 2),
                (3, 3),
                (4, 9),
                (8, 9),
                (9, 9),
                (10, 10),
                (11, 13),
                (12, 13),
                (99, 13),
            ] {
                assert_eq!(from(&mut rig, seconds * SECOND), wanted, "second {seconds}");
            }
            assert_eq!((from(&mut rig, SECOND + 1), from(&mut rig, 10 * SECOND + 1)), (2, 13));
            reopen(&mut rig, !kill);
        }
        assert_eq!(put(&mut rig, "a"), 13);
        assert_eq!(from(&mut rig, 11 * SECOND), 13);
        remove(&mut rig, [1, 2, 3, 9, 10]);
        assert_eq!(
            (from(&mut rig, 0), from(&mut rig, 13 * SECOND), from(&mut rig, 14 * SECOND)),
            (13, 13, 14)
        );
    }
}

#[test]
fn purges_spare_what_they_are_told_to() {
    let subjects = "a b a b a b a b a b";
    let all: Vec<u64> = (1..=10).collect();
    for (filter, below, keep, left) in [
        ("a", 0, 0, &[2, 4, 6, 8, 10][..]),
        ("a", 1, 0, &all),
        (">", 1, 0, &all),
        ("", 0, 0, &[]),
        (">", 6, 0, &[6, 7, 8, 9, 10]),
        (">", 11, 0, &[]),
        ("a", 6, 0, &[2, 4, 6, 7, 8, 9, 10]),
        ("a", 7, 0, &[2, 4, 6, 7, 8, 9, 10]),
        ("a", 0, 1, &[2, 4, 6, 8, 9, 10]),
        ("b", 0, 5, &all),
        ("b", 0, 9, &all),
        ("*", 0, 3, &[8, 9, 10]),
        ("", 0, 4, &[7, 8, 9, 10]),
        ("a b", 0, 2, &[9, 10]),
        ("x", 0, 0, &all),
    ] {
        for mut rig in rigs(|_| {}) {
            fill(&mut rig, subjects);
            let gone = 10 - left.len() as u64;
            assert_eq!(purge(&mut rig, filter, below, keep), gone, "{filter:?} {below} {keep}");
            assert_eq!(live(&mut rig), left, "{filter:?} {below} {keep}");
            let first = left.first().copied().unwrap_or(11);
            assert_eq!(ends(&rig), (first, 10, left.len() as u64));
            let mut changes = Vec::new();
            rig.store.take_changes(&mut changes);
            assert_eq!(changes.iter().map(|change| change.messages).sum::<u64>(), gone);
            reopen_all_ways(&mut rig);
            assert_eq!(put(&mut rig, "a"), 11);
        }
    }
    // Those that are gone already are not among the kept.
    for mut rig in rigs(|_| {}) {
        fill(&mut rig, subjects);
        remove(&mut rig, [3, 7, 9]);
        assert_eq!(purge(&mut rig, "a", 0, 1), 1);
        assert_eq!(live(&mut rig), [2, 4, 5, 6, 8, 10]);
        assert_eq!(totals(&mut rig), [("a".to_owned(), 1, 5, 5), ("b".to_owned(), 5, 2, 10)]);
        assert_eq!(purge(&mut rig, "", 0, 2), 4);
        assert_eq!(live(&mut rig), [8, 10]);
        assert_eq!(rig.store.purge(), Ok(2));
        assert_eq!((ends(&rig), rig.store.state().last_ts_ns), ((11, 10, 0), 10 * SECOND));
        assert_eq!(rig.store.purge(), Ok(0));
        reopen_all_ways(&mut rig);
    }
}

#[test]
fn compaction_goes_to_the_next_live_message() {
    for (removed, to, wanted) in [
        (&[][..], 4, (4, 10, 7)),
        (&[], 10, (10, 10, 1)),
        (&[], 11, (11, 10, 0)),
        (&[], 0, (11, 10, 0)),
        (&[], 1, (1, 10, 10)),
        // The stream goes on from there.
        (&[], 100, (100, 99, 0)),
        (&[4, 5, 6], 4, (7, 10, 4)),
        (&[4, 5, 6], 6, (7, 10, 4)),
        (&[8, 9, 10], 9, (11, 10, 0)),
        (&[1, 2, 3], 2, (4, 10, 7)),
        (&[2, 4, 6, 8], 5, (5, 10, 4)),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 20, (20, 19, 0)),
    ] {
        for mut rig in rigs(|_| {}) {
            fill(&mut rig, "a b a b a b a b a b");
            remove(&mut rig, removed.iter().copied());
            let before = rig.store.state().messages;
            assert_eq!(compact(&mut rig, to), before - wanted.2, "{removed:?} to {to}");
            assert_eq!(ends(&rig), wanted, "{removed:?} to {to}");
            // No deleted sequence is counted before the first one.
            let first = wanted.0;
            let inside = removed.iter().filter(|seq| **seq >= first).count() as u64;
            assert_eq!(rig.store.deleted(), inside, "{removed:?} to {to}");
            reopen_all_ways(&mut rig);
            assert_eq!(put(&mut rig, "a"), wanted.1 + 1);
            assert_eq!(compact(&mut rig, wanted.1 + 1), wanted.2);
            assert_eq!(ends(&rig), (wanted.1 + 1, wanted.1 + 1, 1));
            assert_eq!(totals(&mut rig), [("a".to_owned(), 1, wanted.1 + 1, wanted.1 + 1)]);
            reopen_all_ways(&mut rig);
        }
    }
}

#[test]
fn truncation_ends_at_the_sequence_it_is_given() {
    for compression in [false, true] {
        for (removed, to, wanted, deleted) in [
            (&[][..], 7, (1, 7, 7), 0),
            (&[], 10, (1, 10, 10), 0),
            (&[], 12, (1, 10, 10), 0),
            (&[], 1, (1, 1, 1), 0),
            (&[], 0, (0, 0, 0), 0),
            (&[5, 6], 6, (1, 6, 4), 2),
            (&[2, 9], 8, (1, 8, 7), 1),
            (&[1, 2, 3], 3, (4, 3, 0), 0),
            (&[4, 5, 6], 5, (1, 5, 3), 2),
            (&[8, 9, 10], 9, (1, 9, 7), 2),
        ] {
            for mut rig in rigs(|config| config.compression = compression) {
                fill(&mut rig, "a b a b a b a b a b");
                rig.settle(Mono(1));
                remove(&mut rig, removed.iter().copied());
                let before = rig.store.state().messages;
                assert_eq!(truncate(&mut rig, to), before - wanted.2, "{removed:?} to {to}");
                assert_eq!((ends(&rig), rig.store.deleted()), (wanted, deleted), "{removed:?} to {to}");
                if to > 0 && removed.contains(&to) {
                    // Of what is deleted, the blocks alone may know another time.
                    reopen(&mut rig, true);
                    reopen(&mut rig, false);
                } else if to > 0 {
                    reopen_all_ways(&mut rig);
                }
                assert_eq!(put(&mut rig, "c"), wanted.1 + 1);
                assert_eq!(last(&mut rig, ">"), Some(wanted.1 + 1));
                reopen_all_ways(&mut rig);
            }
        }
    }
}

#[test]
fn skipped_sequences_carry_the_last_time_on() {
    for mut rig in rigs(|_| {}) {
        let now = at(50);
        // Without any message before, the time is that of the skip.
        assert_eq!(rig.store.skip(0, now, false), Ok(1));
        assert_eq!((ends(&rig), rig.store.state().last_ts_ns), ((2, 1, 0), 50 * SECOND));
        rig.store.append(at(60), &message("a", b"", b"")).unwrap();
        rig.store.skip_range(3, 5, at(70), false).unwrap();
        assert_eq!((ends(&rig), rig.store.state().last_ts_ns), ((2, 7, 1), 60 * SECOND));
        assert_eq!(rig.store.skip(9, now, false), Err(StoreError::Sequence));
        assert_eq!(rig.store.skip_range(7, 2, now, false), Err(StoreError::Sequence));
        assert_eq!(rig.store.deleted(), 5);
        reopen_all_ways(&mut rig);
        assert_eq!(rig.store.skip(8, at(80), true), Ok(8));
        assert_eq!((ends(&rig), rig.store.state().last_ts_ns), ((2, 8, 1), 80 * SECOND));
        reopen_all_ways(&mut rig);
        // One record for any number of them.
        let long = 1 << 40;
        rig.store.skip_range(0, long, at(90), false).unwrap();
        assert_eq!((ends(&rig), rig.store.deleted()), ((2, 8 + long, 1), 6 + long));
        assert!(rig.store.utilization().0 < 300);
        reopen_all_ways(&mut rig);
        assert_eq!(rig.store.append(at(100), &message("a", b"", b"")), Ok(9 + long));
        assert_eq!((next(&mut rig, ">", 3), previous(&mut rig, "a", 8 + long)), (Some(9 + long), Some(2)));
        remove(&mut rig, [2]);
        assert_eq!(ends(&rig), (9 + long, 9 + long, 1));
        reopen_all_ways(&mut rig);
    }
}

#[test]
fn the_first_sequence_may_be_any() {
    for mut rig in rigs(|config| config.first_seq = 1000) {
        assert_eq!(ends(&rig), (1000, 999, 0));
        reopen(&mut rig, true);
        fill(&mut rig, "a b");
        assert_eq!((ends(&rig), live(&mut rig)), ((1000, 1001, 2), vec![1000, 1001]));
        reopen_all_ways(&mut rig);
        assert_eq!(wait!(rig, rig.store.load(999)), Err(StoreError::NotFound));
        assert_eq!(put(&mut rig, "a"), 1002);
    }
}

#[test]
fn messages_that_are_left_are_counted() {
    for mut rig in rigs(|_| {}) {
        assert_eq!(pending(&mut rig, ">", 0, false), 0);
        fill(&mut rig, "a b.1 a b.2 c a b.1 c d b.1 a d");
        remove(&mut rig, [3, 8, 9]);
        for kill in [true, false] {
            for (filter, from, messages, subjects) in [
                (">", 0, 9, 5),
                (">", 4, 7, 5),
                (">", 12, 1, 1),
                (">", 13, 0, 0),
                ("a", 1, 3, 1),
                ("a", 7, 1, 1),
                ("a", 12, 0, 0),
                ("b.*", 3, 3, 2),
                // Of a subject whose last message lies before, none counts.
                ("b.*", 5, 2, 1),
                ("a c", 5, 3, 2),
                ("a c", 6, 2, 1),
                ("c", 6, 0, 0),
                ("d", 1, 1, 1),
                ("x", 1, 0, 0),
                ("b.1 b.2 d", 2, 5, 3),
            ] {
                let what = format!("{filter} from {from}");
                assert_eq!(pending(&mut rig, filter, from, false), messages, "{what}");
                assert_eq!(pending(&mut rig, filter, from, true), subjects, "{what}");
            }
            reopen(&mut rig, !kill);
        }
        let mut query = StateQuery::new(4, of("a"));
        let sum = wait!(rig, rig.store.filtered_state(&mut query)).unwrap();
        assert_eq!(sum, Summary { messages: 2, first_seq: 6, last_seq: 11 });
        let mut query = StateQuery::new(13, of("a"));
        let beyond = wait!(rig, rig.store.filtered_state(&mut query)).unwrap();
        let file = is_file(&rig);
        assert_eq!((beyond.messages, beyond.last_seq), (0, if file { 12 } else { 0 }));
    }
}

#[test]
fn last_ones_of_subjects_up_to_a_sequence() {
    for mut rig in rigs(|_| {}) {
        assert_eq!(lasts(&mut rig, ">", 0, 0), Ok(vec![]));
        fill(&mut rig, "a.1 b a.2 a.1 b c a.2 a.1 c");
        reopen(&mut rig, true);
        for (filter, upto, wanted) in [
            (">", 0, &[5, 7, 8, 9][..]),
            (">", 9, &[5, 7, 8, 9]),
            (">", 99, &[5, 7, 8, 9]),
            (">", 6, &[3, 4, 5, 6]),
            (">", 2, &[1, 2]),
            ("a.*", 7, &[4, 7]),
            ("a.* a.1", 7, &[4, 7]),
            ("b c", 5, &[5]),
            // In whatever order they are asked for.
            ("c b a.1", 0, &[5, 8, 9]),
            ("x", 0, &[]),
        ] {
            assert_eq!(lasts(&mut rig, filter, upto, 0), Ok(wanted.to_vec()), "{filter} up to {upto}");
        }
        assert_eq!(lasts(&mut rig, "a.*", 0, 2), Ok(vec![7, 8]));
        assert_eq!(lasts(&mut rig, "a.*", 0, 1), Err(StoreError::TooMany));
        assert_eq!(lasts(&mut rig, ">", 6, 3), Err(StoreError::TooMany));
        assert_eq!(lasts(&mut rig, ">", 2, 2), Ok(vec![1, 2]));
        // The last one went: the one before is it.
        remove(&mut rig, [8, 9, 5]);
        assert_eq!(lasts(&mut rig, ">", 0, 0), Ok(vec![2, 4, 6, 7]));
        assert_eq!(
            (last(&mut rig, "a.1"), last(&mut rig, "a.*"), last(&mut rig, "b")),
            (Some(4), Some(7), Some(2))
        );
        reopen_all_ways(&mut rig);
        assert_eq!(lasts(&mut rig, "a.1 b", 3, 0), Ok(vec![1, 2]));
    }
}

#[test]
fn subjects_know_their_messages_after_every_removal() {
    for mut rig in rigs(|_| {}) {
        fill(&mut rig, "a b a b a b a b");
        let is = |rig: &mut Rig, wanted: &[(&str, u64, u64, u64)]| {
            let found = totals(rig);
            let found: Vec<_> =
                found.iter().map(|(name, n, first, last)| (&**name, *n, *first, *last)).collect();
            assert_eq!(found, wanted);
        };
        is(&mut rig, &[("a", 4, 1, 7), ("b", 4, 2, 8)]);
        remove(&mut rig, [1]);
        is(&mut rig, &[("a", 3, 3, 7), ("b", 4, 2, 8)]);
        remove(&mut rig, [7]);
        is(&mut rig, &[("a", 2, 3, 5), ("b", 4, 2, 8)]);
        remove(&mut rig, [4, 8, 3]);
        is(&mut rig, &[("a", 1, 5, 5), ("b", 2, 2, 6)]);
        reopen_all_ways(&mut rig);
        put(&mut rig, "a");
        compact(&mut rig, 6);
        is(&mut rig, &[("a", 1, 9, 9), ("b", 1, 6, 6)]);
        remove(&mut rig, [6]);
        is(&mut rig, &[("a", 1, 9, 9)]);
        truncate(&mut rig, 8);
        is(&mut rig, &[]);
        assert_eq!(put(&mut rig, "b"), 9);
        is(&mut rig, &[("b", 1, 9, 9)]);
        assert_eq!(wait!(rig, rig.store.subject_of(9)).unwrap().subject(), b"b");
        assert_eq!(wait!(rig, rig.store.subject_of(8)), Err(StoreError::NotFound));
        assert_eq!(wait!(rig, rig.store.subject_of(10)), Err(StoreError::NotFound));
    }
}

#[test]
fn a_lower_limit_per_subject_keeps_the_newest() {
    for before in [0, 10] {
        for mut rig in rigs(|config| config.max_msgs_per_subject = before) {
            fill(&mut rig, "a b a b a b a b a b");
            let configure = |rig: &mut Rig, most| {
                let config = Config { max_msgs_per_subject: most, ..rig.store.config().clone() };
                rig.store.configure(config);
                while rig.store.is_over_limits() && rig.step(Mono(1)) {}
            };
            configure(&mut rig, 20);
            assert_eq!(ends(&rig), (1, 10, 10));
            configure(&mut rig, 3);
            assert_eq!(live(&mut rig), [5, 6, 7, 8, 9, 10]);
            remove(&mut rig, [10]);
            configure(&mut rig, 1);
            assert_eq!(live(&mut rig), [8, 9]);
            fill(&mut rig, "a b b");
            assert_eq!(live(&mut rig), [11, 13]);
            assert_eq!(totals(&mut rig), [("a".to_owned(), 1, 11, 11), ("b".to_owned(), 1, 13, 13)]);
            configure(&mut rig, 0);
            fill(&mut rig, "a a");
            assert_eq!(live(&mut rig), [11, 13, 14, 15]);
            reopen(&mut rig, true);
            reopen(&mut rig, false);
        }
    }
}

#[test]
fn a_message_is_removed_once() {
    for mut rig in rigs(|_| {}) {
        fill(&mut rig, "a a a a a a a a");
        let file = is_file(&rig);
        for (seq, error) in [(0, StoreError::NotFound), (9, StoreError::End)] {
            let wanted = if file { Err(error) } else { Ok(false) };
            assert_eq!(wait!(rig, rig.store.remove(seq, false)), wanted.clone());
            assert_eq!(wait!(rig, rig.store.remove(seq, true)), wanted);
        }
        remove(&mut rig, [3, 2]);
        assert_eq!(wait!(rig, rig.store.remove(3, false)), Ok(false));
        assert_eq!((ends(&rig), rig.store.deleted()), ((1, 8, 6), 2));
        // The first one moves over those behind it that are gone.
        remove(&mut rig, [1]);
        assert_eq!((ends(&rig), rig.store.deleted()), ((4, 8, 5), 0));
        let below = if file { Err(StoreError::NotFound) } else { Ok(false) };
        assert_eq!(wait!(rig, rig.store.remove(1, true)), below);
        // The last sequence stays, and its time.
        remove(&mut rig, [8, 7]);
        assert_eq!((ends(&rig), rig.store.state().last_ts_ns), ((4, 8, 3), 8 * SECOND));
        assert!(wait!(rig, rig.store.load(8)).is_err());
        reopen_all_ways(&mut rig);
        remove(&mut rig, [4, 5, 6]);
        assert_eq!((ends(&rig), rig.store.state().last_ts_ns), ((9, 8, 0), 8 * SECOND));
        reopen(&mut rig, true);
        reopen(&mut rig, false);
        assert_eq!(put(&mut rig, "a"), 9);
        assert_eq!(ends(&rig), (9, 9, 1));
    }
}
