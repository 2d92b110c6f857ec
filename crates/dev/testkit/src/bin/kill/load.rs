//! Publishers and consumers, which end when the server is gone.

use std::collections::VecDeque;

use anyhow::Result;
use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt;
use tokio::sync::watch;

use crate::{DURABLE, KINDS, Shared};

/// Publishes of one publisher that wait for their acknowledgement.
const OUTSTANDING: usize = 16;
/// Messages of one fetch.
const FETCH: usize = 50;

/// Publishes until the server is gone.
pub(crate) async fn publish(
    js: Context,
    book: Shared,
    index: usize,
    publisher: usize,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let kind = &KINDS[index];
    let mut waiting = VecDeque::new();
    let mut again: VecDeque<u64> = {
        let book = book.lock().await;
        book.pages[index].open.get(&publisher).into_iter().flatten().copied().collect()
    };
    loop {
        while waiting.len() < OUTSTANDING {
            let number = match again.pop_front() {
                Some(number) => number,
                None => {
                    let page = &mut book.lock().await.pages[index];
                    let next = page.next.entry(publisher).or_default();
                    *next += 1;
                    *next
                }
            };
            let content = format!("{publisher}:{number}");
            let mut headers = HeaderMap::new();
            if kind.ids {
                headers.insert("Nats-Msg-Id", content.as_str());
                book.lock().await.pages[index].open.entry(publisher).or_default().insert(number);
            } else {
                headers.insert("Publisher", publisher.to_string());
            }
            let subject = format!("{}.{publisher}", kind.name);
            let sending = js.publish_with_headers(subject, headers, content.clone().into());
            let sent = tokio::select! {
                sent = sending => sent,
                _ = stopped.changed() => return Ok(()),
            };
            let Ok(ack) = sent else { return Ok(()) };
            waiting.push_back((number, content, Box::pin(ack.into_future())));
        }
        let Some((number, content, ack)) = waiting.pop_front() else { continue };
        let ack = tokio::select! {
            ack = ack => ack,
            _ = stopped.changed() => return Ok(()),
        };
        let Ok(ack) = ack else { return Ok(()) };
        let page = &mut book.lock().await.pages[index];
        page.promise(ack.sequence, &content)?;
        if let Some(open) = page.open.get_mut(&publisher) {
            open.remove(&number);
        }
    }
}

/// Fetches, acknowledges, and waits for the confirmations, until the server is gone.
pub(crate) async fn consume(
    js: Context,
    book: Shared,
    index: usize,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let work = consume_all(js, book, index);
    tokio::select! {
        done = work => done,
        _ = stopped.changed() => Ok(()),
    }
}

async fn consume_all(js: Context, book: Shared, index: usize) -> Result<()> {
    let found: Result<PullConsumer, _> = js.get_consumer_from_stream(DURABLE, KINDS[index].name).await;
    let Ok(consumer) = found else { return Ok(()) };
    loop {
        let Ok(mut batch) = consumer.fetch().max_messages(FETCH).messages().await else { return Ok(()) };
        let mut messages = Vec::new();
        while let Some(Ok(message)) = batch.next().await {
            let Ok(info) = message.info() else { continue };
            let sequence = info.stream_sequence;
            let content = String::from_utf8_lossy(&message.payload).into_owned();
            let page = &mut book.lock().await.pages[index];
            page.deliver(sequence, &content)?;
            page.attempted.insert(sequence);
            messages.push((sequence, message));
        }
        let acks = messages
            .iter()
            .map(|(sequence, message)| async move { message.double_ack().await.ok().map(|()| *sequence) });
        for confirmed in futures_util::future::join_all(acks).await.into_iter().flatten() {
            book.lock().await.pages[index].confirmed.insert(confirmed);
        }
    }
}
