//! What happens to streams.

use midge_stdx::clock::Wall;

use super::{Deed, Event};
use crate::client_info::ClientInfo;
use crate::info::{PeerInfo, StreamState};
use crate::json::Fields;

/// A stream was made, changed or removed.
#[derive(Clone, Copy, Debug)]
pub struct StreamAction<'a> {
    /// The stream.
    pub stream: &'a str,
    /// What was done.
    pub deed: Deed,
}

impl Event for StreamAction<'_> {
    fn kind(&self) -> &'static str {
        "stream_action"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.{}.{}", self.deed.token(), self.stream)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("stream", self.stream);
        fields.text("action", self.deed.text());
        fields.text_omit("domain", domain);
    }
}

/// A copy of a stream is being made.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotCreate<'a> {
    /// The stream.
    pub stream: &'a str,
    /// What is in it.
    pub state: &'a StreamState,
    /// Who asked.
    pub client: &'a ClientInfo,
}

impl Event for SnapshotCreate<'_> {
    fn kind(&self) -> &'static str {
        "snapshot_create"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_CREATE.{}", self.stream)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("stream", self.stream);
        fields.always("state", self.state);
        fields.always("client", self.client);
        fields.text_omit("domain", domain);
    }
}

/// A copy of a stream was made, or could not be.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotComplete<'a> {
    /// The stream.
    pub stream: &'a str,
    /// When it began.
    pub start: Wall,
    /// When it ended.
    pub end: Wall,
    /// Who asked.
    pub client: &'a ClientInfo,
    /// What went wrong; empty when nothing did.
    pub error: &'a str,
}

impl Event for SnapshotComplete<'_> {
    fn kind(&self) -> &'static str {
        "snapshot_complete"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.{}", self.stream)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("stream", self.stream);
        fields.time("start", Some(self.start));
        fields.time("end", Some(self.end));
        fields.always("client", self.client);
        fields.text_omit("domain", domain);
        fields.text_omit("error", self.error);
    }
}

/// A stream is being made from a copy.
#[derive(Clone, Copy, Debug)]
pub struct RestoreCreate<'a> {
    /// The stream.
    pub stream: &'a str,
    /// Who asked.
    pub client: &'a ClientInfo,
}

impl Event for RestoreCreate<'_> {
    fn kind(&self) -> &'static str {
        "restore_create"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.RESTORE_CREATE.{}", self.stream)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("stream", self.stream);
        fields.always("client", self.client);
        fields.text_omit("domain", domain);
    }
}

/// A stream was made from a copy.
#[derive(Clone, Copy, Debug)]
pub struct RestoreComplete<'a> {
    /// The stream.
    pub stream: &'a str,
    /// When it began.
    pub start: Wall,
    /// When it ended.
    pub end: Wall,
    /// Bytes of the copy.
    pub bytes: u64,
    /// Who asked.
    pub client: &'a ClientInfo,
}

impl Event for RestoreComplete<'_> {
    fn kind(&self) -> &'static str {
        "restore_complete"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.RESTORE_COMPLETE.{}", self.stream)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text("stream", self.stream);
        fields.time("start", Some(self.start));
        fields.time("end", Some(self.end));
        fields.number("bytes", self.bytes);
        fields.always("client", self.client);
        fields.text_omit("domain", domain);
    }
}

/// Why an atomic batch was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbandonReason {
    /// Nothing came for too long.
    Timeout,
    /// It was too large.
    Large,
    /// Messages were missing.
    Incomplete,
    /// It needed a level that is not served.
    Unsupported,
}

/// An atomic batch was given up.
#[derive(Clone, Copy, Debug)]
pub struct BatchAbandoned<'a> {
    /// The account; may be empty.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The batch.
    pub batch: &'a str,
    /// Why.
    pub reason: AbandonReason,
}

impl Event for BatchAbandoned<'_> {
    fn kind(&self) -> &'static str {
        "stream_batch_abandoned"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{}", self.stream)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text_omit("account", self.account);
        fields.text("stream", self.stream);
        fields.text_omit("domain", domain);
        fields.text("batch", self.batch);
        fields.text(
            "reason",
            match self.reason {
                AbandonReason::Timeout => "timeout",
                AbandonReason::Large => "large",
                AbandonReason::Incomplete => "incomplete",
                AbandonReason::Unsupported => "unsupported",
            },
        );
    }
}

/// A server has begun to lead a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamLeaderElected<'a> {
    /// The account, in the copy for the system account.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The server.
    pub leader: &'a str,
    /// All copies.
    pub replicas: &'a [PeerInfo],
}

impl Event for StreamLeaderElected<'_> {
    fn kind(&self) -> &'static str {
        "stream_leader_elected"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.{}", self.stream)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text_omit("account", self.account);
        fields.text("stream", self.stream);
        fields.text("leader", self.leader);
        fields.list("replicas", self.replicas);
        fields.text_omit("domain", domain);
    }
}

/// Too few copies of a stream are left to lead it.
#[derive(Clone, Copy, Debug)]
pub struct StreamQuorumLost<'a> {
    /// The account, in the copy for the system account.
    pub account: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// All copies.
    pub replicas: &'a [PeerInfo],
}

impl Event for StreamQuorumLost<'_> {
    fn kind(&self) -> &'static str {
        "stream_quorum_lost"
    }

    fn subject(&self) -> String {
        format!("$JS.EVENT.ADVISORY.STREAM.QUORUM_LOST.{}", self.stream)
    }

    fn fields(&self, domain: &str, fields: &mut Fields<'_>) {
        fields.text_omit("account", self.account);
        fields.text("stream", self.stream);
        fields.list("replicas", self.replicas);
        fields.text_omit("domain", domain);
    }
}
