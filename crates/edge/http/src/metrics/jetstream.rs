//! Figures of JetStream and of its disk.
//!
//! The number of series is bounded by the snapshot: so many accounts and streams one by one, and no consumers.

use std::fmt;

use midge_views::MetricsSnapshot;
use midge_views::metrics::{AssetFigures, DiskFigures, Durations, JetStreamFigures, StreamFigures};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::{Row, put};

/// Writes them, if JetStream runs.
pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, now: &MetricsSnapshot) -> Result<(), fmt::Error> {
    let Some(figures) = &now.jetstream else { return Ok(()) };
    for (name, help, value) in gauges(figures) {
        put(encoder, name, help, None, &ConstGauge::new(value))?;
    }
    for (name, help, value) in counters(figures) {
        put(encoder, name, help, None, &ConstCounter::new(value))?;
    }
    accounts(encoder, figures)?;
    streams(encoder, figures)?;
    exporter_names(encoder, now, figures)?;
    figures.disk.as_ref().map_or(Ok(()), |figures| disk(encoder, figures))
}

fn gauges(now: &JetStreamFigures) -> [Row<u64>; 14] {
    let shown = now.by_stream.len() as u64;
    [
        ("midge_jetstream_accounts", "Accounts with JetStream", now.accounts),
        ("midge_jetstream_streams", "Streams", now.total.streams),
        ("midge_jetstream_consumers", "Consumers", now.total.consumers),
        ("midge_jetstream_messages", "Messages of all streams", now.total.messages),
        ("midge_jetstream_memory_bytes", "Bytes of memory streams", now.total.memory),
        ("midge_jetstream_storage_bytes", "Bytes of file streams", now.total.storage),
        ("midge_jetstream_memory_limit_bytes", "Bytes that memory streams may use", now.max_memory),
        ("midge_jetstream_storage_limit_bytes", "Bytes that file streams may use", now.max_storage),
        (
            "midge_jetstream_memory_reserved_bytes",
            "Bytes that memory streams have reserved",
            now.reserved_memory,
        ),
        (
            "midge_jetstream_storage_reserved_bytes",
            "Bytes that file streams have reserved",
            now.reserved_storage,
        ),
        ("midge_jetstream_api_inflight", "Requests that are being served", now.inflight),
        ("midge_jetstream_streams_failed", "Streams whose store has failed", now.failed_streams),
        (
            "midge_jetstream_streams_not_listed",
            "Streams that are too many to be listed one by one",
            now.total.streams.saturating_sub(shown),
        ),
        (
            "midge_jetstream_accounts_not_listed",
            "Accounts that are too many to be listed one by one",
            now.accounts.saturating_sub(now.by_account.len() as u64),
        ),
    ]
}

fn counters(now: &JetStreamFigures) -> [Row<u64>; 2] {
    [
        ("midge_jetstream_api_requests", "Requests served", now.total.api_total),
        ("midge_jetstream_api_errors", "Requests refused", now.total.api_errors),
    ]
}

/// A figure of an account.
type OfAccount = fn(&AssetFigures) -> u64;

fn accounts(encoder: &mut DescriptorEncoder<'_>, now: &JetStreamFigures) -> Result<(), fmt::Error> {
    let gauges: [Row<OfAccount>; 5] = [
        ("midge_jetstream_account_streams", "Streams of an account", |of| of.streams),
        ("midge_jetstream_account_consumers", "Consumers of an account", |of| of.consumers),
        ("midge_jetstream_account_messages", "Messages of an account", |of| of.messages),
        ("midge_jetstream_account_memory_bytes", "Bytes of memory streams of an account", |of| of.memory),
        ("midge_jetstream_account_storage_bytes", "Bytes of file streams of an account", |of| of.storage),
    ];
    for (name, help, value) in gauges {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (account, figures) in &now.by_account {
            let labels = [("account", account.as_str())];
            ConstGauge::new(value(figures)).encode(metric.encode_family(&labels)?)?;
        }
    }
    let counters: [Row<OfAccount>; 2] = [
        ("midge_jetstream_account_api_requests", "Requests of an account served", |of| of.api_total),
        ("midge_jetstream_account_api_errors", "Requests of an account refused", |of| of.api_errors),
    ];
    for (name, help, value) in counters {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (account, figures) in &now.by_account {
            let labels = [("account", account.as_str())];
            ConstCounter::new(value(figures)).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// A figure of a stream.
type OfStream = fn(&StreamFigures) -> u64;

const STREAM_ROWS: [Row<OfStream>; 5] = [
    ("midge_jetstream_stream_messages", "Messages of a stream", |of| of.messages),
    ("midge_jetstream_stream_bytes", "Bytes of a stream", |of| of.bytes),
    ("midge_jetstream_stream_first_sequence", "The first live sequence of a stream", |of| of.first_seq),
    ("midge_jetstream_stream_last_sequence", "The last sequence of a stream", |of| of.last_seq),
    ("midge_jetstream_stream_consumers", "Consumers of a stream", |of| of.consumers),
];

fn streams(encoder: &mut DescriptorEncoder<'_>, now: &JetStreamFigures) -> Result<(), fmt::Error> {
    for (name, help, value) in STREAM_ROWS {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for figures in &now.by_stream {
            let labels = [("account", figures.account.as_str()), ("stream", figures.stream.as_str())];
            ConstGauge::new(value(figures)).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// The same under the names of the exporter, gauges all.
fn exporter_names(
    encoder: &mut DescriptorEncoder<'_>,
    now: &MetricsSnapshot,
    figures: &JetStreamFigures,
) -> Result<(), fmt::Error> {
    let server = [("server_id", now.server_id.as_str()), ("server_name", now.server_name.as_str())];
    let total = &figures.total;
    let of_server: [Row<u64>; 6] = [
        ("jetstream_server_max_memory", "JetStream Max Memory", figures.max_memory),
        ("jetstream_server_max_storage", "JetStream Max Storage", figures.max_storage),
        ("jetstream_server_total_streams", "Total number of streams in JetStream", total.streams),
        ("jetstream_server_total_consumers", "Total number of consumers in JetStream", total.consumers),
        ("jetstream_server_total_messages", "Total number of stored messages in JetStream", total.messages),
        (
            "jetstream_server_total_message_bytes",
            "Total number of bytes stored in JetStream",
            total.memory + total.storage,
        ),
    ];
    for (name, help, value) in of_server {
        super::labelled(encoder, name, help, &[(&server, value)])?;
    }
    let names = [
        "jetstream_stream_total_messages",
        "jetstream_stream_total_bytes",
        "jetstream_stream_first_seq",
        "jetstream_stream_last_seq",
        "jetstream_stream_consumer_count",
    ];
    for (name, (_, help, value)) in names.into_iter().zip(STREAM_ROWS) {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for stream in &figures.by_stream {
            let labels = [
                server[0],
                server[1],
                ("account", stream.account.as_str()),
                ("stream_name", stream.stream.as_str()),
            ];
            ConstGauge::new(value(stream)).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn disk(encoder: &mut DescriptorEncoder<'_>, now: &DiskFigures) -> Result<(), fmt::Error> {
    let counters: [Row<u64>; 7] = [
        ("midge_disk_written_bytes", "Bytes written to the store directory", now.written_bytes),
        ("midge_disk_batches", "Batches of operations", now.batches),
        ("midge_disk_operations", "Operations in batches", now.operations),
        ("midge_disk_asides", "Operations beside batches, such as reads", now.asides),
        ("midge_disk_failures", "Operations that failed", now.failures),
        ("midge_disk_refusals", "Batches refused because too much waited", now.refusals),
        ("midge_disk_foreign_changes", "Files that another program changed", now.foreign_changes),
    ];
    for (name, help, value) in counters {
        put(encoder, name, help, None, &ConstCounter::new(value))?;
    }
    let gauges: [Row<u64>; 3] = [
        ("midge_disk_queued_bytes", "Bytes that wait to be written", now.queued_bytes),
        ("midge_disk_queued_operations", "Operations that wait", now.queued_operations),
        ("midge_disk_free_bytes", "Bytes that may still be written", now.free_bytes),
    ];
    for (name, help, value) in gauges {
        put(encoder, name, help, None, &ConstGauge::new(value))?;
    }
    for (name, help, durations) in [
        ("midge_disk_commit_sync", "Syncs that acknowledgements wait for", &now.commit_syncs),
        ("midge_disk_other_sync", "Syncs of files that nothing waits for", &now.other_syncs),
        ("midge_disk_folder_sync", "Syncs of folders", &now.folder_syncs),
    ] {
        histogram(encoder, name, help, durations)?;
    }
    let sizes = &now.batch_sizes;
    let mut buckets: Vec<(f64, u64)> =
        sizes.buckets.iter().map(|(bound, count)| (*bound as f64, *count)).collect();
    buckets.push((f64::INFINITY, sizes.larger));
    let count = buckets.iter().map(|(_, batches)| batches).sum();
    encoder
        .encode_descriptor("midge_disk_batch_size", "Operations of a batch", None, MetricType::Histogram)?
        .encode_histogram::<NoLabelSet>(sizes.sum as f64, count, &buckets, None)
}

fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    durations: &Durations,
) -> Result<(), fmt::Error> {
    let mut buckets = durations.buckets.clone();
    buckets.push((f64::INFINITY, durations.longer));
    let count = buckets.iter().map(|(_, calls)| calls).sum();
    encoder
        .encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?
        .encode_histogram::<NoLabelSet>(durations.sum_s, count, &buckets, None)
}
