//! What keys do: seal small files, and combine blocks with a keystream.
//!
//! A sealed file is nonce ‖ ciphertext ‖ tag and cannot be changed without the key. A block is combined byte by byte with a stream that
//! starts at offset 0 of the file: appends continue it, and nothing but the checksums of records notices a change.

use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{Aead, Payload};
use chacha20::XChaCha20;
use chacha20poly1305::XChaCha20Poly1305;
use ctr::Ctr128BE;
use ctr::cipher::{KeyInit, KeyIvInit, StreamCipher, StreamCipherSeek};

use super::keys::{Cipher, KEY_LEN, Nonce, TAG_LEN};

type Gcm = AesGcm<aes::Aes256, U16>;

/// Why something sealed does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than a nonce and a tag.
    #[error("{len} bytes are too few for a nonce and a tag")]
    Short {
        /// How many there are.
        len: usize,
    },
    /// Another key, or changed bytes.
    #[error("cipher: message authentication failed")]
    Authentication,
}

pub(super) fn seal_under(cipher: Cipher, key: &[u8; KEY_LEN], nonce: &Nonce, plain: &[u8]) -> Vec<u8> {
    let nonce = nonce.as_slice();
    let sealed = match (cipher, <&[u8; 24]>::try_from(nonce), <&[u8; 16]>::try_from(nonce)) {
        (Cipher::ChaCha, Ok(nonce), _) => {
            XChaCha20Poly1305::new(key.into()).encrypt(nonce.into(), Payload::from(plain))
        }
        (Cipher::Aes, _, Ok(nonce)) => Gcm::new(key.into()).encrypt(nonce.into(), Payload::from(plain)),
        // A nonce is drawn with the length of its cipher.
        _ => Ok(Vec::new()),
    };
    let mut out = Vec::with_capacity(nonce.len() + plain.len() + TAG_LEN);
    out.extend_from_slice(nonce);
    // Both ciphers take more than fits into memory, so that sealing does not fail.
    out.extend(sealed.unwrap_or_default());
    out
}

pub(super) fn open_under(cipher: Cipher, key: &[u8; KEY_LEN], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let short = OpenError::Short { len: sealed.len() };
    let (nonce, rest) = sealed.split_at_checked(cipher.nonce_len()).ok_or(short)?;
    if rest.len() < TAG_LEN {
        return Err(short);
    }
    open_with(cipher, key, nonce, rest)
}

pub(super) fn open_with(
    cipher: Cipher,
    key: &[u8; KEY_LEN],
    nonce: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let opened = match (cipher, <&[u8; 24]>::try_from(nonce), <&[u8; 16]>::try_from(nonce)) {
        (Cipher::ChaCha, Ok(nonce), _) => {
            XChaCha20Poly1305::new(key.into()).decrypt(nonce.into(), Payload::from(sealed))
        }
        (Cipher::Aes, _, Ok(nonce)) => Gcm::new(key.into()).decrypt(nonce.into(), Payload::from(sealed)),
        _ => return Err(OpenError::Authentication),
    };
    opened.map_err(|_| OpenError::Authentication)
}

/// The position is beyond what the cipher can reach: 256 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offset {0} is beyond the end of the keystream")]
pub struct KeystreamEnd(pub u64);

/// The keystream of a block, at any offset. The same operation encrypts and decrypts.
pub struct Keystream(Stream);

enum Stream {
    ChaCha(Box<XChaCha20>),
    Aes(Box<Ctr128BE<aes::Aes256>>),
}

impl std::fmt::Debug for Keystream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keystream")
    }
}

impl Keystream {
    pub(super) fn new(cipher: Cipher, key: &[u8; KEY_LEN], iv: &[u8]) -> Keystream {
        let (mut long, mut short) = ([0; 24], [0; 16]);
        iv.iter().zip(&mut long).for_each(|(from, into)| *into = *from);
        iv.iter().zip(&mut short).for_each(|(from, into)| *into = *from);
        Keystream(match cipher {
            Cipher::ChaCha => Stream::ChaCha(Box::new(XChaCha20::new(key.into(), (&long).into()))),
            Cipher::Aes => Stream::Aes(Box::new(Ctr128BE::new(key.into(), (&short).into()))),
        })
    }

    /// Encrypts or decrypts bytes that stand at `offset` of the block's file, in place. They are unchanged when it fails.
    pub fn apply(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), KeystreamEnd> {
        let end = KeystreamEnd(offset);
        match &mut self.0 {
            Stream::ChaCha(cipher) => {
                cipher.try_seek(offset).map_err(|_| end)?;
                cipher.try_apply_keystream(bytes).map_err(|_| end)
            }
            Stream::Aes(cipher) => {
                cipher.try_seek(offset).map_err(|_| end)?;
                cipher.try_apply_keystream(bytes).map_err(|_| end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{AssetKey, Context, MasterKey, WrappingKey};
    use super::*;
    use midge_stdx::entropy::Seeded;

    fn key(cipher: Cipher) -> AssetKey {
        let wrapping = WrappingKey::derive(&MasterKey::new(b"k"), "A", Context::Stream("S"));
        AssetKey::create(cipher, &wrapping, &mut Seeded::new(5)).0
    }

    #[test]
    fn sealed_files_open_and_every_change_is_noticed() {
        for cipher in [Cipher::ChaCha, Cipher::Aes] {
            let key = key(cipher);
            let sealed = key.seal(b"{\"name\":\"S\"}", &mut Seeded::new(9));
            assert_eq!(sealed.len(), cipher.nonce_len() + 12 + TAG_LEN);
            assert_eq!(key.unseal(&sealed).unwrap(), b"{\"name\":\"S\"}");
            assert_ne!(key.seal(b"{\"name\":\"S\"}", &mut Seeded::new(10)), sealed);
            for cut in 0..sealed.len() {
                assert!(key.unseal(&sealed[..cut]).is_err());
            }
            for bit in 0..sealed.len() * 8 {
                let mut flipped = sealed.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(key.unseal(&flipped), Err(OpenError::Authentication));
            }
            let own = encrypt_with_own_nonce(&key);
            assert_eq!(key.unseal_with_own_nonce(&own).unwrap(), b"index");
        }
    }

    fn encrypt_with_own_nonce(key: &AssetKey) -> Vec<u8> {
        // The same draws give the nonce that the key got.
        let sealed = key.seal(b"index", &mut Seeded::new(5));
        sealed[key.cipher().nonce_len()..].to_vec()
    }

    #[test]
    fn the_keystream_is_the_same_in_pieces_and_from_any_offset() {
        for cipher in [Cipher::ChaCha, Cipher::Aes] {
            let key = key(cipher);
            let mut whole = vec![0u8; 1000];
            key.keystream().apply(0, &mut whole).unwrap();
            let mut stream = key.keystream();
            for at in [999, 64, 0, 63, 65, 500, 16, 17] {
                let mut part = vec![0u8; (1000 - at).min(130)];
                stream.apply(at as u64, &mut part).unwrap();
                assert_eq!(part, whole[at..at + part.len()]);
            }
            key.keystream().apply(0, &mut whole).unwrap();
            assert!(whole.iter().all(|&byte| byte == 0));
        }
        assert!(key(Cipher::ChaCha).keystream().apply(u64::MAX, &mut [0]).is_err());
    }
}
