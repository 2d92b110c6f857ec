//! The checks, in the order in which the Go server makes them, since the first refusal is the one that is told.

use midge_index::overlap::Overlaps;
use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy};
use midge_jsapi::errors::{self, ApiError, Code};
use midge_jsapi::stream_config::Retention;
use midge_subject::{name, wildcard};

use super::{CheckCx, defaults, filters, sample_percent};

const SECOND_NS: i64 = 1_000_000_000;
/// The shortest interval of heartbeats.
const MIN_HEARTBEAT_NS: i64 = 100_000_000;
/// The shortest limit of a pull request's wait.
const MIN_EXPIRES_NS: i64 = 1_000_000;
const MAX_DESCRIPTION_LEN: usize = 4096;
const MAX_NAME_LEN: usize = 255;
const MAX_METADATA_LEN: usize = 128 << 10;

fn refuse_if(refused: bool, code: Code) -> Result<(), ApiError> {
    if refused { Err(code.into()) } else { Ok(()) }
}

/// A configuration with its defaults filled in, if it may be.
///
/// # Errors
/// The first rule that it breaks, with the Go server's number and text.
pub fn check(mut config: ConsumerConfig, cx: &CheckCx<'_>) -> Result<ConsumerConfig, ApiError> {
    refuse_if(config.num_replicas > 1 && !cx.clustered, errors::STREAM_REPLICAS_NOT_SUPPORTED)?;
    let parts_paths = |name: &str| name.contains(['/', '\\']);
    refuse_if(
        parts_paths(&config.name) || parts_paths(&config.durable_name),
        errors::CONSUMER_NAME_CONTAINS_PATH_SEPARATORS,
    )?;
    if config.durable_name.len() > MAX_NAME_LEN {
        let max = MAX_NAME_LEN.to_string();
        return Err(errors::CONSUMER_NAME_TOO_LONG.with(&[("{max}", &max)]));
    }
    defaults::fill(&mut config, cx)?;
    check_names(&config, cx)?;
    check_waits(&config)?;
    if config.ack_policy == AckPolicy::FlowControl {
        check_flow_acks(&config)?;
    }
    let backoff = config.backoff_ns.len() as i64;
    refuse_if(
        config.max_deliver != -1 && backoff > config.max_deliver,
        errors::CONSUMER_MAX_DELIVER_BACKOFF,
    )?;
    if config.description.len() > MAX_DESCRIPTION_LEN {
        let max = MAX_DESCRIPTION_LEN.to_string();
        return Err(errors::CONSUMER_DESCRIPTION_TOO_LONG.with(&[("{max}", &max)]));
    }
    if config.deliver_subject.is_empty() {
        check_pull(&config, cx)?
    } else {
        check_push(&config, cx)?
    }
    check_limits(&config, cx)?;
    check_filters(&config)?;
    check_start(&config)?;
    sample_percent(&config.sample_freq).map_err(|error| errors::CONSUMER_INVALID_SAMPLING.because(error))?;
    refuse_if(
        config.flow_control && config.idle_heartbeat_ns == 0,
        errors::CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS,
    )?;
    let (name, durable) = (&config.name, &config.durable_name);
    refuse_if(
        !name.is_empty() && !durable.is_empty() && name != durable,
        errors::CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH,
    )?;
    let metadata: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata > MAX_METADATA_LEN {
        return Err(errors::CONSUMER_METADATA_LENGTH.with(&[("{limit}", "128KB")]));
    }
    check_priorities(&config)?;
    if cx.stream.retention == Retention::WorkQueue {
        check_work_queue(&config, cx)?;
    }
    check_number(&config, cx)?;
    Ok(config)
}

fn check_names(config: &ConsumerConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let is_bad = |name: &str| name.contains(|c: char| ".*>".contains(c) || c.is_ascii_whitespace());
    let bad = |what: &str| {
        let text = format!("consumer {what} can not contain '.', '*', '>', '\\', '/'");
        Err(errors::STREAM_INVALID_CONFIG.because(text))
    };
    if is_bad(&config.durable_name) {
        return bad("durable name");
    }
    if is_bad(&config.name) {
        return bad("name");
    }
    refuse_if(config.num_replicas < 0, errors::REPLICAS_COUNT_CANNOT_BE_NEGATIVE)?;
    let of_stream = cx.stream.num_replicas;
    refuse_if(config.num_replicas > of_stream.max(1), errors::CONSUMER_REPLICAS_EXCEEDS_STREAM)?;
    refuse_if(
        cx.stream.retention != Retention::Limits
            && config.num_replicas != 0
            && config.num_replicas != of_stream,
        errors::CONSUMER_REPLICAS_SHOULD_MATCH_STREAM,
    )
}

fn check_waits(config: &ConsumerConfig) -> Result<(), ApiError> {
    refuse_if(config.ack_wait_ns < 0, errors::CONSUMER_ACK_WAIT_NEGATIVE)?;
    refuse_if(config.backoff_ns.iter().any(|wait| *wait < 0), errors::CONSUMER_BACK_OFF_NEGATIVE)
}

fn check_flow_acks(config: &ConsumerConfig) -> Result<(), ApiError> {
    refuse_if(config.deliver_subject.is_empty(), errors::CONSUMER_ACK_FLOW_CONTROL_REQUIRES_PUSH)?;
    refuse_if(!config.flow_control, errors::CONSUMER_ACK_FLOW_CONTROL_REQUIRES_FLOW_CONTROL)?;
    if config.idle_heartbeat_ns != SECOND_NS {
        let text = "flow control ack policy heartbeat needs to be 1s";
        return Err(errors::STREAM_INVALID_CONFIG.because(text));
    }
    refuse_if(config.max_ack_pending <= 0, errors::CONSUMER_ACK_FLOW_CONTROL_REQUIRES_MAX_ACK_PENDING)?;
    refuse_if(
        config.ack_wait_ns != 0 || !config.backoff_ns.is_empty(),
        errors::CONSUMER_ACK_FLOW_CONTROL_REQUIRES_NO_ACK_WAIT,
    )?;
    refuse_if(config.max_deliver > 0, errors::CONSUMER_ACK_FLOW_CONTROL_REQUIRES_NO_MAX_DELIVER)
}

fn check_push(config: &ConsumerConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let to = config.deliver_subject.as_bytes();
    refuse_if(wildcard::has_wildcard(to), errors::CONSUMER_DELIVER_TO_WILDCARDS)?;
    refuse_if(!name::is_valid_subject(to), errors::CONSUMER_INVALID_DELIVER_SUBJECT)?;
    let cycle = cx.stream.subjects.iter().any(|subject| wildcard::matches(to, subject.as_bytes()));
    refuse_if(cycle, errors::CONSUMER_DELIVER_CYCLE)?;
    refuse_if(config.max_waiting != 0, errors::CONSUMER_PUSH_MAX_WAITING)?;
    refuse_if(
        config.max_ack_pending > 0 && config.ack_policy == AckPolicy::None,
        errors::CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED,
    )?;
    let heartbeat = config.idle_heartbeat_ns;
    refuse_if(heartbeat > 0 && heartbeat < MIN_HEARTBEAT_NS, errors::CONSUMER_SMALL_HEARTBEAT)
}

fn check_pull(config: &ConsumerConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    refuse_if(
        config.ack_policy == AckPolicy::None && cx.stream.retention == Retention::WorkQueue,
        errors::CONSUMER_PULL_REQUIRES_ACK,
    )?;
    refuse_if(config.rate_limit_bps > 0, errors::CONSUMER_PULL_WITH_RATE_LIMIT)?;
    refuse_if(config.idle_heartbeat_ns > 0, errors::CONSUMER_HEARTBEAT_REQUIRES_PUSH)?;
    refuse_if(config.flow_control, errors::CONSUMER_FLOW_CONTROL_REQUIRES_PUSH)?;
    let expires = config.max_expires_ns;
    refuse_if(expires != 0 && expires < MIN_EXPIRES_NS, errors::CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL)?;
    if cx.max_request_batch > 0 && config.max_batch > cx.max_request_batch {
        let limit = cx.max_request_batch.to_string();
        return Err(errors::CONSUMER_MAX_REQUEST_BATCH_EXCEEDED.with(&[("{limit}", &limit)]));
    }
    Ok(())
}

fn check_limits(config: &ConsumerConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let limits = &cx.stream.consumer_limits;
    for limit in [cx.max_ack_pending, limits.max_ack_pending] {
        if limit > 0 && config.max_ack_pending > limit {
            let limit = limit.to_string();
            return Err(errors::CONSUMER_MAX_PENDING_ACK_EXCESS.with(&[("{limit}", &limit)]));
        }
    }
    let longest = limits.inactive_threshold_ns;
    if longest > 0 && config.inactive_threshold_ns > longest {
        let limit = midge_stdx::gotime::duration_text(longest);
        return Err(errors::CONSUMER_INACTIVE_THRESHOLD_EXCESS.with(&[("{limit}", &limit)]));
    }
    if config.direct {
        refuse_if(config.deliver_subject.is_empty(), errors::CONSUMER_DIRECT_REQUIRES_PUSH)?;
        refuse_if(!config.durable_name.is_empty(), errors::CONSUMER_DIRECT_REQUIRES_EPHEMERAL)?;
    }
    Ok(())
}

fn check_filters(config: &ConsumerConfig) -> Result<(), ApiError> {
    refuse_if(
        !config.filter_subject.is_empty() && !config.filter_subjects.is_empty(),
        errors::CONSUMER_DUPLICATE_FILTER_SUBJECTS,
    )?;
    let subjects = filters(config);
    // There may be very many of them.
    let mut index = Overlaps::new();
    for (at, subject) in subjects.iter().enumerate() {
        if name::is_valid_subject(subject.as_bytes()) {
            index.insert(subject.as_bytes(), at);
        }
    }
    for (at, subject) in subjects.iter().enumerate() {
        refuse_if(subject.is_empty(), errors::CONSUMER_EMPTY_FILTER)?;
        if !name::is_valid_subject(subject.as_bytes()) {
            return Err(errors::STREAM_INVALID_CONFIG.because("invalid subject"));
        }
        let among = index.covered(subject.as_bytes(), |other| *other != at);
        refuse_if(among, errors::CONSUMER_OVERLAPPING_SUBJECT_FILTERS)?;
    }
    Ok(())
}

fn check_start(config: &ConsumerConfig) -> Result<(), ApiError> {
    let (seq, time) = (config.opt_start_seq > 0, config.opt_start_time.is_some());
    let refuse = |policy: &str, what: &str| {
        let text = format!("consumer delivery policy is deliver {policy}, but optional {what}");
        Err(errors::CONSUMER_INVALID_POLICY.because(text))
    };
    let policy = match config.deliver_policy {
        DeliverPolicy::All => "all",
        DeliverPolicy::Last => "last",
        DeliverPolicy::New => "new",
        DeliverPolicy::LastPerSubject => "last per subject",
        DeliverPolicy::ByStartSequence if !seq => {
            return refuse("by start sequence", "start sequence is not set");
        }
        DeliverPolicy::ByStartSequence if time => {
            return refuse("by start sequence", "start time is also set");
        }
        DeliverPolicy::ByStartTime if !time => return refuse("by start time", "start time is not set"),
        DeliverPolicy::ByStartTime if seq => {
            return refuse("by start time", "start start sequence is also set");
        }
        DeliverPolicy::ByStartSequence | DeliverPolicy::ByStartTime => return Ok(()),
    };
    if seq {
        return refuse(policy, "start sequence is also set");
    }
    if time {
        return refuse(policy, "start time is also set");
    }
    if config.deliver_policy == DeliverPolicy::LastPerSubject && filters(config).is_empty() {
        return refuse(policy, "filter subject is not set");
    }
    Ok(())
}

/// Whether a priority group may have this name.
pub(crate) fn is_group_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/_=-".contains(&byte);
    (1..=16).contains(&name.len()) && name.bytes().all(allowed)
}

fn check_priorities(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.priority_policy == PriorityPolicy::None {
        refuse_if(!config.priority_groups.is_empty(), errors::CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE)?;
        return refuse_if(
            config.priority_timeout_ns != 0,
            errors::CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY,
        );
    }
    refuse_if(!config.deliver_subject.is_empty(), errors::CONSUMER_PUSH_WITH_PRIORITY_GROUP)?;
    refuse_if(config.priority_groups.is_empty(), errors::CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP)?;
    for group in &config.priority_groups {
        refuse_if(group.is_empty(), errors::CONSUMER_EMPTY_GROUP_NAME)?;
        refuse_if(!is_group_name(group), errors::CONSUMER_INVALID_GROUP_NAME)?;
    }
    Ok(())
}

fn check_work_queue(config: &ConsumerConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let acks = matches!(config.ack_policy, AckPolicy::Explicit | AckPolicy::FlowControl);
    refuse_if(!acks, errors::CONSUMER_WORK_QUEUE_REQUIRES_EXPLICIT_ACK)?;
    refuse_if(
        config.deliver_policy != DeliverPolicy::All,
        errors::CONSUMER_WORK_QUEUE_CONSUMER_NOT_DELIVER_ALL,
    )?;
    let mut others = cx.others.iter().filter(|(name, _)| *name != cx.name).peekable();
    if others.peek().is_some() {
        let own = filters(config);
        refuse_if(own.is_empty(), errors::CONSUMER_WORK_QUEUE_MULTIPLE_UNFILTERED)?;
        let mut index = Overlaps::new();
        own.iter().for_each(|own| index.insert(own.as_bytes(), ()));
        let collides = others.any(|(_, other)| {
            let theirs = filters(other);
            theirs.is_empty() || theirs.iter().any(|theirs| index.any(theirs.as_bytes(), |()| true))
        });
        refuse_if(collides, errors::CONSUMER_WORK_QUEUE_CONSUMER_NOT_UNIQUE)?;
    }
    Ok(())
}

fn check_number(config: &ConsumerConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    if config.direct || config.sourcing || cx.existing.is_some() {
        return Ok(());
    }
    let counted = cx.others.iter().filter(|(_, other)| !other.direct && !other.sourcing).count() as i64;
    let limits = [cx.stream.max_consumers, cx.max_consumers];
    let default = Some(cx.default_max_consumers).filter(|limit| *limit > 0);
    let limit = limits.into_iter().filter(|limit| *limit > 0).min().or(default);
    refuse_if(limit.is_some_and(|limit| counted >= limit), errors::MAXIMUM_CONSUMERS_LIMIT)
}
