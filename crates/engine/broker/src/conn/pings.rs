//! Liveness: PING, PONG, and the deadlines of a connection.

use std::time::Duration;

use midge_stdx::clock::{Mono, Now};
use midge_sync::atomic::Ordering;
use midge_wire::{encode, errors};

use super::Flow;
use super::client::ClientConn;
use crate::batch::Batch;
use crate::limits::{FIRST_PING, RTT_AGE};
use crate::reason::Reason;
use crate::settings::Settings;

/// The ping timer of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pings {
    next: Mono,
    /// PINGs sent that no PONG has answered.
    outstanding: u32,
    /// When the oldest of those was sent, and when the round trip was last measured.
    sent: Mono,
    measured: Option<Mono>,
    last_active: Mono,
    started: Mono,
    first_done: bool,
}

impl Pings {
    pub(super) fn new(settings: &Settings, now: Now) -> Self {
        Pings {
            next: now.mono + settings.ping_interval,
            outstanding: 0,
            sent: Mono(0),
            measured: None,
            last_active: Mono(0),
            started: now.mono,
            first_done: false,
        }
    }

    /// Notes data, SUB, UNSUB or PING from the peer.
    #[inline]
    pub(super) fn active(&mut self, now: Mono) {
        self.last_active = now;
    }
}

impl ClientConn {
    /// CONNECT came: the first PING follows soon, so that the round trip is known.
    pub(super) fn plan_first_ping(&mut self, now: Now) {
        let base = self.settings.ping_interval.min(FIRST_PING);
        let jitter = self.broker.draw(u64::try_from(base.as_nanos() / 5).unwrap_or(0).max(1));
        self.pings.next = now.mono + base + Duration::from_nanos(jitter);
        if self.pings.measured.is_none() {
            self.note_rtt(now.mono.since(self.pings.started));
        }
    }

    fn note_rtt(&self, rtt: Duration) {
        let ns = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.peer.rtt_ns.store(ns, Ordering::Relaxed);
    }

    /// A PING of the client: PONG, and after the first one the INFO that says where it is connected.
    pub(super) fn pinged(&mut self, batch: &mut Batch) {
        self.pings.active(batch.now.mono);
        self.trace_out("PONG");
        batch.send(&self.peer, encode::PONG);
        if self.introduced || !self.connected || self.login.is_some() {
            return;
        }
        self.introduced = true;
        if self.options.protocol >= 1 {
            self.send_connect_info(batch);
        }
    }

    /// A PONG of the client; one that answers nothing is ignored.
    pub(super) fn ponged(&mut self, now: Now) {
        if self.pings.outstanding == 0 {
            return;
        }
        self.pings.outstanding = 0;
        self.pings.measured = Some(now.mono);
        self.note_rtt(now.mono.since(self.pings.sent));
    }

    /// When [`ClientConn::on_deadline`] wants to be called, at the latest.
    pub fn deadline(&self) -> Mono {
        self.pings.next.min(self.auth_deadline)
    }

    /// The time has come.
    pub fn on_deadline(&mut self, batch: &mut Batch) -> Flow {
        let now = batch.now;
        if now.mono >= self.auth_deadline {
            self.auth_deadline = Mono::NEVER;
            if self.waits_for_login() {
                self.send_error(batch, errors::AUTHENTICATION_TIMEOUT);
                tracing::error!("{} - {}", self.peer.label(), "authentication timeout");
                return Flow::Close(Reason::AuthenticationTimeout);
            }
        }
        if now.mono >= self.pings.next {
            return self.ping(batch);
        }
        Flow::Continue
    }

    fn ping(&mut self, batch: &mut Batch) -> Flow {
        let now = batch.now;
        let interval = self.settings.ping_interval;
        self.pings.next = now.mono + interval;
        tracing::debug!("{} - Client Ping Timer", self.peer.label());
        let recent = self.pings.first_done && now.mono.since(self.pings.last_active) < interval;
        let known = self.pings.measured.is_some_and(|at| now.mono.since(at) < RTT_AGE);
        if recent && known {
            tracing::debug!("{} - Delaying PING due to client activity", self.peer.label());
            return Flow::Continue;
        }
        self.pings.first_done = true;
        if self.pings.outstanding >= self.settings.ping_max {
            tracing::debug!("{} - Stale Client Connection - Closing", self.peer.label());
            self.send_error(batch, errors::STALE_CONNECTION);
            return Flow::Close(Reason::StaleConnection);
        }
        self.pings.outstanding += 1;
        self.pings.sent = now.mono;
        self.trace_out("PING");
        batch.send(&self.peer, encode::PING);
        Flow::Continue
    }
}
