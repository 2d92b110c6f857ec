//! What a store asks of a disk, and what a disk asks of an operating system.
//!
//! Two levels, so that everything between them is pure and runs in the simulator:
//!
//! ```text
//!   FileStore ── Op ──▶ journal::Committer ── Files ──▶ operating system (edge/disk) or crash images (sim)
//!       ▲                     │
//!       └──── Completion ◀────┘
//! ```
//!
//! A store never waits: it submits an [`Op`] under a [`Ticket`] and is told later with a [`Completion`]. Operations of one
//! [`Lane`] (one store) take effect in the order of their submission, [`Op::Stage`] and [`Op::Work`] excepted, which may run at any
//! time. Opening a store is the one synchronous path and uses [`Files`] directly.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::journal::Deltas;

/// One opened store, as the disk knows it. Given out when the store is registered with its folder; never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub u32);

/// An operation of one lane, to find its completion by. Rises by one per operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A file of a store, relative to the folder of its lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// `msgs/<N>.blk`, the only file that is written often.
    Block(u32),
    /// Any other file: `meta.inf`, `msgs/index.db`, `obs/C/o.dat`.
    Path(Arc<str>),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Block(index) => write!(f, "msgs/{index}.blk"),
            Name::Path(path) => f.write_str(path),
        }
    }
}

/// What a completion says about power cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The operating system has it: it survives the end of the process, not the end of power.
    Cached,
    /// It is on stable storage, in its file or in the journal.
    Durable,
}

/// What a store asks for.
pub enum Op {
    /// Writes bytes into a block file, which is created when absent. Also overwrites (an erased record).
    Write {
        /// The block.
        block: u32,
        /// Where in the file, in bytes.
        offset: u64,
        /// What.
        bytes: Bytes,
        /// When it is complete.
        promise: Promise,
    },
    /// Replaces files, all of them or, after a crash at any moment, none. Goes through the journal whatever the promise.
    Replace {
        /// The files with their new contents; their folders are created when absent.
        files: Vec<(Name, Bytes)>,
        /// When it is complete.
        promise: Promise,
    },
    /// Removes files; absent ones are no error. With [`Promise::Durable`] they do not come back after a crash.
    Remove {
        /// The files. A path that ends in `/` is a folder, removed with everything in it.
        files: Vec<Name>,
        /// When it is complete.
        promise: Promise,
    },
    /// Puts a staged file in the place of another, or of none. Always durable, as is everything the lane had written to that file before. Not for `o.dat`,
    /// which is replaced.
    Adopt {
        /// The file that was staged.
        staged: Name,
        /// The file that it becomes.
        file: Name,
    },
    /// Cuts or extends a block file. Always durable.
    SetLen {
        /// The block.
        block: u32,
        /// The new length in bytes.
        len: u64,
    },
    /// One change of a consumer's state since its `o.dat` was last replaced; opaque to the disk, handed back by recovery in this order.
    Delta {
        /// The name of the consumer.
        consumer: Arc<str>,
        /// The change, encoded by `consumer::delta`.
        bytes: Bytes,
        /// When it is complete.
        promise: Promise,
    },
    /// Everything that the lane submitted before is in its own files on stable storage, without the help of a journal. Deltas are not:
    /// they are in no file until the store replaces `o.dat`. May complete after operations that were submitted later.
    Checkpoint,
    /// The store has seen the failure of an operation; what it submits from here on is done again.
    Resume,
    /// The store is deleted: its folder and everything in it.
    Delete,
    /// Writes and syncs a file under a temporary name, for [`Op::Adopt`]. Out of order.
    Stage {
        /// The temporary file, relative to the lane.
        file: Name,
        /// Its whole content.
        bytes: Bytes,
    },
    /// Reading and computing away from the owner of the store. Out of order.
    Work(Box<dyn Work>),
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Write { block, offset, bytes, promise } => {
                write!(f, "write {block}.blk at {offset}, {} bytes, {promise:?}", bytes.len())
            }
            Op::Replace { files, promise } => {
                f.write_str("replace")?;
                files.iter().try_for_each(|(name, bytes)| write!(f, " {name} ({} bytes)", bytes.len()))?;
                write!(f, ", {promise:?}")
            }
            Op::Remove { files, promise } => {
                f.write_str("remove")?;
                files.iter().try_for_each(|name| write!(f, " {name}"))?;
                write!(f, ", {promise:?}")
            }
            Op::Adopt { staged, file } => write!(f, "adopt {staged} as {file}"),
            Op::SetLen { block, len } => write!(f, "set the length of {block}.blk to {len}"),
            Op::Delta { consumer, bytes, promise } => {
                write!(f, "delta of {consumer}, {} bytes, {promise:?}", bytes.len())
            }
            Op::Checkpoint => f.write_str("checkpoint"),
            Op::Resume => f.write_str("resume"),
            Op::Delete => f.write_str("delete"),
            Op::Stage { file, bytes } => write!(f, "stage {file}, {} bytes", bytes.len()),
            Op::Work(_) => f.write_str("work"),
        }
    }
}

/// A computation over files that its owner does not wait for: owned input, owned output, no other effect than on staged files.
pub trait Work: Send {
    /// Runs it. `folder` is the folder of the lane, relative to the store directory.
    fn run(self: Box<Self>, files: &dyn Files, folder: &str) -> Box<dyn Any + Send>;
}

/// An operation under its ticket.
#[derive(Debug)]
pub struct Submission {
    /// Whose.
    pub lane: Lane,
    /// To find the completion by.
    pub ticket: Ticket,
    /// What.
    pub op: Op,
}

/// What became of an operation.
pub enum Outcome {
    /// Done, with what was promised.
    Done,
    /// What a [`Work`] returned.
    Worked(Box<dyn Any + Send>),
    /// It failed, and may or may not be found done after a crash. Nothing that follows it in its lane is done until [`Op::Resume`].
    Failed(DiskError),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("done"),
            Outcome::Worked(_) => f.write_str("worked"),
            Outcome::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

/// The end of an operation.
#[derive(Debug)]
pub struct Completion {
    /// Whose.
    pub lane: Lane,
    /// Which.
    pub ticket: Ticket,
    /// How.
    pub outcome: Outcome,
}

/// Why the disk refused, sorted by what a store does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing of that name.
    Absent,
    /// No space, or over a quota: passes when space returns.
    Full,
    /// Too many open files, or no memory: passes.
    Busy,
    /// Not permitted, or a read-only file system.
    Denied,
    /// A write or a sync failed in the device: what was not synced before may be gone, and is not retried as if it were not.
    Device,
}

/// A failed call, with where and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} {path}: {text}")]
pub struct DiskError {
    /// What kind of failure.
    pub fault: Fault,
    /// The call that failed.
    pub call: &'static str,
    /// The file or folder, relative to the store directory.
    pub path: String,
    /// What the operating system said.
    pub text: String,
}

/// What became of a batch of submissions; what was not taken is left in it, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Submitted {
    /// All of it was taken.
    All,
    /// Too much is queued: what is left is to be submitted again, before anything else of its lane, when [`Completions::room`] is called.
    Full,
    /// What is left is of lanes that are not registered.
    NoLane,
    /// The disk was closed, or has failed.
    Closed,
}

/// Where the completions of a lane go. Called on threads of the disk, which hold no lock meanwhile; to return quickly is a courtesy to all other lanes.
///
/// An implementation that panics is not called again, and its lane gets nothing any more; the disk goes on.
pub trait Completions: Send + Sync {
    /// Operations have ended, in the order of their submission, those excepted that have none. Takes them out; what it leaves is dropped.
    fn complete(&self, batch: &mut Vec<Completion>);

    /// All that ended together was handed to the owners: the time to wake whoever sleeps. One that owns many lanes and wakes in
    /// [`Completions::complete`] would be woken for the first of them.
    fn wake(&self) {}

    /// There is room again, after `submit` left operations untaken. May come once too often.
    fn room(&self) {}

    /// There is space again on the file system, after an operation failed for the lack of it. Comes again and again while operations fail in spite of it
    /// (a quota, say).
    fn space(&self) {}

    /// The journal had to copy changes of this store's consumers, because they stood in its oldest part and in no file: their states should be written
    /// whole, or it copies them round and round.
    fn behind(&self) {}

    /// Something that was done aside failed, and the lane refuses from here on: what is submitted next says why. Who does not write would not hear of it.
    fn refused(&self) {}

    /// The lane has ended, after `unregister` or the end of the disk; nothing is called afterwards. After an error what was promised is still in the journal.
    fn released(&self, _result: Result<(), DiskError>) {}
}

/// One store directory and those who drive it, as owners of stores see it.
pub trait StoreDisk: Send + Sync {
    /// Opens a lane for the store in this folder, which is created when absent. Blocks: not to be called by an owner in its turn. To be called when the store
    /// has read, and where needed mended, its files, and before it submits anything. A folder whose lane has not ended is refused.
    fn register(&self, folder: &str, sink: Arc<dyn Completions>) -> Result<Lane, DiskError>;

    /// Ends a lane, also one whose store was deleted: what was submitted is completed, everything put into its own files on stable storage, and
    /// [`Completions::released`] called. Does not wait.
    fn unregister(&self, lane: Lane);

    /// Queues operations; does not wait. What is not taken stays in the batch, in order, and the answer says why.
    fn submit(&self, batch: &mut Vec<Submission>) -> Submitted;

    /// The deltas of the consumers of the store in this folder that no file holds, for a store that is opened anew after its lane has ended: what the journal
    /// holds of that lane, and could not be done then, is done first, as whoever reads the files has to find it. Blocks, and reads the whole journal.
    fn deltas(&self, folder: &str) -> Result<Vec<Deltas>, DiskError>;

    /// The files themselves, in blocking calls, for opening stores.
    fn files(&self) -> Arc<dyn Files>;

    /// Bytes that may still be written, as found at the last look; none from when the disk was found full until there is clearly more than what was kept back
    /// for deletions and acknowledgements.
    fn space(&self) -> u64;
}

/// An open file of [`Files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u32);

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It has to exist.
    Read,
    /// It has to exist.
    Write,
    /// It is created, with mode 0600, when absent; its folder has to exist.
    Create,
    /// The same, and through this handle only whole sectors are written, and nothing is read: it may go past the page cache.
    Sectors,
}

impl Mode {
    /// Whether a file that is absent is created.
    pub fn creates(self) -> bool {
        matches!(self, Mode::Create | Mode::Sectors)
    }
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name, without the folder.
    pub name: String,
    /// Whether it is a folder itself.
    pub folder: bool,
    /// Length in bytes, of a file.
    pub len: u64,
}

/// The file system under one store directory, in blocking calls. Paths are relative to that directory and use `/`.
///
/// What power cuts may do, and the simulator does: until `sync` of a file, any part of what was written to it since the last one may be missing or torn, in
/// any order, its length included; until `sync_folder`, any name that was created, renamed or removed in the folder may be as before.
/// Names that are not UTF-8 are not listed.
pub trait Files: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError>;
    /// Closes it. The handle is not used afterwards.
    fn close(&self, file: Handle);
    /// Reads until the buffer is full or the file ends; returns how much.
    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError>;
    /// Writes all of the bytes; a failure may have written some of them.
    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// The length in bytes.
    fn len(&self, file: Handle) -> Result<u64, DiskError>;
    /// Cuts or extends (with zeros).
    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError>;
    /// Reserves space and extends the file to this length where the file system can, so that later writes change no length.
    fn allocate(&self, file: Handle, len: u64) -> Result<(), DiskError>;
    /// What was written to the file is on stable storage, with its length.
    fn sync(&self, file: Handle) -> Result<(), DiskError>;
    /// The names in the folder are on stable storage.
    fn sync_folder(&self, path: &str) -> Result<(), DiskError>;
    /// The entries of a folder, by name.
    fn list(&self, path: &str) -> Result<Vec<Entry>, DiskError>;
    /// Creates a folder (mode 0700) and the folders above it; one that exists is no error.
    fn create_folder(&self, path: &str) -> Result<(), DiskError>;
    /// Renames a file or folder over what has that name; a folder only over an empty one.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Removes a file.
    fn remove(&self, path: &str) -> Result<(), DiskError>;
    /// Removes a folder with everything in it.
    fn remove_folder(&self, path: &str) -> Result<(), DiskError>;
    /// Bytes that may still be written.
    fn free(&self) -> Result<u64, DiskError>;
}
