//! `thw.db`, as the Go server writes it: u8 1, u64 LE entries, u64 LE stamp, then per entry its expiry in Unix nanoseconds
//! (signed, variable length) and its sequence (unsigned, variable length). The stamp is one more than the last sequence
//! that the entries take into account.

use std::fmt;

use midge_codec::cursor::{Cursor, CursorError};
use midge_codec::varint::{put_sv, put_uv, sv_len, uv_len};

use super::Wheel;

const VERSION: u8 = 1;
/// The fewest bytes of an entry.
const LEAST: usize = 2;

/// Why a file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WheelError {
    /// It ends early, holds a broken integer, or announces more entries than follow.
    Short(CursorError),
    /// A version that is not known.
    Version(u8),
    /// Bytes follow the last entry, from this offset on.
    Trailing(usize),
    /// The entry at this offset is there twice.
    Twice(usize),
}

impl fmt::Display for WheelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expiry wheel: ")?;
        match self {
            WheelError::Short(error) => write!(f, "{error}"),
            WheelError::Version(byte) => write!(f, "unknown version {byte} at offset 0"),
            WheelError::Trailing(at) => write!(f, "bytes after the last entry at offset {at}"),
            WheelError::Twice(at) => write!(f, "an entry for the second time at offset {at}"),
        }
    }
}

impl std::error::Error for WheelError {}

impl From<CursorError> for WheelError {
    fn from(error: CursorError) -> WheelError {
        WheelError::Short(error)
    }
}

impl Wheel {
    /// Appends the encoding with a stamp.
    pub fn encode(&self, stamp: u64, out: &mut Vec<u8>) {
        let entries: usize =
            self.entries.iter().map(|&(expires_ns, seq)| sv_len(expires_ns) + uv_len(seq)).sum();
        out.reserve(17 + entries);
        out.push(VERSION);
        out.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        out.extend_from_slice(&stamp.to_le_bytes());
        for &(expires_ns, seq) in &self.entries {
            put_sv(out, expires_ns);
            put_uv(out, seq);
        }
    }

    /// Reads a whole file: the entries, in any order, and the stamp.
    pub fn decode(bytes: &[u8]) -> Result<(Wheel, u64), WheelError> {
        let mut input = Cursor::new(bytes);
        let version = input.u8()?;
        if version != VERSION {
            return Err(WheelError::Version(version));
        }
        let announced = input.u64()?;
        let stamp = input.u64()?;
        let count = input.holds(announced, LEAST)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let at = input.position();
            entries.push((input.sv()?, input.uv()?, at));
        }
        if !input.is_empty() {
            return Err(WheelError::Trailing(input.position()));
        }
        entries.sort_unstable();
        if let Some(twice) = entries.windows(2).find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
        {
            return Err(WheelError::Twice(twice[1].2));
        }
        let entries = entries.into_iter().map(|(expires_ns, seq, _)| (expires_ns, seq)).collect();
        Ok((Wheel { entries }, stamp))
    }
}
