//! Bringing files to what an image says.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::image::{Base, FileImage, LaneImage, Trash};
use super::record::Fingerprint;
use super::replay::Records;
use super::scan::read_segment;
use super::{STAGED, TRASH, parent};
use crate::port::{DiskError, Entry, Fault, Files, Handle, Mode, Name};

/// The longest record that a check is shown.
const RECORD_LEN: u64 = 32 << 20;

/// Files and folders that were changed, to be synced.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) files: Vec<Arc<str>>,
    pub(super) folders: Vec<String>,
    pub(super) written: usize,
    pub(super) removed: usize,
}

pub(super) fn open_if(files: &dyn Files, path: &str, mode: Mode) -> Result<Option<Handle>, DiskError> {
    match files.open(path, mode) {
        Ok(handle) => Ok(Some(handle)),
        Err(error) if error.fault == Fault::Absent => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn exists(files: &dyn Files, path: &str) -> Result<bool, DiskError> {
    match files.list(path) {
        Ok(_) => Ok(true),
        Err(error) if error.fault == Fault::Absent => Ok(false),
        Err(error) => Err(error),
    }
}

fn read(files: &dyn Files, handle: Handle, offset: u64, len: u64) -> Result<Vec<u8>, DiskError> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = files.read_at(handle, offset, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// How somebody else's doing is told.
pub(super) struct Rules<'a> {
    pub(super) records: &'a dyn Records,
    /// By the index of the store, too.
    pub(super) index: bool,
}

/// Why this store was used by somebody else since, if it was.
pub(super) fn foreign(
    files: &dyn Files,
    folder: &str,
    accept: &[Option<Fingerprint>],
    images: &BTreeMap<Name, FileImage<'_>>,
    rules: &Rules<'_>,
) -> Result<Option<String>, DiskError> {
    let standing = super::committer::fingerprint(files, &format!("{folder}/{}", super::INDEX));
    if rules.index && !accept.contains(&standing) {
        return Ok(Some("msgs/index.db is another than at the last use".into()));
    }
    for (name, image) in images {
        let Name::Block(block) = name else { continue };
        let cause = match (image.base, &image.was) {
            (Base::Keep, _) => foreign_block(files, folder, *block, image, u64::MAX, rules.records)?,
            (Base::Removed, Some((was, len))) => {
                foreign_block(files, folder, *block, was, *len, rules.records)?
            }
            _ => None,
        };
        if cause.is_some() {
            return Ok(cause);
        }
    }
    Ok(None)
}

fn foreign_block(
    files: &dyn Files,
    folder: &str,
    block: u32,
    image: &FileImage<'_>,
    removed_at: u64,
    records: &dyn Records,
) -> Result<Option<String>, DiskError> {
    let path = format!("{folder}/{}", Name::Block(block));
    let opened = open_if(files, &path, Mode::Read)?;
    let Some(handle) = opened else {
        let lost = image.need > 0 && removed_at == u64::MAX;
        return Ok(lost.then(|| format!("msgs/{block}.blk is gone, and the journal has only its end")));
    };
    let check = || {
        let len = files.len(handle)?;
        if len > removed_at {
            return Ok(Some(format!(
                "msgs/{block}.blk ends at {len}, and was removed with {removed_at} bytes"
            )));
        }
        if removed_at == u64::MAX && len < image.need {
            return Ok(Some(format!("msgs/{block}.blk ends at {len}, and had {} bytes", image.need)));
        }
        for (offset, piece) in &image.pieces {
            let standing = read(files, handle, *offset, piece.bytes.len() as u64)?;
            if standing.is_empty() || piece.bytes.starts_with(&standing) {
                continue;
            }
            let standing =
                read(files, handle, *offset, (len - offset).min(RECORD_LEN + piece.bytes.len() as u64))?;
            if records.is_foreign(folder, block, &standing, piece.bytes, !piece.overwrite) {
                return Ok(Some(format!("msgs/{block}.blk has another record at {offset}")));
            }
        }
        Ok(None)
    };
    let result = check();
    files.close(handle);
    result
}

/// Why somebody else must have gone on with a store that was deleted, if it is so.
pub(super) fn grown(
    files: &dyn Files,
    folder: &str,
    (block, most): (u32, u64),
) -> Result<Option<String>, DiskError> {
    let found =
        last_block(files, folder)?.filter(|(found, len)| *found > block || (*found == block && *len > most));
    Ok(found.filter(|_| most < u64::MAX).map(|(found, len)| {
        format!("msgs/{found}.blk has {len} bytes, and the store was deleted with {most} in {block}.blk")
    }))
}

/// The highest block of a store, with its length.
pub(super) fn last_block(files: &dyn Files, folder: &str) -> Result<Option<(u32, u64)>, DiskError> {
    let entries = match files.list(&format!("{folder}/msgs")) {
        Err(error) if error.fault == Fault::Absent => return Ok(None),
        other => other?,
    };
    let number = |entry: &Entry| Some((entry.name.strip_suffix(".blk")?.parse().ok()?, entry.len));
    Ok(entries.iter().filter_map(number).max())
}

/// Moves a deleted folder out of the way.
pub(super) fn trash(
    files: &dyn Files,
    folder: &str,
    trash: &Trash<'_>,
    touched: &mut Touched,
) -> Result<(), DiskError> {
    let path = path_of(folder, trash);
    files.rename(&path, &format!("{TRASH}/{}", trash.number))?;
    touched.removed += 1;
    // On stable storage before anything is created again under the old name.
    files.sync_folder(TRASH)?;
    files.sync_folder(parent(&path))
}

/// The move is to be on stable storage, whoever did it.
pub(super) fn trashed(folder: &str, trash: &Trash<'_>, touched: &mut Touched) {
    touched.folders.push(parent(&path_of(folder, trash)).to_string());
    touched.folders.push(TRASH.to_string());
}

/// Whether the folder is still in its place.
pub(super) fn is_left(files: &dyn Files, folder: &str, trash: &Trash<'_>) -> Result<bool, DiskError> {
    let target = format!("{TRASH}/{}", trash.number);
    Ok(!exists(files, &target)? && exists(files, &path_of(folder, trash))?)
}

fn path_of(folder: &str, trash: &Trash<'_>) -> String {
    if trash.folder.is_empty() { folder.to_string() } else { format!("{folder}/{}", trash.folder) }
}

/// Brings the files of a store to what the journal says. With `cautious`, nothing is removed.
pub(super) fn apply(
    files: &dyn Files,
    folder: &str,
    lane: &LaneImage<'_>,
    cautious: bool,
    touched: &mut Touched,
) -> Result<(), DiskError> {
    for (name, image) in &lane.files {
        let path: Arc<str> = format!("{folder}/{name}").into();
        touched.files.push(path.clone());
        let mut above = parent(&path);
        while above.len() >= folder.len() {
            touched.folders.push(above.to_string());
            above = parent(above);
        }
        match image.base {
            Base::Keep => {}
            Base::Removed if cautious => {}
            Base::Removed => {
                remove(files, &path, touched)?;
                remove_if_empty(files, folder, name)?;
            }
            Base::Content(content) => replace(files, &path, content, touched)?,
            Base::Staged(number) => {
                let staged = format!("{STAGED}/{number}");
                if open_if(files, &staged, Mode::Read)?.map(|handle| files.close(handle)).is_some() {
                    files.create_folder(parent(&path))?;
                    let mut above = parent(parent(&path));
                    while above.len() >= folder.len() {
                        files.sync_folder(above)?;
                        above = parent(above);
                    }
                    files.rename(&staged, &path)?;
                    touched.written += 1;
                }
            }
        }
        if !image.pieces.is_empty() {
            write(files, &path, image, touched)?;
        }
    }
    Ok(())
}

fn remove(files: &dyn Files, path: &str, touched: &mut Touched) -> Result<(), DiskError> {
    match files.remove(path) {
        Ok(()) => touched.removed += 1,
        Err(error) if error.fault == Fault::Absent => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A consumer whose files are gone leaves no folder behind.
fn remove_if_empty(files: &dyn Files, lane: &str, name: &Name) -> Result<(), DiskError> {
    let Name::Path(path) = name else { return Ok(()) };
    let folder = parent(path);
    if !folder.starts_with("obs/") {
        return Ok(());
    }
    let folder = format!("{lane}/{folder}");
    match files.list(&folder) {
        Ok(entries) if entries.is_empty() => files.remove_folder(&folder),
        Ok(_) => Ok(()),
        Err(error) if error.fault == Fault::Absent => Ok(()),
        Err(error) => Err(error),
    }
}

fn replace(files: &dyn Files, path: &str, content: &[u8], touched: &mut Touched) -> Result<(), DiskError> {
    let same = match read_segment(files, path) {
        Ok(standing) => standing == content,
        Err(error) if error.fault == Fault::Absent => false,
        Err(error) => return Err(error),
    };
    let staged = format!("{STAGED}/replay");
    super::commit::put_file(files, &staged, content, true)?;
    files.create_folder(parent(path))?;
    files.rename(&staged, path)?;
    touched.written += usize::from(!same);
    Ok(())
}

// What can be read need not be on the device: after a sync that failed, the kernel shows pages that it holds for clean and that never arrived. So everything
// is written again, whether it differs or not.
fn write(
    files: &dyn Files,
    path: &str,
    image: &FileImage<'_>,
    touched: &mut Touched,
) -> Result<(), DiskError> {
    let handle = match open_if(files, path, Mode::Write)? {
        Some(handle) => handle,
        None => {
            files.create_folder(parent(path))?;
            files.open(path, Mode::Create)?
        }
    };
    let write = || {
        let mut changed = false;
        for (offset, piece) in &image.pieces {
            changed |= read(files, handle, *offset, piece.bytes.len() as u64)? != piece.bytes;
            files.write_at(handle, *offset, piece.bytes)?;
        }
        Ok(changed)
    };
    let written = write();
    files.close(handle);
    touched.written += usize::from(written?);
    Ok(())
}

/// Syncs what was touched: files, then the folders that name them.
pub(super) fn sync(files: &dyn Files, touched: &mut Touched) -> Result<(), DiskError> {
    for path in &touched.files {
        if let Some(handle) = open_if(files, path, Mode::Write)? {
            let synced = files.sync(handle);
            files.close(handle);
            synced?;
        }
    }
    touched.folders.sort_unstable();
    touched.folders.dedup();
    for folder in &touched.folders {
        match files.sync_folder(folder) {
            Err(error) if error.fault != Fault::Absent => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
