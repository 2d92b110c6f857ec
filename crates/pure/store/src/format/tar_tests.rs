use super::*;
use midge_codec::limits::MAX_CHUNK;
use midge_codec::s2::{self, Level};

fn header(name: &[u8], len: u64, kind: u8) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    out[..name.len()].copy_from_slice(name);
    out[124..135].copy_from_slice(format!("{len:011o}").as_bytes());
    out[156] = kind;
    out[257..263].copy_from_slice(b"ustar\0");
    out[148..156].fill(b' ');
    let sum: u64 = out.iter().map(|&byte| u64::from(byte)).sum();
    out[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    out
}

fn push(out: &mut Vec<u8>, name: &[u8], kind: u8, content: &[u8]) {
    out.extend_from_slice(&header(name, content.len() as u64, kind));
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn backup(tar: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    s2::encode(tar, Level::Fast, &mut out);
    out
}

fn read(backup: &[u8], piece: usize) -> Result<Vec<(String, Vec<u8>)>, TarError> {
    let mut reader = TarReader::new(Inflow::new());
    let mut files = Vec::new();
    for mut piece in backup.chunks(piece) {
        while !piece.is_empty() {
            let taken = reader.push(piece)?;
            piece = &piece[taken..];
            assert!(reader.held() <= MAX_CHUNK + MAX_EXTENSION_LEN + BLOCK);
            while let Some(item) = reader.next_item()? {
                match item {
                    TarItem::File { path, .. } => files.push((path, Vec::new())),
                    TarItem::Content(part) => files.last_mut().unwrap().1.extend_from_slice(part),
                }
            }
        }
    }
    reader.finish()?;
    Ok(files)
}

fn sample() -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let long = format!("obs/{}/o.dat", "c".repeat(200));
    let mut tar = Vec::new();
    push(&mut tar, b"meta.inf", b'0', b"{}");
    push(&mut tar, b"msgs/", b'5', b"");
    push(&mut tar, b"msgs/1.blk", 0, &[7; 1024]);
    push(&mut tar, b"empty", b'0', b"");
    let mut record = format!(" path={long}\n");
    record = format!("{}{record}", record.len() + 3);
    push(&mut tar, b"PaxHeaders", b'x', record.as_bytes());
    push(&mut tar, b"cut off", b'0', b"state");
    push(&mut tar, b"././@LongLink", b'L', format!("{long}2\0").as_bytes());
    push(&mut tar, b"cut off", b'0', b"state2");
    tar.resize(tar.len() + 2 * BLOCK, 0);
    let files = [
        ("meta.inf", b"{}".to_vec()),
        ("msgs/1.blk", vec![7; 1024]),
        ("empty", vec![]),
        (&long, b"state".to_vec()),
        (&format!("{long}2"), b"state2".to_vec()),
    ];
    (tar, files.map(|(name, content)| (name.to_owned(), content)).to_vec())
}

#[test]
fn files_come_whole_from_pieces_of_any_size() {
    let (tar, files) = sample();
    let backup = backup(&tar);
    for piece in [backup.len(), 100, 1] {
        assert_eq!(read(&backup, piece).unwrap(), files);
    }
}

#[test]
fn every_cut_is_noticed_and_every_changed_header() {
    let (tar, files) = sample();
    for cut in 0..tar.len() {
        assert!(read(&backup(&tar[..cut]), 4096).is_err(), "cut at {cut}");
    }
    for bit in 0..BLOCK * 8 {
        let mut flipped = tar.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let found = read(&backup(&flipped), 4096);
        assert!(found.is_err() || found.unwrap() == files, "bit {bit}");
    }
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [&b"/etc/passwd"[..], b"../x", b"a/../../x", b"a//b", b"./a", b"a\\b", b"\xff", b""] {
        let mut tar = Vec::new();
        push(&mut tar, name, b'0', b"x");
        assert_eq!(read(&backup(&tar), 4096), Err(TarError::Name { at: 0 }), "{name:?}");
    }
}

#[test]
fn links_devices_and_long_extensions_are_refused() {
    for kind in [b'1', b'2', b'3', b'6', b'S', b'K', b'V'] {
        let mut tar = Vec::new();
        push(&mut tar, b"a", kind, b"");
        assert_eq!(read(&backup(&tar), 4096), Err(TarError::Kind { at: 0, kind }));
    }
    let tar = header(b"a", 1 << 20, b'x');
    assert_eq!(read(&backup(&tar), 4096), Err(TarError::Extension { at: 0, len: 1 << 20 }));
    let mut tar = Vec::new();
    push(&mut tar, b"a", b'x', b"99 path=x\n");
    assert_eq!(read(&backup(&tar), 4096), Err(TarError::Header { at: 512 }));
}

#[test]
fn numbers_are_octal_or_binary() {
    assert_eq!(number(b"0000644\0"), Some(0o644));
    assert_eq!(number(b" 644 \0\0\0"), Some(0o644));
    assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Some(256));
    assert_eq!(number(b"\x80\x01\0\0\0\0\0\0\0\0\0\0"), None);
    assert_eq!(number(b"8"), None);
    assert_eq!(number(b"-1"), None);
}
