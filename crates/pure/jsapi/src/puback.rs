//! The answers to publishes, written by hand.

use crate::errors::ApiError;
use crate::json::{encode, push_text, push_u64};

/// Where a message was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PubAck<'a> {
    /// The stream.
    pub stream: &'a str,
    /// The domain of the server; may be empty.
    pub domain: &'a str,
    /// The sequence; of the last message for a batch, of the original for a duplicate.
    pub seq: u64,
}

impl PubAck<'_> {
    /// Appends the answer to a message that was stored.
    pub fn stored(&self, out: &mut Vec<u8>) {
        self.head(out);
        out.push(b'}');
    }

    /// Appends the answer to a message that was stored before.
    pub fn duplicate(&self, out: &mut Vec<u8>) {
        self.head(out);
        out.extend_from_slice(b",\"duplicate\": true}");
    }

    /// Appends the answer to a message that counted: the new value in decimal digits.
    pub fn counted(&self, value: &str, out: &mut Vec<u8>) {
        self.head(out);
        out.extend_from_slice(b",\"val\":");
        push_text(out, value);
        out.push(b'}');
    }

    /// Appends the answer to the end of a batch of so many messages.
    pub fn batch(&self, id: &str, count: u64, out: &mut Vec<u8>) {
        self.head(out);
        batch_tail(id, count, out);
    }

    /// Appends the answer to a batch with flow control that held nothing but a duplicate.
    pub fn duplicate_batch(&self, id: &str, count: u64, out: &mut Vec<u8>) {
        self.head(out);
        out.extend_from_slice(b",\"duplicate\": true");
        batch_tail(id, count, out);
    }

    fn head(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"stream\":");
        push_text(out, self.stream);
        if !self.domain.is_empty() {
            out.extend_from_slice(b",\"domain\":");
            push_text(out, self.domain);
        }
        out.extend_from_slice(b",\"seq\":");
        push_u64(out, self.seq);
    }
}

fn batch_tail(id: &str, count: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"batch\":");
    push_text(out, id);
    out.extend_from_slice(b",\"count\":");
    push_u64(out, count);
    out.push(b'}');
}

/// Appends the answer to a message that was refused.
pub fn refused(error: &ApiError, stream: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":");
    encode(error, out);
    out.extend_from_slice(b",\"stream\":");
    push_text(out, stream);
    out.extend_from_slice(b",\"seq\":0}");
}

/// Appends a note to the publisher of a batch with flow control: so far everything is stored, and the next note comes
/// after so many messages.
pub fn flow_ack(batch_seq: u64, interval: u64, out: &mut Vec<u8>) {
    numbers(&[(b"{\"type\":\"ack\",\"seq\":", batch_seq), (b",\"msgs\":", interval)], out);
}

/// Appends a note that messages of a batch with flow control are missing: one was expected, a later one came.
pub fn flow_gap(expected: u64, got: u64, out: &mut Vec<u8>) {
    numbers(&[(b"{\"type\":\"gap\",\"last_seq\":", expected), (b",\"seq\":", got)], out);
}

fn numbers(parts: &[(&[u8], u64)], out: &mut Vec<u8>) {
    for &(text, number) in parts {
        out.extend_from_slice(text);
        push_u64(out, number);
    }
    out.push(b'}');
}

/// Appends a note that a message of a batch with flow control was refused.
pub fn flow_refused(batch_seq: u64, error: &ApiError, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"err\",\"seq\":");
    push_u64(out, batch_seq);
    out.extend_from_slice(b",\"error\":");
    encode(error, out);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn acknowledgements_are_spaced_as_clients_expect() {
        let plain = PubAck { stream: "S", domain: "", seq: 1 };
        let ack = PubAck { stream: "S", domain: "D", seq: 14 };
        assert_eq!(written(|out| plain.stored(out)), r#"{"stream":"S","seq":1}"#);
        assert_eq!(written(|out| ack.stored(out)), r#"{"stream":"S","domain":"D","seq":14}"#);
        assert_eq!(
            written(|out| ack.duplicate(out)),
            r#"{"stream":"S","domain":"D","seq":14,"duplicate": true}"#
        );
        assert_eq!(written(|out| plain.counted("-5", out)), r#"{"stream":"S","seq":1,"val":"-5"}"#);
        assert_eq!(
            written(|out| plain.batch("b1", 2, out)),
            r#"{"stream":"S","seq":1,"batch":"b1","count":2}"#
        );
        assert_eq!(
            written(|out| plain.duplicate_batch("b1", 1, out)),
            r#"{"stream":"S","seq":1,"duplicate": true,"batch":"b1","count":1}"#
        );
    }

    #[test]
    fn refusals_carry_the_error() {
        let error = errors::STREAM_WRONG_LAST_SEQUENCE.with(&[("{seq}", "14")]);
        assert_eq!(
            written(|out| refused(&error, "S", out)),
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 14"},"stream":"S","seq":0}"#
        );
        assert_eq!(
            written(|out| flow_refused(7, &error, out)),
            r#"{"type":"err","seq":7,"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 14"}}"#
        );
    }

    #[test]
    fn notes_about_batches_are_short() {
        assert_eq!(written(|out| flow_ack(10, 5, out)), r#"{"type":"ack","seq":10,"msgs":5}"#);
        assert_eq!(written(|out| flow_gap(3, 7, out)), r#"{"type":"gap","last_seq":3,"seq":7}"#);
    }
}
