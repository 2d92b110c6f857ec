//! The subjects by which messages are acknowledged and flow control is answered.

use super::number;
use crate::json::{push_i64, push_u64};

/// What the subjects of acknowledgements begin with.
const ACK: &[u8] = b"$JS.ACK.";
/// What the subjects of flow control begin with.
const FLOW: &[u8] = b"$JS.FC.";

/// The reply subject of a delivered message.
///
/// The old form has neither domain nor account; the new one has both, and `_` for no domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// The domain of the server; empty for none, and in the old form.
    pub domain: &'a [u8],
    /// What stands for the account; empty in the old form.
    pub account_hash: &'a [u8],
    /// The stream.
    pub stream: &'a [u8],
    /// The consumer.
    pub consumer: &'a [u8],
    /// How often the message was delivered, this time included.
    pub deliveries: u64,
    /// Its sequence.
    pub stream_seq: u64,
    /// The number of this delivery.
    pub consumer_seq: u64,
    /// When it was stored.
    pub ts_ns: i64,
    /// How many are still to come.
    pub pending: u64,
}

impl<'a> AckSubject<'a> {
    /// Reads a subject of either form; tokens behind those of the new form are passed over.
    pub fn parse(subject: &'a [u8]) -> Option<AckSubject<'a>> {
        let mut tokens = [&b""[..]; 9];
        let mut count = 0;
        for token in subject.strip_prefix(ACK)?.split(|&byte| byte == b'.') {
            if let Some(place) = tokens.get_mut(count) {
                *place = token;
            }
            count += 1;
        }
        let (domain, account_hash, rest) = match (count, &tokens) {
            (7, [rest @ .., _, _]) => (&b""[..], &b""[..], rest),
            (9.., [domain, account_hash, rest @ ..]) => {
                (if *domain == b"_" { &b""[..] } else { domain }, *account_hash, rest)
            }
            _ => return None,
        };
        let &[stream, consumer, deliveries, stream_seq, consumer_seq, ts, pending] = rest;
        let is_new = count > 7;
        if stream.is_empty() || consumer.is_empty() || is_new && account_hash.is_empty() {
            return None;
        }
        Some(AckSubject {
            domain,
            account_hash,
            stream,
            consumer,
            deliveries: number(deliveries)?,
            stream_seq: number(stream_seq)?,
            consumer_seq: number(consumer_seq)?,
            ts_ns: i64::try_from(number(ts)?).ok()?,
            pending: number(pending)?,
        })
    }

    /// Appends the old form.
    pub fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(ACK);
        self.push_tail(out);
    }

    /// Appends the new form.
    pub fn push_v2(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(ACK);
        push_origin(self.domain, self.account_hash, out);
        self.push_tail(out);
    }

    /// The subscription to all acknowledgements of a consumer in the old form.
    pub fn filter(stream: &str, consumer: &str) -> String {
        format!("$JS.ACK.{stream}.{consumer}.*.*.*.*.*")
    }

    /// The subscription to all acknowledgements of a consumer in the new form.
    pub fn filter_v2(domain: &str, account_hash: &str, stream: &str, consumer: &str) -> String {
        let domain = if domain.is_empty() { "_" } else { domain };
        format!("$JS.ACK.{domain}.{account_hash}.{stream}.{consumer}.>")
    }

    fn push_tail(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.stream);
        out.push(b'.');
        out.extend_from_slice(self.consumer);
        for number in [self.deliveries, self.stream_seq, self.consumer_seq] {
            out.push(b'.');
            push_u64(out, number);
        }
        out.push(b'.');
        push_i64(out, self.ts_ns);
        out.push(b'.');
        push_u64(out, self.pending);
    }
}

fn push_origin(domain: &[u8], account_hash: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(if domain.is_empty() { b"_" } else { domain });
    out.push(b'.');
    out.extend_from_slice(account_hash);
    out.push(b'.');
}

/// The reply subject of a request for flow control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowSubject<'a> {
    /// The domain of the server; empty for none, and in the old form.
    pub domain: &'a [u8],
    /// What stands for the account; empty in the old form.
    pub account_hash: &'a [u8],
    /// The stream.
    pub stream: &'a [u8],
    /// The consumer.
    pub consumer: &'a [u8],
    /// Four letters and digits that stand for this request.
    pub id: &'a [u8],
}

impl<'a> FlowSubject<'a> {
    /// Reads a subject of either form.
    pub fn parse(subject: &'a [u8]) -> Option<FlowSubject<'a>> {
        let mut tokens = subject.strip_prefix(FLOW)?.split(|&byte| byte == b'.');
        let mut next = || tokens.next();
        let (a, b, c) = (next()?, next()?, next()?);
        let subject = match (next(), next()) {
            (None, _) => FlowSubject { domain: b"", account_hash: b"", stream: a, consumer: b, id: c },
            (Some(consumer), Some(id)) => {
                let domain = if a == b"_" { &b""[..] } else { a };
                FlowSubject { domain, account_hash: b, stream: c, consumer, id }
            }
            _ => return None,
        };
        next().is_none().then_some(subject)
    }

    /// Appends the old form.
    pub fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(FLOW);
        self.push_tail(out);
    }

    /// Appends the new form.
    pub fn push_v2(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(FLOW);
        push_origin(self.domain, self.account_hash, out);
        self.push_tail(out);
    }

    fn push_tail(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.stream);
        out.push(b'.');
        out.extend_from_slice(self.consumer);
        out.push(b'.');
        out.extend_from_slice(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: AckSubject<'static> = AckSubject {
        domain: b"",
        account_hash: b"",
        stream: b"A1",
        consumer: b"D",
        deliveries: 1,
        stream_seq: 2,
        consumer_seq: 3,
        ts_ns: 1_795_287_596_880_848_059,
        pending: 4,
    };

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_forms_of_acknowledgements_are_written_and_read() {
        let text = written(|out| PLAIN.push(out));
        assert_eq!(text, "$JS.ACK.A1.D.1.2.3.1795287596880848059.4");
        assert_eq!(AckSubject::parse(text.as_bytes()), Some(PLAIN));

        let whole = AckSubject { account_hash: b"abcdefgh", ..PLAIN };
        let text = written(|out| whole.push_v2(out));
        assert_eq!(text, "$JS.ACK._.abcdefgh.A1.D.1.2.3.1795287596880848059.4");
        assert_eq!(AckSubject::parse(text.as_bytes()), Some(whole));
        assert_eq!(AckSubject::parse(format!("{text}.more.to.come").as_bytes()), Some(whole));

        let whole = AckSubject { domain: b"hub", ..whole };
        let text = written(|out| whole.push_v2(out));
        assert_eq!(AckSubject::parse(text.as_bytes()), Some(whole));
    }

    #[test]
    fn what_is_no_acknowledgement_is_refused() {
        for text in [
            "$JS.ACK.",
            "$JS.ACK.A1.D.1.2.3.4",
            "$JS.ACK.A1.D.1.2.3.4.5.6",
            "$JS.ACK.A1..1.2.3.4.5",
            "$JS.ACK._..A1.D.1.2.3.4.5",
            "$JS.ACK.A1.D.x.2.3.4.5",
            "$JS.ACK.A1.D.1.2.3.-4.5",
            "$JS.ACK.A1.D.1.2.3.9223372036854775808.5",
            "$JS.FC.A1.D.1.2.3.4.5",
        ] {
            assert_eq!(AckSubject::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn subscriptions_cover_the_subjects() {
        assert_eq!(AckSubject::filter("S", "C"), "$JS.ACK.S.C.*.*.*.*.*");
        assert_eq!(AckSubject::filter_v2("", "h", "S", "C"), "$JS.ACK._.h.S.C.>");
    }

    #[test]
    fn both_forms_of_flow_control_are_written_and_read() {
        let plain = FlowSubject { stream: b"S", consumer: b"C", id: b"x1Y2", ..FlowSubject::default() };
        let text = written(|out| plain.push(out));
        assert_eq!(text, "$JS.FC.S.C.x1Y2");
        assert_eq!(FlowSubject::parse(text.as_bytes()), Some(plain));
        let whole = FlowSubject { account_hash: b"abcdefgh", ..plain };
        let text = written(|out| whole.push_v2(out));
        assert_eq!(text, "$JS.FC._.abcdefgh.S.C.x1Y2");
        assert_eq!(FlowSubject::parse(text.as_bytes()), Some(whole));
        for text in ["$JS.FC.S.C", "$JS.FC.S.C.x.y", "$JS.FC.a.b.c.d.e.f"] {
            assert_eq!(FlowSubject::parse(text.as_bytes()), None, "{text}");
        }
    }
}
