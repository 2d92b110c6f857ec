//! What could be gathered from all messages, and is kept beside them: expiry, schedules, the progress of sources.
//!
//! Each file covers the sequences below its stamp; the messages from there on complete it. Without a file that can be read, all blocks that may have
//! something to say are read, for sources from the last one back until every source was met.

use std::collections::BTreeMap;
use std::ops::Range;

use midge_index::wheel::Wheel;

use super::folder::read;
use super::{Context, Image, OpenError};
use crate::format::names;
use crate::format::record::{Kind, Record};
use crate::format::scan::Walk;
use crate::format::side::{decode_schedules, decode_sources};
use crate::port::DiskError;
use crate::recover::Rebuilt;
use crate::stream::Config;
use crate::stream::message::{Ttl, ttl};

/// What header blocks mean to the owner of a store.
pub trait HeaderRules: Send {
    /// When a message with a schedule is due next, Unix nanoseconds; nothing for a message without.
    fn schedule(&self, message: &Record<'_>) -> Option<i64>;
    /// How far a source was read when it gave this message; nothing for a message of no source.
    fn source(&self, headers: &[u8]) -> Option<SourceProgress>;
    /// Sources that messages may be of.
    fn sources(&self) -> usize;
}

/// A message with a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Its subject.
    pub subject: Box<[u8]>,
    /// When it is due next, Unix nanoseconds.
    pub next_ns: i64,
    /// Its sequence.
    pub seq: u64,
}

/// How far a source was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceProgress {
    /// Which source: stream, filters and destinations, as its index name is written.
    pub index_name: Box<[u8]>,
    /// The last sequence taken from it.
    pub seq: u64,
    /// Which incarnation of the source that was.
    pub identity: Box<[u8]>,
}

/// What the files beside the blocks say, complete.
#[derive(Default)]
pub(super) struct Side {
    pub(super) wheel: Wheel,
    pub(super) schedules: Vec<Scheduled>,
    pub(super) sources: Vec<SourceProgress>,
}

/// What messages say, in the order of their sequences.
pub(super) struct Gathered<'a> {
    ttl: bool,
    schedule: bool,
    rules: Option<&'a dyn HeaderRules>,
    expiries: Vec<(u64, i64)>,
    schedules: Vec<Scheduled>,
    /// With the sequence of the message that said so.
    sources: BTreeMap<Box<[u8]>, (u64, SourceProgress)>,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(config: &Config, rules: Option<&'a dyn HeaderRules>) -> Gathered<'a> {
        Gathered {
            ttl: config.ttl,
            schedule: config.schedules && rules.is_some(),
            rules,
            expiries: Vec::new(),
            schedules: Vec::new(),
            sources: BTreeMap::new(),
        }
    }

    /// A message with headers.
    pub(super) fn see(&mut self, record: &Record<'_>) {
        self.see_some(record, self.ttl, self.schedule, true);
    }

    fn see_some(&mut self, record: &Record<'_>, with_ttl: bool, schedule: bool, source: bool) {
        let Kind::Message { subject, headers, .. } = record.kind else { return };
        if with_ttl && let Ttl::Seconds(seconds) = ttl(headers) {
            let ttl_ns = i64::try_from(seconds.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX);
            self.expiries.push((record.seq, record.ts_ns.saturating_add(ttl_ns)));
        }
        let Some(rules) = self.rules else { return };
        if schedule && let Some(next_ns) = rules.schedule(record) {
            self.schedules.push(Scheduled { subject: subject.into(), next_ns, seq: record.seq });
        }
        if source && let Some(progress) = rules.source(headers) {
            let known = self.sources.get(&progress.index_name).map_or(0, |(seq, _)| *seq);
            if record.seq > known {
                self.sources.insert(progress.index_name.clone(), (record.seq, progress));
            }
        }
    }
}

/// From which sequence on messages complete each file.
struct From {
    wheel: u64,
    schedules: u64,
    sources: u64,
}

impl Context<'_> {
    /// What the files say of a store that ends at this sequence.
    fn stored(&self, last_seq: u64) -> Result<(Side, From), DiskError> {
        let mut side = Side::default();
        let mut from = From { wheel: 0, schedules: 0, sources: 0 };
        let messages = |name: &str| format!("{}/{name}", self.messages);
        if self.config.ttl
            && let Some(file) = read(self.files, &messages(names::WHEEL))?
            && let Ok((wheel, stamp)) = Wheel::decode(&file)
        {
            (side.wheel, from.wheel) = (wheel, stamp);
        }
        if self.config.schedules
            && let Some(file) = read(self.files, &messages(names::SCHEDULES))?
            && let Ok(found) = decode_schedules(&file)
        {
            from.schedules = found.stamp;
            side.schedules = found
                .entries
                .iter()
                .map(|entry| Scheduled {
                    subject: entry.subject.into(),
                    next_ns: entry.next_ns,
                    seq: entry.seq,
                })
                .collect();
        }
        if let Some(file) = read(self.files, &format!("{}/{}", self.folder, names::SOURCES))?
            && let Ok(found) = decode_sources(&file)
        {
            // One that knows of messages that are not there is believed only where no message says anything.
            from.sources = if found.stamp > last_seq + 1 { 0 } else { found.stamp };
            side.sources = found
                .entries
                .iter()
                .map(|entry| SourceProgress {
                    index_name: entry.index_name.into(),
                    seq: entry.seq,
                    identity: entry.identity.into(),
                })
                .collect();
        }
        Ok((side, from))
    }

    /// What every message said, after all were read.
    pub(super) fn gathered_side(
        &mut self,
        mut gathered: Gathered<'_>,
        rebuilt: &Rebuilt,
    ) -> Result<Side, OpenError> {
        let live = |seq| rebuilt.is_live(seq);
        let (stored, mut from) = self.stored(rebuilt.state.last_seq)?;
        if let Some(torn) = self.recovery.torn {
            // What follows is read from the sources once more. A file that knows of it tells only of sources of which no message is left.
            gathered.sources.clear();
            from.sources = if from.sources > torn { 0 } else { from.sources };
            let blocks = rebuilt.blocks.iter().rev().map(|block| (block.index, block.last_seq));
            self.read_sources(blocks, from.sources..torn, &mut gathered)?;
        }
        let mut side = Side::default();
        for (seq, expires_ns) in gathered.expiries {
            if live(seq) {
                side.wheel.add(seq, expires_ns);
            }
        }
        if gathered.schedule {
            side.schedules = gathered.schedules.into_iter().filter(|entry| live(entry.seq)).collect();
        } else {
            side.schedules = stored.schedules.into_iter().filter(|entry| live(entry.seq)).collect();
        }
        side.sources = merge(stored.sources, from.sources, gathered.sources);
        Ok(side)
    }

    /// The files, completed by the messages that they do not cover.
    pub(super) fn side_files(&mut self, image: &Image) -> Result<Side, OpenError> {
        let (mut side, from) = self.stored(image.state.last_seq)?;
        let mut gathered = Gathered::new(self.config, self.rules);
        let (ttl, schedule) = (gathered.ttl, gathered.schedule);
        let mut buffer = Vec::new();
        for block in &image.blocks {
            let wheel = ttl && block.ttls > 0 && block.last_seq >= from.wheel;
            let schedules = schedule && block.schedules > 0 && block.last_seq >= from.schedules;
            if !(wheel || schedules) || block.messages == 0 {
                continue;
            }
            self.scan(block.index, &mut buffer, |record| {
                if block.is_live(record.seq) {
                    let wheel = wheel && record.seq >= from.wheel;
                    gathered.see_some(record, wheel, schedules && record.seq >= from.schedules, false);
                }
            })?;
        }
        let blocks = image.blocks.iter().rev().map(|block| (block.index, block.last_seq));
        self.read_sources(blocks, from.sources..u64::MAX, &mut gathered)?;
        for (seq, expires_ns) in gathered.expiries {
            side.wheel.add(seq, expires_ns);
        }
        side.schedules.extend(gathered.schedules);
        side.schedules.retain(|entry| image.live(entry.seq).is_some());
        side.sources = merge(side.sources, from.sources, gathered.sources);
        Ok(side)
    }

    /// What the messages of these sequences say of sources, from the last block (number and last sequence) back until every source was met.
    fn read_sources(
        &mut self,
        blocks: impl Iterator<Item = (u32, u64)>,
        seqs: Range<u64>,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), DiskError> {
        let sought = self.rules.map_or(0, |rules| rules.sources());
        let mut buffer = Vec::new();
        for (number, last_seq) in blocks {
            if gathered.sources.len() >= sought || last_seq < seqs.start {
                break;
            }
            self.scan(number, &mut buffer, |record| {
                if seqs.contains(&record.seq) && record.seq <= last_seq {
                    gathered.see_some(record, false, false, true);
                }
            })?;
        }
        Ok(())
    }

    /// The messages with headers of a block.
    fn scan(
        &mut self,
        number: u32,
        buffer: &mut Vec<u8>,
        mut see: impl FnMut(&Record<'_>),
    ) -> Result<(), DiskError> {
        let key = self.record_key(number);
        let plain = self.read_block(number, &key, buffer)?;
        let mut count = 0;
        for (_, record) in Walk::new(&plain.records, 0).map_while(Result::ok) {
            count += 1;
            if matches!(record.kind, Kind::Message { headers, .. } if !headers.is_empty()) {
                see(&record);
            }
        }
        self.recovery.records_read += count;
        Ok(())
    }
}

/// The progress that a file knows, where no message from its stamp on says more.
fn merge(
    stored: Vec<SourceProgress>,
    stamp: u64,
    mut gathered: BTreeMap<Box<[u8]>, (u64, SourceProgress)>,
) -> Vec<SourceProgress> {
    let mut sources = Vec::with_capacity(stored.len().max(gathered.len()));
    for progress in stored {
        match gathered.remove(&progress.index_name) {
            Some((seq, newer)) if seq >= stamp => sources.push(newer),
            _ => sources.push(progress),
        }
    }
    sources.extend(gathered.into_values().map(|(_, progress)| progress));
    sources
}
