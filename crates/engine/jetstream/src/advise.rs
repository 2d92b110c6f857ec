//! Advisories: told when somebody listens.

use std::sync::Arc;

use midge_broker::account::Account;
use midge_broker::batch::Batch;
use midge_broker::routing::Outgoing;
use midge_jsapi::advisories::Event;
use midge_stdx::clock::Now;
use midge_stdx::entropy::{Entropy as _, Seeded};
use midge_stdx::nuid::Nuid;

use crate::account::JsAccount;
use crate::system::JetStream;

/// Publishes an advisory in the account, if somebody listens there.
pub(crate) fn send<E: Event>(
    js: &JetStream,
    account: &JsAccount,
    batch: &mut Batch,
    event: &E,
    ids: &mut Seeded,
    now: Now,
) {
    send_in(js, &account.account, batch, event, ids, now);
}

/// The same in any account.
pub(crate) fn send_in<E: Event>(
    js: &JetStream,
    account: &Arc<Account>,
    batch: &mut Batch,
    event: &E,
    ids: &mut Seeded,
    now: Now,
) {
    let subject = event.subject();
    if !account.has_interest(subject.as_bytes()) {
        return;
    }
    let mut text = Vec::new();
    event.encode(&Nuid::new(Seeded::new(ids.next_u64())).next_id(), now.wall, &js.settings.domain, &mut text);
    let to = subject.as_bytes();
    js.broker.send(batch, account, &Outgoing { to, subject: to, reply: b"", header: b"", payload: &text });
}
