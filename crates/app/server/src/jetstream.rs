//! The store directory, and the ports over which JetStream runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use midge_disk::{Disk, OpenError, Settings as DiskSettings};
use midge_net::clock;
use midge_net::entropy::SystemEntropy;
use midge_net::shard::Shards;
use midge_net::turns::ShardRunner;
use midge_node::Node;
use midge_node::jetstream::Resources;
use midge_stdx::clock::Now;
use midge_store::journal::{PlainRecords, Report};
use tokio::runtime::Handle;

use crate::builder::StartError;
use crate::usage;

/// The folder under the store directory in which everything lies.
const FOLDER: &str = "jetstream";

/// Memory of streams where the machine does not say how much it has.
const UNKNOWN_MEMORY: i64 = 256 << 20;

/// How often it is looked whether all streams are open, or have ended: neither makes an event.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How long the end waits for streams.
const LONGEST_STOP: Duration = Duration::from_secs(30);

/// Runs what blocks on the threads that the runtime keeps for it.
struct BlockingJobs(Handle);

impl midge_jetstream::Jobs for BlockingJobs {
    fn run(&self, job: Box<dyn FnOnce(Now) + Send>) {
        self.0.spawn_blocking(move || job(clock::now()));
    }
}

/// The directory in which accounts have their folders, and whether it is a temporary one.
fn store_folder(configured: &str) -> (PathBuf, bool) {
    if configured.is_empty() {
        return (std::env::temp_dir().join("nats").join(FOLDER), true);
    }
    let path = Path::new(configured);
    match path.file_name() {
        Some(name) if name == FOLDER => (path.to_path_buf(), false),
        _ => (path.join(FOLDER), false),
    }
}

/// Opens the store directory and starts JetStream, if the options say so. What the directory holds is opened afterwards, beside everything else.
pub(crate) async fn start(node: &Arc<Node>, shards: &Arc<Shards>) -> Result<Option<Disk>, StartError> {
    if !node.options.jetstream.enabled {
        return Ok(None);
    }
    let (folder, temporary) = store_folder(&node.options.server.store_dir);
    if temporary {
        tracing::warn!("Temporary storage directory used, data could be lost on system reboot");
    }
    let shown = folder.to_string_lossy().into_owned();
    let opening = folder.clone();
    let interval = node.options.jetstream.sync_interval;
    let opened = tokio::task::spawn_blocking(move || open(&opening, interval)).await;
    let (disk, report) = opened
        .map_err(|error| StartError::System(error.to_string()))?
        .map_err(|error| StartError::System(format!("Can't start JetStream: {error}")))?;
    tell(&report, &shown);
    let memory = usage::machine_memory().map_or(UNKNOWN_MEMORY, |bytes| share(bytes.min(i64::MAX as u64)));
    let resources = Resources { store_dir: shown, memory, disk: share(disk.space()) };
    let ports = midge_jetstream::Ports {
        runner: Arc::new(ShardRunner::new(shards.clone(), Handle::current())),
        jobs: Arc::new(BlockingJobs(Handle::current())),
        disk: Some(Arc::new(disk.clone())),
        entropy: Box::new(SystemEntropy),
    };
    let metrics = disk.shared_metrics();
    node.show_disk(move || crate::disk_figures::read(&metrics));
    midge_node::jetstream::start(node, resources, report.deltas, ports).map_err(StartError::System)?;
    Ok(Some(disk))
}

/// Waits until everything that the store directory holds is served, or known to be damaged.
pub(crate) async fn recovered(node: &Node) {
    let Some(jetstream) = node.jetstream.get() else { return };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    while !jetstream.recovery.is_done() {
        ticks.tick().await;
    }
}

/// Stops all streams, so that their files are whole, and closes the store directory.
pub(crate) async fn stop(node: &Node, disk: Option<Disk>) {
    let Some(jetstream) = node.jetstream.get() else { return };
    tracing::info!("Initiating JetStream Shutdown...");
    jetstream.stop();
    let ended = async {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        while jetstream.hosts() > 0 {
            ticks.tick().await;
        }
    };
    if tokio::time::timeout(LONGEST_STOP, ended).await.is_err() {
        tracing::warn!(
            "{} streams did not stop in time; what was acknowledged is in the journal",
            jetstream.hosts()
        );
    }
    jetstream.release();
    if let Some(disk) = disk {
        match tokio::task::spawn_blocking(move || disk.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(blame = "disk", "{error}"),
            Err(error) => tracing::error!(blame = "us", "{error}"),
        }
    }
    tracing::info!("JetStream Shutdown");
}

/// Three quarters.
fn share(bytes: u64) -> i64 {
    i64::try_from(bytes / 4 * 3).unwrap_or(i64::MAX)
}

fn open(folder: &Path, sync_interval: Option<Duration>) -> Result<(Disk, Report), OpenError> {
    let mut settings = DiskSettings::default();
    if let Some(interval) = sync_interval {
        settings.sync_interval = interval;
    }
    Disk::open(folder, settings, &PlainRecords)
}

/// What an operator should know of the last end of this directory.
fn tell(report: &Report, shown: &str) {
    for foreign in &report.foreign {
        tracing::warn!(
            blame = "operator",
            "Store {}: another server used it since ({}): its journal was not applied",
            foreign.folder,
            foreign.cause
        );
    }
    for damage in &report.damage {
        tracing::error!(
            blame = "disk",
            "Journal {} is damaged at byte {}: {}",
            damage.segment,
            damage.position,
            damage.cause
        );
    }
    if let Some(kept) = &report.kept_in {
        tracing::warn!("What could not be applied of the journal is kept in {shown}/{kept}");
    }
    if report.frames > 0 {
        tracing::info!("Journal applied: {} frames, {} files written", report.frames, report.files_written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_not_doubled() {
        assert_eq!(store_folder("/data").0, Path::new("/data/jetstream"));
        assert_eq!(store_folder("/data/jetstream").0, Path::new("/data/jetstream"));
        assert!(store_folder("").1);
    }
}
