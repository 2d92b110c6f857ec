//! One thread, one poller, its connections, and the context that their batches share.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::BytesMut;
use midge_broker::batch::Batch;
use midge_broker::peer::Peer;
use tokio::sync::mpsc;

use crate::clock;
use crate::limits::{
    ACCEPT_QUEUE, BLOCKING_THREADS, GIVE_BACK, INLINE_QUEUES, INLINE_TIME, LARGE_PIECE, QUIET, READ_BUFFER,
};

/// What the tasks of one thread share, one at a time and never across an await.
pub struct Local {
    /// Routing context.
    pub batch: Batch,
    /// Where reads go.
    pub buffer: BytesMut,
    dirty: Vec<Arc<Peer>>,
}

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
}

/// Numbers for threads that are no shard (programs that embed the server) and use its code all the same.
static FOREIGN: AtomicUsize = AtomicUsize::new(1 << 12);

impl Local {
    fn new(shard: usize) -> Self {
        let mut seed = [0; 8];
        crate::entropy::fill(&mut seed);
        Local {
            batch: Batch::new(shard, u64::from_le_bytes(seed)),
            buffer: BytesMut::new(),
            dirty: Vec::new(),
        }
    }

    /// Room for one read behind `leftover`, in the thread's buffer.
    pub fn prepare(&mut self, leftover: &[u8]) {
        self.buffer.clear();
        self.buffer.reserve(READ_BUFFER.max(leftover.len() + READ_BUFFER / 2));
        self.buffer.extend_from_slice(leftover);
    }

    /// Flushes every queue that the batch touched: itself for a while, then by waking the owners.
    pub fn flush(&mut self) {
        if !self.batch.is_dirty() {
            return;
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        self.batch.take_dirty(&mut dirty);
        let mut now = self.batch.now;
        let (start, shard) = (now.mono, self.batch.shard);
        let mut inline = true;
        for (n, peer) in dirty.iter().enumerate() {
            if n % 16 == 15 {
                now = clock::now();
                inline = n < INLINE_QUEUES && now.mono.since(start) < INLINE_TIME;
            }
            peer.flush(&mut self.batch.pool, shard, inline, now);
        }
        dirty.clear();
        self.dirty = dirty;
    }
}

/// Runs `f` with the context of this thread. It must not be called again from within.
pub fn with<T>(f: impl FnOnce(&mut Local) -> T) -> T {
    LOCAL.with_borrow_mut(|local| {
        f(local.get_or_insert_with(|| Local::new(FOREIGN.fetch_add(1, Ordering::Relaxed))))
    })
}

/// Gives memory back when no batch came since `last`; answers the last batch.
fn relax(last: u64) -> u64 {
    with(|local| {
        let batch = local.batch.id();
        if batch == last {
            local.batch.relax();
            local.buffer = BytesMut::new();
        }
        batch
    })
}

/// Lets the allocator give back to the system what was freed. It waits a second with that, in case the memory is wanted again, and then looks for it
/// only when it makes or frees a large piece: a server that is idle after a load would keep all of it.
fn give_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE_PIECE)));
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A running shard, as the others see it.
#[derive(Debug)]
pub struct Shard {
    /// Its number.
    pub index: usize,
    spawn: mpsc::Sender<Spawn>,
    /// Connections it owns.
    load: AtomicUsize,
    idle: Arc<AtomicBool>,
}

/// What a shard is told.
enum Spawn {
    /// Run this.
    Task(Box<dyn FnOnce() -> Task + Send>),
    /// Take no more tasks, and end when those that run have ended.
    Stop,
}

impl std::fmt::Debug for Spawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spawn")
    }
}

impl Shard {
    /// Connections it owns.
    pub fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Whether its thread sleeps.
    pub fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed)
    }

    /// Starts a task on the shard; waits while the shard is far behind. The task counts as load until it ends.
    pub async fn spawn<F>(self: &Arc<Self>, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.load.fetch_add(1, Ordering::Relaxed);
        let owner = self.clone();
        let make = move || -> Task {
            let task = make();
            Box::pin(async move {
                task.await;
                owner.load.fetch_sub(1, Ordering::Relaxed);
            })
        };
        if self.spawn.send(Spawn::Task(Box::new(make))).await.is_err() {
            self.load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// All shards of a server.
#[derive(Debug)]
pub struct Shards {
    list: Vec<Arc<Shard>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shards {
    /// Starts `count` threads. Errors: the system refuses threads or pollers.
    pub fn start(count: usize) -> std::io::Result<Shards> {
        let mut list = Vec::new();
        let mut threads = Vec::new();
        for index in 0..count.max(1) {
            let (spawn, tasks) = mpsc::channel(ACCEPT_QUEUE);
            let idle = Arc::new(AtomicBool::new(false));
            let (parked, unparked) = (idle.clone(), idle.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(8)
                .max_blocking_threads(BLOCKING_THREADS)
                .on_thread_park(move || parked.store(true, Ordering::Relaxed))
                .on_thread_unpark(move || unparked.store(false, Ordering::Relaxed))
                .build()?;
            let thread = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
                LOCAL.set(Some(Local::new(index)));
                runtime.block_on(serve(tasks));
            })?;
            threads.push(thread);
            list.push(Arc::new(Shard { index, spawn, load: AtomicUsize::new(0), idle }));
        }
        Ok(Shards { list, threads: Mutex::new(threads) })
    }

    /// Every shard, by number.
    pub fn all(&self) -> &[Arc<Shard>] {
        &self.list
    }

    /// The shard with the fewest connections.
    pub fn least_loaded(&self) -> Option<&Arc<Shard>> {
        self.list.iter().min_by_key(|s| s.load())
    }

    /// Ends the threads once their tasks have ended, and waits for them; blocks.
    pub fn join(&self) {
        for shard in &self.list {
            // A shard that is gone needs no telling.
            let _ = shard.spawn.blocking_send(Spawn::Stop);
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a shard thread panicked");
            }
        }
    }
}

/// Runs tasks until nobody can start new ones and all have ended.
async fn serve(mut tasks: mpsc::Receiver<Spawn>) {
    let mut running = tokio::task::JoinSet::new();
    let mut quiet = tokio::time::interval(QUIET);
    let mut freed = tokio::time::interval(GIVE_BACK);
    let mut last_batch = 0;
    loop {
        tokio::select! {
            _ = quiet.tick() => last_batch = relax(last_batch),
            _ = freed.tick() => give_back(),
            task = tasks.recv() => match task {
                Some(Spawn::Task(make)) => {
                    running.spawn(make());
                }
                Some(Spawn::Stop) | None => break,
            },
            Some(ended) = running.join_next() => {
                if ended.is_err() {
                    tracing::error!("a connection's task panicked; the connection was closed");
                }
            }
        }
    }
    while running.join_next().await.is_some() {}
}
