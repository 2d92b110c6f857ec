use super::*;
use midge_codec::limits::MAX_CHUNK;
use midge_codec::s2;
use midge_stdx::entropy::{Entropy, Seeded};

const LIMITS: Limits = Limits { message: 3 << 20, document: 1000 };

type Owned = (Vec<u8>, i64, u64, Vec<u8>, Vec<u8>);

fn entries() -> Vec<Owned> {
    let mut large = vec![0; 2 << 20];
    Seeded::new(1).fill(&mut large);
    vec![
        (b"state.json".to_vec(), 5, 0, vec![], b"{}".to_vec()),
        (b"consumers/C".to_vec(), 5, 0, vec![], b"{}".to_vec()),
        (b"a.b".to_vec(), -1, 7, b"NATS/1.0\r\n\r\n".to_vec(), b"payload".to_vec()),
        (b"a.c".to_vec(), 2, 8, vec![], large.clone()),
        (b"a.d".to_vec(), 3, 9, vec![], large),
        (b"a.e".to_vec(), 4, 10, vec![], vec![]),
    ]
}

fn written(entries: &[Owned]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    for (name, ts_ns, seq, headers, payload) in entries {
        writer.entry(&Entry { name, ts_ns: *ts_ns, seq: *seq, headers, payload }, &mut out);
    }
    writer.finish(&mut out);
    out
}

/// Reads in pieces of this length.
fn read(backup: &[u8], piece: usize) -> Result<(Vec<Owned>, usize), ArchiveError> {
    let mut reader = Reader::new(Inflow::new(), LIMITS);
    let (mut entries, mut held) = (Vec::new(), 0);
    for mut piece in backup.chunks(piece) {
        while !piece.is_empty() {
            let taken = reader.push(piece)?;
            piece = &piece[taken..];
            held = held.max(reader.held());
            while let Some(entry) = reader.next_entry()? {
                let Entry { name, ts_ns, seq, headers, payload } = entry;
                entries.push((name.to_vec(), ts_ns, seq, headers.to_vec(), payload.to_vec()));
            }
        }
    }
    reader.finish()?;
    Ok((entries, held))
}

#[test]
fn a_backup_survives_in_pieces_of_any_size_within_its_bound() {
    let entries = entries();
    let backup = written(&entries);
    for piece in [backup.len(), 100_000, 4096, 777] {
        let (found, held) = read(&backup, piece).unwrap();
        assert_eq!(found, entries, "pieces of {piece}");
        assert!(held <= LIMITS.message + MAX_CHUNK, "{held}");
    }
    let small = written(&entries[..3]);
    assert_eq!(read(&small, 1).unwrap().0, entries[..3]);
}

#[test]
fn kinds_are_told_by_name_and_sequence() {
    let kind = |name, seq| Entry { name, ts_ns: 0, seq, headers: b"", payload: b"" }.kind();
    assert_eq!(kind(b"state.json", 0), EntryKind::State);
    assert_eq!(kind(b"state.json", 1), EntryKind::Message);
    assert_eq!(kind(b"consumers/C", 0), EntryKind::Consumer(b"C"));
    assert_eq!(kind(b"consumers/C", 3), EntryKind::Message);
    assert_eq!(kind(b"other", 0), EntryKind::Unknown);
}

#[test]
fn every_cut_and_every_bit_is_noticed() {
    let entries = &entries()[..3];
    let backup = written(entries);
    for cut in 0..backup.len() {
        assert!(read(&backup[..cut], 4096).is_err(), "cut at {cut}");
    }
    for bit in 0..backup.len() * 8 {
        let mut flipped = backup.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // A flip that decodes to the same is none.
        let found = read(&flipped, 4096);
        assert!(found.is_err() || found.unwrap().0 == entries, "bit {bit}");
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_held() {
    let refused = |seq: u64, numbers: [u64; 3]| {
        let mut plain = MAGIC.to_vec();
        put_uv(&mut plain, numbers[0]);
        put_sv(&mut plain, 0);
        [seq, numbers[1], numbers[2]].into_iter().for_each(|number| put_uv(&mut plain, number));
        plain.resize(plain.len() + 100, b'a');
        let mut backup = Vec::new();
        s2::encode(&plain, Level::Fast, &mut backup);
        read(&backup, 4096).unwrap_err()
    };
    assert_eq!(refused(0, [1, 0, 1001]), ArchiveError::TooLarge { at: 8, len: 1001 });
    assert_eq!(refused(1, [1, 1, 3 << 20]), ArchiveError::TooLarge { at: 8, len: (3 << 20) + 1 });
    assert_eq!(refused(1, [1, u64::MAX, 9]), ArchiveError::TooLarge { at: 8, len: u64::MAX });
    assert_eq!(refused(1, [(1 << 20) + 1, 0, 0]), ArchiveError::TooLarge { at: 8, len: (1 << 20) + 1 });
    assert_eq!(refused(1, [1, 0, 1000]), ArchiveError::Truncated);
}

#[test]
fn what_is_no_backup_is_refused() {
    let mut other = Vec::new();
    s2::encode(b"meta.inf and more", Level::Fast, &mut other);
    assert_eq!(read(&other, 4096), Err(ArchiveError::Magic));
    assert!(matches!(read(b"plain text, no stream", 4096), Err(ArchiveError::Stream(_))));
    let mut overlong = Vec::new();
    s2::encode(&[MAGIC.as_slice(), &[0xff; 60]].concat(), Level::Fast, &mut overlong);
    assert!(matches!(read(&overlong, 4096), Err(ArchiveError::Malformed { at: 8, .. })));
}
