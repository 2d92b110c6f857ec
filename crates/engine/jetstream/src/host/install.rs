//! A stream that was opened is put to work.

use std::collections::VecDeque;
use std::sync::Arc;

use midge_assets::consumer::{Consumer, Identity, Start, StartQuery};
use midge_assets::stream::Heal;
use midge_broker::batch::Batch;
use midge_jsapi::stream_config::Retention;
use midge_stdx::clock::Now;
use midge_store::port::Promise;
use midge_store::stream::{Filter, Step};

use super::Host;
use crate::account::Phase;
use crate::recover::{OpenedConsumer, OpenedStream};

impl Host {
    /// Takes over a store, heals what a crash has left in it, and lets messages in.
    pub(super) fn install(&mut self, batch: &mut Batch, opened: OpenedStream, now: Now) {
        let OpenedStream { config, store, lane, key, schedules, consumers, unread, .. } = opened;
        self.opening = true;
        self.config = config;
        (self.store, self.lane, self.key) = (store, Some(lane), key);
        self.stream.reconfigure((*self.config).clone());
        self.stream.schedules().restore(&schedules);
        if self.config.retention == Retention::Interest {
            for consumer in &unread {
                tracing::warn!(
                    blame = "disk",
                    "  Stream '{} > {}' keeps every message until consumer '{}' is created or deleted",
                    self.account.name(),
                    self.handle.name,
                    consumer.name
                );
            }
        }
        let unread = unread.into_iter().map(|consumer| (consumer.name.clone(), consumer));
        self.consumers.unread.extend(unread);
        self.see_anew();
        let lost = self.store.lost_at_the_end();
        let follows = self.config.mirror.is_some() || !self.config.sources.is_empty();
        let torn = self.store.lost().torn.filter(|_| follows);
        let mut heal = Heal::after(lost).following(torn).in_stream(&self.config);
        let mut consumers = Some(consumers);
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                match heal.step(&mut host.store, now) {
                    Step::Wait => return Step::Wait,
                    Step::Ready(0) => {}
                    Step::Ready(removed) => tracing::info!(
                        "Stream '{} > {}': {removed} messages of a batch that was not whole, behind a gap in what is read from others, or rolled up, were removed",
                        host.account.name(),
                        host.handle.name
                    ),
                    Step::Failed(error) => {
                        tracing::error!(blame = "disk", "stream {}: {error}", host.handle.name);
                    }
                }
                if let Some(consumers) = consumers.take() {
                    host.recall(batch, consumers, now);
                }
                Step::Ready(())
            }),
        );
    }

    /// Finds out what the stream knew of its last message, then of consumers; ids follow while it serves.
    fn recall(&mut self, batch: &mut Batch, consumers: Vec<OpenedConsumer>, now: Now) {
        self.see_anew();
        self.stream.begin_recall(now.wall);
        let mut left = VecDeque::from(consumers);
        let mut query = None;
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                if host.stream.recall_last_id(&mut host.store) == Step::Wait {
                    return Step::Wait;
                }
                while let Some(found) = left.front() {
                    // One that never delivered anything begins where its configuration says.
                    let start = if found.kept.has_state() {
                        None
                    } else {
                        let query = query.get_or_insert_with(|| {
                            StartQuery::new(&found.config, host.config.max_msgs_per_subject)
                        });
                        let appended = host.store.appended();
                        match query.step(&mut host.store, appended) {
                            Step::Wait => return Step::Wait,
                            Step::Ready(start) => Some(start),
                            Step::Failed(_) => Some(Start { seq: 1, ..Start::default() }),
                        }
                    };
                    query = None;
                    if let Some(found) = left.pop_front() {
                        host.adopt_consumer(batch, found, start, now);
                    }
                }
                host.begin_again(batch, now);
                host.recall_ids(batch, now);
                Step::Ready(())
            }),
        );
    }

    /// Everything that is durable may be seen; consumers that are there already are told of what they were not.
    fn see_anew(&mut self) {
        let durable = self.store.durable();
        (self.visible, self.told) =
            (durable, if self.consumers.len() == 0 { durable } else { self.told.min(durable) });
    }

    /// Gathers the ids of the window, some in each turn.
    fn recall_ids(&mut self, batch: &mut Batch, now: Now) {
        self.begin(
            batch,
            now,
            Box::new(|host, _, _| match host.stream.recall(&mut host.store) {
                Step::Wait => Step::Wait,
                Step::Ready(false) => {
                    host.tasks.go_on();
                    Step::Wait
                }
                // What cannot be read is not found a duplicate.
                Step::Ready(true) | Step::Failed(_) => {
                    // A message may have waited for this.
                    host.again = true;
                    Step::Ready(())
                }
            }),
        );
    }

    fn begin_again(&mut self, batch: &mut Batch, now: Now) {
        self.opening = false;
        // What an opening reads leaves memory, too.
        self.touch(now);
        self.open_doors();
        self.follow_configured();
        self.handle.set_phase(Phase::Running);
        // The start is over when what it wrote anew is durable: from then on the key before the present one is not needed any more.
        self.when_durable(
            batch,
            now,
            Box::new(|host, _, _| {
                if std::mem::take(&mut host.counted) {
                    host.js.opened();
                }
            }),
        );
        if self.config.retention != Retention::Limits {
            self.recheck_interest(batch, Filter::all(), now);
        }
        self.come_back();
        self.serve_postponed(batch, now);
        if let Some(what) = self.after_reopening.take() {
            what(self, batch, now);
        }
    }

    /// A consumer that was found.
    fn adopt_consumer(&mut self, batch: &mut Batch, found: OpenedConsumer, start: Option<Start>, now: Now) {
        let OpenedConsumer { name, created, config, mut kept, key, rekeyed } = found;
        let identity = Identity { stream: self.handle.name.clone(), name, created };
        if let Some(file) = rekeyed {
            // All of them or none: under another key each is unreadable without the others.
            let mut files = self.consumer_files(&identity, &config, key.as_ref(), Some(file));
            if kept.has_state() {
                files.push(kept.state_file(now.wall.0, &mut *self.js.secret_entropy()));
            }
            self.store.replace_files(files, Promise::Durable);
        }
        let consumer = self.with_cx(batch, now, |cx| match start {
            None => Consumer::recover(identity, config, kept, cx),
            Some(start) => Consumer::new(identity, config, kept, start, cx),
        });
        self.place(consumer, key, batch, now);
    }

    pub(super) fn place(
        &mut self,
        consumer: Consumer,
        key: Option<midge_store::format::keys::AssetKey>,
        batch: &mut Batch,
        now: Now,
    ) {
        let id = self.consumers.insert(consumer);
        self.consumers.set_key(id, key);
        let inbox = Arc::clone(&self.handle.inbox);
        self.consumers.open_doors(id, &self.account, &inbox);
        self.with_consumer(batch, id, now, |consumer, cx| consumer.interest_changed(cx));
    }
}
