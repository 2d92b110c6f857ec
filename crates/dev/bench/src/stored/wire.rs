//! A connection for streams: frames of known form, requests, acknowledgements; as little work per message as possible.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client;

/// Bytes of one read.
const READ: usize = 256 * 1024;

/// A message as it came.
pub(super) struct Frame<'a> {
    pub(super) subject: &'a [u8],
    pub(super) reply: &'a [u8],
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Frame<'_> {
    /// The number behind the last dot of its subject.
    pub(super) fn lane(&self) -> usize {
        let tail = self.subject.rsplit(|&b| b == b'.').next().unwrap_or_default();
        tail.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit.wrapping_sub(b'0')))
    }

    /// What it says when it is not an acknowledgement of a publish.
    pub(super) fn acknowledges(&self) -> Result<(), String> {
        if self.payload.starts_with(b"{\"stream\":") { Ok(()) } else { Err(self.text()) }
    }

    /// Header and payload, to be read by people.
    pub(super) fn text(&self) -> String {
        format!("{}{}", self.header.escape_ascii(), self.payload.escape_ascii())
    }
}

/// A connection and what has been read but not yet used.
pub(super) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Its inbox for answers, which no other connection hears.
    inbox: usize,
}

static INBOXES: AtomicUsize = AtomicUsize::new(0);

impl Wire {
    pub(super) fn connect(port: u16) -> Result<Wire, String> {
        let inbox = INBOXES.fetch_add(1, Ordering::Relaxed);
        Ok(Wire { stream: client::connect(port)?, buffer: vec![0; 2 * READ], start: 0, end: 0, inbox })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|e| e.to_string())
    }

    /// Subscribes, and returns when the server has taken that in.
    pub(super) fn subscribe(&mut self, subject: &str) -> Result<(), String> {
        self.subscribe_as(subject, 1)
    }

    /// The same under a number, which no other subscription of the connection has: one that does is ignored. 9 is for answers.
    pub(super) fn subscribe_as(&mut self, subject: &str, sid: usize) -> Result<(), String> {
        client::send(&mut self.stream, format!("SUB {subject} {sid}\r\n").as_bytes())
    }

    /// One request; its answer, which must not be an error.
    pub(super) fn request(&mut self, subject: &str, body: &str) -> Result<String, String> {
        let inbox = self.inbox;
        self.write(
            format!("SUB _R.{inbox} 9\r\nPUB {subject} _R.{inbox} {}\r\n{body}\r\nUNSUB 9 1\r\n", body.len())
                .as_bytes(),
        )?;
        let mut answer = None;
        while answer.is_none() {
            self.read(|frame| {
                answer = Some(String::from_utf8_lossy(frame.payload).into_owned());
                if frame.payload.is_empty() { Err(frame.text()) } else { Ok(()) }
            })?;
        }
        let answer = answer.unwrap_or_default();
        if answer.contains("\"error\":") { Err(format!("{subject}: {answer}")) } else { Ok(answer) }
    }

    /// Reads once and passes every complete message on.
    pub(super) fn read(
        &mut self,
        mut each: impl FnMut(&Frame<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.start > 0 && self.buffer.len() - self.end < READ {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let n = self.stream.read(&mut self.buffer[self.end..]).map_err(|e| e.to_string())?;
        if n == 0 {
            return Err("disconnected".to_owned());
        }
        self.end += n;
        loop {
            let open = &self.buffer[self.start..self.end];
            let Some(eol) = open.iter().position(|&b| b == b'\n') else { return Ok(()) };
            let line = &open[..eol.saturating_sub(1)];
            let with_header = line.starts_with(b"HMSG ");
            if !with_header && !line.starts_with(b"MSG ") {
                if line.starts_with(b"-ERR") {
                    return Err(line.escape_ascii().to_string());
                }
                self.start += eol + 1;
                continue;
            }
            let mut fields = [&line[..0]; 6];
            let mut count = 0;
            for field in line.split(|&b| b == b' ').take(6) {
                fields[count] = field;
                count += 1;
            }
            let number =
                |field: &[u8]| field.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            let size = number(fields[count - 1]);
            let header = if with_header { number(fields[count - 2]) } else { 0 };
            let Some(body) = open.get(eol + 1..eol + 1 + size + 2) else { return Ok(()) };
            let reply = if count - usize::from(with_header) == 5 { fields[3] } else { &[] };
            each(&Frame {
                subject: fields[1],
                reply,
                header: &body[..header],
                payload: &body[header..size],
            })?;
            self.start += eol + 1 + size + 2;
        }
    }
}
