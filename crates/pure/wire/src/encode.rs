//! What the server sends to clients. Everything is appended to the caller's buffer.

use crate::parse::Publish;

/// `PING`.
pub const PING: &[u8] = b"PING\r\n";
/// `PONG`.
pub const PONG: &[u8] = b"PONG\r\n";
/// `+OK`.
pub const OK: &[u8] = b"+OK\r\n";

/// `-ERR 'text'`; the text is not escaped.
pub fn error(text: &str) -> Vec<u8> {
    format!("-ERR '{text}'\r\n").into_bytes()
}

/// `INFO {json}`, with the blank before the line end that the reference server writes.
pub fn info(json: &str) -> Vec<u8> {
    format!("INFO {json} \r\n").into_bytes()
}

/// The start of every delivery of a subject to a subscription, up to and with the blank behind the sid.
#[inline]
pub fn head(out: &mut Vec<u8>, with_headers: bool, subject: &[u8], sid: &[u8]) {
    out.extend_from_slice(if with_headers { b"HMSG " } else { b"MSG " });
    out.extend_from_slice(subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
}

/// How a published message looks to a receiver: which head it gets, and what follows the head.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// The bytes that arrived can be sent as they are.
    Verbatim(&'a [u8]),
    /// The line has to be written anew.
    Rewritten {
        /// The reply subject, empty for none.
        reply: &'a [u8],
        /// The digits of the header size as the publisher wrote them, when the receiver gets HMSG.
        header_digits: Option<&'a [u8]>,
        /// The digits of the size as the publisher wrote them; `None` where the size changed.
        digits: Option<&'a [u8]>,
        /// What is sent behind the line.
        body: &'a [u8],
    },
}

/// The form of a message for receivers that understand headers, or for those that do not.
#[inline]
pub fn form<'a>(publish: &Publish<'a>, receiver_headers: bool) -> (bool, Form<'a>) {
    let as_headers = receiver_headers && publish.header_len > 0;
    let strip = !receiver_headers && publish.header_len > 0;
    if publish.tail_at > 0 && !strip {
        return (
            as_headers,
            Form::Verbatim(publish.whole.get(publish.tail_at as usize..).unwrap_or_default()),
        );
    }
    let body = publish.body();
    let (at, len) = (publish.digits.0 as usize, publish.digits.1 as usize);
    let form = Form::Rewritten {
        reply: publish.reply,
        header_digits: as_headers.then(|| publish.header_digits()),
        digits: if strip { None } else { publish.whole.get(at..at + len) },
        body: if strip { body.get(publish.header_len as usize..).unwrap_or_default() } else { body },
    };
    (as_headers, form)
}

/// Everything that follows the head.
#[inline]
pub fn rest(out: &mut Vec<u8>, form: &Form<'_>) {
    match form {
        Form::Verbatim(bytes) => out.extend_from_slice(bytes),
        Form::Rewritten { reply, header_digits, digits, body } => {
            line_end(out, reply, *header_digits, *digits, body.len());
            out.extend_from_slice(body);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The bytes between the head and the body of a rewritten message.
pub fn line_end(out: &mut Vec<u8>, reply: &[u8], header: Option<&[u8]>, digits: Option<&[u8]>, len: usize) {
    let mut number = itoa::Buffer::new();
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    if let Some(digits) = header {
        out.extend_from_slice(digits);
        out.push(b' ');
    }
    match digits {
        Some(digits) => out.extend_from_slice(digits),
        None => out.extend_from_slice(number.format(len).as_bytes()),
    }
    out.extend_from_slice(b"\r\n");
}

/// A whole message that did not come from a publisher.
pub fn message(out: &mut Vec<u8>, subject: &[u8], sid: &[u8], reply: &[u8], header: &[u8], payload: &[u8]) {
    head(out, !header.is_empty(), subject, sid);
    let mut number = itoa::Buffer::new();
    let header_digits = (!header.is_empty()).then(|| number.format(header.len()).as_bytes());
    line_end(out, reply, header_digits, None, header.len() + payload.len());
    out.extend_from_slice(header);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Op, Parser, Rules, Step};

    fn delivered(input: &[u8], receiver_headers: bool) -> String {
        let rules = Rules { max_control_line: 4096, max_payload: -1, headers: true };
        let Step::Op(Op::Publish(publish), _) = Parser::default().next(input, &rules) else { panic!() };
        let (with_headers, form) = form(&publish, receiver_headers);
        let mut out = Vec::new();
        head(&mut out, with_headers, publish.subject, b"7");
        rest(&mut out, &form);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn deliveries() {
        assert_eq!(delivered(b"PUB a 2\r\nok\r\n", true), "MSG a 7 2\r\nok\r\n");
        assert_eq!(delivered(b"PUB  a   r 002 \nok\r\n", true), "MSG a 7 r 002\r\nok\r\n");
        assert_eq!(delivered(b"HPUB a r 3 5\r\nABChi\r\n", true), "HMSG a 7 r 3 5\r\nABChi\r\n");
        assert_eq!(delivered(b"HPUB a\t3 5\r\nABChi\r\n", true), "HMSG a 7 3 5\r\nABChi\r\n");
        // Sizes are forwarded as they were written, in the usual spelling and in others.
        assert_eq!(delivered(b"HPUB a r 03 005\r\nABChi\r\n", true), "HMSG a 7 r 03 005\r\nABChi\r\n");
        assert_eq!(delivered(b"HPUB a  r\t03 \t005\r\nABChi\r\n", true), "HMSG a 7 r 03 005\r\nABChi\r\n");
        assert_eq!(delivered(b"HPUB a  03 005\r\nABChi\r\n", false), "MSG a 7 2\r\nhi\r\n");
        assert_eq!(delivered(b"HPUB a r 3 5\r\nABChi\r\n", false), "MSG a 7 r 2\r\nhi\r\n");
        assert_eq!(delivered(b"HPUB a 0 2\r\nhi\r\n", true), "MSG a 7 2\r\nhi\r\n");
    }

    #[test]
    fn messages_of_the_server() {
        let mut out = Vec::new();
        message(&mut out, b"a", b"1", b"", b"H", b"xy");
        message(&mut out, b"a", b"1", b"r", b"", b"");
        assert_eq!(out, b"HMSG a 1 1 3\r\nHxy\r\nMSG a 1 r 0\r\n\r\n");
    }
}
