//! Which configurations a consumer may have: defaults, checks in their order, what an update may change.

mod check;
mod defaults;
#[cfg(test)]
mod tests;
mod update;

use midge_jsapi::consumer_config::ConsumerConfig;
use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::entropy::Entropy;
use midge_stdx::hash::hash8;
use midge_store::stream::Filter;

pub use check::check;
pub(super) use check::is_group_name;
pub use update::{Change, update};

/// What a configuration is checked against.
#[derive(Clone, Copy, Debug)]
pub struct CheckCx<'a> {
    /// The stream.
    pub stream: &'a StreamConfig,
    /// The other consumers of the stream, by name, for rules of work queues and the number of them.
    pub others: &'a [(&'a str, &'a ConsumerConfig)],
    /// The name it has or will have.
    pub name: &'a str,
    /// What it is so far, where it exists: the number of consumers does not grow.
    pub existing: Option<&'a ConsumerConfig>,
    /// Defaults are not filled in where they would surprise.
    pub pedantic: bool,
    /// The server is part of a cluster, so that there may be several replicas.
    pub clustered: bool,
    /// The server's and account's limit of unacknowledged messages; 0 or less is none.
    pub max_ack_pending: i64,
    /// The server's limit of the batch of a pull request; 0 or less is none.
    pub max_request_batch: i64,
    /// The account's limit of consumers of a stream; 0 or less is none.
    pub max_consumers: i64,
    /// The server's limit of consumers where neither stream nor account sets one; 0 or less is none.
    pub default_max_consumers: i64,
}

/// What is delivered.
pub fn filter(config: &ConsumerConfig) -> Filter {
    if config.filter_subjects.is_empty() {
        Filter::one(config.filter_subject.as_bytes())
    } else {
        Filter::of(config.filter_subjects.iter().map(|subject| subject.as_bytes()))
    }
}

/// The filter subjects, however they were given; none when everything is delivered.
pub fn filters(config: &ConsumerConfig) -> &[String] {
    if config.filter_subjects.is_empty() && !config.filter_subject.is_empty() {
        std::slice::from_ref(&config.filter_subject)
    } else {
        &config.filter_subjects
    }
}

/// The share of acknowledgements that are measured, in percent: `30` or `30%`, nothing for none.
///
/// # Errors
/// It is no number, in the words of Go.
pub fn sample_percent(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_suffix('%').unwrap_or(text);
    match digits.parse::<i64>() {
        // A negative number parses, and the text of the error that there is not is what the Go server tells.
        Ok(percent) => u64::try_from(percent).map_err(|_| "<nil>".to_owned()),
        Err(error) => {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let range = matches!(error.kind(), NegOverflow | PosOverflow);
            let why = if range { "value out of range" } else { "invalid syntax" };
            Err(format!("strconv.Atoi: parsing {}: {why}", midge_stdx::goquote::quote(digits.as_bytes())))
        }
    }
}

/// A name for a consumer that was given none: eight characters.
pub fn random_name(entropy: &mut dyn Entropy) -> String {
    hash8(&super::pins::nuid(entropy)).iter().map(|&byte| char::from(byte)).collect()
}
