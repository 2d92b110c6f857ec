//! Figures, as monitoring shows them.

use midge_net::clock;
use midge_server::Server;
use midge_views::connz::{ConnDocument, ConnzOptions, Sort, State, Subscriptions};
use midge_views::observe::Observe as _;
use midge_views::subsz::SubszOptions;
use midge_views::varz::Varz;

use crate::support::{Client, reason_of, server};

fn varz(server: &Server) -> Varz {
    server.node().varz(clock::now())
}

fn connz(server: &Server, options: &ConnzOptions) -> Vec<ConnDocument> {
    let limit = if options.limit == 0 { 1024 } else { options.limit };
    let options = ConnzOptions { limit, ..options.clone() };
    server.node().connz(&options, clock::now()).expect("a document").connections.expect("a page")
}

#[tokio::test]
async fn messages_and_bytes_are_counted() {
    let server = server("").await;
    let own = varz(&server).subscriptions;
    let (mut from, mut to) = (Client::connected(&server).await, Client::connected(&server).await);
    to.send("SUB a 1\r\nSUB * 2\r\n").await;
    to.sync().await;
    for _ in 0..10 {
        from.publish("a", "12345").await;
    }
    from.publish("nobody", "1234567").await;
    from.sync().await;
    to.until_pong().await;
    let all = varz(&server);
    assert_eq!((all.in_msgs, all.in_bytes), (11, 57));
    // `nobody` matches the wildcard too.
    assert_eq!((all.out_msgs, all.out_bytes), (21, 107));
    assert_eq!((all.connections, all.total_connections), (2, 2));
    assert_eq!(all.subscriptions, own + 2);
    let list = connz(&server, &ConnzOptions::default());
    assert_eq!(list.iter().map(|c| (c.in_msgs, c.in_bytes)).collect::<Vec<_>>(), [(11, 57), (0, 0)]);
    assert_eq!(list.iter().map(|c| (c.out_msgs, c.out_bytes)).collect::<Vec<_>>(), [(0, 0), (21, 107)]);
    server.shutdown().await;
}

#[tokio::test]
async fn connections_are_shown_with_what_they_said() {
    let server = server("").await;
    let mut client = Client::open(&server).await;
    client.login(r#"{"verbose":false,"name":"n","lang":"rust","version":"1.2"}"#).await;
    client.send("SUB x q 9\r\nUNSUB 9 5\r\n").await;
    client.sync().await;
    let inside = Client::inside(&server).await;
    let options =
        ConnzOptions { subscriptions: Subscriptions::Details, auth: true, ..ConnzOptions::default() };
    let list = connz(&server, &options);
    assert_eq!(
        (list[0].name.as_str(), list[0].lang.as_str(), list[0].version.as_str()),
        ("n", "rust", "1.2")
    );
    assert_eq!((list[0].ip.as_str(), list[0].kind, list[0].protocol), ("127.0.0.1", "Client", "nats"));
    assert_eq!(list[1].cid, inside.cid());
    let one = ConnzOptions { cid: client.cid(), ..options };
    assert_eq!(connz(&server, &one).len(), 1);
    server.shutdown().await;
}

#[tokio::test]
async fn closed_connections_are_remembered_with_their_subscriptions() {
    let server = server("max_closed_clients: 2").await;
    let mut cids = Vec::new();
    for n in 0..3 {
        let mut client = Client::connected(&server).await;
        for sid in 0..=n {
            client.subscribe(&format!("s.{sid}"), &sid.to_string()).await;
        }
        cids.push(client.cid());
        let cid = client.cid();
        drop(client);
        reason_of(&server, cid).await;
    }
    let closed = ConnzOptions { state: State::Closed, ..ConnzOptions::default() };
    let list = connz(&server, &closed);
    assert_eq!(list.iter().map(|c| c.cid).collect::<Vec<_>>(), cids[1..], "the oldest was forgotten");
    assert!(list.iter().all(|c| c.reason == "Client Closed"));
    assert_eq!(server.node().broker.closed_connections()[1].subscriptions.len(), 3);
    let counts = server.node().broker.closed_counts();
    assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 3, "but is still counted");
    let open = ConnzOptions { state: State::Open, ..ConnzOptions::default() };
    assert!(connz(&server, &open).is_empty());
    server.shutdown().await;
}

#[tokio::test]
async fn reasons_of_every_way_to_end() {
    let server = server("max_payload: 8, max_control_line: 256, max_subscriptions: 5").await;
    let ways: [(&str, &str); 6] = [
        ("NONSENSE\r\n", "Protocol Violation"),
        ("PUB x 9\r\n123456789\r\n", "Maximum Message Payload Exceeded"),
        ("CONNECT {\"protocol\":9}\r\n", "Bad Client Protocol Version"),
        ("CONNECT {\"no_responders\":true,\"headers\":false}\r\n", "No Responders Requires Headers"),
        ("-ERR 'what'\r\n", "Parse Error"),
        ("SUB a b c d e\r\n", "Protocol Violation"),
    ];
    for (input, reason) in ways {
        let mut client = Client::connected(&server).await;
        client.send(input).await;
        client.rest().await;
        assert_eq!(reason_of(&server, client.cid()).await, reason, "{input}");
    }
    let mut client = Client::connected(&server).await;
    client.send(&format!("SUB {} 1\r\n", "x".repeat(300))).await;
    client.rest().await;
    assert_eq!(reason_of(&server, client.cid()).await, "Maximum Control Line Exceeded");
    server.shutdown().await;
}

#[tokio::test]
async fn subscriptions_are_counted_and_listed() {
    let server = server("").await;
    let mut client = Client::connected(&server).await;
    client.send("SUB a 1\r\nSUB a.* 2\r\nSUB b q 3\r\nUNSUB 3\r\n").await;
    client.sync().await;
    let options = SubszOptions { subscriptions: true, limit: 100, ..SubszOptions::default() };
    let all = server.node().subsz(&options, clock::now()).expect("a document");
    assert_eq!(
        (all.stats.num_subscriptions, all.stats.num_inserts, all.stats.num_removes),
        (3 + 1, 4 + 1, 1)
    );
    let subjects: Vec<_> = all.subscriptions.iter().map(|sub| sub.subject.as_str()).collect();
    assert!(subjects.contains(&"a") && subjects.contains(&"a.*") && !subjects.contains(&"b"), "{subjects:?}");
    let matching = SubszOptions { test: "a.x".to_owned(), ..options };
    let some = server.node().subsz(&matching, clock::now()).expect("a document");
    assert_eq!(some.subscriptions.iter().map(|sub| sub.sid.as_str()).collect::<Vec<_>>(), ["2"]);
    server.shutdown().await;
}

#[tokio::test]
async fn remembered_routes_show_in_the_statistics() {
    let server = server("").await;
    let mut client = Client::connected(&server).await;
    client.subscribe("hot", "1").await;
    for _ in 0..50 {
        client.publish("hot", "").await;
        client.sync_after("MSG hot 1 0\r\n\r\n").await;
    }
    let options = SubszOptions { limit: 1, ..SubszOptions::default() };
    let stats = server.node().subsz(&options, clock::now()).expect("a document").stats;
    assert!(stats.cache_hit_rate > 0.9, "{}", stats.cache_hit_rate);
    assert_eq!(stats.max_fanout, 1);
    server.shutdown().await;
}

#[tokio::test]
async fn connections_are_sorted() {
    let server = server("").await;
    let mut clients = Vec::new();
    for n in 0..3 {
        let mut client = Client::connected(&server).await;
        for _ in 0..(n * 7 + 3) % 5 {
            client.publish("x", "y").await;
        }
        client.sync().await;
        clients.push(client);
    }
    let by = ConnzOptions { sort: Sort::MsgsFrom, ..ConnzOptions::default() };
    let counts: Vec<u64> = connz(&server, &by).iter().map(|c| c.in_msgs).collect();
    assert_eq!(counts, [3, 2, 0]);
    server.shutdown().await;
}
