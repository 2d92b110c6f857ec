//! What a consumer is given, and where its decisions go.

use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::{Now, Wall};
use midge_stdx::entropy::Entropy;
use midge_store::stream::{Message, Store};

/// What every input brings along.
pub struct Cx<'a> {
    /// The messages of the stream.
    pub store: &'a mut Store,
    /// The stream as it is now.
    pub stream: &'a StreamFacts<'a>,
    /// The time.
    pub now: Now,
    /// Randomness, for samples, tokens and jitter.
    pub entropy: &'a mut dyn Entropy,
    /// Where decisions go.
    pub out: &'a mut dyn Outlet,
}

/// What a consumer has to know of its stream, account and server.
#[derive(Clone, Copy, Debug)]
pub struct StreamFacts<'a> {
    /// The configuration.
    pub config: &'a StreamConfig,
    /// The last sequence that may be seen: the durable mark; of a stream in memory the last sequence.
    pub visible: u64,
    /// The domain; empty for none.
    pub domain: &'a str,
    /// The account's hash of eight characters, as acknowledgement subjects of the second form carry it.
    pub account_hash: &'a str,
    /// Acknowledgement and flow control subjects have the second form.
    pub ack_v2: bool,
    /// Interest may come from leaf nodes, and late: a request without interest gets two seconds of grace.
    pub has_leafs: bool,
    /// Bytes of a message at most, by server and account; the burst of a rate limit where the stream has no limit.
    pub max_payload: u64,
}

/// A message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The deliver subject, or the inbox of a pull request.
    pub to: &'a [u8],
    /// The queue group of which one member gets it.
    pub group: Option<&'a [u8]>,
    /// The subject of the message, which stands in the delivered line.
    pub subject: &'a [u8],
    /// The acknowledgement subject.
    pub reply: &'a [u8],
    /// The header block; empty for none. It may have more than the stored one.
    pub header: &'a [u8],
    /// The payload; empty when only headers are asked for.
    pub payload: &'a [u8],
    /// The stored message; its memory may be shared where header and payload are its own.
    pub message: &'a Message,
}

/// Something happened that an advisory or metric tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message is given up.
    MaxDeliver {
        /// Its sequence.
        stream_seq: u64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A message was refused.
    Naked {
        /// The delivery.
        consumer_seq: u64,
        /// The message.
        stream_seq: u64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// A message is not delivered any more.
    Terminated {
        /// The delivery.
        consumer_seq: u64,
        /// The message.
        stream_seq: u64,
        /// How often it was delivered.
        deliveries: u64,
        /// Why; empty when nobody said.
        reason: &'a str,
    },
    /// The metric of an acknowledgement.
    Acked {
        /// The delivery.
        consumer_seq: u64,
        /// The message.
        stream_seq: u64,
        /// Nanoseconds since the last delivery.
        ack_time_ns: i64,
        /// How often it was delivered.
        deliveries: u64,
    },
    /// Delivery pauses, or goes on.
    Pause {
        /// Whether it pauses.
        paused: bool,
        /// Until when it does or did; none for at once.
        until: Option<Wall>,
    },
    /// A client is pinned.
    Pinned {
        /// The priority group.
        group: &'a str,
        /// The id that it was given.
        id: &'a str,
    },
    /// The pinned client is so no more.
    Unpinned {
        /// The priority group.
        group: &'a str,
        /// `admin` or `timeout`.
        reason: &'static str,
    },
}

/// What a consumer decides. Nothing here may call back into the consumer.
pub trait Outlet {
    /// Sends a message; false when nobody took it.
    fn deliver(&mut self, delivery: &Delivery<'_>) -> bool;

    /// Sends a header block without a payload; false when nobody took it.
    fn status(&mut self, to: &[u8], reply: &[u8], header: &[u8]) -> bool;

    /// Whether somebody listens.
    fn has_interest(&mut self, subject: &[u8]) -> bool;

    /// Whether somebody listens to just this subject: plainly, or as a member of the queue group. Wildcards do not count, or whoever watches
    /// everything would be delivered to.
    fn has_subscriber(&mut self, subject: &[u8], group: Option<&[u8]>) -> bool;

    /// Whether this inbox was rewritten on its way from another account, whose requester learns of lost interest by a status.
    fn is_rewritten(&self, inbox: &[u8]) -> bool;

    /// Sends an empty message once everything that was given to the store so far is durable.
    fn reply_durable(&mut self, reply: &[u8]);

    /// Sends an empty message.
    fn reply_now(&mut self, reply: &[u8]);

    /// Tells an event of the consumer of this name, if somebody wants to know.
    fn advise(&mut self, consumer: &str, event: Event<'_>);

    /// The consumer of this name needs the messages from `first` to `last` no more, on a stream with interest or work-queue retention.
    fn done_with(&mut self, consumer: &str, first: u64, last: u64);
}

/// Which delivery an acknowledgement subject names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckOf {
    /// The message.
    pub stream_seq: u64,
    /// The delivery.
    pub consumer_seq: u64,
    /// How often the message was delivered by then.
    pub deliveries: u64,
}
