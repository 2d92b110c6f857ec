//! Branches of the tree, in five sizes with sorted keys and one with a place for every byte.

use super::slab::Slab;
use super::text::Text;

/// A leaf or a branch: three bits say which kind, the others are its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link(u32);

impl Link {
    pub(super) const NONE: Link = Link(u32::MAX);

    pub(super) fn leaf(index: u32) -> Link {
        Link(index << 3)
    }

    fn branch(kind: u32, index: u32) -> Link {
        Link(index << 3 | kind)
    }

    pub(super) fn index(self) -> u32 {
        self.0 >> 3
    }

    fn kind(self) -> u32 {
        self.0 & 7
    }

    pub(super) fn is_none(self) -> bool {
        self == Link::NONE
    }

    /// The index of the leaf, unless it is a branch or nothing.
    #[inline]
    pub(super) fn as_leaf(self) -> Option<u32> {
        (self.kind() == 0).then(|| self.index())
    }
}

/// What every branch has.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Bytes between the key of the parent and the keys here.
    pub(super) prefix: Text,
    /// The leaf of the subject that ends here.
    pub(super) terminal: Link,
    pub(super) count: u16,
}

/// What a branch of any size can do.
pub(super) trait Branch {
    fn head(&self) -> &Head;
    fn head_mut(&mut self) -> &mut Head;
    fn find(&self, byte: u8) -> Option<Link>;
    /// The child with the lowest key from `from` on.
    fn next(&self, from: u16) -> Option<(u8, Link)>;
    /// Replaces a child that is there.
    fn set(&mut self, byte: u8, link: Link);
    fn is_full(&self) -> bool;
    /// Adds a child that is not there; there must be room.
    fn add(&mut self, byte: u8, link: Link);
    fn remove(&mut self, byte: u8);
}

#[derive(Clone, Debug)]
struct Sorted<const N: usize> {
    head: Head,
    keys: [u8; N],
    links: [Link; N],
}

impl<const N: usize> Sorted<N> {
    fn new(head: Head) -> Self {
        Sorted { head: Head { count: 0, ..head }, keys: [0; N], links: [Link::NONE; N] }
    }

    #[inline]
    fn keys(&self) -> &[u8] {
        &self.keys[..usize::from(self.head.count)]
    }

    #[inline]
    fn place(&self, byte: u8) -> Option<usize> {
        self.keys().iter().position(|&key| key == byte)
    }
}

impl<const N: usize> Branch for Sorted<N> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    #[inline]
    fn find(&self, byte: u8) -> Option<Link> {
        self.place(byte).map(|at| self.links[at])
    }

    fn next(&self, from: u16) -> Option<(u8, Link)> {
        let at = self.keys().iter().position(|&key| u16::from(key) >= from)?;
        Some((self.keys[at], self.links[at]))
    }

    fn set(&mut self, byte: u8, link: Link) {
        if let Some(at) = self.place(byte) {
            self.links[at] = link;
        }
    }

    fn is_full(&self) -> bool {
        usize::from(self.head.count) == N
    }

    fn add(&mut self, byte: u8, link: Link) {
        let count = usize::from(self.head.count);
        let at = self.keys().iter().position(|&key| key > byte).unwrap_or(count);
        self.keys.copy_within(at..count, at + 1);
        self.links.copy_within(at..count, at + 1);
        self.keys[at] = byte;
        self.links[at] = link;
        self.head.count += 1;
    }

    fn remove(&mut self, byte: u8) {
        if let Some(at) = self.place(byte) {
            let count = usize::from(self.head.count);
            self.keys.copy_within(at + 1..count, at);
            self.links.copy_within(at + 1..count, at);
            self.head.count -= 1;
        }
    }
}

#[derive(Clone, Debug)]
struct Wide {
    head: Head,
    links: [Link; 256],
}

impl Branch for Wide {
    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    #[inline]
    fn find(&self, byte: u8) -> Option<Link> {
        Some(self.links[usize::from(byte)]).filter(|link| !link.is_none())
    }

    fn next(&self, from: u16) -> Option<(u8, Link)> {
        let from = usize::from(from);
        let at = from + self.links.get(from..)?.iter().position(|link| !link.is_none())?;
        Some((at as u8, self.links[at]))
    }

    fn set(&mut self, byte: u8, link: Link) {
        self.links[usize::from(byte)] = link;
    }

    fn is_full(&self) -> bool {
        false
    }

    fn add(&mut self, byte: u8, link: Link) {
        self.links[usize::from(byte)] = link;
        self.head.count += 1;
    }

    fn remove(&mut self, byte: u8) {
        self.links[usize::from(byte)] = Link::NONE;
        self.head.count -= 1;
    }
}

/// The kinds from the smallest on, and below how many children each gives way to the one before it. That is fewer than
/// the smaller one holds, so that one child more or less does not convert a branch back and forth.
const SMALLEST: u32 = 1;
const WIDEST: u32 = 6;
const SHRINK_BELOW: [u16; 7] = [0, 0, 4, 7, 13, 27, 57];

/// All branches of a tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Branches {
    of_4: Slab<Sorted<4>>,
    of_8: Slab<Sorted<8>>,
    of_16: Slab<Sorted<16>>,
    of_32: Slab<Sorted<32>>,
    of_64: Slab<Sorted<64>>,
    wide: Slab<Wide>,
}

impl Branches {
    #[inline]
    pub(super) fn get(&self, link: Link) -> &dyn Branch {
        let index = link.index();
        match link.kind() {
            1 => self.of_4.get(index),
            2 => self.of_8.get(index),
            3 => self.of_16.get(index),
            4 => self.of_32.get(index),
            5 => self.of_64.get(index),
            _ => self.wide.get(index),
        }
    }

    pub(super) fn get_mut(&mut self, link: Link) -> &mut dyn Branch {
        let index = link.index();
        match link.kind() {
            1 => self.of_4.get_mut(index),
            2 => self.of_8.get_mut(index),
            3 => self.of_16.get_mut(index),
            4 => self.of_32.get_mut(index),
            5 => self.of_64.get_mut(index),
            _ => self.wide.get_mut(index),
        }
    }

    /// A branch without children.
    pub(super) fn add(&mut self, prefix: Text) -> Link {
        self.make(SMALLEST, Head { prefix, terminal: Link::NONE, count: 0 })
    }

    fn make(&mut self, kind: u32, head: Head) -> Link {
        let index = match kind {
            1 => self.of_4.add(Sorted::new(head)),
            2 => self.of_8.add(Sorted::new(head)),
            3 => self.of_16.add(Sorted::new(head)),
            4 => self.of_32.add(Sorted::new(head)),
            5 => self.of_64.add(Sorted::new(head)),
            _ => self.wide.add(Wide { head: Head { count: 0, ..head }, links: [Link::NONE; 256] }),
        };
        Link::branch(kind, index)
    }

    pub(super) fn remove(&mut self, link: Link) {
        let index = link.index();
        match link.kind() {
            1 => drop(self.of_4.take(index)),
            2 => drop(self.of_8.take(index)),
            3 => drop(self.of_16.take(index)),
            4 => drop(self.of_32.take(index)),
            5 => drop(self.of_64.take(index)),
            _ => drop(self.wide.take(index)),
        }
    }

    /// Adds a child; answers the branch, which is another one if it had to grow.
    pub(super) fn add_child(&mut self, branch: Link, byte: u8, child: Link) -> Link {
        let branch =
            if self.get(branch).is_full() { self.convert(branch, branch.kind() + 1) } else { branch };
        self.get_mut(branch).add(byte, child);
        branch
    }

    /// The branch, or a smaller one with the same children when that is enough.
    pub(super) fn shrink(&mut self, branch: Link) -> Link {
        let kind = branch.kind();
        if self.get(branch).head().count < SHRINK_BELOW[kind as usize] {
            return self.convert(branch, kind - 1);
        }
        branch
    }

    fn convert(&mut self, old: Link, kind: u32) -> Link {
        let new = self.make(kind.clamp(SMALLEST, WIDEST), self.get(old).head().clone());
        let mut from = 0;
        while let Some((byte, child)) = self.get(old).next(from) {
            self.get_mut(new).add(byte, child);
            from = u16::from(byte) + 1;
        }
        self.remove(old);
        new
    }

    /// Branches in all.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.of_4.len()
            + self.of_8.len()
            + self.of_16.len()
            + self.of_32.len()
            + self.of_64.len()
            + self.wide.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.of_4.memory_bytes()
            + self.of_8.memory_bytes()
            + self.of_16.memory_bytes()
            + self.of_32.memory_bytes()
            + self.of_64.memory_bytes()
            + self.wide.memory_bytes()
    }
}
