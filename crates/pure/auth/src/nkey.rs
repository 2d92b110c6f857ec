//! Keys: Ed25519 pairs in their textual form.
//!
//! A public key reads as base32 without padding of a prefix byte, 32 key bytes and a CRC-16; a seed has two prefix bytes,
//! the second of which tells the kind of key.

use std::fmt;

use curve25519_dalek::MontgomeryPoint;
use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use midge_stdx::entropy::Entropy;
use zeroize::Zeroizing;

/// What a key stands for; the first letter of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// `O`
    Operator,
    /// `A`
    Account,
    /// `U`
    User,
    /// `N`
    Server,
    /// `C`
    Cluster,
    /// `X`: for sealed boxes, it does not sign.
    Curve,
}

const KINDS: [(KeyKind, u8); 6] = [
    (KeyKind::Operator, 14 << 3),
    (KeyKind::Account, 0),
    (KeyKind::User, 20 << 3),
    (KeyKind::Server, 13 << 3),
    (KeyKind::Cluster, 2 << 3),
    (KeyKind::Curve, 23 << 3),
];

const SEED_PREFIX: u8 = 18 << 3;

impl KeyKind {
    fn prefix(self) -> u8 {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or(0, |&(_, prefix)| prefix)
    }

    fn of_prefix(prefix: u8) -> Option<KeyKind> {
        KINDS.iter().find(|&&(_, p)| p == prefix).map(|&(kind, _)| kind)
    }
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NkeyError {
    /// Not base32, or of the wrong length.
    Encoding,
    /// The checksum does not match.
    Checksum,
    /// The prefix is unknown or not the one that is wanted.
    Prefix,
    /// The bytes are no point of the curve.
    Key,
}

impl fmt::Display for NkeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NkeyError::Encoding => "invalid encoded key",
            NkeyError::Checksum => "invalid checksum",
            NkeyError::Prefix => "invalid prefix byte",
            NkeyError::Key => "invalid public key",
        })
    }
}

impl std::error::Error for NkeyError {}

/// CRC-16 with polynomial 0x1021 and start 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

fn seal(mut raw: Zeroizing<Vec<u8>>) -> Zeroizing<String> {
    let crc = crc16(&raw);
    raw.extend_from_slice(&crc.to_le_bytes());
    Zeroizing::new(BASE32_NOPAD.encode(&raw))
}

fn open(text: &str) -> Result<Zeroizing<Vec<u8>>, NkeyError> {
    let mut raw = Zeroizing::new(BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| NkeyError::Encoding)?);
    let Some((body, crc)) = raw.split_last_chunk::<2>() else { return Err(NkeyError::Encoding) };
    if crc16(body) != u16::from_le_bytes(*crc) {
        return Err(NkeyError::Checksum);
    }
    let length = body.len();
    raw.truncate(length);
    Ok(raw)
}

/// A public key that verifies signatures, decoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    key: VerifyingKey,
}

/// The text of a public key.
pub fn encode_public(kind: KeyKind, key: &[u8; 32]) -> String {
    let mut raw = Zeroizing::new(Vec::with_capacity(35));
    raw.push(kind.prefix());
    raw.extend_from_slice(key);
    std::mem::take(&mut *seal(raw))
}

/// Kind and bytes of a public key.
pub fn decode_public(text: &str) -> Result<(KeyKind, [u8; 32]), NkeyError> {
    let raw = open(text)?;
    let (&prefix, key) = raw.split_first().ok_or(NkeyError::Encoding)?;
    let kind = KeyKind::of_prefix(prefix).ok_or(NkeyError::Prefix)?;
    Ok((kind, key.try_into().map_err(|_| NkeyError::Encoding)?))
}

/// Whether the text is a public key of the given kind.
pub fn is_valid_public(text: &str, kind: KeyKind) -> bool {
    decode_public(text).is_ok_and(|(found, _)| found == kind)
}

impl PublicKey {
    /// Decodes a public key of the given kind.
    pub fn parse(text: &str, kind: KeyKind) -> Result<PublicKey, NkeyError> {
        let (found, key) = decode_public(text)?;
        if found != kind {
            return Err(NkeyError::Prefix);
        }
        Ok(PublicKey { kind, key: VerifyingKey::from_bytes(&key).map_err(|_| NkeyError::Key)? })
    }

    /// The kind of key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Its text.
    pub fn text(&self) -> String {
        encode_public(self.kind, self.key.as_bytes())
    }

    /// Whether `signature` is this key's signature of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }

    /// The same with a signature in base64: URL alphabet without padding, or the standard one with it.
    pub fn verify_text(&self, message: &[u8], signature: &str) -> bool {
        let bytes = BASE64URL_NOPAD
            .decode(signature.as_bytes())
            .or_else(|_| BASE64.decode(signature.as_bytes()))
            .unwrap_or_default();
        bytes.try_into().is_ok_and(|bytes: [u8; 64]| self.verify(message, &bytes))
    }
}

/// A key pair that signs. The secret is wiped when it is dropped.
pub struct KeyPair {
    kind: KeyKind,
    key: SigningKey,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public())
    }
}

impl KeyPair {
    /// The pair that 32 secret bytes stand for.
    pub fn from_bytes(kind: KeyKind, secret: &[u8; 32]) -> KeyPair {
        KeyPair { kind, key: SigningKey::from_bytes(secret) }
    }

    /// A fresh pair. For secrets, `entropy` must be the operating system's.
    pub fn generate(kind: KeyKind, entropy: &mut dyn Entropy) -> KeyPair {
        let mut secret = Zeroizing::new([0; 32]);
        entropy.fill(&mut *secret);
        KeyPair::from_bytes(kind, &secret)
    }

    /// The pair that a seed (`S…`) stands for.
    pub fn from_seed(seed: &str) -> Result<KeyPair, NkeyError> {
        let raw = open(seed)?;
        let [first, second, secret @ ..] = &raw[..] else { return Err(NkeyError::Encoding) };
        if first & 0xf8 != SEED_PREFIX {
            return Err(NkeyError::Prefix);
        }
        let kind = KeyKind::of_prefix((first & 7) << 5 | second >> 3).ok_or(NkeyError::Prefix)?;
        let secret = secret.try_into().map_err(|_| NkeyError::Encoding)?;
        Ok(KeyPair::from_bytes(kind, secret))
    }

    /// The seed as text.
    pub fn seed(&self) -> Zeroizing<String> {
        let prefix = self.kind.prefix();
        let mut raw = Zeroizing::new(Vec::with_capacity(36));
        raw.extend_from_slice(&[SEED_PREFIX | prefix >> 5, (prefix & 31) << 3]);
        raw.extend_from_slice(self.key.as_bytes());
        seal(raw)
    }

    /// The public key as text. That of a curve pair is for sealed boxes, not for signatures.
    pub fn public(&self) -> String {
        if self.kind == KeyKind::Curve {
            let point = MontgomeryPoint::mul_base_clamped(self.key.to_bytes());
            return encode_public(self.kind, point.as_bytes());
        }
        encode_public(self.kind, self.key.verifying_key().as_bytes())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Signs a message; the signature in base64 as CONNECT carries it.
    pub fn sign_text(&self, message: &[u8]) -> String {
        BASE64URL_NOPAD.encode(&self.sign(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use midge_stdx::entropy::Seeded;

    // The pair that the public documentation of NATS shows.
    const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    const PUBLIC: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";

    #[test]
    fn published_pair_round_trips() {
        let pair = KeyPair::from_seed(SEED).unwrap();
        assert_eq!(pair.public(), PUBLIC);
        assert_eq!(*pair.seed(), SEED);
        let public = PublicKey::parse(PUBLIC, KeyKind::User).unwrap();
        assert_eq!((public.text().as_str(), public.kind()), (PUBLIC, KeyKind::User));
        assert!(!format!("{pair:?}").contains(&SEED[2..]));
    }

    #[test]
    fn every_kind_has_its_letter() {
        let mut entropy = Seeded::new(1);
        for (kind, letter) in [
            (KeyKind::Operator, 'O'),
            (KeyKind::Account, 'A'),
            (KeyKind::User, 'U'),
            (KeyKind::Server, 'N'),
            (KeyKind::Cluster, 'C'),
            (KeyKind::Curve, 'X'),
        ] {
            let pair = KeyPair::generate(kind, &mut entropy);
            assert!(pair.public().starts_with(letter) && pair.public().len() == 56);
            assert!(pair.seed().starts_with(&format!("S{letter}")));
            assert!(is_valid_public(&pair.public(), kind));
            assert_eq!(KeyPair::from_seed(&pair.seed()).unwrap().public(), pair.public());
        }
    }

    #[test]
    fn signatures_in_both_alphabets_verify() {
        let pair = KeyPair::from_seed(SEED).unwrap();
        let public = PublicKey::parse(PUBLIC, KeyKind::User).unwrap();
        let signature = pair.sign(b"nonce");
        assert!(public.verify(b"nonce", &signature));
        assert!(public.verify_text(b"nonce", &BASE64URL_NOPAD.encode(&signature)));
        assert!(public.verify_text(b"nonce", &BASE64.encode(&signature)));
        assert!(!public.verify_text(b"other", &pair.sign_text(b"nonce")));
        for bad in ["", "!", "AAAA", &pair.sign_text(b"nonce")[1..]] {
            assert!(!public.verify_text(b"nonce", bad));
        }
    }

    #[test]
    fn texts_that_are_no_keys_are_refused() {
        let error = |text: &str| PublicKey::parse(text, KeyKind::User).unwrap_err();
        let pair = KeyPair::generate(KeyKind::Account, &mut Seeded::new(1));
        assert_eq!(error(&pair.public()), NkeyError::Prefix);
        assert_eq!(error(SEED), NkeyError::Prefix);
        assert_eq!(error(&PUBLIC.replace("UDXU", "UDXV")), NkeyError::Checksum);
        assert_eq!(error(&PUBLIC.to_lowercase()), NkeyError::Encoding);
        assert_eq!(error(""), NkeyError::Encoding);
        assert_eq!(error("AA"), NkeyError::Encoding);
        assert_eq!(KeyPair::from_seed(PUBLIC).unwrap_err(), NkeyError::Prefix);
        let short = seal(Zeroizing::new(vec![20 << 3, 1, 2]));
        assert_eq!(error(&short), NkeyError::Encoding);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in ".{0,80}") {
            let _ = (decode_public(&text), KeyPair::from_seed(&text).is_ok());
        }
    }
}
