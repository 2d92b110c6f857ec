//! What a start does with the journal of the process before.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::apply::{self, Rules, Touched};
use super::commit::put_file;
use super::image::{Image, LaneImage};
use super::report::{Deltas, Foreign, Report};
use super::scan::{Found, read_segments, read_segments_as};
use super::settings::Flaw;
use super::{QUARANTINE, STAGED, TRASH, parent};
use crate::format::record::{MAX_LEN, RecordKey};
use crate::port::{DiskError, Fault, Files};

/// Tells records of a store from each other, for the question whether somebody else wrote a file.
pub trait Records {
    /// Whether somebody else's record begins in `standing`, before the end of `ours`. Both start where the journal wrote into block `block` of the store in
    /// `folder`; `standing` reaches to the end of the file, or 32 MiB further than `ours`.
    ///
    /// - On new ground stands what is `ours`, in part, or zeros, unless somebody cut the file before it, at a record that seemed broken, and went on from
    ///   there, so that records need not begin where `ours` do: a whole, valid record that `ours` does not have in that place is somebody else's.
    /// - On other ground an earlier record of ours may stand, of the same sequence and length as the one that erases it: another one is somebody else's.
    fn is_foreign(&self, folder: &str, block: u32, standing: &[u8], ours: &[u8], new_ground: bool) -> bool;
}

/// Records that are neither compressed nor encrypted, with the stream named like its folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainRecords;

impl Records for PlainRecords {
    fn is_foreign(&self, folder: &str, block: u32, standing: &[u8], ours: &[u8], new_ground: bool) -> bool {
        let stream = folder.rsplit('/').next().unwrap_or(folder);
        let key = RecordKey::new(stream, block);
        // Bytes in which every fourth looks like a length are not hashed from each of them.
        let mut budget = 16 * standing.len() + ours.len();
        is_foreign(standing, ours, new_ground, |bytes| {
            let (seq, len, valid) = whole(&key, bytes, budget)?;
            budget -= len;
            valid.then_some((seq, len))
        })
    }
}

/// The rule of [`Records::is_foreign`] for records that can be told at any place: `whole` gives the sequence and the length of the valid record that starts
/// there.
pub fn is_foreign(
    standing: &[u8],
    ours: &[u8],
    new_ground: bool,
    mut whole: impl FnMut(&[u8]) -> Option<(u64, usize)>,
) -> bool {
    let mut at = 0;
    while at < ours.len().min(standing.len()) {
        if !new_ground {
            let Some(own) = whole(&ours[at..]) else { return false };
            if whole(&standing[at..]).is_some_and(|other| other != own) {
                return true;
            }
            at += own.1;
            continue;
        }
        let Some((_, len)) = whole(&standing[at..]) else {
            at += 1;
            continue;
        };
        let end = (at + len).min(ours.len());
        if standing[at..end] != ours[at..end] {
            return true;
        }
        at += len;
    }
    false
}

/// The sequence and length of the record that seems to start here, and whether it is valid; none when it is longer than `most`.
fn whole(key: &RecordKey, bytes: &[u8], most: usize) -> Option<(u64, usize, bool)> {
    let record = crate::format::record::decode(bytes.get(..bytes.len().min(MAX_LEN))?).ok()?;
    (record.len() <= most).then(|| (record.seq, record.len(), record.verify(key)))
}

/// What a replay leaves to whoever begins the next journal.
pub(super) struct Replayed {
    pub(super) report: Report,
    pub(super) segments: Vec<Arc<str>>,
    /// Those among them that say nothing.
    pub(super) void: Vec<Arc<str>>,
    pub(super) next_sequence: u64,
    pub(super) next_slot: u64,
    pub(super) next_number: u64,
    pub(super) next_delta: u64,
}

/// Brings every file to what the journal holds, and has all of them on stable storage. The journal stays as it is: [`super::Committer::open`] calls this
/// and then begins a new one. May be run again after a crash at any step.
pub fn replay(files: &dyn Files, records: &dyn Records) -> Result<Report, DiskError> {
    Ok(replay_at(files, records, None)?.report)
}

/// The deltas of the consumers of one store that no file holds. Nothing is changed, and the journal may be in use, as long as nobody writes to it meanwhile.
pub(super) fn deltas(files: &dyn Files, folder: &str) -> Result<Vec<Deltas>, DiskError> {
    let found = read_segments(files)?;
    let image = Image::build(&found.usable);
    let lane = image.lanes.get_key_value(folder);
    Ok(lane.map(|(folder, lane)| left(folder, lane)).unwrap_or_default())
}

fn left(folder: &Arc<str>, lane: &LaneImage<'_>) -> Vec<Deltas> {
    let bytes = |(index, bytes): (&u64, &&[u8])| (*index, Bytes::copy_from_slice(bytes));
    let of = |(consumer, changes): (&Arc<str>, &BTreeMap<u64, &[u8]>)| Deltas {
        folder: folder.clone(),
        consumer: consumer.clone(),
        changes: changes.iter().map(bytes).collect(),
    };
    lane.deltas.iter().map(of).collect()
}

impl Replayed {
    /// Removes what says nothing. Whoever wiped it may have been told that this failed, and the device may have what it said before: with the names that are put
    /// on stable storage with the next segment, before its header says that it counts, that is gone.
    pub(super) fn void_is_gone(&mut self, files: &dyn Files) -> Result<(), DiskError> {
        for path in std::mem::take(&mut self.void) {
            match files.remove(&path) {
                Err(error) if error.fault != Fault::Absent => return Err(error),
                _ => self.segments.retain(|segment| *segment != path),
            }
        }
        Ok(())
    }
}

pub(super) fn replay_at(
    files: &dyn Files,
    records: &dyn Records,
    flaw: Option<Flaw>,
) -> Result<Replayed, DiskError> {
    let found = read_segments_as(files, flaw == Some(Flaw::ReplayOldJournal))?;
    let image = Image::build(&found.usable);
    let mut report = Report {
        segments: found.usable.len(),
        frames: image.frames,
        damage: found.damage.clone(),
        ..Report::default()
    };
    let mut touched = Touched::default();
    // Behind damage there may have been a barrier, or a file created anew: what is there is then not removed.
    let cautious = !found.damage.is_empty();
    for (folder, lane) in &image.lanes {
        replay_lane(files, records, flaw, folder, lane, cautious, &mut touched, &mut report)?;
    }
    if !report.is_clean() {
        report.kept_in = Some(quarantine(files, &found, &report)?);
    }
    if flaw == Some(Flaw::ForgetFolders) {
        touched.folders.clear();
    }
    apply::sync(files, &mut touched)?;
    (report.files_written, report.files_removed) = (touched.written, touched.removed);
    let next_number = image.number.max(highest(files, STAGED)?).max(highest(files, TRASH)?) + 1;
    Ok(Replayed {
        report,
        next_sequence: found.sequence + 1,
        next_slot: found.slot + 1,
        next_number,
        next_delta: image.delta + 1,
        segments: found.paths,
        void: found.void,
    })
}

#[allow(clippy::too_many_arguments, reason = "one step of one loop")]
fn replay_lane(
    files: &dyn Files,
    records: &dyn Records,
    flaw: Option<Flaw>,
    folder: &Arc<str>,
    lane: &LaneImage<'_>,
    cautious: bool,
    touched: &mut Touched,
    report: &mut Report,
) -> Result<(), DiskError> {
    let check = flaw != Some(Flaw::ReplayOverForeign);
    let rules = Rules { records, index: flaw != Some(Flaw::IgnoreIndex) };
    for trash in lane.trash.iter().filter(|trash| !cautious && trash.folder.is_empty()) {
        if apply::is_left(files, folder, trash)? {
            let cause = match apply::grown(files, folder, trash.last)? {
                None => apply::foreign(files, folder, &trash.accept, &trash.files, &rules)?,
                cause => cause,
            };
            if let Some(cause) = cause.filter(|_| check) {
                report.foreign.push(Foreign { folder: folder.to_string(), cause });
                return Ok(());
            }
            apply::trash(files, folder, trash, touched)?;
        }
        apply::trashed(folder, trash, touched);
    }
    if !apply::exists(files, folder)? {
        report.gone.push(folder.to_string());
        return Ok(());
    }
    let has_say = !lane.files.is_empty() || !lane.trash.is_empty();
    let cause = if check && has_say {
        apply::foreign(files, folder, &lane.accept, &lane.files, &rules)?
    } else {
        None
    };
    if let Some(cause) = cause {
        report.foreign.push(Foreign { folder: folder.to_string(), cause });
        return Ok(());
    }
    for trash in lane.trash.iter().filter(|trash| !cautious && !trash.folder.is_empty()) {
        if apply::is_left(files, folder, trash)? {
            apply::trash(files, folder, trash, touched)?;
        }
        apply::trashed(folder, trash, touched);
    }
    apply::apply(files, folder, lane, cautious, touched)?;
    report.deltas.extend(left(folder, lane));
    Ok(())
}

/// The highest number that names something in the folder.
fn highest(files: &dyn Files, folder: &str) -> Result<u64, DiskError> {
    match files.list(folder) {
        Ok(entries) => Ok(entries.iter().filter_map(|e| e.name.parse().ok()).max().unwrap_or(0)),
        Err(error) if error.fault == Fault::Absent => Ok(0),
        Err(error) => Err(error),
    }
}

/// Copies all segments aside, with the reasons, so that nothing of what was not replayed is lost.
fn quarantine(files: &dyn Files, found: &Found, report: &Report) -> Result<String, DiskError> {
    files.create_folder(QUARANTINE)?;
    let number = highest(files, QUARANTINE)? + 1;
    let target = format!("{QUARANTINE}/{number}");
    files.create_folder(&target)?;
    for path in &found.paths {
        let bytes = super::scan::read_segment(files, path)?;
        let name = path.rsplit('/').next().unwrap_or(path);
        put_file(files, &format!("{target}/{name}"), &bytes, true)?;
    }
    let mut text = String::new();
    for damage in &report.damage {
        text += &format!("{} at byte {}: {}\n", damage.segment, damage.position, damage.cause);
    }
    for foreign in &report.foreign {
        text += &format!("{}: not replayed: {}\n", foreign.folder, foreign.cause);
    }
    put_file(files, &format!("{target}/reasons.txt"), text.as_bytes(), true)?;
    files.sync_folder(&target)?;
    files.sync_folder(QUARANTINE)?;
    files.sync_folder(parent(QUARANTINE))?;
    Ok(target)
}
