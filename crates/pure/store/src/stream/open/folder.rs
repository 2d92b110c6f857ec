//! The entries of a stream's folder, and what cut purges and writes left there.

use crate::format::names::{self, InMessages, in_messages};
use crate::port::{DiskError, Entry, Fault, Files, Mode};

use super::report::{Kept, Recovery};
use super::{Context, OpenError};
use midge_stdx::hash::hash8;

/// Where damaged bytes are copied, within the store directory.
const QUARANTINE: &str = ".midge/quarantine";

/// The folder of blocks.
pub(super) fn messages(folder: &str) -> String {
    format!("{folder}/{}", names::MESSAGES)
}

/// The entries of a folder, or none of one that is absent.
pub(super) fn list(files: &dyn Files, path: &str) -> Result<Option<Vec<Entry>>, DiskError> {
    match files.list(path) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.fault == Fault::Absent => Ok(None),
        Err(error) => Err(error),
    }
}

/// The content of a file, if it is there.
pub(super) fn read(files: &dyn Files, path: &str) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match files.open(path, Mode::Read) {
        Ok(file) => file,
        Err(error) if error.fault == Fault::Absent => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let result = read_into(files, file, &mut bytes);
    files.close(file);
    result.map(|()| Some(bytes))
}

/// Files are read up to this many bytes.
const MAX_FILE_LEN: u64 = 1 << 32;

pub(super) fn read_into(
    files: &dyn Files,
    file: crate::port::Handle,
    into: &mut Vec<u8>,
) -> Result<(), DiskError> {
    let len = files.len(file)?.min(MAX_FILE_LEN) as usize;
    into.resize(len, 0);
    let got = files.read_at(file, 0, into)?;
    into.truncate(got);
    Ok(())
}

/// Writes and syncs a file, in place of one that was there.
pub(super) fn put(files: &dyn Files, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let file = files.open(path, Mode::Create)?;
    let result =
        files.set_len(file, 0).and_then(|()| files.write_at(file, 0, bytes)).and_then(|()| files.sync(file));
    files.close(file);
    result
}

/// Writes the blocks from this number on again as they read, and syncs them.
///
/// After a sync that failed, an operating system shows what never reached the device and takes it for clean: to sync it once more would change nothing,
/// and what an opening shows of it would be gone with the power.
pub fn write_again(files: &dyn Files, folder: &str, from: u32) -> Result<(), DiskError> {
    let path = messages(folder);
    let number = |name: &str| name.strip_suffix(".blk")?.parse::<u32>().ok();
    let mut bytes = Vec::new();
    for entry in list(files, &path)?.unwrap_or_default() {
        if number(&entry.name).is_none_or(|number| number < from) {
            continue;
        }
        let file = files.open(&format!("{path}/{}", entry.name), Mode::Write)?;
        let result = read_into(files, file, &mut bytes)
            .and_then(|()| files.write_at(file, 0, &bytes))
            .and_then(|()| files.sync(file));
        files.close(file);
        result?;
    }
    Ok(())
}

/// Removes a file that may be absent.
pub(super) fn remove(files: &dyn Files, path: &str) -> Result<(), DiskError> {
    match files.remove(path) {
        Err(error) if error.fault != Fault::Absent => Err(error),
        _ => Ok(()),
    }
}

/// Copies a small file of a folder aside, once, because another one takes its place. Answers where the copy is; nothing when there is no such file.
///
/// # Errors
/// When the disk refuses; the file is as it was.
pub fn set_aside(files: &dyn Files, folder: &str, name: &str) -> Result<Option<String>, DiskError> {
    match read(files, &format!("{folder}/{name}"))? {
        Some(bytes) => copy_aside(files, folder, name, &bytes).map(Some),
        None => Ok(None),
    }
}

/// Copies bytes aside, once: the same bytes are found there again.
pub(super) fn keep(
    files: &dyn Files,
    folder: &str,
    name: &str,
    bytes: &[u8],
    recovery: &mut Recovery,
) -> Result<(), DiskError> {
    let copy = copy_aside(files, folder, name, bytes)?;
    let kept = Kept { file: format!("{}/{name}", messages(folder)), copy };
    if !recovery.kept.contains(&kept) {
        recovery.kept.push(kept);
    }
    Ok(())
}

fn copy_aside(files: &dyn Files, folder: &str, name: &str, bytes: &[u8]) -> Result<String, DiskError> {
    let target = format!("{QUARANTINE}/{folder}");
    let print: String = hash8(bytes).into_iter().map(char::from).collect();
    let copy = format!("{target}/{name}.{print}");
    let there = list(files, &target)?.unwrap_or_default();
    let present = there
        .iter()
        .any(|entry| copy.ends_with(&format!("/{}", entry.name)) && entry.len == bytes.len() as u64);
    if !present {
        files.create_folder(&target)?;
        put(files, &copy, bytes)?;
        let mut path = target.as_str();
        while let Some((above, _)) = path.rsplit_once('/') {
            files.sync_folder(path)?;
            path = above;
        }
        files.sync_folder(path)?;
    }
    Ok(copy)
}

/// Ends a purge that was cut, as servers that purge by folders leave it. One that had put its block into the new folder is done, any other undone.
pub(super) fn mend_purge(files: &dyn Files, folder: &str, recovery: &mut Recovery) -> Result<(), DiskError> {
    let messages = messages(folder);
    let staging = format!("{folder}/{}", names::PURGE_STAGING);
    let purged = format!("{folder}/{}", names::PURGED);
    if let Some(staged) = list(files, &staging)? {
        let of =
            |wanted: fn(&InMessages) -> bool| staged.iter().any(|entry| wanted(&in_messages(&entry.name)));
        if of(|kind| matches!(kind, InMessages::Block(_))) {
            if list(files, &messages)?.is_some() {
                files.remove_folder(&messages)?;
            }
            files.rename(&staging, &messages)?;
            recovery.mended.push("a purge that was cut was ended".into());
        } else {
            let there = list(files, &messages)?.unwrap_or_default();
            for entry in &staged {
                // The block is still in the folder that was to be purged, so its key goes back there.
                let key = matches!(in_messages(&entry.name), InMessages::Key(_));
                if key && !there.iter().any(|other| other.name == entry.name) {
                    files.create_folder(&messages)?;
                    files.rename(
                        &format!("{staging}/{}", entry.name),
                        &format!("{messages}/{}", entry.name),
                    )?;
                }
            }
            files.sync_folder(&messages).or_else(absent)?;
            files.remove_folder(&staging)?;
            recovery.mended.push("a purge that was cut was undone".into());
        }
        files.sync_folder(folder)?;
    }
    if list(files, &purged)?.is_some() {
        if list(files, &messages)?.is_none() {
            files.rename(&purged, &messages)?;
            recovery.mended.push("a purge that was cut was undone".into());
        } else {
            files.remove_folder(&purged)?;
            recovery.mended.push("what a purge had put away was removed".into());
        }
        files.sync_folder(folder)?;
    }
    Ok(())
}

fn absent(error: DiskError) -> Result<(), DiskError> {
    if error.fault == Fault::Absent { Ok(()) } else { Err(error) }
}

/// The folder of blocks.
#[derive(Default)]
pub(super) struct Listing {
    /// Block files and their lengths, by number.
    pub(super) blocks: Vec<(u32, u64)>,
    pub(super) keys: Vec<u32>,
    pub(super) leftovers: Vec<String>,
    /// Indexes of single blocks, by servers before 2.10.
    pub(super) legacy: Vec<u32>,
}

impl Listing {
    /// Lists it, and creates it when it is absent.
    pub(super) fn read(
        files: &dyn Files,
        folder: &str,
        recovery: &mut Recovery,
    ) -> Result<Listing, DiskError> {
        let messages = messages(folder);
        let Some(entries) = list(files, &messages)? else {
            files.create_folder(&messages)?;
            files.sync_folder(folder)?;
            return Ok(Listing::default());
        };
        let mut listing = Listing::default();
        for entry in entries {
            match in_messages(&entry.name) {
                _ if entry.folder => recovery.foreign.push(entry.name),
                InMessages::Block(index) => listing.blocks.push((index, entry.len)),
                InMessages::Key(index) => listing.keys.push(index),
                InMessages::Leftover => listing.leftovers.push(entry.name),
                InMessages::LegacyIndex(index) => listing.legacy.push(index),
                InMessages::Foreign => recovery.foreign.push(entry.name),
                InMessages::Index
                | InMessages::Wheel
                | InMessages::Schedules
                | InMessages::LegacySubjects(_) => {}
            }
        }
        listing.blocks.sort_unstable();
        Ok(listing)
    }
}

impl Context<'_> {
    /// Removes what writes that did not take effect left behind, where what they were to replace is there and readable.
    pub(super) fn sweep(&mut self, listing: &Listing) -> Result<(), OpenError> {
        let mut removed = false;
        for name in &listing.leftovers {
            let stem = name.strip_suffix(names::TEMPORARY).unwrap_or(name);
            let stem = stem.strip_suffix(super::keys::KEYED).unwrap_or(stem);
            let superseded = match in_messages(stem) {
                InMessages::Block(index) | InMessages::Key(index) => self.is_sound(index),
                InMessages::Index | InMessages::Wheel | InMessages::Schedules => true,
                _ => match name.strip_suffix(".new").map(|number| in_messages(&format!("{number}.blk"))) {
                    Some(InMessages::Block(index)) => self.is_sound(index),
                    _ => false,
                },
            };
            if superseded {
                remove(self.files, &format!("{}/{name}", self.messages))?;
                self.recovery.mended.push(format!("{name} was removed"));
                removed = true;
            } else {
                self.recovery.foreign.push(name.clone());
            }
        }
        if removed {
            self.files.sync_folder(&self.messages)?;
        }
        Ok(())
    }

    /// A block that is there and was not found damaged.
    fn is_sound(&self, index: u32) -> bool {
        self.blocks.len(index).is_some() && !self.recovery.damage.iter().any(|damage| damage.block == index)
    }
}
