//! The exercise for async-nats: one login, described by a JSON argument, and everything that a client does with it.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it talks to the program that started it")]

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, RequestErrorKind, Subscriber};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

mod stored;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<()> {
    let login: Value = serde_json::from_str(&std::env::args().nth(1).context("a login")?)?;
    if login["refused"] == true {
        ensure!(connect(&login, None).await.is_err(), "the login was accepted");
        println!("ok");
        return Ok(());
    }
    let (events, mut seen) = mpsc::channel(64);
    let client = connect(&login, Some(events)).await.context("the first connection")?;
    if login["stored"] == true {
        stored::exercise(&client).await?;
        println!("ok");
        return Ok(());
    }
    let other = connect(&login, None).await.context("the second connection")?;
    publish_and_subscribe(&client).await.context("publish and subscribe")?;
    queue_group(&client, &other).await.context("queue group")?;
    request_and_reply(&client, &other).await.context("request and reply")?;
    headers(&client).await.context("headers")?;
    if login["reconnect"] == true {
        reconnect(&client, &mut seen).await.context("reconnect")?;
    }
    drain(&login).await.context("drain")?;
    println!("ok");
    Ok(())
}

async fn connect(login: &Value, events: Option<mpsc::Sender<Event>>) -> Result<Client> {
    let text = |name: &str| login[name].as_str().map(str::to_owned);
    let mut options = ConnectOptions::new()
        .connection_timeout(PATIENCE)
        .reconnect_delay_callback(|_| Duration::from_millis(50));
    if let (Some(user), Some(password)) = (text("user"), text("pass")) {
        options = options.user_and_password(user, password);
    }
    if let Some(token) = text("token") {
        options = options.token(token);
    }
    if let Some(seed) = text("seed") {
        options = options.nkey(seed);
    }
    if let Some(ca) = text("ca") {
        options = options.add_root_certificates(ca.into()).require_tls(true);
        if login["tls_first"] == true {
            options = options.tls_first();
        }
        if let (Some(cert), Some(key)) = (text("cert"), text("key")) {
            options = options.add_client_certificate(cert.into(), key.into());
        }
    }
    if let Some(events) = events {
        options = options.event_callback(move |event| {
            let events = events.clone();
            async move {
                // The receiver is gone once the exercise no longer cares.
                let _ = events.send(event).await;
            }
        });
    }
    Ok(options.connect(text("url").context("a URL")?).await?)
}

async fn next(subscriber: &mut Subscriber) -> Result<async_nats::Message> {
    timeout(PATIENCE, subscriber.next()).await.context("no message comes")?.context("the subscription ended")
}

async fn publish_and_subscribe(client: &Client) -> Result<()> {
    let mut subscriber = client.subscribe("rs.order.*").await?;
    for number in 0..100 {
        client.publish(format!("rs.order.{number}"), number.to_string().into()).await?;
    }
    for number in 0..100 {
        let message = next(&mut subscriber).await?;
        ensure!(message.subject.as_str() == format!("rs.order.{number}"), "{}", message.subject);
        ensure!(message.payload == number.to_string().as_bytes(), "{:?}", message.payload);
    }
    Ok(())
}

async fn queue_group(client: &Client, other: &Client) -> Result<()> {
    let mut members = Vec::new();
    for each in [client, client, other] {
        members.push(each.queue_subscribe("rs.queue", "q".into()).await?);
    }
    client.flush().await?;
    other.flush().await?;
    // A connection that has its answer has had all that was sent to it before.
    for number in 0..30 {
        client.publish("rs.queue", number.to_string().into()).await?;
    }
    let mut received = Vec::new();
    let mut all = futures_util::stream::select_all(members);
    while received.len() < 30 {
        let message = timeout(PATIENCE, all.next())
            .await
            .context("no message comes")?
            .context("the subscriptions ended")?;
        received.push(std::str::from_utf8(&message.payload)?.parse::<u32>()?);
    }
    received.sort_unstable();
    ensure!(received == (0..30).collect::<Vec<_>>(), "{received:?}");
    Ok(())
}

async fn request_and_reply(client: &Client, other: &Client) -> Result<()> {
    let mut requests = other.subscribe("rs.service").await?;
    other.flush().await?;
    let answering = other.clone();
    let service = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let answer = [b"answer to ", request.payload.as_ref()].concat();
            let Some(reply) = request.reply else { bail!("a request without reply") };
            answering.publish(reply, answer.into()).await?;
        }
        Ok(())
    });
    // This library's flush does not wait for the server, so the first request is asked until it is heard.
    loop {
        match client.request("rs.service", "".into()).await {
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
            other => break other.map(drop)?,
        }
    }
    for number in 0..10 {
        let reply = client.request("rs.service", number.to_string().into()).await?;
        ensure!(reply.payload == format!("answer to {number}").as_bytes(), "{:?}", reply.payload);
    }
    service.abort();
    match client.request("rs.nobody", "".into()).await {
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        other => bail!("expected no responders, got {other:?}"),
    }
}

async fn headers(client: &Client) -> Result<()> {
    let mut subscriber = client.subscribe("rs.headers").await?;
    let mut fields = HeaderMap::new();
    fields.insert("A", "b");
    fields.insert("C", "d e");
    client.publish_with_headers("rs.headers", fields.clone(), "body".into()).await?;
    let message = next(&mut subscriber).await?;
    ensure!(message.headers == Some(fields), "{:?}", message.headers);
    ensure!(message.payload == "body", "{:?}", message.payload);
    Ok(())
}

async fn reconnect(client: &Client, seen: &mut mpsc::Receiver<Event>) -> Result<()> {
    let mut subscriber = client.subscribe("rs.again").await?;
    client.flush().await?;
    println!("waiting");
    let reconnected = async {
        let mut lost = false;
        while let Some(event) = seen.recv().await {
            lost |= matches!(event, Event::Disconnected);
            if lost && matches!(event, Event::Connected) {
                return Ok(());
            }
        }
        bail!("the events ended")
    };
    timeout(PATIENCE, reconnected).await.context("no reconnection")??;
    client.publish("rs.again", "back".into()).await?;
    ensure!(next(&mut subscriber).await?.payload == "back");
    Ok(())
}

async fn drain(login: &Value) -> Result<()> {
    let client = connect(login, None).await?;
    let mut subscriber = client.subscribe("rs.drain").await?;
    for number in 0..50 {
        client.publish("rs.drain", number.to_string().into()).await?;
    }
    // A message that comes back says that those before it have come, too: the drain has to hand them over.
    let mut mark = client.subscribe("rs.mark").await?;
    client.publish("rs.mark", "".into()).await?;
    next(&mut mark).await?;
    client.drain().await?;
    let mut received = 0;
    while timeout(PATIENCE, subscriber.next()).await.context("the drain does not end")?.is_some() {
        received += 1;
    }
    ensure!(received == 50, "{received} messages");
    Ok(())
}
