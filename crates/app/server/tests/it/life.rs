//! Starting, stopping, and closing connections.

use std::time::Duration;

use midge_server::{Builder, StartError};
use tokio::net::TcpStream;

use crate::support::{Client, PLAIN, address, builder, eventually, reason_of, reasons, server};

#[tokio::test]
async fn servers_of_one_process_are_separate() {
    let (one, other) = (server("server_name: one").await, server("server_name: other").await);
    let (mut a, mut b) = (Client::connected(&one).await, Client::connected(&other).await);
    assert!(a.info.contains("\"server_name\":\"one\"") && b.info.contains("\"server_name\":\"other\""));
    a.subscribe(">", "1").await;
    b.publish("x", "hi").await;
    b.sync().await;
    a.sync().await;
    one.shutdown().await;
    b.subscribe("x", "1").await;
    b.publish("x", "hi").await;
    b.expect("MSG x 1 2\r\nhi\r\n").await;
    other.shutdown().await;
}

#[tokio::test]
async fn a_connection_inside_the_process() {
    let server = builder("").without_listener().start().await.expect("a server");
    assert_eq!(server.client_addr(), None);
    let (mut a, mut b) = (Client::inside(&server).await, Client::inside(&server).await);
    a.login(PLAIN).await;
    b.login(PLAIN).await;
    a.subscribe("in.*", "7").await;
    b.publish("in.side", "hello").await;
    a.expect("MSG in.side 7 5\r\nhello\r\n").await;
    let large = "x".repeat(1 << 20);
    b.publish("in.large", &large).await;
    a.expect(&format!("MSG in.large 7 {}\r\n{large}\r\n", large.len())).await;
    server.shutdown().await;
    assert_eq!(a.rest().await, "");
}

#[tokio::test]
async fn a_server_starts_and_stops_again_and_again() {
    for _ in 0..20 {
        let server = server("").await;
        let addr = address(&server);
        let client = Client::open(&server).await;
        server.shutdown().await;
        drop(client);
        assert!(TcpStream::connect(addr).await.is_err(), "nobody listens");
    }
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let first = server("").await;
    let addr = address(&first);
    let error =
        Builder::new().host("127.0.0.1").port(addr.port()).shards(1).start().await.expect_err("taken");
    assert!(
        error.to_string().starts_with(&format!("Error listening on port: {addr}, \"listen tcp {addr}:")),
        "{error}"
    );
    assert!(matches!(error, StartError::System(_)));
    Client::connected(&first).await.sync().await;
    first.shutdown().await;
}

#[tokio::test]
async fn options_that_contradict_each_other() {
    let error =
        builder("lame_duck_duration: 30s, lame_duck_grace_period: 40s").start().await.expect_err("refused");
    assert!(matches!(error, StartError::Options(_)), "{error}");
    let error = Builder::from_config("port: :").expect_err("no configuration");
    assert!(matches!(error, StartError::Options(_)), "{error}");
}

#[tokio::test]
async fn an_ipv6_listener() {
    let started = builder("").host("::1").start().await;
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // A machine without IPv6 says so.
        assert!(matches!(started, Err(StartError::System(_))));
        return;
    }
    let server = started.expect("a server");
    let mut client = Client::open(&server).await;
    assert!(client.info.contains("\"client_ip\":\"::1\""), "{}", client.info);
    client.login(PLAIN).await;
    let peer = server.node().broker.peer(client.cid()).expect("open");
    assert!(peer.label().starts_with("[::1]:"), "{}", peer.label());
    server.shutdown().await;
}

#[tokio::test]
async fn an_address_of_a_connection_is_known() {
    let server = server("").await;
    let stream = TcpStream::connect(address(&server)).await.expect("a connection");
    let local = stream.local_addr().expect("an address");
    let client = Client::over(stream).await;
    assert!(client.info.contains("\"client_ip\":\"127.0.0.1\""));
    assert_eq!(server.node().broker.peer(client.cid()).and_then(|peer| peer.addr), Some(local));
    let inside = Client::inside(&server).await;
    assert_eq!(server.node().broker.peer(inside.cid()).and_then(|peer| peer.addr), None);
    server.shutdown().await;
}

#[tokio::test]
async fn a_surplus_connection() {
    let server = server("max_connections: 2").await;
    let (mut first, mut second) = (Client::connected(&server).await, Client::connected(&server).await);
    let mut third = Client::open(&server).await;
    assert_eq!(third.rest().await, "-ERR 'maximum connections exceeded'\r\n");
    assert_eq!(reason_of(&server, third.cid()).await, "Maximum Connections Exceeded");
    first.sync().await;
    second.sync().await;
    let cid = second.cid();
    drop(second);
    assert_eq!(reason_of(&server, cid).await, "Client Closed");
    Client::connected(&server).await.sync().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_kick_closes_one_connection() {
    let server = server("").await;
    let (mut kicked, mut other) = (Client::connected(&server).await, Client::connected(&server).await);
    kicked.subscribe("x", "1").await;
    assert!(server.kick(kicked.cid()));
    assert_eq!(kicked.rest().await, "", "no error is sent");
    assert_eq!(reason_of(&server, kicked.cid()).await, "Kicked");
    assert!(!server.kick(kicked.cid()));
    assert!(!server.kick(999));
    other.sync().await;
    assert_eq!(server.node().broker.accounts.global().index_counts().0, 1, "the server's own remains");
    server.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_sends_what_is_queued() {
    let server = server("").await;
    let (mut from, mut to) = (Client::connected(&server).await, Client::connected(&server).await);
    to.subscribe("x", "1").await;
    let payload = "y".repeat(1000);
    for _ in 0..100 {
        from.publish("x", &payload).await;
    }
    from.sync().await;
    let node = server.node().clone();
    server.shutdown().await;
    let got = to.rest().await;
    assert_eq!(got.len(), 100 * "MSG x 1 1000\r\n".len() + 100 * 1002);
    assert_eq!(from.rest().await, "");
    let closed = node.broker.closed_connections();
    assert_eq!(closed.iter().map(|c| c.reason.text()).collect::<Vec<_>>(), ["Server Shutdown"; 2]);
}

/// A client that takes nothing must not keep the server from ending.
#[tokio::test]
async fn a_shutdown_does_not_wait_for_clients() {
    let server = server("").await;
    let (mut from, mut to) = (Client::connected(&server).await, Client::connected(&server).await);
    to.subscribe("x", "1").await;
    let payload = "y".repeat(1 << 20);
    for _ in 0..12 {
        from.publish("x", &payload).await;
    }
    from.sync().await;
    let start = std::time::Instant::now();
    server.shutdown().await;
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    drop(to);
}

#[tokio::test]
async fn lame_duck_tells_and_then_closes() {
    // Files allow no duration below 30 s, so the options are set directly.
    let server = builder("")
        .with(|options| {
            options.server.lame_duck_duration = Duration::from_millis(300);
            options.server.lame_duck_grace_period = Duration::from_millis(100);
        })
        .start()
        .await
        .expect("a server");
    let addr = address(&server);
    let new = r#"{"verbose":false,"protocol":1}"#;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::open(&server).await;
        client.send(&format!("CONNECT {new}\r\nPING\r\n")).await;
        client.expect("PONG\r\n").await;
        assert!(client.line().await.contains("\"connect_info\":true"));
        clients.push(client);
    }
    let mut old = Client::connected(&server).await;
    let ((), (first, rest)) = tokio::join!(server.lame_duck(), async {
        for client in &mut clients {
            let info = client.line().await;
            assert!(info.starts_with("INFO ") && info.contains("\"ldm\":true"), "{info}");
        }
        // What is published in the meantime still arrives.
        clients[0].subscribe("x", "1").await;
        clients[1].publish("x", "bye").await;
        clients[0].expect("MSG x 1 3\r\nbye\r\n").await;
        assert!(TcpStream::connect(addr).await.is_err(), "nobody is let in any more");
        let first = clients[0].rest().await;
        (first, (clients[1].rest().await, old.rest().await))
    });
    assert_eq!((first.as_str(), rest.0.as_str(), rest.1.as_str()), ("", "", ""));
    assert_eq!(server.connections(), 0);
    assert_eq!(reasons(&server), [(1, "Server Shutdown"), (2, "Server Shutdown"), (3, "Server Shutdown")]);
    server.shutdown().await;
}

#[tokio::test]
async fn lame_duck_without_clients_or_listener_ends_at_once() {
    let with = server("").await;
    with.lame_duck().await;
    assert!(TcpStream::connect(address(&with)).await.is_err());
    with.shutdown().await;
    let without = builder("").without_listener().start().await.expect("a server");
    let mut client = Client::inside(&without).await;
    without.lame_duck().await;
    client.login(PLAIN).await;
    without.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_ends_while_it_subscribes_leaves_nothing() {
    let server = server("").await;
    for _ in 0..20 {
        let mut client = Client::open(&server).await;
        let mut batch = format!("CONNECT {PLAIN}\r\n");
        for sid in 0..200 {
            batch.push_str(&format!("SUB churn.{sid} {sid}\r\n"));
        }
        client.send(&batch).await;
        drop(client);
    }
    eventually("all connections end", || server.connections() == 0).await;
    let (held, inserted, removed) = server.node().broker.accounts.global().index_counts();
    assert_eq!((held, inserted - removed), (1, 1), "only the server's own remains");
    server.shutdown().await;
}
