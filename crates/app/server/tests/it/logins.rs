//! Who is let in.

use std::time::{Duration, Instant};

use midge_auth::nkey::{KeyKind, KeyPair};

use crate::support::{Client, builder, eventually, reason_of, server};

const REFUSED: &str = "-ERR 'Authorization Violation'\r\n";

/// The password `password`, hashed at the lowest cost.
const HASH: &str = "$2a$04$I6y0Xu/RerfJF1RT9zAQLuD2VuoMbXO7b.0OplQopT60OEKoCZ9mW";

async fn refused(client: &mut Client, connect: &str) {
    client.send(&format!("CONNECT {connect}\r\nPING\r\n")).await;
    assert_eq!(client.rest().await, REFUSED);
}

#[tokio::test]
async fn users_with_passwords() {
    let server =
        server("authorization { users: [{ user: a, password: pa }, { user: b, password: pb }] }").await;
    let mut client = Client::open(&server).await;
    assert!(client.info.contains("\"auth_required\":true"));
    client.login(r#"{"verbose":false,"user":"b","pass":"pb"}"#).await;
    let mut wrong = Client::open(&server).await;
    refused(&mut wrong, r#"{"user":"b","pass":"pa"}"#).await;
    assert_eq!(reason_of(&server, wrong.cid()).await, "Authentication Failure");
    server.shutdown().await;
}

#[tokio::test]
async fn a_token() {
    let server = server("authorization { token: t0ken }").await;
    Client::open(&server).await.login(r#"{"verbose":false,"auth_token":"t0ken"}"#).await;
    refused(&mut Client::open(&server).await, r#"{"auth_token":"other"}"#).await;
    server.shutdown().await;
}

#[tokio::test]
async fn an_nkey_signs_the_nonce() {
    let key = KeyPair::from_bytes(KeyKind::User, &[7; 32]);
    let server = server(&format!("authorization {{ users: [{{ nkey: {} }}] }}", key.public())).await;
    let mut client = Client::open(&server).await;
    let (_, rest) = client.info.split_once("\"nonce\":\"").expect("a nonce");
    let nonce = rest.split('"').next().unwrap_or_default().to_owned();
    let connect = |sig: &str| format!(r#"{{"verbose":false,"nkey":"{}","sig":"{sig}"}}"#, key.public());
    client.login(&connect(&key.sign_text(nonce.as_bytes()))).await;
    // The nonce of one connection serves no other.
    refused(&mut Client::open(&server).await, &connect(&key.sign_text(nonce.as_bytes()))).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_stand_in_user_for_clients_without_credentials() {
    let config = "accounts { A { users: [{ user: guest, password: x }] } }\nno_auth_user: guest";
    let server = server(config).await;
    let mut client = Client::open(&server).await;
    assert!(!client.info.contains("\"auth_required\":true"));
    client.login(r#"{"verbose":false,"protocol":0}"#).await;
    let peer = server.node().broker.peer(client.cid()).expect("open");
    let account = peer.with_details(|d| d.account.as_ref().map(|account| account.name.clone()));
    assert_eq!(account.as_deref(), Some("A"));
    server.shutdown().await;
}

#[tokio::test]
async fn kinds_of_connections() {
    let config = r#"authorization { users: [
        { user: inside, password: p, allowed_connection_types: ["IN_PROCESS"] }
        { user: outside, password: p, allowed_connection_types: ["STANDARD"] }
    ] }"#;
    let server = server(config).await;
    let (inside, outside) = (
        r#"{"verbose":false,"user":"inside","pass":"p"}"#,
        r#"{"verbose":false,"user":"outside","pass":"p"}"#,
    );
    Client::inside(&server).await.login(inside).await;
    refused(&mut Client::inside(&server).await, outside).await;
    Client::open(&server).await.login(outside).await;
    refused(&mut Client::open(&server).await, inside).await;
    server.shutdown().await;
}

/// The hash is computed on a thread of its own, whose end has to wake the connection: nothing else would before the
/// first PING is due, two seconds after CONNECT.
#[tokio::test]
async fn a_hashed_password_is_answered_when_it_is_checked() {
    let config = format!("authorization {{ timeout: 10, users: [{{ user: a, password: \"{HASH}\" }}] }}");
    let server = server(&config).await;
    let start = Instant::now();
    let mut client = Client::open(&server).await;
    client.send("CONNECT {\"verbose\":true,\"user\":\"a\",\"pass\":\"password\"}\r\n").await;
    client.expect("+OK\r\n").await;
    assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
    server.shutdown().await;
}

#[tokio::test]
async fn what_follows_a_hashed_password_waits_for_it() {
    let config = format!("authorization {{ timeout: 10, users: [{{ user: a, password: \"{HASH}\" }}] }}");
    let server = server(&config).await;
    for mut client in [Client::open(&server).await, Client::inside(&server).await] {
        let batch = "CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"password\"}\r\nSUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n";
        client.send(batch).await;
        client.expect("MSG a 1 2\r\nhi\r\nPONG\r\n").await;
        client.sync().await;
    }
    let mut wrong = Client::open(&server).await;
    refused(&mut wrong, r#"{"user":"a","pass":"other"}"#).await;
    server.shutdown().await;
}

/// A client that leaves while its password is checked is forgotten, and so is the answer.
#[tokio::test]
async fn leaving_during_the_check_of_a_password() {
    let config = format!("authorization {{ timeout: 10, users: [{{ user: a, password: \"{HASH}\" }}] }}");
    let server = server(&config).await;
    let mut client = Client::open(&server).await;
    client.send("CONNECT {\"user\":\"a\",\"pass\":\"password\"}\r\n").await;
    drop(client);
    eventually("the connection ends", || server.connections() == 0).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_login_that_does_not_come() {
    let server =
        builder("authorization { user: a, password: b, timeout: 0.1 }").start().await.expect("a server");
    let mut silent = Client::open(&server).await;
    let mut half = Client::open(&server).await;
    half.send("CONNECT {\"user\":\"a\",").await;
    let timeout = "-ERR 'Authentication Timeout'\r\n";
    assert_eq!(silent.rest().await, timeout);
    assert_eq!(half.rest().await, timeout);
    assert_eq!(reason_of(&server, silent.cid()).await, "Authentication Timeout");
    assert_eq!(reason_of(&server, half.cid()).await, "Authentication Timeout");
    server.shutdown().await;
}

#[tokio::test]
async fn connections_of_an_account_are_counted() {
    let config = "accounts { A { limits { max_connections: 1 }, users: [{ user: a, password: p }] }
        B { users: [{ user: b, password: p }] } }";
    let server = server(config).await;
    let (a, b) = (r#"{"verbose":false,"user":"a","pass":"p"}"#, r#"{"verbose":false,"user":"b","pass":"p"}"#);
    let mut first = Client::open(&server).await;
    first.login(a).await;
    let mut second = Client::open(&server).await;
    second.send(&format!("CONNECT {a}\r\nPING\r\n")).await;
    assert_eq!(second.rest().await, "-ERR 'maximum account active connections exceeded'\r\n");
    assert_eq!(reason_of(&server, second.cid()).await, "Maximum Account Connections Exceeded");
    Client::open(&server).await.login(b).await;
    let cid = first.cid();
    drop(first);
    reason_of(&server, cid).await;
    Client::open(&server).await.login(a).await;
    server.shutdown().await;
}

#[tokio::test]
async fn limits_of_an_account_narrow_those_of_the_server() {
    let config = "max_payload: 100, max_subscriptions: 10
        accounts { A { limits { max_subscriptions: 1, max_payload: 8 }, users: [{ user: a, password: p }] } }";
    let server = server(config).await;
    let mut client = Client::open(&server).await;
    assert_eq!(client.number("max_payload"), 100);
    client.login(r#"{"verbose":false,"user":"a","pass":"p"}"#).await;
    client.send("SUB x 1\r\nSUB y 2\r\n").await;
    client.expect("-ERR 'maximum subscriptions exceeded'\r\n").await;
    client.publish("x", "12345678").await;
    client.expect("MSG x 1 8\r\n12345678\r\n").await;
    client.publish("x", "123456789").await;
    assert_eq!(client.rest().await, "-ERR 'Maximum Payload Violation'\r\n");
    server.shutdown().await;
}
