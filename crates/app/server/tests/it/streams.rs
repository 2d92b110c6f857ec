//! Stored streams over real sockets and a real store directory: what was acknowledged outlives the server.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use midge_server::Server;

use crate::support::{Client, server};

/// A store directory that is removed when the test ends.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("midge-streams-{}-{number}", std::process::id()));
        Folder(path)
    }

    pub(crate) async fn server(&self, more: &str) -> Server {
        let path = self.0.display();
        server(&format!("jetstream {{store_dir: \"{path}\", {more}}}")).await
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind lies in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A client with an inbox.
pub(crate) struct User {
    client: Client,
    next: u32,
}

impl User {
    pub(crate) async fn new(server: &Server) -> User {
        User::named(server, "").await
    }

    /// One whose password is the name.
    async fn named(server: &Server, name: &str) -> User {
        let mut client = Client::open(server).await;
        let login = format!(r#""user":"{name}","pass":"{name}","#);
        let login = if name.is_empty() { "" } else { &login };
        client.login(&format!(r#"{{{login}"verbose":false,"headers":true,"no_responders":true}}"#)).await;
        client.subscribe("in.>", "in").await;
        User { client, next: 0 }
    }

    /// Publishes with a reply subject and answers what comes there: the header block and the payload.
    pub(crate) async fn ask(&mut self, subject: &str, payload: &str) -> String {
        self.ask_with(subject, "", payload).await
    }

    async fn ask_with(&mut self, subject: &str, headers: &str, payload: &str) -> String {
        self.next += 1;
        let reply = format!("in.{}", self.next);
        if headers.is_empty() {
            self.client.send(&format!("PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len())).await;
        } else {
            let block = format!("NATS/1.0\r\n{headers}\r\n\r\n");
            let all = block.len() + payload.len();
            let line = format!("HPUB {subject} {reply} {} {all}\r\n{block}{payload}\r\n", block.len());
            self.client.send(&line).await;
        }
        self.message().await
    }

    /// The next message: its line without verb and subscription, and what it carries.
    async fn message(&mut self) -> String {
        let line = self.client.line().await;
        let len: usize = line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a message");
        let body = self.client.take(len + 2).await;
        let body = String::from_utf8(body).expect("text");
        format!("{line}\n{}", body.trim_end())
    }

    pub(crate) async fn api(&mut self, subject: &str, body: &str) -> String {
        self.ask(&format!("$JS.API.{subject}"), body).await
    }
}

const STREAM: &str = r#"{"name":"S","subjects":["s.>"],"retention":"limits","storage":"file","discard":"old","num_replicas":1,"allow_direct":true,"allow_rollup_hdrs":true}"#;

#[tokio::test]
async fn acknowledged_messages_and_consumers_are_there_after_a_restart() {
    let folder = Folder::new();
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let made = user.api("STREAM.CREATE.S", STREAM).await;
    assert!(made.contains("\"did_create\":true"), "{made}");
    for n in 1..=5 {
        let ack = user.ask(&format!("s.{n}"), "payload").await;
        assert!(ack.ends_with(&format!("{{\"stream\":\"S\",\"seq\":{n}}}")), "{ack}");
    }
    let consumer = r#"{"stream_name":"S","config":{"durable_name":"D","ack_policy":"explicit"}}"#;
    let made = user.api("CONSUMER.CREATE.S.D", consumer).await;
    assert!(made.contains("\"num_pending\":5"), "{made}");
    let message = user.ask("$JS.API.CONSUMER.MSG.NEXT.S.D", "1").await;
    let ack = message.split(' ').nth(3).expect("an acknowledgement subject").to_owned();
    assert!(ack.starts_with("$JS.ACK.S.D.1.1.1."), "{message}");
    user.ask(&ack, "+ACK").await;
    server.shutdown().await;

    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let info = user.api("STREAM.INFO.S", "").await;
    assert!(info.contains("\"messages\":5"), "{info}");
    let info = user.api("CONSUMER.INFO.S.D", "").await;
    assert!(info.contains(r#""ack_floor":{"consumer_seq":1,"stream_seq":1"#), "{info}");
    assert!(info.contains("\"num_pending\":4"), "{info}");
    let message = user.ask("$JS.API.CONSUMER.MSG.NEXT.S.D", "1").await;
    assert!(message.contains("$JS.ACK.S.D.1.2.2."), "{message}");
    server.shutdown().await;
}

#[tokio::test]
async fn duplicates_expectations_and_rollups_are_decided_in_order() {
    let folder = Folder::new();
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    user.api("STREAM.CREATE.S", STREAM).await;
    let ack = user.ask_with("s.a", "Nats-Msg-Id: 1", "x").await;
    assert!(ack.ends_with(r#"{"stream":"S","seq":1}"#), "{ack}");
    let ack = user.ask_with("s.a", "Nats-Msg-Id: 1", "x").await;
    assert!(ack.ends_with(r#"{"stream":"S","seq":1,"duplicate": true}"#), "{ack}");
    let refused = user.ask_with("s.a", "Nats-Expected-Last-Sequence: 7", "x").await;
    assert!(refused.contains(r#""err_code":10071,"description":"wrong last sequence: 1""#), "{refused}");
    for _ in 0..3 {
        user.ask("s.a", "old").await;
    }
    let ack = user.ask_with("s.a", "Nats-Rollup: sub", "new").await;
    assert!(ack.ends_with(r#"{"stream":"S","seq":5}"#), "{ack}");
    let info = user.api("STREAM.INFO.S", "").await;
    assert!(info.contains("\"messages\":1,"), "{info}");
    let last = user.ask("$JS.API.DIRECT.GET.S.s.a", "").await;
    assert!(last.ends_with("\nnew") && last.contains("Nats-Sequence: 5"), "{last}");
    let missing = user.ask("$JS.API.DIRECT.GET.S.s.none", "").await;
    assert!(missing.ends_with("NATS/1.0 404 Message Not Found"), "{missing}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_memory_stream_feeds_a_mirror_that_is_kept() {
    let folder = Folder::new();
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let origin = r#"{"name":"O","subjects":["o.>"],"storage":"memory"}"#;
    assert!(user.api("STREAM.CREATE.O", origin).await.contains("did_create"));
    for n in 1..=20 {
        user.ask(&format!("o.{n}"), "x").await;
    }
    let mirror = r#"{"name":"M","storage":"file","mirror":{"name":"O"}}"#;
    assert!(user.api("STREAM.CREATE.M", mirror).await.contains("did_create"));
    let info = loop {
        let info = user.api("STREAM.INFO.M", "").await;
        if info.contains("\"messages\":20") {
            break info;
        }
    };
    assert!(info.contains("\"first_seq\":1") && info.contains("\"last_seq\":20"), "{info}");
    server.shutdown().await;
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    assert!(user.api("STREAM.INFO.M", "").await.contains("\"messages\":20"));
    assert!(user.api("STREAM.INFO.O", "").await.contains("\"err_code\":10059"));
    server.shutdown().await;
}

#[tokio::test]
async fn a_deleted_stream_leaves_its_name_and_its_folder() {
    let folder = Folder::new();
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    for _ in 0..3 {
        assert!(user.api("STREAM.CREATE.S", STREAM).await.contains("did_create"));
        let ack = user.ask("s.1", "x").await;
        assert!(ack.ends_with(r#"{"stream":"S","seq":1}"#), "{ack}");
        assert!(user.api("STREAM.DELETE.S", "").await.contains("\"success\":true"));
        let nobody = user.ask("s.1", "x").await;
        assert!(nobody.contains("503"), "{nobody}");
    }
    let streams = folder.0.join("jetstream/$G/streams");
    let left: Vec<_> = std::fs::read_dir(&streams).expect("the folder").flatten().map(|e| e.path()).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
    server.shutdown().await;
}

#[tokio::test]
async fn an_encrypted_directory_opens_with_its_key_and_not_without() {
    let folder = Folder::new();
    let server = folder.server("key: secret").await;
    let mut user = User::new(&server).await;
    user.api("STREAM.CREATE.S", STREAM).await;
    user.ask("s.1", "not to be found in any file").await;
    server.shutdown().await;
    let block = folder.0.join("jetstream/$G/streams/S/msgs/1.blk");
    let bytes = std::fs::read(block).expect("the block");
    assert!(!bytes.windows(9).any(|part| part == b"not to be"));

    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let info = user.api("STREAM.INFO.S", "").await;
    assert!(info.contains("offline") && info.contains("unable to recover keys"), "{info}");
    server.shutdown().await;

    let server = folder.server("key: other, prev_key: secret, cipher: aes").await;
    let mut user = User::new(&server).await;
    let message = user.ask("$JS.API.DIRECT.GET.S.s.1", "").await;
    assert!(message.ends_with("not to be found in any file"), "{message}");
    server.shutdown().await;
}

/// What was taken from a source and consumed is not taken again after a restart, though no message is left that tells how far the source was read.
#[tokio::test]
async fn a_work_queue_is_not_fed_twice_by_its_source() {
    let folder = Folder::new();
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    user.api("STREAM.CREATE.O", r#"{"name":"O","subjects":["o"]}"#).await;
    user.api("STREAM.CREATE.W", r#"{"name":"W","retention":"workqueue","sources":[{"name":"O"}]}"#).await;
    let consumer = r#"{"stream_name":"W","config":{"durable_name":"D","ack_policy":"explicit"}}"#;
    user.api("CONSUMER.CREATE.W.D", consumer).await;
    let work = async |user: &mut User, payload: &str| {
        user.ask("o", payload).await;
        let message = user.ask("$JS.API.CONSUMER.MSG.NEXT.W.D", r#"{"batch":1,"expires":60000000000}"#).await;
        assert!(message.ends_with(payload), "{message}");
        let ack = message.split(' ').nth(3).expect("an acknowledgement subject").to_owned();
        user.ask(&ack, "+ACK").await;
    };
    // The last block is given up when it holds nothing but 64 KiB of deleted records.
    for number in 1..=6 {
        work(&mut user, &format!("{number:030000}")).await;
    }
    server.shutdown().await;

    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    work(&mut user, "after").await;
    let info = user.api("STREAM.INFO.W", "").await;
    assert!(info.contains(r#""messages":0,"#) && info.contains(r#""last_seq":7,"#), "{info}");
    server.shutdown().await;
}

/// Who publishes without asking for acknowledgements, and asks the API next on the same connection, is told of every message: the answer waits
/// until they may be seen.
#[tokio::test]
async fn what_is_asked_after_a_publish_counts_it() {
    let folder = Folder::new();
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    for storage in ["file", "memory"] {
        let config = format!(r#"{{"name":"{storage}","subjects":["{storage}.*"],"storage":"{storage}"}}"#);
        user.api(&format!("STREAM.CREATE.{storage}"), &config).await;
        for count in 1..=100 {
            let publish = |subject: &str, body: &str| format!("PUB {subject} {}\r\n{body}\r\n", body.len());
            let ask = |call: &str, inbox: &str, body: &str| {
                format!("PUB $JS.API.{call}.{storage} {inbox} {}\r\n{body}\r\n", body.len())
            };
            let consumer = format!(
                r#"{{"stream_name":"{storage}","config":{{"ack_policy":"none","inactive_threshold":{}}}}}"#,
                60_000_000_000_u64
            );
            let sent = publish(&format!("{storage}.{count}"), "x")
                + &ask("CONSUMER.CREATE", "in.created", &consumer)
                + &ask("CONSUMER.NAMES", "in.names", "")
                + &ask("STREAM.INFO", "in.info", "");
            user.client.send(&sent).await;
            let mut answers = [user.message().await, user.message().await, user.message().await];
            answers.sort();
            let [created, info, names] = answers;
            assert!(created.contains(&format!(r#""num_pending":{count},"#)), "{count}: {created}");
            assert!(names.contains(&format!(r#""total":{count},"#)), "{count}: {names}");
            for told in ["messages", "num_subjects", "last_seq"] {
                assert!(info.contains(&format!(r#""{told}":{count},"#)), "{count}: {info}");
            }
        }
    }
    server.shutdown().await;
}

/// A consumer whose metadata cannot be read may need any message of a stream that keeps what somebody needs.
#[tokio::test]
async fn nothing_goes_while_a_consumer_cannot_be_read() {
    let folder = Folder::new();
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    user.api("STREAM.CREATE.I", r#"{"name":"I","subjects":["i.>"],"retention":"interest"}"#).await;
    for name in ["C", "D"] {
        let consumer =
            format!(r#"{{"stream_name":"I","config":{{"durable_name":"{name}","ack_policy":"explicit"}}}}"#);
        user.api(&format!("CONSUMER.CREATE.I.{name}"), &consumer).await;
    }
    user.ask("i.1", "x").await;
    let message = user.ask("$JS.API.CONSUMER.MSG.NEXT.I.D", "1").await;
    let ack = message.split(' ').nth(3).expect("an acknowledgement subject").to_owned();
    user.ask(&ack, "+ACK").await;
    server.shutdown().await;
    let meta = folder.0.join("jetstream/$G/streams/I/obs/C/meta.inf");
    std::fs::write(&meta, "no metadata").expect("the consumer has a file");

    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let info = user.api("STREAM.INFO.I", "").await;
    assert!(info.contains("\"messages\":1,") && info.contains("\"consumer_count\":1"), "{info}");
    user.ask("i.2", "x").await;
    let message = user.ask("$JS.API.CONSUMER.MSG.NEXT.I.D", "1").await;
    let ack = message.split(' ').nth(3).expect("an acknowledgement subject").to_owned();
    user.ask(&ack, "+ACK").await;
    let info = user.api("STREAM.INFO.I", "").await;
    assert!(info.contains("\"messages\":2,"), "{info}");
    let deleted = user.api("CONSUMER.DELETE.I.C", "").await;
    assert!(deleted.contains("\"success\":true"), "{deleted}");
    let info = user.api("STREAM.INFO.I", "").await;
    assert!(info.contains("\"messages\":0,"), "{info}");
    let again = user.api("CONSUMER.DELETE.I.C", "").await;
    assert!(again.contains("10014"), "{again}");
    server.shutdown().await;
    assert!(!meta.exists(), "its files go with it");
}

/// What comes in one turn of a stream counts before the server is told of it.
#[tokio::test]
async fn what_a_stream_may_take_is_not_passed_by_what_comes_at_once() {
    let folder = Folder::new();
    let server = folder.server("max_file: 1MB").await;
    let mut user = User::new(&server).await;
    user.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s"],"storage":"file"}"#).await;
    let message = "m".repeat(60_000);
    let all: String = (0..100).map(|n| format!("PUB s in.{n} {}\r\n{message}\r\n", message.len())).collect();
    user.client.send(&all).await;
    let mut stored = 0;
    for _ in 0..100 {
        let answer = user.message().await;
        if answer.contains(r#""seq":0"#) {
            assert!(answer.contains("10023"), "{answer}");
        } else {
            stored += 1;
        }
    }
    // The one with which the limit is passed is the last.
    assert_eq!(stored, (1 << 20) / 60_000 + 1);
    server.shutdown().await;
}

#[tokio::test]
async fn an_account_that_is_purged_loses_streams_that_nobody_serves_as_well() {
    let folder = Folder::new();
    let accounts = "}\nsystem_account: S\naccounts {\
         A {jetstream: enabled, users: [{user: a, password: a}]}, S {users: [{user: s, password: s}]}";
    let server = folder.server(accounts).await;
    let mut user = User::named(&server, "a").await;
    user.api("STREAM.CREATE.S", STREAM).await;
    user.api("STREAM.CREATE.T", r#"{"name":"T","subjects":["t"],"storage":"file"}"#).await;
    server.shutdown().await;
    let stream = folder.0.join("jetstream/A/streams/S");
    std::fs::write(stream.join("meta.inf"), "{").expect("damaged");

    let server = folder.server(accounts).await;
    let mut user = User::named(&server, "a").await;
    let info = user.api("STREAM.INFO.S", "").await;
    assert!(info.contains("offline"), "{info}");
    let purged = User::named(&server, "s").await.api("ACCOUNT.PURGE.A", "").await;
    assert!(purged.contains(r#""initiated":true"#), "{purged}");
    // Whoever wants the names waits until they are free.
    for name in ["S", "T"] {
        let config = format!(r#"{{"name":"{name}","subjects":["{name}.*"],"storage":"memory"}}"#);
        let made = user.api(&format!("STREAM.CREATE.{name}"), &config).await;
        assert!(made.contains(r#""did_create":true"#), "{made}");
    }
    assert!(!stream.exists());
    server.shutdown().await;
}
