//! What was logged, for tests that ask.

use std::fmt;
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata};

static SEEN: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());
static INSTALL: Once = Once::new();

struct Recorder;

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl tracing::Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG && metadata.target().starts_with("midge")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut message = Message::default();
        event.record(&mut message);
        SEEN.lock().unwrap().push((*event.metadata().level(), message.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Records the events of the process from now on.
pub fn record() {
    INSTALL.call_once(|| tracing::subscriber::set_global_default(Recorder).unwrap());
}

/// The level of the last event that contains both texts, with its text.
pub fn find(one: &str, other: &str) -> Option<(Level, String)> {
    let seen = SEEN.lock().unwrap();
    seen.iter().rev().find(|(_, text)| text.contains(one) && text.contains(other)).cloned()
}
