//! Configuration files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_config::MemorySource;

fuzz_target!(|data: &[u8]| {
    let source = MemorySource::new().file("a.conf", data).file("b.conf", b"x: 1\n".to_vec()).variable("V", "7k");
    if let Ok(options) = midge_config::schema::load("a.conf", &source) {
        let _ = midge_config::validate::validate(&options);
        assert!(options.origin.digest.starts_with("sha256:"));
    }
});
