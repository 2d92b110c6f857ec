//! Backups as servers before 2.15 wrote them: a POSIX tar of a store's files, in an S2 stream. Read, never written.
//!
//! ```text
//!  header of 512 bytes │ content, padded to 512 │ … │ two empty headers
//!    0 name 100 │ 124 size 12 │ 148 checksum 8 │ 156 type │ 257 "ustar" │ 345 prefix 155
//! ```
//!
//! Names and sizes that do not fit a header stand in extended headers before it (type `x`, and type `L` of GNU tar). Only regular files
//! are accepted, and only under names that stay within the folder that they are unpacked to.

use midge_codec::s2::S2Error;

use super::inflow::Inflow;

const BLOCK: usize = 512;
/// The longest extended header, in bytes.
const MAX_EXTENSION_LEN: usize = 64 << 10;

/// What comes next in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarItem<'a> {
    /// A file begins.
    File {
        /// Its name: components that are neither empty nor dots, with `/` between.
        path: String,
        /// Its length in bytes.
        len: u64,
    },
    /// The next part of the current file.
    Content(&'a [u8]),
}

/// Why a backup cannot be read on. Offsets are those of the plaintext.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarError {
    /// The stream around it.
    #[error(transparent)]
    Stream(#[from] S2Error),
    /// The checksum of a header is wrong, or a number in it is none.
    #[error("tar: bad header at offset {at}")]
    Header {
        /// Where it starts.
        at: u64,
    },
    /// Neither a regular file nor a folder.
    #[error("tar: entry of type {kind:#04x} at offset {at}")]
    Kind {
        /// Where its header starts.
        at: u64,
        /// The type byte.
        kind: u8,
    },
    /// A name that would lead elsewhere, or is none.
    #[error("tar: bad name at offset {at}")]
    Name {
        /// Where its header starts.
        at: u64,
    },
    /// An extended header that is too long.
    #[error("tar: extended header of {len} bytes at offset {at}")]
    Extension {
        /// Where it starts.
        at: u64,
        /// Its stated length.
        len: u64,
    },
    /// It ends within a file, or without an end.
    #[error("backup was truncated")]
    Truncated,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    Extension { kind: u8, len: usize },
    Content { left: u64, padding: usize },
    Padding(usize),
    Ended,
}

/// Reads a backup whose pieces are pushed. Holds at most an extended header and one chunk of the stream.
#[derive(Debug)]
pub struct TarReader {
    inflow: Inflow,
    state: State,
    at: u64,
    /// Of the entry to come, from extended headers.
    path: Option<Vec<u8>>,
    len: Option<u64>,
    /// The header before was empty.
    empty: bool,
}

impl TarReader {
    /// Begins with what has flowed in.
    pub fn new(inflow: Inflow) -> TarReader {
        TarReader { inflow, state: State::Header, at: 0, path: None, len: None, empty: false }
    }

    /// Takes some of the input, and answers how much. [`TarReader::next_item`] is to be called until it has nothing before the others are
    /// pushed.
    pub fn push(&mut self, input: &[u8]) -> Result<usize, TarError> {
        Ok(self.inflow.push(input)?)
    }

    /// The next item, or nothing when more input is needed or the backup has ended.
    pub fn next_item(&mut self) -> Result<Option<TarItem<'_>>, TarError> {
        loop {
            match self.state {
                State::Header => {
                    let Some(header) =
                        self.inflow.take(BLOCK).and_then(|block| block.first_chunk::<BLOCK>().copied())
                    else {
                        return Ok(None);
                    };
                    let item = self.header(&header)?;
                    self.at += BLOCK as u64;
                    if item.is_some() {
                        return Ok(item);
                    }
                }
                State::Extension { kind, len } => {
                    let Some(content) = self.inflow.take(len.next_multiple_of(BLOCK)) else {
                        return Ok(None);
                    };
                    let content = content.get(..len).unwrap_or_default().to_vec();
                    self.extension(kind, &content)?;
                    self.at += len.next_multiple_of(BLOCK) as u64;
                    self.state = State::Header;
                }
                State::Content { left: 0, padding } => self.state = State::Padding(padding),
                State::Content { left, padding } => {
                    let ready = (self.inflow.rest().len() as u64).min(left);
                    if ready == 0 {
                        return Ok(None);
                    }
                    self.at += ready;
                    self.state = State::Content { left: left - ready, padding };
                    // No more than is held, so that it is a size.
                    return Ok(self.inflow.take(ready as usize).map(TarItem::Content));
                }
                State::Padding(len) => {
                    if self.inflow.take(len).is_none() {
                        return Ok(None);
                    }
                    self.at += len as u64;
                    self.state = State::Header;
                }
                State::Ended => return Ok(None),
            }
        }
    }

    fn header(&mut self, header: &[u8; BLOCK]) -> Result<Option<TarItem<'static>>, TarError> {
        let at = self.at;
        if header.iter().all(|&byte| byte == 0) {
            self.state = if self.empty { State::Ended } else { State::Header };
            self.empty = true;
            return Ok(None);
        }
        self.empty = false;
        let field = |from: usize, len: usize| header.get(from..from + len).unwrap_or_default();
        let stated = number(field(148, 8)).ok_or(TarError::Header { at })?;
        let blank = field(148, 8).iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let sum = header.iter().map(|&byte| u64::from(byte)).sum::<u64>() - blank + 8 * u64::from(b' ');
        let len = number(field(124, 12)).filter(|_| stated == sum).ok_or(TarError::Header { at })?;
        let kind = header[156];
        if matches!(kind, b'x' | b'g' | b'L') {
            let len = usize::try_from(len).ok().filter(|&len| len <= MAX_EXTENSION_LEN);
            let len =
                len.ok_or(TarError::Extension { at, len: number(field(124, 12)).unwrap_or_default() })?;
            self.state = State::Extension { kind, len };
            return Ok(None);
        }
        let own = || match text(field(345, 155)) {
            prefix if field(257, 6) == b"ustar\0" && !prefix.is_empty() => {
                [prefix, b"/", text(field(0, 100))].concat()
            }
            _ => text(field(0, 100)).to_vec(),
        };
        let path = self.path.take().unwrap_or_else(own);
        let len = self.len.take().unwrap_or(len);
        match kind {
            b'5' if len == 0 => Ok(None),
            0 | b'0' => {
                let path = safe_path(&path).ok_or(TarError::Name { at })?;
                let padding = (len.wrapping_neg() % BLOCK as u64) as usize;
                self.state = State::Content { left: len, padding };
                Ok(Some(TarItem::File { path, len }))
            }
            _ => Err(TarError::Kind { at, kind }),
        }
    }

    fn extension(&mut self, kind: u8, content: &[u8]) -> Result<(), TarError> {
        match kind {
            b'L' => self.path = Some(text(content).to_vec()),
            b'x' => {
                let mut rest = content;
                while !rest.is_empty() {
                    let (key, value, after) = pax_record(rest).ok_or(TarError::Header { at: self.at })?;
                    match key {
                        b"path" => self.path = Some(value.to_vec()),
                        b"size" => {
                            let len = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                            self.len = Some(len.ok_or(TarError::Header { at: self.at })?);
                        }
                        _ => {}
                    }
                    rest = after;
                }
            }
            // Global headers say nothing about names and lengths.
            _ => {}
        }
        Ok(())
    }

    /// Whether the end was read.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// To be asked when no more input comes.
    ///
    /// # Errors
    /// When the end is missing, or the stream ends within a chunk.
    pub fn finish(&self) -> Result<(), TarError> {
        if !self.has_ended() {
            return Err(TarError::Truncated);
        }
        Ok(self.inflow.finish()?)
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        self.inflow.held()
    }
}

/// Up to the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Octal digits between blanks, or binary after a first byte of 0x80.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((0x80, binary)) = field.split_first() {
        return binary.iter().try_fold(0u64, |value, &byte| Some(value.checked_mul(256)? | u64::from(byte)));
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0u64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// `<length> <key>=<value>\n`, where the length counts all of it: key, value, and what follows.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(8).position(|&byte| byte == b' ')?;
    let len: usize = std::str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let (record, after) = bytes.split_at_checked(len)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    Some((record.get(..equals)?, record.get(equals + 1..)?, after))
}

fn safe_path(path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let sound = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    path.split('/').all(sound).then(|| path.to_owned())
}

#[cfg(test)]
#[path = "tar_tests.rs"]
mod tests;
