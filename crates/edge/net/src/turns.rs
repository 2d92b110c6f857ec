//! Running the turns of owners of state, beside the connections of a shard.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use midge_broker::turn::{Next, Runner, Signal, Turn};
use midge_stdx::clock::Mono;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use crate::shard::{self, Shards};
use crate::wakeup::Wakeup;
use crate::{clock, limits};

/// Runs turns on the shards of a server.
pub struct ShardRunner {
    shards: Arc<Shards>,
    /// For what waits until a shard takes a task.
    control: Handle,
}

impl ShardRunner {
    /// Over these shards; `control` runs what waits for them.
    pub fn new(shards: Arc<Shards>, control: Handle) -> ShardRunner {
        ShardRunner { shards, control }
    }
}

impl Runner for ShardRunner {
    fn run(&self, turn: Box<dyn Turn>, signal: Arc<Signal>, placement: u64) {
        let all = self.shards.all();
        let Some(shard) = all.get((placement % all.len().max(1) as u64) as usize).cloned() else { return };
        let wakeup = Arc::new(Wakeup::default());
        wakeup.raise();
        let raised = wakeup.clone();
        signal.attach(Box::new(move || raised.raise()));
        self.control.spawn(async move {
            shard.spawn(move || async move { serve(turn, wakeup).await }).await;
        });
    }
}

/// The task of one owner.
async fn serve(turn: Box<dyn Turn>, wakeup: Arc<Wakeup>) {
    let far = tokio::time::Instant::now() + Duration::from_secs(86_400);
    let mut task = Task {
        turn,
        wakeup,
        timer: Box::pin(tokio::time::sleep_until(far)),
        timer_at: Mono::NEVER,
        paused: false,
    };
    poll_fn(|cx| task.poll(cx)).await;
}

struct Task {
    turn: Box<dyn Turn>,
    wakeup: Arc<Wakeup>,
    timer: Pin<Box<Sleep>>,
    timer_at: Mono,
    /// Until the timer has fired, the signal counts for nothing.
    paused: bool,
}

impl Task {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let fired = self.timer_at != Mono::NEVER && self.timer.as_mut().poll(cx).is_ready();
        if fired {
            self.timer_at = Mono::NEVER;
            self.paused = false;
        }
        if self.paused {
            return Poll::Pending;
        }
        if self.wakeup.poll(cx).is_pending() && !fired {
            return Poll::Pending;
        }
        let turn = &mut self.turn;
        let (next, stall) = shard::with(|local| {
            local.batch.begin(clock::now());
            let now = local.batch.now;
            let next = catch_unwind(AssertUnwindSafe(|| turn.turn(&mut local.batch, now)));
            local.flush();
            (next, local.batch.stall())
        });
        let next = match next {
            Ok(next) => next,
            Err(_) => {
                tracing::error!(blame = "us", "the owner of a stream panicked and is stopped");
                turn.fenced();
                return Poll::Ready(());
            }
        };
        match next {
            Next::Over => return Poll::Ready(()),
            Next::Again | Next::Idle(_) if stall > Duration::ZERO => self.pause(cx, stall),
            Next::After(pause) => self.pause(cx, pause.min(limits::LONGEST_PAUSE)),
            Next::Again => {
                self.wakeup.raise();
                cx.waker().wake_by_ref();
            }
            Next::Idle(at) => self.set_timer(cx, at),
        }
        Poll::Pending
    }

    fn pause(&mut self, cx: &mut Context<'_>, pause: Duration) {
        self.paused = true;
        // What comes meanwhile, and what the timer would have brought, is looked at then.
        self.wakeup.raise();
        self.set_timer(cx, clock::now().mono + pause);
    }

    fn set_timer(&mut self, cx: &mut Context<'_>, at: Mono) {
        if at == self.timer_at {
            return;
        }
        self.timer_at = at;
        if let Some(instant) = clock::instant(at) {
            self.timer.as_mut().reset(instant);
            if self.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }
}
