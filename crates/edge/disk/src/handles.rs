//! Open files by number.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use midge_store::port::{DiskError, Fault, Handle};
use parking_lot::RwLock;

use crate::watch::Expected;

/// An open file, with its path for error texts.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) fd: OwnedFd,
    pub(crate) path: Box<str>,
    /// What it has to look like, of a block file that is open for writing.
    pub(crate) expected: Option<Arc<Expected>>,
    /// Whether it was opened for whole sectors, and the system takes them past the page cache.
    pub(crate) direct: bool,
}

#[derive(Debug, Default)]
struct Slots {
    files: Vec<Option<Arc<OpenFile>>>,
    free: Vec<u32>,
}

/// The table. A call in progress keeps its file open, so that closing never races with it.
#[derive(Debug, Default)]
pub(crate) struct Handles(RwLock<Slots>);

impl Handles {
    pub(crate) fn insert(&self, file: OpenFile) -> Result<Handle, DiskError> {
        let mut slots = self.0.write();
        let number = match slots.free.pop() {
            Some(number) => number,
            None => {
                let number = u32::try_from(slots.files.len()).map_err(|_| DiskError {
                    fault: Fault::Busy,
                    call: "open",
                    path: file.path.to_string(),
                    text: "too many open files".to_owned(),
                })?;
                slots.files.push(None);
                number
            }
        };
        slots.files[number as usize] = Some(Arc::new(file));
        Ok(Handle(number))
    }

    /// A handle that is not open is a mistake of the caller, answered like a file that is gone.
    pub(crate) fn get(&self, call: &'static str, handle: Handle) -> Result<Arc<OpenFile>, DiskError> {
        let found = self.0.read().files.get(handle.0 as usize).cloned().flatten();
        found.ok_or_else(|| DiskError {
            fault: Fault::Absent,
            call,
            path: format!("handle {}", handle.0),
            text: "not open".to_owned(),
        })
    }

    pub(crate) fn remove(&self, handle: Handle) {
        let mut slots = self.0.write();
        let closed = slots.files.get_mut(handle.0 as usize).and_then(Option::take);
        if closed.is_some() {
            slots.free.push(handle.0);
        }
        drop(slots);
        // The file is closed here, outside of the lock.
        drop(closed);
    }
}
