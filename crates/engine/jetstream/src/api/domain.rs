//! The API under the name of the domain: `$JS.<domain>.API.>` leads to where the API is.

use std::sync::Arc;

use midge_broker::account::Account;
use midge_broker::batch::Batch;
use midge_broker::internal::{Request, Service};
use midge_broker::routing::{self, Outgoing};
use midge_jsapi::subjects::API_PREFIX;

use crate::system::JetStream;

/// Parts of the API that a domain leads to.
const PARTS: [&[u8]; 6] = [b"STREAM.", b"CONSUMER.", b"DIRECT.", b"META.", b"SERVER.", b"ACCOUNT."];

/// Subjects of buckets, which keep their own names.
const BUCKETS: [&[u8]; 2] = [b"$KV.", b"$OBJ."];

/// See the module.
struct DomainDoor {
    account: Arc<Account>,
    /// `$JS.<domain>.API.`
    prefix: Vec<u8>,
    /// Everything is led on, as in the system account.
    all: bool,
}

/// Lets an account use the name of the domain.
pub(crate) fn install(js: &JetStream, account: &Arc<Account>, all: bool) {
    let domain = &js.settings.domain;
    if domain.is_empty() {
        return;
    }
    let prefix = format!("$JS.{domain}.API.").into_bytes();
    let subject = [&prefix[..], b">"].concat();
    let door: Arc<dyn Service> = Arc::new(DomainDoor { account: account.clone(), prefix, all });
    js.open_door(account, &subject, door);
}

impl DomainDoor {
    /// Where a subject leads.
    fn target(&self, subject: &[u8]) -> Option<Vec<u8>> {
        let rest = subject.strip_prefix(&self.prefix[..])?;
        if BUCKETS.iter().any(|bucket| rest.starts_with(bucket)) && !self.all {
            return Some(rest.to_vec());
        }
        let known = rest == b"INFO" || PARTS.iter().any(|part| rest.starts_with(part));
        (known || self.all).then(|| [API_PREFIX.as_bytes(), rest].concat())
    }
}

impl Service for DomainDoor {
    fn takes(&self, subject: &[u8]) -> bool {
        self.target(subject).is_some_and(|target| self.account.has_takers(&target))
    }

    fn handle(&self, batch: &mut Batch, request: &Request<'_>) {
        let Some(to) = self.target(request.subject) else { return };
        let Request { reply, header, payload, .. } = *request;
        let message = Outgoing { to: &to, subject: &to, reply, header, payload };
        routing::send(batch, &self.account, request.from, &message);
    }
}
