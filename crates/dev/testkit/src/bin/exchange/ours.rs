//! Our store on a store directory.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use midge_disk::{Completions, Disk, Settings};
use midge_stdx::clock::{Mono, Now};
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::format::keys::MasterKey;
use midge_store::journal::PlainRecords;
use midge_store::port::Completion;
use midge_store::recover;
use midge_store::stream::{
    Config, Filter, Medium, NewMessage, NextQuery, Opening, PurgeQuery, Step, Store, StoreKeys,
};

use crate::{Case, History, KEY, STREAM, Snapshot, Stored, draw_message, header_block, wall};

/// Where completions arrive.
#[derive(Default)]
pub(crate) struct Mailbox {
    queue: Mutex<Vec<Completion>>,
    wake: Condvar,
}

impl Completions for Mailbox {
    fn complete(&self, batch: &mut Vec<Completion>) {
        self.queue.lock().unwrap_or_else(|e| e.into_inner()).append(batch);
        self.wake.notify_one();
    }
}

/// Our store on the same directory.
pub(crate) struct Ours {
    disk: Disk,
    mailbox: Arc<Mailbox>,
    store: Store,
    clock: u64,
}

impl Ours {
    pub(crate) fn open(dir: &Path, case: &Case) -> Result<Ours> {
        let (disk, _) = Disk::open(&dir.join("store/jetstream"), Settings::default(), &PlainRecords)?;
        Ours::over(disk, case)
    }

    /// The same on a disk of any kind.
    pub(crate) fn over(disk: Disk, case: &Case) -> Result<Ours> {
        let folder = format!("$G/streams/{STREAM}");
        let limit = |limit: i64| u64::try_from(limit).unwrap_or(0);
        let mut config = Config::new(STREAM, Medium::File);
        config.max_msgs = limit(case.max_msgs);
        config.max_msgs_per_subject = limit(case.max_msgs_per_subject);
        config.compression = case.compression;
        config.block_len = 32_000;
        let encryption = case.cipher.map(|cipher| StoreKeys {
            owner: "$G".into(),
            master: MasterKey::new(KEY.as_bytes()),
            previous: None,
            cipher,
            entropy: Box::new(Seeded::new(case.seed + 77)),
        });
        let now = Now { mono: Mono(1), wall: wall() };
        let opening = Opening {
            config,
            folder: folder.clone(),
            history: recover::History::Unknown,
            encryption,
            now,
            headers: None,
        };
        let opened = opening.run(&*disk.files())?;
        let recovery = &opened.recovery;
        ensure!(recovery.damage.is_empty() && recovery.lost.is_empty(), "{recovery:?}");
        let mailbox = Arc::new(Mailbox::default());
        let lane = disk.register(&folder, mailbox.clone())?;
        let store = opened.into_store(lane, Box::new(Seeded::new(case.seed)), now.mono);
        Ok(Ours { disk, mailbox, store, clock: 1 })
    }

    /// Hands what was asked for to the disk, and takes what ended.
    fn pump(&mut self) {
        let mut submissions = Vec::new();
        self.store.take_submissions(&mut submissions);
        while !submissions.is_empty() {
            let _ = self.disk.submit(&mut submissions);
        }
        let queue = self.mailbox.queue.lock().unwrap_or_else(|e| e.into_inner());
        let (mut queue, _) = self
            .mailbox
            .wake
            .wait_timeout_while(queue, Duration::from_millis(200), |queue| queue.is_empty())
            .unwrap_or_else(|e| e.into_inner());
        let completions: Vec<Completion> = queue.drain(..).collect();
        drop(queue);
        self.clock += 1;
        completions.into_iter().for_each(|completion| {
            self.store.complete(completion, Mono(self.clock));
        });
    }

    fn ask<T>(&mut self, mut ask: impl FnMut(&mut Store) -> Step<T>) -> Result<T> {
        loop {
            match ask(&mut self.store) {
                Step::Ready(answer) => return Ok(answer),
                Step::Failed(error) => bail!("{error}"),
                Step::Wait => self.pump(),
            }
        }
    }

    pub(crate) fn settle(&mut self) -> Result<()> {
        self.pump();
        while !self.store.is_settled() {
            self.pump();
        }
        match self.store.failure() {
            Some(error) => bail!("{error}"),
            None => Ok(()),
        }
    }

    pub(crate) fn work(&mut self, draw: &mut Seeded, count: u64, history: &mut History) -> Result<()> {
        for _ in 0..count {
            match draw.below(20) {
                0..3 => {
                    let (seq, erase) = (1 + draw.below(self.store.appended() + 1), draw.below(2) == 0);
                    let _ = self.ask(|store| store.remove(seq, erase));
                }
                3 if draw.below(3) == 0 => {
                    let filter = [&b"a.>"[..], b"kv.one"][draw.below(2) as usize];
                    let mut query = PurgeQuery::new(Filter::one(filter), 0, 0);
                    self.ask(|store| store.purge_matching(&mut query))?;
                }
                4 if draw.below(12) == 0 => {
                    self.store.purge()?;
                }
                5 => self.store.maintain(),
                6 if draw.below(4) == 0 => {
                    self.settle()?;
                    self.store.evict(Mono(u64::MAX));
                }
                _ => {
                    let (subject, headers, payload) = draw_message(draw);
                    let headers = header_block(&headers);
                    let message = NewMessage {
                        subject: subject.as_bytes(),
                        headers: &headers,
                        payload: &payload,
                        ..NewMessage::default()
                    };
                    let now = Now { mono: Mono(self.clock), wall: wall() };
                    let seq = self.store.append(now, &message)?;
                    history.insert(seq, (subject, headers, payload));
                }
            }
            if draw.below(3) == 0 {
                self.pump();
            }
        }
        self.settle()
    }

    pub(crate) fn snapshot(&mut self) -> Result<Snapshot> {
        while self.store.is_over_limits() {
            self.pump();
        }
        let state = *self.store.state();
        let mut snapshot = Snapshot {
            messages: state.messages,
            bytes: state.bytes,
            first_seq: state.first_seq,
            last_seq: state.last_seq,
            ..Snapshot::default()
        };
        let mut query = NextQuery { filter: Filter::all(), from: 0 };
        while let Some(message) = self.ask(|store| store.next(&mut query))? {
            query.from = message.seq + 1;
            let stored = Stored {
                subject: String::from_utf8_lossy(message.subject()).into_owned(),
                ts_ns: message.ts_ns,
                headers: message.headers().to_vec(),
                payload: message.payload().to_vec(),
            };
            snapshot.stored.insert(message.seq, stored);
        }
        Ok(snapshot)
    }

    /// Ends as a server that stops, or as one that is killed: then nothing more is done with the files.
    pub(crate) fn end(mut self, clean: bool) -> Result<()> {
        self.settle()?;
        if clean {
            self.ask(|store| store.stop())?;
            self.store.close();
            self.settle()?;
            self.disk.close()?;
        }
        Ok(())
    }
}
