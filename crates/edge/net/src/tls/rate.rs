//! How many handshakes may begin per second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use midge_stdx::clock::Mono;

use crate::limits::TLS_RATE_WINDOW;

#[derive(Debug)]
struct Window {
    start: Option<Mono>,
    admitted: u64,
}

/// Counts handshakes in windows of one second that begin with the first handshake after the last one's end.
#[derive(Debug)]
pub(super) struct RateLimit {
    limit: u64,
    window: Mutex<Window>,
    refused: AtomicU64,
}

impl RateLimit {
    /// `None` without a limit.
    pub(super) fn new(limit: i64) -> Option<RateLimit> {
        let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0)?;
        Some(RateLimit {
            limit,
            window: Mutex::new(Window { start: None, admitted: 0 }),
            refused: AtomicU64::new(0),
        })
    }

    pub(super) fn admit(&self, now: Mono) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.start.is_none_or(|start| now.since(start) > TLS_RATE_WINDOW) {
            *window = Window { start: Some(now), admitted: 0 };
        }
        if window.admitted < self.limit {
            window.admitted += 1;
            return true;
        }
        drop(window);
        self.refused.fetch_add(1, Ordering::Relaxed);
        false
    }

    pub(super) async fn report(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let refused = self.refused.swap(0, Ordering::Relaxed);
            if refused > 0 {
                tracing::warn!("Rejected {refused} connections due to TLS rate limiting");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_admits_so_many() {
        assert!(RateLimit::new(0).is_none());
        assert!(RateLimit::new(-1).is_none());
        let rate = RateLimit::new(2).unwrap();
        let second = 1_000_000_000;
        let admitted = |at: u64| rate.admit(Mono(at));
        assert!(admitted(5 * second));
        assert!(admitted(5 * second + 1));
        assert!(!admitted(6 * second));
        assert!(admitted(6 * second + 1));
        assert!(admitted(6 * second + 2));
        assert!(!admitted(6 * second + 3));
        assert_eq!(rate.refused.load(Ordering::Relaxed), 2);
    }
}
