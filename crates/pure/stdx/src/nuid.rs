//! Unique ids: 22 characters in base 62, twelve drawn at random and ten that count up in random steps.

use crate::entropy::Entropy;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The length of an id.
pub const LENGTH: usize = PREFIX + SEQUENCE;

const PREFIX: usize = 12;
const SEQUENCE: usize = 10;
const MAX_SEQUENCE: u64 = 62_u64.pow(SEQUENCE as u32);
const MIN_STEP: u64 = 33;
const MAX_STEP: u64 = 333;

/// A generator. Two of them made from different draws do not collide in practice.
#[derive(Debug)]
pub struct Nuid<E> {
    entropy: E,
    prefix: [u8; PREFIX],
    sequence: u64,
    step: u64,
}

impl<E: Entropy> Nuid<E> {
    /// A generator that draws from `entropy`.
    pub fn new(entropy: E) -> Nuid<E> {
        let mut nuid = Nuid { entropy, prefix: [0; PREFIX], sequence: 0, step: 0 };
        nuid.reseed();
        nuid
    }

    fn reseed(&mut self) {
        for place in &mut self.prefix {
            *place = ALPHABET[self.entropy.below(62) as usize];
        }
        self.sequence = self.entropy.below(MAX_SEQUENCE);
        self.step = MIN_STEP + self.entropy.below(MAX_STEP - MIN_STEP);
    }

    /// The next id, as ASCII.
    pub fn next_bytes(&mut self) -> [u8; LENGTH] {
        self.sequence += self.step;
        if self.sequence >= MAX_SEQUENCE {
            self.reseed();
        }
        let mut id = [0; LENGTH];
        id[..PREFIX].copy_from_slice(&self.prefix);
        let mut left = self.sequence;
        for place in id[PREFIX..].iter_mut().rev() {
            *place = ALPHABET[(left % 62) as usize];
            left /= 62;
        }
        id
    }

    /// The next id as text.
    pub fn next_id(&mut self) -> String {
        self.next_bytes().iter().map(|&b| char::from(b)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seeded;
    use crate::hash::Set;

    #[test]
    fn ids_are_base62_and_differ() {
        let mut nuid = Nuid::new(Seeded::new(1));
        let mut seen = Set::default();
        for _ in 0..10_000 {
            let id = nuid.next_id();
            assert!(id.len() == LENGTH && id.bytes().all(|b| b.is_ascii_alphanumeric()));
            assert!(seen.insert(id));
        }
        assert_ne!(Nuid::new(Seeded::new(1)).next_id(), Nuid::new(Seeded::new(2)).next_id());
    }

    #[test]
    fn the_prefix_is_drawn_anew_when_the_count_is_used_up() {
        let mut nuid = Nuid::new(Seeded::new(1));
        let before = nuid.prefix;
        nuid.sequence = MAX_SEQUENCE - 1;
        nuid.next_bytes();
        assert_ne!(nuid.prefix, before);
    }
}
