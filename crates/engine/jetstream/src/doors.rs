//! Where messages of accounts enter streams.

use std::sync::Arc;

use midge_broker::batch::Batch;
use midge_broker::internal::{Request, Service};
use midge_broker::routing::Outgoing;
use midge_jsapi::errors;
use midge_jsapi::puback;

use crate::account::JsAccount;
use crate::host::{Inbox, Refused, parts};
use crate::system::JetStream;

/// What a publisher is told whose message cannot wait any more, before the error.
const TOO_MANY: &[u8] = b"NATS/1.0 429 Too Many Requests\r\n\r\n";

/// One subject of a stream.
pub(crate) struct PublishDoor {
    pub(crate) js: Arc<JetStream>,
    pub(crate) account: Arc<JsAccount>,
    pub(crate) stream: Arc<str>,
    pub(crate) inbox: Arc<Inbox>,
}

impl Service for PublishDoor {
    fn handle(&self, batch: &mut Batch, request: &Request<'_>) {
        match self.inbox.publish(&parts(request)) {
            Ok(()) => {}
            Err(Refused::Full) if !request.reply.is_empty() => {
                let mut text = Vec::new();
                puback::refused(&errors::STREAM_TOO_MANY_REQUESTS.into(), &self.stream, &mut text);
                let (to, header) = (request.reply, TOO_MANY);
                let message = Outgoing { to, subject: to, reply: b"", header, payload: &text };
                self.js.send(batch, &self.account, &message);
            }
            // Nobody waits for an answer, or the stream has just gone.
            Err(Refused::Full | Refused::Closed) => {}
        }
    }
}
