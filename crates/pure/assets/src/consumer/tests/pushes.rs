//! Delivery to a subject.

use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig, ReplayPolicy};

use super::*;

#[test]
fn it_delivers_while_somebody_listens() {
    let mut rig = Rig::empty(stream_config());
    rig.publish("s", "one");
    rig.out.deaf.insert("to".to_owned());
    rig.create(push_config());
    rig.turn();
    assert_eq!((rig.take().len(), rig.info().push_bound), (0, false));
    rig.out.deaf.clear();
    with!(&mut rig, |consumer, cx| consumer.interest_changed(cx));
    rig.turn();
    assert_eq!((rig.messages(), rig.info().push_bound), (vec!["to: 1".to_owned()], true));
    // Interest that goes unnoticed loses nothing.
    rig.out.deaf.insert("to".to_owned());
    rig.publish("s", "two");
    rig.turn();
    assert_eq!((rig.take().len(), rig.info().push_bound, rig.info().num_pending), (0, false, 1));
    rig.out.deaf.clear();
    with!(&mut rig, |consumer, cx| consumer.interest_changed(cx));
    rig.turn();
    assert_eq!(rig.replies(), [format!("$JS.ACK.S.C.1.2.2.{BEGIN_NS}.0")]);
}

#[test]
fn who_listens_and_takes_nothing_is_tried_again() {
    let mut rig = Rig::empty(stream_config());
    rig.publish("s", "one");
    rig.out.stuck.insert("to".to_owned());
    rig.create(push_config());
    rig.turn();
    assert_eq!((rig.take().len(), rig.info().push_bound), (0, true));
    rig.pass(99 * MS);
    rig.out.stuck.clear();
    rig.turn();
    assert_eq!(rig.take().len(), 0, "it rests meanwhile");
    rig.pass(MS);
    assert_eq!(rig.messages(), ["to: 1"]);
}

#[test]
fn headers_alone_tell_the_size() {
    let mut rig = Rig::empty(stream_config());
    let message = NewMessage {
        subject: b"s",
        headers: b"NATS/1.0\r\nA: b\r\n\r\n",
        payload: b"paused",
        ..NewMessage::default()
    };
    rig.store.append(rig.now, &message).unwrap();
    rig.publish("s", "xyz");
    rig.create(ConsumerConfig { headers_only: true, ..push_config() });
    rig.turn();
    let parts: Vec<(String, String)> = rig
        .take()
        .into_iter()
        .filter_map(|out| match out {
            Out::Message { header, payload, .. } => Some((header, payload)),
            _ => None,
        })
        .collect();
    let expected = ["NATS/1.0|A: b|Nats-Msg-Size: 6", "NATS/1.0|Nats-Msg-Size: 3"];
    assert_eq!(parts, expected.map(|header| (header.to_owned(), String::new())));
}

#[test]
fn heartbeats_come_when_nothing_else_does() {
    let config = ConsumerConfig { idle_heartbeat_ns: 200 * MS as i64, ..push_config() };
    let mut rig = Rig::new(2, config);
    rig.turn();
    rig.take();
    rig.pass(150 * MS);
    rig.publish("s", "");
    rig.turn();
    rig.pass(450 * MS);
    let beat = "to: 100 Idle Heartbeat|Nats-Last-Consumer: 3|Nats-Last-Stream: 3";
    assert_eq!(rig.statuses(), [beat; 2]);
    rig.out.deaf.insert("to".to_owned());
    with!(&mut rig, |consumer, cx| consumer.interest_changed(cx));
    rig.pass(S);
    assert_eq!(rig.take(), []);
}

fn flow_subject(out: &[Out]) -> Option<String> {
    out.iter().rev().find_map(|out| match out {
        Out::Status { reply, text, .. } if text == "100 FlowControl Request" => Some(reply.clone()),
        _ => None,
    })
}

#[test]
fn flow_control_holds_delivery_until_it_is_answered() {
    let config = ConsumerConfig { flow_control: true, idle_heartbeat_ns: S as i64, ..push_config() };
    let mut rig = Rig::empty(stream_config());
    let payload = "x".repeat(512 << 10);
    for _ in 0..12 {
        rig.publish("s", &payload);
    }
    rig.create(config);
    rig.turn();
    let out = rig.take();
    let messages = out.iter().filter(|out| matches!(out, Out::Message { .. })).count();
    assert_eq!(messages, 4, "the window of 2 MiB is passed by the headers of the fourth");
    let subject = flow_subject(&out).unwrap();
    assert!(subject.starts_with("$JS.FC.S.C.") && subject.len() == "$JS.FC.S.C.".len() + 4);
    rig.pass(S);
    assert_eq!(
        rig.statuses(),
        [format!(
            "to: 100 Idle Heartbeat|Nats-Last-Consumer: 4|Nats-Last-Stream: 4|Nats-Consumer-Stalled: {subject}"
        )]
    );
    with!(&mut rig, |consumer, cx| consumer.flow_reply(cx, b"$JS.FC.S.C.none", b""));
    rig.turn();
    assert_eq!(rig.take(), []);
    with!(&mut rig, |consumer, cx| consumer.flow_reply(cx, subject.as_bytes(), b""));
    rig.turn();
    let out = rig.take();
    let messages = out.iter().filter(|out| matches!(out, Out::Message { .. })).count();
    assert_eq!(messages, 6, "twice the window, less what was out when it was asked");
    assert!(flow_subject(&out).is_some_and(|next| next != subject));
}

#[test]
fn answers_of_flow_control_acknowledge() {
    let config = ConsumerConfig { ack_policy: AckPolicy::FlowControl, max_ack_pending: 2, ..push_config() };
    let mut rig = Rig::on(retention(Retention::Interest), 5, config);
    rig.turn();
    let out = rig.take();
    let subject = flow_subject(&out).expect("as many as may be are not acknowledged");
    assert_eq!(rig.numbers(), ((2, 2), (0, 0), 2, 0, 3));
    let header = b"NATS/1.0\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 1\r\n\r\n";
    with!(&mut rig, |consumer, cx| consumer.flow_reply(cx, subject.as_bytes(), header));
    assert_eq!(rig.take(), [Out::Done(1, 1)]);
    rig.turn();
    let out = rig.take();
    assert_eq!(rig.numbers(), ((3, 3), (1, 1), 2, 0, 2));
    let subject = flow_subject(&out).unwrap();
    with!(&mut rig, |consumer, cx| consumer.flow_reply(cx, subject.as_bytes(), b""));
    rig.turn();
    assert_eq!(rig.numbers(), ((3, 3), (1, 1), 2, 0, 2), "an answer without a header acknowledges nothing");
    rig.take();
    // Nothing times out.
    rig.pass(100 * S);
    assert_eq!(rig.messages().len(), 0);
}

#[test]
fn a_rate_is_kept_without_holding_up_anything_else() {
    // 1000 bytes a second, and a burst of one message.
    let stream = StreamConfig { max_msg_size: 600, ..stream_config() };
    let config = ConsumerConfig { rate_limit_bps: 8000, idle_heartbeat_ns: 100 * MS as i64, ..push_config() };
    let mut rig = Rig::empty(stream);
    for _ in 0..5 {
        rig.publish("s", &"x".repeat(500));
    }
    rig.create(config);
    rig.turn();
    assert_eq!(rig.messages(), ["to: 1"]);
    rig.pass(400 * MS);
    assert!(rig.statuses().len() >= 3, "heartbeats go on");
    rig.pass(1900 * MS);
    let delivered = rig.info().delivered.consumer_seq;
    assert!((4..=5).contains(&delivered), "{delivered} in 2.3 seconds");
}

#[test]
fn a_replay_keeps_the_pace() {
    let mut rig = Rig::empty(stream_config());
    for wait in [0, 300, 0, 200] {
        rig.now.wall = Wall(rig.now.wall.0 + (wait * MS) as i64);
        rig.publish("s", "");
    }
    rig.create(ConsumerConfig { replay_policy: ReplayPolicy::Original, ..push_config() });
    rig.turn();
    assert_eq!(rig.messages(), ["to: 1"]);
    rig.pass(299 * MS);
    assert_eq!(rig.messages().len(), 0);
    rig.pass(MS);
    assert_eq!(rig.messages(), ["to: 2", "to: 3"]);
    rig.pass(200 * MS);
    assert_eq!(rig.messages(), ["to: 4"]);
    rig.now.wall = Wall(rig.now.wall.0 + S as i64);
    rig.publish("s", "");
    rig.turn();
    assert_eq!(rig.messages(), ["to: 5"], "what is new is delivered at once");
}

#[test]
fn moving_it_delivers_again_what_was_not_acknowledged() {
    let mut rig = Rig::new(2, push_config());
    rig.turn();
    rig.ack("$JS.ACK.S.C.1.1.1.0.0", "", "");
    rig.take();
    let config = rig.consumer.as_ref().unwrap().config().clone();
    let moved = ConsumerConfig { deliver_subject: "other".to_owned(), ..config };
    with!(&mut rig, |consumer, cx| consumer.update(cx, moved));
    rig.turn();
    assert_eq!(rig.messages(), ["other: 2"]);
}
