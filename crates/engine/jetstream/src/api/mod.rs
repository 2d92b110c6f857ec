//! The API: requests on `$JS.API.>`.
//!
//! ```text
//!   $JS.API.> ─▶ router (on the publisher's thread) ─┬─ about one stream ─▶ its host's inbox
//!                                                    ├─ what changes or lists streams ─▶ manager
//!                                                    └─ INFO, errors ─▶ answered at once
//! ```

mod domain;
pub(crate) mod gather;
pub(crate) mod manager;
mod offline;
mod router;
mod system_account;

use std::sync::Arc;

use midge_broker::batch::Batch;
use midge_broker::peer::Peer;
use midge_broker::routing::Outgoing;
use midge_jsapi::advisories::ApiAudit;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::json::{self, Mode, Object};
use midge_jsapi::responses;
use midge_stdx::clock::Now;
use midge_sync::atomic::{AtomicBool, Ordering};
use midge_wire::headers as wire_headers;

pub use router::account_info;

use crate::account::JsAccount;
use crate::client;
use crate::system::JetStream;

/// A request, on its way to whoever answers it.
pub(crate) struct ApiRequest {
    pub(crate) js: Arc<JetStream>,
    pub(crate) account: Arc<JsAccount>,
    pub(crate) from: Arc<Peer>,
    pub(crate) subject: Vec<u8>,
    pub(crate) reply: Vec<u8>,
    pub(crate) header: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// Something was said to it.
    pub(crate) answered: AtomicBool,
}

impl Drop for ApiRequest {
    fn drop(&mut self) {
        self.js.inflight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ApiRequest {
    /// Reads the body. Strict mode refuses fields that are not known; otherwise they are passed over with a line in the log.
    pub(crate) fn read<T: Object + Default>(&self) -> Result<T, ApiError> {
        let mut value = T::default();
        match json::decode(&self.body, Mode::Strict, &mut value) {
            Ok(()) => Ok(value),
            Err(why) if self.js.settings.strict => Err(errors::INVALID_JSON.because(&why)),
            Err(why) => {
                let subject = String::from_utf8_lossy(&self.subject);
                tracing::warn!(
                    blame = "client",
                    "Invalid JetStream request '{} > {subject}': {why}",
                    self.account.name()
                );
                let mut value = T::default();
                json::decode_one(&self.body, Mode::Lenient, &mut value)
                    .map_err(|why| errors::INVALID_JSON.because(&why))?;
                Ok(value)
            }
        }
    }

    /// The same where a body may be missing, or be something else.
    pub(crate) fn read_optional<T: Object + Default>(&self) -> Result<T, ApiError> {
        if midge_jsapi::requests::has_json(&self.body) { self.read() } else { Ok(T::default()) }
    }

    /// A header of the request.
    pub(crate) fn header(&self, key: &[u8]) -> Option<&[u8]> {
        wire_headers::find(&self.header, key)
    }

    /// Refuses the request.
    pub(crate) fn refuse(&self, batch: &mut Batch, kind: &str, error: &ApiError, now: Now) {
        let mut body = Vec::new();
        responses::refuse(kind, error, &mut body);
        self.send(batch, b"", body, true, now);
    }

    /// Answers the request.
    pub(crate) fn answer<T: Object>(&self, batch: &mut Batch, kind: &str, fields: &T, now: Now) {
        let mut body = Vec::new();
        responses::encode(kind, None, fields, &mut body);
        self.send(batch, b"", body, false, now);
    }

    /// Sends an answer, counts it, and has it told to whoever audits.
    pub(crate) fn send(&self, batch: &mut Batch, header: &[u8], body: Vec<u8>, failed: bool, now: Now) {
        self.send_uncounted(batch, header, &body);
        for api in [&self.account.api, &self.js.api] {
            api.total.fetch_add(1, Ordering::Relaxed);
            if failed {
                api.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        if self.account.account.has_interest(b"$JS.EVENT.ADVISORY.API") {
            let client = client::of(&self.from, &self.account, &self.js, now);
            let event = ApiAudit {
                server: &self.js.settings.server_name,
                client: &client,
                subject: &String::from_utf8_lossy(&self.subject),
                request: &self.body,
                response: &body,
            };
            let mut ids = self.js.draw_entropy();
            crate::advise::send(&self.js, &self.account, batch, &event, &mut ids, now);
        }
    }

    /// Sends an answer that is neither counted nor audited.
    pub(crate) fn send_uncounted(&self, batch: &mut Batch, header: &[u8], body: &[u8]) {
        self.answered.store(true, Ordering::Relaxed);
        if !self.reply.is_empty() {
            let to = &self.reply[..];
            self.js.send(
                batch,
                &self.account,
                &Outgoing { to, subject: to, reply: b"", header, payload: body },
            );
        }
    }
}

/// What is said of a stream that is not there.
pub(crate) fn unknown_stream() -> ApiError {
    errors::STREAM_NOT_FOUND.into()
}

/// Lets requests in.
pub(crate) fn install(js: &Arc<JetStream>) {
    for account in js.accounts() {
        router::install(js, &account);
        domain::install(js, &account.account, false);
    }
    router::install_refusals(js);
    system_account::install(js);
}
