//! Backups: a stream's state, its consumers and its live messages, one entry after another.
//!
//! ```text
//!  S2 stream of: "NATSARC1" │ entries │ end
//!  entry  uv name length │ sv time ns │ uv sequence │ uv header length │ uv payload length │ name │ headers │ payload
//!         "state.json", sequence 0: the state
//!         "consumers/<name>", sequence 0: configuration and state of a consumer
//!         subject, its sequence: a message
//!         "", sequence 0, nothing: the end
//! ```
//!
//! Nothing but the checksums of S2 and the last entry protect a backup.

use midge_codec::cursor::{Cursor, CursorError, Fault};
use midge_codec::s2::{Encoder, Level, S2Error};
use midge_codec::varint::{put_sv, put_uv};

use super::inflow::{Inflow, MAGIC};

/// The longest name, in bytes.
pub const MAX_NAME_LEN: usize = 1 << 20;
/// The name of the entry with the state of the stream.
pub const STATE: &str = "state.json";
/// What the names of consumers start with.
pub const CONSUMER_PREFIX: &str = "consumers/";
/// No head of an entry is longer: five numbers.
const MAX_HEAD_LEN: usize = 50;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The subject of a message, or the name of a document.
    pub name: &'a [u8],
    /// Time of the message or of the backup, Unix time in nanoseconds.
    pub ts_ns: i64,
    /// Sequence of the message; 0 for a document.
    pub seq: u64,
    /// The header block of a message.
    pub headers: &'a [u8],
    /// The payload, or the document.
    pub payload: &'a [u8],
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// The state of the stream, JSON.
    State,
    /// Configuration and state of the consumer of this name, JSON.
    Consumer(&'a [u8]),
    /// A message.
    Message,
    /// A document that is not known.
    Unknown,
}

impl<'a> Entry<'a> {
    /// What it is, by sequence and name.
    pub fn kind(&self) -> EntryKind<'a> {
        match self.name.strip_prefix(CONSUMER_PREFIX.as_bytes()) {
            _ if self.seq > 0 => EntryKind::Message,
            Some(name) => EntryKind::Consumer(name),
            None if self.name == STATE.as_bytes() => EntryKind::State,
            None => EntryKind::Unknown,
        }
    }
}

/// Writes a backup in pieces. Holds at most one chunk of the stream.
#[derive(Debug)]
pub struct Writer {
    encoder: Encoder,
    head: Vec<u8>,
}

impl Writer {
    /// Begins a backup. What it appends to `out` may be nothing for a while: chunks are appended when they are full.
    pub fn new(out: &mut Vec<u8>) -> Writer {
        let mut encoder = Encoder::new(Level::Fast);
        encoder.push(MAGIC, out);
        Writer { encoder, head: Vec::new() }
    }

    /// Appends an entry.
    pub fn entry(&mut self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        self.head.clear();
        put_uv(&mut self.head, entry.name.len() as u64);
        put_sv(&mut self.head, entry.ts_ns);
        for value in [entry.seq, entry.headers.len() as u64, entry.payload.len() as u64] {
            put_uv(&mut self.head, value);
        }
        for part in [&self.head, entry.name, entry.headers, entry.payload] {
            self.encoder.push(part, out);
        }
    }

    /// Ends the backup.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.entry(&Entry { name: b"", ts_ns: 0, seq: 0, headers: b"", payload: b"" }, out);
        self.encoder.finish(out);
    }
}

/// How large entries may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Headers and payload of a message.
    pub message: usize,
    /// A document.
    pub document: usize,
}

/// Why a backup cannot be read on. Offsets are those of the plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The stream around it.
    #[error(transparent)]
    Stream(#[from] S2Error),
    /// It does not start as a backup.
    #[error("not a backup")]
    Magic,
    /// A number that is none.
    #[error("entry at offset {at}: {error}")]
    Malformed {
        /// Where the entry starts.
        at: u64,
        /// What is wrong, within the entry.
        error: CursorError,
    },
    /// Longer than permitted.
    #[error("entry at offset {at}: {len} bytes are more than permitted")]
    TooLarge {
        /// Where the entry starts.
        at: u64,
        /// The stated length.
        len: u64,
    },
    /// The last entry is missing.
    #[error("backup was truncated")]
    Truncated,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    name_len: usize,
    ts_ns: i64,
    seq: u64,
    headers_len: usize,
    payload_len: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Magic,
    Head,
    Body(Head),
    Ended,
}

/// Reads a backup whose pieces are pushed. Holds at most the largest permitted entry and one chunk of the stream.
#[derive(Debug)]
pub struct Reader {
    inflow: Inflow,
    limits: Limits,
    state: State,
    /// Where the current entry starts.
    at: u64,
}

impl Reader {
    /// Begins with what has flowed in.
    pub fn new(inflow: Inflow, limits: Limits) -> Reader {
        Reader { inflow, limits, state: State::Magic, at: 0 }
    }

    /// Takes some of the input, and answers how much. [`Reader::next_entry`] is to be called until it has nothing before the others are
    /// pushed.
    pub fn push(&mut self, input: &[u8]) -> Result<usize, ArchiveError> {
        Ok(self.inflow.push(input)?)
    }

    /// The next entry, or nothing when more input is needed or the backup has ended. What follows its end is not looked at.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'_>>, ArchiveError> {
        loop {
            match self.state {
                State::Magic => {
                    let Some(magic) = self.inflow.take(MAGIC.len()) else { return Ok(None) };
                    if magic != MAGIC {
                        return Err(ArchiveError::Magic);
                    }
                    self.at = MAGIC.len() as u64;
                    self.state = State::Head;
                }
                State::Head => {
                    let Some((head, len)) = self.head()? else { return Ok(None) };
                    if self.inflow.take(len).is_none() {
                        return Ok(None);
                    }
                    self.at += len as u64;
                    let ends = head.name_len == 0 && head.seq == 0;
                    self.state = if ends { State::Ended } else { State::Body(head) };
                }
                State::Body(head) => return Ok(self.body(head)),
                State::Ended => return Ok(None),
            }
        }
    }

    /// The head of the entry that is next, and its length, once it is there.
    fn head(&self) -> Result<Option<(Head, usize)>, ArchiveError> {
        let rest = self.inflow.rest();
        let mut cursor = Cursor::new(rest);
        let mut read = || -> Result<(u64, i64, u64, u64, u64), CursorError> {
            Ok((cursor.uv()?, cursor.sv()?, cursor.uv()?, cursor.uv()?, cursor.uv()?))
        };
        let (name_len, ts_ns, seq, headers_len, payload_len) = match read() {
            Ok(numbers) => numbers,
            Err(CursorError { fault: Fault::Short, .. }) if rest.len() < MAX_HEAD_LEN => return Ok(None),
            Err(error) => return Err(ArchiveError::Malformed { at: self.at, error }),
        };
        let content = headers_len.saturating_add(payload_len);
        let most = if seq > 0 { self.limits.message } else { self.limits.document };
        for (len, most) in [(name_len, MAX_NAME_LEN), (content, most)] {
            if len > most as u64 {
                return Err(ArchiveError::TooLarge { at: self.at, len });
            }
        }
        // All three are below limits that are sizes.
        let head = Head {
            name_len: name_len as usize,
            ts_ns,
            seq,
            headers_len: headers_len as usize,
            payload_len: payload_len as usize,
        };
        Ok(Some((head, cursor.position())))
    }

    fn body(&mut self, head: Head) -> Option<Entry<'_>> {
        let len = head.name_len + head.headers_len + head.payload_len;
        let body = self.inflow.take(len)?;
        self.state = State::Head;
        self.at += len as u64;
        let (name, content) = body.split_at_checked(head.name_len)?;
        let (headers, payload) = content.split_at_checked(head.headers_len)?;
        Some(Entry { name, ts_ns: head.ts_ns, seq: head.seq, headers, payload })
    }

    /// Whether the last entry was read.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// To be asked when no more input comes.
    ///
    /// # Errors
    /// When the last entry is missing, or the stream ends within a chunk.
    pub fn finish(&self) -> Result<(), ArchiveError> {
        if !self.has_ended() {
            return Err(ArchiveError::Truncated);
        }
        Ok(self.inflow.finish()?)
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.inflow.held()
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
