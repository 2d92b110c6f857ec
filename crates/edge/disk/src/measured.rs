//! Files whose calls are counted.

use std::sync::Arc;
use std::time::Instant;

use midge_store::port::{DiskError, Entry, Files, Handle, Mode};

use crate::metrics::{Latency, Metrics};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Committer,
    Other,
}

/// The same files, with figures.
pub(crate) struct Measured {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) caller: Caller,
}

fn timed<T>(latency: &Latency, call: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = call();
    latency.record(start.elapsed());
    result
}

impl Files for Measured {
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError> {
        self.files.open(path, mode)
    }

    fn close(&self, file: Handle) {
        self.files.close(file);
    }

    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.files.read_at(file, offset, into)
    }

    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.metrics.written_bytes.add(bytes.len());
        self.files.write_at(file, offset, bytes)
    }

    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        self.files.len(file)
    }

    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.files.set_len(file, len)
    }

    fn allocate(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.files.allocate(file, len)
    }

    fn sync(&self, file: Handle) -> Result<(), DiskError> {
        let latency = match self.caller {
            Caller::Committer => &self.metrics.commit_syncs,
            Caller::Other => &self.metrics.other_syncs,
        };
        timed(latency, || self.files.sync(file))
    }

    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        timed(&self.metrics.folder_syncs, || self.files.sync_folder(path))
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
        self.files.free()
    }
}
