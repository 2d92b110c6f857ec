//! The bytes of a block in memory.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use midge_stdx::clock::Mono;

use super::offsets::Offsets;
use super::postings::Postings;
use crate::format::record::{Record, decode};

/// Chunks shorter than this are joined when there are many.
const SHORT_CHUNK: usize = 32 << 10;
/// Short chunks in a row before they are joined.
const SHORT_CHUNKS: usize = 64;

#[derive(Clone, Debug)]
struct Chunk {
    at: u32,
    bytes: Bytes,
}

/// The records of a block from some offset on, in chunks that are shared with writes and messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    /// Adjacent, ascending.
    chunks: VecDeque<Chunk>,
    /// Short chunks at the end.
    short: usize,
    pub(super) offsets: Offsets,
    /// Records before this offset are not here.
    pub(super) from: u32,
    /// Messages by subject, once they were asked for.
    pub(super) postings: Option<Box<Postings>>,
    /// Records that were compared one by one instead.
    pub(super) probes: usize,
    /// When it was read or written last.
    pub(super) used: Mono,
    /// The same among those of one moment: the higher, the later.
    pub(super) stamp: u64,
}

impl Cache {
    /// Nothing of a block that ends at `from`.
    pub(super) fn empty(from: u32) -> Cache {
        Cache { from, ..Cache::default() }
    }

    /// The records before `bytes.len()`, all of them.
    pub(super) fn whole(bytes: Bytes, offsets: Offsets) -> Cache {
        let mut cache = Cache { offsets, ..Cache::default() };
        if !bytes.is_empty() {
            cache.push(0, bytes);
        }
        cache
    }

    /// The same, used last at `now`.
    pub(super) fn used_at(self, now: Mono) -> Cache {
        Cache { used: now, ..self }
    }

    /// Where the chunks end.
    pub(super) fn end(&self) -> u32 {
        self.chunks.back().map_or(self.from, |chunk| chunk.at + chunk.bytes.len() as u32)
    }

    /// Adds the bytes that stand at `at`, which is where the others end.
    pub(super) fn push(&mut self, at: u32, bytes: Bytes) {
        self.short = if bytes.len() < SHORT_CHUNK { self.short + 1 } else { 0 };
        self.chunks.push_back(Chunk { at, bytes });
        if self.short >= SHORT_CHUNKS {
            self.join();
        }
    }

    fn join(&mut self) {
        let keep = self.chunks.len() - self.short;
        let len = self.chunks.range(keep..).map(|chunk| chunk.bytes.len()).sum();
        let at = self.chunks[keep].at;
        let mut joined = BytesMut::with_capacity(len);
        self.chunks.drain(keep..).for_each(|chunk| joined.extend_from_slice(&chunk.bytes));
        self.short = usize::from(len < SHORT_CHUNK);
        self.chunks.push_back(Chunk { at, bytes: joined.freeze() });
    }

    /// The chunks, one after the other.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &Bytes> {
        self.chunks.iter().map(|chunk| &chunk.bytes)
    }

    /// Takes over the chunks and offsets of what was appended while the rest was loaded. False when there is a gap between them.
    pub(super) fn continue_with(&mut self, tail: &Cache) -> bool {
        for chunk in &tail.chunks {
            if chunk.at >= self.end() {
                if chunk.at > self.end() {
                    return false;
                }
                self.push(chunk.at, chunk.bytes.clone());
            } else if chunk.at + chunk.bytes.len() as u32 > self.end() {
                let skip = (self.end() - chunk.at) as usize;
                self.push(self.end(), chunk.bytes.slice(skip..));
            }
        }
        for (seq, at) in tail.offsets.iter() {
            self.offsets.push(seq, at);
        }
        true
    }

    /// The record at an offset, with the chunk that it stands in.
    #[inline]
    pub(super) fn record(&self, at: u32) -> Option<(Record<'_>, &Bytes)> {
        let index = match self.chunks.len() {
            1 => 0,
            _ => self.chunks.partition_point(|chunk| chunk.at <= at).checked_sub(1)?,
        };
        let chunk = self.chunks.get(index)?;
        let rest = chunk.bytes.get(at.checked_sub(chunk.at)? as usize..)?;
        Some((decode(rest).ok()?, &chunk.bytes))
    }

    /// Replaces the bytes of a record by others of the same length.
    pub(super) fn overwrite(&mut self, at: u32, record: &[u8]) {
        let Some(index) = self.chunks.partition_point(|chunk| chunk.at <= at).checked_sub(1) else { return };
        let chunk = &mut self.chunks[index];
        let start = (at - chunk.at) as usize;
        let mut copy = BytesMut::from(&chunk.bytes[..]);
        if let Some(place) = copy.get_mut(start..start + record.len()) {
            place.copy_from_slice(record);
        }
        chunk.bytes = copy.freeze();
    }

    /// Cuts everything from an offset on; sequences above `last` have none afterwards.
    pub(super) fn cut(&mut self, end: u32, last: u64) {
        while self.chunks.back().is_some_and(|chunk| chunk.at >= end) {
            self.chunks.pop_back();
        }
        if let Some(chunk) = self.chunks.back_mut() {
            let keep = ((end - chunk.at) as usize).min(chunk.bytes.len());
            chunk.bytes.truncate(keep);
        }
        self.short = 0;
        let mut offsets = Offsets::default();
        self.offsets.iter().filter(|(seq, _)| *seq <= last).for_each(|(seq, at)| offsets.push(seq, at));
        self.offsets = offsets;
        self.postings = None;
        self.from = self.from.min(end);
    }

    /// Bytes of memory, without those of postings.
    pub(super) fn memory_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>() + self.offsets.memory_bytes()
    }
}
