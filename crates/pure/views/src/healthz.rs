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
        Healthz::refused(code, "error", vec![HealthError::new(kind, error)], details)
    }

    /// `status` is told where details are not asked for; then only the first of `errors` is.
    fn refused(code: u16, status: &'static str, errors: Vec<HealthError>, details: bool) -> Healthz {
        if details {
            return Healthz { code, status: "error", error: String::new(), errors };
        }
        let error = errors.into_iter().next().map_or_else(String::new, |first| first.error);
        Healthz { code, status, error, errors: Vec::new() }
    }
}

impl HealthError {
    fn new(kind: ErrorKind, error: String) -> HealthError {
        let (account, stream, consumer) = Default::default();
        HealthError { kind, account, stream, consumer, error }
    }

    /// An account whose folder is in the store directory, and which the server does not know.
    pub fn unresolved(account: &str) -> HealthError {
        let error = format!("JetStream account '{account}' could not be resolved");
        HealthError { account: account.to_owned(), ..HealthError::new(ErrorKind::Account, error) }
    }

    /// A stream that is in the store directory and not served.
    pub fn unrecovered(account: &str, stream: &str) -> HealthError {
        HealthError::stream(account, stream, "could not be recovered")
    }

    /// A stream that cannot be written.
    pub fn write_failed(account: &str, stream: &str, why: &str) -> HealthError {
        HealthError::stream(account, stream, &format!("write error: {why}"))
    }

    /// A stream that was asked for a consumer and said nothing.
    pub fn silent(account: &str, stream: &str) -> HealthError {
        HealthError::stream(account, stream, "does not answer")
    }

    fn stream(account: &str, stream: &str, what: &str) -> HealthError {
        let error = format!("JetStream stream '{account} > {stream}' {what}");
        let (account, stream) = (account.to_owned(), stream.to_owned());
        HealthError { account, stream, ..HealthError::new(ErrorKind::Stream, error) }
    }
}

/// What is known of JetStream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JetStream {
    /// It is not configured.
    None,
    /// It is configured and does not run.
    Off,
    /// It runs.
    On(Assets),
}

/// What is known of what JetStream keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assets {
    /// While the store directory is being opened: streams opened, and found.
    pub opening: Option<(u64, u64)>,
    /// What is wrong with the streams asked about, by account and name.
    pub troubles: Vec<HealthError>,
    /// What was asked about and is not there.
    pub missing: Option<Missing>,
}

/// The first thing that was asked about and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The account, or it has no JetStream.
    Account,
    /// The stream.
    Stream,
    /// The consumer.
    Consumer,
}

fn not_found(options: &HealthzOptions, missing: Missing) -> HealthError {
    let HealthzOptions { account, stream, consumer, .. } = options.clone();
    let (kind, error) = match missing {
        Missing::Account => (ErrorKind::Account, format!("JetStream account \"{account}\" not found")),
        Missing::Stream => {
            (ErrorKind::Stream, format!("JetStream stream \"{stream}\" not found on account \"{account}\""))
        }
        Missing::Consumer => (
            ErrorKind::Consumer,
            format!(
                "JetStream consumer \"{consumer}\" not found for stream \"{stream}\" on account \"{account}\""
            ),
        ),
    };
    let mut found = HealthError { account, ..HealthError::new(kind, error) };
    if missing != Missing::Account {
        found.stream = stream;
    }
    if missing == Missing::Consumer {
        found.consumer = consumer;
    }
    found
}

/// Whether a request concerns what JetStream keeps, so that [`JetStream::On`] has to say something about it.
pub fn concerns_assets(options: &HealthzOptions) -> bool {
    !options.js_server_only && !options.js_enabled_only
}

/// Judges a server. `not_ready` names the listeners that should be there and are not, such as `server`.
pub fn healthz(options: &HealthzOptions, not_ready: &[&str], jetstream: JetStream) -> Healthz {
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
    if options.js_server_only {
        return Healthz::ok();
    }
    let unavailable =
        |code: u16, errors: Vec<HealthError>| Healthz::refused(code, "unavailable", errors, options.details);
    let assets = match jetstream {
        JetStream::None => return Healthz::ok(),
        JetStream::Off => {
            let error = "JetStream not enabled (10076)".to_owned();
            return unavailable(503, vec![HealthError::new(ErrorKind::JetStream, error)]);
        }
        JetStream::On(_) if options.js_enabled_only => return Healthz::ok(),
        JetStream::On(assets) => assets,
    };
    if let Some((opened, found)) = assets.opening {
        let error = format!("JetStream is still recovering streams: {opened} of {found}");
        return unavailable(503, vec![HealthError::new(ErrorKind::JetStream, error)]);
    }
    if !assets.troubles.is_empty() {
        return unavailable(503, assets.troubles);
    }
    match assets.missing {
        Some(missing) => unavailable(404, vec![not_found(options, missing)]),
        None => Healthz::ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(query: &str) -> HealthzOptions {
        HealthzOptions::decode(&Query::parse(query)).unwrap()
    }

    fn asked(query: &str, not_ready: &[&str]) -> (u16, String) {
        let health = healthz(&options(query), not_ready, JetStream::None);
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

    fn judged(query: &str, jetstream: JetStream) -> (u16, String) {
        let health = healthz(&options(query), &[], jetstream);
        (health.code, health.body())
    }

    fn on(assets: Assets) -> JetStream {
        JetStream::On(assets)
    }

    #[test]
    fn what_is_asked_about_and_is_not_there_is_said_as_by_the_released_server() {
        let missing = |missing| on(Assets { missing: Some(missing), ..Assets::default() });
        for (query, what, body) in [
            (
                "account=X",
                Missing::Account,
                r#"{"status":"unavailable","error":"JetStream account \"X\" not found"}"#,
            ),
            (
                "account=A&stream=NO",
                Missing::Stream,
                r#"{"status":"unavailable","error":"JetStream stream \"NO\" not found on account \"A\""}"#,
            ),
            (
                "account=X&stream=NO&consumer=k&details=1",
                Missing::Account,
                r#"{"status":"error","errors":[{"type":"ACCOUNT","account":"X","error":"JetStream account \"X\" not found"}]}"#,
            ),
            (
                "account=A&stream=NO&consumer=k&details=1",
                Missing::Stream,
                r#"{"status":"error","errors":[{"type":"STREAM","account":"A","stream":"NO","error":"JetStream stream \"NO\" not found on account \"A\""}]}"#,
            ),
            (
                "account=A&stream=ONE&consumer=no&details=1",
                Missing::Consumer,
                r#"{"status":"error","errors":[{"type":"CONSUMER","account":"A","stream":"ONE","consumer":"no","error":"JetStream consumer \"no\" not found for stream \"ONE\" on account \"A\""}]}"#,
            ),
        ] {
            assert_eq!(judged(query, missing(what)), (404, body.to_owned()));
        }
        assert_eq!(judged("js-server-only=1&account=X", missing(Missing::Account)).0, 200);
        assert_eq!(judged("js-enabled-only=1&account=X", missing(Missing::Account)).0, 200);
    }

    #[test]
    fn streams_in_trouble_are_named_one_by_one_in_details() {
        let troubles = vec![
            HealthError::unrecovered("A", "B2"),
            HealthError::write_failed("A", "C", "no space left on device"),
            HealthError::unresolved("ZZZ"),
        ];
        let assets = || on(Assets { troubles: troubles.clone(), ..Assets::default() });
        let first =
            r#"{"status":"unavailable","error":"JetStream stream 'A \u003e B2' could not be recovered"}"#;
        assert_eq!(judged("", assets()), (503, first.to_owned()));
        let all = r#"{"status":"error","errors":[{"type":"STREAM","account":"A","stream":"B2","error":"JetStream stream 'A \u003e B2' could not be recovered"},{"type":"STREAM","account":"A","stream":"C","error":"JetStream stream 'A \u003e C' write error: no space left on device"},{"type":"ACCOUNT","account":"ZZZ","error":"JetStream account 'ZZZ' could not be resolved"}]}"#;
        assert_eq!(judged("details=1", assets()), (503, all.to_owned()));
        assert_eq!(judged("js-meta-only=1", assets()).0, 503);
    }

    #[test]
    fn jetstream_that_does_not_run_or_still_opens_is_unavailable() {
        let off = r#"{"status":"unavailable","error":"JetStream not enabled (10076)"}"#;
        assert_eq!(judged("js-enabled-only=1", JetStream::Off), (503, off.to_owned()));
        assert_eq!(judged("js-server-only=1", JetStream::Off).0, 200);
        let opening = || on(Assets { opening: Some((3, 10)), ..Assets::default() });
        let text = r#"{"status":"error","errors":[{"type":"JETSTREAM","error":"JetStream is still recovering streams: 3 of 10"}]}"#;
        assert_eq!(judged("details=1", opening()), (503, text.to_owned()));
        assert_eq!(judged("js-enabled-only=1", opening()).0, 200);
    }
}
