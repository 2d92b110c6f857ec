//! A client that costs as little as possible: blocking sockets, large buffers, messages of known length.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long a client waits for bytes before the run counts as failed.
const SILENCE: Duration = Duration::from_secs(20);

/// Raises the soft limit of open files, for rows with ten thousand connections.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let hard = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard });
}

/// Connects, logs in, and waits for PONG.
pub(crate) fn connect(port: u16) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(SILENCE)).map_err(|e| e.to_string())?;
    let mut stream = stream;
    log_in(&mut stream)?;
    Ok(stream)
}

/// CONNECT and PING on a stream that is ready for them, until PONG.
pub(crate) fn log_in<S: Read + Write>(stream: &mut S) -> Result<(), String> {
    let hello =
        b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\nPING\r\n";
    stream.write_all(hello).map_err(|e| e.to_string())?;
    wait_for(stream, b"PONG\r\n")
}

/// Sends bytes and a PING, and waits for its PONG.
pub(crate) fn send<S: Read + Write>(stream: &mut S, bytes: &[u8]) -> Result<(), String> {
    stream.write_all(bytes).map_err(|e| e.to_string())?;
    stream.write_all(b"PING\r\n").map_err(|e| e.to_string())?;
    stream.flush().map_err(|e| e.to_string())?;
    wait_for(stream, b"PONG\r\n")
}

/// Reads until `end` has come.
pub(crate) fn wait_for<S: Read>(stream: &mut S, end: &[u8]) -> Result<(), String> {
    let mut got = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !got.windows(end.len()).any(|w| w == end) {
        let n = stream.read(&mut buffer).map_err(|e| format!("waiting for {}: {e}", end.escape_ascii()))?;
        if n == 0 {
            return Err(format!("closed: {}", got.escape_ascii()));
        }
        got.extend_from_slice(&buffer[..n]);
        let keep = got.len().saturating_sub(4096);
        got.drain(..keep);
    }
    Ok(())
}

/// Where the publisher's number and the sequence stand in a payload, and how long both are.
pub(crate) const STAMP: usize = 16;

/// A buffer of equal publishes whose stamps are set before each write.
pub(crate) struct Publisher {
    buffer: Vec<u8>,
    one: usize,
    stamp_at: usize,
    per_buffer: usize,
    publisher: u64,
    next: u64,
}

impl Publisher {
    /// `header` is a header block, empty for PUB.
    pub(crate) fn new(publisher: u64, subject: &str, header: &str, size: usize, buffer: usize) -> Publisher {
        let line = if header.is_empty() {
            format!("PUB {subject} {size}\r\n")
        } else {
            format!("HPUB {subject} {} {}\r\n{header}", header.len(), header.len() + size)
        };
        let mut message = line.clone().into_bytes();
        message.resize(line.len() + size, b'x');
        message.extend_from_slice(b"\r\n");
        let per_buffer = (buffer / message.len()).max(1);
        Publisher {
            one: message.len(),
            stamp_at: line.len(),
            buffer: message.repeat(per_buffer),
            per_buffer,
            publisher,
            next: 0,
        }
    }

    /// Publishes up to `most` messages with one write; answers how many.
    pub(crate) fn write<S: Write>(
        &mut self,
        stream: &mut S,
        most: usize,
        time: u64,
    ) -> Result<usize, String> {
        let n = most.min(self.per_buffer);
        for message in self.buffer[..n * self.one].chunks_exact_mut(self.one) {
            let stamp = &mut message[self.stamp_at..self.stamp_at + STAMP];
            let second = if time > 0 { time } else { self.publisher };
            stamp[..8].copy_from_slice(&self.next.to_le_bytes());
            stamp[8..].copy_from_slice(&second.to_le_bytes());
            self.next += 1;
        }
        stream.write_all(&self.buffer[..n * self.one]).map_err(|e| e.to_string())?;
        Ok(n)
    }
}

/// The receiving side: cuts the stream into messages of one length and checks their order.
pub(crate) struct Receiver {
    one: usize,
    stamp_at: usize,
    partial: Vec<u8>,
    /// The next sequence of each publisher.
    expected: Vec<u64>,
    /// Whether sequences may be skipped, as in a queue group.
    gaps: bool,
    pub(crate) received: usize,
}

impl Receiver {
    pub(crate) fn new(
        subject: &str,
        sid: &str,
        header: &str,
        size: usize,
        publishers: usize,
        gaps: bool,
    ) -> Receiver {
        let line = if header.is_empty() {
            format!("MSG {subject} {sid} {size}\r\n")
        } else {
            format!("HMSG {subject} {sid} {} {}\r\n{header}", header.len(), header.len() + size)
        };
        Receiver {
            one: line.len() + size + 2,
            stamp_at: line.len(),
            partial: Vec::new(),
            expected: vec![0; publishers],
            gaps,
            received: 0,
        }
    }

    /// Takes bytes; `seen` is called with the second half of each stamp. PINGs of the server stand between messages and
    /// are left unanswered: a run is shorter than its patience.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u64)) -> Result<(), String> {
        const PING: usize = 6;
        loop {
            let first = self.partial.first().or(bytes.first());
            let Some(first) = first else { return Ok(()) };
            let one = if *first == b'P' { PING } else { self.one };
            if self.partial.is_empty() && bytes.len() >= one {
                if one != PING {
                    self.check(&bytes[..one], &mut seen)?;
                }
                bytes = &bytes[one..];
                continue;
            }
            let missing = (one - self.partial.len()).min(bytes.len());
            self.partial.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.partial.len() < one {
                return Ok(());
            }
            let mut message = std::mem::take(&mut self.partial);
            if one != PING {
                self.check(&message, &mut seen)?;
            }
            message.clear();
            self.partial = message;
        }
    }

    #[inline]
    fn check(&mut self, message: &[u8], seen: &mut impl FnMut(u64)) -> Result<(), String> {
        let word = |at: usize| {
            let bytes = message.get(at..at + 8).and_then(|b| <[u8; 8]>::try_from(b).ok());
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        let (sequence, second) = (word(self.stamp_at), word(self.stamp_at + 8));
        let publisher =
            if self.expected.len() == 1 { 0 } else { usize::try_from(second).unwrap_or(usize::MAX) };
        let Some(expected) = self.expected.get_mut(publisher) else {
            return Err(format!("not a message: {}", message[..message.len().min(60)].escape_ascii()));
        };
        if sequence != *expected && !(self.gaps && sequence > *expected) {
            return Err(format!("message {sequence} of publisher {publisher} where {expected} was due"));
        }
        *expected = sequence + 1;
        self.received += 1;
        seen(second);
        Ok(())
    }
}
