//! The only file that names hashers.
//!
//! Maps hash with foldhash under one process-wide seed, which the edge draws from the operating system and the
//! simulator from its seed: clients cannot aim collisions, and a simulated run replays. Nothing may depend on the
//! iteration order of these maps.

use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use foldhash::fast::FoldHasher;
use foldhash::{SharedSeed, fast};
use highway::{HighwayHash, HighwayHasher, Key};
use sha2::{Digest, Sha256};

static SEED: OnceLock<(u64, SharedSeed)> = OnceLock::new();

/// Sets the seed of every map of the process. The first call wins; it answers whether this was the first.
pub fn set_seed(seed: u64) -> bool {
    SEED.set((seed, SharedSeed::from_u64(seed))).is_ok()
}

fn seed() -> &'static (u64, SharedSeed) {
    SEED.get_or_init(|| (0, SharedSeed::from_u64(0)))
}

/// Builds the hasher of [`Map`] and [`Set`].
#[derive(Clone, Copy, Debug)]
pub struct MapHasher {
    per_hasher: u64,
    shared: &'static SharedSeed,
}

impl Default for MapHasher {
    fn default() -> Self {
        let (per_hasher, shared) = seed();
        MapHasher { per_hasher: *per_hasher, shared }
    }
}

impl BuildHasher for MapHasher {
    type Hasher = FoldHasher<'static>;
    #[inline]
    fn build_hasher(&self) -> FoldHasher<'static> {
        fast::FoldHasher::with_seed(self.per_hasher, self.shared)
    }
}

impl MapHasher {
    /// The hash of a byte string, for tables that keep their own buckets.
    #[inline]
    pub fn bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

/// A hash map under the seed of the process.
#[allow(clippy::disallowed_types)]
pub type Map<K, V> = std::collections::HashMap<K, V, MapHasher>;

/// A hash set under the seed of the process.
#[allow(clippy::disallowed_types)]
pub type Set<K> = std::collections::HashSet<K, MapHasher>;

/// FNV-1a, 32 bits: the hash of the partition transform and of route pools (published constants).
pub fn fnv1a32(bytes: &[u8]) -> u32 {
    fnv1a32_continue(FNV1A32_START, bytes)
}

/// The FNV-1a offset basis, to be continued with [`fnv1a32_continue`].
pub const FNV1A32_START: u32 = 0x811c_9dc5;

/// Continues an FNV-1a hash over more bytes.
pub fn fnv1a32_continue(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |hash, &b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// HighwayHash-64 keyed with the SHA-256 of a name: the checksum of stored records, metadata, indexes and snapshots.
///
/// The key says whose the bytes are (a stream and block, a group), so that bytes which were moved do not pass; it is no secret.
#[derive(Clone, Debug)]
pub struct NamedHash {
    // Keeps the state after keying, which costs more than hashing a small record.
    keyed: HighwayHasher,
}

impl NamedHash {
    /// The hash under this name.
    pub fn new(name: &[u8]) -> NamedHash {
        let digest = Sha256::digest(name);
        let mut words = [0u64; 4];
        for (word, bytes) in words.iter_mut().zip(digest.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        NamedHash { keyed: HighwayHasher::new(Key(words)) }
    }

    /// The hash of the parts, as if they were one string, in the order in which files hold it.
    #[inline]
    pub fn sum(&self, parts: &[&[u8]]) -> [u8; 8] {
        let mut hasher = self.keyed.clone();
        parts.iter().for_each(|part| hasher.append(part));
        hasher.finalize64().to_le_bytes()
    }

    /// HighwayHash-128 of the parts, as if they were one string: where 64 bits are too few to tell strings apart.
    #[inline]
    pub fn sum_wide(&self, parts: &[&[u8]]) -> [u64; 2] {
        let mut hasher = self.keyed.clone();
        parts.iter().for_each(|part| hasher.append(part));
        hasher.finalize128()
    }
}

/// Eight characters for a name, from the start of its SHA-256: node ids, folders of Raft groups and of staged batches.
pub fn hash8(name: &[u8]) -> [u8; 8] {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digest = Sha256::digest(name);
    let mut out = [0; 8];
    for (place, byte) in out.iter_mut().zip(digest.iter()) {
        *place = ALPHABET[usize::from(*byte) % ALPHABET.len()];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_hashes_of_names() {
        // SHA-256 of the empty string starts with e3 b0 c4 42 98 fc 1c 14; each byte modulo 62 is a place in the alphabet.
        assert_eq!(&hash8(b""), b"fqA4S4SK");
    }

    #[test]
    fn a_named_hash_depends_on_the_name_and_not_on_the_parting() {
        let hash = NamedHash::new(b"ORDERS-1");
        assert_eq!(hash.sum(&[b"abc", b"", b"def"]), hash.sum(&[b"abcdef"]));
        assert_ne!(hash.sum(&[b"abcdef"]), NamedHash::new(b"ORDERS-2").sum(&[b"abcdef"]));
        assert_ne!(hash.sum(&[b"abcdef"]), hash.sum(&[b"abcdeg"]));
        assert_eq!(hash.sum_wide(&[b"abc", b"", b"def"]), hash.sum_wide(&[b"abcdef"]));
        let (wide, other) = (hash.sum_wide(&[b"abcdef"]), hash.sum_wide(&[b"abcdeg"]));
        assert!(wide[0] != other[0] && wide[1] != other[1] && wide[0] != wide[1]);
    }

    #[test]
    fn fnv_matches_the_published_vectors() {
        assert_eq!(fnv1a32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a32(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a32(b"foobar"), 0xbf9c_f968);
        assert_eq!(fnv1a32_continue(fnv1a32(b"foo"), b"bar"), fnv1a32(b"foobar"));
    }

    #[test]
    fn only_the_first_seed_counts() {
        set_seed(1);
        let before = MapHasher::default().bytes(b"x");
        assert!(!set_seed(2));
        assert_eq!(before, MapHasher::default().bytes(b"x"));
    }
}
