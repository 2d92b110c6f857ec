use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use midge_store::port::{Fault, Files as _, Handle, Mode};

use crate::{OpenError, RealFiles};

/// A store directory of its own, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Place(std::env::temp_dir().join(format!("midge-disk-{}-{number}", std::process::id())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_written_read_cut_and_extended() {
    let place = Place::new();
    let files = RealFiles::open(&place.0).unwrap();
    files.create_folder("a/b").unwrap();
    files.create_folder("a/b").unwrap();
    let file = files.open("a/b/1.blk", Mode::Create).unwrap();
    files.write_at(file, 3, b"midge").unwrap();
    files.sync(file).unwrap();
    files.sync_folder("a/b").unwrap();
    let mut bytes = [9; 16];
    assert_eq!(files.read_at(file, 0, &mut bytes).unwrap(), 8);
    assert_eq!(&bytes[..8], b"\0\0\0midge");
    files.set_len(file, 5).unwrap();
    files.allocate(file, 4096).unwrap();
    assert_eq!(files.len(file).unwrap(), 4096);
    assert_eq!(files.read_at(file, 3, &mut bytes[..4]).unwrap(), 4);
    assert_eq!(&bytes[..4], b"mi\0\0");
    files.close(file);
    assert_eq!(files.len(file).unwrap_err().fault, Fault::Absent);
    assert!(files.free().unwrap() > 0);
}

#[test]
fn folders_are_listed_renamed_and_removed() {
    let place = Place::new();
    let files = RealFiles::open(&place.0).unwrap();
    files.create_folder("s/msgs").unwrap();
    for name in ["s/msgs/2.blk", "s/msgs/10.blk", "s/meta.inf"] {
        let file = files.open(name, Mode::Create).unwrap();
        files.write_at(file, 0, name.as_bytes()).unwrap();
        files.close(file);
    }
    let names = |path: &str| {
        let entries = files.list(path).unwrap();
        entries.into_iter().map(|entry| (entry.name, entry.folder, entry.len)).collect::<Vec<_>>()
    };
    assert_eq!(names("s"), [("meta.inf".to_owned(), false, 10), ("msgs".to_owned(), true, 0)]);
    assert_eq!(names("s/msgs"), [("10.blk".to_owned(), false, 13), ("2.blk".to_owned(), false, 12)]);
    files.rename("s/msgs/10.blk", "s/msgs/2.blk").unwrap();
    assert_eq!(names("s/msgs"), [("2.blk".to_owned(), false, 13)]);
    files.remove("s/msgs/2.blk").unwrap();
    assert_eq!(files.remove("s/msgs/2.blk").unwrap_err().fault, Fault::Absent);
    assert_eq!(files.open("s/msgs/2.blk", Mode::Write).unwrap_err().fault, Fault::Absent);
    files.remove_folder("s").unwrap();
    assert!(names("").is_empty());
    assert_eq!(files.list("s").unwrap_err().fault, Fault::Absent);
}

#[test]
fn no_path_leaves_the_directory() {
    let place = Place::new();
    let files = RealFiles::open(&place.0).unwrap();
    for path in ["/etc/passwd", "../x", "a/../../x", "a\0b"] {
        assert_eq!(files.open(path, Mode::Create).unwrap_err().fault, Fault::Denied, "{path:?}");
        assert_eq!(files.remove_folder(path).unwrap_err().fault, Fault::Denied, "{path:?}");
        assert_eq!(files.rename("a", path).unwrap_err().fault, Fault::Denied, "{path:?}");
    }
    assert_eq!(files.remove_folder("").unwrap_err().fault, Fault::Denied);
    let file = files.open("x", Mode::Create).unwrap();
    let error = files.create_folder("x").unwrap_err();
    assert_eq!(error.fault, Fault::Absent, "{error}");
    files.close(file);
}

#[test]
fn a_directory_has_one_user_at_a_time() {
    let place = Place::new();
    let first = RealFiles::open(&place.0).unwrap();
    let second = RealFiles::open(&place.0).unwrap_err();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    drop(first);
    RealFiles::open(&place.0).unwrap();
}

#[test]
fn errors_name_the_call_the_file_and_the_cause() {
    let place = Place::new();
    let files = RealFiles::open(&place.0).unwrap();
    let error = files.open("gone/1.blk", Mode::Create).unwrap_err();
    assert!(error.to_string().starts_with("open gone/1.blk: "), "{error}");
    assert_eq!(files.sync(Handle(77)).unwrap_err().fault, Fault::Absent);
    let file = files.open("read-only", Mode::Create).unwrap();
    files.close(file);
    let file = files.open("read-only", Mode::Read).unwrap();
    let error = files.write_at(file, 0, b"x").unwrap_err();
    assert_eq!((error.call, error.path.as_str()), ("write", "read-only"));
}
