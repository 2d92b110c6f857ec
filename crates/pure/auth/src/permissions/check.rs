//! The questions of the data path. None of them allocates.
//!
//! A subscription is allowed when an allow entry covers *all* that it would receive. The original server looks the
//! subscription up as if it were a literal, so that an entry `*` lets `SUB >` through; that is a hole and is not kept.
//! Denials keep the look-up as it is: it refuses at least what a covering entry would, and what it lets through is
//! filtered when messages are delivered.

use super::{Permissions, SubscribeRules};
use midge_subject::has_wildcard;

impl Permissions {
    /// Whether a message may be published to `subject`, apart from answers (see
    /// [`ResponseTable`](super::ResponseTable)).
    ///
    /// A wildcard subject is taken literally: it needs an entry with wildcards in the same places.
    pub fn may_publish(&self, subject: &[u8]) -> bool {
        self.publish_allow.as_ref().is_none_or(|allow| allow.matches(subject))
            && (self.publish_deny.is_empty() || !self.publish_deny.matches(subject))
    }

    /// Whether a subscription is accepted. What it then receives may be less: see [`Permissions::delivery_filter`].
    ///
    /// An allow entry with a queue admits that queue only, and once one covers the subject, plain entries no longer
    /// admit queues. A deny entry with a queue refuses that queue only.
    pub fn may_subscribe(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        self.subscribe_allow.as_ref().is_none_or(|allow| allow.admits(subject, queue))
            && !self.subscribe_deny.refuses(subject, queue)
    }

    /// Whether deliveries to an accepted subscription have to be asked about with [`Permissions::may_receive`].
    pub fn delivery_filter(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        if self.subscribe_deny.is_empty() || (queue.is_none() && !has_wildcard(subject)) {
            return false;
        }
        self.subscribe_deny.plain.overlaps(subject)
            || queue.is_some_and(|queue| self.subscribe_deny.queues.overlaps(subject, queue))
    }

    /// Whether a message on `subject` may be delivered to a subscription with that queue.
    pub fn may_receive(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        !self.subscribe_deny.refuses(subject, queue)
    }

    /// Whether nothing is restricted.
    pub fn is_unrestricted(&self) -> bool {
        self.publish_allow.is_none()
            && self.publish_deny.is_empty()
            && self.subscribe_allow.is_none()
            && self.subscribe_deny.is_empty()
    }
}

impl SubscribeRules {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.queues.is_empty()
    }

    fn admits(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        let by_queue = queue.and_then(|queue| self.queues.covers(subject, queue));
        by_queue.unwrap_or_else(|| self.plain.covers(subject))
    }

    fn refuses(&self, subject: &[u8], queue: Option<&[u8]>) -> bool {
        (!self.plain.is_empty() && self.plain.matches(subject))
            || queue.is_some_and(|queue| self.queues.matches(subject, queue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_config::schema::authorization as schema;

    fn list(entries: &[&str]) -> Option<Vec<String>> {
        Some(entries.iter().map(|entry| (*entry).to_owned()).collect())
    }

    fn subscribing(allow: Option<&[&str]>, deny: Option<&[&str]>) -> Permissions {
        let subscribe =
            Some(schema::SubjectPermission { allow: allow.and_then(list), deny: deny.and_then(list) });
        Permissions::compile(&schema::Permissions { subscribe, ..Default::default() }).0
    }

    fn publishing(allow: Option<&[&str]>, deny: Option<&[&str]>) -> Permissions {
        let publish =
            Some(schema::SubjectPermission { allow: allow.and_then(list), deny: deny.and_then(list) });
        Permissions::compile(&schema::Permissions { publish, ..Default::default() }).0
    }

    #[test]
    fn publishing_needs_an_allow_entry_and_no_deny_entry() {
        let both = publishing(Some(&["foo.>", "bar", "*.req"]), Some(&["foo.secret", "foo.*.x"]));
        for (subject, expected) in [
            ("foo.a", true),
            ("bar", true),
            ("svc.req", true),
            ("bar.x", false),
            ("foo", false),
            ("foo.secret", false),
            ("foo.a.x", false),
            ("foo.*", true),
            ("foo.>", true),
            ("*", false),
            ("foo.*.x", false),
            ("foo..a", false),
        ] {
            assert_eq!(both.may_publish(subject.as_bytes()), expected, "{subject}");
        }
        assert!(publishing(None, None).may_publish(b"x"));
        assert!(publishing(None, None).is_unrestricted());
        assert!(!publishing(Some(&[]), None).may_publish(b"x"));
        assert!(!publishing(None, Some(&["x"])).may_publish(b"x"));
        assert!(publishing(None, Some(&["x"])).may_publish(b"y"));
        let star = publishing(Some(&["foo.*"]), None);
        assert!(star.may_publish(b"foo.*") && !star.may_publish(b"foo"));
    }

    #[test]
    fn answering_takes_the_place_of_publishing() {
        let responses = Some(schema::ResponsePermission::default());
        let config = schema::Permissions { responses: responses.clone(), ..Default::default() };
        let (permissions, _) = Permissions::compile(&config);
        assert!(!permissions.may_publish(b"x") && permissions.may_subscribe(b"x", None));
        let publish = Some(schema::SubjectPermission { allow: list(&["x"]), deny: None });
        let (permissions, _) =
            Permissions::compile(&schema::Permissions { publish, responses, ..Default::default() });
        assert!(permissions.may_publish(b"x") && !permissions.may_publish(b"y"));
    }

    #[test]
    fn allow_entries_with_queues() {
        // allowed entries; subject, queue, accepted
        for (allow, questions) in [
            (&["foo"][..], &[("foo", "", true), ("foo", "v1", true), ("bar", "", false)][..]),
            (&["foo v1"], &[("foo", "", false), ("foo", "v1", true), ("foo", "v2", false)]),
            (&["foo", "foo v1"], &[("foo", "", true), ("foo", "v1", true), ("foo", "v2", false)]),
            (
                &["foo.*", "foo.a v1.*"],
                &[("foo.a", "v1.x", true), ("foo.a", "v1", false), ("foo.b", "v2", true)],
            ),
            (&["foo v1", "foo v2.>"], &[("foo", "v1", true), ("foo", "v2.a.b", true), ("foo", "v3", false)]),
            (
                &["> *.dev", "foo.>"],
                &[("foo.x", "a.dev", true), ("foo.x", "prod", false), ("foo.x", "", true)],
            ),
            (&[], &[("foo", "", true), ("foo", "q", true)]),
        ] {
            let permissions = subscribing(Some(allow), None);
            for &(subject, queue, expected) in questions {
                let queue = Some(queue.as_bytes()).filter(|queue| !queue.is_empty());
                assert_eq!(
                    permissions.may_subscribe(subject.as_bytes(), queue),
                    expected,
                    "{allow:?}: {subject} {queue:?}"
                );
            }
        }
    }

    #[test]
    fn an_allow_entry_must_cover_the_whole_subscription() {
        let permissions = subscribing(Some(&["*", "foo.*", "bar.>"]), None);
        for (subject, expected) in [
            ("*", true),
            ("a", true),
            ("foo.*", true),
            ("foo.a", true),
            ("bar.>", true),
            ("bar.*.x", true),
            (">", false),
            ("foo.>", false),
            ("*.*", false),
            ("a.b", false),
            ("bar", true),
        ] {
            assert_eq!(permissions.may_subscribe(subject.as_bytes(), None), expected, "{subject}");
        }
    }

    #[test]
    fn denials_as_the_released_server_has_them() {
        let permissions = subscribing(None, Some(&["*", "foo.*", "q.> g"]));
        for (subject, queue, expected) in [
            (">", "", false),
            ("foo.>", "", false),
            ("a.b", "", true),
            ("*", "", false),
            ("*.*", "", true),
            ("foo.*", "", false),
            ("q.a", "g", false),
            ("q.a", "h", true),
            ("q.a", "", true),
            ("q.>", "g", false),
        ] {
            let queue = Some(queue.as_bytes()).filter(|queue| !queue.is_empty());
            assert_eq!(permissions.may_subscribe(subject.as_bytes(), queue), expected, "{subject} {queue:?}");
        }
    }

    #[test]
    fn what_overlaps_a_denial_is_filtered_on_delivery() {
        let permissions = subscribing(None, Some(&["foo.secret", "*.x v1", "bar.>"]));
        let q = |queue: &'static str| Some(queue.as_bytes());
        for (subject, queue, expected) in [
            ("foo.*", None, true),
            (">", None, true),
            ("*.secret", None, true),
            ("baz.*", None, false),
            ("foo.open", None, false),
            ("baz.*", q("v1"), true),
            ("baz.x", q("v2"), false),
            ("foo.*", q("v2"), true),
            ("*", None, false),
        ] {
            assert_eq!(
                permissions.delivery_filter(subject.as_bytes(), queue),
                expected,
                "{subject} {queue:?}"
            );
        }
        for (subject, queue, expected) in [
            ("foo.secret", None, false),
            ("foo.secret", q("v1"), false),
            ("foo.x", None, true),
            ("foo.x", q("v1"), false),
            ("foo.x", q("v2"), true),
            ("bar.a.b", None, false),
            ("open", None, true),
        ] {
            assert_eq!(permissions.may_receive(subject.as_bytes(), queue), expected, "{subject} {queue:?}");
        }
        assert!(!Permissions::default().delivery_filter(b">", None));
    }
}
