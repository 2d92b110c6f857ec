//! A disk in memory that forgets nothing and answers at once, for stores with files.

use std::collections::BTreeMap;

use midge_stdx::clock::Mono;
use midge_store::port::{
    Completion, DiskError, Entry, Fault, Files, Handle, Mode, Name, Op, Outcome, Submission,
};
use midge_store::stream::Store;

const FOLDER: &str = "S";

/// The files of one store.
#[derive(Clone, Default)]
pub struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    /// Blocks that were read.
    pub loads: usize,
}

fn absent(path: &str) -> DiskError {
    DiskError { fault: Fault::Absent, call: "open", path: path.into(), text: "no such file".into() }
}

impl Disk {
    /// Does what the store submitted, and tells it. Answers whether there was anything.
    pub fn pump(&mut self, store: &mut Store, now: Mono) -> bool {
        let mut batch = Vec::new();
        store.take_submissions(&mut batch);
        let any = !batch.is_empty();
        for Submission { lane, ticket, op } in batch {
            let outcome = self.apply(op);
            store.complete(Completion { lane, ticket, outcome }, now);
        }
        any
    }

    fn file(&mut self, name: &Name) -> &mut Vec<u8> {
        self.files.entry(format!("{FOLDER}/{name}")).or_default()
    }

    fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Write { block, offset, bytes, .. } => {
                let (file, at) = (self.file(&Name::Block(block)), offset as usize);
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            Op::Replace { files, .. } => {
                files.iter().for_each(|(name, bytes)| *self.file(name) = bytes.to_vec())
            }
            Op::Stage { file, bytes } => *self.file(&file) = bytes.to_vec(),
            Op::Adopt { staged, file } => {
                let content = std::mem::take(self.file(&staged));
                *self.file(&file) = content;
            }
            Op::SetLen { block, len } => self.file(&Name::Block(block)).resize(len as usize, 0),
            Op::Remove { files, .. } => {
                for name in files {
                    self.files.remove(&format!("{FOLDER}/{name}"));
                }
            }
            Op::Work(work) => {
                self.loads += 1;
                return Outcome::Worked(work.run(&*self, FOLDER));
            }
            Op::Delta { .. } | Op::Checkpoint | Op::Resume | Op::Delete => {}
        }
        Outcome::Done
    }

    fn at(&self, file: Handle) -> &[u8] {
        self.files.values().nth(file.0 as usize).map_or(&[], Vec::as_slice)
    }
}

impl Files for Disk {
    fn open(&self, path: &str, _: Mode) -> Result<Handle, DiskError> {
        let at = self.files.keys().position(|name| name == path).ok_or_else(|| absent(path))?;
        Ok(Handle(at as u32))
    }
    fn close(&self, _: Handle) {}
    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let rest = self.at(file).get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(into.len());
        into[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        Ok(self.at(file).len() as u64)
    }
    fn write_at(&self, _: Handle, _: u64, _: &[u8]) -> Result<(), DiskError> {
        Err(absent("write"))
    }
    fn set_len(&self, _: Handle, _: u64) -> Result<(), DiskError> {
        Err(absent("set_len"))
    }
    fn allocate(&self, _: Handle, _: u64) -> Result<(), DiskError> {
        Err(absent("allocate"))
    }
    fn sync(&self, _: Handle) -> Result<(), DiskError> {
        Ok(())
    }
    fn sync_folder(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }
    fn list(&self, path: &str) -> Result<Vec<Entry>, DiskError> {
        Err(absent(path))
    }
    fn create_folder(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }
    fn rename(&self, from: &str, _: &str) -> Result<(), DiskError> {
        Err(absent(from))
    }
    fn remove(&self, path: &str) -> Result<(), DiskError> {
        Err(absent(path))
    }
    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        Err(absent(path))
    }
    fn free(&self) -> Result<u64, DiskError> {
        Ok(u64::MAX)
    }
}
