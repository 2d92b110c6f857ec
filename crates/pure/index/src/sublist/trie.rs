//! Wildcard subscriptions by token.
//!
//! Nodes live in one vector and their edges in one hash table keyed by parent and token, so that neither a walk nor the
//! drop of a deep trie recurses, whatever depth a client's subjects have.

use hashbrown::HashTable;
use midge_stdx::hash::MapHasher;
use smallvec::SmallVec;

use super::Entry;
use super::group::Group;
use crate::edge::hash_edge;
use crate::limits::INLINE_WALK;

const ROOT: u32 = 0;
/// No node: the root is nobody's child.
const NONE: u32 = 0;

#[derive(Debug)]
struct Node<S> {
    parent: u32,
    token: Box<[u8]>,
    /// The child for `*`.
    star: u32,
    /// Children by token, without `star`.
    literal_children: u32,
    /// Subscriptions that end here.
    here: Option<Box<Group<S>>>,
    /// Subscriptions that end in `>` below here.
    full: Option<Box<Group<S>>>,
}

impl<S: Entry> Node<S> {
    fn new(parent: u32, token: &[u8]) -> Self {
        Node { parent, token: token.into(), star: NONE, literal_children: 0, here: None, full: None }
    }

    fn is_unused(&self) -> bool {
        self.star == NONE && self.literal_children == 0 && self.here.is_none() && self.full.is_none()
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trie<S> {
    nodes: Vec<Node<S>>,
    free: Vec<u32>,
    edges: HashTable<u32>,
    hasher: MapHasher,
}

impl<S: Entry> Trie<S> {
    pub(super) fn new() -> Self {
        Trie {
            nodes: vec![Node::new(NONE, b"")],
            free: Vec::new(),
            edges: HashTable::new(),
            hasher: MapHasher::default(),
        }
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.node(ROOT).is_none_or(Node::is_unused)
    }

    fn node(&self, id: u32) -> Option<&Node<S>> {
        self.nodes.get(id as usize)
    }

    fn child(&self, parent: u32, token: &[u8]) -> Option<u32> {
        let hash = hash_edge(self.hasher, parent, token);
        let same = |&id: &u32| self.node(id).is_some_and(|n| n.parent == parent && *n.token == *token);
        self.edges.find(hash, same).copied()
    }

    fn add_child(&mut self, parent: u32, token: &[u8]) -> u32 {
        let node = Node::new(parent, token);
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
        let is_star = token == b"*";
        if !is_star {
            let (hasher, nodes) = (self.hasher, &self.nodes);
            self.edges.insert_unique(hash_edge(hasher, parent, token), id, |&id| {
                nodes.get(id as usize).map_or(0, |n| hash_edge(hasher, n.parent, &n.token))
            });
        }
        if let Some(parent) = self.nodes.get_mut(parent as usize) {
            if is_star {
                parent.star = id;
            } else {
                parent.literal_children += 1;
            }
        }
        id
    }

    fn step(&self, node: u32, token: &[u8]) -> Option<u32> {
        if token == b"*" {
            self.node(node).map(|n| n.star).filter(|&id| id != NONE)
        } else {
            self.child(node, token)
        }
    }

    pub(super) fn insert(&mut self, entry: S) {
        let mut node = ROOT;
        let mut full = false;
        for token in entry.subject().split(|&b| b == b'.') {
            if token == b">" {
                full = true;
                break;
            }
            node = match self.step(node, token) {
                Some(child) => child,
                None => self.add_child(node, token),
            };
        }
        if let Some(node) = self.nodes.get_mut(node as usize) {
            let group = if full { &mut node.full } else { &mut node.here };
            group.get_or_insert_default().insert(entry);
        }
    }

    pub(super) fn remove(&mut self, entry: &S) -> bool {
        let mut node = ROOT;
        let mut full = false;
        for token in entry.subject().split(|&b| b == b'.') {
            if token == b">" {
                full = true;
                break;
            }
            match self.step(node, token) {
                Some(child) => node = child,
                None => return false,
            }
        }
        let Some(end) = self.nodes.get_mut(node as usize) else { return false };
        let group = if full { &mut end.full } else { &mut end.here };
        let Some(members) = group else { return false };
        if !members.remove(entry) {
            return false;
        }
        if members.is_empty() {
            *group = None;
            self.prune(node);
        }
        true
    }

    /// Frees a node that nothing uses any more, and its parents in turn.
    fn prune(&mut self, mut id: u32) {
        while id != ROOT && self.node(id).is_some_and(Node::is_unused) {
            let Some(node) = self.nodes.get_mut(id as usize) else { return };
            let (parent, token) = (node.parent, std::mem::take(&mut node.token));
            let is_star = *token == *b"*";
            if !is_star {
                let hash = hash_edge(self.hasher, parent, &token);
                if let Ok(edge) = self.edges.find_entry(hash, |&other| other == id) {
                    edge.remove();
                }
            }
            if let Some(parent) = self.nodes.get_mut(parent as usize) {
                if is_star {
                    parent.star = NONE;
                } else {
                    parent.literal_children -= 1;
                }
            }
            self.free.push(id);
            id = parent;
        }
    }

    /// Calls `found` for every group that matches; the subject has no empty token.
    pub(super) fn matching<'a>(&'a self, subject: &[u8], mut found: impl FnMut(&'a Group<S>)) {
        let mut walk: SmallVec<[(u32, usize); INLINE_WALK]> = SmallVec::new();
        walk.push((ROOT, 0));
        while let Some((id, start)) = walk.pop() {
            let Some(node) = self.node(id) else { continue };
            if let Some(group) = &node.full {
                found(group);
            }
            if node.star == NONE && node.literal_children == 0 {
                continue;
            }
            let rest = subject.get(start..).unwrap_or_default();
            let (token, next) = match memchr(rest) {
                Some(at) => (rest.get(..at).unwrap_or_default(), Some(start + at + 1)),
                None => (rest, None),
            };
            let literal = if node.literal_children > 0 { self.child(id, token) } else { None };
            let star = (node.star != NONE).then_some(node.star);
            for child in [literal, star].into_iter().flatten() {
                match next {
                    Some(next) => walk.push((child, next)),
                    None => {
                        if let Some(group) = self.node(child).and_then(|n| n.here.as_deref()) {
                            found(group);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn for_each(&self, visit: &mut impl FnMut(&S)) {
        for node in &self.nodes {
            for group in [&node.here, &node.full].into_iter().flatten() {
                group.for_each(visit);
            }
        }
    }
}

/// Tokens are short: a plain loop beats the set-up of a vector search.
#[inline]
fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&b| b == b'.')
}
