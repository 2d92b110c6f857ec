//! The mailbox of a stream's host: messages are copied once into bytes that are used again, so that a publish allocates nothing.

use std::sync::Arc;

use midge_broker::account::Watcher;
use midge_broker::batch::Batch;
use midge_broker::internal::{Request, Service};
use midge_broker::turn::Signal;
use midge_store::port::{Completion, Completions, DiskError};
use midge_sync::atomic::{AtomicBool, Ordering};
use midge_sync::ordlock::Mutex;
use midge_sync::rank;

use crate::api::ApiRequest;
use crate::limits::{INBOX_ACK_BYTES, INBOX_ACKS, INBOX_KEPT_BYTES, INBOX_KEPT_ITEMS};

/// Where a message lies in the bytes of its inbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    at: usize,
    subject: u32,
    reply: u32,
    header: u32,
    payload: u32,
}

/// A message in an inbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) reply: &'a [u8],
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl Span {
    /// The message, in the bytes it was written to.
    #[inline]
    pub(crate) fn of<'a>(&self, bytes: &'a [u8]) -> Parts<'a> {
        let (subject, rest) = bytes.get(self.at..).unwrap_or_default().split_at(self.subject as usize);
        let (reply, rest) = rest.split_at(self.reply as usize);
        let (header, rest) = rest.split_at(self.header as usize);
        let payload = rest.get(..self.payload as usize).unwrap_or_default();
        Parts { subject, reply, header, payload }
    }
}

/// What a consumer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForConsumer {
    /// An acknowledgement.
    Ack,
    /// A pull request.
    Pull,
    /// An answer to a request of flow control.
    Flow,
    /// A request to begin anew elsewhere.
    Reset,
    /// Not for a consumer, but from one of another stream, which feeds this one.
    Delivery,
    /// The answer to a request for such a consumer.
    LinkReply,
    /// A chunk of a copy has arrived.
    SnapshotAck,
    /// A chunk of a copy to be restored.
    Chunk,
}

/// One input.
pub(crate) enum Item {
    /// To be stored.
    Publish(Span),
    /// For a consumer, by its number.
    Consumer(u32, ForConsumer, Span),
    /// A direct get.
    Get(Span),
    /// Interest in the deliver subject of a consumer may have changed.
    Interest(u32),
    /// A request of the API.
    Api(Box<ApiRequest>),
    /// From the owner of the registry, or from a job.
    Order(Box<super::Order>),
}

#[derive(Default)]
struct Inner {
    items: Vec<Item>,
    bytes: Vec<u8>,
    publishes: usize,
    /// Bytes of publishes.
    publish_bytes: usize,
    acks: usize,
    closed: bool,
}

/// What the disk says besides what it completes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said {
    /// It takes operations again.
    pub(crate) room: bool,
    /// It has space again.
    pub(crate) space: bool,
    /// Its journal copies what consumers changed: their states should be written whole.
    pub(crate) behind: bool,
    /// It refuses, for what failed while nobody waited for it.
    pub(crate) refused: bool,
}

#[derive(Default)]
struct FromDisk {
    completions: Vec<Completion>,
    said: Said,
    released: Option<Result<(), DiskError>>,
}

/// What a host takes from its inbox; the vectors are used again.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) items: Vec<Item>,
    pub(crate) bytes: Vec<u8>,
}

/// See the module.
pub(crate) struct Inbox {
    inner: Mutex<{ rank::LEAF }, Inner>,
    disk: Mutex<{ rank::LEAF }, FromDisk>,
    signal: Arc<Signal>,
    max_msgs: usize,
    max_bytes: usize,
}

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too much waits already.
    Full,
    /// The host is gone.
    Closed,
}

impl Inbox {
    /// An inbox of at most so many messages to be stored, and so many bytes of them.
    pub(crate) fn new(signal: Arc<Signal>, max_msgs: usize, max_bytes: usize) -> Inbox {
        let (inner, disk) = (Mutex::new(Inner::default()), Mutex::new(FromDisk::default()));
        Inbox { inner, disk, signal, max_msgs, max_bytes }
    }

    pub(crate) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Queues a message to be stored. When full nothing is queued, and the publisher is told.
    pub(crate) fn publish(&self, parts: &Parts<'_>) -> Result<(), Refused> {
        let len = parts.subject.len() + parts.reply.len() + parts.header.len() + parts.payload.len();
        self.push(|inner| {
            if inner.publishes >= self.max_msgs || inner.publish_bytes + len > self.max_bytes {
                return Err(Refused::Full);
            }
            inner.publishes += 1;
            inner.publish_bytes += len;
            let span = write(&mut inner.bytes, parts);
            inner.items.push(Item::Publish(span));
            Ok(())
        })
    }

    /// Queues something for a consumer. When full it is dropped: a pull times out, an acknowledgement is missed and the message comes again.
    pub(crate) fn consumer(&self, id: u32, what: ForConsumer, parts: &Parts<'_>) -> Result<(), Refused> {
        self.push(|inner| {
            let span = self.write_small(inner, parts)?;
            inner.items.push(Item::Consumer(id, what, span));
            Ok(())
        })
    }

    /// Queues a direct get; dropped when full.
    pub(crate) fn get(&self, parts: &Parts<'_>) -> Result<(), Refused> {
        self.push(|inner| {
            let span = self.write_small(inner, parts)?;
            inner.items.push(Item::Get(span));
            Ok(())
        })
    }

    /// What is no message to be stored has limits of its own.
    fn write_small(&self, inner: &mut Inner, parts: &Parts<'_>) -> Result<Span, Refused> {
        if inner.acks >= INBOX_ACKS || inner.bytes.len() > self.max_bytes + INBOX_ACK_BYTES {
            return Err(Refused::Full);
        }
        inner.acks += 1;
        Ok(write(&mut inner.bytes, parts))
    }

    /// Queues anything else: bounded by whoever sends it, who gets it back when the host is gone.
    pub(crate) fn send(&self, item: Item) -> Result<(), Item> {
        let first = {
            let mut inner = self.inner.lock();
            if inner.closed {
                return Err(item);
            }
            inner.items.push(item);
            inner.items.len() == 1
        };
        if first {
            self.signal.raise();
        }
        Ok(())
    }

    #[inline]
    fn push(&self, put: impl FnOnce(&mut Inner) -> Result<(), Refused>) -> Result<(), Refused> {
        let first = {
            let mut inner = self.inner.lock();
            if inner.closed {
                return Err(Refused::Closed);
            }
            put(&mut inner)?;
            inner.items.len() == 1
        };
        if first {
            self.signal.raise();
        }
        Ok(())
    }

    /// Takes everything; what was taken the last time has to be used up.
    pub(crate) fn take(&self, into: &mut Taken) {
        debug_assert!(into.items.is_empty());
        into.bytes.clear();
        // A burst leaves its room to nobody.
        into.bytes.shrink_to(INBOX_KEPT_BYTES);
        into.items.shrink_to(INBOX_KEPT_ITEMS);
        let mut inner = self.inner.lock();
        std::mem::swap(&mut inner.items, &mut into.items);
        std::mem::swap(&mut inner.bytes, &mut into.bytes);
        (inner.publishes, inner.publish_bytes, inner.acks) = (0, 0, 0);
    }

    /// Takes what came from the disk: completions, and what else there is to know.
    pub(crate) fn take_completions(&self, into: &mut Vec<Completion>) -> Said {
        let mut disk = self.disk.lock();
        std::mem::swap(&mut disk.completions, into);
        std::mem::take(&mut disk.said)
    }

    /// How the lane ended, once it has.
    pub(crate) fn released(&self) -> Option<Result<(), DiskError>> {
        self.disk.lock().released.take()
    }

    /// Takes nothing more, and gives back what is left.
    pub(crate) fn close(&self) -> Taken {
        // What is dropped may tell others, under locks of their own: this one has to be free by then.
        let left = std::mem::replace(&mut *self.inner.lock(), Inner { closed: true, ..Inner::default() });
        Taken { items: left.items, bytes: left.bytes }
    }
}

fn write(bytes: &mut Vec<u8>, parts: &Parts<'_>) -> Span {
    let at = bytes.len();
    for part in [parts.subject, parts.reply, parts.header, parts.payload] {
        bytes.extend_from_slice(part);
    }
    Span {
        at,
        subject: parts.subject.len() as u32,
        reply: parts.reply.len() as u32,
        header: parts.header.len() as u32,
        payload: parts.payload.len() as u32,
    }
}

impl Completions for Inbox {
    fn complete(&self, batch: &mut Vec<Completion>) {
        self.disk.lock().completions.append(batch);
    }

    fn wake(&self) {
        self.signal.raise();
    }

    fn room(&self) {
        self.disk.lock().said.room = true;
        self.signal.raise();
    }

    fn space(&self) {
        self.disk.lock().said.space = true;
        self.signal.raise();
    }

    fn behind(&self) {
        self.disk.lock().said.behind = true;
        self.signal.raise();
    }

    fn refused(&self) {
        self.disk.lock().said.refused = true;
        self.signal.raise();
    }

    fn released(&self, result: Result<(), DiskError>) {
        self.disk.lock().released = Some(result);
        self.signal.raise();
    }
}

/// What a consumer, by its number, is told by messages to a subject of its own.
pub(crate) struct ConsumerDoor {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) id: u32,
    pub(crate) what: ForConsumer,
}

impl Service for ConsumerDoor {
    fn handle(&self, _batch: &mut Batch, request: &Request<'_>) {
        // Dropped when full, as said there.
        let _ = self.inbox.consumer(self.id, self.what, &parts(request));
    }
}

/// Where direct gets arrive.
pub(crate) struct GetDoor(pub(crate) Arc<Inbox>);

impl Service for GetDoor {
    fn handle(&self, _batch: &mut Batch, request: &Request<'_>) {
        if !request.reply.is_empty() {
            let _ = self.0.get(&parts(request));
        }
    }
}

/// Tells a host that interest in the deliver subject of a consumer may have changed.
pub(crate) struct InterestDoor {
    inbox: Arc<Inbox>,
    id: u32,
    /// The host was told and has not looked yet.
    told: AtomicBool,
}

impl InterestDoor {
    pub(crate) fn new(inbox: Arc<Inbox>, id: u32) -> InterestDoor {
        InterestDoor { inbox, id, told: AtomicBool::new(false) }
    }

    /// The host looks: it is told of what changes from now on.
    pub(crate) fn seen(&self) {
        self.told.store(false, Ordering::Release);
    }
}

impl Watcher for InterestDoor {
    fn changed(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            let _ = self.inbox.send(Item::Interest(self.id));
        }
    }
}

/// The parts of a request.
pub(crate) fn parts<'a>(request: &Request<'a>) -> Parts<'a> {
    Parts { subject: request.subject, reply: request.reply, header: request.header, payload: request.payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(payload: &[u8]) -> Parts<'_> {
        Parts { subject: b"a", reply: b"r", header: b"", payload }
    }

    /// How many are taken of something that is sent again and again.
    fn taken(inbox: &Inbox, most: usize, send: impl Fn(&Inbox) -> Result<(), Refused>) -> usize {
        (0..most).take_while(|_| send(inbox) == Ok(())).count()
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_whatever_it_is() {
        let large = vec![0; 1 << 20];
        let limit = (INBOX_ACK_BYTES >> 20) + 2;
        let inbox = || Inbox::new(Signal::new(), 10, 1 << 20);
        assert_eq!(taken(&inbox(), 100, |inbox| inbox.publish(&of(b"m"))), 10);
        assert!(taken(&inbox(), 2 * limit, |inbox| inbox.get(&of(&large))) <= limit);
        assert!(
            taken(&inbox(), 2 * limit, |inbox| inbox.consumer(1, ForConsumer::Pull, &of(&large))) <= limit
        );
    }

    #[test]
    fn a_burst_takes_no_memory_when_it_is_over() {
        let inbox = Inbox::new(Signal::new(), 10_000, 64 << 20);
        let payload = vec![0; 4096];
        let mut into = Taken::default();
        for _ in 0..4 {
            assert_eq!(taken(&inbox, 5000, |inbox| inbox.publish(&of(&payload))), 5000);
            inbox.take(&mut into);
            assert_eq!(into.items.len(), 5000);
            into.items.clear();
        }
        inbox.take(&mut into);
        inbox.take(&mut into);
        let inner = inbox.inner.lock();
        assert!(into.bytes.capacity() + inner.bytes.capacity() <= 2 * INBOX_KEPT_BYTES);
        assert!(into.items.capacity() + inner.items.capacity() <= 2 * INBOX_KEPT_ITEMS);
    }
}
