//! Pull requests as they come in, and how they end.

use midge_jsapi::consumer_config::PriorityPolicy;
use midge_jsapi::requests::{PullRequest, parse_pull};
use midge_jsapi::{headers, levels};
use midge_stdx::gotime;
use midge_wire::headers::find;

use super::machine::Consumer;
use super::outlet::Cx;
use super::pins::{PINNED, STAND_BY};
use super::requests::{LAST_LEVEL, Slot};
use super::status;

/// How long a request without interest is kept where interest may come from afar.
const GRACE_NS: i64 = 2_000_000_000;

/// A pass over a full queue at most this often.
const SWEEP_EVERY_NS: i64 = 1_000_000_000;

/// What is done with a request at once.
enum Verdict {
    /// It waits.
    Waits,
    /// It is answered by a status.
    Answered(String),
    /// It carries the pin of a client that is pinned no more.
    WrongPin,
    /// It is not answered.
    Dropped,
}

impl Consumer {
    /// A pull request: its body, header block and inbox. What cannot be served is answered at once, the rest waits for [`Consumer::turn`].
    pub fn pull(&mut self, cx: &mut Cx<'_>, body: &[u8], header: &[u8], inbox: &[u8]) {
        if inbox.is_empty() {
            return;
        }
        if self.rules.push {
            return self.answer(cx, inbox, "409 Consumer is push based");
        }
        if find(header, headers::REQUIRED_API_LEVEL).is_some_and(|level| !levels::is_served(level)) {
            return self.answer(cx, inbox, "412 Required Api Level");
        }
        self.last_used = self.time(cx.now);
        let pull = match parse_pull(body) {
            Ok(pull) => pull,
            Err(error) => return self.answer(cx, inbox, &format!("400 Bad Request - {error}")),
        };
        match self.judge(cx, &pull.request, pull.is_json) {
            Verdict::Waits => self.enqueue(cx, &pull.request, pull.is_json, inbox),
            Verdict::Answered(text) => self.answer(cx, inbox, &text),
            Verdict::WrongPin => {
                let bytes = u64::try_from(pull.request.max_bytes).unwrap_or(0);
                let batch = u64::try_from(pull.request.batch).unwrap_or(0).max(1);
                status::ended(&mut self.header, "423 Nats-Wrong-Pin-Id", batch, bytes);
                cx.out.status(inbox, b"", &self.header);
            }
            Verdict::Dropped => {}
        }
    }

    fn judge(&mut self, cx: &mut Cx<'_>, request: &PullRequest, is_json: bool) -> Verdict {
        let config = &self.config;
        let bad = |text: &str| Verdict::Answered(format!("400 Bad Request - {text}"));
        let (expires, heartbeat) = (request.expires_ns.max(0), request.idle_heartbeat_ns.max(0));
        if heartbeat.saturating_mul(2) > expires {
            return bad("heartbeat value too large");
        }
        let cap = |limit: i64, asked: i64| limit > 0 && asked > limit;
        if cap(config.max_batch, request.batch) {
            return Verdict::Answered(format!("409 Exceeded MaxRequestBatch of {}", config.max_batch));
        }
        if cap(config.max_expires_ns, expires) {
            let text = gotime::duration_text(config.max_expires_ns);
            return Verdict::Answered(format!("409 Exceeded MaxRequestExpires of {text}"));
        }
        if cap(config.max_bytes, request.max_bytes) {
            return Verdict::Answered(format!("409 Exceeded MaxRequestMaxBytes of {}", config.max_bytes));
        }
        if is_json {
            match self.judge_priority(request) {
                Verdict::Waits => {}
                refused => return refused,
            }
        }
        if request.no_wait && self.waiting.is_known() {
            let ready = self.num_pending(cx.stream.visible) + self.redelivery.len() as u64;
            if request.expires_ns == 0 && (ready == 0 || self.is_paused(cx.now)) {
                return Verdict::Answered("404 No Messages".to_owned());
            }
            if ready > 0 && ready < self.requests.wanted() {
                return Verdict::Answered("408 Requests Pending".to_owned());
            }
        }
        let room = usize::try_from(self.config.max_waiting).unwrap_or(0);
        if room > 0 && self.requests.len() >= room {
            let time = self.time(cx.now);
            if self.swept.is_none_or(|swept| time >= swept.saturating_add(SWEEP_EVERY_NS)) {
                self.swept = Some(time);
                self.end_expired(cx);
                self.sweep(cx);
            }
            if self.requests.len() >= room {
                let told = heartbeat == 0;
                let text = "409 Exceeded MaxWaiting".to_owned();
                return if told { Verdict::Answered(text) } else { Verdict::Dropped };
            }
        }
        Verdict::Waits
    }

    fn judge_priority(&mut self, request: &PullRequest) -> Verdict {
        let bad = |text: &str| Verdict::Answered(format!("400 Bad Request - {text}"));
        let policy = self.rules.policy;
        if (request.min_pending != 0 || request.min_ack_pending != 0) && policy != PriorityPolicy::Overflow {
            return bad("Not a Overflow Priority consumer");
        }
        if !request.id.is_empty() && policy != PriorityPolicy::PinnedClient {
            return bad("Not a Pinned Client Priority consumer");
        }
        if !(0..=9).contains(&request.priority) {
            return bad("Priority must be between 0 and 9");
        }
        if policy == PriorityPolicy::None {
            return Verdict::Waits;
        }
        if request.group.is_empty() {
            return bad("Priority Group missing");
        }
        if !self.config.priority_groups.contains(&request.group) {
            return bad("Invalid Priority Group");
        }
        if policy == PriorityPolicy::PinnedClient && !request.id.is_empty() {
            match &self.pin {
                Some(pin) if pin.text() == request.id => {}
                Some(_) => return Verdict::Answered("423 Nats-Pin-Id mismatch".to_owned()),
                None => return Verdict::WrongPin,
            }
        }
        Verdict::Waits
    }

    fn enqueue(&mut self, cx: &mut Cx<'_>, asked: &PullRequest, is_json: bool, inbox: &[u8]) {
        let time = self.time(cx.now);
        let level = match self.rules.policy {
            PriorityPolicy::None | PriorityPolicy::Overflow => 0,
            PriorityPolicy::PinnedClient if asked.id.is_empty() => STAND_BY,
            PriorityPolicy::PinnedClient => {
                self.renew_pin(time);
                PINNED
            }
            PriorityPolicy::Prioritized if is_json => asked.priority as u8,
            PriorityPolicy::Prioritized => LAST_LEVEL,
        };
        let positive = |number: i64| u64::try_from(number).unwrap_or(0);
        self.requests.push(|request| {
            request.inbox.extend_from_slice(inbox);
            request.pin.extend_from_slice(asked.id.as_bytes());
            request.batch = positive(asked.batch).max(1);
            request.bytes = (asked.max_bytes > 0).then(|| positive(asked.max_bytes));
            request.no_wait = asked.no_wait;
            request.expires_at = (asked.expires_ns != 0).then(|| time.saturating_add(asked.expires_ns));
            request.heartbeat_ns = asked.idle_heartbeat_ns.max(0);
            request.level = level;
            request.min_pending = positive(asked.min_pending);
            request.min_ack_pending = positive(asked.min_ack_pending);
            (request.received, request.last_sent) = (time, time);
        });
    }

    /// Sends a status without headers.
    pub(super) fn answer(&mut self, cx: &mut Cx<'_>, inbox: &[u8], text: &str) {
        status::plain(&mut self.header, text);
        cx.out.status(inbox, b"", &self.header);
    }

    /// Ends a request with a status that tells what it still wanted.
    pub(super) fn end_request(&mut self, cx: &mut Cx<'_>, slot: Slot, text: &str) {
        let request = self.requests.get(slot);
        status::ended(&mut self.header, text, request.batch, request.bytes.unwrap_or(0));
        cx.out.status(&request.inbox, b"", &self.header);
        self.remove_request(cx, slot);
    }

    /// Ends a request with a status that tells nothing else.
    pub(super) fn end_plainly(&mut self, cx: &mut Cx<'_>, slot: Slot, text: &str) {
        status::plain(&mut self.header, text);
        cx.out.status(&self.requests.get(slot).inbox, b"", &self.header);
        self.remove_request(cx, slot);
    }

    pub(super) fn remove_request(&mut self, cx: &Cx<'_>, slot: Slot) {
        self.requests.remove(slot);
        self.last_used = self.time(cx.now);
    }

    /// Ends every request; `left` says whether they are told what they still wanted.
    pub(super) fn end_all(&mut self, cx: &mut Cx<'_>, text: &str, left: bool) {
        while let Some(slot) = self.requests.first() {
            if left { self.end_request(cx, slot, text) } else { self.end_plainly(cx, slot, text) }
        }
    }

    /// Ends those that expired.
    pub(super) fn end_expired(&mut self, cx: &mut Cx<'_>) {
        let time = self.time(cx.now);
        let expired: Vec<Slot> = self
            .requests
            .iter()
            .filter(|(_, request)| request.is_expired(time))
            .map(|(slot, _)| slot)
            .collect();
        for slot in expired {
            self.end_request(cx, slot, "408 Request Timeout");
        }
    }

    /// Drops requests that nobody listens for. O(waiting).
    pub(super) fn sweep(&mut self, cx: &mut Cx<'_>) {
        self.sweep_at = None;
        let slots: Vec<Slot> = self.requests.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            if !cx.out.has_interest(&self.requests.get(slot).inbox) {
                self.unheard(cx, slot);
            }
        }
    }

    /// Nobody listens for a request: it goes, unless interest may still come. Answers whether it went.
    pub(super) fn unheard(&mut self, cx: &mut Cx<'_>, slot: Slot) -> bool {
        let request = self.requests.get(slot);
        let grace_ends = request.received.saturating_add(GRACE_NS);
        if cx.stream.has_leafs && self.time(cx.now) < grace_ends {
            self.sweep_at = Some(self.sweep_at.map_or(grace_ends, |at| at.min(grace_ends)));
            return false;
        }
        if cx.out.is_rewritten(&request.inbox) {
            self.end_request(cx, slot, "408 Interest Expired");
        } else {
            self.remove_request(cx, slot);
        }
        true
    }
}
