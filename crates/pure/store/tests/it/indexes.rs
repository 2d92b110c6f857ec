//! `index.db`, metadata and side files of real stores.

use std::collections::BTreeMap;

use midge_index::wheel;
use midge_stdx::entropy::Seeded;
use midge_stdx::gotime::{parse_rfc3339, rfc3339_or_zero};
use midge_stdx::hash::NamedHash;
use midge_store::format::index_db::{IndexError, SubjectEntry, decode, encode, open};
use midge_store::format::keys::{AssetKey, Context, MasterKey, WrappingKey};
use midge_store::format::side::{decode_schedules, decode_sources, encode_schedules, encode_sources};
use midge_store::format::stream_state::{self, DeleteBlock};
use midge_store::format::{block_file, meta};
use serde_json::Value;

use crate::fixtures::{KEY, Stream, file, stream, streams};

type Subjects = Vec<(Vec<u8>, u64, u32, u32)>;

fn read(
    stream: &Stream,
    bytes: &[u8],
) -> Result<(midge_store::format::index_db::Index, Subjects), IndexError> {
    let mut subjects = Vec::new();
    let index = decode(bytes, &stream.name, stream.key().as_ref(), &mut |entry| {
        subjects.push((entry.subject.to_vec(), entry.messages, entry.first_block, entry.last_block));
    })?;
    Ok((index, subjects))
}

#[test]
fn indexes_agree_with_the_api_and_the_blocks_and_are_written_again() {
    let mut exact = 0;
    for stream in streams() {
        let bytes = file(stream.path.join("msgs/index.db"));
        let (index, subjects) =
            read(&stream, &bytes).unwrap_or_else(|error| panic!("{}: {error}", stream.name));
        let last = stream.blocks().pop().unwrap();
        assert_eq!(index.last_block, last);
        let block = stream.block(last);
        let plain = block_file::unpack(&block, &stream.record_key(last)).records.into_owned();
        let tail = plain.last_chunk::<8>().copied().unwrap_or_default();
        assert_eq!(index.last_checksum, tail, "{}", stream.name);
        let entries = subjects.iter().map(|(subject, messages, first_block, last_block)| SubjectEntry {
            subject,
            messages: *messages,
            first_block: *first_block,
            last_block: *last_block,
        });
        let again = encode(&index, subjects.len(), entries.clone(), &stream.name, None).unwrap();
        let plain = open(&bytes, &stream.name, stream.key().as_ref()).unwrap().into_owned();
        exact += usize::from(again[..again.len() - 8] == plain);
        let mut random = Seeded::new(8);
        if let Some(key) = stream.key() {
            let sealed =
                encode(&index, subjects.len(), entries, &stream.name, Some((&key, &mut random))).unwrap();
            assert_eq!(sealed.len(), bytes.len());
            assert_eq!(read(&stream, &sealed).unwrap(), (index.clone(), subjects.clone()));
        }
        let Some(expected) = stream.expected() else { continue };
        let state = &expected["state"];
        let totals = index.totals;
        let numbers =
            ["messages", "bytes", "first_seq", "last_seq"].map(|name| state[name].as_u64().unwrap());
        assert_eq!(
            [totals.messages, totals.bytes, totals.first_seq, totals.last_seq],
            numbers,
            "{}",
            stream.name
        );
        let time = |ns: i64| rfc3339_or_zero((ns != 0).then_some(midge_stdx::clock::Wall(ns)));
        assert_eq!(Value::from(time(totals.last_ns)), state["last_ts"]);
        let deleted: u64 = index.blocks.iter().map(|block| block.deleted.len()).sum();
        assert!(deleted <= state["num_deleted"].as_u64().unwrap_or_default());
        let counts: BTreeMap<String, u64> = subjects
            .iter()
            .map(|(subject, count, ..)| (String::from_utf8(subject.clone()).unwrap(), *count))
            .collect();
        let expected: BTreeMap<String, u64> =
            serde_json::from_value(state["subjects"].clone()).unwrap_or_default();
        assert_eq!(counts, expected, "{}", stream.name);
    }
    // Every one: subjects keep the order of the file, and sets of one node have one form.
    assert_eq!(exact, streams().len());
}

#[test]
fn a_wrong_key_or_name_or_bit_refuses_an_index() {
    for topic in ["encrypted", "encrypted-aes", "encrypted-s2"] {
        let stream = streams().into_iter().find(|stream| stream.topic == topic).unwrap();
        let bytes = file(stream.path.join("msgs/index.db"));
        let wrapping =
            WrappingKey::derive(&MasterKey::new(KEY), &stream.owner, Context::Stream(&stream.name));
        let (foreign, _) = AssetKey::create(stream.cipher(), &wrapping, &mut Seeded::new(1));
        assert!(matches!(
            decode(&bytes, &stream.name, Some(&foreign), &mut |_| ()),
            Err(IndexError::Sealed(_))
        ));
        assert_eq!(decode(&bytes, "OTHER", stream.key().as_ref(), &mut |_| ()), Err(IndexError::Checksum));
    }
}

#[test]
fn metadata_has_its_sum_and_comes_apart() {
    for stream in streams() {
        let on_disk = file(stream.path.join("meta.inf"));
        assert_eq!(meta::stream_sum(&stream.name, &on_disk).as_slice(), file(stream.path.join("meta.sum")));
        let plain = stream.key().map_or(on_disk.clone(), |key| key.unseal(&on_disk).unwrap());
        let apart = meta::decode_stream(&plain).unwrap();
        let again = meta::encode_stream(apart.created, &apart.config).unwrap();
        assert_eq!(again.as_bytes(), plain);
        let config: Value = serde_json::from_str(&apart.config).unwrap();
        assert_eq!(config["name"], stream.name.as_str());
        if let Some(expected) = stream.expected() {
            let created = parse_rfc3339(expected["created"].as_str().unwrap()).unwrap();
            assert_eq!(apart.created, created);
        }
        for consumer in stream.consumers() {
            let path = stream.path.join("obs").join(&consumer);
            let on_disk = file(path.join("meta.inf"));
            let sum = meta::consumer_sum(&stream.name, &consumer, &on_disk);
            assert_eq!(sum.as_slice(), file(path.join("meta.sum")));
            let key = stream.consumer_key(&consumer);
            let plain = key.map_or(on_disk.clone(), |key| key.unseal(&on_disk).unwrap());
            let apart = meta::decode_consumer(&plain).unwrap();
            assert_eq!(apart.name.as_deref(), Some(consumer.as_str()));
            let again = meta::encode_consumer(apart.created, &consumer, &apart.config).unwrap();
            assert_eq!(again.as_bytes(), plain);
        }
    }
}

#[test]
fn side_files() {
    let schedules = stream("state", "FIXSCHED");
    let bytes = file(schedules.path.join("msgs/sched.db"));
    let side = decode_schedules(&bytes).unwrap();
    let at = |text| parse_rfc3339(text).unwrap().unwrap().0;
    let mut found: Vec<_> =
        side.entries.iter().map(|entry| (entry.seq, entry.subject, entry.next_ns)).collect();
    found.sort_unstable();
    let expected: [(u64, &[u8], i64); 2] =
        [(1, b"sch.s1", at("2126-01-01T00:00:00Z")), (2, b"sch.s2", at("2126-06-01T00:00:00Z"))];
    assert_eq!((side.stamp, &found[..]), (3, &expected[..]));
    assert_eq!(encode_schedules(3, side.entries.iter().copied()), bytes);

    let sources = stream("state", "FIXSRC");
    let bytes = file(sources.path.join("sources.db"));
    let side = decode_sources(&bytes).unwrap();
    // The other source was never seen: it is in the file, with sequence 0, and left out.
    let [source] = side.entries[..] else { panic!("{side:?}") };
    assert_eq!((side.stamp, source.index_name, source.seq), (7, &b"FIXTTL > >"[..], 6));
    assert_eq!(source.identity, b"hUL1hX5l");
    assert_eq!(decode_sources(&encode_sources(7, [source].into_iter())), Ok(side));

    let wheel = file(stream("state", "FIXTTL").path.join("msgs/thw.db"));
    assert_eq!(wheel[..17], [&[1][..], &4u64.to_le_bytes(), &7u64.to_le_bytes()].concat());
    assert!(wheel::Wheel::decode(&wheel).is_ok());
}

#[test]
fn the_state_in_a_snapshot_of_a_stream_group() {
    let name = "S-R3F-MPldY1dA";
    let group = stream("cluster-node", name);
    let snapshot = file(group.path.join("snapshots/snap.1.12"));
    let (body, hash) = snapshot.split_last_chunk::<8>().unwrap();
    assert_eq!(NamedHash::new(name.as_bytes()).sum(&[body]), *hash);
    let peers = u32::from_le_bytes(body[16..20].try_into().unwrap()) as usize;
    let data = &body[20 + peers..];
    let state = stream_state::decode(data).unwrap();
    assert_eq!(
        (state.messages, state.bytes, state.first_seq, state.last_seq, state.failed),
        (9, 324, 1, 10, 0)
    );
    let [DeleteBlock::Set(set)] = &state.deleted[..] else { panic!("{state:?}") };
    assert!(set.iter().eq([4]));
    assert_eq!(stream_state::encode(&state), data);
}
