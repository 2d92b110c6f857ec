//! Metadata, and names of files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_store::format::meta::{decode_consumer, decode_stream, encode_consumer, encode_stream};
use midge_store::format::names::{in_messages, in_streams, is_asset_name, is_folder_name};

fuzz_target!(|data: &[u8]| {
    if let Ok(meta) = decode_stream(data) {
        let again = encode_stream(meta.created, &meta.config).expect("the configuration is an object");
        assert_eq!(decode_stream(again.as_bytes()), Ok(meta));
    }
    if let Ok(meta) = decode_consumer(data) {
        let name = meta.name.as_deref().unwrap_or_default();
        let again =
            encode_consumer(meta.created, name, &meta.config).expect("the configuration is an object");
        let twice = decode_consumer(again.as_bytes()).expect("what was written is read");
        assert_eq!(
            (twice.created, twice.name.as_deref(), &twice.config),
            (meta.created, Some(name), &meta.config)
        );
    }
    if let Ok(name) = std::str::from_utf8(data) {
        let _ = (in_messages(name), in_streams(name));
        assert!(!is_asset_name(name) || is_folder_name(name) || name.contains('\0'));
    }
});
