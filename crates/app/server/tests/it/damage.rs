//! Metadata that cannot be read: what it belonged to can be made again, and nothing else is lost.

use std::path::{Path, PathBuf};

use crate::streams::{Folder, User};

const DURABLE: &str = r#"{"stream_name":"S","config":{"durable_name":"C","ack_policy":"explicit"}}"#;

/// A stream with five messages; its consumer has got three, and acknowledged the first two.
async fn fill(folder: &Folder, settings: &str) {
    let server = folder.server(settings).await;
    let mut user = User::new(&server).await;
    user.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#).await;
    for n in 1..=5 {
        user.ask(&format!("s.{n}"), "x").await;
    }
    user.api("CONSUMER.CREATE.S.C", DURABLE).await;
    for n in 1..=3 {
        let message = user.ask("$JS.API.CONSUMER.MSG.NEXT.S.C", "1").await;
        let ack = message.split(' ').nth(3).expect("an acknowledgement subject").to_owned();
        if n < 3 {
            user.ask(&ack, "+ACK").await;
        }
    }
    server.shutdown().await;
}

fn in_stream(folder: &Folder, path: &str) -> PathBuf {
    folder.0.join("jetstream/$G/streams/S").join(path)
}

/// Writes what is no metadata.
fn damage(path: &Path) {
    assert!(path.exists(), "{}", path.display());
    std::fs::write(path, "no metadata").expect("a file");
}

/// Whether a copy of what [`damage`] wrote was kept.
fn is_kept(folder: &Folder, path: &str) -> bool {
    let folder = folder.0.join("jetstream/.midge/quarantine/$G/streams/S").join(path);
    std::fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.any(|entry| {
            let entry = entry.expect("an entry");
            let named = entry.file_name().to_string_lossy().starts_with("meta.inf.");
            named && std::fs::read(entry.path()).is_ok_and(|bytes| bytes == b"no metadata")
        })
    })
}

const SETTINGS: [&str; 3] = ["", "key: secret", "key: secret, cipher: aes"];

#[tokio::test]
async fn a_consumer_that_is_made_again_goes_on_where_it_was() {
    for settings in SETTINGS {
        let folder = Folder::new();
        fill(&folder, settings).await;
        damage(&in_stream(&folder, "obs/C/meta.inf"));
        let server = folder.server(settings).await;
        let mut user = User::new(&server).await;
        let info = user.api("CONSUMER.INFO.S.C", "").await;
        assert!(info.contains("10014"), "{info}");
        let made = user.api("CONSUMER.CREATE.S.C", DURABLE).await;
        let there = [
            r#""delivered":{"consumer_seq":3,"stream_seq":3"#,
            r#""ack_floor":{"consumer_seq":2,"stream_seq":2"#,
            r#""num_ack_pending":1,"#,
            r#""num_pending":2,"#,
        ];
        for part in there {
            assert!(made.contains(part), "{settings}: {part}: {made}");
        }
        server.shutdown().await;
        assert!(is_kept(&folder, "obs/C"));

        let server = folder.server(settings).await;
        let mut user = User::new(&server).await;
        let info = user.api("CONSUMER.INFO.S.C", "").await;
        for part in there {
            assert!(info.contains(part), "{settings}: {part}: {info}");
        }
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_stream_that_is_made_again_has_its_messages_and_consumers() {
    for settings in SETTINGS {
        let folder = Folder::new();
        fill(&folder, settings).await;
        damage(&in_stream(&folder, "meta.inf"));
        let server = folder.server(settings).await;
        let mut user = User::new(&server).await;
        let info = user.api("STREAM.INFO.S", "").await;
        assert!(info.contains("10194"), "{info}");
        let made = user.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["t.*"],"max_msgs":9}"#).await;
        assert!(
            made.contains("\"messages\":5,") && made.contains("\"did_create\":true"),
            "{settings}: {made}"
        );
        let ack = user.ask("t.6", "x").await;
        assert!(ack.contains("\"seq\":6"), "{ack}");
        server.shutdown().await;
        assert!(is_kept(&folder, ""));

        let server = folder.server(settings).await;
        let mut user = User::new(&server).await;
        let info = user.api("STREAM.INFO.S", "").await;
        assert!(info.contains("\"messages\":6,") && info.contains("\"t.*\""), "{settings}: {info}");
        let info = user.api("CONSUMER.INFO.S.C", "").await;
        assert!(info.contains(r#""ack_floor":{"consumer_seq":2,"stream_seq":2"#), "{settings}: {info}");
        server.shutdown().await;
    }
}

/// What a machine that fails leaves of files that were never synced.
#[tokio::test]
async fn metadata_that_is_empty_or_zero_concerns_nothing_else() {
    for left in [vec![], vec![0; 300]] {
        for path in ["meta.inf", "obs/C/meta.inf"] {
            let folder = Folder::new();
            fill(&folder, "").await;
            let server = folder.server("").await;
            let mut user = User::new(&server).await;
            user.api("STREAM.CREATE.T", r#"{"name":"T","subjects":["t"]}"#).await;
            user.ask("t", "x").await;
            server.shutdown().await;
            std::fs::write(in_stream(&folder, path), &left).expect("a file");

            let server = folder.server("").await;
            let mut user = User::new(&server).await;
            let info = user.api("STREAM.INFO.T", "").await;
            assert!(info.contains("\"messages\":1,"), "{info}");
            let (info, expected) = match path {
                "meta.inf" => (user.api("STREAM.INFO.S", "").await, "10194"),
                _ => (user.api("CONSUMER.INFO.S.C", "").await, "10014"),
            };
            assert!(info.contains(expected), "{path}: {info}");
            user.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#).await;
            let info = user.api("STREAM.INFO.S", "").await;
            assert!(info.contains("\"messages\":5,"), "{path}: {info}");
            let made = user.api("CONSUMER.CREATE.S.C", DURABLE).await;
            assert!(made.contains(r#""ack_floor":{"consumer_seq":2,"stream_seq":2"#), "{path}: {made}");
            server.shutdown().await;
        }
    }
}

/// Its state is damaged, and nothing else.
#[tokio::test]
async fn a_consumer_without_its_state_begins_anew() {
    let folder = Folder::new();
    fill(&folder, "").await;
    let state = in_stream(&folder, "obs/C/o.dat");
    damage(&state);
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let info = user.api("CONSUMER.INFO.S.C", "").await;
    assert!(info.contains(r#""delivered":{"consumer_seq":0,"stream_seq":0"#), "{info}");
    assert!(info.contains(r#""num_pending":5,"#), "{info}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_stream_is_not_made_again_where_messages_would_go() {
    let folder = Folder::new();
    fill(&folder, "").await;
    let meta = in_stream(&folder, "meta.inf");
    damage(&meta);
    std::fs::rename(in_stream(&folder, "obs"), folder.0.join("obs")).expect("consumers");
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let memory = user.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"],"storage":"memory"}"#).await;
    assert!(memory.contains("10058"), "{memory}");
    let interest =
        user.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"],"retention":"interest"}"#).await;
    assert!(interest.contains("10049") && interest.contains("retention interest"), "{interest}");
    let info = user.api("STREAM.INFO.S", "").await;
    assert!(info.contains("10194"), "{info}");
    let update = user.api("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s.>"]}"#).await;
    assert!(update.contains("10194"), "{update}");
    server.shutdown().await;
    assert_eq!(std::fs::read(&meta).expect("a file"), b"no metadata");

    // Its consumer has acknowledged messages that a work queue would not have any more.
    std::fs::rename(folder.0.join("obs"), in_stream(&folder, "obs")).expect("consumers");
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let queue =
        user.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"],"retention":"workqueue"}"#).await;
    assert!(queue.contains("10049") && queue.contains("retention workqueue"), "{queue}");
    let limits = user.api("STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#).await;
    assert!(limits.contains("\"messages\":5,"), "{limits}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_stream_of_a_newer_server_is_offline() {
    let folder = Folder::new();
    fill(&folder, "").await;
    let path = in_stream(&folder, "meta.inf");
    let meta = std::fs::read_to_string(&path).expect("metadata");
    let newer = meta.replacen(r#""_nats.req.level":"0""#, r#""_nats.req.level":"99""#, 1);
    assert_ne!(newer, meta, "{meta}");
    std::fs::write(&path, &newer).expect("a file");
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let why = "stream is offline: unsupported - required API level: 99, current API level: 5";
    for (subject, body) in [
        ("STREAM.INFO.S", ""),
        ("STREAM.PURGE.S", ""),
        ("STREAM.UPDATE.S", r#"{"name":"S","subjects":["s.>"]}"#),
        ("CONSUMER.CREATE.S.C", DURABLE),
        ("CONSUMER.INFO.S.C", ""),
    ] {
        let told = user.api(subject, body).await;
        assert!(told.contains(why), "{subject}: {told}");
    }
    let names = user.api("STREAM.NAMES", "").await;
    assert!(names.contains(r#""streams":["S"]"#), "{names}");
    server.shutdown().await;
    assert_eq!(std::fs::read_to_string(&path).expect("metadata"), newer, "its files are as they were");
    std::fs::write(&path, meta).expect("a file");
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let info = user.api("STREAM.INFO.S", "").await;
    assert!(info.contains("\"messages\":5,") && info.contains("\"consumer_count\":1"), "{info}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_stream_with_a_consumer_of_a_newer_server_is_offline() {
    let folder = Folder::new();
    fill(&folder, "").await;
    let path = in_stream(&folder, "obs/C/meta.inf");
    let meta = std::fs::read_to_string(&path).expect("metadata");
    let newer = meta.replacen(r#""_nats.req.level":"0""#, r#""_nats.req.level":"99""#, 1);
    assert_ne!(newer, meta, "{meta}");
    std::fs::write(&path, newer).expect("a file");
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let stopped = r#"stopped - unsupported consumer \"C\""#;
    let why = "unsupported - required API level: 99, current API level: 5";
    for (subject, expected) in [
        ("STREAM.INFO.S", format!("stream is offline: {stopped}")),
        ("STREAM.LIST", format!(r#""missing":["S"],"offline":{{"S":"{stopped}"}}"#)),
        ("CONSUMER.INFO.S.C", format!("consumer is offline: {why}")),
        ("CONSUMER.INFO.S.D", format!("stream is offline: {stopped}")),
        ("CONSUMER.NAMES.S", r#""consumers":["C"]"#.to_owned()),
        ("CONSUMER.LIST.S", format!(r#""missing":["C"],"offline":{{"C":"{why}"}}"#)),
    ] {
        let told = user.api(subject, "").await;
        assert!(told.contains(&expected), "{subject}: {told}");
    }
    let refused = user.api("CONSUMER.CREATE.S.C", DURABLE).await;
    assert!(refused.contains("10194"), "{refused}");
    server.shutdown().await;
    std::fs::write(&path, meta).expect("a file");
    let server = folder.server("").await;
    let mut user = User::new(&server).await;
    let info = user.api("CONSUMER.INFO.S.C", "").await;
    assert!(info.contains(r#""ack_floor":{"consumer_seq":2,"stream_seq":2"#), "{info}");
    server.shutdown().await;
}
