//! What clients ask of the API, one type per call.
//!
//! A body is read with [`crate::json::decode_request`]; the calls that are lenient by nature ([`ConsumerUnpin`],
//! [`ConsumerReset`], [`MsgGet`] for direct gets, [`parse_pull`]) with [`crate::json::decode_one`] and
//! [`crate::json::Mode::Lenient`].

use midge_stdx::clock::Wall;

use crate::consumer_config::ConsumerConfig;
use crate::info::StreamState;
use crate::json::{self, Mode, choice, object};
use crate::stream_config::{Placement, StreamConfig};

object! {
    /// Make or change a stream.
    pub struct StreamCreate("server.StreamConfigRequest") {
        /// How it shall be.
        config: StreamConfig => "" flat,
        /// What would be adjusted is refused instead.
        pedantic: bool => "pedantic" omit,
    }
}

object! {
    /// The names of streams.
    pub struct StreamNames("server.JSApiStreamNamesRequest") {
        /// How many to pass over.
        offset: i64 => "offset" always "int",
        /// Only those that store such subjects.
        subject: String => "subject" omit,
    }
}

object! {
    /// The streams.
    pub struct StreamList("server.JSApiStreamListRequest") {
        /// How many to pass over.
        offset: i64 => "offset" always "int",
        /// Only those that store such subjects.
        subject: String => "subject" omit,
    }
}

object! {
    /// One stream.
    pub struct StreamInfoRequest("server.JSApiStreamInfoRequest") {
        /// How many subjects to pass over.
        offset: i64 => "offset" always "int",
        /// With the sequences that are gone.
        deleted_details: bool => "deleted_details" omit,
        /// With the messages by subject, for such subjects.
        subjects_filter: String => "subjects_filter" omit,
    }
}

object! {
    /// Remove messages.
    pub struct StreamPurge("server.JSApiStreamPurgeRequest") {
        /// Up to and without that sequence.
        seq: u64 => "seq" omit,
        /// Only such subjects.
        filter: String => "filter" omit,
        /// All but the last so many.
        keep: u64 => "keep" omit,
    }
}

object! {
    /// Read a message, or with a direct get several.
    pub struct MsgGet("server.JSApiMsgGetRequest") {
        /// That sequence, or the first from there on.
        seq: u64 => "seq" omit,
        /// The last of that subject.
        last_by_subj: String => "last_by_subj" omit,
        /// The first of that subject from `seq` or `start_time` on.
        next_by_subj: String => "next_by_subj" omit,
        /// Messages at most; direct gets alone.
        batch: i64 => "batch" omit "int",
        /// Bytes at most; direct gets alone.
        max_bytes: i64 => "max_bytes" omit "int",
        /// The first message of that time or later.
        start_time: Option<Wall> => "start_time" omit,
        /// The last message of each such subject; direct gets alone.
        multi_last: Vec<String> => "multi_last" omit,
        /// With `multi_last`: as things were at that sequence.
        up_to_seq: u64 => "up_to_seq" omit,
        /// With `multi_last`: as things were at that time.
        up_to_time: Option<Wall> => "up_to_time" omit,
        /// Without headers.
        no_hdr: bool => "no_hdr" omit,
    }
}

object! {
    /// Delete a message.
    pub struct MsgDelete("server.JSApiMsgDeleteRequest") {
        /// Its sequence.
        seq: u64 => "seq" always,
        /// The payload is not overwritten.
        no_erase: bool => "no_erase" omit,
    }
}

object! {
    /// Copy a stream out.
    pub struct StreamSnapshot("server.JSApiStreamSnapshotRequest") {
        /// Where the chunks go.
        deliver_subject: String => "deliver_subject" always,
        /// Without consumers.
        no_consumers: bool => "no_consumers" omit,
        /// Bytes of a chunk.
        chunk_size: i64 => "chunk_size" omit "int",
        /// Bytes under way at most.
        window_size: i64 => "window_size" omit "int",
        /// Check the messages first.
        jsck: bool => "jsck" omit,
    }
}

object! {
    /// Make a stream from a copy.
    pub struct StreamRestore("server.JSApiStreamRestoreRequest") {
        /// How it shall be.
        config: StreamConfig => "config" always,
        /// What was in it.
        state: StreamState => "state" always,
    }
}

choice! {
    /// What a request to create a consumer may do.
    pub enum Action(Named("unknown consumer action: ")) {
        /// Make it or change it.
        CreateOrUpdate => "",
        /// Make it.
        Create => "create",
        /// Change it.
        Update => "update",
    }
}

object! {
    /// Make or change a consumer.
    pub struct ConsumerCreate("server.CreateConsumerRequest") {
        /// Its stream.
        stream_name: String => "stream_name" always,
        /// How it shall be.
        config: ConsumerConfig => "config" always,
        /// Whether it may be there already.
        action: Action => "action" always,
        /// What would be adjusted is refused instead.
        pedantic: bool => "pedantic" omit,
    }
}

object! {
    /// The names of consumers, or the consumers.
    pub struct Consumers("server.JSApiConsumersRequest") {
        /// How many to pass over.
        offset: i64 => "offset" always "int",
    }
}

object! {
    /// Stop or resume delivery.
    pub struct ConsumerPause("server.JSApiConsumerPauseRequest") {
        /// Until then; `None` resumes.
        pause_until: Option<Wall> => "pause_until" omit,
    }
}

object! {
    /// Begin delivery anew.
    pub struct ConsumerReset("server.JSApiConsumerResetRequest") {
        /// At that sequence; 0 is behind what is acknowledged.
        seq: u64 => "seq" always,
    }
}

object! {
    /// Let another client be served.
    pub struct ConsumerUnpin("server.JSApiConsumerUnpinRequest") {
        /// The group.
        group: String => "group" always,
    }
}

object! {
    /// Ask a consumer for messages.
    pub struct PullRequest("") {
        /// Messages at most.
        batch: i64 => "batch" omit "int",
        /// How long to wait.
        expires_ns: i64 => "expires" omit "time.Duration",
        /// Bytes at most.
        max_bytes: i64 => "max_bytes" omit "int",
        /// Do not wait for messages to come.
        no_wait: bool => "no_wait" omit,
        /// After how long without a message a heartbeat is sent.
        idle_heartbeat_ns: i64 => "idle_heartbeat" omit "time.Duration",
        /// The priority group.
        group: String => "group" omit,
        /// Serve it when so many messages are pending.
        min_pending: i64 => "min_pending" omit,
        /// Serve it when so many messages are not acknowledged.
        min_ack_pending: i64 => "min_ack_pending" omit,
        /// The client that is pinned.
        id: String => "id" omit,
        /// 0 goes first.
        priority: i64 => "priority" omit "int",
    }
}

object! {
    /// Let another server lead.
    pub struct LeaderStepdown("server.JSApiLeaderStepdownRequest") {
        /// Which one.
        placement: Option<Placement> => "placement" omit,
    }
}

object! {
    /// Take a stream's copy from a server.
    pub struct StreamPeerRemove("server.JSApiStreamRemovePeerRequest") {
        /// The server's name or id.
        peer: String => "peer" always,
    }
}

object! {
    /// Move a stream's copy off a server.
    pub struct StreamPeerEvacuate("server.JSApiStreamEvacuatePeerRequest") {
        /// The server's name or id.
        peer: String => "peer" always,
    }
}

object! {
    /// Take a consumer's copy from a server.
    pub struct ConsumerPeerRemove("server.JSApiConsumerRemovePeerRequest") {
        /// The server's name or id.
        peer: String => "peer" always,
    }
}

object! {
    /// Move a consumer's copy off a server.
    pub struct ConsumerPeerEvacuate("server.JSApiConsumerEvacuatePeerRequest") {
        /// The server's name or id.
        peer: String => "peer" always,
    }
}

object! {
    /// Take a server out of the cluster.
    pub struct ServerRemove("server.JSApiMetaServerRemoveRequest") {
        /// Its name.
        peer: String => "peer" always,
        /// Its id, which goes before the name.
        peer_id: String => "peer_id" omit,
    }
}

object! {
    /// Move everything off a server.
    pub struct ServerEvacuate("server.JSApiMetaServerEvacuateRequest") {
        /// Its name.
        peer: String => "peer" always,
        /// Its id, which goes before the name.
        peer_id: String => "peer_id" omit,
    }
}

object! {
    /// Let the cluster's controllers go on with fewer of them.
    pub struct MetaRescue("server.JSApiMetaRescueRequest") {
        /// How many shall suffice.
        quorum_needed: i64 => "quorum_needed" always "int",
    }
}

object! {
    /// Move a stream.
    pub struct StreamMove("server.JSApiMetaServerStreamMoveRequest") {
        /// Off that server.
        server: String => "server" omit,
        /// To that cluster.
        cluster: String => "cluster" omit,
        /// In that domain.
        domain: String => "domain" omit,
        /// To servers with these tags.
        tags: Vec<String> => "tags" omit,
    }
}

/// A pull request as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pull {
    /// What is asked; the batch is 1 or more.
    pub request: PullRequest,
    /// It was JSON; others are not checked against priority groups.
    pub is_json: bool,
}

/// Reads a pull request: nothing is one message, a number so many, JSON what it says, anything else one message.
///
/// The error is what stands behind `400 Bad Request - `.
pub fn parse_pull(body: &[u8]) -> Result<Pull, String> {
    let body = body.trim_ascii();
    let mut pull = Pull { request: PullRequest::default(), is_json: body.first() == Some(&b'{') };
    if pull.is_json {
        json::decode_one(body, Mode::Lenient, &mut pull.request)?;
    } else if let Some(batch) = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok()) {
        pull.request.batch = batch;
    }
    pull.request.batch = pull.request.batch.max(1);
    Ok(pull)
}

/// Whether a body that may be left out is there: it is JSON, an object or a list.
pub fn has_json(body: &[u8]) -> bool {
    matches!(trim_white(body).first(), Some(b'{' | b'['))
}

/// Whether a body says nothing: no bytes, or an object without fields.
pub fn is_empty(body: &[u8]) -> bool {
    let inner = trim_white(body).strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    body.is_empty() || inner.is_some_and(|inner| trim_white(inner).is_empty())
}

fn trim_white(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\r' | b'\n'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_requests_are_read_in_every_form() {
        for (body, batch, is_json) in [
            (&b""[..], 1, false),
            (b"  ", 1, false),
            (b"7", 7, false),
            (b" 12 ", 12, false),
            (b"-3", 1, false),
            (b"x", 1, false),
            (b"[", 1, false),
            (b"{}", 1, true),
            (b" {\"batch\":5}", 5, true),
            (b"{\"batch\":-5,\"unknown\":{}}", 1, true),
        ] {
            let pull = parse_pull(body).unwrap();
            assert_eq!((pull.request.batch, pull.is_json), (batch, is_json), "{}", body.escape_ascii());
        }
        let pull = parse_pull(
            br#"{"batch":10,"expires":5000000000,"no_wait":true,"group":"g","id":"i","priority":3,"min_pending":2}"#,
        );
        let expected = PullRequest {
            batch: 10,
            expires_ns: 5_000_000_000,
            no_wait: true,
            group: "g".to_owned(),
            id: "i".to_owned(),
            priority: 3,
            min_pending: 2,
            ..PullRequest::default()
        };
        assert_eq!(pull, Ok(Pull { request: expected, is_json: true }));
    }

    #[test]
    fn errors_of_pull_requests_read_as_in_go() {
        for (body, error) in [
            ("{", "unexpected end of JSON input"),
            (r#"{"batch":"x"}"#, "json: cannot unmarshal string into Go struct field .batch of type int"),
            (r#"{"batch":1.5}"#, "json: cannot unmarshal number 1.5 into Go struct field .batch of type int"),
            (r#"{"no_wait":true}x"#, "invalid character 'x' after top-level value"),
            (
                r#"{"expires":"5s"}"#,
                "json: cannot unmarshal string into Go struct field .expires of type time.Duration",
            ),
            (
                r#"{"min_pending":"x"}"#,
                "json: cannot unmarshal string into Go struct field .min_pending of type int64",
            ),
            (r#"{"batch":1,}"#, "invalid character '}' looking for beginning of object key string"),
        ] {
            assert_eq!(parse_pull(body.as_bytes()), Err(error.to_owned()), "{body}");
        }
    }

    #[test]
    fn empty_bodies_are_known() {
        assert!([&b""[..], b"{}", b" { \n} "].into_iter().all(is_empty));
        assert!(![&b" "[..], b"null", b"[]", b"{", b"{\"a\":1}", b"x"].into_iter().any(is_empty));
        assert!(has_json(b" \n{") && has_json(b"[") && !has_json(b"x{") && !has_json(b""));
    }
}
