//! What is there, against what the book says.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{RetentionPolicy, State, Stream};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::book::{Book, Page};
use crate::{DURABLE, KINDS, Kind};

const PATIENCE: Duration = Duration::from_secs(20);
/// Old promises looked at in each round, beside all new ones.
const SAMPLES: usize = 50;

/// All streams after a restart.
pub(crate) async fn all(js: &Context, book: &mut Book) -> Result<()> {
    for (kind, page) in KINDS.iter().zip(&mut book.pages) {
        one(js, kind, page).await.context(kind.name)?;
    }
    Ok(())
}

async fn one(js: &Context, kind: &Kind, page: &mut Page) -> Result<()> {
    let mut stream = js.get_stream(kind.name).await?;
    let state = stream.info().await?.state.clone();
    if let Some(last) = page.promised.last() {
        ensure!(
            state.last_sequence >= *last,
            "{last} was acknowledged, the stream ends at {}",
            state.last_sequence
        );
    }
    let consumer: PullConsumer = stream.get_consumer(DURABLE).await.map_err(anyhow::Error::from_boxed)?;
    let info = consumer.cached_info();
    if kind.retention == RetentionPolicy::Limits {
        ensure!(state.messages == state.last_sequence, "{state:?} although nothing was removed");
        read_new(&stream, &state, kind, page).await?;
        for sequence in samples(&page.promised) {
            let message =
                stream.direct_get(sequence).await.with_context(|| format!("sequence {sequence}"))?;
            page.show(sequence, &String::from_utf8_lossy(&message.payload))?;
        }
        ensure!(
            info.num_pending == state.last_sequence - info.delivered.stream_sequence,
            "the consumer counts {} pending: {info:?}, {state:?}",
            info.num_pending
        );
    } else {
        held(&stream, &state, page).await?;
        ensure!(
            info.num_pending + info.num_ack_pending as u64 == state.messages,
            "the consumer counts {} pending and {} unacknowledged of {}",
            info.num_pending,
            info.num_ack_pending,
            state.messages
        );
    }
    let floor = info.ack_floor.stream_sequence;
    let unacknowledged = page.promised.range(..=floor).find(|sequence| !page.attempted.contains(sequence));
    ensure!(unacknowledged.is_none(), "nobody acknowledged {unacknowledged:?}, the floor is {floor}");
    Ok(())
}

/// Some of a set, spread over it.
fn samples(set: &BTreeSet<u64>) -> Vec<u64> {
    set.iter().copied().step_by((set.len() / SAMPLES).max(1)).collect()
}

/// Everything since the last check.
async fn read_new(stream: &Stream, state: &State, kind: &Kind, page: &mut Page) -> Result<()> {
    if page.read >= state.last_sequence {
        return Ok(());
    }
    let start = page.read + 1;
    let config = pull::OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: start },
        ..Default::default()
    };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    while page.read < state.last_sequence {
        let message = timeout(PATIENCE, messages.next()).await?.context("the end")??;
        let sequence = message.info().map_err(anyhow::Error::from_boxed)?.stream_sequence;
        ensure!(sequence == page.read + 1, "{sequence} follows {}", page.read);
        page.read = sequence;
        let content = String::from_utf8_lossy(&message.payload).into_owned();
        page.show(sequence, &content)?;
        let (publisher, number) = content.split_once(':').with_context(|| format!("content {content:?}"))?;
        let number: u64 = number.parse().with_context(|| format!("content {content:?}"))?;
        let last = page.last.entry(publisher.to_owned()).or_default();
        // What was sent again after a restart may stand behind what came later, but nothing may be there twice.
        ensure!(number > *last || kind.ids, "{content} at {sequence} follows {last}");
        *last = number.max(*last);
    }
    if kind.ids {
        let mut contents = BTreeSet::new();
        for (sequence, content) in &page.shown {
            ensure!(contents.insert(content), "{content} is there twice, the second time at {sequence}");
        }
    }
    Ok(())
}

/// A stream from which messages leave when they are consumed.
async fn held(stream: &Stream, state: &State, page: &mut Page) -> Result<()> {
    let mut there = BTreeSet::new();
    let mut from = state.first_sequence;
    while there.len() < usize::try_from(state.messages)? {
        let message = stream
            .direct_get_next_for_subject(">", Some(from))
            .await
            .with_context(|| format!("{} of {} are there", there.len(), state.messages))?;
        page.show(message.sequence, &String::from_utf8_lossy(&message.payload))?;
        there.insert(message.sequence);
        from = message.sequence + 1;
    }
    let lost = page.promised.iter().find(|n| !page.attempted.contains(n) && !there.contains(n));
    ensure!(lost.is_none(), "{lost:?} was acknowledged, not consumed, and is gone");
    let left = there.intersection(&page.confirmed).next();
    ensure!(left.is_none(), "{left:?} is still there although its consumption was confirmed");
    Ok(())
}

/// Consumes what is left; everything that was promised has been delivered then.
pub(crate) async fn drain(js: &Context, book: &mut Book) -> Result<()> {
    for (kind, page) in KINDS.iter().zip(&mut book.pages) {
        let consumer: PullConsumer = js.get_consumer_from_stream(DURABLE, kind.name).await?;
        loop {
            let info = consumer.get_info().await?;
            if info.num_pending == 0 && info.num_ack_pending == 0 {
                break;
            }
            let mut batch =
                consumer.batch().max_messages(500).expires(Duration::from_secs(1)).messages().await?;
            let mut got = Vec::new();
            while let Some(message) = timeout(PATIENCE, batch.next()).await? {
                let message = message.map_err(anyhow::Error::from_boxed)?;
                let sequence = message.info().map_err(anyhow::Error::from_boxed)?.stream_sequence;
                page.deliver(sequence, &String::from_utf8_lossy(&message.payload))?;
                got.push((sequence, message));
            }
            let acks = got.iter().map(|(_, message)| message.double_ack());
            for done in futures_util::future::join_all(acks).await {
                done.map_err(anyhow::Error::from_boxed)?;
            }
            page.confirmed.extend(got.iter().map(|(sequence, _)| *sequence));
        }
        let missing = page.promised.difference(&page.delivered).next();
        ensure!(missing.is_none(), "{}: {missing:?} was never delivered", kind.name);
    }
    Ok(())
}
