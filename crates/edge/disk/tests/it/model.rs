//! What may be found of a lane whose process was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use midge_store::journal::Report;
use midge_store::port::{Name, Op};

use crate::script::{CONSUMER, Script};

/// The files of a lane after some of its operations.
#[derive(Clone, Default, PartialEq, Eq)]
struct State {
    files: BTreeMap<String, Arc<Vec<u8>>>,
    /// Deltas that were submitted.
    deltas: u64,
    /// How many of them were before the store was deleted.
    before: u64,
}

impl State {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { block, offset, bytes, .. } => {
                let file = Arc::make_mut(self.files.entry(Name::Block(*block).to_string()).or_default());
                let start = usize::try_from(*offset).expect("small");
                file.resize(file.len().max(start + bytes.len()), 0);
                file[start..start + bytes.len()].copy_from_slice(bytes);
            }
            Op::Replace { files, .. } => {
                files.iter().for_each(|(name, bytes)| self.put(&name.to_string(), bytes));
            }
            Op::Remove { files, .. } => {
                files.iter().for_each(|name| drop(self.files.remove(&name.to_string())));
            }
            Op::Stage { file, bytes } => self.put(&file.to_string(), bytes),
            Op::Adopt { staged, file } => {
                let content = self.files.remove(&staged.to_string()).expect("it was staged");
                self.files.insert(file.to_string(), content);
            }
            Op::SetLen { block, len } => {
                let file = Arc::make_mut(self.files.entry(Name::Block(*block).to_string()).or_default());
                file.resize(usize::try_from(*len).expect("small"), 0);
            }
            Op::Delta { .. } => self.deltas += 1,
            Op::Delete => (self.files, self.before) = (BTreeMap::new(), self.deltas),
            Op::Checkpoint | Op::Resume | Op::Work(_) => {}
        }
    }

    fn put(&mut self, name: &str, bytes: &Bytes) {
        self.files.insert(name.to_owned(), Arc::new(bytes.to_vec()));
    }
}

/// The states that a lane may be in: after what ended, and after each operation that was on its way.
pub(crate) struct Lane {
    folder: String,
    states: Vec<State>,
    /// A deletion may have happened.
    deleted: bool,
    /// The last operations, for whoever has to find out.
    last: Vec<String>,
}

fn read(folder: &Path, below: &str, into: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.map(|entry| entry.expect("an entry")) {
        let name = format!("{below}{}", entry.file_name().to_str().expect("a name"));
        if entry.file_type().expect("a type").is_dir() {
            read(&entry.path(), &format!("{name}/"), into);
        } else {
            into.insert(name, std::fs::read(entry.path()).expect("a file"));
        }
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.split(' ').next()?.parse().ok()
}

impl Lane {
    /// Of the first `sent` operations, `ended` have ended.
    pub(crate) fn new(seed: u64, lane: u64, ended: u64, sent: u64) -> Lane {
        let mut script = Script::new(seed, lane);
        let mut states = vec![State::default()];
        let mut deleted = false;
        let mut last = vec![format!("lane {lane}: {ended} of {sent} have ended")];
        for count in 1..=sent {
            let op = script.next();
            if count + 60 > ended {
                last.push(format!("{count}: {op:?}"));
            }
            let mut state = states.last().cloned().unwrap_or_default();
            state.apply(&op);
            if count <= ended {
                states.clear();
            } else {
                deleted |= matches!(op, Op::Delete);
            }
            states.push(state);
        }
        Lane { folder: format!("G/streams/S{lane}"), states, deleted, last }
    }

    /// What was done last.
    pub(crate) fn history(&self) -> String {
        self.last.join("\n")
    }

    /// Compares with what is there; says what is wrong.
    pub(crate) fn judge(&self, directory: &Path, report: Option<&Report>) -> Result<(), String> {
        let mut found = BTreeMap::new();
        read(&directory.join(&self.folder), "", &mut found);
        let known: BTreeSet<&String> = self.states.iter().flat_map(|state| state.files.keys()).collect();
        for (name, bytes) in &found {
            if !known.contains(name) {
                return Err(format!("{}/{name} ({} bytes) is nobody's", self.folder, bytes.len()));
            }
        }
        for name in known {
            let found = found.get(name);
            let fine = if name.ends_with(".blk") || name.ends_with(".tmp") {
                self.block(name, found)
            } else {
                self.whole(name, found)
            };
            fine.map_err(|why| format!("{}/{name}: {why}", self.folder))?;
        }
        let version = |name: &str| found.get(name).and_then(|bytes| number(bytes));
        if version("meta.inf") != version("meta.sum") && !self.deleted {
            return Err(format!("{}: half of the metadata was replaced", self.folder));
        }
        report.map_or(Ok(()), |report| self.deltas(version("obs/C/o.dat"), report))
    }

    /// A file that is replaced: one of its versions.
    fn whole(&self, name: &str, found: Option<&Vec<u8>>) -> Result<(), String> {
        if self.states.iter().any(|state| state.files.get(name).map(|file| &**file) == found) {
            return Ok(());
        }
        let versions: Vec<Option<u64>> =
            self.states.iter().map(|state| state.files.get(name).and_then(|file| number(file))).collect();
        let found = found.map(|bytes| (bytes.len(), number(bytes)));
        Err(format!("{found:?} (bytes, version) is none of the versions {versions:?}"))
    }

    /// A file that is written: every byte is one that stood there in one of the states.
    fn block(&self, name: &str, found: Option<&Vec<u8>>) -> Result<(), String> {
        let states: Vec<Option<&Arc<Vec<u8>>>> =
            self.states.iter().map(|state| state.files.get(name)).collect();
        let Some(found) = found else {
            return if states.contains(&None) { Ok(()) } else { Err("is gone".into()) };
        };
        let lens = || states.iter().map(|state| state.map_or(0, |file| file.len()));
        let (least, most) = (lens().min().unwrap_or(0), lens().max().unwrap_or(0));
        if found.len() < least || found.len() > most {
            return Err(format!("has {} bytes, and may have {least} to {most}", found.len()));
        }
        for (at, byte) in found.iter().enumerate() {
            if !states.iter().flatten().any(|file| file.get(at) == Some(byte)) {
                return Err(format!("byte {at} was never {byte}"));
            }
        }
        Ok(())
    }

    /// `o.dat`, or nothing after a deletion, and what was recovered beside it are all deltas up to one that was submitted, and not less than those that
    /// ended.
    fn deltas(&self, state: Option<u64>, report: &Report) -> Result<(), String> {
        let mine = report.deltas.iter().find(|d| *d.folder == *self.folder && *d.consumer == *CONSUMER);
        let changes: Vec<u64> = mine
            .into_iter()
            .flat_map(|deltas| deltas.changes.iter().filter_map(|(_, bytes)| number(bytes)))
            .collect();
        let why = format!("{}: o.dat has {state:?} deltas, and beside it are {changes:?}", self.folder);
        if !changes.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            return Err(format!("{why}: not in order"));
        }
        let fits = |now: &State| {
            let base = state.unwrap_or(now.before);
            let reached = changes.last().copied().unwrap_or(base);
            reached == now.deltas && changes.first().is_none_or(|first| *first == base + 1)
        };
        if self.states.iter().any(fits) {
            return Ok(());
        }
        let wanted: Vec<(u64, u64)> = self.states.iter().map(|state| (state.before, state.deltas)).collect();
        Err(format!("{why}: (deleted, submitted) was {wanted:?}"))
    }
}
