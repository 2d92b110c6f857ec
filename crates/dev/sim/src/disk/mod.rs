//! A disk under a seed: files that forget what was not synced, and workloads whose every promise is checked after a crash.
//!
//! ```text
//!   seed ─▶ swarm ─▶ stores (as scripts) ─▶ journal::Committer ─▶ SimFiles ─▶ kill or power cut, at any call
//!                          │                                         │
//!                          └── operations, completions ─▶ model ◀── recovery, which may be cut as well
//! ```

pub mod crash;
pub mod files;
pub mod model;
pub mod run;
mod script;
pub mod stores;

pub use crash::Odds;
pub use files::{Faults, SimFiles};
pub use run::{Verdict, run, trace};
pub use stores::{run_stores, trace_stores};

use midge_store::journal::Flaw;

/// Every rule of the journal that can be broken on purpose.
pub const FLAWS: [Flaw; 8] = [
    Flaw::AcknowledgeBeforeSync,
    Flaw::ForgetFolders,
    Flaw::NoBarrier,
    Flaw::ReplayOverForeign,
    Flaw::ReuseBeforeCheckpoint,
    Flaw::KeepHeaderOfFreed,
    Flaw::ReplayOldJournal,
    Flaw::IgnoreIndex,
];
