//! Single settings, and which go together.

use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::stream_config::{Discard, PersistMode, Placement, Retention, Storage, StreamConfig};
use midge_stdx::gotime;

use super::{CheckCx, invalid, pedantic};

/// Bytes of a name.
const MAX_NAME_LEN: usize = 255;
/// Bytes of a description.
const MAX_DESCRIPTION_LEN: usize = 4096;
/// Bytes of keys and values of metadata.
const MAX_METADATA_LEN: usize = 128 << 10;
/// Replicas.
const MAX_REPLICAS: i64 = 5;
/// The shortest age or window, in nanoseconds.
const MIN_TIME_NS: i64 = 100_000_000;
/// The shortest life of a marker, in nanoseconds.
const MIN_MARKER_TTL_NS: i64 = 1_000_000_000;
/// The duplicate window of a stream that does not say, in nanoseconds.
pub const DEFAULT_DUPLICATE_WINDOW_NS: i64 = 120_000_000_000;

/// Whether this may be the name of a stream or consumer.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains([' ', '\t', '\r', '\n', '\x0c', '.', '*', '>', '\\', '/'])
}

/// Name and texts.
pub(super) fn check_identity(config: &StreamConfig) -> Result<(), ApiError> {
    if !is_name(&config.name) {
        return Err(invalid(r"stream name is required and can not contain '.', '*', '>', '\', '/'"));
    }
    if config.name.len() > MAX_NAME_LEN {
        return Err(invalid(format!("stream name is too long, maximum allowed is {MAX_NAME_LEN}")));
    }
    if config.description.len() > MAX_DESCRIPTION_LEN {
        return Err(invalid(format!(
            "stream description is too long, maximum allowed is {MAX_DESCRIPTION_LEN}"
        )));
    }
    let metadata_len: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata_len > MAX_METADATA_LEN {
        return Err(invalid(format!("stream metadata exceeds maximum size of {MAX_METADATA_LEN} bytes")));
    }
    Ok(())
}

/// Numbers: 0 and what is below -1 become -1, but for ages.
pub(super) fn settle_limits(config: &mut StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    match config.num_replicas {
        0 => config.num_replicas = 1,
        1..=MAX_REPLICAS => {}
        ..=-1 => return Err(errors::REPLICAS_COUNT_CANNOT_BE_NEGATIVE.into()),
        _ => return Err(invalid(format!("maximum replicas is {MAX_REPLICAS}"))),
    }
    let mut max_msg_size = i64::from(config.max_msg_size);
    let limits = [
        (&mut config.max_msgs, "max_msgs"),
        (&mut config.max_msgs_per_subject, "max_msgs_per_subject"),
        (&mut config.max_bytes, "max_bytes"),
        (&mut max_msg_size, "max_msg_size"),
        (&mut config.max_consumers, "max_consumers"),
    ];
    for (limit, name) in limits {
        if *limit < -1 && cx.pedantic {
            return Err(pedantic(&format!("{name} must be set to -1")));
        }
        if *limit <= 0 {
            *limit = -1;
        }
    }
    config.max_msg_size = i32::try_from(max_msg_size).unwrap_or(-1);
    if config.max_age_ns < 0 {
        return Err(invalid("max age can not be negative"));
    }
    if (1..MIN_TIME_NS).contains(&config.max_age_ns) {
        return Err(invalid("max age needs to be >= 100ms"));
    }
    Ok(())
}

/// For how long ids are remembered.
pub(super) fn settle_window(config: &mut StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let server_ns = cx.max_duplicate_window_ns;
    if config.duplicate_window_ns == 0 && config.mirror.is_none() && config.sources.is_empty() {
        let mut window_ns = DEFAULT_DUPLICATE_WINDOW_NS;
        if config.max_age_ns > 0 && config.max_age_ns < window_ns {
            if cx.pedantic {
                return Err(pedantic("duplicate window cannot be bigger than max age"));
            }
            window_ns = config.max_age_ns;
        }
        if server_ns > 0 && window_ns > server_ns {
            if cx.pedantic {
                return Err(pedantic("duplicate window cannot be bigger than server duplicates"));
            }
            window_ns = server_ns;
        }
        config.duplicate_window_ns = window_ns;
    }
    match config.duplicate_window_ns {
        ..=-1 => Err(invalid("duplicates window can not be negative")),
        window_ns if config.max_age_ns > 0 && window_ns > config.max_age_ns => {
            Err(invalid("duplicates window can not be larger then max age"))
        }
        window_ns if server_ns > 0 && window_ns > server_ns => {
            let limit = gotime::duration_text(server_ns);
            Err(invalid(format!("duplicates window can not be larger then server limit of {limit}")))
        }
        1..MIN_TIME_NS => Err(invalid("duplicates window needs to be >= 100ms")),
        _ => Ok(()),
    }
}

/// Which features go together.
pub(super) fn check_features(config: &mut StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let new = config.discard == Discard::New;
    if config.deny_purge && config.allow_rollup_hdrs {
        return Err(invalid("roll-ups require the purge permission"));
    }
    if config.allow_msg_counter {
        if new {
            return Err(invalid("counter stream cannot use discard new"));
        }
        if config.allow_msg_ttl {
            return Err(invalid("counter stream cannot use message TTLs"));
        }
        if config.allow_msg_schedules {
            return Err(invalid("counter stream cannot use message schedules"));
        }
        if config.retention != Retention::Limits {
            return Err(invalid("counter stream can only use limits retention"));
        }
    }
    if config.discard_new_per_subject {
        if !new {
            return Err(invalid("discard new per subject requires discard new policy to be set"));
        }
        if config.max_msgs_per_subject <= 0 {
            return Err(invalid("discard new per subject requires max msgs per subject > 0"));
        }
    }
    check_markers(config, cx)?;
    if config.allow_msg_schedules && config.mirror.is_none() {
        if new {
            return Err(invalid("message scheduling cannot use discard new"));
        }
        if !config.allow_rollup_hdrs && cx.pedantic {
            return Err(invalid("message scheduling cannot be set if roll-ups are disabled"));
        }
        (config.allow_rollup_hdrs, config.deny_purge) = (true, false);
    }
    if config.persist_mode == PersistMode::Async {
        if config.storage != Storage::File {
            return Err(invalid("async persist mode is only supported on file storage"));
        }
        if config.num_replicas > 1 {
            return Err(invalid("async persist mode is not supported on replicated streams"));
        }
        if config.allow_atomic {
            return Err(invalid("async persist mode is not supported with atomic batch publish"));
        }
    }
    Ok(())
}

/// Markers need lifetimes, rollups and purges.
fn check_markers(config: &mut StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let ttl_ns = config.subject_delete_marker_ttl_ns;
    if ttl_ns < 0 {
        return Err(invalid("subject delete marker TTL must not be negative"));
    }
    if ttl_ns == 0 {
        return Ok(());
    }
    if config.mirror.is_some() {
        return Err(invalid("subject delete markers forbidden on mirrors"));
    }
    if ttl_ns < MIN_MARKER_TTL_NS {
        return Err(invalid("subject delete marker TTL must be at least 1 second"));
    }
    if cx.pedantic && !config.allow_msg_ttl {
        return Err(invalid("subject delete marker cannot be set if message TTLs are disabled"));
    }
    if cx.pedantic && !config.allow_rollup_hdrs {
        return Err(invalid("subject delete marker cannot be set if roll-ups are disabled"));
    }
    (config.allow_msg_ttl, config.allow_rollup_hdrs, config.deny_purge) = (true, true, false);
    // What markers turned on may not go with counters either.
    if config.allow_msg_counter {
        return Err(invalid("counter stream cannot use message TTLs"));
    }
    Ok(())
}

/// An empty placement is none; a preferred server is for step-downs.
pub(super) fn settle_placement(config: &mut StreamConfig) -> Result<(), ApiError> {
    if config.placement == Some(Placement::default()) {
        config.placement = None;
    }
    match &config.placement {
        Some(placement) if !placement.preferred.is_empty() => {
            Err(invalid("preferred server not permitted in placement"))
        }
        _ => Ok(()),
    }
}
