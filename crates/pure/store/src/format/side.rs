//! What `sched.db` and `sources.db` hold: state of a stream that could also be gathered by reading all of its messages.
//!
//! ```text
//!  u8 1 │ u64 count │ u64 stamp │ entries
//!  sched.db     u16 length, subject │ sv next time ns │ uv sequence
//!  sources.db   uv length, index name │ uv last sequence │ uv length, identity
//! ```
//!
//! The entries cover the sequences below the stamp. `thw.db` has the same head and is `midge_index::wheel`'s.

use midge_codec::cursor::{Cursor, CursorError};
use midge_codec::varint::{put_bytes, put_sv, put_uv};

const VERSION: u8 = 1;

/// Why such a file is not used; the messages are read instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SideError {
    /// Written by a server that is newer or something else.
    #[error("unknown version {0}")]
    Version(u8),
    /// Shorter than it says, or a number that is none.
    #[error(transparent)]
    Malformed(#[from] CursorError),
    /// Longer than it says.
    #[error("bytes follow the last entry at offset {at}")]
    Trailing {
        /// Where the entries end.
        at: usize,
    },
}

/// One scheduled message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule<'a> {
    /// The subject of the message that holds the schedule.
    pub subject: &'a [u8],
    /// When it is due next, Unix time in nanoseconds.
    pub next_ns: i64,
    /// The sequence of that message.
    pub seq: u64,
}

/// How far one source was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// Which source: name of the stream, filters and destinations, as its index name is written.
    pub index_name: &'a [u8],
    /// The last sequence taken from it.
    pub seq: u64,
    /// Which incarnation of the source that was.
    pub identity: &'a [u8],
}

/// A decoded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side<T> {
    /// The entries cover sequences below this one.
    pub stamp: u64,
    /// The entries.
    pub entries: Vec<T>,
}

fn decode<'a, T>(
    bytes: &'a [u8],
    least: usize,
    entry: impl Fn(&mut Cursor<'a>) -> Result<Option<T>, CursorError>,
) -> Result<Side<T>, SideError> {
    let mut cursor = Cursor::new(bytes);
    let version = cursor.u8()?;
    if version != VERSION {
        return Err(SideError::Version(version));
    }
    let count = cursor.u64()?;
    let stamp = cursor.u64()?;
    let count = cursor.holds(count, least)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.extend(entry(&mut cursor)?);
    }
    if !cursor.is_empty() {
        return Err(SideError::Trailing { at: cursor.position() });
    }
    Ok(Side { stamp, entries })
}

fn head(count: usize, stamp: u64) -> Vec<u8> {
    let mut out = vec![VERSION];
    out.extend_from_slice(&(count as u64).to_le_bytes());
    out.extend_from_slice(&stamp.to_le_bytes());
    out
}

/// Reads `sched.db`.
pub fn decode_schedules(bytes: &[u8]) -> Result<Side<Schedule<'_>>, SideError> {
    decode(bytes, 4, |cursor| {
        let len = cursor.u16()?;
        let subject = cursor.bytes(usize::from(len))?;
        Ok(Some(Schedule { subject, next_ns: cursor.sv()?, seq: cursor.uv()? }))
    })
}

/// Writes `sched.db`. A subject that is longer than 65535 bytes, which no stored message has, is left out.
pub fn encode_schedules<'a>(stamp: u64, entries: impl Iterator<Item = Schedule<'a>> + Clone) -> Vec<u8> {
    let fitting = entries.filter_map(|entry| Some((u16::try_from(entry.subject.len()).ok()?, entry)));
    let mut out = head(fitting.clone().count(), stamp);
    for (len, entry) in fitting {
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(entry.subject);
        put_sv(&mut out, entry.next_ns);
        put_uv(&mut out, entry.seq);
    }
    out
}

/// Reads `sources.db`. Sources of which nothing was seen (sequence 0, written by 2.15.1) are left out.
pub fn decode_sources(bytes: &[u8]) -> Result<Side<Source<'_>>, SideError> {
    decode(bytes, 3, |cursor| {
        let len = cursor.uv_len()?;
        let index_name = cursor.bytes(len)?;
        let seq = cursor.uv()?;
        let len = cursor.uv_len()?;
        let identity = cursor.bytes(len)?;
        Ok((seq != 0).then_some(Source { index_name, seq, identity }))
    })
}

/// Writes `sources.db`.
pub fn encode_sources<'a>(stamp: u64, entries: impl Iterator<Item = Source<'a>> + Clone) -> Vec<u8> {
    let mut out = head(entries.clone().count(), stamp);
    for entry in entries {
        put_bytes(&mut out, entry.index_name);
        put_uv(&mut out, entry.seq);
        put_bytes(&mut out, entry.identity);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_cut_is_noticed() {
        let schedules = [
            Schedule { subject: b"a.b", next_ns: -7, seq: 1 },
            Schedule { subject: b"", next_ns: i64::MAX, seq: u64::MAX },
        ];
        let file = encode_schedules(9, schedules.iter().copied());
        assert_eq!(decode_schedules(&file), Ok(Side { stamp: 9, entries: schedules.to_vec() }));
        let unseen = Source { index_name: b"T > >", seq: 0, identity: b"" };
        let sources = [Source { index_name: b"S > >", seq: 300, identity: b"hUL1hX5l" }, unseen];
        let other = encode_sources(4, sources.iter().copied());
        assert_eq!(decode_sources(&other), Ok(Side { stamp: 4, entries: sources[..1].to_vec() }));
        for cut in 0..file.len() {
            assert!(decode_schedules(&file[..cut]).is_err());
        }
        for cut in 0..other.len() {
            assert!(decode_sources(&other[..cut]).is_err());
        }
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let mut file = encode_sources(1, std::iter::empty());
        file.push(0);
        assert_eq!(decode_sources(&file), Err(SideError::Trailing { at: 17 }));
        file[0] = 2;
        assert_eq!(decode_schedules(&file), Err(SideError::Version(2)));
        let mut many = head(0, 1);
        many[8] = 0xff;
        assert!(matches!(decode_schedules(&many), Err(SideError::Malformed(_))));
    }

    #[test]
    fn a_subject_that_cannot_be_is_not_written() {
        let long = vec![b'a'; 65_536];
        let file = encode_schedules(1, [Schedule { subject: &long, next_ns: 0, seq: 1 }].into_iter());
        assert_eq!(decode_schedules(&file).unwrap().entries, []);
    }
}
