//! Who has a subject that overlaps with another one.
//!
//! Subjects are held by token, so that a question visits only what agrees with it so far: one node per token of a literal subject, and
//! the branches below its wildcards. Nodes live in one vector and their edges in one hash table, so that no depth recurses.

use hashbrown::HashTable;
use midge_stdx::hash::MapHasher;
use midge_subject::tokens::{is_any, is_rest, tokens};
use smallvec::SmallVec;

use crate::edge::hash_edge;

const ROOT: u32 = 0;
/// No node: the root is nobody's child.
const NONE: u32 = 0;

#[derive(Debug)]
struct Node<O> {
    parent: u32,
    token: Box<[u8]>,
    /// The child for `*`, which is among the others too.
    star: u32,
    first_child: u32,
    next: u32,
    previous: u32,
    /// Owners of subjects that end here.
    here: SmallVec<[O; 1]>,
    /// Owners of subjects that end in `>` below here.
    rest: SmallVec<[O; 1]>,
}

impl<O> Node<O> {
    fn new(parent: u32, token: &[u8]) -> Self {
        Node {
            parent,
            token: token.into(),
            star: NONE,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            here: SmallVec::new(),
            rest: SmallVec::new(),
        }
    }

    fn is_unused(&self) -> bool {
        self.first_child == NONE && self.here.is_empty() && self.rest.is_empty()
    }
}

/// How far a question has come.
#[derive(Clone, Copy)]
enum Place {
    /// Below a node, with the tokens from this number on.
    At(u32, usize),
    /// Everything from a node on.
    All(u32),
}

/// Subjects, each with an owner.
#[derive(Debug)]
pub struct Overlaps<O> {
    nodes: Vec<Node<O>>,
    free: Vec<u32>,
    edges: HashTable<u32>,
    hasher: MapHasher,
}

impl<O: PartialEq> Default for Overlaps<O> {
    fn default() -> Self {
        Overlaps::new()
    }
}

/// The tokens before a `>`.
fn before_rest(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    tokens(subject).take_while(|token| !is_rest(token))
}

fn has_rest(subject: &[u8]) -> bool {
    tokens(subject).any(is_rest)
}

impl<O: PartialEq> Overlaps<O> {
    /// No subjects.
    pub fn new() -> Self {
        Overlaps {
            nodes: vec![Node::new(NONE, b"")],
            free: Vec::new(),
            edges: HashTable::new(),
            hasher: MapHasher::default(),
        }
    }

    /// Whether there is no subject.
    pub fn is_empty(&self) -> bool {
        self.node(ROOT).is_none_or(Node::is_unused)
    }

    /// Adds a subject. Cost: one hash per token.
    pub fn insert(&mut self, subject: &[u8], owner: O) {
        let mut id = ROOT;
        for token in before_rest(subject) {
            id = match self.child(id, token) {
                Some(child) => child,
                None => self.add_child(id, token),
            };
        }
        if let Some(node) = self.nodes.get_mut(id as usize) {
            if has_rest(subject) { node.rest.push(owner) } else { node.here.push(owner) }
        }
    }

    /// Takes a subject of this owner away; whether it was there. Costs as [`Overlaps::insert`].
    pub fn remove(&mut self, subject: &[u8], owner: &O) -> bool {
        let mut id = ROOT;
        for token in before_rest(subject) {
            match self.child(id, token) {
                Some(child) => id = child,
                None => return false,
            }
        }
        let Some(node) = self.nodes.get_mut(id as usize) else { return false };
        let owners = if has_rest(subject) { &mut node.rest } else { &mut node.here };
        let Some(at) = owners.iter().position(|other| other == owner) else { return false };
        owners.swap_remove(at);
        self.prune(id);
        true
    }

    /// Whether an owner of a subject that overlaps with this one is `wanted`. Cost: one hash per token, and a visit of each node that agrees
    /// with the subject so far; those below a `>` only until one is wanted.
    pub fn any(&self, subject: &[u8], wanted: impl FnMut(&O) -> bool) -> bool {
        self.search(subject, wanted).0
    }

    /// Whether an owner of a subject of which this one is a subset is `wanted`. Cost: as [`Overlaps::any`], without a visit of what only overlaps.
    pub fn covered(&self, subject: &[u8], mut wanted: impl FnMut(&O) -> bool) -> bool {
        let asked: SmallVec<[&[u8]; 16]> = tokens(subject).collect();
        let mut walk: SmallVec<[(u32, usize); 16]> = SmallVec::new();
        walk.push((ROOT, 0));
        while let Some((id, at)) = walk.pop() {
            let Some(node) = self.node(id) else { continue };
            let owners = match asked.get(at) {
                None => &node.here,
                Some(token) => {
                    let star = (node.star != NONE).then_some(node.star);
                    let same = if is_any(token) || is_rest(token) { None } else { self.child(id, token) };
                    let fit = [same, star.filter(|_| !is_rest(token))].into_iter().flatten();
                    fit.for_each(|child| walk.push((child, at + 1)));
                    &node.rest
                }
            };
            if owners.iter().any(&mut wanted) {
                return true;
            }
        }
        false
    }

    /// The answer, and how many nodes were visited for it.
    fn search(&self, subject: &[u8], mut wanted: impl FnMut(&O) -> bool) -> (bool, usize) {
        let asked: SmallVec<[&[u8]; 16]> = tokens(subject).collect();
        let mut walk: SmallVec<[Place; 16]> = SmallVec::new();
        walk.push(Place::At(ROOT, 0));
        let mut visited = 0;
        while let Some(place) = walk.pop() {
            visited += 1;
            let (Place::At(id, _) | Place::All(id)) = place;
            let Some(node) = self.node(id) else { continue };
            let (here, rest) = match place {
                Place::All(_) => {
                    self.children(node).for_each(|child| walk.push(Place::All(child)));
                    (true, true)
                }
                Place::At(_, at) => match asked.get(at) {
                    None => (true, false),
                    Some(token) => {
                        if is_rest(token) {
                            self.children(node).for_each(|child| walk.push(Place::All(child)));
                        } else if is_any(token) {
                            self.children(node).for_each(|child| walk.push(Place::At(child, at + 1)));
                        } else {
                            let star = (node.star != NONE).then_some(node.star);
                            let same = [self.child(id, token), star].into_iter().flatten();
                            same.for_each(|child| walk.push(Place::At(child, at + 1)));
                        }
                        (false, true)
                    }
                },
            };
            if here && node.here.iter().any(&mut wanted) || rest && node.rest.iter().any(&mut wanted) {
                return (true, visited);
            }
        }
        (false, visited)
    }

    fn node(&self, id: u32) -> Option<&Node<O>> {
        self.nodes.get(id as usize)
    }

    fn children<'a>(&'a self, node: &Node<O>) -> impl Iterator<Item = u32> + 'a {
        let present = |id: u32| (id != NONE).then_some(id);
        std::iter::successors(present(node.first_child), move |id| present(self.node(*id)?.next))
    }

    fn child(&self, parent: u32, token: &[u8]) -> Option<u32> {
        let hash = hash_edge(self.hasher, parent, token);
        let same = |&id: &u32| self.node(id).is_some_and(|n| n.parent == parent && *n.token == *token);
        self.edges.find(hash, same).copied()
    }

    fn add_child(&mut self, parent: u32, token: &[u8]) -> u32 {
        let mut node = Node::new(parent, token);
        node.next = self.node(parent).map_or(NONE, |parent| parent.first_child);
        let next = node.next;
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(slot) = self.nodes.get_mut(id as usize) {
                    *slot = node;
                }
                id
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if next != NONE
            && let Some(next) = self.nodes.get_mut(next as usize)
        {
            next.previous = id;
        }
        let (hasher, nodes) = (self.hasher, &self.nodes);
        self.edges.insert_unique(hash_edge(hasher, parent, token), id, |&id| {
            nodes.get(id as usize).map_or(0, |n| hash_edge(hasher, n.parent, &n.token))
        });
        if let Some(parent) = self.nodes.get_mut(parent as usize) {
            parent.first_child = id;
            if is_any(token) {
                parent.star = id;
            }
        }
        id
    }

    /// Frees a node that nothing uses any more, and its parents in turn.
    fn prune(&mut self, mut id: u32) {
        while id != ROOT && self.node(id).is_some_and(Node::is_unused) {
            let Some(node) = self.nodes.get_mut(id as usize) else { return };
            let (parent, next, previous) = (node.parent, node.next, node.previous);
            let token = std::mem::take(&mut node.token);
            let hash = hash_edge(self.hasher, parent, &token);
            if let Ok(edge) = self.edges.find_entry(hash, |&other| other == id) {
                edge.remove();
            }
            if next != NONE
                && let Some(next) = self.nodes.get_mut(next as usize)
            {
                next.previous = previous;
            }
            if previous != NONE
                && let Some(previous) = self.nodes.get_mut(previous as usize)
            {
                previous.next = next;
            }
            if let Some(parent) = self.nodes.get_mut(parent as usize) {
                if previous == NONE {
                    parent.first_child = next;
                }
                if is_any(&token) {
                    parent.star = NONE;
                }
            }
            self.free.push(id);
            id = parent;
        }
    }
}

#[cfg(test)]
mod tests {
    use midge_subject::name::is_valid_subject;
    use midge_subject::wildcard::{is_subset, overlaps};
    use proptest::prelude::*;

    use super::*;

    fn subject() -> impl Strategy<Value = String> {
        let token = prop::sample::select(vec!["a", "b", "ab", "*", ">", "c*", ""]);
        prop::collection::vec(token, 1..5).prop_map(|tokens| tokens.join("."))
    }

    proptest! {
        /// The same answer as comparing with each subject by itself, for any owner, after any insertions and removals.
        #[test]
        fn the_index_answers_as_one_by_one(
            held in prop::collection::vec((subject(), 0..4u8), 0..24),
            gone in prop::collection::vec(any::<bool>(), 24),
            asked in prop::collection::vec(subject(), 1..8),
        ) {
            let mut index = Overlaps::new();
            for (subject, owner) in &held {
                index.insert(subject.as_bytes(), *owner);
            }
            let mut left = Vec::new();
            for (entry, gone) in held.iter().zip(gone) {
                if gone {
                    prop_assert!(index.remove(entry.0.as_bytes(), &entry.1));
                } else {
                    left.push(entry);
                }
            }
            for asked in &asked {
                for own in 0..4u8 {
                    let expected = left
                        .iter()
                        .any(|(subject, owner)| *owner != own && overlaps(subject.as_bytes(), asked.as_bytes()));
                    prop_assert_eq!(index.any(asked.as_bytes(), |owner| *owner != own), expected, "{}", asked);
                }
            }
            for (subject, owner) in left {
                prop_assert!(index.remove(subject.as_bytes(), owner));
            }
            prop_assert!(index.is_empty());
            prop_assert_eq!(index.nodes.len() - index.free.len(), 1);
            prop_assert!(index.edges.is_empty());
        }
    }

    proptest! {
        /// The same for what a subject is a part of, where all are valid.
        #[test]
        fn the_index_knows_what_covers_as_one_by_one(
            held in prop::collection::vec((subject(), 0..4u8), 0..24),
            asked in prop::collection::vec(subject(), 1..8),
        ) {
            let valid = |subject: &str| is_valid_subject(subject.as_bytes());
            let held: Vec<_> = held.into_iter().filter(|(subject, _)| valid(subject)).collect();
            let mut index = Overlaps::new();
            for (subject, owner) in &held {
                index.insert(subject.as_bytes(), *owner);
            }
            for asked in asked.iter().filter(|asked| valid(asked)) {
                for own in 0..4u8 {
                    let expected = held
                        .iter()
                        .any(|(subject, owner)| *owner != own && is_subset(asked.as_bytes(), subject.as_bytes()));
                    prop_assert_eq!(index.covered(asked.as_bytes(), |owner| *owner != own), expected, "{}", asked);
                }
            }
        }
    }

    #[test]
    fn a_question_visits_what_agrees_with_it() {
        let mut index = Overlaps::new();
        for n in 0..10_000u32 {
            index.insert(format!("s{n}.>").as_bytes(), n);
            index.insert(format!("events.{n}.*.done").as_bytes(), n);
        }
        for (asked, found, most) in [
            ("s10000.>", false, 1),
            ("s77.a.b", true, 2),
            ("events.77.x.failed", false, 4),
            ("events.77.x.done", true, 5),
            ("other.*.*", false, 1),
            (">", true, 4),
        ] {
            let (overlap, visited) = index.search(asked.as_bytes(), |_| true);
            assert_eq!(overlap, found, "{asked}");
            assert!(visited <= most, "{asked}: {visited}");
        }
    }

    #[test]
    fn a_deep_subject_does_not_recurse() {
        let deep = vec!["a"; 100_000].join(".");
        let mut index = Overlaps::new();
        index.insert(deep.as_bytes(), 1);
        assert!(index.any(b"a.>", |_| true) && !index.any(b"a.a", |_| true));
        assert!(index.remove(deep.as_bytes(), &1) && index.is_empty());
    }
}
