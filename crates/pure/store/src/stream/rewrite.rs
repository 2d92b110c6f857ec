//! Blocks written anew: compressed when they are full, without what is dead when that is most of them.

use std::any::Any;

use bytes::Bytes;
use midge_index::seqset::SeqSet;

use super::append::encrypt;
use super::cache::Cache;
use super::flight::Aside;
use super::load::{plain_block, read_file};
use super::offsets::Offsets;
use super::{Block, Medium, Store};
use crate::format::block_file::pack;
use crate::format::keys::AssetKey;
use crate::format::names;
use crate::format::record::{CHECKSUM_LEN, Kind, RecordKey};
use crate::format::scan::{Item, Scan, Walk};
use crate::port::{Files, Name, Op, Promise, Work};

/// A block up to this length is not rewritten only because most of it is dead, unless there is time ([`Store::maintain`]).
pub(super) const INLINE_LEN: u32 = 2 << 20;
/// The same in memory, where rewriting costs little.
const MEMORY_LEN: u32 = 64 << 10;

/// Writes one block anew.
struct Rewrite {
    block: u32,
    version: u32,
    raw_len: u32,
    record_key: RecordKey,
    key: Option<Box<AssetKey>>,
    /// The records, when they are in memory.
    plain: Option<Vec<Bytes>>,
    /// Drop what is dead.
    compact: bool,
    compress: bool,
    first_seq: u64,
    last_seq: u64,
    deleted: SeqSet,
}

/// A block as it shall be.
pub(super) struct Rewritten {
    version: u32,
    /// How long the block was when it was read.
    raw_len: u32,
    plain: Bytes,
    offsets: Offsets,
    checksum: [u8; CHECKSUM_LEN],
    tombstones: bool,
    compressed: bool,
    file: Bytes,
    /// Something of it could not be read: it stays as it is.
    damaged: bool,
}

/// The live records of a block, and the tombstones of others.
fn live_records(plain: &[u8], live: impl Fn(u64) -> bool, first_seq: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(plain.len() / 2);
    for (_, record) in Walk::new(plain, 0).flatten() {
        let kept = match record.kind {
            Kind::Message { .. } => live(record.seq),
            Kind::Tombstone => record.seq < first_seq,
            _ => false,
        };
        if kept {
            out.extend_from_slice(record.bytes());
        }
    }
    out
}

/// Where messages stand, and whether there are tombstones of sequences before the block.
fn survey(plain: &[u8], first_seq: u64) -> (Offsets, bool) {
    let (mut offsets, mut tombstones) = (Offsets::default(), false);
    for (at, record) in Walk::new(plain, 0).flatten() {
        match record.kind {
            Kind::Message { .. } => offsets.push(record.seq, at as u32),
            Kind::Tombstone => tombstones |= record.seq < first_seq,
            _ => {}
        }
    }
    (offsets, tombstones)
}

impl Work for Rewrite {
    fn run(self: Box<Self>, files: &dyn Files, folder: &str) -> Box<dyn Any + Send> {
        let read = match &self.plain {
            Some(chunks) => Bytes::from(chunks.concat()),
            None => {
                let path = format!("{folder}/{}/{}", names::MESSAGES, names::block_file(self.block));
                // What cannot be read is too short, below.
                let file = read_file(files, &path).unwrap_or_default();
                plain_block(file, self.key.as_deref(), &self.record_key).0
            }
        };
        // A file that ends between two records looks sound, and is not all of the block.
        let damaged = read.len() as u64 != u64::from(self.raw_len)
            || Scan::new(&read, &self.record_key).any(|item| matches!(item, Item::Damage(_)));
        let live = |seq| seq >= self.first_seq && seq <= self.last_seq && !self.deleted.contains(seq);
        let plain = if self.compact { live_records(&read, live, self.first_seq).into() } else { read };
        let (offsets, tombstones) = survey(&plain, self.first_seq);
        let checksum = plain.last_chunk().copied().unwrap_or_default();
        let packed = if self.compress { pack(&plain) } else { None };
        let compressed = packed.is_some();
        let file = packed.map_or_else(|| plain.clone(), Bytes::from);
        let file = self.key.as_deref().map_or(file.clone(), |key| encrypt(key, 0, &file));
        Box::new(Rewritten {
            version: self.version,
            raw_len: self.raw_len,
            plain,
            offsets,
            checksum,
            tombstones,
            compressed,
            file,
            damaged,
        })
    }
}

impl Block {
    /// Whether most of a block is dead, and worth the work at once.
    pub(super) fn is_sparse(&self) -> bool {
        self.raw_len > MEMORY_LEN && self.bytes.saturating_mul(2) < u64::from(self.raw_len)
    }
}

impl Store {
    /// A block is full and in its file.
    pub(super) fn pack(&mut self, at: usize) {
        let block = &self.blocks[at];
        if self.config.compression
            && !block.compressed
            && !block.rewriting
            && self.config.medium == Medium::File
        {
            self.begin_rewrite(at, false);
        }
    }

    /// Most of a block is dead.
    pub(super) fn reclaim(&mut self, at: usize) {
        let block = &self.blocks[at];
        match self.config.medium {
            Medium::Memory => self.reclaim_memory(at),
            Medium::File => {
                let last = at + 1 == self.blocks.len();
                let again =
                    block.incompressible == u64::MAX || block.bytes.saturating_mul(2) < block.incompressible;
                if !last
                    && !block.rewriting
                    && block.raw_len > INLINE_LEN
                    && again
                    && block.written == block.raw_len
                {
                    self.begin_rewrite(at, true);
                }
            }
        }
    }

    fn reclaim_memory(&mut self, at: usize) {
        if at + 1 == self.blocks.len() {
            self.seal();
        }
        let block = &mut self.blocks[at];
        let Some(cache) = block.whole() else { return };
        let plain = cache.chunks().map(|chunk| &chunk[..]).collect::<Vec<_>>().concat();
        let out = live_records(&plain, |seq| block.is_live(seq), 0);
        let (offsets, _) = survey(&out, 0);
        let mut anew = Cache::whole(out.into(), offsets);
        anew.used = cache.used;
        if let Some(cache) = block.cache.as_deref_mut() {
            anew.postings = cache.postings.take();
            block.raw_len = anew.end();
            *cache = anew;
        }
    }

    /// Rewrites blocks of which most is dead, whatever their length. For when there is time. O(b).
    pub fn maintain(&mut self) {
        for at in 0..self.blocks.len().saturating_sub(1) {
            let block = &self.blocks[at];
            let sparse = block.bytes.saturating_mul(2) < u64::from(block.raw_len) && block.messages > 0;
            if sparse
                && !block.rewriting
                && block.incompressible != block.bytes
                && block.written == block.raw_len
            {
                self.begin_rewrite(at, true);
            }
        }
    }

    /// The records of a compressed block changed in memory: the file follows, in the order of everything else. The last block is not compressed
    /// again, as it may be appended to.
    pub(super) fn replace_file(&mut self, at: usize) {
        let last = at + 1 == self.blocks.len();
        let block = &mut self.blocks[at];
        let Some(cache) = block.whole() else { return };
        let plain = cache.chunks().map(|chunk| &chunk[..]).collect::<Vec<_>>().concat();
        let packed = if last { None } else { pack(&plain) };
        block.version += 1;
        block.epoch += 1;
        (block.rewriting, block.compressed, block.written) = (false, packed.is_some(), 0);
        let file = Bytes::from(packed.unwrap_or(plain));
        let file = block.key.as_deref().map_or(file.clone(), |key| encrypt(key, 0, &file));
        let name = Name::Block(block.index);
        self.submit(Op::Replace { files: vec![(name, file)], promise: Promise::Durable });
    }

    fn begin_rewrite(&mut self, at: usize, compact: bool) {
        let compress = self.config.compression || self.blocks[at].compressed;
        let record_key = RecordKey::new(&self.config.name, self.blocks[at].index);
        let block = &mut self.blocks[at];
        if self.disk.is_none() || block.loading {
            return;
        }
        block.rewriting = true;
        let work = Rewrite {
            block: block.index,
            version: block.version,
            raw_len: block.raw_len,
            record_key,
            key: block.key.clone(),
            plain: block.whole().map(|cache| cache.chunks().cloned().collect()),
            compact,
            compress,
            first_seq: block.first_seq,
            last_seq: block.last_seq,
            deleted: if compact { block.deleted.clone() } else { SeqSet::new() },
        };
        let index = block.index;
        self.submit_aside(Op::Work(Box::new(work)), Aside::Rewrite(index));
    }

    pub(super) fn rewritten(&mut self, index: u32, rewritten: Box<Rewritten>) {
        let Some(at) = self.block_numbered(index) else { return };
        let block = &mut self.blocks[at];
        if block.version != rewritten.version {
            return;
        }
        if block.raw_len != rewritten.raw_len {
            block.rewriting = false;
            return;
        }
        let unchanged =
            rewritten.plain.len() as u32 == block.raw_len && rewritten.compressed == block.compressed;
        if rewritten.damaged || (unchanged && !block.compressed) || block.loading {
            block.rewriting = false;
            block.incompressible = block.bytes;
            return;
        }
        let file = Name::Path(staged_path(index).into());
        let bytes = rewritten.file.clone();
        self.submit_aside(Op::Stage { file, bytes }, Aside::Staged(index, rewritten));
    }

    /// A rewritten block is staged. One from which nothing was dropped takes its place at once.
    pub(super) fn staged(&mut self, index: u32, rewritten: Rewritten) {
        let shorter = self.block_numbered(index).is_some_and(|at| {
            let block = &self.blocks[at];
            block.version == rewritten.version && (rewritten.plain.len() as u32) < block.raw_len
        });
        match &mut self.disk {
            Some(disk) if shorter && disk.indexed => disk.staged.push((index, rewritten)),
            _ => self.adopt(index, rewritten),
        }
    }

    /// A staged block takes its place, unless the block has changed since.
    pub(super) fn adopt(&mut self, index: u32, rewritten: Rewritten) {
        let Some(at) = self.block_numbered(index) else { return };
        let block = &mut self.blocks[at];
        // A later rewrite may be under way.
        if block.version != rewritten.version {
            return;
        }
        block.rewriting = false;
        if block.raw_len != rewritten.raw_len || block.loading {
            return;
        }
        block.version += 1;
        block.epoch += 1;
        block.incompressible = block.bytes;
        block.raw_len = rewritten.plain.len() as u32;
        block.checksum = rewritten.checksum;
        block.tombstones = rewritten.tombstones;
        block.compressed = rewritten.compressed;
        // Until the file is in its place, only this copy fits the account.
        block.written = 0;
        let (used, postings) = match block.cache.take() {
            Some(mut cache) => (cache.used, cache.postings.take()),
            None => (self.now, None),
        };
        let mut cache = Cache::whole(rewritten.plain, rewritten.offsets);
        (cache.used, cache.postings) = (used, postings);
        block.cache = Some(Box::new(cache));
        let staged = Name::Path(staged_path(index).into());
        self.submit(Op::Adopt { staged, file: Name::Block(index) });
    }
}

/// Where a block is written before it takes its place.
fn staged_path(index: u32) -> String {
    format!("{}/{}{}", names::MESSAGES, names::block_file(index), names::TEMPORARY)
}
