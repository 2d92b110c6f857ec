//! Metadata of a stream whose key is being changed: three files that belong together and take their places one by one.

use super::folder::read;
use super::keys::{StoreKeys, remove_all, staged};
use super::report::Recovery;
use super::{OpenError, keys};
use crate::format::keys::AssetKey;
use crate::format::meta::stream_sum;
use crate::format::names;
use crate::port::{DiskError, Files};

/// Metadata of a stream, decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The content of `meta.inf`.
    pub json: Vec<u8>,
    /// It is what `meta.sum` was made of.
    pub sum_matches: bool,
}

/// What `meta.inf` holds.
enum Found {
    /// In its place.
    Placed(Vec<u8>),
    /// Still staged.
    Staged(Vec<u8>),
    /// Nothing that the key opens.
    None,
}

fn find(files: &dyn Files, folder: &str, key: Option<&AssetKey>) -> Result<Found, DiskError> {
    let path = format!("{folder}/{}", names::META);
    let open = |bytes: &[u8]| match key {
        Some(key) => key.unseal(bytes).is_ok(),
        None => true,
    };
    if let Some(bytes) = read(files, &path)?.filter(|bytes| open(bytes)) {
        return Ok(Found::Placed(bytes));
    }
    let staged = read(files, &staged(&path))?.filter(|bytes| key.is_some() && open(bytes));
    Ok(staged.map_or(Found::None, Found::Staged))
}

/// Reads the metadata of a stream, also of one whose change of keys was cut. Changes nothing.
///
/// # Errors
/// As [`super::Opening::run`] as far as keys and disk are concerned. Nothing when there is no metadata that the key opens.
pub fn read_meta(
    files: &dyn Files,
    folder: &str,
    stream: &str,
    keys: Option<&StoreKeys>,
) -> Result<Option<Meta>, OpenError> {
    let opened = keys::MetaKey::open(files, folder, stream, keys)?;
    let key = opened.key();
    let bytes = match find(files, folder, key)? {
        Found::Placed(bytes) | Found::Staged(bytes) => bytes,
        Found::None => return Ok(None),
    };
    let sum_path = format!("{folder}/{}", names::META_SUM);
    let sum = stream_sum(stream, &bytes);
    let mut sum_matches = false;
    for path in [staged(&sum_path), sum_path] {
        sum_matches |= read(files, &path)?.is_some_and(|found| found == sum);
    }
    let json = match key {
        Some(key) => key.unseal(&bytes).unwrap_or_default(),
        None => bytes,
    };
    Ok(Some(Meta { json, sum_matches }))
}

/// Ends a change of keys that was cut, or removes what it had staged.
pub(super) fn finish(
    files: &dyn Files,
    folder: &str,
    stream: &str,
    key: Option<&AssetKey>,
    recovery: &mut Recovery,
) -> Result<(), DiskError> {
    let path = |name: &str| format!("{folder}/{name}");
    let (meta, sum) = (path(names::META), path(names::META_SUM));
    let staged_sum = read(files, &staged(&sum))?;
    let mut mended = false;
    let bytes = match find(files, folder, key)? {
        Found::Staged(bytes) => {
            files.rename(&staged(&meta), &meta)?;
            mended = true;
            bytes
        }
        Found::Placed(bytes) => bytes,
        Found::None => return Ok(()),
    };
    if staged_sum.is_some_and(|found| found == stream_sum(stream, &bytes)) {
        files.rename(&staged(&sum), &sum)?;
        mended = true;
    }
    let rest = [staged(&meta), staged(&sum), staged(&path(names::META_KEY))];
    mended |= remove_all(files, &rest)?;
    if mended {
        files.sync_folder(folder)?;
        recovery.mended.push("a change of keys that was cut was ended".into());
    }
    Ok(())
}
