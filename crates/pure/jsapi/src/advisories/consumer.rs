//! What happens to consumers and to the messages that they deliver.

use midge_stdx::clock::Wall;

use super::{Deed, Event, METRIC_TYPE_PREFIX};
use crate::info::PeerInfo;
use crate::json::Fields;

/// A consumer was made or removed; of changes nothing is told.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerAction<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// What was done.
    pub deed: Deed,
}

impl Event for ConsumerAction<'_> {
    fn kind(&self) -> &'static str {
        "consumer_action"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.CONSUMER.{}.{}.{}", self.deed.token(), self.stream, self.consumer)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("stream", self.stream);
        fields.text("consumer", self.consumer);
        fields.text("action", self.deed.text());
        fields.text_omit("domain", domain);
    }
}

/// A consumer was told to stop or to go on.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerPause<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// It delivers nothing.
    pub paused: bool,
    /// Until then.
    pub pause_until: Option<Wall>,
}

impl Event for ConsumerPause<'_> {
    fn kind(&self) -> &'static str {
        "consumer_pause"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.{}.{}", self.stream, self.consumer)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("stream", self.stream);
        fields.text("consumer", self.consumer);
        fields.always("paused", &self.paused);
        fields.time("pause_until", self.pause_until);
        fields.text_omit("domain", domain);
    }
}

/// A client is served alone from now on.
#[derive(Clone, Copy, Debug)]
pub struct GroupPinned<'a> {
    /// The account; may be empty.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The priority group.
    pub group: &'a str,
    /// The client.
    pub pinned_id: &'a str,
}

impl Event for GroupPinned<'_> {
    fn kind(&self) -> &'static str {
        "consumer_group_pinned"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.CONSUMER.PINNED.{}.{}", self.stream, self.consumer)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text_omit("account", self.account);
        fields.text("stream", self.stream);
        fields.text("consumer", self.consumer);
        fields.text_omit("domain", domain);
        fields.text("group", self.group);
        fields.text("pinned_id", self.pinned_id);
    }
}

/// Why a client is no longer served alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnpinReason {
    /// It was asked for.
    Admin,
    /// It did not ask for too long.
    Timeout,
}

/// A client is no longer served alone.
#[derive(Clone, Copy, Debug)]
pub struct GroupUnpinned<'a> {
    /// The account; may be empty.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The priority group.
    pub group: &'a str,
    /// Why.
    pub reason: UnpinReason,
}

impl Event for GroupUnpinned<'_> {
    fn kind(&self) -> &'static str {
        "consumer_group_unpinned"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.{}.{}", self.stream, self.consumer)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text_omit("account", self.account);
        fields.text("stream", self.stream);
        fields.text("consumer", self.consumer);
        fields.text_omit("domain", domain);
        fields.text("group", self.group);
        fields.text(
            "reason",
            match self.reason {
                UnpinReason::Admin => "admin",
                UnpinReason::Timeout => "timeout",
            },
        );
    }
}

/// A message was delivered as often as it may be.
#[derive(Clone, Copy, Debug)]
pub struct MaxDeliver<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The message.
    pub stream_seq: u64,
    /// How often.
    pub deliveries: u64,
}

impl Event for MaxDeliver<'_> {
    fn kind(&self) -> &'static str {
        "max_deliver"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{}.{}", self.stream, self.consumer)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("stream", self.stream);
        fields.text("consumer", self.consumer);
        fields.number("stream_seq", self.stream_seq);
        fields.number("deliveries", self.deliveries);
        fields.text_omit("domain", domain);
    }
}

/// A delivery of a message.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The number of the delivery.
    pub consumer_seq: u64,
    /// The message.
    pub stream_seq: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl Delivery<'_> {
    fn place(&self, fields: &mut Fields<'_>) {
        fields.text("stream", self.stream);
        fields.text("consumer", self.consumer);
        fields.number("consumer_seq", self.consumer_seq);
        fields.number("stream_seq", self.stream_seq);
    }
}

/// A message was refused by its receiver and will come again.
#[derive(Clone, Copy, Debug)]
pub struct Nak<'a>(pub Delivery<'a>);

impl Event for Nak<'_> {
    fn kind(&self) -> &'static str {
        "nak"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.{}.{}", self.0.stream, self.0.consumer)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        self.0.place(fields);
        fields.number("deliveries", self.0.deliveries);
        fields.text_omit("domain", domain);
    }
}

/// A message was given up.
#[derive(Clone, Copy, Debug)]
pub struct Terminated<'a> {
    /// Its last delivery.
    pub delivery: Delivery<'a>,
    /// Why; may be empty, and is written as the receiver wrote it.
    pub reason: &'a [u8],
}

impl Event for Terminated<'_> {
    fn kind(&self) -> &'static str {
        "terminated"
    }

    fn subject(&self) -> String {
        let Delivery { stream, consumer, .. } = self.delivery;
        format!("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.{stream}.{consumer}")
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        self.delivery.place(fields);
        fields.number("deliveries", self.delivery.deliveries);
        if !self.reason.is_empty() {
            fields.lossy("reason", self.reason);
        }
        fields.text_omit("domain", domain);
    }
}

/// How long a message took to be acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct AckMetric<'a> {
    /// Its last delivery.
    pub delivery: Delivery<'a>,
    /// Nanoseconds since then.
    pub ack_time_ns: i64,
}

impl Event for AckMetric<'_> {
    const PREFIX: &'static str = METRIC_TYPE_PREFIX;

    fn kind(&self) -> &'static str {
        "consumer_ack"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.METRIC.CONSUMER.ACK.{}.{}", self.delivery.stream, self.delivery.consumer)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        self.delivery.place(fields);
        fields.always("ack_time", &self.ack_time_ns);
        fields.number("deliveries", self.delivery.deliveries);
        fields.text_omit("domain", domain);
    }
}

/// A server has begun to lead a consumer.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerLeaderElected<'a> {
    /// The account, in the copy for the system account.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// The server.
    pub leader: &'a str,
    /// All copies.
    pub replicas: &'a [PeerInfo],
}

impl Event for ConsumerLeaderElected<'_> {
    fn kind(&self) -> &'static str {
        "consumer_leader_elected"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.CONSUMER.LEADER_ELECTED.{}.{}", self.stream, self.consumer)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text_omit("account", self.account);
        fields.text("stream", self.stream);
        fields.text("consumer", self.consumer);
        fields.text("leader", self.leader);
        fields.list("replicas", self.replicas);
        fields.text_omit("domain", domain);
    }
}

/// Too few copies of a consumer are left to lead it.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerQuorumLost<'a> {
    /// The account, in the copy for the system account.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The consumer.
    pub consumer: &'a str,
    /// All copies.
    pub replicas: &'a [PeerInfo],
}

impl Event for ConsumerQuorumLost<'_> {
    fn kind(&self) -> &'static str {
        "consumer_quorum_lost"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.CONSUMER.QUORUM_LOST.{}.{}", self.stream, self.consumer)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text_omit("account", self.account);
        fields.text("stream", self.stream);
        fields.text("consumer", self.consumer);
        fields.list("replicas", self.replicas);
        fields.text_omit("domain", domain);
    }
}
