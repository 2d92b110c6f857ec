//! What stands in for what was left out.

use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig, PriorityPolicy};
use midge_jsapi::errors::{ApiError, PEDANTIC};

use super::CheckCx;

const SECOND_NS: i64 = 1_000_000_000;
/// How long an acknowledgement may take.
const ACK_WAIT_NS: i64 = 30 * SECOND_NS;
/// Waiting pull requests.
const MAX_WAITING: i64 = 512;
/// Unacknowledged messages.
const MAX_ACK_PENDING: i64 = 1000;
/// How long a consumer that nobody uses stays when it has no name of its own.
const INACTIVE_NS: i64 = 5 * SECOND_NS;
/// How long a client stays pinned.
const PIN_NS: i64 = 120 * SECOND_NS;

fn unless(pedantic: bool, text: &str) -> Result<(), ApiError> {
    if pedantic { Err(PEDANTIC.because(text)) } else { Ok(()) }
}

/// A limit that is not negative.
fn floor(value: &mut i64, pedantic: bool, name: &str) -> Result<(), ApiError> {
    if *value < 0 {
        unless(pedantic, &format!("{name} must not be negative"))?;
        *value = 0;
    }
    Ok(())
}

/// Fills in defaults, or refuses to where the request is pedantic.
pub(super) fn fill(config: &mut ConsumerConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let (pedantic, pull) = (cx.pedantic, config.deliver_subject.is_empty());
    if config.max_deliver < -1 {
        unless(pedantic, "max_deliver must be set to -1")?;
    }
    if config.max_deliver == 0 || config.max_deliver < -1 {
        config.max_deliver = -1;
    }
    floor(&mut config.max_waiting, pedantic, "max_waiting")?;
    if pull && config.max_waiting == 0 {
        config.max_waiting = MAX_WAITING;
    }
    floor(&mut config.max_batch, pedantic, "max_batch")?;
    floor(&mut config.max_expires_ns, pedantic, "max_expires")?;
    floor(&mut config.max_bytes, pedantic, "max_bytes")?;
    floor(&mut config.idle_heartbeat_ns, pedantic, "idle_heartbeat")?;
    floor(&mut config.inactive_threshold_ns, pedantic, "inactive_threshold")?;
    floor(&mut config.priority_timeout_ns, pedantic, "priority_timeout")?;
    if config.ack_policy == AckPolicy::FlowControl && !pedantic && !pull {
        config.flow_control = true;
        config.idle_heartbeat_ns = SECOND_NS;
    }
    fill_acks(config, cx)?;
    let limit = cx.stream.consumer_limits.inactive_threshold_ns;
    if config.inactive_threshold_ns == 0 && limit > 0 {
        unless(pedantic, "inactive_threshold must be set if it's configured in stream limits")?;
        config.inactive_threshold_ns = limit;
    }
    // Whether it lasts was settled when it was made.
    let lasts = !cx.existing.unwrap_or(config).durable_name.is_empty();
    if config.inactive_threshold_ns == 0 && !lasts {
        config.inactive_threshold_ns = INACTIVE_NS;
    }
    if pull && config.max_batch == 0 && cx.max_request_batch > 0 {
        unless(pedantic, "max_request_batch must be set if it's JetStream limits are set")?;
        config.max_batch = cx.max_request_batch;
    }
    if config.priority_policy == PriorityPolicy::PinnedClient && config.priority_timeout_ns == 0 {
        config.priority_timeout_ns = PIN_NS;
    }
    Ok(())
}

fn fill_acks(config: &mut ConsumerConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let waits = matches!(config.ack_policy, AckPolicy::All | AckPolicy::Explicit);
    if let Some(first) = config.backoff_ns.first().copied() {
        let counts = config.ack_policy != AckPolicy::FlowControl;
        if counts && cx.pedantic && config.ack_wait_ns != first {
            return Err(PEDANTIC.because("first backoff value has to equal batch AckWait"));
        }
        if config.ack_wait_ns >= 0 && first >= 0 && counts {
            config.ack_wait_ns = first;
        }
    } else if waits && config.ack_wait_ns == 0 {
        config.ack_wait_ns = ACK_WAIT_NS;
    }
    if config.max_ack_pending < -1 {
        unless(cx.pedantic, "max_ack_pending must be set to -1")?;
        config.max_ack_pending = -1;
    }
    let of_stream = cx.stream.consumer_limits.max_ack_pending;
    if config.max_ack_pending == 0 && (of_stream > 0 || config.ack_policy != AckPolicy::None) {
        if of_stream > 0 {
            unless(cx.pedantic, "max_ack_pending must be set if it's configured in stream limits")?;
        }
        let wanted = if of_stream > 0 { of_stream } else { MAX_ACK_PENDING };
        config.max_ack_pending = if cx.max_ack_pending > 0 { wanted.min(cx.max_ack_pending) } else { wanted };
    }
    Ok(())
}
