//! What a node implements to be seen.

use midge_stdx::clock::Now;

use crate::connz::{Connz, ConnzOptions};
use crate::healthz::{Healthz, HealthzOptions};
use crate::metrics::MetricsSnapshot;
use crate::subsz::{Subsz, SubszOptions};
use crate::varz::Varz;

/// A node as monitoring sees it. An error is the body of a 400 answer.
pub trait Observe: Send + Sync {
    /// Counts a request for the path (without the base path); `varz` shows the counts.
    fn count_request(&self, path: &str);

    /// The server as a whole.
    fn varz(&self, now: Now) -> Varz;

    /// Its connections.
    fn connz(&self, options: &ConnzOptions, now: Now) -> Result<Connz, String>;

    /// Its subscriptions.
    fn subsz(&self, options: &SubszOptions, now: Now) -> Result<Subsz, String>;

    /// Whether it can do its work.
    fn healthz(&self, options: &HealthzOptions, now: Now) -> Healthz;

    /// Figures for Prometheus.
    fn metrics(&self, now: Now) -> MetricsSnapshot;
}
