//! Deadlines around a stream.
//!
//! ```text
//!   accepted ─▶ Head ── request ──▶ Answer ── answered, flushed ──▶ Idle ── first byte ──▶ Head …
//!               5 s                 60 s without progress           3 min                  5 s
//! ```

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::limits::{ANSWER_WAIT, HEAD_WAIT, IDLE_WAIT};

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The rest of a request's head.
    Head,
    /// An answer to be made and taken; `true` once it is made.
    Answer(bool),
    /// The next request.
    Idle,
}

/// The phase and when it has to end.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Mutex<(Phase, Instant)>>);

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress(Arc::new(Mutex::new((Phase::Head, Instant::now() + HEAD_WAIT))))
    }

    fn get(&self) -> (Phase, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase) {
        let wait = match phase {
            Phase::Head => HEAD_WAIT,
            Phase::Answer(_) => ANSWER_WAIT,
            Phase::Idle => IDLE_WAIT,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (phase, Instant::now() + wait);
    }

    /// A request has come.
    pub(crate) fn requested(&self) {
        self.set(Phase::Answer(false));
    }

    /// Its answer is made.
    pub(crate) fn answered(&self) {
        self.set(Phase::Answer(true));
    }

    fn read(&self) {
        if self.get().0 == Phase::Idle {
            self.set(Phase::Head);
        }
    }

    /// Whether a head is overdue; it may be so without any wait, when bytes never cease to drip.
    fn is_overdue(&self) -> bool {
        matches!(self.get(), (Phase::Head, end) if end <= Instant::now())
    }

    fn written(&self) {
        if let (phase @ Phase::Answer(_), _) = self.get() {
            self.set(phase);
        }
    }

    fn flushed(&self) {
        if self.get().0 == Phase::Answer(true) {
            self.set(Phase::Idle);
        }
    }
}

/// A stream whose waits fail when their time is up.
pub(crate) struct Guard<S> {
    inner: S,
    progress: Progress,
    timer: Pin<Box<Sleep>>,
}

impl<S> Guard<S> {
    pub(crate) fn new(inner: S, progress: Progress) -> Guard<S> {
        let timer = Box::pin(tokio::time::sleep_until(progress.get().1));
        Guard { inner, progress, timer }
    }

    /// What a wait comes to: it goes on, or its time is up.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            let deadline = self.progress.get().1;
            if self.timer.deadline() != deadline {
                self.timer.as_mut().reset(deadline);
            }
            std::task::ready!(self.timer.as_mut().poll(cx));
            if self.progress.get().1 <= Instant::now() {
                return Poll::Ready(Err(ErrorKind::TimedOut.into()));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.progress.is_overdue() {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        match Pin::new(&mut this.inner).poll_read(cx, out) {
            Poll::Pending => this.wait(cx),
            ready => {
                this.progress.read();
                ready
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_write(cx, bytes) {
            Poll::Pending => this.wait(cx),
            ready => {
                this.progress.written();
                ready
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_write_vectored(cx, slices) {
            Poll::Pending => this.wait(cx),
            ready => {
                this.progress.written();
                ready
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_flush(cx) {
            Poll::Pending => this.wait(cx),
            ready => {
                this.progress.flushed();
                ready
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.inner).poll_shutdown(cx) {
            Poll::Pending => this.wait(cx),
            ready => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn pair() -> (Guard<tokio::io::DuplexStream>, tokio::io::DuplexStream, Progress) {
        let (ours, theirs) = duplex(64);
        let progress = Progress::new();
        (Guard::new(ours, progress.clone()), theirs, progress)
    }

    async fn times_out_after(guard: &mut Guard<tokio::io::DuplexStream>, wait: std::time::Duration) {
        let begin = Instant::now();
        let error = guard.read_u8().await.unwrap_err();
        assert_eq!((error.kind(), begin.elapsed().as_secs()), (ErrorKind::TimedOut, wait.as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_to_come_in_time_however_slowly_it_drips() {
        let (mut guard, mut theirs, _) = pair();
        let begin = Instant::now();
        let drip = async {
            while theirs.write_all(b"x").await.is_ok() {
                tokio::time::advance(std::time::Duration::from_secs(1)).await;
            }
        };
        let read = async {
            let mut all = Vec::new();
            guard.read_to_end(&mut all).await.unwrap_err()
        };
        tokio::select! {
            () = drip => unreachable!(),
            error = read => assert_eq!(error.kind(), ErrorKind::TimedOut),
        }
        // One drop may fall between the deadline and the look at it.
        assert!(
            begin.elapsed() >= HEAD_WAIT && begin.elapsed() <= HEAD_WAIT + std::time::Duration::from_secs(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_more_time() {
        let (mut guard, mut theirs, progress) = pair();
        progress.requested();
        progress.answered();
        guard.write_all(b"answer").await.unwrap();
        guard.flush().await.unwrap();
        times_out_after(&mut guard, IDLE_WAIT).await;
        progress.set(Phase::Idle);
        theirs.write_all(b"G").await.unwrap();
        guard.read_u8().await.unwrap();
        times_out_after(&mut guard, HEAD_WAIT).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_times_out() {
        let (mut guard, mut theirs, progress) = pair();
        progress.requested();
        progress.answered();
        let begin = Instant::now();
        let write = async { guard.write_all(&[0; 100_000]).await.unwrap_err() };
        let read = async {
            // Progress moves the deadline.
            for _ in 0..3 {
                tokio::time::advance(ANSWER_WAIT / 2).await;
                theirs.read_exact(&mut [0; 64]).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            error = write => assert_eq!(error.kind(), ErrorKind::TimedOut),
            () = read => unreachable!(),
        }
        let expected = ANSWER_WAIT / 2 * 3 + ANSWER_WAIT;
        assert_eq!(begin.elapsed().as_secs(), expected.as_secs());
    }
}
