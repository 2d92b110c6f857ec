//! Publishing into streams: windows of outstanding acknowledgements, one or many streams.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use super::wire::Wire;
use crate::load::{Sample, quantiles};
use crate::server::Server;

/// How a load of publishes looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publishes {
    /// Streams, each with a publisher and a connection of its own.
    pub(super) streams: usize,
    /// Outstanding acknowledgements of each publisher.
    pub(super) window: usize,
    pub(super) size: usize,
    /// Publishers stop after this many messages each, or after the time.
    pub(super) most: usize,
    pub(super) time: Duration,
    /// Distinct subjects; 1 for one.
    pub(super) subjects: usize,
    /// Groups that these are in, by a token before the last; none for 0.
    pub(super) groups: usize,
    /// With `Nats-Msg-Id`.
    pub(super) ids: bool,
    /// More of the stream's configuration, as JSON members.
    pub(super) config: &'static str,
}

/// One stream, a thousand outstanding, 128 bytes, for a second.
pub(super) const PLAIN: Publishes = Publishes {
    streams: 1,
    window: 1000,
    size: 128,
    most: usize::MAX,
    time: Duration::from_secs(1),
    subjects: 1,
    groups: 0,
    ids: false,
    config: "",
};

/// Makes stream `S<n>` with the subjects `s<n>.>`.
pub(super) fn create(wire: &mut Wire, n: usize, config: &str) -> Result<(), String> {
    let body = format!(
        "{{\"name\":\"S{n}\",\"subjects\":[\"s{n}.>\"],\"retention\":\"limits\",\"storage\":\"file\",\"max_consumers\":-1,\"num_replicas\":1{config}}}"
    );
    wire.request(&format!("$JS.API.STREAM.CREATE.S{n}"), &body).map(drop)
}

/// Bytes of one write at most.
const WRITE: usize = 64 * 1024;

/// Publishes to one stream; the messages acknowledged, and delays in nanoseconds.
pub(super) fn one(wire: &mut Wire, n: usize, load: &Publishes) -> Result<(usize, Vec<u64>), String> {
    let payload = vec![b'x'; load.size];
    let (mut sent, mut acked) = (0, 0);
    let mut delays = Vec::new();
    let mut outstanding: VecDeque<Instant> = VecDeque::with_capacity(load.window);
    let mut out = Vec::with_capacity(WRITE + 4096);
    let started = Instant::now();
    loop {
        let open = sent < load.most && (load.most < usize::MAX || started.elapsed() < load.time);
        if !open && outstanding.is_empty() {
            return Ok((acked, delays));
        }
        out.clear();
        let now = Instant::now();
        while open && outstanding.len() < load.window && sent < load.most && out.len() < WRITE {
            let subject = sent % load.subjects;
            let group = subject.checked_rem(load.groups).map(|group| format!("{group}.")).unwrap_or_default();
            if load.ids {
                let header = format!("NATS/1.0\r\nNats-Msg-Id: id-{n}-{sent:010}\r\n\r\n");
                let _ = write!(
                    out,
                    "HPUB s{n}.{group}{subject} _A.{n} {} {}\r\n{header}",
                    header.len(),
                    header.len() + load.size
                );
            } else {
                let _ = write!(out, "PUB s{n}.{group}{subject} _A.{n} {}\r\n", load.size);
            }
            out.extend_from_slice(&payload);
            out.extend_from_slice(b"\r\n");
            outstanding.push_back(now);
            sent += 1;
        }
        if !out.is_empty() {
            wire.write(&out)?;
        }
        if outstanding.len() < load.window && sent < load.most && open {
            continue;
        }
        wire.read(|frame| {
            frame.acknowledges()?;
            acked += 1;
            if let Some(at) = outstanding.pop_front() {
                delays.push(u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            Ok(())
        })?;
    }
}

/// Runs the load; the first messages, which meet an empty server, are not measured.
pub(super) fn run(server: &Server, load: &Publishes) -> Result<Sample, String> {
    let mut wires = Vec::new();
    for n in 0..load.streams {
        let mut wire = Wire::connect(server.port)?;
        create(&mut wire, n, load.config)?;
        wire.subscribe(&format!("_A.{n}"))?;
        wires.push(wire);
    }
    if load.streams > 1 {
        return many_connections(server, wires, load);
    }
    let mut wire = wires.pop().ok_or("no stream")?;
    if load.most == usize::MAX {
        one(&mut wire, 0, &Publishes { most: 200, ids: false, ..*load })?;
    }
    let (cpu, resident, started) = (server.cpu_ns(), server.resident_kb(), Instant::now());
    let (acked, delays) = one(&mut wire, 0, load)?;
    let elapsed = started.elapsed().as_secs_f64();
    let count = acked as f64;
    let (p50_us, p99_us) = quantiles(delays);
    Ok(Sample {
        cpu_ns: (server.cpu_ns() - cpu) as f64 / count,
        rate: count / elapsed,
        memory: server.resident_kb().saturating_sub(resident) as f64 * 1024.0 / count,
        p50_us,
        p99_us,
    })
}

fn many_connections(server: &Server, wires: Vec<Wire>, load: &Publishes) -> Result<Sample, String> {
    let (cpu, started) = (server.cpu_ns(), Instant::now());
    let mut threads = Vec::new();
    for (n, mut wire) in wires.into_iter().enumerate() {
        let load = *load;
        threads.push(thread::spawn(move || one(&mut wire, n, &load)));
    }
    joined(server, cpu, started, threads)
}

/// A thread that publishes; how many were acknowledged, and the delays.
type Publisher = thread::JoinHandle<Result<(usize, Vec<u64>), String>>;

/// What publishers on threads of their own did together.
fn joined(server: &Server, cpu: u64, started: Instant, threads: Vec<Publisher>) -> Result<Sample, String> {
    let (mut acked, mut delays) = (0, Vec::new());
    for thread in threads {
        let (count, more) = thread.join().map_err(|_| "a publisher panicked")??;
        acked += count;
        delays.extend(more);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let (p50_us, p99_us) = quantiles(delays);
    Ok(Sample {
        cpu_ns: (server.cpu_ns() - cpu) as f64 / acked as f64,
        rate: acked as f64 / elapsed,
        p50_us,
        p99_us,
        ..Sample::default()
    })
}

/// Connections that share many streams.
const SHARES: usize = 4;

/// Many streams with one message outstanding each.
pub(super) fn lanes(server: &Server, streams: usize, time: Duration) -> Result<Sample, String> {
    let mut first = Wire::connect(server.port)?;
    for n in 0..streams {
        create(&mut first, n, "")?;
    }
    let mut wires = Vec::new();
    for share in 0..SHARES {
        let mut wire = Wire::connect(server.port)?;
        wire.subscribe(&format!("_A.{share}.*"))?;
        wires.push(wire);
    }
    let (cpu, started) = (server.cpu_ns(), Instant::now());
    let mut threads = Vec::new();
    for (share, mut wire) in wires.into_iter().enumerate() {
        threads.push(thread::spawn(move || lane_share(&mut wire, share, streams, time)));
    }
    joined(server, cpu, started, threads)
}

fn lane_share(
    wire: &mut Wire,
    share: usize,
    streams: usize,
    time: Duration,
) -> Result<(usize, Vec<u64>), String> {
    let payload = "x".repeat(128);
    let publish = |out: &mut String, n: usize| {
        let _ = write!(out, "PUB s{n}.a _A.{share}.{n} 128\r\n{payload}\r\n");
    };
    let mut sent_at = vec![Instant::now(); streams];
    let mut out = String::new();
    let mut outstanding = 0;
    for n in (share..streams).step_by(SHARES) {
        publish(&mut out, n);
        outstanding += 1;
    }
    let (started, mut acked, mut delays) = (Instant::now(), 0, Vec::new());
    wire.write(out.as_bytes())?;
    while outstanding > 0 {
        out.clear();
        let now = Instant::now();
        let open = started.elapsed() < time;
        wire.read(|frame| {
            frame.acknowledges()?;
            let n = frame.lane();
            let at = sent_at.get_mut(n).ok_or("an unknown lane")?;
            delays.push(u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX));
            acked += 1;
            if open {
                *at = now;
                publish(&mut out, n);
            } else {
                outstanding -= 1;
            }
            Ok(())
        })?;
        if !out.is_empty() {
            wire.write(out.as_bytes())?;
        }
    }
    Ok((acked, delays))
}
