//! What time does to a stream.

use std::time::Duration;

use midge_jsapi::headers as names;
use midge_stdx::clock::Wall;
use midge_store::stream::{Expired, Step, Store};

use super::headers::{Headers, VERSION_LINE, push};
use super::ingest::marker_ttl;
use super::publish::{Cx, Incoming, Origin, Verdict};
use super::{Stream, expect};

/// How long markers wait that were refused.
const RETRY: Duration = Duration::from_secs(2);

impl Stream {
    /// Removes what is too old or has expired or puts markers in its place, publishes scheduled messages that are due, forgets ids and idle batches. Answers when to
    /// call again; batches have a [`deadline`](Stream::deadline) of their own.
    ///
    /// With [`Step::Wait`], part of it is done; the next call goes on.
    pub fn expire(&mut self, store: &mut Store, cx: &mut Cx<'_>) -> Step<Option<Wall>> {
        ready!(self.settle(store));
        self.expire_batches(cx.now, cx.outbox);
        self.dedupe.expire(cx.now.wall.0);
        let mut next = store.expire(cx.now);
        let mut found = Vec::new();
        store.take_expired(&mut found);
        self.expired.extend(found);
        while let Some(expired) = self.expired.front().cloned() {
            if !ready!(self.mark(store, &expired, cx)) {
                next = earlier(next, Some(cx.now.wall + RETRY));
                break;
            }
            self.expired.pop_front();
        }
        ready!(self.fire(store, cx));
        ready!(self.settle(store));
        next = earlier(next, self.schedules.next());
        Step::Ready(earlier(next, self.dedupe.next_expiry_ns().map(Wall)))
    }

    /// Removes an expired message, or publishes a marker in its place. Answers false when that was refused, and has to be tried again.
    fn mark(&mut self, store: &mut Store, expired: &Expired, cx: &mut Cx<'_>) -> Step<bool> {
        ready!(self.settle(store));
        let message = match store.load(expired.seq) {
            Step::Ready(message) => message,
            Step::Wait => return Step::Wait,
            Step::Failed(_) => return Step::Ready(true),
        };
        let headers = Headers::read(message.headers());
        let stands_for_itself = headers.marker_reason.is_some() || headers.kv_operation == Some(b"PURGE");
        let ttl_ns = self.config.subject_delete_marker_ttl_ns;
        let unmarked = !expired.last || stands_for_itself || ttl_ns <= 0 || self.config.sealed;
        if unmarked || ready!(expect::last_of(store, &expired.subject)) != expired.seq {
            return match store.remove(expired.seq, false) {
                Step::Wait => Step::Wait,
                Step::Ready(_) | Step::Failed(_) => Step::Ready(true),
            };
        }
        let mut block = VERSION_LINE.to_vec();
        push(names::MARKER_REASON, b"MaxAge", &mut block);
        push(names::TTL, marker_ttl(ttl_ns).as_bytes(), &mut block);
        push(names::ROLLUP, b"sub", &mut block);
        block.extend_from_slice(b"\r\n");
        let marker = Incoming {
            subject: &expired.subject,
            reply: b"",
            headers: &block,
            payload: b"",
            origin: Origin::Marker,
        };
        match ready!(self.publish(store, &marker, cx)) {
            Verdict::Refused(error) => {
                tracing::warn!(stream = %self.config.name, %error, "delete marker was refused");
                Step::Ready(false)
            }
            _ => self.settle(store).map(|()| true),
        }
    }
}

fn earlier(a: Option<Wall>, b: Option<Wall>) -> Option<Wall> {
    [a, b].into_iter().flatten().min()
}
