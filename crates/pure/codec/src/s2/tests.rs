//! Streams written by the Go server, our own, and broken ones.

use midge_stdx::entropy::{Entropy, Seeded};
use proptest::prelude::*;

use super::*;
use crate::cursor::Cursor;
use crate::limits::{CHUNK, MAX_CHUNK, MAX_CHUNK_DATA};

const BLOCK_1: &[u8] = include_bytes!("../../tests/vectors/block-1.cmp");
const BLOCK_1_PLAIN: &[u8] = include_bytes!("../../tests/vectors/block-1.plain");
const BLOCK_2: &[u8] = include_bytes!("../../tests/vectors/block-2.cmp");
const ARCHIVE: &[u8] = include_bytes!("../../tests/vectors/archive.s2");
const ARCHIVE_LEGACY: &[u8] = include_bytes!("../../tests/vectors/archive-legacy.s2");

/// A compressed block file: `cmp`, 1, plain length, stream, the last eight plain bytes. Answers length and stream.
fn body(file: &[u8]) -> (usize, &[u8]) {
    let mut cursor = Cursor::new(file);
    assert_eq!(cursor.bytes(4).unwrap(), b"cmp\x01");
    let len = usize::try_from(cursor.uv().unwrap()).unwrap();
    (len, &cursor.rest()[..cursor.remaining() - 8])
}

/// Text with repetitions: what compresses in every way.
fn text(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = Seeded::new(seed);
    let mut out = Vec::with_capacity(len + 64);
    while out.len() < len {
        match rng.below(4) {
            0 => out.extend_from_slice(&rng.next_u64().to_le_bytes()),
            1 => out.extend(std::iter::repeat_n(b'a', usize::try_from(rng.below(64)).unwrap())),
            _ => out.extend_from_slice(format!("orders.{}.status ", rng.below(50)).as_bytes()),
        }
    }
    out.truncate(len);
    out
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; len];
    Seeded::new(seed).fill(&mut out);
    out
}

/// Decodes in pieces of the given lengths, over and over, and checks the bounds on memory.
fn in_pieces(input: &[u8], pieces: &[usize]) -> Result<Vec<u8>, S2Error> {
    let (mut decoder, mut out) = (Decoder::new(), Vec::new());
    let (mut at, mut turn) = (0, 0);
    while at < input.len() {
        let end = (at + pieces[turn % pieces.len()].max(1)).min(input.len());
        turn += 1;
        while at < end {
            let before = out.len();
            let taken = decoder.push(&input[at..end], &mut out)?;
            assert!(taken > 0 && out.len() - before <= MAX_CHUNK);
            at += taken;
        }
    }
    decoder.finish().map(|()| out)
}

fn chunk(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes()[..3]);
    out.extend_from_slice(data);
    out
}

fn plain_chunk(plain: &[u8]) -> Vec<u8> {
    let mut data = checksum(plain).to_le_bytes().to_vec();
    data.extend_from_slice(plain);
    chunk(KIND_PLAIN, &data)
}

fn identifier() -> Vec<u8> {
    chunk(KIND_IDENTIFIER, IDENTIFIER_S2)
}

#[test]
fn the_checksum_is_the_published_one() {
    // CRC-32C of "123456789" is e3069283.
    assert_eq!(CRC32C.checksum(b"123456789"), 0xe306_9283);
    assert_eq!(checksum(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
}

#[test]
fn block_files_of_the_go_server_decode() {
    let (len, stream) = body(BLOCK_1);
    let plain = decode(stream, len).unwrap();
    assert_eq!(plain.len() + 8, len);
    // The same messages at other times: what is not a time or a checksum is equal.
    assert_eq!(len, BLOCK_1_PLAIN.len());
    assert_eq!(plain[..12], BLOCK_1_PLAIN[..12]);
    assert_eq!(plain[20..1900], BLOCK_1_PLAIN[20..1900]);
    let (len, stream) = body(BLOCK_2);
    assert_eq!(decode(stream, len).unwrap().len() + 8, len);
}

#[test]
fn archives_of_the_go_server_decode_in_any_pieces() {
    for (archive, magic) in [(ARCHIVE, b"NATSARC1".as_slice()), (ARCHIVE_LEGACY, b"meta.inf")] {
        let whole = decode(archive, 1 << 20).unwrap();
        assert!(whole.starts_with(magic));
        for pieces in [[1, 1], [7, 3], [1000, 1]] {
            assert_eq!(in_pieces(archive, &pieces).unwrap(), whole);
        }
    }
}

#[test]
fn every_level_round_trips_and_compresses() {
    for plain in [Vec::new(), text(1, 1), text(70_000, 2), text(2 * CHUNK + 5, 3), noise(CHUNK + 1, 4)] {
        for level in [Level::Uncompressed, Level::Fast, Level::Better, Level::Best] {
            let mut out = Vec::new();
            encode(&plain, level, &mut out);
            assert_eq!(decode(&out, plain.len()).unwrap(), plain);
            assert!(out.len() <= plain.len() + 10 + (CHECKSUM + HEADER) * (plain.len() / CHUNK + 1));
        }
    }
    let mut small = Vec::new();
    encode(&text(1 << 20, 5), Level::Fast, &mut small);
    assert!(small.len() < 700_000, "{}", small.len());
}

#[test]
fn pieces_in_pieces_out_within_one_chunk_of_memory() {
    let plain = text(3 * CHUNK + 17, 6);
    let mut encoder = Encoder::new(Level::Fast);
    let mut out = Vec::new();
    let mut rng = Seeded::new(7);
    let mut rest = plain.as_slice();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(usize::try_from(rng.below(300_000) + 1).unwrap().min(rest.len()));
        encoder.push(piece, &mut out);
        assert!(encoder.held.len() < CHUNK);
        rest = after;
    }
    encoder.finish(&mut out);
    assert_eq!(in_pieces(&out, &[65_536, 1, 400_000]).unwrap(), plain);
}

#[test]
fn flushed_bytes_arrive_and_streams_may_follow_each_other() {
    let (mut encoder, mut out) = (Encoder::with_chunk(Level::Better, 1), Vec::new());
    encoder.push(b"one ", &mut out);
    assert!(out.is_empty());
    encoder.flush(&mut out);
    let mut decoder = Decoder::new();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < out.len() {
        at += decoder.push(&out[at..], &mut plain).unwrap();
    }
    assert_eq!(plain, b"one ");
    encoder.finish(&mut out);
    encoder.push(b"two", &mut out);
    encoder.finish(&mut out);
    encoder.finish(&mut out);
    assert_eq!(decode(&out, 7).unwrap(), b"one two");
    assert_eq!(out.windows(6).filter(|w| w == IDENTIFIER_S2).count(), 3);
}

#[test]
fn skippable_chunks_are_skipped_and_both_identifiers_accepted() {
    let mut input = chunk(KIND_IDENTIFIER, IDENTIFIER_SNAPPY);
    input.extend(chunk(0xfe, &noise(100_000, 1)));
    input.extend(plain_chunk(b"a"));
    input.extend(chunk(0x99, b"s2idx\0"));
    input.extend(chunk(0x80, b""));
    input.extend(identifier());
    input.extend(plain_chunk(b""));
    input.extend(plain_chunk(b"b"));
    assert_eq!(decode(&input, 2).unwrap(), b"ab");
    assert_eq!(in_pieces(&input, &[5, 1]).unwrap(), b"ab");
    assert_eq!(decode(b"", 0).unwrap(), b"");
}

#[test]
fn chunks_of_four_mebibytes_are_accepted_and_longer_ones_are_not() {
    let plain = text(MAX_CHUNK, 8);
    let (mut encoder, mut out) = (Encoder::with_chunk(Level::Fast, usize::MAX), Vec::new());
    encoder.push(&plain, &mut out);
    encoder.finish(&mut out);
    assert_eq!(out[10], KIND_BLOCK);
    assert_eq!(decode(&out, MAX_CHUNK).unwrap(), plain);
    let mut longer = identifier();
    longer.extend(plain_chunk(&noise(MAX_CHUNK + 1, 9)));
    assert_eq!(decode(&longer, usize::MAX), Err(S2Error { at: 10, fault: S2Fault::ChunkTooLong }));
    // A block that announces more than its chunk may hold is refused before memory is taken.
    let mut bomb = identifier();
    bomb.extend(chunk(KIND_BLOCK, &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]));
    assert_eq!(decode(&bomb, usize::MAX).unwrap_err().fault, S2Fault::ChunkTooLong);
    let mut header = identifier();
    header.extend_from_slice(&[KIND_BLOCK]);
    header.extend_from_slice(&u32::try_from(MAX_CHUNK_DATA + 1).unwrap().to_le_bytes()[..3]);
    assert_eq!(decode(&header, usize::MAX).unwrap_err().fault, S2Fault::ChunkTooLong);
}

#[test]
fn the_maximum_of_the_caller_holds() {
    let mut out = Vec::new();
    encode(&text(3 * CHUNK, 10), Level::Fast, &mut out);
    let error = decode(&out, 3 * CHUNK - 1).unwrap_err();
    assert_eq!(error.fault, S2Fault::TooLarge);
    assert!(decode(&out, 3 * CHUNK).is_ok());
    let mut plain = identifier();
    plain.extend(plain_chunk(b"abc"));
    assert_eq!(decode(&plain, 2), Err(S2Error { at: 10, fault: S2Fault::TooLarge }));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let fault = |tail: &[u8]| {
        let mut input = identifier();
        input.extend_from_slice(tail);
        decode(&input, 100).unwrap_err()
    };
    let at_10 = |fault| S2Error { at: 10, fault };
    assert_eq!(decode(&plain_chunk(b"a"), 9), Err(S2Error { at: 0, fault: S2Fault::NoIdentifier }));
    assert_eq!(decode(b"\xff\x06\0\0S2sTwo", 9).unwrap_err().fault, S2Fault::UnknownIdentifier);
    assert_eq!(decode(b"\xff\x05\0\0S2sTw", 9).unwrap_err().fault, S2Fault::UnknownIdentifier);
    assert_eq!(fault(&chunk(0x02, b"")), at_10(S2Fault::UnknownChunk(2)));
    assert_eq!(fault(&chunk(0x7f, b"")), at_10(S2Fault::UnknownChunk(0x7f)));
    assert_eq!(fault(&chunk(KIND_PLAIN, b"abc")), at_10(S2Fault::ChunkTooShort));
    assert_eq!(fault(&chunk(KIND_BLOCK, b"\0\0\0\0")), at_10(S2Fault::Corrupt));
    assert_eq!(fault(&chunk(KIND_BLOCK, b"\0\0\0\0\x05\x10ab")), at_10(S2Fault::Corrupt));
    assert_eq!(fault(&chunk(KIND_PLAIN, b"\0\0\0\0a")), at_10(S2Fault::Checksum));
    assert_eq!(fault(&[KIND_PLAIN, 9]), at_10(S2Fault::Truncated));
    assert_eq!(fault(&plain_chunk(b"abc")[..9]), at_10(S2Fault::Truncated));
    assert_eq!(fault(&chunk(0xfe, b"abc")[..5]), at_10(S2Fault::Truncated));
    assert_eq!(at_10(S2Fault::Checksum).to_string(), "s2: checksum mismatch at offset 10");
}

#[test]
fn an_error_is_final_and_leaves_no_half_chunk() {
    let mut input = identifier();
    input.extend(chunk(KIND_PLAIN, b"\0\0\0\0a"));
    input.extend(plain_chunk(b"b"));
    let (mut decoder, mut out) = (Decoder::new(), b"before".to_vec());
    let mut rest = input.as_slice();
    let error = loop {
        match decoder.push(rest, &mut out) {
            Ok(taken) => rest = &rest[taken..],
            Err(error) => break error,
        }
    };
    assert_eq!(out, b"before");
    assert_eq!(decoder.push(&plain_chunk(b"b"), &mut out), Err(error));
    assert_eq!(decoder.finish(), Err(error));
}

#[test]
fn a_flipped_bit_in_a_block_of_the_go_server_never_passes_as_data() {
    let (len, stream) = body(BLOCK_1);
    let right = decode(stream, len).unwrap();
    for bit in 0..stream.len() * 8 {
        let mut flipped = stream.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // A data chunk whose kind becomes a skippable one vanishes without a trace: the format has no count.
        if let Ok(plain) = decode(&flipped, len) {
            assert!(plain.is_empty() || plain == right, "bit {bit}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pieces_do_not_matter(
        len in 0usize..40_000, seed: u64, pieces in prop::collection::vec(1usize..9000, 1..8), chunk in 0usize..20_000
    ) {
        let plain = text(len, seed);
        let (mut encoder, mut out) = (Encoder::with_chunk(Level::Fast, chunk), Vec::new());
        for piece in plain.chunks(pieces[0]) {
            encoder.push(piece, &mut out);
        }
        encoder.finish(&mut out);
        prop_assert_eq!(&in_pieces(&out, &pieces).unwrap(), &plain);
        prop_assert_eq!(decode(&out, len).unwrap(), plain);
    }

    #[test]
    fn hostile_input_is_an_error_or_data_within_the_maximum(data: Vec<u8>, pieces in prop::collection::vec(1usize..20, 1..4)) {
        let mut input = identifier();
        input.extend_from_slice(&data);
        let whole = decode(&input, 1000);
        if let Ok(plain) = &whole {
            prop_assert!(plain.len() <= 1000);
        }
        if whole.as_ref().is_err_and(|error| error.fault == S2Fault::TooLarge) {
            return Ok(());
        }
        prop_assert_eq!(whole, in_pieces(&input, &pieces));
    }
}
