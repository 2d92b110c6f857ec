//! The disk itself: owners with so many writes outstanding, over the committer and its threads.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use midge_disk::{Completions, Disk, Settings, Submitted};
use midge_store::journal::PlainRecords;
use midge_store::port::{Completion, Lane, Op, Outcome, Promise, Submission, Ticket};
use parking_lot::{Condvar, Mutex};

use super::{RECORD, Row, Shape};

/// Completions that an owner looks at before it submits what follows from them.
const TURN: usize = 256;
/// Bytes of a block, as a store would have it.
const BLOCK: u64 = 8 << 20;

/// What one thread owns: the completions of all its lanes arrive here.
#[derive(Default)]
pub(crate) struct Mailbox {
    queue: Mutex<(Vec<Completion>, bool)>,
    wake: Condvar,
}

impl Completions for Mailbox {
    fn complete(&self, batch: &mut Vec<Completion>) {
        self.queue.lock().0.append(batch);
    }

    fn wake(&self) {
        let mut queue = self.queue.lock();
        if std::mem::take(&mut queue.1) {
            self.wake.notify_one();
        }
    }
}

impl Mailbox {
    /// Waits until there are some.
    pub(crate) fn take(&self, into: &mut Vec<Completion>) {
        let mut queue = self.queue.lock();
        while queue.0.is_empty() {
            queue.1 = true;
            self.wake.wait(&mut queue);
        }
        std::mem::swap(&mut queue.0, into);
    }
}

/// One stream, as far as its file goes.
struct Stream {
    lane: Lane,
    at: u64,
    ticket: u64,
}

impl Stream {
    fn next(&mut self, record: &Bytes) -> Submission {
        let (block, offset) = (self.at / BLOCK, self.at % BLOCK);
        // A record does not reach into the next block.
        self.at += if offset + 2 * RECORD as u64 > BLOCK { BLOCK - offset } else { RECORD as u64 };
        self.ticket += 1;
        let block = u32::try_from(block + 1).unwrap_or(u32::MAX);
        let op = Op::Write { block, offset, bytes: record.clone(), promise: Promise::Durable };
        Submission { lane: self.lane, ticket: Ticket(self.ticket), op }
    }
}

/// Before anything is counted: a journal grows with its use, and stays as it is then.
const WARM_UP: Duration = Duration::from_millis(500);

/// As many messages as one thread gets promised: each completion is followed by another write of its stream.
pub(super) fn disk(folder: &Path, shape: Shape, run: Duration) -> Result<Row, String> {
    let (disk, _) = Disk::open(folder, Settings::default(), &PlainRecords).map_err(|e| e.to_string())?;
    let mailbox = Arc::new(Mailbox::default());
    let record = Bytes::from(vec![0x5a; RECORD]);
    let mut streams = Vec::new();
    for n in 0..shape.streams {
        let lane = disk.register(&format!("S{n}"), mailbox.clone()).map_err(|e| e.to_string())?;
        streams.push(Stream { lane, at: 0, ticket: 0 });
    }
    let first = streams.first().map_or(0, |stream| stream.lane.0);
    let mut batch: Vec<Submission> = streams
        .iter_mut()
        .flat_map(|stream| (0..shape.outstanding).map(|_| stream.next(&record)).collect::<Vec<_>>())
        .collect();
    let (mut got, mut messages, mut turns) = (Vec::new(), 0, 0);
    let begin = Instant::now();
    let mut start = None;
    while start.is_none_or(|start: Instant| start.elapsed() < run) {
        if start.is_none() && begin.elapsed() >= WARM_UP {
            start = Some(Instant::now());
            (messages, turns) = (0, 0);
        }
        while !batch.is_empty() {
            let mut part = batch.drain(..batch.len().min(TURN)).collect();
            if disk.submit(&mut part) != Submitted::All {
                return Err("too much for the disk".into());
            }
        }
        mailbox.take(&mut got);
        for (n, completion) in got.drain(..).enumerate() {
            if let Outcome::Failed(error) = completion.outcome {
                return Err(error.to_string());
            }
            let at = usize::try_from(completion.lane.0 - first).unwrap_or(usize::MAX);
            let stream = streams.get_mut(at).ok_or("a lane of nobody")?;
            batch.push(stream.next(&record));
            messages += 1;
            if n % TURN == TURN - 1 && disk.submit(&mut batch) != Submitted::All {
                return Err("too much for the disk".into());
            }
        }
        turns += 1;
    }
    let took = start.map_or(Duration::ZERO, |start| start.elapsed());
    let syncs = disk.metrics().commit_syncs.figures();
    disk.close().map_err(|e| e.to_string())?;
    let mean = syncs.sum_ns / 1000 / syncs.count().max(1);
    let name = format!("the disk ({} syncs of {mean} µs)", syncs.count());
    Ok(Row { name, shape, messages, turns, took })
}
