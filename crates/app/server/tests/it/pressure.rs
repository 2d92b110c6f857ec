//! Consumers that do not keep up.

use std::time::{Duration, Instant};

use midge_server::Server;
use midge_server::config::schema::WriteTimeout;

use crate::support::{Client, builder, eventually, reason_of, server};

/// More than sockets on loopback buffer.
const FLOOD: usize = 24 << 20;

/// Publishes about `bytes` to a subject.
async fn flood(client: &mut Client, subject: &str, bytes: usize) {
    let payload = "f".repeat(64 << 10);
    for _ in 0..bytes / payload.len() {
        client.publish(subject, &payload).await;
    }
    client.sync().await;
}

fn slow_consumers(server: &Server) -> u64 {
    server.node().broker.counters.sum(midge_broker::broker::counter::SLOW_CONSUMERS)
}

#[tokio::test]
async fn a_consumer_beyond_max_pending_is_closed_and_nobody_else_harmed() {
    let server = server("max_pending: 2MB").await;
    let (mut from, mut slow, mut quick) = (
        Client::connected(&server).await,
        Client::connected(&server).await,
        Client::connected(&server).await,
    );
    slow.subscribe("flood", "1").await;
    quick.subscribe("flood", "1").await;
    let read = async {
        let mut got = 0;
        let one = "MSG flood 1 65536\r\n".len() + (64 << 10) + 2;
        while got < FLOOD / (64 << 10) {
            assert_eq!(quick.take(one).await.len(), one);
            got += 1;
        }
    };
    tokio::join!(flood(&mut from, "flood", FLOOD), read);
    assert_eq!(reason_of(&server, slow.cid()).await, "Slow Consumer (Pending Bytes)");
    quick.sync().await;
    from.sync().await;
    assert_eq!(slow_consumers(&server), 1);
    let account = server.node().broker.accounts.global();
    assert_eq!(account.counters.sum(midge_broker::account::counter::SLOW_CONSUMERS), 1);
    // What it had queued is not kept, and no error was sent.
    let closed = server.node().broker.closed_connections();
    assert_eq!(closed.iter().map(|c| c.peer.queue().pending()).sum::<usize>(), 0);
    assert!(!slow.rest().await.contains("-ERR"));
    server.shutdown().await;
}

#[tokio::test]
async fn a_socket_that_takes_nothing_before_the_deadline() {
    let builder = builder("").with(|options| options.limits.write_deadline = Duration::from_millis(300));
    let server = builder.start().await.expect("a server");
    let (mut from, mut slow) = (Client::connected(&server).await, Client::connected(&server).await);
    slow.subscribe("flood", "1").await;
    flood(&mut from, "flood", FLOOD).await;
    assert_eq!(reason_of(&server, slow.cid()).await, "Slow Consumer (Write Deadline)");
    assert_eq!(slow_consumers(&server), 1);
    from.sync().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_socket_that_takes_some_may_go_on_with_retry() {
    let builder = builder("").with(|options| {
        options.limits.write_deadline = Duration::from_millis(200);
        options.limits.write_timeout = WriteTimeout::Retry;
    });
    let server = builder.start().await.expect("a server");
    let (mut from, mut slow) = (Client::connected(&server).await, Client::connected(&server).await);
    slow.subscribe("flood", "1").await;
    let one = "MSG flood 1 65536\r\n".len() + (64 << 10) + 2;
    let whole = one * (FLOOD / (64 << 10));
    // A megabyte every 50 ms is more than nothing per deadline, and far less than all of it.
    let read = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let mut left = whole;
        while left > 0 {
            ticks.tick().await;
            let n = left.min(1 << 20);
            assert_eq!(slow.take(n).await.len(), n);
            left -= n;
        }
    };
    tokio::join!(flood(&mut from, "flood", FLOOD), read);
    slow.sync().await;
    assert_eq!(slow_consumers(&server), 0);
    server.shutdown().await;
}

/// A connection that owes its login is no slow consumer when its socket takes nothing.
#[tokio::test]
async fn a_deadline_before_the_login_counts_nothing() {
    let builder = builder("authorization { user: a, password: b, timeout: 0.3 }")
        .with(|options| options.limits.write_deadline = Duration::from_millis(100));
    let server = builder.start().await.expect("a server");
    let mut client = Client::open(&server).await;
    client.rest().await;
    assert_eq!(reason_of(&server, client.cid()).await, "Authentication Timeout");
    assert_eq!(slow_consumers(&server), 0);
    server.shutdown().await;
}

/// How long a publisher takes for 40 messages of which each leaves a consumer above three quarters of its maximum.
async fn push_against(server: &Server) -> (Duration, Client) {
    let (mut from, mut slow) = (Client::connected(server).await, Client::connected(server).await);
    slow.subscribe("x", "1").await;
    let peer = server.node().broker.peer(slow.cid()).expect("open");
    let payload = "p".repeat(64 << 10);
    // Up to three quarters, the publisher is only slowed by what it waits for.
    while peer.queue().pending() <= (8 << 20) / 4 * 3 && peer.closed().is_none() {
        from.publish("x", &payload).await;
        from.sync().await;
    }
    let start = Instant::now();
    for _ in 0..20 {
        from.publish("x", "small").await;
        from.sync().await;
    }
    (start.elapsed(), slow)
}

#[tokio::test]
async fn a_publisher_waits_for_a_consumer_that_is_nearly_full() {
    let server = server("max_pending: 8MB").await;
    let (took, mut slow) = push_against(&server).await;
    assert!(took >= Duration::from_millis(30), "twenty waits of two milliseconds, some shared: {took:?}");
    assert!(server.node().broker.counters.sum(midge_broker::broker::counter::STALLS) >= 20);
    assert!(slow.until("MSG x 1 5\r\nsmall\r\n").await.contains("MSG x 1 65536"));
    for _ in 0..19 {
        slow.expect("MSG x 1 5\r\nsmall\r\n").await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn without_stalls_a_consumer_that_is_nearly_full_loses_messages() {
    let server = server("max_pending: 8MB, no_fast_producer_stall: true").await;
    let (_, mut slow) = push_against(&server).await;
    assert_eq!(server.node().broker.counters.sum(midge_broker::broker::counter::STALLS), 0);
    let got = slow.until_pong().await;
    assert!(got.contains("MSG x 1 65536") && !got.contains("small"), "the small ones were lost");
    assert_eq!(slow_consumers(&server), 0);
    server.shutdown().await;
}

/// The publisher of a full consumer waits; those of others do not.
#[tokio::test]
async fn other_connections_of_the_shard_go_on() {
    let server = builder("max_pending: 64MB").shards(1).start().await.expect("a server");
    let (mut from, mut slow) = (Client::connected(&server).await, Client::connected(&server).await);
    let (mut a, mut b) = (Client::connected(&server).await, Client::connected(&server).await);
    slow.subscribe("flood", "1").await;
    b.subscribe("talk", "1").await;
    let talk = async {
        for n in 0..200 {
            a.publish("talk", &format!("{n:03}")).await;
            b.expect(&format!("MSG talk 1 3\r\n{n:03}\r\n")).await;
        }
    };
    tokio::join!(flood(&mut from, "flood", FLOOD), talk);
    drop(slow);
    eventually("the slow one is gone", || server.connections() == 3).await;
    server.shutdown().await;
}
