//! What arrived and cannot be served is answered all the same.
//!
//! A stream that is to be deleted first answers whoever asked before; what stands behind the deletion is told what it would have been told a moment later,
//! when there is nothing any more. While the files of a stream are being opened anew, requests are refused, or wait if that is done at once.

use midge_broker::batch::Batch;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::responses::{self, kind};
use midge_jsapi::subjects::ApiCall;
use midge_stdx::clock::Now;
use midge_wire::headers;

use super::{ForConsumer, Host, Item, Order, Parts, Taken};
use crate::api::ApiRequest;
use crate::limits::HOST_TASKS;

/// What those are told that pull from a consumer whose files are opened anew: they ask again.
const PULL_AGAIN: &[u8] = b"NATS/1.0 409 Leadership Change\r\n\r\n";

/// A request that came while the files were being opened anew.
pub(super) enum Postponed {
    /// One of the API.
    Api(Box<ApiRequest>),
    /// A direct get.
    Get(Kept),
    /// To begin anew elsewhere, for the consumer of this name.
    Reset(Box<str>, Kept),
}

/// A message that outlives the inbox.
pub(super) struct Kept {
    subject: Vec<u8>,
    reply: Vec<u8>,
    header: Vec<u8>,
    payload: Vec<u8>,
}

impl Kept {
    fn of(parts: &Parts<'_>) -> Kept {
        Kept {
            subject: parts.subject.to_vec(),
            reply: parts.reply.to_vec(),
            header: parts.header.to_vec(),
            payload: parts.payload.to_vec(),
        }
    }

    fn parts(&self) -> Parts<'_> {
        Parts { subject: &self.subject, reply: &self.reply, header: &self.header, payload: &self.payload }
    }
}

impl Host {
    /// While the store is being opened anew, nothing is served.
    pub(super) fn refuse_item(&mut self, batch: &mut Batch, item: Item, bytes: &[u8], now: Now) {
        // With a full disk the files are opened at once, and there is everything but space.
        let waits = self.life.is_full() && self.postponed.len() < HOST_TASKS;
        match item {
            Item::Publish(span) => {
                if let Some(error) = self.life.refusal() {
                    self.refuse_now(batch, span.of(bytes).reply, &error);
                }
            }
            Item::Api(request) if waits => self.postponed.push(Postponed::Api(request)),
            Item::Api(request) => self.api_refuse(batch, &request, now),
            Item::Order(order) => self.obey(batch, *order, now),
            Item::Get(span) if waits => self.postponed.push(Postponed::Get(Kept::of(&span.of(bytes)))),
            Item::Get(span) => self.refuse_get(batch, &span.of(bytes)),
            Item::Consumer(id, ForConsumer::Reset, span) => {
                let parts = span.of(bytes);
                match self.consumers.get(id).map(|consumer| consumer.identity().name.clone()) {
                    Some(name) if waits => {
                        self.postponed.push(Postponed::Reset((&*name).into(), Kept::of(&parts)));
                    }
                    _ => self.refuse_reset(batch, &parts, &self.why_not_served()),
                }
            }
            Item::Consumer(_, ForConsumer::Pull, span) => {
                let reply = span.of(bytes).reply;
                if !reply.is_empty() {
                    self.send_status(batch, reply, PULL_AGAIN);
                }
            }
            // What was not acknowledged is delivered again.
            Item::Consumer(..) | Item::Interest(_) => {}
        }
    }

    /// The files are open: what waited for that is served.
    pub(super) fn serve_postponed(&mut self, batch: &mut Batch, now: Now) {
        for postponed in std::mem::take(&mut self.postponed) {
            match postponed {
                Postponed::Api(request) => self.api(batch, request, now),
                Postponed::Get(kept) => self.direct_get(batch, &kept.parts(), now),
                Postponed::Reset(name, kept) => match self.consumers.find(&name) {
                    Some(id) => self.reset_consumer(batch, id, &kept.parts(), now),
                    None => {
                        self.refuse_reset(batch, &kept.parts(), &errors::CONSUMER_NOT_FOUND.into());
                    }
                },
            }
        }
    }

    /// The files could not be opened: nothing waits for that any longer.
    pub(super) fn refuse_postponed(&mut self, batch: &mut Batch, now: Now) {
        for postponed in std::mem::take(&mut self.postponed) {
            match postponed {
                Postponed::Api(request) => self.api_refuse(batch, &request, now),
                Postponed::Get(kept) => self.refuse_get(batch, &kept.parts()),
                Postponed::Reset(_, kept) => {
                    self.refuse_reset(batch, &kept.parts(), &self.why_not_served());
                }
            }
        }
    }

    fn why_not_served(&self) -> ApiError {
        self.life.refusal().unwrap_or_else(|| errors::STREAM_OFFLINE.into())
    }

    fn refuse_get(&mut self, batch: &mut Batch, parts: &Parts<'_>) {
        let status = format!("NATS/1.0 500 {}\r\n\r\n", self.why_not_served().description);
        self.send_status(batch, parts.reply, status.as_bytes());
    }

    fn refuse_reset(&mut self, batch: &mut Batch, parts: &Parts<'_>, error: &ApiError) {
        let mut body = Vec::new();
        responses::refuse(kind::CONSUMER_RESET, error, &mut body);
        self.send_body(batch, parts.reply, &body);
    }

    /// Deletes the stream when everybody who asked before has an answer. What comes later is not served.
    pub(super) fn delete_when_answered(&mut self, batch: &mut Batch, now: Now) {
        if self.life.is_failed() || self.tasks.is_empty() {
            return self.delete(batch, now);
        }
        self.account.delete(&self.handle);
        self.leaving = true;
    }

    /// Deletes the stream if that was waited with, and everybody has an answer.
    pub(super) fn leave(&mut self, batch: &mut Batch, now: Now) {
        if self.leaving && (self.life.is_failed() || self.tasks.is_empty()) {
            self.leaving = false;
            self.delete(batch, now);
            self.come_back();
        }
    }

    /// The stream is gone: what came behind its deletion is answered as if there had never been one.
    pub(super) fn answer_what_is_left(&mut self, batch: &mut Batch, left: Taken, now: Now) {
        let mut taken = std::mem::take(&mut self.taken);
        let at = std::mem::take(&mut self.at).min(taken.items.len());
        for item in taken.items.drain(at..) {
            self.answer_gone(batch, item, &taken.bytes, now);
        }
        for item in left.items {
            self.answer_gone(batch, item, &left.bytes, now);
        }
    }

    /// Answers as if nobody listened to the subject: whoever did is gone.
    pub(super) fn meets_nobody(&mut self, batch: &mut Batch, parts: &Parts<'_>) {
        if !parts.reply.is_empty() {
            let mut status = Vec::new();
            headers::no_responders(parts.subject, &mut status);
            self.send_status(batch, parts.reply, &status);
        }
    }

    fn answer_gone(&mut self, batch: &mut Batch, item: Item, bytes: &[u8], now: Now) {
        let error = ApiError::from(errors::STREAM_NOT_FOUND);
        match item {
            // Somebody else answers for a stream that does not.
            Item::Publish(_) if self.config.no_ack => {}
            Item::Publish(span) | Item::Get(span) => self.meets_nobody(batch, &span.of(bytes)),
            Item::Consumer(_, what, span) => match what {
                ForConsumer::Ack | ForConsumer::Pull | ForConsumer::Chunk => {
                    self.meets_nobody(batch, &span.of(bytes));
                }
                ForConsumer::Reset => self.refuse_reset(batch, &span.of(bytes), &error),
                ForConsumer::Flow
                | ForConsumer::Delivery
                | ForConsumer::LinkReply
                | ForConsumer::SnapshotAck => {}
            },
            Item::Api(request) => {
                if let Some(call) = ApiCall::parse(&request.subject) {
                    request.refuse(batch, call.reply_kind(), &error, now);
                }
            }
            Item::Order(order) => match *order {
                Order::Update(_, request) => request.refuse(batch, kind::STREAM_UPDATE, &error, now),
                Order::Created(request) => request.refuse(batch, kind::STREAM_CREATE, &error, now),
                // Lists go without this stream, and nothing else is asked of one that ends.
                _ => {}
            },
            Item::Interest(_) => {}
        }
    }
}
