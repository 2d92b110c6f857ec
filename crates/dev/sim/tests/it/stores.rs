//! Whole stores over the disk that forgets.

use midge_sim::disk::run_stores;
use midge_store::journal::Flaw;

#[test]
fn what_was_complete_is_there_after_every_crash() {
    for seed in 1..=120 {
        let verdict = run_stores(seed, None);
        assert_eq!(verdict.failure, None, "seed {seed}");
    }
}

#[test]
fn a_broken_journal_is_noticed_by_what_stores_show() {
    for flaw in [Flaw::AcknowledgeBeforeSync, Flaw::ForgetFolders, Flaw::ReuseBeforeCheckpoint] {
        let caught = (1..=10).find(|seed| run_stores(*seed, Some(flaw)).failure.is_some());
        assert!(caught.is_some(), "{flaw:?} within 10 seeds");
    }
}
