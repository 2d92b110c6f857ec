//! The subscriptions of one subject.

use midge_stdx::hash::Map;

use super::Entry;
use crate::limits::INDEXED_MEMBERS;

/// Handles in a dense vector; large ones also know the position of each.
#[derive(Debug)]
struct Members<S> {
    list: Vec<S>,
    positions: Option<Map<usize, usize>>,
}

impl<S: Entry> Members<S> {
    fn insert(&mut self, entry: S) {
        if let Some(positions) = &mut self.positions {
            positions.insert(entry.identity(), self.list.len());
        }
        self.list.push(entry);
        if self.positions.is_none() && self.list.len() > INDEXED_MEMBERS {
            self.positions = Some(self.list.iter().enumerate().map(|(at, s)| (s.identity(), at)).collect());
        }
    }

    fn remove(&mut self, entry: &S) -> bool {
        let identity = entry.identity();
        let at = match &self.positions {
            Some(positions) => positions.get(&identity).copied(),
            None => self.list.iter().position(|s| s.identity() == identity),
        };
        let Some(at) = at else { return false };
        self.list.swap_remove(at);
        if let Some(positions) = &mut self.positions {
            positions.remove(&identity);
            if let Some(moved) = self.list.get(at) {
                positions.insert(moved.identity(), at);
            }
            if self.list.len() <= INDEXED_MEMBERS / 2 {
                self.positions = None;
            }
        }
        if self.list.len() < self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
        }
        true
    }
}

/// Plain subscriptions and queue groups of one subject.
#[derive(Debug)]
pub(super) struct Group<S> {
    plain: Members<S>,
    queues: Vec<Members<S>>,
}

impl<S> Default for Group<S> {
    fn default() -> Self {
        Group { plain: Members { list: Vec::new(), positions: None }, queues: Vec::new() }
    }
}

impl<S: Entry> Group<S> {
    pub(super) fn insert(&mut self, entry: S) {
        if entry.queue().is_none() {
            self.plain.insert(entry);
            return;
        }
        match self.queues.iter_mut().find(|q| q.list.first().and_then(Entry::queue) == entry.queue()) {
            Some(members) => members.insert(entry),
            None => self.queues.push(Members { list: vec![entry], positions: None }),
        }
    }

    pub(super) fn remove(&mut self, entry: &S) -> bool {
        if entry.queue().is_none() {
            return self.plain.remove(entry);
        }
        let found = self.queues.iter().position(|q| q.list.first().and_then(Entry::queue) == entry.queue());
        let Some(members) = found.and_then(|at| self.queues.get_mut(at)) else { return false };
        let removed = members.remove(entry);
        self.queues.retain(|q| !q.list.is_empty());
        removed
    }

    /// Whether the group holds this handle and no other.
    pub(super) fn is_only(&self, entry: &S) -> bool {
        let members = self.plain.list.len() + self.queues.iter().map(|q| q.list.len()).sum::<usize>();
        members == 1 && self.any().is_some_and(|s| s.identity() == entry.identity())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.list.is_empty() && self.queues.is_empty()
    }

    /// Some member; all have the same subject.
    pub(super) fn any(&self) -> Option<&S> {
        self.plain.list.first().or_else(|| self.queues.first().and_then(|q| q.list.first()))
    }

    pub(super) fn plain(&self) -> &[S] {
        &self.plain.list
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &[S]> {
        self.queues.iter().map(|q| q.list.as_slice())
    }

    pub(super) fn for_each(&self, visit: &mut impl FnMut(&S)) {
        self.plain.list.iter().for_each(&mut *visit);
        for members in &self.queues {
            members.list.iter().for_each(&mut *visit);
        }
    }
}
