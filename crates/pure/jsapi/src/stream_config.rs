//! The configuration of a stream, as clients write it and as it is kept.
//!
//! Nothing is checked here and no default is filled in: what a request leaves out has the zero value. Durations are
//! nanoseconds. Limits of -1 are none; 0 in a request means the same.

use std::collections::BTreeMap;

use midge_stdx::clock::Wall;

use crate::json::{choice, object};

choice! {
    /// When messages leave a stream.
    pub enum Retention(Written) {
        /// When the limits say so.
        Limits => "limits",
        /// When every consumer has acknowledged them.
        Interest => "interest",
        /// When one consumer has acknowledged them.
        WorkQueue => "workqueue",
    }
}

choice! {
    /// What happens to a message that does not fit the limits.
    pub enum Discard(AnyCase) {
        /// The oldest messages go.
        Old => "old",
        /// It is refused.
        New => "new",
    }
}

choice! {
    /// Where the messages are.
    pub enum Storage(Written) {
        /// In block files.
        File => "file",
        /// In memory.
        Memory => "memory",
    }
}

choice! {
    /// Whether full blocks are compressed.
    pub enum Compression(Word("unknown compression algorithm")) {
        /// They are not.
        None => "none",
        /// With S2.
        S2 => "s2",
    }
}

choice! {
    /// Whether a publish is acknowledged before it is durable.
    pub enum PersistMode(Written) {
        /// Acknowledgements wait for the disk.
        Default => "default" | "",
        /// They do not.
        Async => "async",
    }
}

object! {
    /// A stream's configuration.
    pub struct StreamConfig("server.StreamConfig") {
        /// The stream's name.
        name: String => "name" always,
        /// A text for people.
        description: String => "description" omit,
        /// What it stores; wildcards allowed.
        subjects: Vec<String> => "subjects" omit,
        /// When messages leave.
        retention: Retention => "retention" always,
        /// Consumers at most.
        max_consumers: i64 => "max_consumers" always "int",
        /// Messages at most.
        max_msgs: i64 => "max_msgs" always,
        /// Bytes at most.
        max_bytes: i64 => "max_bytes" always,
        /// The age at which a message goes; 0 is never.
        max_age_ns: i64 => "max_age" always "time.Duration",
        /// Messages of one subject at most.
        max_msgs_per_subject: i64 => "max_msgs_per_subject" always,
        /// Bytes of header and payload of one message at most.
        max_msg_size: i32 => "max_msg_size" omit,
        /// What happens at a limit.
        discard: Discard => "discard" always,
        /// Where the messages are.
        storage: Storage => "storage" always,
        /// Copies in a cluster.
        num_replicas: i64 => "num_replicas" always "int",
        /// Publishes are not answered.
        no_ack: bool => "no_ack" omit,
        /// For how long a message id is remembered.
        duplicate_window_ns: i64 => "duplicate_window" omit "time.Duration",
        /// Where in a cluster it may be.
        placement: Option<Placement> => "placement" omit,
        /// The stream of which this one is a copy.
        mirror: Option<StreamSource> => "mirror" omit,
        /// The streams of which it gathers the messages.
        sources: Vec<StreamSource> => "sources" omit "[]*server.StreamSource",
        /// Whether blocks are compressed.
        compression: Compression => "compression" always,
        /// The first sequence of a new stream; 0 and 1 are the same.
        first_seq: u64 => "first_seq" omit,
        /// Subjects are rewritten before anything else happens.
        subject_transform: Option<SubjectTransform> => "subject_transform" omit,
        /// Stored messages are published again.
        republish: Option<Republish> => "republish" omit,
        /// Messages may be read without asking the leader.
        allow_direct: bool => "allow_direct" always,
        /// A mirror answers direct reads of its origin.
        mirror_direct: bool => "mirror_direct" always,
        /// With [`Discard::New`], the limit per subject refuses as well.
        discard_new_per_subject: bool => "discard_new_per_subject" omit,
        /// Nothing may be added or removed any more.
        sealed: bool => "sealed" always,
        /// Single messages may not be deleted.
        deny_delete: bool => "deny_delete" always,
        /// The stream may not be purged.
        deny_purge: bool => "deny_purge" always,
        /// A publish may replace what went before.
        allow_rollup_hdrs: bool => "allow_rollup_hdrs" always,
        /// Defaults and bounds of consumers.
        consumer_limits: ConsumerLimits => "consumer_limits" always,
        /// Messages may have a life of their own.
        allow_msg_ttl: bool => "allow_msg_ttl" always,
        /// How long the marker of an expired subject lives; 0 is no markers.
        subject_delete_marker_ttl_ns: i64 => "subject_delete_marker_ttl" omit "time.Duration",
        /// Messages are increments of a counter per subject.
        allow_msg_counter: bool => "allow_msg_counter" omit,
        /// Batches that are stored whole or not at all.
        allow_atomic: bool => "allow_atomic" omit,
        /// Messages that are published later.
        allow_msg_schedules: bool => "allow_msg_schedules" omit,
        /// When publishes are acknowledged.
        persist_mode: PersistMode => "persist_mode" omit,
        /// Batches with flow control.
        allow_batched: bool => "allow_batched" omit,
        /// Texts of whoever made it; names that begin with `_nats.` are the server's.
        metadata: BTreeMap<String, String> => "metadata" omit,
    }
}

object! {
    /// Where in a cluster an asset may be.
    pub struct Placement("server.Placement") {
        /// The name of the cluster.
        cluster: String => "cluster" omit,
        /// Tags that its servers have.
        tags: Vec<String> => "tags" omit,
        /// The server that shall lead; for step-downs alone.
        preferred: String => "preferred" omit,
    }
}

object! {
    /// A stream from which another takes its messages.
    pub struct StreamSource("server.StreamSource") {
        /// Its name.
        name: String => "name" always,
        /// The sequence to begin at.
        opt_start_seq: u64 => "opt_start_seq" omit,
        /// The time to begin at.
        opt_start_time: Option<Wall> => "opt_start_time" omit,
        /// Which subjects are taken.
        filter_subject: String => "filter_subject" omit,
        /// Which subjects are taken and how they are renamed.
        subject_transforms: Vec<SubjectTransform> => "subject_transforms" omit "[]server.SubjectTransformConfig",
        /// How it is reached when it belongs to another account or domain.
        external: Option<External> => "external" omit,
        /// A consumer made beforehand.
        consumer: Option<SourceConsumer> => "consumer" omit,
    }
}

object! {
    /// How a stream of another account or domain is reached.
    pub struct External("server.ExternalStream") {
        /// What stands in place of `$JS.API`.
        api: String => "api" always,
        /// The prefix of the subjects to which it delivers.
        deliver: String => "deliver" always,
    }
}

object! {
    /// A consumer made beforehand for a mirror or source.
    pub struct SourceConsumer("server.StreamConsumerSource") {
        /// Its name.
        name: String => "name" omit,
        /// Where it delivers.
        deliver_subject: String => "deliver_subject" omit,
    }
}

object! {
    /// A rule that renames subjects.
    pub struct SubjectTransform("server.SubjectTransformConfig") {
        /// What it applies to.
        src: String => "src" always,
        /// The new name.
        dest: String => "dest" always,
    }
}

object! {
    /// How stored messages are published again.
    pub struct Republish("server.RePublish") {
        /// Which subjects; empty is all.
        src: String => "src" omit,
        /// The new name.
        dest: String => "dest" always,
        /// Without the payload.
        headers_only: bool => "headers_only" omit,
    }
}

object! {
    /// Defaults and bounds of a stream's consumers.
    pub struct ConsumerLimits("server.StreamConsumerLimits") {
        /// The longest threshold of inactivity.
        inactive_threshold_ns: i64 => "inactive_threshold" omit "time.Duration",
        /// Unacknowledged messages at most.
        max_ack_pending: i64 => "max_ack_pending" omit "int",
    }
}
