//! Header blocks: statuses, heartbeats, and what is added to stored headers.

use midge_jsapi::headers;

/// Appends a number.
#[inline]
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// `NATS/1.0 404 No Messages` and the like, without headers.
pub(super) fn plain(out: &mut Vec<u8>, status: &str) {
    out.clear();
    out.extend_from_slice(b"NATS/1.0 ");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

fn with_numbers(out: &mut Vec<u8>, status: &str, numbers: [(&[u8], u64); 2]) {
    plain(out, status);
    out.truncate(out.len() - 2);
    for (name, number) in numbers {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        push_number(out, number);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// A status of a pull request that ends, with what it still wanted.
pub(super) fn ended(out: &mut Vec<u8>, status: &str, batch: u64, bytes: u64) {
    with_numbers(out, status, [(headers::PENDING_MESSAGES, batch), (headers::PENDING_BYTES, bytes)]);
}

/// An idle heartbeat, with the last delivery and the message that was looked at last.
pub(super) fn heartbeat(out: &mut Vec<u8>, consumer_seq: u64, stream_seq: u64, stalled: &[u8]) {
    let numbers = [(headers::LAST_CONSUMER, consumer_seq), (headers::LAST_STREAM, stream_seq)];
    with_numbers(out, "100 Idle Heartbeat", numbers);
    if !stalled.is_empty() {
        add_header(out, headers::CONSUMER_STALLED, stalled);
    }
}

/// A header block with nothing, or that of a message, to which headers can be added.
pub(super) fn begin(out: &mut Vec<u8>, stored: &[u8]) {
    out.clear();
    out.extend_from_slice(if stored.is_empty() { b"NATS/1.0\r\n\r\n" } else { stored });
}

/// Adds a header at the end of a block.
pub(super) fn add_header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let end = out.len() - if out.ends_with(b"\r\n\r\n") { 2 } else { 0 };
    out.truncate(end);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &[u8]) -> &str {
        std::str::from_utf8(out).unwrap()
    }

    #[test]
    fn blocks_have_the_form_of_headers() {
        let mut out = Vec::new();
        plain(&mut out, "404 No Messages");
        assert_eq!(text(&out), "NATS/1.0 404 No Messages\r\n\r\n");
        ended(&mut out, "408 Request Timeout", 3, 0);
        let expected =
            "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 0\r\n\r\n";
        assert_eq!(text(&out), expected);
        heartbeat(&mut out, 4, 6, b"$JS.FC.S.C.abcd");
        let expected = "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 4\r\nNats-Last-Stream: 6\r\n\
             Nats-Consumer-Stalled: $JS.FC.S.C.abcd\r\n\r\n";
        assert_eq!(text(&out), expected);
        begin(&mut out, b"NATS/1.0\r\nA: b\r\n\r\n");
        add_header(&mut out, b"Nats-Msg-Size", b"6");
        assert_eq!(text(&out), "NATS/1.0\r\nA: b\r\nNats-Msg-Size: 6\r\n\r\n");
        begin(&mut out, b"");
        add_header(&mut out, b"K", b"v");
        assert_eq!(text(&out), "NATS/1.0\r\nK: v\r\n\r\n");
    }
}
