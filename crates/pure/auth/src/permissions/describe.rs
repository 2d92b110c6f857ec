//! Permissions as the user is shown them.

use super::Permissions;

fn push_list(out: &mut String, name: &str, entries: &[String]) {
    if entries.is_empty() {
        return;
    }
    if !out.ends_with('{') {
        out.push(',');
    }
    midge_stdx::gojson::push_string(out, name);
    out.push_str(":[");
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        midge_stdx::gojson::push_string(out, entry);
    }
    out.push(']');
}

impl Permissions {
    /// Appends the `permissions` object of a user info answer. Entries with a queue read `subject queue`.
    pub fn push_json(&self, out: &mut String) {
        out.push_str("{\"publish\":{");
        push_list(out, "allow", &self.lists.publish_allow);
        push_list(out, "deny", &self.lists.publish_deny);
        out.push_str("},\"subscribe\":{");
        push_list(out, "allow", &self.lists.subscribe_allow);
        push_list(out, "deny", &self.lists.subscribe_deny);
        out.push('}');
        if let Some(responses) = &self.responses {
            let ttl = responses.expires.map_or(-1, |ttl| i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX));
            out.push_str(&format!(",\"responses\":{{\"max\":{},\"ttl\":{ttl}}}", responses.max_msgs));
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_config::schema::authorization as schema;

    #[test]
    fn documents_read_as_the_released_server_writes_them() {
        let list = |entries: &[&str]| Some(entries.iter().map(|e| (*e).to_owned()).collect());
        let config = schema::Permissions {
            publish: Some(schema::SubjectPermission { allow: list(&["x", ">"]), deny: list(&["z"]) }),
            subscribe: Some(schema::SubjectPermission {
                allow: list(&["a.*", "i", "foo  q.*"]),
                deny: list(&["d", "e q"]),
            }),
            responses: Some(schema::ResponsePermission::default()),
        };
        let json = |config: &schema::Permissions| {
            let mut out = String::new();
            Permissions::compile(config).0.push_json(&mut out);
            out
        };
        assert_eq!(
            json(&config),
            r#"{"publish":{"allow":["x","\u003e"],"deny":["z"]},"subscribe":{"allow":["a.*","i","foo q.*"],"deny":["d","e q"]},"responses":{"max":1,"ttl":120000000000}}"#
        );
        let subscribe = Some(schema::SubjectPermission { allow: list(&["a"]), deny: None });
        let only = schema::Permissions { subscribe, ..Default::default() };
        assert_eq!(json(&only), r#"{"publish":{},"subscribe":{"allow":["a"]}}"#);
    }
}
