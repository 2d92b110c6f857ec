//! States of consumers, in both forms.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_store::format::consumer_state::{decode, decode_json, encode, encode_json};

fuzz_target!(|data: &[u8]| {
    if let Ok(state) = decode(data) {
        assert_eq!(decode(&encode(&state, 1_700_000_000_000_000_000)).as_ref(), Ok(&state));
        let mut json = String::new();
        encode_json(&state, &mut json);
        assert_eq!(decode_json(json.as_bytes()), Ok(state));
    }
    if let Ok(state) = decode_json(data) {
        let mut json = String::new();
        encode_json(&state, &mut json);
        assert_eq!(decode_json(json.as_bytes()), Ok(state));
    }
});
