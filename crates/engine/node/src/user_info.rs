//! `$SYS.REQ.USER.INFO`: a client asks who it is.

use std::sync::{Arc, Weak};

use midge_broker::batch::Batch;
use midge_broker::internal::{Request, Service};
use midge_broker::routing;
use midge_broker::subscription::{Subscription, Target};
use midge_stdx::clock::Now;
use midge_stdx::{gojson, gotime};
use midge_sync::atomic::{AtomicU64, Ordering};

use crate::Node;

/// The subject, in every account.
pub const SUBJECT: &str = "$SYS.REQ.USER.INFO";

/// Answers with the requester's user, account and permissions.
struct UserInfo {
    node: Weak<Node>,
    sequence: AtomicU64,
}

/// Subscribes the service in every account; without a system account there are no such services.
pub(crate) fn install(node: &Arc<Node>) {
    if node.broker.accounts.system().is_none() {
        return;
    }
    let service: Arc<dyn Service> =
        Arc::new(UserInfo { node: Arc::downgrade(node), sequence: AtomicU64::new(0) });
    for account in node.broker.accounts.all() {
        let target = Target::Internal(service.clone());
        let subscription = Subscription::new(target, SUBJECT.as_bytes(), None, b"1", false);
        // The subject is valid, so this cannot fail.
        let _ = account.insert(Arc::new(subscription));
    }
}

impl Service for UserInfo {
    fn handle(&self, batch: &mut Batch, request: &Request<'_>) {
        if request.reply.is_empty() {
            return;
        }
        let Some(node) = self.node.upgrade() else { return };
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let mut out = String::from("{\"server\":");
        push_server(&mut out, &node, sequence, request.now);
        out.push_str(",\"data\":{\"user\":");
        let user = request.from.with_details(|details| details.user.clone());
        gojson::push_string(&mut out, &user);
        for field in ["account", "account_name"] {
            out.push_str(&format!(",\"{field}\":"));
            gojson::push_string(&mut out, &request.account.name);
        }
        if let Some(permissions) = request.from.permissions() {
            out.push_str(",\"permissions\":");
            permissions.push_json(&mut out);
        }
        out.push_str("}}");
        routing::publish_internal(batch, request, request.reply, out.as_bytes());
    }
}

/// The object by which a server names itself in system messages.
fn push_server(out: &mut String, node: &Node, sequence: u64, now: Now) {
    let settings = node.broker.settings();
    let identity = &settings.identity;
    for (key, value) in [
        ("{\"name\":", &identity.server_name),
        (",\"host\":", &settings.host),
        (",\"id\":", &identity.server_id),
        (",\"ver\":", &identity.version),
    ] {
        out.push_str(key);
        gojson::push_string(out, value);
    }
    let tags = &node.options.server.server_tags;
    if !tags.is_empty() {
        out.push_str(",\"tags\":[");
        for (n, tag) in tags.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            gojson::push_string(out, tag);
        }
        out.push(']');
    }
    out.push_str(",\"feature_flags\":{");
    for (n, (flag, on)) in node.feature_flags().into_iter().enumerate() {
        out.push_str(&format!("{}\"{flag}\":{on}", if n > 0 { "," } else { "" }));
    }
    out.push('}');
    let streams = node.jetstream.get().is_some();
    out.push_str(&format!(",\"jetstream\":{streams},\"flags\":0,\"seq\":"));
    out.push_str(&sequence.to_string());
    out.push_str(",\"time\":");
    gojson::push_string(out, &gotime::rfc3339(now.wall));
    out.push('}');
}
