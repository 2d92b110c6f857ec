//! Keys, seeds and distinguished names as text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_auth::nkey::{self, KeyPair};

fuzz_target!(|text: &str| {
    if let Ok((kind, key)) = nkey::decode_public(text) {
        assert_eq!(nkey::encode_public(kind, &key), text);
    }
    if let Ok(pair) = KeyPair::from_seed(text) {
        assert_eq!(KeyPair::from_seed(&pair.seed()).map(|again| again.public()).ok(), Some(pair.public()));
    }
    let _ = midge_auth::dn::DistinguishedName::parse(text);
});
