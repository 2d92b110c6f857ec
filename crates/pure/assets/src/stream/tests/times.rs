//! Lifetimes, markers, schedules.

use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::Wall;

use super::harness::{Bench, SECOND, config, text};
use crate::stream::headers::Headers;
use crate::stream::{Origin, Verdict};

#[test]
fn lifetimes_have_to_be_permitted_and_readable() {
    let mut bench = Bench::new(config());
    assert_eq!(bench.refused("s.a", &[("Nats-TTL", "5")], ""), "10166 per-message TTL is disabled");
    assert_eq!(bench.refused("s.a", &[("Nats-TTL", "abc")], ""), "10165 invalid per-message TTL");
    // What a source gives is stored, and stays.
    assert_eq!(bench.publish_as(Origin::Source, "s.a", &[("Nats-TTL", "5")], ""), Verdict::Stored { seq: 1 });
    bench.pass(10 * SECOND);
    bench.expire();
    assert_eq!(bench.seqs(), [1]);
    let mut bench = Bench::new(StreamConfig { allow_msg_ttl: true, max_age_ns: 60 * SECOND, ..config() });
    assert_eq!(bench.refused("s.a", &[("Nats-TTL", "0")], ""), "10165 invalid per-message TTL");
    bench.stored("s.a", &[("Nats-TTL", "never")], "");
    bench.stored("s.b", &[("Nats-TTL", "5s")], "");
    bench.stored("s.c", &[], "");
    assert!(bench.expire().is_some_and(|next| next <= Wall(bench.now.wall.0 + 6 * SECOND)));
    bench.pass(6 * SECOND);
    bench.expire();
    assert_eq!(bench.seqs(), [1, 3]);
    bench.pass(60 * SECOND);
    bench.expire();
    assert_eq!(bench.seqs(), [1]);
}

fn marked() -> StreamConfig {
    StreamConfig {
        allow_msg_ttl: true,
        allow_rollup_hdrs: true,
        subject_delete_marker_ttl_ns: 60 * SECOND,
        ..config()
    }
}

#[test]
fn the_last_message_of_a_subject_leaves_a_marker() {
    let mut bench = Bench::new(StreamConfig { max_age_ns: 100 * SECOND, ..marked() });
    bench.stored("s.a", &[], "1");
    bench.stored("s.a", &[], "2");
    bench.stored("s.k", &[("KV-Operation", "PURGE")], "");
    bench.expire();
    bench.pass(101 * SECOND);
    bench.expire();
    let left = bench.messages();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!((left[0].seq, text(left[0].subject()), left[0].payload()), (4, "s.a", &b""[..]));
    assert_eq!(
        text(left[0].headers()),
        "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1m0s\r\nNats-Rollup: sub\r\n\r\n"
    );
    // The marker goes without another one.
    bench.pass(61 * SECOND);
    bench.expire();
    assert!(bench.seqs().is_empty());
}

#[test]
fn a_lifetime_that_ends_leaves_a_marker_too() {
    let mut bench = Bench::new(marked());
    bench.stored("s.a", &[("Nats-TTL", "70")], "");
    bench.stored("s.b", &[("Nats-TTL", "70")], "");
    bench.stored("s.b", &[], "stays");
    bench.pass(72 * SECOND);
    bench.expire();
    let left: Vec<(u64, bool)> = bench
        .messages()
        .iter()
        .map(|message| (message.seq, Headers::read(message.headers()).marker_reason.is_some()))
        .collect();
    assert_eq!(left, [(3, false), (4, true)]);
}

#[test]
fn lifetimes_are_not_shorter_than_that_of_a_marker() {
    let mut bench = Bench::new(marked());
    bench.stored("s.a", &[("Nats-TTL", "2s"), ("Z", "1")], "");
    assert_eq!(text(bench.message(1).headers()), "NATS/1.0\r\nZ: 1\r\nNats-TTL: 60\r\n\r\n");
    bench.stored("s.a", &[("Nats-TTL", "90s")], "");
    assert_eq!(text(bench.message(2).headers()), "NATS/1.0\r\nNats-TTL: 90s\r\n\r\n");
    let mut single = Bench::new(StreamConfig { max_msgs_per_subject: 1, ..marked() });
    single.stored("s.a", &[("Nats-TTL", "2s")], "");
    assert_eq!(text(single.message(1).headers()), "NATS/1.0\r\nNats-TTL: 2s\r\n\r\n");
}

fn scheduling() -> StreamConfig {
    StreamConfig { allow_msg_schedules: true, allow_rollup_hdrs: true, allow_msg_ttl: true, ..config() }
}

#[test]
fn schedules_have_rules() {
    let mut off = Bench::new(config());
    assert_eq!(off.refused("s.a", &[("Nats-Schedule", "bad")], ""), "10188 message schedules is disabled");
    let mut bench = Bench::new(StreamConfig { allow_msg_ttl: false, ..scheduling() });
    let mut refused = |headers: &[(&str, &str)]| {
        let mut all = vec![("Nats-Schedule", "@every 5s"), ("Nats-Schedule-Target", "s.t")];
        all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
        all.extend(headers.iter().filter(|(_, value)| !value.is_empty()));
        bench.refused("s.a", &all, "").split(' ').next().unwrap().to_owned()
    };
    assert_eq!(refused(&[("Nats-Schedule", "@every 5")]), "10189");
    assert_eq!(refused(&[("Nats-Schedule-Time-Zone", "UTC")]), "10189");
    assert_eq!(refused(&[("Nats-Schedule", "@daily"), ("Nats-Schedule-Time-Zone", "No/Where")]), "10223");
    for target in ["", "s.*", "s.a", "other"] {
        assert_eq!(refused(&[("Nats-Schedule-Target", target)]), "10190", "{target}");
    }
    for source in ["s.*", "s.a", "s.t", "other"] {
        assert_eq!(refused(&[("Nats-Schedule-Source", source)]), "10203", "{source}");
    }
    assert_eq!(refused(&[("Nats-Schedule-TTL", "x")]), "10191");
    assert_eq!(refused(&[("Nats-Schedule-TTL", "5")]), "10166");
    assert_eq!(refused(&[("Nats-Schedule-Rollup", "all")]), "10192");
    assert_eq!(refused(&[("Nats-Rollup", "all")]), "10192");
    for cancel in [
        &[("Nats-Scheduler", "s.x")][..],
        &[("Nats-Schedule-Next", "purge")],
        &[("Nats-Schedule-Next", "later"), ("Nats-Scheduler", "s.x")],
        &[("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.b")],
    ] {
        assert_eq!(bench.refused("s.b", cancel, ""), "10212 message schedules invalid scheduler");
    }
    bench.stored("s.plain", &[], "");
    let cancel = [("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.plain")];
    assert_eq!(bench.refused("s.b", &cancel, ""), "10212 message schedules invalid scheduler");
}

#[test]
fn a_message_is_published_once_when_its_time_comes() {
    let mut bench = Bench::new(scheduling());
    let at = midge_stdx::gotime::rfc3339(Wall(bench.now.wall.0 + 10 * SECOND));
    let pattern = format!("@at {at}");
    let headers = [
        ("Nats-Schedule", pattern.as_str()),
        ("Nats-Schedule-Target", "s.t"),
        ("Nats-Schedule-TTL", "5m"),
        ("K", "v"),
        ("Nats-Msg-Id", "id"),
    ];
    bench.stored("s.a", &headers, "body");
    assert!(text(bench.message(1).headers()).ends_with("Nats-Rollup: sub\r\n\r\n"));
    assert!(bench.expire().is_some_and(|next| next.0 == bench.now.wall.0 + 10 * SECOND));
    bench.pass(11 * SECOND);
    bench.expire();
    let left = bench.messages();
    assert_eq!(left.len(), 1, "the schedule is purged");
    assert_eq!((text(left[0].subject()), text(left[0].payload())), ("s.t", "body"));
    assert_eq!(
        text(left[0].headers()),
        "NATS/1.0\r\nK: v\r\nNats-Scheduler: s.a\r\nNats-Schedule-Next: purge\r\nNats-TTL: 5m\r\n\r\n"
    );
    assert!(bench.stream.schedules().is_empty());
}

#[test]
fn schedules_repeat_until_something_takes_their_place() {
    let mut bench = Bench::new(scheduling());
    let headers =
        [("Nats-Schedule", "@every 10s"), ("Nats-Schedule-Target", "s.t"), ("Nats-Schedule-Source", "s.v")];
    bench.stored("s.a", &headers, "own");
    bench.pass(11 * SECOND);
    bench.expire();
    let first = bench.message(2);
    assert_eq!((text(first.subject()), text(first.payload())), ("s.t", "own"));
    assert_eq!(Headers::read(first.headers()).schedule_next, Some(&b"2027-01-15T08:00:21Z"[..]));
    bench.stored("s.v", &[("X", "y")], "of the source");
    // What was missed happens once.
    bench.pass(100 * SECOND);
    bench.expire();
    let second = bench.message(4);
    assert_eq!(text(second.payload()), "of the source");
    assert!(text(second.headers()).starts_with("NATS/1.0\r\nX: y\r\nNats-Scheduler: s.a\r\n"));
    assert_eq!(bench.store.appended(), 4);
    bench.stored("s.a", &[], "plain");
    assert!(bench.stream.schedules().is_empty());
    bench.stored("s.a", &headers, "again");
    bench.stored("s.x", &[("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.a")], "");
    assert!(bench.stream.schedules().is_empty());
    assert!(bench.messages().iter().all(|message| message.subject() != b"s.a"));
}
