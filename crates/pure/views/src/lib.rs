//! Monitoring documents as pure functions.
//!
//! ```text
//!  query string ──▶ query ──▶ ConnzOptions … ──┐
//!                                              ▼
//!  a node's figures (ConnInfo, …) ──▶ connz, jsz, healthz, … ──▶ json: text as Go indents it
//! ```
//!
//! Each endpoint has its parameters with the error texts of a bad request, its document with the fields in their
//! order, and the function that filters, sorts and pages. What a node must be able to say about itself is the trait
//! [`Observe`]; whoever serves documents knows a node only through it.
//!
//! Not here: HTTP, the counting of requests, and how figures are collected.
#![forbid(unsafe_code)]

pub mod accountz;
pub mod connz;
pub mod healthz;
pub mod json;
pub mod jsz;
pub mod limits;
pub mod metrics;
pub mod observe;
pub mod query;
pub mod subsz;
pub mod told;
pub mod uptime;
pub mod varz;
mod varz_parts;

pub use accountz::{Accountz, AccountzOptions};
pub use connz::{ConnInfo, Connz, ConnzOptions};
pub use healthz::{Healthz, HealthzOptions};
pub use jsz::{Jsz, JszOptions};
pub use metrics::MetricsSnapshot;
pub use observe::{Observe, Question, Wake};
pub use query::Query;
pub use subsz::{SubDetail, Subsz, SubszOptions};
pub use told::Told;
pub use uptime::uptime_text;
pub use varz::Varz;
