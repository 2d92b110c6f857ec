//! Atomic and fast batches.

use midge_jsapi::stream_config::{Discard, Retention, StreamConfig};
use midge_store::stream::Step;

use super::harness::{Bench, SECOND, block, config, text};
use crate::stream::publish::{AbandonReason, Abandoned, Answer};
use crate::stream::{Heal, Incoming, Verdict};

fn atomic() -> StreamConfig {
    StreamConfig { allow_atomic: true, allow_rollup_hdrs: true, ..config() }
}

fn member(bench: &mut Bench, id: &str, seq: u64, subject: &str, more: &[(&str, &str)]) -> Verdict {
    let seq = seq.to_string();
    let mut headers = vec![("Nats-Batch-Id", id), ("Nats-Batch-Sequence", &seq)];
    headers.extend(more);
    bench.publish(subject, &headers, "x")
}

fn code(verdict: Verdict) -> u16 {
    match verdict {
        Verdict::Refused(error) => error.err_code,
        other => panic!("{other:?}"),
    }
}

const COMMIT: (&str, &str) = ("Nats-Batch-Commit", "1");
const END: (&str, &str) = ("Nats-Batch-Commit", "eob");

#[test]
fn a_batch_is_stored_when_its_last_member_comes() {
    let mut bench = Bench::new(atomic());
    assert_eq!(member(&mut bench, "b", 1, "s.a", &[]), Verdict::Staged);
    assert_eq!(member(&mut bench, "b", 2, "s.b", &[]), Verdict::Staged);
    assert_eq!(bench.publish("s.c", &[], ""), Verdict::Stored { seq: 1 });
    let committed = Verdict::Committed { seq: 4, batch: "b".into(), count: 3 };
    assert_eq!(member(&mut bench, "b", 3, "s.c", &[COMMIT]), committed);
    assert_eq!(bench.seqs(), [1, 2, 3, 4]);
    assert!(text(bench.message(2).headers()).contains("Nats-Batch-Sequence: 1\r\n"));
    // Nothing of it is seen before all of it is durable.
    assert_eq!((bench.stream.visible(1), bench.stream.visible(3), bench.stream.visible(4)), (1, 1, 4));
    assert_eq!(bench.stream.visible(3), 3);
}

#[test]
fn a_batch_may_end_without_a_message() {
    let mut bench = Bench::new(atomic());
    assert_eq!(code(member(&mut bench, "b", 1, "s.a", &[END])), 10176);
    member(&mut bench, "b", 1, "s.a", &[]);
    member(&mut bench, "b", 2, "s.a", &[("Nats-Required-Api-Level", "2")]);
    assert_eq!(
        member(&mut bench, "b", 3, "s.x", &[END]),
        Verdict::Committed { seq: 2, batch: "b".into(), count: 2 }
    );
    let headers = bench.message(2).headers().to_vec();
    assert!(text(&headers).ends_with("Nats-Batch-Commit: 1\r\n\r\n") && !text(&headers).contains("Level"));
}

#[test]
fn members_come_in_order_and_not_too_many() {
    let mut bench = Bench::new(atomic());
    assert_eq!(code(member(&mut bench, &"x".repeat(65), 1, "s.a", &[])), 10179);
    assert_eq!(code(bench.publish("s.a", &[("Nats-Batch-Id", "z")], "")), 10175);
    assert_eq!(code(member(&mut bench, "z", 0, "s.a", &[])), 10176);
    assert_eq!(code(member(&mut bench, "z", 7, "s.a", &[])), 10176);
    assert_eq!(code(member(&mut bench, "z", 1001, "s.a", &[])), 10199);
    member(&mut bench, "z", 1, "s.a", &[]);
    assert_eq!(code(member(&mut bench, "z", 2, "s.a", &[("Nats-Batch-Commit", "x")])), 10200);
    assert_eq!(code(member(&mut bench, "z", 2, "s.a", &[])), 10176);
    assert_eq!(bench.outbox.abandoned, []);
    member(&mut bench, "g", 1, "s.a", &[]);
    assert_eq!(code(member(&mut bench, "g", 3, "s.a", &[])), 10176);
    member(&mut bench, "l", 1, "s.a", &[]);
    assert_eq!(code(member(&mut bench, "l", 2, "s.a", &[("Nats-Required-Api-Level", "99")])), 10185);
    bench.limits.batch.max_msgs = 2;
    for seq in 1..=2 {
        member(&mut bench, "m", seq, "s.a", &[]);
    }
    assert_eq!(code(member(&mut bench, "m", 3, "s.a", &[COMMIT])), 10199);
    let reasons: Vec<AbandonReason> = bench.outbox.abandoned.iter().map(|gone| gone.reason).collect();
    assert_eq!(reasons, [AbandonReason::Incomplete, AbandonReason::Unsupported, AbandonReason::Large]);
    for seq in 1..=2 {
        member(&mut bench, "n", seq, "s.a", &[]);
    }
    assert!(matches!(member(&mut bench, "n", 3, "s.a", &[END]), Verdict::Committed { count: 2, .. }));
    assert_eq!(code(Bench::new(config()).publish("s.a", &[("Nats-Batch-Id", "z")], "")), 10174);
}

#[test]
fn open_batches_are_counted_and_grow_old() {
    let mut bench = Bench::new(atomic());
    bench.limits.batch.atomic_per_stream = 2;
    member(&mut bench, "a", 1, "s.a", &[]);
    member(&mut bench, "b", 1, "s.a", &[]);
    assert_eq!(code(member(&mut bench, "c", 1, "s.a", &[])), 10210);
    bench.pass(6 * SECOND);
    member(&mut bench, "b", 2, "s.a", &[]);
    bench.pass(5 * SECOND);
    bench.expire();
    assert_eq!(bench.outbox.abandoned, [Abandoned { batch: "a".into(), reason: AbandonReason::Timeout }]);
    assert_eq!(bench.stream.open_batches(), (1, 0));
    bench.outside.atomic = 1000;
    assert_eq!(code(member(&mut bench, "c", 1, "s.a", &[])), 10210);
}

#[test]
fn one_member_that_fails_takes_the_batch_down() {
    let mut bench = Bench::new(atomic());
    bench.stored("s.old", &[("Nats-Msg-Id", "old")], "");
    let mut fails = |first: &[(&str, &str)], second: &[(&str, &str)]| {
        member(&mut bench, "b", 1, "s.a", first);
        let mut last = vec![COMMIT];
        last.extend(second);
        let code = code(member(&mut bench, "b", 2, "s.a", &last));
        assert_eq!((bench.seqs(), bench.stream.open_batches()), (vec![1], (0, 0)));
        code
    };
    assert_eq!(fails(&[("Nats-Expected-Last-Msg-Id", "old")], &[]), 10177);
    // As the Go server answers: the last sequence is told, unless the demand would have been met.
    assert_eq!(fails(&[], &[("Nats-Expected-Last-Sequence", "1")]), 10071);
    assert_eq!(fails(&[], &[("Nats-Expected-Last-Sequence", "2")]), 10164);
    assert_eq!(fails(&[("Nats-TTL", "x")], &[]), 10166);
    assert_eq!(fails(&[], &[("Nats-Expected-Last-Subject-Sequence-Subject", "s.b")]), 10193);
    assert_eq!(fails(&[("Nats-Expected-Last-Sequence", "7")], &[]), 10071);
    assert_eq!(fails(&[], &[("Nats-Expected-Last-Subject-Sequence", "0")]), 10164);
    assert_eq!(fails(&[], &[("Nats-Msg-Id", "old")]), 10201);
    assert_eq!(fails(&[("Nats-Msg-Id", "n")], &[("Nats-Msg-Id", "n")]), 10201);
    assert_eq!(fails(&[], &[("Nats-Rollup", "sub")]), 10111);
    assert_eq!(fails(&[], &[("Nats-Rollup", "all")]), 10111);
    assert_eq!(fails(&[("Nats-TTL", "5")], &[]), 10166);
}

#[test]
fn limits_count_a_batch_as_a_whole() {
    let mut bench = Bench::new(StreamConfig { discard: Discard::New, max_msgs: 2, ..atomic() });
    bench.stored("s.a", &[], "");
    member(&mut bench, "b", 1, "s.b", &[]);
    assert_eq!(code(member(&mut bench, "b", 2, "s.c", &[COMMIT])), 10077);
    assert_eq!(bench.seqs(), [1]);
    assert!(matches!(member(&mut bench, "c", 1, "s.b", &[COMMIT]), Verdict::Committed { seq: 2, .. }));
}

#[test]
fn members_that_nobody_wants_go_after_the_batch_was_stored() {
    let mut bench = Bench::new(StreamConfig { retention: Retention::Interest, ..atomic() });
    bench.outside.wanted = Some(b"s.a");
    member(&mut bench, "b", 1, "s.a", &[]);
    member(&mut bench, "b", 2, "s.b", &[]);
    assert!(matches!(
        member(&mut bench, "b", 3, "s.b", &[COMMIT]),
        Verdict::Committed { seq: 3, count: 3, .. }
    ));
    assert_eq!(bench.seqs(), [1]);
}

#[test]
fn counters_add_up_within_a_batch() {
    let mut bench =
        Bench::new(StreamConfig { allow_msg_counter: true, allow_rollup_hdrs: false, ..atomic() });
    for seq in 1..=2 {
        let headers = [
            ("Nats-Batch-Id", "b"),
            ("Nats-Batch-Sequence", ["1", "2"][seq - 1]),
            ("Nats-Incr", "3"),
            COMMIT,
        ];
        bench.publish("s.a", &headers[..seq + 2], "");
    }
    assert_eq!(text(bench.message(2).payload()), r#"{"val":"6"}"#);
}

#[test]
fn what_a_crash_left_of_a_batch_is_taken_back() {
    let torn = |members: u64, commit: bool| {
        let mut bench = Bench::new(atomic());
        bench.stored("s.z", &[], "");
        for seq in 1..=members {
            // As they stand in the store, whatever the stream would say.
            let seq = seq.to_string();
            let mut headers = vec![("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", &*seq)];
            if commit && seq == members.to_string() {
                headers.push(COMMIT);
            }
            let headers = block(&headers);
            let message =
                midge_store::stream::NewMessage { subject: b"s.a", headers: &headers, ..Default::default() };
            bench.store.append(bench.now, &message).unwrap();
        }
        bench
    };
    let heal = |bench: &mut Bench| {
        let (mut heal, now) = (Heal::default(), bench.now);
        match heal.step(&mut bench.store, now) {
            Step::Ready(removed) => removed,
            other => panic!("{other:?}"),
        }
    };
    let mut half = torn(3, false);
    assert_eq!((heal(&mut half), half.store.appended(), half.seqs()), (3, 1, vec![1]));
    let mut whole = torn(3, true);
    assert_eq!((heal(&mut whole), whole.seqs().len()), (0, 4));
    // A later message says that the batch was whole, even if its last member was deleted.
    let mut consumed = torn(3, true);
    consumed.store.remove(4, false);
    assert_eq!((heal(&mut consumed), consumed.seqs()), (0, vec![1, 2, 3]));
    let mut none = torn(0, false);
    assert_eq!((heal(&mut none), none.seqs()), (0, vec![1]));
    // What was copied from the batch of another stream stands for itself.
    let mut copy = torn(0, false);
    let source = ("Nats-Stream-Source", "O 1 > > s.a");
    let headers = block(&[("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1"), source]);
    let message =
        midge_store::stream::NewMessage { subject: b"s.a", headers: &headers, ..Default::default() };
    copy.store.append(copy.now, &message).unwrap();
    assert_eq!((heal(&mut copy), copy.seqs()), (0, vec![1, 2]));
}

/// The subject of a message, and its headers.
type Stored<'a> = (&'a [u8], &'a [(&'a str, &'a str)]);

#[test]
fn what_the_last_messages_take_with_them_goes_after_a_crash() {
    let config = StreamConfig { allow_rollup_hdrs: true, allow_msg_schedules: true, ..atomic() };
    let heal = |last: &[Stored<'_>], config: &StreamConfig| {
        let mut bench = Bench::new(config.clone());
        bench.stored("s.a", &[], "");
        bench.stored("s.b", &[], "");
        // As they stand in the store when what was to follow did not.
        for (subject, headers) in last {
            let headers = block(headers);
            let message =
                midge_store::stream::NewMessage { subject, headers: &headers, ..Default::default() };
            bench.store.append(bench.now, &message).unwrap();
        }
        let (mut heal, now) = (Heal::default().in_stream(config), bench.now);
        assert!(matches!(heal.step(&mut bench.store, now), Step::Ready(_)));
        bench.seqs()
    };
    let (sub, all) = (("Nats-Rollup", "sub"), ("Nats-Rollup", "all"));
    assert_eq!(heal(&[(b"s.a", &[sub])], &config), [2, 3]);
    assert_eq!(heal(&[(b"s.a", &[all])], &config), [3]);
    assert_eq!(heal(&[(b"s.a", &[sub]), (b"s.c", &[])], &config), [1, 2, 3, 4], "what came next came after");
    let first = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "1"), sub];
    let second = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", "2"), COMMIT];
    assert_eq!(heal(&[(b"s.a", &first), (b"s.c", &second)], &config), [2, 3, 4]);
    let fired = [("Nats-Scheduler", "s.b"), ("Nats-Schedule-Next", "purge")];
    assert_eq!(heal(&[(b"s.c", &fired)], &config), [1, 3]);
    let neither = StreamConfig { allow_rollup_hdrs: false, allow_msg_schedules: false, ..config.clone() };
    assert_eq!(heal(&[(b"s.a", &[sub])], &neither), [1, 2, 3]);
    assert_eq!(heal(&[(b"s.c", &fired)], &neither), [1, 2, 3]);
}

#[test]
fn a_batch_of_which_a_part_was_lost_goes_as_a_whole() {
    // A message, a batch of four, a message, a batch of two, a message.
    let store = || {
        let mut bench = Bench::new(atomic());
        let members = [(0, 0), (1, 4), (2, 4), (3, 4), (4, 4), (0, 0), (1, 2), (2, 2), (0, 0)];
        for (place, of) in members {
            let (id, place_text) = (of.to_string(), place.to_string());
            let mut headers = vec![("Nats-Batch-Id", &*id), ("Nats-Batch-Sequence", &*place_text)];
            headers.extend((place == of).then_some(COMMIT));
            let headers = if of == 0 { Vec::new() } else { block(&headers) };
            let message =
                midge_store::stream::NewMessage { subject: b"s.a", headers: &headers, ..Default::default() };
            bench.store.append(bench.now, &message).unwrap();
        }
        bench
    };
    let heal = |lost: &[u64]| {
        let mut bench = store();
        for seq in lost {
            bench.store.remove(*seq, false);
        }
        let (mut heal, now) = (Heal::after(lost.to_vec()), bench.now);
        assert!(matches!(heal.step(&mut bench.store, now), Step::Ready(_)));
        (bench.seqs(), bench.store.appended())
    };
    assert_eq!(heal(&[2]), (vec![1, 6, 7, 8, 9], 9));
    assert_eq!(heal(&[3, 4]), (vec![1, 6, 7, 8, 9], 9));
    assert_eq!(heal(&[5]), (vec![1, 6, 7, 8, 9], 9));
    assert_eq!(heal(&[5, 6, 7]), (vec![1, 9], 9));
    assert_eq!(heal(&[1, 6, 9]), (vec![2, 3, 4, 5, 7, 8], 9));
    assert_eq!(heal(&[]).0.len(), 9);
}

#[test]
fn what_follows_a_torn_message_goes_where_it_is_read_again() {
    let heal = |torn: Option<u64>| {
        let mut bench = Bench::new(atomic());
        for place in 1..=5 {
            // The last two are of a batch that is not whole.
            let place_text = (place - 3).to_string();
            let headers = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", &*place_text)];
            let headers = if place > 3 { block(&headers) } else { Vec::new() };
            let message =
                midge_store::stream::NewMessage { subject: b"s.a", headers: &headers, ..Default::default() };
            bench.store.append(bench.now, &message).unwrap();
        }
        bench.store.remove(2, false);
        let (mut heal, now) = (Heal::after(vec![2]).following(torn), bench.now);
        let Step::Ready(removed) = heal.step(&mut bench.store, now) else {
            panic!("nothing is to be waited for")
        };
        (bench.seqs(), bench.store.appended(), removed)
    };
    assert_eq!(heal(None), (vec![1, 3], 3, 2), "lost alone");
    assert_eq!(heal(Some(2)), (vec![1], 1, 3));
    assert_eq!(heal(Some(1)), (vec![], 0, 4));
}

fn fast(bench: &mut Bench, place: &str, headers: &[(&str, &str)]) -> Vec<Answer> {
    let (reply, headers) = (format!("_I.x.{place}.$FI"), block(headers));
    let message = Incoming {
        subject: b"s.a",
        reply: reply.as_bytes(),
        headers: &headers,
        payload: b"x",
        ..Default::default()
    };
    if let Verdict::Refused(error) = bench.send(&message) {
        return vec![Answer::Refused(error)];
    }
    bench.outbox.replies.drain(..).map(|reply| reply.body).collect()
}

fn flow(batch_seq: u64, interval: u64) -> Answer {
    Answer::Flow { batch_seq, interval }
}

fn done(seq: u64, batch: &str, count: u64) -> Answer {
    Answer::Committed { seq, batch: batch.into(), count, duplicate: false }
}

fn gap(expected: u64, got: u64) -> Answer {
    Answer::Gap { expected, got }
}

#[test]
fn one_answer_stands_for_many_members() {
    let mut bench = Bench::new(StreamConfig { allow_batched: true, ..config() });
    assert_eq!(fast(&mut bench, "b.4.fail.1.0", &[]), [flow(0, 4)]);
    assert_eq!(fast(&mut bench, "b.4.fail.2.1", &[]), []);
    assert_eq!(fast(&mut bench, "b.4.fail.3.1", &[]), []);
    // A ping repeats what was acknowledged last.
    assert_eq!(fast(&mut bench, "b.4.fail.3.4", &[]), [flow(0, 4)]);
    assert_eq!(fast(&mut bench, "b.4.fail.4.1", &[]), [flow(4, 4)]);
    assert_eq!(fast(&mut bench, "b.4.fail.4.4", &[]), [flow(4, 4)]);
    assert_eq!(fast(&mut bench, "b.4.fail.5.2", &[]), [done(5, "b", 5)]);
    // Beside others, the interval begins low and doubles.
    fast(&mut bench, "o.100.ok.1.0", &[]);
    assert_eq!(fast(&mut bench, "h.100.ok.1.0", &[]), [flow(0, 1), flow(1, 2)]);
    let answers: Vec<Answer> =
        (2..=7).flat_map(|seq| fast(&mut bench, &format!("h.100.ok.{seq}.1"), &[])).collect();
    assert_eq!(answers, [flow(3, 4), flow(7, 8)]);
    assert_eq!(fast(&mut bench, "h.100.ok.8.3", &[]), [done(13, "h", 7)]);
}

#[test]
fn gaps_end_a_batch_or_are_told() {
    let mut bench = Bench::new(StreamConfig { allow_batched: true, ..config() });
    fast(&mut bench, "b.1.fail.1.0", &[]);
    assert_eq!(fast(&mut bench, "b.1.fail.3.1", &[]), [gap(2, 3), done(1, "b", 1)]);
    assert!(
        matches!(&fast(&mut bench, "b.1.fail.4.1", &[])[..], [Answer::Refused(error)] if error.err_code == 10208)
    );
    fast(&mut bench, "c.1.ok.1.0", &[]);
    assert_eq!(fast(&mut bench, "c.1.ok.3.1", &[]), [gap(2, 3), flow(3, 1)]);
    assert_eq!(fast(&mut bench, "c.1.ok.7.4", &[]), [gap(4, 8), flow(7, 1)]);
    assert_eq!(fast(&mut bench, "c.1.ok.9.2", &[]), [gap(8, 9), done(4, "c", 9)]);
    fast(&mut bench, "d.1.ok.1.0", &[]);
    fast(&mut bench, "d.1.ok.2.1", &[]);
    assert_eq!(fast(&mut bench, "d.1.ok.2.1", &[]), [gap(3, 2), done(6, "d", 2)]);
    fast(&mut bench, "e.1.ok.1.0", &[]);
    assert_eq!(fast(&mut bench, "e.1.ok.4.3", &[]), [gap(2, 4), done(7, "e", 3)]);
    fast(&mut bench, "f.1.fail.1.0", &[]);
    assert_eq!(fast(&mut bench, "f.1.fail.4.3", &[]), [gap(2, 4), done(8, "f", 1)]);
    fast(&mut bench, "g.1.fail.1.0", &[]);
    assert_eq!(fast(&mut bench, "g.1.fail.5.4", &[]), [gap(2, 6), done(9, "g", 1)]);
}

#[test]
fn members_that_are_refused_end_a_batch_or_are_told() {
    let mut bench = Bench::new(StreamConfig { allow_batched: true, ..config() });
    let bad = [("Nats-Expected-Stream", "q")];
    let error = || midge_jsapi::errors::ApiError::from(midge_jsapi::errors::STREAM_NOT_MATCH);
    let told = |batch_seq| Answer::Error { batch_seq, error: error() };
    assert_eq!(fast(&mut bench, "a.1.fail.1.0", &bad), [flow(0, 1), Answer::Refused(error())]);
    assert_eq!(fast(&mut bench, "b.1.ok.1.0", &bad), [flow(0, 1), told(1)]);
    assert_eq!(fast(&mut bench, "b.1.ok.2.1", &[]), [flow(2, 1)]);
    assert_eq!(fast(&mut bench, "b.1.ok.3.2", &[]), [done(2, "b", 3)]);
    fast(&mut bench, "c.1.fail.1.0", &[]);
    assert_eq!(fast(&mut bench, "c.1.fail.2.1", &bad), [told(2), done(3, "c", 1)]);
    assert_eq!(fast(&mut bench, "d.1.ok.1.2", &bad), [told(1), done(0, "d", 0)]);
    assert_eq!(fast(&mut bench, "e.1.fail.1.2", &bad), [Answer::Refused(error())]);
    fast(&mut bench, "f.1.ok.1.2", &[("Nats-Msg-Id", "q")]);
    let again = Answer::Committed { seq: 4, batch: "g".into(), count: 1, duplicate: true };
    assert_eq!(fast(&mut bench, "g.1.ok.1.2", &[("Nats-Msg-Id", "q")]), [again]);
    let first = |answers: Vec<Answer>| match answers.into_iter().next() {
        Some(Answer::Refused(error)) => error.err_code,
        other => panic!("{other:?}"),
    };
    assert_eq!(first(fast(&mut bench, "h.1.no.1.0", &[])), 10206);
    assert_eq!(first(fast(&mut bench, &format!("{}.1.ok.1.0", "i".repeat(65)), &[])), 10207);
    assert_eq!(first(fast(&mut Bench::new(config()), "h.1.ok.1.0", &[])), 10205);
    bench.limits.batch.fast_per_stream = 0;
    assert_eq!(first(fast(&mut bench, "j.1.ok.1.0", &[])), 10211);
}
