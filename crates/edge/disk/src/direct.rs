//! Writing past the page cache.
//!
//! What the journal holds is read after a crash and never before: pages for it are cleared, filled, charged and written back for nobody. The system takes
//! such writes only from memory that is aligned, so they are copied once, into a buffer that stays warm.

use std::cell::RefCell;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::handles::OpenFile;
use crate::real::write_all;

/// What offsets and lengths are multiples of.
const SECTOR: usize = 512;
/// What memory is aligned to: no device asks for more than a page.
const PAGE: usize = 4096;
/// Bytes that are written at once.
const BUFFER_LEN: usize = 256 << 10;

thread_local! {
    /// Of a thread that has written so; larger by a page than what is used.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn is_whole(offset: u64, len: usize) -> bool {
    offset.is_multiple_of(SECTOR as u64) && len.is_multiple_of(SECTOR)
}

/// Writes whole sectors to a file that was opened for it. A file system or a device that does not take them gets them the usual way, from then on.
pub(crate) fn write(file: &OpenFile, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    let written = if is_whole(offset, bytes.len()) {
        write_aligned(bytes, offset, |part, at| rustix::io::pwrite(&file.fd, part, at))
    } else {
        Err(Errno::INVAL)
    };
    match written {
        Err(Errno::INVAL) => {
            let flags = rustix::fs::fcntl_getfl(&file.fd)?;
            rustix::fs::fcntl_setfl(&file.fd, flags.difference(OFlags::DIRECT))?;
            write_all(|rest, at| rustix::io::pwrite(&file.fd, rest, at), offset, bytes)
        }
        result => result,
    }
}

fn write_aligned(
    bytes: &[u8],
    offset: u64,
    mut raw: impl FnMut(&[u8], u64) -> Result<usize, Errno>,
) -> Result<(), Errno> {
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(BUFFER_LEN + PAGE, 0);
        let skip = buffer.as_ptr().align_offset(PAGE).min(PAGE);
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.len().min(BUFFER_LEN));
            let Some(aligned) = buffer.get_mut(skip..skip + part.len()) else { return Err(Errno::INVAL) };
            aligned.copy_from_slice(part);
            write_all(&mut raw, at, aligned)?;
            (at, rest) = (at + part.len() as u64, later);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_aligned_and_in_order() {
        let bytes: Vec<u8> = (0..BUFFER_LEN * 2 + SECTOR).map(|n| (n / SECTOR) as u8).collect();
        let mut written = Vec::new();
        write_aligned(&bytes, 1024, |part, at| {
            assert_eq!(part.as_ptr().align_offset(PAGE), 0);
            assert_eq!(at, 1024 + written.len() as u64);
            assert!(is_whole(at, part.len()));
            written.extend_from_slice(part);
            Ok(part.len())
        })
        .unwrap();
        assert!(written == bytes);
    }

    #[test]
    fn an_error_ends_it() {
        let mut calls = 0;
        let result = write_aligned(&vec![0; BUFFER_LEN * 2], 0, |_, _| {
            calls += 1;
            Err(Errno::NOSPC)
        });
        assert_eq!((result, calls), (Err(Errno::NOSPC), 1));
    }
}
