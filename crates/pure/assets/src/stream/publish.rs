//! What goes into [`Stream::publish`](super::Stream::publish), and what comes out.

use bytes::Bytes;
use midge_jsapi::errors::ApiError;
use midge_stdx::clock::Now;
use midge_stdx::entropy::Entropy;

pub use super::batch::BatchLimits;

/// Who publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// A client; every rule applies.
    #[default]
    Client,
    /// This stream, in place of the last message of a subject that expired.
    Marker,
    /// This stream, because a schedule was due.
    Schedule,
    /// Another stream, of which this one is fed. Its lifetimes do not count unless this stream permits them.
    Source,
}

impl Origin {
    /// A client's messages have to keep to all rules.
    pub fn is_client(self) -> bool {
        self == Origin::Client
    }
}

/// A message to be stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incoming<'a> {
    /// The subject it was published to.
    pub subject: &'a [u8],
    /// Where an answer is expected; empty for nowhere. If a service import had rewritten it, the original.
    pub reply: &'a [u8],
    /// The header block; empty when there is none.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// Who publishes.
    pub origin: Origin,
}

/// Whether anybody consumes a stream.
pub trait Interest {
    /// Some consumer wants messages of this subject.
    fn wants(&self, subject: &[u8]) -> bool;
}

/// What account and server have left.
pub trait Admission {
    /// The server has no room for this kind of storage.
    fn server_full(&self) -> bool;
    /// A message that counts for so many bytes fits the account.
    ///
    /// # Errors
    /// What the publisher is told.
    fn admit(&self, bytes: u64) -> Result<(), ApiError>;
    /// Open atomic batches of the whole server.
    fn atomic_batches(&self) -> usize;
    /// Open fast batches of the whole server.
    fn fast_batches(&self) -> usize;
}

/// Limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of header and payload of any message.
    pub max_payload: u64,
    /// Of batches.
    pub batch: BatchLimits,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_payload: 1 << 20, batch: BatchLimits::default() }
    }
}

/// What a decision depends on besides the stream.
pub struct Cx<'a> {
    /// The time.
    pub now: Now,
    /// Draws random tokens of subject transforms.
    pub entropy: &'a mut dyn Entropy,
    /// The consumers.
    pub interest: &'a dyn Interest,
    /// Account and server.
    pub admit: &'a dyn Admission,
    /// Limits of the server.
    pub limits: &'a Limits,
    /// What has to be sent besides the answer.
    pub outbox: &'a mut Outbox,
}

/// What has to be sent besides the answer to a publish.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Messages to be published again.
    pub republished: Vec<Republished>,
    /// Answers to publishers of batches.
    pub replies: Vec<Reply>,
    /// Batches that were given up.
    pub abandoned: Vec<Abandoned>,
}

/// A copy of a stored message, to be published when the stored one is visible ([`Stream::visible`](super::Stream::visible)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Republished {
    /// The sequence of the stored message.
    pub seq: u64,
    /// Where it goes.
    pub subject: Bytes,
    /// Its header block.
    pub headers: Bytes,
    /// Its payload.
    pub payload: Bytes,
}

/// An answer to a publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The answer may go when everything up to this sequence is durable, and not before those that were given earlier; 0 for no sequence.
    pub after_seq: u64,
    /// Where it goes.
    pub subject: Bytes,
    /// What it says.
    pub body: Answer,
}

/// The body of an answer to a member of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `ack`: everything up to this member is stored; the next one comes after so many messages.
    Flow {
        /// The member.
        batch_seq: u64,
        /// Messages between acknowledgements.
        interval: u64,
    },
    /// `gap`: a member is missing.
    Gap {
        /// The one that was expected.
        expected: u64,
        /// The one that came.
        got: u64,
    },
    /// `err`: a member was refused.
    Error {
        /// The member.
        batch_seq: u64,
        /// Why.
        error: ApiError,
    },
    /// The acknowledgement of a whole batch.
    Committed {
        /// The sequence of the last message.
        seq: u64,
        /// The batch.
        batch: Box<str>,
        /// Its messages.
        count: u64,
        /// Its only message was stored before.
        duplicate: bool,
    },
    /// The refusal of a publish.
    Refused(ApiError),
}

/// A batch that was given up: what the advisory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// The batch.
    pub batch: Box<str>,
    /// Why.
    pub reason: AbandonReason,
}

/// Why a batch was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbandonReason {
    /// Nothing came for too long.
    Timeout,
    /// Too many messages.
    Large,
    /// A member was missing.
    Incomplete,
    /// A demand that this server cannot meet.
    Unsupported,
}

impl AbandonReason {
    /// As in advisories.
    pub fn text(self) -> &'static str {
        match self {
            AbandonReason::Timeout => "timeout",
            AbandonReason::Large => "large",
            AbandonReason::Incomplete => "incomplete",
            AbandonReason::Unsupported => "unsupported",
        }
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stored; to be acknowledged when durable.
    Stored {
        /// Its sequence.
        seq: u64,
    },
    /// An increment was stored; to be acknowledged when durable.
    Counted {
        /// Its sequence.
        seq: u64,
        /// The value of the counter from now on.
        value: Box<str>,
    },
    /// It was stored before; to be acknowledged when that one is durable.
    Duplicate {
        /// Its sequence.
        seq: u64,
    },
    /// Nobody wants it: the sequence is used up, and it is to be acknowledged as if it were stored.
    Skipped {
        /// Its sequence.
        seq: u64,
    },
    /// It waits for its batch to be complete: an empty answer.
    Staged,
    /// The batch is stored; to be acknowledged when durable.
    Committed {
        /// The sequence of its last message.
        seq: u64,
        /// The batch.
        batch: Box<str>,
        /// Its messages.
        count: u64,
    },
    /// All there is to say stands in [`Outbox::replies`].
    Handled,
    /// An error for the publisher.
    Refused(ApiError),
}

impl Verdict {
    /// What is to be durable before anything is said; 0 for nothing.
    pub fn seq(&self) -> u64 {
        match self {
            Verdict::Stored { seq }
            | Verdict::Counted { seq, .. }
            | Verdict::Duplicate { seq }
            | Verdict::Skipped { seq }
            | Verdict::Committed { seq, .. } => *seq,
            Verdict::Staged | Verdict::Handled | Verdict::Refused(_) => 0,
        }
    }
}
