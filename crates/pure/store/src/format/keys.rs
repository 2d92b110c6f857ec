//! Keys of encrypted stores: derived, wrapped in files, and the order in which old ones are tried.
//!
//! ```text
//!   configured key ──HMAC-SHA-256(owner ‖ context)──▶ wrapping key ──opens──▶ key file: nonce ‖ sealed seed ‖ tag
//!                                                                               │        │
//!                                                        IV of the block's stream        asset key: seals files, or is the stream's key
//! ```
//!
//! The owner is the account of a stream, or the name of a Raft group for its log. Nothing separates owner from context.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use midge_stdx::entropy::Entropy;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::encrypt::{self, OpenError};

/// Bytes of an asset key, and of the key that wraps it.
pub const KEY_LEN: usize = 32;
/// Bytes of the tag of an authenticated encryption.
pub const TAG_LEN: usize = 16;
/// The longest nonce, in bytes.
const MAX_NONCE_LEN: usize = 24;
/// The shortest key file, in bytes.
const MIN_FILE_LEN: usize = 64;

/// The two families of ciphers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// XChaCha20-Poly1305 for files, XChaCha20 for blocks. The default, and the only one for Raft logs.
    ChaCha,
    /// AES-256-GCM with a nonce of 16 bytes for files, AES-256-CTR for blocks.
    Aes,
}

impl Cipher {
    /// The other one.
    pub fn other(self) -> Cipher {
        match self {
            Cipher::ChaCha => Cipher::Aes,
            Cipher::Aes => Cipher::ChaCha,
        }
    }

    /// Bytes of a nonce, and of the IV of a block.
    pub fn nonce_len(self) -> usize {
        match self {
            Cipher::ChaCha => MAX_NONCE_LEN,
            Cipher::Aes => 16,
        }
    }

    /// Bytes of a key file: nonce, sealed seed, tag.
    pub fn key_file_len(self) -> usize {
        self.nonce_len() + KEY_LEN + TAG_LEN
    }
}

/// Draws a nonce.
pub(super) fn draw_nonce(cipher: Cipher, entropy: &mut dyn Entropy) -> Nonce {
    let mut nonce = Nonce { bytes: [0; MAX_NONCE_LEN], len: cipher.nonce_len() };
    entropy.fill(nonce.bytes.get_mut(..nonce.len).unwrap_or_default());
    nonce
}

/// A nonce of either cipher.
#[derive(Clone, Copy)]
pub(super) struct Nonce {
    bytes: [u8; MAX_NONCE_LEN],
    len: usize,
}

impl Nonce {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// A key as configured, of any length.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<Vec<u8>>);

impl MasterKey {
    /// Takes a copy of the configured bytes.
    pub fn new(bytes: &[u8]) -> MasterKey {
        MasterKey(Zeroizing::new(bytes.to_vec()))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context<'a> {
    /// A stream's `meta.key`: its metadata and `index.db`. Also the group name of a Raft log, and the hash of a staged batch.
    Stream(&'a str),
    /// `msgs/<N>.key` of a stream.
    Block(&'a str, u32),
    /// `obs/<consumer>/meta.key`: its metadata and `o.dat`.
    Consumer {
        /// The stream.
        stream: &'a str,
        /// The consumer.
        consumer: &'a str,
    },
}

impl fmt::Display for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Context::Stream(stream) => f.write_str(stream),
            Context::Block(stream, block) => write!(f, "{stream}:{block}"),
            Context::Consumer { stream, consumer } => write!(f, "{stream}.{consumer}"),
        }
    }
}

/// The key that wraps the key of one asset.
#[derive(Clone)]
pub struct WrappingKey(Zeroizing<[u8; KEY_LEN]>);

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappingKey")
    }
}

impl WrappingKey {
    /// Derives the key for `context` of `owner`: the account, or the name of the Raft group.
    pub fn derive(master: &MasterKey, owner: &str, context: Context<'_>) -> WrappingKey {
        // A key of any length is permitted, so this never fails; the branch exists because the type says it may.
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&master.0) else {
            return WrappingKey(Zeroizing::new([0; KEY_LEN]));
        };
        mac.update(owner.as_bytes());
        mac.update(context.to_string().as_bytes());
        WrappingKey(Zeroizing::new(mac.finalize().into_bytes().into()))
    }
}

/// Why a key file gives no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not as long as a key file is.
    #[error("encryption bad key size")]
    Size {
        /// Its length in bytes.
        len: usize,
    },
    /// Another key or cipher, or a damaged file: the two cannot be told apart.
    #[error("cipher: message authentication failed")]
    Sealed,
}

/// The key of one asset or block.
#[derive(Clone)]
pub struct AssetKey {
    cipher: Cipher,
    seed: Zeroizing<[u8; KEY_LEN]>,
    nonce: Nonce,
}

impl fmt::Debug for AssetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssetKey({:?})", self.cipher)
    }
}

impl AssetKey {
    /// Draws a new key, and returns it with the content of its file.
    pub fn create(cipher: Cipher, wrapping: &WrappingKey, entropy: &mut dyn Entropy) -> (AssetKey, Vec<u8>) {
        let nonce = draw_nonce(cipher, entropy);
        let mut seed = Zeroizing::new([0; KEY_LEN]);
        entropy.fill(&mut *seed);
        let key = AssetKey { cipher, seed, nonce };
        let file = encrypt::seal_under(cipher, &wrapping.0, &nonce, &*key.seed);
        (key, file)
    }

    /// Opens a key file.
    ///
    /// # Errors
    /// [`KeyError::Sealed`] also when the file belongs to the other cipher.
    pub fn open(cipher: Cipher, wrapping: &WrappingKey, file: &[u8]) -> Result<AssetKey, KeyError> {
        if file.len() < MIN_FILE_LEN {
            return Err(KeyError::Size { len: file.len() });
        }
        if file.len() != cipher.key_file_len() {
            return Err(KeyError::Sealed);
        }
        let opened =
            Zeroizing::new(encrypt::open_under(cipher, &wrapping.0, file).map_err(|_| KeyError::Sealed)?);
        let mut seed = Zeroizing::new([0; KEY_LEN]);
        let mut nonce = Nonce { bytes: [0; MAX_NONCE_LEN], len: cipher.nonce_len() };
        match (opened.first_chunk::<KEY_LEN>(), file.get(..nonce.len), nonce.bytes.get_mut(..nonce.len)) {
            (Some(opened), Some(from), Some(into)) => {
                *seed = *opened;
                into.copy_from_slice(from);
            }
            _ => return Err(KeyError::Sealed),
        }
        Ok(AssetKey { cipher, seed, nonce })
    }

    /// Tries `candidates` in their order, and returns the key with the number of the candidate that opened the file: any other than the
    /// first means that the asset has to be given a new key.
    ///
    /// # Errors
    /// The error of the first candidate, when none fits.
    pub fn open_any(
        candidates: &[Candidate<'_>],
        owner: &str,
        context: Context<'_>,
        file: &[u8],
    ) -> Result<(AssetKey, usize), KeyError> {
        let mut first = None;
        for (at, candidate) in candidates.iter().enumerate() {
            match AssetKey::open(
                candidate.cipher,
                &WrappingKey::derive(candidate.master, owner, context),
                file,
            ) {
                Ok(key) => return Ok((key, at)),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(KeyError::Sealed))
    }

    /// The cipher.
    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Seals the content of a file: a fresh nonce, the ciphertext, the tag.
    pub fn seal(&self, plain: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        encrypt::seal_under(self.cipher, &self.seed, &draw_nonce(self.cipher, entropy), plain)
    }

    /// Opens the content of a sealed file.
    pub fn unseal(&self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        encrypt::open_under(self.cipher, &self.seed, sealed)
    }

    /// Opens what was sealed with the nonce of the key file instead of one of its own: the index of one block that old servers wrote.
    pub fn unseal_with_own_nonce(&self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        encrypt::open_with(self.cipher, &self.seed, self.nonce.as_slice(), sealed)
    }

    /// The stream that a block's bytes are combined with.
    pub fn keystream(&self) -> encrypt::Keystream {
        encrypt::Keystream::new(self.cipher, &self.seed, self.nonce.as_slice())
    }
}

/// A key and cipher under which a file may have been written.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The configured key.
    pub master: &'a MasterKey,
    /// The cipher.
    pub cipher: Cipher,
}

/// What to try, in this order: the present key with the present cipher, with the other, then the previous key likewise. The first is what
/// everything is written with.
pub fn candidates<'a>(
    master: &'a MasterKey,
    previous: Option<&'a MasterKey>,
    cipher: Cipher,
) -> Vec<Candidate<'a>> {
    [Some(master), previous]
        .into_iter()
        .flatten()
        .flat_map(|master| [cipher, cipher.other()].map(|cipher| Candidate { master, cipher }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_stdx::entropy::Seeded;

    const CIPHERS: [Cipher; 2] = [Cipher::ChaCha, Cipher::Aes];

    #[test]
    fn a_key_file_gives_its_key_to_its_owner_only() {
        let master = MasterKey::new(b"secret");
        for cipher in CIPHERS {
            let wrapping = WrappingKey::derive(&master, "A", Context::Block("S", 2));
            let (key, file) = AssetKey::create(cipher, &wrapping, &mut Seeded::new(1));
            assert_eq!(file.len(), cipher.key_file_len());
            let opened = AssetKey::open(cipher, &wrapping, &file).unwrap();
            assert_eq!(*opened.seed, *key.seed);
            assert_eq!(opened.nonce.as_slice(), key.nonce.as_slice());
            let others =
                [("A", Context::Block("S", 3)), ("B", Context::Block("S", 2)), ("A", Context::Stream("S"))];
            for (owner, context) in others {
                let wrapping = WrappingKey::derive(&master, owner, context);
                assert_eq!(AssetKey::open(cipher, &wrapping, &file).unwrap_err(), KeyError::Sealed);
            }
            assert_eq!(AssetKey::open(cipher.other(), &wrapping, &file).unwrap_err(), KeyError::Sealed);
            for cut in 0..file.len() {
                let error = AssetKey::open(cipher, &wrapping, &file[..cut]).unwrap_err();
                assert_eq!(error, if cut < 64 { KeyError::Size { len: cut } } else { KeyError::Sealed });
            }
            for bit in 0..file.len() * 8 {
                let mut flipped = file.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(AssetKey::open(cipher, &wrapping, &flipped).unwrap_err(), KeyError::Sealed);
            }
        }
    }

    #[test]
    fn old_keys_and_ciphers_are_found_in_order() {
        let (new, old) = (MasterKey::new(b"new"), MasterKey::new(b"old"));
        let context = Context::Consumer { stream: "S", consumer: "C" };
        let candidates = candidates(&new, Some(&old), Cipher::Aes);
        for (at, (master, cipher)) in
            [(&new, Cipher::Aes), (&new, Cipher::ChaCha), (&old, Cipher::Aes), (&old, Cipher::ChaCha)]
                .into_iter()
                .enumerate()
        {
            let (_, file) =
                AssetKey::create(cipher, &WrappingKey::derive(master, "A", context), &mut Seeded::new(2));
            assert_eq!(AssetKey::open_any(&candidates, "A", context, &file).unwrap().1, at);
        }
        let (_, file) = AssetKey::create(
            Cipher::Aes,
            &WrappingKey::derive(&MasterKey::new(b"x"), "A", context),
            &mut Seeded::new(2),
        );
        assert_eq!(AssetKey::open_any(&candidates, "A", context, &file).unwrap_err(), KeyError::Sealed);
    }

    #[test]
    fn contexts_are_written_as_on_disk() {
        assert_eq!(Context::Stream("S").to_string(), "S");
        assert_eq!(Context::Block("S", 12).to_string(), "S:12");
        assert_eq!(Context::Consumer { stream: "S", consumer: "C" }.to_string(), "S.C");
        assert_eq!(format!("{:?}", MasterKey::new(b"secret")), "MasterKey");
    }
}
