//! [`Files`] over system calls.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use midge_store::port::{DiskError, Entry, Fault, Files, Handle, Mode};
use rustix::fs::{AtFlags, Dir, FallocateFlags, FileType, FlockOperation, Mode as Bits, OFlags, Stat};
use rustix::io::Errno;

use crate::direct;
use crate::handles::{Handles, OpenFile};
use crate::paths::{failed, inside};
use crate::watch::{self, Watch};

const FILE_MODE: Bits = Bits::from_raw_mode(0o600);
const FOLDER_MODE: Bits = Bits::from_raw_mode(0o700);
/// Files lie here, and no folders.
const STAGED: &str = ".midge/staged/";

/// Why a store directory cannot be used. The blame is the operator's.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be created or opened.
    #[error("store directory {}: {error}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// Another process has it.
    #[error("store directory {} is in use by another server", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// What the process before left in it could not be read, or not be completed.
    #[error("store directory {}: {error}", path.display())]
    Journal {
        /// The directory.
        path: PathBuf,
        /// What failed.
        error: DiskError,
    },
    /// The operating system gives no threads.
    #[error("store directory {}: no threads: {error}", path.display())]
    Threads {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
}

/// One store directory. The lock on it is held until this is dropped, or the process ends however it ends.
#[derive(Debug)]
pub struct RealFiles {
    root: PathBuf,
    /// Also holds the lock: on the directory itself, so that no file of ours lies among those of the stores.
    folder: OwnedFd,
    handles: Handles,
    watch: Watch,
}

impl RealFiles {
    /// Opens a store directory, which is created when absent, and locks it.
    pub fn open(root: &Path) -> Result<RealFiles, OpenError> {
        let wrong = |error: std::io::Error| OpenError::Directory { path: root.to_path_buf(), error };
        std::fs::create_dir_all(root).map_err(wrong)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(root, flags, Bits::empty()).map_err(|error| wrong(error.into()))?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let (root, handles, watch) = (root.to_path_buf(), Handles::default(), Watch::default());
                Ok(RealFiles { root, folder, handles, watch })
            }
            Err(Errno::WOULDBLOCK) => Err(OpenError::InUse { path: root.to_path_buf() }),
            Err(error) => Err(wrong(error.into())),
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Files that somebody else changed while they were open here, noticed since the last call; in words.
    pub fn take_foreign(&self) -> Vec<String> {
        self.watch.take()
    }

    fn stat(&self, path: &str) -> Option<Stat> {
        rustix::fs::statat(&self.folder, path, AtFlags::empty()).ok()
    }

    fn open_folder(&self, call: &'static str, path: &str) -> Result<OwnedFd, DiskError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, inside(call, path)?, flags, Bits::empty())
            .map_err(|error| failed(call, path, error))
    }
}

/// Calls again while signals interrupt.
fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Writes all of the bytes with calls that may write only some of them.
pub(crate) fn write_all(
    mut raw: impl FnMut(&[u8], u64) -> Result<usize, Errno>,
    offset: u64,
    bytes: &[u8],
) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match retry(|| raw(rest, offset + done as u64))? {
            0 => return Err(Errno::IO),
            written => done += written,
        }
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends, with calls that may read less than there is.
pub(crate) fn read_all(
    mut raw: impl FnMut(&mut [u8], u64) -> Result<usize, Errno>,
    offset: u64,
    into: &mut [u8],
) -> Result<usize, Errno> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match retry(|| raw(&mut *rest, offset + done as u64))? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

impl Files for RealFiles {
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError> {
        let flags = OFlags::CLOEXEC
            | match mode {
                Mode::Read => OFlags::RDONLY,
                Mode::Write => OFlags::RDWR,
                Mode::Create | Mode::Sectors => OFlags::RDWR | OFlags::CREATE,
            };
        let relative = inside("open", path)?;
        let open = |flags| retry(|| rustix::fs::openat(&self.folder, relative, flags, FILE_MODE));
        let past_cache = if mode == Mode::Sectors { open(flags | OFlags::DIRECT).ok() } else { None };
        let direct = past_cache.is_some();
        let fd = past_cache.map_or_else(|| open(flags), Ok).map_err(|error| failed("open", path, error))?;
        let stat = || rustix::fs::fstat(&fd).ok();
        let written = mode != Mode::Read;
        if written && watch::is_index(path) {
            self.watch.check_index(path, stat);
        }
        let expected = if written && watch::is_block(path) { self.watch.opened(path, stat) } else { None };
        self.handles.insert(OpenFile { fd, path: path.into(), expected, direct })
    }

    fn close(&self, file: Handle) {
        self.handles.remove(file);
    }

    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let file = self.handles.get("read", file)?;
        read_all(|rest, at| rustix::io::pread(&file.fd, rest, at), offset, into)
            .map_err(|error| failed("read", &file.path, error))
    }

    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let file = self.handles.get("write", file)?;
        let end = offset + bytes.len() as u64;
        if let Some(expected) = &file.expected {
            expected.begin(end);
        } else if watch::is_index(&file.path) {
            self.watch.forget(&file.path, false);
        }
        let written = if file.direct {
            direct::write(&file, offset, bytes)
        } else {
            write_all(|rest, at| rustix::io::pwrite(&file.fd, rest, at), offset, bytes)
        };
        if let Some(expected) = &file.expected {
            if written.is_ok() { expected.end(end) } else { expected.fail() }
        }
        written.map_err(|error| failed("write", &file.path, error))
    }

    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        let file = self.handles.get("length", file)?;
        let stat = rustix::fs::fstat(&file.fd).map_err(|error| failed("length", &file.path, error))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        let file = self.handles.get("set length", file)?;
        if let Some(expected) = &file.expected {
            expected.begin_cut();
        }
        let cut = retry(|| rustix::fs::ftruncate(&file.fd, len));
        if let Some(expected) = &file.expected {
            if cut.is_err() {
                expected.fail();
            }
            expected.end_cut(len);
        }
        cut.map_err(|error| failed("set length", &file.path, error))
    }

    fn allocate(&self, handle: Handle, len: u64) -> Result<(), DiskError> {
        let file = self.handles.get("allocate", handle)?;
        if let Some(expected) = &file.expected {
            expected.begin(len);
        }
        match retry(|| rustix::fs::fallocate(&file.fd, FallocateFlags::empty(), 0, len)) {
            Ok(()) => Ok(()),
            // The file system cannot: the length at least does not change later.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                if self.len(handle)? < len {
                    self.set_len(handle, len)
                } else {
                    Ok(())
                }
            }
            Err(error) => Err(failed("allocate", &file.path, error)),
        }
    }

    fn sync(&self, file: Handle) -> Result<(), DiskError> {
        let file = self.handles.get("sync", file)?;
        if let Some(expected) = &file.expected {
            self.watch.check(&file.path, expected, || rustix::fs::fstat(&file.fd).ok());
        }
        retry(|| rustix::fs::fdatasync(&file.fd)).map_err(|error| failed("sync", &file.path, error))
    }

    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        let folder = self.open_folder("sync folder", path)?;
        retry(|| rustix::fs::fsync(&folder)).map_err(|error| failed("sync folder", path, error))
    }

    fn list(&self, path: &str) -> Result<Vec<Entry>, DiskError> {
        let wrong = |error| failed("list", path, error);
        let folder = self.open_folder("list", path)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let stat = match rustix::fs::statat(folder.as_fd(), entry.file_name(), AtFlags::empty()) {
                Ok(stat) => stat,
                // Removed in between, or a link to nothing.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(wrong(error)),
            };
            let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let len = if folder { 0 } else { u64::try_from(stat.st_size).unwrap_or(0) };
            entries.push(Entry { name: name.to_owned(), folder, len });
        }
        entries.sort();
        Ok(entries)
    }

    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        let call = "create folder";
        let relative = inside(call, path)?;
        // Mostly those above are there.
        if let Ok(()) = rustix::fs::mkdirat(&self.folder, relative, FOLDER_MODE) {
            return Ok(());
        }
        let ends = relative.match_indices('/').map(|(at, _)| at).chain([relative.len()]);
        for end in ends {
            let part = relative.get(..end).unwrap_or(relative);
            match rustix::fs::mkdirat(&self.folder, part, FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(call, path, error)),
            }
        }
        // What exists may be a file.
        self.open_folder(call, path).map(drop)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let (old, new) = (inside("rename", from)?, inside("rename", to)?);
        let index = watch::is_index(to);
        if index {
            self.watch.check_index(to, || self.stat(new));
        }
        let file = index || watch::is_block(to) || from.starts_with(STAGED);
        self.watch.forget(from, !file);
        self.watch.forget(to, !file);
        rustix::fs::renameat(&self.folder, old, &self.folder, new)
            .map_err(|error| failed("rename", from, error))?;
        if index {
            self.watch.put_index(to, self.stat(new));
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let relative = inside("remove", path)?;
        self.watch.forget(path, false);
        rustix::fs::unlinkat(&self.folder, relative, AtFlags::empty())
            .map_err(|error| failed("remove", path, error))
    }

    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        let call = "remove folder";
        let relative = inside(call, path)?;
        if relative == "." {
            let text = "the store directory itself is not removed".to_owned();
            return Err(DiskError { fault: Fault::Denied, call, path: path.to_owned(), text });
        }
        self.watch.forget(path, true);
        std::fs::remove_dir_all(self.root.join(relative)).map_err(|error| {
            let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
            failed(call, path, errno)
        })
    }

    fn free(&self) -> Result<u64, DiskError> {
        let stat = rustix::fs::fstatvfs(&self.folder).map_err(|error| failed("free space", "", error))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
