//! Subscriptions by subject.

mod group;
mod trie;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use hashbrown::HashTable;
use midge_stdx::hash::MapHasher;

use group::Group;
use trie::Trie;

/// A subscription as the index sees it: a cheap handle (an `Arc`) with a subject.
pub trait Entry: Clone {
    /// What is subscribed to; may hold wildcards.
    fn subject(&self) -> &[u8];
    /// The queue group, if any.
    fn queue(&self) -> Option<&[u8]>;
    /// Tells handles apart: equal for clones of one handle only.
    fn identity(&self) -> usize;
}

/// What an [`Entry`] that is an `Arc` points to.
pub trait Keyed {
    /// What is subscribed to; may hold wildcards.
    fn subject(&self) -> &[u8];
    /// The queue group, if any.
    fn queue(&self) -> Option<&[u8]>;
}

impl<T: Keyed> Entry for Arc<T> {
    fn subject(&self) -> &[u8] {
        Keyed::subject(&**self)
    }

    fn queue(&self) -> Option<&[u8]> {
        Keyed::queue(&**self)
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(self) as usize
    }
}

/// Why a subscription was not taken or not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SublistError {
    /// An empty token, or a `>` that is not last.
    InvalidSubject,
    /// No such handle.
    NotFound,
}

impl std::fmt::Display for SublistError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SublistError::InvalidSubject => "sublist: invalid subject",
            SublistError::NotFound => "sublist: no matches found",
        })
    }
}

impl std::error::Error for SublistError {}

/// What matches a subject.
#[derive(Clone, Debug)]
pub struct Matched<S> {
    /// Every plain subscription.
    pub plain: Vec<S>,
    /// The members of each queue group, over all matching patterns; no group is empty.
    pub queues: Vec<Vec<S>>,
}

impl<S> Default for Matched<S> {
    fn default() -> Self {
        Matched { plain: Vec::new(), queues: Vec::new() }
    }
}

impl<S: Entry> Matched<S> {
    /// Whether nothing matches.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_empty()
    }

    /// Subscriptions in all.
    pub fn len(&self) -> usize {
        self.plain.len() + self.queues.iter().map(Vec::len).sum::<usize>()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.plain.clear();
        self.queues.clear();
    }

    fn add(&mut self, group: &Group<S>) {
        self.plain.extend_from_slice(group.plain());
        for members in group.queues() {
            let name = members.first().and_then(Entry::queue);
            match self.queues.iter_mut().find(|q| q.first().and_then(Entry::queue) == name) {
                Some(known) => known.extend_from_slice(members),
                None => self.queues.push(members.to_vec()),
            }
        }
    }
}

/// One literal subject: nearly always a single plain subscription.
#[derive(Debug)]
enum Slot<S> {
    One(S),
    Many(Box<Group<S>>),
}

impl<S: Entry> Slot<S> {
    fn subject(&self) -> &[u8] {
        match self {
            Slot::One(s) => s.subject(),
            Slot::Many(group) => group.any().map_or(&[], Entry::subject),
        }
    }
}

/// Counts since the index was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Subscriptions inserted.
    pub inserts: u64,
    /// Subscriptions removed.
    pub removes: u64,
}

/// The index of one account.
#[derive(Debug)]
pub struct Sublist<S> {
    literals: HashTable<Slot<S>>,
    wildcards: Trie<S>,
    hasher: MapHasher,
    len: usize,
    counts: Counts,
}

impl<S: Entry> Default for Sublist<S> {
    fn default() -> Self {
        Sublist::new()
    }
}

/// What a subject is, as a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// No token is a wildcard.
    Literal,
    /// Some token is.
    Wildcard,
    /// An empty token, or a `>` that is not last.
    Invalid,
}

/// The shape of a subscription's subject.
pub fn shape(subject: &[u8]) -> Shape {
    let mut shape = Shape::Literal;
    let mut ended = false;
    for token in subject.split(|&b| b == b'.') {
        match token {
            _ if ended => return Shape::Invalid,
            b"" => return Shape::Invalid,
            b"*" => shape = Shape::Wildcard,
            b">" => {
                shape = Shape::Wildcard;
                ended = true;
            }
            _ => {}
        }
    }
    shape
}

/// Whether a token of the subject is empty; such a subject matches nothing.
#[inline]
fn has_empty_token(subject: &[u8]) -> bool {
    let mut previous = b'.';
    for &b in subject {
        if b == b'.' && previous == b'.' {
            return true;
        }
        previous = b;
    }
    previous == b'.'
}

impl<S: Entry> Sublist<S> {
    /// An empty index.
    pub fn new() -> Self {
        Sublist {
            literals: HashTable::new(),
            wildcards: Trie::new(),
            hasher: MapHasher::default(),
            len: 0,
            counts: Counts::default(),
        }
    }

    /// Adds a subscription. Cost: one hash of a literal subject, or one per token of a wildcard subject.
    pub fn insert(&mut self, entry: S) -> Result<(), SublistError> {
        match shape(entry.subject()) {
            Shape::Invalid => return Err(SublistError::InvalidSubject),
            Shape::Wildcard => self.wildcards.insert(entry),
            Shape::Literal => self.insert_literal(entry),
        }
        self.len += 1;
        self.counts.inserts += 1;
        Ok(())
    }

    fn insert_literal(&mut self, entry: S) {
        let hasher = self.hasher;
        let hash = hasher.bytes(entry.subject());
        match self.literals.find_mut(hash, |slot| slot.subject() == entry.subject()) {
            None => {
                let slot = if entry.queue().is_none() {
                    Slot::One(entry)
                } else {
                    let mut group = Group::default();
                    group.insert(entry);
                    Slot::Many(Box::new(group))
                };
                self.literals.insert_unique(hash, slot, |slot| hasher.bytes(slot.subject()));
            }
            Some(Slot::Many(group)) => group.insert(entry),
            Some(slot) => {
                let mut group = Group::default();
                if let Slot::One(first) = slot {
                    group.insert(first.clone());
                }
                group.insert(entry);
                *slot = Slot::Many(Box::new(group));
            }
        }
    }

    /// Removes a subscription by its handle. Costs as [`Sublist::insert`].
    pub fn remove(&mut self, entry: &S) -> Result<(), SublistError> {
        let removed = match shape(entry.subject()) {
            Shape::Invalid => return Err(SublistError::InvalidSubject),
            Shape::Wildcard => self.wildcards.remove(entry),
            Shape::Literal => self.remove_literal(entry),
        };
        if !removed {
            return Err(SublistError::NotFound);
        }
        self.len -= 1;
        self.counts.removes += 1;
        Ok(())
    }

    fn remove_literal(&mut self, entry: &S) -> bool {
        let hash = self.hasher.bytes(entry.subject());
        let Ok(mut occupied) = self.literals.find_entry(hash, |slot| slot.subject() == entry.subject())
        else {
            return false;
        };
        match occupied.get_mut() {
            Slot::One(one) if one.identity() == entry.identity() => {
                occupied.remove();
                true
            }
            Slot::One(_) => false,
            Slot::Many(group) => {
                // The last member gives the slot its key: it goes with the slot.
                if group.is_only(entry) {
                    occupied.remove();
                    return true;
                }
                group.remove(entry)
            }
        }
    }

    /// Collects what matches a literal subject; nothing when a token of it is empty. A wildcard in the subject is an
    /// ordinary token, which only wildcards of subscriptions cover. Cost: one hash of the subject, plus one per token
    /// and wildcard branch.
    pub fn matching(&self, subject: &[u8], out: &mut Matched<S>) {
        let hash = self.hasher.bytes(subject);
        match self.literals.find(hash, |slot| slot.subject() == subject) {
            Some(Slot::One(one)) => out.plain.push(one.clone()),
            Some(Slot::Many(group)) => out.add(group),
            None => {}
        }
        if !self.wildcards.is_empty() && !has_empty_token(subject) {
            self.wildcards.matching(subject, |group| out.add(group));
        }
    }

    /// Visits every subscription, in no particular order.
    pub fn for_each(&self, mut visit: impl FnMut(&S)) {
        for slot in &self.literals {
            match slot {
                Slot::One(one) => visit(one),
                Slot::Many(group) => group.for_each(&mut visit),
            }
        }
        self.wildcards.for_each(&mut visit);
    }

    /// Subscriptions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Counts since the index was made.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Nodes of the wildcard trie, for tests of its pruning.
    pub fn wildcard_nodes(&self) -> usize {
        self.wildcards.nodes()
    }
}
