//! One journal per store directory: what every store was promised is on stable storage here first, and in its own files later.
//!
//! ```text
//!  submissions ─▶ Committer ─┬─▶ appends into block files (page cache)            a kill leaves files that others can read
//!                            ├─▶ one frame into the current segment, one sync     a power cut leaves the journal
//!                            ├─▶ overwrites, replacements, removals, renames      once the frame is on stable storage
//!                            └─▶ completions
//!  a full segment ─▶ Job: sync the files it spoke of (any thread) ─▶ finished ─▶ live deltas carried on ─▶ the segment is free
//!  start ─▶ replay: what the journal holds and the files do not is written, synced, and the journal begun anew
//! ```
//!
//! Physical redo: a record says which bytes stand where, so replaying is idempotent and needs no order between files. What would break
//! that (a file that is cut, rewritten, put in the place of another, created again) is preceded by a sync of the file and a barrier, so that an old offset never
//! meets a new file. Formats and crash cases: `docs/formats/journal.md`; why: `docs/decisions/004-one-journal-per-store-directory.md`.
//!
//! Not here: threads and time (`midge-disk` drives a [`Committer`]), and what the bytes mean (a store, and [`Records`]).

mod apply;
mod checkpoint;
mod clear;
mod commit;
mod committer;
mod gather;
mod image;
mod lanes;
mod late;
pub mod layout;
pub mod limits;
#[cfg(test)]
mod overlaps;
mod post;
pub mod record;
mod redo;
mod replay;
mod report;
mod reserve;
mod scan;
mod segments;
mod settings;

pub use checkpoint::{Finished, Job};
pub use commit::aside;
pub use committer::{Committer, Event};
pub use record::Fingerprint;
pub use replay::{PlainRecords, Records, is_foreign, replay};
pub use report::{Damage, Deltas, Foreign, Report};
pub use settings::{Flaw, Settings};

/// The folder of everything that is not a store's, relative to the store directory.
pub const HOME: &str = ".midge";
pub(crate) const JOURNAL: &str = ".midge/journal";
pub(crate) const STAGED: &str = ".midge/staged";
pub(crate) const TRASH: &str = ".midge/trash";
pub(crate) const QUARANTINE: &str = ".midge/quarantine";
/// The file that says which content of the index of a stream a journal belongs to.
const INDEX: &str = "msgs/index.db";

/// The folder above; empty for the store directory itself.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The consumer whose state the file of a lane is, if it is one.
fn consumer_of(path: &str) -> Option<&str> {
    path.strip_prefix("obs/")?.strip_suffix("/o.dat").filter(|name| !name.contains('/'))
}
