//! Many subscriptions: random subjects over them, and their coming and going.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Sample;
use super::flow::{Flow, Shape, flow};
use crate::client;
use crate::server::{Program, Server};

const LITERALS: usize = 100_000;
const WILDCARDS: usize = 1_000;
/// Messages of the row with random subjects.
const RANDOM_MESSAGES: usize = 500_000;
/// Rounds of subscribing to everything and leaving again.
const CHURN_ROUNDS: usize = 3;

/// A reproducible sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap_or(0)
    }
}

fn subject(n: usize) -> String {
    format!("bench.area{}.device{}.reading", n % WILDCARDS, n)
}

/// Publishes to random ones of 100,000 literal subjects, each also covered by one of 1,000 wildcard subscriptions.
pub(crate) fn random_subjects(program: &Program) -> Result<Sample, String> {
    let server = Server::start(program, &[])?;
    let mut subscriber = client::connect(server.port)?;
    let mut lines = String::new();
    for n in 0..LITERALS {
        lines.push_str(&format!("SUB {} {n}\r\n", subject(n)));
    }
    for n in 0..WILDCARDS {
        lines.push_str(&format!("SUB bench.area{n}.> w{n}\r\n"));
    }
    client::send(&mut subscriber, lines.as_bytes())?;
    let mut numbers = Numbers(88_172_645_463_325_252);
    let mut out = Vec::new();
    for _ in 0..RANDOM_MESSAGES {
        let _ = write!(out, "PUB {} 16\r\n0123456789abcdef\r\n", subject(numbers.below(LITERALS)));
    }
    let mut publisher = client::connect(server.port)?;
    let (before, started) = (server.cpu_ns(), Instant::now());
    let reading = thread::spawn(move || count_messages(&mut subscriber, 2 * RANDOM_MESSAGES));
    client::send(&mut publisher, &out)?;
    reading.join().map_err(|_| "the subscriber panicked")??;
    let elapsed = started.elapsed().as_secs_f64();
    // Two subscriptions receive each message; the cost is per message published.
    Ok(Sample {
        cpu_ns: (server.cpu_ns() - before) as f64 / RANDOM_MESSAGES as f64,
        rate: RANDOM_MESSAGES as f64 / elapsed,
        memory: server.peak_kb() as f64,
        ..Sample::default()
    })
}

/// Reads until `total` messages came; each is a line that starts with `MSG ` and a payload without line ends.
fn count_messages(stream: &mut TcpStream, total: usize) -> Result<(), String> {
    use std::io::Read as _;
    let mut buffer = vec![0; 256 * 1024];
    let (mut newlines, mut seen) = (0, 0);
    while seen < total {
        let n = stream.read(&mut buffer).map_err(|e| format!("{seen} of {total} came: {e}"))?;
        if n == 0 {
            return Err(format!("disconnected after {seen} of {total}"));
        }
        newlines += buffer[..n].iter().filter(|&&b| b == b'\n').count();
        seen = newlines / 2;
    }
    Ok(())
}

/// SUB to 100,000 subjects and UNSUB from all, at full speed.
pub(crate) fn churn(program: &Program) -> Result<Sample, String> {
    let server = Server::start(program, &[])?;
    let mut stream = client::connect(server.port)?;
    let (mut come, mut go) = (String::new(), String::new());
    for n in 0..LITERALS {
        come.push_str(&format!("SUB {} {n}\r\n", subject(n)));
        go.push_str(&format!("UNSUB {n}\r\n"));
    }
    let (before, started) = (server.cpu_ns(), Instant::now());
    for _ in 0..CHURN_ROUNDS {
        client::send(&mut stream, come.as_bytes())?;
        client::send(&mut stream, go.as_bytes())?;
    }
    let operations = (2 * CHURN_ROUNDS * LITERALS) as f64;
    Ok(Sample {
        cpu_ns: (server.cpu_ns() - before) as f64 / operations,
        rate: operations / started.elapsed().as_secs_f64(),
        memory: server.peak_kb() as f64,
        ..Sample::default()
    })
}

/// SUB and UNSUB of the connection beside the flow, per second.
const BESIDE_RATE: usize = 10_000;

/// The rate of a flow beside 10,000 SUB and UNSUB per second of another connection, as a part of its rate alone.
pub(crate) fn churn_beside(program: &Program) -> Result<Sample, String> {
    let load =
        Flow { publishers: 1, subscribers: 1, size: 128, header: "", shape: Shape::All, messages: 3_000_000 };
    let alone = flow(program, load)?;
    let stop = Arc::new(AtomicBool::new(false));
    let beside = super::flow::flow_beside(program, load, |port| {
        let mut stream = client::connect(port)?;
        let stopping = stop.clone();
        Ok(thread::spawn(move || {
            let (clock, mut done) = (Instant::now(), 0);
            while !stopping.load(Ordering::Relaxed) {
                let due = (clock.elapsed().as_secs_f64() * BESIDE_RATE as f64) as usize;
                let mut out = Vec::new();
                while done < due {
                    let n = done / 2 % LITERALS;
                    let _ = if done % 2 == 0 {
                        write!(out, "SUB {} {n}\r\n", subject(n))
                    } else {
                        write!(out, "UNSUB {n}\r\n")
                    };
                    done += 1;
                }
                if stream.write_all(&out).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
        }))
    });
    stop.store(true, Ordering::Relaxed);
    let beside = beside?;
    Ok(Sample {
        cpu_ns: beside.cpu_ns,
        rate: beside.rate / alone.rate * 1e6,
        memory: beside.memory,
        ..Sample::default()
    })
}
