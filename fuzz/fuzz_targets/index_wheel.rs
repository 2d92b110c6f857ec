//! The expiry wheel: what is read is written and read again the same, and fires in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_index::wheel::{Fired, Wheel};

fuzz_target!(|data: &[u8]| {
    let Ok((mut wheel, stamp)) = Wheel::decode(data) else { return };
    assert!(wheel.len() <= data.len() / 2);
    let mut out = Vec::new();
    wheel.encode(stamp, &mut out);
    assert!(out.len() <= data.len(), "needless bytes may go, none are added");
    assert_eq!(Wheel::decode(&out).as_ref(), Ok(&(wheel.clone(), stamp)));
    while let Some(next_ns) = wheel.next_expiry_ns() {
        let mut before = None;
        let removed = wheel.expire(next_ns, |seq, expires_ns| {
            assert!(expires_ns <= next_ns && before.is_none_or(|last| last < (expires_ns, seq)));
            before = Some((expires_ns, seq));
            Fired::Remove
        });
        // Only the last second that there is, which is not a whole one, never comes.
        if removed == 0 {
            assert_eq!(next_ns, i64::MAX);
            return;
        }
    }
    assert!(wheel.is_empty());
});
