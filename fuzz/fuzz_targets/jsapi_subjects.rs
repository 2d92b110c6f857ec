//! Subjects of the API, of acknowledgements, of flow control and of batches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_jsapi::subjects::{AckSubject, ApiCall, BatchReply, FlowSubject};

fuzz_target!(|subject: &[u8]| {
    if let Some(call) = ApiCall::parse(subject) {
        // What is asked of single streams is not asked of the system.
        assert!(!(call.is_of_the_system() && call.is_of_the_account()));
    }
    if let Some(ack) = AckSubject::parse(subject) {
        let mut text = Vec::new();
        if ack.domain.is_empty() && ack.account_hash.is_empty() {
            ack.push(&mut text);
        } else {
            ack.push_v2(&mut text);
        }
        assert_eq!(AckSubject::parse(&text).map(|again| again.stream_seq), Some(ack.stream_seq));
    }
    let _ = FlowSubject::parse(subject);
    let _ = BatchReply::parse(subject);
});
