//! Answers that wait until what they tell is durable.
//!
//! In the order of the stream. Texts lie one after the other in bytes that are used again, so that holding an answer allocates nothing.

use std::collections::VecDeque;

use midge_store::port::Ticket;

use crate::limits::{HELD_ANSWERS, HELD_BYTES, INBOX_KEPT_BYTES, INBOX_KEPT_ITEMS};

/// What is sent when the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The plain acknowledgement of the sequence.
    Stored,
    /// The acknowledgement of a duplicate of the sequence.
    Duplicate,
    /// The text that was kept.
    Text,
    /// An empty message.
    Empty,
}

/// When the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Everything up to this sequence is durable.
    Sequence(u64),
    /// Every operation up to this one is complete.
    Ticket(Ticket),
}

/// One entry, taken out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) until: Until,
    pub(crate) answer: Answer,
    /// The sequence that the answer names.
    pub(crate) seq: u64,
    reply: (u64, u32),
    text: (u64, u32),
}

/// What is held, before it is written down.
pub(crate) struct New<'a> {
    pub(crate) until: Until,
    pub(crate) answer: Answer,
    pub(crate) seq: u64,
    pub(crate) reply: &'a [u8],
    pub(crate) text: &'a [u8],
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Held {
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
    /// Where `bytes` begins, counted from the first byte ever held.
    base: u64,
}

impl Held {
    /// Whether as much waits as may. What is pushed all the same is kept.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= HELD_ANSWERS || self.bytes.len() >= HELD_BYTES
    }

    pub(crate) fn push(&mut self, new: &New<'_>) {
        let mut put = |bytes: &[u8]| {
            let at = self.base + self.bytes.len() as u64;
            self.bytes.extend_from_slice(bytes);
            (at, bytes.len() as u32)
        };
        let (reply, text) = (put(new.reply), put(new.text));
        self.entries.push_back(Entry { until: new.until, answer: new.answer, seq: new.seq, reply, text });
    }

    /// The next entry whose time has come. Its texts stay until the next call of [`Held::tidy`].
    pub(crate) fn pop(&mut self, durable: u64, done: Ticket) -> Option<Entry> {
        let due = match self.entries.front()?.until {
            Until::Sequence(seq) => seq <= durable,
            Until::Ticket(ticket) => ticket <= done,
        };
        if due { self.entries.pop_front() } else { None }
    }

    /// Takes out everything that has not become durable, because it never will.
    pub(crate) fn pop_any(&mut self) -> Option<Entry> {
        self.pop(u64::MAX, Ticket(u64::MAX))
    }

    fn text_at(&self, (at, len): (u64, u32)) -> &[u8] {
        let at = (at - self.base) as usize;
        self.bytes.get(at..at + len as usize).unwrap_or_default()
    }

    pub(crate) fn reply(&self, entry: &Entry) -> &[u8] {
        self.text_at(entry.reply)
    }

    pub(crate) fn text(&self, entry: &Entry) -> &[u8] {
        self.text_at(entry.text)
    }

    /// Gives the bytes of what was taken out back for use.
    pub(crate) fn tidy(&mut self) {
        let Some(first) = self.entries.front() else {
            self.base += self.bytes.len() as u64;
            self.bytes.clear();
            self.bytes.shrink_to(INBOX_KEPT_BYTES);
            self.entries.shrink_to(INBOX_KEPT_ITEMS);
            return;
        };
        let used = (first.reply.0 - self.base) as usize;
        // Each byte is moved at most once per time that it is passed by as many.
        if used > self.bytes.len() / 2 {
            self.bytes.drain(..used);
            self.base += used as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(seq: u64, reply: &[u8]) -> New<'_> {
        New { until: Until::Sequence(seq), answer: Answer::Stored, seq, reply, text: b"" }
    }

    #[test]
    fn entries_leave_in_order_when_they_are_durable() {
        let mut held = Held::default();
        for seq in 1..=100u64 {
            held.push(&new(seq, format!("reply.{seq}").as_bytes()));
        }
        assert!(held.pop(0, Ticket(0)).is_none());
        for seq in 1..=60u64 {
            let entry = held.pop(60, Ticket(0)).expect("durable");
            assert_eq!(held.reply(&entry), format!("reply.{seq}").as_bytes());
        }
        assert!(held.pop(60, Ticket(0)).is_none());
        held.tidy();
        held.push(&new(101, b"last"));
        assert_eq!(held.entries.len(), 41);
        let last = std::iter::from_fn(|| held.pop_any()).last().expect("some");
        assert_eq!(held.reply(&last), b"last");
        held.tidy();
        assert!(held.entries.is_empty());
    }

    #[test]
    fn an_answer_may_wait_for_an_operation() {
        let mut held = Held::default();
        held.push(&New { until: Until::Ticket(Ticket(3)), ..new(1, b"r") });
        assert!(held.pop(9, Ticket(2)).is_none());
        assert!(held.pop(0, Ticket(3)).is_some());
    }

    #[test]
    fn so_many_answers_wait_and_no_more() {
        let mut held = Held::default();
        let reply = [b'r'; 1 << 20];
        let mut pushed = 0;
        while !held.is_full() && pushed < 1000 {
            held.push(&new(1, &reply));
            pushed += 1;
        }
        assert!(pushed * reply.len() <= HELD_BYTES + reply.len(), "{pushed}");
        while held.pop(1, Ticket(0)).is_some() {}
        held.tidy();
        assert!(!held.is_full() && held.bytes.capacity() <= INBOX_KEPT_BYTES);
    }
}
