//! Writing a queue to a link, a step at a time.
//!
//! The steps are those between which another thread could run: after taking chunks, after each write, after handing
//! back what is left. Between two steps other shards queue bytes and try to flush.

use std::io::IoSlice;
use std::sync::Arc;

use midge_broker::outbound::{Flight, Pool, Taken};
use midge_broker::peer::Peer;
use midge_stdx::clock::Now;

use super::{Kind, Link};
use crate::draw::Draw;

/// Pieces of one vectored write.
const SLICES: usize = 64;

/// What became of the writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// Nothing is left.
    Done,
    /// Somebody else writes, and will look again.
    Busy,
    /// The link takes no more for now.
    Blocked,
    /// The link is broken.
    Failed,
}

/// What a step did.
#[derive(Debug)]
pub enum Progress {
    /// These bytes went out (none: something else was done); there is more to do.
    Going(Vec<u8>),
    /// The end.
    Ended(Wrote),
}

/// The writing of one connection's queue.
#[derive(Debug)]
pub struct Writer {
    /// The connection.
    pub cid: u64,
    peer: Arc<Peer>,
    kind: Kind,
    state: State,
    /// The flag is laid down before the bytes are written: a node that is broken on purpose.
    lays_down_early: bool,
}

#[derive(Debug)]
enum State {
    Start,
    Holding(Flight),
    Written(Flight, usize),
}

impl Writer {
    /// A writer that has done nothing yet. An owned link gives the flight that it was blocked with.
    pub fn new(
        cid: u64,
        peer: Arc<Peer>,
        kind: Kind,
        in_flight: Option<Flight>,
        lays_down_early: bool,
    ) -> Writer {
        let state = in_flight.map_or(State::Start, State::Holding);
        Writer { cid, peer, kind, state, lays_down_early }
    }

    /// One step. An owned link that blocks keeps its flight in `in_flight`.
    pub fn step(
        &mut self,
        link: &mut Link,
        pool: &mut Pool,
        in_flight: &mut Option<Flight>,
        draw: &mut Draw,
        now: Now,
    ) -> Progress {
        match std::mem::replace(&mut self.state, State::Start) {
            State::Start => {
                let taken = self.peer.queue().take();
                self.taken(taken, pool)
            }
            State::Holding(flight) => match self.kind {
                Kind::Plain => self.write_plain(flight, link, pool, draw, now),
                Kind::Owned => self.write_owned(flight, link, pool, in_flight, draw, now),
            },
            State::Written(flight, written) => {
                let taken = self.peer.queue().done(flight, written, true, pool);
                self.taken(taken, pool)
            }
        }
    }

    fn taken(&mut self, taken: Taken, pool: &mut Pool) -> Progress {
        match taken {
            Taken::Flight(flight) => {
                if self.lays_down_early {
                    let all = flight.len();
                    self.peer.queue().done(Flight::default(), all, false, pool);
                }
                self.state = State::Holding(flight);
                Progress::Going(Vec::new())
            }
            Taken::Empty => Progress::Ended(Wrote::Done),
            Taken::Busy => Progress::Ended(Wrote::Busy),
        }
    }

    fn write_plain(
        &mut self,
        mut flight: Flight,
        link: &mut Link,
        pool: &mut Pool,
        draw: &mut Draw,
        now: Now,
    ) -> Progress {
        let (result, bytes) = write(&flight, link, draw, SLICES);
        let lost = self.lays_down_early;
        match result {
            Ok(0) if !flight.is_empty() => {
                let mut queue = self.peer.queue();
                queue.refused(now.mono);
                if lost {
                    return Progress::Ended(Wrote::Done);
                }
                match queue.done(flight, 0, false, pool) {
                    Taken::Busy => Progress::Ended(Wrote::Blocked),
                    _ => Progress::Ended(Wrote::Done),
                }
            }
            Ok(n) => {
                flight.advance(n, pool);
                self.state = match lost {
                    true if flight.is_empty() => State::Start,
                    true => State::Holding(flight),
                    false => State::Written(flight, n),
                };
                Progress::Going(bytes)
            }
            Err(_) => {
                self.peer.queue().done(flight, 0, false, pool);
                Progress::Ended(Wrote::Failed)
            }
        }
    }

    fn write_owned(
        &mut self,
        mut flight: Flight,
        link: &mut Link,
        pool: &mut Pool,
        in_flight: &mut Option<Flight>,
        draw: &mut Draw,
        now: Now,
    ) -> Progress {
        if flight.is_empty() {
            let taken = self.peer.queue().done(flight, 0, true, pool);
            return self.taken(taken, pool);
        }
        let (result, bytes) = write(&flight, link, draw, 1);
        match result {
            Ok(0) => {
                self.peer.queue().refused(now.mono);
                *in_flight = Some(flight);
                Progress::Ended(Wrote::Blocked)
            }
            Ok(n) => {
                flight.advance(n, pool);
                self.peer.queue().progressed(n);
                self.state = State::Holding(flight);
                Progress::Going(bytes)
            }
            Err(_) => {
                self.peer.queue().done(flight, 0, false, pool);
                Progress::Ended(Wrote::Failed)
            }
        }
    }
}

/// One write to the link; answers the bytes that it took.
fn write(
    flight: &Flight,
    link: &mut Link,
    draw: &mut Draw,
    most: usize,
) -> (Result<usize, super::Broken>, Vec<u8>) {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let n = if most == 1 {
        slices[0] = IoSlice::new(flight.front());
        1
    } else {
        flight.slices(&mut slices)
    };
    let pieces: Vec<&[u8]> = slices[..n].iter().map(|s| &**s).collect();
    let all: usize = pieces.iter().map(|p| p.len()).sum();
    let most = if draw.percent(20) { draw.between(1, all.max(1)) } else { usize::MAX };
    let result = link.write(&pieces, most);
    let taken = result.unwrap_or(0);
    (result, pieces.concat().into_iter().take(taken).collect())
}
