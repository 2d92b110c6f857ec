//! A store, as a script, and the records that it writes.

use std::collections::BTreeMap;

use bytes::Bytes;
use midge_store::journal::{Records, aside, is_foreign};
use midge_store::port::{Lane, Name, Op, Outcome, Promise};

use super::SimFiles;
use super::model::{Change, ConsumerLog, Event, FileLog, Level, StoreLog};
use crate::draw::Draw;

pub(super) const SUM: &str = "meta.sum";
pub(super) const META: &str = "meta.inf";

/// A record of these stores: a mark, the number of its operation, a length, payload, a checksum.
pub(super) fn record(out: &mut Vec<u8>, number: u64, len: usize) {
    let start = out.len();
    let first = (number as u8).wrapping_mul(31);
    head(out, number, len);
    out.extend((0..len).map(|i| 1 | first.wrapping_add(i as u8)));
    seal(out, start);
}

/// What takes the place of a record: of the same number and length.
fn erased(number: u64, len: usize, ticket: u64) -> Vec<u8> {
    let mut out = Vec::new();
    head(&mut out, number, len);
    out.resize(10 + len, 0x40 | (ticket as u8 & 0x3f));
    seal(&mut out, 0);
    out
}

fn head(out: &mut Vec<u8>, number: u64, len: usize) {
    out.push(0xa5);
    out.extend_from_slice(&number.to_le_bytes());
    out.push(u8::try_from(len).unwrap_or(u8::MAX));
}

fn seal(out: &mut Vec<u8>, start: usize) {
    let sum = midge_stdx::hash::fnv1a32(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

pub(super) fn whole(bytes: &[u8]) -> Option<usize> {
    let len = usize::from(*bytes.get(9).filter(|_| bytes[0] == 0xa5)?) + 10;
    let sum = bytes.get(len..len + 4)?;
    (midge_stdx::hash::fnv1a32(&bytes[..len]).to_le_bytes() == *sum).then_some(len + 4)
}

pub(super) struct SimRecords;

impl Records for SimRecords {
    fn is_foreign(&self, _: &str, _: u32, standing: &[u8], ours: &[u8], new_ground: bool) -> bool {
        is_foreign(standing, ours, new_ground, |bytes| Some((number_of(bytes.get(1..)?)?, whole(bytes)?)))
    }
}

/// A store, as a script: it knows what it submitted, like a real one.
pub(super) struct Store {
    pub(super) folder: String,
    pub(super) lane: Lane,
    pub(super) log: StoreLog,
    /// Blocks with their ends, as submitted.
    pub(super) blocks: BTreeMap<u32, u64>,
    /// Records in them: offset, number, bytes of payload. Kept by tidy stores.
    marks: BTreeMap<u32, Vec<(usize, u64, usize)>>,
    /// It writes, erases and cuts whole records only, so that somebody else's can be told from them.
    pub(super) tidy: bool,
    pub(super) next_block: u32,
    /// Submitted and not completed.
    pub(super) open: BTreeMap<u64, Open>,
    pub(super) failed: bool,
    pub(super) deleting: bool,
    pub(super) last_done: u64,
}

pub(super) struct Open {
    pub(super) level: Level,
    pub(super) checkpoint: bool,
    pub(super) delete: bool,
}

pub(super) fn number_of(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|b| u64::from_le_bytes(*b))
}

fn numbered(ticket: u64, len: usize) -> Bytes {
    let mut bytes = ticket.to_le_bytes().to_vec();
    bytes.resize(8 + len, ticket as u8 | 1);
    bytes.into()
}

impl Store {
    pub(super) fn new(folder: String, tidy: bool) -> Store {
        Store {
            folder,
            lane: Lane(u32::MAX),
            log: StoreLog::default(),
            blocks: BTreeMap::new(),
            marks: BTreeMap::new(),
            tidy,
            next_block: 1,
            open: BTreeMap::new(),
            failed: false,
            deleting: false,
            last_done: 0,
        }
    }

    /// The store of the same name after its deletion: nothing of what was there comes back.
    pub(super) fn begun_anew(&self) -> Store {
        let mut fresh = Store::new(self.folder.clone(), self.tidy);
        let gone = |name: &Name| (name.clone(), FileLog::found(None, Level::Durable));
        fresh.log.files = self.log.files.keys().map(gone).collect();
        let gone = |name: &String| (name.clone(), ConsumerLog::found(None, &[]));
        fresh.log.consumers = self.log.consumers.keys().map(gone).collect();
        fresh
    }

    /// What it found of a block when it looked. A tidy one leaves one that ends in a broken record alone.
    pub(super) fn found(&mut self, block: u32, content: &[u8]) {
        let (mut at, mut marks) = (0, Vec::new());
        while let Some(len) = whole(&content[at..]) {
            marks.push((at, number_of(&content[at + 1..]).unwrap_or(0), len - 14));
            at += len;
        }
        self.next_block = self.next_block.max(block + 1);
        if !self.tidy || at == content.len() {
            self.blocks.insert(block, content.len() as u64);
            self.marks.insert(block, marks);
        }
    }

    fn change(&mut self, ticket: u64, name: Name, change: Change) {
        self.log.files.entry(name).or_default().push(ticket, change);
    }

    fn level(promise: Promise) -> Level {
        if promise == Promise::Cached { Level::Cached } else { Level::Durable }
    }

    pub(super) fn append(&mut self, draw: &mut Draw, ticket: u64, promise: Promise) -> (Op, Level) {
        let (mut bytes, mut marks) = (Vec::new(), Vec::new());
        for n in 0..draw.between(1, 3) {
            let len = draw.pick(&[1, 30, 200]);
            marks.push((bytes.len(), ticket * 8 + n as u64, len));
            record(&mut bytes, ticket * 8 + n as u64, len);
        }
        let last = self.blocks.last_key_value().map(|(block, _)| *block);
        let block = match last {
            Some(block) if !draw.percent(4) => block,
            _ => {
                self.next_block += 1;
                self.next_block - 1
            }
        };
        let end = self.blocks.entry(block).or_default();
        let offset = *end;
        *end += bytes.len() as u64;
        let at = usize::try_from(offset).unwrap_or(0);
        let marks = marks.into_iter().map(|(start, number, len)| (at + start, number, len));
        self.marks.entry(block).or_default().extend(marks);
        self.change(ticket, Name::Block(block), Change::Write(at, bytes.clone()));
        (Op::Write { block, offset, bytes: bytes.into(), promise }, Store::level(promise))
    }

    fn some_block(&self, draw: &mut Draw) -> Option<(u32, u64)> {
        let all: Vec<_> = self.blocks.iter().map(|(b, e)| (*b, *e)).filter(|(_, e)| *e > 0).collect();
        if all.is_empty() { None } else { Some(draw.pick(&all)) }
    }

    pub(super) fn erase(&mut self, draw: &mut Draw, ticket: u64, promise: Promise) -> (Op, Level) {
        let Some((block, end)) = self.some_block(draw) else { return self.append(draw, ticket, promise) };
        let end = usize::try_from(end).unwrap_or(0);
        if self.tidy {
            let marks = self.marks.get(&block).map_or(&[][..], |marks| marks);
            let (at, number, len) = draw.pick(marks);
            let bytes = erased(number, len, ticket);
            self.change(ticket, Name::Block(block), Change::Write(at, bytes.clone()));
            let op = Op::Write { block, offset: at as u64, bytes: bytes.into(), promise };
            return (op, Store::level(promise));
        }
        let at = draw.below(end);
        let bytes = vec![0x40 | (ticket as u8 & 0x3f); draw.between(1, (end - at).min(700))];
        self.change(ticket, Name::Block(block), Change::Write(at, bytes.clone()));
        (Op::Write { block, offset: at as u64, bytes: bytes.into(), promise }, Store::level(promise))
    }

    pub(super) fn replace(&mut self, draw: &mut Draw, ticket: u64, promise: Promise) -> (Op, Level) {
        let len = draw.pick(&[0, 40, 600, 3000]);
        let name = |path: &str| Name::Path(path.into());
        let names = match draw.below(4) {
            0 => vec![name(META), name(SUM)],
            1 => vec![name("msgs/index.db")],
            _ => vec![name(&format!("obs/C{}/o.dat", draw.below(3)))],
        };
        let content = numbered(ticket, len);
        for name in &names {
            self.change(ticket, name.clone(), Change::Whole(content.to_vec()));
            if let Some(consumer) = consumer(name) {
                let log = self.log.consumers.entry(consumer).or_default();
                log.push(ticket, Event::State(Some(ticket)));
            }
        }
        let files = names.into_iter().map(|name| (name, content.clone())).collect();
        // Replacements pass through the journal whatever they were promised, but nothing is promised beyond it.
        (Op::Replace { files, promise }, Store::level(promise))
    }

    pub(super) fn delta(&mut self, draw: &mut Draw, ticket: u64, promise: Promise) -> (Op, Level) {
        let consumer = format!("C{}", draw.below(3));
        let bytes = numbered(ticket, draw.below(20));
        self.log.consumers.entry(consumer.clone()).or_default().push(ticket, Event::Delta(ticket));
        (Op::Delta { consumer: consumer.into(), bytes, promise }, Store::level(promise))
    }

    pub(super) fn remove(&mut self, draw: &mut Draw, ticket: u64, promise: Promise) -> (Op, Level) {
        let mut files = Vec::new();
        let mut folder = None;
        if draw.percent(30) {
            let name = format!("C{}", draw.below(3));
            files.push(Name::Path(format!("obs/{name}/").into()));
            folder = Some(name);
        }
        while files.is_empty() || draw.percent(30) {
            match (self.some_block(draw), draw.below(6)) {
                (Some((block, _)), 0..3) => {
                    if self.blocks.remove(&block).is_some() {
                        files.push(Name::Block(block));
                        self.marks.remove(&block);
                        if draw.percent(50) {
                            // The same number is used again.
                            self.blocks.insert(block, 0);
                        }
                    }
                }
                (_, 3) => files.push(Name::Path("msgs/index.db".into())),
                (_, 4) if folder.is_none() => {
                    files.push(Name::Path(format!("obs/C{}/o.dat", draw.below(3)).into()))
                }
                _ if files.is_empty() => files.push(Name::Block(9_999)),
                _ => break,
            }
        }
        files.sort();
        files.dedup();
        for name in &files {
            if !matches!(name, Name::Path(path) if path.ends_with('/')) {
                self.change(ticket, name.clone(), Change::Remove);
            }
            if let Some(consumer) = consumer(name) {
                self.log.consumers.entry(consumer).or_default().push(ticket, Event::State(None));
            }
        }
        if let Some(name) = folder {
            self.change(ticket, Name::Path(format!("obs/{name}/o.dat").into()), Change::Remove);
            self.log.consumers.entry(name).or_default().push(ticket, Event::State(None));
        }
        (Op::Remove { files, promise }, Store::level(promise))
    }

    pub(super) fn set_len(&mut self, draw: &mut Draw, ticket: u64) -> (Op, Level) {
        let Some((block, end)) = self.some_block(draw) else {
            return self.append(draw, ticket, Promise::Durable);
        };
        let mut len = draw.below(usize::try_from(end).unwrap_or(0) + 1);
        let marks = self.marks.entry(block).or_default();
        if self.tidy {
            len = marks.iter().rev().map(|mark| mark.0).find(|at| *at <= len).unwrap_or(0);
        }
        marks.retain(|mark| mark.0 < len);
        self.blocks.insert(block, len as u64);
        self.change(ticket, Name::Block(block), Change::Len(len));
        (Op::SetLen { block, len: len as u64 }, Level::Durable)
    }

    pub(super) fn adopt(&mut self, draw: &mut Draw, ticket: u64, files: &SimFiles) -> Option<Op> {
        let (block, _) = self.some_block(draw)?;
        let mut bytes = Vec::new();
        let mut marks = Vec::new();
        for n in 0..draw.below(4) {
            marks.push((bytes.len(), ticket * 8 + n as u64, 50));
            record(&mut bytes, ticket * 8 + n as u64, 50);
        }
        let staged = Name::Path(format!("msgs/{block}.{ticket}.tmp").into());
        let stage = Op::Stage { file: staged.clone(), bytes: bytes.clone().into() };
        let Outcome::Done = aside(files, &self.folder, stage) else { return None };
        self.blocks.insert(block, bytes.len() as u64);
        self.marks.insert(block, marks);
        self.change(ticket, Name::Block(block), Change::Whole(bytes));
        Some(Op::Adopt { staged, file: Name::Block(block) })
    }
}

fn consumer(name: &Name) -> Option<String> {
    let Name::Path(path) = name else { return None };
    Some(path.strip_prefix("obs/")?.strip_suffix("/o.dat")?.into())
}
