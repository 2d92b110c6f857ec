//! What a store does, decided by a seed alone: the same in the process that is killed and in the one that judges.

use std::sync::Arc;

use bytes::Bytes;
use midge_store::port::{Name, Op, Promise};

/// Bytes of a block after which the next is begun.
const BLOCK: u64 = 24 << 10;

/// A small generator of numbers.
#[derive(Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Draw {
        Draw(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// One lane's operations, one after the other.
pub(crate) struct Script {
    draw: Draw,
    /// The block that is written, and where it ends.
    block: u32,
    end: u64,
    oldest: u32,
    /// How many operations there were.
    count: u64,
    /// Deltas of the consumer so far.
    deltas: u64,
    /// A file that was staged for this block.
    staged: Option<(u32, Name)>,
}

/// The name of the consumer of every lane.
pub(crate) const CONSUMER: &str = "C";

fn path(text: &str) -> Name {
    Name::Path(Arc::from(text))
}

/// Bytes that stand nowhere else: of operation `count` of the lane with this seed.
fn filler(seed: &mut Draw, len: u64) -> Bytes {
    (0..len).map(|_| u8::try_from(seed.below(255) + 1).unwrap_or(1)).collect::<Vec<u8>>().into()
}

/// A content that says which version it is, in a length that changes.
fn version(draw: &mut Draw, number: u64, most: u64) -> Bytes {
    let mut bytes = format!("{number} ").into_bytes();
    let len = draw.below(most);
    bytes.extend((0..len).map(|n| b'a' + u8::try_from((n + number) % 26).unwrap_or(0)));
    bytes.into()
}

impl Script {
    pub(crate) fn new(seed: u64, lane: u64) -> Script {
        let draw = Draw::new(seed.wrapping_mul(1_000_003).wrapping_add(lane));
        Script { draw, block: 1, end: 0, oldest: 1, count: 0, deltas: 0, staged: None }
    }

    fn promise(&mut self) -> Promise {
        if self.draw.below(4) == 0 { Promise::Cached } else { Promise::Durable }
    }

    /// The next operation.
    pub(crate) fn next(&mut self) -> Op {
        self.count += 1;
        if let Some((block, staged)) = self.staged.take() {
            return Op::Adopt { staged, file: Name::Block(block) };
        }
        match self.draw.below(1000) {
            0..600 => self.append(),
            600..680 => self.overwrite(),
            680..800 => self.delta(),
            800..860 => self.replace(),
            860..900 => self.remove(),
            900..930 => Op::Checkpoint,
            930..950 => self.cut(),
            950..970 => self.stage(),
            970..998 => self.append(),
            _ => self.delete(),
        }
    }

    fn append(&mut self) -> Op {
        if self.end >= BLOCK {
            (self.block, self.end) = (self.block + 1, 0);
        }
        let len = match self.draw.below(50) {
            0 => 9000,
            _ => 1 + self.draw.below(300),
        };
        let bytes = filler(&mut self.draw, len);
        let offset = self.end;
        self.end += len;
        Op::Write { block: self.block, offset, bytes, promise: self.promise() }
    }

    fn overwrite(&mut self) -> Op {
        if self.end < 8 {
            return self.append();
        }
        let offset = self.draw.below(self.end - 4);
        let most = (self.end - offset).min(200);
        let len = 1 + self.draw.below(most);
        let bytes = filler(&mut self.draw, len);
        Op::Write { block: self.block, offset, bytes, promise: Promise::Durable }
    }

    fn delta(&mut self) -> Op {
        self.deltas += 1;
        let bytes = self.deltas.to_string().into_bytes().into();
        Op::Delta { consumer: CONSUMER.into(), bytes, promise: self.promise() }
    }

    /// Either the two files of metadata, which belong together, or the state of the consumer with all deltas so far.
    fn replace(&mut self) -> Op {
        let files = if self.draw.below(2) == 0 {
            let most = if self.draw.below(8) == 0 { 400_000 } else { 500 };
            let meta = version(&mut self.draw, self.count, most);
            let sum = version(&mut self.draw, self.count, 10);
            vec![(path("meta.inf"), meta), (path("meta.sum"), sum)]
        } else {
            vec![(path("obs/C/o.dat"), version(&mut self.draw, self.deltas, 300))]
        };
        Op::Replace { files, promise: Promise::Durable }
    }

    fn remove(&mut self) -> Op {
        if self.oldest >= self.block {
            return self.append();
        }
        self.oldest += 1;
        Op::Remove { files: vec![Name::Block(self.oldest - 1)], promise: self.promise() }
    }

    fn cut(&mut self) -> Op {
        self.end -= self.draw.below(self.end / 4 + 1);
        Op::SetLen { block: self.block, len: self.end }
    }

    fn stage(&mut self) -> Op {
        if self.oldest >= self.block {
            return self.append();
        }
        // Staging has no order: a name that was used may still wait to be adopted.
        let file = path(&format!("msgs/{}.tmp", self.count));
        self.staged = Some((self.oldest, file.clone()));
        let len = self.draw.below(3000);
        Op::Stage { file, bytes: filler(&mut self.draw, len) }
    }

    fn delete(&mut self) -> Op {
        (self.block, self.end, self.oldest) = (1, 0, 1);
        Op::Delete
    }
}
