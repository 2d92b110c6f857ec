use super::*;
use crate::format::record::{encode_erased, encode_message, encode_skip, encode_tombstone};
use midge_stdx::entropy::{Entropy, Seeded};

fn key() -> RecordKey {
    RecordKey::new("S", 1)
}

/// Records of several kinds, with where they start.
fn block() -> (Vec<u8>, Vec<usize>) {
    let (mut out, mut starts, key) = (Vec::new(), Vec::new(), key());
    for seq in 1..=12u64 {
        starts.push(out.len());
        match seq {
            4 => encode_tombstone(&mut out, &key, 2, 9),
            7 => encode_erased(&mut out, &key, 7, 44, &mut Seeded::new(seq)),
            9 => encode_skip(&mut out, &key, 9, 9),
            3 | 8 => {
                encode_message(&mut out, &key, seq, 9, b"a.b", b"NATS/1.0\r\nA: b\r\n\r\n", b"with headers")
            }
            _ => encode_message(&mut out, &key, seq, 9, b"a", b"", &vec![b'x'; seq as usize * 3]),
        }
        .unwrap();
    }
    (out, starts)
}

fn split<'a>(block: &'a [u8], key: &'a RecordKey) -> (Vec<(usize, Record<'a>)>, Vec<Damage>) {
    let (mut records, mut damages, mut at) = (Vec::new(), Vec::new(), 0);
    for item in Scan::new(block, key) {
        match item {
            Item::Record { at: start, record } => {
                assert_eq!(start, at);
                at += record.len();
                records.push((start, record));
            }
            Item::Damage(damage) => {
                assert_eq!(damage.from, at);
                assert!(damage.to > damage.from);
                at = damage.to;
                damages.push(damage);
            }
        }
    }
    assert_eq!(at, block.len());
    (records, damages)
}

#[test]
fn a_sound_block_is_all_records() {
    let ((block, starts), key) = (block(), key());
    let (records, damages) = split(&block, &key);
    assert_eq!(records.iter().map(|r| r.0).collect::<Vec<_>>(), starts);
    assert_eq!(damages, []);
    assert!(Walk::new(&block, 0).map(|step| step.unwrap().0).eq(starts));
    let mut order = Order::default();
    let places: Vec<_> = records.iter().map(|(_, record)| order.place(record)).collect();
    assert_eq!((order.first_seq, order.last_seq, order.messages), (1, 12, 9));
    assert_eq!((order.erased, order.skips, order.tombstones, order.ignored), (1, 1, 1, 0));
    assert_eq!(places[3], Place::Tombstone);
    assert_eq!(places[4], Place::Next { gap: 1 });
}

#[test]
fn one_flipped_bit_costs_one_record() {
    let ((sound, starts), key) = (block(), key());
    for bit in 0..sound.len() * 8 {
        let mut block = sound.clone();
        block[bit / 8] ^= 1 << (bit % 8);
        let (records, damages) = split(&block, &key);
        let hit = starts.iter().rposition(|&start| start <= bit / 8).unwrap();
        let intact = records.iter().filter(|(at, record)| sound[*at..].starts_with(record.bytes())).count();
        assert_eq!(intact, starts.len() - 1, "bit {bit}");
        if damages.is_empty() {
            // Only the borders between subject, headers and payload can move without being noticed: the checksum does not see them.
            let within = bit / 8 - starts[hit];
            let headers = matches!(hit, 2 | 7) && (25..29).contains(&within);
            assert!(headers || (20..22).contains(&within), "bit {bit}");
        } else {
            assert_eq!(damages.len(), 1, "bit {bit}");
            let end = starts.get(hit + 1).copied().unwrap_or(sound.len());
            assert_eq!(
                (damages[0].from, damages[0].to, damages[0].given_up),
                (starts[hit], end, false),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn a_block_cut_anywhere_keeps_what_is_whole() {
    let ((sound, starts), key) = (block(), key());
    for cut in 0..sound.len() {
        let (records, damages) = split(&sound[..cut], &key);
        let whole = starts.iter().skip(1).filter(|&&start| start <= cut).count();
        assert_eq!(records.len(), whole, "cut at {cut}");
        let torn = !starts.contains(&cut);
        assert_eq!(damages.len(), usize::from(torn), "cut at {cut}");
        assert!(damages.iter().all(|damage| damage.to == cut && matches!(damage.cause, Cause::Record(_))));
    }
}

#[test]
fn a_length_that_leads_to_a_later_record_hides_none() {
    let (mut block, key, mut starts) = (Vec::new(), key(), Vec::new());
    for seq in 1..=4 {
        starts.push(block.len());
        encode_message(&mut block, &key, seq, 1, b"a", b"", &[b'x'; 33]).unwrap();
    }
    assert_eq!(starts[1], 64);
    block[0] = 128;
    let (records, damages) = split(&block, &key);
    assert_eq!(records.iter().map(|r| r.0).collect::<Vec<_>>(), starts[1..]);
    assert_eq!((damages[0].from, damages[0].to), (0, 64));
}

#[test]
fn a_record_inside_a_payload_is_no_record() {
    let (mut inner, key) = (Vec::new(), key());
    encode_message(&mut inner, &key, 2, 1, b"forged", b"", b"").unwrap();
    encode_message(&mut inner, &key, 3, 1, b"forged", b"", b"").unwrap();
    for follower in [true, false] {
        let mut block = Vec::new();
        encode_message(&mut block, &key, 1, 1, b"a", b"", &inner).unwrap();
        let end = block.len();
        if follower {
            encode_message(&mut block, &key, 2, 1, b"a", b"", b"true").unwrap();
        }
        block[12] ^= 1;
        let (records, damages) = split(&block, &key);
        assert_eq!(records.len(), usize::from(follower));
        assert_eq!((damages[0].from, damages[0].to), (0, end));
    }
}

#[test]
fn reserved_space_and_garbage_end_a_block() {
    let ((sound, starts), key) = (block(), key());
    let mut block = sound.clone();
    block.resize(sound.len() + 5000, 0);
    let (records, damages) = split(&block, &key);
    assert_eq!(records.len(), starts.len());
    assert_eq!(
        damages,
        [Damage { from: sound.len(), to: block.len(), cause: Cause::Zeros, given_up: false }]
    );
    let mut block = sound.clone();
    block.resize(sound.len() + 200, 0);
    block.extend_from_slice(&sound);
    let (records, damages) = split(&block, &key);
    assert_eq!(records.len(), 2 * starts.len());
    assert_eq!(
        damages,
        [Damage { from: sound.len(), to: sound.len() + 200, cause: Cause::Zeros, given_up: false }]
    );
    let mut order = Order::default();
    records.iter().for_each(|(_, record)| _ = order.place(record));
    assert_eq!((order.messages, order.ignored, order.tombstones), (9, 11, 2));
}

#[test]
fn random_payloads_do_not_exhaust_the_search() {
    let (mut block, key, mut random) = (Vec::new(), key(), Seeded::new(3));
    let mut payload = vec![0; 500_000];
    for seq in 1..=4 {
        random.fill(&mut payload);
        encode_message(&mut block, &key, seq, 1, b"a", b"", &payload).unwrap();
    }
    block[2] ^= 0x40;
    let (records, damages) = split(&block, &key);
    assert_eq!(records.len(), 3);
    assert!(!damages[0].given_up);
}

#[test]
fn a_block_made_to_cost_much_ends_the_search_and_says_so() {
    // Every 23rd byte starts what looks like a record that reaches to the end of the block.
    let (mut block, len) = (vec![0u8; 1 << 20], 1u32 << 20);
    for at in (0..block.len() - 64).step_by(23) {
        block[at..at + 4].copy_from_slice(&(len - at as u32).to_le_bytes());
        block[at + 4] = 1;
    }
    let key = key();
    let mut scan = Scan::new(&block, &key);
    let Some(Item::Damage(damage)) = scan.next() else { panic!("a record") };
    assert!(damage.given_up);
    assert!(scan.budget > 0);
}
