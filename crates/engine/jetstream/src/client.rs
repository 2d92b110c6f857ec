//! Who asked, as advisories tell.

use std::sync::Arc;

use midge_broker::peer::Peer;
use midge_jsapi::client_info::ClientInfo;
use midge_stdx::clock::Now;
use midge_sync::atomic::Ordering;

use crate::account::JsAccount;
use crate::system::JetStream;

/// The object for a connection.
pub(crate) fn of(peer: &Arc<Peer>, account: &JsAccount, js: &JetStream, _now: Now) -> ClientInfo {
    let rtt_ns = i64::try_from(peer.rtt_ns.load(Ordering::Relaxed)).unwrap_or(0);
    peer.with_details(|details| ClientInfo {
        start: Some(peer.start.wall),
        host: peer.addr.map_or_else(String::new, |addr| addr.ip().to_string()),
        id: peer.cid,
        account: account.name().to_owned(),
        user: details.user.clone(),
        name: details.name.clone(),
        lang: details.lang.clone(),
        version: details.version.clone(),
        rtt_ns,
        server: js.settings.server_name.clone(),
        kind: "Client".to_owned(),
        client_type: "nats".to_owned(),
        ..ClientInfo::default()
    })
}
