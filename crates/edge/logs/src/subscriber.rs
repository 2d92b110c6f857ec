//! From events to lines.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};

use crate::line::{self, Level};
use crate::queue::Feed;
use crate::repeats::Repeats;

/// Own crates have targets that begin so; of others only information, warnings and errors are printed.
const OWN_TARGETS: &str = "midge";

/// What is printed besides information, warnings and errors.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    pub(crate) debug: AtomicBool,
    pub(crate) trace: AtomicBool,
}

/// The state that a subscriber and its [`crate::Logs`] share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) feed: Feed,
    pub(crate) switches: Switches,
    pub(crate) repeats: Repeats,
}

impl Inner {
    /// Prints `text` unless it was printed within the last second.
    pub(crate) fn limited(&self, level: Level, text: String) {
        if self.repeats.admit(&text, Instant::now()) {
            self.feed.print(level, text);
        }
    }
}

/// The subscriber that prints events; made by [`crate::Logs::subscriber`]. Spans mean nothing to it.
#[derive(Clone, Debug)]
pub struct LogSubscriber(pub(crate) Arc<Inner>);

impl LogSubscriber {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let switch = match *metadata.level() {
            _ if !metadata.is_event() => return false,
            tracing::Level::DEBUG => &self.0.switches.debug,
            tracing::Level::TRACE => &self.0.switches.trace,
            _ => return true,
        };
        switch.load(Ordering::Relaxed) && metadata.target().starts_with(OWN_TARGETS)
    }
}

impl tracing::Subscriber for LogSubscriber {
    // The answer is kept by the call site until a switch changes, so that a disabled event costs next to nothing.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let on = |switch: &AtomicBool| switch.load(Ordering::Relaxed);
        Some(if on(&self.0.switches.trace) {
            LevelFilter::TRACE
        } else if on(&self.0.switches.debug) {
            LevelFilter::DEBUG
        } else {
            LevelFilter::INFO
        })
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            tracing::Level::DEBUG => Level::Debug,
            tracing::Level::TRACE => Level::Trace,
        };
        let mut message = Message::default();
        event.record(&mut message);
        let text = line::one_line(message.text);
        if message.limited {
            self.0.limited(level, text);
        } else {
            self.0.feed.print(level, text);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The fields that matter.
#[derive(Default)]
struct Message {
    text: String,
    limited: bool,
}

impl Visit for Message {
    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "limited" {
            self.limited = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.text.push_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.text, "{value:?}");
        }
    }
}
