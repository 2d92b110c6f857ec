//! `<N>.idx`, the index of one block that servers before 2.10 wrote. Read, never written.
//!
//! ```text
//!  u8 22 │ u8 version │ uv messages │ uv bytes │ uv first seq │ sv first ns │ uv last seq │ sv last ns │ uv deleted
//!  last 8 bytes of the block │ version 2: sequence set; version 1: uv distances from the first sequence
//! ```
//!
//! In encrypted stores the file is sealed with the nonce of the block's key: [`super::keys::AssetKey::unseal_with_own_nonce`].

use midge_codec::cursor::{Cursor, CursorError};
use midge_index::seqset::{SeqSet, SeqSetError};

use super::record::CHECKSUM_LEN;

const MAGIC: u8 = 22;

/// The index of one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyIndex {
    /// Live messages.
    pub messages: u64,
    /// The lengths of their records, in bytes.
    pub bytes: u64,
    /// The first live sequence.
    pub first_seq: u64,
    /// Its Unix time in nanoseconds.
    pub first_ns: i64,
    /// The last sequence.
    pub last_seq: u64,
    /// Its Unix time in nanoseconds.
    pub last_ns: i64,
    /// The last bytes of the block. The index is used only when they are still those.
    pub last_checksum: [u8; CHECKSUM_LEN],
    /// Sequences that are not live.
    pub deleted: SeqSet,
}

/// Why the index is not used, and the block is read instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegacyIndexError {
    /// Another file, or an unknown version.
    #[error("block index: magic {magic}, version {version}")]
    Version {
        /// The first byte.
        magic: u8,
        /// The second byte.
        version: u8,
    },
    /// A number that is none, or more than the file holds.
    #[error("block index: {0}")]
    Malformed(#[from] CursorError),
    /// The deleted sequences.
    #[error("block index: {0}")]
    Deleted(#[from] SeqSetError),
    /// As many deleted sequences as stated.
    #[error("block index: {found} deleted sequences where {stated} are stated")]
    Sums {
        /// As stated.
        stated: u64,
        /// As found.
        found: u64,
    },
}

/// Reads the plaintext of a file.
pub fn decode(bytes: &[u8]) -> Result<LegacyIndex, LegacyIndexError> {
    let mut cursor = Cursor::new(bytes);
    let (magic, version) = (cursor.u8()?, cursor.u8()?);
    if magic != MAGIC || !matches!(version, 1 | 2) {
        return Err(LegacyIndexError::Version { magic, version });
    }
    let mut index = LegacyIndex {
        messages: cursor.uv()?,
        bytes: cursor.uv()?,
        first_seq: cursor.uv()?,
        first_ns: cursor.sv()?,
        last_seq: cursor.uv()?,
        last_ns: cursor.sv()?,
        last_checksum: [0; CHECKSUM_LEN],
        deleted: SeqSet::new(),
    };
    let stated = cursor.uv()?;
    index.last_checksum = cursor.array()?;
    if version == 2 && stated > 0 {
        index.deleted = SeqSet::decode(&mut cursor)?;
    } else {
        for _ in 0..cursor.holds(stated, 1)? {
            index.deleted.insert(cursor.uv()?.wrapping_add(index.first_seq));
        }
    }
    let found = index.deleted.len();
    if found != stated { Err(LegacyIndexError::Sums { stated, found }) } else { Ok(index) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_codec::varint::{put_sv, put_uv};

    fn file(version: u8) -> Vec<u8> {
        let mut out = vec![MAGIC, version, 3, 100];
        put_uv(&mut out, 1000);
        put_sv(&mut out, -5);
        put_uv(&mut out, 1004);
        put_sv(&mut out, 77);
        out.push(2);
        out.extend_from_slice(b"checksum");
        if version == 1 {
            out.extend_from_slice(&[1, 3]);
        } else {
            let mut set = SeqSet::new();
            set.insert(1001);
            set.insert(1003);
            set.encode(&mut out);
        }
        out
    }

    #[test]
    fn both_versions_say_the_same() {
        let (one, two) = (decode(&file(1)).unwrap(), decode(&file(2)).unwrap());
        assert_eq!(one, two);
        assert_eq!((one.messages, one.first_ns, one.last_checksum), (3, -5, *b"checksum"));
        assert!(one.deleted.iter().eq([1001, 1003]));
    }

    #[test]
    fn cuts_and_contradictions_are_refused() {
        for version in [1, 2] {
            let file = file(version);
            for cut in 0..file.len() {
                assert!(decode(&file[..cut]).is_err());
            }
        }
        let mut twice = file(1);
        *twice.last_mut().unwrap() = 1;
        assert_eq!(decode(&twice), Err(LegacyIndexError::Sums { stated: 2, found: 1 }));
        assert_eq!(decode(&file(3)).unwrap_err(), LegacyIndexError::Version { magic: 22, version: 3 });
    }
}
