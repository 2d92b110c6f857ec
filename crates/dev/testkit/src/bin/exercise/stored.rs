//! Streams: key-value and object buckets, consumers of every kind, batches, direct gets.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::consumer::{self, AckPolicy, PullConsumer, PushConsumer};
use async_nats::jetstream::{self, Context, kv, object_store, stream};
use async_nats::{Client, HeaderMap};
use futures_util::{Stream, StreamExt, TryStreamExt};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::PATIENCE;

/// Everything about streams.
pub(crate) async fn exercise(client: &Client) -> Result<()> {
    let js = jetstream::new(client.clone());
    step("key-value", key_value(&js)).await?;
    step("key with a time to live", key_ttl(&js)).await?;
    step("object store", objects(&js)).await?;
    step("consumers", consumers(&js)).await?;
    step("duplicates", duplicates(&js)).await?;
    step("atomic batch", batch(client, &js)).await?;
    step("streams", manage(&js)).await
}

async fn step(name: &'static str, work: impl Future<Output = Result<()>>) -> Result<()> {
    timeout(6 * PATIENCE, work).await.context("it does not end").flatten().context(name)?;
    println!("{name}");
    Ok(())
}

async fn next<T, E: std::error::Error + Send + Sync + 'static>(
    stream: &mut (impl Stream<Item = Result<T, E>> + Unpin),
) -> Result<T> {
    Ok(timeout(PATIENCE, stream.next()).await?.context("the end")??)
}

async fn key_value(js: &Context) -> Result<()> {
    let config = kv::Config { bucket: "rs".into(), history: 5, ..Default::default() };
    let bucket = js.create_key_value(config).await?;
    let mut watch = bucket.watch_all().await?;
    let first = bucket.put("a.b", "one".into()).await?;
    let second = bucket.update("a.b", "two".into(), first).await?;
    ensure!((first, second) == (1, 2), "revisions {first} {second}");
    ensure!(bucket.update("a.b", "three".into(), first).await.is_err(), "an old revision was taken");
    ensure!(bucket.create("a.b", "again".into()).await.is_err(), "a key was created twice");
    ensure!(bucket.get("a.b").await?.as_deref() == Some(b"two"), "the last value");
    let old = bucket.entry_for_revision("a.b", 1).await?.context("the first revision")?;
    ensure!(old.value == "one", "{old:?}");
    bucket.put("c", "see".into()).await?;
    let mut keys: Vec<String> = bucket.keys().await?.try_collect().await?;
    keys.sort();
    ensure!(keys == ["a.b", "c"], "{keys:?}");
    let history: Vec<kv::Entry> = bucket.history("a.b").await?.try_collect().await?;
    ensure!(history.iter().map(|entry| &entry.value[..]).eq([&b"one"[..], b"two"]), "{history:?}");
    bucket.delete("a.b").await?;
    ensure!(bucket.get("a.b").await?.is_none(), "a deleted key");
    bucket.create("a.b", "born again".into()).await?;
    bucket.purge("a.b").await?;
    let keys: Vec<String> = bucket.keys().await?.try_collect().await?;
    ensure!(keys == ["c"], "{keys:?}");
    for expected in [
        ("a.b", kv::Operation::Put),
        ("a.b", kv::Operation::Put),
        ("c", kv::Operation::Put),
        ("a.b", kv::Operation::Delete),
        ("a.b", kv::Operation::Put),
        ("a.b", kv::Operation::Purge),
    ] {
        let entry = next(&mut watch).await?;
        ensure!((entry.key.as_str(), entry.operation) == expected, "{entry:?} instead of {expected:?}");
    }
    ensure!(bucket.get("nobody").await?.is_none(), "a key that nobody put");
    js.delete_key_value("rs").await?;
    Ok(())
}

async fn key_ttl(js: &Context) -> Result<()> {
    let marker = Some(Duration::from_secs(60));
    let config = kv::Config { bucket: "rsttl".into(), limit_markers: marker, ..Default::default() };
    let bucket = js.create_key_value(config).await?;
    let mut watch = bucket.watch_all().await?;
    bucket.create_with_ttl("short", "lived".into(), Duration::from_secs(1)).await?;
    ensure!(next(&mut watch).await?.value == "lived", "what was put");
    let gone = next(&mut watch).await?;
    ensure!(gone.key == "short" && gone.operation == kv::Operation::Purge, "{gone:?}");
    ensure!(bucket.get("short").await?.is_none(), "it is still there");
    Ok(())
}

async fn objects(js: &Context) -> Result<()> {
    let config = object_store::Config { bucket: "rs".into(), ..Default::default() };
    let bucket = js.create_object_store(config).await?;
    let data: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 7 % 251).to_le_bytes()[0]).collect();
    let info = bucket.put("big", &mut data.as_slice()).await?;
    ensure!((info.size, info.chunks) == (data.len(), 8), "{info:?}");
    let mut read = Vec::new();
    bucket.get("big").await?.read_to_end(&mut read).await?;
    ensure!(read == data, "{} bytes came back", read.len());
    bucket.put("small", &mut &b"x"[..]).await?;
    let names = |list: Vec<object_store::ObjectInfo>| {
        let mut names: Vec<String> = list.into_iter().map(|info| info.name).collect();
        names.sort();
        names
    };
    let listed = names(bucket.list().await?.try_collect().await?);
    ensure!(listed == ["big", "small"], "{listed:?}");
    bucket.delete("big").await?;
    let listed = names(bucket.list().await?.try_collect().await?);
    ensure!(listed == ["small"], "{listed:?}");
    js.delete_object_store("rs").await?;
    Ok(())
}

async fn consumers(js: &Context) -> Result<()> {
    let config = stream::Config {
        name: "RS".into(),
        subjects: vec!["rss.>".into()],
        allow_direct: true,
        ..Default::default()
    };
    let rs = js.create_stream(config).await?;
    for number in 0..200_u64 {
        let ack = js.publish(format!("rss.{}", number % 10), number.to_string().into()).await?.await?;
        ensure!(ack.stream == "RS" && ack.sequence == number + 1, "{ack:?}");
    }
    let durable = consumer::pull::Config { durable_name: Some("puller".into()), ..Default::default() };
    let mut puller: PullConsumer = rs.create_consumer(durable).await?;
    let mut fetched = puller.fetch().max_messages(100).messages().await?;
    let mut number = 0;
    while let Some(message) = fetched.next().await {
        let message = message.map_err(anyhow::Error::from_boxed)?;
        ensure!(message.payload == number.to_string(), "{:?} instead of {number}", message.payload);
        message.double_ack().await.map_err(anyhow::Error::from_boxed)?;
        number += 1;
    }
    ensure!(number == 100, "{number} were fetched");
    let mut rest = puller.messages().await?;
    while number < 200 {
        let message = next(&mut rest).await?;
        ensure!(message.payload == number.to_string(), "{:?} instead of {number}", message.payload);
        message.double_ack().await.map_err(anyhow::Error::from_boxed)?;
        number += 1;
    }
    let info = puller.info().await?;
    ensure!(
        (info.num_pending, info.num_ack_pending, info.ack_floor.stream_sequence) == (0, 0, 200),
        "{info:?}"
    );
    let ordered = consumer::pull::OrderedConfig { filter_subject: "rss.3".into(), ..Default::default() };
    let mut ordered = rs.create_consumer(ordered).await?.messages().await?;
    for number in 0..20 {
        let message = next(&mut ordered).await?;
        ensure!(message.payload == (number * 10 + 3).to_string(), "{:?} at {number}", message.payload);
    }
    let push = consumer::push::Config {
        durable_name: Some("pusher".into()),
        deliver_subject: "rs.deliver".into(),
        ack_policy: AckPolicy::Explicit,
        ..Default::default()
    };
    let push: PushConsumer = rs.create_consumer(push).await?;
    let mut pushed = push.messages().await?;
    for number in 0..200 {
        let message = next(&mut pushed).await?;
        ensure!(message.payload == number.to_string(), "{:?} instead of {number}", message.payload);
        message.double_ack().await.map_err(anyhow::Error::from_boxed)?;
    }
    let names: Vec<String> = rs.consumer_names().try_collect().await?;
    ensure!(names.iter().any(|n| n == "puller") && names.iter().any(|n| n == "pusher"), "{names:?}");
    let until = std::time::SystemTime::now() + Duration::from_secs(3600);
    ensure!(rs.pause_consumer("puller", until.into()).await?.paused, "not paused");
    ensure!(!rs.resume_consumer("puller").await?.paused, "still paused");
    Ok(())
}

async fn duplicates(js: &Context) -> Result<()> {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "one");
    let first = js.publish_with_headers("rss.x", headers.clone(), "once".into()).await?.await?;
    let again = js.publish_with_headers("rss.x", headers, "once".into()).await?.await?;
    ensure!(again.duplicate && again.sequence == first.sequence, "{again:?}");
    Ok(())
}

async fn batch(client: &Client, js: &Context) -> Result<()> {
    let config = serde_json::json!({"name": "RSB", "subjects": ["rsb.>"], "allow_atomic": true});
    let made: Value = js.request("STREAM.CREATE.RSB", &config).await?;
    ensure!(made["config"]["allow_atomic"] == true, "{made}");
    let part = |number: u64, last: bool| {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Batch-Id", "b");
        headers.insert("Nats-Batch-Sequence", number.to_string());
        if last {
            headers.insert("Nats-Batch-Commit", "1");
        }
        headers
    };
    let begun = client.request_with_headers("rsb.x", part(1, false), "1".into()).await?;
    ensure!(begun.payload.is_empty(), "{begun:?}");
    client.publish_with_headers("rsb.x", part(2, false), "2".into()).await?;
    let mut held = js.get_stream("RSB").await?;
    ensure!(held.info().await?.state.messages == 0, "a part is there before the whole");
    let done = client.request_with_headers("rsb.x", part(3, true), "3".into()).await?;
    let done: Value = serde_json::from_slice(&done.payload)?;
    ensure!(done["seq"] == 3 && done["batch"] == "b" && done["count"] == 3, "{done}");
    ensure!(held.info().await?.state.messages == 3, "the whole");
    Ok(())
}

async fn manage(js: &Context) -> Result<()> {
    let mut rs = js.get_stream("RS").await?;
    let subjects: Vec<(String, usize)> = rs.info_with_subjects("rss.>").await?.try_collect().await?;
    ensure!(subjects.len() == 11 && subjects.contains(&("rss.3".into(), 20)), "{subjects:?}");
    ensure!(rs.get_raw_message(4).await?.payload == "3", "message 4");
    ensure!(rs.direct_get(4).await?.payload == "3", "message 4, directly");
    ensure!(rs.direct_get_last_for_subject("rss.3").await?.payload == "193", "the last");
    ensure!(rs.direct_get_next_for_subject("rss.3", Some(5)).await?.payload == "13", "the next");
    ensure!(rs.delete_message(4).await?, "not deleted");
    ensure!(rs.get_raw_message(4).await.is_err(), "message 4 is still there");
    ensure!(rs.purge().filter("rss.3").await?.purged == 19, "purged");
    let mut config = rs.info().await?.config.clone();
    config.max_messages = 100;
    js.update_stream(config).await?;
    ensure!(rs.info().await?.state.messages == 100, "messages after the update");
    ensure!(js.stream_by_subject("rss.a").await? == "RS", "whose subject");
    ensure!(js.query_account().await?.streams >= 2, "streams of the account");
    ensure!(js.delete_stream("RS").await?.success, "not deleted");
    ensure!(js.get_stream("RS").await.is_err(), "still there");
    Ok(())
}
