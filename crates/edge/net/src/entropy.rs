//! Randomness from the operating system.

use midge_stdx::entropy::Entropy;

/// Fills `out` with unpredictable bytes. Panics when the system has none, as nothing secure can be done then.
pub fn fill(out: &mut [u8]) {
    let mut at = 0;
    while at < out.len() {
        match rustix::rand::getrandom(&mut out[at..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => at += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("the operating system has no randomness: {error}"),
        }
    }
}

/// The entropy port over the operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill(&mut self, out: &mut [u8]) {
        fill(out);
    }
}
