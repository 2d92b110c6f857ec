//! What much of something costs: subjects, ids, streams, consumers. Memory is growth of the resident memory for each of them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::publish::{self, PLAIN, Publishes};
use super::wire::{Frame, Wire};
use crate::load::Sample;
use crate::server::Server;

/// What a server holds has settled when it has not moved by more than a hundredth for so long; longer than caches live.
const QUIET: Duration = Duration::from_secs(15);
/// It is taken as it is after this time.
const UNSETTLED: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// The resident memory once caches are given up, kilobytes.
pub(super) fn settled_kb(server: &Server) -> u64 {
    let started = Instant::now();
    let (mut held, mut since) = (server.resident_kb(), started);
    while since.elapsed() < QUIET && started.elapsed() < UNSETTLED {
        std::thread::sleep(LOOK);
        let now = server.resident_kb();
        if now.abs_diff(held) * 100 > held {
            (held, since) = (now, Instant::now());
        }
    }
    server.resident_kb()
}

/// What was done since a moment, and the growth for each of `count` once caches are given up.
fn sample(server: &Server, (resident, cpu, started): (u64, u64, Instant), count: usize) -> Sample {
    let count = count as f64;
    let (cpu_ns, rate) = ((server.cpu_ns() - cpu) as f64 / count, count / started.elapsed().as_secs_f64());
    let memory = settled_kb(server).saturating_sub(resident) as f64 * 1024.0 / count;
    Sample { cpu_ns, rate, memory, ..Sample::default() }
}

fn begin(server: &Server) -> (u64, u64, Instant) {
    (server.resident_kb(), server.cpu_ns(), Instant::now())
}

/// Messages of one stream, each with a subject of its own.
pub(super) fn subjects(server: &Server, count: usize) -> Result<Sample, String> {
    let mut wire = Wire::connect(server.port)?;
    publish::create(&mut wire, 0, ",\"max_msgs_per_subject\":1")?;
    wire.subscribe("_A.0")?;
    let begun = begin(server);
    publish::one(&mut wire, 0, &Publishes { most: count, subjects: count, ..PLAIN })?;
    Ok(sample(server, begun, count))
}

/// Ids in the window of duplicates: what messages with them take more than the same ones without.
pub(super) fn ids(server: &Server, count: usize) -> Result<Sample, String> {
    let load = Publishes { most: count, size: 16, ..PLAIN };
    let mut grown = Vec::new();
    let mut last = Sample::default();
    for (n, ids) in [false, true].into_iter().enumerate() {
        let mut wire = Wire::connect(server.port)?;
        publish::create(&mut wire, n, ",\"duplicate_window\":3600000000000")?;
        wire.subscribe(&format!("_A.{n}"))?;
        // The first of them make buffers and tables that stay.
        publish::one(&mut wire, n, &Publishes { most: 10_000, ..load })?;
        let begun = begin(server);
        publish::one(&mut wire, n, &Publishes { ids, ..load })?;
        last = sample(server, begun, count);
        grown.push(last.memory);
    }
    let memory = grown.iter().rev().copied().reduce(|with, without| with - without).unwrap_or(0.0);
    Ok(Sample { memory: memory.max(0.1), ..last })
}

/// Requests to the API, some at a time; all have to succeed.
fn requests(
    wire: &mut Wire,
    count: usize,
    window: usize,
    mut ask: impl FnMut(&mut String, usize),
) -> Result<(), String> {
    wire.subscribe("_M")?;
    let (mut sent, mut answered, mut out) = (0, 0, String::new());
    while answered < count {
        while sent < count && sent - answered < window {
            ask(&mut out, sent);
            sent += 1;
        }
        if !out.is_empty() {
            wire.write(out.as_bytes())?;
            out.clear();
        }
        wire.read(|frame: &Frame<'_>| {
            answered += 1;
            let refused = frame.payload.windows(8).any(|w| w == b"\"error\":");
            if refused { Err(frame.text()) } else { Ok(()) }
        })?;
    }
    Ok(())
}

fn request(out: &mut String, subject: &str, body: &str) {
    let _ = write!(out, "PUB {subject} _M {}\r\n{body}\r\n", body.len());
}

/// Streams without messages, made one after the other, 16 at a time.
pub(super) fn streams(server: &Server, count: usize) -> Result<Sample, String> {
    let mut wire = Wire::connect(server.port)?;
    let begun = begin(server);
    requests(&mut wire, count, 16, |out, n| {
        let body = format!(
            "{{\"name\":\"S{n}\",\"subjects\":[\"s{n}.>\"],\"retention\":\"limits\",\"storage\":\"file\",\"max_consumers\":-1,\"num_replicas\":1}}"
        );
        request(out, &format!("$JS.API.STREAM.CREATE.S{n}"), &body);
    })?;
    Ok(sample(server, begun, count))
}

/// Durable consumers over some streams, 64 requests at a time.
pub(super) fn consumers(server: &Server, streams: usize, count: usize) -> Result<Sample, String> {
    let mut wire = Wire::connect(server.port)?;
    for n in 0..streams {
        publish::create(&mut wire, n, "")?;
    }
    let begun = begin(server);
    requests(&mut wire, count, 64, |out, n| {
        let stream = n % streams;
        let body = format!(
            "{{\"stream_name\":\"S{stream}\",\"action\":\"create\",\"config\":{{\"durable_name\":\"c{n}\",\"ack_policy\":\"explicit\"}}}}"
        );
        request(out, &format!("$JS.API.CONSUMER.CREATE.S{stream}.c{n}"), &body);
    })?;
    Ok(sample(server, begun, count))
}
