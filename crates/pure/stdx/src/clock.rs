//! Time as a value.
//!
//! A decision that needs the time takes a [`Now`]; the edge (or the simulator) makes one per batch of input.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Nanoseconds on a clock that never goes back; its zero is arbitrary but fixed within a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

/// Nanoseconds since the Unix epoch, as the wall clock says; it may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For intervals and deadlines.
    pub mono: Mono,
    /// For what people read.
    pub wall: Wall,
}

/// The port through which a clock is read; only the edges and the simulator implement it.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

impl Mono {
    /// Later than every reading.
    pub const NEVER: Mono = Mono(u64::MAX);

    /// Time passed since `earlier`; zero when `earlier` lies ahead.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Mono;
    fn add(self, wait: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Mono;
    fn sub(self, wait: Duration) -> Mono {
        Mono(self.0.saturating_sub(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Add<Duration> for Wall {
    type Output = Wall;
    fn add(self, wait: Duration) -> Wall {
        Wall(self.0.saturating_add(i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_never_wrap() {
        assert_eq!(Mono(5).since(Mono(9)), Duration::ZERO);
        assert_eq!(Mono(u64::MAX) + Duration::from_secs(1), Mono::NEVER);
        assert_eq!(Mono(1) - Duration::from_secs(1), Mono(0));
    }
}
