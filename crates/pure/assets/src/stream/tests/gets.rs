//! Gets, purges, information, interest.

use midge_jsapi::requests::{MsgGet, StreamPurge};
use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::Wall;
use midge_store::stream::{Filter, Step};

use super::harness::{Bench, SECOND, config, text};
use crate::stream::get::direct::{Answer, DirectGet};
use crate::stream::get::{Got, Which};
use crate::stream::{info, interest, purge};

fn six() -> Bench {
    let mut bench = Bench::new(config());
    for n in 0..6 {
        bench.stored(&format!("s.{}", n % 3), &[], &format!("x{n}"));
        bench.pass(SECOND);
    }
    bench
}

fn find(bench: &mut Bench, request: MsgGet, visible: u64) -> Got {
    Which::of(&request).unwrap().find(&mut bench.store, visible).ready().unwrap()
}

#[test]
fn single_messages_are_found() {
    let mut bench = six();
    let start = bench.now.wall.0 - 6 * SECOND;
    let cases: [(MsgGet, Option<u64>); 9] = [
        (MsgGet { seq: 2, ..MsgGet::default() }, Some(2)),
        (MsgGet { seq: 7, ..MsgGet::default() }, None),
        (MsgGet { last_by_subj: "s.1".into(), ..MsgGet::default() }, Some(5)),
        (MsgGet { last_by_subj: "s.*".into(), ..MsgGet::default() }, Some(6)),
        (MsgGet { next_by_subj: "s.1".into(), seq: 3, ..MsgGet::default() }, Some(5)),
        (MsgGet { next_by_subj: "s.1".into(), ..MsgGet::default() }, Some(2)),
        (MsgGet { start_time: Some(Wall(start + 2 * SECOND)), ..MsgGet::default() }, Some(3)),
        (
            MsgGet {
                start_time: Some(Wall(start + 2 * SECOND)),
                next_by_subj: "s.0".into(),
                ..MsgGet::default()
            },
            Some(4),
        ),
        (MsgGet { start_time: Some(Wall(start + 60 * SECOND)), ..MsgGet::default() }, None),
    ];
    for (request, want) in cases {
        let got = match find(&mut bench, request.clone(), 6) {
            Got::Message(message) => Some(message.seq),
            Got::NotFound => None,
            Got::Later(_) => panic!("everything is durable"),
        };
        assert_eq!(got, want, "{request:?}");
    }
    for bad in [
        MsgGet::default(),
        MsgGet { seq: 1, last_by_subj: "a".into(), ..MsgGet::default() },
        MsgGet { seq: 1, start_time: Some(Wall(1)), ..MsgGet::default() },
        MsgGet { last_by_subj: "a".into(), next_by_subj: "a".into(), ..MsgGet::default() },
        MsgGet { last_by_subj: "a".into(), start_time: Some(Wall(1)), ..MsgGet::default() },
        MsgGet { seq: 1, batch: 2, ..MsgGet::default() },
        MsgGet { seq: 1, max_bytes: 2, ..MsgGet::default() },
    ] {
        assert_eq!(Which::of(&bad).unwrap_err().err_code, 10003);
    }
}

#[test]
fn what_is_not_durable_makes_gets_wait() {
    let mut bench = six();
    assert_eq!(
        find(&mut bench, MsgGet { last_by_subj: "s.2".into(), ..MsgGet::default() }, 5),
        Got::Later(6)
    );
    assert_eq!(find(&mut bench, MsgGet { seq: 6, ..MsgGet::default() }, 5), Got::Later(6));
    let many = MsgGet { multi_last: vec!["s.>".into()], ..MsgGet::default() };
    let mut get = DirectGet::new(&many, None, u64::MAX).unwrap();
    let mut out = Vec::new();
    assert_eq!(get.step(&mut bench.store, 5, b"S", &mut out), Step::Ready(Answer::Later(6)));
    assert!(matches!(get.step(&mut bench.store, 6, b"S", &mut out), Step::Ready(Answer::Message { .. })));
}

/// Sequences with how many follow and which came before, then the last line.
fn direct(bench: &mut Bench, request: MsgGet, visible: u64) -> Vec<String> {
    let mut get = match DirectGet::new(&request, None, u64::MAX) {
        Ok(get) => get,
        Err(status) => return vec![text(status).trim_end().to_owned()],
    };
    let mut answers = Vec::new();
    loop {
        let mut out = Vec::new();
        match get.step(&mut bench.store, visible, b"S", &mut out).ready().unwrap() {
            Answer::Later(_) => panic!("everything is durable"),
            Answer::Status => {
                answers.push(text(&out).trim_end().replace("\r\n", " "));
                return answers;
            }
            Answer::Message { message, last } => {
                let headers: Vec<&str> = text(&out).trim_end().split("\r\n").skip(5).collect();
                answers
                    .push(format!("{} {}", text(message.payload()), headers.join(" ")).trim_end().to_owned());
                if last {
                    return answers;
                }
            }
        }
    }
}

#[test]
fn direct_gets_send_rows_of_messages() {
    let mut bench = six();
    let row = MsgGet { seq: 1, batch: 2, ..MsgGet::default() };
    let mut rows = |request: MsgGet| direct(&mut bench, request, 6);
    assert_eq!(
        rows(row.clone()),
        [
            "x0 Nats-Num-Pending: 5 Nats-Last-Sequence: 0",
            "x1 Nats-Num-Pending: 4 Nats-Last-Sequence: 1",
            "NATS/1.0 204 EOB Nats-Num-Pending: 4 Nats-Last-Sequence: 2"
        ]
    );
    let next = MsgGet { next_by_subj: "s.1".into(), seq: 1, batch: 5, ..MsgGet::default() };
    assert_eq!(
        rows(next),
        [
            "x1 Nats-Num-Pending: 1 Nats-Last-Sequence: 0",
            "x4 Nats-Num-Pending: 0 Nats-Last-Sequence: 2",
            "NATS/1.0 204 EOB Nats-Num-Pending: 0 Nats-Last-Sequence: 5"
        ]
    );
    let bare = rows(MsgGet { no_hdr: true, ..row.clone() });
    assert_eq!(bare, ["x0", "x1", "NATS/1.0 204 EOB Nats-Num-Pending: 4 Nats-Last-Sequence: 2"]);
    let little = rows(MsgGet { max_bytes: 1, batch: 9, ..row.clone() });
    assert_eq!(little.len(), 2);
    // Subject, headers and payload count: 5 bytes each.
    assert_eq!(rows(MsgGet { max_bytes: 5, batch: 9, ..row.clone() }).len(), 2);
    assert_eq!(rows(MsgGet { max_bytes: 6, batch: 9, ..row.clone() }).len(), 3);
    let none = rows(MsgGet { seq: 3, batch: -1, ..MsgGet::default() });
    assert_eq!(none, ["NATS/1.0 204 EOB Nats-Num-Pending: 4 Nats-Last-Sequence: 0"]);
    assert_eq!(rows(MsgGet { seq: 9, ..row.clone() }), ["NATS/1.0 404 Message Not Found"]);
    assert_eq!(rows(MsgGet { seq: 9, ..MsgGet::default() }), ["NATS/1.0 404 Message Not Found"]);
    assert_eq!(rows(MsgGet { batch: 2, ..MsgGet::default() }), ["NATS/1.0 408 Empty Request"]);
    assert_eq!(
        rows(MsgGet { last_by_subj: "s.1".into(), batch: 2, ..MsgGet::default() }),
        ["NATS/1.0 408 Bad Request"]
    );
    assert_eq!(rows(MsgGet { seq: 1, max_bytes: 1, ..MsgGet::default() }), ["x0"]);
    // What is not visible is not there.
    assert_eq!(
        direct(&mut bench, MsgGet { seq: 3, batch: 9, ..MsgGet::default() }, 3),
        [
            "x2 Nats-Num-Pending: 0 Nats-Last-Sequence: 0",
            "NATS/1.0 204 EOB Nats-Num-Pending: 0 Nats-Last-Sequence: 3"
        ]
    );
}

#[test]
fn direct_gets_send_the_last_messages_of_subjects() {
    let mut bench = six();
    let start = bench.now.wall.0 - 6 * SECOND;
    let many = MsgGet { multi_last: vec!["s.>".into()], ..MsgGet::default() };
    let mut rows = |request: MsgGet| direct(&mut bench, request, 6);
    assert_eq!(
        rows(MsgGet { batch: 2, ..many.clone() }),
        [
            "x3 Nats-Num-Pending: 2 Nats-Last-Sequence: 0",
            "x4 Nats-Num-Pending: 1 Nats-Last-Sequence: 4",
            "NATS/1.0 204 EOB Nats-Num-Pending: 1 Nats-Last-Sequence: 5 Nats-UpTo-Sequence: 6"
        ]
    );
    let up_to = rows(MsgGet { up_to_seq: 4, no_hdr: true, ..many.clone() });
    assert_eq!(up_to[0], "x1 Nats-Num-Pending: 2 Nats-Last-Sequence: 0");
    assert_eq!(up_to[3], "NATS/1.0 204 EOB Nats-Num-Pending: 0 Nats-Last-Sequence: 4 Nats-UpTo-Sequence: 4");
    let before = rows(MsgGet { up_to_time: Some(Wall(start + 4 * SECOND)), ..many.clone() });
    assert_eq!(before, up_to);
    assert_eq!(rows(MsgGet { seq: 6, ..many.clone() }).len(), 2);
    // A page behind the last one is empty.
    assert_eq!(
        rows(MsgGet { seq: 7, ..many.clone() }),
        ["NATS/1.0 204 EOB Nats-Num-Pending: 0 Nats-Last-Sequence: 0 Nats-UpTo-Sequence: 6"]
    );
    // A subject without letters is no subject, and not every one.
    for (subjects, results) in [(vec![""], 0), (vec!["", "s.1"], 1)] {
        let multi_last = subjects.into_iter().map(str::to_owned).collect();
        let found = rows(MsgGet { multi_last, ..MsgGet::default() });
        assert_eq!(found.len(), results + 1, "{found:?}");
    }
    assert_eq!(
        rows(MsgGet { multi_last: vec!["x".into()], ..MsgGet::default() }),
        ["NATS/1.0 404 No Results"]
    );
    let both = MsgGet { up_to_seq: 1, up_to_time: Some(Wall(1)), ..many };
    assert_eq!(rows(both), ["NATS/1.0 408 Bad Request"]);
    for n in 0..1025 {
        bench.stored(&format!("s.many.{n}"), &[], "");
    }
    let all = MsgGet { multi_last: vec!["s.>".into()], ..MsgGet::default() };
    assert_eq!(direct(&mut bench, all, 2000), ["NATS/1.0 413 Too Many Results"]);
}

#[test]
fn the_subject_may_stand_in_the_subject_of_the_request() {
    let mut bench = six();
    let mut out = Vec::new();
    let mut get = DirectGet::new(&MsgGet::default(), Some(b"s.1"), u64::MAX).unwrap();
    let answer = get.step(&mut bench.store, 6, b"S", &mut out).ready().unwrap();
    assert!(matches!(answer, Answer::Message { message, last: true } if message.seq == 5));
    assert!(text(&out).starts_with(
        "NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: s.1\r\nNats-Sequence: 5\r\nNats-Time-Stamp: 2027-"
    ));
    assert!(DirectGet::new(&MsgGet { seq: 1, ..MsgGet::default() }, Some(b"s.1"), 1).is_err());
    assert!(DirectGet::new(&MsgGet { no_hdr: true, ..MsgGet::default() }, Some(b"s.1"), 1).is_ok());
}

#[test]
fn purges_and_deletes_have_to_be_permitted() {
    let mut bench = six();
    let code =
        |config: &StreamConfig, request: StreamPurge| purge::query(config, &request).unwrap_err().err_code;
    assert_eq!(code(&StreamConfig { sealed: true, ..config() }, StreamPurge::default()), 10109);
    assert_eq!(code(&StreamConfig { deny_purge: true, ..config() }, StreamPurge::default()), 10110);
    assert_eq!(code(&config(), StreamPurge { seq: 1, keep: 1, ..StreamPurge::default() }), 10003);
    // Not even once is a stream left where nothing can be stored.
    let far = StreamPurge { seq: (1 << 62) + 1, ..StreamPurge::default() };
    assert_eq!(code(&config(), far), 10110);
    let request = StreamPurge { filter: "s.*".into(), keep: 4, ..StreamPurge::default() };
    let mut query = purge::query(&config(), &request).unwrap();
    assert_eq!(bench.store.purge_matching(&mut query), Step::Ready(2));
    assert_eq!(bench.seqs(), [3, 4, 5, 6]);
    assert_eq!(
        purge::may_delete(&StreamConfig { deny_delete: true, ..config() }).unwrap_err().err_code,
        10057
    );
    assert_eq!(purge::delete(&mut bench.store, 4, true), Step::Ready(Ok(())));
    let Step::Ready(Err(error)) = purge::delete(&mut bench.store, 4, true) else { panic!("it is gone") };
    assert_eq!((error.err_code, error.description.as_str()), (10043, "sequence 4 not found"));
}

#[test]
fn the_state_is_told_as_far_as_it_is_durable() {
    let mut bench = six();
    bench.store.remove(3, false);
    let state = info::state(&mut bench.store, 6, 2).ready().unwrap();
    assert_eq!((state.messages, state.first_seq, state.last_seq, state.num_deleted), (5, 1, 6, 1));
    assert_eq!((state.num_subjects, state.consumer_count), (3, 2));
    let earlier = info::state(&mut bench.store, 5, 0).ready().unwrap();
    assert_eq!(earlier.messages, 4);
    assert_eq!((earlier.last_seq, earlier.last_ts.map(|ts| ts.0)), (5, Some(bench.now.wall.0 - 2 * SECOND)));
    let page = info::subjects(&bench.store, &Filter::one(b"s.*"), 1);
    assert_eq!((page.total, page.offset, page.subjects), (3, 1, vec![("s.1".into(), 2), ("s.2".into(), 1)]));
    let mut deleted = info::Deleted::default();
    assert_eq!(deleted.step(&mut bench.store, 6), Step::Ready(Some(vec![3])));
}

struct Needed(Vec<u64>);

impl interest::Consumers for Needed {
    fn need(&self, seq: u64, _: &[u8]) -> bool {
        self.0.contains(&seq)
    }
}

#[test]
fn acknowledged_messages_go_when_nobody_needs_them() {
    let mut bench = six();
    let mut acknowledged = |needed: &[u64], seq| {
        interest::acknowledged(&Needed(needed.to_vec()), &mut bench.store, seq).ready().unwrap()
    };
    assert!(!acknowledged(&[1], 1));
    assert!(acknowledged(&[2], 1));
    assert!(!acknowledged(&[], 1));
    assert_eq!(interest::taken(&mut bench.store, 2), Step::Ready(true));
    assert_eq!(interest::taken(&mut bench.store, 2), Step::Ready(false));
    let mut recheck = interest::Recheck::default();
    assert_eq!(recheck.step(&Needed(vec![4, 6]), &mut bench.store), Step::Ready(Some(2)));
    assert_eq!(bench.seqs(), [4, 6]);
}
