//! What the API answers: a type, an error if there is one, then fields.
//!
//! ```
//! use midge_jsapi::errors;
//! use midge_jsapi::responses::{self, Done, kind};
//!
//! let mut out = Vec::new();
//! responses::encode(kind::STREAM_DELETE, None, &Done { success: true }, &mut out);
//! assert_eq!(out, br#"{"type":"io.nats.jetstream.api.v1.stream_delete_response","success":true}"#);
//! out.clear();
//! responses::refuse(kind::STREAM_PURGE, &errors::STREAM_NOT_FOUND.into(), &mut out);
//! assert!(out.ends_with(br#""err_code":10059,"description":"stream not found"},"purged":0}"#));
//! ```

use std::collections::BTreeMap;

use midge_stdx::clock::Wall;

use crate::account::AccountInfo;
use crate::errors::ApiError;
use crate::info::{ConsumerInfo, StreamInfo, StreamState};
use crate::json::{Fields, Object, Reader, Stop, object, push_bytes, push_text, push_time, push_u64};
use crate::stream_config::StreamConfig;

/// What every type of the API begins with.
pub const PREFIX: &str = "io.nats.jetstream.api.v1.";

/// The types of answers, without [`PREFIX`].
pub mod kind {
    /// To `INFO`: [`AccountInfo`](crate::account::AccountInfo).
    pub const ACCOUNT_INFO: &str = "account_info_response";
    /// To `STREAM.CREATE` and at the end of a restore: [`StreamCreated`](super::StreamCreated).
    pub const STREAM_CREATE: &str = "stream_create_response";
    /// To `STREAM.UPDATE` and moves: [`StreamUpdated`](super::StreamUpdated).
    pub const STREAM_UPDATE: &str = "stream_update_response";
    /// To `STREAM.NAMES`: [`StreamNames`](super::StreamNames).
    pub const STREAM_NAMES: &str = "stream_names_response";
    /// To `STREAM.LIST`: [`StreamList`](super::StreamList).
    pub const STREAM_LIST: &str = "stream_list_response";
    /// To `STREAM.INFO`: [`StreamDetails`](super::StreamDetails).
    pub const STREAM_INFO: &str = "stream_info_response";
    /// To `STREAM.DELETE`: [`Done`](super::Done).
    pub const STREAM_DELETE: &str = "stream_delete_response";
    /// To `STREAM.PURGE`: [`StreamPurged`](super::StreamPurged).
    pub const STREAM_PURGE: &str = "stream_purge_response";
    /// To `STREAM.MSG.GET`: [`encode_message`](super::encode_message).
    pub const MSG_GET: &str = "stream_msg_get_response";
    /// To `STREAM.MSG.DELETE`: [`Done`](super::Done).
    pub const MSG_DELETE: &str = "stream_msg_delete_response";
    /// To `STREAM.SNAPSHOT`: [`SnapshotBegun`](super::SnapshotBegun).
    pub const STREAM_SNAPSHOT: &str = "stream_snapshot_response";
    /// To `STREAM.RESTORE`: [`RestoreBegun`](super::RestoreBegun).
    pub const STREAM_RESTORE: &str = "stream_restore_response";
    /// To `STREAM.LEADER.STEPDOWN`: [`Done`](super::Done).
    pub const STREAM_LEADER_STEPDOWN: &str = "stream_leader_stepdown_response";
    /// To `STREAM.PEER.REMOVE`: [`Done`](super::Done).
    pub const STREAM_PEER_REMOVE: &str = "stream_remove_peer_response";
    /// To `STREAM.PEER.EVACUATE`: [`Done`](super::Done).
    pub const STREAM_PEER_EVACUATE: &str = "stream_evacuate_peer_response";
    /// To `STREAM.CANCEL_MOVE`: [`StreamUpdated`](super::StreamUpdated).
    pub const STREAM_CANCEL_MOVE: &str = "stream_cancel_move_response";
    /// To `CONSUMER.CREATE`: [`ConsumerTold`](super::ConsumerTold).
    pub const CONSUMER_CREATE: &str = "consumer_create_response";
    /// To `CONSUMER.NAMES`: [`ConsumerNames`](super::ConsumerNames).
    pub const CONSUMER_NAMES: &str = "consumer_names_response";
    /// To `CONSUMER.LIST`: [`ConsumerList`](super::ConsumerList).
    pub const CONSUMER_LIST: &str = "consumer_list_response";
    /// To `CONSUMER.INFO`: [`ConsumerTold`](super::ConsumerTold).
    pub const CONSUMER_INFO: &str = "consumer_info_response";
    /// To `CONSUMER.DELETE`: [`Done`](super::Done).
    pub const CONSUMER_DELETE: &str = "consumer_delete_response";
    /// To `CONSUMER.PAUSE`: [`ConsumerPaused`](super::ConsumerPaused).
    pub const CONSUMER_PAUSE: &str = "consumer_pause_response";
    /// To `CONSUMER.RESET`: [`ConsumerReset`](super::ConsumerReset).
    pub const CONSUMER_RESET: &str = "consumer_reset_response";
    /// To `CONSUMER.UNPIN`: [`Done`](super::Done) without success.
    pub const CONSUMER_UNPIN: &str = "consumer_unpin_response";
    /// To `CONSUMER.LEADER.STEPDOWN`: [`Done`](super::Done).
    pub const CONSUMER_LEADER_STEPDOWN: &str = "consumer_leader_stepdown_response";
    /// To `CONSUMER.PEER.REMOVE`: [`Done`](super::Done).
    pub const CONSUMER_PEER_REMOVE: &str = "consumer_remove_peer_response";
    /// To `CONSUMER.PEER.EVACUATE`: [`Done`](super::Done).
    pub const CONSUMER_PEER_EVACUATE: &str = "consumer_evacuate_peer_response";
    /// To `META.LEADER.STEPDOWN`: [`Done`](super::Done).
    pub const META_LEADER_STEPDOWN: &str = "meta_leader_stepdown_response";
    /// To `META.RESCUE`: [`MetaRescued`](super::MetaRescued).
    pub const META_RESCUE: &str = "meta_rescue_response";
    /// To `SERVER.REMOVE`: [`Done`](super::Done).
    pub const SERVER_REMOVE: &str = "meta_server_remove_response";
    /// To `SERVER.EVACUATE`: [`Done`](super::Done).
    pub const SERVER_EVACUATE: &str = "meta_server_evacuate_response";
    /// To `ACCOUNT.PURGE`: [`AccountPurged`](super::AccountPurged).
    pub const ACCOUNT_PURGE: &str = "account_purge_response";
    /// To what was asked in the system account and is not served there: [`Done`](super::Done) without success.
    pub const SYSTEM: &str = "system_response";
}

object! {
    /// That something was done.
    pub struct Done("server.ApiResponse") {
        /// It was.
        success: bool => "success" omit,
    }
}

object! {
    /// Which part of a list this is.
    pub struct Paging("server.ApiPaged") {
        /// Entries of the whole list.
        total: i64 => "total" always "int",
        /// Entries before this part.
        offset: i64 => "offset" always "int",
        /// Entries of a part at most.
        limit: i64 => "limit" always "int",
    }
}

object! {
    /// A stream that was made.
    pub struct StreamCreated("server.JSApiStreamCreateResponse") {
        /// The stream.
        info: Option<StreamInfo> => "" flat,
        /// It was made by this request; in a cluster it may have been there.
        did_create: bool => "did_create" omit,
    }
}

object! {
    /// A stream that was changed.
    pub struct StreamUpdated("server.JSApiStreamUpdateResponse") {
        /// The stream.
        info: Option<StreamInfo> => "" flat,
    }
}

object! {
    /// A stream and perhaps a part of its subjects.
    pub struct StreamDetails("server.JSApiStreamInfoResponse") {
        /// Which part of the subjects.
        paging: Paging => "" flat,
        /// The stream.
        info: Option<StreamInfo> => "" flat,
    }
}

object! {
    /// Names of streams.
    pub struct StreamNames("server.JSApiStreamNamesResponse") {
        /// Which part of them.
        paging: Paging => "" flat,
        /// The names.
        streams: Vec<String> => "streams" nullable,
    }
}

object! {
    /// Streams.
    pub struct StreamList("server.JSApiStreamListResponse") {
        /// Which part of them.
        paging: Paging => "" flat,
        /// The streams.
        streams: Vec<StreamInfo> => "streams" always,
        /// Those of which nothing was heard.
        missing: Vec<String> => "missing" omit,
        /// Those that are not served, and why.
        offline: BTreeMap<String, String> => "offline" omit,
    }
}

object! {
    /// Messages that were removed.
    pub struct StreamPurged("server.JSApiStreamPurgeResponse") {
        /// It was done.
        success: bool => "success" omit,
        /// How many.
        purged: u64 => "purged" always,
    }
}

object! {
    /// A copy that is about to come.
    pub struct SnapshotBegun("server.JSApiStreamSnapshotResponse") {
        /// The stream's configuration.
        config: Option<StreamConfig> => "config" omit,
        /// What is in it.
        state: Option<StreamState> => "state" omit,
    }
}

object! {
    /// Where the copy to restore has to go.
    pub struct RestoreBegun("server.JSApiStreamRestoreResponse") {
        /// The subject of the chunks.
        deliver_subject: String => "deliver_subject" always,
    }
}

object! {
    /// A consumer.
    pub struct ConsumerTold("server.JSApiConsumerInfoResponse") {
        /// The consumer.
        info: Option<ConsumerInfo> => "" flat,
    }
}

object! {
    /// Names of consumers.
    pub struct ConsumerNames("server.JSApiConsumerNamesResponse") {
        /// Which part of them.
        paging: Paging => "" flat,
        /// The names.
        consumers: Vec<String> => "consumers" always,
    }
}

object! {
    /// Consumers.
    pub struct ConsumerList("server.JSApiConsumerListResponse") {
        /// Which part of them.
        paging: Paging => "" flat,
        /// The consumers.
        consumers: Vec<ConsumerInfo> => "consumers" always,
        /// Those of which nothing was heard.
        missing: Vec<String> => "missing" omit,
        /// Those that are not served, and why.
        offline: BTreeMap<String, String> => "offline" omit,
    }
}

object! {
    /// Whether a consumer delivers.
    pub struct ConsumerPaused("server.JSApiConsumerPauseResponse") {
        /// It does not.
        paused: bool => "paused" always,
        /// Until then.
        pause_until: Option<Wall> => "pause_until" always,
        /// For so many nanoseconds.
        pause_remaining_ns: i64 => "pause_remaining" omit "time.Duration",
    }
}

object! {
    /// A consumer that begins anew.
    pub struct ConsumerReset("server.JSApiConsumerResetResponse") {
        /// The consumer.
        info: Option<ConsumerInfo> => "" flat,
        /// Where it begins.
        reset_seq: u64 => "reset_seq" always,
    }
}

object! {
    /// An account whose streams are being removed.
    pub struct AccountPurged("server.JSApiAccountPurgeResponse") {
        /// It has begun.
        initiated: bool => "initiated" omit,
    }
}

object! {
    /// What a server made of a rescue.
    pub struct MetaRescued("server.JSApiMetaRescueResponse") {
        /// Its name.
        server: String => "server" always,
        /// Its id.
        server_id: String => "server_id" always,
        /// How many were needed.
        prev_quorum: i64 => "prev_quorum" omit "int",
        /// How many suffice.
        new_quorum: i64 => "new_quorum" omit "int",
    }
}

object! {
    /// What every answer begins with, to read it by.
    pub struct Header("server.ApiResponse") {
        /// The type with its prefix.
        kind: String => "type" always,
        /// What went wrong.
        error: Option<ApiError> => "error" omit,
    }
}

/// Appends an answer of that [`kind`].
pub fn encode<T: Object>(kind: &str, error: Option<&ApiError>, fields: &T, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(PREFIX.as_bytes());
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
    let mut object = Fields::resume(out);
    if let Some(error) = error {
        object.always("error", error);
    }
    fields.encode_fields(&mut object);
    object.end();
}

/// Appends the answer of that [`kind`] to a request that is refused: the fields that are always there are empty.
pub fn refuse(kind: &str, error: &ApiError, out: &mut Vec<u8>) {
    let error = Some(error);
    match kind {
        kind::STREAM_NAMES => encode(kind, error, &StreamNames::default(), out),
        kind::STREAM_LIST => encode(kind, error, &StreamList::default(), out),
        kind::STREAM_INFO => encode(kind, error, &Paging::default(), out),
        kind::STREAM_PURGE => encode(kind, error, &StreamPurged::default(), out),
        kind::STREAM_RESTORE => encode(kind, error, &RestoreBegun::default(), out),
        kind::CONSUMER_NAMES => encode(kind, error, &ConsumerNames::default(), out),
        kind::CONSUMER_LIST => encode(kind, error, &ConsumerList::default(), out),
        kind::CONSUMER_PAUSE => encode(kind, error, &ConsumerPaused::default(), out),
        kind::CONSUMER_RESET => encode(kind, error, &ConsumerReset::default(), out),
        kind::META_RESCUE => encode(kind, error, &MetaRescued::default(), out),
        _ => encode(kind, error, &Done::default(), out),
    }
}

/// Appends the answer to `INFO`.
pub fn encode_account(info: &AccountInfo, out: &mut Vec<u8>) {
    encode(kind::ACCOUNT_INFO, None, info, out);
}

/// A stored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredMessage<'a> {
    /// The subject.
    pub subject: &'a str,
    /// The sequence.
    pub seq: u64,
    /// The header block; empty when there is none.
    pub header: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// When it was stored.
    pub time: Wall,
}

/// Appends the answer to `STREAM.MSG.GET`; header and payload in base64, left out when empty.
pub fn encode_message(message: &StoredMessage<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(PREFIX.as_bytes());
    out.extend_from_slice(kind::MSG_GET.as_bytes());
    out.extend_from_slice(b"\",\"message\":{\"subject\":");
    push_text(out, message.subject);
    out.extend_from_slice(b",\"seq\":");
    push_u64(out, message.seq);
    for (key, bytes) in [(&b",\"hdrs\":"[..], message.header), (b",\"data\":", message.payload)] {
        if !bytes.is_empty() {
            out.extend_from_slice(key);
            push_bytes(out, bytes);
        }
    }
    out.extend_from_slice(b",\"time\":");
    push_time(out, Some(message.time));
    out.extend_from_slice(b"}}");
}

/// An answer as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply<T> {
    /// The type, with its prefix, and what went wrong.
    pub header: Header,
    /// The rest.
    pub fields: T,
}

impl<T: Object> Object for Reply<T> {
    const GO: &'static str = T::GO;

    fn decode_field(&mut self, key: &str, exact: bool, reader: &mut Reader<'_>) -> Result<bool, Stop> {
        Ok(self.header.decode_field(key, exact, reader)? || self.fields.decode_field(key, exact, reader)?)
    }

    fn encode_fields(&self, fields: &mut Fields<'_>) {
        self.header.encode_fields(fields);
        self.fields.encode_fields(fields);
    }
}
