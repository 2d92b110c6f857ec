//! The form of public keys: base32 of a kind, 32 bytes and a checksum.

/// Kind byte of a user key (`U…`).
pub(crate) const USER: u8 = 20 << 3;
/// Kind byte of an account key (`A…`).
pub(crate) const ACCOUNT: u8 = 0;

/// Bytes behind the text: kind, key, checksum.
const LENGTH: usize = 35;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Whether a text is a public key of a kind.
pub(crate) fn is_public_key(text: &str, kind: u8) -> bool {
    let Some(bytes) = decode(text) else { return false };
    let Some((body, sum)) = bytes.split_at_checked(LENGTH - 2) else { return false };
    bytes.len() == LENGTH && body.first() == Some(&kind) && sum == crc16(body).to_le_bytes().as_slice()
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() != LENGTH * 8 / 5 {
        return None;
    }
    let mut out = Vec::with_capacity(LENGTH);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let value = ALPHABET.iter().position(|letter| *letter == byte)?;
        held = (held << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((held >> bits) & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    Some(out)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_have_a_kind_and_a_checksum() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        for (text, kind, expected) in [
            ("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", USER, true),
            ("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4", ACCOUNT, false),
            ("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF5", USER, false),
            ("ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA", ACCOUNT, true),
            ("UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF", USER, false),
            ("udxu4rcsjnzoiqhznwxhxordprtgnjahahfrgzneejcpqtt2m7nlcnf4", USER, false),
            ("", USER, false),
        ] {
            assert_eq!(is_public_key(text, kind), expected, "{text}");
        }
    }
}
