use std::rc::Rc;

use midge_stdx::entropy::{Entropy, Seeded};

use super::*;

#[derive(Clone, Debug)]
struct Sub(Rc<(String, Option<String>, u32)>);

impl Entry for Sub {
    fn subject(&self) -> &[u8] {
        self.0.0.as_bytes()
    }
    fn queue(&self) -> Option<&[u8]> {
        self.0.1.as_deref().map(str::as_bytes)
    }
    fn identity(&self) -> usize {
        Rc::as_ptr(&self.0) as usize
    }
}

fn sub(subject: &str, queue: Option<&str>, id: u32) -> Sub {
    Sub(Rc::new((subject.into(), queue.map(Into::into), id)))
}

/// Ids of the plain subscriptions, then of each group, sorted.
fn ids(list: &Sublist<Sub>, subject: &str) -> (Vec<u32>, Vec<Vec<u32>>) {
    let mut matched = Matched::default();
    list.matching(subject.as_bytes(), &mut matched);
    let sorted = |subs: &[Sub]| {
        let mut ids: Vec<u32> = subs.iter().map(|s| s.0.2).collect();
        ids.sort_unstable();
        ids
    };
    let mut queues: Vec<_> = matched.queues.iter().map(|q| sorted(q)).collect();
    queues.sort();
    (sorted(&matched.plain), queues)
}

fn filled(subjects: &[&str]) -> (Sublist<Sub>, Vec<Sub>) {
    let mut list = Sublist::new();
    let subs: Vec<Sub> = subjects.iter().zip(0..).map(|(s, id)| sub(s, None, id)).collect();
    for s in &subs {
        list.insert(s.clone()).unwrap();
    }
    (list, subs)
}

#[test]
fn literals_and_wildcards() {
    let (list, _) = filled(&["a", "a.b", "a.*", "a.>", ">", "*.b", "*", "a.*.c", "a.b.>"]);
    assert_eq!(ids(&list, "a").0, [0, 4, 6]);
    assert_eq!(ids(&list, "a.b").0, [1, 2, 3, 4, 5]);
    assert_eq!(ids(&list, "a.b.c").0, [3, 4, 7, 8]);
    assert_eq!(ids(&list, "x.y").0, [4]);
    assert_eq!(ids(&list, "x.b").0, [4, 5]);
}

#[test]
fn subjects_with_empty_tokens_match_nothing() {
    let (list, _) = filled(&[">", "*", "a.>", "*.*", "a.*.b"]);
    for bad in ["", ".", ".a", "a.", "a..b", ".."] {
        assert_eq!(ids(&list, bad).0, [0u32; 0], "{bad:?}");
    }
}

#[test]
fn wildcards_published_are_ordinary_tokens() {
    let (list, _) = filled(&["foo.*", "foo.>", "foo.bar", "*.bar"]);
    assert_eq!(ids(&list, "foo.*").0, [0, 1]);
    assert_eq!(ids(&list, "foo.>").0, [0, 1]);
    assert_eq!(ids(&list, "*.bar").0, [3]);
}

#[test]
fn wildcard_characters_inside_tokens_are_literal() {
    let (list, _) = filled(&["foo*", "*bar", ">bar", "foo.>>", "a.*b"]);
    for (at, subject) in ["foo*", "*bar", ">bar", "foo.>>", "a.*b"].iter().enumerate() {
        assert_eq!(ids(&list, subject).0, [u32::try_from(at).unwrap()]);
    }
    assert_eq!(ids(&list, "a.xb").0, [0u32; 0]);
}

#[test]
fn invalid_subjects_are_refused_and_leave_nothing_behind() {
    let mut list = Sublist::new();
    for bad in ["", ".", "a.", ".a", "a..b", ">.a", "a.>.x", "a.*.>.b"] {
        assert_eq!(list.insert(sub(bad, None, 0)), Err(SublistError::InvalidSubject), "{bad:?}");
        assert_eq!(list.remove(&sub(bad, None, 0)), Err(SublistError::InvalidSubject));
    }
    assert_eq!((list.len(), list.wildcard_nodes()), (0, 1));
    assert_eq!(SublistError::InvalidSubject.to_string(), "sublist: invalid subject");
    assert_eq!(SublistError::NotFound.to_string(), "sublist: no matches found");
}

#[test]
fn queue_groups_merge_over_patterns() {
    let mut list = Sublist::new();
    for (id, (subject, queue)) in
        [("foo", "q"), ("foo", "q"), ("*", "q"), (">", "other"), ("foo", "other")].iter().enumerate()
    {
        list.insert(sub(subject, Some(queue), u32::try_from(id).unwrap())).unwrap();
    }
    list.insert(sub("foo", None, 9)).unwrap();
    assert_eq!(ids(&list, "foo"), (vec![9], vec![vec![0, 1, 2], vec![3, 4]]));
    assert_eq!(ids(&list, "bar"), (vec![], vec![vec![2], vec![3]]));
}

#[test]
fn removal_is_by_handle_and_prunes() {
    let (mut list, subs) = filled(&["a", "a", "a.*.b", "a.*.b", "x.>"]);
    assert_eq!(list.remove(&sub("a", None, 0)), Err(SublistError::NotFound));
    for s in &subs {
        list.remove(s).unwrap();
        assert_eq!(list.remove(s), Err(SublistError::NotFound));
    }
    assert_eq!((list.len(), list.wildcard_nodes()), (0, 1));
    assert_eq!(list.counts(), Counts { inserts: 5, removes: 5 });
}

#[test]
fn many_members_of_one_subject_are_removed_in_any_order() {
    let mut list = Sublist::new();
    let subs: Vec<Sub> =
        (0..500).map(|id| sub("foo", if id % 3 == 0 { Some("q") } else { None }, id)).collect();
    for s in &subs {
        list.insert(s.clone()).unwrap();
    }
    let mut rng = Seeded::new(3);
    let mut left: Vec<Sub> = subs;
    while !left.is_empty() {
        let at = usize::try_from(rng.below(left.len() as u64)).unwrap();
        list.remove(&left.swap_remove(at)).unwrap();
        assert_eq!(list.len(), left.len());
        let (plain, queues) = ids(&list, "foo");
        assert_eq!(plain.len() + queues.iter().map(Vec::len).sum::<usize>(), left.len());
    }
}

/// The rule itself, token by token.
fn covers(pattern: &str, subject: &str) -> bool {
    let (mut p, mut s) = (pattern.split('.'), subject.split('.'));
    loop {
        match (p.next(), s.next()) {
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[test]
fn agrees_with_the_rule_under_random_churn() {
    let mut rng = Seeded::new(11);
    let mut list = Sublist::new();
    let mut live: Vec<Sub> = Vec::new();
    let words = ["a", "b", "c", "*", ">"];
    for round in 0..6_000u32 {
        let mut subject: Vec<&str> = Vec::new();
        for _ in 0..=rng.below(4) {
            let word = words[usize::try_from(rng.below(5)).unwrap()];
            subject.push(word);
            if word == ">" {
                break;
            }
        }
        let subject = subject.join(".");
        if rng.below(3) > 0 {
            let queue = [None, None, Some("q1"), Some("q2")][usize::try_from(rng.below(4)).unwrap()];
            let new = sub(&subject, queue, round);
            list.insert(new.clone()).unwrap();
            live.push(new);
        } else if !live.is_empty() {
            let at = usize::try_from(rng.below(live.len() as u64)).unwrap();
            list.remove(&live.swap_remove(at)).unwrap();
        }
        if round % 10 == 0 {
            let literal = subject.replace('*', "a").replace('>', "b");
            let mut want: Vec<u32> =
                live.iter().filter(|s| s.0.1.is_none() && covers(&s.0.0, &literal)).map(|s| s.0.2).collect();
            want.sort_unstable();
            assert_eq!(ids(&list, &literal).0, want, "{literal}");
        }
    }
    let mut seen = 0;
    list.for_each(|_| seen += 1);
    assert_eq!(seen, live.len());
}
