//! What is known of a subject, for as long as it has messages.

/// 28 bytes, as there may be many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectState {
    last_seq: [u32; 2],
    total: [u32; 2],
    /// What the last message counts for, in bytes; 0 when the last message is not known: `last_seq` is then only above it.
    pub last_len: u32,
    /// No earlier block has any.
    pub first_block: u32,
    /// No later block has any.
    pub last_block: u32,
}

fn join([low, high]: [u32; 2]) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

fn split(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

impl SubjectState {
    /// A subject without messages, before its first one.
    pub fn new(block: u32) -> SubjectState {
        SubjectState { last_seq: [0; 2], total: [0; 2], last_len: 0, first_block: block, last_block: block }
    }

    /// Live messages.
    #[inline]
    pub fn total(&self) -> u64 {
        join(self.total)
    }

    /// Sets the live messages.
    #[inline]
    pub fn set_total(&mut self, total: u64) {
        self.total = split(total);
    }

    /// The last message, if it is known.
    #[inline]
    pub fn last_seq(&self) -> Option<u64> {
        (self.last_len > 0).then(|| join(self.last_seq))
    }

    /// No message is above this sequence.
    pub fn last_bound(&self) -> u64 {
        join(self.last_seq)
    }

    /// A message was added behind the others.
    #[inline]
    pub fn push(&mut self, seq: u64, len: u32, block: u32) {
        self.set_total(self.total() + 1);
        self.set_last(seq, len, block);
    }

    /// The last message was found.
    #[inline]
    pub fn set_last(&mut self, seq: u64, len: u32, block: u32) {
        self.last_seq = split(seq);
        self.last_len = len;
        self.last_block = block;
    }

    /// The last message is one before `seq`.
    pub fn forget_last(&mut self, seq: u64) {
        self.last_seq = split(seq.saturating_sub(1));
        self.last_len = 0;
    }
}

const _: () = assert!(size_of::<SubjectState>() == 28);
