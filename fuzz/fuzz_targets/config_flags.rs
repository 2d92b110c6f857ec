//! Command lines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_config::{Identity, MemorySource, configure};

fuzz_target!(|text: &str| {
    let arguments: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let identity = Identity { compat_version: "1.0.0".into(), midge_version: String::new() };
    let source = MemorySource::new().file("a.conf", b"port: 1\n".to_vec());
    let _ = configure(&arguments, &source, &identity);
});
