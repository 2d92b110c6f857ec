//! Block files: read, checked at both ends, and made ready for appends.

use std::collections::BTreeMap;

use super::folder::{keep, read_into};
use super::{Context, Image, OpenError};
use crate::format::block_file::{Unpackable, unpack};
use crate::format::keys::AssetKey;
use crate::format::names;
use crate::format::record::{CHECKSUM_LEN, RecordKey};
use crate::format::scan::{Item, Scan};
use crate::port::{DiskError, Fault, Handle, Mode};
use crate::stream::Block;

/// Readable block files.
#[derive(Default)]
pub(super) struct BlockFiles {
    lens: BTreeMap<u32, u64>,
    /// The highest number that a file has, readable or not.
    pub(super) highest: u32,
    /// How the last one ends.
    pub(super) end: Option<End>,
}

impl BlockFiles {
    pub(super) fn insert(&mut self, index: u32, len: u64) {
        self.lens.insert(index, len);
    }

    /// The length of a file, in bytes.
    pub(super) fn len(&self, index: u32) -> Option<u64> {
        self.lens.get(&index).copied()
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.lens.keys().copied().collect()
    }
}

/// What the end of the last block looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Where the last good record ends in the plaintext.
    pub(super) good_end: u64,
    /// No appends: it is compressed, or damaged before its end.
    pub(super) sealed: bool,
}

/// Decrypts a file, or encrypts it.
pub(super) fn decrypt(key: Option<&AssetKey>, file: &mut [u8]) {
    if let Some(key) = key {
        // A block ends long before the keystream does.
        let _ = key.keystream().apply(0, file);
    }
}

/// Whether there is any record in a decrypted file.
pub(super) fn has_record(file: &[u8], key: &RecordKey) -> bool {
    let unpacked = unpack(file, key);
    Scan::new(&unpacked.records, key).any(|item| matches!(item, Item::Record { .. }))
}

/// The records of a block.
pub(super) struct Plain<'a> {
    pub(super) records: std::borrow::Cow<'a, [u8]>,
    pub(super) compressed: bool,
    pub(super) fault: Option<Unpackable>,
}

impl Context<'_> {
    pub(super) fn record_key(&self, index: u32) -> RecordKey {
        RecordKey::new(&self.config.name, index)
    }

    /// Reads a block into `buffer`.
    pub(super) fn read_block<'b>(
        &mut self,
        index: u32,
        key: &RecordKey,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Plain<'b>, DiskError> {
        let file = self.files.open(&self.path(index), Mode::Read)?;
        let result = read_into(self.files, file, buffer);
        self.files.close(file);
        result?;
        decrypt(self.keys.get(&index), buffer);
        self.recovery.blocks_read += 1;
        let unpacked = unpack(buffer, key);
        Ok(Plain { records: unpacked.records, compressed: unpacked.compressed, fault: unpacked.fault })
    }

    /// The first bytes and the last eight of a file, decrypted, and its length.
    pub(super) fn ends(&self, index: u32) -> Result<([u8; 32], [u8; CHECKSUM_LEN], u64), DiskError> {
        let file = self.files.open(&self.path(index), Mode::Read)?;
        let result = self.ends_of(index, file);
        self.files.close(file);
        result
    }

    fn ends_of(&self, index: u32, file: Handle) -> Result<([u8; 32], [u8; CHECKSUM_LEN], u64), DiskError> {
        let (mut head, mut tail) = ([0; 32], [0; CHECKSUM_LEN]);
        let len = self.files.len(file)?;
        let at = len.saturating_sub(CHECKSUM_LEN as u64);
        self.files.read_at(file, 0, &mut head)?;
        self.files.read_at(file, at, &mut tail)?;
        if let Some(key) = self.keys.get(&index) {
            let mut stream = key.keystream();
            let _ = stream.apply(0, &mut head);
            let _ = stream.apply(at, &mut tail);
        }
        Ok((head, tail, len))
    }

    /// Copies a damaged file aside as it is.
    pub(super) fn keep_block(&mut self, index: u32) -> Result<(), DiskError> {
        let Some(bytes) = super::folder::read(self.files, &self.path(index))? else { return Ok(()) };
        match keep(self.files, self.folder, &names::block_file(index), &bytes, &mut self.recovery) {
            // The file stays as it is, so that nothing is lost without the copy.
            Err(error) if error.fault == Fault::Full => Ok(()),
            result => result,
        }
    }

    /// Makes the last block ready for appends, or has the next one begun, and puts what was read on stable storage.
    pub(super) fn end_last_block(&mut self, image: &mut Image) -> Result<(), OpenError> {
        let end = std::mem::take(&mut self.blocks.end);
        if let (Some(last), Some(end)) = (image.blocks.last_mut(), end) {
            self.cut_and_sync(last, end)?;
        }
        self.files.sync_folder(&self.messages)?;
        self.files.sync_folder(self.folder)?;
        Ok(())
    }

    fn cut_and_sync(&mut self, last: &mut Block, end: End) -> Result<(), OpenError> {
        let path = self.path(last.index);
        last.sealed = end.sealed;
        let file = self.files.open(&path, Mode::Write)?;
        let result = self.cut(last, end, file).and_then(|()| self.files.sync(file));
        self.files.close(file);
        Ok(result?)
    }

    /// Cuts what follows the last good record.
    fn cut(&mut self, last: &mut Block, end: End, file: Handle) -> Result<(), DiskError> {
        let len = self.files.len(file)?;
        if end.sealed || len <= end.good_end {
            return Ok(());
        }
        let mut tail = vec![0; (len - end.good_end) as usize];
        let got = self.files.read_at(file, end.good_end, &mut tail)?;
        tail.truncate(got);
        let mut plain = tail.clone();
        if let Some(key) = self.keys.get(&last.index) {
            let _ = key.keystream().apply(end.good_end, &mut plain);
        }
        let zeros = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
        if !zeros(&tail) && !zeros(&plain) {
            let name = format!("{}.from-{}", names::block_file(last.index), end.good_end);
            match keep(self.files, self.folder, &name, &tail, &mut self.recovery) {
                // What cannot be copied is not cut.
                Err(error) if error.fault == Fault::Full => {
                    last.sealed = true;
                    return Ok(());
                }
                result => result?,
            }
        }
        self.files.set_len(file, end.good_end)?;
        last.raw_len = end.good_end as u32;
        last.written = last.raw_len;
        if let Some(cache) = last.cache.as_deref_mut() {
            *cache = super::super::cache::Cache::empty(last.raw_len);
        }
        self.recovery.mended.push(format!(
            "{} was cut to {} bytes",
            names::block_file(last.index),
            end.good_end
        ));
        Ok(())
    }
}
