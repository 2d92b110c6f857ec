//! What is told about streams and consumers.

use std::collections::BTreeMap;

use midge_stdx::clock::Wall;

use crate::consumer_config::ConsumerConfig;
use crate::json::object;
use crate::stream_config::{External, Placement, Retention, StreamConfig, SubjectTransform};

object! {
    /// A stream.
    pub struct StreamInfo("server.StreamInfo") {
        /// Its configuration.
        config: StreamConfig => "config" always,
        /// When it was made.
        created: Wall => "created" always,
        /// What is in it.
        state: StreamState => "state" always,
        /// The domain of the server.
        domain: String => "domain" omit,
        /// Who keeps it.
        cluster: Option<ClusterInfo> => "cluster" omit,
        /// How far it has followed its origin.
        mirror: Option<SourceInfo> => "mirror" omit,
        /// How far it has followed its sources.
        sources: Vec<SourceInfo> => "sources" omit,
        /// Who could answer reads instead.
        alternates: Vec<StreamAlternate> => "alternates" omit,
        /// The time of this answer.
        ts: Wall => "ts" always,
    }
}

object! {
    /// What is in a stream.
    pub struct StreamState("server.StreamState") {
        /// Live messages.
        messages: u64 => "messages" always,
        /// Bytes of live messages.
        bytes: u64 => "bytes" always,
        /// The first live sequence.
        first_seq: u64 => "first_seq" always,
        /// When the first live message was stored.
        first_ts: Option<Wall> => "first_ts" always,
        /// The last sequence that was given.
        last_seq: u64 => "last_seq" always,
        /// When it was given.
        last_ts: Option<Wall> => "last_ts" always,
        /// Subjects with live messages.
        num_subjects: i64 => "num_subjects" omit "int",
        /// Live messages by subject.
        subjects: BTreeMap<String, u64> => "subjects" omit "map[string]uint64",
        /// Sequences between first and last that are gone.
        num_deleted: i64 => "num_deleted" omit "int",
        /// Which.
        deleted: Vec<u64> => "deleted" omit,
        /// What a damaged store has lost.
        lost: Option<LostStreamData> => "lost" omit,
        /// Consumers.
        consumer_count: i64 => "consumer_count" always "int",
    }
}

object! {
    /// What a damaged store has lost.
    pub struct LostStreamData("server.LostStreamData") {
        /// The sequences, when they are known.
        msgs: Vec<u64> => "msgs" nullable,
        /// The bytes.
        bytes: u64 => "bytes" always,
    }
}

object! {
    /// How far a mirror or source has been followed.
    pub struct SourceInfo("server.StreamSourceInfo") {
        /// The stream followed.
        name: String => "name" always,
        /// How it is reached.
        external: Option<External> => "external" omit,
        /// Messages that it has and that have not come yet.
        lag: u64 => "lag" always,
        /// The last sequence that was taken from it; told of sources.
        seq: u64 => "seq" omit,
        /// Nanoseconds since it was last heard; -1 is never.
        active_ns: i64 => "active" always "time.Duration",
        /// Why it is not followed.
        error: Option<crate::errors::ApiError> => "error" omit,
        /// Which subjects are taken.
        filter_subject: String => "filter_subject" omit,
        /// How they are renamed.
        subject_transforms: Vec<SubjectTransform> => "subject_transforms" omit,
    }
}

object! {
    /// A stream that could answer reads instead.
    pub struct StreamAlternate("server.StreamAlternate") {
        /// Its name.
        name: String => "name" always,
        /// The domain of its server.
        domain: String => "domain" omit,
        /// The cluster of its server.
        cluster: String => "cluster" always,
    }
}

object! {
    /// Who keeps an asset.
    pub struct ClusterInfo("server.ClusterInfo") {
        /// The name of the cluster.
        name: String => "name" omit,
        /// The name of the Raft group.
        raft_group: String => "raft_group" omit,
        /// The server that leads.
        leader: String => "leader" omit,
        /// Since when.
        leader_since: Option<Wall> => "leader_since" omit,
        /// Replication runs in the system account.
        system_account: bool => "system_account" omit,
        /// The account in which replication runs.
        traffic_account: String => "traffic_account" omit,
        /// The other copies.
        replicas: Vec<PeerInfo> => "replicas" omit,
        /// What the group is being changed into.
        desired: Option<DesiredState> => "desired" omit,
    }
}

object! {
    /// A copy of an asset.
    pub struct PeerInfo("server.PeerInfo") {
        /// The name of its server.
        name: String => "name" always,
        /// It has everything.
        current: bool => "current" always,
        /// It is not reached.
        offline: bool => "offline" omit,
        /// Nanoseconds since it was last heard.
        active_ns: i64 => "active" always "time.Duration",
        /// Entries that it lacks.
        lag: u64 => "lag" omit,
        /// The id of its server.
        peer: String => "peer" always,
        /// It does not belong to the Raft group yet, or is about to leave it.
        pending: bool => "pending" omit,
    }
}

object! {
    /// What a group is being changed into.
    pub struct DesiredState("server.DesiredClusterInfo") {
        /// Since when.
        created: Wall => "created" always,
        /// The cluster.
        name: String => "name" omit,
        /// Who shall keep it; empty while that is not chosen yet.
        replicas: Vec<DesiredPeer> => "replicas" omit,
        /// What it goes back to when the change is stopped.
        origin: Option<DesiredOrigin> => "origin" omit,
        /// How far it has come.
        status: Option<DesiredStatus> => "status" omit,
    }
}

object! {
    /// Who shall keep an asset.
    pub struct DesiredPeer("server.DesiredPeerInfo") {
        /// The name of the server.
        name: String => "name" always,
        /// It is not reached.
        offline: bool => "offline" omit,
        /// The id of the server.
        peer: String => "peer" always,
    }
}

object! {
    /// What a group that is being changed goes back to.
    pub struct DesiredOrigin("server.DesiredClusterInfoOrigin") {
        /// Copies before.
        replicas: i64 => "replicas" always "int",
        /// Placement before.
        placement: Option<Placement> => "placement" omit,
        /// Retention before, which counts until the end.
        retention: Option<Retention> => "retention" omit,
    }
}

object! {
    /// How far a change of a group has come.
    pub struct DesiredStatus("server.DesiredClusterInfoStatus") {
        /// For people.
        description: String => "description" always,
        /// What it waits for: `meta`, `membership`, `snapshot`, `catchup`, `quorum`, `blocked` or `unavailable`.
        kind: String => "type" always,
        /// What went wrong.
        err: String => "err" omit,
    }
}

object! {
    /// A consumer.
    pub struct ConsumerInfo("server.ConsumerInfo") {
        /// Its stream.
        stream_name: String => "stream_name" always,
        /// Its name.
        name: String => "name" always,
        /// When it was made.
        created: Wall => "created" always,
        /// Its configuration; absent where only names are told.
        config: Option<ConsumerConfig> => "config" omit,
        /// The last delivery.
        delivered: SequenceInfo => "delivered" always,
        /// Everything up to here is done.
        ack_floor: SequenceInfo => "ack_floor" always,
        /// Messages delivered and not acknowledged.
        num_ack_pending: i64 => "num_ack_pending" always "int",
        /// Messages delivered more than once.
        num_redelivered: i64 => "num_redelivered" always "int",
        /// Waiting pull requests.
        num_waiting: i64 => "num_waiting" always "int",
        /// Messages not delivered yet.
        num_pending: u64 => "num_pending" always,
        /// Who keeps it.
        cluster: Option<ClusterInfo> => "cluster" omit,
        /// Somebody listens where it pushes.
        push_bound: bool => "push_bound" omit,
        /// It delivers nothing for now.
        paused: bool => "paused" omit,
        /// For how long, in nanoseconds.
        pause_remaining_ns: i64 => "pause_remaining" omit "time.Duration",
        /// The time of this answer.
        ts: Wall => "ts" always,
        /// The state of its priority groups.
        priority_groups: Vec<PriorityGroupState> => "priority_groups" omit,
    }
}

object! {
    /// A place in a consumer and in its stream.
    pub struct SequenceInfo("server.SequenceInfo") {
        /// The number of the delivery.
        consumer_seq: u64 => "consumer_seq" always,
        /// The sequence of the message.
        stream_seq: u64 => "stream_seq" always,
        /// When it was reached.
        last_active: Option<Wall> => "last_active" omit,
    }
}

object! {
    /// The state of a priority group.
    pub struct PriorityGroupState("server.PriorityGroupState") {
        /// Its name.
        group: String => "group" always,
        /// The client that is served.
        pinned_client_id: String => "pinned_client_id" omit,
        /// Since when; the zero time when there is none.
        pinned_ts: Option<Wall> => "pinned_ts" always,
    }
}
