//! The disk that stores use: a handle, and the threads behind it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use midge_store::journal::{self, Committer, Deltas, Records, Report};
use midge_store::port::{DiskError, Fault, Files, Lane, StoreDisk, Submission};
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};

use crate::driver::{Driver, Pace};
use crate::inbox::{Bounds, Inbox, Request, Submitted};
use crate::lane::Completions;
use crate::limits;
use crate::measured::{Caller, Measured};
use crate::metrics::Metrics;
use crate::real::{OpenError, RealFiles};
use crate::seat::Seat;
use crate::space::Space;
use crate::workers::{Worker, Workers};

/// How a disk is run. The defaults are in [`limits`].
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How the journal is kept.
    pub journal: journal::Settings,
    /// Threads for reading, computing and staging; at least one.
    pub workers: usize,
    /// Operations that a lane may have queued.
    pub lane_ops: usize,
    /// Bytes that a lane may have queued.
    pub lane_bytes: usize,
    /// Bytes that all lanes together may have queued.
    pub disk_bytes: usize,
    /// How long what was written with `Promise::Cached` may stay unsynced. Deltas wait for `idle_after` only.
    pub sync_interval: Duration,
    /// After so long without a batch the committer tidies up.
    pub idle_after: Duration,
    /// How long the committer looks for its next batch before it sleeps.
    pub spin: Duration,
    /// Block files that were not written for so long are closed.
    pub close_after: Duration,
    /// How often free space is looked at.
    pub probe_every: Duration,
    /// The same while operations fail for the lack of it.
    pub probe_short: Duration,
    /// Free bytes with which there is space again.
    pub space_back: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            journal: journal::Settings::default(),
            workers: limits::WORKERS,
            lane_ops: limits::LANE_OPS,
            lane_bytes: limits::LANE_BYTES,
            disk_bytes: limits::DISK_BYTES,
            sync_interval: limits::SYNC_INTERVAL,
            idle_after: limits::IDLE_AFTER,
            spin: limits::SPIN,
            close_after: limits::CLOSE_AFTER,
            probe_every: limits::PROBE_EVERY,
            probe_short: limits::PROBE_SHORT,
            space_back: limits::SPACE_BACK,
        }
    }
}

/// One store directory, in use. Clones are the same disk.
///
/// When the last of them is dropped without [`Disk::close`], the threads end as they would with the process: what was promised is in the files or in the
/// journal, and what was queued is gone. The directory is free for another user once all clones and all [`Disk::files`] are dropped.
#[derive(Clone)]
pub struct Disk(Arc<Inner>);

struct Inner {
    inbox: Arc<Inbox>,
    workers: Arc<Workers>,
    files: Arc<dyn Files>,
    metrics: Arc<Metrics>,
    space: Arc<Space>,
    seat: Arc<Seat>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.inbox.end();
        self.workers.end();
        self.join();
    }
}

impl Inner {
    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        let own = std::thread::current().id();
        for thread in threads {
            // The last handle may be dropped by an owner that is called on one of them.
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }
}

fn closed(call: &'static str, path: &str) -> DiskError {
    let (path, text) = (path.to_owned(), "the disk is closed".to_owned());
    DiskError { fault: Fault::Denied, call, path, text }
}

impl Disk {
    /// Locks a store directory, which is created when absent, brings its files to what an earlier process promised, and starts the threads. Blocks.
    /// `records` tells records apart when another server may have used the directory in between. What is in the report (deltas of consumers, stores that
    /// were left alone, damage) is for the caller to act upon and to log.
    pub fn open(
        directory: &Path,
        settings: Settings,
        records: &dyn Records,
    ) -> Result<(Disk, Report), OpenError> {
        let real = Arc::new(RealFiles::open(directory)?);
        let watched = real.clone();
        let foreign = Arc::new(move || watched.take_foreign());
        Disk::over(directory, real, foreign, settings, records)
    }

    /// The same over other files, which nobody locks; `directory` is for texts. `foreign` is asked after each checkpoint for files that somebody else
    /// changed, in words.
    pub fn over(
        directory: &Path,
        files: Arc<dyn Files>,
        foreign: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
        mut settings: Settings,
        records: &dyn Records,
    ) -> Result<(Disk, Report), OpenError> {
        if let Some(most) = getrlimit(Resource::Nofile).current {
            let part = usize::try_from(most / limits::HANDLES_PART).unwrap_or(usize::MAX);
            settings.journal.handles = settings.journal.handles.min(part);
        }
        let metrics = Arc::new(Metrics::default());
        let measured = |caller| {
            Arc::new(Measured { files: files.clone(), metrics: metrics.clone(), caller }) as Arc<dyn Files>
        };
        let (committer, report) = Committer::open(measured(Caller::Committer), settings.journal, records)
            .map_err(|error| OpenError::Journal { path: directory.to_path_buf(), error })?;
        let files = measured(Caller::Other);
        let bounds = Bounds {
            lane_ops: settings.lane_ops,
            lane_bytes: settings.lane_bytes,
            disk_bytes: settings.disk_bytes,
        };
        let alone = std::thread::available_parallelism().map_or(1, usize::from) < 2;
        let pace = Pace {
            idle_after: settings.idle_after,
            spin: if alone { Duration::ZERO } else { settings.spin },
            sync_interval: settings.sync_interval,
            close_after: settings.close_after,
            probe_every: settings.probe_every,
            probe_short: settings.probe_short,
        };
        let (inbox, workers) = (Arc::new(Inbox::new(bounds)), Arc::new(Workers::default()));
        let space = Arc::new(Space::new(settings.space_back, settings.journal.reserve_len));
        let driver =
            Driver::new(committer, inbox.clone(), workers.clone(), metrics.clone(), space.clone(), pace);
        let (seat, threads) = (Arc::new(Seat::new(driver)), Mutex::new(Vec::new()));
        let disk = Disk(Arc::new(Inner { inbox, workers, files, metrics, space, seat, threads }));
        // Whoever opens a disk sizes itself by its space at once.
        if let Some(request) = disk.0.space.probe(&*disk.0.files, &disk.0.metrics) {
            let _ = disk.0.inbox.request(request);
        }
        disk.start(foreign, settings.workers.max(1))
            .map_err(|error| OpenError::Threads { path: directory.to_path_buf(), error })?;
        Ok((disk, report))
    }

    fn start(
        &self,
        foreign: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
        workers: usize,
    ) -> std::io::Result<()> {
        let Inner { inbox, workers: queue, files, metrics, space, seat, threads } = &*self.0;
        let (seat, queued) = (seat.clone(), inbox.clone());
        let drive = move || seat.run(&queued);
        threads.lock().push(Builder::new().name("disk-commit".to_owned()).spawn(drive)?);
        for number in 0..=workers {
            let worker = Worker {
                workers: queue.clone(),
                inbox: inbox.clone(),
                files: files.clone(),
                metrics: metrics.clone(),
                space: space.clone(),
                foreign: foreign.clone(),
                tasks_only: number == 0,
            };
            let name = if number == 0 { "disk-sync".to_owned() } else { format!("disk-work-{number}") };
            threads.lock().push(Builder::new().name(name).spawn(move || worker.run())?);
        }
        Ok(())
    }

    /// The files themselves, in blocking calls, for opening stores on a thread of the caller's.
    pub fn files(&self) -> Arc<dyn Files> {
        self.0.files.clone()
    }

    /// Opens a lane for the store in this folder, which is created when absent; blocks. To be called when the store has read, and where needed mended, its
    /// files, and before it submits anything. A folder whose lane has not ended is refused.
    pub fn register(&self, folder: &str, sink: Arc<dyn Completions>) -> Result<Lane, DiskError> {
        let (reply, answer) = sync_channel(1);
        let request = Request::Register { folder: folder.into(), sink, reply };
        self.0.inbox.request(request).map_err(|_| closed("register", folder))?;
        answer.recv().unwrap_or_else(|_| Err(closed("register", folder)))
    }

    /// The deltas of the consumers of the store in this folder that no file holds. Blocks, and is not to be called by an owner on a thread of the disk.
    pub fn deltas(&self, folder: &str) -> Result<Vec<Deltas>, DiskError> {
        let (reply, answer) = sync_channel(1);
        let request = Request::Deltas(folder.into(), reply);
        self.0.inbox.request(request).map_err(|_| closed("deltas", folder))?;
        answer.recv().unwrap_or_else(|_| Err(closed("deltas", folder)))
    }

    /// Ends a lane, also one whose store was deleted: what was submitted is completed, everything put into its own files on stable storage, and
    /// [`Completions::released`] called. Does not wait.
    pub fn unregister(&self, lane: Lane) {
        // A disk that is closed ends all lanes.
        let _ = self.0.inbox.request(Request::Unregister(lane));
    }

    /// Queues operations; does not wait. What is not taken stays in the batch, in order, and the answer says why. Nothing is ever taken of a lane out of
    /// order within a batch; across batches it is for the owner to submit first what was left.
    pub fn submit(&self, batch: &mut Vec<Submission>) -> Submitted {
        let mut asides = Vec::new();
        let (result, light) = self.0.inbox.submit(batch, &mut asides);
        self.0.workers.push_asides(asides);
        if light && !self.0.seat.here() {
            self.0.inbox.wake_up();
        }
        result
    }

    /// A clean stop: completes what was submitted, puts everything into the stores' own files on stable storage and removes the journal, unless it holds
    /// deltas that no store has taken over. Blocks, and is not to be called by an owner on a thread of the disk. Without it, or after an error, the next start
    /// finds what was promised in the journal.
    pub fn close(&self) -> Result<(), DiskError> {
        let (reply, answer) = sync_channel(1);
        self.0.inbox.request(Request::Close(reply)).map_err(|_| closed("close", ""))?;
        let result = answer.recv().unwrap_or_else(|_| Err(closed("close", "")));
        self.0.join();
        result
    }

    /// The figures.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The figures, for whoever may outlive the disk: they keep nothing open.
    pub fn shared_metrics(&self) -> Arc<Metrics> {
        self.0.metrics.clone()
    }

    /// Bytes that may still be written, as found at the last look, which is seconds ago at most.
    pub fn space(&self) -> u64 {
        self.0.space.free()
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("space", &self.space()).finish_non_exhaustive()
    }
}

impl StoreDisk for Disk {
    fn register(&self, folder: &str, sink: Arc<dyn Completions>) -> Result<Lane, DiskError> {
        Disk::register(self, folder, sink)
    }

    fn unregister(&self, lane: Lane) {
        Disk::unregister(self, lane);
    }

    fn submit(&self, batch: &mut Vec<Submission>) -> Submitted {
        Disk::submit(self, batch)
    }

    fn deltas(&self, folder: &str) -> Result<Vec<Deltas>, DiskError> {
        Disk::deltas(self, folder)
    }

    fn files(&self) -> Arc<dyn Files> {
        Disk::files(self)
    }

    fn space(&self) -> u64 {
        Disk::space(self)
    }
}
