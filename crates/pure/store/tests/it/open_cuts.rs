//! Opening that is itself cut, at every step that changes something, and begun again.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use midge_store::format::keys::{Cipher, MasterKey};
use midge_store::port::{DiskError, Entry, Fault, Files, Handle, Mode};
use midge_store::recover::History;
use midge_store::stream::{OpenError, Opened, Opening, StoreKeys, read_meta};

use crate::disk::MemFiles;
use crate::fixtures::{KEY, Stream, stream};
use crate::open::{Read, folder, get, keys, live, load, opening, put, read_all, snapshot, store};

/// Files that fail for good at some change, half done.
struct Cut<'a> {
    files: &'a MemFiles,
    left: AtomicU64,
}

impl<'a> Cut<'a> {
    fn after(files: &'a MemFiles, changes: u64) -> Cut<'a> {
        Cut { files, left: AtomicU64::new(changes) }
    }

    fn change(&self, path: &str) -> Result<(), DiskError> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            let text = "cut".into();
            return Err(DiskError { fault: Fault::Device, call: "cut", path: path.into(), text });
        }
        self.left.store(left - 1, Ordering::Relaxed);
        Ok(())
    }
}

impl Files for Cut<'_> {
    fn open(&self, path: &str, mode: Mode) -> Result<Handle, DiskError> {
        if mode.creates() {
            self.change(path)?;
        }
        self.files.open(path, mode)
    }
    fn close(&self, file: Handle) {
        self.files.close(file);
    }
    fn read_at(&self, file: Handle, offset: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.files.read_at(file, offset, into)
    }
    fn write_at(&self, file: Handle, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        if let Err(error) = self.change("") {
            self.files.write_at(file, offset, &bytes[..bytes.len() / 2])?;
            return Err(error);
        }
        self.files.write_at(file, offset, bytes)
    }
    fn len(&self, file: Handle) -> Result<u64, DiskError> {
        self.files.len(file)
    }
    fn set_len(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.change("")?;
        self.files.set_len(file, len)
    }
    fn allocate(&self, file: Handle, len: u64) -> Result<(), DiskError> {
        self.files.allocate(file, len)
    }
    fn sync(&self, file: Handle) -> Result<(), DiskError> {
        self.change("")?;
        self.files.sync(file)
    }
    fn sync_folder(&self, path: &str) -> Result<(), DiskError> {
        self.change(path)?;
        self.files.sync_folder(path)
    }
    fn list(&self, path: &str) -> Result<Vec<Entry>, DiskError> {
        self.files.list(path)
    }
    fn create_folder(&self, path: &str) -> Result<(), DiskError> {
        self.change(path)?;
        self.files.create_folder(path)
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.change(from)?;
        self.files.rename(from, to)
    }
    fn remove(&self, path: &str) -> Result<(), DiskError> {
        self.change(path)?;
        self.files.remove(path)
    }
    fn remove_folder(&self, path: &str) -> Result<(), DiskError> {
        if let Err(error) = self.change(path) {
            // Some of it is gone.
            if let Some(first) = self.files.list(path)?.iter().find(|entry| !entry.folder) {
                self.files.remove(&format!("{path}/{}", first.name))?;
            }
            return Err(error);
        }
        self.files.remove_folder(path)
    }
    fn free(&self) -> Result<u64, DiskError> {
        self.files.free()
    }
}

fn read(stream: &Stream, files: &MemFiles, opened: Opened) -> (BTreeSet<u64>, u64, Read) {
    let (found, last) = (live(&opened), opened.state().last_seq);
    (found, last, read_all(&mut store(opened), files, &folder(stream)))
}

/// Opens what `make` makes, cut at every change in turn and then begun again, with the same result as uncut.
fn cut_everywhere(
    stream: &Stream,
    make: &dyn Fn() -> std::sync::Arc<MemFiles>,
    open: &dyn Fn() -> Opening,
) -> u64 {
    let files = make();
    let expected = open().run(&*files).unwrap();
    let expected = read(stream, &files, expected);
    for changes in 0.. {
        let files = make();
        match open().run(&Cut::after(&files, changes)) {
            Ok(_) => return changes,
            Err(error) => assert!(matches!(error, OpenError::Disk(_)), "{error}"),
        }
        let meta = read_meta(&*files, &folder(stream), &stream.name, open().encryption.as_ref());
        assert!(
            meta.unwrap().is_none_or(|meta| meta.sum_matches && meta.json.starts_with(b"{")),
            "{changes}"
        );
        let opened = open().run(&*files).unwrap();
        let found = read(stream, &files, opened);
        assert!(found == expected, "{} cut after {changes} changes", stream.name);
        let left: Vec<String> =
            snapshot(&files, "").into_keys().filter(|name| name.ends_with(".tmp")).collect();
        assert!(left.is_empty(), "{left:?} after {changes} changes");
    }
    0
}

fn with_keys(stream: &Stream, keys: StoreKeys) -> Opening {
    let mut opening = opening(stream, History::Unknown);
    opening.encryption = Some(keys);
    opening
}

#[test]
fn a_change_of_keys_may_be_cut_anywhere() {
    for (topic, name) in [("encrypted-s2", "FIXENCS2"), ("encrypted-aes", "FIXAES")] {
        let stream = stream(topic, name);
        let cipher = stream.cipher();
        let cuts = cut_everywhere(&stream, &|| load(&stream), &|| {
            with_keys(&stream, keys(&stream, KEY, cipher.other()))
        });
        assert!(cuts > 20, "{cuts}");
        let next = || {
            let mut next = keys(&stream, b"the next one", cipher);
            next.previous = Some(MasterKey::new(KEY));
            with_keys(&stream, next)
        };
        cut_everywhere(&stream, &|| load(&stream), &next);
    }
}

#[test]
fn encrypting_a_plain_store_may_be_cut_anywhere() {
    for (topic, name) in [("compressed", "FIXS2"), ("plain", "FIXPLAIN")] {
        let stream = stream(topic, name);
        let open = || with_keys(&stream, keys(&stream, KEY, Cipher::Aes));
        assert!(cut_everywhere(&stream, &|| load(&stream), &open) > 20);
    }
}

#[test]
fn mending_may_be_cut_anywhere() {
    let mb = stream("multiblock", "FIXMB");
    let torn = || {
        let files = load(&mb);
        let path = format!("{}/msgs/3.blk", folder(&mb));
        let mut bytes = get(&files, &path).unwrap();
        bytes.extend_from_slice(&[0x77; 50]);
        put(&files, &path, &bytes);
        put(&files, &format!("{}/msgs/1.blk.tmp", folder(&mb)), b"left");
        files
    };
    assert!(cut_everywhere(&mb, &torn, &|| opening(&mb, History::Unknown)) > 8);
    let purged = stream("purged", "FIXPURGE");
    let half = || {
        let files = load(&purged);
        let (from, to) = (format!("{}/msgs", folder(&purged)), format!("{}/__new_msgs__", folder(&purged)));
        files.rename(&from, &to).unwrap();
        put(&files, &format!("{from}/1.blk"), b"old");
        put(&files, &format!("{}/__msgs__/1.blk", folder(&purged)), b"older");
        files
    };
    assert!(cut_everywhere(&purged, &half, &|| opening(&purged, History::Unknown)) > 5);
}
