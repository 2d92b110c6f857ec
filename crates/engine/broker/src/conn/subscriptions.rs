//! SUB and UNSUB.

use std::sync::Arc;

use midge_sync::atomic::Ordering;
use midge_wire::errors;

use super::client::ClientConn;
use crate::batch::Batch;
use crate::subscription::{Subscription, Target};

impl ClientConn {
    pub(super) fn subscribe(&mut self, batch: &mut Batch, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
        self.pings.active(batch.now.mono);
        self.forget_ended();
        if !self.may_subscribe(subject, queue) {
            let denied = Denied { subject, queue, sid: None };
            self.send_error(batch, &denied.text());
            tracing::error!("{} - {}", self.peer.label(), Denied { sid: Some(sid), ..denied }.log());
            return;
        }
        let max_tokens = self.settings.max_subscription_tokens;
        if max_tokens > 0 && subject.split(|&b| b == b'.').count() > max_tokens {
            let quoted = midge_stdx::goquote::quote(subject);
            let text = format!("Permissions Violation for Subscription to {quoted}, too many tokens");
            self.send_error(batch, &text);
            tracing::error!(
                "{} - Subscription Violation Too Many Tokens - Subject {quoted}, SID {}",
                self.peer.label(),
                sid.escape_ascii()
            );
            return;
        }
        if self.max_subscriptions >= 0
            && self.subscriptions.len() as u64 >= self.max_subscriptions.unsigned_abs()
        {
            self.send_error(batch, errors::MAX_SUBSCRIPTIONS);
            tracing::error!("{} - {}", self.peer.label(), errors::MAX_SUBSCRIPTIONS);
            return;
        }
        let hash = self.hasher.bytes(sid);
        if self.subscriptions.find(hash, |s| s.sid() == sid).is_none() {
            let filtered = self.permissions.as_ref().is_some_and(|p| p.delivery_filter(subject, queue));
            let target = Target::Peer(self.peer.clone());
            let sub = Arc::new(Subscription::new(target, subject, queue, sid, filtered));
            if self.account.insert(sub.clone()).is_err() {
                self.send_error(batch, errors::INVALID_SUBJECT);
                return;
            }
            let hasher = self.hasher;
            self.subscriptions.insert_unique(hash, sub, |s| hasher.bytes(s.sid()));
            self.peer.subscriptions.fetch_add(1, Ordering::Relaxed);
        }
        if self.options.verbose {
            self.send_ok(batch);
        }
    }

    fn may_subscribe(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        !queue.is_some_and(midge_subject::reserved::refuses_queue)
            && self.permissions.as_ref().is_none_or(|p| p.may_subscribe(subject, queue))
    }

    pub(super) fn unsubscribe(&mut self, batch: &mut Batch, sid: &[u8], max: Option<u64>) {
        self.pings.active(batch.now.mono);
        self.forget_ended();
        let hash = self.hasher.bytes(sid);
        if let Some(sub) = self.subscriptions.find(hash, |s| s.sid() == sid).cloned() {
            let over = match max {
                None => true,
                Some(max) => {
                    // Under the queue lock, so that no publisher counts at the same time.
                    let _queue = self.peer.queue();
                    sub.limit(max)
                }
            };
            if over {
                self.remove(&sub);
            }
        }
        if self.options.verbose {
            self.send_ok(batch);
        }
    }

    /// Removes one of this connection's subscriptions.
    pub(super) fn remove(&mut self, sub: &Arc<Subscription>) {
        if sub.end() {
            self.account.remove(sub);
            self.peer.subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
        let hash = self.hasher.bytes(sub.sid());
        if let Ok(entry) = self.subscriptions.find_entry(hash, |s| Arc::ptr_eq(s, sub)) {
            entry.remove();
        }
    }

    /// Removes all of them, as a second CONNECT does.
    pub(super) fn remove_all(&mut self) {
        let all: Vec<Arc<Subscription>> = self.subscriptions.drain().collect();
        let live: Vec<&Arc<Subscription>> = all.iter().filter(|s| s.end()).collect();
        self.account.remove_all(live.iter().copied());
        self.peer.subscriptions.fetch_sub(live.len() as u64, Ordering::Relaxed);
    }

    /// Forgets the subscriptions whose maximum a publisher used up.
    pub(super) fn forget_ended(&mut self) {
        if !self.peer.has_ended() {
            return;
        }
        for sub in self.peer.take_ended() {
            let hash = self.hasher.bytes(sub.sid());
            if let Ok(entry) = self.subscriptions.find_entry(hash, |s| Arc::ptr_eq(s, &sub)) {
                entry.remove();
            }
        }
    }
}

/// A subscription that is not allowed.
#[derive(Clone, Copy)]
pub(super) struct Denied<'a> {
    pub(super) subject: &'a [u8],
    pub(super) queue: Option<&'a [u8]>,
    /// Given when an existing subscription is removed, and in logs.
    pub(super) sid: Option<&'a [u8]>,
}

impl Denied<'_> {
    /// The text of `-ERR`.
    pub(super) fn text(&self) -> String {
        let quote = midge_stdx::goquote::quote;
        let mut text = format!("Permissions Violation for Subscription to {}", quote(self.subject));
        if let Some(queue) = self.queue {
            text.push_str(&format!(" using queue {}", quote(queue)));
        }
        if let Some(sid) = self.sid {
            text.push_str(&format!(" (sid {})", quote(sid)));
        }
        text
    }

    fn log(&self) -> String {
        let quote = midge_stdx::goquote::quote;
        let mut text = format!("Subscription Violation - Subject {}", quote(self.subject));
        if let Some(queue) = self.queue {
            text.push_str(&format!(", Queue: {}", quote(queue)));
        }
        text.push_str(&format!(", SID {}", self.sid.unwrap_or_default().escape_ascii()));
        text
    }
}
