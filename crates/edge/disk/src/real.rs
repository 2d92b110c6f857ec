//! [`Files`] over system calls.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use midge_store::port::{DiskError, Entry, Fault, Files, Handle, Mode};
use rustix::fs::{AtFlags, Dir, FallocateFlags, FileType, FlockOperation, Mode as Bits, OFlags};
use rustix::io::Errno;

use crate::handles::{Handles, OpenFile};
use crate::paths::{failed, inside};

const FILE_MODE: Bits = Bits::from_raw_mode(0o600);
const FOLDER_MODE: Bits = Bits::from_raw_mode(0o700);

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
}

/// One store directory. The lock on it is held until this is dropped, or the process ends however it ends.
#[derive(Debug)]
pub struct RealFiles {
    root: PathBuf,
    /// Also holds the lock: on the directory itself, so that no file of ours lies among those of the stores.
    folder: OwnedFd,
    handles: Handles,
}

impl RealFiles {
    /// Opens a store directory, which is created when absent, and locks it.
    pub fn open(root: &Path) -> Result<RealFiles, OpenError> {
        let wrong = |error: std::io::Error| OpenError::Directory { path: root.to_path_buf(), error };
        std::fs::create_dir_all(root).map_err(wrong)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(root, flags, Bits::empty()).map_err(|error| wrong(error.into()))?;
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(RealFiles { root: root.to_path_buf(), folder, handles: Handles::default() }),
            Err(Errno::WOULDBLOCK) => Err(OpenError::InUse { path: root.to_path_buf() }),
            Err(error) => Err(wrong(error.into())),
        }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
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

impl Files for RealFiles {
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError> {
        let flags = OFlags::CLOEXEC
            | match mode {
                Mode::Read => OFlags::RDONLY,
                Mode::Write => OFlags::RDWR,
                Mode::Create => OFlags::RDWR | OFlags::CREATE,
            };
        let relative = inside("open", path)?;
        let fd = retry(|| rustix::fs::openat(&self.folder, relative, flags, FILE_MODE))
            .map_err(|error| failed("open", path, error))?;
        self.handles.insert(OpenFile { fd, path: path.into() })
    }

    fn close(&self, file: Handle) {
        self.handles.remove(file);
    }

    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        let file = self.handles.get("read", file)?;
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let read = retry(|| rustix::io::pread(&file.fd, &mut *rest, offset + done as u64))
                .map_err(|error| failed("read", &file.path, error))?;
            if read == 0 {
                break;
            }
            done += read;
        }
        Ok(done)
    }

    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let file = self.handles.get("write", file)?;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let written = retry(|| rustix::io::pwrite(&file.fd, rest, offset + done as u64))
                .map_err(|error| failed("write", &file.path, error))?;
            if written == 0 {
                return Err(failed("write", &file.path, Errno::IO));
            }
            done += written;
        }
        Ok(())
    }

    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        let file = self.handles.get("length", file)?;
        let stat = rustix::fs::fstat(&file.fd).map_err(|error| failed("length", &file.path, error))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        let file = self.handles.get("set length", file)?;
        retry(|| rustix::fs::ftruncate(&file.fd, len))
            .map_err(|error| failed("set length", &file.path, error))
    }

    fn allocate(&self, handle: Handle, len: u64) -> Result<(), DiskError> {
        let file = self.handles.get("allocate", handle)?;
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
        rustix::fs::renameat(&self.folder, old, &self.folder, new)
            .map_err(|error| failed("rename", from, error))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        let relative = inside("remove", path)?;
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
