//! Indexes under a right hash: what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_stdx::hash::NamedHash;
use midge_store::format::index_db::{Index, IndexError, MIN_LEN, SubjectEntry, decode, encode};

type Subjects = Vec<(Vec<u8>, u64, u32, u32)>;

fn read(file: &[u8]) -> Result<(Index, Subjects), IndexError> {
    let mut subjects = Vec::new();
    let index = decode(file, "FIXPLAIN", None, &mut |entry| {
        subjects.push((entry.subject.to_vec(), entry.messages, entry.first_block, entry.last_block));
    })?;
    Ok((index, subjects))
}

fuzz_target!(|data: &[u8]| {
    let _ = read(data);
    // A whole file as input: its hash is made right, so that its content is reached.
    let mut file = data[..data.len().saturating_sub(8)].to_vec();
    let hash = NamedHash::new(b"FIXPLAIN").sum(&[&file]);
    file.extend_from_slice(&hash);
    let Ok((index, subjects)) = read(&file) else { return };
    let entries = subjects.iter().map(|(subject, messages, first_block, last_block)| SubjectEntry {
        subject,
        messages: *messages,
        first_block: *first_block,
        last_block: *last_block,
    });
    let again = encode(&index, subjects.len(), entries, "FIXPLAIN", None)
        .expect("sets that were read can be written");
    // Numbers may be read that take more bytes than they need. Only an index without blocks gets too short without those, and none is written.
    if again.len() < MIN_LEN && index.blocks.is_empty() {
        return;
    }
    assert_eq!(read(&again), Ok((index, subjects)));
});
