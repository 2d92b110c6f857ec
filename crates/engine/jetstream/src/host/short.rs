//! A stream on a disk without space.
//!
//! Messages are refused, from wherever they come. What an opening found to write, and what time brings, waits: none of it is a promise, and the next opening
//! would find it again. It goes to the disk with the first request that has something to write itself, or when there is space; so what can be read is read
//! without interruption, however long it takes until somebody makes room.

use midge_jsapi::subjects::ApiCall;
use midge_stdx::clock::{Mono, Now};
use midge_store::port::{Op, Submitted};
use midge_sync::atomic::Ordering;

use super::{ForConsumer, Host, Life};
use crate::api::ApiRequest;
use crate::limits::{FULL_FOR, HELD_BACK};

impl Host {
    /// Whether nothing may be stored: the disk is full, whoever found out, and what is left of it is for what makes room.
    pub(super) fn has_no_space(&mut self, now: Now) -> bool {
        if self.lane.is_some() && self.disk.as_ref().is_some_and(|disk| disk.space() == 0) {
            return true;
        }
        let Some(until) = self.full_until else { return false };
        if now.mono < until {
            return true;
        }
        self.full_until = None;
        self.handle.vitals.failed.store(false, Ordering::Release);
        self.handle.vitals.failure.lock().clear();
        self.go_ahead();
        false
    }

    /// When to look for space again.
    pub(super) fn space_deadline(&self) -> Mono {
        let serves = matches!(self.life, Life::Serving);
        self.full_until.filter(|_| serves).unwrap_or(Mono::NEVER)
    }

    /// Looks for space, when it is time for that.
    pub(super) fn look_for_space(&mut self, now: Now) {
        if now.mono < self.space_deadline() {
            return;
        }
        if self.has_no_space(now) {
            self.full_until = Some(now.mono + FULL_FOR);
        }
    }

    /// What waits for space is tried: there is some, or somebody asks for something that has to be written.
    pub(super) fn go_ahead(&mut self) {
        self.held_back = false;
    }

    /// The same for a request, if it is one that changes anything.
    pub(super) fn go_ahead_for(&mut self, request: &ApiRequest) {
        let reads = matches!(
            ApiCall::parse(&request.subject),
            Some(
                ApiCall::StreamInfo { .. }
                    | ApiCall::MsgGet { .. }
                    | ApiCall::ConsumerNames { .. }
                    | ApiCall::ConsumerList { .. }
                    | ApiCall::ConsumerInfo { .. }
            )
        );
        if !reads {
            self.go_ahead();
        }
    }

    /// The same for what comes for a consumer: an acknowledgement may be what makes room.
    pub(super) fn go_ahead_for_consumer(&mut self, what: ForConsumer) {
        if matches!(what, ForConsumer::Ack | ForConsumer::Flow | ForConsumer::Reset) {
            self.go_ahead();
        }
    }

    /// Whether operations wait for space. There may only be so many of them.
    pub(super) fn is_held_back(&mut self) -> bool {
        let held = self.held_back && !self.life.is_failed();
        if held && self.submissions.len() > HELD_BACK {
            self.go_ahead();
        }
        self.held_back && held
    }

    /// Hands the disk what reads, and needs no order.
    pub(super) fn submit_reads(&mut self) {
        let Some(disk) = &self.disk else { return };
        let mut reads: Vec<_> = self.submissions.extract_if(.., |s| matches!(s.op, Op::Work(_))).collect();
        if reads.is_empty() {
            return;
        }
        match disk.submit(&mut reads) {
            Submitted::All => {}
            Submitted::Full => self.crowded = true,
            Submitted::NoLane | Submitted::Closed => return self.disk_is_gone(),
        }
        self.submissions.append(&mut reads);
    }
}
