//! An archive on its way to whoever asked for it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::requests::StreamSnapshot;
use midge_jsapi::subjects::snapshot_ack;
use midge_stdx::clock::Mono;
use midge_subject::name::is_valid_publish;

/// Bytes of a chunk when the request does not say, and what it may say.
const CHUNK_LEN: (i64, i64, i64) = (128 << 10, 1 << 10, 1 << 20);
/// Bytes under way at most when the request does not say, and what it may say.
const WINDOW_LEN: (i64, i64, i64) = (8 << 20, 1 << 10, 32 << 20);
/// How long an acknowledgement is waited for.
const ACK_WAIT: Duration = Duration::from_secs(5);

/// The header block of the message that ends a copy.
pub const DONE: &[u8] = b"NATS/1.0 204\r\n\r\n";
/// The header block when nobody listens.
pub const NO_INTEREST: &[u8] = b"NATS/1.0 408 No Interest\r\n\r\n";
/// The header block when nobody acknowledges.
pub const NO_FLOW: &[u8] = b"NATS/1.0 408 No Flow Response\r\n\r\n";

/// A piece to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where acknowledgements go; empty for the last one.
    pub reply: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// Cuts an archive into chunks and counts those that are under way.
#[derive(Debug)]
pub struct Chunks {
    stream: String,
    id: String,
    chunk_len: usize,
    window: u64,
    plain: BytesMut,
    complete: bool,
    sent: u64,
    acked: u64,
    heard: Mono,
}

impl Chunks {
    /// For a request that was made at `now`; `id` is unique.
    ///
    /// # Errors
    /// 10015: the messages cannot be delivered to that subject.
    pub fn new(stream: &str, id: String, request: &StreamSnapshot, now: Mono) -> Result<Chunks, ApiError> {
        if !is_valid_publish(request.deliver_subject.as_bytes()) {
            return Err(errors::SNAPSHOT_DELIVER_SUBJECT_INVALID.into());
        }
        let settle = |value: i64, (default, low, high): (i64, i64, i64)| {
            if value <= 0 { default } else { value.clamp(low, high) }
        };
        let chunk_len = settle(request.chunk_size, CHUNK_LEN);
        let window_len = settle(request.window_size, WINDOW_LEN).max(chunk_len);
        Ok(Chunks {
            stream: stream.to_owned(),
            id,
            // Both are small positive numbers.
            chunk_len: chunk_len as usize,
            window: (window_len / chunk_len) as u64,
            plain: BytesMut::new(),
            complete: false,
            sent: 0,
            acked: 0,
            heard: now,
        })
    }

    /// How many bytes of the archive are wanted now; 0 while enough are under way.
    pub fn wanted(&self) -> usize {
        if self.complete || self.sent - self.acked >= self.window {
            return 0;
        }
        (self.chunk_len + 1).saturating_sub(self.plain.len())
    }

    /// Takes a part of the archive.
    pub fn push(&mut self, bytes: &[u8], complete: bool) {
        self.plain.extend_from_slice(bytes);
        self.complete |= complete;
    }

    /// The next chunk, if one may be sent.
    pub fn next_chunk(&mut self, now: Mono) -> Option<Chunk> {
        if self.plain.len() >= self.chunk_len && self.sent - self.acked < self.window {
            if self.sent == self.acked {
                self.heard = now;
            }
            self.sent += 1;
            let bytes = self.plain.split_to(self.chunk_len).freeze();
            let reply = snapshot_ack(&self.stream, &self.id, bytes.len(), self.sent);
            return Some(Chunk { reply, bytes });
        }
        if self.complete && !self.plain.is_empty() && self.plain.len() < self.chunk_len {
            let bytes = self.plain.split().freeze();
            return Some(Chunk { reply: String::new(), bytes });
        }
        None
    }

    /// Everything was handed out: what is left is to say so, with [`DONE`].
    pub fn is_done(&self) -> bool {
        self.complete && self.plain.is_empty()
    }

    /// A chunk was acknowledged: any message to its reply subject counts.
    pub fn acknowledge(&mut self, now: Mono) {
        self.acked = (self.acked + 1).min(self.sent);
        self.heard = now;
    }

    /// When the copy has to be given up with [`NO_FLOW`], unless something is acknowledged before.
    pub fn deadline(&self) -> Option<Mono> {
        (self.sent - self.acked >= self.window).then(|| self.heard + ACK_WAIT)
    }
}
