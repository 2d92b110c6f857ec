//! Figures of a disk, read at any time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets of [`Latency`], in microseconds; what is longer than the last is in one bucket more.
pub const BOUNDS_US: [u64; 16] = {
    let mut bounds = [32; 16];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
};

/// How long calls took, in buckets of doubling width.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// The figures of a [`Latency`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LatencyFigures {
    /// Calls by duration, see [`BOUNDS_US`]; each call is in one bucket.
    pub buckets: [u64; BOUNDS_US.len() + 1],
    /// All durations together.
    pub sum_ns: u64,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What it is now.
    pub fn figures(&self) -> LatencyFigures {
        let mut figures = LatencyFigures { sum_ns: self.sum_ns.load(Relaxed), ..LatencyFigures::default() };
        for (to, from) in figures.buckets.iter_mut().zip(&self.buckets) {
            *to = from.load(Relaxed);
        }
        figures
    }
}

impl LatencyFigures {
    /// How many calls.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Upper bounds of the buckets of [`Sizes`]; what is larger than the last is in one bucket more.
pub const SIZES: [u64; 14] = {
    let mut bounds = [1; 14];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
};

/// How large things were, in buckets of doubling width.
#[derive(Debug, Default)]
pub struct Sizes {
    buckets: [AtomicU64; SIZES.len() + 1],
}

impl Sizes {
    pub(crate) fn record(&self, size: usize) {
        let at = SIZES.iter().position(|bound| size as u64 <= *bound).unwrap_or(SIZES.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// How many there were in each bucket, see [`SIZES`].
    pub fn figures(&self) -> [u64; SIZES.len() + 1] {
        std::array::from_fn(|at| self.buckets.get(at).map_or(0, |bucket| bucket.load(Relaxed)))
    }
}

/// A number that others read.
#[derive(Debug, Default)]
pub struct Figure(AtomicU64);

impl Figure {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    pub(crate) fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The figures of one store directory. They only rise, where nothing else is said.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Syncs by the committer, which operations wait for.
    pub commit_syncs: Latency,
    /// Syncs at checkpoints and of staged files, which nothing waits for.
    pub other_syncs: Latency,
    /// Syncs of folders.
    pub folder_syncs: Latency,
    /// Bytes written, to journal and files.
    pub written_bytes: Figure,
    /// Batches of the committer.
    pub batches: Figure,
    /// Operations of each of them.
    pub batch_sizes: Sizes,
    /// Operations in them.
    pub operations: Figure,
    /// Operations that went to the workers.
    pub asides: Figure,
    /// Operations that failed.
    pub failures: Figure,
    /// Batches of which something was refused, because too much was queued.
    pub refusals: Figure,
    /// Files that somebody else changed while this disk had them.
    pub foreign: Figure,
    /// Bytes in the queue when it was last looked at. Rises and falls.
    pub queued_bytes: Figure,
    /// Operations in it. Rises and falls.
    pub queued_operations: Figure,
    /// Checkpoints and probes that are under way. Rises and falls.
    pub jobs: Figure,
    /// Bytes that may still be written, at the last probe. Rises and falls.
    pub free_bytes: Figure,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_is_in_its_bucket() {
        let sizes = Sizes::default();
        for size in [1, 2, 3, 4, 8192, 8193] {
            sizes.record(size);
        }
        let figures = sizes.figures();
        assert_eq!((&figures[..3], &figures[13..]), (&[1, 1, 2][..], &[1, 1][..]));
    }

    #[test]
    fn each_call_is_in_the_bucket_of_its_duration() {
        let latency = Latency::default();
        for us in [0, 32, 33, 64, 1 << 20, 1 << 21] {
            latency.record(Duration::from_micros(us));
        }
        let figures = latency.figures();
        assert_eq!(&figures.buckets[..3], [2, 2, 0]);
        assert_eq!(figures.buckets[15..], [1, 1]);
        assert_eq!(BOUNDS_US[15], 1 << 20);
        assert_eq!(figures.count(), 6);
        assert_eq!(figures.sum_ns, ((129 + (1 << 20) + (1 << 21)) * 1000));
    }
}
