//! Header blocks: what was set is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_wire::headers;

fuzz_target!(|data: &[u8]| {
    let _ = headers::find(data, b"Nats-Key");
    if data.starts_with(headers::VERSION_LINE) && !data.windows(4).take(data.len().saturating_sub(4)).any(|w| w == b"\r\n\r\n") {
        let set = headers::set(data, b"Nats-Key", b"value");
        assert_eq!(headers::find(&set, b"Nats-Key"), Some(&b"value"[..]));
    }
});
