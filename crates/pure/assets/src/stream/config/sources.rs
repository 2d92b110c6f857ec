//! Mirrors and sources.

use midge_jsapi::errors::{self, ApiError, Code};
use midge_jsapi::stream_config::{StreamConfig, StreamSource, SubjectTransform};
use midge_stdx::hash::Set;
use midge_subject::name::{is_valid_publish, is_valid_subject};
use midge_subject::transform::Transform;
use midge_subject::wildcard;

use super::fields::is_name;
use super::{CheckCx, invalid, pedantic};

/// What stands for the API in requests of an account.
const API: &str = "$JS.API";

pub(super) fn check(config: &mut StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    if config.mirror.is_some() {
        check_mirror(config, cx)?;
    }
    if !config.sources.is_empty() {
        check_sources(config, cx)?;
    }
    for source in config.mirror.iter().chain(&config.sources) {
        check_external(source)?;
    }
    if is_cyclic(config, cx) { Err(invalid("detected cycle")) } else { Ok(()) }
}

fn check_mirror(config: &mut StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let forbidden = [
        (config.first_seq > 0, errors::MIRROR_WITH_FIRST_SEQ),
        (!config.subjects.is_empty(), errors::MIRROR_WITH_SUBJECTS),
        (!config.sources.is_empty(), errors::MIRROR_WITH_SOURCES),
        (config.allow_msg_counter, errors::MIRROR_WITH_COUNTERS),
        (config.allow_atomic, errors::MIRROR_WITH_ATOMIC_PUBLISH),
        (config.allow_batched, errors::MIRROR_WITH_BATCH_PUBLISH),
        (config.allow_msg_schedules, errors::MIRROR_WITH_MESSAGE_SCHEDULES),
    ];
    if let Some((_, error)) = forbidden.iter().find(|(present, _)| *present) {
        return Err((*error).into());
    }
    let Some(mirror) = &config.mirror else { return Ok(()) };
    check_consumer(mirror, errors::MIRROR_DURABLE_CONSUMER_CONFIG_INVALID)?;
    let codes = TransformCodes {
        both: errors::MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED,
        source: errors::MIRROR_INVALID_SUBJECT_FILTER,
        destination: errors::MIRROR_INVALID_TRANSFORM_DESTINATION,
        overlap: errors::MIRROR_OVERLAPPING_SUBJECT_FILTERS,
    };
    check_transforms(mirror, &codes, wildcard::overlaps)?;
    if mirror.external.is_some() {
        return Ok(());
    }
    if !is_name(&mirror.name) {
        return Err(errors::MIRROR_INVALID_STREAM_NAME.into());
    }
    if let Some(origin) = cx.streams.find(&mirror.name).filter(|origin| origin.name != config.name) {
        if config.max_msg_size > 0 && origin.max_msg_size > config.max_msg_size {
            return Err(errors::MIRROR_MAX_MESSAGE_SIZE_TOO_BIG.into());
        }
        if cx.pedantic && config.mirror_direct != origin.allow_direct {
            return Err(pedantic("origin stream has direct get set, mirror has it disabled"));
        }
        config.mirror_direct = origin.allow_direct;
    }
    Ok(())
}

fn check_sources(config: &StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    if config.allow_msg_schedules {
        return Err(errors::SOURCE_WITH_MESSAGE_SCHEDULES.into());
    }
    let codes = TransformCodes {
        both: errors::SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED,
        source: errors::SOURCE_INVALID_SUBJECT_FILTER,
        destination: errors::SOURCE_INVALID_TRANSFORM_DESTINATION,
        overlap: errors::SOURCE_OVERLAPPING_SUBJECT_FILTERS,
    };
    let inside = |a: &[u8], b: &[u8]| wildcard::is_subset(a, b) || wildcard::is_subset(b, a);
    let (mut seen, mut consumers) = (Set::default(), Set::default());
    for source in &config.sources {
        if !is_name(&source.name) {
            return Err(errors::SOURCE_INVALID_STREAM_NAME.into());
        }
        if !seen.insert(crate::stream::follow::index_name(source)) {
            return Err(errors::SOURCE_DUPLICATE_DETECTED.into());
        }
        check_consumer(source, errors::SOURCE_DURABLE_CONSUMER_CONFIG_INVALID)?;
        if let Some(consumer) = &source.consumer
            && !consumers.insert((source.name.as_str(), api_of(source), consumer.name.as_str()))
        {
            return Err(errors::SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED.into());
        }
        check_transforms(source, &codes, inside)?;
        if let Some(origin) = cx.streams.find(&source.name).filter(|_| source.external.is_none())
            && config.max_msg_size > 0
            && origin.max_msg_size > config.max_msg_size
        {
            return Err(errors::SOURCE_MAX_MESSAGE_SIZE_TOO_BIG.into());
        }
    }
    Ok(())
}

fn api_of(source: &StreamSource) -> &str {
    source.external.as_ref().map_or("", |external| external.api.as_str())
}

/// A consumer that was made beforehand decides where to begin and what to filter.
fn check_consumer(source: &StreamSource, code: Code) -> Result<(), ApiError> {
    let Some(consumer) = &source.consumer else { return Ok(()) };
    let fits = is_name(&consumer.name)
        && is_valid_publish(consumer.deliver_subject.as_bytes())
        && source.opt_start_seq == 0
        && source.opt_start_time.is_none()
        && source.filter_subject.is_empty();
    if fits { Ok(()) } else { Err(code.into()) }
}

struct TransformCodes {
    both: Code,
    source: Code,
    destination: Code,
    overlap: Code,
}

fn check_transforms(
    source: &StreamSource,
    codes: &TransformCodes,
    overlap: impl Fn(&[u8], &[u8]) -> bool,
) -> Result<(), ApiError> {
    let transforms = &source.subject_transforms;
    if !source.filter_subject.is_empty() && !transforms.is_empty() {
        return Err(codes.both.into());
    }
    for (at, SubjectTransform { src, dest }) in transforms.iter().enumerate() {
        if !src.is_empty() && !is_valid_subject(src.as_bytes()) {
            return Err(codes.source.because(format!("invalid subject {src}")));
        }
        Transform::optional(src.as_bytes(), dest.as_bytes())
            .map_err(|error| codes.destination.because(error))?;
        if transforms.iter().take(at).any(|other| overlap(src.as_bytes(), other.src.as_bytes())) {
            return Err(codes.overlap.into());
        }
    }
    Ok(())
}

fn check_external(source: &StreamSource) -> Result<(), ApiError> {
    let Some(external) = &source.external else { return Ok(()) };
    let (api, deliver) = (external.api.as_str(), external.deliver.as_str());
    if !deliver.is_empty() && !is_valid_publish(deliver.as_bytes()) {
        return Err(errors::STREAM_INVALID_EXTERNAL_DELIVERY_SUBJECT.with(&[("{prefix}", deliver)]));
    }
    if api.is_empty() {
        return Ok(());
    }
    if !is_valid_publish(api.as_bytes()) {
        return Err(invalid(format!(
            "stream external api prefix \"{api}\" must be a valid subject without wildcards"
        )));
    }
    if wildcard::overlaps(api.as_bytes(), API.as_bytes()) {
        return Err(errors::STREAM_EXTERNAL_API_OVERLAP.with(&[("{prefix}", api), ("{subject}", API)]));
    }
    Ok(())
}

/// Whether the stream would, by way of others that are known, take its own messages. O(sources that can be reached).
fn is_cyclic(config: &StreamConfig, cx: &CheckCx<'_>) -> bool {
    fn local(config: &StreamConfig) -> impl Iterator<Item = &str> {
        let all = config.mirror.iter().chain(&config.sources);
        all.filter(|source| source.external.is_none()).map(|source| source.name.as_str())
    }
    let mut seen: Set<String> = Set::default();
    let mut open: Vec<String> = local(config).map(str::to_owned).collect();
    while let Some(name) = open.pop() {
        if name == config.name {
            return true;
        }
        if !seen.contains(&name) {
            open.extend(cx.streams.find(&name).iter().flat_map(|stream| local(stream)).map(str::to_owned));
            seen.insert(name);
        }
    }
    false
}

/// Filters have to be subjects. They are looked at last, when everything else is in order.
pub(super) fn check_filters(config: &StreamConfig) -> Result<(), String> {
    let bad = |source: &&StreamSource| {
        !source.filter_subject.is_empty() && !is_valid_subject(source.filter_subject.as_bytes())
    };
    if let Some(mirror) = config.mirror.iter().find(bad) {
        return Err(format!("subject filter '{}' for the mirror invalid subject", mirror.filter_subject));
    }
    match config.sources.iter().find(bad) {
        Some(source) => {
            Err(format!("subject filter '{}' for the source: invalid subject", source.filter_subject))
        }
        None => Ok(()),
    }
}
