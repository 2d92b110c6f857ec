//! What may change.

use midge_jsapi::consumer_config::ConsumerConfig;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::stream_config::{Discard, Retention, StreamConfig};

use super::{CheckCx, check, invalid, sources, subjects};

/// Applies every rule for a change, in the order in which the first that fails answers. What the new configuration leaves out has its default again.
///
/// # Errors
/// What the requester is told.
pub fn update(old: &StreamConfig, new: StreamConfig, cx: &CheckCx<'_>) -> Result<StreamConfig, ApiError> {
    let mut config = check(new, cx)?;
    if config.name != old.name {
        return Err(invalid("stream configuration name must match original"));
    }
    if config.num_replicas > 1 && !cx.clustered {
        return Err(errors::STREAM_REPLICAS_NOT_SUPPORTED.into());
    }
    let work = |config: &StreamConfig| config.retention == Retention::WorkQueue;
    let cannot = |what: &str| invalid(format!("stream configuration update can not {what}"));
    if config.storage != old.storage {
        return Err(cannot("change storage type"));
    }
    if work(&config) != work(old) {
        return Err(cannot("change retention policy to/from workqueue"));
    }
    if old.sealed && !config.sealed {
        return Err(cannot("unseal a sealed stream"));
    }
    if old.deny_delete && !config.deny_delete {
        return Err(cannot("cancel deny message deletes"));
    }
    if old.deny_purge && !config.deny_purge {
        return Err(cannot("cancel deny purge"));
    }
    if config.mirror.is_some() && config.mirror != old.mirror {
        return Err(errors::STREAM_MIRROR_NOT_UPDATABLE.into());
    }
    if old.allow_msg_ttl && !config.allow_msg_ttl {
        return Err(invalid("message TTL status can not be disabled"));
    }
    if config.allow_msg_counter != old.allow_msg_counter {
        return Err(cannot("change message counter setting"));
    }
    if old.allow_msg_schedules && !config.allow_msg_schedules {
        return Err(invalid("message schedules can not be disabled"));
    }
    if config.persist_mode != old.persist_mode {
        return Err(cannot("change persist mode"));
    }
    if config.sealed {
        (config.max_age_ns, config.discard) = (0, Discard::New);
        (config.deny_delete, config.deny_purge, config.allow_rollup_hdrs) = (true, true, false);
    }
    (cx.room)(&config)?;
    subjects::check_others(&config, cx)?;
    sources::check_filters(&config).map_err(|text| errors::STREAM_UPDATE.because(text))?;
    Ok(config)
}

/// Whether the consumers that a stream has keep to its bounds for consumers; `consumers` are their names and configurations, in order.
///
/// # Errors
/// 10069 with the names of those that do not.
pub fn check_consumers<'a>(
    config: &StreamConfig,
    consumers: impl Iterator<Item = (&'a str, &'a ConsumerConfig)>,
) -> Result<(), ApiError> {
    let bounds = &config.consumer_limits;
    let above = |value: i64, bound: i64| bound > 0 && value > bound;
    let violates = |consumer: &ConsumerConfig| {
        above(consumer.inactive_threshold_ns, bounds.inactive_threshold_ns)
            || above(consumer.max_ack_pending, bounds.max_ack_pending)
    };
    let names: Vec<&str> =
        consumers.filter(|(_, consumer)| violates(consumer)).map(|(name, _)| name).collect();
    if names.is_empty() {
        return Ok(());
    }
    let text = format!("change to limits violates consumers: {}", names.join(", "));
    Err(errors::STREAM_UPDATE.because(text))
}
