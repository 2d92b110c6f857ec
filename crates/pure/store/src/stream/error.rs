//! Why a store refuses. The texts are those of the Go server where it has one.

use crate::format::record::Refused;
use crate::port::DiskError;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Stopped or deleted.
    #[error("store is closed")]
    Closed,
    /// Nothing live at that sequence or subject.
    #[error("no message found")]
    NotFound,
    /// Nothing at or after that sequence.
    #[error("stream store EOF")]
    End,
    /// The message was deleted.
    #[error("deleted message")]
    Deleted,
    /// At the limit of messages, with [`super::Discard::New`].
    #[error("maximum messages exceeded")]
    MaxMsgs,
    /// At the limit of bytes likewise.
    #[error("maximum bytes exceeded")]
    MaxBytes,
    /// At the limit of the subject likewise.
    #[error("maximum messages per subject exceeded")]
    MaxMsgsPerSubject,
    /// A record would be longer than the format allows.
    #[error("message too large")]
    TooLarge,
    /// The subject is longer than 65535 bytes, or the sequence above 2^62.
    #[error("message cannot be stored")]
    Unstorable,
    /// Another sequence comes next.
    #[error("expected sequence does not match store")]
    Sequence,
    /// More matches than were asked for.
    #[error("too many matching results for request")]
    TooMany,
    /// The bytes of the message are damaged.
    #[error("malformed or corrupt message in {block}.blk")]
    Corrupt {
        /// The block.
        block: u32,
    },
    /// The disk failed; appends are refused until the owner resumes the store.
    #[error("{0}")]
    Disk(DiskError),
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> StoreError {
        match refused {
            Refused::TooLarge => StoreError::TooLarge,
            Refused::Subject | Refused::Sequence => StoreError::Unstorable,
        }
    }
}
