//! Block files: every record of every one, and what damage costs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use midge_stdx::entropy::Seeded;
use midge_stdx::gotime::parse_rfc3339;
use midge_store::format::block_file::{pack, unpack};
use midge_store::format::record::{
    Kind, Record, RecordKey, encode_erased, encode_message, encode_skip, encode_tombstone, peek_len, peek_seq,
};
use midge_store::format::scan::{Item, Order, Scan, Walk};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::fixtures::{file, folder, stream, streams};

/// Every record of a block without damage.
fn records<'a>(plain: &'a [u8], key: &'a RecordKey) -> Vec<(usize, Record<'a>)> {
    Scan::new(plain, key)
        .map(|item| match item {
            Item::Record { at, record } => (at, record),
            Item::Damage(damage) => panic!("{damage}"),
        })
        .collect()
}

fn base64(text: &Value) -> Vec<u8> {
    data_encoding::BASE64.decode(text.as_str().unwrap_or_default().as_bytes()).unwrap()
}

/// Runs such as `m1-3 t2`.
fn runs(records: &[(usize, Record<'_>)]) -> String {
    let mut runs: Vec<(char, u64, u64)> = Vec::new();
    for (_, record) in records {
        let letter = match record.kind {
            Kind::Message { .. } => 'm',
            Kind::Tombstone => 't',
            Kind::Erased | Kind::Skip => 'e',
        };
        match runs.last_mut() {
            Some((last, _, to)) if *last == letter && *to + 1 == record.seq => *to = record.seq,
            _ => runs.push((letter, record.seq, record.seq)),
        }
    }
    let mut text = String::new();
    for (letter, from, to) in runs {
        let space = if text.is_empty() { "" } else { " " };
        let end = if from == to { String::new() } else { format!("-{to}") };
        write!(text, "{space}{letter}{from}{end}").unwrap();
    }
    if text.is_empty() { "-".to_owned() } else { text }
}

#[test]
fn blocks_hold_the_listed_records_in_their_order() {
    let list = String::from_utf8(file(folder().join("records.txt"))).unwrap();
    let mut seen = 0;
    for line in list.lines() {
        let [topic, name, block, len, expected] = line.splitn(5, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (stream, block) = (stream(topic, name), block.parse().unwrap());
        assert_eq!(stream.block_on_disk(block).len(), len.parse::<usize>().unwrap(), "{line}");
        let (bytes, key) = (stream.block(block), stream.record_key(block));
        let unpacked = unpack(&bytes, &key);
        assert_eq!(unpacked.fault, None);
        assert_eq!(runs(&records(&unpacked.records, &key)), expected, "{line}");
        seen += 1;
    }
    assert_eq!(seen, 24);
}

#[test]
fn every_block_is_sound_and_can_be_written_again_byte_for_byte() {
    for stream in streams() {
        for block in stream.blocks() {
            let (bytes, key) = (stream.block(block), stream.record_key(block));
            let unpacked = unpack(&bytes, &key);
            assert_eq!(unpacked.fault, None);
            let plain = &*unpacked.records;
            assert!(bytes.ends_with(&plain[plain.len().saturating_sub(8)..]));
            let mut again = Vec::new();
            let mut order = Order::default();
            for (at, record) in records(plain, &key) {
                order.place(&record);
                assert_eq!(peek_len(plain, at), Some(record.len() as u32));
                assert_eq!(peek_seq(plain, at), Some(record.seq));
                let written = match record.kind {
                    Kind::Message { subject, headers, payload } => {
                        assert_eq!(subject.is_empty(), stream.is_log());
                        encode_message(&mut again, &key, record.seq, record.ts_ns, subject, headers, payload)
                    }
                    Kind::Tombstone => encode_tombstone(&mut again, &key, record.seq, record.ts_ns),
                    Kind::Skip => encode_skip(&mut again, &key, record.seq, record.ts_ns),
                    Kind::Erased => {
                        // The filler is random: the same length and sequence, not the same bytes.
                        let mut erased = Vec::new();
                        encode_erased(
                            &mut erased,
                            &key,
                            record.seq,
                            record.len() as u32,
                            &mut Seeded::new(1),
                        )
                        .unwrap();
                        assert_eq!(erased[..22], record.bytes()[..22]);
                        again.extend_from_slice(record.bytes());
                        continue;
                    }
                };
                assert_eq!(written.unwrap().checksum, record.checksum());
            }
            assert_eq!(again, plain);
            assert_eq!(order.ignored, 0);
            assert!(Walk::new(plain, 0).all(|step| step.is_ok()));
            let other = stream.record_key(block + 1);
            assert!(Scan::new(plain, &other).all(|item| matches!(item, Item::Damage(_))));
            if let Some(packed) = pack(plain) {
                assert_eq!(*unpack(&packed, &key).records, *plain);
            }
        }
    }
}

#[test]
fn live_messages_are_those_that_the_api_reported() {
    let mut compared = 0;
    for stream in streams() {
        // In `plain` the limit per subject removed messages, which leaves no record but the index.
        let Some(expected) = stream.expected() else { continue };
        let (mut messages, mut tombstones) = (BTreeMap::new(), BTreeSet::new());
        for block in stream.blocks() {
            let (bytes, key) = (stream.block(block), stream.record_key(block));
            for (_, record) in records(&unpack(&bytes, &key).records, &key) {
                match record.kind {
                    Kind::Message { subject, headers, payload } => {
                        messages.insert(
                            record.seq,
                            (record.ts_ns, subject.to_vec(), headers.to_vec(), payload.to_vec()),
                        );
                    }
                    Kind::Tombstone => _ = tombstones.insert(record.seq),
                    _ => {}
                }
            }
        }
        messages.retain(|seq, _| !tombstones.contains(seq));
        let live = expected["messages"].as_array().unwrap();
        assert!(messages.len() == live.len() || stream.topic == "plain", "{}", stream.name);
        for message in live {
            let (ts_ns, subject, headers, payload) = &messages[&message["seq"].as_u64().unwrap()];
            let time = parse_rfc3339(message["time"].as_str().unwrap()).unwrap().unwrap();
            assert_eq!(
                (*ts_ns, subject.as_slice()),
                (time.0, message["subject"].as_str().unwrap().as_bytes())
            );
            assert_eq!(*headers, base64(&message["hdrs_b64"]));
            assert_eq!(payload.len() as u64, message["len"].as_u64().unwrap());
            let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(payload));
            assert_eq!(digest, message["sha256"].as_str().unwrap());
            compared += 1;
        }
    }
    assert_eq!(compared, 197);
}

/// The flipped copy of a block of 2000 byte messages loses one record, and which one is said.
#[test]
fn a_flipped_bit_anywhere_costs_one_record() {
    let stream = stream("multiblock", "FIXMB");
    let (plain, key) = (stream.block(2), stream.record_key(2));
    let sound = records(&plain, &key);
    // Every bit of the heads and a sample of the payloads.
    let near_head = |byte: usize| sound.iter().any(|(at, _)| (*at..at + 60).contains(&byte));
    for bit in (0..plain.len() * 8).filter(|bit| near_head(bit / 8) || bit % 1009 == 0) {
        let mut flipped = plain.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let hit = sound.iter().rposition(|(at, _)| *at <= bit / 8).unwrap();
        let (mut intact, mut damages) = (0, Vec::new());
        for item in Scan::new(&flipped, &key) {
            match item {
                Item::Record { at, record } if sound.contains(&(at, record)) => intact += 1,
                Item::Record { at, .. } => {
                    // The borders between subject, headers and payload are not covered by the checksum.
                    let within = bit / 8 - at;
                    assert!(
                        at == sound[hit].0 && ((20..22).contains(&within) || (26..30).contains(&within)),
                        "bit {bit}"
                    );
                }
                Item::Damage(damage) => damages.push((damage.from, damage.to)),
            }
        }
        assert_eq!(intact, sound.len() - 1, "bit {bit}");
        let (at, record) = sound[hit];
        assert!(damages.is_empty() || damages == [(at, at + record.len())], "bit {bit}: {damages:?}");
    }
}

#[test]
fn a_cut_anywhere_in_a_file_keeps_all_before_it() {
    for (topic, name, block) in [("plain", "FIXPLAIN", 1), ("encrypted", "FIXENC", 2)] {
        let stream = stream(topic, name);
        let (plain, key) = (stream.block(block), stream.record_key(block));
        let ends: Vec<usize> = records(&plain, &key).iter().map(|(at, record)| at + record.len()).collect();
        for cut in (0..plain.len()).step_by(if topic == "plain" { 1 } else { 37 }) {
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            let found =
                Scan::new(&plain[..cut], &key).filter(|item| matches!(item, Item::Record { .. })).count();
            assert_eq!(found, whole, "{topic} cut at {cut}");
        }
    }
}
