//! The journal of the stores over a disk that forgets: fixed seeds, and rules that are broken on purpose.

use std::collections::BTreeMap;

use midge_sim::disk::{FLAWS, run, trace};
use midge_store::journal::Flaw;

/// Seeds that every test run takes; many more are run by the program.
const SEEDS: std::ops::Range<u64> = 1..301;

#[test]
fn fixed_seeds_hold_and_see_everything() {
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in SEEDS {
        let verdict = run(seed, None);
        assert_eq!(verdict.failure, None, "seed {seed}");
        verdict.seen.into_iter().for_each(|(what, times)| *seen.entry(what).or_default() += times);
    }
    let wanted = [
        "power cuts",
        "kills",
        "clean stops",
        "crashes in recovery",
        "visits of another server",
        "visits that were noticed",
        "deleted stores",
        "failures",
        "journal failures",
        "no segment",
        "repairs",
        "stuck files",
    ];
    for what in wanted {
        assert!(seen.contains_key(what), "no {what} in these seeds: {seen:?}");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for seed in 1..4 {
        assert_eq!(trace(seed, None).log, trace(seed, None).log);
    }
    assert_ne!(trace(1, None).log, trace(2, None).log);
}

/// Seeds, from the first on, within which the verdict has to notice.
fn patience(flaw: Flaw) -> u64 {
    match flaw {
        Flaw::AcknowledgeBeforeSync | Flaw::NoBarrier | Flaw::ReuseBeforeCheckpoint => 3,
        Flaw::ForgetFolders | Flaw::ReplayOldJournal => 5,
        Flaw::KeepHeaderOfFreed => 20,
        Flaw::ReplayOverForeign | Flaw::IgnoreIndex => 50,
    }
}

#[test]
fn every_broken_rule_is_noticed() {
    for flaw in FLAWS {
        let most = patience(flaw);
        assert!(
            (1..=most).any(|seed| run(seed, Some(flaw)).failure.is_some()),
            "{flaw:?} within {most} seeds"
        );
    }
}
