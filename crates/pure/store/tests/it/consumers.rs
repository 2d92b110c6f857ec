//! Consumers that are killed and come back.

use std::sync::Arc;

use midge_stdx::clock::Mono;
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::consumer::delta::Delta;
use midge_store::consumer::{AckPolicy, ConsumerError, ConsumerStore, Keeping};
use midge_store::format::consumer_state::SequencePair;
use midge_store::format::keys::{AssetKey, Cipher, Context, MasterKey, WrappingKey};
use midge_store::port::Promise;
use midge_store::stream::{Config, Medium};

use crate::disk::Rig;

fn key() -> AssetKey {
    let wrapping = WrappingKey::derive(
        &MasterKey::new(b"s3cr3t"),
        "$G",
        Context::Consumer { stream: "S", consumer: "C" },
    );
    AssetKey::create(Cipher::ChaCha, &wrapping, &mut Seeded::new(3)).0
}

fn draw_change(draw: &mut Seeded, consumer: &ConsumerStore) -> Delta {
    let delivered = consumer.state().delivered;
    let pair = |consumer_seq, stream_seq| SequencePair { consumer_seq, stream_seq };
    match draw.below(10) {
        0..5 => Delta::Delivered {
            sequences: pair(delivered.consumer_seq + 1, delivered.stream_seq + 1 + draw.below(3)),
            deliveries: 1,
            at_ns: 1_700_000_000_000_000_000 + draw.below(1 << 40) as i64,
        },
        5..9 => {
            let pending = &consumer.state().pending;
            let at = draw.below(pending.len() as u64 + 1) as usize;
            let (seq, of) = pending.iter().nth(at).map_or((1, 1), |(seq, of)| (*seq, of.consumer_seq));
            Delta::Acked { sequences: pair(of, seq) }
        }
        _ => Delta::ForgetRedelivered { below: draw.below(20) },
    }
}

#[test]
fn a_killed_consumer_comes_back_with_every_change() {
    for seed in 0..60 {
        let mut draw = Seeded::new(seed);
        let sealed = draw.below(2) == 0;
        let policy = [AckPolicy::Explicit, AckPolicy::All][draw.below(2) as usize];
        let mut rig = Rig::files(Config::new("S", Medium::File), seed);
        let name: Arc<str> = "C".into();
        let asset_key = || sealed.then(key);
        let mut consumer = ConsumerStore::new(name.clone(), Keeping::File, asset_key(), policy, 0);
        assert!(!consumer.has_state());
        for round in 0..draw.below(300) {
            let changes: Vec<Delta> =
                (0..1 + draw.below(3)).map(|_| draw_change(&mut draw, &consumer)).collect();
            let promise = [Promise::Cached, Promise::Durable][draw.below(2) as usize];
            match consumer.apply(&changes, promise, &mut rig.store) {
                Ok(()) | Err(ConsumerError::NotPending) => {}
                Err(error) => panic!("{error}"),
            }
            if draw.below(40) == 0 {
                consumer.write(i64::try_from(round).unwrap(), &mut draw, Promise::Durable, &mut rig.store);
            }
            consumer.checkpoint(0, &mut draw, &mut rig.store);
            if draw.below(4) == 0 {
                rig.step(Mono(round));
            }
        }
        rig.settle(Mono(1000));
        let report = rig.restart();
        let found = report.deltas.iter().find(|deltas| deltas.consumer == name);
        let deltas = found.map(|deltas| deltas.changes.clone()).unwrap_or_default();
        let file = rig.file("obs/C/o.dat");
        let back = ConsumerStore::open(name, asset_key(), (policy, 0), &file, &deltas).unwrap();
        let (mut state, mut wanted) = (back.state().clone(), consumer.state().clone());
        // The file has times in whole seconds, as that of the Go server; the journal has all of them.
        let times = |state: &mut midge_store::format::consumer_state::ConsumerState| {
            state.pending.values_mut().for_each(|pending| pending.delivered_ns = 0);
        };
        times(&mut state);
        times(&mut wanted);
        assert_eq!(state, wanted, "seed {seed}");
        assert_eq!(back.has_state(), consumer.has_state());
    }
}

#[test]
fn a_consumer_in_memory_leaves_nothing() {
    let mut rig = Rig::files(Config::new("S", Medium::File), 1);
    let mut consumer = ConsumerStore::new("C".into(), Keeping::Memory, None, AckPolicy::Explicit, 0);
    let sequences = SequencePair { consumer_seq: 1, stream_seq: 1 };
    let change = Delta::Delivered { sequences, deliveries: 1, at_ns: 5 };
    consumer.apply(&[change], Promise::Durable, &mut rig.store).unwrap();
    consumer.write(0, &mut Seeded::new(1), Promise::Durable, &mut rig.store);
    let mut submitted = Vec::new();
    rig.store.take_submissions(&mut submitted);
    assert!(submitted.is_empty() && consumer.has_state());
}

#[test]
fn a_damaged_state_is_reported_not_replaced() {
    let open = |file: &[u8]| ConsumerStore::open("C".into(), None, (AckPolicy::Explicit, 0), file, &[]);
    assert!(open(&[22, 9, 1]).unwrap_err().to_string().starts_with("consumer C: o.dat: "));
    let sealed = ConsumerStore::open("C".into(), Some(key()), (AckPolicy::Explicit, 0), &[0; 80], &[]);
    assert!(sealed.is_err());
    assert!(!open(&[]).unwrap().has_state());
}
