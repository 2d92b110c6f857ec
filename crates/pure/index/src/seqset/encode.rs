//! The encoding of sequence sets in files and snapshots, that of the Go server.
//!
//! ```text
//!   u8 22, u8 version, u32 LE nodes, u32 LE members
//!   node   u64 LE base, bitmap, u16 LE height; bit j of word i is sequence base + 64·i + j
//!            version 2: 32 words, 266 bytes   version 1: 64 words, 522 bytes
//! ```
//!
//! Nodes are those of a balanced search tree by base, each before its left and its right subtree; a leaf has height 1.
//! Readers here ignore order and heights; the Go reader does not balance what it reads, so the writer does.

use std::fmt;

use midge_codec::cursor::{Cursor, CursorError, Fault};

use super::chunk::{Chunk, SPAN, WORDS, Words};
use super::{Segment, SeqSet};

const MAGIC: u8 = 22;
const VERSION: u8 = 2;
/// Magic, version, nodes, members.
const HEADER: usize = 10;
/// A node of version 2: base, bitmap, height.
const NODE: usize = 8 + WORDS * 8 + 2;

/// Why an encoding is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeqSetError {
    /// It ends early, or announces more nodes than follow.
    Short(CursorError),
    /// The first byte is another one.
    Magic(u8),
    /// A version that is not known.
    Version(u8),
    /// The bitmap of the node at this offset reaches beyond the last sequence.
    Overflow(usize),
    /// The number of members is not the announced one.
    Members {
        /// As announced.
        announced: u32,
        /// As found.
        found: u64,
    },
}

impl fmt::Display for SeqSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sequence set: ")?;
        match self {
            SeqSetError::Short(error) => write!(f, "{error}"),
            SeqSetError::Magic(byte) => write!(f, "magic {byte} at offset 0, not {MAGIC}"),
            SeqSetError::Version(byte) => write!(f, "unknown version {byte} at offset 1"),
            SeqSetError::Overflow(at) => write!(f, "sequences beyond the last one at offset {at}"),
            SeqSetError::Members { announced, found } => {
                write!(f, "{found} members, {announced} announced at offset 6")
            }
        }
    }
}

impl std::error::Error for SeqSetError {}

impl From<CursorError> for SeqSetError {
    fn from(error: CursorError) -> SeqSetError {
        SeqSetError::Short(error)
    }
}

/// A chunk to be written.
#[derive(Clone, Copy)]
enum Node<'a> {
    Full(u64),
    Part(u64, &'a Chunk),
}

impl SeqSet {
    /// How many bytes [`SeqSet::encode`] appends; saturates. Long runs cost 266 bytes per 2048 members, so a caller that
    /// may have them asks before it writes.
    pub fn encoded_len(&self) -> u64 {
        self.nodes().saturating_mul(NODE as u64).saturating_add(HEADER as u64)
    }

    fn nodes(&self) -> u64 {
        self.segments.values().fold(0u64, |sum, segment| {
            sum.saturating_add(match segment {
                Segment::Full(chunks) => *chunks,
                Segment::Part(_) => 1,
            })
        })
    }

    /// Appends the encoding, version 2. Answers false, and appends nothing, when the numbers of nodes or members exceed
    /// the 32 bits that the format has for them.
    pub fn encode(&self, out: &mut Vec<u8>) -> bool {
        let (Ok(count), Ok(members)) = (u32::try_from(self.nodes()), u32::try_from(self.len)) else {
            return false;
        };
        let mut nodes = Vec::with_capacity(count as usize);
        for (&key, segment) in &self.segments {
            match segment {
                Segment::Full(chunks) => nodes.extend((0..*chunks).map(|i| Node::Full(key + i))),
                Segment::Part(chunk) => nodes.push(Node::Part(key, chunk)),
            }
        }
        out.reserve(HEADER + nodes.len() * NODE);
        out.extend_from_slice(&[MAGIC, VERSION]);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&members.to_le_bytes());
        // The middle of a slice is its root; halves that differ by one at most give the height of a slice of n nodes
        // as the number of bits of n.
        let mut slices = vec![nodes.as_slice()];
        while let Some(slice) = slices.pop() {
            let Some((root, after)) = slice.get(slice.len() / 2..).and_then(<[Node<'_>]>::split_first) else {
                continue;
            };
            let height = u32::BITS - (slice.len() as u32).leading_zeros();
            put_node(*root, height as u16, out);
            slices.push(after);
            slices.push(&slice[..slice.len() / 2]);
        }
        true
    }

    /// Reads a set from the front of the input, version 1 or 2. What follows it is left to the caller.
    pub fn decode(input: &mut Cursor<'_>) -> Result<SeqSet, SeqSetError> {
        let magic = input.u8()?;
        if magic != MAGIC {
            return Err(SeqSetError::Magic(magic));
        }
        let version = input.u8()?;
        let chunks = match version {
            1 => 2,
            2 => 1,
            other => return Err(SeqSetError::Version(other)),
        };
        let nodes = input.u32()?;
        let announced = input.u32()?;
        let node = 8 + chunks * WORDS * 8 + 2;
        input.holds(u64::from(nodes), node)?;
        let mut set = SeqSet::new();
        for _ in 0..nodes {
            let at = input.position();
            let base = input.u64()?;
            for chunk in 0..chunks as u64 {
                let mut words: Words = [0; WORDS];
                for word in &mut words {
                    *word = input.u64()?;
                }
                let base = base.checked_add(chunk * SPAN);
                set.decode_words(base, &words).ok_or(SeqSetError::Overflow(at))?;
            }
            // The height, which readers need not know.
            input.u16()?;
        }
        if set.len != u64::from(announced) {
            return Err(SeqSetError::Members { announced, found: set.len });
        }
        Ok(set)
    }

    /// Adds a bitmap at any base; nothing when it reaches beyond the last sequence.
    fn decode_words(&mut self, base: Option<u64>, words: &Words) -> Option<()> {
        if words.iter().all(|&word| word == 0) {
            return Some(());
        }
        let base = base?;
        if base.is_multiple_of(SPAN) {
            self.union_words(base / SPAN, words);
            return Some(());
        }
        // A base that is no multiple is that of a set made with an explicit minimum.
        let shift = (base % SPAN) as usize;
        let mut halves = [0u64; 2 * WORDS];
        for (index, &word) in words.iter().enumerate() {
            let (to, bits) = (index + shift / 64, shift % 64);
            halves[to] |= word << bits;
            if bits > 0 && to + 1 < halves.len() {
                halves[to + 1] |= word >> (64 - bits);
            }
        }
        let (low, high) = halves.split_at(WORDS);
        let key = base / SPAN;
        let high: Words = high.try_into().ok()?;
        if high.iter().any(|&word| word != 0) && key == u64::MAX / SPAN {
            return None;
        }
        self.union_words(key, low.try_into().ok()?);
        if high.iter().any(|&word| word != 0) {
            self.union_words(key + 1, &high);
        }
        Some(())
    }

    /// Reads a set that is all of `bytes`.
    pub fn decode_all(bytes: &[u8]) -> Result<SeqSet, SeqSetError> {
        let mut input = Cursor::new(bytes);
        let set = SeqSet::decode(&mut input)?;
        if !input.is_empty() {
            return Err(CursorError { at: input.position(), fault: Fault::TooMany }.into());
        }
        Ok(set)
    }
}

fn put_node(node: Node<'_>, height: u16, out: &mut Vec<u8>) {
    let (key, words) = match node {
        Node::Full(key) => (key, [u64::MAX; WORDS]),
        Node::Part(key, chunk) => (key, chunk.words()),
    };
    out.extend_from_slice(&(key * SPAN).to_le_bytes());
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&height.to_le_bytes());
}
