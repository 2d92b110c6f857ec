//! What a server sends, read by the book and shared with nothing else of the workspace.

/// One thing that a server sent, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// All of its bytes.
    pub raw: Vec<u8>,
    /// The sid of a message; `None` for a line.
    pub sid: Option<Vec<u8>>,
    /// The subject of a message.
    pub subject: Vec<u8>,
    /// The reply subject of a message, empty for none.
    pub reply: Vec<u8>,
    /// Where the body of a message starts in `raw`.
    pub body_at: usize,
}

impl Event {
    /// Whether the bytes start so.
    pub fn is(&self, start: &str) -> bool {
        self.raw.starts_with(start.as_bytes())
    }

    /// Header and payload of a message.
    pub fn body(&self) -> &[u8] {
        self.raw.get(self.body_at..self.raw.len().saturating_sub(2)).unwrap_or_default()
    }
}

/// Reads a stream.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
}

fn number(digits: &[u8]) -> Result<usize, String> {
    std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("bad number {}", digits.escape_ascii()))
}

impl Reader {
    /// Takes bytes and answers what is complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, String> {
        self.buffer.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut at = 0;
        while let Some(event) = next(&self.buffer[at..])? {
            at += event.raw.len();
            events.push(event);
        }
        self.buffer.drain(..at);
        Ok(events)
    }

    /// Whether the stream stops between two events.
    pub fn is_between(&self) -> bool {
        self.buffer.is_empty()
    }
}

fn next(bytes: &[u8]) -> Result<Option<Event>, String> {
    let Some(end) = bytes.windows(2).position(|w| w == b"\r\n").map(|at| at + 2) else { return Ok(None) };
    let line = &bytes[..end - 2];
    let with_headers = line.starts_with(b"HMSG ");
    if !with_headers && !line.starts_with(b"MSG ") {
        let known = [&b"INFO {"[..], b"-ERR '", b"PING", b"PONG", b"+OK"].iter().any(|s| line.starts_with(s));
        if !known {
            return Err(format!("the server sent {}", line.escape_ascii()));
        }
        let event =
            Event { raw: bytes[..end].to_vec(), sid: None, subject: vec![], reply: vec![], body_at: end };
        return Ok(Some(event));
    }
    let words: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
    let sizes = if with_headers { 2 } else { 1 };
    let reply = match words.len().checked_sub(3 + sizes) {
        Some(0) => &[][..],
        Some(1) => words[3],
        _ => return Err(format!("a message line with {} words: {}", words.len(), line.escape_ascii())),
    };
    let total = number(words[words.len() - 1])?;
    if with_headers && number(words[words.len() - 2])? > total {
        return Err(format!("more header than message: {}", line.escape_ascii()));
    }
    let all = end + total + 2;
    let Some(raw) = bytes.get(..all) else { return Ok(None) };
    if !raw.ends_with(b"\r\n") {
        return Err(format!("no line end behind the payload of {}", line.escape_ascii()));
    }
    Ok(Some(Event {
        raw: raw.to_vec(),
        sid: Some(words[2].to_vec()),
        subject: words[1].to_vec(),
        reply: reply.to_vec(),
        body_at: end,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        let stream = b"INFO {} \r\nMSG a 1 r 2\r\nhi\r\nHMSG b 2 3 5\r\nABChi\r\n+OK\r\n-ERR 'x'\r\n";
        for cut in 1..stream.len() {
            let mut reader = Reader::default();
            let mut events = reader.push(&stream[..cut]).unwrap();
            events.extend(reader.push(&stream[cut..]).unwrap());
            let sids: Vec<_> = events.iter().filter_map(|e| e.sid.as_deref()).collect();
            assert_eq!((events.len(), sids), (5, vec![&b"1"[..], b"2"]));
            assert_eq!((events[1].body(), &events[1].reply[..]), (&b"hi"[..], &b"r"[..]));
            assert!(reader.is_between());
        }
        assert!(Reader::default().push(b"MSG a 1 2\r\nhixx").is_err());
        assert!(Reader::default().push(b"HUH\r\n").is_err());
    }
}
