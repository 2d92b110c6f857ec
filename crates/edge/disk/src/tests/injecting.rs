//! Real files with faults, which remember what reached stable storage through the journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use midge_stdx::hash::Map;
use midge_store::port::{DiskError, Entry, Fault, Files, Handle, Mode};
use parking_lot::{Condvar, Mutex};

use super::Place;
use crate::RealFiles;

/// What goes wrong.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// The call: `write`, `sync`, `allocate`, `create`.
    pub(super) call: &'static str,
    /// Part of the path of the file.
    pub(super) path: &'static str,
    /// So many calls go well before.
    pub(super) after: usize,
    /// So many calls fail.
    pub(super) times: usize,
    pub(super) fault: Fault,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    paths: Map<Handle, String>,
    /// Writes to segments of the journal since their last sync.
    unsynced: Map<String, Vec<u8>>,
    /// Everything that was written to the journal and then synced.
    stable: Vec<u8>,
    /// Of a thousand syncs of the journal so many fail.
    odds: u64,
    draws: u64,
    failed_syncs: usize,
    /// Syncs wait while this is set.
    held: bool,
    waiting: usize,
}

pub(super) struct Injecting {
    files: RealFiles,
    state: Mutex<State>,
    released: Condvar,
    free: AtomicU64,
}

const JOURNAL: &str = ".midge/journal/";

impl Injecting {
    pub(super) fn new(place: &Place) -> Arc<Injecting> {
        let files = RealFiles::open(&place.0).unwrap();
        let (state, free) = (Mutex::new(State::default()), AtomicU64::new(u64::MAX));
        Arc::new(Injecting { files, state, released: Condvar::new(), free })
    }

    pub(super) fn rule(&self, rule: Rule) {
        self.state.lock().rules.push(rule);
    }

    pub(super) fn forgive(&self) {
        let mut state = self.state.lock();
        state.rules.clear();
        state.odds = 0;
    }

    pub(super) fn odds(&self, of_a_thousand: u64, seed: u64) {
        let mut state = self.state.lock();
        (state.odds, state.draws) = (of_a_thousand, seed);
    }

    pub(super) fn failed_syncs(&self) -> usize {
        self.state.lock().failed_syncs
    }

    pub(super) fn set_free(&self, free: u64) {
        self.free.store(free, Ordering::SeqCst);
    }

    pub(super) fn hold_syncs(&self) {
        self.state.lock().held = true;
    }

    pub(super) fn waiting_syncs(&self) -> usize {
        self.state.lock().waiting
    }

    pub(super) fn release_syncs(&self) {
        self.state.lock().held = false;
        self.released.notify_all();
    }

    /// Whether these bytes are in a part of the journal that was synced.
    pub(super) fn is_stable(&self, bytes: &[u8]) -> bool {
        self.state.lock().stable.windows(bytes.len()).rev().any(|window| window == bytes)
    }

    fn judge(&self, call: &'static str, path: &str) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        let fits = |rule: &&mut Rule| rule.call == call && path.contains(rule.path) && rule.times > 0;
        let Some(rule) = state.rules.iter_mut().find(fits) else { return Ok(()) };
        if rule.after > 0 {
            rule.after -= 1;
            return Ok(());
        }
        rule.times -= 1;
        Err(DiskError { fault: rule.fault, call, path: path.into(), text: "on purpose".into() })
    }

    fn path_of(&self, file: Handle) -> String {
        self.state.lock().paths.get(&file).cloned().unwrap_or_default()
    }

    /// One step of a small generator, for the odds.
    fn unlucky(state: &mut State) -> bool {
        state.draws =
            state.draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state.draws >> 33) % 1000 < state.odds
    }
}

impl Files for Injecting {
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError> {
        if mode.creates() {
            self.judge("create", path)?;
        }
        let handle = self.files.open(path, mode)?;
        self.state.lock().paths.insert(handle, path.to_owned());
        Ok(handle)
    }

    fn close(&self, file: Handle) {
        self.state.lock().paths.remove(&file);
        self.files.close(file);
    }

    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.files.read_at(file, offset, into)
    }

    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let path = self.path_of(file);
        if let Err(error) = self.judge("write", &path) {
            // Half of it arrives.
            self.files.write_at(file, offset, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        // A new segment is filled with zeros.
        if path.starts_with(JOURNAL) && bytes.iter().any(|byte| *byte != 0) {
            self.state.lock().unsynced.entry(path).or_default().extend_from_slice(bytes);
        }
        self.files.write_at(file, offset, bytes)
    }

    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        self.files.len(file)
    }

    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.files.set_len(file, len)
    }

    fn allocate(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.judge("allocate", &self.path_of(file))?;
        self.files.allocate(file, len)
    }

    fn sync(&self, file: Handle) -> Result<(), DiskError> {
        let path = self.path_of(file);
        let mut state = self.state.lock();
        if state.held && path.starts_with(JOURNAL) {
            state.waiting += 1;
            while state.held {
                self.released.wait(&mut state);
            }
            state.waiting -= 1;
        }
        let journal = path.starts_with(JOURNAL);
        let unlucky = journal && Injecting::unlucky(&mut state);
        drop(state);
        let judged = self.judge("sync", &path);
        let mut state = self.state.lock();
        if unlucky || judged.is_err() {
            state.unsynced.remove(&path);
            state.failed_syncs += 1;
            let (fault, text) = (Fault::Device, "on purpose".into());
            return Err(judged.err().unwrap_or(DiskError { fault, call: "sync", path, text }));
        }
        if let Some(bytes) = state.unsynced.remove(&path) {
            state.stable.extend_from_slice(&bytes);
        }
        drop(state);
        self.files.sync(file)
    }

    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        self.files.sync_folder(path)
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, DiskError> {
        self.files.list(path)
    }

    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        self.files.create_folder(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.files.rename(from, to)
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.files.remove(path)
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        self.files.remove_folder(path)
    }

    fn free(&self) -> Result<u64, DiskError> {
        Ok(self.free.load(Ordering::SeqCst).min(self.files.free()?))
    }
}
