//! Configurations: which are permitted, and what is filled in.
//!
//! - [`create`] and [`update`]: all rules in their order, as the API applies them;
//! - [`check`]: the rules that both share;
//! - [`store_config`]: what a store is told.

mod fields;
mod sources;
mod store;
mod subjects;
#[cfg(test)]
mod tests;
mod update;

use std::sync::Arc;

use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::levels;
use midge_jsapi::stream_config::StreamConfig;

pub use fields::{DEFAULT_DUPLICATE_WINDOW_NS, is_name};
pub use store::{StoreCx, store_config};
pub use update::{check_consumers, update};

/// The other streams of the account.
pub trait Streams {
    /// The configuration of a stream.
    fn find(&self, name: &str) -> Option<Arc<StreamConfig>>;
    /// Whether a stream but the one of this name has a subject that overlaps.
    fn others_overlap(&self, name: &str, subject: &str) -> bool;
}

/// No other streams.
pub struct Alone;

impl Streams for Alone {
    fn find(&self, _: &str) -> Option<Arc<StreamConfig>> {
        None
    }

    fn others_overlap(&self, _: &str, _: &str) -> bool {
        false
    }
}

/// What a configuration is checked against.
pub struct CheckCx<'a> {
    /// What would be adjusted is refused instead.
    pub pedantic: bool,
    /// The longest duplicate window that the server permits, in nanoseconds; 0 for any.
    pub max_duplicate_window_ns: i64,
    /// Streams have to say how large they may grow.
    pub max_bytes_required: bool,
    /// Bytes of one stream of this storage at most; 0 and below for any.
    pub max_stream_bytes: i64,
    /// Several replicas are possible.
    pub clustered: bool,
    /// The other streams of the account, which may include this one.
    pub streams: &'a dyn Streams,
    /// What account and server have left for the stream.
    ///
    /// # Errors
    /// What the requester is told.
    pub room: &'a dyn Fn(&StreamConfig) -> Result<(), ApiError>,
}

/// What has to be done for a stream to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// Make it.
    New(Box<StreamConfig>),
    /// It is there, just so.
    Same,
}

/// Applies every rule for new streams, in the order in which the first that fails answers. `name` is the one in the subject of the request.
///
/// # Errors
/// What the requester is told.
pub fn create(config: StreamConfig, name: &str, cx: &CheckCx<'_>) -> Result<Created, ApiError> {
    if config.name != name {
        return Err(errors::STREAM_MISMATCH.into());
    }
    if config.name.contains(['/', '\\']) {
        return Err(errors::STREAM_NAME_CONTAINS_PATH_SEPARATORS.into());
    }
    if config.sealed {
        return Err(invalid("stream configuration for create can not be sealed"));
    }
    if config.mirror_direct && config.mirror.is_none() {
        return Err(invalid("stream has no mirror but does have mirror direct"));
    }
    let existing = cx.streams.find(name);
    if existing.is_none() {
        (cx.room)(&config)?;
    }
    let config = check(config, cx)?;
    if config.num_replicas > 1 && !cx.clustered {
        return Err(errors::STREAM_REPLICAS_NOT_SUPPORTED.into());
    }
    if let Some(existing) = existing {
        return if equal(&existing, &config) {
            Ok(Created::Same)
        } else {
            Err(errors::STREAM_NAME_EXIST.into())
        };
    }
    (cx.room)(&config)?;
    subjects::check_others(&config, cx)?;
    sources::check_filters(&config).map_err(|text| errors::STREAM_CREATE.because(text))?;
    Ok(Created::New(Box::new(config)))
}

/// Fills in what is left out and checks everything that a configuration says by itself, or about the streams that it names.
///
/// # Errors
/// The first rule that is broken.
pub fn check(mut config: StreamConfig, cx: &CheckCx<'_>) -> Result<StreamConfig, ApiError> {
    levels::forget_told(&mut config.metadata);
    fields::check_identity(&config)?;
    fields::settle_limits(&mut config, cx)?;
    fields::settle_window(&mut config, cx)?;
    fields::check_features(&mut config, cx)?;
    sources::check(&mut config, cx)?;
    subjects::check(&mut config, cx)?;
    let required = levels::required_of_stream(&config);
    levels::keep(&mut config.metadata, required);
    Ok(config)
}

/// Whether two configurations are the same, but for what servers write into the metadata.
pub fn equal(a: &StreamConfig, b: &StreamConfig) -> bool {
    let strip = |config: &StreamConfig| StreamConfig { metadata: Default::default(), ..config.clone() };
    levels::same_but_own(&a.metadata, &b.metadata) && strip(a) == strip(b)
}

fn invalid(text: impl std::fmt::Display) -> ApiError {
    errors::STREAM_INVALID_CONFIG.because(text)
}

fn pedantic(text: &str) -> ApiError {
    errors::PEDANTIC.because(text)
}
