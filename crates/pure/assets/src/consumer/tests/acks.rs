//! Acknowledgements, refusals, time-outs.

use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig};

use super::*;

/// A consumer that has delivered so many, with the acknowledgement subjects.
fn delivered(count: u64, config: ConsumerConfig) -> (Rig, Vec<String>) {
    let mut rig = Rig::new(count, config);
    rig.pull(&count.to_string(), "a");
    let replies = rig.replies();
    assert_eq!(replies.len() as u64, count);
    (rig, replies)
}

#[test]
fn the_floor_follows_when_the_lowest_is_acknowledged() {
    let (mut rig, replies) = delivered(4, pull_config());
    rig.ack(&replies[1], "", "");
    assert_eq!(rig.numbers(), ((4, 4), (0, 0), 3, 0, 0));
    rig.ack(&replies[0], "+OK", "");
    assert_eq!(rig.numbers(), ((4, 4), (2, 2), 2, 0, 0));
    rig.ack(&replies[3], "+ACK", "");
    rig.ack(&replies[2], "+ACK", "");
    assert_eq!(rig.numbers(), ((4, 4), (4, 4), 0, 0, 0));
    assert!(!rig.pass(60 * S));
    assert_eq!(rig.take(), []);
}

#[test]
fn replies_are_confirmed_when_durable_and_other_verbs_at_once() {
    let (mut rig, replies) = delivered(2, pull_config());
    rig.ack(&replies[0], "+ACK", "r1");
    rig.ack(&replies[0], "+ACK", "r2");
    rig.ack(&replies[1], "+WPI", "r3");
    rig.ack(&replies[1], "-NAK 5s", "r4");
    rig.ack(&replies[1], "nonsense", "r5");
    rig.ack(&replies[1], "+TERM", "r6");
    // Not delivered yet.
    rig.ack("$JS.ACK.S.C.1.3.3.0.0", "+ACK", "r7");
    let replies: Vec<Out> =
        rig.take().into_iter().filter(|out| matches!(out, Out::Durable(_) | Out::Now(_))).collect();
    let expected = [
        Out::Durable("r1".to_owned()),
        Out::Durable("r2".to_owned()),
        Out::Now("r3".to_owned()),
        Out::Now("r4".to_owned()),
        Out::Now("r5".to_owned()),
        Out::Durable("r6".to_owned()),
    ];
    assert_eq!(replies, expected);
}

#[test]
fn an_acknowledgement_may_cover_those_before() {
    let config = ConsumerConfig { ack_policy: AckPolicy::All, ack_wait_ns: S as i64, ..pull_config() };
    let mut rig = Rig::on(retention(Retention::Interest), 4, config);
    rig.pull("4", "a");
    let replies = rig.replies();
    rig.ack(&replies[1], "", "r");
    assert_eq!(rig.take(), [Out::Done(1, 2), Out::Durable("r".to_owned())]);
    assert_eq!(rig.numbers(), ((4, 4), (2, 2), 2, 0, 0));
    rig.ack(&replies[0], "", "r");
    assert_eq!(rig.take(), [Out::Durable("r".to_owned())]);
    // Redelivered, the third is acknowledged by its second delivery, and then the fourth by its first.
    rig.pass(S);
    rig.pull("2", "a");
    let again = rig.replies();
    assert_eq!(ack_of(&again[0]), AckOf { deliveries: 2, stream_seq: 3, consumer_seq: 5 });
    rig.ack(&again[0], "", "");
    rig.ack(&replies[3], "", "");
    assert_eq!(rig.numbers(), ((6, 4), (4, 4), 0, 0, 0));
}

#[test]
fn without_acknowledgements_delivery_is_all() {
    let config = ConsumerConfig { ack_policy: AckPolicy::None, ..pull_config() };
    let mut rig = Rig::on(retention(Retention::Interest), 2, config);
    rig.pull("1", "a");
    assert_eq!(rig.take().last(), Some(&Out::Done(1, 1)));
    assert_eq!(rig.numbers(), ((1, 1), (1, 1), 0, 0, 1));
    rig.ack("$JS.ACK.S.C.1.1.1.0.0", "", "r");
    assert_eq!(rig.take(), [], "nobody listens to acknowledgements");
    let consumer = rig.consumer.as_ref().unwrap();
    assert!(!consumer.needs(1, b"s.1") && consumer.needs(2, b"s.2"));
}

#[test]
fn late_ones_are_delivered_again_in_the_order_of_the_stream() {
    let config = ConsumerConfig { ack_wait_ns: S as i64, ..pull_config() };
    let (mut rig, replies) = delivered(4, config);
    rig.ack(&replies[1], "", "");
    rig.pass(600 * MS);
    rig.ack(&replies[2], "+WPI", "");
    rig.pass(400 * MS);
    rig.pull("9", "a");
    assert_eq!(rig.messages(), ["a: 1", "a: 4"]);
    assert_eq!(rig.numbers(), ((6, 4), (0, 0), 3, 2, 0));
    rig.pass(600 * MS);
    assert_eq!(rig.messages(), ["a: 3"], "a second after it was said to be worked on");
    rig.ack(&replies[0], "", "");
    rig.ack(&replies[2], "", "");
    rig.ack(&replies[3], "", "");
    assert_eq!(rig.numbers(), ((7, 4), (7, 4), 0, 0, 0));
}

#[test]
fn refused_ones_come_again_at_once_or_later() {
    let config = ConsumerConfig { ack_wait_ns: S as i64, ..pull_config() };
    let (mut rig, replies) = delivered(3, config);
    rig.ack(&replies[2], "-NAK {\"delay\": 5000000000}", "");
    rig.ack(&replies[1], "-NAK", "");
    let nak = |n: u64| format!("Naked {{ consumer_seq: {n}, stream_seq: {n}, deliveries: 1 }}");
    assert_eq!(rig.events(), [nak(3), nak(2)]);
    rig.pull("9", "a");
    assert_eq!(rig.messages(), ["a: 2"]);
    rig.ack(&replies[1], "", "");
    rig.ack(&replies[0], "", "");
    rig.pass(4999 * MS);
    assert_eq!(rig.messages().len(), 0, "the delay is longer than the wait");
    rig.pass(MS);
    assert_eq!(rig.messages(), ["a: 3"]);
    rig.ack(&replies[0], "-NAK", "");
    assert_eq!(rig.events().len(), 0, "it is acknowledged");
}

#[test]
fn waits_grow_by_the_steps_of_the_back_off() {
    let config = ConsumerConfig { backoff_ns: vec![S as i64, 3 * S as i64], ..pull_config() };
    let (mut rig, replies) = delivered(1, config);
    rig.pull("9", "a");
    for (wait, count) in [(999, 0), (1, 1), (2999, 0), (1, 1), (2999, 0), (1, 1)] {
        rig.pass(wait * MS);
        assert_eq!(rig.messages().len(), count);
    }
    // A delay counts from now, whatever the step.
    rig.ack(&replies[0], "-NAK 500ms", "");
    rig.take();
    rig.pass(500 * MS);
    assert_eq!(rig.messages(), ["a: 1"]);
}

#[test]
fn what_was_delivered_often_enough_is_given_up_without_waiting_for_anybody() {
    let config =
        ConsumerConfig { ack_wait_ns: S as i64, max_deliver: 2, max_ack_pending: 1, ..pull_config() };
    let mut rig = Rig::on(retention(Retention::Interest), 3, config);
    rig.pull("1", "a");
    rig.pass(S);
    rig.pull("1", "a");
    assert_eq!(rig.messages(), ["a: 1", "a: 1"]);
    rig.pass(S);
    assert_eq!(rig.events(), ["MaxDeliver { stream_seq: 1, deliveries: 2 }"]);
    assert_eq!(rig.numbers(), ((2, 1), (0, 0), 0, 1, 2), "the slot is free, the message is remembered");
    let consumer = rig.consumer.as_ref().unwrap();
    assert!(consumer.needs(1, b"s.1"), "it stays in the stream");
    rig.pull("1", "a");
    let replies = rig.replies();
    rig.ack(&replies[0], "-NAK", "");
    rig.pull("1", "a");
    let again = rig.replies();
    rig.ack(&again[0], "-NAK", "");
    let events = rig.events();
    assert_eq!(events[1], "MaxDeliver { stream_seq: 2, deliveries: 2 }");
    // An acknowledgement that comes late counts.
    rig.ack(&again[0], "", "");
    assert_eq!(rig.take(), [Out::Done(2, 2)]);
    assert!(!rig.consumer.as_ref().unwrap().needs(2, b"s.2"));
    // One that left the stream is remembered no more.
    assert!(matches!(rig.store.remove(1, false), Step::Ready(true)));
    with!(&mut rig, |consumer, cx| consumer.removed(cx, 1, b"s.1"));
    assert_eq!(rig.info().num_redelivered, 0);
    assert_eq!(rig.take(), []);
}

#[test]
fn a_lower_limit_gives_up_what_is_queued() {
    let (mut rig, replies) = delivered(2, pull_config());
    rig.ack(&replies[0], "-NAK", "");
    let config = rig.consumer.as_ref().unwrap().config().clone();
    rig.take();
    let config = ConsumerConfig { max_deliver: 1, ..config };
    with!(&mut rig, |consumer, cx| consumer.update(cx, config));
    assert_eq!(rig.events(), ["MaxDeliver { stream_seq: 1, deliveries: 1 }"]);
    assert_eq!(rig.info().num_ack_pending, 1);
}

#[test]
fn terminated_ones_do_not_come_again() {
    let config = ConsumerConfig { ack_wait_ns: S as i64, ..pull_config() };
    let (mut rig, replies) = delivered(1, config);
    rig.ack(&replies[0], "+TERM because of <it>", "");
    rig.ack(&replies[0], "+TERM again", "");
    let expected =
        "Terminated { consumer_seq: 1, stream_seq: 1, deliveries: 1, reason: \"because of <it>\" }";
    assert_eq!(rig.events(), [expected]);
    rig.pull("1", "a");
    rig.pass(5 * S);
    assert_eq!(rig.messages().len(), 0);
}

#[test]
fn the_next_can_be_asked_for_with_the_acknowledgement() {
    let (mut rig, _) = delivered(1, pull_config());
    rig.publish("s", "");
    rig.publish("s", "");
    rig.ack(&format!("$JS.ACK.S.C.1.1.1.{BEGIN_NS}.0"), "+NXT", "b");
    assert_eq!(rig.messages(), ["b: 2"]);
    rig.ack("$JS.ACK.S.C.1.2.2.0.0", "+NXT {\"batch\": 2, \"no_wait\": true}", "c");
    assert_eq!(
        rig.take().iter().map(|out| matches!(out, Out::Message { .. })).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(rig.numbers(), ((3, 3), (2, 2), 1, 0, 0));
}

#[test]
fn the_limit_of_unacknowledged_ones_holds_but_for_redeliveries() {
    let config = ConsumerConfig { ack_wait_ns: S as i64, max_ack_pending: 2, ..pull_config() };
    let mut rig = Rig::new(4, config);
    rig.pull("9", "a");
    assert_eq!(rig.messages(), ["a: 1", "a: 2"]);
    rig.pass(S);
    assert_eq!(rig.messages(), ["a: 1", "a: 2"]);
    rig.ack("$JS.ACK.S.C.1.2.2.0.0", "", "");
    assert_eq!(rig.messages(), ["a: 3"]);
}

#[test]
fn a_share_of_acknowledgements_is_measured() {
    let config = ConsumerConfig { sample_freq: "100%".to_owned(), ..pull_config() };
    let (mut rig, replies) = delivered(1, config);
    rig.pass(5 * MS);
    rig.ack(&replies[0], "", "");
    rig.ack(&replies[0], "", "");
    let metric = "Acked { consumer_seq: 1, stream_seq: 1, ack_time_ns: 5000000, deliveries: 1 }";
    assert_eq!(rig.events(), [metric]);
    let config = ConsumerConfig { sample_freq: "20".to_owned(), max_ack_pending: -1, ..pull_config() };
    let (mut rig, replies) = delivered(5000, config);
    for reply in &replies {
        rig.ack(reply, "", "");
    }
    let measured = rig.events().len();
    assert!((900..1100).contains(&measured), "{measured} of 5000");
}

#[test]
fn pending_messages_that_leave_the_stream_are_terminated() {
    let (mut rig, _) = delivered(3, pull_config());
    for seq in [2, 1] {
        assert!(matches!(rig.store.remove(seq, false), Step::Ready(true)));
        with!(&mut rig, |consumer, cx| consumer.removed(cx, seq, b"s.x"));
    }
    let gone = |n: u64| {
        format!(
            "Terminated {{ consumer_seq: {n}, stream_seq: {n}, deliveries: 1, reason: \"Unacknowledged message was deleted\" }}"
        )
    };
    assert_eq!(rig.events(), [gone(2), gone(1)]);
    assert_eq!(rig.numbers(), ((3, 3), (2, 2), 1, 0, 0));
    // With acknowledgements that cover those before, one in the middle takes none along.
    let config = ConsumerConfig { ack_policy: AckPolicy::All, ..pull_config() };
    let (mut rig, _) = delivered(3, config);
    assert!(matches!(rig.store.remove(2, false), Step::Ready(true)));
    with!(&mut rig, |consumer, cx| consumer.removed(cx, 2, b"s.x"));
    assert_eq!(rig.numbers(), ((3, 3), (0, 0), 2, 0, 0));
}

/// A consumer whose acknowledgements cover those before, that has delivered so many, and lost some of them.
fn all_but(count: u64, gone: &[u64]) -> (Rig, Vec<String>) {
    let config = ConsumerConfig { ack_policy: AckPolicy::All, ..pull_config() };
    let (mut rig, replies) = delivered(count, config);
    for seq in gone {
        assert!(matches!(rig.store.remove(*seq, false), Step::Ready(true)));
        with!(&mut rig, |consumer, cx| consumer.removed(cx, *seq, b"s.x"));
    }
    (rig, replies)
}

#[test]
fn the_floor_passes_what_left_the_stream_when_all_before_is_acknowledged() {
    // Behind the acknowledged one, nothing is waited for.
    let (mut rig, replies) = all_but(3, &[2, 3]);
    rig.ack(&replies[0], "", "");
    assert_eq!(rig.numbers(), ((3, 3), (3, 3), 0, 0, 0));
    // The message itself is gone.
    let (mut rig, replies) = all_but(3, &[2]);
    rig.ack(&replies[1], "", "");
    assert_eq!(rig.numbers(), ((3, 3), (2, 2), 1, 0, 0));
    // It was the last one that was waited for.
    let (rig, _) = all_but(3, &[2, 3, 1]);
    assert_eq!(rig.numbers(), ((3, 3), (3, 3), 0, 0, 0));
}

#[test]
fn the_floor_stays_below_what_was_given_up_when_a_later_message_leaves_the_stream() {
    let config = ConsumerConfig { ack_policy: AckPolicy::All, max_deliver: 2, ..pull_config() };
    let (mut rig, replies) = delivered(3, config);
    rig.ack(&replies[0], "-NAK", "");
    rig.pull("1", "b");
    let again = rig.replies();
    rig.ack(&again[0], "-NAK", "");
    rig.turn();
    let needed = |rig: &Rig| rig.consumer.as_ref().unwrap().needs(1, b"s.x");
    assert!(needed(&rig), "given up, and covered by no acknowledgement");
    assert!(matches!(rig.store.remove(2, false), Step::Ready(true)));
    with!(&mut rig, |consumer, cx| consumer.removed(cx, 2, b"s.x"));
    assert!(needed(&rig));
    assert_eq!(rig.numbers().1, (0, 0));
}

#[test]
fn a_redelivery_that_is_gone_is_terminated_when_its_turn_comes() {
    let (mut rig, replies) = delivered(2, pull_config());
    rig.ack(&replies[0], "-NAK", "");
    assert!(matches!(rig.store.remove(1, false), Step::Ready(true)));
    rig.take();
    rig.pull("1", "a");
    assert_eq!(rig.events().len(), 1);
    assert_eq!(rig.numbers(), ((2, 2), (1, 1), 1, 0, 0));
}

#[test]
fn what_was_not_delivered_can_only_be_asked_about() {
    let mut rig = Rig::new(4, pull_config());
    rig.pull("2", "a");
    rig.take();
    let ahead = "$JS.ACK.S.C.1.4.4.0.0";
    for silent in ["", "+ACK", "+TERM"] {
        rig.ack(ahead, silent, "r");
        assert_eq!(rig.take(), [], "{silent}");
    }
    for answered in ["-NAK", "+WPI", "what"] {
        rig.ack(ahead, answered, "r");
        assert_eq!(rig.take().len(), 1, "{answered}");
    }
    rig.ack(ahead, "+NXT", "r");
    assert_eq!(rig.messages(), ["r: 3"]);
    assert_eq!(rig.info().ack_floor.last_active, None);
    rig.ack("$JS.ACK.S.C.1.1.1.0.0", "", "");
    let first = rig.info().ack_floor.last_active;
    rig.pass(S);
    rig.ack("$JS.ACK.S.C.1.1.1.0.0", "", "");
    assert!(rig.info().ack_floor.last_active > first, "whoever acknowledges again is there");
}
