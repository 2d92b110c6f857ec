//! Space that is kept for the day on which there is none.
//!
//! What makes room has to be written itself: tombstones, indexes, states of consumers. So a file of a fixed length takes some space from the start. It goes when
//! somebody looks and finds the file system full, or with the first operation that does, and comes back when there is space again; meanwhile whoever looks at
//! [`StoreDisk::space`] finds none, and stores no messages.
//!
//! [`StoreDisk::space`]: crate::port::StoreDisk::space

use super::{Committer, HOME};
use crate::port::{Completion, DiskError, Fault, Files, Mode, Outcome};

const NAME: &str = "reserve";

fn path() -> String {
    format!("{HOME}/{NAME}")
}

fn take(files: &dyn Files, len: u64) -> Result<(), DiskError> {
    let file = files.open(&path(), Mode::Create)?;
    let taken = files.len(file).and_then(|now| if now < len { files.allocate(file, len) } else { Ok(()) });
    files.close(file);
    taken
}

/// Gives up what an earlier process kept, so that this one can begin.
pub(super) fn give_up(files: &dyn Files) -> bool {
    files.remove(&path()).is_ok()
}

impl Committer {
    /// Takes the reserve, if there is space for it: at the start, and when space has returned.
    pub fn take_reserve(&mut self) {
        if self.reserve_len == 0 || self.reserved {
            return;
        }
        self.reserved = take(&*self.files, self.reserve_len).is_ok();
        self.segments.sparing = !self.reserved;
        if !self.reserved {
            let _ = self.files.remove(&path());
        }
    }

    /// Gives the reserve up when one of these failed for the lack of space.
    pub(super) fn spend_reserve(&mut self, done: &[Completion]) {
        let full =
            |one: &Completion| matches!(&one.outcome, Outcome::Failed(error) if error.fault == Fault::Full);
        if self.reserved && done.iter().any(full) {
            self.drop_reserve();
        }
    }

    /// Gives the reserve up: there is so little space that what makes room would be refused.
    pub fn give_up_reserve(&mut self) {
        if self.reserved {
            self.drop_reserve();
        }
    }

    /// Whether the reserve is there.
    pub fn has_reserve(&self) -> bool {
        self.reserved
    }

    pub(super) fn drop_reserve(&mut self) {
        self.reserved = false;
        // A segment in advance would take what was given up for deletions.
        self.segments.sparing = self.reserve_len > 0;
        let _ = self.files.remove(&path());
    }
}
