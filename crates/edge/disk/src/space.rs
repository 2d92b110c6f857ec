//! Whether there is space, and who waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use midge_stdx::hash::Set;
use midge_store::port::{DiskError, Fault, Files, Lane};
use parking_lot::Mutex;

use crate::inbox::Request;
use crate::metrics::Metrics;

/// Space on the file system of a store directory.
pub(crate) struct Space {
    /// With so many bytes free, there is space again.
    back: u64,
    /// With fewer, while it is short, messages would take what was kept back for their removal.
    kept: u64,
    /// With fewer there is none, before anybody has failed: what makes room may not be what finds it out.
    none: u64,
    free: AtomicU64,
    short: AtomicBool,
    waiting: Mutex<Set<u32>>,
}

impl Space {
    /// Of a disk on which so many bytes are kept back.
    pub(crate) fn new(back: u64, reserve_len: u64) -> Space {
        let (free, waiting) = (AtomicU64::new(u64::MAX), Mutex::new(Set::default()));
        let (kept, none) = (2 * reserve_len, reserve_len / 4);
        Space { back, kept, none, free, short: AtomicBool::new(false), waiting }
    }

    /// An operation of this lane failed.
    pub(crate) fn failed(&self, lane: Lane, error: &DiskError) {
        if error.fault == Fault::Full {
            self.waiting.lock().insert(lane.0);
            self.free.store(0, SeqCst);
            self.short.store(true, SeqCst);
        }
    }

    /// Whether operations failed for the lack of space, and nobody has been told since that it is back.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(SeqCst)
    }

    /// Looks; answers what the owner of the journal has to do about it.
    pub(crate) fn probe(&self, files: &dyn Files, metrics: &Metrics) -> Option<Request> {
        match files.free() {
            Ok(free) => {
                self.free.store(free, SeqCst);
                metrics.free_bytes.set(free);
                if free < self.none && !self.short.swap(true, SeqCst) {
                    return Some(Request::NoSpace);
                }
                (free >= self.back && self.is_short()).then_some(Request::Space)
            }
            Err(error) => {
                tracing::warn!(blame = "disk", "{error}");
                None
            }
        }
    }

    /// Bytes that may still be written, at the last look; none while there is little more than what was kept back.
    pub(crate) fn free(&self) -> u64 {
        let free = self.free.load(SeqCst);
        if free < self.kept && self.short.load(SeqCst) { 0 } else { free }
    }

    /// The lanes that wait, in order; from here on they do not.
    pub(crate) fn take_waiting(&self) -> Vec<u32> {
        self.short.store(false, SeqCst);
        let mut waiting: Vec<u32> = std::mem::take(&mut *self.waiting.lock()).into_iter().collect();
        waiting.sort_unstable();
        waiting
    }
}
