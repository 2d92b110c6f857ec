//! Requests of the API as JSON: what is read and written again is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_jsapi::json::{self, Mode, Object};
use midge_jsapi::requests::{ConsumerCreate, MsgGet, PullRequest, StreamCreate, StreamPurge, StreamSnapshot};
use midge_jsapi::stored::{CopiedConsumer, StoredStream};

fn there_and_back<T: Object + Default>(body: &[u8]) {
    for mode in [Mode::Strict, Mode::Lenient] {
        let mut value = T::default();
        if json::decode(body, mode, &mut value).is_err() {
            continue;
        }
        let (mut text, mut again) = (Vec::new(), T::default());
        json::encode(&value, &mut text);
        json::decode_one(&text, Mode::Strict, &mut again).expect("what was written is read");
        let mut second = Vec::new();
        json::encode(&again, &mut second);
        assert_eq!(String::from_utf8_lossy(&second), String::from_utf8_lossy(&text));
    }
}

fuzz_target!(|body: &[u8]| {
    let Some((which, body)) = body.split_first() else { return };
    match which % 8 {
        0 => there_and_back::<StreamCreate>(body),
        1 => there_and_back::<ConsumerCreate>(body),
        2 => there_and_back::<MsgGet>(body),
        3 => there_and_back::<PullRequest>(body),
        4 => there_and_back::<StreamPurge>(body),
        5 => there_and_back::<StreamSnapshot>(body),
        6 => there_and_back::<CopiedConsumer>(body),
        _ => there_and_back::<StoredStream>(body),
    }
    let _ = midge_jsapi::requests::parse_pull(body);
    let _ = midge_jsapi::requests::is_empty(body);
});
