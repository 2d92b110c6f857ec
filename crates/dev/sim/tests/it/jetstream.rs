//! Nodes with JetStream under crashes, and whether the checks notice what is broken.

use midge_sim::jetstream::{BREAKS, Break, run};

#[test]
fn what_clients_were_told_holds_after_every_crash() {
    for seed in 1..=300 {
        let verdict = run(seed, None, false);
        assert_eq!(verdict.failure, None, "seed {seed}");
    }
}

/// Within how many seeds a broken node is noticed.
fn patience(broken: Break) -> u64 {
    match broken {
        // Noticed only where a stream is full when everything is compared: five of a hundred seeds.
        Break::ForgetLimit => 120,
        Break::LoseDeltas | Break::KeepWork | Break::AcknowledgeBeforeSync => 60,
        Break::KeepConsumer | Break::ForgetChange | Break::KeepStream => 60,
        Break::LoseKey | Break::LoseCopy | Break::AcknowledgeFailed | Break::StayFull => 60,
        Break::ForgetMarkers | Break::ForgetLife | Break::KeepRolledUp | Break::RefuseRoom => 60,
        Break::NoReserve | Break::LoseIncrement | Break::CountTwice | Break::ForgetSchedule => 60,
        _ => 20,
    }
}

#[test]
fn every_broken_node_is_noticed() {
    for broken in BREAKS {
        let noticed = (1..=patience(broken)).any(|seed| run(seed, Some(broken), false).failure.is_some());
        assert!(noticed, "{broken:?} goes unnoticed");
    }
}
