//! From a parsed publish to appended output.
//!
//! ```text
//!   run of publishes ─▶ route (remembered, else index) ─▶ deliver to plain ─▶ one member of each queue ─▶ 503?
//! ```
//!
//! A *run* is a sequence of messages that one connection published to one subject without anything in between. It is
//! routed once, and each receiver's queue is locked once for all of it, as long as that cannot change the order in
//! which any connection sees messages.

mod cache;
mod deliver;
mod outgoing;

use std::sync::Arc;

use bytes::Bytes;
use midge_index::sublist::Matched;
use midge_wire::headers;
use midge_wire::parse::Publish;

pub use cache::{Route, RouteCache};
pub use outgoing::{Outgoing, send};

use crate::account::{Account, counter};
use crate::batch::Batch;
use crate::conn::trace;
use crate::internal::Request;
use crate::peer::Peer;
use crate::settings::TraceSettings;
use crate::subscription::{Subscription, Target};
use deliver::Sent;

/// Who publishes, and what matters for delivery.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The publishing connection.
    pub peer: &'a Arc<Peer>,
    /// The account it is bound to.
    pub account: &'a Arc<Account>,
    /// Whether it receives its own messages.
    pub echo: bool,
    /// Whether it wants to know when nobody listens.
    pub no_responders: bool,
    /// Whether a consumer that is nearly full loses the message instead of slowing the publisher.
    pub drop_for_slow: bool,
    /// Set when deliveries are traced.
    pub trace: Option<TraceSettings>,
}

/// Routes a run: publishes of one subject, in order. `input` is the buffer they lie in, when it can be shared.
pub fn publish(batch: &mut Batch, origin: &Origin<'_>, run: &[Publish<'_>], input: Option<&Bytes>) {
    let Some(first) = run.first() else { return };
    publish_to(batch, origin, first.subject, run, input);
}

/// Routes a run by another subject than the one that receivers are shown. Answers how many deliveries were made, at most one per message and
/// receiver.
fn publish_to(
    batch: &mut Batch,
    origin: &Origin<'_>,
    to: &[u8],
    run: &[Publish<'_>],
    input: Option<&Bytes>,
) -> usize {
    if let Some(route) = batch.routes.find(origin.account, to) {
        origin.account.counters.add(batch.shard, counter::CACHE_HITS, 1);
        return route_run(batch, origin, to, &route.matched, route.distinct, run, input);
    }
    let mut matched = std::mem::take(&mut batch.matched);
    matched.clear();
    let stamp = origin.account.matching(to, &mut matched);
    let width = matched.len() as u64;
    origin.account.counters.add(batch.shard, counter::MATCHES, 1);
    origin.account.counters.add(batch.shard, counter::FANOUT, width);
    origin.account.saw_fanout(width);
    let reached = if batch.routes.wants(origin.account, to, run.len()) {
        let route = Arc::new(Route::new(matched.clone()));
        batch.routes.keep(origin.account, to, stamp, route.clone());
        route_run(batch, origin, to, &route.matched, route.distinct, run, input)
    } else {
        let distinct = matched.plain.len() <= 1 && matched.queues.is_empty();
        route_run(batch, origin, to, &matched, distinct, run, input)
    };
    matched.clear();
    batch.matched = matched;
    reached
}

fn route_run(
    batch: &mut Batch,
    origin: &Origin<'_>,
    route: &[u8],
    matched: &Matched<Arc<Subscription>>,
    distinct: bool,
    run: &[Publish<'_>],
    input: Option<&Bytes>,
) -> usize {
    if distinct {
        let reached = matched
            .plain
            .iter()
            .map(|sub| to(batch, origin, route, sub, run, input))
            .max()
            .unwrap_or_default();
        unreached(batch, origin, run.get(reached..).unwrap_or_default());
        return reached;
    }
    let mut total = 0;
    for at in 0..run.len() {
        let one = run.get(at..=at).unwrap_or_default();
        let mut reached = 0;
        for sub in &matched.plain {
            reached += to(batch, origin, route, sub, one, input);
        }
        for members in &matched.queues {
            reached += to_group(batch, origin, route, members, one, input);
        }
        if reached == 0 {
            unreached(batch, origin, one);
        }
        total += reached;
    }
    total
}

/// One member of a queue group: a random one, or the next that takes the message.
fn to_group(
    batch: &mut Batch,
    origin: &Origin<'_>,
    route: &[u8],
    members: &[Arc<Subscription>],
    one: &[Publish<'_>],
    input: Option<&Bytes>,
) -> usize {
    let start = batch.pick(members.len());
    let (tail, head) = members.split_at(start);
    head.iter().chain(tail).find(|sub| to(batch, origin, route, sub, one, input) > 0).map_or(0, |_| 1)
}

/// Delivers a run to one subscription; answers how many of its first messages were taken.
fn to(
    batch: &mut Batch,
    origin: &Origin<'_>,
    route: &[u8],
    sub: &Arc<Subscription>,
    run: &[Publish<'_>],
    input: Option<&Bytes>,
) -> usize {
    let peer = match &sub.target {
        Target::Peer(peer) => peer,
        Target::Internal(service) => {
            if !service.takes(route) {
                return 0;
            }
            for publish in run {
                let (header, payload) = publish.body().split_at(publish.header_len as usize);
                let now = batch.now;
                service.handle(
                    batch,
                    &Request {
                        subject: publish.subject,
                        reply: publish.reply,
                        header,
                        payload,
                        account: origin.account,
                        from: origin.peer,
                        now,
                    },
                );
            }
            return run.len();
        }
    };
    if !origin.echo && peer.cid == origin.peer.cid {
        return 0;
    }
    if sub.filtered() && !peer.may_receive(route, sub.queue()) {
        return 0;
    }
    let Sent { messages, spent } = deliver::deliver(batch, origin, peer, sub, run, input);
    if let Some(settings) = origin.trace {
        for publish in run.iter().take(messages) {
            trace::trace_delivery(peer, sub.sid(), publish, settings);
        }
    }
    if spent {
        end(origin.account, peer, sub);
    }
    messages
}

/// A subscription whose maximum is reached leaves the index; its owner forgets it at its next turn.
pub(crate) fn end(account: &Arc<Account>, peer: &Arc<Peer>, sub: &Arc<Subscription>) {
    if sub.end() {
        account.remove(sub);
        peer.subscriptions.fetch_sub(1, midge_sync::atomic::Ordering::Relaxed);
        peer.subscription_ended(sub.clone());
    }
}

/// Tells the publisher which of its requests nobody received, when it asked for that and listens for the answer.
fn unreached(batch: &mut Batch, origin: &Origin<'_>, run: &[Publish<'_>]) {
    if !origin.no_responders {
        return;
    }
    for publish in run.iter().filter(|p| !p.reply.is_empty()) {
        let mut matched = Matched::default();
        origin.account.matching(publish.reply, &mut matched);
        let own = matched.plain.iter().find(|sub| sub.peer().is_some_and(|p| p.cid == origin.peer.cid));
        if let Some(own) = own {
            let mut header = Vec::with_capacity(40 + publish.subject.len());
            headers::no_responders(publish.subject, &mut header);
            let mut out = Vec::with_capacity(header.len() + 2 * publish.reply.len() + 32);
            midge_wire::encode::message(&mut out, publish.reply, own.sid(), b"", &header, b"");
            batch.send(origin.peer, &out);
        }
    }
}

/// Publishes a message of the server itself, in the name of a connection.
pub fn publish_internal(batch: &mut Batch, request: &Request<'_>, to_subject: &[u8], payload: &[u8]) {
    let message = Outgoing { to: to_subject, subject: to_subject, reply: b"", header: b"", payload };
    send(batch, request.account, request.from, &message);
}
