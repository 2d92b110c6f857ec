//! A message out of a store.

use bytes::Bytes;

use crate::format::record::{Kind, Record};

/// A stored message, sharing the memory of the block it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its sequence.
    pub seq: u64,
    /// When it was stored, Unix nanoseconds.
    pub ts_ns: i64,
    record: Bytes,
    subject: (u32, u32),
    headers: (u32, u32),
    payload: (u32, u32),
}

fn place(record: &[u8], part: &[u8]) -> (u32, u32) {
    // Lengths of records are below 2^25, so that both fit.
    let start = (part.as_ptr() as usize).wrapping_sub(record.as_ptr() as usize);
    (start as u32, (start + part.len()) as u32)
}

impl Message {
    /// The message of a record that stands in `bytes`; nothing when the record is no message.
    pub fn of(record: &Record<'_>, bytes: &Bytes) -> Option<Message> {
        let Kind::Message { subject, headers, payload } = record.kind else { return None };
        let whole = record.bytes();
        Some(Message {
            seq: record.seq,
            ts_ns: record.ts_ns,
            subject: place(whole, subject),
            headers: place(whole, headers),
            payload: place(whole, payload),
            record: bytes.slice_ref(whole),
        })
    }

    fn part(&self, (from, to): (u32, u32)) -> &[u8] {
        self.record.get(from as usize..to as usize).unwrap_or_default()
    }

    /// The subject.
    pub fn subject(&self) -> &[u8] {
        self.part(self.subject)
    }

    /// The header block; empty when there is none.
    pub fn headers(&self) -> &[u8] {
        self.part(self.headers)
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        self.part(self.payload)
    }

    /// The subject, shared.
    pub fn shared_subject(&self) -> Bytes {
        self.record.slice(self.subject.0 as usize..self.subject.1 as usize)
    }

    /// Headers and payload, shared. They stand one behind the other.
    pub fn shared_body(&self) -> Bytes {
        let from = if self.headers.0 == self.headers.1 { self.payload.0 } else { self.headers.0 };
        self.record.slice(from as usize..self.payload.1 as usize)
    }

    /// Bytes of the record.
    pub fn record_len(&self) -> u32 {
        u32::try_from(self.record.len()).unwrap_or(u32::MAX)
    }
}

/// A `Nats-TTL` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// None, or one that says nothing.
    None,
    /// The message outlives the age limit.
    Never,
    /// Seconds.
    Seconds(u64),
}

/// Reads the header `Nats-TTL`: a duration of at least a second, whole seconds, or `never`.
pub fn ttl(headers: &[u8]) -> Ttl {
    let Some(value) = header(headers, b"Nats-TTL") else { return Ttl::None };
    let Ok(text) = std::str::from_utf8(value) else { return Ttl::None };
    if text.eq_ignore_ascii_case("never") {
        return Ttl::Never;
    }
    if let Ok(seconds) = text.parse::<u64>() {
        return if seconds == 0 { Ttl::None } else { Ttl::Seconds(seconds) };
    }
    match midge_stdx::gotime::parse_duration(text) {
        Ok(nanos) if nanos >= 1_000_000_000 => Ttl::Seconds(nanos.unsigned_abs() / 1_000_000_000),
        _ => Ttl::None,
    }
}

/// The first value of a header, without the blanks around it. Keys are compared as they are.
pub fn header<'a>(headers: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    // The first line is the version.
    headers.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|&byte| byte == b':')?)?;
        (name == key).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::{RecordKey, decode, encode_message};

    #[test]
    fn parts_of_a_message_share_the_block() {
        let mut block = b"before".to_vec();
        let key = RecordKey::new("S", 1);
        encode_message(&mut block, &key, 9, 5, b"a.b", b"NATS/1.0\r\nK: v\r\n\r\n", b"hello").unwrap();
        let block = Bytes::from(block);
        let message = Message::of(&decode(&block[6..]).unwrap(), &block).unwrap();
        assert_eq!((message.seq, message.ts_ns), (9, 5));
        assert_eq!((message.subject(), message.payload()), (&b"a.b"[..], &b"hello"[..]));
        assert_eq!(message.headers(), b"NATS/1.0\r\nK: v\r\n\r\n");
        assert_eq!(message.shared_body(), &b"NATS/1.0\r\nK: v\r\n\r\nhello"[..]);
        assert_eq!(message.record_len() as usize, block.len() - 6);
    }

    #[test]
    fn lifetimes_are_read_as_durations_seconds_or_never() {
        let of = |value: &str| ttl(format!("NATS/1.0\r\nA: b\r\nNats-TTL: {value}\r\n\r\n").as_bytes());
        assert_eq!(of("5"), Ttl::Seconds(5));
        assert_eq!(of("1m1.9s"), Ttl::Seconds(61));
        assert_eq!(of("never"), Ttl::Never);
        assert_eq!((of("500ms"), of("x"), of("0")), (Ttl::None, Ttl::None, Ttl::None));
        assert_eq!(ttl(b""), Ttl::None);
    }
}
