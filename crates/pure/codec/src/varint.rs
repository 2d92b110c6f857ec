//! Integers of variable length, written: seven bits per byte, the lowest first, bit 7 set on all but the last byte
//! (LEB128). Signed integers are folded to unsigned first, 0, -1, 1, -2, … becoming 0, 1, 2, 3, … (zigzag), as protocol
//! buffers do for `sint64`. [`crate::cursor`] reads them.

/// Appends an unsigned integer, 1 to 10 bytes.
pub fn put_uv(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed integer, 1 to 10 bytes.
pub fn put_sv(out: &mut Vec<u8>, value: i64) {
    put_uv(out, fold(value));
}

/// Appends a byte string after its length.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uv(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// How many bytes [`put_uv`] appends.
pub fn uv_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// How many bytes [`put_sv`] appends.
pub fn sv_len(value: i64) -> usize {
    uv_len(fold(value))
}

/// Signed to unsigned, small magnitudes to small numbers.
pub fn fold(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`fold`].
pub fn unfold(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cursor::Cursor;
    use crate::limits::MAX_VARINT;

    #[test]
    fn known_encodings() {
        let uv = |value| {
            let mut out = Vec::new();
            put_uv(&mut out, value);
            out
        };
        assert_eq!(uv(0), [0]);
        assert_eq!(uv(127), [0x7f]);
        assert_eq!(uv(128), [0x80, 1]);
        assert_eq!(uv(300), [0xac, 2]);
        assert_eq!(uv(u64::MAX), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        let folded = [0, -1, 1, -2, 2, i64::MAX, i64::MIN].map(fold);
        assert_eq!(folded, [0, 1, 2, 3, 4, u64::MAX - 1, u64::MAX]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(raw: u64, shift in 0u32..64, text: Vec<u8>) {
            let value = raw >> shift;
            let signed = unfold(value);
            prop_assert_eq!(fold(signed), value);
            let mut out = Vec::new();
            put_uv(&mut out, value);
            prop_assert_eq!(out.len(), uv_len(value));
            prop_assert!(out.len() <= MAX_VARINT);
            put_sv(&mut out, signed);
            prop_assert_eq!(out.len(), uv_len(value) + sv_len(signed));
            put_bytes(&mut out, &text);
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(cursor.uv(), Ok(value));
            prop_assert_eq!(cursor.sv(), Ok(signed));
            let len = cursor.uv_len().unwrap();
            prop_assert_eq!(cursor.bytes(len), Ok(text.as_slice()));
            prop_assert!(cursor.is_empty());
        }
    }
}
