//! Streams rebuilt from their blocks alone.

use midge_store::format::block_file::unpack;
use midge_store::recover::{Floor, History, Input, Limits, Rebuild, Rebuilt};
use serde_json::Value;

use crate::fixtures::{Stream, stream, streams};

fn limits(stream: &Stream) -> Limits {
    let config = stream.expected().unwrap()["config"].clone();
    let limit = |key: &str| u64::try_from(config[key].as_i64().unwrap_or(-1)).unwrap_or(0);
    let old = config["discard"] == "old";
    Limits {
        max_msgs: if old { limit("max_msgs") } else { 0 },
        max_bytes: if old { limit("max_bytes") } else { 0 },
        max_msgs_per_subject: limit("max_msgs_per_subject"),
    }
}

fn rebuild(stream: &Stream, limits: Limits, history: History, change: impl Fn(u32, &mut Vec<u8>)) -> Rebuilt {
    let mut rebuild = Rebuild::new(limits, history);
    for block in stream.blocks() {
        let key = stream.record_key(block);
        let file = stream.block(block);
        let mut plain = unpack(&file, &key).records.into_owned();
        change(block, &mut plain);
        rebuild.block(Input { index: block, plain: &plain, key: &key, known: None }, &mut |_| {});
    }
    rebuild.finish(Floor::default())
}

fn deleted(rebuilt: &Rebuilt) -> Vec<u64> {
    rebuilt.deleted().iter().collect()
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

/// What the API said of the stream, field by field.
fn agrees(stream: &Stream, rebuilt: &Rebuilt) {
    let state = &stream.expected().unwrap()["state"];
    let name = &stream.name;
    let number = |key: &str| state[key].as_u64().unwrap_or(0);
    assert_eq!(rebuilt.state.messages, number("messages"), "{name}");
    assert_eq!(rebuilt.state.bytes, number("bytes"), "{name}");
    assert_eq!(rebuilt.state.first_seq, number("first_seq"), "{name}");
    assert_eq!(rebuilt.state.last_seq, number("last_seq"), "{name}");
    assert_eq!(rebuilt.subjects().count() as u64, number("num_subjects"), "{name}");
    for (time, key) in [(rebuilt.state.first_ts_ns, "first_ts"), (rebuilt.state.last_ts_ns, "last_ts")] {
        let expected = state[key].as_str().unwrap();
        let expected = if expected.starts_with("0001") {
            0
        } else {
            midge_stdx::gotime::parse_rfc3339(expected).unwrap().unwrap().0
        };
        assert_eq!(time, expected, "{name} {key}");
    }
    for (subject, summary) in rebuilt.subjects() {
        let subject = std::str::from_utf8(subject).unwrap();
        assert_eq!(state["subjects"][subject].as_u64(), Some(summary.messages), "{name} {subject}");
    }
    if state["messages"] != 0 {
        assert_eq!(deleted(rebuilt), numbers(&state["deleted"]), "{name}");
    }
    assert!(rebuilt.damage.is_empty() && rebuilt.lost.is_empty(), "{name}: {:?}", rebuilt.damage);
    let blocks: u64 = rebuilt.blocks.iter().map(|block| block.messages).sum();
    assert_eq!(blocks, rebuilt.state.messages, "{name}");
}

#[test]
fn every_stream_comes_back_from_its_blocks_as_the_api_described_it() {
    let mut seen = 0;
    for stream in streams().iter().filter(|stream| !stream.is_log() && stream.expected().is_some()) {
        // What its limit had removed is not certain from the blocks alone, see below.
        if stream.name == "FIXPLAIN" {
            continue;
        }
        agrees(stream, &rebuild(stream, limits(stream), History::Unknown, |_, _| {}));
        seen += 1;
    }
    assert!(seen >= 13, "{seen}");
}

#[test]
fn what_a_limit_removed_stays_away_in_the_order_of_the_log() {
    let stream = stream("plain", "FIXPLAIN");
    let unknown = rebuild(&stream, limits(&stream), History::Unknown, |_, _| {});
    let constant = rebuild(&stream, limits(&stream), History::Constant, |_, _| {});
    // 19 were there. Two messages that are erased since had displaced two others, and no longer say of which subject they were.
    assert_eq!((unknown.state.messages, constant.state.messages), (24, 21));
    let there = numbers(&stream.expected().unwrap()["state"]["deleted"]);
    let missing = deleted(&constant);
    assert!(missing.iter().all(|seq| there.contains(seq)), "nothing that was there is gone: {missing:?}");
}

#[test]
fn a_flipped_bit_costs_one_message_and_says_which() {
    let stream = stream("multiblock", "FIXMB");
    let whole = rebuild(&stream, limits(&stream), History::Unknown, |_, _| {});
    let second = whole.blocks[1].clone();
    let hurt = rebuild(&stream, limits(&stream), History::Unknown, |block, plain| {
        if block == 2 {
            plain[3_000] ^= 0x10;
        }
    });
    assert_eq!(hurt.state.messages, whole.state.messages - 1);
    assert_eq!(hurt.damage.len(), 1);
    let lost: Vec<u64> = hurt.lost.iter().collect();
    assert_eq!(lost.len(), 1);
    assert!((second.first_seq..=second.last_seq).contains(&lost[0]), "{lost:?}");
    assert_eq!(deleted(&hurt).len(), deleted(&whole).len() + 1);
}

#[test]
fn garbage_and_zeros_after_the_last_record_cost_nothing() {
    let stream = stream("multiblock", "FIXMB");
    let whole = rebuild(&stream, limits(&stream), History::Unknown, |_, _| {});
    for tail in [vec![0; 4096], vec![0xa5; 31]] {
        let hurt = rebuild(&stream, limits(&stream), History::Unknown, |block, plain| {
            if block == 3 {
                plain.extend_from_slice(&tail);
            }
        });
        assert_eq!(hurt.state, whole.state);
        assert_eq!((hurt.damage.len(), hurt.lost.len()), (1, 0));
    }
}

#[test]
fn a_tail_that_is_cut_loses_only_what_stood_there() {
    let stream = stream("multiblock", "FIXMB");
    let whole = rebuild(&stream, limits(&stream), History::Unknown, |_, _| {});
    let hurt = rebuild(&stream, limits(&stream), History::Unknown, |block, plain| {
        if block == 3 {
            plain.truncate(plain.len() - 10);
        }
    });
    // The tombstone that is cut belongs to an erased record, which is gone by itself.
    assert_eq!(hurt.state, whole.state);
    assert_eq!((hurt.damage.len(), deleted(&hurt)), (1, deleted(&whole)));
}

#[test]
fn a_stream_without_blocks_is_new() {
    let rebuilt = Rebuild::new(Limits::default(), History::Constant).finish(Floor::default());
    assert_eq!((rebuilt.state.first_seq, rebuilt.state.last_seq, rebuilt.state.messages), (0, 0, 0));
}
