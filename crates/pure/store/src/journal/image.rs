//! What the journal says should stand in the files, with what came later over what came before.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_stdx::hash::Map;

use super::gather::under;
use super::layout::Hashes;
use super::record::{Fingerprint, Ground, Reader, Record};
use super::scan::{Read, frames};
use super::{INDEX, consumer_of};
use crate::port::{DiskError, Fault, Files, Mode, Name};

/// A piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// Something stood there before: what stands there now may be that.
    pub(super) overwrite: bool,
}

/// What becomes of the file before its pieces are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Base<'a> {
    /// It is kept.
    #[default]
    Keep,
    /// It is removed.
    Removed,
    /// It gets this content.
    Content(&'a [u8]),
    /// It is replaced by a staged file, unless that has happened.
    Staged(u64),
}

/// A file.
#[derive(Default)]
pub(super) struct FileImage<'a> {
    pub(super) base: Base<'a>,
    /// By offset; they do not overlap.
    pub(super) pieces: BTreeMap<u64, Piece<'a>>,
    /// Bytes that the file had on stable storage without the help of the pieces.
    pub(super) need: u64,
    /// The end of the file, as far as the pieces tell.
    reach: u64,
    /// Of a block that is removed: what was said of it before, and its length at most.
    pub(super) was: Option<(Box<FileImage<'a>>, u64)>,
}

impl<'a> FileImage<'a> {
    fn write(&mut self, offset: u64, bytes: &'a [u8], ground: Ground) {
        let end = offset + bytes.len() as u64;
        let known = if ground == Ground::Within { end } else { offset };
        if known > self.reach {
            self.need = self.need.max(known);
        }
        self.reach = self.reach.max(end);
        let mut over = ground != Ground::New;
        let first = self.pieces.range(..offset).next_back().map_or(offset, |(at, _)| *at);
        let touched: Vec<u64> = self.pieces.range(first..end).map(|(at, _)| *at).collect();
        for at in touched {
            let Some(old) = self.pieces.get(&at).copied() else { continue };
            let old_end = at + old.bytes.len() as u64;
            if old_end <= offset {
                continue;
            }
            over = true;
            self.pieces.remove(&at);
            if at < offset {
                let keep = usize::try_from(offset - at).unwrap_or(0);
                self.pieces.insert(at, Piece { bytes: &old.bytes[..keep], overwrite: old.overwrite });
            }
            if old_end > end {
                let skip = usize::try_from(end - at).unwrap_or(0);
                self.pieces.insert(end, Piece { bytes: &old.bytes[skip..], overwrite: true });
            }
        }
        self.pieces.insert(offset, Piece { bytes, overwrite: over });
    }
}

/// A folder on its way into the trash, with what was said of it before: if that has not happened, somebody else may have used it.
pub(super) struct Trash<'a> {
    /// Relative to the lane; empty for all of it.
    pub(super) folder: Arc<str>,
    pub(super) number: u64,
    /// Its highest block, with its length at most.
    pub(super) last: (u32, u64),
    pub(super) accept: Vec<Option<Fingerprint>>,
    pub(super) files: BTreeMap<Name, FileImage<'a>>,
}

/// A store.
#[derive(Default)]
pub(super) struct LaneImage<'a> {
    /// What `msgs/index.db` may be, if nobody else wrote it.
    pub(super) accept: Vec<Option<Fingerprint>>,
    pub(super) files: BTreeMap<Name, FileImage<'a>>,
    /// Folders that go into the trash before anything else.
    pub(super) trash: Vec<Trash<'a>>,
    /// By consumer and number.
    pub(super) deltas: BTreeMap<Arc<str>, BTreeMap<u64, &'a [u8]>>,
}

/// All stores, by folder.
#[derive(Default)]
pub(super) struct Image<'a> {
    pub(super) lanes: BTreeMap<Arc<str>, LaneImage<'a>>,
    pub(super) frames: u64,
    /// The highest number of a staged file or folder in the trash.
    pub(super) number: u64,
    /// The highest number of a delta.
    pub(super) delta: u64,
}

impl<'a> Image<'a> {
    /// Puts the records of the segments together.
    pub(super) fn build(segments: &'a [Read]) -> Image<'a> {
        let mut image = Image::default();
        for segment in segments {
            let mut folders: Map<u32, Arc<str>> = Map::default();
            let limit = usize::try_from(segment.limit).unwrap_or(usize::MAX);
            for frame in frames(&segment.bytes, Hashes::default()).take(limit) {
                image.frames += 1;
                // A record that cannot be read in a frame with a right checksum was written by another version: nothing behind it can be.
                for (number, record) in Reader::new(frame.body).map_while(Result::ok) {
                    image.add(&mut folders, number, record, frame.body);
                }
            }
        }
        image
    }

    fn add(&mut self, folders: &mut Map<u32, Arc<str>>, number: u32, record: Record, body: &'a [u8]) {
        if let Record::Lane { folder, index } = record {
            self.lanes.entry(folder.clone()).or_default().accept.push(index);
            folders.insert(number, folder);
            return;
        }
        // The committer mentions a lane before it speaks of it.
        let Some(lane) = folders.get(&number).and_then(|folder| self.lanes.get_mut(folder)) else { return };
        match record {
            Record::Lane { .. } => {}
            Record::Write { ground, block, offset, bytes } => {
                let bytes = body.get(bytes).unwrap_or_default();
                if offset.checked_add(bytes.len() as u64).is_some() {
                    lane.files.entry(Name::Block(block)).or_default().write(offset, bytes, ground);
                }
            }
            Record::Replace(files) => {
                for (name, bytes) in files {
                    let content = body.get(bytes).unwrap_or_default();
                    lane.note_index(&name, Some(Fingerprint::new(content.len() as u64, content)));
                    lane.become_of(name, Base::Content(content));
                }
            }
            Record::Remove(names) => {
                for (name, len) in names {
                    lane.note_index(&name, None);
                    let was = lane.files.remove(&name).unwrap_or_default();
                    lane.become_of(name.clone(), Base::Removed);
                    if let (Name::Block(_), Base::Keep, Some(now)) =
                        (&name, was.base, lane.files.get_mut(&name))
                    {
                        now.was = Some((Box::new(was), len));
                    }
                }
            }
            Record::Barrier(name) => {
                lane.files.remove(&name);
            }
            Record::Delta { consumer, index, bytes } => {
                let bytes = body.get(bytes).unwrap_or_default();
                self.delta = self.delta.max(index);
                lane.deltas.entry(consumer).or_default().insert(index, bytes);
            }
            Record::Trash { folder, number, last } => {
                self.number = self.number.max(number);
                let accept = lane.accept.clone();
                let files = lane.files.extract_if(.., |name, _| under(name, &folder)).collect();
                lane.deltas.retain(|consumer, _| {
                    !under(&Name::Path(format!("obs/{consumer}/o.dat").into()), &folder)
                });
                if under(&Name::Path(INDEX.into()), &folder) {
                    lane.accept.push(None);
                }
                if folder.is_empty() {
                    // What was in it goes with it.
                    lane.trash.retain(|earlier| earlier.folder.is_empty());
                }
                lane.trash.push(Trash { folder, number, last, accept, files });
            }
            Record::Rename(files) => {
                for (name, number) in files {
                    self.number = self.number.max(number);
                    lane.become_of(name, Base::Staged(number));
                }
            }
            Record::Index(index) => lane.accept.push(index),
        }
    }

    /// Writes again what the journal says of one file, wherever that stands. Answers whether it says anything.
    pub(super) fn rewrite(&self, files: &dyn Files, path: &str) -> Result<bool, DiskError> {
        for (folder, lane) in &self.lanes {
            let Some(rest) = path.strip_prefix(&**folder).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let image = lane.files.iter().find(|(name, _)| name.to_string() == rest).map(|(_, image)| image);
            let Some(image) = image else { continue };
            let handle = match files.open(path, Mode::Write) {
                Err(error) if error.fault == Fault::Absent => return Ok(true),
                other => other?,
            };
            let write = || {
                if let Base::Content(content) = image.base {
                    files.write_at(handle, 0, content)?;
                }
                image
                    .pieces
                    .iter()
                    .try_for_each(|(offset, piece)| files.write_at(handle, *offset, piece.bytes))
            };
            let written = write();
            files.close(handle);
            return written.map(|()| true);
        }
        Ok(false)
    }
}

impl<'a> LaneImage<'a> {
    fn become_of(&mut self, name: Name, base: Base<'a>) {
        self.superseded(&name);
        self.files.insert(name, FileImage { base, ..FileImage::default() });
    }

    fn note_index(&mut self, name: &Name, index: Option<Fingerprint>) {
        if matches!(name, Name::Path(path) if **path == *INDEX) {
            self.accept.push(index);
        }
    }

    /// The deltas of a consumer end with its file.
    fn superseded(&mut self, name: &Name) {
        if let Name::Path(path) = name
            && let Some(consumer) = consumer_of(path)
        {
            self.deltas.remove(consumer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_pieces_cut_earlier_ones() {
        let mut file = FileImage::default();
        file.write(0, b"aaaa", Ground::New);
        file.write(4, b"bbbb", Ground::New);
        file.write(2, b"cccc", Ground::New);
        let pieces: Vec<_> = file.pieces.iter().map(|(at, p)| (*at, p.bytes, p.overwrite)).collect();
        assert_eq!(pieces, [(0, &b"aa"[..], false), (2, b"cccc", true), (6, b"bb", true)]);
        file.write(3, b"x", Ground::Within);
        let pieces: Vec<_> = file.pieces.iter().map(|(at, p)| (*at, p.bytes)).collect();
        assert_eq!(pieces, [(0, &b"aa"[..]), (2, b"c"), (3, b"x"), (4, b"cc"), (6, b"bb")]);
    }
}
