//! States of replicated streams.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_store::format::stream_state::{DeleteBlock, decode, encode};

fuzz_target!(|data: &[u8]| {
    let Ok(mut state) = decode(data) else { return };
    state.deleted.retain(|block| !matches!(block, DeleteBlock::Set(set) if set.is_empty()));
    assert_eq!(decode(&encode(&state)), Ok(state));
});
