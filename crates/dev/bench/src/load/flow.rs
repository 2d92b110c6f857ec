//! Publishers and subscribers at full speed, and at a given rate for delays.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll;

use super::{Sample, quantiles};
use crate::client::{self, Publisher, Receiver};
use crate::server::{Program, Server};

/// Who receives what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Every subscriber receives everything.
    All,
    /// The n-th publisher has a subject of its own, and so has the n-th subscriber.
    Pairs,
    /// The subscribers are one queue group.
    Queue,
}

/// One workload of publishers and subscribers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) size: usize,
    pub(crate) header: &'static str,
    pub(crate) shape: Shape,
    /// Messages of each publisher.
    pub(crate) messages: usize,
}

/// Bytes of one write of a publisher.
const WRITE: usize = 64 * 1024;
const READ: usize = 256 * 1024;

/// Readers share this many threads.
const READER_THREADS: usize = 2;

impl Flow {
    fn subject(&self, n: usize) -> String {
        if self.shape == Shape::Pairs { format!("bench.{n:04}") } else { "bench.all".to_owned() }
    }

    /// Messages that all subscribers receive together.
    fn deliveries(&self) -> usize {
        let published = self.publishers * self.messages;
        if self.shape == Shape::All { published * self.subscribers } else { published }
    }

    fn receiver(&self, n: usize) -> Receiver {
        let gaps = self.shape == Shape::Queue;
        let publishers = if self.shape == Shape::Pairs { 1 } else { self.publishers };
        Receiver::new(&self.subject(n), "1", self.header, self.size, publishers, gaps)
    }

    fn subscribe(&self, port: u16) -> Result<Vec<(TcpStream, Receiver)>, String> {
        let mut list = Vec::new();
        for n in 0..self.subscribers {
            let mut stream = client::connect(port)?;
            let queue = if self.shape == Shape::Queue { "workers " } else { "" };
            client::send(&mut stream, format!("SUB {} {queue}1\r\n", self.subject(n)).as_bytes())?;
            list.push((stream, self.receiver(n)));
        }
        Ok(list)
    }
}

/// Runs a workload once against a fresh server.
pub(crate) fn flow(program: &Program, flow: Flow) -> Result<Sample, String> {
    let server = Server::start(program, &[])?;
    run(&server, flow)
}

/// The same while `beside` keeps the server busy; its thread ends when it is told to, or the server is gone.
pub(super) fn flow_beside(
    program: &Program,
    flow: Flow,
    beside: impl FnOnce(u16) -> Result<thread::JoinHandle<()>, String>,
) -> Result<Sample, String> {
    let server = Server::start(program, &[])?;
    let busy = beside(server.port)?;
    let sample = run(&server, flow);
    drop(server);
    busy.join().map_err(|_| "the connection beside panicked")?;
    sample
}

fn run(server: &Server, flow: Flow) -> Result<Sample, String> {
    let readers = flow.subscribe(server.port)?;
    let streams =
        (0..flow.publishers).map(|_| client::connect(server.port)).collect::<Result<Vec<_>, _>>()?;
    let (before, started) = (server.cpu_ns(), Instant::now());
    let total = flow.deliveries();
    let reading = read_all(readers, total, None);
    let mut writing = Vec::new();
    for (n, mut stream) in streams.into_iter().enumerate() {
        let publisher = if flow.shape == Shape::Pairs { 0 } else { n as u64 };
        let mut publisher = Publisher::new(publisher, &flow.subject(n), flow.header, flow.size, WRITE);
        writing.push(thread::spawn(move || {
            let mut left = flow.messages;
            while left > 0 {
                left -= publisher.write(&mut stream, left, 0)?;
            }
            client::send(&mut stream, b"")
        }));
    }
    for writer in writing {
        writer.join().map_err(|_| "a publisher panicked")??;
    }
    for reader in reading {
        reader.join().map_err(|_| "a subscriber panicked")??;
    }
    let elapsed = started.elapsed().as_secs_f64();
    let count = if total > 0 { total } else { flow.publishers * flow.messages } as f64;
    Ok(Sample {
        cpu_ns: (server.cpu_ns() - before) as f64 / count,
        rate: count / elapsed,
        memory: server.peak_kb() as f64,
        ..Sample::default()
    })
}

type Reading = thread::JoinHandle<Result<Vec<u64>, String>>;

/// Reads until `total` messages have come on all streams together. With `clock`, stamps are times and the delays are
/// answered.
fn read_all(readers: Vec<(TcpStream, Receiver)>, total: usize, clock: Option<Instant>) -> Vec<Reading> {
    let seen = Arc::new(AtomicUsize::new(0));
    let mut shares: Vec<Vec<(TcpStream, Receiver)>> = (0..READER_THREADS).map(|_| Vec::new()).collect();
    for (n, reader) in readers.into_iter().enumerate() {
        shares[n % READER_THREADS].push(reader);
    }
    shares.retain(|share| !share.is_empty());
    shares
        .into_iter()
        .map(|share| {
            let seen = seen.clone();
            thread::spawn(move || read_share(share, total, &seen, clock))
        })
        .collect()
}

fn read_share(
    mut share: Vec<(TcpStream, Receiver)>,
    total: usize,
    seen: &AtomicUsize,
    clock: Option<Instant>,
) -> Result<Vec<u64>, String> {
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| e.to_string())?;
    for (n, (stream, _)) in share.iter().enumerate() {
        stream.set_nonblocking(true).map_err(|e| e.to_string())?;
        epoll::add(&poller, stream, epoll::EventData::new_u64(n as u64), epoll::EventFlags::IN)
            .map_err(|e| e.to_string())?;
    }
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; READ];
    let mut delays = Vec::new();
    let mut silent = 0;
    while seen.load(Ordering::Relaxed) < total {
        events.clear();
        let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        epoll::wait(&poller, rustix::buffer::spare_capacity(&mut events), Some(&wait))
            .map_err(|e| e.to_string())?;
        silent = if events.is_empty() { silent + 1 } else { 0 };
        if silent > 200 {
            return Err(format!("{} of {total} messages came", seen.load(Ordering::Relaxed)));
        }
        for event in &events {
            let n = usize::try_from(event.data.u64()).unwrap_or(0);
            let (stream, receiver) = &mut share[n];
            let bytes = match stream.read(&mut buffer) {
                Ok(0) => return Err("a subscriber was disconnected".to_owned()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.to_string()),
            };
            let before = receiver.received;
            match clock {
                None => receiver.feed(&buffer[..bytes], |_| ())?,
                Some(clock) => {
                    let now = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(0);
                    receiver.feed(&buffer[..bytes], |sent| delays.push(now.saturating_sub(sent)))?;
                }
            }
            seen.fetch_add(receiver.received - before, Ordering::Relaxed);
        }
    }
    Ok(delays)
}

/// How often a paced publisher writes.
const TICK: Duration = Duration::from_micros(200);

/// Delays of a workload with one publisher at `rate` deliveries per second, for about a second.
pub(crate) fn latency(program: &Program, flow: Flow, rate: f64) -> Result<(f64, f64), String> {
    let server = Server::start(program, &[])?;
    let published = rate / if flow.shape == Shape::All { flow.subscribers as f64 } else { 1.0 };
    let flow = Flow { publishers: 1, messages: (published as usize).max(100), ..flow };
    let readers = flow.subscribe(server.port)?;
    let mut stream = client::connect(server.port)?;
    let clock = Instant::now();
    let reading = read_all(readers, flow.deliveries(), Some(clock));
    let mut publisher = Publisher::new(0, &flow.subject(0), flow.header, flow.size, WRITE);
    let mut sent = 0;
    while sent < flow.messages {
        let due = ((clock.elapsed().as_secs_f64() * published) as usize).min(flow.messages);
        while sent < due {
            let now = u64::try_from(clock.elapsed().as_nanos()).unwrap_or(1).max(1);
            sent += publisher.write(&mut stream, due - sent, now)?;
        }
        thread::sleep(TICK);
    }
    let mut delays = Vec::new();
    for reader in reading {
        delays.extend(reader.join().map_err(|_| "a subscriber panicked")??);
    }
    Ok(quantiles(delays))
}

/// CPU per message of reading and writing the same bytes without looking at them, nanoseconds.
pub(crate) fn bare(size: usize, messages: usize) -> Result<f64, String> {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let addr = listener.local_addr().map_err(|e| e.to_string())?;
    let one = size + 24;
    let total = one * messages;
    let start = Arc::new(Barrier::new(3));
    let gate = start.clone();
    let source = thread::spawn(move || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(addr)?;
        let buffer = vec![b'x'; one * (WRITE / one).max(1)];
        gate.wait();
        let mut left = total;
        while left > 0 {
            let n = left.min(buffer.len());
            stream.write_all(&buffer[..n])?;
            left -= n;
        }
        Ok(())
    });
    let (mut input, _) = listener.accept().map_err(|e| e.to_string())?;
    let gate = start.clone();
    let sink = thread::spawn(move || -> std::io::Result<()> {
        let mut stream = TcpStream::connect(addr)?;
        let mut buffer = vec![0; READ];
        gate.wait();
        let mut left = total;
        while left > 0 {
            left -= stream.read(&mut buffer)?;
        }
        Ok(())
    });
    let (mut output, _) = listener.accept().map_err(|e| e.to_string())?;
    start.wait();
    let before = own_cpu_ns();
    let mut buffer = vec![0; 128 * 1024];
    let mut left = total;
    while left > 0 {
        let n = input.read(&mut buffer).map_err(|e| e.to_string())?;
        output.write_all(&buffer[..n]).map_err(|e| e.to_string())?;
        left -= n;
    }
    let cost = own_cpu_ns() - before;
    source.join().map_err(|_| "the source panicked")?.map_err(|e| e.to_string())?;
    sink.join().map_err(|_| "the sink panicked")?.map_err(|e| e.to_string())?;
    Ok(cost as f64 / messages as f64)
}

/// CPU of this thread.
fn own_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
