//! The workloads.

mod churn;
mod flow;
mod hold;
mod request;
mod secure;

use std::fmt;

pub(crate) use churn::{churn, churn_beside, random_subjects};
pub(crate) use flow::{Flow, Shape, bare, flow, latency};
pub(crate) use hold::{idle, start_up};
pub(crate) use request::{Requests, requests};
pub(crate) use secure::secure;

/// What a run measured. Figures that a row does not have stay zero.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Server CPU per message (or operation), nanoseconds.
    pub(crate) cpu_ns: f64,
    /// Messages (or operations) per second.
    pub(crate) rate: f64,
    /// Peak memory, kilobytes (or memory per connection, bytes).
    pub(crate) memory: f64,
    /// Delays, microseconds.
    pub(crate) p50_us: f64,
    /// Delays, microseconds.
    pub(crate) p99_us: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} ns {:.3} M/s {:.0} mem", self.cpu_ns, self.rate / 1e6, self.memory)?;
        if self.p50_us > 0.0 {
            write!(f, " p50 {:.1} p99 {:.1} us", self.p50_us, self.p99_us)?;
        }
        Ok(())
    }
}

/// Half and 99 of 100 of a list of delays in nanoseconds, as microseconds.
pub(crate) fn quantiles(mut delays: Vec<u64>) -> (f64, f64) {
    delays.sort_unstable();
    let at = |part: usize| delays.get(delays.len() * part / 100).copied().unwrap_or(0) as f64 / 1e3;
    (at(50), at(99))
}
