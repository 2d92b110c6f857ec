//! What a stream listens to, and how subjects change.

use midge_index::overlap::Overlaps;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::stream_config::StreamConfig;
use midge_subject::name::is_valid_subject_strict;
use midge_subject::transform::Transform;
use midge_subject::wildcard::{is_subset, overlaps};

use super::{CheckCx, fields, invalid, pedantic};

pub(super) fn check(config: &mut StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    if config.subjects.is_empty() && config.mirror.is_none() && config.sources.is_empty() {
        config.subjects.push(config.name.clone());
    }
    check_subjects(config)?;
    if cx.max_bytes_required && config.max_bytes <= 0 {
        return Err(errors::STREAM_MAX_BYTES_REQUIRED.into());
    }
    if cx.max_stream_bytes > 0 && config.max_bytes > cx.max_stream_bytes {
        return Err(errors::STREAM_MAX_STREAM_BYTES_EXCEEDED.into());
    }
    check_transform(config)?;
    check_republish(config, cx)?;
    fields::settle_placement(config)
}

fn check_subjects(config: &StreamConfig) -> Result<(), ApiError> {
    // There may be very many of them.
    let mut index = Overlaps::new();
    for (at, subject) in config.subjects.iter().enumerate() {
        if is_valid_subject_strict(subject.as_bytes()) {
            index.insert(subject.as_bytes(), at);
        }
    }
    for (at, subject) in config.subjects.iter().enumerate() {
        let bytes = subject.as_bytes();
        if !is_valid_subject_strict(bytes) {
            return Err(invalid("invalid subject"));
        }
        if subject == ">" {
            if !config.no_ack {
                return Err(invalid("capturing all subjects requires no-ack to be true"));
            }
            if config.num_replicas > 1 {
                return Err(invalid("capturing all subjects requires replicas of 1"));
            }
        } else if !config.no_ack {
            // Acknowledgements would answer requests of the servers themselves.
            let api: [&[u8]; 3] = [b"$JS.>", b"$JSC.>", b"$NRG.>"];
            if api.iter().any(|api| overlaps(bytes, api)) && !is_subset(bytes, b"$JS.EVENT.>") {
                return Err(invalid("subjects that overlap with jetstream api require no-ack to be true"));
            }
            if overlaps(bytes, b"$SYS.>") && !is_subset(bytes, b"$SYS.ACCOUNT.>") {
                return Err(invalid("subjects that overlap with system api require no-ack to be true"));
            }
        }
        if !index.any(bytes, |other| *other != at) {
            continue;
        }
        let others = config.subjects.iter().enumerate().filter(|(other, _)| *other != at);
        if let Some((_, other)) = others.into_iter().find(|(_, other)| overlaps(bytes, other.as_bytes())) {
            return Err(invalid(format!("subject \"{subject}\" overlaps with \"{other}\"")));
        }
    }
    Ok(())
}

fn check_transform(config: &StreamConfig) -> Result<(), ApiError> {
    let Some(transform) = &config.subject_transform else { return Ok(()) };
    let (src, dest) = (transform.src.as_bytes(), transform.dest.as_bytes());
    if !src.is_empty() && !is_valid_subject_strict(src) {
        let text = format!("invalid subject {}", transform.src);
        return Err(errors::STREAM_TRANSFORM_INVALID_SOURCE.because(text));
    }
    match Transform::optional(src, dest) {
        Ok(_) => Ok(()),
        Err(error) => Err(errors::STREAM_TRANSFORM_INVALID_DESTINATION.because(error)),
    }
}

fn check_republish(config: &mut StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let Some(republish) = &mut config.republish else { return Ok(()) };
    if republish.src.is_empty() {
        if cx.pedantic {
            return Err(pedantic("republish source can not be empty"));
        }
        republish.src = ">".into();
    }
    if let Some(transform) = &config.subject_transform
        && (republish.src.as_str(), republish.dest.as_str()) == (">", ">")
        && config.subjects.len() == 1
        && config.subjects.first() == Some(&transform.src)
    {
        // Everything there is has the new subjects, and goes out under them.
        (republish.src, republish.dest) = (transform.dest.clone(), transform.dest.clone());
    }
    let (src, dest) = (&republish.src, &republish.dest);
    if !dest.is_empty() && config.subjects.iter().any(|subject| overlaps(subject.as_bytes(), dest.as_bytes()))
    {
        return Err(invalid("stream configuration for republish destination forms a cycle"));
    }
    Transform::optional(src.as_bytes(), dest.as_bytes()).map_err(|_| {
        invalid(format!(
            "stream configuration for republish with transform from '{src}' to '{dest}' not valid"
        ))
    })?;
    Ok(())
}

/// The subjects of the other streams of the account.
pub(super) fn check_others(config: &StreamConfig, cx: &CheckCx<'_>) -> Result<(), ApiError> {
    let overlap = config.subjects.iter().any(|own| cx.streams.others_overlap(&config.name, own));
    if overlap { Err(errors::STREAM_SUBJECT_OVERLAP.into()) } else { Ok(()) }
}
