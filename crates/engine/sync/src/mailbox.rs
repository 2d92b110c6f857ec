//! A bounded queue that its owner drains in batches.

use std::collections::VecDeque;

use crate::ordlock::Mutex;
use crate::rank;

/// What a sender learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Taken; the owner had nothing queued and must be woken by the sender.
    Wake,
    /// Taken; the owner was woken already.
    Queued,
    /// Refused: the maximum is reached. Nothing was queued.
    Full,
    /// Refused: the owner is gone.
    Closed,
}

#[derive(Debug)]
struct Inner<T> {
    queue: VecDeque<T>,
    closed: bool,
}

/// Messages to one owner, at most `max` at a time.
#[derive(Debug)]
pub struct Mailbox<T> {
    inner: Mutex<{ rank::LEAF }, Inner<T>>,
    max: usize,
}

impl<T> Mailbox<T> {
    /// A mailbox of at most `max` messages.
    pub fn new(max: usize) -> Self {
        Mailbox { inner: Mutex::new(Inner { queue: VecDeque::new(), closed: false }), max }
    }

    /// Queues a message unless the mailbox is full or closed.
    pub fn send(&self, message: T) -> Sent {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Sent::Closed;
        }
        if inner.queue.len() >= self.max {
            return Sent::Full;
        }
        inner.queue.push_back(message);
        if inner.queue.len() == 1 { Sent::Wake } else { Sent::Queued }
    }

    /// Moves everything queued to the end of `into`; after this the next send asks for a wake again.
    pub fn drain(&self, into: &mut Vec<T>) {
        let mut inner = self.inner.lock();
        into.extend(inner.queue.drain(..));
    }

    /// Refuses messages from now on and drops what was queued.
    pub fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.queue = VecDeque::new();
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;

    #[test]
    fn wakes_once_and_refuses_when_full_or_closed() {
        let mailbox = Mailbox::new(2);
        assert_eq!(mailbox.send(1), Sent::Wake);
        assert_eq!(mailbox.send(2), Sent::Queued);
        assert_eq!(mailbox.send(3), Sent::Full);
        let mut got = Vec::new();
        mailbox.drain(&mut got);
        assert_eq!(got, [1, 2]);
        assert_eq!(mailbox.send(4), Sent::Wake);
        mailbox.close();
        assert_eq!(mailbox.send(5), Sent::Closed);
    }
}
