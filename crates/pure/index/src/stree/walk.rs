//! Walking a tree in order, everywhere or where filters match.
//!
//! All filters are followed at once: each that still can match is at some byte of its own text, and is moved on by
//! every byte on the way down. Where only literal bytes are awaited, no other child is looked at.

use super::SubjectTree;
use super::node::Link;

/// How far a filter has matched.
#[derive(Clone, Copy)]
struct State {
    filter: u32,
    /// The byte of the filter that is awaited; that of a wildcard as long as it takes bytes.
    at: u32,
}

/// What a filter awaits.
enum Awaited {
    End,
    Byte(u8),
    Star,
    Rest,
    /// A `>` that is not last.
    Nothing,
}

fn awaited(filter: &[u8], at: usize) -> Awaited {
    let Some(&byte) = filter.get(at) else { return Awaited::End };
    let whole_token = (at == 0 || filter[at - 1] == b'.') && matches!(filter.get(at + 1), None | Some(b'.'));
    match byte {
        b'*' if whole_token => Awaited::Star,
        b'>' if whole_token && at + 1 == filter.len() => Awaited::Rest,
        b'>' if whole_token => Awaited::Nothing,
        byte => Awaited::Byte(byte),
    }
}

fn step(filter: &[u8], at: usize, byte: u8) -> Option<usize> {
    match awaited(filter, at) {
        Awaited::End | Awaited::Nothing => None,
        Awaited::Rest => Some(at),
        Awaited::Byte(wanted) => (wanted == byte).then_some(at + 1),
        Awaited::Star if byte != b'.' => Some(at),
        // After a star that is not last comes a separator.
        Awaited::Star => (at + 1 < filter.len()).then_some(at + 2),
    }
}

/// A branch on the way down.
struct Frame {
    branch: Link,
    /// The lowest key of children not yet visited.
    next: u16,
    /// The length of the path up to its keys.
    path: usize,
    /// Where its states begin and end.
    states: (usize, usize),
}

/// A walk without the tree, which each step is given.
pub(super) struct Walker<'f> {
    /// `None` is everything.
    filters: Option<&'f [&'f [u8]]>,
    path: Vec<u8>,
    frames: Vec<Frame>,
    states: Vec<State>,
    /// The last subject that is not wanted any more.
    after: Option<Vec<u8>>,
    started: bool,
}

impl<'f> Walker<'f> {
    pub(super) fn everything() -> Walker<'f> {
        Walker {
            filters: None,
            path: Vec::new(),
            frames: Vec::new(),
            states: Vec::new(),
            after: None,
            started: false,
        }
    }

    pub(super) fn matching(filters: &'f [&'f [u8]]) -> Walker<'f> {
        let states = (0..filters.len() as u32).map(|filter| State { filter, at: 0 }).collect();
        Walker { filters: Some(filters), states, ..Walker::everything() }
    }

    /// The subject of the leaf that was answered last.
    pub(super) fn subject(&self) -> &[u8] {
        &self.path
    }

    /// Whether the next byte begins a token.
    fn is_fresh(&self) -> bool {
        matches!(self.path.last(), None | Some(b'.'))
    }

    /// Goes down one byte; answers whether something can still match.
    fn descend(&mut self, byte: u8, states_from: usize) -> bool {
        let fresh = self.is_fresh();
        self.path.push(byte);
        let Some(filters) = self.filters else { return true };
        if byte == b'.' && fresh {
            self.states.truncate(states_from);
            return false;
        }
        let mut kept = states_from;
        for index in states_from..self.states.len() {
            let State { filter, at } = self.states[index];
            if let Some(at) = step(filters[filter as usize], at as usize, byte) {
                self.states[kept] = State { filter, at: at as u32 };
                kept += 1;
            }
        }
        self.states.truncate(kept);
        kept > states_from
    }

    /// Whether the path is a subject that is wanted.
    fn accepts(&self, states_from: usize) -> bool {
        if self.after.as_ref().is_some_and(|after| self.path <= *after) {
            return false;
        }
        let Some(filters) = self.filters else { return true };
        if self.is_fresh() {
            return false;
        }
        self.states[states_from..].iter().any(|state| {
            let filter = filters[state.filter as usize];
            match awaited(filter, state.at as usize) {
                Awaited::End | Awaited::Rest => true,
                Awaited::Star => state.at as usize + 1 == filter.len(),
                Awaited::Byte(_) | Awaited::Nothing => false,
            }
        })
    }

    /// Goes into a leaf or branch whose key is on the path; answers the leaf that is there, if it is wanted.
    fn enter<V>(&mut self, tree: &SubjectTree<V>, link: Link, states_from: usize) -> Option<u32> {
        if let Some(leaf) = link.as_leaf() {
            for &byte in tree.texts.get(tree.leaves.get(leaf).text) {
                if !self.descend(byte, states_from) {
                    return None;
                }
            }
            return self.accepts(states_from).then_some(leaf);
        }
        let head = tree.branches.get(link).head();
        for &byte in tree.texts.get(head.prefix) {
            if !self.descend(byte, states_from) {
                return None;
            }
        }
        let mut next = 0;
        if let Some(after) = &self.after {
            let shared = self.path.iter().zip(after).take_while(|(a, b)| a == b).count();
            match (self.path.get(shared), after.get(shared)) {
                // All that is below comes before.
                (Some(here), Some(there)) if here < there => return None,
                (None, Some(&there)) => next = u16::from(there),
                _ => {}
            }
        }
        let states = (states_from, self.states.len());
        self.frames.push(Frame { branch: link, next, path: self.path.len(), states });
        head.terminal.as_leaf().filter(|_| self.accepts(states_from))
    }

    /// The next child of a branch that something awaits.
    fn next_child<V>(&self, tree: &SubjectTree<V>, frame: &Frame) -> Option<(u8, Link)> {
        let branch = tree.branches.get(frame.branch);
        let Some(filters) = self.filters else { return branch.next(frame.next) };
        let mut from = frame.next;
        loop {
            let mut lowest: Option<u8> = None;
            for state in &self.states[frame.states.0..frame.states.1] {
                match awaited(filters[state.filter as usize], state.at as usize) {
                    Awaited::Star | Awaited::Rest => return branch.next(frame.next),
                    Awaited::Byte(byte) if u16::from(byte) >= from => {
                        lowest = Some(lowest.map_or(byte, |lowest| lowest.min(byte)));
                    }
                    Awaited::Byte(_) | Awaited::End | Awaited::Nothing => {}
                }
            }
            let byte = lowest?;
            if let Some(link) = branch.find(byte) {
                return Some((byte, link));
            }
            from = u16::from(byte) + 1;
        }
    }

    /// The leaf of the next subject; [`Walker::subject`] says which it is.
    pub(super) fn next<V>(&mut self, tree: &SubjectTree<V>) -> Option<u32> {
        if !self.started {
            self.started = true;
            if tree.root.is_none() || self.filters.is_some_and(<[_]>::is_empty) {
                return None;
            }
            if let Some(leaf) = self.enter(tree, tree.root, 0) {
                return Some(leaf);
            }
        }
        while let Some(frame) = self.frames.last() {
            self.path.truncate(frame.path);
            self.states.truncate(frame.states.1);
            let Some((byte, link)) = self.next_child(tree, frame) else {
                self.frames.pop();
                continue;
            };
            let states = frame.states;
            if let Some(frame) = self.frames.last_mut() {
                frame.next = u16::from(byte) + 1;
            }
            self.states.extend_from_within(states.0..states.1);
            if self.descend(byte, states.1)
                && let Some(leaf) = self.enter(tree, link, states.1)
            {
                return Some(leaf);
            }
        }
        None
    }
}

/// Subjects and values, one at a time. Made by [`SubjectTree::walk`] and [`SubjectTree::walk_matching`].
pub struct Walk<'t, 'f, V> {
    tree: &'t SubjectTree<V>,
    walker: Walker<'f>,
}

impl<'t, 'f, V> Walk<'t, 'f, V> {
    pub(super) fn new(tree: &'t SubjectTree<V>, walker: Walker<'f>) -> Self {
        Walk { tree, walker }
    }

    /// Passes over every subject up to this one, which need not be there, without visiting them. Only before the first
    /// step.
    #[must_use]
    pub fn after(mut self, subject: &[u8]) -> Self {
        self.walker.after = Some(subject.to_vec());
        self
    }

    /// The next subject and its value.
    #[allow(clippy::should_implement_trait)] // Lends the subject, which an iterator cannot.
    pub fn next(&mut self) -> Option<(&[u8], &'t V)> {
        let leaf = self.walker.next(self.tree)?;
        Some((self.walker.subject(), &self.tree.leaves.get(leaf).value))
    }
}
