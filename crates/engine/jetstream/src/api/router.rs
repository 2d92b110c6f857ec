//! Where requests arrive, on the thread of whoever publishes them.

use std::sync::Arc;

use midge_broker::account::Account;
use midge_broker::batch::Batch;
use midge_broker::internal::{Request, Service};
use midge_broker::routing::Outgoing;
use midge_jsapi::account::{AccountInfo, ApiStats, Tier};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::headers;
use midge_jsapi::levels;
use midge_jsapi::responses;
use midge_jsapi::stream_config::Storage;
use midge_jsapi::subjects::{self, ApiCall};
use midge_stdx::clock::Now;
use midge_sync::atomic::{AtomicBool, AtomicU64, Ordering};
use midge_wire::headers as wire_headers;

use super::{ApiRequest, offline};
use crate::account::{JsAccount, Phase};
use crate::host::Item;
use crate::system::JetStream;

/// See the module.
struct Router {
    js: Arc<JetStream>,
    account: Arc<JsAccount>,
}

/// Requests that have doors of their own; nobody answers for a consumer or a stream that is not there.
const OWN_DOORS: [&[u8]; 2] = [b"$JS.API.CONSUMER.MSG.NEXT", b"$JS.API.DIRECT.GET"];

/// Lets the requests of an account in.
pub(crate) fn install(js: &Arc<JetStream>, account: &Arc<JsAccount>) {
    let router: Arc<dyn Service> = Arc::new(Router { js: js.clone(), account: account.clone() });
    js.open_door(&account.account, subjects::API_ALL.as_bytes(), router);
}

/// An account that has no JetStream: whoever asks is told so.
struct Refusals {
    js: Arc<JetStream>,
    account: Arc<Account>,
}

/// Lets the requests of accounts without JetStream in.
pub(crate) fn install_refusals(js: &Arc<JetStream>) {
    let system = js.broker.accounts.system().map(|account| account.id);
    let served: Vec<_> = js.accounts().iter().map(|account| account.account.id).collect();
    for account in js.broker.accounts.all() {
        if served.contains(&account.id) || system == Some(account.id) {
            continue;
        }
        let refusals: Arc<dyn Service> = Arc::new(Refusals { js: js.clone(), account: account.clone() });
        js.open_door(&account, subjects::API_ALL.as_bytes(), refusals);
    }
}

impl Service for Refusals {
    fn takes(&self, subject: &[u8]) -> bool {
        !OWN_DOORS.iter().any(|prefix| subject.starts_with(prefix))
    }

    fn handle(&self, batch: &mut Batch, request: &Request<'_>) {
        let Some(call) = ApiCall::parse(request.subject) else { return };
        if call.is_of_the_system()
            || call.is_of_the_account()
            || request.reply.is_empty()
            || self.js.is_stopping()
        {
            return;
        }
        let level = wire_headers::find(request.header, headers::REQUIRED_API_LEVEL);
        let error = match call {
            _ if level.is_some_and(|level| !levels::is_served(level)) => errors::REQUIRED_API_LEVEL,
            call if call.needs_a_cluster() => errors::CLUSTER_REQUIRED,
            _ => errors::NOT_ENABLED_FOR_ACCOUNT,
        };
        let mut body = Vec::new();
        responses::refuse(call.reply_kind(), &error.into(), &mut body);
        let (to, reply, header): (_, &[u8], &[u8]) = (request.reply, b"", b"");
        let answer = Outgoing { to, subject: to, reply, header, payload: &body };
        self.js.broker.send(batch, &self.account, &answer);
    }
}

impl Service for Router {
    fn takes(&self, subject: &[u8]) -> bool {
        !OWN_DOORS.iter().any(|prefix| subject.starts_with(prefix))
    }

    fn handle(&self, batch: &mut Batch, request: &Request<'_>) {
        if self.js.is_stopping() {
            return;
        }
        let Some(call) = ApiCall::parse(request.subject) else { return };
        if call.is_of_the_system() || call.is_of_the_account() {
            return;
        }
        let inflight = self.js.inflight.fetch_add(1, Ordering::AcqRel) + 1;
        let owned = ApiRequest {
            js: self.js.clone(),
            account: self.account.clone(),
            from: request.from.clone(),
            subject: request.subject.to_vec(),
            reply: request.reply.to_vec(),
            header: request.header.to_vec(),
            body: request.payload.to_vec(),
            answered: AtomicBool::new(false),
        };
        let now = request.now;
        if inflight > self.js.settings.api_requests as u64 {
            return owned.refuse(batch, call.reply_kind(), &errors::CLUSTER_NOT_AVAIL.into(), now);
        }
        if let Some(level) = owned.header(headers::REQUIRED_API_LEVEL)
            && !levels::is_served(level)
        {
            let error = ApiError::from(errors::REQUIRED_API_LEVEL);
            return owned.refuse(batch, call.reply_kind(), &error, now);
        }
        self.dispatch(batch, call, Box::new(owned), now);
    }
}

impl Router {
    fn dispatch(&self, batch: &mut Batch, call: ApiCall<'_>, request: Box<ApiRequest>, now: Now) {
        let kind = call.reply_kind();
        match call {
            ApiCall::Info => self.info(batch, &request, now),
            ApiCall::StreamCreate { .. }
            | ApiCall::StreamUpdate { .. }
            | ApiCall::StreamDelete { .. }
            | ApiCall::StreamRestore { .. }
            | ApiCall::StreamNames
            | ApiCall::StreamList => self.js.manager.request(request),
            call if call.needs_a_cluster() => {
                request.refuse(batch, kind, &errors::CLUSTER_REQUIRED.into(), now);
            }
            ApiCall::StreamInfo { stream }
            | ApiCall::StreamPurge { stream }
            | ApiCall::MsgGet { stream }
            | ApiCall::MsgDelete { stream }
            | ApiCall::StreamSnapshot { stream }
            | ApiCall::ConsumerCreate { stream, .. }
            | ApiCall::ConsumerDurableCreate { stream, .. }
            | ApiCall::ConsumerNames { stream }
            | ApiCall::ConsumerList { stream }
            | ApiCall::ConsumerInfo { stream, .. }
            | ApiCall::ConsumerDelete { stream, .. }
            | ApiCall::ConsumerPause { stream, .. }
            | ApiCall::ConsumerUnpin { stream, .. } => self.to_host(batch, stream, kind, request, now),
            // Doors of their own, or of the system account.
            _ => {}
        }
    }

    fn to_host(
        &self,
        batch: &mut Batch,
        stream: &str,
        kind: &'static str,
        request: Box<ApiRequest>,
        now: Now,
    ) {
        let refuse = |batch: &mut Batch, request: &ApiRequest, error: ApiError| {
            request.refuse(batch, kind, &error, now);
        };
        let Some(handle) = self.account.stream(stream) else {
            return refuse(batch, &request, super::unknown_stream());
        };
        match handle.phase() {
            Phase::Offline => offline::answer(batch, &handle, kind, &request, now),
            Phase::Deleting => refuse(batch, &request, errors::STREAM_NOT_FOUND.into()),
            // While it is being created or opened its inbox keeps what comes.
            Phase::Opening | Phase::Running => {
                if let Err(Item::Api(request)) = handle.inbox.send(Item::Api(request))
                    && handle.phase() == Phase::Deleting
                {
                    // It has just gone. One that went with its server leaves requests unanswered, as a server does.
                    refuse(batch, &request, errors::STREAM_NOT_FOUND.into());
                }
            }
        }
    }

    fn info(&self, batch: &mut Batch, request: &ApiRequest, now: Now) {
        let mut body = Vec::new();
        responses::encode_account(&account_info(&self.js, &self.account), &mut body);
        request.send(batch, b"", body, false, now);
    }
}

/// What an account uses and may use.
pub fn account_info(js: &JetStream, account: &JsAccount) -> AccountInfo {
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    let streams = account.streams();
    AccountInfo {
        total: Tier {
            memory: unsigned(account.usage.of(Storage::Memory)),
            storage: unsigned(account.usage.of(Storage::File)),
            reserved_memory: unsigned(account.reserved(Storage::Memory)),
            reserved_storage: unsigned(account.reserved(Storage::File)),
            streams: streams.len() as i64,
            consumers: account.consumers() as i64,
            limits: account.limits.clone(),
        },
        domain: js.settings.domain.clone(),
        api: ApiStats {
            level: i64::from(levels::API_LEVEL),
            total: count(&account.api.total),
            errors: count(&account.api.errors),
            inflight: 0,
        },
        ..AccountInfo::default()
    }
}
