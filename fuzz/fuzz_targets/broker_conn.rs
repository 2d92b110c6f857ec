//! A whole connection: bytes in, at any cut, never a panic; when it is closed nothing is left of it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use midge_broker::batch::Batch;
use midge_broker::conn::Flow;
use midge_broker::reason::Reason;
use midge_node::{Host, Ports, Usage, assemble};
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Seeded;

struct Nothing;

impl Host for Nothing {
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

fn now(at: u64) -> Now {
    Now { mono: Mono(at), wall: Wall(i64::try_from(at).unwrap_or(0)) }
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, input)) = data.split_first() else { return };
    let mut options = midge_config::Options::default();
    options.limits.max_payload = 512;
    options.limits.max_control_line = 256;
    options.limits.max_pending = 4096;
    let ports = Ports {
        secrets: Box::new(Seeded::new(1)),
        shards: 1,
        midge_version: String::new(),
        host: Box::new(Nothing),
    };
    let Ok(node) = assemble(options, ports, now(0)) else { return };
    let services = node.broker.accounts.global().index_counts().0;
    let mut conn = node.broker.accept(None, 0, now(1));
    let mut batch = Batch::new(0, 7);
    batch.begin(now(2));
    conn.greet(&mut batch);
    let mut pending: Vec<u8> = Vec::new();
    let mut reason = Reason::ClientClosed;
    let (first, second) = input.split_at(usize::from(cut).min(input.len()));
    'reads: for (n, read) in [first, second].into_iter().enumerate() {
        pending.extend_from_slice(read);
        loop {
            batch.begin(now(3 + n as u64));
            let given = Bytes::from(std::mem::take(&mut pending));
            let done = conn.ingest(&mut batch, &given);
            assert!(done.consumed <= given.len());
            pending = given[done.consumed..].to_vec();
            match done.flow {
                Flow::Close(why) => {
                    reason = why;
                    break 'reads;
                }
                Flow::Continue if batch.is_full() && done.consumed > 0 && !pending.is_empty() => {}
                _ => break,
            }
        }
    }
    conn.close(&mut batch, reason);
    assert_eq!(node.broker.connections(), 0);
    assert_eq!(node.broker.accounts.global().index_counts().0, services);
});
