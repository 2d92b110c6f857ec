//! Schedules, sources, and the old index of one block.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_store::format::legacy_index;
use midge_store::format::side::{decode_schedules, decode_sources, encode_schedules, encode_sources};

fuzz_target!(|data: &[u8]| {
    if let Ok(side) = decode_schedules(data) {
        let again = encode_schedules(side.stamp, side.entries.iter().copied());
        assert_eq!(decode_schedules(&again), Ok(side));
    }
    if let Ok(side) = decode_sources(data) {
        let again = encode_sources(side.stamp, side.entries.iter().copied());
        assert_eq!(decode_sources(&again), Ok(side));
    }
    let _ = legacy_index::decode(data);
});
