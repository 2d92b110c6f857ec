//! A connection's bytes in both directions.
//!
//! ```text
//!   client ─▶ up (on the wire) ─▶ received (the node's socket) ─▶ edge
//!   client ◀─ down (the node's socket buffer, bounded: a client that does not read makes it refuse) ◀─ edge
//! ```
//!
//! Faults: bytes arrive in pieces of any size and at any time; the client stops reading; it goes away in order (what it
//! sent arrives, then the end) or abruptly (what was on the wire is lost, reads and writes fail), at any byte.

use std::collections::VecDeque;

/// The peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// See the module.
#[derive(Debug, Default)]
pub struct Link {
    /// Sent by the client, not arrived yet.
    pub up: VecDeque<u8>,
    /// Arrived, not read by the edge yet.
    pub received: VecDeque<u8>,
    /// Written by the edge, not read by the client yet.
    pub down: VecDeque<u8>,
    /// Bytes that `down` holds at most.
    pub capacity: usize,
    /// The client sends no more and reads no more.
    pub gone: bool,
    /// The client went abruptly.
    pub reset: bool,
    /// The edge closed the socket.
    pub closed: bool,
    /// Bytes that the edge wrote after the client had gone; the first writes succeed, as with a real socket.
    after_gone: usize,
}

impl Link {
    /// A fresh connection.
    pub fn new(capacity: usize) -> Link {
        Link { capacity, ..Link::default() }
    }

    /// Whether the edge's next read would answer something.
    pub fn is_readable(&self) -> bool {
        self.reset || !self.received.is_empty() || (self.gone && self.up.is_empty())
    }

    /// Whether the edge's next write would take bytes, or fail.
    pub fn is_writable(&self) -> bool {
        self.gone || self.down.len() < self.capacity
    }

    /// Moves bytes of the client to the node's socket.
    pub fn arrive(&mut self, most: usize) -> usize {
        let n = self.up.len().min(most);
        self.received.extend(self.up.drain(..n));
        n
    }

    /// A read of the edge: bytes, nothing for the end, or `Broken`.
    pub fn read(&mut self, most: usize) -> Result<Vec<u8>, Broken> {
        if self.reset {
            return Err(Broken);
        }
        let n = self.received.len().min(most);
        Ok(self.received.drain(..n).collect())
    }

    /// A write of the edge, of at most `most` of the pieces' bytes: how many were taken, which may be none.
    pub fn write(&mut self, pieces: &[&[u8]], most: usize) -> Result<usize, Broken> {
        let all: usize = pieces.iter().map(|p| p.len()).sum();
        if self.gone {
            if self.reset || self.after_gone > 0 {
                return Err(Broken);
            }
            self.after_gone = all;
            return Ok(all);
        }
        let taken = all.min(most).min(self.capacity.saturating_sub(self.down.len()));
        let mut left = taken;
        for piece in pieces {
            let n = left.min(piece.len());
            self.down.extend(piece.iter().take(n));
            left -= n;
        }
        Ok(taken)
    }

    /// A read of the client.
    pub fn take(&mut self, most: usize) -> Vec<u8> {
        let n = self.down.len().min(most);
        self.down.drain(..n).collect()
    }

    /// The client goes away.
    pub fn leave(&mut self, abruptly: bool) {
        self.gone = true;
        self.down.clear();
        if abruptly {
            self.reset = true;
            self.up.clear();
            self.received.clear();
        }
    }
}
