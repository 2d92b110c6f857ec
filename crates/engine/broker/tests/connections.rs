//! Connections driven from outside, as an edge drives them: what the simulator found, small enough to read.
#![cfg(not(feature = "shuttle"))]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use midge_auth::decide::{Setting, Users};
use midge_broker::account::Accounts;
use midge_broker::batch::Batch;
use midge_broker::broker::Broker;
use midge_broker::conn::{ClientConn, Flow};
use midge_broker::reason::Reason;
use midge_broker::settings::Settings;
use midge_config::schema::authorization::{Authorization, Permissions, ResponsePermission, User};
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Seeded;

/// A server with the users `all`, who may do everything, and `service`, who may only answer.
struct Server {
    broker: Arc<Broker>,
    batch: Batch,
}

struct Client {
    conn: ClientConn,
    seen: usize,
}

fn now() -> Now {
    Now { mono: Mono(1_000_000_000), wall: Wall(1) }
}

impl Server {
    fn new() -> Server {
        let user = |name: &str| User { username: name.into(), password: "p".into(), ..User::default() };
        let responses = Some(ResponsePermission { max_msgs: 1, expires: Some(Duration::from_secs(9)) });
        let permissions = Some(Permissions { responses, ..Permissions::default() });
        let users = vec![user("all"), User { permissions, ..user("service") }];
        let config = Authorization { users, ..Authorization::default() };
        let users = Users::compile(&config, Setting::default()).0;
        let accounts = Accounts::new(None, &[], 1);
        let broker = Broker::new(Settings::default(), users, accounts, Box::new(Seeded::new(1)), 1);
        Server { broker, batch: Batch::new(0, 1) }
    }

    fn connect(&mut self, user: &str) -> Client {
        self.batch.begin(now());
        let mut conn = self.broker.accept(None, 0, now());
        conn.greet(&mut self.batch);
        let mut client = Client { conn, seen: 0 };
        client.seen = client.conn.peer().queue().pending();
        let login =
            format!("CONNECT {{\"verbose\":false,\"headers\":true,\"user\":\"{user}\",\"pass\":\"p\"}}\r\n");
        assert!(matches!(self.send(&mut client, &login), Flow::Continue));
        client
    }

    fn send(&mut self, client: &mut Client, text: &str) -> Flow {
        let input = Bytes::copy_from_slice(text.as_bytes());
        self.batch.begin(now());
        client.conn.ingest(&mut self.batch, &input).flow
    }

    /// What was queued for a client since the last call.
    fn receive(client: &mut Client) -> String {
        let queue = client.conn.peer().queue();
        let mut bytes = Vec::new();
        queue.copy_last(queue.pending() - client.seen, &mut bytes);
        client.seen = queue.pending();
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn only_requests_that_were_delivered_may_be_answered() {
    let mut server = Server::new();
    let (mut asker, mut service) = (server.connect("all"), server.connect("service"));
    server.send(&mut service, "SUB ask 1\r\nUNSUB 1 1\r\n");
    server.send(&mut asker, "SUB r.* 1\r\nPUB ask r.1 0\r\n\r\nPUB ask r.2 0\r\n\r\n");
    assert_eq!(Server::receive(&mut service), "MSG ask 1 r.1 0\r\n\r\n");
    server.send(&mut service, "PUB r.1 0\r\n\r\nPUB r.2 0\r\n\r\n");
    assert_eq!(Server::receive(&mut asker), "MSG r.1 1 0\r\n\r\n");
    let refused = "-ERR 'Permissions Violation for Publish to \"r.2\"'\r\n";
    assert_eq!(Server::receive(&mut service), refused);
}

#[test]
fn a_closed_connection_is_shown_without_the_subscriptions_that_had_ended() {
    let mut server = Server::new();
    let (mut publisher, mut consumer) = (server.connect("all"), server.connect("all"));
    server.send(&mut consumer, "SUB a 1\r\nUNSUB 1 1\r\nSUB b 2\r\n");
    server.send(&mut publisher, "PUB a 0\r\n\r\n");
    consumer.conn.close(&mut server.batch, Reason::ClientClosed);
    let closed = server.broker.closed_connections();
    let sids: Vec<&[u8]> = closed[0].subscriptions.iter().map(|s| s.sid()).collect();
    assert_eq!(sids, [b"2"]);
}

#[test]
fn a_second_connect_that_is_no_json_drops_nothing_before_the_close() {
    let mut server = Server::new();
    let mut client = server.connect("all");
    server.send(&mut client, "SUB a 1\r\n");
    let flow = server.send(&mut client, "CONNECT {\"verbose\":1}\r\n");
    assert!(matches!(flow, Flow::Close(Reason::ProtocolViolation)));
    client.conn.close(&mut server.batch, Reason::ProtocolViolation);
    assert_eq!(server.broker.closed_connections()[0].subscriptions.len(), 1);
}
