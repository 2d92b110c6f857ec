//! The figures of the store directory, as metrics show them.

use std::time::Duration;

use midge_disk::metrics::{BOUNDS_US, Latency, Metrics, SIZES};
use midge_views::metrics::{DiskFigures, Durations, Sizes};

/// The figures at this moment.
pub(crate) fn read(metrics: &Metrics) -> DiskFigures {
    DiskFigures {
        commit_syncs: durations(&metrics.commit_syncs),
        other_syncs: durations(&metrics.other_syncs),
        folder_syncs: durations(&metrics.folder_syncs),
        written_bytes: metrics.written_bytes.get(),
        batches: metrics.batches.get(),
        operations: metrics.operations.get(),
        batch_sizes: batch_sizes(metrics),
        asides: metrics.asides.get(),
        failures: metrics.failures.get(),
        refusals: metrics.refusals.get(),
        foreign_changes: metrics.foreign.get(),
        queued_bytes: metrics.queued_bytes.get(),
        queued_operations: metrics.queued_operations.get(),
        free_bytes: metrics.free_bytes.get(),
    }
}

fn batch_sizes(metrics: &Metrics) -> Sizes {
    let figures = metrics.batch_sizes.figures();
    Sizes {
        buckets: SIZES.into_iter().zip(figures).collect(),
        larger: figures.last().copied().unwrap_or(0),
        sum: metrics.operations.get(),
    }
}

fn durations(latency: &Latency) -> Durations {
    let figures = latency.figures();
    let bounds = BOUNDS_US.iter().map(|us| Duration::from_micros(*us).as_secs_f64());
    Durations {
        buckets: bounds.zip(figures.buckets).collect(),
        longer: figures.buckets.last().copied().unwrap_or(0),
        sum_s: Duration::from_nanos(figures.sum_ns).as_secs_f64(),
    }
}
