//! What a node implements to be seen.

use midge_stdx::clock::Now;

use crate::accountz::{Accountz, AccountzOptions};
use crate::connz::{Connz, ConnzOptions};
use crate::healthz::{Healthz, HealthzOptions};
use crate::jsz::{Jsz, JszOptions};
use crate::metrics::MetricsSnapshot;
use crate::subsz::{Subsz, SubszOptions};
use crate::varz::Varz;

/// A document of which others write parts. Whoever asked waits, but not for ever: it can be read at any time, and shows what has come so far.
pub trait Question<T>: Send {
    /// The document, as far as it has come.
    fn answer(self: Box<Self>, now: Now) -> T;
}

/// Called once when all parts of a document have come, on any thread, perhaps before the question is handed out; it must not wait.
pub type Wake = Box<dyn Fn() + Send + Sync>;

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

    /// Its accounts.
    fn accountz(&self, options: &AccountzOptions, now: Now) -> Result<Accountz, String>;

    /// Its streams and consumers.
    fn jsz(&self, options: &JszOptions, wake: Wake) -> Result<Box<dyn Question<Jsz>>, String>;

    /// Whether it can do its work.
    fn healthz(&self, options: &HealthzOptions, wake: Wake) -> Box<dyn Question<Healthz>>;

    /// Figures for Prometheus.
    fn metrics(&self, now: Now) -> MetricsSnapshot;
}
