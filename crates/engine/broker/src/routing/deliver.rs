//! Appending a run of messages to one receiver's queue. This is the hottest code of the server.

use std::sync::Arc;

use bytes::Bytes;
use midge_wire::encode::{self, Form};
use midge_wire::parse::Publish;
use smallvec::SmallVec;

use super::Origin;
use crate::batch::Batch;
use crate::limits::{SHARED_PAYLOAD, STALL, STALL_FULL};
use crate::outbound::{Pool, Pressure, Queue};
use crate::peer::Peer;
use crate::subscription::Subscription;

/// What came of a delivery.
pub(super) struct Sent {
    /// Messages taken, counted from the first of the run.
    pub(super) messages: usize,
    /// Whether the subscription's maximum is reached.
    pub(super) spent: bool,
}

/// `MSG subject sid ` or `HMSG subject sid `, written once per run.
struct Head {
    bytes: SmallVec<[u8; 128]>,
    with_headers: Option<bool>,
}

impl Head {
    #[inline]
    fn bytes(&mut self, with_headers: bool, subject: &[u8], sid: &[u8]) -> &[u8] {
        if self.with_headers != Some(with_headers) {
            self.bytes.clear();
            self.bytes.extend_from_slice(if with_headers { b"HMSG " } else { b"MSG " });
            self.bytes.extend_from_slice(subject);
            self.bytes.push(b' ');
            self.bytes.extend_from_slice(sid);
            self.bytes.push(b' ');
            self.with_headers = Some(with_headers);
        }
        &self.bytes
    }
}

/// Appends as much of `run` as the subscription takes, under one lock of the receiver's queue.
pub(super) fn deliver(
    batch: &mut Batch,
    origin: &Origin<'_>,
    peer: &Arc<Peer>,
    sub: &Subscription,
    run: &[Publish<'_>],
    input: Option<&Bytes>,
) -> Sent {
    let receiver_headers = peer.headers();
    let mut head = Head { bytes: SmallVec::new(), with_headers: None };
    let mut queue = peer.queue();
    if queue.closed().is_some() {
        return Sent { messages: 0, spent: false };
    }
    if origin.drop_for_slow && queue.pressure() >= Pressure::High {
        // The message is lost for this consumer; it still counts towards the maximum, as upstream counts it.
        sub.claim(run.len() as u64);
        return Sent { messages: 0, spent: sub.is_spent() };
    }
    let messages = sub.claim(run.len() as u64) as usize;
    if peer.tracks_responses() {
        // Requests that are delivered may be answered, and no others; under the queue lock, so that the permission is
        // there before the request is.
        for publish in run.iter().take(messages).filter(|p| !p.reply.is_empty()) {
            peer.allow_response(publish.reply, batch.now);
        }
    }
    let before = queue.pending();
    let mut body_bytes = 0;
    for publish in run.iter().take(messages) {
        let (with_headers, form) = encode::form(publish, receiver_headers);
        let head = head.bytes(with_headers, publish.subject, sub.sid());
        body_bytes += append(&mut queue, &mut batch.pool, head, &form, publish, input);
    }
    queue.out_msgs += messages as u64;
    queue.out_bytes += body_bytes as u64;
    let pressure = match queue.pressure() {
        // The next message is lost for this consumer; nobody waits.
        Pressure::High | Pressure::Full if origin.drop_for_slow => Pressure::None,
        pressure => pressure,
    };
    if pressure > Pressure::None {
        queue.stalls += 1;
    }
    let pending = queue.pending();
    let written = pending.saturating_sub(before);
    let unlisted = queue.list(batch.id());
    drop(queue);
    if unlisted {
        batch.touched(peer);
    }
    batch.wrote(written);
    batch.queued(peer, pending);
    batch.delivered(messages as u64, body_bytes as u64);
    match pressure {
        Pressure::None | Pressure::Exceeded => {}
        Pressure::High => batch.add_stall(STALL),
        Pressure::Full => batch.add_stall(STALL_FULL),
    }
    Sent { messages, spent: sub.is_spent() }
}

/// Appends one message; answers the bytes of its header and payload.
#[inline]
fn append(
    queue: &mut Queue,
    pool: &mut Pool,
    head: &[u8],
    form: &Form<'_>,
    publish: &Publish<'_>,
    input: Option<&Bytes>,
) -> usize {
    match *form {
        Form::Verbatim(tail) if tail.len() < SHARED_PAYLOAD || input.is_none() => {
            let len = head.len() + tail.len();
            let room = queue.room(pool, len);
            room.extend_from_slice(head);
            room.extend_from_slice(tail);
            queue.appended(len);
            publish.whole.len() - 2 - publish.payload_at as usize
        }
        Form::Verbatim(tail) => {
            let room = queue.room(pool, head.len());
            room.extend_from_slice(head);
            queue.appended(head.len());
            if let Some(input) = input {
                queue.push_shared(pool, input.slice_ref(tail));
            }
            publish.whole.len() - 2 - publish.payload_at as usize
        }
        Form::Rewritten { body, reply, .. } => {
            let most = head.len() + reply.len() + body.len() + 32;
            let room = queue.room(pool, most);
            let before = room.len();
            room.extend_from_slice(head);
            encode::rest(room, form);
            let len = room.len() - before;
            queue.appended(len);
            body.len()
        }
    }
}
