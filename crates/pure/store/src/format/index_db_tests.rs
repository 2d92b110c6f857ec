use super::*;
use crate::format::keys::{Cipher, Context, MasterKey, WrappingKey};
use midge_stdx::entropy::Seeded;

fn index() -> Index {
    let mut deleted = SeqSet::new();
    deleted.insert(12);
    deleted.insert_range(14, 17);
    let first = BlockEntry {
        index: 3,
        bytes: 600,
        first_seq: 10,
        first_ns: 1000,
        last_seq: 20,
        last_ns: 2000,
        ttls: 1,
        schedules: 2,
        deleted,
    };
    let second = BlockEntry {
        index: 5,
        bytes: 100,
        first_seq: 21,
        first_ns: 500,
        last_seq: 22,
        last_ns: 3000,
        ..BlockEntry::default()
    };
    let totals =
        Totals { messages: 8, bytes: 700, first_seq: 10, first_ns: 1000, last_seq: 22, last_ns: 3000 };
    Index { totals, blocks: vec![first, second], last_block: 5, last_checksum: *b"checksum", limits: None }
}

const SUBJECTS: [SubjectEntry<'static>; 2] = [
    SubjectEntry { subject: b"a.b", messages: 7, first_block: 3, last_block: 5 },
    SubjectEntry { subject: b"c", messages: 1, first_block: 3, last_block: 3 },
];

fn encoded(index: &Index) -> Vec<u8> {
    encode(index, 2, SUBJECTS.into_iter(), "S", None).unwrap()
}

fn decoded(file: &[u8], key: Option<&AssetKey>) -> Result<(Index, usize), IndexError> {
    let mut subjects = Vec::new();
    let index =
        decode(file, "S", key, &mut |entry| subjects.push((entry.subject.to_vec(), entry.last_block)))?;
    assert_eq!(subjects, [(b"a.b".to_vec(), 5), (b"c".to_vec(), 3)]);
    Ok((index, subjects.len()))
}

/// Replaces the content and keeps the hash right, so that the content is looked at.
fn rehash(file: &mut Vec<u8>) {
    file.truncate(file.len() - 8);
    let hash = NamedHash::new(b"S").sum(&[file]);
    file.extend_from_slice(&hash);
}

#[test]
fn limits_are_told_or_not() {
    let limits = Limits { max_msgs: 300, max_bytes: 0, max_msgs_per_subject: 1 };
    let index = Index { limits: Some(limits), ..index() };
    let mut file = encoded(&index);
    assert_eq!(decoded(&file, None).unwrap().0, index);
    let at = file.len() - 8 - 5;
    file[at] = b'n';
    rehash(&mut file);
    assert_eq!(decoded(&file, None).unwrap_err(), IndexError::Sums { what: "length" });
}

#[test]
fn an_index_survives_plain_and_encrypted() {
    let index = index();
    assert_eq!(index.blocks[0].messages(), 6);
    assert_eq!(decoded(&encoded(&index), None).unwrap().0, index);
    for cipher in [Cipher::ChaCha, Cipher::Aes] {
        let wrapping = WrappingKey::derive(&MasterKey::new(b"k"), "A", Context::Stream("S"));
        let mut random = Seeded::new(4);
        let (key, _) = AssetKey::create(cipher, &wrapping, &mut random);
        let file = encode(&index, 2, SUBJECTS.into_iter(), "S", Some((&key, &mut random))).unwrap();
        assert_eq!(decoded(&file, Some(&key)).unwrap().0, index);
        let (other, _) = AssetKey::create(cipher, &wrapping, &mut random);
        assert_eq!(decoded(&file, Some(&other)), Err(IndexError::Sealed(OpenError::Authentication)));
        assert!(matches!(decoded(&file, None), Err(IndexError::Version { .. })));
    }
}

#[test]
fn older_versions_have_less() {
    for version in 1..=3u8 {
        let mut body = vec![MAGIC, version, 1, 31, 1];
        put_sv(&mut body, 900);
        body.push(1);
        put_sv(&mut body, 900);
        body.push(2);
        put_bytes(&mut body, b"a.b");
        body.extend_from_slice(&[2, 3, 5]);
        put_bytes(&mut body, b"c");
        body.extend_from_slice(&[1, 3]);
        body.extend_from_slice(&[1, 3, 31, 1, 0, 1, 0, 0]);
        body.extend_from_slice(&vec![7; usize::from(version) - 1]);
        body.push(3);
        body.extend_from_slice(b"checksum");
        body.extend_from_slice(&[0; 8]);
        rehash(&mut body);
        let index = decoded(&body, None).unwrap().0;
        let block = &index.blocks[0];
        assert_eq!(
            (block.first_ns, block.ttls, block.schedules),
            (900, if version > 1 { 7 } else { 0 }, if version > 2 { 7 } else { 0 })
        );
    }
}

#[test]
fn every_cut_and_every_bit_is_noticed() {
    let file = encoded(&index());
    for cut in 0..file.len() {
        let expected = if cut < MIN_LEN { IndexError::Short { len: cut } } else { IndexError::Checksum };
        assert_eq!(decoded(&file[..cut], None), Err(expected));
    }
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decoded(&flipped, None), Err(IndexError::Checksum));
    }
    assert_eq!(decode(&file, "T", None, &mut |_| ()), Err(IndexError::Checksum));
}

#[test]
fn content_that_cannot_be_is_refused_under_a_right_hash() {
    let sound = encoded(&index());
    // Whatever is cut out or changed, decoding ends with an error or another index, never otherwise.
    for cut in 40..sound.len() {
        let mut file = sound[..cut].to_vec();
        rehash(&mut file);
        assert!(decode(&file, "S", None, &mut |_| ()).is_err());
    }
    let mut file = sound.clone();
    file[1] = 5;
    rehash(&mut file);
    assert_eq!(decode(&file, "S", None, &mut |_| ()), Err(IndexError::Version { magic: 11, version: 5 }));
    let at = sound.windows(3).position(|window| window == b"a.b").unwrap();
    for bad in [b"a..", b"a b", b"a\0b", b"a\xffb"] {
        let mut file = sound.clone();
        file[at..at + 3].copy_from_slice(bad);
        rehash(&mut file);
        assert_eq!(decode(&file, "S", None, &mut |_| ()), Err(IndexError::Subject { at }));
    }
}

#[test]
fn totals_have_to_follow_from_the_blocks() {
    let wrong = |change: fn(&mut Index), what: &'static str| {
        let mut index = index();
        change(&mut index);
        assert_eq!(decoded(&encoded(&index), None), Err(IndexError::Sums { what }));
    };
    wrong(|index| index.totals.messages += 1, "messages");
    wrong(|index| index.totals.bytes += 1, "bytes");
    wrong(|index| index.totals.first_seq += 1, "first sequence");
    wrong(|index| index.last_block = 6, "last block");
    let mut longer = encoded(&index());
    longer.extend_from_slice(&[0; 8]);
    rehash(&mut longer);
    assert_eq!(decoded(&longer, None), Err(IndexError::Sums { what: "length" }));
}

#[test]
fn an_empty_stream() {
    let mut index = Index { last_block: 1, ..Index::default() };
    index.blocks.push(BlockEntry { index: 1, first_seq: 1, ..BlockEntry::default() });
    let file = encode(&index, 0, std::iter::empty(), "S", None).unwrap();
    assert_eq!(decode(&file, "S", None, &mut |_| ()).unwrap(), index);
}
