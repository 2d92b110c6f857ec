//! Folders that are hurt: what is kept, what is told, and that nothing unreadable goes.

use std::collections::BTreeSet;

use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::format::index_db;
use midge_store::format::keys::{Cipher, MasterKey};
use midge_store::format::side::{Source, encode_sources};
use midge_store::port::Files;
use midge_store::recover::History;
use midge_store::stream::{How, OpenError, Opened, Sync, read_meta};

use crate::disk::MemFiles;
use crate::fixtures::{KEY, Stream, stream};
use crate::open::{described, folder, get, keys, live, load, open, opening, put, read_all, snapshot, store};

fn path(stream: &Stream, name: &str) -> String {
    format!("{}/msgs/{name}", folder(stream))
}

/// Changes a file.
fn change(files: &MemFiles, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = get(files, path).unwrap();
    change(&mut bytes);
    put(files, path, &bytes);
}

/// The live sequences of a whole copy.
fn whole(stream: &Stream) -> BTreeSet<u64> {
    live(&open(stream, &load(stream)))
}

fn lost(opened: &Opened) -> BTreeSet<u64> {
    opened.recovery.lost.iter().collect()
}

/// Opening again, and reading, gives the same.
fn stays(stream: &Stream, files: &MemFiles, opened: Opened) {
    let (state, found) = (*opened.state(), live(&opened));
    let again = open(stream, files);
    assert_eq!((*again.state(), live(&again)), (state, found.clone()));
    let read = read_all(&mut store(again), files, &folder(stream));
    assert_eq!(read.keys().copied().collect::<BTreeSet<u64>>(), found);
}

const INDEXES: [bool; 2] = [true, false];

/// A hurt copy of the stream with three blocks, with or without its index.
fn hurt(with_index: bool, block: u32, act: impl FnOnce(&mut Vec<u8>)) -> (Stream, std::sync::Arc<MemFiles>) {
    let stream = stream("multiblock", "FIXMB");
    let files = load(&stream);
    if !with_index {
        files.remove(&path(&stream, "index.db")).unwrap();
    }
    change(&files, &path(&stream, &format!("{block}.blk")), act);
    (stream, files)
}

#[test]
fn a_cut_tail_costs_what_stood_there() {
    for with_index in INDEXES {
        for cut in [1, 10, 30, 31, 500, 2_100] {
            let (stream, files) = hurt(with_index, 3, |bytes| bytes.truncate(bytes.len() - cut));
            let opened = open(&stream, &files);
            assert!(matches!(opened.recovery.how, How::Rebuilt { .. }));
            let (before, found) = (whole(&stream), live(&opened));
            let gone: BTreeSet<u64> = before.difference(&found).copied().collect();
            if with_index {
                // Deletions whose tombstones are cut are still known.
                assert!(found.is_subset(&before), "{cut}");
                assert_eq!(lost(&opened), gone, "{cut}");
                assert_eq!(opened.state().last_seq, 44, "{cut}");
            }
            assert!(gone.len() <= usize::from(cut > 150), "{cut}: {gone:?}");
            stays(&stream, &files, opened);
        }
    }
}

#[test]
fn garbage_after_the_last_record_is_copied_aside_and_cut() {
    for with_index in INDEXES {
        let len = get(&load(&stream("multiblock", "FIXMB")), &path(&stream("multiblock", "FIXMB"), "3.blk"))
            .unwrap()
            .len();
        let (stream, files) = hurt(with_index, 3, |bytes| bytes.extend_from_slice(&[0xa5; 77]));
        let opened = open(&stream, &files);
        assert_eq!(live(&opened), whole(&stream));
        let kept = &opened.recovery.kept[0];
        assert_eq!(
            (kept.file.as_str(), get(&files, &kept.copy)),
            (&*path(&stream, &format!("3.blk.from-{len}")), Some(vec![0xa5; 77]))
        );
        assert_eq!(get(&files, &path(&stream, "3.blk")).unwrap().len(), len);
        assert_eq!(opened.blocks().last().unwrap().raw_len as usize, len);
        stays(&stream, &files, opened);
    }
}

#[test]
fn reserved_zeros_are_cut_without_a_word() {
    for with_index in INDEXES {
        let (stream, files) = hurt(with_index, 3, |bytes| bytes.resize(bytes.len() + 100_000, 0));
        let opened = open(&stream, &files);
        assert_eq!(live(&opened), whole(&stream));
        assert!(opened.recovery.is_clean() && opened.recovery.kept.is_empty(), "{:?}", opened.recovery);
        assert_eq!(opened.recovery.how == How::Index, with_index);
        stays(&stream, &files, opened);
    }
}

#[test]
fn a_flipped_bit_costs_its_message_and_the_file_stays() {
    for block in [1, 2, 3] {
        let (stream, files) = hurt(false, block, |bytes| bytes[1_000] ^= 4);
        let before = get(&files, &path(&stream, &format!("{block}.blk")));
        let opened = open(&stream, &files);
        let found = live(&opened);
        let gone: Vec<u64> = whole(&stream).difference(&found).copied().collect();
        assert_eq!((gone.len(), lost(&opened)), (1, gone.into_iter().collect()));
        let damage = &opened.recovery.damage;
        assert_eq!((damage.len(), damage[0].block), (1, block));
        assert!(damage[0].from <= 1_000 && damage[0].to > 1_000 && damage[0].cause.contains("checksum"));
        // As it was, and a copy of that aside.
        assert_eq!(get(&files, &path(&stream, &format!("{block}.blk"))), before);
        assert_eq!(get(&files, &opened.recovery.kept[0].copy), before);
        assert_eq!(opened.blocks().last().unwrap().sealed, block == 3);
        // Opened again, the copy is not made again.
        let copies = snapshot(&files, ".midge").len();
        stays(&stream, &files, opened);
        assert_eq!(snapshot(&files, ".midge").len(), copies);
    }
}

#[test]
fn a_flipped_bit_under_an_index_is_noticed_when_it_is_read() {
    for block in [1, 2, 3] {
        let (stream, files) = hurt(true, block, |bytes| bytes[1_000] ^= 4);
        let opened = open(&stream, &files);
        assert_eq!((live(&opened), opened.recovery.how.clone()), (whole(&stream), How::Index));
        let mut store = store(opened);
        let read = read_all(&mut store, &files, &folder(&stream));
        assert_eq!(read.len() + 1, whole(&stream).len());
        assert_eq!(store.lost().seqs.len(), 1);
    }
}

#[test]
fn a_last_block_that_is_damaged_inside_takes_no_more_records() {
    let (stream, files) = hurt(false, 3, |bytes| bytes[1_000] ^= 4);
    let before = get(&files, &path(&stream, "3.blk"));
    let mut store = store(open(&stream, &files));
    let now = midge_stdx::clock::Now::default();
    store.append(now, &midge_store::stream::NewMessage { subject: b"mb.0", ..Default::default() }).unwrap();
    assert_eq!((store.blocks(), get(&files, &path(&stream, "3.blk"))), (4, before));
}

#[test]
fn what_a_missing_block_held_is_told_and_its_tombstones_stay_known() {
    for missing in [1, 2, 3] {
        let stream = stream("multiblock", "FIXMB");
        let files = load(&stream);
        files.remove(&path(&stream, &format!("{missing}.blk"))).unwrap();
        let opened = open(&stream, &files);
        let (before, found) = (whole(&stream), live(&opened));
        // The third block holds the tombstones of the others.
        assert!(found.is_subset(&before));
        assert_eq!((opened.state().last_seq, opened.recovery.missing.clone()), (44, vec![missing]));
        let gone: BTreeSet<u64> = before.difference(&found).copied().collect();
        assert!(!gone.is_empty() && gone.len() < before.len());
        assert_eq!(opened.recovery.unaccounted.iter().collect::<BTreeSet<u64>>(), gone);
        stays(&stream, &files, opened);
    }
}

#[test]
fn a_missing_block_without_an_index_costs_its_messages_only() {
    for missing in [1, 2] {
        let stream = stream("multiblock", "FIXMB");
        let files = load(&stream);
        files.remove(&path(&stream, &format!("{missing}.blk"))).unwrap();
        files.remove(&path(&stream, "index.db")).unwrap();
        let opened = open(&stream, &files);
        let known = open(&stream, &load(&stream));
        let held = known.blocks().iter().find(|block| block.index == missing).unwrap();
        let rest = whole(&stream).into_iter().filter(|seq| !(held.first_seq..=held.last_seq).contains(seq));
        assert_eq!(live(&opened), rest.collect());
        stays(&stream, &files, opened);
    }
}

#[test]
fn an_index_that_is_no_index_is_passed_over_and_stays() {
    let stream = stream("multiblock", "FIXMB");
    for bytes in [vec![], vec![0; 31], vec![0; 400], vec![0xff; 400]] {
        let files = load(&stream);
        put(&files, &path(&stream, "index.db"), &bytes);
        let opened = open(&stream, &files);
        assert!(matches!(opened.recovery.how, How::Rebuilt { .. }));
        assert_eq!(live(&opened), whole(&stream));
        assert_eq!(get(&files, &path(&stream, "index.db")), Some(bytes));
    }
}

/// The index of a stream, changed and sealed again.
fn change_index(stream: &Stream, files: &MemFiles, change: impl FnOnce(&mut index_db::Index)) {
    let place = path(stream, "index.db");
    let file = get(files, &place).unwrap();
    let mut subjects = Vec::new();
    let mut index = index_db::decode(&file, &stream.name, None, &mut |entry| {
        subjects.push((entry.subject.to_vec(), entry.messages, entry.first_block, entry.last_block));
    })
    .unwrap();
    change(&mut index);
    let entries =
        subjects.iter().map(|(subject, messages, first_block, last_block)| index_db::SubjectEntry {
            subject,
            messages: *messages,
            first_block: *first_block,
            last_block: *last_block,
        });
    let file = index_db::encode(&index, subjects.len(), entries, &stream.name, None).unwrap();
    put(files, &place, &file);
}

#[test]
fn the_last_sequence_does_not_go_back_below_the_index() {
    let stream = stream("multiblock", "FIXMB");
    let files = load(&stream);
    change_index(&stream, &files, |index| {
        (index.totals.last_seq, index.totals.last_ns) = (90, index.totals.last_ns + 5);
        index.last_checksum[0] ^= 1;
    });
    let opened = open(&stream, &files);
    assert_eq!(opened.state().last_seq, 90);
    assert_eq!(live(&opened), whole(&stream));
    let mut store = store(opened);
    let now = midge_stdx::clock::Now::default();
    assert_eq!(
        store.append(now, &midge_store::stream::NewMessage { subject: b"mb.0", ..Default::default() }),
        Ok(91)
    );
}

#[test]
fn an_index_of_other_messages_of_that_name_says_nothing() {
    let stream = stream("multiblock", "FIXMB");
    let files = load(&stream);
    change_index(&stream, &files, |index| {
        for block in &mut index.blocks {
            block.last_ns += 1_000;
        }
        index.blocks[0].deleted.insert(3);
        index.totals.messages -= 1;
        index.totals.last_seq = 1_000;
        index.last_checksum = [9; 8];
    });
    let opened = open(&stream, &files);
    assert_eq!((live(&opened), opened.state().last_seq), (whole(&stream), 44));
}

#[test]
fn a_shorter_block_than_the_index_says_is_read() {
    for with_index in INDEXES {
        let (stream, files) = hurt(with_index, 1, |bytes| bytes.truncate(9_000));
        let opened = open(&stream, &files);
        let (before, found) = (whole(&stream), live(&opened));
        assert!(found.is_subset(&before) && found.len() + 13 > before.len());
        assert_eq!(opened.state().last_seq, 44);
        assert!(matches!(opened.recovery.how, How::Rebuilt { .. }));
        assert!(!lost(&opened).is_empty());
        stays(&stream, &files, opened);
    }
}

#[test]
fn an_empty_last_block_is_where_records_go_next() {
    for with_index in INDEXES {
        let stream = stream("compressed", "FIXS2");
        let files = load(&stream);
        put(&files, &path(&stream, "4.blk"), b"");
        if !with_index {
            files.remove(&path(&stream, "index.db")).unwrap();
        }
        let opened = open(&stream, &files);
        assert_eq!(live(&opened), whole(&stream));
        let last = opened.blocks().last().unwrap();
        assert_eq!((last.index, last.raw_len, last.sealed), (4, 0, false));
        stays(&stream, &files, opened);
    }
}

#[test]
fn a_compressed_last_block_takes_no_more_records() {
    let stream = stream("compressed", "FIXS2");
    let files = load(&stream);
    files.remove(&path(&stream, "3.blk")).unwrap();
    let opened = open(&stream, &files);
    assert!(opened.blocks().last().unwrap().sealed);
    assert_eq!(opened.state().last_seq, 44);
    let len = get(&files, &path(&stream, "2.blk")).unwrap().len();
    let mut store = store(opened);
    let now = midge_stdx::clock::Now::default();
    store.append(now, &midge_store::stream::NewMessage { subject: b"mb.0", ..Default::default() }).unwrap();
    assert_eq!((store.blocks(), get(&files, &path(&stream, "2.blk")).unwrap().len()), (3, len));
}

#[test]
fn an_expiry_wheel_that_is_lost_is_gathered_from_messages() {
    let stream = stream("state", "FIXTTL");
    let known = open(&stream, &load(&stream));
    assert!(!known.wheel().is_empty());
    for (bytes, with_index) in [(None, true), (None, false), (Some(b"\x01garbage".to_vec()), true)] {
        let files = load(&stream);
        match bytes {
            None => files.remove(&path(&stream, "thw.db")).unwrap(),
            Some(bytes) => put(&files, &path(&stream, "thw.db"), &bytes),
        }
        if !with_index {
            files.remove(&path(&stream, "index.db")).unwrap();
        }
        assert_eq!(open(&stream, &files).wheel(), known.wheel());
    }
}

#[test]
fn schedules_and_sources_are_gathered_from_messages() {
    for (name, file) in [("FIXSCHED", "msgs/sched.db"), ("FIXSRC", "sources.db")] {
        let stream = stream("state", name);
        let known = open(&stream, &load(&stream));
        assert!(!known.schedules.is_empty() || !known.sources.is_empty(), "{name}");
        for with_index in INDEXES {
            let files = load(&stream);
            files.remove(&format!("{}/{file}", folder(&stream))).unwrap();
            if !with_index {
                files.remove(&path(&stream, "index.db")).unwrap();
            }
            let opened = open(&stream, &files);
            let sorted = |opened: &Opened| {
                let mut schedules: Vec<(u64, Vec<u8>)> =
                    opened.schedules.iter().map(|entry| (entry.seq, entry.subject.to_vec())).collect();
                schedules.sort();
                schedules
            };
            assert_eq!(sorted(&opened), sorted(&known), "{name}");
            let progress = |opened: &Opened| opened.sources.iter().map(|entry| entry.seq).collect::<Vec<_>>();
            assert_eq!(progress(&opened), progress(&known), "{name}");
        }
    }
}

/// A file of an earlier time, as after a crash: the messages behind it say how far the source was read since, with the index and without.
#[test]
fn messages_say_what_the_file_of_sources_does_not_know() {
    let stream = stream("state", "FIXSRC");
    let progress = |opened: &Opened| {
        let of = |entry: &midge_store::stream::SourceProgress| (entry.index_name.to_vec(), entry.seq);
        opened.sources.iter().map(of).collect::<Vec<_>>()
    };
    let known = progress(&open(&stream, &load(&stream)));
    let [(index_name, 6)] = &known[..] else { panic!("{known:?}") };
    for with_index in INDEXES {
        // The stamp is the sequence behind what the file knows: one message is missing, several, all but one.
        for stamp in [6, 4, 2] {
            let files = load(&stream);
            let source = Source { index_name, seq: stamp - 1, identity: b"hUL1hX5l" };
            let older = encode_sources(stamp, std::iter::once(source));
            put(&files, &format!("{}/sources.db", folder(&stream)), &older);
            if !with_index {
                files.remove(&path(&stream, "index.db")).unwrap();
            }
            assert_eq!(progress(&open(&stream, &files)), known, "stamp {stamp}, index {with_index}");
        }
    }
}

#[test]
fn a_source_was_read_up_to_what_a_power_cut_tore() {
    let stream = stream("state", "FIXSRC");
    let sources = format!("{}/sources.db", folder(&stream));
    let progress = |opened: &Opened| opened.sources.iter().map(|entry| entry.seq).collect::<Vec<_>>();
    let known = open(&stream, &load(&stream));
    assert_eq!((progress(&known), known.recovery.torn), (vec![6], None));
    let tear = |files: &MemFiles| {
        change(files, &path(&stream, "1.blk"), |bytes| {
            let at = bytes.windows(5).position(|text| text == b"ttl.4").unwrap();
            bytes[at] ^= 1;
        });
    };
    // Nothing says that what follows was ever whole, and nothing of it counts: with the file, of which the stamp is behind it, as little as without.
    for with_sources in [true, false] {
        let files = load(&stream);
        files.remove(&path(&stream, "index.db")).unwrap();
        if !with_sources {
            files.remove(&sources).unwrap();
        }
        tear(&files);
        let opened = open(&stream, &files);
        assert_eq!((progress(&opened), opened.recovery.torn), (vec![3], Some(4)), "{with_sources}");
        assert_eq!(live(&opened), BTreeSet::from([1, 2, 3, 5, 6]));
    }
    // So it is when nothing is left of what followed.
    let files = load(&stream);
    files.remove(&path(&stream, "index.db")).unwrap();
    change(&files, &path(&stream, "1.blk"), |bytes| {
        // The record of the fourth message begins with its length, 22 bytes before its subject.
        bytes.truncate(bytes.windows(5).position(|text| text == b"ttl.4").unwrap() - 22);
    });
    let opened = open(&stream, &files);
    assert_eq!((progress(&opened), opened.recovery.torn, opened.state().last_seq), (vec![3], None, 3));
    // What an index knows was on stable storage: what is hurt is lost alone, the last message among it.
    let files = load(&stream);
    tear(&files);
    change(&files, &path(&stream, "1.blk"), |bytes| *bytes.last_mut().unwrap() ^= 1);
    let opened = open(&stream, &files);
    assert_eq!((progress(&opened), opened.recovery.torn), (vec![6], None));
    assert_eq!(lost(&opened), BTreeSet::from([4, 6]));
    // Unless it may have been there before what it speaks of.
    let mut opening = opening(&stream, History::Unknown);
    opening.config.sync = Sync::Interval;
    let opened = opening.run(&*files).unwrap();
    assert_eq!((progress(&opened), opened.recovery.torn), (vec![3], Some(4)));
}

#[test]
fn a_purge_that_was_cut_is_ended_or_undone() {
    let purged = stream("purged", "FIXPURGE");
    let done = load(&purged);
    let tombstone = get(&done, &path(&purged, "2.blk")).unwrap();
    let mb = stream("multiblock", "FIXMB");
    // Nothing was moved yet: undone.
    let files = load(&mb);
    files.create_folder(&format!("{}/__new_msgs__", folder(&mb))).unwrap();
    let opened = open(&mb, &files);
    assert_eq!(live(&opened), whole(&mb));
    assert!(files.list(&format!("{}/__new_msgs__", folder(&mb))).is_err());
    // The new block was moved: ended.
    let files = load(&purged);
    put(&files, &path(&purged, "1.blk"), b"old");
    files.remove(&path(&purged, "2.blk")).unwrap();
    put(&files, &format!("{}/__new_msgs__/2.blk", folder(&purged)), &tombstone);
    put(&files, &format!("{}/__msgs__/1.blk", folder(&purged)), b"older");
    let opened = open(&purged, &files);
    let expected = open(&purged, &done);
    assert_eq!(opened.state(), expected.state());
    let left: Vec<String> = snapshot(&files, &folder(&purged))
        .into_keys()
        .filter(|name| name.contains("__") || name.ends_with("1.blk"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // Only what was put away is left: it is put back.
    let files = load(&mb);
    files.rename(&format!("{}/msgs", folder(&mb)), &format!("{}/__msgs__", folder(&mb))).unwrap();
    assert_eq!(live(&open(&mb, &files)), whole(&mb));
}

#[test]
fn leftovers_go_when_what_they_were_to_replace_is_sound() {
    let (stream, files) = hurt(false, 2, |bytes| bytes[1_000] ^= 4);
    for name in [
        "1.blk.tmp",
        "2.blk.tmp",
        "9.blk.tmp",
        "index.db.tmp",
        "thw.db.tmp",
        "1.new",
        "2.new",
        "x.tmp",
        "notes",
    ] {
        put(&files, &path(&stream, name), b"left");
    }
    let opened = open(&stream, &files);
    let left: Vec<String> = files
        .list(&format!("{}/msgs", folder(&stream)))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(left, ["1.blk", "2.blk", "2.blk.tmp", "2.new", "3.blk", "9.blk.tmp", "notes", "x.tmp"]);
    let foreign: BTreeSet<&str> = opened.recovery.foreign.iter().map(String::as_str).collect();
    assert_eq!(foreign, BTreeSet::from(["2.blk.tmp", "2.new", "9.blk.tmp", "notes", "x.tmp"]));
}

const ENCRYPTED: [(&str, &str); 3] =
    [("encrypted", "FIXENC"), ("encrypted-s2", "FIXENCS2"), ("encrypted-aes", "FIXAES")];

#[test]
fn a_wrong_main_key_or_none_touches_no_file() {
    for (topic, name) in ENCRYPTED {
        let stream = stream(topic, name);
        for without_meta_key in [false, true] {
            let files = load(&stream);
            if without_meta_key {
                files.remove(&format!("{}/meta.key", folder(&stream))).unwrap();
            }
            put(&files, &path(&stream, "1.blk.tmp"), b"left");
            files.create_folder(&format!("{}/__new_msgs__", folder(&stream))).unwrap();
            let before = snapshot(&files, "");
            let mut wrong = opening(&stream, History::Unknown);
            wrong.encryption = Some(keys(&stream, b"another key", stream.cipher()));
            assert!(matches!(wrong.run(&*files), Err(OpenError::Key { .. })));
            let mut none = opening(&stream, History::Unknown);
            none.encryption = None;
            assert_eq!(none.run(&*files).err(), Some(OpenError::NoKey));
            assert_eq!(snapshot(&files, ""), before);
            assert!(files.list(&format!("{}/__new_msgs__", folder(&stream))).is_ok());
        }
    }
}

#[test]
fn a_block_whose_key_is_gone_is_left_out_and_stays() {
    for (topic, name) in ENCRYPTED {
        for how in [None, Some(20), Some(64), Some(72)] {
            let stream = stream(topic, name);
            let files = load(&stream);
            match how {
                None => files.remove(&path(&stream, "1.key")).unwrap(),
                Some(len) => put(&files, &path(&stream, "1.key"), &vec![7; len]),
            }
            let before = get(&files, &path(&stream, "1.blk"));
            let opened = open(&stream, &files);
            assert_eq!(opened.recovery.unreadable.len(), 1, "{:?}", opened.recovery);
            assert_eq!(get(&files, &path(&stream, "1.blk")), before);
            let found = live(&opened);
            assert!(!found.is_empty() && found.is_subset(&whole(&stream)), "{found:?}");
            assert_eq!(opened.state().last_seq, open(&stream, &load(&stream)).state().last_seq);
            stays(&stream, &files, opened);
        }
    }
}

#[test]
fn a_last_block_whose_key_is_gone_keeps_its_number() {
    let stream = stream("encrypted", "FIXENC");
    let files = load(&stream);
    files.remove(&path(&stream, "2.key")).unwrap();
    let before = get(&files, &path(&stream, "2.blk"));
    let mut store = store(open(&stream, &files));
    let now = midge_stdx::clock::Now::default();
    for _ in 0..3_000 {
        let message =
            midge_store::stream::NewMessage { subject: b"e", payload: &[1; 1_000], ..Default::default() };
        store.append(now, &message).unwrap();
    }
    let mut submitted = Vec::new();
    store.take_submissions(&mut submitted);
    let wrote_two = submitted.iter().any(|submission| format!("{:?}", submission.op).contains("2.blk"));
    assert!(!wrote_two && get(&files, &path(&stream, "2.blk")) == before);
}

/// Everything is under the present key and can be read.
fn converted(stream: &Stream, files: &MemFiles, opened: Opened, cipher: Cipher, master: &[u8]) {
    let expected = read_all(&mut store(open_plain(stream)), &load(stream), &folder(stream));
    assert_eq!(live(&opened), expected.keys().copied().collect());
    assert!(opened.recovery.converted > 0);
    drop(opened);
    let mut again = opening(stream, History::Unknown);
    again.encryption = Some(keys(stream, master, cipher));
    let again = again.run(files).unwrap();
    assert_eq!(
        (again.recovery.converted, again.recovery.how.clone()),
        (0, How::Index),
        "{:?}",
        again.recovery
    );
    let read = read_all(&mut store(again), files, &folder(stream));
    assert!(read == expected);
    let meta = read_meta(files, &folder(stream), &stream.name, Some(&keys(stream, master, cipher)))
        .unwrap()
        .unwrap();
    assert!(meta.sum_matches && meta.json.starts_with(b"{"));
    assert!(snapshot(files, "").keys().all(|name| !name.ends_with(".tmp")));
}

fn open_plain(stream: &Stream) -> Opened {
    open(stream, &load(stream))
}

#[test]
fn another_cipher_or_main_key_converts_everything() {
    for (topic, name) in ENCRYPTED {
        let stream = stream(topic, name);
        let files = load(&stream);
        let mut other = opening(&stream, History::Unknown);
        other.encryption = Some(keys(&stream, KEY, stream.cipher().other()));
        let opened = other.run(&*files).unwrap();
        converted(&stream, &files, opened, stream.cipher().other(), KEY);
        let files = load(&stream);
        let mut other = opening(&stream, History::Unknown);
        let mut new = keys(&stream, b"the next one", stream.cipher());
        new.previous = Some(MasterKey::new(KEY));
        other.encryption = Some(new);
        let opened = other.run(&*files).unwrap();
        converted(&stream, &files, opened, stream.cipher(), b"the next one");
    }
}

#[test]
fn a_plain_store_is_encrypted() {
    for (topic, name) in [("plain", "FIXPLAIN"), ("compressed", "FIXS2"), ("multiblock", "FIXMB")] {
        let stream = stream(topic, name);
        let files = load(&stream);
        let mut other = opening(&stream, History::Unknown);
        other.encryption = Some(keys(&stream, KEY, Cipher::ChaCha));
        let opened = other.run(&*files).unwrap();
        converted(&stream, &files, opened, Cipher::ChaCha, KEY);
        let shown = snapshot(&files, "")
            .into_iter()
            .any(|(_, bytes)| bytes.windows(9).any(|part| part == b"\"subjects"));
        assert!(!shown);
    }
}

#[test]
fn random_damage_in_any_file_never_panics_and_never_deletes() {
    let mut draw = Seeded::new(11);
    for stream in described() {
        for round in 0..60 {
            let files = load(&stream);
            let names: Vec<String> = snapshot(&files, "")
                .into_keys()
                .filter(|name| name.contains("/msgs/") || name.ends_with("sources.db"))
                .collect();
            for _ in 0..=draw.below(3) {
                let name = &names[draw.below(names.len() as u64) as usize];
                change(&files, name, |bytes| {
                    let at = draw.below(bytes.len() as u64 + 1) as usize;
                    match draw.below(4) {
                        0 => bytes.truncate(at),
                        1 => bytes.extend((0..at.min(90)).map(|i| i as u8)),
                        _ if at < bytes.len() => bytes[at] ^= 1 << draw.below(8),
                        _ => {}
                    }
                });
            }
            let before = snapshot(&files, "");
            let Ok(opened) =
                opening(&stream, if round % 2 == 0 { History::Unknown } else { History::Constant })
                    .run(&*files)
            else {
                continue;
            };
            for (name, bytes) in
                before.iter().filter(|(name, bytes)| name.ends_with(".blk") && !bytes.is_empty())
            {
                assert!(get(&files, name).is_some_and(|now| bytes.starts_with(&now)), "{name}");
            }
            let state = *opened.state();
            assert_eq!(live(&opened).len() as u64, state.messages);
            let mut store = store(opened);
            let read = read_all(&mut store, &files, &folder(&stream));
            assert!(read.len() as u64 <= state.messages);
        }
    }
}
