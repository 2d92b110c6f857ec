//! What a disk knows of the owner of a lane.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use midge_store::port::{Completion, DiskError, Lane};

/// Where the completions of a lane go. Called on threads of the disk, which hold no lock meanwhile; to return quickly is a courtesy to all other lanes.
///
/// An implementation that panics is not called again, and its lane gets nothing any more; the disk goes on.
pub trait Completions: Send + Sync {
    /// Operations have ended, in the order of their submission, those excepted that have none. Takes them out; what it leaves is dropped.
    fn complete(&self, batch: &mut Vec<Completion>);

    /// All that ended together was handed to the owners: the time to wake whoever sleeps. One that owns many lanes and wakes in
    /// [`Completions::complete`] would be woken for the first of them.
    fn wake(&self) {}

    /// There is room again, after `submit` left operations untaken. May come once too often.
    fn room(&self) {}

    /// There is space again on the file system, after an operation failed for the lack of it. Comes again and again while operations fail in spite of it
    /// (a quota, say).
    fn space(&self) {}

    /// The lane has ended, after `unregister` or the end of the disk; nothing is called afterwards. After an error what was promised is still in the journal.
    fn released(&self, _result: Result<(), DiskError>) {}
}

/// A lane and its owner.
pub(crate) struct LaneOwner {
    pub(crate) lane: Lane,
    pub(crate) folder: Arc<str>,
    sink: Arc<dyn Completions>,
    fenced: AtomicBool,
}

impl LaneOwner {
    pub(crate) fn new(lane: Lane, folder: Arc<str>, sink: Arc<dyn Completions>) -> LaneOwner {
        LaneOwner { lane, folder, sink, fenced: AtomicBool::new(false) }
    }

    /// Whether both lanes have the same owner.
    pub(crate) fn shares_owner(&self, other: &LaneOwner) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.sink), Arc::as_ptr(&other.sink))
    }

    /// Calls the owner; one that panics is fenced.
    pub(crate) fn call(&self, what: impl FnOnce(&dyn Completions)) {
        if self.fenced.load(Relaxed) {
            return;
        }
        if catch_unwind(AssertUnwindSafe(|| what(&*self.sink))).is_err() {
            self.fenced.store(true, Relaxed);
            tracing::error!(
                blame = "us",
                folder = &*self.folder,
                "the owner of a store panicked and is not called again"
            );
        }
    }
}
