//! From a request to an answer.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, Response, StatusCode, Uri};
use midge_stdx::clock::{Clock, Now};
use midge_views::{
    AccountzOptions, ConnzOptions, HealthzOptions, JszOptions, Observe, Query, Question, SubszOptions, Wake,
    json,
};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::limits::{CONNECTIONS, DOCUMENTS, PARTS_WAIT};
use crate::{index, metrics, path};

pub(crate) type Answer = Response<Full<Bytes>>;

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// What all connections of a monitoring listener share.
pub struct State {
    observe: Arc<dyn Observe>,
    clock: Arc<dyn Clock>,
    /// Without trailing slash; empty for the root.
    base: String,
    metrics: Registry,
    pub(crate) connections: Arc<Semaphore>,
    documents: Semaphore,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("base", &self.base).finish_non_exhaustive()
    }
}

/// The pages that exist.
#[derive(Clone, Copy, Debug)]
enum Page {
    Index,
    Varz,
    Connz,
    Subsz,
    Accountz,
    Jsz,
    Healthz,
    Metrics,
}

impl State {
    /// Shows `observe` under `base_path`, which is clean and begins with a slash.
    pub fn new(observe: Arc<dyn Observe>, clock: Arc<dyn Clock>, base_path: &str) -> Arc<State> {
        Arc::new(State {
            metrics: metrics::registry(observe.clone(), clock.clone()),
            observe,
            clock,
            base: base_path.trim_end_matches('/').to_owned(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            documents: Semaphore::new(DOCUMENTS),
        })
    }

    fn page(&self, path: &str) -> Option<Page> {
        let rest = path.strip_prefix(&self.base)?;
        // The root page stands at exactly the base path, which ends with a slash only if it is nothing else.
        Some(match rest {
            "" if !self.base.is_empty() => Page::Index,
            "/" if self.base.is_empty() => Page::Index,
            "/varz" => Page::Varz,
            "/connz" => Page::Connz,
            "/subsz" | "/subscriptionsz" => Page::Subsz,
            "/accountz" => Page::Accountz,
            "/jsz" => Page::Jsz,
            "/healthz" => Page::Healthz,
            "/metrics" => Page::Metrics,
            _ => return None,
        })
    }

    /// Answers a request; its method and body do not matter.
    pub(crate) async fn answer<B>(self: Arc<Self>, request: Request<B>) -> Answer {
        let uri = request.uri();
        let Some(path) = path::decode(uri.path()) else { return answer(StatusCode::BAD_REQUEST, TEXT, "") };
        let cleaned = path::clean(&path);
        if cleaned != path && path.starts_with('/') {
            return redirect(&cleaned, uri);
        }
        let Some(page) = self.page(&path) else { return not_found() };
        let query = Query::parse(uri.query().unwrap_or_default());
        let Ok(_turn) = self.documents.acquire().await else { return internal_error() };
        let state = self.clone();
        let made = tokio::task::spawn_blocking(move || state.make(page, &query));
        made.await.unwrap_or_else(|_| internal_error())
    }

    fn make(&self, page: Page, query: &Query) -> Answer {
        let now = self.clock.now();
        let observe = &self.observe;
        match page {
            Page::Index => {
                observe.count_request("/");
                let version = observe.metrics(now).midge_version;
                answer(StatusCode::OK, HTML, index::page(&self.base, &index::shown(&version)))
            }
            Page::Varz => {
                observe.count_request("/varz");
                document(&observe.varz(now))
            }
            Page::Connz => self.connz(query, now),
            Page::Subsz => {
                observe.count_request("/subsz");
                match SubszOptions::decode(query).and_then(|options| observe.subsz(&options, now)) {
                    Ok(subsz) => document(&subsz),
                    Err(error) => bad_request(error),
                }
            }
            Page::Accountz => {
                observe.count_request("/accountz");
                match observe.accountz(&AccountzOptions::of(query), now) {
                    Ok(accountz) => document(&accountz),
                    Err(error) => bad_request(error),
                }
            }
            Page::Jsz => {
                observe.count_request("/jsz");
                self.jsz(query)
            }
            Page::Healthz => {
                observe.count_request("/healthz");
                self.healthz(query)
            }
            Page::Metrics => answer(StatusCode::OK, metrics::CONTENT_TYPE, metrics::text(&self.metrics)),
        }
    }

    fn connz(&self, query: &Query, now: Now) -> Answer {
        let decoded = ConnzOptions::decode(query);
        // A request counts once its parameters could be decoded, be they sensible or not.
        if !decoded.as_ref().is_err_and(|error| error.starts_with("Error decoding")) {
            self.observe.count_request("/connz");
        }
        match decoded.and_then(|options| self.observe.connz(&options, now)) {
            Ok(connz) => document(&connz),
            Err(error) => bad_request(error),
        }
    }

    fn jsz(&self, query: &Query) -> Answer {
        let (wake, woken) = bell();
        match JszOptions::decode(query).and_then(|options| self.observe.jsz(&options, wake)) {
            Ok(question) => document(&self.awaited(question, &woken)),
            Err(error) => bad_request(error),
        }
    }

    /// The answer to a question, once all its parts have come or have had their time. Documents are made on threads that may wait.
    fn awaited<T>(&self, question: Box<dyn Question<T>>, woken: &Receiver<()>) -> T {
        // Nothing more comes, be it for the lack of time or because nobody is left who could call.
        let _ = woken.recv_timeout(PARTS_WAIT);
        question.answer(self.clock.now())
    }

    fn healthz(&self, query: &Query) -> Answer {
        let options = match HealthzOptions::decode(query) {
            Ok(options) => options,
            Err(error) => return bad_request(error),
        };
        if options.deprecated {
            tracing::warn!(limited = true, "Healthcheck: js-enabled deprecated, use js-enabled-only instead");
        }
        let (wake, woken) = bell();
        let question = self.observe.healthz(&options, wake);
        let health = self.awaited(question, &woken);
        let code = StatusCode::from_u16(health.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if code != StatusCode::OK {
            let why = match health.errors.len() {
                0 => midge_stdx::goquote::quote(health.error.as_bytes()),
                n => format!("{n} errors"),
            };
            tracing::warn!(limited = true, "Healthcheck failed: {why}");
        }
        shared(answer(code, JSON, health.body()))
    }
}

/// Something to be woken with, and where to wait for it.
fn bell() -> (Wake, Receiver<()>) {
    let (sender, receiver) = sync_channel(1);
    let wake = move || {
        // Full: it was called before. Gone: nobody waits any more.
        let _ = sender.try_send(());
    };
    (Box::new(wake), receiver)
}

fn answer(code: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// Lets the pages of other sites read the answer.
fn shared(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer
}

fn document<T: serde::Serialize>(document: &T) -> Answer {
    shared(answer(StatusCode::OK, JSON, json::pretty(document)))
}

fn bad_request(error: String) -> Answer {
    answer(StatusCode::BAD_REQUEST, TEXT, error)
}

fn not_found() -> Answer {
    let mut answer = answer(StatusCode::NOT_FOUND, TEXT, "404 page not found\n");
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

fn internal_error() -> Answer {
    answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "500 internal server error\n")
}

fn redirect(cleaned: &str, uri: &Uri) -> Answer {
    let mut target = path::encode(cleaned);
    let body = format!("<a href=\"{target}\">Temporary Redirect</a>.\n\n");
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut answer = answer(StatusCode::TEMPORARY_REDIRECT, HTML, body);
    if let Ok(target) = HeaderValue::from_str(&target) {
        answer.headers_mut().insert(LOCATION, target);
    }
    answer
}
