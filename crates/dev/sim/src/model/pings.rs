//! Liveness as the model has it.

use std::time::Duration;

use midge_stdx::clock::Mono;

/// How long a measured round trip lasts.
const RTT_AGE: Duration = Duration::from_secs(3600);
/// The first PING comes so long after CONNECT, or earlier, plus up to a fifth.
const FIRST: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone, Debug)]
pub struct Pings {
    interval: Duration,
    most: u32,
    /// When the next tick is, between these.
    next: (Mono, Mono),
    outstanding: u32,
    measured: Option<Mono>,
    active: Mono,
    first_done: bool,
}

/// What a tick has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Nothing: the client was heard of.
    Skip,
    /// PING.
    Ping,
    /// The client is gone.
    Stale,
}

impl Pings {
    pub(super) fn new(interval: Duration, most: u32, now: Mono) -> Pings {
        let next = now + interval;
        Pings {
            interval,
            most,
            next: (next, next),
            outstanding: 0,
            measured: None,
            active: Mono(0),
            first_done: false,
        }
    }

    pub(super) fn earliest(&self) -> Mono {
        self.next.0
    }

    pub(super) fn latest(&self) -> Mono {
        self.next.1
    }

    /// Adopts the tick that the node chose.
    pub(super) fn adopt(&mut self, actual: Mono) -> Result<(), String> {
        if actual < self.next.0 || actual > self.next.1 {
            return Err(format!(
                "the next PING must come from {} to {}, not at {actual}",
                self.next.0, self.next.1
            ));
        }
        self.next = (actual, actual);
        Ok(())
    }

    pub(super) fn heard(&mut self, now: Mono) {
        self.active = now;
    }

    pub(super) fn connected(&mut self, now: Mono) {
        let base = self.interval.min(FIRST);
        self.next = (now + base, now + base + base / 5);
        self.active = now;
    }

    pub(super) fn pong(&mut self, now: Mono) {
        if self.outstanding > 0 {
            self.outstanding = 0;
            self.measured = Some(now);
        }
    }

    pub(super) fn is_due(&self, now: Mono) -> bool {
        now >= self.next.0
    }

    pub(super) fn tick(&mut self, now: Mono) -> Tick {
        let next = now + self.interval;
        self.next = (next, next);
        let recent = self.first_done && now.since(self.active) < self.interval;
        if recent && self.measured.is_some_and(|at| now.since(at) < RTT_AGE) {
            return Tick::Skip;
        }
        self.first_done = true;
        if self.outstanding >= self.most {
            return Tick::Stale;
        }
        self.outstanding += 1;
        Tick::Ping
    }
}
