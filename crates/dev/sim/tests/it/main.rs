//! Fixed seeds, and nodes that are broken on purpose.

mod disk;
mod jetstream;
mod stores;

use midge_sim::model::Seen;
use midge_sim::tamper::{ALL, Break};
use midge_sim::{Settings, run};

/// Seeds that every test run takes; many more are run by the program.
const SEEDS: std::ops::Range<u64> = 1..61;

fn broken(kind: Break) -> Settings {
    Settings { broken: Some(kind), ..Settings::default() }
}

#[test]
fn fixed_seeds_hold_and_see_everything() {
    let mut seen = Seen::default();
    for seed in SEEDS {
        let outcome = run(seed, Settings::default());
        assert!(outcome.failure.is_none(), "{outcome}");
        seen.add(&outcome.seen);
    }
    for (what, count) in seen.list() {
        assert!(count > 0, "no {what} in these seeds");
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let hashes: Vec<u64> = (1..7).map(|seed| run(seed, Settings::default()).hash).collect();
    let again: Vec<u64> = (1..7).map(|seed| run(seed, Settings::default()).hash).collect();
    assert_eq!(hashes, again);
    assert!(hashes.windows(2).all(|pair| pair[0] != pair[1]));
}

/// The first seed to try, how many to try at most, and what the verdict has to speak of.
fn patience(kind: Break) -> (u64, u64, &'static [&'static str]) {
    match kind {
        Break::DropMessage => (1, 5, &["must receive", "went to no member"]),
        Break::DuplicateMessage => (1, 5, &["must receive", "what nothing asks for", "must be"]),
        Break::SwapMessages => (1, 30, &["must receive"]),
        Break::TwoMembers => {
            (1, 10, &["members of queue", "no member", "must receive", "must be", "nothing asks for"])
        }
        Break::OneMoreThanMax => (1, 10, &["subscriptions, not", "nothing asks for", "must"]),
        Break::KeepSubscription => (1, 5, &["subscriptions, not"]),
        Break::IgnoreNoEcho => (1, 10, &["nothing asks for", "must"]),
        Break::IgnoreNoHeaders => {
            (1, 20, &["went on after", "must receive", "no member", "not Close", "answers"])
        }
        Break::NoNoResponders => (1, 10, &["must receive", "nobody received", "not Close", "answers"]),
        Break::ForgetDenials => (1, 30, &["must be sent -ERR", "nothing asks for", "must"]),
        Break::RaisedPending => (30, 30, &["bytes queued"]),
        Break::FlushOutOfOrder => (1, 20, &["but written"]),
        Break::StrandBytes => (1, 40, &["stranded"]),
        Break::EndTooSoon => (365, 20, &["not written"]),
    }
}

#[test]
fn every_broken_node_is_caught() {
    for kind in ALL {
        let (from, tries, words) = patience(kind);
        let caught =
            (from..from + tries).find_map(|seed| run(seed, broken(kind)).failure.map(|f| (seed, f.what)));
        let Some((seed, what)) = caught else { panic!("{kind:?} is not caught within {tries} seeds") };
        assert!(words.iter().any(|word| what.contains(word)), "{kind:?}, seed {seed}: {what}");
    }
}
