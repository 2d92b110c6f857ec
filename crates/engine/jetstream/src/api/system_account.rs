//! The API in the system account: what concerns the server, or all accounts.

use std::sync::Arc;

use midge_broker::account::Account;
use midge_broker::batch::Batch;
use midge_broker::internal::{Request, Service};
use midge_broker::routing::Outgoing;
use midge_jsapi::errors;
use midge_jsapi::responses::{self, AccountPurged, kind};
use midge_jsapi::subjects::{self, ApiCall};

use super::manager::Told;
use crate::system::JetStream;

/// See the module.
struct SystemDoor {
    js: Arc<JetStream>,
    account: Arc<Account>,
}

/// Lets requests of the system account in.
pub(crate) fn install(js: &Arc<JetStream>) {
    let Some(account) = js.broker.accounts.system().cloned() else { return };
    super::domain::install(js, &account, true);
    let door: Arc<dyn Service> = Arc::new(SystemDoor { js: js.clone(), account: account.clone() });
    js.open_door(&account, subjects::API_ALL.as_bytes(), door);
}

impl SystemDoor {
    /// Has every stream of an account deleted.
    fn purge_account(&self, name: &str) -> Vec<u8> {
        let mut body = Vec::new();
        if name.contains(['/', '\\']) {
            let error = errors::STREAM_GENERAL.because("account name can not contain path separators");
            responses::refuse(kind::ACCOUNT_PURGE, &error, &mut body);
            return body;
        }
        if let Some(account) = self.js.account(name) {
            self.js.manager.tell(Told::Purge(account));
        }
        responses::encode(kind::ACCOUNT_PURGE, None, &AccountPurged { initiated: true }, &mut body);
        body
    }
}

impl Service for SystemDoor {
    fn handle(&self, batch: &mut Batch, request: &Request<'_>) {
        if self.js.is_stopping() || request.reply.is_empty() {
            return;
        }
        let Some(call) = ApiCall::parse(request.subject) else { return };
        let body = match call {
            ApiCall::AccountPurge { account } => self.purge_account(account),
            // What a cluster decides is silent without one.
            _ if call.is_of_the_system() || call.is_of_the_account() => return,
            ApiCall::ConsumerNext { .. } | ApiCall::DirectGet { .. } | ApiCall::ConsumerReset { .. } => {
                return;
            }
            ApiCall::Info => {
                let mut body = Vec::new();
                responses::refuse(kind::ACCOUNT_INFO, &errors::NOT_ENABLED_FOR_ACCOUNT.into(), &mut body);
                body
            }
            _ => {
                let mut body = Vec::new();
                responses::refuse(kind::SYSTEM, &errors::NOT_ENABLED_FOR_ACCOUNT.into(), &mut body);
                body
            }
        };
        let to = request.reply;
        let message = Outgoing { to, subject: to, reply: b"", header: b"", payload: &body };
        self.js.broker.send(batch, &self.account, &message);
    }
}
