//! State per subject, found by subject or by wildcard.
//!
//! ```text
//!   orders.1.new  orders.1.paid  orders.17.new  kv
//!
//!                 ┌ 'k' ─ leaf "v"
//!   root branch ""┤                         ┌ '.' ─ branch "" ┬ 'n' ─ leaf "ew"
//!                 └ 'o' ─ branch "rders.1" ─┤                 └ 'p' ─ leaf "aid"
//!                                           └ '7' ─ leaf ".new"
//! ```
//!
//! A radix tree over bytes. Runs without a fork are kept as one piece; branches come in six sizes from 4 to 256
//! children and keep them in order of their bytes; a subject that ends within another has its leaf at the branch.
//! Leaves, branches and pieces live in pages of their own and name each other by index. Their slots and bytes are used
//! again; all memory is returned when the last subject goes, or by [`SubjectTree::compact`].
//!
//! Costs, in memory: a leaf is 8 bytes and the value; branches add 10 to 20 bytes per subject on the sets that occur,
//! and save what subjects begin with in common. In time: a look-up reads a node per fork. Nothing here recurses, however
//! long a subject is.
//!
//! Contract: subjects are any bytes, the empty one included. Filters match as `midge_subject::wildcard::matches` does:
//! `*` and a last `>` are wildcards as whole tokens, and a subject with an empty token is matched by nothing, but still
//! found by name. Order is that of bytes.

mod change;
mod node;
mod slab;
mod text;
mod walk;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::ControlFlow;

use node::{Branches, Link};
use slab::Slab;
use text::{Text, Texts};
pub use walk::Walk;
use walk::Walker;

#[derive(Clone, Debug)]
struct Leaf<V> {
    /// What follows the key of the parent.
    text: Text,
    value: V,
}

/// See the module.
#[derive(Clone)]
pub struct SubjectTree<V> {
    root: Link,
    leaves: Slab<Leaf<V>>,
    branches: Branches,
    texts: Texts,
}

impl<V> Default for SubjectTree<V> {
    fn default() -> Self {
        SubjectTree {
            root: Link::NONE,
            leaves: Slab::default(),
            branches: Branches::default(),
            texts: Texts::default(),
        }
    }
}

impl<V: fmt::Debug> fmt::Debug for SubjectTree<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        let mut walk = self.walk();
        while let Some((subject, value)) = walk.next() {
            map.entry(&format_args!("{}", subject.escape_ascii()), value);
        }
        map.finish()
    }
}

impl<V> SubjectTree<V> {
    /// A tree without subjects, which takes no memory.
    pub fn new() -> Self {
        SubjectTree::default()
    }

    /// The number of subjects.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.leaves.len() == 0
    }

    /// Forgets all subjects and returns their memory.
    pub fn clear(&mut self) {
        *self = SubjectTree::default();
    }

    fn find(&self, subject: &[u8]) -> Option<u32> {
        let (mut link, mut rest) = (self.root, subject);
        if link.is_none() {
            return None;
        }
        loop {
            if let Some(leaf) = link.as_leaf() {
                return (self.texts.get(self.leaves.get(leaf).text) == rest).then_some(leaf);
            }
            let branch = self.branches.get(link);
            let head = branch.head();
            if head.prefix.len() > 0 {
                rest = rest.strip_prefix(self.texts.get(head.prefix))?;
            }
            match rest.split_first() {
                // The text of a leaf at a branch is empty.
                None => return (!head.terminal.is_none()).then(|| head.terminal.index()),
                Some((&byte, after)) => (link, rest) = (branch.find(byte)?, after),
            }
        }
    }

    /// Whether the subject is there.
    pub fn contains(&self, subject: &[u8]) -> bool {
        self.find(subject).is_some()
    }

    /// The value of a subject.
    pub fn get(&self, subject: &[u8]) -> Option<&V> {
        self.find(subject).map(|leaf| &self.leaves.get(leaf).value)
    }

    /// The value of a subject, to be changed.
    pub fn get_mut(&mut self, subject: &[u8]) -> Option<&mut V> {
        self.find(subject).map(|leaf| &mut self.leaves.get_mut(leaf).value)
    }

    /// Gives a subject a value; answers the one it had.
    pub fn insert(&mut self, subject: &[u8], value: V) -> Option<V> {
        match self.find(subject) {
            Some(leaf) => Some(std::mem::replace(&mut self.leaves.get_mut(leaf).value, value)),
            None => {
                self.add(subject, value);
                None
            }
        }
    }

    /// The value of a subject, which gets one if it has none.
    pub fn get_or_insert_with(&mut self, subject: &[u8], make: impl FnOnce() -> V) -> &mut V {
        let leaf = match self.find(subject) {
            Some(leaf) => leaf,
            None => self.add(subject, make()),
        };
        &mut self.leaves.get_mut(leaf).value
    }

    /// Visits every subject in order, until the visitor breaks.
    pub fn for_each<B>(&self, mut visit: impl FnMut(&[u8], &V) -> ControlFlow<B>) -> ControlFlow<B> {
        let mut walk = self.walk();
        while let Some((subject, value)) = walk.next() {
            visit(subject, value)?;
        }
        ControlFlow::Continue(())
    }

    /// Visits every subject that the filter matches, in order, until the visitor breaks.
    pub fn matching<B>(
        &self,
        filter: &[u8],
        visit: impl FnMut(&[u8], &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.matching_any(&[filter], visit)
    }

    /// Visits every subject that some of the filters match, once and in order, until the visitor breaks.
    pub fn matching_any<B>(
        &self,
        filters: &[&[u8]],
        mut visit: impl FnMut(&[u8], &V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut walker = Walker::matching(filters);
        while let Some(leaf) = walker.next(self) {
            visit(walker.subject(), &self.leaves.get(leaf).value)?;
        }
        ControlFlow::Continue(())
    }

    /// [`SubjectTree::matching`], with values to be changed.
    pub fn matching_mut<B>(
        &mut self,
        filter: &[u8],
        visit: impl FnMut(&[u8], &mut V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.matching_any_mut(&[filter], visit)
    }

    /// [`SubjectTree::matching_any`], with values to be changed.
    pub fn matching_any_mut<B>(
        &mut self,
        filters: &[&[u8]],
        mut visit: impl FnMut(&[u8], &mut V) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut walker = Walker::matching(filters);
        while let Some(leaf) = walker.next(self) {
            visit(walker.subject(), &mut self.leaves.get_mut(leaf).value)?;
        }
        ControlFlow::Continue(())
    }

    /// All subjects in order, one at a time.
    pub fn walk(&self) -> Walk<'_, 'static, V> {
        Walk::new(self, Walker::everything())
    }

    /// The subjects that some of the filters match, in order and one at a time. [`Walk::after`] goes on where an earlier
    /// walk ended.
    pub fn walk_matching<'f>(&self, filters: &'f [&'f [u8]]) -> Walk<'_, 'f, V> {
        Walk::new(self, Walker::matching(filters))
    }

    /// What the tree takes, in bytes, without what values own.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.leaves.memory_bytes()
            + self.branches.memory_bytes()
            + self.texts.memory_bytes()
    }
}
