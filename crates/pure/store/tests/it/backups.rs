//! Backups of the Go server.

use midge_store::format::archive::{Entry, EntryKind, Limits, Reader, Writer};
use midge_store::format::consumer_state::{decode_json, encode_json};
use midge_store::format::inflow::{Format, Inflow};
use midge_store::format::tar::{TarItem, TarReader};
use midge_store::format::{index_db, meta};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::fixtures::{file, folder, stream};

const LIMITS: Limits = Limits { message: 1 << 20, document: 1 << 20 };

type Owned = (Vec<u8>, i64, u64, Vec<u8>, Vec<u8>);

/// What has flowed in when the format is known, and the rest.
fn begin(backup: &[u8]) -> (Inflow, &[u8]) {
    let (mut inflow, mut rest) = (Inflow::new(), backup);
    while inflow.format().is_none() {
        let taken = inflow.push(rest).unwrap();
        assert!(taken > 0);
        rest = &rest[taken..];
    }
    (inflow, rest)
}

fn entries(backup: &[u8]) -> Vec<Owned> {
    let (inflow, mut rest) = begin(backup);
    assert_eq!(inflow.format(), Some(Format::Entries));
    let (mut reader, mut found) = (Reader::new(inflow, LIMITS), Vec::new());
    loop {
        while let Some(Entry { name, ts_ns, seq, headers, payload }) = reader.next_entry().unwrap() {
            found.push((name.to_vec(), ts_ns, seq, headers.to_vec(), payload.to_vec()));
        }
        if rest.is_empty() {
            break;
        }
        let taken = reader.push(rest).unwrap();
        rest = &rest[taken..];
    }
    reader.finish().unwrap();
    found
}

fn expected(topic: &str) -> Value {
    let all: Value = serde_json::from_slice(&file(folder().join(topic).join("expected.json"))).unwrap();
    all["streams"]["FIXPLAIN"].clone()
}

#[test]
fn a_backup_holds_state_consumers_and_messages_and_is_written_again() {
    let found = entries(&file(folder().join("backup/stream.tar.s2")));
    let expected = expected("backup");
    let kinds = |(name, ts_ns, seq, headers, payload): &Owned| match (Entry {
        name,
        ts_ns: *ts_ns,
        seq: *seq,
        headers,
        payload,
    })
    .kind()
    {
        EntryKind::State => "state".to_owned(),
        EntryKind::Consumer(name) => format!("consumer {}", String::from_utf8_lossy(name)),
        EntryKind::Message => "message".to_owned(),
        EntryKind::Unknown => panic!("{name:?}"),
    };
    assert_eq!(found.iter().take(3).map(kinds).collect::<Vec<_>>(), ["state", "consumer DUR", "message"]);
    let state: Value = serde_json::from_slice(&found[0].4).unwrap();
    assert_eq!(state["messages"], expected["state"]["messages"]);

    let consumer: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(&found[1].4).unwrap();
    let text = consumer["state"].get();
    let state = decode_json(text.as_bytes()).unwrap();
    assert_eq!(state.pending.keys().copied().collect::<Vec<_>>(), [7, 15, 17]);
    assert_eq!(state.redelivered.iter().map(|(seq, count)| (*seq, *count)).collect::<Vec<_>>(), [(15, 1)]);
    let mut again = String::new();
    encode_json(&state, &mut again);
    assert_eq!(again, text);

    let messages = expected["messages"].as_array().unwrap();
    assert_eq!(found.len(), 2 + messages.len());
    for ((name, _, seq, headers, payload), message) in found[2..].iter().zip(messages) {
        assert_eq!(
            (*seq, name.as_slice()),
            (message["seq"].as_u64().unwrap(), message["subject"].as_str().unwrap().as_bytes())
        );
        assert_eq!(headers.is_empty(), message["hdrs_b64"].is_null());
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(payload));
        assert_eq!(digest, message["sha256"].as_str().unwrap());
    }

    let mut again = Vec::new();
    let mut writer = Writer::new(&mut again);
    for (name, ts_ns, seq, headers, payload) in &found {
        writer.entry(&Entry { name, ts_ns: *ts_ns, seq: *seq, headers, payload }, &mut again);
    }
    writer.finish(&mut again);
    assert_eq!(entries(&again), found);
}

#[test]
fn an_old_backup_holds_the_files_of_the_store() {
    let backup = file(folder().join("legacy-backup/stream.tar.s2"));
    let (inflow, mut rest) = begin(&backup);
    assert_eq!(inflow.format(), Some(Format::Tar));
    let mut reader = TarReader::new(inflow);
    let mut files: Vec<(String, u64, Vec<u8>)> = Vec::new();
    loop {
        while let Some(item) = reader.next_item().unwrap() {
            match item {
                TarItem::File { path, len } => files.push((path, len, Vec::new())),
                TarItem::Content(part) => files.last_mut().unwrap().2.extend_from_slice(part),
            }
        }
        if rest.is_empty() {
            break;
        }
        let taken = reader.push(rest).unwrap();
        rest = &rest[taken..];
    }
    reader.finish().unwrap();
    assert!(files.iter().all(|(_, len, content)| *len == content.len() as u64));
    let content =
        |name: &str| &files.iter().find(|(path, ..)| path == name).unwrap_or_else(|| panic!("{name}")).2;
    let plain = stream("plain", "FIXPLAIN");
    for name in ["meta.inf", "meta.sum", "msgs/1.blk"] {
        assert_eq!(*content(name), file(plain.path.join(name)), "{name}");
    }
    assert_eq!(meta::stream_sum("FIXPLAIN", content("meta.inf")).as_slice(), content("meta.sum"));
    assert!(index_db::decode(content("msgs/index.db"), "FIXPLAIN", None, &mut |_| ()).is_ok());
    assert!(files.iter().any(|(path, ..)| path == "obs/DUR/o.dat"));
}
