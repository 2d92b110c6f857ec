//! What clients that mean ill do, and how much memory the server may take for it.
//!
//! The list is played twice: small beside the other tests, and at full size against a release build by
//! `cargo xtask hostile`. It uses nothing but sockets, so that both can include it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing here takes as long.
const LONG: Duration = Duration::from_secs(120);

const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

/// How much of everything.
#[derive(Clone, Copy)]
pub struct Size {
    pub connections: usize,
    pub subscriptions: usize,
    /// Bytes of floods.
    pub flood: usize,
}

type Played<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

pub struct Scenario {
    pub name: &'static str,
    /// What the server is started with.
    pub config: &'static str,
    /// Bytes that the server's resident memory may grow by.
    pub bound: fn(Size) -> usize,
    pub play: fn(SocketAddr, Size) -> Played<'static>,
}

/// Whatever is attacked, a server takes this for its buffers, pools and fragments.
const SLACK: usize = 24 * MIB;

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "many connections",
        config: "",
        bound: |size| SLACK + size.connections * 12 * KIB,
        play: |addr, size| Box::pin(many_connections(addr, size)),
    },
    Scenario {
        name: "half-open handshakes",
        config: "authorization { user: u, password: p, timeout: 1 }",
        bound: |size| SLACK + size.connections * 12 * KIB,
        play: |addr, size| Box::pin(half_open(addr, size)),
    },
    Scenario {
        name: "slow readers",
        config: "max_pending: 1MB",
        bound: |_| SLACK + SLOW * 2 * MIB,
        play: |addr, size| Box::pin(slow_readers(addr, size)),
    },
    Scenario {
        name: "oversized control lines",
        config: "",
        bound: |_| SLACK,
        play: |addr, size| Box::pin(oversized_lines(addr, size)),
    },
    Scenario {
        name: "subscription bomb",
        config: "",
        bound: |size| SLACK + size.subscriptions * 700,
        play: |addr, size| Box::pin(subscription_bomb(addr, size)),
    },
    Scenario {
        name: "subscription bomb against a maximum",
        config: "max_subscriptions: 1000",
        // An error is owed for each that is refused.
        bound: |size| SLACK + size.subscriptions * 40,
        play: |addr, size| Box::pin(subscription_bomb(addr, size)),
    },
    Scenario {
        name: "deep subjects",
        config: "",
        // Some 300 patterns of 1,900 tokens, each of which may be a node of its own.
        bound: |_| SLACK + DEEP * DEPTH * 300,
        play: |addr, _| Box::pin(deep_subjects(addr)),
    },
    Scenario {
        name: "header bombs",
        config: "",
        bound: |_| SLACK + 8 * MIB,
        play: |addr, size| Box::pin(header_bombs(addr, size)),
    },
    Scenario {
        name: "junk after PING",
        config: "",
        bound: |_| SLACK,
        play: |addr, size| Box::pin(ping_junk(addr, size)),
    },
    Scenario {
        name: "payloads that never complete",
        config: "",
        bound: |size| SLACK + size.connections * 24 * KIB,
        play: |addr, size| Box::pin(incomplete_payloads(addr, size)),
    },
    Scenario {
        name: "a byte at a time",
        config: "",
        bound: |_| SLACK,
        play: |addr, size| Box::pin(byte_by_byte(addr, size)),
    },
    Scenario {
        name: "storm of unanswered requests",
        config: "max_pending: 4MB",
        bound: |_| SLACK + 8 * MIB,
        play: |addr, size| Box::pin(reply_storm(addr, size)),
    },
];

async fn open(addr: SocketAddr) -> TcpStream {
    let connect = async {
        loop {
            if let Ok(stream) = TcpStream::connect(addr).await {
                return stream;
            }
            // The server's queue of connections is full for the moment.
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, connect).await.expect("a connection")
}

/// Sends everything, unless the server closes first.
async fn send(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    tokio::time::timeout(LONG, stream.write_all(bytes)).await.expect("bytes are taken or refused").is_ok()
}

/// Reads until `end` was seen or the server closes; answers whether it was seen.
async fn until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> bool {
    let read = async {
        let mut window = Vec::new();
        loop {
            match stream.read_buf(&mut window).await {
                Ok(0) | Err(_) => return false,
                Ok(_) if window.windows(end.len()).any(|part| part == end.as_bytes()) => return true,
                Ok(_) => drop(window.drain(..window.len().saturating_sub(end.len()))),
            }
        }
    };
    tokio::time::timeout(LONG, read).await.expect("an answer or the end")
}

const GREETING: &str = "CONNECT {\"verbose\":false}\r\nPING\r\n";

async fn connected(addr: SocketAddr) -> TcpStream {
    let mut stream = open(addr).await;
    assert!(send(&mut stream, GREETING.as_bytes()).await && until(&mut stream, "PONG\r\n").await);
    stream
}

/// All stay open at once, each with a subscription.
async fn many_connections(addr: SocketAddr, size: Size) {
    let mut all = Vec::new();
    for n in 0..size.connections {
        let mut stream = open(addr).await;
        send(&mut stream, format!("{GREETING}SUB idle.{n} 1\r\n").as_bytes()).await;
        all.push(stream);
    }
    for stream in &mut all {
        assert!(until(stream, "PONG\r\n").await, "everybody is let in");
    }
}

/// They say nothing, or half of a CONNECT; the server waits for the login only so long.
async fn half_open(addr: SocketAddr, size: Size) {
    let mut all = Vec::new();
    for n in 0..size.connections {
        let mut stream = open(addr).await;
        if n % 2 == 1 {
            send(&mut stream, b"CONNECT {\"verbose\":false,\"us").await;
        }
        all.push(stream);
    }
    for stream in &mut all {
        assert!(!until(stream, "never").await);
    }
}

/// Consumers that never read.
const SLOW: usize = 20;

async fn slow_readers(addr: SocketAddr, size: Size) {
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut stream = connected(addr).await;
        send(&mut stream, b"SUB flood 1\r\nPING\r\n").await;
        assert!(until(&mut stream, "PONG\r\n").await);
        slow.push(stream);
    }
    let mut from = connected(addr).await;
    let payload = "s".repeat(64 * KIB);
    let message = format!("PUB flood {}\r\n{payload}\r\n", payload.len());
    for _ in 0..size.flood / payload.len() {
        assert!(send(&mut from, message.as_bytes()).await, "the publisher is not harmed");
    }
    send(&mut from, b"PING\r\n").await;
    assert!(until(&mut from, "PONG\r\n").await);
}

/// Lines far beyond the maximum, in every verb.
async fn oversized_lines(addr: SocketAddr, size: Size) {
    let verbs = ["SUB ", "PUB ", "HPUB ", "UNSUB ", "CONNECT {\"name\":\"", "INFO {\"x\":\""];
    for verb in verbs.iter().cycle().take(size.connections.min(600)) {
        let mut stream = connected(addr).await;
        let line = format!("{verb}{}", "x".repeat(256 * KIB));
        send(&mut stream, line.as_bytes()).await;
        assert!(!until(&mut stream, "never").await, "{verb} is refused and the connection closed");
    }
}

async fn subscription_bomb(addr: SocketAddr, size: Size) {
    let mut stream = connected(addr).await;
    let (mut read, mut write) = stream.split();
    let bomb = async {
        for first in (0..size.subscriptions).step_by(1000) {
            let lines: String =
                (first..first + 1000).map(|n| format!("SUB bomb.{n}.*.{n} {n}\r\n")).collect();
            write.write_all(lines.as_bytes()).await.expect("subscriptions are taken");
        }
        write
            .write_all(b"PUB x 0\r\n\r\nSUB end 999999999\r\nPUB end 3\r\nfin\r\nPING\r\n")
            .await
            .expect("the end");
    };
    // A client beyond its maximum is told so for each; it reads that, or it would be a slow consumer.
    let answers = async { assert!(until(&mut read, "PONG\r\n").await, "the connection stays") };
    tokio::join!(bomb, answers);
}

/// Patterns, and tokens of each: as many as a control line takes.
const DEEP: usize = 300;
const DEPTH: usize = 1900;

async fn deep_subjects(addr: SocketAddr) {
    let mut stream = connected(addr).await;
    for n in 0..DEEP {
        // Wildcards at changing places, so that the patterns part early and meet again.
        let tokens: Vec<&str> =
            (0..DEPTH).map(|at| if (at * 7 + n * 13) % 5 < 2 { "*" } else { "a" }).collect();
        send(&mut stream, format!("SUB {} {n}\r\n", tokens.join(".")).as_bytes()).await;
    }
    let subject = vec!["a"; DEPTH].join(".");
    for _ in 0..20 {
        send(&mut stream, format!("PUB {subject} 0\r\n\r\n").as_bytes()).await;
    }
    send(&mut stream, b"PING\r\n").await;
    assert!(until(&mut stream, "PONG\r\n").await);
}

/// Headers as large as messages may be, of the shortest lines there are, to a reader that wants none.
async fn header_bombs(addr: SocketAddr, size: Size) {
    let mut reader = connected(addr).await;
    send(&mut reader, b"CONNECT {\"headers\":false}\r\nSUB bomb 1\r\nPING\r\n").await;
    assert!(until(&mut reader, "PONG\r\n").await);
    let mut stream = open(addr).await;
    send(&mut stream, b"CONNECT {\"verbose\":false,\"headers\":true}\r\n").await;
    let header = format!("NATS/1.0\r\n{}\r\n", "a:b\r\n".repeat(200_000));
    let bomb = format!("HPUB bomb {0} {0}\r\n{header}\r\n", header.len());
    for _ in 0..(size.flood / header.len()).min(40) {
        assert!(send(&mut stream, bomb.as_bytes()).await);
    }
    let lie = b"HPUB bomb 99999 10\r\n";
    send(&mut stream, b"PING\r\n").await;
    assert!(until(&mut stream, "PONG\r\n").await);
    send(&mut stream, lie).await;
    assert!(!until(&mut stream, "never").await);
}

/// What follows PING is ignored up to the end of the line, which never comes.
async fn ping_junk(addr: SocketAddr, size: Size) {
    let mut stream = connected(addr).await;
    send(&mut stream, b"PING").await;
    let junk = vec![b'j'; 64 * KIB];
    for _ in 0..size.flood / junk.len() {
        if !send(&mut stream, &junk).await {
            return;
        }
    }
}

/// Each announces a megabyte and sends a little.
async fn incomplete_payloads(addr: SocketAddr, size: Size) {
    let mut all = Vec::new();
    for _ in 0..size.connections {
        let mut stream = open(addr).await;
        let start = format!("{GREETING}PUB never 1048576\r\n{}", "p".repeat(500));
        send(&mut stream, start.as_bytes()).await;
        all.push(stream);
    }
    for stream in &mut all {
        assert!(until(stream, "PONG\r\n").await);
    }
}

async fn byte_by_byte(addr: SocketAddr, size: Size) {
    let mut all = Vec::new();
    for _ in 0..(size.connections / 40).max(10) {
        let stream = connected(addr).await;
        stream.set_nodelay(true).expect("a socket option");
        all.push(stream);
    }
    for byte in b"SUB drip 1\r\nPUB drip 4\r\ndrop\r\nUNSUB 1\r\nPING\r\n" {
        for stream in &mut all {
            assert!(send(stream, &[*byte]).await);
        }
    }
    for stream in &mut all {
        assert!(until(stream, "drop\r\n").await);
    }
}

/// Requests that nobody answers; each is answered by the server, and nobody reads that.
async fn reply_storm(addr: SocketAddr, size: Size) {
    let mut stream = open(addr).await;
    let start = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB r.* 1\r\n";
    send(&mut stream, start.as_bytes()).await;
    let storm = "PUB nobody r.1 0\r\n\r\n".repeat(1000);
    for _ in 0..size.flood / storm.len() {
        if !send(&mut stream, storm.as_bytes()).await {
            return;
        }
    }
}
