//! Reading S2 streams.

use super::{
    CHECKSUM, HEADER, IDENTIFIER_S2, IDENTIFIER_SNAPPY, KIND_BLOCK, KIND_IDENTIFIER, KIND_PLAIN, S2Error,
    S2Fault, checksum,
};
use crate::cursor::Cursor;
use crate::limits::{MAX_CHUNK, MAX_CHUNK_DATA};

/// What the next byte of the input belongs to.
#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Data { kind: u8, len: usize },
    Skip { left: usize },
}

/// Decodes streams that arrive in pieces of any size; more streams may follow the first.
///
/// Holds at most one chunk of undecoded bytes, [`MAX_CHUNK_DATA`].
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Of the header or data of a chunk what came with earlier pieces.
    held: Vec<u8>,
    identified: bool,
    /// Offset of the current chunk.
    chunk_at: u64,
    /// Offset of the next byte of the input.
    at: u64,
    failed: Option<S2Error>,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder::new()
    }
}

impl Decoder {
    /// At the front of a stream.
    pub fn new() -> Decoder {
        Decoder {
            state: State::Header,
            held: Vec::new(),
            identified: false,
            chunk_at: 0,
            at: 0,
            failed: None,
        }
    }

    /// Takes input until one chunk of data is decoded or the input is used up, appends what was decoded to `out`, at
    /// most [`MAX_CHUNK`] bytes, and answers how many bytes of the input were taken: call again with the others.
    ///
    /// An error is final: later calls repeat it.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, S2Error> {
        self.push_within(input, out, usize::MAX)
    }

    /// [`Decoder::push`], with an error for a chunk that decodes to more than `room` bytes.
    fn push_within(&mut self, input: &[u8], out: &mut Vec<u8>, room: usize) -> Result<usize, S2Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut cursor = Cursor::new(input);
        let outcome = self.step(&mut cursor, out, room);
        if let Err(fault) = outcome {
            let error = S2Error { at: self.chunk_at, fault };
            self.failed = Some(error);
            self.held = Vec::new();
            return Err(error);
        }
        Ok(cursor.position())
    }

    fn step(&mut self, input: &mut Cursor<'_>, out: &mut Vec<u8>, room: usize) -> Result<(), S2Fault> {
        while !input.is_empty() {
            match self.state {
                State::Header => {
                    let Some(header) = self.gather(input, HEADER) else { return Ok(()) };
                    self.state = self.open(&header)?;
                    self.recycle(header);
                }
                State::Skip { left } => {
                    let taken = left.min(input.remaining());
                    self.advance(input, taken);
                    self.state = State::Skip { left: left - taken };
                }
                // The usual case of a whole chunk in one piece is decoded where it lies.
                State::Data { kind, len } if self.held.is_empty() && input.remaining() >= len => {
                    let data = self.advance(input, len);
                    return self.close(kind, data, out, room);
                }
                State::Data { kind, len } => {
                    let Some(data) = self.gather(input, len) else { return Ok(()) };
                    let outcome = self.close(kind, &data, out, room);
                    self.recycle(data);
                    return outcome;
                }
            }
            if matches!(self.state, State::Skip { left: 0 }) {
                self.next_chunk();
            }
        }
        Ok(())
    }

    fn advance<'a>(&mut self, input: &mut Cursor<'a>, len: usize) -> &'a [u8] {
        // Callers ask for no more than remains.
        let bytes = input.bytes(len).unwrap_or_default();
        self.at += bytes.len() as u64;
        bytes
    }

    /// `len` bytes of this piece and earlier ones, once they are there.
    fn gather(&mut self, input: &mut Cursor<'_>, len: usize) -> Option<Vec<u8>> {
        let missing = len.saturating_sub(self.held.len()).min(input.remaining());
        let bytes = self.advance(input, missing);
        self.held.extend_from_slice(bytes);
        (self.held.len() >= len).then(|| std::mem::take(&mut self.held))
    }

    /// Keeps the memory of gathered bytes for the next ones.
    fn recycle(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.held = bytes;
    }

    fn next_chunk(&mut self) {
        self.state = State::Header;
        self.chunk_at = self.at;
    }

    /// What follows a header.
    fn open(&self, header: &[u8]) -> Result<State, S2Fault> {
        let &[kind, a, b, c] = header else { return Err(S2Fault::Truncated) };
        let len = u32::from_le_bytes([a, b, c, 0]) as usize;
        if !self.identified && kind != KIND_IDENTIFIER {
            return Err(S2Fault::NoIdentifier);
        }
        match kind {
            KIND_IDENTIFIER if len != IDENTIFIER_S2.len() => Err(S2Fault::UnknownIdentifier),
            KIND_BLOCK | KIND_PLAIN if len < CHECKSUM => Err(S2Fault::ChunkTooShort),
            KIND_BLOCK if len > MAX_CHUNK_DATA => Err(S2Fault::ChunkTooLong),
            KIND_PLAIN if len > CHECKSUM + MAX_CHUNK => Err(S2Fault::ChunkTooLong),
            KIND_IDENTIFIER | KIND_BLOCK | KIND_PLAIN => Ok(State::Data { kind, len }),
            0x80..=0xfe => Ok(State::Skip { left: len }),
            _ => Err(S2Fault::UnknownChunk(kind)),
        }
    }

    /// Decodes the data of a chunk.
    fn close(&mut self, kind: u8, data: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(), S2Fault> {
        if kind == KIND_IDENTIFIER {
            if data != IDENTIFIER_S2 && data != IDENTIFIER_SNAPPY {
                return Err(S2Fault::UnknownIdentifier);
            }
            self.identified = true;
            self.next_chunk();
            return Ok(());
        }
        let (expected, body) = data.split_first_chunk::<CHECKSUM>().ok_or(S2Fault::ChunkTooShort)?;
        let start = out.len();
        if kind == KIND_PLAIN {
            if body.len() > room {
                return Err(S2Fault::TooLarge);
            }
            out.extend_from_slice(body);
        } else {
            block(body, out, room)?;
        }
        if checksum(out.get(start..).unwrap_or_default()) != u32::from_le_bytes(*expected) {
            out.truncate(start);
            return Err(S2Fault::Checksum);
        }
        self.next_chunk();
        Ok(())
    }

    /// Whether all that was pushed made whole chunks. No input at all is an empty stream, as for the Go reader.
    pub fn finish(&self) -> Result<(), S2Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.at != self.chunk_at {
            return Err(S2Error { at: self.chunk_at, fault: S2Fault::Truncated });
        }
        Ok(())
    }
}

/// Appends what an S2 block decodes to.
fn block(block: &[u8], out: &mut Vec<u8>, room: usize) -> Result<(), S2Fault> {
    let (len, _) = minlz::s2::decode_len(block).map_err(|_| S2Fault::Corrupt)?;
    if len > MAX_CHUNK {
        return Err(S2Fault::ChunkTooLong);
    }
    if len > room {
        return Err(S2Fault::TooLarge);
    }
    let start = out.len();
    out.resize(start + len, 0);
    let decoded = minlz::s2::decode_into(out.get_mut(start..).unwrap_or_default(), block);
    if decoded != Ok(len) {
        out.truncate(start);
        return Err(S2Fault::Corrupt);
    }
    Ok(())
}

/// Decodes a whole input of one or more streams to at most `max_len` bytes. Memory grows chunk by chunk as they prove
/// right, so that a false announcement costs at most one chunk.
pub fn decode(input: &[u8], max_len: usize) -> Result<Vec<u8>, S2Error> {
    let mut decoder = Decoder::new();
    let mut out = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let room = max_len - out.len();
        let taken = decoder.push_within(rest, &mut out, room)?;
        rest = rest.get(taken..).unwrap_or_default();
    }
    decoder.finish()?;
    Ok(out)
}
