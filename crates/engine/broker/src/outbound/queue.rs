//! The queue itself; its owner keeps it under a lock of rank 40.

use std::time::Duration;

use bytes::Bytes;
use midge_stdx::clock::Mono;

use super::{Chunk, Flight, Pool};
use crate::limits::{LARGE_CHUNK, SMALL_CHUNK};
use crate::reason::Reason;

/// How full a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// Below three quarters of the maximum.
    None,
    /// Above: a publisher should wait a little.
    High,
    /// At the maximum.
    Full,
    /// Beyond it: the connection was closed as a slow consumer.
    Exceeded,
}

/// The answer to [`Queue::take`].
#[derive(Debug)]
pub enum Taken {
    /// The caller writes these and then calls [`Queue::done`].
    Flight(Flight),
    /// There is nothing to write.
    Empty,
    /// Somebody else is writing and will look again.
    Busy,
}

/// A socket that refuses bytes.
#[derive(Clone, Copy, Debug)]
struct Stall {
    since: Mono,
    /// Bytes written when it began, and those by which it ends: what was queued then.
    from: u64,
    mark: u64,
}

/// Output of one connection.
#[derive(Debug)]
pub struct Queue {
    /// Full chunks, oldest first; the first may be partly written.
    waiting: Flight,
    /// The chunk that is being filled.
    tail: Vec<u8>,
    /// Bytes queued, those in flight included.
    pending: usize,
    max_pending: usize,
    flushing: bool,
    closed: Option<Reason>,
    /// The batch that last listed this queue as dirty.
    listed_by: u64,
    /// Bytes ever written.
    written: u64,
    stalled: Option<Stall>,
    /// Bytes written when a publisher last began to wait; without progress since, none waits.
    waited_at: Option<u64>,
    /// Messages delivered.
    pub out_msgs: u64,
    /// Bytes of header and payload delivered.
    pub out_bytes: u64,
    /// Times a publisher was made to wait.
    pub stalls: u64,
}

impl Queue {
    /// An empty queue of at most `max_pending` bytes.
    pub fn new(max_pending: usize) -> Self {
        Queue {
            waiting: Flight::default(),
            tail: Vec::new(),
            pending: 0,
            max_pending,
            flushing: false,
            closed: None,
            listed_by: 0,
            written: 0,
            stalled: None,
            waited_at: None,
            out_msgs: 0,
            out_bytes: 0,
            stalls: 0,
        }
    }

    /// Bytes queued, those in flight included.
    #[inline]
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Why the connection ends, once it does.
    #[inline]
    pub fn closed(&self) -> Option<Reason> {
        self.closed
    }

    /// Whether `batch` has this queue on its list; if not, it is from now on.
    #[inline]
    pub fn list(&mut self, batch: u64) -> bool {
        let listed = self.listed_by == batch;
        self.listed_by = batch;
        !listed
    }

    /// Room for `len` bytes in one piece, to be appended by the caller, who calls [`Queue::appended`] afterwards.
    #[inline]
    pub fn room(&mut self, pool: &mut Pool, len: usize) -> &mut Vec<u8> {
        if self.tail.capacity() - self.tail.len() < len {
            self.new_tail(pool, len);
        }
        &mut self.tail
    }

    #[cold]
    fn new_tail(&mut self, pool: &mut Pool, len: usize) {
        let first = self.tail.capacity() == 0 && self.waiting.chunks.is_empty();
        let full = std::mem::replace(&mut self.tail, pool.get(len, first));
        if full.is_empty() {
            pool.put(full);
        } else {
            self.waiting.chunks.push_back(Chunk::Own(full));
        }
    }

    /// Counts `len` bytes that were appended to [`Queue::room`].
    #[inline]
    pub fn appended(&mut self, len: usize) {
        self.pending += len;
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub fn push(&mut self, pool: &mut Pool, bytes: &[u8]) {
        if self.closed.is_none() {
            self.room(pool, bytes.len()).extend_from_slice(bytes);
            self.appended(bytes.len());
        }
    }

    /// Appends shared bytes without copying them.
    pub fn push_shared(&mut self, pool: &mut Pool, bytes: Bytes) {
        self.pending += bytes.len();
        if !self.tail.is_empty() {
            let tail = std::mem::replace(&mut self.tail, pool.get(0, true));
            self.waiting.chunks.push_back(Chunk::Own(tail));
        }
        self.waiting.chunks.push_back(Chunk::Shared(bytes));
    }

    /// How full the queue is; beyond the maximum it closes itself and drops what it holds.
    #[inline]
    pub fn pressure(&mut self) -> Pressure {
        if self.pending > self.max_pending {
            self.close(Reason::SlowConsumerPendingBytes);
            Pressure::Exceeded
        } else if self.pending == self.max_pending {
            Pressure::Full
        } else if self.pending > self.max_pending / 4 * 3 {
            Pressure::High
        } else {
            Pressure::None
        }
    }

    /// Whether a publisher should wait for this consumer: more than `limit` bytes are queued, and it has taken some
    /// since the last wait.
    pub fn is_crowded(&mut self, limit: usize) -> bool {
        if self.pending <= limit || self.closed.is_some() || self.waited_at == Some(self.written) {
            return false;
        }
        self.waited_at = Some(self.written);
        true
    }

    /// Ends the queue; the first reason stays. What is queued is dropped when the reason does not allow a last flush.
    /// Answers whether this call ended it.
    pub fn close(&mut self, reason: Reason) -> bool {
        if self.closed.is_some() {
            return false;
        }
        self.closed = Some(reason);
        if !reason.flushes() {
            self.pending -= self.waiting.len() + self.tail.len();
            self.waiting = Flight::default();
            self.tail = Vec::new();
        }
        true
    }

    /// Takes everything queued for writing, unless somebody else is writing.
    pub fn take(&mut self) -> Taken {
        if self.flushing {
            return Taken::Busy;
        }
        match self.load() {
            Some(flight) => {
                self.flushing = true;
                Taken::Flight(flight)
            }
            None => Taken::Empty,
        }
    }

    fn load(&mut self) -> Option<Flight> {
        if !self.tail.is_empty() {
            let tail = std::mem::take(&mut self.tail);
            self.waiting.chunks.push_back(Chunk::Own(tail));
        }
        if self.waiting.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.waiting))
    }

    /// Ends a write: `rest` is what was not written, `written` what was. With `again`, the caller is ready to write
    /// more: it gets what was queued meanwhile and keeps the flushing flag; otherwise the flag is laid down and the
    /// answer says by `Taken::Busy` that bytes remain for somebody to write, by `Taken::Empty` that none do.
    pub fn done(&mut self, mut rest: Flight, written: usize, again: bool, pool: &mut Pool) -> Taken {
        self.written += written as u64;
        self.pending = self.pending.saturating_sub(written);
        if self.stalled.is_some_and(|stall| self.written >= stall.mark) {
            self.stalled = None;
        }
        if self.closed.is_some_and(|reason| !reason.flushes()) {
            self.pending = 0;
            self.flushing = false;
            return Taken::Empty;
        }
        if !rest.is_empty() {
            rest.chunks.append(&mut self.waiting.chunks);
            self.waiting = rest;
        } else if self.waiting.chunks.capacity() == 0 && rest.chunks.capacity() <= 8 {
            self.waiting = rest;
        }
        if again && let Some(flight) = self.load() {
            return Taken::Flight(flight);
        }
        self.flushing = false;
        if self.pending > 0 {
            return Taken::Busy;
        }
        self.stalled = None;
        if self.tail.capacity() > 0 {
            pool.put(std::mem::take(&mut self.tail));
        }
        // An idle connection holds no memory for output.
        self.waiting = Flight::default();
        Taken::Empty
    }

    /// Counts bytes of a flight that were written while the rest stays with its flusher.
    pub fn progressed(&mut self, written: usize) {
        self.written += written as u64;
        self.pending = self.pending.saturating_sub(written);
        if self.stalled.is_some_and(|stall| self.written >= stall.mark) {
            self.stalled = None;
        }
    }

    /// Called by a flusher whose socket refused bytes: what is queued now has to be written within `deadline` of the
    /// first refusal.
    pub fn refused(&mut self, now: Mono) {
        if self.stalled.is_none() {
            self.stalled =
                Some(Stall { since: now, from: self.written, mark: self.written + self.pending as u64 });
        }
    }

    /// Gives a stalled socket another term from `now`, if it took anything during this one.
    pub fn restart_stall(&mut self, now: Mono) -> bool {
        match self.stalled {
            Some(stall) if self.written > stall.from => {
                self.stalled = Some(Stall { since: now, from: self.written, ..stall });
                true
            }
            _ => false,
        }
    }

    /// Since when the socket has refused what was queued then.
    pub fn stalled_for(&self, now: Mono) -> Option<Duration> {
        self.stalled.map(|stall| now.since(stall.since))
    }

    /// Since when the socket has refused what was queued then.
    pub fn stalled_since(&self) -> Option<Mono> {
        self.stalled.map(|stall| stall.since)
    }

    /// Appends a copy of the last `len` bytes queued to `out`, flights not among them: for observers that compare what
    /// was queued with what arrives.
    pub fn copy_last(&self, len: usize, out: &mut Vec<u8>) {
        let held = self.waiting.len() + self.tail.len();
        let chunks = self.waiting.chunks.iter().map(Chunk::bytes).chain([self.tail.as_slice()]);
        out.extend(chunks.flatten().skip(self.waiting.offset + held.saturating_sub(len)));
    }

    /// Chunks queued, for the log line of a slow consumer.
    pub fn chunks(&self) -> usize {
        self.waiting.chunks.len() + usize::from(!self.tail.is_empty())
    }
}

const _: () = assert!(SMALL_CHUNK < LARGE_CHUNK);

#[cfg(test)]
mod tests {
    use super::*;

    fn written(flight: &Flight) -> Vec<u8> {
        flight.chunks.iter().flat_map(|c| c.bytes().to_vec()).skip(flight.offset).collect()
    }

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let (mut queue, mut pool) = (Queue::new(1 << 20), Pool::default());
        queue.push(&mut pool, b"one ");
        queue.push_shared(&mut pool, Bytes::from_static(b"two "));
        queue.push(&mut pool, b"three ");
        let Taken::Flight(mut flight) = queue.take() else { panic!() };
        assert!(matches!(queue.take(), Taken::Busy));
        queue.push(&mut pool, b"four");
        assert_eq!(written(&flight), b"one two three ");
        let mut last = Vec::new();
        queue.copy_last(3, &mut last);
        assert_eq!(last, b"our");
        flight.advance(5, &mut pool);
        let Taken::Flight(flight) = queue.done(flight, 5, true, &mut pool) else { panic!() };
        assert_eq!(written(&flight), b"wo three four");
        let n = flight.len();
        let mut flight = flight;
        flight.advance(n, &mut pool);
        assert!(matches!(queue.done(flight, n, true, &mut pool), Taken::Empty));
        assert_eq!(queue.pending(), 0);
        assert!(matches!(queue.take(), Taken::Empty));
    }

    #[test]
    fn a_refused_write_leaves_bytes_for_somebody_else() {
        let (mut queue, mut pool) = (Queue::new(1 << 20), Pool::default());
        queue.push(&mut pool, b"abc");
        let Taken::Flight(flight) = queue.take() else { panic!() };
        queue.refused(Mono(7));
        assert!(matches!(queue.done(flight, 0, false, &mut pool), Taken::Busy));
        assert_eq!(queue.stalled_for(Mono(10)), Some(Duration::from_nanos(3)));
        queue.push(&mut pool, b"later");
        let Taken::Flight(mut flight) = queue.take() else { panic!() };
        flight.advance(3, &mut pool);
        assert!(matches!(queue.done(flight, 3, false, &mut pool), Taken::Busy));
        assert_eq!(queue.stalled_since(), None, "what had waited was written");
    }

    #[test]
    fn beyond_its_maximum_a_queue_closes_and_drops_everything() {
        let (mut queue, mut pool) = (Queue::new(8), Pool::default());
        queue.push(&mut pool, b"123456");
        assert_eq!(queue.pressure(), Pressure::None);
        queue.push(&mut pool, b"7");
        assert_eq!(queue.pressure(), Pressure::High);
        queue.push(&mut pool, b"8");
        assert_eq!(queue.pressure(), Pressure::Full);
        queue.push(&mut pool, b"9");
        assert_eq!(queue.pressure(), Pressure::Exceeded);
        assert_eq!((queue.closed(), queue.pending()), (Some(Reason::SlowConsumerPendingBytes), 0));
        queue.push(&mut pool, b"ignored");
        assert!(matches!(queue.take(), Taken::Empty));
        assert!(!queue.close(Reason::ClientClosed));
    }

    #[test]
    fn a_queue_closed_in_flight_writes_no_more() {
        let (mut queue, mut pool) = (Queue::new(1 << 20), Pool::default());
        queue.push(&mut pool, b"abc");
        let Taken::Flight(flight) = queue.take() else { panic!() };
        queue.close(Reason::WriteError);
        assert!(matches!(queue.done(flight, 1, true, &mut pool), Taken::Empty));
        assert_eq!(queue.pending(), 0);
    }
}
