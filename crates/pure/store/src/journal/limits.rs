//! The sizes of the journal, chosen by measurement (docs/decisions/004).

/// Bytes of a full-grown segment. With 4 MiB, a thousand streams with one message in flight each spend their time in checkpoints.
pub const SEGMENT_LEN: u64 = 32 << 20;
/// Bytes of the first segments; each new one doubles, so that a store with little to do takes little.
pub const FIRST_SEGMENT_LEN: u64 = 1 << 20;
/// Bytes of the first segments where there is no space for longer ones.
pub const SMALL_SEGMENT_LEN: u64 = 64 << 10;
/// Segments that may exist: one in use and three whose files are being synced. After that the committer syncs the oldest itself.
pub const SEGMENTS: usize = 4;
/// Segments that exist from the start: with two, deletes go on when the file system is full.
pub const FIRST_SEGMENTS: usize = 2;
/// Bytes of a new segment that are synced at once.
pub const FILL_LEN: u64 = 4 << 20;
/// Bytes before the first frame of a segment.
pub const SEGMENT_HEADER_LEN: u64 = 4096;
/// A frame takes a multiple of this, so that no sector of a frame that is on stable storage is written again.
pub const SECTOR: usize = 512;
/// Bytes after which a frame takes no further operation.
pub const FRAME_LEN: usize = 4 << 20;
/// Bytes of a replacement that goes into a frame; a longer one is staged in a file of its own.
pub const REPLACE_INLINE: usize = 256 << 10;
/// Open files of the committer.
pub const HANDLES: usize = 2048;
/// Bytes of journal after which a segment that holds erased bytes is checkpointed even when the disk is never idle.
pub const ERASED_LEN: u64 = 1 << 20;
/// Bytes that are kept back for what makes room when the file system is full.
pub const RESERVE_LEN: u64 = 4 << 20;
/// Files of a folder of a consumer that are removed one by one; one with more goes into the trash.
pub const SMALL_FOLDER: usize = 16;
/// Files of consumers that may wait to be written.
pub const LATE_FILES: usize = 4096;
/// Bytes of such files.
pub const LATE_LEN: usize = 4 << 20;
/// Files, and folders, that one job syncs for a lane.
pub const JOB_FILES: usize = 512;
/// Bytes of a name or folder in a record.
pub const NAME_LEN: usize = 4096;

const _: () = assert!(FIRST_SEGMENT_LEN <= SEGMENT_LEN && FIRST_SEGMENTS <= SEGMENTS);
const _: () = assert!(SEGMENT_HEADER_LEN.is_multiple_of(SECTOR as u64));
const _: () = assert!(REPLACE_INLINE + NAME_LEN < FIRST_SEGMENT_LEN as usize);
