//! What is told of a stream that cannot be served.

use midge_broker::batch::Batch;
use midge_jsapi::errors;
use midge_jsapi::requests::Consumers;
use midge_jsapi::responses::{ConsumerList, ConsumerNames, kind};
use midge_jsapi::subjects::ApiCall;
use midge_stdx::clock::Now;

use super::ApiRequest;
use crate::account::StreamHandle;
use crate::host::page;
use crate::limits::{LIST_PAGE, NAMES_PAGE};

/// Answers a request about the stream or a consumer of it. Those consumers that are the reason are known.
pub(super) fn answer(
    batch: &mut Batch,
    stream: &StreamHandle,
    kind: &'static str,
    request: &ApiRequest,
    now: Now,
) {
    let mut consumers = stream.offline_consumers();
    let error = match ApiCall::parse(&request.subject) {
        Some(ApiCall::ConsumerInfo { consumer, .. }) => {
            consumers.remove(consumer).map(|why| errors::CONSUMER_OFFLINE_REASON.because(&why))
        }
        Some(ApiCall::ConsumerNames { .. }) if !consumers.is_empty() => {
            let asked: Consumers = match request.read_optional() {
                Ok(asked) => asked,
                Err(error) => return request.refuse(batch, kind, &error, now),
            };
            let (paging, from) = page(consumers.len(), asked.offset, NAMES_PAGE);
            let consumers = consumers.into_keys().skip(from).take(NAMES_PAGE).collect();
            return request.answer(batch, kind::CONSUMER_NAMES, &ConsumerNames { paging, consumers }, now);
        }
        Some(ApiCall::ConsumerList { .. }) if !consumers.is_empty() => {
            let asked: Consumers = match request.read_optional() {
                Ok(asked) => asked,
                Err(error) => return request.refuse(batch, kind, &error, now),
            };
            let (paging, from) = page(consumers.len(), asked.offset, LIST_PAGE);
            let offline: std::collections::BTreeMap<_, _> =
                consumers.into_iter().skip(from).take(LIST_PAGE).collect();
            let missing = offline.keys().cloned().collect();
            let list = ConsumerList { paging, missing, offline, ..ConsumerList::default() };
            return request.answer(batch, kind::CONSUMER_LIST, &list, now);
        }
        _ => None,
    };
    let why = stream.offline().unwrap_or_default();
    let error = error.unwrap_or_else(|| errors::STREAM_OFFLINE_REASON.because(&why));
    request.refuse(batch, kind, &error, now);
}
