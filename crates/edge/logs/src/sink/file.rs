//! A log file that is rotated by size.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use midge_config::schema::Logging;
use midge_stdx::goquote;
use midge_stdx::gotime::Civil;

use super::{Reopened, Sink};
use crate::gowords;
use crate::limits::WRITE_BUFFER;
use crate::line::{Layout, Level, Line, Zone};
use crate::queue::now;

/// Lines about the file itself end so, as they always have.
const DIRECT_ENDING: &str = "\r\n";

/// Digits of the date in the name of a backup, `YYYY.MM.DD.HH.MM.SS.nnnnnnnnn`, by group.
const BACKUP_DIGITS: [usize; 7] = [4, 2, 2, 2, 2, 2, 9];

/// Lines to a file.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    file: fs::File,
    layout: Layout,
    /// Backups carry local time.
    zone: Zone,
    buffer: Vec<u8>,
    /// Bytes of the file, those in the buffer included.
    size: u64,
    /// Above this the file is rotated; 0 for never.
    limit: u64,
    /// Files kept, the current one included; 0 for all.
    keep: usize,
}

fn open_for_append(path: &Path) -> io::Result<(fs::File, u64)> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let file = options.open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

impl File {
    /// Opens or creates the file, and rotates it at once when it is too long already. Errors: `error opening file: …`.
    pub(crate) fn open(options: &Logging, layout: Layout) -> Result<File, String> {
        let path = PathBuf::from(&options.log_file);
        let (file, size) = open_for_append(&path).map_err(|error| {
            format!("error opening file: open {}: {}", path.display(), gowords::error(&error))
        })?;
        let mut file = File {
            path,
            file,
            layout,
            zone: Zone::local(),
            buffer: Vec::new(),
            size,
            limit: u64::try_from(options.log_size_limit).unwrap_or(0),
            keep: usize::try_from(options.log_max_num).unwrap_or(0),
        };
        if file.is_too_long() {
            file.append(Level::Info, "Rotating logfile...".to_owned(), DIRECT_ENDING);
            let _ = file.rotate();
            let _ = file.finish();
        }
        Ok(file)
    }

    fn is_too_long(&self) -> bool {
        self.limit > 0 && self.size > self.limit
    }

    fn append(&mut self, level: Level, text: String, ending: &str) {
        self.append_line(&Line { level, at: now(), text }, ending);
    }

    fn append_line(&mut self, line: &Line, ending: &str) {
        let before = self.buffer.len();
        self.layout.print(line, ending, &mut self.buffer);
        self.size += (self.buffer.len() - before) as u64;
    }

    /// Moves the file aside and starts a new one; if that fails, the file goes on and may grow twice as long.
    fn rotate(&mut self) -> io::Result<()> {
        self.finish()?;
        let backup = self.backup_path();
        let moved = fs::rename(&self.path, &backup).and_then(|()| {
            let opened = open_for_append(&self.path);
            if opened.is_err() {
                let _ = fs::rename(&backup, &self.path);
            }
            opened
        });
        match moved {
            Ok((file, size)) => {
                self.file = file;
                self.size = size;
                let name = goquote::quote(backup.to_string_lossy().as_bytes());
                self.append(Level::Info, format!("Rotated log, backup saved as {name}"), DIRECT_ENDING);
                self.purge();
            }
            Err(error) => {
                self.limit = self.limit.saturating_mul(2).max(self.size);
                let text = format!(
                    "Unable to rotate the log file ({}), next attempt at size {}",
                    gowords::error(&error),
                    self.limit
                );
                self.append(Level::Error, text, DIRECT_ENDING);
            }
        }
        Ok(())
    }

    fn backup_path(&self) -> PathBuf {
        let Civil { year, month, day, hour, minute, second, nanos } = self.zone.civil(now());
        let date = format!("{year:04}.{month:02}.{day:02}.{hour:02}.{minute:02}.{second:02}.{nanos:09}");
        PathBuf::from(format!("{}.{date}", self.path.display()))
    }

    /// Removes the oldest backups beyond the number that is kept.
    fn purge(&mut self) {
        if self.keep == 0 {
            return;
        }
        let Some(name) = self.path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return;
        };
        let dir = match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) => {
                let text = format!("Unable to read the log directory: {}", gowords::error(&error));
                return self.append(Level::Error, text, DIRECT_ENDING);
            }
        };
        let mut backups: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|other| is_backup(other, &name))
            .collect();
        // Dates sort as text does, so the oldest stand first.
        backups.sort();
        for old in backups.iter().take(backups.len().saturating_sub(self.keep - 1)) {
            let quoted = goquote::quote(old.as_bytes());
            let (level, text) = match fs::remove_file(dir.join(old)) {
                Ok(()) => (Level::Info, format!("Purged log file {quoted}")),
                Err(error) => {
                    (Level::Error, format!("Unable to purge log file {quoted}: {}", gowords::error(&error)))
                }
            };
            self.append(level, text, DIRECT_ENDING);
        }
    }
}

/// Whether `other` is a backup of the log file `name`.
fn is_backup(other: &str, name: &str) -> bool {
    let Some(date) = other.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) else { return false };
    let groups: Vec<&str> = date.split('.').collect();
    groups.len() == BACKUP_DIGITS.len()
        && groups
            .iter()
            .zip(BACKUP_DIGITS)
            .all(|(group, digits)| group.len() == digits && group.bytes().all(|b| b.is_ascii_digit()))
}

impl Sink for File {
    fn print(&mut self, line: &Line) -> io::Result<()> {
        self.append_line(line, "\n");
        if self.is_too_long() {
            self.rotate()
        } else if self.buffer.len() >= WRITE_BUFFER {
            self.finish()
        } else {
            Ok(())
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        let written = self.file.write_all(&self.buffer);
        self.buffer.clear();
        written
    }

    fn reopen(&mut self) -> Reopened {
        let _ = self.finish();
        match open_for_append(&self.path) {
            Ok((file, size)) => {
                self.file = file;
                self.size = size;
                Reopened::Done
            }
            Err(error) => {
                Reopened::Failed(format!("open {}: {}", self.path.display(), gowords::error(&error)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dated_names_are_backups() {
        assert!(is_backup("x.log.2026.11.21.10.13.53.226948906", "x.log"));
        for other in [
            "x.log",
            "x.log.old",
            "x.log.2026.11.21.10.13.53",
            "y.x.log.2026.11.21.10.13.53.226948906",
            "x.log.2026.11.21.10.13.53.226948906.gz",
            "x.log.2026.11.21.10.13.53.22694890x",
        ] {
            assert!(!is_backup(other, "x.log"), "{other}");
        }
    }
}
