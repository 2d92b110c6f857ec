//! Schedules that are due.

use std::time::Duration;

use midge_jsapi::headers as names;
use midge_stdx::gotime;
use midge_store::stream::{Filter, Step, Store};

use super::pattern::Pattern;
use crate::stream::Stream;
use crate::stream::headers::{Headers, rewrite};
use crate::stream::publish::{Cx, Incoming, Origin, Verdict};

/// How long a schedule is put off whose message was refused.
const RETRY: Duration = Duration::from_secs(2);
/// Schedules that one call publishes at most.
const BUDGET: usize = 256;

impl Stream {
    /// Publishes what is due, no more than some hundred messages at a time.
    pub(in crate::stream) fn fire(&mut self, store: &mut Store, cx: &mut Cx<'_>) -> Step<()> {
        for _ in 0..BUDGET {
            let Some((subject, seq)) = self.schedules.first_due(cx.now.wall) else { break };
            ready!(self.fire_one(store, &subject, seq, cx));
        }
        Step::Ready(())
    }

    fn fire_one(&mut self, store: &mut Store, subject: &[u8], seq: u64, cx: &mut Cx<'_>) -> Step<()> {
        let schedule = match store.load(seq) {
            Step::Ready(message) if message.subject() == subject => message,
            Step::Wait => return Step::Wait,
            // It was deleted, or replaced.
            Step::Ready(_) | Step::Failed(_) => {
                self.schedules.forget(subject);
                return Step::Ready(());
            }
        };
        let headers = Headers::read(schedule.headers());
        let pattern = headers.schedule.and_then(|text| Pattern::parse(text, headers.schedule_zone).ok());
        let (Some(pattern), Some(target)) = (pattern, headers.schedule_target) else {
            self.schedules.forget(subject);
            return Step::Ready(());
        };
        let source = match headers.schedule_source {
            Some(source) => ready!(store.last(&Filter::one(source))),
            None => None,
        };
        let body = source.as_ref().unwrap_or(&schedule);
        let next = pattern.after(cx.now.wall).map(gotime::rfc3339);
        let next = next.as_deref().unwrap_or("purge");
        let mut add: Vec<(&[u8], &[u8])> =
            vec![(names::SCHEDULER, subject), (names::SCHEDULE_NEXT, next.as_bytes())];
        add.extend(headers.schedule_ttl.map(|ttl| (names::TTL, ttl)));
        add.extend(headers.schedule_rollup.map(|rollup| (names::ROLLUP, rollup)));
        let mut block = Vec::new();
        rewrite(body.headers(), is_of_the_schedule, &add, &mut block);
        let message = Incoming {
            subject: target,
            reply: b"",
            headers: &block,
            payload: body.payload(),
            origin: Origin::Schedule,
        };
        if let Verdict::Refused(error) = ready!(self.publish(store, &message, cx)) {
            tracing::warn!(stream = %self.config().name, %error, "scheduled message was refused");
            self.schedules.put_off(subject, cx.now.wall + RETRY);
        } else if self.schedules.next_of(subject).is_some_and(|next| next <= cx.now.wall) {
            // It could not be moved on: the message went to where the schedule stands, or was a duplicate.
            self.schedules.put_off(subject, cx.now.wall + RETRY);
        }
        Step::Ready(())
    }
}

/// Headers that belong to the schedule, and not to what it publishes.
fn is_of_the_schedule(name: &[u8]) -> bool {
    name.starts_with(b"Nats-Schedule")
        || name.starts_with(b"Nats-Expected-")
        || name == names::MSG_ID
        || name == names::TTL
        || name == names::ROLLUP
}
