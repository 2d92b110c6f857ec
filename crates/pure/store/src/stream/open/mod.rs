//! A stream's folder, as whoever used it last left it, made a store again.
//!
//! ```text
//!   keys ──▶ folder ──▶ index.db accepted? ──yes──▶ the records after its mark are replayed ──▶ image ──▶ side files ──▶ Opened ──▶ Store
//!   (nothing is    (purges that   │ no, or something does not add up                          ▲
//!    touched before) were cut)    └──▶ every block is read, with what the index knew ─────────┘
//! ```
//!
//! What holds:
//!
//! * A folder that cannot be read is left as it is: nothing is changed before the keys of the store have opened.
//! * Nothing that cannot be read is deleted. What is cut off the last block, so that appends go on there, is copied aside first; a block with damage
//!   before its end is copied aside and stays as it is; a block without its key stays.
//! * Deletions that an index knows do not come back, whichever block is lost, and the last sequence does not go back.
//! * What is shown afterwards is on stable storage, though it may have been only in the memory of the operating system before.
//! * A crash at any step leaves a folder that opens to the same store.
//!
//! Costs: with an index, one small read per block and the last block; without, every byte once. What was found is told by [`Recovery`].

mod blocks;
mod fast;
mod folder;
mod full;
mod keys;
mod meta;
mod replay;
mod report;
mod side;

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_index::stree::SubjectTree;
use midge_index::wheel::Wheel;
use midge_stdx::clock::{Mono, Now};
use midge_stdx::entropy::Entropy;

pub use folder::{set_aside, write_again};
pub use keys::StoreKeys;
pub use meta::{Meta, read_meta};
pub use report::{BlockDamage, How, Kept, Recovery};
pub use side::{HeaderRules, Scheduled, SourceProgress};

use super::sources::Sources;
use super::{Block, Config, State, Store, SubjectState};
use crate::format::keys::{AssetKey, KeyError};
use crate::port::{DiskError, Files, Lane};
use crate::recover::History;
use blocks::BlockFiles;

/// What is needed to open a store.
pub struct Opening {
    /// Its configuration.
    pub config: Config,
    /// Its folder, relative to the store directory: `$G/streams/S`.
    pub folder: String,
    /// What is known of its limits in the past.
    pub history: History,
    /// How it is, or shall be, encrypted.
    pub encryption: Option<StoreKeys>,
    /// The time.
    pub now: Now,
    /// What header blocks mean to the owner. Without, schedules and sources are not gathered.
    pub headers: Option<Box<dyn HeaderRules>>,
}

/// Why a store was not opened. Its folder is as it was, or nearer to being opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is encrypted, and no key is configured.
    #[error("encrypted store encountered with no main key")]
    NoKey,
    /// No configured key opens it. Nothing was changed.
    #[error("{path}: {error}")]
    Key {
        /// The key file.
        path: String,
        /// What the present key says to it.
        error: KeyError,
    },
    /// More messages than can be counted while blocks are read one by one: 2^32.
    #[error("too many messages to be read without an index")]
    TooMany,
}

/// The store as it was found, in memory.
pub struct Opened {
    config: Config,
    image: Image,
    /// The number of the next block: above that of any file.
    next_index: u32,
    /// Messages by the time they expire.
    wheel: Wheel,
    meta_key: Option<AssetKey>,
    keys: Option<StoreKeys>,
    /// Messages with a schedule. Those of deleted ones may be among them.
    pub schedules: Vec<Scheduled>,
    /// How far sources were read.
    pub sources: Vec<SourceProgress>,
    /// What was found and done.
    pub recovery: Recovery,
}

/// Blocks and subjects, and what they add up to.
#[derive(Default)]
struct Image {
    state: State,
    blocks: Vec<Block>,
    subjects: SubjectTree<SubjectState>,
}

impl Image {
    /// The first live sequence follows from the blocks.
    fn find_first(&mut self, config: &Config) {
        let first = self.blocks.iter().find(|block| block.messages > 0).map(|block| block.first_seq);
        self.state.first_seq = first.unwrap_or(match self.state.last_seq {
            0 => 0,
            last => last.saturating_add(1),
        });
        if self.state.last_seq == 0 && config.first_seq > 1 {
            (self.state.first_seq, self.state.last_seq) = (config.first_seq, config.first_seq - 1);
        }
    }

    /// The index of the block in which this sequence is live.
    fn live(&self, seq: u64) -> Option<usize> {
        let at = self.blocks.partition_point(|block| block.last_seq < seq);
        self.blocks.get(at).filter(|block| block.is_live(seq)).map(|_| at)
    }
}

/// What the steps of opening share.
struct Context<'a> {
    files: &'a dyn Files,
    config: &'a Config,
    folder: &'a str,
    /// The folder of blocks.
    messages: String,
    history: History,
    rules: Option<&'a dyn HeaderRules>,
    /// The readable blocks by number.
    blocks: BlockFiles,
    keys: BTreeMap<u32, AssetKey>,
    /// Blocks with an index of their own, by a server before 2.10.
    legacy: Vec<u32>,
    recovery: Recovery,
}

impl Opening {
    /// Opens the store. Blocking: it reads, and may write, many files.
    ///
    /// # Errors
    /// See [`OpenError`]. It may be tried again.
    pub fn run(mut self, files: &dyn Files) -> Result<Opened, OpenError> {
        let found = keys::MetaKey::open(files, &self.folder, &self.config.name, self.encryption.as_ref())?;
        let mut recovery = Recovery::default();
        meta::finish(files, &self.folder, &self.config.name, found.key(), &mut recovery)?;
        folder::mend_purge(files, &self.folder, &mut recovery)?;
        let listing = folder::Listing::read(files, &self.folder, &mut recovery)?;
        let index = fast::read_index(files, &self.folder, &self.config.name, found.key(), &mut recovery)?;
        let mut context = Context {
            files,
            config: &self.config,
            folder: &self.folder,
            messages: folder::messages(&self.folder),
            history: self.history,
            rules: self.headers.as_deref(),
            blocks: BlockFiles::default(),
            keys: BTreeMap::new(),
            legacy: listing.legacy.clone(),
            recovery,
        };
        context.settle_keys(&listing, self.encryption.as_mut())?;
        let meta_key = found.settle(&mut context, self.encryption.as_mut(), index.as_ref())?;
        let (mut image, side) = match context.fast(index)? {
            fast::Verdict::Image(image) => {
                let side = context.side_files(&image)?;
                (*image, side)
            }
            fast::Verdict::Rebuild(known) => context.full(known)?,
        };
        context.end_last_block(&mut image)?;
        context.sweep(&listing)?;
        let next_index = context.blocks.highest.checked_add(1).ok_or(OpenError::TooMany)?;
        let recovery = std::mem::take(&mut context.recovery);
        drop(context);
        Ok(Opened {
            image,
            next_index,
            wheel: side.wheel,
            meta_key,
            keys: self.encryption,
            schedules: side.schedules,
            sources: side.sources,
            recovery,
            config: self.config,
        })
    }
}

impl Opened {
    /// The totals.
    pub fn state(&self) -> &State {
        &self.image.state
    }

    /// The blocks, by number.
    pub fn blocks(&self) -> &[Block] {
        &self.image.blocks
    }

    /// Live messages by subject.
    pub fn subjects(&self) -> &SubjectTree<SubjectState> {
        &self.image.subjects
    }

    /// Messages by the time they expire; deleted ones may be among them.
    pub fn wheel(&self) -> &Wheel {
        &self.wheel
    }

    /// The key of index and metadata, in an encrypted store.
    pub fn key(&self) -> Option<&AssetKey> {
        self.meta_key.as_ref()
    }

    /// The store, which works over a disk from here on. It removes what the limits do not allow, and blocks in which nothing is left.
    pub fn into_store(self, lane: Lane, filler: Box<dyn Entropy>, now: Mono) -> Store {
        let Opened { config, image, next_index, wheel, meta_key, keys, recovery, sources, .. } = self;
        let encryption = keys.map(StoreKeys::into_encryption);
        let mut store = Store::create(config, lane, encryption, meta_key.map(Arc::new), filler);
        store.now = now;
        store.state = image.state;
        store.blocks = image.blocks.into();
        store.subjects = image.subjects;
        store.wheel = wheel;
        store.sources = Sources::found(sources);
        store.next_index = next_index;
        if let Some(disk) = &mut store.disk {
            disk.flight = super::flight::Flight::begin(image.state.last_seq);
            disk.index_written = now;
            disk.dirty = !matches!(recovery.how, How::Index | How::New);
            disk.vouched = recovery.vouched;
            disk.limited |= recovery.how != How::New;
        }
        store.lost.seqs = recovery
            .lost
            .ranges()
            .take(report::MAX_LOST_RANGES)
            .flat_map(|(from, to)| from..=to)
            .take(report::MAX_LOST)
            .collect();
        (store.lost.bytes, store.lost.torn) = (recovery.lost_bytes, recovery.torn);
        let state = store.state;
        store.find_first();
        if state.last_seq == 0 {
            store.state.first_seq = state.first_seq;
        }
        let idle: Vec<u32> = store
            .blocks
            .iter()
            .skip(1)
            .filter(|b| b.messages == 0 && !b.tombstones)
            .map(|b| b.index)
            .collect();
        if !idle.is_empty() {
            store.keep_sources();
        }
        for index in idle {
            if let Some(at) = store.block_numbered(index).filter(|at| at + 1 < store.blocks.len()) {
                store.drop_block(at);
            }
        }
        if store.config.max_msgs_per_subject > 0 {
            store.trim_subjects();
        }
        store.enforce_stream_limits();
        // The owner counts from the state that it finds.
        store.changes.clear();
        store
    }
}
