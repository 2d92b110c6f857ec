//! S2 streams: however the bytes are cut the outcome is the same, within the maximum; what is written is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_codec::limits::MAX_CHUNK;
use midge_codec::s2::{Decoder, Encoder, Level, S2Error, decode};

const MAX: usize = 16 << 20;

fn in_pieces(input: &[u8], piece: usize) -> Result<Vec<u8>, S2Error> {
    let (mut decoder, mut out) = (Decoder::new(), Vec::new());
    for mut rest in input.chunks(piece) {
        while !rest.is_empty() {
            let before = out.len();
            let taken = decoder.push(rest, &mut out)?;
            assert!(taken > 0 && taken <= rest.len() && out.len() - before <= MAX_CHUNK);
            rest = &rest[taken..];
            if out.len() > MAX {
                return Ok(out);
            }
        }
    }
    decoder.finish().map(|()| out)
}

fuzz_target!(|data: &[u8]| {
    let Some((&control, data)) = data.split_first() else { return };
    let piece = usize::from(control >> 2) + 1;
    // As it is, and as the only block of a stream, which reaches the block codec at once.
    let mut framed = b"\xff\x06\0\0S2sTwO\0".to_vec();
    framed.extend_from_slice(&(data.len() as u32).to_le_bytes()[..3]);
    framed.extend_from_slice(data);
    for input in [data, &framed] {
        match (decode(input, MAX), in_pieces(input, piece)) {
            (Ok(whole), Ok(cut)) => assert!(whole == cut && whole.len() <= MAX),
            (Err(whole), Err(cut)) => assert_eq!(whole, cut),
            (_, Ok(cut)) => assert!(cut.len() > MAX),
            (Ok(_), Err(cut)) => panic!("only in pieces: {cut}"),
        }
    }
    let level = [Level::Uncompressed, Level::Fast, Level::Better, Level::Best][usize::from(control & 3)];
    let (mut encoder, mut out) = (Encoder::new(level), Vec::new());
    for piece in data.chunks(piece) {
        encoder.push(piece, &mut out);
    }
    encoder.finish(&mut out);
    assert_eq!(decode(&out, data.len()).as_deref(), Ok(data));
});
