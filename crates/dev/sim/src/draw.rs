//! Drawing from seeded streams.

use std::time::Duration;

use midge_stdx::entropy::{Entropy, Seeded};

/// A stream of choices for one purpose.
#[derive(Clone, Debug)]
pub struct Draw(Seeded);

impl Draw {
    /// The root stream of a run.
    pub fn new(seed: u64) -> Self {
        Draw(Seeded::new(seed))
    }

    /// A stream of its own for `purpose`; what it draws changes nothing in others.
    pub fn split(&self, purpose: &str) -> Draw {
        Draw(self.0.split(purpose))
    }

    /// The stream itself, as a port.
    pub fn seeded(&self) -> Seeded {
        self.0.clone()
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.0.below(bound as u64)).unwrap_or(0)
    }

    /// A number from `least` to `most`, both possible.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the list, which is not empty.
    pub fn one<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// One of the values, which are not empty.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// A time from `least` to `most` microseconds.
    pub fn micros(&mut self, least: usize, most: usize) -> Duration {
        Duration::from_micros(self.between(least, most) as u64)
    }
}
