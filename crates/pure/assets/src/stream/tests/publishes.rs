//! The rules of section "publishing", one by one.

use midge_jsapi::stream_config::{Discard, Republish, Retention, Storage, StreamConfig, SubjectTransform};

use super::harness::{Bench, SECOND, config, text};
use crate::stream::{Origin, Verdict};

#[test]
fn what_was_published_is_stored_without_status_and_request_info() {
    let mut bench = Bench::new(config());
    assert_eq!(bench.publish("s.a", &[], "x"), Verdict::Stored { seq: 1 });
    let block = b"NATS/1.0 503 No\r\nA: 1\r\nNats-Request-Info: {}\r\nB: 2\r\n\r\n";
    let message = crate::stream::Incoming { subject: b"s.a", headers: block, ..Default::default() };
    assert_eq!(bench.send(&message), Verdict::Stored { seq: 2 });
    assert_eq!(text(bench.message(2).headers()), "NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n");
    let bare = crate::stream::Incoming {
        subject: b"s.a",
        headers: b"NATS/1.0\r\nNats-Request-Info: {}\r\n\r\n",
        ..Default::default()
    };
    assert_eq!(bench.send(&bare), Verdict::Stored { seq: 3 });
    assert_eq!(bench.message(3).headers(), b"");
}

#[test]
fn publishers_may_demand_a_state_of_the_stream() {
    let mut bench = Bench::new(config());
    bench.stored("s.a", &[("Nats-Msg-Id", "one")], "");
    bench.stored("s.b", &[("Nats-Msg-Id", "two")], "");
    let mut refused = |headers: &[(&str, &str)]| bench.refused("s.a", headers, "");
    assert_eq!(refused(&[("Nats-Expected-Stream", "X")]), "10060 expected stream does not match");
    assert_eq!(refused(&[("Nats-Expected-Last-Sequence", "1")]), "10071 wrong last sequence: 2");
    assert_eq!(refused(&[("Nats-Expected-Last-Sequence", "x")]), "10071 wrong last sequence: 2");
    assert_eq!(refused(&[("Nats-Expected-Last-Subject-Sequence", "2")]), "10071 wrong last sequence: 1");
    assert_eq!(refused(&[("Nats-Expected-Last-Subject-Sequence", "abc")]), "10071 wrong last sequence: 1");
    assert_eq!(
        refused(&[("Nats-Expected-Last-Subject-Sequence-Subject", "s.b")]),
        "10193 missing sequence for expected last sequence per subject"
    );
    assert_eq!(refused(&[("Nats-Expected-Last-Msg-Id", "one")]), "10070 wrong last msg ID: two");
    let met = [
        ("Nats-Expected-Stream", "S"),
        ("Nats-Expected-Last-Sequence", "2"),
        ("Nats-Expected-Last-Subject-Sequence", "1"),
        ("Nats-Expected-Last-Msg-Id", "two"),
    ];
    assert_eq!(bench.stored("s.a", &met, ""), 3);
    let wild = [
        ("Nats-Expected-Last-Subject-Sequence", "3"),
        ("Nats-Expected-Last-Subject-Sequence-Subject", "s.*"),
    ];
    assert_eq!(bench.stored("s.c", &wild, ""), 4);
    assert_eq!(bench.stored("s.d", &[("Nats-Expected-Last-Subject-Sequence", "0")], ""), 5);
    // The last message has no id.
    assert_eq!(
        bench.refused("s.d", &[("Nats-Expected-Last-Msg-Id", "two")], ""),
        "10070 wrong last msg ID: "
    );
}

#[test]
fn an_id_is_stored_once_within_the_window() {
    let mut bench = Bench::new(config());
    assert_eq!(bench.publish("s.a", &[("Nats-Msg-Id", "x")], ""), Verdict::Stored { seq: 1 });
    assert_eq!(bench.publish("s.b", &[("Nats-Msg-Id", "x")], ""), Verdict::Duplicate { seq: 1 });
    // A duplicate answers before what comes after it in the order of the rules.
    let late = [("Nats-Msg-Id", "x"), ("Nats-Rollup", "sub"), ("Nats-Expected-Last-Msg-Id", "y")];
    assert_eq!(bench.publish("s.b", &late, ""), Verdict::Duplicate { seq: 1 });
    let early = [("Nats-Msg-Id", "x"), ("Nats-Expected-Last-Sequence", "7")];
    assert_eq!(bench.refused("s.b", &early, ""), "10071 wrong last sequence: 1");
    bench.pass(120 * SECOND);
    assert_eq!(bench.publish("s.b", &[("Nats-Msg-Id", "x")], ""), Verdict::Stored { seq: 2 });
    let mut off = Bench::new(StreamConfig { duplicate_window_ns: 0, ..config() });
    off.stored("s.a", &[("Nats-Msg-Id", "x")], "");
    assert_eq!(off.stored("s.a", &[("Nats-Msg-Id", "x")], ""), 2);
}

#[test]
fn ids_are_gathered_again_after_a_start() {
    let mut bench = Bench::new(config());
    bench.stored("s.a", &[("Nats-Msg-Id", "old")], "");
    bench.pass(100 * SECOND);
    bench.stored("s.a", &[("Nats-Msg-Id", "new")], "");
    bench.pass(30 * SECOND);
    let mut entropy = midge_stdx::entropy::Seeded::new(9);
    bench.stream = crate::stream::Stream::new(config(), bench.now.wall, &mut entropy);
    bench.stream.begin_recall(bench.now.wall);
    assert!(bench.with(|stream, store, _| stream.recall(store)));
    bench.with(|stream, store, _| stream.recall_last_id(store));
    assert_eq!(bench.publish("s.a", &[("Nats-Msg-Id", "new")], ""), Verdict::Duplicate { seq: 2 });
    assert_eq!(
        bench.refused("s.a", &[("Nats-Expected-Last-Msg-Id", "old")], ""),
        "10070 wrong last msg ID: new"
    );
    assert_eq!(bench.publish("s.a", &[("Nats-Msg-Id", "old")], ""), Verdict::Stored { seq: 3 });
}

#[test]
fn messages_may_be_too_large() {
    let mut bench = Bench::new(StreamConfig { max_msg_size: 20, ..config() });
    assert_eq!(bench.stored("s.a", &[], &"x".repeat(20)), 1);
    assert_eq!(bench.refused("s.a", &[], &"x".repeat(21)), "10054 message size exceeds maximum allowed");
    assert_eq!(bench.refused("s.a", &[("A", "b")], "1234"), "10054 message size exceeds maximum allowed");
    // Nothing else is looked at then.
    let more = [("Nats-Expected-Stream", "q"), ("Nats-Batch-Id", "b")];
    assert_eq!(bench.refused("s.a", &more, ""), "10054 message size exceeds maximum allowed");
    let mut bench = Bench::new(config());
    let long = "v".repeat(65_600);
    assert_eq!(bench.refused("s.a", &[("A", &long)], ""), "10097 header size exceeds maximum allowed of 64k");
    let mut file = Bench::new(config());
    file.stream.reconfigure(StreamConfig { storage: Storage::File, ..config() });
    assert_eq!(file.refused("s.a", &[], &"x".repeat(32 << 20)), "10077 message too large");
}

#[test]
fn a_full_server_or_account_takes_nothing() {
    let mut bench = Bench::new(config());
    bench.outside.full = true;
    assert_eq!(bench.refused("s.a", &[], "x"), "10023 insufficient resources");
    bench.outside.full = false;
    bench.outside.room = 10;
    assert_eq!(bench.refused("s.a", &[], "x"), "10002 resource limits exceeded for account");
    bench.outside.room = 20;
    assert_eq!(bench.stored("s.a", &[], "x"), 1);
}

#[test]
fn a_sealed_stream_takes_nothing() {
    let mut bench = Bench::new(StreamConfig { sealed: true, ..config() });
    assert_eq!(bench.refused("s.a", &[("Nats-Incr", "x")], ""), "10109 invalid operation on sealed stream");
}

#[test]
fn limits_refuse_new_messages_where_they_are_to() {
    let new = StreamConfig { discard: Discard::New, max_msgs: 2, ..config() };
    let mut bench = Bench::new(new.clone());
    bench.stored("s.a", &[], "");
    bench.stored("s.b", &[], "");
    assert_eq!(bench.refused("s.c", &[], ""), "10077 maximum messages exceeded");
    let mut bench = Bench::new(StreamConfig { max_msgs: -1, max_bytes: 40, ..new.clone() });
    bench.stored("s.a", &[], "x");
    assert_eq!(bench.refused("s.c", &[], "xx"), "10077 maximum bytes exceeded");
    let each = StreamConfig {
        max_msgs_per_subject: 1,
        discard_new_per_subject: true,
        allow_rollup_hdrs: true,
        ..new
    };
    let mut bench = Bench::new(each);
    bench.stored("s.a", &[], "");
    assert_eq!(bench.refused("s.a", &[], ""), "10077 maximum messages per subject exceeded");
    assert_eq!(bench.stored("s.a", &[("Nats-Rollup", "sub")], ""), 2);
}

#[test]
fn a_message_that_nobody_wants_uses_up_its_sequence() {
    let interest = StreamConfig { retention: Retention::Interest, allow_rollup_hdrs: true, ..config() };
    let mut bench = Bench::new(interest);
    bench.outside.wanted = Some(b"s.a");
    assert_eq!(bench.publish("s.a", &[], "1"), Verdict::Stored { seq: 1 });
    assert_eq!(bench.publish("s.b", &[("Nats-Msg-Id", "i")], ""), Verdict::Skipped { seq: 2 });
    assert_eq!(bench.publish("s.a", &[("Nats-Msg-Id", "i")], ""), Verdict::Duplicate { seq: 2 });
    assert_eq!(bench.publish("s.a", &[], "3"), Verdict::Stored { seq: 3 });
    assert_eq!(bench.seqs(), [1, 3]);
    // A rollup counts even so, and then nothing is left.
    assert_eq!(bench.publish("s.c", &[("Nats-Rollup", "all")], ""), Verdict::Skipped { seq: 4 });
    assert!(bench.seqs().is_empty());
}

#[test]
fn rollups_replace_a_subject_or_everything() {
    let mut bench = Bench::new(StreamConfig { allow_rollup_hdrs: true, ..config() });
    for subject in ["s.a", "s.b", "s.a", "s.b"] {
        bench.stored(subject, &[], "");
    }
    assert_eq!(bench.refused("s.a", &[("Nats-Rollup", "Some")], ""), "10111 rollup value invalid: \"some\"");
    bench.stored("s.a", &[("Nats-Rollup", "SUB")], "");
    assert_eq!(bench.seqs(), [2, 4, 5]);
    bench.stored("s.a", &[("Nats-Rollup", "all")], "");
    assert_eq!(bench.seqs(), [6]);
    let mut plain = Bench::new(config());
    assert_eq!(plain.refused("s.a", &[("Nats-Rollup", "x")], ""), "10111 rollup not permitted");
    // What a source gives is stored, but replaces nothing.
    plain.stored("s.a", &[], "");
    plain.publish_as(Origin::Source, "s.a", &[("Nats-Rollup", "sub")], "");
    assert_eq!(plain.seqs(), [1, 2]);
}

#[test]
fn subjects_are_rewritten_before_anything_else() {
    let transform = SubjectTransform { src: "s.*".into(), dest: "t.{{wildcard(1)}}.x".into() };
    let mut bench = Bench::new(StreamConfig { subject_transform: Some(transform), ..config() });
    bench.stored("s.a", &[], "");
    bench.stored("s.b.c", &[], "");
    assert_eq!(text(bench.message(1).subject()), "t.a.x");
    assert_eq!(text(bench.message(2).subject()), "s.b.c");
    assert_eq!(bench.stored("s.a", &[("Nats-Expected-Last-Subject-Sequence", "1")], ""), 3);
}

#[test]
fn copies_say_where_they_came_from() {
    let republish = Republish { src: "s.*".into(), dest: "copy.{{wildcard(1)}}".into(), headers_only: false };
    let mut bench = Bench::new(StreamConfig { republish: Some(republish.clone()), ..config() });
    bench.stored("s.a", &[], "1");
    bench.stored("s.a", &[("K", "v")], "2");
    bench.stored("s.b.c", &[], "3");
    let copies = std::mem::take(&mut bench.outbox.republished);
    assert_eq!(copies.len(), 2);
    assert_eq!((text(&copies[1].subject), text(&copies[1].payload), copies[1].seq), ("copy.a", "2", 2));
    assert_eq!(
        text(&copies[1].headers),
        "NATS/1.0\r\nK: v\r\nNats-Stream: S\r\nNats-Subject: s.a\r\nNats-Sequence: 2\r\n\
         Nats-Time-Stamp: 2027-01-15T08:00:00Z\r\nNats-Last-Sequence: 1\r\n\r\n"
    );
    bench.stream.reconfigure(StreamConfig {
        republish: Some(Republish { headers_only: true, ..republish }),
        ..config()
    });
    bench.stored("s.a", &[], "four");
    let copy = bench.outbox.republished.pop().unwrap();
    assert!(
        text(&copy.headers).ends_with("Nats-Last-Sequence: 2\r\nNats-Msg-Size: 4\r\n\r\n")
            && copy.payload.is_empty()
    );
}

#[test]
fn counters_add_up() {
    let mut bench = Bench::new(StreamConfig { allow_msg_counter: true, ..config() });
    let add = |bench: &mut Bench, by: &str| bench.publish("s.a", &[("Nats-Incr", by)], "");
    assert_eq!(add(&mut bench, "5"), Verdict::Counted { seq: 1, value: "5".into() });
    assert_eq!(add(&mut bench, "-7"), Verdict::Counted { seq: 2, value: "-2".into() });
    assert_eq!(
        add(&mut bench, "+100000000000000000000"),
        Verdict::Counted { seq: 3, value: "99999999999999999998".into() }
    );
    assert_eq!(text(bench.message(2).payload()), r#"{"val":"-2"}"#);
    assert_eq!(text(bench.message(2).headers()), "NATS/1.0\r\nNats-Incr: -7\r\n\r\n");
    assert_eq!(bench.refused("s.a", &[], ""), "10169 message counter increment is missing");
    assert_eq!(
        bench.refused("s.a", &[("Nats-Incr", "1.5")], ""),
        "10171 message counter increment is invalid"
    );
    assert_eq!(bench.refused("s.a", &[("Nats-Incr", "1")], "x"), "10170 message counter has payload");
    assert_eq!(bench.refused("s.a", &[("Nats-Incr", "")], ""), "10169 message counter increment is missing");
    let both = [("Nats-Incr", "1"), ("Nats-Rollup", "sub")];
    assert_eq!(bench.refused("s.a", &both, ""), "10171 message counter increment is invalid");
    let expects = [("Nats-Incr", "1"), ("Nats-Expected-Last-Sequence", "3")];
    assert_eq!(bench.refused("s.a", &expects, ""), "10171 message counter increment is invalid");
    let mut plain = Bench::new(config());
    assert_eq!(plain.refused("s.a", &[("Nats-Incr", "1")], ""), "10168 message counters is disabled");
    // What was counted elsewhere is stored as it is.
    let copy = plain.publish_as(Origin::Source, "s.c", &[("Nats-Incr", "1")], "{\"val\":\"1\"}");
    assert!(matches!(copy, Verdict::Stored { .. }), "{copy:?}");
    plain.stored("s.a", &[], "no counter");
    plain.stream.reconfigure(StreamConfig { allow_msg_counter: true, ..config() });
    assert_eq!(plain.refused("s.a", &[("Nats-Incr", "1")], ""), "10172 message counter is broken");
}

#[test]
fn counters_of_sources_survive_what_was_missed() {
    let mut bench = Bench::new(StreamConfig { allow_msg_counter: true, ..config() });
    let from = |bench: &mut Bench, source: &str, by: &str, value: &str| {
        let origin = format!("{source} 1 > > o.a");
        let payload = format!(r#"{{"val":"{value}"}}"#);
        bench.publish_as(
            Origin::Source,
            "s.a",
            &[("Nats-Incr", by), ("Nats-Stream-Source", &origin)],
            &payload,
        )
    };
    assert_eq!(from(&mut bench, "A", "2", "2"), Verdict::Counted { seq: 1, value: "2".into() });
    assert_eq!(from(&mut bench, "B", "10", "10"), Verdict::Counted { seq: 2, value: "12".into() });
    assert_eq!(
        text(&block_of(&mut bench, 1)),
        "NATS/1.0\r\nNats-Incr: 2\r\nNats-Stream-Source: A 1 > > o.a\r\nNats-Counter-Sources: {\"A\":{\"o.a\":\"2\"}}\r\n\r\n"
    );
    // Increments from 2 to 7 were missed; the last one was 1.
    assert_eq!(from(&mut bench, "A", "1", "8"), Verdict::Counted { seq: 3, value: "18".into() });
    let headers = crate::stream::headers::Headers::read(&block_of(&mut bench, 3)).incr.map(<[u8]>::to_vec);
    assert_eq!(headers.as_deref(), Some(&b"6"[..]));
    assert_eq!(
        bench.publish("s.a", &[("Nats-Incr", "1")], ""),
        Verdict::Counted { seq: 4, value: "19".into() }
    );
    assert_eq!(from(&mut bench, "B", "1", "11"), Verdict::Counted { seq: 5, value: "20".into() });
}

fn block_of(bench: &mut Bench, seq: u64) -> Vec<u8> {
    bench.message(seq).headers().to_vec()
}

#[test]
fn only_sources_say_where_messages_came_from() {
    let mut bench = Bench::new(config());
    let header = [("Nats-Stream-Source", "A 1 > > a")];
    assert_eq!(bench.refused("s.a", &header, ""), "10227 message stream source header is not allowed");
    assert_eq!(bench.publish_as(Origin::Source, "s.a", &header, ""), Verdict::Stored { seq: 1 });
}
