//! A NATS server inside a tokio program.
//!
//! ```text
//! cargo run --package midge-server --example embed
//! ```
//!
//! The server listens on a free port, so other programs can connect; the program itself speaks to it over a pipe, which
//! needs no socket. Both ends speak the client protocol; with a client library, hand it the address, or the pipe if it
//! takes streams.

use std::error::Error;
use std::io::Write as _;

use midge_server::Builder;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    for line in run().await? {
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}

/// Exchanges two messages and answers what was received.
pub async fn run() -> Outcome<Vec<String>> {
    // Everything that a configuration file may say can be said here, too; the builder's methods override it.
    let server = Builder::from_config("server_name: embedded, max_payload: 64KB")?
        .host("127.0.0.1")
        .random_port()
        .start()
        .await?;

    // A client inside the process, and one that comes over the network.
    let inside = server.connect().await.ok_or("the server has ended")?;
    let address = server.client_addr().ok_or("the server has no listener")?;
    let outside = TcpStream::connect(address).await?;
    let mut inside = Client::start(inside).await?;
    let mut outside = Client::start(outside).await?;

    outside.subscribe("greetings.network").await?;
    inside.subscribe("greetings.program").await?;
    inside.publish("greetings.network", "ping from the program").await?;
    let first = outside.receive().await?;
    outside.publish("greetings.program", "pong from the network").await?;
    let second = inside.receive().await?;

    // Ends the listener, flushes and closes every connection, and joins the server's threads.
    server.shutdown().await;
    Ok(vec![first, second])
}

/// Just enough of a client to show the server; use a client library in earnest.
struct Client<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Reads the server's INFO and introduces itself.
    async fn start(stream: S) -> Outcome<Self> {
        let mut client = Client { stream: BufReader::new(stream) };
        let info = client.line().await?;
        if !info.starts_with("INFO ") {
            return Err(format!("this is no NATS server: {info}").into());
        }
        client.send("CONNECT {\"verbose\":false,\"lang\":\"rust\",\"name\":\"embed\"}\r\n").await?;
        client.settle().await?;
        Ok(client)
    }

    async fn subscribe(&mut self, subject: &str) -> Outcome<()> {
        self.send(&format!("SUB {subject} 1\r\n")).await?;
        self.settle().await
    }

    async fn publish(&mut self, subject: &str, payload: &str) -> Outcome<()> {
        self.send(&format!("PUB {subject} {}\r\n{payload}\r\n", payload.len())).await
    }

    /// The payload of the next message.
    async fn receive(&mut self) -> Outcome<String> {
        let head = self.line().await?;
        if !head.starts_with("MSG ") {
            return Err(format!("not a message: {head}").into());
        }
        self.line().await
    }

    /// Waits until the server has handled everything sent so far.
    async fn settle(&mut self) -> Outcome<()> {
        self.send("PING\r\n").await?;
        match self.line().await?.as_str() {
            "PONG" => Ok(()),
            other => Err(format!("not an answer to PING: {other}").into()),
        }
    }

    async fn send(&mut self, text: &str) -> Outcome<()> {
        Ok(self.stream.get_mut().write_all(text.as_bytes()).await?)
    }

    async fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err("the server closed the connection".into());
        }
        Ok(line.trim_end().to_owned())
    }
}
