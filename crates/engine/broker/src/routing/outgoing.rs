//! Messages of the server itself.

use std::sync::Arc;

use bytes::Bytes;
use midge_wire::parse::Publish;

use super::Origin;
use crate::account::Account;
use crate::batch::Batch;
use crate::limits::SHARED_PAYLOAD;
use crate::peer::Peer;

/// A message of the server itself.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// By what it is routed.
    pub to: &'a [u8],
    /// What receivers are shown; a stored message keeps its own subject.
    pub subject: &'a [u8],
    /// Where answers go; empty for none.
    pub reply: &'a [u8],
    /// The header block, empty for none.
    pub header: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// Routes a message in the name of `peer`; answers how many receivers took it.
pub fn send(batch: &mut Batch, account: &Arc<Account>, peer: &Arc<Peer>, message: &Outgoing<'_>) -> usize {
    let mut whole = std::mem::take(&mut batch.scratch);
    whole.clear();
    let layout = Layout::write(message, &mut whole);
    let origin =
        Origin { peer, account, echo: true, no_responders: false, drop_for_slow: false, trace: None };
    if message.payload.len() < SHARED_PAYLOAD {
        let reached = super::publish_to(batch, &origin, message.to, &[layout.publish(&whole, message)], None);
        batch.scratch = whole;
        return reached;
    }
    let whole = Bytes::from(whole);
    super::publish_to(batch, &origin, message.to, &[layout.publish(&whole, message)], Some(&whole))
}

/// Where the parts of a message lie that was written as a client would have sent it.
struct Layout {
    payload_at: u32,
    digits: (u32, u32),
}

/// What stands before the part that is delivered as it is: a tail does not begin at zero.
const LEAD: &[u8] = b"- ";

impl Layout {
    fn write(message: &Outgoing<'_>, out: &mut Vec<u8>) -> Layout {
        let Outgoing { reply, header, payload, .. } = *message;
        let mut number = itoa::Buffer::new();
        out.reserve(reply.len() + header.len() + payload.len() + 32);
        out.extend_from_slice(LEAD);
        if !reply.is_empty() {
            out.extend_from_slice(reply);
            out.push(b' ');
        }
        if !header.is_empty() {
            out.extend_from_slice(number.format(header.len()).as_bytes());
            out.push(b' ');
        }
        let digits_at = out.len();
        out.extend_from_slice(number.format(header.len() + payload.len()).as_bytes());
        let digits = (digits_at as u32, (out.len() - digits_at) as u32);
        out.extend_from_slice(b"\r\n");
        let payload_at = out.len() as u32;
        out.extend_from_slice(header);
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
        Layout { payload_at, digits }
    }

    fn publish<'a>(&self, whole: &'a [u8], message: &Outgoing<'a>) -> Publish<'a> {
        Publish {
            whole,
            subject: message.subject,
            reply: message.reply,
            has_headers: !message.header.is_empty(),
            header_len: message.header.len() as u32,
            payload_at: self.payload_at,
            tail_at: LEAD.len() as u32,
            digits: self.digits,
        }
    }
}
