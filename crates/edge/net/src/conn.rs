//! The task of one connection.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use midge_broker::conn::{ClientConn, Flow};
use midge_broker::limits::{CROWDED_WAIT, FINAL_FLUSH};
use midge_broker::reason::Reason;
use midge_stdx::clock::{Mono, Now};
use tokio::io::AsyncReadExt;
use tokio::time::Sleep;

use crate::clock;
use crate::limits::{LARGE_MESSAGE, READS_PER_TURN};
use crate::shard::{self, Local};
use crate::transport::{Transport, Wrote};
use crate::wakeup::Wakeup;

/// Everything the task of a connection owns.
pub(crate) struct Connection {
    pub(crate) machine: ClientConn,
    pub(crate) transport: Transport,
    pub(crate) wakeup: Arc<Wakeup>,
    /// Input that is not complete yet; empty for an idle connection.
    leftover: BytesMut,
    /// Bytes that the leftover has to grow to before it is handled.
    need: usize,
    timer: Pin<Box<Sleep>>,
    timer_at: Mono,
    paused_until: Option<Mono>,
    write_blocked: bool,
    /// Complete operations wait in the leftover, because the machine asked for a pause.
    backlog: bool,
    work: Option<tokio::task::JoinHandle<bool>>,
}

/// What the loop does after a step.
enum Next {
    Wait,
    Again,
    Close(Reason),
}

impl Connection {
    pub(crate) fn new(machine: ClientConn, transport: Transport, wakeup: Arc<Wakeup>) -> Self {
        let far = tokio::time::Instant::now() + std::time::Duration::from_secs(86_400);
        Connection {
            machine,
            transport,
            wakeup,
            leftover: BytesMut::new(),
            need: 0,
            timer: Box::pin(tokio::time::sleep_until(far)),
            timer_at: Mono::NEVER,
            paused_until: None,
            write_blocked: false,
            backlog: false,
            work: None,
        }
    }

    /// Serves the connection until it ends, then tears it down.
    pub(crate) async fn run(&mut self) {
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.finish(reason).await;
    }

    /// The last flush, then the end.
    pub(crate) async fn finish(&mut self, reason: Reason) {
        let peer = self.machine.peer().clone();
        peer.queue().close(reason);
        if peer.closed().is_some_and(Reason::flushes) {
            let flush = poll_fn(|cx| {
                let now = clock::now();
                let wrote = shard::with(|local| self.transport.write(cx, &peer, &mut local.batch.pool, now));
                match wrote {
                    Wrote::Blocked if self.transport.poll_writable(cx).is_pending() => Poll::Pending,
                    Wrote::Blocked => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                    // Another shard is writing. What it is refused is left to this task, so the socket has to stay.
                    Wrote::Done if peer.queue().pending() > 0 => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                    _ => Poll::Ready(()),
                }
            });
            if tokio::time::timeout(FINAL_FLUSH, flush).await.is_ok() {
                let shutdown = poll_fn(|cx| self.transport.poll_shutdown(cx));
                let _ = tokio::time::timeout(FINAL_FLUSH, shutdown).await;
            }
        }
        shard::with(|local| {
            local.batch.begin(clock::now());
            self.machine.close(&mut local.batch, reason);
            local.flush();
        });
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let mut next = Next::Wait;
        if self.wakeup.poll(cx).is_ready() {
            next = self.woken(cx);
        }
        if matches!(next, Next::Wait) && self.write_blocked && self.transport.poll_writable(cx).is_ready() {
            next = self.write(cx);
        }
        if matches!(next, Next::Wait) {
            next = self.poll_work(cx);
        }
        let mut reads = 0;
        while !matches!(next, Next::Close(_)) && self.work.is_none() && !self.is_paused() {
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
            reads += 1;
            next = self.read(cx);
            if matches!(next, Next::Wait) {
                break;
            }
        }
        // A password check that this input began has to know whom to wake.
        if self.work.is_some() && !matches!(next, Next::Close(_)) {
            next = self.poll_work(cx);
            if self.work.is_none() {
                cx.waker().wake_by_ref();
            }
        }
        // An owned stream is written by this task alone, so what its own input caused is written now.
        if !matches!(next, Next::Close(_)) && matches!(self.transport, Transport::Owned(..)) {
            let wrote = self.write(cx);
            if matches!(wrote, Next::Close(_)) {
                next = wrote;
            }
        }
        match next {
            Next::Close(reason) => Poll::Ready(reason),
            _ => self.poll_timers(cx),
        }
    }

    /// Somebody queued bytes, gave orders, or ended the connection.
    fn woken(&mut self, cx: &mut Context<'_>) -> Next {
        shard::with(|local| {
            local.batch.begin(clock::now());
            self.machine.catch_up(&mut local.batch);
            local.flush();
        });
        // Whoever woke this connection may have been the consumer that it waited for.
        self.paused_until = None;
        if let Some(reason) = self.machine.peer().closed() {
            return Next::Close(reason);
        }
        self.write(cx)
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Next {
        let now = clock::now();
        let peer = self.machine.peer().clone();
        loop {
            let wrote = shard::with(|local| self.transport.write(cx, &peer, &mut local.batch.pool, now));
            self.write_blocked = matches!(wrote, Wrote::Blocked);
            peer.release_publishers();
            match wrote {
                Wrote::Failed(error) => {
                    tracing::debug!("{} - write error: {error}", peer.label());
                    return Next::Close(Reason::WriteError);
                }
                Wrote::Done => return Next::Wait,
                // The task is registered for the socket to become writable; it may be so already.
                Wrote::Blocked if self.transport.poll_writable(cx).is_pending() => return Next::Wait,
                Wrote::Blocked => {}
            }
        }
    }

    /// The answer of a password check.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Next {
        let Some(work) = &mut self.work else { return Next::Wait };
        let Poll::Ready(fits) = Pin::new(work).poll(cx) else { return Next::Wait };
        self.work = None;
        let flow = shard::with(|local| {
            local.batch.begin(clock::now());
            let flow = self.machine.login_checked(&mut local.batch, fits.unwrap_or(false));
            local.flush();
            flow
        });
        match flow {
            Flow::Close(reason) => Next::Close(reason),
            _ => Next::Wait,
        }
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        loop {
            let stalled = self.stall_deadline();
            let wanted = self.machine.deadline().min(self.paused_until.unwrap_or(Mono::NEVER)).min(stalled);
            // A timer that fires too early is armed again then; it is cheaper than moving it with every read.
            if wanted < self.timer_at {
                self.timer_at = wanted;
                if let Some(at) = clock::instant(wanted) {
                    self.timer.as_mut().reset(at);
                }
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer_at = Mono::NEVER;
            let now = clock::now();
            if now.mono >= stalled
                && let Some(reason) = self.write_deadline_exceeded(now)
            {
                return Poll::Ready(reason);
            }
            if now.mono >= self.machine.deadline() {
                let flow = shard::with(|local| {
                    local.batch.begin(now);
                    let flow = self.machine.on_deadline(&mut local.batch);
                    local.flush();
                    flow
                });
                if let Flow::Close(reason) = flow {
                    return Poll::Ready(reason);
                }
            }
            if self.paused_until.is_some_and(|until| now.mono >= until) {
                self.paused_until = None;
                cx.waker().wake_by_ref();
            }
        }
    }

    fn stall_deadline(&self) -> Mono {
        if !self.write_blocked {
            return Mono::NEVER;
        }
        let since = self.machine.peer().queue().stalled_since();
        since.map_or(Mono::NEVER, |since| since + self.machine.write_deadline())
    }

    /// The socket has refused bytes for too long; `None` when the connection may try on.
    fn write_deadline_exceeded(&mut self, now: Now) -> Option<Reason> {
        let peer = self.machine.peer();
        let mut queue = peer.queue();
        let (chunks, bytes) = (queue.chunks(), queue.pending());
        let retry = self.machine.retries_writes() && queue.restart_stall(now.mono);
        drop(queue);
        tracing::info!(
            "{} - Slow Consumer {}: WriteDeadline of {:?} exceeded with {chunks} chunks of {bytes} total bytes.",
            peer.label(),
            if retry { "State" } else { "Detected" },
            self.machine.write_deadline()
        );
        (!retry).then_some(Reason::SlowConsumerWriteDeadline)
    }

    fn is_paused(&mut self) -> bool {
        match self.paused_until {
            Some(until) if clock::now().mono < until => true,
            Some(_) => {
                self.paused_until = None;
                false
            }
            None => false,
        }
    }

    /// Reads once and handles what came.
    fn read(&mut self, cx: &mut Context<'_>) -> Next {
        if std::mem::take(&mut self.backlog) {
            let input = std::mem::take(&mut self.leftover).freeze();
            return shard::with(|local| self.handle(local, input));
        }
        // A message larger than the shard's buffer is gathered in a buffer of its own.
        if self.need > LARGE_MESSAGE {
            return self.read_large(cx);
        }
        shard::with(|local| {
            local.prepare(&self.leftover);
            match poll_into(&mut self.transport, cx, &mut local.buffer) {
                Poll::Pending => Next::Wait,
                Poll::Ready(Err(error)) => self.read_failed(&error),
                Poll::Ready(Ok(0)) => Next::Close(Reason::ClientClosed),
                Poll::Ready(Ok(_)) => {
                    self.leftover = BytesMut::new();
                    let input = local.buffer.split().freeze();
                    self.handle(local, input)
                }
            }
        })
    }

    fn read_large(&mut self, cx: &mut Context<'_>) -> Next {
        let missing = self.need.saturating_sub(self.leftover.len());
        self.leftover.reserve(missing);
        match poll_into(&mut self.transport, cx, &mut self.leftover) {
            Poll::Pending => Next::Wait,
            Poll::Ready(Err(error)) => self.read_failed(&error),
            Poll::Ready(Ok(0)) => Next::Close(Reason::ClientClosed),
            Poll::Ready(Ok(_)) if self.leftover.len() < self.need => Next::Again,
            Poll::Ready(Ok(_)) => {
                let input = std::mem::take(&mut self.leftover).freeze();
                shard::with(|local| self.handle(local, input))
            }
        }
    }

    fn read_failed(&self, error: &std::io::Error) -> Next {
        tracing::debug!("{} - read error: {error}", self.machine.peer().label());
        Next::Close(if error.kind() == std::io::ErrorKind::UnexpectedEof {
            Reason::ClientClosed
        } else {
            Reason::ReadError
        })
    }

    /// Feeds input to the machine batch by batch and flushes after each.
    fn handle(&mut self, local: &mut Local, mut input: Bytes) -> Next {
        loop {
            local.batch.begin(clock::now());
            let ingested = self.machine.ingest(&mut local.batch, &input);
            local.flush();
            let held_back = local.batch.holds_back(self.machine.peer());
            let all = ingested.consumed == input.len();
            if !all {
                input = input.slice(ingested.consumed..);
            }
            self.need = ingested.need;
            let full = local.batch.is_full();
            match ingested.flow {
                Flow::Continue if held_back => {
                    self.keep(&input, all);
                    self.paused_until = Some(clock::now().mono + CROWDED_WAIT);
                    self.backlog = full && !all;
                    return Next::Again;
                }
                Flow::Continue if full && !all => continue,
                Flow::Continue => {
                    self.keep(&input, all);
                    return Next::Again;
                }
                Flow::Throttle(wait) => {
                    self.keep(&input, all);
                    self.paused_until = Some(clock::now().mono + wait);
                    self.backlog = !all;
                    return Next::Again;
                }
                Flow::Work(work) => {
                    self.keep(&input, all);
                    self.backlog = !all;
                    self.work = Some(tokio::task::spawn_blocking(move || work.run()));
                    return Next::Again;
                }
                Flow::Close(reason) => return Next::Close(reason),
            }
        }
    }

    /// Keeps what was not consumed for the next read.
    fn keep(&mut self, rest: &Bytes, all: bool) {
        if all {
            return;
        }
        self.leftover = BytesMut::with_capacity(self.need.max(rest.len()));
        self.leftover.extend_from_slice(rest);
    }
}

/// One read into the free room of a buffer; answers how many bytes came.
fn poll_into(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<std::io::Result<usize>> {
    match transport {
        Transport::Plain(read, _) => std::pin::pin!(read.read_buf(buffer)).poll(cx),
        Transport::Owned(stream, _) => std::pin::pin!(stream.read_buf(buffer)).poll(cx),
    }
}
