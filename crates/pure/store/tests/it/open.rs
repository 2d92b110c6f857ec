//! Folders of the Go server opened: with their index, without it, and hurt in every way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Seeded;
use midge_store::format::keys::{Cipher, MasterKey};
use midge_store::format::record::Record;
use midge_store::port::{Files, Lane, Mode, Op};
use midge_store::recover::History;
use midge_store::stream::{
    Config, Discard, HeaderRules, How, Medium, Opened, Opening, SourceProgress, Step, Store, StoreKeys,
    header,
};
use serde_json::Value;
use sha2::Digest;

use crate::disk::MemFiles;
use crate::fixtures::{KEY, Stream, entries, file, stream, streams};

/// Where fixtures are put.
pub fn folder(stream: &Stream) -> String {
    format!("{}/streams/{}", stream.owner, stream.name)
}

/// Puts a file there.
pub fn put(files: &MemFiles, path: &str, bytes: &[u8]) {
    files.create_folder(path.rsplit_once('/').unwrap().0).unwrap();
    let file = files.open(path, Mode::Create).unwrap();
    files.set_len(file, 0).unwrap();
    files.write_at(file, 0, bytes).unwrap();
    files.close(file);
}

/// The content of a file, if it is there.
pub fn get(files: &MemFiles, path: &str) -> Option<Vec<u8>> {
    let file = files.open(path, Mode::Read).ok()?;
    let mut bytes = vec![0; files.len(file).unwrap() as usize];
    files.read_at(file, 0, &mut bytes).unwrap();
    files.close(file);
    Some(bytes)
}

/// Every file below a folder with its content.
pub fn snapshot(files: &MemFiles, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in files.list(folder).unwrap_or_default() {
        let path = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
        if entry.folder {
            all.extend(snapshot(files, &path));
        } else {
            let content = get(files, &path).unwrap();
            all.insert(path, content);
        }
    }
    all
}

/// The folder of a stream, in memory.
pub fn load(stream: &Stream) -> Arc<MemFiles> {
    let files: Arc<MemFiles> = Arc::default();
    let target = folder(stream);
    files.create_folder(&target).unwrap();
    for below in ["", "msgs"] {
        let from = stream.path.join(below);
        for name in entries(&from).iter().filter(|name| from.join(name).is_file()) {
            let name = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            put(&files, &format!("{target}/{name}"), &file(stream.path.join(&name)));
        }
    }
    files
}

pub fn config(stream: &Stream) -> Config {
    let mut config = Config::new(&stream.name, Medium::File);
    if let Some(expected) = stream.expected() {
        let given = &expected["config"];
        let limit = |key: &str| u64::try_from(given[key].as_i64().unwrap_or(-1)).unwrap_or(0);
        (config.max_msgs, config.max_bytes) = (limit("max_msgs"), limit("max_bytes"));
        config.max_msgs_per_subject = limit("max_msgs_per_subject");
        config.first_seq = limit("first_seq");
        config.discard = if given["discard"] == "old" { Discard::Old } else { Discard::New };
        config.ttl = given["allow_msg_ttl"] == true;
        config.schedules = given["allow_msg_schedules"] == true;
        config.compression = given["compression"] == "s2";
    }
    config
}

struct Rules;

impl HeaderRules for Rules {
    fn schedule(&self, message: &Record<'_>) -> Option<i64> {
        let midge_store::format::record::Kind::Message { headers, .. } = message.kind else { return None };
        let at = header(headers, b"Nats-Schedule")?.strip_prefix(b"@at ")?;
        Some(midge_stdx::gotime::parse_rfc3339(std::str::from_utf8(at).ok()?).ok()??.0)
    }

    fn source(&self, headers: &[u8]) -> Option<SourceProgress> {
        let value = header(headers, b"Nats-Stream-Source")?;
        let mut words = value.split(|&byte| byte == b' ');
        let (name, seq) = (words.next()?, words.next()?);
        let rest: Vec<&[u8]> = words.collect();
        let index_name =
            [name, rest.first().copied().unwrap_or(b">"), rest.get(1).copied().unwrap_or(b">")].join(&b' ');
        Some(SourceProgress {
            index_name: index_name.into(),
            seq: std::str::from_utf8(seq).ok()?.parse().ok()?,
            identity: rest.get(3).copied().unwrap_or_default().into(),
        })
    }

    fn sources(&self) -> usize {
        1
    }
}

pub fn keys(stream: &Stream, master: &[u8], cipher: Cipher) -> StoreKeys {
    StoreKeys {
        owner: stream.owner.clone(),
        master: MasterKey::new(master),
        previous: None,
        cipher,
        entropy: Box::new(Seeded::new(77)),
    }
}

pub fn opening(stream: &Stream, history: History) -> Opening {
    let encrypted = stream.topic.starts_with("encrypted");
    Opening {
        config: config(stream),
        folder: folder(stream),
        history,
        encryption: encrypted.then(|| keys(stream, KEY, stream.cipher())),
        now: Now { mono: Mono(1), wall: Wall(1) },
        headers: Some(Box::new(Rules)),
    }
}

pub fn open(stream: &Stream, files: &MemFiles) -> Opened {
    opening(stream, History::Unknown).run(files).unwrap()
}

/// Every live message, through the store, as sequence, time, subject, headers and payload.
pub type Read = BTreeMap<u64, (i64, Vec<u8>, Vec<u8>, Vec<u8>)>;

/// Reads through the store what is live.
pub fn read_all(store: &mut Store, files: &MemFiles, folder: &str) -> Read {
    let mut all = BTreeMap::new();
    let state = *store.state();
    for seq in state.first_seq.max(1)..=state.last_seq {
        loop {
            match store.load(seq) {
                Step::Ready(message) => {
                    let parts = (message.subject(), message.headers(), message.payload());
                    all.insert(seq, (message.ts_ns, parts.0.to_vec(), parts.1.to_vec(), parts.2.to_vec()));
                    break;
                }
                Step::Failed(_) => break,
                Step::Wait => assert!(work(store, files, folder) > 0),
            }
        }
    }
    all
}

/// Does what the store asked to be done aside, and counts it; ordered operations are left out.
pub fn work(store: &mut Store, files: &MemFiles, folder: &str) -> usize {
    let mut taken = Vec::new();
    store.take_submissions(&mut taken);
    let mut count = 0;
    for submission in taken {
        if matches!(submission.op, Op::Work(_)) {
            let outcome = midge_store::journal::aside(files, folder, submission.op);
            let (lane, ticket) = (submission.lane, submission.ticket);
            store.complete(midge_store::port::Completion { lane, ticket, outcome }, Mono(2));
            count += 1;
        }
    }
    count
}

pub fn store(opened: Opened) -> Store {
    opened.into_store(Lane(1), Box::new(Seeded::new(3)), Mono(1))
}

pub fn numbers(value: &Value) -> BTreeSet<u64> {
    value.as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

fn time(value: &Value) -> i64 {
    let text = value.as_str().unwrap_or("0001");
    if text.starts_with("0001") { 0 } else { midge_stdx::gotime::parse_rfc3339(text).unwrap().unwrap().0 }
}

/// The state is what the API said.
fn agrees(stream: &Stream, opened: &Opened) {
    let state = &stream.expected().unwrap()["state"];
    let name = format!("{} {:?}", stream.name, opened.recovery.how);
    let number = |key: &str| state[key].as_u64().unwrap_or(0);
    let found = opened.state();
    assert_eq!(found.messages, number("messages"), "{name}");
    assert_eq!(found.bytes, number("bytes"), "{name}");
    assert_eq!(found.first_seq, number("first_seq"), "{name}");
    assert_eq!(found.last_seq, number("last_seq"), "{name}");
    assert_eq!(found.last_ts_ns, time(&state["last_ts"]), "{name}");
    let first = opened.blocks().iter().find(|block| block.messages > 0);
    assert_eq!(first.map_or(Some(0), |block| block.first_ts_ns), Some(time(&state["first_ts"])), "{name}");
    let mut subjects = BTreeMap::new();
    let _ = opened.subjects().for_each(|subject, state| {
        subjects.insert(String::from_utf8(subject.to_vec()).unwrap(), state.total());
        ControlFlow::<()>::Continue(())
    });
    let expected: BTreeMap<String, u64> = state["subjects"]
        .as_object()
        .map(|map| map.iter().map(|(key, count)| (key.clone(), count.as_u64().unwrap())).collect())
        .unwrap_or_default();
    assert_eq!(subjects, expected, "{name}");
    if found.messages > 0 {
        assert_eq!(deleted(opened), numbers(&state["deleted"]), "{name}");
    }
    assert!(opened.recovery.is_clean(), "{name}: {:?}", opened.recovery);
    let blocks = opened.blocks();
    assert_eq!(blocks.iter().map(|block| block.messages).sum::<u64>(), found.messages, "{name}");
    assert_eq!(blocks.iter().map(|block| block.bytes).sum::<u64>(), found.bytes, "{name}");
}

pub fn live(opened: &Opened) -> BTreeSet<u64> {
    let of = |block: &midge_store::stream::Block| {
        (block.first_seq..=block.last_seq).filter(|seq| block.is_live(*seq)).collect::<Vec<_>>()
    };
    opened.blocks().iter().flat_map(of).collect()
}

fn deleted(opened: &Opened) -> BTreeSet<u64> {
    let live = live(opened);
    let state = opened.state();
    (state.first_seq..=state.last_seq).filter(|seq| !live.contains(seq)).collect()
}

/// The streams that the API described.
pub fn described() -> Vec<Stream> {
    streams().into_iter().filter(|stream| !stream.is_log() && stream.expected().is_some()).collect()
}

/// A message as the fixtures describe it: time, subject, headers, digest of the payload.
type Described = BTreeMap<u64, (i64, Vec<u8>, Vec<u8>, String)>;

fn digests(read: Read) -> Described {
    let digest = |payload: &[u8]| data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(payload));
    read.into_iter()
        .map(|(seq, (ts, subject, headers, payload))| (seq, (ts, subject, headers, digest(&payload))))
        .collect()
}

/// What the API delivered.
fn messages(stream: &Stream) -> Described {
    let expected = stream.expected().unwrap();
    let decode = |value: &Value| {
        value.as_str().map(|text| data_encoding::BASE64.decode(text.as_bytes()).unwrap()).unwrap_or_default()
    };
    let all =
        expected["messages"].as_array().unwrap_or_else(|| panic!("{}: {expected}", stream.name)).clone();
    all.iter()
        .map(|message| {
            let subject = message["subject"].as_str().unwrap().as_bytes().to_vec();
            let seq = message["seq"].as_u64().unwrap();
            (
                seq,
                (
                    time(&message["time"]),
                    subject,
                    decode(&message["hdrs_b64"]),
                    message["sha256"].as_str().unwrap().into(),
                ),
            )
        })
        .collect()
}

#[test]
fn every_stream_opens_by_its_index() {
    let described = described();
    assert!(described.len() >= 14);
    for stream in described {
        let files = load(&stream);
        let before = snapshot(&files, "");
        let opened = open(&stream, &files);
        assert_eq!(opened.recovery.how, How::Index, "{}", stream.name);
        agrees(&stream, &opened);
        assert_eq!(opened.recovery.mended, Vec::<String>::new());
        assert_eq!(snapshot(&files, ""), before, "{}", stream.name);
        let folder = folder(&stream);
        let read = read_all(&mut store(opened), &files, &folder);
        assert!(digests(read) == messages(&stream), "{}", stream.name);
    }
}

#[test]
fn every_stream_opens_from_its_blocks() {
    for stream in described() {
        let files = load(&stream);
        files.remove(&format!("{}/msgs/index.db", folder(&stream))).unwrap();
        let opened = open(&stream, &files);
        assert!(matches!(opened.recovery.how, How::Rebuilt { .. }), "{}", stream.name);
        if stream.name == "FIXPLAIN" {
            // What its limit had removed is not certain from the blocks alone.
            assert!(live(&opened).is_superset(&messages(&stream).keys().copied().collect()));
            continue;
        }
        agrees(&stream, &opened);
        let folder = folder(&stream);
        let read = read_all(&mut store(opened), &files, &folder);
        assert!(digests(read) == messages(&stream), "{}", stream.name);
    }
}

#[test]
fn logs_of_raft_groups_open_both_ways_alike() {
    for stream in streams().iter().filter(|stream| stream.is_log()) {
        let files = load(stream);
        let indexed = open(stream, &files);
        assert_eq!(indexed.recovery.how, How::Index, "{}", stream.name);
        files.remove(&format!("{}/msgs/index.db", folder(stream))).unwrap();
        let rebuilt = open(stream, &files);
        assert_eq!(indexed.state(), rebuilt.state(), "{}", stream.name);
        assert_eq!(live(&indexed), live(&rebuilt), "{}", stream.name);
    }
}

#[test]
fn a_stream_without_files_is_new() {
    let stream = stream("plain", "FIXPLAIN");
    let files = MemFiles::default();
    files.create_folder(&folder(&stream)).unwrap();
    let opened = open(&stream, &files);
    assert_eq!((opened.recovery.how.clone(), opened.state().last_seq), (How::New, 0));
    assert!(files.list(&format!("{}/msgs", folder(&stream))).unwrap().is_empty());
    let mut late = opening(&stream, History::Constant);
    late.config.first_seq = 100;
    let opened = late.run(&files).unwrap();
    assert_eq!((opened.state().first_seq, opened.state().last_seq), (100, 99));
}

#[test]
fn opening_may_move_to_another_thread() {
    fn sendable<T: Send>() {}
    sendable::<Opening>();
    sendable::<Opened>();
}

#[test]
fn a_block_that_came_back_after_its_removal_says_nothing() {
    // Its messages were deleted when the index was written, as the index does not list it.
    let (whole, hidden) = (stream("multiblock", "FIXMB"), stream("compressed", "FIXS2"));
    let files = load(&whole);
    let before = live(&open(&whole, &files));
    put(&files, &format!("{}/msgs/4.blk", folder(&whole)), b"");
    assert_eq!(live(&open(&whole, &files)), before);
    // A number that no index of this stream knows and that is below its last one.
    let purged = stream("purged", "FIXPURGE");
    let files = load(&purged);
    let old = file(hidden.path.join("msgs/3.blk"));
    put(&files, &format!("{}/msgs/1.blk", folder(&purged)), &old);
    let opened = open(&purged, &files);
    assert_eq!((opened.recovery.how.clone(), opened.state().messages), (How::Index, 0));
    assert_eq!(opened.recovery.foreign, ["1.blk"]);
    assert_eq!(get(&files, &format!("{}/msgs/1.blk", folder(&purged))), Some(old));
}
