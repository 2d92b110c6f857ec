//! Who receives what, with several publishers and with churn.

use crate::support::{Client, PLAIN, eventually, server};

#[tokio::test]
async fn auto_unsubscribe_is_exact_with_two_publishers() {
    let server = server("").await;
    for max in [1, 10, 777] {
        let mut receiver = Client::connected(&server).await;
        receiver.send(&format!("SUB x 1\r\nUNSUB 1 {max}\r\n")).await;
        receiver.sync().await;
        let (mut one, mut two) = (Client::connected(&server).await, Client::connected(&server).await);
        let burst = "PUB x 1\r\na\r\n".repeat(500);
        tokio::join!(one.send(&burst), two.send(&burst));
        one.sync().await;
        two.sync().await;
        assert_eq!(receiver.until_pong().await.matches("MSG x 1 1\r\na\r\n").count(), max);
        // The name is free again, and the next subscription counts from its own start.
        receiver.send("SUB x 1\r\nUNSUB 1 2\r\n").await;
        receiver.sync().await;
        one.send(&burst).await;
        one.sync().await;
        assert_eq!(receiver.until_pong().await.matches("MSG x 1 1\r\na\r\n").count(), 2);
    }
    let held = || server.node().broker.accounts.global().index_counts().0;
    eventually("only the server's own subscription remains", || held() == 1).await;
    server.shutdown().await;
}

#[tokio::test]
async fn deliveries_survive_churn_elsewhere() {
    let server = server("").await;
    let mut receiver = Client::connected(&server).await;
    receiver.send("SUB steady.a 1\r\nSUB steady.* 2\r\nSUB steady.> q 3\r\n").await;
    receiver.sync().await;
    let mut publisher = Client::connected(&server).await;
    let mut churner = Client::connected(&server).await;
    let churn = async {
        for round in 0..50 {
            let mut batch = String::new();
            for n in 0..100 {
                batch.push_str(&format!("SUB churn.{round}.{n} {n}\r\nSUB *.{n} w{n}\r\n"));
            }
            for n in 0..100 {
                batch.push_str(&format!("UNSUB {n}\r\nUNSUB w{n}\r\n"));
            }
            churner.send(&batch).await;
            churner.sync().await;
        }
    };
    let publish = async {
        for n in 0..500 {
            publisher.publish("steady.a", &format!("{n:04}")).await;
        }
        publisher.sync().await;
    };
    tokio::join!(churn, publish);
    let got = receiver.until_pong().await;
    for sid in 1..=3 {
        let head = format!("MSG steady.a {sid} 4\r\n");
        let numbers: Vec<usize> =
            got.split(&head).skip(1).filter_map(|rest| rest.get(..4)?.parse().ok()).collect();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>(), "sid {sid}");
    }
    server.shutdown().await;
}

/// What comes, goes and comes again is seen at once, however well the route was remembered.
#[tokio::test]
async fn remembered_routes_follow_changes() {
    let server = server("").await;
    let (mut publisher, mut receiver) = (Client::connected(&server).await, Client::connected(&server).await);
    for round in 0..50 {
        publisher.publish("route.a", "-").await;
        publisher.publish("route.a", "-").await;
        publisher.sync().await;
        let pattern = ["route.a", "route.*", ">", "*.a"][round % 4];
        receiver.subscribe(pattern, "1").await;
        publisher.publish("route.a", "x").await;
        publisher.sync().await;
        receiver.expect("MSG route.a 1 1\r\nx\r\n").await;
        receiver.send("UNSUB 1\r\n").await;
        receiver.sync().await;
    }
    publisher.publish("route.a", "-").await;
    publisher.sync().await;
    receiver.sync().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_wide_fan_out_keeps_order() {
    let server = server("").await;
    let mut receivers = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connected(&server).await;
        client.subscribe("fan", "1").await;
        receivers.push(client);
    }
    let mut publisher = Client::connected(&server).await;
    let mut expected = String::new();
    for n in 0..200 {
        publisher.publish("fan", &format!("{n:04}")).await;
        expected.push_str(&format!("MSG fan 1 4\r\n{n:04}\r\n"));
    }
    for receiver in &mut receivers {
        receiver.expect(&expected).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_queue_group_takes_each_message_once() {
    let server = server("").await;
    let mut members = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connected(&server).await;
        client.send("SUB work group 1\r\n").await;
        client.sync().await;
        members.push(client);
    }
    let mut publisher = Client::connected(&server).await;
    publisher.send(&"PUB work 1\r\nw\r\n".repeat(1000)).await;
    publisher.sync().await;
    let mut counts = Vec::new();
    for member in &mut members {
        counts.push(member.until_pong().await.matches("MSG work 1 1\r\n").count());
    }
    assert_eq!(counts.iter().sum::<usize>(), 1000);
    assert!(counts.iter().all(|&n| n > 100), "all take their part: {counts:?}");
    server.shutdown().await;
}

/// Accounts are separate subject spaces, whatever is remembered of routes.
#[tokio::test]
async fn accounts_do_not_hear_each_other() {
    let config =
        "accounts { A { users: [{ user: a, password: p }] }, B { users: [{ user: b, password: p }] } }";
    let server = server(config).await;
    let (mut a, mut b) = (Client::open(&server).await, Client::open(&server).await);
    a.login(r#"{"verbose":false,"user":"a","pass":"p"}"#).await;
    b.login(r#"{"verbose":false,"user":"b","pass":"p"}"#).await;
    a.subscribe(">", "1").await;
    b.subscribe("x", "1").await;
    for n in 0..10 {
        a.publish("x", &format!("a{n}")).await;
        b.publish("x", &format!("b{n}")).await;
        a.sync_after(&format!("MSG x 1 2\r\na{n}\r\n")).await;
        b.sync_after(&format!("MSG x 1 2\r\nb{n}\r\n")).await;
    }
    server.shutdown().await;
}

/// Bytes that come one at a time mean the same.
#[tokio::test]
async fn messages_of_every_size_arrive_whole() {
    let server = server("max_payload: 4MB").await;
    let (mut from, mut to) = (Client::connected(&server).await, Client::open(&server).await);
    to.login(PLAIN).await;
    to.subscribe("size", "1").await;
    for len in [0, 1, 15, 1023, 4096, 16_383, 16_384, 65_535, 65_536, 131_072, 1_000_000, 4_000_000] {
        let payload: String = (0..len).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
        from.publish("size", &payload).await;
        to.expect(&format!("MSG size 1 {len}\r\n{payload}\r\n")).await;
    }
    server.shutdown().await;
}
