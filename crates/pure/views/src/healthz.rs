//! `/healthz`: whether the server can do its work.

use serde::Serialize;

use crate::json;
use crate::query::Query;

/// The parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthzOptions {
    /// `js-enabled` (deprecated) or `js-enabled-only`: whether JetStream is on is all that is asked.
    pub js_enabled_only: bool,
    /// Whether the deprecated spelling was used, to be warned about.
    pub deprecated: bool,
    /// `js-server-only`: leave JetStream out.
    pub js_server_only: bool,
    /// `js-meta-only`: leave streams and consumers out.
    pub js_meta_only: bool,
    /// `details`: errors as a list.
    pub details: bool,
    /// `account`
    pub account: String,
    /// `stream`
    pub stream: String,
    /// `consumer`
    pub consumer: String,
}

impl HealthzOptions {
    /// Decodes the parameters; an error is the body of a 400 answer.
    pub fn decode(query: &Query) -> Result<HealthzOptions, String> {
        let deprecated = query.boolean("js-enabled")?;
        Ok(HealthzOptions {
            js_enabled_only: query.boolean("js-enabled-only")? || deprecated,
            deprecated,
            js_server_only: query.boolean("js-server-only")?,
            js_meta_only: query.boolean("js-meta-only")?,
            details: query.boolean("details")?,
            account: query.text("account"),
            stream: query.text("stream"),
            consumer: query.text("consumer"),
        })
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Healthz {
    /// The HTTP status.
    #[serde(skip)]
    pub code: u16,
    /// `ok`, `unavailable` or `error`.
    pub status: &'static str,
    /// What is wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// What is wrong, if details were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<HealthError>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthError {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: ErrorKind,
    /// The account concerned.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// The stream concerned.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// The consumer concerned.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer: String,
    /// In words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorKind {
    /// A listener is not there.
    Connection,
    /// The parameters make no sense.
    BadRequest,
    /// JetStream.
    #[serde(rename = "JETSTREAM")]
    JetStream,
    /// An account.
    Account,
    /// A stream.
    Stream,
    /// A consumer.
    Consumer,
}

impl Healthz {
    /// All is well.
    pub fn ok() -> Healthz {
        Healthz { code: 200, status: "ok", error: String::new(), errors: Vec::new() }
    }

    /// The body: compact, unlike the other documents.
    pub fn body(&self) -> String {
        json::compact(self)
    }

    fn failed(code: u16, kind: ErrorKind, error: String, details: bool) -> Healthz {
        if !details {
            return Healthz { code, status: "error", error, errors: Vec::new() };
        }
        let (account, stream, consumer) = Default::default();
        let errors = vec![HealthError { kind, account, stream, consumer, error }];
        Healthz { code, status: "error", error: String::new(), errors }
    }
}

/// Judges a server without JetStream. `not_ready` names the listeners that should be there and are not, such as
/// `server`.
pub fn healthz(options: &HealthzOptions, not_ready: &[&str]) -> Healthz {
    let bad = |text: &str| Healthz::failed(400, ErrorKind::BadRequest, text.to_owned(), options.details);
    if !options.stream.is_empty() && options.account.is_empty() {
        return bad("\"account\" must not be empty when checking stream health");
    }
    if !options.consumer.is_empty() && options.stream.is_empty() {
        return bad("\"stream\" must not be empty when checking consumer health");
    }
    if !not_ready.is_empty() {
        let error = format!("failed to be ready for connections after 1ms: {}", not_ready.join(", "));
        return Healthz::failed(500, ErrorKind::Connection, error, options.details);
    }
    Healthz::ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str, not_ready: &[&str]) -> (u16, String) {
        let health = healthz(&HealthzOptions::decode(&Query::parse(query)).unwrap(), not_ready);
        (health.code, health.body())
    }

    #[test]
    fn answers_are_those_of_the_released_server() {
        let ok = (200, r#"{"status":"ok"}"#.to_owned());
        for query in ["", "details=1", "js-enabled-only=1", "js-enabled=1", "account=x&stream=x"] {
            assert_eq!(asked(query, &[]), ok, "{query}");
        }
        for (query, body) in [
            (
                "stream=x",
                r#"{"status":"error","error":"\"account\" must not be empty when checking stream health"}"#,
            ),
            (
                "stream=x&details=1",
                r#"{"status":"error","errors":[{"type":"BAD_REQUEST","error":"\"account\" must not be empty when checking stream health"}]}"#,
            ),
            (
                "consumer=x",
                r#"{"status":"error","error":"\"stream\" must not be empty when checking consumer health"}"#,
            ),
        ] {
            assert_eq!(asked(query, &["server"]), (400, body.to_owned()));
        }
        let down = "failed to be ready for connections after 1ms: server";
        assert_eq!(asked("", &["server"]), (500, format!(r#"{{"status":"error","error":"{down}"}}"#)));
        let detailed = format!(r#"{{"status":"error","errors":[{{"type":"CONNECTION","error":"{down}"}}]}}"#);
        assert_eq!(asked("details=1", &["server"]), (500, detailed));
    }

    #[test]
    fn parameters_are_decoded() {
        let decoded = |query: &str| HealthzOptions::decode(&Query::parse(query));
        let deprecated = decoded("js-enabled=true").unwrap();
        assert!(deprecated.deprecated && deprecated.js_enabled_only);
        assert!(decoded("js-meta-only=1&js-server-only=1").unwrap().js_meta_only);
        assert_eq!(
            decoded("details=x"),
            Err(r#"Error decoding boolean for 'details': strconv.ParseBool: parsing "x": invalid syntax"#
                .into())
        );
        assert_eq!(serde_json::to_string(&ErrorKind::JetStream).unwrap(), "\"JETSTREAM\"");
    }
}
