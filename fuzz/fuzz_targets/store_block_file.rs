//! Compression around blocks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_store::format::block_file::{pack, unpack};
use midge_store::format::record::RecordKey;

fuzz_target!(|data: &[u8]| {
    let key = RecordKey::new("FIXS2", 1);
    let unpacked = unpack(data, &key);
    assert!(unpacked.compressed || unpacked.fault.is_none());
    if let Some(packed) = pack(data) {
        let again = unpack(&packed, &key);
        assert_eq!(*again.records, *data);
        assert!(again.compressed && again.fault.is_none());
    }
});
