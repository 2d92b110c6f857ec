//! The same messages over a store whose blocks are never in memory: every call waits, is repeated, and comes to the same.

use midge_jsapi::requests::MsgGet;
use midge_jsapi::stream_config::{StreamConfig, SubjectTransform};
use midge_stdx::entropy::{Entropy, Seeded};

use super::harness::{Bench, SECOND, config};
use crate::stream::get::{Got, Which};
use crate::stream::{Heal, Origin, Stream, Verdict};

fn features() -> StreamConfig {
    StreamConfig {
        allow_msg_ttl: true,
        allow_rollup_hdrs: true,
        allow_msg_schedules: true,
        allow_atomic: true,
        subject_delete_marker_ttl_ns: 20 * SECOND,
        duplicate_window_ns: 30 * SECOND,
        max_msgs_per_subject: 5,
        ..config()
    }
}

/// A message, or some time that passes.
fn step(random: &mut Seeded, both: &mut [Bench; 2], batch: &mut u64) {
    let subject = format!("s.{}", random.below(6));
    let number = |random: &mut Seeded| random.below(60).to_string();
    let drawn = number(random);
    let mut verdicts = Vec::new();
    match random.below(13) {
        0 => {
            let ns = random.below(8) as i64 * SECOND;
            for bench in both.iter_mut() {
                bench.pass(ns);
                bench.expire();
            }
        }
        1 => {
            *batch += 1;
            let (id, count) = (format!("b{batch}"), 1 + random.below(4));
            for seq in 1..=count {
                let place = seq.to_string();
                let mut headers = vec![("Nats-Batch-Id", id.as_str()), ("Nats-Batch-Sequence", &place)];
                headers.extend((seq == count).then_some(("Nats-Batch-Commit", "1")));
                if seq == 1 && random.below(2) == 0 {
                    headers.push(("Nats-Expected-Last-Subject-Sequence", &drawn));
                }
                verdicts.push(both.each_mut().map(|bench| bench.publish(&subject, &headers, "x")));
            }
        }
        kind => {
            let last = (both[0].store.appended() - random.below(3).min(both[0].store.appended())).to_string();
            let headers: &[(&str, &str)] = match kind {
                2 => &[("Nats-Msg-Id", &drawn)],
                3 => &[("Nats-Rollup", "sub")],
                4 => &[("Nats-Rollup", "all"), ("Nats-Expected-Last-Sequence", &last)],
                5 => &[("Nats-TTL", &drawn)],
                6 => &[("Nats-Expected-Last-Subject-Sequence", &last)],
                7 => &[
                    ("Nats-Expected-Last-Subject-Sequence", &last),
                    ("Nats-Expected-Last-Subject-Sequence-Subject", "s.*"),
                ],
                8 => &[("Nats-Schedule", "@every 7s"), ("Nats-Schedule-Target", "s.t")],
                9 => &[("Nats-Schedule-Next", "purge"), ("Nats-Scheduler", "s.1")],
                10 => &[("Nats-Expected-Last-Msg-Id", &drawn)],
                _ => &[],
            };
            verdicts.push(both.each_mut().map(|bench| bench.publish(&subject, headers, "payload")));
        }
    }
    for [memory, files] in verdicts {
        assert_eq!(memory, files);
    }
}

#[test]
fn nothing_changes_when_every_block_has_to_be_read_first() {
    for seed in 0..12 {
        let mut random = Seeded::new(seed);
        let mut both = [Bench::new(features()), Bench::on_disk(features(), 600)];
        let mut batch = 0;
        for _ in 0..250 {
            step(&mut random, &mut both, &mut batch);
        }
        let content = |bench: &mut Bench| {
            let all = bench.messages();
            all.iter()
                .map(|m| (m.seq, m.ts_ns, m.subject().to_vec(), m.shared_body().to_vec()))
                .collect::<Vec<_>>()
        };
        let [memory, files] = &mut both;
        assert_eq!(content(memory), content(files), "seed {seed}");
        assert_eq!(memory.store.appended(), files.store.appended());
        assert!(files.loads() > 10, "blocks were to be read: {}", files.loads());
    }
}

#[test]
fn counters_transforms_and_gets_wait_too() {
    let transform = SubjectTransform { src: "s.*".into(), dest: "t.{{wildcard(1)}}".into() };
    let counters = StreamConfig { allow_msg_counter: true, subject_transform: Some(transform), ..config() };
    let mut bench = Bench::on_disk(counters, 200);
    for n in 1..=40u64 {
        let subject = format!("s.{}", n % 4);
        let verdict = bench.publish(&subject, &[("Nats-Incr", "2")], "");
        let value = n.div_ceil(4) * 2;
        assert_eq!(verdict, Verdict::Counted { seq: n, value: value.to_string().into() });
    }
    let request = MsgGet { last_by_subj: "t.1".into(), ..MsgGet::default() };
    let mut which = Which::of(&request).unwrap();
    let got = bench.with(|_, store, _| which.find(store, 40));
    assert!(matches!(got, Got::Message(message) if message.seq == 37));
    assert!(bench.loads() > 20);
}

#[test]
fn a_start_reads_what_it_needs() {
    let mut bench = Bench::on_disk(features(), 300);
    for n in 0..30 {
        bench.pass(SECOND);
        bench.stored(&format!("s.{n}"), &[("Nats-Msg-Id", &format!("id{n}"))], "");
    }
    // Half of a batch, as a crash leaves it.
    for seq in ["1", "2", "3"] {
        let headers = [("Nats-Batch-Id", "b"), ("Nats-Batch-Sequence", seq)];
        bench.publish_as(Origin::Source, "s.b", &headers, "");
    }
    let now = bench.now;
    let mut heal = Heal::default();
    assert_eq!(bench.with(|_, store, _| heal.step(store, now)), 3);
    assert_eq!(bench.store.appended(), 30);
    bench.stream = Stream::new(features(), now.wall, &mut Seeded::new(5));
    bench.stream.begin_recall(now.wall);
    bench.with(|stream, store, _| stream.recall_last_id(store));
    // Nobody has to ask for ids before they are needed.
    assert_eq!(bench.publish("s.x", &[("Nats-Msg-Id", "id29")], ""), Verdict::Duplicate { seq: 30 });
    assert!(bench.with(|stream, store, _| stream.recall(store)));
    assert_eq!(
        bench.publish("s.x", &[("Nats-Expected-Last-Msg-Id", "id29")], ""),
        Verdict::Stored { seq: 31 }
    );
    assert_eq!(bench.message(31).payload(), b"");
}
