//! The wheel against a plain list, and files of the Go server.

use std::collections::BTreeSet;

use midge_stdx::entropy::{Entropy, Seeded};
use proptest::prelude::*;

use super::*;

const THW: &[u8] = include_bytes!("../../tests/vectors/thw.db");
const THW_EMPTY: &[u8] = include_bytes!("../../tests/vectors/thw-empty.db");

const SECOND: i64 = TICK_NS;

#[test]
fn files_of_the_go_server_are_read_and_written_back() {
    let (wheel, stamp) = Wheel::decode(THW).unwrap();
    assert_eq!(stamp, 7);
    let entries: Vec<_> = wheel.iter().collect();
    let expected = [
        (3, 4_948_831_556_075_641_028),
        (6, 4_948_831_556_076_985_265),
        (2, 4_948_831_558_075_306_020),
        (5, 4_948_831_561_076_615_726),
    ];
    assert_eq!(entries, expected);
    let mut out = Vec::new();
    wheel.encode(stamp, &mut out);
    assert_eq!(out, THW);
    let (wheel, stamp) = Wheel::decode(THW_EMPTY).unwrap();
    assert!(wheel.is_empty());
    assert_eq!((stamp, wheel.next_expiry_ns()), (3, None));
}

#[test]
fn damaged_files_are_refused_with_the_place() {
    for len in 0..THW.len() {
        assert!(matches!(Wheel::decode(&THW[..len]), Err(WheelError::Short(_))), "{len}");
    }
    let mut longer = THW.to_vec();
    longer.push(0);
    assert_eq!(Wheel::decode(&longer), Err(WheelError::Trailing(THW.len())));
    let mut version = THW.to_vec();
    version[0] = 2;
    assert_eq!(Wheel::decode(&version), Err(WheelError::Version(2)));
    let mut many = THW.to_vec();
    many[8] = 0xff;
    let error = Wheel::decode(&many).unwrap_err();
    assert_eq!(error.to_string(), "expiry wheel: a count exceeds what the input can hold at offset 17");
    let mut twice = THW_EMPTY.to_vec();
    twice[1] = 2;
    twice.extend_from_slice(&[2, 5, 2, 5]);
    assert_eq!(Wheel::decode(&twice), Err(WheelError::Twice(19)));
}

#[test]
fn entries_fire_at_whole_seconds_and_never_early() {
    let mut wheel = Wheel::new();
    assert!(wheel.add(1, 10 * SECOND + 1));
    assert!(wheel.add(2, 11 * SECOND));
    assert!(wheel.add(3, 11 * SECOND + 1));
    assert!(!wheel.add(3, 11 * SECOND + 1));
    assert_eq!((wheel.len(), wheel.next_expiry_ns()), (3, Some(11 * SECOND)));
    let mut fired = Vec::new();
    let mut expire = |wheel: &mut Wheel, now_ns| {
        wheel.expire(now_ns, |seq, _| {
            fired.push(seq);
            Fired::Remove
        })
    };
    assert_eq!(expire(&mut wheel, 11 * SECOND - 1), 0);
    assert_eq!(expire(&mut wheel, 12 * SECOND - 1), 2);
    assert_eq!(wheel.next_expiry_ns(), Some(12 * SECOND));
    assert_eq!(expire(&mut wheel, i64::MAX), 1);
    assert_eq!(fired, [1, 2, 3]);
    assert!(wheel.is_empty());
}

#[test]
fn the_visitor_decides_what_stays() {
    let mut wheel = Wheel::new();
    for seq in 0..10 {
        wheel.add(seq, SECOND);
    }
    let mut seen = Vec::new();
    let removed = wheel.expire(SECOND, |seq, _| {
        seen.push(seq);
        match seq {
            6 => Fired::Stop,
            seq if seq % 2 == 0 => Fired::Remove,
            _ => Fired::Keep,
        }
    });
    assert_eq!((removed, seen), (3, vec![0, 1, 2, 3, 4, 5, 6]));
    assert_eq!(wheel.iter().map(|(seq, _)| seq).collect::<Vec<_>>(), [1, 3, 5, 6, 7, 8, 9]);
    assert!(wheel.update(1, SECOND, 5 * SECOND));
    assert!(!wheel.update(100, SECOND, 6 * SECOND));
    assert!(wheel.contains(100, 6 * SECOND) && !wheel.contains(1, SECOND));
    assert!(wheel.remove(3, SECOND) && !wheel.remove(3, SECOND) && !wheel.remove(5, 2 * SECOND));
    assert_eq!(wheel.len(), 7);
    wheel.clear();
    assert!(wheel.is_empty());
}

#[test]
fn the_ends_of_time_and_of_sequences_hold() {
    let mut wheel = Wheel::new();
    for (seq, at) in [(u64::MAX, i64::MAX), (0, i64::MIN), (u64::MAX, i64::MIN), (u64::MAX, 0), (1, -1)] {
        wheel.add(seq, at);
    }
    assert_eq!(wheel.next_expiry_ns(), Some(i64::MIN + TICK_NS - i64::MIN.rem_euclid(TICK_NS)));
    let mut seen = 0;
    let keep = |seen: &mut usize| {
        *seen += 1;
        Fired::Keep
    };
    assert_eq!(wheel.expire(i64::MAX, |_, _| keep(&mut seen)), 0);
    // The last second of the range never comes.
    assert_eq!(seen, 4);
    assert_eq!(wheel.expire(0, |_, _| Fired::Remove), 4);
    assert_eq!(wheel.next_expiry_ns(), Some(i64::MAX));
}

#[test]
fn a_plain_list_agrees() {
    for seed in 0..40 {
        let mut rng = Seeded::new(seed);
        let (mut wheel, mut model) = (Wheel::new(), BTreeSet::new());
        let mut now = 0;
        for _ in 0..600 {
            let (seq, at) = (rng.below(50), i64::try_from(rng.below(20)).unwrap() * SECOND / 2 + now);
            match rng.below(4) {
                0 | 1 => assert_eq!(wheel.add(seq, at), model.insert((at, seq))),
                2 => assert_eq!(wheel.remove(seq, at), model.remove(&(at, seq))),
                _ => {
                    now += i64::try_from(rng.below(3)).unwrap() * SECOND / 2;
                    let whole = now / SECOND * SECOND;
                    let (due, left): (BTreeSet<_>, _) = model.iter().partition(|entry| entry.0 <= whole);
                    model = left;
                    let mut fired = Vec::new();
                    wheel.expire(now, |seq, at| {
                        fired.push((at, seq));
                        Fired::Remove
                    });
                    assert!(fired.iter().eq(due.iter()));
                }
            }
            assert_eq!(wheel.len(), model.len());
            assert_eq!(wheel.next_expiry_ns(), model.first().map(|e| (e.0 + SECOND - 1) / SECOND * SECOND));
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries: BTreeSet<(i64, u64)>, stamp: u64) {
        let mut wheel = Wheel::new();
        for &(at, seq) in &entries {
            wheel.add(seq, at);
        }
        let mut out = Vec::new();
        wheel.encode(stamp, &mut out);
        prop_assert_eq!(Wheel::decode(&out), Ok((wheel, stamp)));
    }

    #[test]
    fn hostile_files_do_not_panic(bytes: Vec<u8>) {
        let mut file = vec![1];
        file.extend_from_slice(&bytes);
        if let Ok((wheel, stamp)) = Wheel::decode(&file) {
            let mut out = Vec::new();
            wheel.encode(stamp, &mut out);
            prop_assert_eq!(Wheel::decode(&out), Ok((wheel, stamp)));
        }
    }
}
