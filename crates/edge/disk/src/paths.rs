//! Paths that stay in the store directory, and errors with a name.

use midge_store::port::{DiskError, Fault};
use rustix::io::Errno;

/// The path for the operating system: `.` for the store directory itself. Absolute paths, and those that climb, are refused: they
/// would come from names in files or requests.
pub(crate) fn inside<'a>(call: &'static str, path: &'a str) -> Result<&'a str, DiskError> {
    let climbs = path.starts_with('/') || path.contains('\0') || path.split('/').any(|part| part == "..");
    if climbs {
        let text = "the path leaves the store directory".to_owned();
        return Err(DiskError { fault: Fault::Denied, call, path: path.to_owned(), text });
    }
    Ok(if path.is_empty() { "." } else { path })
}

/// An error of the operating system as what a store does about it.
pub(crate) fn failed(call: &'static str, path: &str, error: Errno) -> DiskError {
    let fault = match error {
        Errno::NOENT | Errno::NOTDIR => Fault::Absent,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Fault::Full,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => Fault::Busy,
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NAMETOOLONG | Errno::INVAL | Errno::EXIST => {
            Fault::Denied
        }
        _ => Fault::Device,
    };
    DiskError { fault, call, path: path.to_owned(), text: error.to_string() }
}
