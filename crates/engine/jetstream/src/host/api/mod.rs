//! Requests of the API that concern one stream.
//!
//! What is told is durable: a request that reads waits until everything that came before it is.

mod consumer;
mod get;
mod stream;

use std::sync::Arc;

use midge_broker::batch::Batch;
use midge_jsapi::advisories::Event;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::subjects::ApiCall;
use midge_stdx::clock::Now;

pub(crate) use consumer::page;

use super::Host;
use crate::advise;
use crate::api::ApiRequest;

/// A request that outlives the call.
pub(in crate::host) type Asked = Arc<ApiRequest>;

impl Host {
    /// Tells an advisory, if somebody listens.
    pub(in crate::host) fn advise<E: Event>(&mut self, batch: &mut Batch, event: &E, now: Now) {
        advise::send(&self.js, &self.account, batch, event, &mut self.ids, now);
    }

    /// Serves a request.
    pub(in crate::host) fn api(&mut self, batch: &mut Batch, request: Box<ApiRequest>, now: Now) {
        self.touch(now);
        self.go_ahead_for(&request);
        let request = self.ask(request);
        if self.tasks.deferred > 0 || self.is_to_come(batch, &request, now) {
            self.tasks.deferred += 1;
            return self.when_durable(
                batch,
                now,
                Box::new(move |host, batch, now| {
                    host.tasks.deferred = host.tasks.deferred.saturating_sub(1);
                    host.serve(batch, request, now);
                }),
            );
        }
        self.serve(batch, request, now);
    }

    /// Whether a request has to wait for messages that nobody may see yet: a new consumer is told how many messages there are for it, and whoever
    /// published them before, without asking for acknowledgements, counts on them. What comes after such a request waits behind it.
    fn is_to_come(&mut self, batch: &mut Batch, request: &ApiRequest, now: Now) -> bool {
        let call = ApiCall::parse(&request.subject);
        if !matches!(call, Some(ApiCall::ConsumerCreate { .. } | ApiCall::ConsumerDurableCreate { .. })) {
            return false;
        }
        self.see(batch, now);
        self.visible < self.store.appended()
    }

    fn serve(&mut self, batch: &mut Batch, request: Asked, now: Now) {
        let subject = request.subject.clone();
        let Some(call) = ApiCall::parse(&subject) else { return };
        match call {
            ApiCall::StreamInfo { .. } => self.stream_info(batch, request, now),
            ApiCall::StreamPurge { .. } => self.stream_purge(batch, request, now),
            ApiCall::MsgGet { .. } => self.message_get(batch, request, now),
            ApiCall::MsgDelete { .. } => self.message_delete(batch, request, now),
            ApiCall::StreamSnapshot { .. } => self.snapshot(batch, request, now),
            ApiCall::ConsumerCreate { consumer, filter, .. } => {
                self.consumer_create(batch, request, consumer, filter, false, now);
            }
            ApiCall::ConsumerDurableCreate { consumer, .. } => {
                self.consumer_create(batch, request, Some(consumer), None, true, now);
            }
            ApiCall::ConsumerNames { .. } => self.consumer_names(batch, request, now),
            ApiCall::ConsumerList { .. } => self.consumer_list(batch, request, now),
            ApiCall::ConsumerInfo { consumer, .. } => self.consumer_info(batch, request, consumer, now),
            ApiCall::ConsumerDelete { consumer, .. } => self.consumer_delete(batch, request, consumer, now),
            ApiCall::ConsumerPause { consumer, .. } => self.consumer_pause(batch, request, consumer, now),
            ApiCall::ConsumerUnpin { consumer, .. } => self.consumer_unpin(batch, &request, consumer, now),
            _ => {}
        }
    }

    /// The stream has failed: nothing is served.
    pub(in crate::host) fn api_refuse(&mut self, batch: &mut Batch, request: &ApiRequest, now: Now) {
        let Some(call) = ApiCall::parse(&request.subject) else { return };
        let error = self.life.refusal().unwrap_or_else(|| ApiError::from(errors::STREAM_OFFLINE));
        request.refuse(batch, call.reply_kind(), &error, now);
    }
}
