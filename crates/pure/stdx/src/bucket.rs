//! A token bucket with time injected.

use std::time::Duration;

use crate::clock::Mono;

/// Admits `rate` things per second on average, and up to `burst` at once.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Nanoseconds that one token takes to grow.
    cost: u64,
    /// Nanoseconds' worth of tokens that the bucket holds.
    capacity: u64,
    level: u64,
    filled: Mono,
}

impl Bucket {
    /// A full bucket. A rate of zero never refills.
    pub fn new(rate: u32, burst: u32, now: Mono) -> Bucket {
        let cost = 1_000_000_000_u64.checked_div(u64::from(rate)).unwrap_or(u64::MAX).max(1);
        let capacity = cost.saturating_mul(u64::from(burst));
        Bucket { cost, capacity, level: capacity, filled: now }
    }

    fn refill(&mut self, now: Mono) {
        let grown = u64::try_from(now.since(self.filled).as_nanos()).unwrap_or(u64::MAX);
        self.level = self.level.saturating_add(grown).min(self.capacity);
        self.filled = self.filled.max(now);
    }

    /// Takes one token if there is one.
    pub fn take(&mut self, now: Mono) -> bool {
        self.refill(now);
        let enough = self.level >= self.cost;
        if enough {
            self.level -= self.cost;
        }
        enough
    }

    /// How long until a token is there.
    pub fn wait(&mut self, now: Mono) -> Duration {
        self.refill(now);
        Duration::from_nanos(self.cost.saturating_sub(self.level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_pass_and_then_the_rate_holds() {
        let ms = |n: u64| Mono(n * 1_000_000);
        let mut bucket = Bucket::new(10, 3, ms(0));
        assert!((0..3).all(|_| bucket.take(ms(0))));
        assert!(!bucket.take(ms(99)));
        assert_eq!(bucket.wait(ms(40)), Duration::from_millis(1), "time does not run backwards");
        assert!(bucket.take(ms(100)) && !bucket.take(ms(100)));
        assert!((0..3).all(|_| bucket.take(ms(10_000))));
        assert!(!bucket.take(ms(10_000)));
        assert_eq!(bucket.wait(ms(10_000)), Duration::from_millis(100));
    }

    #[test]
    fn a_rate_of_zero_never_refills() {
        let mut bucket = Bucket::new(0, 1, Mono(0));
        assert!(bucket.take(Mono(0)) && !bucket.take(Mono(u64::MAX / 2)));
    }
}
