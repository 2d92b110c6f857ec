//! The names of headers that mean something to JetStream, and the values that some of them take.
//!
//! Names are compared byte by byte: another case is another header.

/// The id by which a message is recognised when it comes again.
pub const MSG_ID: &[u8] = b"Nats-Msg-Id";
/// The stream that the publisher believes in.
pub const EXPECTED_STREAM: &[u8] = b"Nats-Expected-Stream";
/// The last sequence of the stream that the publisher believes in.
pub const EXPECTED_LAST_SEQUENCE: &[u8] = b"Nats-Expected-Last-Sequence";
/// The last sequence of the subject that the publisher believes in; 0 is none.
pub const EXPECTED_LAST_SUBJECT_SEQUENCE: &[u8] = b"Nats-Expected-Last-Subject-Sequence";
/// The subject, perhaps with wildcards, for which [`EXPECTED_LAST_SUBJECT_SEQUENCE`] stands.
pub const EXPECTED_LAST_SUBJECT_SEQUENCE_SUBJECT: &[u8] = b"Nats-Expected-Last-Subject-Sequence-Subject";
/// The id of the last message that the publisher believes in.
pub const EXPECTED_LAST_MSG_ID: &[u8] = b"Nats-Expected-Last-Msg-Id";
/// What the names of all expectations begin with.
pub const EXPECTED_PREFIX: &[u8] = b"Nats-Expected-";
/// What the message replaces: [`ROLLUP_SUBJECT`] or [`ROLLUP_ALL`], in any case.
pub const ROLLUP: &[u8] = b"Nats-Rollup";
/// The messages of its subject.
pub const ROLLUP_SUBJECT: &[u8] = b"sub";
/// Every message.
pub const ROLLUP_ALL: &[u8] = b"all";
/// How long the message lives.
pub const TTL: &[u8] = b"Nats-TTL";
/// What is added to a counter.
pub const INCREMENT: &[u8] = b"Nats-Incr";
/// What the sources of a counter have added so far.
pub const COUNTER_SOURCES: &[u8] = b"Nats-Counter-Sources";
/// Why a marker stands for a subject: [`MARKER_REASON_MAX_AGE`], `Purge` or `Remove`.
pub const MARKER_REASON: &[u8] = b"Nats-Marker-Reason";
/// Its last message was too old.
pub const MARKER_REASON_MAX_AGE: &[u8] = b"MaxAge";
/// The id of an atomic batch.
pub const BATCH_ID: &[u8] = b"Nats-Batch-Id";
/// The place in an atomic batch, from 1 on.
pub const BATCH_SEQUENCE: &[u8] = b"Nats-Batch-Sequence";
/// The end of an atomic batch: [`BATCH_COMMIT_STORE`] or [`BATCH_COMMIT_END`].
pub const BATCH_COMMIT: &[u8] = b"Nats-Batch-Commit";
/// This message is the last one.
pub const BATCH_COMMIT_STORE: &[u8] = b"1";
/// The one before was the last one.
pub const BATCH_COMMIT_END: &[u8] = b"eob";
/// What the names of all headers of batches begin with.
pub const BATCH_PREFIX: &[u8] = b"Nats-Batch-";
/// When the message is to be published.
pub const SCHEDULE: &[u8] = b"Nats-Schedule";
/// Where.
pub const SCHEDULE_TARGET: &[u8] = b"Nats-Schedule-Target";
/// The subject whose last message is published instead.
pub const SCHEDULE_SOURCE: &[u8] = b"Nats-Schedule-Source";
/// How long what is published lives.
pub const SCHEDULE_TTL: &[u8] = b"Nats-Schedule-TTL";
/// What it replaces.
pub const SCHEDULE_ROLLUP: &[u8] = b"Nats-Schedule-Rollup";
/// In which zone times of day are meant.
pub const SCHEDULE_TIME_ZONE: &[u8] = b"Nats-Schedule-Time-Zone";
/// When it will be published again, or [`SCHEDULE_NEXT_PURGE`].
pub const SCHEDULE_NEXT: &[u8] = b"Nats-Schedule-Next";
/// Never: the schedule goes.
pub const SCHEDULE_NEXT_PURGE: &[u8] = b"purge";
/// The subject of the schedule by which a message was published.
pub const SCHEDULER: &[u8] = b"Nats-Scheduler";
/// What the names of all headers of schedules begin with.
pub const SCHEDULE_PREFIX: &[u8] = b"Nats-Schedule";
/// Where a sourced message comes from.
pub const STREAM_SOURCE: &[u8] = b"Nats-Stream-Source";
/// The level of the API that a request needs.
pub const REQUIRED_API_LEVEL: &[u8] = b"Nats-Required-Api-Level";
/// Which incarnation of a stream is meant.
pub const STREAM_IDENTITY: &[u8] = b"Nats-Stream-Identity";
/// Who asks, added where a request crosses accounts.
pub const REQUEST_INFO: &[u8] = b"Nats-Request-Info";
/// How an answer is to be formed, between servers.
pub const RESPONSE_TYPE: &[u8] = b"Nats-Response-Type";
/// The stream of a message that was read or republished.
pub const STREAM: &[u8] = b"Nats-Stream";
/// Its subject.
pub const SUBJECT: &[u8] = b"Nats-Subject";
/// Its sequence.
pub const SEQUENCE: &[u8] = b"Nats-Sequence";
/// When it was stored.
pub const TIME_STAMP: &[u8] = b"Nats-Time-Stamp";
/// The sequence before it: of its subject, or of the answer.
pub const LAST_SEQUENCE: &[u8] = b"Nats-Last-Sequence";
/// How many more there are.
pub const NUM_PENDING: &[u8] = b"Nats-Num-Pending";
/// As of which sequence messages were read.
pub const UP_TO_SEQUENCE: &[u8] = b"Nats-UpTo-Sequence";
/// The bytes of a payload that was left out.
pub const MSG_SIZE: &[u8] = b"Nats-Msg-Size";
/// Messages that a pull request did not get.
pub const PENDING_MESSAGES: &[u8] = b"Nats-Pending-Messages";
/// Bytes that a pull request did not get.
pub const PENDING_BYTES: &[u8] = b"Nats-Pending-Bytes";
/// The number of the last delivery.
pub const LAST_CONSUMER: &[u8] = b"Nats-Last-Consumer";
/// The sequence of the last message delivered.
pub const LAST_STREAM: &[u8] = b"Nats-Last-Stream";
/// The subject to which a stalled consumer awaits an answer.
pub const CONSUMER_STALLED: &[u8] = b"Nats-Consumer-Stalled";
/// The client that is pinned.
pub const PIN_ID: &[u8] = b"Nats-Pin-Id";
/// What a message means to a bucket of keys and values.
pub const KV_OPERATION: &[u8] = b"KV-Operation";
/// Its key was purged.
pub const KV_OPERATION_PURGE: &[u8] = b"PURGE";
