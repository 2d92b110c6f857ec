//! The walk of `docs/migrating.md`, with real servers: `walk --reference PATH --server PATH`.
//!
//! ```text
//!   Go: streams, consumers, pending acknowledgements ─ stop, or kill ─▶ midge: the same is told; more is done ─ stop, or kill ─▶ Go: the same is told
//! ```
//!
//! Compared are the infos of all streams and consumers, and every message, as the API tells them; plain and encrypted.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::Client;
use futures_util::StreamExt as _;
use midge_testkit::server::Server;
use serde_json::{Value, json};

/// How a server is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stop,
    Kill,
}

/// Fields that say when and where they were told.
const VARYING: [&str; 5] = ["ts", "cluster", "num_waiting", "domain", "last_active"];

struct Walk {
    folder: PathBuf,
    options: &'static str,
}

impl Walk {
    async fn server(&self, program: &Path) -> Result<(Server, Client)> {
        let store = self.folder.join("store");
        let config = format!("jetstream {{store_dir: \"{}\"{}}}\n", store.display(), self.options);
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join("server.conf");
        std::fs::write(&path, config)?;
        let arguments = ["-c".to_owned(), path.display().to_string()];
        let server = Server::start(program, &self.folder, &arguments, &[]).await?;
        let client = async_nats::connect(format!("127.0.0.1:{}", server.port)).await?;
        Ok((server, client))
    }

    async fn end(&self, mut server: Server, end: End) -> Result<()> {
        match end {
            End::Stop => {
                server.signal("TERM")?;
                server.exit().await?;
            }
            End::Kill => server.kill().await?,
        }
        Ok(())
    }
}

async fn api(client: &Client, subject: &str, body: Value) -> Result<Value> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = client.request(format!("$JS.API.{subject}"), body.into());
    let reply = tokio::time::timeout(Duration::from_secs(10), request)
        .await
        .with_context(|| subject.to_owned())??;
    Ok(serde_json::from_slice(&reply.payload)?)
}

async fn done(client: &Client, subject: &str, body: Value) -> Result<Value> {
    let answer = api(client, subject, body).await?;
    ensure!(answer.get("error").is_none(), "{subject}: {answer}");
    Ok(answer)
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            VARYING.iter().for_each(|field| {
                map.remove(*field);
            });
            map.values_mut().for_each(strip);
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

/// Everything that the API tells of what is stored.
async fn told(client: &Client) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    let names = done(client, "STREAM.NAMES", Value::Null).await?;
    for stream in names["streams"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let asked = json!({"deleted_details": true, "subjects_filter": ">"});
        let mut info = done(client, &format!("STREAM.INFO.{stream}"), asked).await?;
        strip(&mut info);
        let (first, last) = (info["state"]["first_seq"].as_u64(), info["state"]["last_seq"].as_u64());
        for seq in first.unwrap_or(1).max(1)..=last.unwrap_or(0) {
            let message = api(client, &format!("STREAM.MSG.GET.{stream}"), json!({"seq": seq})).await?;
            all.insert(format!("{stream} {seq:06}"), message);
        }
        let mut consumers = done(client, &format!("CONSUMER.LIST.{stream}"), Value::Null).await?;
        strip(&mut consumers);
        all.insert(format!("{stream} consumers"), consumers["consumers"].take());
        all.insert(stream.to_owned(), info);
    }
    Ok(all)
}

fn compare(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Result<()> {
    for (what, value) in before {
        match after.get(what) {
            Some(there) if there == value => {}
            there => bail!("{what}: {value} became {there:?}"),
        }
    }
    ensure!(before.len() == after.len(), "there is more: {:?}", after.keys().collect::<Vec<_>>());
    Ok(())
}

async fn make(client: &Client) -> Result<()> {
    for (name, more) in [
        ("ORDERS", json!({"subjects": ["orders.>"], "max_msgs": 150})),
        ("JOBS", json!({"subjects": ["jobs.>"], "retention": "workqueue"})),
        (
            "KV_B",
            json!({"subjects": ["$KV.B.>"], "max_msgs_per_subject": 3, "allow_rollup_hdrs": true, "deny_delete": true}),
        ),
        ("PACKED", json!({"subjects": ["packed"], "compression": "s2", "allow_msg_ttl": true})),
    ] {
        let mut config = json!({"name": name, "storage": "file", "num_replicas": 1});
        if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
            config.extend(more);
        }
        done(client, &format!("STREAM.CREATE.{name}"), config).await?;
    }
    for (stream, consumer, more) in [
        ("ORDERS", "explicit", json!({"ack_policy": "explicit", "ack_wait": 3_600_000_000_000_u64})),
        (
            "ORDERS",
            "all",
            json!({"ack_policy": "all", "filter_subject": "orders.1", "ack_wait": 3_600_000_000_000_u64}),
        ),
        (
            "JOBS",
            "worker",
            json!({"ack_policy": "explicit", "max_deliver": 5, "ack_wait": 3_600_000_000_000_u64}),
        ),
    ] {
        let mut config = json!({"durable_name": consumer});
        if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
            config.extend(more);
        }
        let body = json!({"stream_name": stream, "config": config});
        done(client, &format!("CONSUMER.CREATE.{stream}.{consumer}"), body).await?;
    }
    Ok(())
}

/// Publishes, deletes, and consumes; some of it is acknowledged.
async fn use_it(client: &Client, round: usize) -> Result<()> {
    for n in 0..60 {
        for subject in [format!("orders.{}", n % 4), format!("jobs.{n}"), format!("$KV.B.key{}", n % 7)] {
            publish(client, subject, format!("round {round}, message {n}")).await?;
        }
        publish(client, "packed".into(), "x".repeat(40 * n)).await?;
    }
    let last =
        done(client, "STREAM.INFO.ORDERS", Value::Null).await?["state"]["last_seq"].as_u64().unwrap_or(0);
    done(client, "STREAM.MSG.DELETE.ORDERS", json!({"seq": last - 5})).await?;
    done(client, "STREAM.PURGE.KV_B", json!({"filter": "$KV.B.key3"})).await?;
    for (stream, consumer) in [("ORDERS", "explicit"), ("ORDERS", "all"), ("JOBS", "worker")] {
        let inbox = client.new_inbox();
        let mut messages = client.subscribe(inbox.clone()).await?;
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        client.publish_with_reply(next, inbox, "10".into()).await?;
        for n in 0..10 {
            let message = tokio::time::timeout(Duration::from_secs(5), messages.next()).await?;
            let reply = message.and_then(|message| message.reply).context("a message with a reply")?;
            if n % 3 == 0 {
                // Confirmed, so that it is kept whatever ends the server.
                client.request(reply, "+ACK".into()).await?;
            }
        }
    }
    Ok(())
}

async fn publish(client: &Client, subject: String, payload: String) -> Result<()> {
    let reply = client.request(subject, payload.into()).await?;
    let answer: Value = serde_json::from_slice(&reply.payload)?;
    ensure!(answer.get("error").is_none(), "{answer}");
    Ok(())
}

async fn walk(
    reference: &Path,
    midge: &Path,
    options: &'static str,
    end: End,
    folder: PathBuf,
) -> Result<usize> {
    let _ = std::fs::remove_dir_all(&folder);
    let walk = Walk { folder, options };
    let (server, client) = walk.server(reference).await?;
    make(&client).await?;
    let mut compared = 0;
    let mut current = (server, client);
    for (round, program) in [midge, reference, midge].into_iter().enumerate() {
        use_it(&current.1, round).await?;
        // The Go server keeps the state of consumers for a moment before it writes it; a kill would show an older one.
        let from_go = round % 2 == 0;
        let end = if from_go { End::Stop } else { end };
        let mut before = told(&current.1).await?;
        walk.end(current.0, end).await?;
        current = walk.server(program).await?;
        let mut after = told(&current.1).await?;
        if end == End::Kill {
            // What only our journal has of consumers is for us to read: the Go server begins at their last files. And what limits have removed leaves no
            // record: without an index it may come back there, as after a kill of its own.
            let limited = |what: &str| what.starts_with("ORDERS") || what.starts_with("KV_B");
            for told in [&mut before, &mut after] {
                told.retain(|what, _| !what.ends_with(" consumers") && !limited(what));
            }
        }
        compare(&before, &after).with_context(|| format!("round {round}, {options:?}, {end:?}"))?;
        compared += after.len();
    }
    walk.end(current.0, End::Stop).await?;
    let _ = std::fs::remove_dir_all(&walk.folder);
    Ok(compared)
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut reference, mut midge) = (None, None);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().map(PathBuf::from);
        match argument.as_str() {
            "--reference" => reference = value,
            "--server" => midge = value,
            other => bail!("unknown argument {other}"),
        }
    }
    let (reference, midge) = (reference.context("--reference PATH")?, midge.context("--server PATH")?);
    let folder = std::env::temp_dir().join(format!("midge-walk-{}", std::process::id()));
    let mut compared = 0;
    for options in ["", ", key: \"a key\"", ", key: \"a key\", cipher: aes"] {
        for end in [End::Stop, End::Kill] {
            compared += walk(&reference, &midge, options, end, folder.clone()).await?;
        }
    }
    println!(
        "6 walks from the Go server to midge, back, and to midge again: {compared} infos and messages, all as before"
    );
    Ok(())
}
