//! Counters: messages that say by how much, and are stored with what that adds up to.
//!
//! A counter that was fed by others keeps in `Nats-Counter-Sources` what it last saw of each. What comes from a source is then the difference to that,
//! so that messages that were missed are made up for by the next one.

use std::collections::BTreeMap;

use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::headers as names;
use midge_store::stream::{Filter, Message, Step, Store};

use super::decimal::Decimal;
use super::headers;
use super::headers::Headers;

/// By stream and subject, the value that was seen last.
type Sources = BTreeMap<String, BTreeMap<String, String>>;

/// A counter after an increment.
#[derive(Clone, Debug)]
pub(super) struct Total {
    /// What it has come to.
    pub value: Decimal,
    /// The header block to be stored in place of the message's; none to keep that.
    pub headers: Option<Vec<u8>>,
}

impl Total {
    /// The payload that is stored.
    pub fn payload(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"val\":\"");
        self.value.print(out);
        out.extend_from_slice(b"\"}");
    }
}

/// What is wrong with `Nats-Incr`, whatever the state of the stream.
pub(super) fn check_increment(
    headers: &Headers<'_>,
    payload: &[u8],
    allowed: bool,
    from_client: bool,
) -> Result<Option<Decimal>, ApiError> {
    let Some(text) = headers.incr.filter(|text| !text.is_empty()) else { return Ok(None) };
    if !allowed && !from_client {
        // A copy of a counter, in a stream that does not count.
        return Ok(None);
    }
    let increment = Decimal::parse(text).ok_or(errors::MESSAGE_INCREMENT_INVALID)?;
    if !allowed {
        return Err(errors::MESSAGE_INCREMENT_DISABLED.into());
    }
    if from_client {
        if !payload.is_empty() {
            return Err(errors::MESSAGE_INCREMENT_PAYLOAD.into());
        }
        if headers.rollup.is_some() || headers.expects() {
            return Err(errors::MESSAGE_INCREMENT_INVALID.into());
        }
    }
    Ok(Some(increment))
}

/// The value in the payload of a counter.
pub(super) fn value_of(payload: &[u8]) -> Option<Decimal> {
    let document: serde_json::Value = serde_json::from_slice(payload).ok()?;
    Decimal::parse(document.get("val")?.as_str()?.as_bytes())
}

fn sources_of(message: &Message) -> Option<Sources> {
    match Headers::read(message.headers()).counter_sources {
        Some(text) => serde_json::from_slice(text).ok(),
        None => Some(Sources::new()),
    }
}

/// What the counter of a subject comes to. `staged` is the value that an earlier member of the same batch left.
pub(super) fn add(
    store: &mut Store,
    subject: &[u8],
    block: &[u8],
    payload: &[u8],
    increment: &Decimal,
    staged: Option<&Decimal>,
) -> Step<Result<Total, ApiError>> {
    let broken = || Step::Ready(Err(errors::MESSAGE_COUNTER_BROKEN.into()));
    let last = ready!(store.last(&Filter::one(subject)));
    let mut value = Decimal::default();
    if let Some(message) = &last {
        let Some(before) = value_of(message.payload()) else { return broken() };
        value = before;
    }
    if let Some(staged) = staged {
        value = staged.clone();
    }
    let read = Headers::read(block);
    let Some(origin) = read.stream_source.filter(|_| !payload.is_empty()) else {
        let mut kept = None;
        // What a client may have written there is no reason to count no more.
        let is_read = |text: &&[u8]| serde_json::from_slice::<Sources>(text).is_ok();
        let text = last.as_ref().and_then(|last| Headers::read(last.headers()).counter_sources);
        if let Some(text) = text.filter(is_read) {
            // What was seen of sources stands in the last message of the subject, whoever published it.
            let mut out = Vec::new();
            let drop = |name: &[u8]| name == names::COUNTER_SOURCES;
            headers::rewrite(block, drop, &[(names::COUNTER_SOURCES, text)], &mut out);
            kept = Some(out);
        }
        return Step::Ready(Ok(Total { value: value.plus(increment), headers: kept }));
    };
    let (Some(seen), Some((stream, source_subject))) = (value_of(payload), origin_of(origin)) else {
        return broken();
    };
    let mut sources = match &last {
        None => Sources::new(),
        Some(message) => match sources_of(message) {
            Some(sources) => sources,
            None => return broken(),
        },
    };
    let entry = sources.entry(stream).or_default();
    let before = match entry.get(&source_subject).map(|text| Decimal::parse(text.as_bytes())) {
        None => Decimal::default(),
        Some(Some(before)) => before,
        Some(None) => return broken(),
    };
    let difference = seen.minus(&before);
    entry.insert(source_subject, seen.text());
    let Ok(sources) = serde_json::to_vec(&sources) else { return broken() };
    let mut out = Vec::new();
    let text = difference.text();
    let changed = read.incr != Some(text.as_bytes());
    let mut renewed = Vec::new();
    if changed {
        headers::replace(block, names::INCREMENT, text.as_bytes(), &mut renewed);
    }
    let block = if changed { &renewed } else { block };
    let drop = |name: &[u8]| name == names::COUNTER_SOURCES;
    headers::rewrite(block, drop, &[(names::COUNTER_SOURCES, &sources)], &mut out);
    Step::Ready(Ok(Total { value: value.plus(&difference), headers: Some(out) }))
}

/// Stream and subject out of `Nats-Stream-Source`.
fn origin_of(header: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(header).ok()?;
    let mut words = text.split(' ');
    let stream = words.next()?.split(':').next()?;
    let subject = words.nth(3)?;
    Some((stream.to_owned(), subject.to_owned()))
}
