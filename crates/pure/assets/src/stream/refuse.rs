//! Refusals whose texts have a number or a reason in them.

use midge_jsapi::errors::{self, ApiError};
use midge_store::stream::StoreError;

/// The last sequence is another one.
pub(super) fn wrong_last_sequence(last: u64) -> ApiError {
    errors::STREAM_WRONG_LAST_SEQUENCE.with(&[("{seq}", &last.to_string())])
}

/// The last message has another id.
pub(super) fn wrong_last_msg_id(id: &[u8]) -> ApiError {
    errors::STREAM_WRONG_LAST_MSG_ID.with(&[("{id}", &String::from_utf8_lossy(id))])
}

/// An atomic batch has too many members.
pub(super) fn batch_too_large(max: u64) -> ApiError {
    errors::ATOMIC_PUBLISH_TOO_LARGE_BATCH.with(&[("{size}", &max.to_string())])
}

/// A member of an atomic batch has a header that none may have.
pub(super) fn batch_header(name: &str) -> ApiError {
    errors::ATOMIC_PUBLISH_UNSUPPORTED_HEADER_BATCH.with(&[("{header}", name)])
}

/// The store refused a message.
pub(super) fn store(error: &StoreError) -> ApiError {
    errors::STREAM_STORE_FAILED.because(error)
}
