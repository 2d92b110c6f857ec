//! Figures for Prometheus, in the OpenMetrics text format.
//!
//! Own names begin with `midge_`. Beside them stand the names under which the widely deployed exporter shows the same
//! values of `/varz` and `/connz`, so that dashboards made for it go on working.

mod jetstream;

use std::fmt;
use std::sync::Arc;

use midge_stdx::clock::Clock;
use midge_views::{MetricsSnapshot, Observe};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// The format's name for HTTP.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Asks a node for its figures at each scrape.
struct Node {
    observe: Arc<dyn Observe>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Node")
    }
}

/// A registry that shows a node.
pub(crate) fn registry(observe: Arc<dyn Observe>, clock: Arc<dyn Clock>) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Node { observe, clock }));
    registry
}

/// The text of a scrape.
pub(crate) fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to memory does not fail, and a value that cannot be encoded leaves the text as far as it came.
    let _ = prometheus_client::encoding::text::encode(&mut text, registry);
    text
}

/// Name, help, value.
type Row<T> = (&'static str, &'static str, T);

fn counters(now: &MetricsSnapshot) -> [Row<u64>; 9] {
    [
        ("midge_connections_accepted", "Connections accepted", now.total_connections),
        ("midge_messages_received", "Messages received from clients", now.in_msgs),
        ("midge_bytes_received", "Bytes of messages received from clients", now.in_bytes),
        ("midge_messages_sent", "Messages sent to clients", now.out_msgs),
        ("midge_bytes_sent", "Bytes of messages sent to clients", now.out_bytes),
        ("midge_slow_consumers", "Connections closed because they read too slowly", now.slow_consumers),
        ("midge_stale_connections", "Connections closed because they fell silent", now.stale_connections),
        ("midge_stalled_publishers", "Times that a publisher was held up", now.stalled_clients),
        ("midge_auth_failures", "Logins refused", now.auth_failures),
    ]
}

fn gauges(now: &MetricsSnapshot) -> [Row<u64>; 6] {
    [
        ("midge_connections", "Open connections", now.connections),
        ("midge_subscriptions", "Subscriptions", now.subscriptions),
        ("midge_accounts", "Accounts", now.accounts),
        ("midge_pending_bytes", "Bytes that wait to be sent to clients", now.pending_bytes),
        ("midge_memory_bytes", "Resident memory", now.memory),
        ("midge_open_files", "Open file descriptors", now.open_files),
    ]
}

/// Gauges all, as the exporter has them.
fn exporter_names(now: &MetricsSnapshot) -> [Row<u64>; 14] {
    [
        ("gnatsd_varz_connections", "connections", now.connections),
        ("gnatsd_varz_total_connections", "total_connections", now.total_connections),
        ("gnatsd_varz_subscriptions", "subscriptions", now.subscriptions),
        ("gnatsd_varz_in_msgs", "in_msgs", now.in_msgs),
        ("gnatsd_varz_in_bytes", "in_bytes", now.in_bytes),
        ("gnatsd_varz_out_msgs", "out_msgs", now.out_msgs),
        ("gnatsd_varz_out_bytes", "out_bytes", now.out_bytes),
        ("gnatsd_varz_slow_consumers", "slow_consumers", now.slow_consumers),
        ("gnatsd_varz_stale_connections", "stale_connections", now.stale_connections),
        ("gnatsd_varz_stalled_clients", "stalled_clients", now.stalled_clients),
        ("gnatsd_varz_mem", "mem", now.memory),
        ("gnatsd_connz_num_connections", "num_connections", now.connections),
        ("gnatsd_connz_total", "total", now.connections),
        ("gnatsd_connz_pending_bytes", "pending_bytes", now.pending_bytes),
    ]
}

impl Collector for Node {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = self.observe.metrics(self.clock.now());
        let build = [
            ("version", now.midge_version.as_str()),
            ("server_id", now.server_id.as_str()),
            ("server_name", now.server_name.as_str()),
        ];
        labelled(&mut encoder, "midge_build", "What runs here", &[(&build, 1)])?;
        let uptime = ConstGauge::new(now.uptime.as_secs_f64());
        put(&mut encoder, "midge_uptime", "Time since the start", Some(&Unit::Seconds), &uptime)?;
        let cpu = ConstCounter::new(now.cpu_seconds);
        put(&mut encoder, "midge_cpu", "CPU time of all threads", Some(&Unit::Seconds), &cpu)?;
        for (name, help, value) in counters(&now) {
            put(&mut encoder, name, help, None, &ConstCounter::new(value))?;
        }
        for (name, help, value) in gauges(&now) {
            put(&mut encoder, name, help, None, &ConstGauge::new(value))?;
        }
        closed(&mut encoder, &now)?;
        jetstream::encode(&mut encoder, &now)?;
        let server = [("server_id", now.server_id.as_str())];
        for (name, help, value) in exporter_names(&now) {
            labelled(&mut encoder, name, help, &[(&server, value)])?;
        }
        Ok(())
    }
}

fn put<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &M,
) -> Result<(), fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
}

/// Gauges of one name, told apart by labels.
fn labelled(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: &[(&[(&str, &str)], u64)],
) -> Result<(), fmt::Error> {
    let kind = ConstGauge::new(0_u64).metric_type();
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        ConstGauge::new(*value).encode(metric.encode_family(labels)?)?;
    }
    Ok(())
}

fn closed(encoder: &mut DescriptorEncoder<'_>, now: &MetricsSnapshot) -> Result<(), fmt::Error> {
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut metric =
        encoder.encode_descriptor("midge_connections_closed", "Connections closed, by reason", None, kind)?;
    for (reason, count) in &now.closed {
        let labels = [("reason", reason.as_str())];
        ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
