//! Randomness as a port.
//!
//! The edge seeds a [`Seeded`] stream from the operating system, the simulator from its seed; streams for different
//! purposes are split off, so that drawing more for one does not change what another draws. These streams choose queue
//! members and jitter; secrets (nonces, keys) are drawn by the edge from the operating system through the same trait.

/// A source of uniformly distributed numbers.
pub trait Entropy: Send {
    /// The next 64 uniformly distributed bits.
    fn next_u64(&mut self) -> u64;

    /// A number below `bound`; 0 when `bound` is 0.
    fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift: its bias is below 2^-32 for the bounds in use, and it never loops.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Fills `out` with random bytes.
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// xoshiro256** seeded through splitmix64: fast, reproducible, not for secrets.
#[derive(Clone, Debug)]
pub struct Seeded {
    state: [u64; 4],
}

fn splitmix(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Seeded {
    /// A stream that depends on `seed` alone.
    pub fn new(seed: u64) -> Seeded {
        let mut s = seed;
        Seeded { state: [splitmix(&mut s), splitmix(&mut s), splitmix(&mut s), splitmix(&mut s)] }
    }

    /// A stream for one purpose; equal seeds and purposes give equal streams.
    pub fn split(&self, purpose: &str) -> Seeded {
        let name = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3));
        Seeded::new(self.state[0] ^ name)
    }
}

impl Entropy for Seeded {
    fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_draw_equal_numbers_and_purposes_differ() {
        let (mut a, mut b) = (Seeded::new(7), Seeded::new(7));
        assert_eq!(a.next_u64(), b.next_u64());
        let (mut x, mut y) = (a.split("queue"), a.split("jitter"));
        assert_ne!(x.next_u64(), y.next_u64());
    }

    #[test]
    fn bounded_draws_reach_every_value_and_no_other() {
        let mut rng = Seeded::new(1);
        let mut seen = [0u32; 10];
        for _ in 0..10_000 {
            seen[usize::try_from(rng.below(10)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&n| n > 800), "{seen:?}");
        assert_eq!(rng.below(0), 0);
    }
}
