//! From a fresh stream to a connection that can be served, where TLS is configured.
//!
//! | mode | what happens |
//! |---|---|
//! | default | INFO in clear text, then the handshake |
//! | clear text allowed | INFO in clear text, then the client's first byte decides; silence means clear text |
//! | TLS first | the handshake, then INFO inside |
//! | TLS first, perhaps | a first byte in time means TLS first; silence means INFO in clear text, then as above |
//!
//! Inside the process TLS is always optional. Every wait ends with the configured time, and when the connection is
//! closed from outside.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use midge_broker::conn::{ClientConn, Flow};
use midge_broker::limits::FINAL_FLUSH;
use midge_broker::outbound::{Pool, Taken};
use midge_broker::peer::{Flush, Peer};
use midge_broker::reason::Reason;
use midge_config::schema::tls::HandshakeFirst;
use midge_stdx::clock::Now;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use crate::clock;
use crate::conn::Connection;
use crate::limits::IN_PROCESS_TLS_FIRST;
use crate::shard;
use crate::tls::{Failure, HANDSHAKE_RECORD, ServerTls, TlsStream};
use crate::transport::{PlainHook, Transport};
use crate::wakeup::Wakeup;

/// A stream whose first byte can be looked at without taking it.
pub(crate) trait Opening: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The first byte; `None` at the end of the stream.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>>;
}

impl Opening for TcpStream {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let mut first = [0];
        let mut buffer = ReadBuf::new(&mut first);
        let read = ready!(self.poll_peek(cx, &mut buffer))?;
        Poll::Ready(Ok((read > 0).then_some(first[0])))
    }
}

/// Any stream, with its first byte read ahead.
pub(crate) struct ReadAhead<S> {
    inner: S,
    first: Option<u8>,
}

impl<S> ReadAhead<S> {
    pub(crate) fn new(inner: S) -> Self {
        ReadAhead { inner, first: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Opening for ReadAhead<S> {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        if self.first.is_none() {
            let mut first = [0];
            let mut buffer = ReadBuf::new(&mut first);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
            self.first = buffer.filled().first().copied();
        }
        Poll::Ready(Ok(self.first))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if out.remaining() > 0
            && let Some(first) = self.first.take()
        {
            out.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The flush hook of a connection that is not established yet: it wakes the owner, until the connection turns out to be
/// a plain socket.
#[derive(Default)]
pub(crate) struct OpeningHook {
    wakeup: Arc<Wakeup>,
    plain: OnceLock<PlainHook>,
}

impl OpeningHook {
    pub(crate) fn new(wakeup: Arc<Wakeup>) -> Arc<OpeningHook> {
        Arc::new(OpeningHook { wakeup, plain: OnceLock::new() })
    }

    /// From now on others may write the socket.
    pub(crate) fn open(&self, hook: PlainHook) {
        let _ = self.plain.set(hook);
    }
}

/// Registers a shared [`OpeningHook`].
pub(crate) struct SharedHook(pub(crate) Arc<OpeningHook>);

impl Flush for SharedHook {
    fn flush(&self, peer: &Arc<Peer>, pool: &mut Pool, from: usize, inline: bool, now: Now) {
        match self.0.plain.get() {
            Some(plain) => plain.flush(peer, pool, from, inline, now),
            None => self.0.wakeup.raise(),
        }
    }

    fn wake(&self) {
        self.0.wakeup.raise();
    }
}

/// What preparing a stream came to.
enum Prepared<S> {
    /// Clear text; INFO was sent.
    Clear(S),
    /// TLS; INFO is still to be sent if TLS came first.
    Secure(Box<TlsStream<S>>, bool),
    /// Clear text that ends after what is queued.
    Refused(S, Reason),
    /// Nothing more to say.
    Ended(Reason),
}

/// Prepares a stream as the options say and serves the connection to its end. `clear` makes the transport of a stream
/// that stays in clear text.
pub(crate) async fn establish<S: Opening>(
    stream: S,
    mut machine: ClientConn,
    wakeup: Arc<Wakeup>,
    tls: &ServerTls,
    clear: impl FnOnce(S) -> Transport,
) {
    let peer = machine.peer().clone();
    let prepared = tokio::select! {
        biased;
        reason = closed(&wakeup, &peer) => Prepared::Ended(reason),
        prepared = prepare(stream, &mut machine, tls) => prepared,
    };
    let (transport, greeted) = match prepared {
        Prepared::Clear(stream) => (clear(stream), true),
        Prepared::Secure(stream, greeted) => (Transport::owned(stream), greeted),
        Prepared::Refused(stream, reason) => {
            return Connection::new(machine, clear(stream), wakeup).finish(reason).await;
        }
        Prepared::Ended(reason) => return end(machine, reason),
    };
    // What others asked for meanwhile is seen to in the first turn.
    wakeup.raise();
    let flow = if greeted { Flow::Continue } else { greet(&mut machine) };
    let mut connection = Connection::new(machine, transport, wakeup);
    match flow {
        Flow::Close(reason) => connection.finish(reason).await,
        _ => {
            connection.machine.secured(clock::now());
            connection.run().await;
        }
    }
}

/// Waits until somebody closes the connection.
async fn closed(wakeup: &Wakeup, peer: &Peer) -> Reason {
    poll_fn(|cx| {
        while wakeup.poll(cx).is_ready() {
            if let Some(reason) = peer.closed() {
                return Poll::Ready(reason);
            }
        }
        Poll::Pending
    })
    .await
}

async fn prepare<S: Opening>(mut stream: S, machine: &mut ClientConn, tls: &ServerTls) -> Prepared<S> {
    let in_process = machine.peer().addr.is_none();
    let patience = match tls.handshake_first() {
        HandshakeFirst::Off => None,
        HandshakeFirst::On | HandshakeFirst::Auto(_) if in_process => Some(Some(IN_PROCESS_TLS_FIRST)),
        HandshakeFirst::On => Some(None),
        HandshakeFirst::Auto(time) => Some(Some(time)),
    };
    let first = match patience {
        None => false,
        Some(None) => true,
        Some(Some(time)) => matches!(first_byte(&mut stream, time).await, Some(Ok(Some(_)))),
    };
    if first {
        if let Flow::Close(reason) = with_batch(|batch| machine.refuse_surplus(batch)) {
            return Prepared::Refused(stream, reason);
        }
    } else {
        if let Flow::Close(reason) = greet(machine) {
            return Prepared::Refused(stream, reason);
        }
        if let Err(reason) = send_queued(&mut stream, machine, tls.timeout()).await {
            return Prepared::Ended(reason);
        }
        if (tls.allow_non_tls() || in_process)
            && !matches!(first_byte(&mut stream, tls.timeout()).await, Some(Ok(Some(HANDSHAKE_RECORD))))
        {
            return Prepared::Clear(stream);
        }
    }
    if !tls.admits() {
        let flow = with_batch(|batch| machine.throttled(batch));
        return match flow {
            Flow::Close(reason) => Prepared::Refused(stream, reason),
            _ => Prepared::Ended(Reason::MaxConnectionsExceeded),
        };
    }
    secure(stream, machine, tls, first).await
}

async fn secure<S: Opening>(
    stream: S,
    machine: &mut ClientConn,
    tls: &ServerTls,
    first: bool,
) -> Prepared<S> {
    let label = machine.peer().label();
    tracing::debug!("{label} - Starting TLS client connection handshake");
    let mut secured = match tls.handshake(stream).await {
        Ok(secured) => secured,
        Err(Failure { text, is_noise, timed_out }) => {
            if timed_out {
                tracing::debug!("{label} - TLS handshake timeout");
            }
            if is_noise {
                tracing::debug!("{label} - TLS handshake error: {text}");
            } else {
                tracing::error!("{label} - TLS handshake error: {text}");
            }
            return Prepared::Ended(Reason::TlsHandshakeFailure);
        }
    };
    if let Some(why) = secured.unpinned {
        tracing::debug!("{label} - {why}");
        tracing::error!("{label} - TLS handshake error: certificate not pinned");
        let _ = tokio::time::timeout(FINAL_FLUSH, secured.stream.shutdown()).await;
        return Prepared::Ended(Reason::TlsHandshakeFailure);
    }
    let mut facts = secured.facts;
    facts.first = first;
    tracing::debug!("{label} - TLS handshake complete");
    tracing::debug!("{label} - TLS version {}, cipher suite {}", facts.version, facts.cipher);
    machine.set_tls(facts, secured.names);
    Prepared::Secure(Box::new(secured.stream), !first)
}

/// The first byte of a stream; `None` when it did not come in time.
async fn first_byte<S: Opening>(stream: &mut S, time: Duration) -> Option<io::Result<Option<u8>>> {
    tokio::time::timeout(time, poll_fn(|cx| stream.poll_first(cx))).await.ok()
}

fn with_batch(work: impl FnOnce(&mut midge_broker::batch::Batch) -> Flow) -> Flow {
    shard::with(|local| {
        local.batch.begin(clock::now());
        let flow = work(&mut local.batch);
        local.flush();
        flow
    })
}

fn greet(machine: &mut ClientConn) -> Flow {
    with_batch(|batch| machine.greet(batch))
}

/// Writes what is queued for the peer to a stream that nobody else writes.
async fn send_queued<S>(stream: &mut S, machine: &ClientConn, time: Duration) -> Result<(), Reason>
where
    S: AsyncWrite + Unpin,
{
    let peer = machine.peer();
    let send = async {
        let mut taken = peer.queue().take();
        while let Taken::Flight(mut flight) = taken {
            while !flight.is_empty() {
                let written = stream.write(flight.front()).await?;
                if written == 0 {
                    return Err(io::Error::from(io::ErrorKind::WriteZero));
                }
                shard::with(|local| flight.advance(written, &mut local.batch.pool));
                peer.queue().progressed(written);
            }
            stream.flush().await?;
            taken = shard::with(|local| peer.queue().done(flight, 0, true, &mut local.batch.pool));
        }
        Ok::<_, io::Error>(())
    };
    match tokio::time::timeout(time, send).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Reason::WriteError),
    }
}

/// Ends a connection that has no transport any more.
fn end(mut machine: ClientConn, reason: Reason) {
    shard::with(|local| {
        local.batch.begin(clock::now());
        machine.close(&mut local.batch, reason);
        local.flush();
    });
}
