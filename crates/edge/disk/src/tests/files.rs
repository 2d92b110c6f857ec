//! The files themselves.

use midge_store::port::{Fault, Files as _, Handle, Mode};
use rustix::io::Errno;

use super::Place;
use crate::real::{read_all, write_all};
use crate::{OpenError, RealFiles};

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
fn sectors_are_written_past_the_cache_and_read_through_it() {
    let place = Place::new();
    let files = RealFiles::open(&place.0).unwrap();
    let sectors = files.open("journal", Mode::Sectors).unwrap();
    let reader = files.open("journal", Mode::Read).unwrap();
    let mut expected = vec![0; 8192];
    files.allocate(sectors, 8192).unwrap();
    let mut write = |offset: usize, len: usize, byte: u8| {
        files.write_at(sectors, offset as u64, &vec![byte; len]).unwrap();
        files.sync(sectors).unwrap();
        expected[offset..offset + len].fill(byte);
        let mut read = vec![9; 8192];
        assert_eq!(files.read_at(reader, 0, &mut read).unwrap(), 8192);
        assert!(read == expected, "{offset} {len}");
    };
    write(0, 512, 1);
    write(1024, 4096, 2);
    write(512, 1024, 3);
    // Whoever breaks the promise is served, if slower, and so are those after.
    write(5000, 100, 4);
    write(4608, 1024, 5);
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

/// A file in memory whose calls transfer a few bytes only, or are interrupted.
struct Stingy {
    bytes: Vec<u8>,
    calls: usize,
}

impl Stingy {
    fn most(&mut self) -> Result<usize, Errno> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) { Err(Errno::INTR) } else { Ok(1 + self.calls % 4) }
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> Result<usize, Errno> {
        let len = self.most()?.min(bytes.len());
        let at = usize::try_from(at).unwrap();
        self.bytes.resize(self.bytes.len().max(at + len), 0);
        self.bytes[at..at + len].copy_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn read(&mut self, into: &mut [u8], at: u64) -> Result<usize, Errno> {
        let at = usize::try_from(at).unwrap().min(self.bytes.len());
        let len = self.most()?.min(into.len()).min(self.bytes.len() - at);
        into[..len].copy_from_slice(&self.bytes[at..at + len]);
        Ok(len)
    }
}

#[test]
fn short_and_interrupted_calls_are_continued() {
    let mut file = Stingy { bytes: Vec::new(), calls: 0 };
    let text: Vec<u8> = (0..=255).collect();
    write_all(|bytes, at| file.write(bytes, at), 7, &text).unwrap();
    assert_eq!(file.bytes[7..], text);
    let mut read = vec![9; 300];
    let len = read_all(|into, at| file.read(into, at), 7, &mut read).unwrap();
    assert_eq!((len, &read[..256]), (256, &text[..]));
    assert!(file.calls > 100, "{} calls were short", file.calls);
}

#[test]
fn a_write_that_stops_half_way_is_an_error() {
    let mut left = 5;
    let full = |bytes: &[u8], _| match bytes.len().min(left) {
        0 => Err(Errno::NOSPC),
        len => {
            left -= len;
            Ok(len)
        }
    };
    assert_eq!(write_all(full, 0, b"seven77"), Err(Errno::NOSPC));
    assert_eq!(
        write_all(|_, _| Ok(0), 0, b"x"),
        Err(Errno::IO),
        "nothing written is no reason to try for ever"
    );
    assert_eq!(write_all(|_, _| Err(Errno::IO), 0, b""), Ok(()), "nothing is to be written");
}

#[test]
fn what_others_do_to_open_files_is_noticed() {
    let place = Place::new();
    let files = RealFiles::open(&place.0).unwrap();
    files.create_folder("s/msgs").unwrap();
    let block = files.open("s/msgs/1.blk", Mode::Create).unwrap();
    files.write_at(block, 0, b"ours").unwrap();
    files.sync(block).unwrap();
    let again = files.open("s/msgs/1.blk", Mode::Write).unwrap();
    files.write_at(again, 4, b"more").unwrap();
    files.set_len(again, 6).unwrap();
    files.sync(block).unwrap();
    assert!(files.take_foreign().is_empty(), "all of this was ours");
    let path = place.0.join("s/msgs/1.blk");
    std::fs::write(&path, b"somebody else's").unwrap();
    files.sync(block).unwrap();
    files.sync(block).unwrap();
    assert_eq!(files.take_foreign(), ["s/msgs/1.blk has 15 bytes, and 6 were written"]);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"another").unwrap();
    let other = files.open("s/msgs/2.blk", Mode::Create).unwrap();
    files.rename("s/msgs/2.blk", "s/msgs/3.blk").unwrap();
    files.close(files.open("s/msgs/3.blk", Mode::Write).unwrap());
    assert!(files.take_foreign().is_empty(), "told once, and a rename is ours");
    std::fs::remove_file(place.0.join("s/msgs/3.blk")).unwrap();
    std::fs::write(place.0.join("s/msgs/3.blk"), b"").unwrap();
    let third = files.open("s/msgs/3.blk", Mode::Write).unwrap();
    assert!(files.take_foreign().is_empty(), "a renamed file is known again when it is opened again");
    std::fs::remove_file(place.0.join("s/msgs/3.blk")).unwrap();
    std::fs::write(place.0.join("s/msgs/3.blk"), b"").unwrap();
    let fourth = files.open("s/msgs/3.blk", Mode::Write).unwrap();
    assert_eq!(files.take_foreign(), ["s/msgs/3.blk is another file than the one that is open"]);
    [block, again, other, third, fourth].into_iter().for_each(|file| files.close(file));
}

#[test]
fn an_index_that_others_wrote_is_noticed() {
    let place = Place::new();
    let files = RealFiles::open(&place.0).unwrap();
    files.create_folder("s/msgs").unwrap();
    let put = |text: &[u8]| {
        let staged = files.open("s/staged", Mode::Create).unwrap();
        files.write_at(staged, 0, text).unwrap();
        files.close(staged);
        files.rename("s/staged", "s/msgs/index.db").unwrap();
    };
    put(b"first");
    put(b"second");
    files.close(files.open("s/msgs/index.db", Mode::Write).unwrap());
    assert!(files.take_foreign().is_empty(), "all of this was ours");
    std::fs::write(place.0.join("s/msgs/index.db"), b"elsewhere").unwrap();
    put(b"third");
    assert_eq!(files.take_foreign(), ["s/msgs/index.db is not the one that was written"]);
    files.remove("s/msgs/index.db").unwrap();
    put(b"fourth");
    assert!(files.take_foreign().is_empty(), "it was removed here");
}
