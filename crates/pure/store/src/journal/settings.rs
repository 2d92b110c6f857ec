//! How a journal is kept.

use super::limits;

/// How a journal is kept. The defaults are in [`limits`].
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of a full-grown segment.
    pub segment_len: u64,
    /// Bytes of the first segments.
    pub first_segment_len: u64,
    /// How many segments there may be.
    pub segments: usize,
    /// Open files.
    pub handles: usize,
    /// Bytes of a replacement that goes into a frame.
    pub replace_inline: usize,
    /// Bytes that are kept back for what makes room when the file system is full.
    pub reserve_len: u64,
    /// Breaks a rule on purpose, so that tests can show that they notice.
    pub flaw: Option<Flaw>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            segment_len: limits::SEGMENT_LEN,
            first_segment_len: limits::FIRST_SEGMENT_LEN,
            segments: limits::SEGMENTS,
            handles: limits::HANDLES,
            replace_inline: limits::REPLACE_INLINE,
            reserve_len: limits::RESERVE_LEN,
            flaw: None,
        }
    }
}

impl Settings {
    /// The same for a journal that begins where there is next to no space.
    pub(super) fn with_small_segments(self) -> Settings {
        let first_segment_len = self.first_segment_len.min(limits::SMALL_SEGMENT_LEN);
        let most = usize::try_from(first_segment_len / 4).unwrap_or(usize::MAX);
        Settings { first_segment_len, replace_inline: self.replace_inline.min(most), ..self }
    }
}

/// A rule of the journal, to be broken by tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Completions before the frame is on stable storage.
    AcknowledgeBeforeSync,
    /// Names are never put on stable storage.
    ForgetFolders,
    /// A file is rewritten although the journal still speaks of it.
    NoBarrier,
    /// A journal is replayed over whatever stands in the files.
    ReplayOverForeign,
    /// A segment is used again before its files are synced.
    ReuseBeforeCheckpoint,
    /// A freed segment keeps its header.
    KeepHeaderOfFreed,
    /// Segments of an earlier journal are left, and replayed with those of the one that followed it.
    ReplayOldJournal,
    /// Another `msgs/index.db` than the one that was there is no sign of somebody else.
    IgnoreIndex,
}
