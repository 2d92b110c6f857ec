//! Sequence sets against a plain set, and encodings of the Go server.

use std::collections::BTreeSet;

use midge_codec::cursor::{Cursor, Fault};
use midge_stdx::entropy::{Entropy, Seeded};
use proptest::prelude::*;

use super::*;

const INDEX: &[u8] = include_bytes!("../../tests/vectors/index.db");
const NODE: usize = 266;

fn encoded(set: &SeqSet) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(set.encode(&mut out));
    assert_eq!(out.len() as u64, set.encoded_len());
    out
}

fn check(set: &SeqSet, model: &BTreeSet<u64>) {
    assert_eq!(set.len(), model.len() as u64);
    assert!(set.iter().eq(model.iter().copied()));
    assert_eq!(set.is_empty(), model.is_empty());
    assert_eq!((set.min(), set.max()), (model.first().copied(), model.last().copied()));
    let mut before: Option<(u64, u64)> = None;
    for (lo, hi) in set.ranges() {
        assert!(lo <= hi && before.is_none_or(|(_, last)| last + 1 < lo), "runs are maximal");
        before = Some((lo, hi));
    }
    // Full segments are joined, and no part is empty or full.
    let mut end = None;
    for (&key, segment) in &set.segments {
        match segment {
            Segment::Full(chunks) => {
                assert!(*chunks > 0 && end != Some(key));
                end = Some(key + chunks);
            }
            Segment::Part(chunk) => assert!(chunk.len() > 0 && chunk.len() < SPAN),
        }
    }
}

fn probe(set: &SeqSet, model: &BTreeSet<u64>, at: u64) {
    assert_eq!(set.contains(at), model.contains(&at));
    assert_eq!(set.next_member(at), model.range(at..).next().copied());
    assert_eq!(set.next_gap(at), (at..).find(|seq| !model.contains(seq)));
    assert_eq!(set.previous_gap(at), (0..=at).rev().find(|seq| !model.contains(seq)));
    assert_eq!(
        set.ranges_from(at).map(|(lo, hi)| hi - lo + 1).sum::<u64>(),
        model.range(at..).count() as u64
    );
}

#[test]
fn sets_in_an_index_of_the_go_server_are_read_and_written_back() {
    for (at, members) in [(66, [5, 9]), (359, [20, 22])] {
        let mut input = Cursor::new(&INDEX[at..]);
        let set = SeqSet::decode(&mut input).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), members);
        assert_eq!(input.position(), 276);
        assert_eq!(encoded(&set), &INDEX[at..at + 276]);
    }
}

#[test]
fn a_plain_set_agrees() {
    for seed in 0..24 {
        let mut rng = Seeded::new(seed);
        let (mut set, mut model) = (SeqSet::new(), BTreeSet::new());
        // Small universes fill chunks, larger ones spread.
        let universe = [300, 5000, 9000][usize::try_from(seed % 3).unwrap()];
        for step in 0..400 {
            let (a, b) = (rng.below(universe), rng.below(universe));
            let (lo, hi) = if rng.below(2) == 0 { (a, a + b % 40) } else { (a.min(b), a.max(b)) };
            match rng.below(10) {
                0..=2 => assert_eq!(set.insert(a), model.insert(a)),
                3..=4 => assert_eq!(set.remove(a), model.remove(&a)),
                5..=7 => {
                    let before = model.len();
                    model.extend(lo..=hi);
                    assert_eq!(set.insert_range(lo, hi), (model.len() - before) as u64);
                }
                8 => {
                    let before = model.len();
                    model.retain(|seq| !(lo..=hi).contains(seq));
                    assert_eq!(set.remove_range(lo, hi), (before - model.len()) as u64);
                }
                _ => assert_eq!(set.count(lo, hi), model.range(lo..=hi).count() as u64),
            }
            if step % 20 == 0 {
                check(&set, &model);
                probe(&set, &model, a);
                probe(&set, &model, b / 2048 * 2048);
                assert_eq!(SeqSet::decode_all(&encoded(&set)).unwrap(), set);
            }
        }
        check(&set, &model);
    }
}

#[test]
fn unions_hold_the_members_of_both() {
    for seed in 0..30 {
        let mut rng = Seeded::new(seed);
        let mut draw = || {
            let (mut set, mut model) = (SeqSet::new(), BTreeSet::new());
            for _ in 0..rng.below(40) {
                let lo = rng.below(20_000);
                let hi = lo + [0, 5, 3000][usize::try_from(rng.below(3)).unwrap()];
                set.insert_range(lo, hi);
                model.extend(lo..=hi);
            }
            (set, model)
        };
        let ((mut a, mut model), (b, other)) = (draw(), draw());
        a.union(&b);
        model.extend(other);
        check(&a, &model);
    }
}

#[test]
fn runs_of_any_length_cost_next_to_nothing() {
    let mut set = SeqSet::new();
    assert_eq!(set.insert_range(100, 1_000_000_000_000), 999_999_999_901);
    assert!(set.segments.len() <= 3 && set.memory_bytes() < 400);
    assert_eq!(set.insert_range(5000, 900_000_000_000), 0);
    assert!(set.remove(500_000_000_000));
    assert_eq!(set.next_gap(100), Some(500_000_000_000));
    assert_eq!(set.previous_gap(999_999_999_999), Some(500_000_000_000));
    assert!(set.insert(500_000_000_000));
    assert_eq!(set.segments.len(), 3);
    assert_eq!(set.remove_range(2000, 1_000_000_000_000), 999_999_998_001);
    assert_eq!(set.ranges().collect::<Vec<_>>(), [(100, 1999)]);
    assert_eq!(set.count(0, u64::MAX), 1900);
    // Members that arrive one by one become a run as well.
    let mut set = SeqSet::new();
    set.extend(1..=100_000);
    assert!(set.segments.len() <= 3);
    assert_eq!(set.ranges().collect::<Vec<_>>(), [(1, 100_000)]);
}

#[test]
fn memory_is_bounded_by_bits_and_by_members() {
    let every_other: SeqSet = (0..2_048_000).step_by(2).collect();
    assert!(every_other.memory_bytes() < 1000 * (256 + 64));
    let lone: SeqSet = (0..1000u64).map(|i| i * 1_000_000).collect();
    assert!(lone.memory_bytes() < 1000 * 64);
    let mut gone = every_other.clone();
    for seq in (0..2_048_000).step_by(2) {
        assert!(gone.remove(seq));
    }
    assert!(gone.is_empty() && gone.memory_bytes() < 100);
}

#[test]
fn the_ends_of_the_range_are_members_like_others() {
    let mut set = SeqSet::new();
    assert!(set.insert(u64::MAX) && set.insert(0));
    assert_eq!((set.min(), set.max(), set.len()), (Some(0), Some(u64::MAX), 2));
    assert_eq!(set.next_gap(u64::MAX), None);
    assert_eq!(set.previous_gap(0), None);
    assert_eq!(set.previous_gap(u64::MAX), Some(u64::MAX - 1));
    assert_eq!(set.next_member(1), Some(u64::MAX));
    assert_eq!(set.ranges().collect::<Vec<_>>(), [(0, 0), (u64::MAX, u64::MAX)]);
    assert_eq!(SeqSet::decode_all(&encoded(&set)).unwrap(), set);
    assert_eq!((set.insert_range(5, 4), set.remove_range(5, 4), set.count(5, 4)), (0, 0, 0));
    set.insert_range(0, u64::MAX);
    assert_eq!(set.ranges().collect::<Vec<_>>(), [(0, u64::MAX)]);
    assert!(!set.encode(&mut Vec::new()), "more nodes than the format can count");
    assert!(set.remove(7));
    set.remove_range(0, u64::MAX);
    assert!(set.is_empty());
    assert_eq!((set.min(), set.max(), set.len()), (None, None, 0));
}

/// Reads the tree back as a reader would that relies on order and heights, and answers its height.
fn verify(nodes: &[(u64, u16)], at: &mut usize, low: u64, high: u64) -> u16 {
    let Some(&(base, height)) = nodes.get(*at) else { return 0 };
    if base < low || base >= high {
        return 0;
    }
    *at += 1;
    let left = verify(nodes, at, low, base);
    let right = verify(nodes, at, base + 1, high);
    assert_eq!(height, 1 + left.max(right));
    assert!(left.abs_diff(right) <= 1, "balanced");
    height
}

#[test]
fn nodes_are_those_of_a_balanced_search_tree_in_pre_order() {
    for count in 0..200u64 {
        let set: SeqSet = (0..count).map(|i| i * 2048 + i).collect();
        let bytes = encoded(&set);
        let nodes: Vec<_> = bytes[10..]
            .chunks_exact(NODE)
            .map(|node| {
                let base = u64::from_le_bytes(node[..8].try_into().unwrap());
                (base, u16::from_le_bytes(node[NODE - 2..].try_into().unwrap()))
            })
            .collect();
        assert_eq!(nodes.len() as u64, count);
        let mut at = 0;
        verify(&nodes, &mut at, 0, u64::MAX);
        assert_eq!(at, nodes.len());
    }
    let empty = encoded(&SeqSet::new());
    assert_eq!(empty, [22, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(SeqSet::decode_all(&empty), Ok(SeqSet::new()));
}

fn node(base: u64, words: &[(usize, u64)], total: usize) -> Vec<u8> {
    let mut out = base.to_le_bytes().to_vec();
    out.resize(8 + total * 8 + 2, 0);
    for &(index, word) in words {
        out[8 + index * 8..16 + index * 8].copy_from_slice(&word.to_le_bytes());
    }
    out
}

fn file(version: u8, members: u32, nodes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![22, version];
    out.extend_from_slice(&u32::try_from(nodes.len()).unwrap().to_le_bytes());
    out.extend_from_slice(&members.to_le_bytes());
    out.extend(nodes.iter().flatten());
    out
}

#[test]
fn version_1_has_nodes_of_twice_the_width() {
    let bytes = file(1, 4, &[node(4096, &[(0, 1), (33, 0b11)], 64), node(0, &[(63, 1 << 63)], 64)]);
    assert_eq!(bytes.len(), 10 + 2 * 522);
    let set = SeqSet::decode_all(&bytes).unwrap();
    assert_eq!(set.iter().collect::<Vec<_>>(), [4095, 4096, 4096 + 33 * 64, 4096 + 33 * 64 + 1]);
}

#[test]
fn bases_need_not_be_multiples_and_order_and_heights_do_not_matter() {
    for base in [1, 64, 100, 2047, 2048 * 3 + 65] {
        let bytes = file(2, 4, &[node(base, &[(0, 1), (17, 1 << 63), (31, 0b11 << 62)], 32)]);
        let set = SeqSet::decode_all(&bytes).unwrap();
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [base, base + 17 * 64 + 63, base + 31 * 64 + 62, base + 31 * 64 + 63]
        );
    }
    let full: Vec<_> = (0..32).map(|i| (i, u64::MAX)).collect();
    let bytes = file(2, 4096, &[node(2148, &full, 32), node(100, &full, 32)]);
    let set = SeqSet::decode_all(&bytes).unwrap();
    assert_eq!(set.ranges().collect::<Vec<_>>(), [(100, 4195)]);
}

#[test]
fn damaged_encodings_are_refused_with_the_place() {
    let right = file(2, 1, &[node(0, &[(0, 1)], 32)]);
    for len in 0..right.len() {
        assert!(matches!(SeqSet::decode_all(&right[..len]), Err(SeqSetError::Short(_))), "{len}");
    }
    let mut longer = right.clone();
    longer.push(0);
    assert!(matches!(SeqSet::decode_all(&longer), Err(SeqSetError::Short(e)) if e.at == 276));
    assert_eq!(SeqSet::decode_all(&[23, 2]), Err(SeqSetError::Magic(23)));
    assert_eq!(SeqSet::decode_all(&[22, 3]), Err(SeqSetError::Version(3)));
    // A number of nodes whose bytes would overflow 32 bits.
    let mut many = right.clone();
    many[2..6].copy_from_slice(&0x00f6_6360_u32.to_le_bytes());
    assert!(matches!(SeqSet::decode_all(&many), Err(SeqSetError::Short(e)) if e.fault == Fault::TooMany));
    for version in [1, 2] {
        let words = if version == 1 { 64 } else { 32 };
        let wrong = file(version, 2, &[node(0, &[(0, 1)], words)]);
        assert_eq!(SeqSet::decode_all(&wrong), Err(SeqSetError::Members { announced: 2, found: 1 }));
        let beyond = file(version, 2, &[node(u64::MAX - 2046, &[(words - 1, 1 << 63)], words)]);
        assert_eq!(SeqSet::decode_all(&beyond), Err(SeqSetError::Overflow(10)));
    }
    let last = file(2, 1, &[node(u64::MAX - 2046, &[(0, 1)], 32)]);
    assert_eq!(SeqSet::decode_all(&last).unwrap().min(), Some(u64::MAX - 2046));
    let error = SeqSet::decode_all(&right[..20]).unwrap_err();
    assert_eq!(error.to_string(), "sequence set: a count exceeds what the input can hold at offset 10");
}

proptest! {
    #[test]
    fn what_is_written_is_read(members in prop::collection::btree_set(0u64..100_000, 0..200), runs in prop::collection::vec((0u64..100_000, 0u64..5000), 0..4)) {
        let mut set: SeqSet = members.into_iter().collect();
        for (lo, len) in runs {
            set.insert_range(lo, lo + len);
        }
        let bytes = encoded(&set);
        let mut followed = bytes.clone();
        followed.extend_from_slice(b"rest");
        let mut input = Cursor::new(&followed);
        let read = SeqSet::decode(&mut input).unwrap();
        prop_assert_eq!(input.rest(), b"rest");
        prop_assert_eq!(&read, &set);
        prop_assert_eq!(encoded(&read), bytes);
    }

    #[test]
    fn hostile_encodings_do_not_panic(version in 1u8..3, count in 0u32..3, bytes in prop::collection::vec(any::<u8>(), 0..1100)) {
        let mut input = vec![22, version];
        input.extend_from_slice(&count.to_le_bytes());
        let _ = SeqSet::decode_all(&input);
        input.extend_from_slice(&[0; 4]);
        input.extend_from_slice(&bytes);
        let _ = SeqSet::decode(&mut Cursor::new(&input));
    }
}
