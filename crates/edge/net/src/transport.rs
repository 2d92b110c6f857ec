//! The ways bytes reach a peer.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use midge_broker::outbound::{Flight, Pool, Taken};
use midge_broker::peer::{Flush, Peer};
use midge_broker::reason::Reason;
use midge_stdx::clock::Now;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::limits::{FOREIGN_WRITE, WRITE_SLICES};
use crate::shard::Shard;
use crate::wakeup::Wakeup;

/// A stream that its own task alone writes: TLS, or a pipe inside the process.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection's transport, owned by its task.
pub(crate) enum Transport {
    /// A socket in clear; its write side may be used by other shards.
    Plain(OwnedReadHalf, Arc<OwnedWriteHalf>),
    /// Anything else, with what is being written.
    Owned(Box<dyn Stream>, Option<Flight>),
}

/// What became of an attempt to write.
#[derive(Debug)]
pub(crate) enum Wrote {
    /// Nothing is left, or somebody else is writing.
    Done,
    /// The socket takes no more for now.
    Blocked,
    /// The socket is broken.
    Failed(io::Error),
}

impl Transport {
    pub(crate) fn plain(stream: TcpStream) -> Transport {
        let (read, write) = stream.into_split();
        Transport::Plain(read, Arc::new(write))
    }

    pub(crate) fn owned(stream: Box<dyn Stream>) -> Transport {
        Transport::Owned(stream, None)
    }

    /// Ready when a write that was blocked may be tried again.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Transport::Plain(_, write) => {
                let socket: &TcpStream = (**write).as_ref();
                socket.poll_write_ready(cx).map(|_| ())
            }
            // Its poll_write has registered the task.
            Transport::Owned(..) => Poll::Pending,
        }
    }

    /// Tells the peer of an owned stream that nothing follows; a socket in clear text is just closed.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Transport::Plain(..) => Poll::Ready(()),
            Transport::Owned(stream, _) => Pin::new(stream).poll_shutdown(cx).map(|_| ()),
        }
    }

    /// Writes what is queued for the peer.
    pub(crate) fn write(&mut self, cx: &mut Context<'_>, peer: &Peer, pool: &mut Pool, now: Now) -> Wrote {
        match self {
            Transport::Plain(_, write) => write_plain(write, peer, pool, now),
            Transport::Owned(stream, flight) => write_owned(stream, flight, cx, peer, pool, now),
        }
    }
}

/// Writes a plain socket's queue until it is empty or the socket refuses; any thread may call it.
pub(crate) fn write_plain(socket: &OwnedWriteHalf, peer: &Peer, pool: &mut Pool, now: Now) -> Wrote {
    let mut taken = peer.queue().take();
    loop {
        let Taken::Flight(mut flight) = taken else { return Wrote::Done };
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let n = flight.slices(&mut slices);
        let result = match n {
            1 => socket.try_write(flight.front()),
            n => socket.try_write_vectored(&slices[..n]),
        };
        match result {
            Ok(written) => {
                flight.advance(written, pool);
                taken = peer.queue().done(flight, written, true, pool);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut queue = peer.queue();
                queue.refused(now.mono);
                return match queue.done(flight, 0, false, pool) {
                    Taken::Busy => Wrote::Blocked,
                    _ => Wrote::Done,
                };
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                taken = peer.queue().done(flight, 0, true, pool);
            }
            Err(error) => {
                peer.queue().done(flight, 0, false, pool);
                return Wrote::Failed(error);
            }
        }
    }
}

/// Writes an owned stream. What was taken stays taken while the stream is blocked, so nothing is reordered.
fn write_owned(
    stream: &mut Box<dyn Stream>,
    in_flight: &mut Option<Flight>,
    cx: &mut Context<'_>,
    peer: &Peer,
    pool: &mut Pool,
    now: Now,
) -> Wrote {
    let mut flight = match in_flight.take() {
        Some(flight) => flight,
        None => match peer.queue().take() {
            Taken::Flight(flight) => flight,
            _ => return Wrote::Done,
        },
    };
    loop {
        if flight.is_empty() {
            // Bytes are on the wire only when the stream has flushed them.
            match Pin::new(&mut *stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return fail(peer, flight, pool, error),
                Poll::Pending => return block(peer, in_flight, flight, now),
            }
            match peer.queue().done(flight, 0, true, pool) {
                Taken::Flight(more) => {
                    flight = more;
                    continue;
                }
                _ => return Wrote::Done,
            }
        }
        let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
        let n = flight.slices(&mut slices);
        match Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..n]) {
            Poll::Ready(Ok(0)) => return fail(peer, flight, pool, ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => {
                flight.advance(written, pool);
                peer.queue().progressed(written);
            }
            Poll::Ready(Err(error)) => return fail(peer, flight, pool, error),
            Poll::Pending => return block(peer, in_flight, flight, now),
        }
    }
}

fn block(peer: &Peer, in_flight: &mut Option<Flight>, flight: Flight, now: Now) -> Wrote {
    peer.queue().refused(now.mono);
    *in_flight = Some(flight);
    Wrote::Blocked
}

fn fail(peer: &Peer, flight: Flight, pool: &mut Pool, error: io::Error) -> Wrote {
    peer.queue().done(flight, 0, false, pool);
    Wrote::Failed(error)
}

/// The flush hook of a plain socket.
pub(crate) struct PlainHook {
    /// Weak, so that the socket closes with its task, however long others remember the connection.
    pub(crate) socket: Weak<OwnedWriteHalf>,
    pub(crate) wakeup: Arc<Wakeup>,
    pub(crate) owner: Arc<Shard>,
}

impl Flush for PlainHook {
    fn flush(&self, peer: &Arc<Peer>, pool: &mut Pool, from: usize, inline: bool, now: Now) {
        let foreign = from != self.owner.index;
        let (pending, closed) = {
            let queue = peer.queue();
            (queue.pending(), queue.closed().is_some())
        };
        if !inline || closed || (foreign && pending > FOREIGN_WRITE && self.owner.is_idle()) {
            self.wakeup.raise();
            return;
        }
        let Some(socket) = self.socket.upgrade() else { return };
        let wrote = write_plain(&socket, peer, pool, now);
        peer.release_publishers();
        match wrote {
            Wrote::Done => {}
            Wrote::Blocked => self.wakeup.raise(),
            Wrote::Failed(error) => {
                tracing::debug!("{} - write error: {error}", peer.label());
                peer.close(Reason::WriteError);
            }
        }
    }

    fn wake(&self) {
        self.wakeup.raise();
    }
}

/// The flush hook of a stream that only its owner writes.
pub(crate) struct OwnedHook {
    pub(crate) wakeup: Arc<Wakeup>,
}

impl Flush for OwnedHook {
    fn flush(&self, _: &Arc<Peer>, _: &mut Pool, _: usize, _: bool, _: Now) {
        self.wakeup.raise();
    }

    fn wake(&self) {
        self.wakeup.raise();
    }
}
