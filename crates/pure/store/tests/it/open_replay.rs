//! Stores of this server, opened after they were left at any moment: what the index does not know is taken from the blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::port::{Files, Promise};
use midge_store::recover::History;
use midge_store::stream::{
    Compact, Config, Filter, How, Medium, NewMessage, Opened, Opening, State, Step, Store, StoreKeys,
    Truncate,
};

use crate::disk::{MemFiles, Rig};
use crate::open::{live, put, read_all, snapshot};

const FOLDER: &str = "$G/streams/S";

pub fn copy(files: &MemFiles) -> MemFiles {
    let all = snapshot(files, "");
    let copied = MemFiles::default();
    copied.create_folder(FOLDER).unwrap();
    all.iter().for_each(|(path, bytes)| put(&copied, path, bytes));
    copied
}

pub fn opening(config: &Config, encryption: Option<StoreKeys>) -> Opening {
    Opening {
        config: config.clone(),
        folder: FOLDER.into(),
        history: History::Unknown,
        encryption,
        now: Now { mono: Mono(1), wall: Wall(1) },
        headers: None,
    }
}

fn subjects(opened: &Opened) -> BTreeMap<Vec<u8>, u64> {
    let mut all = BTreeMap::new();
    let _ = opened.subjects().for_each(|subject, state| {
        all.insert(subject.to_vec(), state.total());
        ControlFlow::<()>::Continue(())
    });
    all
}

fn subjects_of(store: &Store) -> BTreeMap<Vec<u8>, u64> {
    let mut all = BTreeMap::new();
    store.matching_subjects(&Filter::all(), |subject, state| {
        all.insert(subject.to_vec(), state.total());
    });
    all
}

fn live_of(rig: &mut Rig) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    let State { first_seq, last_seq, .. } = *rig.store.state();
    for seq in first_seq.max(1)..=last_seq {
        loop {
            match rig.store.load(seq) {
                Step::Ready(_) => {
                    all.insert(seq);
                    break;
                }
                Step::Failed(_) => break,
                Step::Wait => assert!(rig.step(Mono(1))),
            }
        }
    }
    all
}

fn act(rig: &mut Rig, draw: &mut Seeded, removes: bool) {
    let at = rig.store.state().last_seq as i64 + 1_000;
    let now = Now { mono: Mono(at as u64), wall: Wall(at) };
    match draw.below(12) {
        0 if removes => {
            let State { first_seq, last_seq, .. } = *rig.store.state();
            let seq = first_seq + draw.below(last_seq + 1 - first_seq.min(last_seq));
            let erase = draw.below(2) == 0;
            while rig.store.remove(seq, erase) == Step::Wait {
                rig.step(now.mono);
            }
        }
        1 => {
            rig.store.skip_range(0, 1 + draw.below(4), now, false).unwrap();
        }
        _ => {
            let subject = format!("s.{}", draw.below(7));
            let payload = vec![at as u8; draw.below(200) as usize];
            let headers: &[u8] = if draw.below(4) == 0 { b"NATS/1.0\r\nK: v\r\n\r\n" } else { b"" };
            let message =
                NewMessage { subject: subject.as_bytes(), headers, payload: &payload, ..Default::default() };
            rig.store.append(now, &message).unwrap();
        }
    }
}

fn run(config: &Config, seed: u64, removes: bool) {
    run_changing(&[config], seed, removes);
}

/// The configurations follow each other after the index.
fn run_changing(configs: &[&Config], seed: u64, removes: bool) {
    let config = configs[0];
    let mut draw = Seeded::new(seed);
    let mut rig = Rig::files(config.clone(), seed);
    let (before, after) = (draw.below(200), draw.below(200));
    for _ in 0..before {
        act(&mut rig, &mut draw, removes);
    }
    rig.settle(Mono(1));
    while rig.store.stop() == Step::Wait {
        rig.step(Mono(1));
    }
    for _ in 0..after {
        act(&mut rig, &mut draw, removes);
    }
    for config in &configs[1..] {
        rig.store.configure((*config).clone());
        rig.settle(Mono(1));
        for _ in 0..draw.below(100) {
            act(&mut rig, &mut draw, removes);
        }
    }
    let config = configs[configs.len() - 1];
    rig.settle(Mono(1));
    let (state, known) = (*rig.store.state(), live_of(&mut rig));
    let limited = config.removing_limits() != Default::default();
    for with_index in [true, false] {
        let files = copy(&rig.files);
        let index = format!("{FOLDER}/msgs/index.db");
        if !with_index && files.remove(&index).is_err() {
            continue;
        }
        let mut opening = opening(config, None);
        if !with_index && configs.len() == 1 {
            opening.history = History::Constant;
        }
        let opened = opening.run(&files).unwrap();
        let what = format!("{config:?} seed {seed} {:?}", opened.recovery);
        assert!(opened.recovery.damage.is_empty() && opened.recovery.lost.is_empty(), "{what}");
        let found = live(&opened);
        if !with_index && (limited && removes || configs.len() > 1) {
            // Without an index nothing says what a removed message, or another limit, had displaced: it may be there again.
            let gone: Vec<&u64> = known.difference(&found).collect();
            assert!(gone.is_empty(), "{gone:?} {} {with_index} {what}", config.max_msgs_per_subject);
            assert_eq!(opened.state().last_seq, state.last_seq, "{what}");
        } else {
            assert_eq!(found, known, "{what}");
            assert_eq!(subjects(&opened), subjects_of(&rig.store), "{what}");
            let first = if state.last_seq == 0 { 0 } else { state.first_seq };
            assert_eq!(*opened.state(), State { first_seq: first, ..state }, "{what}");
        }
        let mut store = crate::open::store(opened);
        let all = read_all(&mut store, &files, FOLDER);
        assert!(all.keys().copied().collect::<BTreeSet<u64>>().is_superset(&known), "{what}");
        // It goes on.
        store
            .append(Now { mono: Mono(9), wall: Wall(9) }, &NewMessage { subject: b"x", ..Default::default() })
            .unwrap();
    }
}

fn small() -> Config {
    Config { block_len: 2_500, ..Config::new("S", Medium::File) }
}

#[test]
fn what_followed_the_index_is_replayed() {
    for seed in 0..60 {
        run(&small(), seed, true);
    }
}

#[test]
fn limits_are_replayed_as_they_were_applied() {
    for seed in 0..40 {
        for removes in [false, true] {
            run(&Config { max_msgs_per_subject: 1, ..small() }, seed, removes);
            run(&Config { max_msgs_per_subject: 3, ..small() }, seed, removes);
            run(&Config { max_msgs: 40, ..small() }, seed, removes);
            run(&Config { max_bytes: 6_000, max_msgs_per_subject: 9, ..small() }, seed, removes);
        }
    }
}

#[test]
fn limits_that_change_are_known_from_an_index() {
    let configs = [
        small(),
        Config { max_msgs_per_subject: 1, ..small() },
        Config { max_msgs_per_subject: 4, ..small() },
        Config { max_msgs: 30, ..small() },
        Config { max_msgs: 60, max_msgs_per_subject: 2, ..small() },
    ];
    for seed in 0..60 {
        let mut draw = Seeded::new(seed ^ 77);
        let chosen: Vec<&Config> =
            (0..2 + draw.below(3)).map(|_| &configs[draw.below(configs.len() as u64) as usize]).collect();
        run_changing(&chosen, seed, true);
    }
}

/// Nothing is lost by it that was there, whoever changed the limits: an index under other limits vouches for nothing.
#[test]
fn an_index_under_other_limits_keeps_what_they_kept() {
    let wide = Config { max_msgs_per_subject: 5, ..small() };
    let mut rig = Rig::files(wide.clone(), 3);
    let store = |rig: &mut Rig, payload: &[u8]| {
        let message = NewMessage { subject: b"s", payload, ..Default::default() };
        rig.store.append(Now { mono: Mono(1), wall: Wall(1) }, &message).unwrap();
    };
    store(&mut rig, b"1");
    rig.settle(Mono(1));
    assert_eq!(rig.store.stop(), Step::Ready(()));
    store(&mut rig, b"2");
    store(&mut rig, b"3");
    assert_eq!(rig.store.remove(3, false), Step::Ready(true));
    assert_eq!(rig.store.remove(2, false), Step::Ready(true));
    rig.settle(Mono(1));
    // By the narrow limit the third message would have displaced the first.
    let narrow = Config { max_msgs_per_subject: 1, ..small() };
    let opened = opening(&narrow, None).run(&copy(&rig.files)).unwrap();
    assert!(matches!(opened.recovery.how, How::Replayed { .. }) && !opened.recovery.vouched);
    assert_eq!(live(&opened), BTreeSet::from([1]));
    let opened = opening(&wide, None).run(&copy(&rig.files)).unwrap();
    assert!(opened.recovery.vouched);
    assert_eq!(live(&opened), BTreeSet::from([1]));
}

/// The first removal of a new store finds no index: what limits removed before it is kept by one that comes along.
#[test]
fn what_a_limit_displaced_stays_away_when_its_successor_is_deleted() {
    let config = Config { max_msgs_per_subject: 1, ..small() };
    let mut rig = Rig::files(config.clone(), 5);
    for payload in [b"old", b"new"] {
        let message = NewMessage { subject: b"key", payload, ..Default::default() };
        rig.store.append(Now { mono: Mono(1), wall: Wall(1) }, &message).unwrap();
    }
    assert_eq!(rig.store.remove(2, false), Step::Ready(true));
    rig.settle(Mono(1));
    let opened = opening(&config, None).run(&copy(&rig.files)).unwrap();
    assert_eq!(live(&opened), BTreeSet::new());
}

/// A limit that comes late removes at its own pace: an index that was written in between does not vouch for it.
#[test]
fn what_a_new_limit_has_yet_to_remove_does_not_come_back() {
    let mut rig = Rig::files(small(), 8);
    let store = |rig: &mut Rig, subject: &[u8]| {
        let message = NewMessage { subject, payload: &[7; 100], ..Default::default() };
        rig.store.append(Now { mono: Mono(1), wall: Wall(1) }, &message).unwrap();
    };
    store(&mut rig, b"key");
    (0..60).for_each(|number| store(&mut rig, format!("other.{number}").as_bytes()));
    store(&mut rig, b"key");
    rig.settle(Mono(1));
    assert_eq!(rig.store.stop(), Step::Ready(()));
    rig.settle(Mono(1));
    let limited = Config { max_msgs_per_subject: 1, ..small() };
    rig.reopen(false, Now { mono: Mono(2), wall: Wall(2) });
    rig.store.configure(limited.clone());
    rig.store.replace_files(Vec::new(), Promise::Durable);
    rig.settle(Mono(2));
    while rig.store.remove(62, false) == Step::Wait {
        rig.step(Mono(2));
    }
    rig.settle(Mono(2));
    let known = live_of(&mut rig);
    assert_eq!(known, (2..=61).collect());
    let opened = opening(&limited, None).run(&copy(&rig.files)).unwrap();
    assert_eq!(live(&opened), known, "{:?}", opened.recovery);
}

/// The records that say from where messages came go with their blocks; how far their source was read stays known.
#[test]
fn progress_of_a_source_outlives_its_messages() {
    let config = small();
    let mut rig = Rig::files(config.clone(), 6);
    for seq in 1..=60 {
        let message = NewMessage { subject: b"s", payload: &[7; 100], ..Default::default() };
        rig.store.append(Now { mono: Mono(1), wall: Wall(1) }, &message).unwrap();
        rig.store.sourced(b"ORIGIN > >", seq * 10, b"one");
    }
    rig.settle(Mono(1));
    let blocks = rig.store.blocks();
    for seq in 1..=60 {
        while rig.store.remove(seq, seq % 7 == 0) == Step::Wait {
            rig.step(Mono(1));
        }
    }
    rig.settle(Mono(1));
    assert!(rig.store.blocks() < blocks);
    let opened = opening(&config, None).run(&copy(&rig.files)).unwrap();
    // Those in the last block are told by their records, which the owner reads.
    let [source] = &opened.sources[..] else { panic!("{:?}", opened.sources) };
    assert_eq!((&*source.index_name, &*source.identity), (&b"ORIGIN > >"[..], &b"one"[..]));
    assert!(source.seq >= 500, "{source:?}");
    let stopped = {
        while rig.store.stop() == Step::Wait {
            rig.step(Mono(1));
        }
        rig.settle(Mono(1));
        opening(&config, None).run(&copy(&rig.files)).unwrap()
    };
    assert_eq!(stopped.sources[0].seq, 600);
    let store = crate::open::store(stopped);
    assert_eq!(store.source(b"ORIGIN > >"), Some((600, &b"one"[..])));
    assert_eq!(store.source(b"OTHER > >"), None);
}

/// Sequences that are given anew are not those that the file of sources knew.
#[test]
fn progress_of_a_source_goes_back_with_the_end_of_the_stream() {
    let config = small();
    let mut rig = Rig::files(config.clone(), 6);
    let message = NewMessage { subject: b"s", payload: &[7; 100], ..Default::default() };
    let now = Now { mono: Mono(1), wall: Wall(1) };
    for seq in 1..=6 {
        rig.store.append(now, &message).unwrap();
        rig.store.sourced(b"ORIGIN > >", seq * 10, b"one");
    }
    assert_eq!(rig.store.stop(), Step::Ready(()));
    rig.store.sourced(b"ORIGIN > >", 30, b"one");
    let mut cut = Truncate::new(3);
    while rig.store.truncate(&mut cut, now) == Step::Wait {
        rig.step(Mono(1));
    }
    for _ in 0..3 {
        rig.store.append(now, &message).unwrap();
    }
    rig.settle(Mono(1));
    let opened = opening(&config, None).run(&copy(&rig.files)).unwrap();
    assert_eq!((opened.state().last_seq, opened.sources[0].seq), (6, 30));
}

/// What limits took that are no more is known by the index alone, which another one has to replace.
#[test]
fn an_end_that_is_cut_off_does_not_take_the_index_along() {
    let mut rig = Rig::files(Config { max_msgs: 3, ..small() }, 7);
    let (message, now) =
        (NewMessage { subject: b"s", ..Default::default() }, Now { mono: Mono(1), wall: Wall(1) });
    for _ in 0..6 {
        rig.store.append(now, &message).unwrap();
    }
    rig.settle(Mono(1));
    assert_eq!(rig.store.stop(), Step::Ready(()));
    rig.settle(Mono(1));
    rig.reopen(true, Now { mono: Mono(2), wall: Wall(2) });
    rig.store.configure(small());
    rig.settle(Mono(2));
    let mut cut = Truncate::new(5);
    while rig.store.truncate(&mut cut, now) == Step::Wait {
        rig.step(Mono(2));
    }
    let mut submitted = Vec::new();
    rig.store.take_submissions(&mut submitted);
    let told: Vec<String> = submitted.iter().map(|submission| format!("{:?}", submission.op)).collect();
    let of_the_index = |what: &str| told.iter().any(|op| op.starts_with(what) && op.contains("index.db"));
    assert!(!of_the_index("remove") && of_the_index("replace"), "{told:?}");
}

#[test]
fn a_stale_index_saves_reading_the_rest() {
    let config = small();
    let mut rig = Rig::files(config.clone(), 1);
    let mut draw = Seeded::new(4);
    for _ in 0..400 {
        act(&mut rig, &mut draw, false);
    }
    rig.settle(Mono(1));
    assert_eq!(rig.store.stop(), Step::Ready(()));
    for _ in 0..60 {
        act(&mut rig, &mut draw, false);
    }
    rig.settle(Mono(1));
    let opened = opening(&config, None).run(&copy(&rig.files)).unwrap();
    let How::Replayed { records } = opened.recovery.how else { panic!("{:?}", opened.recovery) };
    assert_eq!(records, 60);
    assert!(opened.recovery.blocks_read < 6, "{:?}", opened.recovery);
}

/// A block in the middle that emptied keeps its file until the next index, as deletions elsewhere speak of it. When everything goes, that goes as well.
#[test]
fn what_waited_for_an_index_goes_with_a_purge() {
    let everything: [fn(&mut Rig); 2] = [
        |rig| {
            rig.store.purge().unwrap();
        },
        |rig| {
            let mut query = Compact::new(100);
            while rig.store.compact(&mut query) == Step::Wait {
                rig.step(Mono(1));
            }
        },
    ];
    for remove in everything {
        let mut rig = Rig::files(small(), 11);
        for _ in 0..60 {
            let message = NewMessage { subject: b"s", payload: &[7; 100], ..Default::default() };
            rig.store.append(Now { mono: Mono(1), wall: Wall(1) }, &message).unwrap();
        }
        rig.settle(Mono(1));
        rig.reopen(true, Now { mono: Mono(1), wall: Wall(1) });
        for seq in 10..50 {
            while rig.store.remove(seq, false) == Step::Wait {
                rig.step(Mono(1));
            }
        }
        remove(&mut rig);
        rig.settle(Mono(1));
        let files = copy(&rig.files);
        let index = format!("{FOLDER}/msgs/index.db");
        let _ = files.remove(&index);
        let opened = opening(&small(), None).run(&files).unwrap();
        assert_eq!(live(&opened), BTreeSet::new());
    }
}
