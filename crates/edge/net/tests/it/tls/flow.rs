//! Bytes through TLS.

use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, DEFAULT_VERSIONS, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::certificates::Pki;
use crate::server::{Server, first, line, options, rest, secure};

async fn connect(server: &Server, config: &Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let mut client = secure(config, server.connect().await).await.unwrap();
    line(&mut client).await;
    client.write_all(b"CONNECT {\"verbose\":false}\r\n").await.unwrap();
    client
}

#[tokio::test]
async fn everything_arrives_in_order() {
    let pki = Pki::new();
    let server = Server::start(&first(options(&pki)));
    for versions in [DEFAULT_VERSIONS, &[&version::TLS12]] {
        let config = pki.client(None, versions);
        let mut receiver = connect(&server, &config).await;
        receiver.write_all(b"SUB data 1\r\nPING\r\n").await.unwrap();
        assert_eq!(line(&mut receiver).await, "PONG\r\n");
        let mut sender = connect(&server, &config).await;
        // Small messages by the thousand in few writes, then sizes around those of records and buffers.
        let sizes: Vec<usize> = (0..20_000)
            .map(|n| n % 100)
            .chain([16_383, 16_384, 16_385, 65_535, 65_537, 131_072, 262_144, 1_000_000, 7, 0])
            .collect();
        let body =
            |n: usize, size: usize| -> Vec<u8> { (0..size).map(|i| ((i * 7 + n) % 251) as u8).collect() };
        let sending = {
            let sizes = sizes.clone();
            tokio::spawn(async move {
                let mut out = Vec::new();
                for (n, size) in sizes.iter().enumerate() {
                    out.extend_from_slice(format!("PUB data {size}\r\n").as_bytes());
                    out.extend_from_slice(&body(n, *size));
                    out.extend_from_slice(b"\r\n");
                    if out.len() > 50_000 {
                        sender.write_all(&out).await.unwrap();
                        out.clear();
                    }
                }
                sender.write_all(&out).await.unwrap();
                sender.flush().await.unwrap();
                sender
            })
        };
        let mut receiver = tokio::io::BufReader::with_capacity(1 << 16, receiver);
        for (n, size) in sizes.iter().enumerate() {
            assert_eq!(line(&mut receiver).await, format!("MSG data 1 {size}\r\n"), "message {n}");
            let mut got = vec![0; size + 2];
            receiver.read_exact(&mut got).await.unwrap();
            assert_eq!(got[..*size], body(n, *size), "message {n}");
            assert_eq!(&got[*size..], b"\r\n");
        }
        sending.await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn the_end_is_announced() {
    let pki = Pki::new();
    let server = Server::start(&first(options(&pki)));
    let mut client = connect(&server, &pki.client(None, DEFAULT_VERSIONS)).await;
    client.write_all(b"NONSENSE\r\n").await.unwrap();
    let mut all = Vec::new();
    // A stream that just broke off would be an error here.
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"-ERR 'Unknown Protocol Operation'\r\n");
    server.stop().await;
}

#[tokio::test]
async fn garbage_after_the_handshake_ends_the_connection() {
    let pki = Pki::new();
    let server = Server::start(&first(options(&pki)));
    let client = connect(&server, &pki.client(None, DEFAULT_VERSIONS)).await;
    let addr = client.get_ref().0.local_addr().unwrap();
    let (mut socket, _) = client.into_inner();
    socket.write_all(&[0x17, 3, 3, 0, 32].repeat(40)).await.unwrap();
    rest(&mut socket).await;
    server.closed(addr).await;
    server.stop().await;
}

#[tokio::test]
async fn monitoring_asks_for_no_certificate() {
    let pki = Pki::new();
    let tls = midge_config::schema::Tls { verify: true, ..options(&pki) };
    let tls = midge_net::tls::ServerTls::load(&tls, false).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let config = pki.client(None, DEFAULT_VERSIONS);
    let client = tokio::spawn(async move {
        let mut client = secure(&config, TcpStream::connect(addr).await.unwrap()).await.unwrap();
        client.write_all(b"GET").await.unwrap();
        client.shutdown().await.unwrap();
    });
    let accept = tls.accept_monitoring(listener.accept().await.unwrap().0);
    let mut stream = tokio::time::timeout(Duration::from_secs(10), accept).await.unwrap().unwrap();
    assert_eq!(rest(&mut stream).await, b"GET");
    client.await.unwrap();
}
