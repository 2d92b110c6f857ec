//! The tree against a sorted map, its shape, and its memory.

use std::collections::BTreeMap;

use midge_stdx::entropy::{Entropy, Seeded};
use midge_subject::wildcard::matches;
use proptest::prelude::*;

use super::*;

type Model = BTreeMap<Vec<u8>, u64>;

fn all(tree: &SubjectTree<u64>) -> Vec<(Vec<u8>, u64)> {
    let mut out = Vec::new();
    let flow = tree.for_each(|subject, &value| {
        out.push((subject.to_vec(), value));
        ControlFlow::<()>::Continue(())
    });
    assert!(flow.is_continue());
    out
}

fn found(tree: &SubjectTree<u64>, filters: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut walk = tree.walk_matching(filters);
    while let Some((subject, _)) = walk.next() {
        out.push(subject.to_vec());
    }
    out
}

fn check(tree: &SubjectTree<u64>, model: &Model) {
    assert_eq!(tree.len(), model.len());
    assert!(all(tree).into_iter().eq(model.clone()));
    // Every branch forks: there are fewer than leaves.
    assert!(tree.branches.len() <= tree.len().saturating_sub(1));
}

/// A subject of a few tokens over few bytes, so that prefixes are shared and forks are of every size.
fn subject(rng: &mut Seeded, alphabet: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..rng.below(12) {
        out.push(match rng.below(5) {
            0 => b'.',
            _ => [b'a', b'b', 0x7f, b'*', b'>', 0, 0xff]
                .get(rng.below(9) as usize)
                .copied()
                .unwrap_or_else(|| rng.below(alphabet) as u8),
        });
    }
    out
}

/// A filter that has a chance to match.
fn filter(rng: &mut Seeded, subject: &[u8]) -> Vec<u8> {
    let mut tokens: Vec<Vec<u8>> = subject.split(|&b| b == b'.').map(<[u8]>::to_vec).collect();
    for token in &mut tokens {
        if rng.below(3) == 0 {
            *token = b"*".to_vec();
        }
    }
    if rng.below(3) == 0 {
        tokens.truncate(1 + rng.below(tokens.len() as u64) as usize);
        if let Some(last) = tokens.last_mut() {
            *last = b">".to_vec();
        }
    }
    if rng.below(8) == 0 {
        tokens.push(subject.to_vec());
    }
    tokens.join(&b'.')
}

#[test]
fn a_sorted_map_agrees() {
    for seed in 0..30 {
        let mut rng = Seeded::new(seed);
        let (mut tree, mut model) = (SubjectTree::new(), Model::new());
        let alphabet = [2, 40, 256][usize::try_from(seed % 3).unwrap()];
        for step in 0..2000u64 {
            let subject = subject(&mut rng, alphabet);
            // Grows for a while, then falls to nothing.
            let grows = if step < 1200 { 4 } else { 1 };
            if rng.below(5) < grows {
                match rng.below(3) {
                    0 => {
                        *tree.get_or_insert_with(&subject, || 7) += 1;
                        *model.entry(subject).or_insert(7) += 1;
                    }
                    _ => assert_eq!(tree.insert(&subject, step), model.insert(subject, step)),
                }
            } else if let Some(known) = model.keys().nth(rng.below(model.len() as u64) as usize).cloned() {
                assert_eq!(tree.remove(&known), model.remove(&known));
                assert_eq!(tree.remove(&known), None);
            } else {
                assert_eq!(tree.remove(&subject), model.remove(&subject));
            }
            let probe = self::subject(&mut rng, alphabet);
            assert_eq!(tree.get(&probe), model.get(&probe));
            assert_eq!(tree.contains(&probe), model.contains_key(&probe));
            if let (Some(a), Some(b)) = (tree.get_mut(&probe), model.get_mut(&probe)) {
                (*a, *b) = (step, step);
            }
            if step % 100 == 0 {
                check(&tree, &model);
                tree.compact();
                check(&tree, &model);
            }
        }
        for known in model.keys() {
            assert!(tree.remove(known).is_some());
        }
        assert_eq!((tree.len(), tree.memory_bytes()), (0, size_of::<SubjectTree<u64>>()));
    }
}

#[test]
fn filters_match_as_the_subject_crate_says() {
    let mut hits = 0;
    for seed in 0..60 {
        let mut rng = Seeded::new(seed);
        let mut tree = SubjectTree::new();
        for i in 0..400 {
            tree.insert(&subject(&mut rng, 40), i);
        }
        let subjects: Vec<Vec<u8>> = all(&tree).into_iter().map(|(subject, _)| subject).collect();
        for _ in 0..200 {
            let filters: Vec<Vec<u8>> = (0..=rng.below(4))
                .map(|_| {
                    let like = rng.below(subjects.len() as u64) as usize;
                    filter(&mut rng, &subjects[like])
                })
                .collect();
            let filters: Vec<&[u8]> = filters.iter().map(Vec::as_slice).collect();
            let expected: Vec<Vec<u8>> = subjects
                .iter()
                .filter(|subject| filters.iter().any(|filter| matches(subject, filter)))
                .cloned()
                .collect();
            assert_eq!(found(&tree, &filters), expected, "{filters:?}");
            hits += expected.len();
            // A walk that goes on after any subject, there or not, visits those behind it.
            let at = subject(&mut rng, 40);
            let mut walk = tree.walk_matching(&filters).after(&at);
            let mut rest = expected.iter().filter(|subject| **subject > at);
            while let Some((subject, _)) = walk.next() {
                assert_eq!(Some(subject), rest.next().map(Vec::as_slice));
            }
            assert_eq!(rest.next(), None);
        }
    }
    assert!(hits > 10_000, "the filters are worth testing: {hits}");
}

fn of(subjects: &[&str]) -> SubjectTree<u64> {
    let mut tree = SubjectTree::new();
    for (i, subject) in subjects.iter().enumerate() {
        assert_eq!(tree.insert(subject.as_bytes(), i as u64), None);
    }
    tree
}

#[test]
fn wildcards_stand_for_whole_tokens() {
    let tree =
        of(&["a", "a.b", "a.b.c", "a.bb.c", "a.*", "a.*.c", "a.>", "a.b*.c", "b.b.c", "a..c", ".a", "a."]);
    let names = |filters: &[&str]| {
        let filters: Vec<&[u8]> = filters.iter().map(|filter| filter.as_bytes()).collect();
        found(&tree, &filters).into_iter().map(|s| String::from_utf8(s).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["a.*.c"]), ["a.*.c", "a.b*.c", "a.b.c", "a.bb.c"]);
    assert_eq!(names(&["*"]), ["a"]);
    assert_eq!(names(&["*.b.c"]), ["a.b.c", "b.b.c"]);
    assert_eq!(names(&["a.b*.c"]), ["a.b*.c"]);
    assert_eq!(names(&["b.>"]), ["b.b.c"]);
    assert_eq!(names(&["*.*"]), ["a.*", "a.>", "a.b"]);
    assert_eq!(names(&["a.b", "*.b", "a.>"]).len(), 7);
    assert_eq!(names(&[">"]).len(), 9, "none with an empty token");
    assert_eq!(names(&[">.c"]), [""; 0]);
    assert_eq!(names(&[""]), [""; 0]);
    assert_eq!(names(&[]), [""; 0]);
    assert_eq!(all(&tree).len(), 12);
}

#[test]
fn visitors_may_stop_and_change_values() {
    let mut tree = of(&["k.1", "k.2", "k.3", "l.1"]);
    let mut seen = Vec::new();
    let flow = tree.matching(b"k.*", |subject, &value| {
        seen.push(subject.to_vec());
        if value == 1 { ControlFlow::Break("enough") } else { ControlFlow::Continue(()) }
    });
    assert_eq!((flow, seen.len()), (ControlFlow::Break("enough"), 2));
    let flow = tree.matching_any_mut(&[b"k.>", b"*.2"], |_, value| {
        *value += 10;
        ControlFlow::<()>::Continue(())
    });
    assert!(flow.is_continue());
    let flow = tree.matching_mut(b"l.*", |subject, value| {
        *value = subject.len() as u64;
        ControlFlow::Break(())
    });
    assert!(flow.is_break());
    assert_eq!(all(&tree).into_iter().map(|(_, value)| value).collect::<Vec<_>>(), [10, 11, 12, 3]);
    assert_eq!(format!("{tree:?}"), "{k.1: 10, k.2: 11, k.3: 12, l.1: 3}");
}

#[test]
fn subjects_of_any_length_and_depth_need_no_stack() {
    let mut tree = SubjectTree::new();
    let long: Vec<u8> = b"a.".iter().copied().cycle().take(65_535).collect();
    for len in (1..long.len()).step_by(97) {
        tree.insert(&long[..len], len as u64);
    }
    assert_eq!(tree.get(&long[..98]), Some(&98));
    let stars = vec![b"*".as_slice(); 32_768].join(&b'.');
    assert_eq!(found(&tree, &[&stars[..stars.len() - 2]]), [b""; 0]);
    assert_eq!(found(&tree, &[&stars[..97 * 2 + 1]]).len(), 1);
    for len in (1..long.len()).step_by(97).rev() {
        assert_eq!(tree.remove(&long[..len]), Some(len as u64));
    }
    assert!(tree.is_empty());
}

#[test]
fn branches_of_every_size_grow_and_shrink() {
    let mut tree = SubjectTree::new();
    let mut model = Model::new();
    for byte in 0..=255u8 {
        tree.insert(&[b'x', byte, b'y'], u64::from(byte));
        model.insert(vec![b'x', byte, b'y'], u64::from(byte));
        check(&tree, &model);
    }
    let wide = tree.memory_bytes();
    for byte in (0..=255u8).rev() {
        tree.remove(&[b'x', byte, b'y']);
        model.remove([b'x', byte, b'y'].as_slice());
        check(&tree, &model);
    }
    assert!(tree.memory_bytes() < wide);
}

/// Realistic subjects: letters and digits at random, orders with a UUID, keys with a number.
fn realistic(kind: usize, i: u64, rng: &mut Seeded) -> String {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    match kind {
        0 => {
            let (a, b) = (rng.next_u64(), rng.next_u64());
            let (t, v) = (a & 0xffff, b >> 48);
            format!(
                "orders.{:08x}-{:04x}-4{:03x}-a{v:03x}-{:012x}.status",
                a >> 32,
                t,
                v & 0xfff,
                b & ((1 << 48) - 1)
            )
        }
        1 => format!("kv.bucket.key-{i:06}"),
        _ => (0..22).map(|_| char::from(DIGITS[rng.below(62) as usize])).collect(),
    }
}

#[test]
fn memory_per_subject_is_its_length_and_64_bytes() {
    const COUNT: u64 = 200_000;
    for kind in 0..3 {
        let mut rng = Seeded::new(kind as u64);
        let mut tree: SubjectTree<[u64; 3]> = SubjectTree::new();
        let mut length = 0;
        for i in 0..COUNT {
            let subject = realistic(kind, i, &mut rng);
            length += subject.len();
            tree.insert(subject.as_bytes(), [i; 3]);
        }
        assert_eq!(tree.len() as u64, COUNT);
        let per_subject = tree.memory_bytes() / tree.len();
        assert!(per_subject <= length / tree.len() + 64, "kind {kind}: {per_subject} bytes");
    }
}

#[test]
fn memory_of_removed_subjects_is_used_again_and_returned() {
    let mut rng = Seeded::new(9);
    let mut tree: SubjectTree<[u64; 3]> = SubjectTree::new();
    let mut live = std::collections::VecDeque::new();
    let mut full = 0;
    for i in 0..200_000u64 {
        let subject = realistic(usize::from(i % 2 == 0) * 2, i, &mut rng);
        tree.insert(subject.as_bytes(), [i; 3]);
        live.push_back(subject);
        if live.len() > 20_000
            && let Some(oldest) = live.pop_front()
        {
            assert!(tree.remove(oldest.as_bytes()).is_some());
        }
        if i == 40_000 {
            full = tree.memory_bytes();
        }
    }
    assert_eq!(tree.len(), 20_000);
    assert!(tree.memory_bytes() < full + full / 10, "{} after {full}", tree.memory_bytes());
    for subject in live.drain(1000..) {
        tree.remove(subject.as_bytes());
    }
    tree.compact();
    assert_eq!(tree.len(), 1000);
    assert!(tree.memory_bytes() < full / 5, "{} after {full}", tree.memory_bytes());
}

proptest! {
    #[test]
    fn any_filters_on_any_subjects(
        subjects in prop::collection::btree_set(prop::collection::vec(prop::sample::select(b"ab.*>\x7f".to_vec()), 0..8), 0..30),
        filters in prop::collection::vec(prop::collection::vec(prop::sample::select(b"ab.*>".to_vec()), 0..8), 0..4),
    ) {
        let mut tree = SubjectTree::new();
        for subject in &subjects {
            tree.insert(subject, 0);
        }
        let filters: Vec<&[u8]> = filters.iter().map(Vec::as_slice).collect();
        let expected: Vec<Vec<u8>> =
            subjects.iter().filter(|s| filters.iter().any(|f| matches(s, f))).cloned().collect();
        prop_assert_eq!(found(&tree, &filters), expected);
        prop_assert!(all(&tree).into_iter().map(|(subject, _)| subject).eq(subjects));
    }
}
