//! Subjects and permissions, token by token.

use crate::users::PermissionSpec;

fn tokens(subject: &str) -> Vec<&str> {
    subject.split('.').collect()
}

/// Whether something may be subscribed to: no empty token, `>` only at the end.
pub fn is_valid(subject: &str) -> bool {
    let tokens = tokens(subject);
    tokens.iter().enumerate().all(|(n, t)| !t.is_empty() && (*t != ">" || n + 1 == tokens.len()))
}

/// Whether a strict publisher may use it.
pub fn is_literal(subject: &str) -> bool {
    tokens(subject).iter().all(|t| !t.is_empty() && *t != "*" && *t != ">")
}

/// Whether a pattern matches a subject, whose own wildcards are taken literally.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let (pattern, subject) = (tokens(pattern), tokens(subject));
    if subject.iter().any(|t| t.is_empty()) {
        return false;
    }
    for (n, want) in pattern.iter().enumerate() {
        match subject.get(n) {
            None => return false,
            Some(_) if *want == ">" => return n + 1 == pattern.len(),
            Some(token) if *want != "*" && want != token => return false,
            Some(_) => {}
        }
    }
    pattern.len() == subject.len()
}

/// Whether a pattern matches all that another one does.
pub fn covers(pattern: &str, other: &str) -> bool {
    let (pattern, other) = (tokens(pattern), tokens(other));
    for (n, want) in pattern.iter().enumerate() {
        match other.get(n) {
            None => return false,
            Some(_) if *want == ">" => return true,
            Some(&">") => return false,
            Some(&"*") if *want != "*" => return false,
            Some(token) if *want != "*" && want != token => return false,
            Some(_) => {}
        }
    }
    pattern.len() == other.len()
}

fn split(entry: &str) -> (&str, Option<&str>) {
    match entry.split_once(' ') {
        Some((subject, queue)) => (subject, Some(queue)),
        None => (entry, None),
    }
}

fn fits(queue: &str, entry: &str) -> bool {
    queue == entry || matches(entry, queue)
}

impl PermissionSpec {
    /// Whether lists allow a publish, answers aside.
    pub fn may_publish(&self, subject: &str) -> bool {
        let allowed = match &self.publish_allow {
            None => self.responses.is_none(),
            Some(list) => list.iter().any(|p| matches(p, subject)),
        };
        allowed && !self.publish_deny.iter().any(|p| matches(p, subject))
    }

    /// Whether a deny list forbids to receive a subject, or to subscribe to it.
    pub fn denies(&self, subject: &str, queue: Option<&str>) -> bool {
        self.subscribe_deny.iter().any(|entry| match split(entry) {
            (pattern, None) => matches(pattern, subject),
            (pattern, Some(of)) => matches(pattern, subject) && queue.is_some_and(|queue| fits(queue, of)),
        })
    }

    /// Whether a subscription is accepted.
    pub fn may_subscribe(&self, subject: &str, queue: Option<&str>) -> bool {
        if self.denies(subject, queue) {
            return false;
        }
        let Some(allow) = &self.subscribe_allow else { return true };
        let covering: Vec<Option<&str>> = allow
            .iter()
            .map(|entry| split(entry))
            .filter(|(p, _)| covers(p, subject))
            .map(|(_, q)| q)
            .collect();
        match queue {
            Some(queue) if covering.iter().any(Option::is_some) => {
                covering.iter().flatten().any(|of| fits(queue, of))
            }
            _ => covering.iter().any(Option::is_none),
        }
    }
}

/// Whether clients may not publish to it.
pub fn refuses_publish(subject: &str, system: bool) -> bool {
    (subject.starts_with("_GR_.") && subject.len() > 5) || (!system && subject.starts_with("$NRG."))
}

/// Whether clients may not ask for answers there.
pub fn refuses_reply(reply: &str) -> bool {
    reply.starts_with("_R_.")
        || (reply.starts_with("_GR_.") && reply.len() > 5)
        || (reply.starts_with("$JS.ACK.") && reply.len() > 8)
}

/// A text as the server quotes it; only printable text without quotes is ever sent here.
pub fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, subject, expected) in [
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("*", "a", true),
            ("a.>", "a..b", false),
            ("a.b", "a.*", false),
            ("a.*", "a.>", true),
            ("a*", "ab", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
        for (pattern, other, expected) in [
            ("a.*", "a.*", true),
            ("a.*", "a.>", false),
            ("a.>", "a.*", true),
            (">", "a.>", true),
            ("a.b", "a.*", false),
        ] {
            assert_eq!(covers(pattern, other), expected, "{pattern} {other}");
        }
        assert!(is_valid("a.>") && !is_valid("a.>.b") && !is_valid("a..b") && is_valid("a.>>"));
    }
}
