//! Blocks with and without damage: every byte is accounted for, and what was not touched is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_store::format::record::{RecordKey, encode_message, encode_tombstone};
use midge_store::format::scan::{Item, Order, Scan, Walk};

/// Checks that the items cover the block, and returns where the records start.
fn scan(block: &[u8], key: &RecordKey) -> Option<Vec<usize>> {
    let (mut at, mut starts, mut order, mut given_up) = (0, Vec::new(), Order::default(), false);
    for item in Scan::new(block, key) {
        match item {
            Item::Record { at: start, record } => {
                assert_eq!(start, at);
                assert!(record.verify(key));
                order.place(&record);
                starts.push(start);
                at += record.len();
            }
            Item::Damage(damage) => {
                assert_eq!(damage.from, at);
                assert!(damage.to > at);
                given_up |= damage.given_up;
                at = damage.to;
            }
        }
    }
    assert_eq!(at, block.len());
    (!given_up).then_some(starts)
}

fuzz_target!(|data: &[u8]| {
    let key = RecordKey::new("FIXPLAIN", 1);
    scan(data, &key);
    assert!(Walk::new(data, 0).count() <= data.len() / 30 + 1);
    let Some((&[edits, at, to, mask], content)) = data.split_first_chunk::<4>() else { return };
    let (mut block, mut starts) = (Vec::new(), Vec::new());
    for (seq, payload) in content.chunks(40).take(200).enumerate() {
        starts.push(block.len());
        let written = match payload.first() {
            Some(0) => encode_tombstone(&mut block, &key, seq as u64, 7),
            _ => encode_message(&mut block, &key, seq as u64 + 1, 7, b"a.b", b"", payload),
        };
        assert!(written.is_ok());
    }
    assert_eq!(scan(&block, &key), Some(starts.clone()));
    if edits == 0 || block.is_empty() {
        return;
    }
    let place = (usize::from(at) * 256 + usize::from(to)) % block.len();
    block[place] ^= mask.max(1);
    let hit = starts.iter().rposition(|&start| start <= place).expect("the first record starts at 0");
    if let Some(found) = scan(&block, &key) {
        assert!(starts.iter().enumerate().all(|(at, start)| at == hit || found.contains(start)));
    }
});
