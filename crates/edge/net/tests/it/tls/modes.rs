//! When the handshake comes, and what happens when it does not.

use std::time::{Duration, Instant};

use midge_broker::reason::Reason;
use midge_config::schema::tls::Tls;
use rustls::DEFAULT_VERSIONS;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::Level;

use crate::certificates::Pki;
use crate::events;
use crate::server::{Extra, Server, auto, first, line, options, ping, rest, secure, until};

const SOON: Duration = Duration::from_millis(200);
/// A time-out that no test reaches.
const LATE: Duration = Duration::from_secs(60);

fn patient(pki: &Pki) -> Tls {
    Tls { timeout: LATE, ..options(pki) }
}

fn impatient(pki: &Pki) -> Tls {
    Tls { timeout: SOON, ..options(pki) }
}

#[tokio::test]
async fn info_comes_in_clear_text_and_then_the_handshake() {
    let pki = Pki::new();
    let server = Server::start(&patient(&pki));
    let mut client = server.connect().await;
    let addr = client.local_addr().unwrap();
    let info = line(&mut client).await;
    assert!(info.starts_with("INFO {") && info.contains("\"tls_required\":true"), "{info}");
    let mut client = secure(&pki.client(None, DEFAULT_VERSIONS), client).await.unwrap();
    assert_eq!(ping(&mut client).await, "PONG\r\n");
    let peer = server.broker.peers().pop().unwrap();
    let facts = peer.with_details(|details| details.tls.clone()).unwrap();
    assert_eq!((facts.version, facts.cipher.as_str()), ("1.3", "TLS_AES_128_GCM_SHA256"));
    assert!(!facts.first && facts.peer_certificates.is_empty());
    let (level, text) = events::find(&addr.to_string(), "TLS version").unwrap();
    assert_eq!(level, Level::DEBUG);
    assert!(text.ends_with(" - TLS version 1.3, cipher suite TLS_AES_128_GCM_SHA256"), "{text}");
    drop(client);
    assert_eq!(server.closed(addr).await.reason, Reason::ClientClosed);
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_handshake_gets_no_answer() {
    let pki = Pki::new();
    let server = Server::start(&impatient(&pki));
    // Text, silence, the start of a record and no more, the end of the stream.
    for (bytes, ends, level, words) in [
        (&b"CONNECT {}\r\n"[..], false, Level::DEBUG, "tls: first record does not look like a TLS handshake"),
        (b"", false, Level::DEBUG, "i/o timeout"),
        (b"\x16\x03\x01", false, Level::DEBUG, "i/o timeout"),
        (b"\x16\x03\x01", true, Level::ERROR, "EOF"),
        (b"", true, Level::ERROR, "EOF"),
    ] {
        let mut client = server.connect().await;
        let addr = client.local_addr().unwrap();
        line(&mut client).await;
        client.write_all(bytes).await.unwrap();
        if ends {
            client.shutdown().await.unwrap();
        }
        // An end, not a reset.
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"", "{words}");
        let closed = server.closed(addr).await;
        assert_eq!(
            (closed.reason, closed.peer.with_details(|d| d.tls.is_some())),
            (Reason::TlsHandshakeFailure, false)
        );
        let (seen, text) = events::find(&addr.to_string(), "TLS handshake error: ").unwrap();
        assert_eq!(seen, level, "{text}");
        assert!(text.ends_with(words), "{text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn tls_first_sends_nothing_before_the_handshake() {
    let pki = Pki::new();
    let server = Server::start(&first(patient(&pki)));
    let client = server.connect().await;
    let mut client = secure(&pki.client(None, DEFAULT_VERSIONS), client).await.unwrap();
    assert!(line(&mut client).await.contains("\"tls_required\":true"));
    assert_eq!(ping(&mut client).await, "PONG\r\n");
    let peer = server.broker.peers().pop().unwrap();
    assert!(peer.with_details(|details| details.tls.clone()).unwrap().first);
    let mut plain = server.connect().await;
    plain.write_all(b"PING\r\n").await.unwrap();
    assert_eq!(rest(&mut plain).await, b"");
    server.stop().await;
}

#[tokio::test]
async fn tls_first_times_out() {
    let pki = Pki::new();
    let server = Server::start(&first(impatient(&pki)));
    let mut client = server.connect().await;
    let addr = client.local_addr().unwrap();
    assert_eq!(rest(&mut client).await, b"");
    assert_eq!(server.closed(addr).await.reason, Reason::TlsHandshakeFailure);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_waits_for_info_gets_it_where_tls_may_come_first() {
    let pki = Pki::new();
    let wait = Duration::from_millis(100);
    let server = Server::start(&auto(patient(&pki), wait));
    let config = pki.client(None, DEFAULT_VERSIONS);
    let begin = Instant::now();
    let mut waiting = server.connect().await;
    assert!(line(&mut waiting).await.starts_with("INFO {"));
    assert!(begin.elapsed() >= wait);
    let mut waiting = secure(&config, waiting).await.unwrap();
    assert_eq!(ping(&mut waiting).await, "PONG\r\n");
    let mut early = secure(&config, server.connect().await).await.unwrap();
    assert!(line(&mut early).await.starts_with("INFO {"));
    assert_eq!(ping(&mut early).await, "PONG\r\n");
    let peers = server.broker.peers();
    let order: Vec<bool> = peers.iter().map(|p| p.with_details(|d| d.tls.clone()).unwrap().first).collect();
    assert_eq!(order, [false, true]);
    // Any first byte means a handshake.
    let mut plain = server.connect().await;
    plain.write_all(b"PING\r\n").await.unwrap();
    assert_eq!(rest(&mut plain).await, b"");
    server.stop().await;
}

#[tokio::test]
async fn where_clear_text_is_allowed_the_first_byte_decides() {
    let pki = Pki::new();
    let server = Server::with(&patient(&pki), Extra { allow_non_tls: true, ..Extra::default() });
    let mut plain = server.connect().await;
    let info = line(&mut plain).await;
    assert!(info.contains("\"tls_available\":true") && !info.contains("tls_required"), "{info}");
    assert_eq!(ping(&mut plain).await, "PONG\r\n");
    let mut client = server.connect().await;
    line(&mut client).await;
    let mut client = secure(&pki.client(None, DEFAULT_VERSIONS), client).await.unwrap();
    assert_eq!(ping(&mut client).await, "PONG\r\n");
    // Output for a plain connection is written by whoever publishes.
    let own_info = line(&mut plain).await;
    assert!(own_info.starts_with("INFO"));
    plain.write_all(b"SUB foo 1\r\nPING\r\n").await.unwrap();
    assert_eq!(line(&mut plain).await, "PONG\r\n");
    client.write_all(b"PUB foo 5\r\nhello\r\n").await.unwrap();
    assert_eq!(line(&mut plain).await, "MSG foo 1 5\r\n");
    assert_eq!(line(&mut plain).await, "hello\r\n");
    server.stop().await;
}

#[tokio::test]
async fn where_clear_text_is_allowed_silence_means_clear_text() {
    let pki = Pki::new();
    let server = Server::with(&impatient(&pki), Extra { allow_non_tls: true, ..Extra::default() });
    let mut plain = server.connect().await;
    let addr = plain.local_addr().unwrap();
    line(&mut plain).await;
    // The server has long stopped waiting for a handshake when the client speaks.
    let begin = Instant::now();
    until(|| begin.elapsed() > 2 * SOON).await;
    assert_eq!(ping(&mut plain).await, "PONG\r\n");
    assert!(line(&mut plain).await.starts_with("INFO"));
    drop(plain);
    assert_eq!(server.closed(addr).await.reason, Reason::ClientClosed);
    server.stop().await;
}

#[tokio::test]
async fn where_tls_may_come_first_or_not_at_all() {
    let pki = Pki::new();
    let extra = Extra { allow_non_tls: true, ..Extra::default() };
    let server = Server::with(&auto(patient(&pki), Duration::from_millis(50)), extra);
    let mut early = secure(&pki.client(None, DEFAULT_VERSIONS), server.connect().await).await.unwrap();
    let info = line(&mut early).await;
    assert!(info.contains("\"tls_required\":true") && info.contains("\"tls_available\":true"), "{info}");
    let mut plain = server.connect().await;
    assert!(!line(&mut plain).await.contains("tls_required"));
    assert_eq!(ping(&mut plain).await, "PONG\r\n");
    server.stop().await;
}

#[tokio::test]
async fn inside_the_process_tls_is_optional() {
    let pki = Pki::new();
    let config = pki.client(None, DEFAULT_VERSIONS);
    for tls in [patient(&pki), first(patient(&pki))] {
        let server = Server::start(&tls);
        let pipe =
            || midge_net::accept::in_process_tls(server.broker.clone(), &server.shards, server.tls.clone());
        let mut plain = pipe().await.unwrap();
        let info = line(&mut plain).await;
        assert!(info.contains("\"tls_available\":true") && !info.contains("tls_required"), "{info}");
        assert_eq!(ping(&mut plain).await, "PONG\r\n");
        let mut client = pipe().await.unwrap();
        line(&mut client).await;
        let mut client = secure(&config, client).await.unwrap();
        assert_eq!(ping(&mut client).await, "PONG\r\n");
        drop((plain, client));
        server.stop().await;
    }
}

#[tokio::test]
async fn handshakes_beyond_the_rate_are_refused_in_clear_text() {
    let pki = Pki::new();
    let server = Server::start(&Tls { connection_rate_limit: 2, ..patient(&pki) });
    let config = pki.client(None, DEFAULT_VERSIONS);
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = server.connect().await;
        line(&mut client).await;
        kept.push(secure(&config, client).await.unwrap());
    }
    let mut client = server.connect().await;
    let addr = client.local_addr().unwrap();
    assert!(line(&mut client).await.starts_with("INFO"));
    let refusal = "-ERR 'Connection throttling is active. Please try again later.'\r\n";
    assert_eq!(String::from_utf8(rest(&mut client).await).unwrap(), refusal);
    assert_eq!(server.closed(addr).await.reason, Reason::MaxConnectionsExceeded);
    until(|| events::find("Rejected 1 connections due to TLS rate limiting", "").is_some()).await;
    // The next window admits again.
    let mut client = loop {
        let mut client = server.connect().await;
        line(&mut client).await;
        if let Ok(client) = secure(&config, client).await {
            break client;
        }
    };
    assert_eq!(ping(&mut client).await, "PONG\r\n");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_too_many_is_refused_before_its_handshake() {
    let pki = Pki::new();
    for tls in [patient(&pki), first(patient(&pki))] {
        let server = Server::with(&tls, Extra { max_connections: Some(0), ..Extra::default() });
        let mut client = server.connect().await;
        let addr = client.local_addr().unwrap();
        let all = String::from_utf8(rest(&mut client).await).unwrap();
        assert!(all.ends_with("-ERR 'maximum connections exceeded'\r\n"), "{all}");
        assert_eq!(server.closed(addr).await.reason, Reason::MaxConnectionsExceeded);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_connection_can_be_closed_while_it_waits_for_a_handshake() {
    let pki = Pki::new();
    let extra = || Extra { allow_non_tls: true, ..Extra::default() };
    for server in [
        Server::start(&patient(&pki)),
        Server::start(&first(patient(&pki))),
        Server::with(&patient(&pki), extra()),
        Server::start(&auto(patient(&pki), LATE)),
    ] {
        let mut client = server.connect().await;
        let addr = client.local_addr().unwrap();
        until(|| server.broker.connections() == 1).await;
        server.broker.kick(server.broker.peers()[0].cid);
        rest(&mut client).await;
        assert_eq!(server.closed(addr).await.reason, Reason::Kicked);
        server.stop().await;
    }
}
