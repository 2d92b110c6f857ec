//! Where the decisions of consumers go.

use midge_assets::consumer::{Delivery, Event, Outlet};
use midge_broker::batch::Batch;
use midge_broker::routing::Outgoing;
use midge_jsapi::advisories::{
    self, AckMetric, ConsumerPause, GroupPinned, GroupUnpinned, MaxDeliver, Nak, Terminated, UnpinReason,
};
use midge_stdx::clock::Now;
use midge_stdx::entropy::Seeded;

use crate::account::JsAccount;
use crate::advise;
use crate::system::JetStream;

/// What consumers said that is dealt with when they have returned.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Replies, one after the other, that wait until everything so far is durable.
    replies: Vec<u8>,
    /// How long each is.
    lens: Vec<usize>,
    /// Messages that a consumer needs no more: which consumer, from, to.
    pub(super) done: Vec<(u32, u64, u64)>,
}

impl Said {
    /// Takes the replies out, in order.
    pub(super) fn replies(&mut self, mut each: impl FnMut(&[u8])) {
        let mut rest = &self.replies[..];
        for len in self.lens.drain(..) {
            let (reply, after) = rest.split_at(len);
            each(reply);
            rest = after;
        }
        self.replies.clear();
    }

    pub(super) fn has_replies(&self) -> bool {
        !self.lens.is_empty()
    }
}

/// See the module.
pub(super) struct HostOutlet<'a> {
    pub(super) js: &'a JetStream,
    pub(super) account: &'a JsAccount,
    pub(super) stream: &'a str,
    /// The consumer that speaks.
    pub(super) id: u32,
    pub(super) batch: &'a mut Batch,
    pub(super) said: &'a mut Said,
    /// For the ids of advisories.
    pub(super) ids: &'a mut Seeded,
    pub(super) now: Now,
}

impl Outlet for HostOutlet<'_> {
    fn deliver(&mut self, delivery: &Delivery<'_>) -> bool {
        let message = Outgoing {
            to: delivery.to,
            subject: delivery.subject,
            reply: delivery.reply,
            header: delivery.header,
            payload: delivery.payload,
        };
        self.js.send(self.batch, self.account, &message) > 0
    }

    fn status(&mut self, to: &[u8], reply: &[u8], header: &[u8]) -> bool {
        let message = Outgoing { to, subject: to, reply, header, payload: b"" };
        self.js.send(self.batch, self.account, &message) > 0
    }

    fn has_interest(&mut self, subject: &[u8]) -> bool {
        self.account.account.has_interest(subject)
    }

    fn has_subscriber(&mut self, subject: &[u8], group: Option<&[u8]>) -> bool {
        self.account.account.has_subscriber(subject, group)
    }

    fn is_rewritten(&self, _inbox: &[u8]) -> bool {
        // Replies are rewritten on their way between accounts only.
        false
    }

    fn reply_durable(&mut self, reply: &[u8]) {
        self.said.replies.extend_from_slice(reply);
        self.said.lens.push(reply.len());
    }

    fn reply_now(&mut self, reply: &[u8]) {
        self.status(reply, b"", b"");
    }

    fn advise(&mut self, consumer: &str, event: Event<'_>) {
        let (account, stream) = (self.account.name(), self.stream);
        let delivery = |consumer_seq, stream_seq, deliveries| advisories::Delivery {
            stream,
            consumer,
            consumer_seq,
            stream_seq,
            deliveries,
        };
        match event {
            Event::MaxDeliver { stream_seq, deliveries } => {
                self.tell(&MaxDeliver { stream, consumer, stream_seq, deliveries });
            }
            Event::Naked { consumer_seq, stream_seq, deliveries } => {
                self.tell(&Nak(delivery(consumer_seq, stream_seq, deliveries)));
            }
            Event::Terminated { consumer_seq, stream_seq, deliveries, reason } => {
                let delivery = delivery(consumer_seq, stream_seq, deliveries);
                self.tell(&Terminated { delivery, reason: reason.as_bytes() });
            }
            Event::Acked { consumer_seq, stream_seq, ack_time_ns, deliveries } => {
                let delivery = delivery(consumer_seq, stream_seq, deliveries);
                self.tell(&AckMetric { delivery, ack_time_ns });
            }
            Event::Pause { paused, until } => {
                self.tell(&ConsumerPause { stream, consumer, paused, pause_until: until });
            }
            Event::Pinned { group, id } => {
                self.tell(&GroupPinned { account, stream, consumer, group, pinned_id: id });
            }
            Event::Unpinned { group, reason } => {
                let reason = if reason == "admin" { UnpinReason::Admin } else { UnpinReason::Timeout };
                self.tell(&GroupUnpinned { account, stream, consumer, group, reason });
            }
        }
    }

    fn done_with(&mut self, _consumer: &str, first: u64, last: u64) {
        self.said.done.push((self.id, first, last));
    }
}

impl HostOutlet<'_> {
    fn tell<E: advisories::Event>(&mut self, event: &E) {
        advise::send(self.js, self.account, self.batch, event, self.ids, self.now);
    }
}
