//! What a node needs of the world.

use midge_stdx::entropy::Entropy;

/// Figures of the process and the machine, read when somebody asks.
pub trait Host: Send + Sync {
    /// The current figures.
    fn usage(&self) -> Usage;
}

/// See [`Host`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Resident memory, bytes.
    pub memory: u64,
    /// CPU seconds of all threads, user and system.
    pub cpu_seconds: f64,
    /// CPU use since the last reading (or the start), percent of one CPU.
    pub cpu_percent: f64,
    /// CPUs of the machine.
    pub cores: usize,
    /// CPUs that the process may use.
    pub usable_cores: usize,
    /// The memory limit of the process, bytes; 0 for none.
    pub memory_limit: u64,
    /// Open file descriptors.
    pub open_files: u64,
}

/// The ports of a node, gathered.
pub struct Ports {
    /// Unpredictable bytes for keys and nonces.
    pub secrets: Box<dyn Entropy>,
    /// Threads that count.
    pub shards: usize,
    /// This implementation's own version.
    pub midge_version: String,
    /// The process and the machine.
    pub host: Box<dyn Host>,
}
