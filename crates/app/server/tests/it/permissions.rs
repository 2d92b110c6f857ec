//! Permissions that change while a connection is open.

use midge_server::Server;
use midge_server::config::schema::authorization::{Permissions, ResponsePermission, SubjectPermission};

use crate::support::{Client, PLAIN, eventually, server};

fn list(subjects: &[&str]) -> Option<Vec<String>> {
    if subjects.is_empty() { None } else { Some(subjects.iter().map(|s| (*s).to_owned()).collect()) }
}

fn lists(allow: &[&str], deny: &[&str]) -> Option<SubjectPermission> {
    Some(SubjectPermission { allow: list(allow), deny: list(deny) })
}

/// Changes permissions; when this returns, the connection has them.
async fn change(server: &Server, client: &Client, permissions: Option<Permissions>) {
    assert!(server.set_permissions(client.cid(), permissions.as_ref()));
    let peer = server.node().broker.peer(client.cid()).expect("open");
    eventually("the order is carried out", || !peer.has_orders()).await;
}

#[tokio::test]
async fn publishing_is_refused_and_granted_at_once() {
    let server = server("").await;
    let (mut client, mut other) = (Client::connected(&server).await, Client::connected(&server).await);
    other.subscribe(">", "1").await;
    client.publish("a.b", "1").await;
    other.expect("MSG a.b 1 1\r\n1\r\n").await;
    let denied = Permissions { publish: lists(&[], &["a.*"]), ..Permissions::default() };
    change(&server, &client, Some(denied)).await;
    client.publish("a.b", "2").await;
    client.publish("b", "3").await;
    client.expect("-ERR 'Permissions Violation for Publish to \"a.b\"'\r\n").await;
    other.expect("MSG b 1 1\r\n3\r\n").await;
    let granted = Permissions { publish: lists(&["a.>"], &[]), ..Permissions::default() };
    change(&server, &client, Some(granted)).await;
    client.publish("b", "4").await;
    client.publish("a.b", "5").await;
    client.expect("-ERR 'Permissions Violation for Publish to \"b\"'\r\n").await;
    other.expect("MSG a.b 1 1\r\n5\r\n").await;
    change(&server, &client, None).await;
    client.publish("b", "6").await;
    other.expect("MSG b 1 1\r\n6\r\n").await;
    client.sync().await;
    server.shutdown().await;
}

#[tokio::test]
async fn subscriptions_that_are_no_longer_allowed_are_removed() {
    let server = server("").await;
    let (mut client, mut other) = (Client::connected(&server).await, Client::connected(&server).await);
    client.send("SUB a 1\r\nSUB b 2\r\nSUB c q 3\r\n").await;
    client.sync().await;
    let narrow = Permissions { subscribe: lists(&["b"], &[]), ..Permissions::default() };
    change(&server, &client, Some(narrow)).await;
    let mut errors = [client.line().await, client.line().await];
    errors.sort();
    assert_eq!(
        errors,
        [
            "-ERR 'Permissions Violation for Subscription to \"a\" (sid \"1\")'",
            "-ERR 'Permissions Violation for Subscription to \"c\" using queue \"q\" (sid \"3\")'",
        ]
    );
    for subject in ["a", "c", "b"] {
        other.publish(subject, "x").await;
    }
    client.expect("MSG b 2 1\r\nx\r\n").await;
    client.send("SUB a 4\r\n").await;
    client.expect("-ERR 'Permissions Violation for Subscription to \"a\"'\r\n").await;
    // The names of what was removed are free again.
    client.send("SUB b 1\r\n").await;
    client.sync().await;
    other.publish("b", "y").await;
    other.sync().await;
    assert_eq!(client.until_pong().await.matches("MSG b ").count(), 2);
    let peer = server.node().broker.peer(client.cid()).expect("open");
    assert_eq!(peer.subscriptions.load(std::sync::atomic::Ordering::Relaxed), 2);
    server.shutdown().await;
}

#[tokio::test]
async fn a_wildcard_that_stays_is_filtered() {
    let server = server("").await;
    let (mut client, mut other) = (Client::connected(&server).await, Client::connected(&server).await);
    client.subscribe("a.*", "1").await;
    other.publish("a.secret", "0").await;
    client.expect("MSG a.secret 1 1\r\n0\r\n").await;
    let filtered = Permissions { subscribe: lists(&[], &["a.secret"]), ..Permissions::default() };
    change(&server, &client, Some(filtered)).await;
    other.publish("a.secret", "1").await;
    other.publish("a.open", "2").await;
    client.expect("MSG a.open 1 1\r\n2\r\n").await;
    change(&server, &client, None).await;
    other.publish("a.secret", "3").await;
    client.expect("MSG a.secret 1 1\r\n3\r\n").await;
    server.shutdown().await;
}

/// A deny entry with a queue after the subject denies the subject; it must not deny nothing.
#[tokio::test]
async fn a_publish_entry_with_a_queue_denies_its_subject() {
    let server = server("").await;
    let mut client = Client::connected(&server).await;
    let stray = Permissions { publish: lists(&[], &["foo queue"]), ..Permissions::default() };
    change(&server, &client, Some(stray)).await;
    client.publish("foo", "x").await;
    client.expect("-ERR 'Permissions Violation for Publish to \"foo\"'\r\n").await;
    server.shutdown().await;
}

#[tokio::test]
async fn responses_are_granted_and_forgotten() {
    let server = server("").await;
    let (mut service, mut asker) = (Client::connected(&server).await, Client::connected(&server).await);
    service.subscribe("ask", "1").await;
    asker.subscribe("reply.*", "2").await;
    let responses = ResponsePermission { max_msgs: 1, expires: None };
    let only_answers = Permissions {
        publish: Some(SubjectPermission { allow: Some(Vec::new()), deny: None }),
        responses: Some(responses),
        ..Permissions::default()
    };
    change(&server, &service, Some(only_answers.clone())).await;
    asker.send("PUB ask reply.1 1\r\n?\r\n").await;
    service.expect("MSG ask 1 reply.1 1\r\n?\r\n").await;
    service.publish("reply.1", "!").await;
    asker.expect("MSG reply.1 2 1\r\n!\r\n").await;
    service.publish("reply.1", "!").await;
    service.expect("-ERR 'Permissions Violation for Publish to \"reply.1\"'\r\n").await;
    // A change forgets the replies that were granted before.
    asker.send("PUB ask reply.2 1\r\n?\r\n").await;
    service.expect("MSG ask 1 reply.2 1\r\n?\r\n").await;
    change(&server, &service, Some(only_answers)).await;
    service.publish("reply.2", "!").await;
    service.expect("-ERR 'Permissions Violation for Publish to \"reply.2\"'\r\n").await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_does_not_exist() {
    let server = server("").await;
    assert!(!server.set_permissions(77, None));
    server.shutdown().await;
}

/// The change reaches a connection that is in the middle of a stream of messages.
#[tokio::test]
async fn a_change_in_the_middle_of_a_stream() {
    let server = server("").await;
    let (mut client, mut other) = (Client::open(&server).await, Client::connected(&server).await);
    client.login(PLAIN).await;
    client.subscribe("s", "1").await;
    for n in 0..100 {
        other.publish("s", &n.to_string()).await;
    }
    other.sync().await;
    let nothing = Permissions { subscribe: lists(&["other"], &[]), ..Permissions::default() };
    change(&server, &client, Some(nothing)).await;
    for n in 100..200 {
        other.publish("s", &n.to_string()).await;
    }
    other.sync().await;
    let got = client.until_pong().await;
    assert_eq!(got.matches("MSG s 1 ").count(), 100);
    assert!(got.ends_with("-ERR 'Permissions Violation for Subscription to \"s\" (sid \"1\")'\r\n"), "{got}");
    server.shutdown().await;
}
