//! Copies of streams, and streams from copies.

use midge_codec::s2::{Level, encode};
use midge_jsapi::requests::StreamSnapshot;
use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::Mono;
use midge_store::stream::Step;

use super::harness::{Bench, SECOND, config, text};
use crate::stream::backup::chunks::Chunks;
use crate::stream::backup::read::{BackupReader, RestoreError, Restored};
use crate::stream::backup::write::{BackupWriter, KeptConsumer};
use crate::stream::info;

fn written(bench: &mut Bench, budget: usize) -> Vec<u8> {
    let state = info::state(&mut bench.store, u64::MAX, 1).ready().unwrap();
    let consumer = KeptConsumer { name: "c".into(), document: b"{\"config\":{},\"state\":{}}".to_vec() };
    let mut writer = BackupWriter::new(state, vec![consumer], bench.now.wall);
    let mut out = Vec::new();
    let mut steps = 0;
    while writer.step(&mut bench.store, budget, &mut out) != Step::Ready(true) {
        steps += 1;
        assert!(steps < 100_000, "it never ends");
    }
    out
}

fn read(bytes: &[u8], piece: usize, bench: &mut Bench) -> Result<(Vec<Restored>, bool), RestoreError> {
    let (mut reader, mut found) = (BackupReader::default(), Vec::new());
    for part in bytes.chunks(piece) {
        reader.push(part, &mut bench.store, bench.now, &mut found)?;
    }
    let whole = reader.finish(&mut bench.store, bench.now)?;
    Ok((found, whole))
}

fn filled() -> Bench {
    let mut bench = Bench::new(StreamConfig { allow_msg_ttl: true, ..config() });
    for n in 0..500 {
        bench.stored(&format!("s.{}", n % 7), &[("N", &n.to_string())], &"payload ".repeat(n % 50));
    }
    bench.stored("s.ttl", &[("Nats-TTL", "5s")], "");
    bench.stored("s.last", &[], "");
    for seq in [1, 2, 250, 502] {
        bench.store.remove(seq, false);
    }
    bench
}

fn content(store: &mut Bench) -> Vec<(u64, i64, Vec<u8>, Vec<u8>)> {
    let each = |message: &midge_store::stream::Message| {
        (message.seq, message.ts_ns, message.subject().to_vec(), message.shared_body().to_vec())
    };
    store.messages().iter().map(each).collect()
}

#[test]
fn what_comes_out_is_what_went_in() {
    let mut from = filled();
    for (budget, piece) in [(1 << 20, 1 << 20), (1000, 777), (1, 1)] {
        let bytes = written(&mut from, budget);
        let mut to = Bench::new(StreamConfig { allow_msg_ttl: true, ..config() });
        let (found, whole) = read(&bytes, piece, &mut to).unwrap();
        assert!(whole);
        assert_eq!(content(&mut to), content(&mut from));
        assert_eq!((to.store.appended(), to.store.state().first_seq), (502, 3));
        assert!(
            matches!(&found[0], Restored::State(state) if state.messages == 498 && state.consumer_count == 1)
        );
        assert!(matches!(&found[1], Restored::Consumer(consumer) if consumer.name == "c"));
        assert_eq!(found.len(), 2);
    }
}

#[test]
fn what_has_expired_stays_away() {
    let mut from = filled();
    let bytes = written(&mut from, 1 << 20);
    let mut to = Bench::new(StreamConfig { allow_msg_ttl: true, ..config() });
    to.pass(10 * SECOND);
    read(&bytes, 4096, &mut to).unwrap();
    assert!(to.messages().iter().all(|message| text(message.subject()) != "s.ttl"));
    assert_eq!(to.store.appended(), 502);
}

#[test]
fn damaged_copies_are_refused() {
    let bytes = written(&mut filled(), 1 << 20);
    let fresh = || Bench::new(config());
    for cut in [0, 5, 20, bytes.len() / 2, bytes.len() - 1] {
        assert!(read(&bytes[..cut], 100, &mut fresh()).is_err(), "{cut}");
    }
    let mut bad = bytes.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    assert!(read(&bad, 100, &mut fresh()).is_err());
    let mut used = fresh();
    used.stored("s.a", &[], "");
    used.stored("s.a", &[], "");
    used.stored("s.a", &[], "");
    assert_eq!(read(&bytes, 100, &mut used).unwrap_err(), RestoreError::Order { seq: 3, last: 3 });
}

#[test]
fn copies_of_older_servers_are_files() {
    let mut tar = vec![0u8; 512];
    tar[..8].copy_from_slice(b"msgs/1.b");
    tar[100..107].copy_from_slice(b"0000600");
    tar[124..135].copy_from_slice(b"00000000005");
    tar[156] = b'0';
    tar[257..262].copy_from_slice(b"ustar");
    tar[148..156].fill(b' ');
    let sum: u32 = tar.iter().map(|byte| u32::from(*byte)).sum();
    tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend_from_slice(b"hello");
    tar.resize(1024 + 1024, 0);
    let mut bytes = Vec::new();
    encode(&tar, Level::Fast, &mut bytes);
    let (found, whole) = read(&bytes, 7, &mut Bench::new(config())).unwrap();
    assert!(!whole);
    assert_eq!(found[0], Restored::File { path: "msgs/1.b".into(), len: 5 });
    let parts: Vec<u8> = found[1..]
        .iter()
        .flat_map(|part| match part {
            Restored::Content(bytes) => bytes.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(parts, b"hello");
}

#[test]
fn chunks_wait_for_acknowledgements() {
    let request = |deliver: &str, chunk_size, window_size| StreamSnapshot {
        deliver_subject: deliver.into(),
        chunk_size,
        window_size,
        ..StreamSnapshot::default()
    };
    let bad = Chunks::new("S", "id".into(), &request("a.*", 0, 0), Mono(0)).unwrap_err();
    assert_eq!(bad.err_code, 10015);
    let mut chunks = Chunks::new("S", "id".into(), &request("d", 5, 2048), Mono(0)).unwrap();
    chunks.push(&[7; 1024 * 3 + 10], true);
    let first = chunks.next_chunk(Mono(1)).unwrap();
    assert_eq!((first.reply.as_str(), first.bytes.len()), ("$JS.SNAPSHOT.ACK.S.id.1024.1", 1024));
    assert!(chunks.next_chunk(Mono(1)).is_some());
    assert_eq!((chunks.next_chunk(Mono(1)), chunks.deadline()), (None, Some(Mono(5_000_000_001))));
    chunks.acknowledge(Mono(9));
    assert_eq!(chunks.deadline(), None);
    assert_eq!(chunks.next_chunk(Mono(9)).unwrap().reply, "$JS.SNAPSHOT.ACK.S.id.1024.3");
    let last = chunks.next_chunk(Mono(9)).unwrap();
    assert_eq!((last.reply.as_str(), last.bytes.len()), ("", 10));
    assert!(chunks.is_done() && chunks.next_chunk(Mono(9)).is_none());
    let wide = Chunks::new("S", "id".into(), &request("d", 0, 0), Mono(0)).unwrap();
    assert_eq!(wide.wanted(), (128 << 10) + 1);
}
