//! Plays scripts against servers and compares what they said.

mod ask;
mod backup;
mod corpus;
mod diff;
mod http;
mod link;
mod mask;
mod play;
mod schema;
mod transcript;

pub use corpus::{Verdict, corpus};
pub use diff::unified;
pub use play::{Stage, play};
pub use schema::{Schemas, misfits};
pub use transcript::Transcript;
