//! The reply subjects that make a publish part of a batch with flow control.

use super::number;

/// What such subjects end in.
const SUFFIX: &[u8] = b".$FI";
/// The interval of notes when none is named.
const DEFAULT_FLOW: u64 = 10;
/// The longest interval of notes.
const MAX_FLOW: u64 = 65_535;

/// What happens when messages of a batch are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapRule {
    /// The batch ends.
    Fail,
    /// It goes on.
    Pass,
}

/// What a message does to its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOp {
    /// It begins it.
    Start,
    /// It goes on.
    Append,
    /// It ends it and is part of it.
    Commit,
    /// It ends it and is not part of it.
    End,
    /// It only asks how far things are.
    Ping,
}

/// A reply subject `<prefix>.<id>.<flow>.<gap>.<seq>.<op>.$FI`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchReply<'a> {
    /// The batch; its length is not checked here.
    pub id: &'a [u8],
    /// After how many messages the publisher wants a note, 1 to 65,535.
    pub flow: u64,
    /// What happens when messages are missing.
    pub gap: GapRule,
    /// The place in the batch, from 1 on.
    pub seq: u64,
    /// What the message does.
    pub op: BatchOp,
}

impl<'a> BatchReply<'a> {
    /// Whether a reply subject is of this kind, well formed or not.
    pub fn is_meant(reply: &[u8]) -> bool {
        reply.ends_with(SUFFIX)
    }

    /// Reads a reply subject; none when it is malformed.
    pub fn parse(reply: &'a [u8]) -> Option<BatchReply<'a>> {
        let mut tokens = reply.strip_suffix(SUFFIX)?.rsplit(|&byte| byte == b'.');
        let (op, seq, gap) = (number(tokens.next()?)?, number(tokens.next()?)?, tokens.next()?);
        let (flow, id) = (tokens.next()?, tokens.next()?);
        // Something has to stand in front.
        tokens.next()?;
        let gap = match gap {
            b"fail" => GapRule::Fail,
            b"ok" => GapRule::Pass,
            _ => return None,
        };
        let op = match op {
            0 => BatchOp::Start,
            1 => BatchOp::Append,
            2 => BatchOp::Commit,
            3 => BatchOp::End,
            4 => BatchOp::Ping,
            _ => return None,
        };
        // Nothing comes after the highest number there is.
        let fits = seq < u64::MAX
            && match op {
                BatchOp::Start => seq == 1,
                BatchOp::Append | BatchOp::End => seq > 1,
                BatchOp::Commit | BatchOp::Ping => seq >= 1,
            };
        let flow = number(flow).filter(|&flow| flow > 0).unwrap_or(DEFAULT_FLOW).min(MAX_FLOW);
        (fits && !id.is_empty()).then_some(BatchReply { id, flow, gap, seq, op })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_subjects_are_read() {
        let reply = BatchReply::parse(b"_INBOX.abc.id7.100.ok.1.0.$FI");
        let expected = BatchReply { id: b"id7", flow: 100, gap: GapRule::Pass, seq: 1, op: BatchOp::Start };
        assert_eq!(reply, Some(expected));
        for (text, flow, op) in [
            (&b"p.id.x.fail.2.1.$FI"[..], 10, BatchOp::Append),
            (b"p.id.0.fail.2.3.$FI", 10, BatchOp::End),
            (b"p.id.-1.fail.1.2.$FI", 10, BatchOp::Commit),
            (b"p.id.99999.fail.1.4.$FI", 65_535, BatchOp::Ping),
            (b"p.id.010.fail.01.04.$FI", 10, BatchOp::Ping),
        ] {
            let reply = BatchReply::parse(text).unwrap();
            assert_eq!((reply.id, reply.flow, reply.gap, reply.op), (&b"id"[..], flow, GapRule::Fail, op));
        }
    }

    #[test]
    fn malformed_ones_are_told_from_others() {
        for text in [
            &b"id.10.ok.1.0.$FI"[..],
            b"p.id.10.ok.2.0.$FI",
            b"p.id.10.ok.1.1.$FI",
            b"p.id.10.ok.1.3.$FI",
            b"p.id.10.ok.0.2.$FI",
            b"p.id.10.ok.1.5.$FI",
            b"p.id.10.maybe.1.0.$FI",
            b"p.id.10.ok.x.0.$FI",
            b"p..10.ok.1.0.$FI",
            b".$FI",
        ] {
            assert_eq!((BatchReply::parse(text), BatchReply::is_meant(text)), (None, true));
        }
        assert!(!BatchReply::is_meant(b"_INBOX.x"));
    }
}
