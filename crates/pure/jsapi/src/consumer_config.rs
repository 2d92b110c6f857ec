//! The configuration of a consumer, as clients write it and as it is kept.
//!
//! Nothing is checked here and no default is filled in: what a request leaves out has the zero value. Durations are
//! nanoseconds.

use std::collections::BTreeMap;

use midge_stdx::clock::Wall;

use crate::json::{choice, object};

choice! {
    /// Where delivery begins.
    pub enum DeliverPolicy(Written) {
        /// At the first message.
        All => "all" | "undefined",
        /// At the last message.
        Last => "last",
        /// Behind the last message.
        New => "new",
        /// At a sequence.
        ByStartSequence => "by_start_sequence",
        /// At a time.
        ByStartTime => "by_start_time",
        /// With the last message of each subject.
        LastPerSubject => "last_per_subject",
    }
}

choice! {
    /// What has to be acknowledged.
    pub enum AckPolicy(Written) {
        /// Nothing.
        None => "none",
        /// An acknowledgement covers everything before it.
        All => "all",
        /// Every message.
        Explicit => "explicit",
        /// The answers of flow control acknowledge.
        FlowControl => "flow_control",
    }
}

choice! {
    /// How fast stored messages are delivered.
    pub enum ReplayPolicy(Written) {
        /// At once.
        Instant => "instant",
        /// As they came in.
        Original => "original",
    }
}

choice! {
    /// How waiting pull requests are chosen.
    pub enum PriorityPolicy(Named("unknown priority policy: ")) {
        /// In turn.
        None => "none",
        /// Some only when much is pending.
        Overflow => "overflow",
        /// One client at a time.
        PinnedClient => "pinned_client",
        /// By a number that they carry.
        Prioritized => "prioritized",
    }
}

object! {
    /// A consumer's configuration.
    pub struct ConsumerConfig("server.ConsumerConfig") {
        /// The name of one that stays; empty for one that goes when it is not used.
        durable_name: String => "durable_name" omit,
        /// Its name.
        name: String => "name" omit,
        /// A text for people.
        description: String => "description" omit,
        /// Where delivery begins.
        deliver_policy: DeliverPolicy => "deliver_policy" always,
        /// The sequence to begin at.
        opt_start_seq: u64 => "opt_start_seq" omit,
        /// The time to begin at.
        opt_start_time: Option<Wall> => "opt_start_time" omit,
        /// What has to be acknowledged.
        ack_policy: AckPolicy => "ack_policy" always,
        /// How long an acknowledgement may take.
        ack_wait_ns: i64 => "ack_wait" omit "time.Duration",
        /// Deliveries of one message at most.
        max_deliver: i64 => "max_deliver" omit "int",
        /// How long an acknowledgement may take, delivery by delivery.
        backoff_ns: Vec<i64> => "backoff" omit "[]time.Duration",
        /// Which subjects are delivered.
        filter_subject: String => "filter_subject" omit,
        /// Which subjects are delivered, several.
        filter_subjects: Vec<String> => "filter_subjects" omit,
        /// How fast stored messages are delivered.
        replay_policy: ReplayPolicy => "replay_policy" always,
        /// Bits per second at most.
        rate_limit_bps: u64 => "rate_limit_bps" omit,
        /// The share of acknowledgements that are measured, in percent.
        sample_freq: String => "sample_freq" omit,
        /// Waiting pull requests at most.
        max_waiting: i64 => "max_waiting" omit "int",
        /// Unacknowledged messages at most.
        max_ack_pending: i64 => "max_ack_pending" omit "int",
        /// The subscriber says when it has caught up.
        flow_control: bool => "flow_control" omit,
        /// Without the payload.
        headers_only: bool => "headers_only" omit,
        /// Messages of one pull request at most.
        max_batch: i64 => "max_batch" omit "int",
        /// The longest wait of a pull request.
        max_expires_ns: i64 => "max_expires" omit "time.Duration",
        /// Bytes of one pull request at most.
        max_bytes: i64 => "max_bytes" omit "int",
        /// Where messages are pushed; empty for one that is pulled.
        deliver_subject: String => "deliver_subject" omit,
        /// The queue group of the subscribers.
        deliver_group: String => "deliver_group" omit,
        /// After how long without a message a heartbeat is sent.
        idle_heartbeat_ns: i64 => "idle_heartbeat" omit "time.Duration",
        /// After how long without use it goes.
        inactive_threshold_ns: i64 => "inactive_threshold" omit "time.Duration",
        /// Copies in a cluster; 0 is as many as the stream has.
        num_replicas: i64 => "num_replicas" always "int",
        /// Its state is kept in memory.
        mem_storage: bool => "mem_storage" omit,
        /// It belongs to a mirror or source and is not listed.
        direct: bool => "direct" omit,
        /// It belongs to a mirror or source.
        sourcing: bool => "sourcing" omit,
        /// Texts of whoever made it; names that begin with `_nats.` are the server's.
        metadata: BTreeMap<String, String> => "metadata" omit,
        /// Until when nothing is delivered.
        pause_until: Option<Wall> => "pause_until" omit,
        /// The groups of which pull requests name one.
        priority_groups: Vec<String> => "priority_groups" omit,
        /// How waiting pull requests are chosen.
        priority_policy: PriorityPolicy => "priority_policy" omit,
        /// For how long a client stays pinned without asking.
        priority_timeout_ns: i64 => "priority_timeout" omit "time.Duration",
    }
}
