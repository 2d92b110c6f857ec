//! Pull requests: who is served, and what they are told.

use midge_jsapi::consumer_config::{ConsumerConfig, PriorityPolicy};

use super::*;

#[test]
fn messages_carry_their_place_in_the_reply() {
    let mut rig = Rig::new(3, pull_config());
    rig.pull("2", "a");
    let expected = |n: u64, pending: u64| Out::Message {
        to: "a".to_owned(),
        subject: format!("s.{n}"),
        reply: format!("$JS.ACK.S.C.1.{n}.{n}.{BEGIN_NS}.{pending}"),
        header: String::new(),
        payload: "hello".to_owned(),
    };
    assert_eq!(rig.take(), [expected(1, 2), expected(2, 1)]);
    assert_eq!(rig.numbers(), ((2, 2), (0, 0), 2, 0, 1));
}

#[test]
fn nothing_is_delivered_before_it_is_visible() {
    let mut rig = Rig::new(3, pull_config());
    rig.visible = Some(1);
    let config = rig.consumer.take().unwrap().config().clone();
    rig.create(config);
    assert_eq!(rig.info().num_pending, 1);
    rig.pull("3", "a");
    assert_eq!(rig.replies(), [format!("$JS.ACK.S.C.1.1.1.{BEGIN_NS}.0")]);
    rig.visible = Some(3);
    rig.turn();
    assert_eq!(rig.messages(), ["a: 2", "a: 3"]);
    assert_eq!(rig.info().num_pending, 0);
}

#[test]
fn requests_are_served_in_turn() {
    let mut rig = Rig::new(0, pull_config());
    rig.pull("3", "a");
    rig.pull("1", "b");
    rig.pull("3", "c");
    for n in 0..6 {
        rig.publish(&format!("s.{n}"), "");
    }
    rig.turn();
    assert_eq!(rig.messages(), ["a: 1", "b: 2", "c: 3", "a: 4", "c: 5", "a: 6"]);
    assert_eq!(rig.info().num_waiting, 1);
}

#[test]
fn what_cannot_be_served_is_answered_at_once() {
    let caps = ConsumerConfig {
        max_batch: 5,
        max_expires_ns: 1_500_000_000,
        max_bytes: 1000,
        max_waiting: 1,
        ..pull_config()
    };
    let mut rig = Rig::new(0, caps);
    let cases = [
        (r#"{"batch":6}"#, "409 Exceeded MaxRequestBatch of 5"),
        ("6", "409 Exceeded MaxRequestBatch of 5"),
        (r#"{"expires":2000000000}"#, "409 Exceeded MaxRequestExpires of 1.5s"),
        (r#"{"max_bytes":1001}"#, "409 Exceeded MaxRequestMaxBytes of 1000"),
        (r#"{"idle_heartbeat":6,"expires":10}"#, "400 Bad Request - heartbeat value too large"),
        (r#"{"idle_heartbeat":6}"#, "400 Bad Request - heartbeat value too large"),
        (r#"{"batch":x}"#, "400 Bad Request - invalid character 'x' looking for beginning of value"),
        (r#"{"batch":1,"z":1"#, "400 Bad Request - unexpected end of JSON input"),
        (r#"{"min_pending":1}"#, "400 Bad Request - Not a Overflow Priority consumer"),
        (r#"{"min_pending":-1}"#, "400 Bad Request - Not a Overflow Priority consumer"),
        (r#"{"id":"x"}"#, "400 Bad Request - Not a Pinned Client Priority consumer"),
        (r#"{"priority":10}"#, "400 Bad Request - Priority must be between 0 and 9"),
        (r#"{"no_wait":true}"#, "404 No Messages"),
        // Its time was over before it came.
        (
            r#"{"no_wait":true,"expires":-1}"#,
            "408 Request Timeout|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0",
        ),
    ];
    for (body, status) in cases {
        rig.pull(body, "a");
        assert_eq!(rig.statuses(), [format!("a: {status}")], "{body}");
    }
    rig.pull(r#"{"group":"ignored"}"#, "a");
    assert_eq!((rig.statuses().len(), rig.info().num_waiting), (0, 1));
    rig.pull("1", "b");
    assert_eq!(rig.statuses(), ["b: 409 Exceeded MaxWaiting"]);
    rig.pull(r#"{"idle_heartbeat":1,"expires":1000}"#, "b");
    assert_eq!(rig.statuses().len(), 0, "it hears heartbeats miss");
    with!(&mut rig, |consumer, cx| {
        consumer.pull(cx, b"", b"NATS/1.0\r\nNats-Required-Api-Level: 99\r\n\r\n", b"c");
        consumer.pull(cx, b"", b"NATS/1.0\r\nNats-Required-Api-Level: x\r\n\r\n", b"c");
    });
    assert_eq!(rig.statuses(), ["c: 412 Required Api Level", "c: 412 Required Api Level"]);
    let mut push = Rig::new(0, push_config());
    push.pull("1", "a");
    assert_eq!(push.statuses(), ["a: 409 Consumer is push based"]);
}

#[test]
fn a_full_queue_is_looked_through_once_a_second() {
    let mut rig = Rig::new(0, ConsumerConfig { max_waiting: 1, ..pull_config() });
    rig.pull("1", "a");
    rig.out.deaf.insert("a".to_owned());
    rig.pull("1", "b");
    rig.out.deaf.insert("b".to_owned());
    assert_eq!((rig.statuses().len(), rig.info().num_waiting), (0, 1), "b took the place of a");
    rig.pull("1", "c");
    assert_eq!(rig.statuses(), ["c: 409 Exceeded MaxWaiting"]);
    rig.pass(S);
    rig.pull("1", "c");
    assert_eq!(rig.statuses().len(), 0);
}

#[test]
fn requests_end_with_what_they_still_wanted() {
    let mut rig = Rig::new(1, pull_config());
    rig.pull(r#"{"batch":3,"expires":300000000}"#, "a");
    rig.pass(300 * MS);
    let timeout = "a: 408 Request Timeout|Nats-Pending-Messages: 2|Nats-Pending-Bytes: 0";
    assert_eq!(rig.statuses(), [timeout]);
    let weight = "s.1".len() + format!("$JS.ACK.S.C.1.2.2.{BEGIN_NS}.0").len() + 5;
    rig.publish("s.1", "hello");
    rig.pull(&format!(r#"{{"batch":3,"max_bytes":{}}}"#, weight - 1), "b");
    let small = format!(
        "b: 409 Message Size Exceeds MaxBytes|Nats-Pending-Messages: 3|Nats-Pending-Bytes: {}",
        weight - 1
    );
    assert_eq!(rig.statuses(), [small]);
    rig.pull(&format!(r#"{{"batch":1,"max_bytes":{}}}"#, weight + 7), "c");
    assert_eq!(rig.statuses(), ["c: 409 Batch Completed|Nats-Pending-Messages: 0|Nats-Pending-Bytes: 7"]);
    rig.publish("s.1", "hello");
    rig.pull(&format!(r#"{{"batch":2,"max_bytes":{weight}}}"#), "d");
    assert_eq!(rig.statuses().len(), 0, "it ends at exactly nothing left, without a word");
    assert_eq!(rig.info().num_waiting, 0);
}

#[test]
fn who_does_not_wait_hears_of_the_end() {
    let mut rig = Rig::new(2, ConsumerConfig { max_ack_pending: 2, ..pull_config() });
    rig.pull(r#"{"batch":1,"no_wait":true}"#, "a");
    assert_eq!(rig.statuses().len(), 0, "the batch is complete");
    rig.pull(r#"{"batch":5,"no_wait":true}"#, "b");
    assert_eq!(rig.statuses().len(), 0, "too much is not acknowledged, which is not the end");
    rig.ack(&format!("$JS.ACK.S.C.1.1.1.{BEGIN_NS}.1"), "", "");
    assert_eq!(rig.statuses(), ["b: 404 No Messages"]);
    rig.pull(r#"{"batch":1,"no_wait":true,"expires":1000000000}"#, "c");
    assert_eq!(rig.statuses().len(), 0, "with a time it waits");
    rig.ack(&format!("$JS.ACK.S.C.1.2.2.{BEGIN_NS}.1"), "", "");
    rig.publish("s", "");
    rig.turn();
    assert_eq!(rig.messages(), ["c: 3"]);
    rig.pull("7", "d");
    rig.publish("s", "");
    with!(&mut rig, |consumer, cx| {
        consumer.stored(4, b"s");
        consumer.pull(cx, br#"{"batch":1,"no_wait":true}"#, b"", b"e");
    });
    assert_eq!(rig.statuses(), ["e: 408 Requests Pending"]);
}

#[test]
fn heartbeats_tell_where_it_is() {
    let mut rig = Rig::new(2, pull_config());
    rig.pull(r#"{"batch":3,"idle_heartbeat":100000000,"expires":450000000}"#, "a");
    rig.take();
    rig.pass(150 * MS);
    rig.publish("s", "");
    rig.turn();
    let beat = |consumer: u64, stream: u64| {
        format!("a: 100 Idle Heartbeat|Nats-Last-Consumer: {consumer}|Nats-Last-Stream: {stream}")
    };
    assert_eq!(rig.statuses(), [beat(2, 2)]);
    rig.pull(r#"{"batch":3,"idle_heartbeat":100000000,"expires":450000000}"#, "a");
    rig.pass(450 * MS);
    let mut expected = vec![beat(3, 3); 4];
    expected.push("a: 408 Request Timeout|Nats-Pending-Messages: 3|Nats-Pending-Bytes: 0".to_owned());
    assert_eq!(rig.statuses(), expected);
}

#[test]
fn requests_without_interest_go_and_lose_nothing() {
    let mut rig = Rig::new(0, pull_config());
    rig.pull("5", "a");
    rig.pull("5", "b");
    rig.out.deaf.insert("a".to_owned());
    rig.publish("s", "");
    rig.publish("s", "");
    rig.turn();
    assert_eq!(rig.messages(), ["b: 1", "b: 2"]);
    rig.out.deaf.insert("b".to_owned());
    rig.publish("s", "");
    rig.turn();
    assert_eq!((rig.take().len(), rig.info().num_waiting, rig.numbers()), (0, 0, ((2, 2), (0, 0), 2, 0, 1)));
    rig.pull("1", "c");
    assert_eq!(rig.replies(), [format!("$JS.ACK.S.C.1.3.3.{BEGIN_NS}.0")], "delivered once, as the third");
    rig.pull("1", "d");
    rig.out.deaf.insert("d".to_owned());
    rig.out.rewritten = true;
    with!(&mut rig, |consumer, cx| consumer.interest_changed(cx));
    assert_eq!(rig.statuses(), ["d: 408 Interest Expired|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0"]);
}

#[test]
fn interest_from_afar_may_come_late() {
    let mut rig = Rig::new(1, pull_config());
    rig.has_leafs = true;
    rig.out.deaf.insert("a".to_owned());
    rig.pull("1", "a");
    assert_eq!((rig.take().len(), rig.info().num_waiting), (0, 1));
    rig.pass(S);
    rig.out.deaf.clear();
    rig.turn();
    assert_eq!(rig.messages(), ["a: 1"]);
    rig.out.deaf.insert("b".to_owned());
    rig.pull("1", "b");
    rig.publish("s", "");
    rig.turn();
    rig.pass(2 * S);
    assert_eq!((rig.take().len(), rig.info().num_waiting), (0, 0));
}

#[test]
fn who_is_there_and_takes_nothing_is_tried_again() {
    let mut rig = Rig::new(1, pull_config());
    rig.out.stuck.insert("a".to_owned());
    rig.pull("1", "a");
    assert_eq!((rig.take().len(), rig.info().num_waiting), (0, 1));
    rig.out.stuck.clear();
    rig.pass(S);
    assert_eq!(rig.messages(), ["a: 1"]);
}

#[test]
fn a_refused_redelivery_stays_in_front_and_is_not_counted() {
    let mut rig = Rig::new(3, pull_config());
    rig.pull("3", "a");
    let replies = rig.replies();
    rig.ack(&replies[1], "-NAK", "");
    rig.ack(&replies[0], "-NAK", "");
    rig.take();
    rig.out.deaf.insert("b".to_owned());
    rig.pull("1", "b");
    assert_eq!(rig.numbers(), ((3, 3), (0, 0), 3, 0, 0));
    rig.pull("2", "a");
    let again = rig.replies();
    assert_eq!(again[0], format!("$JS.ACK.S.C.2.2.4.{BEGIN_NS}.0"));
    assert_eq!(again[1], format!("$JS.ACK.S.C.2.1.5.{BEGIN_NS}.0"));
}

fn with_policy(policy: PriorityPolicy) -> ConsumerConfig {
    ConsumerConfig { priority_policy: policy, priority_groups: vec!["g".to_owned()], ..pull_config() }
}

#[test]
fn groups_have_to_be_named() {
    let mut rig = Rig::new(0, with_policy(PriorityPolicy::Prioritized));
    rig.pull(r#"{"batch":1}"#, "a");
    rig.pull(r#"{"batch":1,"group":"h"}"#, "a");
    let expected =
        ["a: 400 Bad Request - Priority Group missing", "a: 400 Bad Request - Invalid Priority Group"];
    assert_eq!(rig.statuses(), expected);
}

#[test]
fn priorities_go_first() {
    let mut rig = Rig::new(0, with_policy(PriorityPolicy::Prioritized));
    rig.pull("1", "last");
    for (inbox, priority) in [("c", 2), ("a", 1), ("b", 1)] {
        rig.pull(&format!(r#"{{"batch":2,"group":"g","priority":{priority}}}"#), inbox);
    }
    for _ in 0..7 {
        rig.publish("s", "");
    }
    rig.turn();
    assert_eq!(rig.messages(), ["a: 1", "b: 2", "a: 3", "b: 4", "c: 5", "c: 6", "last: 7"]);
}

#[test]
fn overflow_is_served_when_much_waits() {
    let mut rig = Rig::new(2, with_policy(PriorityPolicy::Overflow));
    rig.pull(r#"{"batch":9,"group":"g","min_pending":3}"#, "a");
    rig.pull(r#"{"batch":9,"group":"g","min_ack_pending":2}"#, "b");
    assert_eq!(rig.messages().len(), 0);
    rig.publish("s", "");
    rig.turn();
    assert_eq!(rig.messages(), ["a: 1"]);
    rig.publish("s", "");
    rig.turn();
    assert_eq!(rig.messages(), ["a: 2", "b: 3", "b: 4"], "two are not acknowledged");
    rig.pull(r#"{"batch":9,"group":"g","min_pending":100,"no_wait":true}"#, "c");
    assert_eq!(rig.statuses(), ["c: 404 No Messages"]);
}

fn pin_of(out: &[Out]) -> String {
    let header = out.iter().find_map(|out| match out {
        Out::Message { header, .. } => Some(header.clone()),
        _ => None,
    });
    header.unwrap().split("Nats-Pin-Id: ").nth(1).unwrap().to_owned()
}

#[test]
fn one_client_is_pinned_and_the_others_stand_by() {
    let config =
        ConsumerConfig { priority_timeout_ns: S as i64, ..with_policy(PriorityPolicy::PinnedClient) };
    let mut rig = Rig::new(3, config);
    rig.pull(r#"{"batch":2,"group":"g"}"#, "a");
    rig.pull(r#"{"batch":2,"group":"g"}"#, "b");
    let out = rig.take();
    let pin = pin_of(&out);
    assert!(out.contains(&Out::Event(format!("Pinned {{ group: \"g\", id: \"{pin}\" }}"))));
    assert_eq!(rig.info().priority_groups[0].pinned_client_id, pin);
    rig.pull(r#"{"batch":1,"group":"g","id":"other"}"#, "c");
    assert_eq!(rig.statuses(), ["c: 423 Nats-Pin-Id mismatch"]);
    rig.pass(600 * MS);
    rig.pull(&format!(r#"{{"batch":4,"group":"g","id":"{pin}"}}"#), "a");
    assert_eq!(rig.messages(), ["a: 3"]);
    // The pin was renewed, so that it ends a second later.
    rig.pass(900 * MS);
    assert_eq!(rig.take(), []);
    rig.pass(100 * MS);
    assert_eq!(
        rig.take(),
        [
            Out::Status {
                to: "a".to_owned(),
                reply: String::new(),
                text: "423 Nats-Wrong-Pin-Id|Nats-Pending-Messages: 3|Nats-Pending-Bytes: 0".to_owned()
            },
            Out::Event("Unpinned { group: \"g\", reason: \"timeout\" }".to_owned()),
        ]
    );
    rig.pull(&format!(r#"{{"batch":1,"group":"g","id":"{pin}"}}"#), "a");
    assert_eq!(rig.statuses(), ["a: 423 Nats-Wrong-Pin-Id|Nats-Pending-Messages: 1|Nats-Pending-Bytes: 0"]);
    rig.publish("s", "");
    rig.turn();
    let out = rig.take();
    assert_ne!(pin_of(&out), pin);
    assert!(with!(&mut rig, |consumer, cx| consumer.unpin(cx, "h")).is_err());
    with!(&mut rig, |consumer, cx| consumer.unpin(cx, "g")).unwrap();
    assert_eq!(rig.events(), ["Unpinned { group: \"g\", reason: \"admin\" }"]);
    assert_eq!(rig.info().priority_groups[0].pinned_client_id, "");
}

#[test]
fn those_that_wait_are_told_when_it_ends() {
    let mut rig = Rig::new(0, pull_config());
    rig.pull("3", "a");
    with!(&mut rig, |consumer, cx| consumer.server_shutdown(cx));
    assert_eq!(rig.statuses(), ["a: 409 Server Shutdown|Nats-Pending-Messages: 3|Nats-Pending-Bytes: 0"]);
    rig.pull("3", "a");
    with!(&mut rig, |consumer, cx| consumer.deleted(cx));
    assert_eq!(rig.statuses(), ["a: 409 Consumer Deleted"]);
}
