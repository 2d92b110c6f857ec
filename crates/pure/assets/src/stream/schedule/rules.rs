//! Which messages may be schedules, and who may end one.

use midge_jsapi::errors::{self, Code};
use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::Wall;
use midge_stdx::gotime;
use midge_store::stream::{Filter, Step, Store};
use midge_subject::name::is_valid_publish;
use midge_subject::wildcard;

use super::pattern::{BadPattern, Pattern};
use crate::stream::headers::Headers;
use crate::stream::publish::Origin;
use crate::stream::ttl::Ttl;

/// What a message has to do with schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scheduling<'m> {
    /// Nothing.
    #[default]
    None,
    /// It is one.
    Schedule {
        /// When it is due first.
        next: Wall,
    },
    /// It was published because of one, or ends one.
    Fired {
        /// The subject of the schedule.
        scheduler: &'m [u8],
        /// When that is due next; nothing when it is over.
        next: Option<Wall>,
    },
}

impl<'m> Scheduling<'m> {
    /// It is a schedule.
    pub fn is_schedule(&self) -> bool {
        matches!(self, Scheduling::Schedule { .. })
    }

    /// It takes the place of the other messages of its subject.
    pub fn rolls_up(&self) -> bool {
        self.is_schedule()
    }

    /// The subject of the schedule that is over.
    pub fn purges(&self) -> Option<&'m [u8]> {
        match self {
            Scheduling::Fired { scheduler, next: None } => Some(scheduler),
            _ => None,
        }
    }
}

/// Whether a subject of the stream takes in this one.
fn stores(config: &StreamConfig, subject: &[u8]) -> bool {
    config.subjects.iter().any(|own| wildcard::overlaps(own.as_bytes(), subject))
}

/// Applies the rules to a message, in the order in which the first that fails answers.
pub(in crate::stream) fn check<'m>(
    config: &StreamConfig,
    store: &mut Store,
    headers: &Headers<'m>,
    subject: &[u8],
    origin: Origin,
    now: Wall,
) -> Step<Result<Scheduling<'m>, Code>> {
    if !origin.is_client() {
        return Step::Ready(Ok(fired(headers)));
    }
    if let Some(text) = headers.schedule.filter(|text| !text.is_empty()) {
        return Step::Ready(schedule(config, headers, text, subject, now));
    }
    if headers.schedule_next.is_none() && headers.scheduler.is_none() {
        return Step::Ready(Ok(Scheduling::None));
    }
    let invalid = Step::Ready(Err(errors::MESSAGE_SCHEDULES_SCHEDULER_INVALID));
    let (Some(b"purge"), Some(scheduler)) = (headers.schedule_next, headers.scheduler) else {
        return invalid;
    };
    if scheduler == subject || !is_valid_publish(scheduler) {
        return invalid;
    }
    if !config.allow_msg_schedules {
        return Step::Ready(Err(errors::MESSAGE_SCHEDULES_DISABLED));
    }
    if let Some(last) = ready!(store.last(&Filter::one(scheduler)))
        && Headers::read(last.headers()).schedule.is_none()
    {
        return invalid;
    }
    Step::Ready(Ok(Scheduling::Fired { scheduler, next: None }))
}

/// What a message of this stream itself, or of a source, says.
fn fired<'m>(headers: &Headers<'m>) -> Scheduling<'m> {
    let (Some(next), Some(scheduler)) = (headers.schedule_next, headers.scheduler) else {
        return Scheduling::None;
    };
    if next == b"purge" {
        return Scheduling::Fired { scheduler, next: None };
    }
    let time = std::str::from_utf8(next).ok().and_then(|text| gotime::parse_rfc3339(text).ok().flatten());
    time.map_or(Scheduling::None, |time| Scheduling::Fired { scheduler, next: Some(time) })
}

fn schedule<'m>(
    config: &StreamConfig,
    headers: &Headers<'m>,
    text: &[u8],
    subject: &[u8],
    now: Wall,
) -> Result<Scheduling<'m>, Code> {
    if !config.allow_msg_schedules {
        return Err(errors::MESSAGE_SCHEDULES_DISABLED);
    }
    let pattern = Pattern::parse(text, headers.schedule_zone).map_err(|bad| match bad {
        BadPattern::Pattern => errors::MESSAGE_SCHEDULES_PATTERN_INVALID,
        BadPattern::Zone => errors::MESSAGE_SCHEDULES_TIME_ZONE_INVALID,
    })?;
    let next = pattern.first(now).ok_or(errors::MESSAGE_SCHEDULES_PATTERN_INVALID)?;
    match Ttl::parse(headers.schedule_ttl) {
        Ttl::Invalid => return Err(errors::MESSAGE_SCHEDULES_TTL_INVALID),
        Ttl::None => {}
        Ttl::Never | Ttl::Seconds(_) if !config.allow_msg_ttl => return Err(errors::MESSAGE_TTL_DISABLED),
        Ttl::Never | Ttl::Seconds(_) => {}
    }
    let target = headers.schedule_target.unwrap_or_default();
    if !is_valid_publish(target) || target == subject || !stores(config, target) {
        return Err(errors::MESSAGE_SCHEDULES_TARGET_INVALID);
    }
    if let Some(source) = headers.schedule_source
        && (!is_valid_publish(source) || source == target || source == subject || !stores(config, source))
    {
        return Err(errors::MESSAGE_SCHEDULES_SOURCE_INVALID);
    }
    let sub = |value: Option<&[u8]>| value.is_none_or(|value| value.eq_ignore_ascii_case(b"sub"));
    if !sub(headers.schedule_rollup) || !sub(headers.rollup) {
        return Err(errors::MESSAGE_SCHEDULES_ROLLUP_INVALID);
    }
    Ok(Scheduling::Schedule { next })
}
