//! The CONNECT document.
//!
//! Decoding follows the habits of the reference server's decoder: names in any case, unknown fields ignored, `null`
//! leaves the value, the last of two equal fields wins, and a later CONNECT is merged over the earlier one.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

/// What a client says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// Whether `+OK` is wanted.
    pub verbose: bool,
    /// Whether subjects are checked strictly.
    pub pedantic: bool,
    /// Whether own messages come back to own subscriptions.
    pub echo: bool,
    /// Whether the client understands headers.
    pub headers: bool,
    /// Whether it wants to know when nobody listens.
    pub no_responders: bool,
    /// 0, or 1 when it understands INFO at any time.
    pub protocol: i64,
    /// Public key of an nkey user.
    pub nkey: String,
    /// A user JWT.
    pub jwt: String,
    /// Signature of the nonce.
    pub sig: String,
    /// A token.
    pub auth_token: String,
    /// A user name.
    pub user: String,
    /// Its password.
    pub pass: String,
    /// Shown in monitoring.
    pub name: String,
    /// Shown in monitoring.
    pub lang: String,
    /// Shown in monitoring.
    pub version: String,
    /// Obsolete; a client that sets it is refused.
    pub account: String,
    /// Obsolete; a client that sets it is refused.
    pub new_account: bool,
}

impl Default for Connect {
    /// The options of a client that never sends CONNECT.
    fn default() -> Self {
        Connect {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            protocol: 0,
            nkey: String::new(),
            jwt: String::new(),
            sig: String::new(),
            auth_token: String::new(),
            user: String::new(),
            pass: String::new(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            account: String::new(),
            new_account: false,
        }
    }
}

impl Connect {
    /// Merges a document over the options. On an error the options may be partly changed; the connection is closed.
    pub fn merge(&mut self, json: &[u8]) -> Result<(), serde_json::Error> {
        let text = String::from_utf8_lossy(json);
        let mut decoder = serde_json::Deserializer::from_str(&text);
        Merge(self).deserialize(&mut decoder)?;
        decoder.end()
    }
}

/// Whether a text is one JSON document.
pub fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

struct Merge<'a>(&'a mut Connect);

impl<'de> DeserializeSeed<'de> for Merge<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_any(self)
    }
}

fn put<'de, A: MapAccess<'de>, T: serde::Deserialize<'de>>(
    map: &mut A,
    field: &mut T,
) -> Result<(), A::Error> {
    if let Some(value) = map.next_value::<Option<T>>()? {
        *field = value;
    }
    Ok(())
}

impl<'de> Visitor<'de> for Merge<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let c = self.0;
        while let Some(key) = map.next_key::<String>()? {
            match key.to_ascii_lowercase().as_str() {
                "verbose" => put(&mut map, &mut c.verbose)?,
                "pedantic" => put(&mut map, &mut c.pedantic)?,
                "echo" => put(&mut map, &mut c.echo)?,
                "headers" => put(&mut map, &mut c.headers)?,
                "no_responders" => put(&mut map, &mut c.no_responders)?,
                "protocol" => put(&mut map, &mut c.protocol)?,
                "nkey" => put(&mut map, &mut c.nkey)?,
                "jwt" => put(&mut map, &mut c.jwt)?,
                "sig" => put(&mut map, &mut c.sig)?,
                "auth_token" => put(&mut map, &mut c.auth_token)?,
                "user" => put(&mut map, &mut c.user)?,
                "pass" => put(&mut map, &mut c.pass)?,
                "name" => put(&mut map, &mut c.name)?,
                "lang" => put(&mut map, &mut c.lang)?,
                "version" => put(&mut map, &mut c.version)?,
                "account" => put(&mut map, &mut c.account)?,
                "new_account" => put(&mut map, &mut c.new_account)?,
                "tls_required" => put(&mut map, &mut false)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Field names whose values never appear in a log; names that start with them count too.
const SECRET: [&str; 5] = ["pass", "auth_token", "sig", "nkey", "proxy_sig"];

/// The text of a CONNECT for a log: the values of secret fields are replaced.
pub fn redacted(json: &[u8]) -> String {
    let text = String::from_utf8_lossy(json);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    let mut secret = false;
    while let Some(open) = rest.find('"') {
        let (before, string) = rest.split_at(open);
        let end = string_end(string);
        let (string, after) = string.split_at(end);
        if before.contains(',') || before.contains('{') {
            secret = false;
        }
        out.push_str(before);
        let is_key = after.trim_start().starts_with(':');
        if is_key {
            let name = string.trim_matches('"').to_ascii_lowercase();
            secret = SECRET.iter().any(|s| name.starts_with(s));
            out.push_str(string);
        } else if secret {
            out.push_str("\"[REDACTED]\"");
            secret = false;
        } else {
            out.push_str(string);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Behind the closing quote of the string that `text` starts with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, b) in text.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(texts: &[&str]) -> Option<Connect> {
        let mut connect = Connect::default();
        for text in texts {
            connect.merge(text.as_bytes()).ok()?;
        }
        Some(connect)
    }

    #[test]
    fn names_in_any_case_unknown_fields_and_null() {
        let c =
            merged(&[r#"{"VERBOSE":false,"Echo":null,"x":{"y":[1]},"user":"a","user":"b","protocol":1}"#])
                .unwrap();
        assert!(!c.verbose && c.echo && c.pedantic);
        assert_eq!((c.user.as_str(), c.protocol), ("b", 1));
        assert_eq!(merged(&["null"]), Some(Connect::default()));
    }

    #[test]
    fn wrong_types_and_garbage_are_errors() {
        for bad in
            ["", "[]", "1", "{", r#"{"verbose":"false"}"#, r#"{"protocol":1.0}"#, "{} x", r#"{"user":1}"#]
        {
            assert_eq!(merged(&[bad]), None, "{bad}");
        }
    }

    #[test]
    fn a_later_document_is_merged_over_the_earlier() {
        let c = merged(&[r#"{"verbose":false,"user":"a"}"#, r#"{"user":"b"}"#]).unwrap();
        assert!(!c.verbose);
        assert_eq!(c.user, "b");
    }

    #[test]
    fn secrets_are_redacted() {
        assert_eq!(
            redacted(br#"{"user":"a","pass":"s\"x","auth_token":"t","sig":"s","nkey":"U","jwt":"j","n":1}"#),
            r#"{"user":"a","pass":"[REDACTED]","auth_token":"[REDACTED]","sig":"[REDACTED]","nkey":"[REDACTED]","jwt":"j","n":1}"#
        );
        assert_eq!(redacted(br#"{"pass":1,"user":"a"}"#), r#"{"pass":1,"user":"a"}"#);
        assert_eq!(redacted(br#"{"pass":"unterminated"#), r#"{"pass":"[REDACTED]""#);
    }
}
