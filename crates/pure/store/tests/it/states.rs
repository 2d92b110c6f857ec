//! States of consumers in real stores.

use midge_store::format::consumer_state::{ConsumerState, SequencePair, decode, encode};

use crate::fixtures::{Stream, file, stream, streams};

fn state(stream: &Stream, consumer: &str) -> (ConsumerState, Vec<u8>) {
    let bytes = file(stream.path.join("obs").join(consumer).join("o.dat"));
    let plain = stream.consumer_key(consumer).map_or(bytes.clone(), |key| key.unseal(&bytes).unwrap());
    (decode(&plain).unwrap(), plain)
}

/// Floor, delivered, pending (stream and consumer sequence), redelivered.
type Summary = ([u64; 2], [u64; 2], Vec<(u64, u64)>, Vec<(u64, u64)>);

fn summary(state: &ConsumerState) -> Summary {
    let pair = |pair: SequencePair| [pair.consumer_seq, pair.stream_seq];
    let pending = state.pending.iter().map(|(seq, pending)| (*seq, pending.consumer_seq)).collect();
    let redelivered = state.redelivered.iter().map(|(seq, count)| (*seq, *count)).collect();
    (pair(state.ack_floor), pair(state.delivered), pending, redelivered)
}

#[test]
fn the_five_kinds_of_consumers() {
    let stream = stream("consumer", "FIXCON");
    let of = |name| summary(&state(&stream, name).0);
    let (floor, delivered, pending, redelivered) = of("EXPL");
    assert_eq!((floor, delivered), ([2, 2], [11, 8]));
    assert_eq!(pending.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [3, 5, 6, 7, 8]);
    assert_eq!(redelivered, [(5, 2), (6, 1)]);
    let pending: Vec<(u64, u64)> = (5..=10).map(|seq| (seq, seq)).collect();
    assert_eq!(of("ALLACK"), ([4, 4], [10, 10], pending, vec![]));
    assert_eq!(of("FILT"), ([1, 3], [4, 8], vec![(4, 2), (8, 4)], vec![]));
    assert_eq!(of("FRESH"), ([0, 0], [0, 0], vec![], vec![]));
    assert_eq!(of("NONE"), ([7, 7], [7, 7], vec![], vec![]));
}

#[test]
fn every_state_agrees_with_the_api_and_is_written_again() {
    let mut seen = 0;
    for stream in streams() {
        for consumer in stream.consumers() {
            let (state, plain) = state(&stream, &consumer);
            // Written within a second of the deliveries: the base of the file is its sixth number.
            let now_ns = state.pending.values().map(|pending| pending.delivered_ns).max().unwrap_or_default();
            let again = encode(&state, now_ns);
            assert_eq!(decode(&again).unwrap(), state);
            assert_eq!(again.len(), plain.len());
            if state.pending.len() < 2 && state.redelivered.len() < 2 {
                let base = if state.pending.is_empty() { plain.len() } else { 7 };
                assert_eq!(again[..base], plain[..base]);
            }
            for cut in 1..plain.len() {
                assert!(decode(&plain[..cut]).is_err());
            }
            seen += 1;
            let Some(expected) = stream.expected().map(|stream| stream["consumers"][&consumer].clone())
            else {
                continue;
            };
            let number = |pair: &str, name: &str| expected[pair][name].as_u64().unwrap();
            let (floor, delivered, pending, redelivered) = summary(&state);
            assert_eq!(
                floor,
                [number("ack_floor", "consumer_seq"), number("ack_floor", "stream_seq")],
                "{consumer}"
            );
            assert_eq!(
                delivered,
                [number("delivered", "consumer_seq"), number("delivered", "stream_seq")],
                "{consumer}"
            );
            assert_eq!(pending.len() as u64, expected["num_ack_pending"].as_u64().unwrap());
            assert_eq!(redelivered.len() as u64, expected["num_redelivered"].as_u64().unwrap());
        }
    }
    assert_eq!(seen, 10);
}

#[test]
fn a_changed_encrypted_state_does_not_open() {
    for topic in ["encrypted", "encrypted-aes"] {
        let stream = streams().into_iter().find(|stream| stream.topic == topic).unwrap();
        let mut bytes = file(stream.path.join("obs/DUR/o.dat"));
        let key = stream.consumer_key("DUR").unwrap();
        assert!(key.unseal(&bytes).is_ok());
        assert!(stream.key().unwrap().unseal(&bytes).is_err());
        *bytes.last_mut().unwrap() ^= 1;
        assert!(key.unseal(&bytes).is_err());
    }
}
