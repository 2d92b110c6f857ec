//! A server and clients that speak the protocol by hand.

use std::net::SocketAddr;
use std::time::Duration;

use midge_server::{Builder, Server};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(20);

/// A server with this configuration on a free port.
pub async fn server(config: &str) -> Server {
    builder(config).start().await.expect("a server")
}

/// The same, not yet started.
pub fn builder(config: &str) -> Builder {
    // Tests run beside each other, so a server takes few threads.
    Builder::from_config(config).expect("a configuration").host("127.0.0.1").random_port().shards(2)
}

pub fn address(server: &Server) -> SocketAddr {
    server.client_addr().expect("a listener")
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, and what came over it and was not looked at yet.
pub struct Client {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    /// The INFO line, without its verb.
    pub info: String,
}

/// What CONNECT says, besides that answers are not wanted.
pub const PLAIN: &str = r#"{"verbose":false}"#;

impl Client {
    /// Connects and reads INFO.
    pub async fn open(server: &Server) -> Client {
        let stream = TcpStream::connect(address(server)).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        Client::over(stream).await
    }

    /// A connection inside the process.
    pub async fn inside(server: &Server) -> Client {
        Client::over(server.connect().await.expect("a pipe")).await
    }

    /// Reads INFO from a stream.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Client {
        let mut client = Client { stream: Box::new(stream), input: Vec::new(), info: String::new() };
        let line = client.line().await;
        line.strip_prefix("INFO ").expect("INFO first").clone_into(&mut client.info);
        client
    }

    /// Connects, and waits until the server has taken CONNECT.
    pub async fn connected(server: &Server) -> Client {
        let mut client = Client::open(server).await;
        client.login(PLAIN).await;
        client
    }

    /// Sends CONNECT and waits until it was taken.
    pub async fn login(&mut self, connect: &str) {
        self.send(&format!("CONNECT {connect}\r\n")).await;
        self.sync().await;
    }

    /// The number that the server gave it.
    pub fn cid(&self) -> u64 {
        self.number("client_id")
    }

    /// A number of INFO.
    pub fn number(&self, field: &str) -> u64 {
        let (_, rest) = self.info.split_once(&format!("\"{field}\":")).expect("the field");
        rest.split([',', '}']).next().and_then(|n| n.parse().ok()).expect("a number")
    }

    pub async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("the connection takes bytes");
    }

    /// Sends where the server may have closed the connection already.
    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        tokio::time::timeout(LONG, self.stream.write_all(bytes)).await.expect("in time")
    }

    /// Whether more bytes came; a reset counts as the end.
    async fn fill(&mut self) -> bool {
        let read = tokio::time::timeout(LONG, self.stream.read_buf(&mut self.input)).await;
        match read.unwrap_or_else(|_| panic!("nothing came after {:?}", self.shown())) {
            Ok(n) => n > 0,
            Err(_) => false,
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.input).into_owned()
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.input.windows(2).position(|two| two == b"\r\n") {
                let line = self.input.drain(..at + 2).take(at).collect();
                return String::from_utf8(line).expect("text");
            }
            assert!(self.fill().await, "closed after {:?}", self.shown());
        }
    }

    /// Exactly these bytes come next.
    pub async fn expect(&mut self, text: &str) {
        let got = self.take(text.len()).await;
        assert_eq!(String::from_utf8_lossy(&got), text);
    }

    /// The next bytes; fewer when the connection ends.
    pub async fn take(&mut self, len: usize) -> Vec<u8> {
        while self.input.len() < len && self.fill().await {}
        self.input.drain(..len.min(self.input.len())).collect()
    }

    /// PING and its answer; nothing else may come before it.
    pub async fn sync(&mut self) {
        self.send("PING\r\n").await;
        self.expect("PONG\r\n").await;
    }

    /// PING; exactly `before` and then its answer come.
    pub async fn sync_after(&mut self, before: &str) {
        self.send("PING\r\n").await;
        self.expect(&format!("{before}PONG\r\n")).await;
    }

    /// PING, and everything that comes before its answer.
    pub async fn until_pong(&mut self) -> String {
        self.send("PING\r\n").await;
        self.until("PONG\r\n").await
    }

    /// Everything that comes before `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.input.windows(end.len()).position(|part| part == end.as_bytes()) {
                let text = self.input.drain(..at + end.len()).take(at).collect();
                return String::from_utf8(text).expect("text");
            }
            assert!(self.fill().await, "closed after {:?}", self.shown());
        }
    }

    /// Everything that comes before the server closes the connection.
    pub async fn rest(&mut self) -> String {
        while self.fill().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.input)).into_owned()
    }

    /// Subscribes and waits until that holds.
    pub async fn subscribe(&mut self, subject: &str, sid: &str) {
        self.send(&format!("SUB {subject} {sid}\r\n")).await;
        self.sync().await;
    }

    pub async fn publish(&mut self, subject: &str, payload: &str) {
        self.send(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len())).await;
    }
}

/// Waits until `holds`, which nothing tells of, looking every few milliseconds.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let look = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        while !holds() {
            ticks.tick().await;
        }
    };
    assert!(tokio::time::timeout(LONG, look).await.is_ok(), "not in time: {what}");
}

/// How the connections that ended did so, oldest first.
pub fn reasons(server: &Server) -> Vec<(u64, &'static str)> {
    let closed = server.node().broker.closed_connections();
    closed.iter().map(|conn| (conn.peer.cid, conn.reason.text())).collect()
}

/// Waits until a connection has ended and answers why.
pub async fn reason_of(server: &Server, cid: u64) -> &'static str {
    let found = || reasons(server).into_iter().find(|(closed, _)| *closed == cid);
    eventually("the connection ends", || found().is_some()).await;
    found().map_or("", |(_, reason)| reason)
}
