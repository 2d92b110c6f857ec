//! A node with JetStream under a seed: publishers, consumers, administrators, and crashes at any call of the disk.
//!
//! ```text
//!   seed ─▶ swarm (streams, consumers, limits) ─▶ acts ─▶ broker ─▶ JetStream's turns, jobs, disk, in an order of the seed's
//!                                                   │                    │
//!                                                   └──▶ model ◀── events, and what a node at rest answers when it is asked
//! ```
//!
//! What clients were told before a crash is what the node is held to after it.

mod acts;
#[cfg(test)]
mod answer_tests;
mod checks;
mod copies;
#[cfg(test)]
mod copy_tests;
mod disk;
mod events;
mod extras;
#[cfg(test)]
mod failing_tests;
mod features;
mod json;
#[cfg(test)]
mod kept_tests;
mod lives;
mod model;
mod node;
#[cfg(test)]
mod racing_tests;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod start_tests;
mod swarm;
pub mod tamper;
mod trouble;
#[cfg(test)]
mod unread_tests;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use tamper::{ALL as BREAKS, Break};

use crate::disk::Verdict;

/// Runs one seed, with something broken on purpose or nothing. `aloud` puts every event into the verdict.
pub fn run(seed: u64, broken: Option<Break>, aloud: bool) -> Verdict {
    let _ = midge_stdx::hash::set_seed(0x6d69_6467_6521);
    catch_unwind(AssertUnwindSafe(|| world::run(seed, broken, aloud)))
        .unwrap_or_else(|_| Verdict { failure: Some("it panicked".into()), ..Verdict::default() })
}
