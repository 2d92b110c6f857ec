//! How other threads make a connection's task look again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

/// A flag that wakes its task when it is raised.
#[derive(Debug, Default)]
pub struct Wakeup {
    raised: AtomicBool,
    waker: AtomicWaker,
}

impl Wakeup {
    /// Raises the flag; the task is woken unless it was raised already.
    pub fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Ready when the flag is up, and lowers it.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.raised.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }
}
