//! CONNECT documents: merging never panics, and no secret survives redaction of a well-formed one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_wire::connect::{Connect, redacted};

fuzz_target!(|data: &[u8]| {
    let mut connect = Connect::default();
    let merged = connect.merge(data).is_ok();
    let shown = redacted(data);
    if merged && connect.pass.len() > 12 && data.is_ascii() && !data.contains(&b'\\') {
        let elsewhere = [&connect.user, &connect.name, &connect.jwt, &connect.lang, &connect.version];
        if elsewhere.iter().all(|text| !text.contains(&connect.pass)) && data.iter().filter(|&&b| b == b':').count() == 1 {
            assert!(!shown.contains(&connect.pass));
        }
    }
});
