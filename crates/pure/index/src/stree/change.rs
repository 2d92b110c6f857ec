//! Adding and removing subjects.

use smallvec::SmallVec;

use super::node::Link;
use super::text::Text;
use super::walk::Walker;
use super::{Leaf, SubjectTree};

/// Where a link is written.
#[derive(Clone, Copy)]
enum Place {
    Root,
    Child(Link, u8),
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl<V> SubjectTree<V> {
    fn relink(&mut self, place: Place, link: Link) {
        match place {
            Place::Root => self.root = link,
            Place::Child(branch, byte) => self.branches.get_mut(branch).set(byte, link),
        }
    }

    fn text(&self, link: Link) -> Text {
        match link.as_leaf() {
            Some(leaf) => self.leaves.get(leaf).text,
            None => self.branches.get(link).head().prefix,
        }
    }

    /// Replaces the piece of a leaf or branch; the old one is given back.
    fn set_text(&mut self, link: Link, bytes: &[u8]) {
        self.texts.remove(self.text(link));
        let text = self.texts.add(bytes);
        match link.as_leaf() {
            Some(leaf) => self.leaves.get_mut(leaf).text = text,
            None => self.branches.get_mut(link).head_mut().prefix = text,
        }
    }

    /// Adds a subject that is not there; answers its leaf.
    pub(super) fn add(&mut self, subject: &[u8], value: V) -> u32 {
        let leaf = self.leaves.add(Leaf { text: Text::EMPTY, value });
        let new = Link::leaf(leaf);
        let (mut place, mut link, mut rest) = (Place::Root, self.root, subject);
        if link.is_none() {
            self.set_text(new, rest);
            self.root = new;
            return leaf;
        }
        loop {
            let text = self.texts.get(self.text(link));
            let shared = common(text, rest);
            if shared < text.len() || link.as_leaf().is_some() {
                self.fork(place, link, shared, new, rest);
                return leaf;
            }
            rest = &rest[shared..];
            let branch = self.branches.get(link);
            let Some((&byte, after)) = rest.split_first() else {
                self.branches.get_mut(link).head_mut().terminal = new;
                return leaf;
            };
            match branch.find(byte) {
                Some(child) => (place, link, rest) = (Place::Child(link, byte), child, after),
                None => {
                    self.set_text(new, after);
                    let grown = self.branches.add_child(link, byte, new);
                    self.relink(place, grown);
                    return leaf;
                }
            }
        }
    }

    /// Puts a branch in the place of `old`, of which `shared` bytes are also those of the subject of `new`.
    fn fork(&mut self, place: Place, old: Link, shared: usize, new: Link, rest: &[u8]) {
        let tail: SmallVec<[u8; 128]> = SmallVec::from_slice(&self.texts.get(self.text(old))[shared..]);
        let prefix = self.texts.add(&rest[..shared]);
        let branch = self.branches.add(prefix);
        self.hang(branch, old, &tail);
        self.hang(branch, new, &rest[shared..]);
        self.relink(place, branch);
    }

    /// Makes a leaf or branch the child of a new branch, which has room.
    fn hang(&mut self, branch: Link, link: Link, text: &[u8]) {
        match text.split_first() {
            // Only a leaf can end at a branch: the piece of an old branch is longer than what it shares.
            None => {
                self.set_text(link, b"");
                self.branches.get_mut(branch).head_mut().terminal = link;
            }
            Some((&byte, after)) => {
                self.set_text(link, after);
                self.branches.get_mut(branch).add(byte, link);
            }
        }
    }

    /// Removes a subject; answers its value.
    pub fn remove(&mut self, subject: &[u8]) -> Option<V> {
        let leaf = self.find(subject)?;
        // The branch above the leaf, its place, and the key of the leaf in it.
        let mut above: Option<(Place, Link, Option<u8>)> = None;
        let (mut place, mut link, mut rest) = (Place::Root, self.root, subject);
        while link.as_leaf().is_none() {
            let branch = self.branches.get(link);
            rest = rest.get(branch.head().prefix.len()..).unwrap_or_default();
            match rest.split_first() {
                None => {
                    above = Some((place, link, None));
                    break;
                }
                Some((&byte, after)) => {
                    above = Some((place, link, Some(byte)));
                    place = Place::Child(link, byte);
                    link = branch.find(byte)?;
                    rest = after;
                }
            }
        }
        let Leaf { text, value } = self.leaves.take(leaf);
        self.texts.remove(text);
        match above {
            None => self.root = Link::NONE,
            Some((place, branch, key)) => {
                let node = self.branches.get_mut(branch);
                match key {
                    None => node.head_mut().terminal = Link::NONE,
                    Some(byte) => node.remove(byte),
                }
                self.tidy(place, branch);
            }
        }
        if self.is_empty() {
            self.clear();
        }
        Some(value)
    }

    /// After something was taken from a branch: what has one thing left is no branch, what has few is a smaller one.
    fn tidy(&mut self, place: Place, branch: Link) {
        let node = self.branches.get(branch);
        let (prefix, terminal, count) = (node.head().prefix, node.head().terminal, node.head().count);
        match (count, node.next(0)) {
            (0, _) => {
                if let Some(leaf) = terminal.as_leaf() {
                    self.leaves.get_mut(leaf).text = prefix;
                }
                self.branches.remove(branch);
                self.relink(place, terminal);
            }
            (1, Some((byte, child))) if terminal.is_none() => {
                let mut text: SmallVec<[u8; 128]> = SmallVec::from_slice(self.texts.get(prefix));
                text.push(byte);
                text.extend_from_slice(self.texts.get(self.text(child)));
                self.texts.remove(prefix);
                self.set_text(child, &text);
                self.branches.remove(branch);
                self.relink(place, child);
            }
            _ => {
                let shrunk = self.branches.shrink(branch);
                if shrunk != branch {
                    self.relink(place, shrunk);
                }
            }
        }
    }

    /// Builds the tree anew, so that memory of removed subjects is returned. Takes time for every subject and, meanwhile,
    /// memory for the new tree.
    pub fn compact(&mut self) {
        let mut old = std::mem::take(self);
        let mut walker = Walker::everything();
        while let Some(leaf) = walker.next(&old) {
            let value = old.leaves.take(leaf).value;
            self.add(walker.subject(), value);
        }
    }
}
