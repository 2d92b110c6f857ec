//! Bytes over TLS.
//!
//! Reads bring as much as the socket has, up to [`TLS_READ`] bytes, and decrypt all of it at once; writes encrypt all
//! slices that they are given into as few records as possible and hand those to the socket in one call.

use std::cell::RefCell;
use std::io::{self, BufRead, ErrorKind, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::{TLS_READ, TLS_WRITE};

thread_local! {
    /// Where encrypted bytes are read to. Nothing stays in it between two reads.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The server's side of a TLS connection after its handshake.
pub struct TlsStream<S> {
    io: S,
    session: Box<ServerConnection>,
    /// Encrypted bytes for which the last reader had no room.
    stash: Vec<u8>,
    notified_close: bool,
}

/// What taking decrypted bytes came to.
enum Drained {
    /// The session has no more.
    All,
    /// The reader has no room for the rest.
    Full,
    /// The peer ended the connection.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Takes over a connection whose handshake is done.
    pub(super) fn new(io: S, mut session: ServerConnection) -> TlsStream<S> {
        session.set_buffer_limit(Some(TLS_WRITE));
        TlsStream { io, session: Box::new(session), stash: Vec::new(), notified_close: false }
    }

    /// Moves decrypted bytes to the reader.
    fn drain(&mut self, out: &mut ReadBuf<'_>) -> io::Result<Drained> {
        let mut reader = self.session.reader();
        loop {
            if out.remaining() == 0 {
                return Ok(Drained::Full);
            }
            let chunk = match reader.fill_buf() {
                Ok([]) => return Ok(Drained::End),
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Drained::All),
                Err(error) => return Err(error),
            };
            let taken = chunk.len().min(out.remaining());
            out.put_slice(chunk.get(..taken).unwrap_or_default());
            reader.consume(taken);
        }
    }

    /// Decrypts `bytes` into `out`; what does not fit is kept.
    fn feed(&mut self, cx: &mut Context<'_>, mut bytes: &[u8], out: &mut ReadBuf<'_>) -> io::Result<Drained> {
        let mut drained = Drained::All;
        while !bytes.is_empty() {
            self.session.read_tls(&mut bytes)?;
            if let Err(error) = self.session.process_new_packets() {
                // The peer is told why, if it can be told at once.
                let _ = self.poll_send(cx);
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
            drained = self.drain(out)?;
            if !matches!(drained, Drained::All) {
                break;
            }
        }
        if matches!(drained, Drained::Full) {
            self.stash.extend_from_slice(bytes);
        }
        if self.session.wants_write()
            && let Poll::Ready(Err(error)) = self.poll_send(cx)
        {
            return Err(error);
        }
        Ok(drained)
    }

    /// Reads once from the socket and decrypts; `Ok(None)` when the socket has nothing for now.
    fn fill(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> io::Result<Option<Drained>> {
        if !self.stash.is_empty() {
            let stash = std::mem::take(&mut self.stash);
            return self.feed(cx, &stash, out).map(Some);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(TLS_READ, 0);
            let mut encrypted = ReadBuf::new(scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut encrypted) {
                Poll::Pending => Ok(None),
                Poll::Ready(Err(error)) => Err(error),
                // Whether the end was announced does not matter: every operation says itself how long it is, so nothing
                // that was cut off is taken for complete.
                Poll::Ready(Ok(())) if encrypted.filled().is_empty() => Ok(Some(Drained::End)),
                Poll::Ready(Ok(())) => self.feed(cx, encrypted.filled(), out).map(Some),
            }
        })
    }

    /// Hands encrypted bytes to the socket until none is left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut socket = Socket { io: &mut self.io, cx };
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        let mut drained = this.drain(out)?;
        loop {
            if !matches!(drained, Drained::All) || out.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            match this.fill(cx, out)? {
                Some(next) => drained = next,
                None => return Poll::Pending,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // What was encrypted before goes first; while it waits nothing more is taken.
        ready!(this.poll_send(cx))?;
        let taken = this.session.writer().write_vectored(slices)?;
        match this.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.notified_close {
            this.notified_close = true;
            this.session.send_close_notify();
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<S> std::fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

/// A stream as the session wants to write it: without waiting.
struct Socket<'a, 'b, S> {
    io: &'a mut S,
    cx: &'a mut Context<'b>,
}

fn at_once<T>(result: Poll<io::Result<T>>) -> io::Result<T> {
    match result {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncWrite + Unpin> Write for Socket<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.io).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        at_once(Pin::new(&mut *self.io).poll_write_vectored(self.cx, slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        at_once(Pin::new(&mut *self.io).poll_flush(self.cx))
    }
}
