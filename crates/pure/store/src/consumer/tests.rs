use midge_stdx::entropy::{Entropy as _, Seeded};

use super::delta::{Delta, decode, encode};
use super::{AckPolicy, ConsumerError, Machine};
use crate::format::consumer_state::{ConsumerState, Pending, SequencePair};

fn pair(consumer_seq: u64, stream_seq: u64) -> SequencePair {
    SequencePair { consumer_seq, stream_seq }
}

fn delivered(consumer_seq: u64, stream_seq: u64, deliveries: u64) -> Delta {
    let at_ns = 1_000 * i64::try_from(consumer_seq).unwrap();
    Delta::Delivered { sequences: pair(consumer_seq, stream_seq), deliveries, at_ns }
}

fn acked(consumer_seq: u64, stream_seq: u64) -> Delta {
    Delta::Acked { sequences: pair(consumer_seq, stream_seq) }
}

fn machine(policy: AckPolicy, deltas: &[Delta]) -> Machine {
    let mut machine = Machine::new(policy, 0, ConsumerState::default());
    deltas.iter().for_each(|delta| machine.apply(delta).unwrap());
    machine
}

fn pending(machine: &Machine) -> Vec<u64> {
    machine.state().pending.keys().copied().collect()
}

#[test]
fn without_acks_the_floor_follows_what_is_delivered() {
    let mut machine = machine(AckPolicy::None, &[delivered(1, 10, 1), delivered(2, 12, 1)]);
    assert_eq!((machine.state().delivered, machine.state().ack_floor), (pair(2, 12), pair(2, 12)));
    assert_eq!(machine.apply(&delivered(3, 12, 2)), Err(ConsumerError::NoAcks));
    assert_eq!(machine.apply(&acked(2, 12)), Err(ConsumerError::NoAcks));
    assert_eq!(ConsumerError::NoAcks.to_string(), "ack policy is none");
}

#[test]
fn an_ack_of_the_oldest_moves_the_floor_to_just_before_the_next() {
    let all = [delivered(1, 10, 1), delivered(2, 20, 1), delivered(3, 30, 1), delivered(4, 40, 1)];
    let mut machine = machine(AckPolicy::Explicit, &all);
    machine.apply(&acked(2, 20)).unwrap();
    assert_eq!(machine.state().ack_floor, pair(0, 0), "1 is still pending");
    machine.apply(&acked(1, 10)).unwrap();
    assert_eq!((machine.state().ack_floor, pending(&machine)), (pair(2, 29), vec![30, 40]));
    machine.apply(&acked(4, 40)).unwrap();
    assert_eq!(machine.state().ack_floor, pair(2, 29));
    machine.apply(&acked(3, 30)).unwrap();
    assert_eq!((machine.state().ack_floor, machine.state().delivered), (pair(4, 40), pair(4, 40)));
}

#[test]
fn an_ack_of_all_drops_everything_before_it() {
    let all = [delivered(1, 10, 1), delivered(2, 20, 1), delivered(3, 10, 2), delivered(4, 30, 1)];
    for policy in [AckPolicy::All, AckPolicy::FlowControl] {
        let mut machine = machine(policy, &all);
        machine.apply(&acked(2, 20)).unwrap();
        assert_eq!((machine.state().ack_floor, pending(&machine)), (pair(2, 20), vec![30]));
        assert!(machine.state().redelivered.is_empty());
    }
}

#[test]
fn an_ack_of_all_may_name_one_that_is_gone() {
    let all = [delivered(1, 10, 1), delivered(2, 20, 1), delivered(3, 30, 1), delivered(4, 40, 1)];
    let mut machine = machine(AckPolicy::All, &all);
    let mut state = machine.state().clone();
    state.pending.retain(|seq, _| ![20, 40].contains(seq));
    machine.apply(&Delta::Replaced { state }).unwrap();
    assert_eq!(machine.apply(&acked(5, 50)), Err(ConsumerError::NotPending), "never delivered");
    machine.apply(&acked(2, 20)).unwrap();
    assert_eq!((machine.state().ack_floor, pending(&machine)), (pair(2, 20), vec![30]));
    machine.apply(&acked(3, 30)).unwrap();
    assert_eq!(machine.state().ack_floor, pair(4, 40), "nothing is waited for");
    assert_eq!(machine.apply(&acked(5, 40)), Err(ConsumerError::NotPending));
}

#[test]
fn acks_that_come_twice_or_for_nothing() {
    let mut machine = machine(AckPolicy::Explicit, &[delivered(1, 10, 1), delivered(2, 20, 1), acked(1, 10)]);
    let before = machine.state().clone();
    assert_eq!(machine.apply(&acked(1, 10)), Ok(()), "at or below the floor: nothing to do");
    assert_eq!(machine.apply(&acked(7, 70)), Err(ConsumerError::NotPending));
    assert_eq!(*machine.state(), before);
    assert_eq!(ConsumerError::NotPending.to_string(), "no message found");
}

#[test]
fn redeliveries_are_counted_and_end_at_the_maximum() {
    let mut machine = Machine::new(AckPolicy::Explicit, 2, ConsumerState::default());
    for delta in [delivered(1, 10, 1), delivered(2, 11, 1), delivered(3, 10, 2)] {
        machine.apply(&delta).unwrap();
    }
    assert_eq!(machine.state().redelivered.get(&10), Some(&1));
    assert_eq!(machine.state().pending[&10], Pending { consumer_seq: 1, delivered_ns: 3_000 });
    machine.apply(&delivered(4, 10, 3)).unwrap();
    assert_eq!((machine.state().redelivered.get(&10), pending(&machine)), (Some(&2), vec![11]));
    machine.apply(&Delta::ForgetRedelivered { below: 11 }).unwrap();
    assert!(machine.state().redelivered.is_empty());
}

#[test]
fn states_of_others_have_to_be_sound_and_newer() {
    let mut machine = machine(AckPolicy::Explicit, &[delivered(1, 10, 1), delivered(2, 20, 1), acked(1, 10)]);
    let state = |floor, delivered, pending: &[u64]| ConsumerState {
        ack_floor: floor,
        delivered,
        pending: pending.iter().map(|seq| (*seq, Pending::default())).collect(),
        ..ConsumerState::default()
    };
    for (other, error) in [
        (state(pair(3, 1), pair(2, 20), &[]), "bad ack floor for consumer"),
        (state(pair(1, 21), pair(2, 20), &[]), "bad ack floor for stream"),
        (state(pair(1, 10), pair(2, 20), &[10]), "bad pending entry, sequence [10] out of range"),
        (state(pair(1, 10), pair(2, 20), &[21]), "bad pending entry, sequence [21] out of range"),
        (state(pair(0, 0), pair(1, 20), &[]), "old update ignored"),
        (state(pair(1, 9), pair(2, 20), &[]), "old update ignored"),
    ] {
        assert_eq!(machine.accepts(&other).unwrap_err().to_string(), error);
    }
    let newer = state(pair(2, 20), pair(3, 30), &[30]);
    machine.accepts(&newer).unwrap();
    machine.apply(&Delta::Replaced { state: newer.clone() }).unwrap();
    assert_eq!(*machine.state(), newer);
}

#[test]
fn a_reset_forgets_and_starts_again() {
    let mut machine = machine(AckPolicy::Explicit, &[Delta::Starting { stream_seq: 5 }, delivered(1, 10, 1)]);
    machine.apply(&Delta::Reset { stream_seq: 3 }).unwrap();
    let fresh = ConsumerState { delivered: pair(0, 3), ack_floor: pair(0, 3), ..ConsumerState::default() };
    assert_eq!(*machine.state(), fresh);
    machine.apply(&Delta::RaiseStarting { stream_seq: 8 }).unwrap();
    machine.apply(&Delta::RaiseStarting { stream_seq: 6 }).unwrap();
    assert_eq!((machine.state().delivered, machine.state().ack_floor), (pair(0, 8), pair(0, 3)));
}

/// A life of a consumer at random: new messages, redeliveries, acks in any order, now and then something else.
fn life(entropy: &mut Seeded, steps: usize) -> Vec<Delta> {
    let mut deltas = Vec::new();
    let (mut consumer, mut stream) = (0, 0);
    let mut out: Vec<(u64, u64, u64)> = Vec::new();
    for _ in 0..steps {
        let pick = entropy.below(10);
        if pick < 4 || out.is_empty() {
            consumer += 1;
            stream += 1 + entropy.below(3);
            out.push((consumer, stream, 1));
            deltas.push(delivered(consumer, stream, 1));
        } else {
            let at = usize::try_from(entropy.below(out.len() as u64)).unwrap();
            if pick < 6 {
                consumer += 1;
                out[at].2 += 1;
                deltas.push(delivered(consumer, out[at].1, out[at].2));
            } else if pick < 9 {
                let (first, seq, _) = out.remove(at);
                deltas.push(acked(first, seq));
            } else {
                deltas.push(Delta::ForgetRedelivered { below: out[at].1 });
            }
        }
        if entropy.below(200) == 0 {
            consumer = 0;
            out.clear();
            deltas.push(Delta::Reset { stream_seq: stream });
        }
    }
    deltas
}

#[test]
fn deltas_survive_their_encoding_and_every_cut_is_noticed() {
    let mut deltas = life(&mut Seeded::new(7), 300);
    let state = machine(AckPolicy::Explicit, &deltas).state().clone();
    deltas.push(Delta::Replaced { state });
    deltas.extend([Delta::Starting { stream_seq: u64::MAX }, Delta::RaiseStarting { stream_seq: 0 }]);
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    for delta in &deltas {
        encode(delta, &mut bytes);
        ends.push(bytes.len());
    }
    assert_eq!(decode(&bytes).collect::<Result<Vec<_>, _>>().unwrap(), deltas);
    for cut in 0..bytes.len() {
        let whole = decode(&bytes[..cut]).all(|delta| delta.is_ok());
        assert_eq!(whole, ends.contains(&cut), "cut at {cut}");
    }
    let error = decode(&[1, 5, 9]).last().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no change of a consumer has kind 9 (offset 2)");
}

#[test]
fn deltas_applied_again_over_a_later_checkpoint_give_the_same_state() {
    for seed in 0..300 {
        let mut entropy = Seeded::new(seed);
        let deltas = life(&mut entropy, 80);
        let whole = machine(AckPolicy::Explicit, &deltas).state().clone();
        // The journal holds what followed an older checkpoint; the file may hold a newer one.
        let newer = usize::try_from(entropy.below(deltas.len() as u64 + 1)).unwrap();
        let older = usize::try_from(entropy.below(newer as u64 + 1)).unwrap();
        let mut machine = machine(AckPolicy::Explicit, &deltas[..newer]);
        for delta in &deltas[older..] {
            // What was already acknowledged is refused the second time, as it should be.
            let _ = machine.apply(delta);
        }
        assert_eq!(*machine.state(), whole, "seed {seed}: from {older} over {newer} of {}", deltas.len());
    }
}
