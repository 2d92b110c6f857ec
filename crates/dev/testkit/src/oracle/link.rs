//! A raw client connection that understands just enough to cut what it reads into lines and messages.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::certificates::Certificates;
use crate::script::ConnectOptions;

/// One piece of what a server says.
#[derive(Debug)]
pub enum Piece {
    /// A line, or a message with its payload, line ends included.
    Bytes(Vec<u8>),
    /// The end of the stream.
    End,
    /// Nothing came in time; these bytes are left over.
    Stuck(Vec<u8>),
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

/// A connection to a server.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
    buffer: Vec<u8>,
    queued: Vec<u8>,
    /// What came while something else was awaited.
    held: VecDeque<Vec<u8>>,
    /// Requests so far.
    pub asked: usize,
    /// The challenge of the first INFO.
    pub nonce: Option<String>,
}

impl Link {
    /// Opens a TCP connection; nothing when it is refused.
    pub async fn open(port: u16) -> Option<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        socket.set_nodelay(true).ok()?;
        Some(Self {
            stream: Stream::Plain(socket),
            buffer: Vec::new(),
            queued: Vec::new(),
            held: VecDeque::new(),
            asked: 0,
            nonce: None,
        })
    }

    /// Continues in TLS; whether the handshake succeeded. What was read ahead stays readable.
    pub async fn secure(&mut self, certificates: &Certificates, options: &ConnectOptions) -> bool {
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, Stream::Gone) else { return false };
        match certificates.connect(socket, options.certificate.as_deref(), options.tls12).await {
            Ok(stream) => {
                self.stream = Stream::Tls(Box::new(stream));
                true
            }
            Err(_) => false,
        }
    }

    /// Keeps bytes for the next write.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.queued.extend_from_slice(bytes);
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) {
        let queued = std::mem::take(&mut self.queued);
        if !queued.is_empty() {
            self.send(&queued).await;
        }
    }

    /// Sends bytes. A peer that has closed is not an error: the next read tells.
    pub async fn send(&mut self, bytes: &[u8]) {
        // The script's next read records the end of the stream, so the failed write says nothing more.
        let _ = match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes).await,
            Stream::Tls(stream) => match stream.write_all(bytes).await {
                Ok(()) => stream.flush().await,
                failed => failed,
            },
            Stream::Gone => Ok(()),
        };
    }

    /// Keeps a line or message for later.
    pub fn hold(&mut self, piece: Vec<u8>) {
        self.held.push_back(piece);
    }

    /// The next line or message.
    pub async fn next(&mut self, patience: Duration) -> Piece {
        match self.held.pop_front() {
            Some(piece) => Piece::Bytes(piece),
            None => self.arrival(patience).await,
        }
    }

    /// The next line or message that was not held before.
    pub async fn arrival(&mut self, patience: Duration) -> Piece {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(length) = complete(&self.buffer) {
                return Piece::Bytes(self.buffer.drain(..length).collect());
            }
            match timeout_at(deadline, self.fill()).await {
                Ok(Ok(0) | Err(_)) if self.buffer.is_empty() => return Piece::End,
                Ok(Ok(0) | Err(_)) => return Piece::Bytes(std::mem::take(&mut self.buffer)),
                Ok(Ok(_)) => {}
                Err(_) => return Piece::Stuck(self.buffer.clone()),
            }
        }
    }

    async fn fill(&mut self) -> std::io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.read_buf(&mut self.buffer).await,
            Stream::Tls(stream) => stream.read_buf(&mut self.buffer).await,
            Stream::Gone => Ok(0),
        }
    }
}

/// The length of the first complete line or message.
fn complete(buffer: &[u8]) -> Option<usize> {
    let line = buffer.iter().position(|&byte| byte == b'\n')? + 1;
    let head = &buffer[..line];
    if !(head.starts_with(b"MSG ") || head.starts_with(b"HMSG ")) {
        return Some(line);
    }
    let text = String::from_utf8_lossy(head);
    let size: usize = text.split_whitespace().next_back().and_then(|size| size.parse().ok()).unwrap_or(0);
    let whole = line + size + 2;
    (buffer.len() >= whole).then_some(whole)
}

/// The document of an INFO line.
pub fn info(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes.strip_prefix(b"INFO ")?).ok()
}

/// The CONNECT document with key and signature of a user filled in.
pub fn sign(json: &str, seed: &str, nonce: &str) -> Result<String> {
    use nkeys::KeyPair;

    let mut document: Value = serde_json::from_str(json).context("the CONNECT document")?;
    let keys = KeyPair::from_seed(seed).ok().context("a seed")?;
    let signature = keys.sign(nonce.as_bytes()).ok().context("a signature")?;
    let fields = document.as_object_mut().context("a CONNECT object")?;
    fields.entry("nkey").or_insert_with(|| Value::String(keys.public_key()));
    fields.entry("sig").or_insert_with(|| Value::String(base64_url(&signature)));
    Ok(document.to_string())
}

/// Base64 with the URL alphabet and without padding.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_messages_are_cut() {
        assert_eq!(complete(b"PONG\r\nrest"), Some(6));
        assert_eq!(complete(b"MSG a 1 2\r\nhi"), None);
        assert_eq!(complete(b"MSG a 1 2\r\nhi\r\nmore"), Some(15));
        assert_eq!(complete(b"HMSG a 1 2 3\r\nabc\r\n"), Some(19));
    }

    #[test]
    fn base64_matches_known_values() {
        assert_eq!(base64_url(b"f"), "Zg");
        assert_eq!(base64_url(b"fo"), "Zm8");
        assert_eq!(base64_url(b"foo"), "Zm9v");
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
    }
}
