//! Messages that are removed because somebody asks for it.

use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::requests::StreamPurge;
use midge_jsapi::stream_config::StreamConfig;
use midge_store::format::record::MAX_SEQ;
use midge_store::stream::{Filter, PurgeQuery, Step, Store, StoreError};

/// What a request to purge asks of the store.
///
/// # Errors
/// The stream does not permit it, or the request contradicts itself.
pub fn query(config: &StreamConfig, request: &StreamPurge) -> Result<PurgeQuery, ApiError> {
    if config.sealed {
        return Err(errors::STREAM_SEALED.into());
    }
    if config.deny_purge {
        return Err(errors::STREAM_PURGE_FAILED.because("stream purge not permitted"));
    }
    if request.seq > 0 && request.keep > 0 {
        return Err(errors::BAD_REQUEST.into());
    }
    let filter = Filter::one(request.filter.as_bytes());
    if filter.is_all() && request.seq > MAX_SEQ + 1 {
        // The stream would go on at a sequence that cannot be stored.
        return Err(errors::STREAM_PURGE_FAILED.because(StoreError::Unstorable));
    }
    Ok(PurgeQuery::new(filter, request.seq, request.keep))
}

/// Whether a message may be deleted on request.
///
/// # Errors
/// The stream does not permit it.
pub fn may_delete(config: &StreamConfig) -> Result<(), ApiError> {
    if config.sealed {
        return Err(errors::STREAM_SEALED.into());
    }
    if config.deny_delete {
        return Err(errors::STREAM_MSG_DELETE_FAILED.because("message delete not permitted"));
    }
    Ok(())
}

/// Deletes a message on request, which [`may_delete`] permits.
pub fn delete(store: &mut Store, seq: u64, erase: bool) -> Step<Result<(), ApiError>> {
    let memory = store.config().medium == midge_store::stream::Medium::Memory;
    let state = store.state();
    let between = (state.first_seq..=state.last_seq).contains(&seq);
    let absent = || {
        if memory || between {
            errors::SEQUENCE_NOT_FOUND.with(&[("{seq}", &seq.to_string())])
        } else {
            errors::STREAM_MSG_DELETE_FAILED.because(StoreError::NotFound)
        }
    };
    Step::Ready(match store.remove(seq, erase) {
        Step::Wait => return Step::Wait,
        Step::Ready(true) => Ok(()),
        Step::Ready(false) => Err(absent()),
        Step::Failed(error) => Err(errors::STREAM_MSG_DELETE_FAILED.because(error)),
    })
}
