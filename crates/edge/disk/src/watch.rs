//! Noticing that somebody else writes the files of a store directory that is in use: a copy put in the place of a block, an editor, a second server that
//! knows of no lock.
//!
//! Cheap rather than complete. Of a block file that is open for writing, the inode and the length are known without asking, and are compared when it is
//! synced or opened again; of an index, inode, length and time since it was put in its place, compared when it is synced or replaced.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};

use midge_stdx::hash::Map;
use parking_lot::Mutex;
use rustix::fs::Stat;

use crate::limits;

/// What a block file that is open has to look like.
#[derive(Debug)]
pub(crate) struct Expected {
    inode: u64,
    /// The length with all writes that were begun, and with those that ended. Between the two is the truth.
    begun: AtomicU64,
    ended: AtomicU64,
    /// Rises when the file is cut: a comparison at the same time says nothing.
    cuts: AtomicU64,
    /// Once is enough.
    told: AtomicBool,
}

impl Expected {
    pub(crate) fn begin(&self, end: u64) {
        self.begun.fetch_max(end, SeqCst);
    }

    pub(crate) fn end(&self, end: u64) {
        self.ended.fetch_max(end, SeqCst);
    }

    pub(crate) fn begin_cut(&self) {
        self.cuts.fetch_add(1, SeqCst);
    }

    pub(crate) fn end_cut(&self, len: u64) {
        self.begun.store(len, SeqCst);
        self.ended.store(len, SeqCst);
        self.cuts.fetch_add(1, SeqCst);
    }

    /// A write or cut failed, and nobody knows how far it came: from here on it looks as it looks.
    pub(crate) fn fail(&self) {
        self.told.store(true, SeqCst);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: i64,
    seconds: i64,
    nanos: u64,
}

impl Stamp {
    fn of(stat: &Stat) -> Stamp {
        // The types of these fields differ from platform to platform.
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "see above")]
        Stamp {
            inode: stat.st_ino as u64,
            len: stat.st_size as i64,
            seconds: stat.st_mtime as i64,
            nanos: stat.st_mtime_nsec as u64,
        }
    }
}

/// What is known of the files of a store directory.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    blocks: Mutex<Blocks>,
    indexes: Mutex<Map<Box<str>, Stamp>>,
    found: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Blocks {
    open: Map<Box<str>, Weak<Expected>>,
    /// With so many entries, those of closed files are dropped.
    prune_at: usize,
}

pub(crate) fn is_block(path: &str) -> bool {
    path.ends_with(".blk")
}

pub(crate) fn is_index(path: &str) -> bool {
    path.ends_with("msgs/index.db")
}

impl Watch {
    fn tell(&self, text: String) {
        let mut found = self.found.lock();
        if found.len() < limits::FOREIGN {
            found.push(text);
        }
    }

    /// What was noticed since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.found.lock())
    }

    /// A block file was opened for writing.
    pub(crate) fn opened(&self, path: &str, stat: impl Fn() -> Option<Stat>) -> Option<Arc<Expected>> {
        let known = self.blocks.lock().open.get(path).and_then(Weak::upgrade);
        if let Some(known) = known {
            let same = self.compare(path, &known, stat());
            if same {
                return Some(known);
            }
        }
        let stat = stat()?;
        let len = AtomicU64::new(u64::try_from(stat.st_size).unwrap_or(0));
        let expected = Arc::new(Expected {
            inode: Stamp::of(&stat).inode,
            ended: AtomicU64::new(len.load(SeqCst)),
            begun: len,
            cuts: AtomicU64::new(0),
            told: AtomicBool::new(false),
        });
        let mut blocks = self.blocks.lock();
        if blocks.open.len() >= blocks.prune_at {
            blocks.open.retain(|_, known| known.strong_count() > 0);
            blocks.prune_at = blocks.open.len() * 2 + 64;
        }
        blocks.open.insert(path.into(), Arc::downgrade(&expected));
        Some(expected)
    }

    /// Compares the length of a block file with what was written. Writes may be going on.
    pub(crate) fn check(&self, path: &str, expected: &Expected, stat: impl FnOnce() -> Option<Stat>) {
        let (cuts, least) = (expected.cuts.load(SeqCst), expected.ended.load(SeqCst));
        let Some(stat) = stat() else { return };
        let most = expected.begun.load(SeqCst);
        if !cuts.is_multiple_of(2) || expected.cuts.load(SeqCst) != cuts {
            return;
        }
        let len = u64::try_from(stat.st_size).unwrap_or(0);
        if (len < least || len > most) && !expected.told.swap(true, SeqCst) {
            self.tell(format!("{path} has {len} bytes, and {least} were written"));
        }
    }

    /// Compares the file of that name with the one that is open; false when it is another.
    fn compare(&self, path: &str, expected: &Expected, stat: Option<Stat>) -> bool {
        let same = stat.is_some_and(|stat| Stamp::of(&stat).inode == expected.inode);
        if !same {
            if !expected.told.swap(true, SeqCst) {
                self.tell(format!("{path} is another file than the one that is open"));
            }
            return false;
        }
        self.check(path, expected, || stat);
        true
    }

    /// Compares an index with the one that was put there.
    pub(crate) fn check_index(&self, path: &str, stat: impl FnOnce() -> Option<Stat>) {
        let Some(known) = self.indexes.lock().get(path).copied() else { return };
        let found = stat().map(|stat| Stamp::of(&stat));
        if found != Some(known) {
            self.indexes.lock().remove(path);
            self.tell(format!("{path} is not the one that was written"));
        }
    }

    /// An index has its place.
    pub(crate) fn put_index(&self, path: &str, stat: Option<Stat>) {
        let mut indexes = self.indexes.lock();
        match stat {
            Some(stat) => drop(indexes.insert(path.into(), Stamp::of(&stat))),
            None => drop(indexes.remove(path)),
        }
    }

    /// A name is about to be given to something else, or to nothing; of a folder, all that are in it.
    pub(crate) fn forget(&self, path: &str, folder: bool) {
        let below = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let mut blocks = self.blocks.lock();
        blocks.open.remove(path);
        if folder {
            blocks.open.retain(|known, _| !below(known));
        }
        drop(blocks);
        let mut indexes = self.indexes.lock();
        indexes.remove(path);
        if folder {
            indexes.retain(|known, _| !below(known));
        }
    }
}
