//! Messages for those who ask.

use std::sync::Arc;

use midge_assets::stream::get::direct::{self, Answer, DirectGet};
use midge_assets::stream::get::{Got, Which};
use midge_broker::batch::Batch;
use midge_broker::routing::Outgoing;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::headers;
use midge_jsapi::json::{self, Mode};
use midge_jsapi::levels;
use midge_jsapi::requests::{self, MsgGet};
use midge_jsapi::responses::{self, StoredMessage, kind};
use midge_jsapi::subjects::ApiCall;
use midge_stdx::clock::{Now, Wall};
use midge_store::stream::{Message, Step};
use midge_wire::headers as wire_headers;

use super::super::{Host, Parts};
use super::Asked;

impl Host {
    pub(super) fn message_get(&mut self, batch: &mut Batch, request: Asked, now: Now) {
        let kind = kind::MSG_GET;
        if requests::is_empty(&request.body) {
            return request.refuse(batch, kind, &errors::BAD_REQUEST.into(), now);
        }
        let asked: Result<MsgGet, ApiError> = request.read();
        let (mut which, bare) = match asked.and_then(|asked| Ok((Which::of(&asked)?, asked.no_hdr))) {
            Ok(which) => which,
            Err(error) => return request.refuse(batch, kind, &error, now),
        };
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                match which.find(&mut host.store, host.visible) {
                    Step::Wait | Step::Ready(Got::Later(_)) => return Step::Wait,
                    Step::Ready(Got::Message(message)) => {
                        let body = told(&message, bare);
                        request.send_uncounted(batch, b"", &body);
                    }
                    Step::Ready(Got::NotFound) => {
                        request.refuse(batch, kind, &errors::NO_MESSAGE_FOUND.into(), now);
                    }
                    Step::Failed(error) => {
                        request.refuse(batch, kind, &errors::STREAM_GENERAL.because(&error), now);
                    }
                }
                Step::Ready(())
            }),
        );
    }

    /// A request that is answered with messages as they are.
    pub(in crate::host) fn direct_get(&mut self, batch: &mut Batch, parts: &Parts<'_>, now: Now) {
        let reply: Arc<[u8]> = parts.reply.into();
        if let Some(level) = wire_headers::find(parts.header, headers::REQUIRED_API_LEVEL)
            && !levels::is_served(level)
        {
            return self.send_status(batch, &reply, direct::REQUIRED_API_LEVEL);
        }
        let Some(ApiCall::DirectGet { subject, .. }) = ApiCall::parse(parts.subject) else { return };
        let mut asked = MsgGet::default();
        if !parts.payload.is_empty() && json::decode_one(parts.payload, Mode::Lenient, &mut asked).is_err() {
            return self.send_status(batch, &reply, direct::MALFORMED_REQUEST);
        }
        if parts.payload.is_empty() && subject.is_none() {
            return self.send_status(batch, &reply, direct::EMPTY_REQUEST);
        }
        let max_bytes = self.js.broker.settings().max_pending as u64;
        let mut get = match DirectGet::new(&asked, subject.map(str::as_bytes), max_bytes) {
            Ok(get) => get,
            Err(status) => return self.send_status(batch, &reply, status),
        };
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, _| {
                let mut header = std::mem::take(&mut host.text);
                let step = host.answer_get(batch, &reply, &mut get, &mut header);
                host.text = header;
                step
            }),
        );
    }

    fn answer_get(
        &mut self,
        batch: &mut Batch,
        reply: &[u8],
        get: &mut DirectGet,
        header: &mut Vec<u8>,
    ) -> Step<()> {
        loop {
            header.clear();
            let answer = get.step(&mut self.store, self.visible, self.handle.name.as_bytes(), header);
            match answer {
                Step::Wait | Step::Ready(Answer::Later(_)) => return Step::Wait,
                Step::Ready(Answer::Message { message, last }) => {
                    let message = Outgoing {
                        to: reply,
                        subject: reply,
                        reply: b"",
                        header,
                        payload: message.payload(),
                    };
                    let taken = self.js.send(batch, &self.account, &message);
                    if last || taken == 0 {
                        return Step::Ready(());
                    }
                }
                Step::Ready(Answer::Status) => {
                    self.send_status(batch, reply, header);
                    return Step::Ready(());
                }
                Step::Failed(error) => {
                    let status = format!("NATS/1.0 500 {error}\r\n\r\n");
                    self.send_status(batch, reply, status.as_bytes());
                    return Step::Ready(());
                }
            }
        }
    }

    pub(in crate::host) fn send_body(&mut self, batch: &mut Batch, to: &[u8], body: &[u8]) {
        let message = Outgoing { to, subject: to, reply: b"", header: b"", payload: body };
        if !to.is_empty() {
            self.js.send(batch, &self.account, &message);
        }
    }

    pub(in crate::host) fn send_status(&mut self, batch: &mut Batch, to: &[u8], header: &[u8]) {
        let message = Outgoing { to, subject: to, reply: b"", header, payload: b"" };
        self.js.send(batch, &self.account, &message);
    }
}

/// The answer with a message in it.
fn told(message: &Message, bare: bool) -> Vec<u8> {
    let mut body = Vec::new();
    let subject = String::from_utf8_lossy(message.subject());
    let stored = StoredMessage {
        subject: &subject,
        seq: message.seq,
        header: if bare { b"" } else { message.headers() },
        payload: message.payload(),
        time: Wall(message.ts_ns),
    };
    responses::encode_message(&stored, &mut body);
    body
}
