//! Messages with hostile headers to a stream with every feature: nothing panics, and what is stored can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use midge_assets::stream::config::{Alone, CheckCx, StoreCx, check, store_config};
use midge_assets::stream::publish::{Admission, Interest};
use midge_assets::stream::{Cx, Incoming, Limits, Origin, Outbox, Stream};
use midge_jsapi::errors::ApiError;
use midge_jsapi::stream_config::{Storage, StreamConfig};
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Seeded;
use midge_store::stream::{Step, Store};

struct Open;

impl Interest for Open {
    fn wants(&self, _: &[u8]) -> bool {
        true
    }
}

impl Admission for Open {
    fn server_full(&self) -> bool {
        false
    }

    fn admit(&self, _: u64) -> Result<(), ApiError> {
        Ok(())
    }

    fn atomic_batches(&self) -> usize {
        0
    }

    fn fast_batches(&self) -> usize {
        0
    }
}

fn config(features: u8) -> StreamConfig {
    let mut config = StreamConfig {
        name: "S".to_owned(),
        subjects: vec!["s.>".to_owned()],
        storage: Storage::Memory,
        max_msgs: 50,
        allow_rollup_hdrs: true,
        allow_msg_ttl: features & 1 > 0,
        allow_atomic: features & 2 > 0,
        allow_batched: features & 4 > 0,
        allow_msg_schedules: features & 8 > 0,
        ..StreamConfig::default()
    };
    if features & 16 > 0 {
        config = StreamConfig { allow_msg_counter: true, allow_msg_ttl: false, allow_msg_schedules: false, ..config };
    }
    config
}

fuzz_target!(|input: &[u8]| {
    let Some((features, input)) = input.split_first() else { return };
    let room = |_: &StreamConfig| Ok(());
    let cx = CheckCx {
        pedantic: false,
        max_duplicate_window_ns: 0,
        max_bytes_required: false,
        max_stream_bytes: 0,
        clustered: false,
        streams: &Alone,
        room: &room,
    };
    let Ok(config) = check(config(*features), &cx) else { return };
    let rules =
        StoreCx { sync_interval_set: false, sync_always: false, encrypted: false, max_payload: 1 << 20 };
    let mut store = Store::in_memory(store_config(&config, &rules), Box::new(Seeded::new(1)));
    let mut entropy = Seeded::new(2);
    let mut stream = Stream::new(config, Wall(1), &mut entropy);
    let (limits, mut outbox) = (Limits::default(), Outbox::default());
    for (at, part) in input.split(|byte| *byte == 0).enumerate() {
        let at_ns = at as u64 * 400_000_000;
        let now = Now { mono: Mono(at_ns), wall: Wall(1_700_000_000_000_000_000 + at_ns as i64) };
        let mut cx = Cx {
            now,
            entropy: &mut entropy,
            interest: &Open,
            admit: &Open,
            limits: &limits,
            outbox: &mut outbox,
        };
        let (first, rest) = part.split_at(part.len() / 4);
        let headers = if rest.starts_with(b"NATS/1.0") { rest } else { b"" };
        let reply = if first.ends_with(b"$FI") { first } else { b"r" };
        let message =
            Incoming { subject: b"s.a", reply, headers, payload: first, origin: Origin::Client };
        assert!(!matches!(stream.publish(&mut store, &message, &mut cx), Step::Wait));
        assert!(!matches!(stream.expire(&mut store, &mut cx), Step::Wait));
    }
    let state = *store.state();
    for seq in state.first_seq..=state.last_seq {
        let _ = store.load(seq);
    }
});
