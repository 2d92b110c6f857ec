//! A checked reader of a slice of bytes.

use std::fmt;

use crate::varint::unfold;

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The input ends within the value.
    Short,
    /// A variable-length integer does not fit 64 bits.
    Overlong,
    /// A length or count announces more than the rest of the input can hold.
    TooMany,
}

/// Why a value could not be read, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError {
    /// Offset of the value in the input, in bytes.
    pub at: usize,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.fault {
            Fault::Short => "the input ends within a value",
            Fault::Overlong => "a variable-length integer is longer than 64 bits",
            Fault::TooMany => "a count exceeds what the input can hold",
        };
        write!(f, "{text} at offset {}", self.at)
    }
}

impl std::error::Error for CursorError {}

/// Reads a slice from front to back. An error leaves the position where the value begins.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A reader at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes, at: 0 }
    }

    /// Offset of what is read next, in bytes.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is not yet read, without reading it.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn fault(&self, fault: Fault) -> CursorError {
        CursorError { at: self.at, fault }
    }

    /// The next `len` bytes.
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], CursorError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.fault(Fault::Short));
        };
        self.rest = rest;
        self.at += len;
        Ok(bytes)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CursorError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.fault(Fault::Short));
        };
        self.rest = rest;
        self.at += N;
        Ok(*bytes)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, CursorError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, the lowest first.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, CursorError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, the lowest first.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, CursorError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, the lowest first.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, CursorError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes, the lowest first, in two's complement.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, CursorError> {
        self.array().map(i64::from_le_bytes)
    }

    /// An unsigned integer of variable length. Encodings with needless zero bytes are accepted, as the Go reader does.
    #[inline]
    pub fn uv(&mut self) -> Result<u64, CursorError> {
        let mut value = 0u64;
        for (i, &byte) in self.rest.iter().enumerate() {
            // Ten bytes hold 70 bits: of the tenth, only the lowest bit is left.
            if i == 9 && byte > 1 {
                return Err(self.fault(Fault::Overlong));
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.rest = self.rest.get(i + 1..).unwrap_or_default();
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(self.fault(Fault::Short))
    }

    /// A signed integer of variable length.
    #[inline]
    pub fn sv(&mut self) -> Result<i64, CursorError> {
        self.uv().map(unfold)
    }

    /// The length of what follows, of variable length itself; more than the rest of the input is an error.
    pub fn uv_len(&mut self) -> Result<usize, CursorError> {
        self.uv_count(1)
    }

    /// A number of entries that follow, each of at least `least` bytes; more than the rest of the input can hold is an
    /// error, so that an allocation for them is justified.
    pub fn uv_count(&mut self, least: usize) -> Result<usize, CursorError> {
        let before = self.clone();
        let count = self.uv()?;
        let held = self.holds(count, least);
        if held.is_err() {
            *self = before;
        }
        held.map_err(|_| self.fault(Fault::TooMany))
    }

    /// `count` as a size, when that many entries of at least `least` bytes each can follow.
    pub fn holds(&self, count: u64, least: usize) -> Result<usize, CursorError> {
        let most = self.rest.len() / least.max(1);
        usize::try_from(count).ok().filter(|&count| count <= most).ok_or_else(|| self.fault(Fault::TooMany))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_widths_are_little_endian_and_checked() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff, 0xff];
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.u8(), Ok(1));
        assert_eq!(cursor.u16(), Ok(0x0302));
        assert_eq!(cursor.u32(), Ok(0x0706_0504));
        assert_eq!(cursor.u64(), Ok(0x0f0e_0d0c_0b0a_0908));
        assert_eq!((cursor.position(), cursor.remaining()), (15, 2));
        assert_eq!(cursor.i64(), Err(CursorError { at: 15, fault: Fault::Short }));
        assert_eq!(cursor.bytes(3), Err(CursorError { at: 15, fault: Fault::Short }));
        assert_eq!(cursor.rest(), [0xff, 0xff]);
        assert_eq!(cursor.bytes(2), Ok([0xff, 0xff].as_slice()));
        assert!(cursor.is_empty());
        assert_eq!(cursor.u8(), Err(CursorError { at: 17, fault: Fault::Short }));
    }

    #[test]
    fn integers_of_variable_length_end_within_64_bits() {
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Cursor::new(&most).uv(), Ok(u64::MAX));
        let mut more = most;
        more[9] = 2;
        assert_eq!(Cursor::new(&more).uv().unwrap_err().fault, Fault::Overlong);
        assert_eq!(Cursor::new(&[0x80; 11]).uv().unwrap_err().fault, Fault::Overlong);
        assert_eq!(Cursor::new(&[0x80; 9]).uv().unwrap_err().fault, Fault::Short);
        assert_eq!(Cursor::new(&[]).uv().unwrap_err().fault, Fault::Short);
        assert_eq!(Cursor::new(&[0x80, 0]).uv(), Ok(0));
    }

    #[test]
    fn counts_are_held_against_the_rest() {
        let bytes = [0, 3, 1, 1, 1];
        let mut cursor = Cursor::new(&bytes);
        cursor.u8().unwrap();
        assert_eq!(cursor.uv_count(2), Err(CursorError { at: 1, fault: Fault::TooMany }));
        assert_eq!(cursor.position(), 1);
        assert_eq!(cursor.uv_count(1), Ok(3));
        assert!(cursor.holds(u64::MAX, 0).is_err());
        assert_eq!(cursor.holds(1, 3), Ok(1));
    }

    #[test]
    fn errors_say_where() {
        let error = Cursor::new(&[0x80]).uv().unwrap_err();
        assert_eq!(error.to_string(), "the input ends within a value at offset 0");
    }
}
