//! The clocks of the operating system.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use midge_stdx::clock::{Clock, Mono, Now, Wall};

static START: OnceLock<Instant> = OnceLock::new();

/// The real clocks; monotonic time counts from the first reading of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

fn start() -> Instant {
    *START.get_or_init(Instant::now)
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        now()
    }
}

/// Reads both clocks.
pub fn now() -> Now {
    let start = start();
    let mono = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: Mono(mono), wall: Wall(i64::try_from(wall.as_nanos()).unwrap_or(i64::MAX)) }
}

/// The instant of a monotonic time, for timers; `None` for never.
pub fn instant(at: Mono) -> Option<tokio::time::Instant> {
    if at == Mono::NEVER {
        return None;
    }
    start().checked_add(std::time::Duration::from_nanos(at.0)).map(tokio::time::Instant::from_std)
}
