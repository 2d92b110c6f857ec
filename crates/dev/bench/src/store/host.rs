//! One thread that owns stores over a disk, as a server has it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use midge_disk::{Disk, Settings, Submitted};
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Seeded;
use midge_store::journal::PlainRecords;
use midge_store::port::{Completion, Submission};
use midge_store::recover::History;
use midge_store::stream::{Config, Medium, NewMessage, Opening, Step, Store, Sync};

use crate::durability::Mailbox;

/// The stores and their disk.
pub(super) struct Host {
    disk: Disk,
    mailbox: Arc<Mailbox>,
    pub(super) stores: Vec<Store>,
    first_lane: u32,
    begin: Instant,
    submissions: Vec<Submission>,
    completions: Vec<Completion>,
}

/// Bytes of a payload.
pub(super) const PAYLOAD: usize = 128;

impl Host {
    /// So many new stores under a folder.
    pub(super) fn create(
        folder: &Path,
        count: usize,
        sync: Sync,
        change: impl Fn(&mut Config),
    ) -> Result<Host, String> {
        let (disk, _) = Disk::open(folder, Settings::default(), &PlainRecords).map_err(|e| e.to_string())?;
        let mailbox = Arc::new(Mailbox::default());
        let (mut stores, mut first_lane) = (Vec::new(), 0);
        for n in 0..count {
            let name = format!("S{n}");
            let lane =
                disk.register(&format!("$G/streams/{name}"), mailbox.clone()).map_err(|e| e.to_string())?;
            if n == 0 {
                first_lane = lane.0;
            }
            let mut config = Config { sync, ..Config::new(&name, Medium::File) };
            change(&mut config);
            stores.push(Store::create(config, lane, None, None, Box::new(Seeded::new(n as u64))));
        }
        let (submissions, completions) = (Vec::new(), Vec::new());
        Ok(Host { disk, mailbox, stores, first_lane, begin: Instant::now(), submissions, completions })
    }

    /// The stores that are there.
    pub(super) fn open(folder: &Path, count: usize) -> Result<Host, String> {
        let (disk, _) = Disk::open(folder, Settings::default(), &PlainRecords).map_err(|e| e.to_string())?;
        let mailbox = Arc::new(Mailbox::default());
        let (mut stores, mut first_lane) = (Vec::new(), 0);
        for n in 0..count {
            let name = format!("S{n}");
            let opening = Opening {
                config: Config { sync: Sync::Interval, ..Config::new(&name, Medium::File) },
                folder: format!("$G/streams/{name}"),
                history: History::Constant,
                encryption: None,
                now: Now::default(),
                headers: None,
            };
            let opened = opening.run(&*disk.files()).map_err(|e| e.to_string())?;
            let lane =
                disk.register(&format!("$G/streams/{name}"), mailbox.clone()).map_err(|e| e.to_string())?;
            if n == 0 {
                first_lane = lane.0;
            }
            stores.push(opened.into_store(lane, Box::new(Seeded::new(n as u64)), Mono(0)));
        }
        let (submissions, completions) = (Vec::new(), Vec::new());
        Ok(Host { disk, mailbox, stores, first_lane, begin: Instant::now(), submissions, completions })
    }

    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono: Mono(self.begin.elapsed().as_nanos() as u64), wall: Wall(wall.as_nanos() as i64) }
    }

    /// Submits what the stores ask for.
    pub(super) fn submit(&mut self, touched: impl IntoIterator<Item = usize>) -> Result<(), String> {
        for at in touched {
            self.stores[at].take_submissions(&mut self.submissions);
        }
        while !self.submissions.is_empty() {
            if self.disk.submit(&mut self.submissions) != Submitted::All {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    /// Waits for completions, and hands them out; answers to whom.
    pub(super) fn wait(&mut self, touched: &mut Vec<usize>) -> Result<(), String> {
        self.mailbox.take(&mut self.completions);
        let now = self.now().mono;
        for completion in self.completions.drain(..) {
            let at = (completion.lane.0 - self.first_lane) as usize;
            let store = &mut self.stores[at];
            store.complete(completion, now);
            if let Some(error) = store.failure() {
                return Err(error.to_string());
            }
            if touched.last() != Some(&at) {
                touched.push(at);
            }
        }
        Ok(())
    }

    /// Asks until there is an answer.
    pub(super) fn ask<T>(
        &mut self,
        at: usize,
        mut ask: impl FnMut(&mut Store) -> Step<T>,
    ) -> Result<T, String> {
        loop {
            match ask(&mut self.stores[at]) {
                Step::Ready(answer) => return Ok(answer),
                Step::Failed(error) => return Err(error.to_string()),
                Step::Wait => {
                    self.submit([at])?;
                    self.wait(&mut Vec::new())?;
                }
            }
        }
    }

    /// Until everything is done.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        loop {
            self.submit(0..self.stores.len())?;
            if self.stores.iter().all(Store::is_settled) {
                return Ok(());
            }
            self.wait(&mut Vec::new())?;
        }
    }

    /// Appends with so many outstanding on each store, for so long; answers how many were acknowledged, and in what time.
    pub(super) fn append(&mut self, outstanding: u64, run: Duration) -> Result<(u64, Duration), String> {
        let payload = [0x5a; PAYLOAD];
        let message = NewMessage { subject: b"orders.new1", payload: &payload, ..NewMessage::default() };
        let mut touched: Vec<usize> = (0..self.stores.len()).collect();
        let mut acked: Vec<u64> = self.stores.iter().map(Store::durable).collect();
        let (start, mut done) = (Instant::now(), 0);
        loop {
            let now = self.now();
            for &at in &touched {
                let store = &mut self.stores[at];
                let durable = store.durable();
                done += durable - acked[at];
                acked[at] = durable;
                for _ in 0..outstanding - (store.appended() - durable) {
                    store.append(now, &message).map_err(|e| e.to_string())?;
                }
            }
            if start.elapsed() >= run {
                break;
            }
            self.submit(touched.drain(..))?;
            self.wait(&mut touched)?;
        }
        let took = start.elapsed();
        self.settle()?;
        Ok((done, took))
    }

    /// Ends the threads as a clean stop does.
    pub(super) fn close(self) -> Result<(), String> {
        self.disk.close().map_err(|e| e.to_string())
    }
}
