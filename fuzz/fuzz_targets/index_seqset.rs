//! Sequence sets: what is read is written and read again the same, and asks the same questions with the same answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_codec::cursor::Cursor;
use midge_index::seqset::SeqSet;

fn check(set: &SeqSet) {
    let mut members = 0;
    let mut before = None;
    for (lo, hi) in set.ranges() {
        assert!(lo <= hi && before.is_none_or(|last: u64| last + 1 < lo));
        assert!(set.contains(lo) && set.contains(hi));
        assert_eq!(set.next_gap(lo), hi.checked_add(1));
        assert_eq!(set.previous_gap(hi), lo.checked_sub(1));
        members += hi - lo + 1;
        before = Some(hi);
    }
    assert_eq!((members, before), (set.len(), set.max()));
    assert_eq!(set.count(0, u64::MAX), members);
    let mut out = Vec::new();
    assert!(set.encode(&mut out));
    assert_eq!(out.len() as u64, set.encoded_len());
    assert_eq!(SeqSet::decode_all(&out).as_ref(), Ok(set));
}

fuzz_target!(|data: &[u8]| {
    if let Ok(set) = SeqSet::decode(&mut Cursor::new(data)) {
        // A chunk is 256 bytes of the input; an unaligned one may become two.
        assert!(set.memory_bytes() <= 4 * data.len() + 1024);
        check(&set);
    }
    // The same bytes as changes: kind, then first and length of a range.
    let mut set = SeqSet::new();
    for change in data.chunks_exact(5) {
        let lo = u64::from(u16::from_le_bytes([change[1], change[2]]));
        let hi = lo + u64::from(u16::from_le_bytes([change[3], change[4]]));
        match change[0] % 4 {
            0 => {
                let held = set.contains(lo);
                assert_eq!(set.insert(lo), !held);
            }
            1 => {
                let held = set.count(lo, hi);
                assert_eq!(set.insert_range(lo, hi), hi - lo + 1 - held);
            }
            2 => {
                let held = set.count(lo, hi);
                assert_eq!(set.remove_range(lo, hi), held);
            }
            _ => {
                let held = set.contains(lo);
                assert_eq!(set.remove(lo), held);
            }
        }
    }
    check(&set);
});
