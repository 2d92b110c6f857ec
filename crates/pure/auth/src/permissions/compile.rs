//! From the lists of a configuration to permissions.

use std::fmt;
use std::time::Duration;

use midge_config::schema::authorization as schema;
use midge_config::schema::authorization::ResponsePermission;
use midge_subject::is_valid_subject;

use super::patterns::PatternSet;
use super::{Permissions, SubscribeRules};

/// An entry that was skipped because it is no subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadEntry {
    /// The list it stands in, such as `publish allow`.
    pub list: &'static str,
    /// The entry.
    pub entry: String,
}

impl fmt::Display for BadEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid entry {} in the {} list",
            midge_stdx::goquote::quote(self.entry.as_bytes()),
            self.list
        )
    }
}

/// Splits `subject` or `subject queue`.
pub fn split_queue(entry: &str) -> Option<(&str, Option<&str>)> {
    let mut fields = entry.split_ascii_whitespace();
    let subject = fields.next().filter(|subject| is_valid_subject(subject.as_bytes()))?;
    let queue = fields.next();
    if fields.next().is_some() || queue.is_some_and(|queue| !is_valid_subject(queue.as_bytes())) {
        return None;
    }
    Some((subject, queue))
}

impl Permissions {
    /// Compiles permissions and reports the entries that were skipped. A list of which nothing is left still
    /// restricts: skipping an entry never allows more.
    pub fn compile(config: &schema::Permissions) -> (Permissions, Vec<BadEntry>) {
        let (mut permissions, mut bad) = (Permissions::default(), Vec::new());
        if let Some(publish) = &config.publish {
            let lists = &mut permissions.lists;
            permissions.publish_allow = publish
                .allow
                .as_ref()
                .map(|allow| publish_set(allow, "publish allow", &mut lists.publish_allow, &mut bad));
            let deny = publish.deny.as_deref().unwrap_or_default();
            permissions.publish_deny = publish_set(deny, "publish deny", &mut lists.publish_deny, &mut bad);
        }
        if let Some(subscribe) = &config.subscribe {
            let lists = &mut permissions.lists;
            permissions.subscribe_allow =
                subscribe.allow.as_ref().filter(|allow| !allow.is_empty()).map(|allow| {
                    subscribe_rules(allow, "subscribe allow", &mut lists.subscribe_allow, &mut bad)
                });
            let deny = subscribe.deny.as_deref().unwrap_or_default();
            permissions.subscribe_deny =
                subscribe_rules(deny, "subscribe deny", &mut lists.subscribe_deny, &mut bad);
        }
        if let Some(responses) = &config.responses {
            // Being allowed to answer takes the place of being allowed to publish anything.
            permissions.publish_allow.get_or_insert_default();
            permissions.responses = Some(with_defaults(responses));
        }
        (permissions, bad)
    }
}

/// Zero stands for the defaults.
fn with_defaults(responses: &ResponsePermission) -> ResponsePermission {
    let defaults = ResponsePermission::default();
    ResponsePermission {
        max_msgs: if responses.max_msgs == 0 { defaults.max_msgs } else { responses.max_msgs },
        expires: if responses.expires == Some(Duration::ZERO) { defaults.expires } else { responses.expires },
    }
}

fn publish_set(
    entries: &[String],
    list: &'static str,
    shown: &mut Vec<String>,
    bad: &mut Vec<BadEntry>,
) -> PatternSet {
    let mut set = PatternSet::default();
    for entry in entries {
        match split_queue(entry) {
            Some((subject, None)) => {
                set.insert(subject.as_bytes());
                shown.push(subject.to_owned());
            }
            queued => {
                // A queue makes no sense here. Its subject still denies, so that the mistake does not open a door.
                if let (Some((subject, _)), "publish deny") = (queued, list) {
                    set.insert(subject.as_bytes());
                    shown.push(subject.to_owned());
                }
                bad.push(BadEntry { list, entry: entry.clone() });
            }
        }
    }
    set
}

fn subscribe_rules(
    entries: &[String],
    list: &'static str,
    shown: &mut Vec<String>,
    bad: &mut Vec<BadEntry>,
) -> SubscribeRules {
    let mut rules = SubscribeRules::default();
    for entry in entries {
        match split_queue(entry) {
            Some((subject, None)) => {
                rules.plain.insert(subject.as_bytes());
                shown.push(subject.to_owned());
            }
            Some((subject, Some(queue))) => {
                rules.queues.insert(subject.as_bytes(), queue.as_bytes());
                shown.push(format!("{subject} {queue}"));
            }
            None => bad.push(BadEntry { list, entry: entry.clone() }),
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_a_subject_and_perhaps_a_queue() {
        for (entry, expected) in [
            ("foo", Some(("foo", None))),
            (" foo.* ", Some(("foo.*", None))),
            ("foo  v1.>", Some(("foo", Some("v1.>")))),
            ("foo\tv1", Some(("foo", Some("v1")))),
            ("foo a b", None),
            ("", None),
            ("foo..bar", None),
            ("foo v..1", None),
            (">.x", None),
        ] {
            assert_eq!(split_queue(entry), expected, "{entry}");
        }
    }

    #[test]
    fn skipped_entries_are_reported_and_open_nothing() {
        let lists = |allow: &[&str], deny: &[&str]| {
            let owned = |list: &[&str]| Some(list.iter().map(|s| (*s).to_owned()).collect());
            Some(schema::SubjectPermission { allow: owned(allow), deny: owned(deny) })
        };
        let config = schema::Permissions {
            publish: lists(&["a..b", "ok q"], &["secret q", "x."]),
            subscribe: lists(&["a b c"], &[".."]),
            responses: None,
        };
        let (permissions, bad) = Permissions::compile(&config);
        let named: Vec<String> = bad.iter().map(|b| format!("{}: {}", b.list, b.entry)).collect();
        assert_eq!(
            named,
            [
                "publish allow: a..b",
                "publish allow: ok q",
                "publish deny: secret q",
                "publish deny: x.",
                "subscribe allow: a b c",
                "subscribe deny: .."
            ]
        );
        assert!(!permissions.may_publish(b"ok") && !permissions.may_publish(b"secret"));
        assert!(!permissions.may_subscribe(b"a", None));
        let open = schema::Permissions { publish: lists(&[">"], &["secret q"]), ..Default::default() };
        let (permissions, bad) = Permissions::compile(&open);
        assert_eq!(bad[0].to_string(), "invalid entry \"secret q\" in the publish deny list");
        assert!(permissions.may_publish(b"x") && !permissions.may_publish(b"secret"));
    }

    #[test]
    fn zero_means_the_default_answer() {
        let zero = ResponsePermission { max_msgs: 0, expires: Some(Duration::ZERO) };
        let config = schema::Permissions { responses: Some(zero), ..Default::default() };
        let (permissions, _) = Permissions::compile(&config);
        assert_eq!(permissions.responses(), Some(&ResponsePermission::default()));
    }
}
