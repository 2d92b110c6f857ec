//! Copies of stored messages, published elsewhere.

use bytes::Bytes;
use midge_jsapi::headers as names;
use midge_jsapi::stream_config;
use midge_stdx::clock::Wall;
use midge_stdx::entropy::Entropy;
use midge_stdx::gotime;
use midge_subject::name::is_valid_publish;
use midge_subject::transform::{Transform, TransformError};

use super::headers;
use super::publish::Republished;

/// Where copies go.
#[derive(Clone, Debug)]
pub struct Republish {
    transform: Transform,
    headers_only: bool,
}

/// A message that was stored.
#[derive(Clone, Copy, Debug)]
pub struct Copied<'a> {
    /// The stream.
    pub stream: &'a [u8],
    /// The subject under which it was stored.
    pub subject: &'a [u8],
    /// Its sequence.
    pub seq: u64,
    /// Its time.
    pub time: Wall,
    /// The sequence of the message before it with the same subject; 0 for none.
    pub previous: u64,
    /// Its header block.
    pub headers: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
}

impl Republish {
    /// Reads the setting of a stream; an empty source is everything, an empty destination means that nothing is published again.
    ///
    /// # Errors
    /// Source and destination do not fit.
    pub fn new(config: &stream_config::Republish) -> Result<Option<Republish>, TransformError> {
        let transform = Transform::optional(config.src.as_bytes(), config.dest.as_bytes())?;
        Ok(transform.map(|transform| Republish { transform, headers_only: config.headers_only }))
    }

    /// The copy, if the subject is one that is published again and what becomes of it is a subject.
    pub fn copy(&self, message: &Copied<'_>, entropy: &mut dyn Entropy) -> Option<Republished> {
        let mut subject = Vec::new();
        self.transform.apply(message.subject, entropy, &mut subject).ok()?;
        if !is_valid_publish(&subject) {
            return None;
        }
        let mut block = Vec::with_capacity(message.headers.len() + message.subject.len() + 160);
        headers::open(message.headers, &mut block);
        let mut number = itoa::Buffer::new();
        headers::push(names::STREAM, message.stream, &mut block);
        headers::push(names::SUBJECT, message.subject, &mut block);
        headers::push(names::SEQUENCE, number.format(message.seq).as_bytes(), &mut block);
        headers::push(names::TIME_STAMP, gotime::rfc3339(message.time).as_bytes(), &mut block);
        headers::push(names::LAST_SEQUENCE, number.format(message.previous).as_bytes(), &mut block);
        let mut payload = Bytes::new();
        if self.headers_only {
            headers::push(names::MSG_SIZE, number.format(message.payload.len()).as_bytes(), &mut block);
        } else {
            payload = Bytes::copy_from_slice(message.payload);
        }
        block.extend_from_slice(b"\r\n");
        Some(Republished { seq: message.seq, subject: subject.into(), headers: block.into(), payload })
    }
}
