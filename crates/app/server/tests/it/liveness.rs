//! PING, PONG, and connections that went silent.

use std::time::{Duration, Instant};

use crate::support::{Client, PLAIN, builder, reason_of};

/// A server that pings every 200 ms; files allow no less than a second of patience for most of it.
async fn pinging(config: &str) -> midge_server::Server {
    let builder = builder(config).with(|options| options.limits.ping_interval = Duration::from_millis(200));
    builder.start().await.expect("a server")
}

#[tokio::test]
async fn a_silent_client_becomes_stale() {
    let server = pinging("ping_max: 2").await;
    // A pipe is a stream that its task alone writes, as a TLS connection is.
    let mut inside = Client::inside(&server).await;
    inside.login(PLAIN).await;
    for mut client in [Client::connected(&server).await, inside] {
        assert_eq!(client.rest().await, "PING\r\nPING\r\n-ERR 'Stale Connection'\r\n");
        assert_eq!(reason_of(&server, client.cid()).await, "Stale Connection");
    }
    assert_eq!(server.node().broker.counters.sum(midge_broker::broker::counter::STALE), 2);
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_that_answers_stays() {
    let server = pinging("ping_max: 1").await;
    let mut client = Client::connected(&server).await;
    for _ in 0..6 {
        client.expect("PING\r\n").await;
        client.send("PONG\r\n").await;
    }
    client.sync().await;
    let peer = server.node().broker.peer(client.cid()).expect("open");
    assert!(peer.rtt_ns.load(std::sync::atomic::Ordering::Relaxed) > 0);
    server.shutdown().await;
}

/// Messages and subscriptions show that a client lives, PONGs nobody asked for do not.
#[tokio::test]
async fn activity_stands_for_a_pong() {
    let server = pinging("ping_max: 2").await;
    let mut client = Client::connected(&server).await;
    client.expect("PING\r\n").await;
    client.send("PONG\r\n").await;
    let start = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while start.elapsed() < Duration::from_millis(900) {
        ticks.tick().await;
        client.send("PUB x 0\r\n\r\n").await;
    }
    client.sync().await;
    // Silence again: the pings start again.
    client.expect("PING\r\n").await;
    server.shutdown().await;
}

#[tokio::test]
async fn unprompted_pongs_change_nothing() {
    let server = pinging("ping_max: 1").await;
    let mut client = Client::connected(&server).await;
    client.send("PONG\r\nPONG\r\n").await;
    assert_eq!(client.rest().await, "PING\r\n-ERR 'Stale Connection'\r\n");
    server.shutdown().await;
}

/// The first PING waits for two seconds (and a fifth at most), however long the interval; not for the interval.
#[tokio::test]
async fn the_first_ping_comes_after_two_seconds() {
    let server = builder("ping_interval: 60s").start().await.expect("a server");
    let start = Instant::now();
    let mut client = Client::connected(&server).await;
    client.expect("PING\r\n").await;
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(1_990), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    server.shutdown().await;
}
