//! Several messages published as one.
//!
//! - [`atomic`]: stored whole or not at all;
//! - [`fast`]: stored as they come, with acknowledgements for many at a time;
//! - [`heal`]: what a crash in the middle of an atomic batch leaves is taken back.

pub mod atomic;
pub mod fast;
pub mod heal;

use midge_stdx::hash::{Map, Set};
use midge_subject::wildcard;

use super::decimal::Decimal;
use super::dedupe::Print;

/// Limits of batches.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Messages of one atomic batch.
    pub max_msgs: u64,
    /// Atomic batches of a stream that are open at a time.
    pub atomic_per_stream: usize,
    /// Atomic batches of the server.
    pub atomic_per_server: usize,
    /// Fast batches of a stream.
    pub fast_per_stream: usize,
    /// Fast batches of the server.
    pub fast_per_server: usize,
    /// Nanoseconds without a message after which a batch is given up.
    pub idle_ns: u64,
    /// Bytes of all messages of a stream that wait for their batches to be complete.
    pub max_staged_bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> BatchLimits {
        BatchLimits {
            max_msgs: 1000,
            atomic_per_stream: 50,
            atomic_per_server: 1000,
            fast_per_stream: 1000,
            fast_per_server: 50_000,
            idle_ns: 10_000_000_000,
            max_staged_bytes: 512 << 20,
        }
    }
}

/// The longest name of a batch, in bytes.
pub const MAX_ID_LEN: usize = 64;

/// What the earlier members of an atomic batch will have done to the stream.
#[derive(Debug, Default)]
pub struct Overlay {
    messages: u64,
    bytes: u64,
    /// Members that will not replace another message at the limit of a subject.
    added: u64,
    subjects: Map<Box<[u8]>, Written>,
    prints: Set<Print>,
}

#[derive(Debug, Default)]
struct Written {
    messages: u64,
    value: Option<Decimal>,
}

impl Overlay {
    /// Members so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// What they count for, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages that the stream will have more.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Whether a member went to this subject, or to one that this filter means.
    pub fn wrote(&self, filter: &[u8]) -> bool {
        if !wildcard::has_wildcard(filter) {
            return self.subjects.contains_key(filter);
        }
        self.subjects.keys().any(|subject| wildcard::matches(subject, filter))
    }

    /// Members of this subject.
    pub fn messages_of(&self, subject: &[u8]) -> u64 {
        self.subjects.get(subject).map_or(0, |written| written.messages)
    }

    /// What they left in the counter of this subject.
    pub fn value_of(&self, subject: &[u8]) -> Option<&Decimal> {
        self.subjects.get(subject)?.value.as_ref()
    }

    /// Whether a member has this id.
    pub fn has(&self, print: Print) -> bool {
        self.prints.contains(&print)
    }

    /// Adds a member.
    pub fn add(
        &mut self,
        subject: &[u8],
        bytes: u64,
        replaces: bool,
        print: Option<Print>,
        value: Option<&Decimal>,
    ) {
        self.messages += 1;
        self.bytes += bytes;
        self.added += u64::from(!replaces);
        let written = self.subjects.entry(subject.into()).or_default();
        written.messages += 1;
        if let Some(value) = value {
            written.value = Some(value.clone());
        }
        self.prints.extend(print);
    }
}
