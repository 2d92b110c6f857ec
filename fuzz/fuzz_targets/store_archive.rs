//! Backups of both forms, as streams and as what is in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_codec::limits::MAX_CHUNK;
use midge_codec::s2::{self, Level};
use midge_store::format::archive::{Entry, Limits, Reader, Writer};
use midge_store::format::inflow::Inflow;
use midge_store::format::tar::TarReader;

const LIMITS: Limits = Limits { message: 4096, document: 2048 };

type Owned = (Vec<u8>, i64, u64, Vec<u8>, Vec<u8>);

fn entries(backup: &[u8]) -> Option<Vec<Owned>> {
    let (mut reader, mut found, mut rest) = (Reader::new(Inflow::new(), LIMITS), Vec::new(), backup);
    while !rest.is_empty() {
        let taken = reader.push(&rest[..rest.len().min(701)]).ok()?;
        rest = &rest[taken..];
        assert!(reader.held() <= MAX_CHUNK + 4096 + 2048 + (1 << 20));
        while let Some(Entry { name, ts_ns, seq, headers, payload }) = reader.next_entry().ok()? {
            found.push((name.to_vec(), ts_ns, seq, headers.to_vec(), payload.to_vec()));
        }
    }
    reader.finish().ok().map(|()| found)
}

fn files(backup: &[u8]) -> Option<()> {
    let (mut reader, mut rest) = (TarReader::new(Inflow::new()), backup);
    while !rest.is_empty() {
        let taken = reader.push(&rest[..rest.len().min(701)]).ok()?;
        rest = &rest[taken..];
        while reader.next_item().ok()?.is_some() {}
    }
    reader.finish().ok()
}

fuzz_target!(|data: &[u8]| {
    // The input is a stream, or what is in one.
    let mut stream = Vec::new();
    s2::encode(data, Level::Uncompressed, &mut stream);
    for backup in [data, &stream] {
        files(backup);
        let Some(found) = entries(backup) else { continue };
        let mut again = Vec::new();
        let mut writer = Writer::new(&mut again);
        for (name, ts_ns, seq, headers, payload) in &found {
            writer.entry(&Entry { name, ts_ns: *ts_ns, seq: *seq, headers, payload }, &mut again);
        }
        writer.finish(&mut again);
        assert_eq!(entries(&again), Some(found));
    }
});
