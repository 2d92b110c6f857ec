//! Events and measurements: what is published, without being asked for, where somebody listens.
//!
//! ```
//! use midge_jsapi::advisories::{Event, StreamAction, Deed};
//! use midge_stdx::clock::Wall;
//!
//! let event = StreamAction { stream: "S", deed: Deed::Create };
//! assert_eq!(event.subject(), "$JS.EVENT.ADVISORY.STREAM.CREATED.S");
//! let mut out = Vec::new();
//! event.encode("unique", Wall(0), "", &mut out);
//! assert!(out.ends_with(br#""timestamp":"1970-01-01T00:00:00Z","stream":"S","action":"create"}"#));
//! ```

mod consumer;
mod server;
mod stream;

use midge_stdx::clock::Wall;

use crate::json::Fields;

pub use consumer::*;
pub use server::*;
pub use stream::*;

/// What the types of advisories begin with.
pub const ADVISORY_TYPE_PREFIX: &str = "io.nats.jetstream.advisory.v1.";
/// What the types of measurements begin with.
pub const METRIC_TYPE_PREFIX: &str = "io.nats.jetstream.metric.v1.";

/// Something that happened.
pub trait Event {
    /// What its type begins with.
    const PREFIX: &'static str = ADVISORY_TYPE_PREFIX;

    /// Its type behind the prefix.
    fn kind(&self) -> &'static str;

    /// Where it is published.
    fn subject(&self) -> String;

    /// Appends what it tells; the domain of the server, when it has one, stands where this kind of event has it.
    fn fields(&self, domain: &str, fields: &mut Fields<'_>);

    /// Appends the whole of it. The id is unique; the time is that of the event.
    fn encode(&self, id: &str, now: Wall, domain: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(Self::PREFIX.as_bytes());
        out.extend_from_slice(self.kind().as_bytes());
        out.push(b'"');
        let mut fields = Fields::resume(out);
        fields.text("id", id);
        fields.time("timestamp", Some(now));
        self.fields(domain, &mut fields);
        fields.end();
    }
}

/// What was done to an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It was made.
    Create,
    /// It was changed.
    Modify,
    /// It was removed.
    Delete,
}

impl Deed {
    fn text(self) -> &'static str {
        match self {
            Deed::Create => "create",
            Deed::Modify => "modify",
            Deed::Delete => "delete",
        }
    }

    fn token(self) -> &'static str {
        match self {
            Deed::Create => "CREATED",
            Deed::Modify => "UPDATED",
            Deed::Delete => "DELETED",
        }
    }
}
