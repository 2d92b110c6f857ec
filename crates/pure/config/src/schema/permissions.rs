//! Reads `permissions` blocks.

use super::authorization::{Permissions, ResponsePermission, SubjectPermission};
use super::decode::{Decoded, Decoder, shown};
use super::duration;
use crate::lang::{At, Node, Value};
use crate::quote::quoted;
use crate::table::{Block, find};

impl Decoder<'_> {
    /// One permissions block. What is wrong is recorded; the answer holds the rest.
    pub(super) fn permissions(&mut self, node: &Node) -> Decoded<Permissions> {
        let Value::Map(map) = &node.value else {
            let got = shown(&node.value);
            return Err(self.error(&node.at, format!("Expected permissions to be a map/struct, got {got}")));
        };
        let mut permissions = Permissions::default();
        for (key, entry) in map.iter() {
            let name = key.to_text();
            match find(Block::Permissions, &name).map(|row| row.key) {
                Some("publish") => permissions.publish = self.subject_permission(entry, false)?,
                Some("subscribe") => permissions.subscribe = self.subject_permission(entry, true)?,
                Some("allow_responses") => permissions.responses = self.responses(entry)?,
                _ if entry.used => {}
                _ => {
                    self.error(&entry.at, format!("Unknown field {} parsing permissions", quoted(&name)));
                }
            }
        }
        Ok(permissions)
    }

    fn subject_permission(&mut self, node: &Node, queues: bool) -> Decoded<Option<SubjectPermission>> {
        let Value::Map(map) = &node.value else {
            let allow = self.subjects(node, None, queues);
            return Ok(allow.map(|allow| SubjectPermission { allow: Some(allow), deny: None }));
        };
        if map.is_empty() {
            return Ok(None);
        }
        let mut permission = SubjectPermission::default();
        for (key, entry) in map.iter() {
            let name = key.to_text();
            match find(Block::SubjectPermissions, &name).map(|row| row.key) {
                Some("allow") => permission.allow = self.subjects(entry, Some(&entry.at), queues),
                Some(_) => permission.deny = self.subjects(entry, Some(&entry.at), queues),
                None if entry.used => {}
                None => {
                    let name = quoted(&name);
                    self.error(
                        &entry.at,
                        format!(
                            "Unknown field name {name} parsing subject permissions, only 'allow' or 'deny' are permitted"
                        ),
                    );
                }
            }
        }
        Ok(Some(permission))
    }

    /// A list of subjects; `None` for an empty one, which restricts nothing. Errors of a list that stands in a map
    /// have its position, those of a bare list have none.
    fn subjects(&mut self, node: &Node, position: Option<&At>, queues: bool) -> Option<Vec<String>> {
        let record = |decoder: &mut Self, text: String| match position {
            Some(at) => decoder.error(at, text),
            None => decoder.bare_error(&node.at, text),
        };
        let subjects = match &node.value {
            Value::String(text) => vec![text.to_text()],
            Value::Array(nodes) => {
                let mut subjects = Vec::with_capacity(nodes.len());
                for element in nodes {
                    let Value::String(text) = &element.value else {
                        self.error(&element.at, "Subject in permissions array cannot be cast to string");
                        return None;
                    };
                    subjects.push(text.to_text());
                }
                subjects
            }
            value => {
                let got = value.type_name();
                record(
                    self,
                    format!("Expected subject permissions to be a subject, or array of subjects, got {got}"),
                );
                return None;
            }
        };
        for subject in &subjects {
            if let Err(why) = check_entry(subject, queues) {
                record(self, why);
                return None;
            }
        }
        (!subjects.is_empty()).then_some(subjects)
    }

    fn responses(&mut self, node: &Node) -> Decoded<Option<ResponsePermission>> {
        let map = match &node.value {
            Value::Bool(allowed) => return Ok(allowed.then(ResponsePermission::default)),
            Value::Map(map) => map,
            _ => {
                self.error(&node.at, "error parsing response permissions, expected a boolean or a map");
                return Ok(None);
            }
        };
        let mut responses = ResponsePermission::default();
        for (key, entry) in map.iter() {
            let name = key.to_text();
            match find(Block::Responses, &name).map(|row| row.key) {
                Some("max") => {
                    let max = self.int(entry)?;
                    // Zero says nothing.
                    if max != 0 {
                        responses.max_msgs = max;
                    }
                }
                Some(_) if matches!(entry.value, Value::String(_)) => {
                    let Ok(nanos) = self.duration_nanos("expires", entry) else { continue };
                    if nanos != 0 {
                        responses.expires = duration::from_nanos(nanos);
                    }
                }
                Some(_) => {
                    self.error(&entry.at, "error parsing expires, not a duration string");
                }
                None if entry.used => {}
                None => {
                    self.error(&entry.at, format!("Unknown field {} parsing permissions", quoted(&name)));
                }
            }
        }
        Ok(Some(responses))
    }
}

/// Whether an entry is a subject, or with `queues` a subject and a queue.
fn check_entry(entry: &str, queues: bool) -> Result<(), String> {
    let invalid_subject = |subject: &str| Err(format!("subject {} is not a valid subject", quoted(subject)));
    if queues {
        let mut fields = entry.split_whitespace();
        return match (fields.next(), fields.next(), fields.next()) {
            (Some(subject), None, None) if is_subject(subject) => Ok(()),
            (Some(subject), Some(_), None) if !is_subject(subject) => invalid_subject(subject),
            (Some(_), Some(queue), None) if is_subject(queue) => Ok(()),
            (Some(_), Some(queue), None) => Err(format!("queue {} is not a valid queue", quoted(queue))),
            _ => invalid_subject(entry),
        };
    }
    if is_subject(entry) { Ok(()) } else { invalid_subject(entry) }
}

/// No empty token, `>` only as the last, no white space.
fn is_subject(subject: &str) -> bool {
    let mut tokens = subject.split('.').peekable();
    while let Some(token) = tokens.next() {
        let last = tokens.peek().is_none();
        if token.is_empty() || token.contains([' ', '\t', '\n', '\r', '\u{c}']) || (token == ">" && !last) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_subject;

    #[test]
    fn the_form_of_subjects() {
        for (subject, expected) in [
            ("a", true),
            ("a.b.*", true),
            (">", true),
            ("a.>", true),
            ("a>", true),
            ("*a", true),
            ("", false),
            ("a..b", false),
            (".a", false),
            ("a.", false),
            (">.a", false),
            ("a b", false),
            ("a\tb", false),
            ("a\u{c}", false),
        ] {
            assert_eq!(is_subject(subject), expected, "{subject:?}");
        }
    }
}
