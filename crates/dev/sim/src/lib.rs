//! A deterministic simulation of whole nodes.
//!
//! ```text
//!   seed ─▶ swarm (options of the run) ─▶ node::assemble over seeded ports
//!        ─▶ scripts ─▶ clients ─▶ links ─▶ simulated shards ─▶ the node's machines ─▶ queues ─▶ links ─▶ clients
//!                         │                      │                                       │
//!                         └── operations ──▶  model: does what was queued follow? ◀── taps
//! ```
//!
//! One run is a pure function of its seed: the scheduler, the network, the clients and the node draw from streams split
//! off it, time is a number, and nothing else is asked. What is simulated is the product's own code down to the last
//! call before a socket; what is replaced are the edges (sockets, threads, clocks), which have tests of their own.
//!
//! - [`world`]: the scheduler over node, shards, links and clients;
//! - [`net`]: links that cut, delay, refuse and break, and the writers whose steps interleave;
//! - [`clients`]: scripts as data, and a parser of their own;
//! - [`model`]: what must be received, decided again independently;
//! - [`disk`]: a file system that forgets, under the journal of the stores;
//! - [`jetstream`]: a node with JetStream over that disk, its clients, and crashes;
//! - [`tamper`]: nodes broken on purpose, so that the checks are checked;
//! - [`swarm`]: what differs from seed to seed.
#![forbid(unsafe_code)]

pub mod clients;
pub mod disk;
pub mod draw;
pub mod edge;
pub mod jetstream;
pub mod model;
pub mod net;
pub mod report;
pub mod shard;
pub mod swarm;
pub mod tamper;
pub mod users;
pub mod world;

pub use report::Outcome;

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// What is broken on purpose.
    pub broken: Option<tamper::Break>,
    /// Print every event.
    pub verbose: bool,
    /// Acts of each connection at most, to make a failing run shorter.
    pub acts: Option<usize>,
}

/// Runs one seed.
pub fn run(seed: u64, settings: Settings) -> Outcome {
    // One seed for all runs of the process, so that a run does not depend on what ran before.
    midge_stdx::hash::set_seed(0x6d69_6467_6521);
    world::World::new(seed, settings).run()
}

/// Cuts the scripts of a failing seed as short as they go while it still fails; answers the acts that are left.
pub fn shorten(seed: u64, settings: Settings) -> Option<usize> {
    let fails = |acts| run(seed, Settings { acts: Some(acts), verbose: false, ..settings }).failure.is_some();
    let mut most = 64;
    while !fails(most) {
        most *= 2;
        if most > 1024 {
            return None;
        }
    }
    (1..=most).find(|&acts| fails(acts))
}
