//! Requests over real sockets, answered by a node that is not one.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use midge_http::State;
use midge_stdx::clock::{Clock, Mono, Now, Wall};
use midge_views::accountz::{Accountz, AccountzOptions};
use midge_views::connz::{Connz, ConnzOptions};
use midge_views::healthz::{Healthz, HealthzOptions, JetStream, healthz};
use midge_views::jsz::{Jsz, JszOptions, NOT_LEADER};
use midge_views::metrics::{
    AssetFigures, DiskFigures, Durations, JetStreamFigures, MetricsSnapshot, Sizes, StreamFigures,
};
use midge_views::subsz::{Subsz, SubszOptions};
use midge_views::varz::Varz;
use midge_views::{Observe, Question, Wake, connz};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const NOW: Now = Now { mono: Mono(5), wall: Wall(1_700_000_000_000_000_000) };

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Now {
        NOW
    }
}

/// A node without connections; remembers what was counted.
#[derive(Default)]
struct Fake {
    counts: Mutex<BTreeMap<String, u64>>,
}

impl Observe for Fake {
    fn count_request(&self, path: &str) {
        *self.counts.lock().unwrap().entry(path.to_owned()).or_insert(0) += 1;
    }

    fn varz(&self, now: Now) -> Varz {
        let mut varz = Varz { server_id: "<id>".to_owned(), now: now.wall.into(), ..Varz::default() };
        varz.http_req_stats = self.counts.lock().unwrap().clone();
        varz
    }

    fn connz(&self, options: &ConnzOptions, now: Now) -> Result<Connz, String> {
        assert!(options.user != "panic", "asked to");
        Ok(connz::connz("id", Vec::new(), Vec::new(), options, now.wall))
    }

    fn subsz(&self, options: &SubszOptions, _: Now) -> Result<Subsz, String> {
        if options.test.is_empty() {
            Ok(Subsz::default())
        } else {
            Err(format!("bad subject {}", options.test))
        }
    }

    fn accountz(&self, options: &AccountzOptions, now: Now) -> Result<Accountz, String> {
        match &*options.account {
            "" => {
                Ok(Accountz { now: now.wall.into(), accounts: vec!["$G".to_owned()], ..Accountz::default() })
            }
            _ => Err(options.unknown()),
        }
    }

    fn jsz(&self, options: &JszOptions, wake: Wake) -> Result<Box<dyn Question<Jsz>>, String> {
        if options.leader_only {
            return Err(NOT_LEADER.to_owned());
        }
        let arrived = Arc::new(AtomicU64::new(0));
        match &*options.account {
            // Comes late, from another thread.
            "late" => {
                let arrived = arrived.clone();
                tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    arrived.store(7, Ordering::Release);
                    wake();
                });
            }
            // Never comes.
            "silent" => return Ok(Box::new(Parts { arrived, _wake: Some(wake) })),
            // Nothing has to come.
            _ => wake(),
        }
        Ok(Box::new(Parts { arrived, _wake: None }))
    }

    fn healthz(&self, options: &HealthzOptions, wake: Wake) -> Box<dyn Question<Healthz>> {
        wake();
        let not_ready: &[&str] = if options.account == "sick" { &["server"] } else { &[] };
        Box::new(Judged(healthz(options, not_ready, JetStream::None)))
    }

    fn metrics(&self, _: Now) -> MetricsSnapshot {
        MetricsSnapshot {
            server_id: "N\"1".to_owned(),
            server_name: "name".to_owned(),
            midge_version: "1.2.3".to_owned(),
            uptime: Duration::from_millis(1500),
            connections: 3,
            total_connections: 7,
            in_msgs: 11,
            cpu_seconds: 0.25,
            jetstream: Some(JetStreamFigures {
                total: AssetFigures {
                    streams: 3,
                    consumers: 2,
                    messages: 5,
                    api_total: 9,
                    ..AssetFigures::default()
                },
                accounts: 1,
                by_account: vec![("A".to_owned(), AssetFigures { api_errors: 4, ..AssetFigures::default() })],
                by_stream: vec![StreamFigures {
                    account: "A".to_owned(),
                    stream: "S".to_owned(),
                    messages: 5,
                    ..StreamFigures::default()
                }],
                disk: Some(DiskFigures {
                    written_bytes: 77,
                    commit_syncs: Durations { buckets: vec![(0.5, 2), (1.0, 1)], longer: 1, sum_s: 2.5 },
                    batch_sizes: Sizes { buckets: vec![(1, 4), (2, 3)], larger: 2, sum: 19 },
                    ..DiskFigures::default()
                }),
                ..JetStreamFigures::default()
            }),
            closed: vec![("Client Closed".to_owned(), 4), ("Kicked".to_owned(), 1)],
            ..MetricsSnapshot::default()
        }
    }
}

/// A document with one part.
struct Parts {
    arrived: Arc<AtomicU64>,
    _wake: Option<Wake>,
}

impl Question<Jsz> for Parts {
    fn answer(self: Box<Self>, now: Now) -> Jsz {
        let streams = self.arrived.load(Ordering::Acquire);
        Jsz {
            server_id: "id".to_owned(),
            now: now.wall.into(),
            streams,
            partial: self._wake.is_some(),
            ..Jsz::default()
        }
    }
}

struct Judged(Healthz);

impl Question<Healthz> for Judged {
    fn answer(self: Box<Self>, _: Now) -> Healthz {
        self.0
    }
}

struct Server {
    fake: Arc<Fake>,
    addr: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(base: &str) -> Server {
        let fake = Arc::new(Fake::default());
        let state = State::new(fake.clone(), Arc::new(Stopped), base);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(midge_http::serve(listener, state, stopped));
        Server { fake, addr, stop, task }
    }

    /// Sends bytes and reads to the end.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        // The server may stop reading before it has everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn request(&self, method: &str, target: &str) -> Answer {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let text = self.raw(request.as_bytes()).await;
        let (head, body) = text.split_once("\r\n\r\n").expect(&text);
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Answer { status, headers, body: body.to_owned() }
    }

    async fn get(&self, target: &str) -> Answer {
        self.request("GET", target).await
    }

    fn counts(&self) -> Vec<(String, u64)> {
        self.fake.counts.lock().unwrap().clone().into_iter().collect()
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn is_json(&self) -> bool {
        self.header("Content-Type") == "application/json" && self.header("Access-Control-Allow-Origin") == "*"
    }

    /// Plain text without permission for other sites.
    fn is_text(&self) -> bool {
        self.header("Content-Type") == "text/plain; charset=utf-8"
            && !self.headers.contains_key("Access-Control-Allow-Origin")
    }
}

#[tokio::test]
async fn documents_are_indented_json() {
    let server = Server::start("/").await;
    let varz = server.get("/varz").await;
    assert!(varz.status == 200 && varz.is_json(), "{varz:?}");
    assert!(varz.body.starts_with("{\n  \"server_id\": \"\\u003cid\\u003e\",\n"), "{}", varz.body);
    assert!(varz.body.ends_with("\n}"), "no newline at the end");
    assert_eq!(varz.header("Content-Length"), varz.body.len().to_string());
    assert!(!varz.header("Date").is_empty());
    let connz = server.get("/connz?limit=5&callback=cb&auth=1").await;
    assert!(connz.is_json() && connz.body.contains("\"limit\": 5,"), "{connz:?}");
    for path in ["/subsz", "/subscriptionsz?subs=1"] {
        assert!(server.get(path).await.body.contains("\"num_subscriptions\": 0"));
    }
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let server = Server::start("/").await;
    for (target, body) in [
        ("/connz?sort=x", "invalid sorting option: x"),
        (
            "/connz?subs=zz",
            "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"zz\": invalid syntax",
        ),
        ("/connz?limit=zz", "Error decoding int for 'limit': strconv.Atoi: parsing \"zz\": invalid syntax"),
        (
            "/subsz?subs=x",
            "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
        ("/subsz?test=*", "bad subject *"),
        ("/accountz?acc=X", "Account X does not exist"),
        ("/jsz?leader-only=1", "filtered response: not leader"),
        (
            "/jsz?raft=x",
            "Error decoding boolean for 'raft': strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
        (
            "/healthz?js-enabled=x",
            "Error decoding boolean for 'js-enabled': strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
    ] {
        let answer = server.get(target).await;
        assert!(answer.status == 400 && answer.is_text(), "{answer:?}");
        assert_eq!(answer.body, body);
    }
}

#[tokio::test]
async fn a_document_waits_for_its_parts_but_not_for_ever() {
    let server = Server::start("/").await;
    let at_once = server.get("/jsz").await;
    assert!(at_once.status == 200 && at_once.is_json(), "{at_once:?}");
    assert!(at_once.body.contains("\n  \"server_id\": \"id\",\n"), "{}", at_once.body);
    let late = server.get("/jsz?acc=late").await;
    assert!(late.body.contains("\"streams\": 7,") && !late.body.contains("partial"), "{}", late.body);
    let began = std::time::Instant::now();
    let silent = server.get("/jsz?acc=silent").await;
    assert!(began.elapsed() >= midge_http::limits::PARTS_WAIT);
    assert!(silent.status == 200 && silent.body.ends_with("  \"partial\": true\n}"), "{}", silent.body);
    assert_eq!(server.get("/accountz").await.body.lines().nth(4), Some("    \"$G\""));
}

#[tokio::test]
async fn health_has_its_own_codes() {
    let server = Server::start("/").await;
    let well = server.get("/healthz").await;
    assert!(well.status == 200 && well.is_json());
    assert_eq!(well.body, r#"{"status":"ok"}"#);
    let wrong = server.get("/healthz?stream=x").await;
    assert!(wrong.status == 400 && wrong.is_json());
    let expected =
        r#"{"status":"error","error":"\"account\" must not be empty when checking stream health"}"#;
    assert_eq!(wrong.body, expected);
    let sick = server.get("/healthz?account=sick").await;
    assert!(sick.status == 500 && sick.is_json(), "{sick:?}");
}

#[tokio::test]
async fn requests_are_counted_as_they_always_were() {
    let server = Server::start("/base").await;
    for target in [
        "/base",
        "/base/varz",
        "/base/connz",
        "/base/connz?sort=x",
        "/base/connz?limit=x",
        "/base/subsz?subs=x",
        "/base/subscriptionsz",
        "/base/healthz?js-enabled=x",
        "/base/jsz",
        "/base/jsz?limit=x",
        "/base/accountz?acc=x",
        "/base/metrics",
        "/base/nothing",
    ] {
        server.get(target).await;
    }
    let counts = server.counts();
    let counts: Vec<(&str, u64)> = counts.iter().map(|(path, n)| (path.as_str(), *n)).collect();
    assert_eq!(
        counts,
        [
            ("/", 1),
            ("/accountz", 1),
            ("/connz", 2),
            ("/healthz", 1),
            ("/jsz", 2),
            ("/subsz", 2),
            ("/varz", 1)
        ]
    );
}

#[tokio::test]
async fn paths_are_exact_and_stand_under_the_base_path() {
    let server = Server::start("/base").await;
    assert_eq!(server.get("/base/varz").await.status, 200);
    assert_eq!(server.get("/base/%76arz").await.status, 200);
    for target in ["/", "/varz", "/base/", "/base/varz/", "/basevarz", "/base/nope", "/base/routez"] {
        let answer = server.get(target).await;
        assert!(answer.status == 404 && answer.is_text(), "{target}: {answer:?}");
        assert_eq!(answer.body, "404 page not found\n");
        assert_eq!(answer.header("X-Content-Type-Options"), "nosniff");
    }
    for target in ["/base//varz?a=b", "/base/./varz?a=b", "//base/varz?a=b"] {
        let answer = server.get(target).await;
        assert_eq!((answer.status, answer.header("Location")), (307, "/base/varz?a=b"), "{target}");
    }
    let page = server.get("/base").await;
    assert_eq!((page.status, page.header("Content-Type")), (200, "text/html; charset=utf-8"));
    for name in ["varz", "jsz", "connz", "accountz", "subsz", "healthz", "metrics"] {
        assert!(page.body.contains(&format!("href=\"/base/{name}\"")), "{}", page.body);
    }
    let root = Server::start("/").await;
    assert!(root.get("/").await.body.contains("href=\"/varz\""));
}

#[tokio::test]
async fn methods_do_not_matter() {
    let server = Server::start("/").await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "ANYTHING"] {
        let answer = server.request(method, "/healthz").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#), "{method}");
    }
    let head = server.request("HEAD", "/healthz").await;
    assert_eq!((head.status, head.body.as_str(), head.header("Content-Length")), (200, "", "15"));
    let posted = server
        .raw(b"POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
        .await;
    assert!(posted.starts_with("HTTP/1.1 200 OK\r\n") && posted.ends_with(r#"{"status":"ok"}"#));
    let old = server.raw(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 OK\r\n") && old.ends_with(r#"{"status":"ok"}"#), "{old}");
}

#[tokio::test]
async fn metrics_have_own_names_and_those_of_the_exporter() {
    let server = Server::start("/").await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.header("Content-Type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    for line in [
        "# TYPE midge_connections gauge",
        "midge_connections 3",
        "# TYPE midge_connections_accepted counter",
        "midge_connections_accepted_total 7",
        "midge_messages_received_total 11",
        "# UNIT midge_uptime_seconds seconds",
        "midge_uptime_seconds 1.5",
        "midge_cpu_seconds_total 0.25",
        "midge_build{version=\"1.2.3\",server_id=\"N\\\"1\",server_name=\"name\"} 1",
        "midge_connections_closed_total{reason=\"Client Closed\"} 4",
        "midge_connections_closed_total{reason=\"Kicked\"} 1",
        "# TYPE gnatsd_varz_in_msgs gauge",
        "gnatsd_varz_in_msgs{server_id=\"N\\\"1\"} 11",
        "midge_jetstream_streams 3",
        "midge_jetstream_streams_not_listed 2",
        "midge_jetstream_accounts_not_listed 0",
        "midge_jetstream_api_requests_total 9",
        "midge_jetstream_account_api_errors_total{account=\"A\"} 4",
        "midge_jetstream_stream_messages{account=\"A\",stream=\"S\"} 5",
        "jetstream_server_total_streams{server_id=\"N\\\"1\",server_name=\"name\"} 3",
        "jetstream_stream_total_messages{server_id=\"N\\\"1\",server_name=\"name\",account=\"A\",stream_name=\"S\"} 5",
        "midge_disk_written_bytes_total 77",
        "# TYPE midge_disk_commit_sync_seconds histogram",
        "midge_disk_commit_sync_seconds_bucket{le=\"0.5\"} 2",
        "midge_disk_commit_sync_seconds_bucket{le=\"1.0\"} 3",
        "midge_disk_commit_sync_seconds_bucket{le=\"+Inf\"} 4",
        "midge_disk_commit_sync_seconds_sum 2.5",
        "midge_disk_commit_sync_seconds_count 4",
        "# TYPE midge_disk_batch_size histogram",
        "midge_disk_batch_size_bucket{le=\"1.0\"} 4",
        "midge_disk_batch_size_bucket{le=\"2.0\"} 7",
        "midge_disk_batch_size_bucket{le=\"+Inf\"} 9",
        "midge_disk_batch_size_sum 19.0",
        "midge_disk_batch_size_count 9",
        "gnatsd_connz_total{server_id=\"N\\\"1\"} 3",
    ] {
        assert!(answer.body.lines().any(|l| l == line), "{line}\n{}", answer.body);
    }
    assert!(answer.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let server = Server::start("/").await;
    assert_eq!(server.get("/connz?user=panic").await.status, 500);
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn hostile_requests_are_refused() {
    let server = Server::start("/").await;
    assert!(server.raw(b"GARBAGE\r\n\r\n").await.starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(server.raw(b"GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.contains(" 400 "));
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(1 << 21));
    let answer = server.raw(long.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: a\r\n".repeat(300));
    let answer = server.raw(many.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start("/").await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with(r#"{"status":"ok"}"#) {
            let mut buffer = [0; 1024];
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0);
            answer.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_maximum_are_closed() {
    let server = Server::start("/").await;
    let mut open = Vec::new();
    for _ in 0..midge_http::limits::CONNECTIONS {
        open.push(TcpStream::connect(server.addr).await.unwrap());
    }
    // Accepted in order, so the last of them has its place when the next one is refused.
    let mut refused = TcpStream::connect(server.addr).await.unwrap();
    assert!(!matches!(refused.read(&mut [0; 1]).await, Ok(1..)));
    drop(open);
    // Places are free again as soon as the server has seen it.
    loop {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let asked = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await;
        let mut answer = Vec::new();
        if asked.is_ok() && matches!(stream.read_to_end(&mut answer).await, Ok(1..)) {
            break;
        }
    }
}

#[tokio::test]
async fn stopping_ends_the_listener_and_what_is_open() {
    let server = Server::start("/").await;
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    assert_eq!(server.get("/healthz").await.status, 200);
    server.stop.send_replace(true);
    server.task.await.unwrap();
    assert!(!matches!(idle.read(&mut [0; 1]).await, Ok(1..)));
    assert!(TcpStream::connect(server.addr).await.is_err());
}
