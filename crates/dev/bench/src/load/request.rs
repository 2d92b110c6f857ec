//! Requests and replies.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Sample, quantiles};
use crate::client::{self, Publisher};
use crate::server::{Program, Server};

/// A workload of requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requests {
    pub(crate) count: usize,
    /// Requests on their way at once.
    pub(crate) window: usize,
    /// Whether a publisher fans out to a thousand subscribers at the same time.
    pub(crate) beside_fan_out: bool,
}

const FAN_OUT: usize = 1000;
/// Messages per second of the publisher that fans out.
const FAN_OUT_RATE: u64 = 300;

/// Runs the workload once against a fresh server.
pub(crate) fn requests(program: &Program, load: Requests) -> Result<Sample, String> {
    let server = Server::start(program, &[])?;
    let responder = client::connect(server.port)?;
    let answering = respond(responder)?;
    let stop = Arc::new(AtomicBool::new(false));
    let beside = if load.beside_fan_out { Some(fan_out(server.port, stop.clone())?) } else { None };
    let mut stream = client::connect(server.port)?;
    client::send(&mut stream, b"SUB _INBOX.bench.* 9\r\n")?;
    let (before, started) = (server.cpu_ns(), Instant::now());
    let delays = ask(&mut stream, load)?;
    let elapsed = started.elapsed().as_secs_f64();
    let cost = server.cpu_ns() - before;
    stop.store(true, Ordering::Relaxed);
    if let Some(threads) = beside {
        for thread in threads {
            thread.join().map_err(|_| "the fan-out panicked")?;
        }
    }
    let memory = server.peak_kb() as f64;
    drop(server);
    let _ = answering.join();
    let (p50_us, p99_us) = quantiles(delays);
    let count = load.count as f64;
    Ok(Sample { cpu_ns: cost as f64 / count, rate: count / elapsed, memory, p50_us, p99_us })
}

/// Splits a stream of MSG and PING lines; calls `message` with the fields of the line and the payload.
fn each(buffer: &mut Vec<u8>, mut message: impl FnMut(&[&[u8]], &[u8])) -> Result<(), String> {
    let mut at = 0;
    while let Some(len) = buffer[at..].windows(2).position(|w| w == b"\r\n") {
        let line = &buffer[at..at + len];
        let body = at + len + 2;
        if line.starts_with(b"PING") || line.starts_with(b"PONG") {
            at = body;
            continue;
        }
        let fields: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
        let size = fields.last().and_then(|n| std::str::from_utf8(n).ok()?.parse::<usize>().ok());
        let size = size.ok_or_else(|| format!("not a message: {}", line.escape_ascii()))?;
        let Some(payload) = buffer.get(body..body + size) else { break };
        if buffer.len() < body + size + 2 {
            break;
        }
        message(&fields, payload);
        at = body + size + 2;
    }
    buffer.drain(..at);
    Ok(())
}

fn respond(mut stream: TcpStream) -> Result<thread::JoinHandle<()>, String> {
    client::send(&mut stream, b"SUB bench.service 1\r\n")?;
    Ok(thread::spawn(move || {
        let (mut input, mut read, mut out) = (Vec::new(), vec![0; 64 * 1024], Vec::new());
        while let Ok(n) = stream.read(&mut read) {
            if n == 0 {
                return;
            }
            input.extend_from_slice(&read[..n]);
            out.clear();
            let split = each(&mut input, |fields, payload| {
                let _ = write!(out, "PUB {} {}\r\n", String::from_utf8_lossy(fields[3]), payload.len());
                out.extend_from_slice(payload);
                out.extend_from_slice(b"\r\n");
            });
            if split.is_err() || stream.write_all(&out).is_err() {
                return;
            }
        }
    }))
}

fn ask(stream: &mut TcpStream, load: Requests) -> Result<Vec<u64>, String> {
    let mut sent_at = Vec::with_capacity(load.count);
    let mut delays = Vec::with_capacity(load.count);
    let (mut input, mut read) = (Vec::new(), vec![0; 64 * 1024]);
    let mut out = Vec::new();
    while delays.len() < load.count {
        out.clear();
        while sent_at.len() < load.count && sent_at.len() - delays.len() < load.window {
            let n = sent_at.len();
            let _ = write!(out, "PUB bench.service _INBOX.bench.{n} 4\r\nping\r\n");
            sent_at.push(Instant::now());
        }
        if !out.is_empty() {
            stream.write_all(&out).map_err(|e| e.to_string())?;
        }
        let n = stream.read(&mut read).map_err(|e| e.to_string())?;
        if n == 0 {
            return Err("the requester was disconnected".to_owned());
        }
        input.extend_from_slice(&read[..n]);
        each(&mut input, |fields, _| {
            let id = std::str::from_utf8(&fields[1][13..]).ok().and_then(|id| id.parse::<usize>().ok());
            if let Some(at) = id.and_then(|id| sent_at.get(id)) {
                delays.push(u64::try_from(at.elapsed().as_nanos()).unwrap_or(0));
            }
        })?;
    }
    Ok(delays)
}

/// A thousand subscribers, read by one thread, and a publisher at a steady rate.
fn fan_out(port: u16, stop: Arc<AtomicBool>) -> Result<Vec<thread::JoinHandle<()>>, String> {
    let mut streams = Vec::new();
    for _ in 0..FAN_OUT {
        let mut stream = client::connect(port)?;
        client::send(&mut stream, b"SUB bench.fan 1\r\n")?;
        stream.set_nonblocking(true).map_err(|e| e.to_string())?;
        streams.push(stream);
    }
    let mut publisher = client::connect(port)?;
    let stopping = stop.clone();
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while !stopping.load(Ordering::Relaxed) {
            for stream in &mut streams {
                while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
            }
            thread::sleep(Duration::from_millis(2));
        }
    });
    let writer = thread::spawn(move || {
        let mut messages = Publisher::new(0, "bench.fan", "", 128, 4096);
        while !stop.load(Ordering::Relaxed) && messages.write(&mut publisher, 1, 0).is_ok() {
            thread::sleep(Duration::from_nanos(1_000_000_000 / FAN_OUT_RATE));
        }
    });
    Ok(vec![reader, writer])
}
