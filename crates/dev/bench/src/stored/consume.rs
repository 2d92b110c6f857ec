//! Reading from streams: an ordered replay, pulls with acknowledgements, pushes to many, direct gets, and consumers that come and go.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::publish::{self, PLAIN, Publishes};
use super::wire::{Frame, Wire};
use crate::load::{Sample, quantiles};
use crate::server::Server;

/// Fills stream 0.
pub(super) fn fill(server: &Server, messages: usize, subjects: usize, config: &str) -> Result<(), String> {
    fill_with(server, &Publishes { most: messages, subjects, ..PLAIN }, config)
}

/// The same with any load.
pub(super) fn fill_with(server: &Server, load: &Publishes, config: &str) -> Result<(), String> {
    let mut wire = Wire::connect(server.port)?;
    publish::create(&mut wire, 0, config)?;
    wire.subscribe("_A.0")?;
    publish::one(&mut wire, 0, load).map(drop)
}

/// What a run has cost since it began.
struct Meter<'a> {
    server: &'a Server,
    cpu: u64,
    started: Instant,
}

impl Meter<'_> {
    fn start(server: &Server) -> Meter<'_> {
        Meter { server, cpu: server.cpu_ns(), started: Instant::now() }
    }

    fn sample(&self, count: usize, delays: Vec<u64>) -> Sample {
        let elapsed = self.started.elapsed().as_secs_f64();
        let (p50_us, p99_us) = quantiles(delays);
        Sample {
            cpu_ns: (self.server.cpu_ns() - self.cpu) as f64 / count as f64,
            rate: count as f64 / elapsed,
            p50_us,
            p99_us,
            ..Sample::default()
        }
    }
}

fn add_consumer(wire: &mut Wire, name: &str, config: &str) -> Result<(), String> {
    let body = format!(
        "{{\"stream_name\":\"S0\",\"action\":\"create\",\"config\":{{\"name\":\"{name}\",{config}}}}}"
    );
    wire.request(&format!("$JS.API.CONSUMER.CREATE.S0.{name}"), &body).map(drop)
}

/// The same for a consumer that delivers at once: its messages come with the answer, which goes where nobody listens.
fn begin_consumer(wire: &mut Wire, name: &str, config: &str) -> Result<(), String> {
    let body = format!(
        "{{\"stream_name\":\"S0\",\"action\":\"create\",\"config\":{{\"name\":\"{name}\",{config}}}}}"
    );
    wire.write(format!("PUB $JS.API.CONSUMER.CREATE.S0.{name} _N {}\r\n{body}\r\n", body.len()).as_bytes())
}

/// The number between two dots, counted from the end, of an acknowledgement subject: 3 is the consumer's sequence.
fn ack_number(reply: &[u8], from_end: usize) -> usize {
    let token = reply.rsplit(|&b| b == b'.').nth(from_end - 1).unwrap_or_default();
    token.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit.wrapping_sub(b'0')))
}

/// All of stream 0 through a push consumer without acknowledgements and with flow control, as clients make for ordered reading.
pub(super) fn ordered(server: &Server, messages: usize) -> Result<Sample, String> {
    let mut wire = Wire::connect(server.port)?;
    wire.subscribe("deliver.ordered")?;
    let meter = Meter::start(server);
    begin_consumer(
        &mut wire,
        "ordered",
        "\"deliver_subject\":\"deliver.ordered\",\"ack_policy\":\"none\",\"max_deliver\":1,\"flow_control\":true,\"idle_heartbeat\":5000000000,\"mem_storage\":true,\"num_replicas\":1,\"inactive_threshold\":300000000000",
    )?;
    let (mut received, mut out) = (0, String::new());
    while received < messages {
        wire.read(|frame| {
            if frame.header.is_empty() {
                received += 1;
                let sequence = ack_number(frame.reply, 3);
                return if sequence == received {
                    Ok(())
                } else {
                    Err(format!("{sequence} where {received} was due"))
                };
            }
            if !frame.reply.is_empty() {
                let _ = write!(out, "PUB {} 0\r\n\r\n", String::from_utf8_lossy(frame.reply));
            }
            Ok(())
        })?;
        if !out.is_empty() {
            wire.write(out.as_bytes())?;
            out.clear();
        }
    }
    Ok(meter.sample(messages, Vec::new()))
}

/// Messages of one pull request.
const BATCH: usize = 500;

/// Every consumer reads all of stream 0 in batches of 500, each message acknowledged.
pub(super) fn pull(server: &Server, consumers: usize, messages: usize) -> Result<Sample, String> {
    let mut wires = Vec::new();
    for n in 0..consumers {
        let mut wire = Wire::connect(server.port)?;
        add_consumer(
            &mut wire,
            &format!("pull{n}"),
            &format!("\"durable_name\":\"pull{n}\",\"ack_policy\":\"explicit\",\"max_ack_pending\":20000"),
        )?;
        wire.subscribe(&format!("_P.{n}"))?;
        wires.push(wire);
    }
    let meter = Meter::start(server);
    let mut threads = Vec::new();
    for (n, mut wire) in wires.into_iter().enumerate() {
        threads.push(thread::spawn(move || pull_one(&mut wire, n, messages)));
    }
    for thread in threads {
        thread.join().map_err(|_| "a consumer panicked")??;
    }
    let mut wire = Wire::connect(server.port)?;
    // The last acknowledgements are on their way.
    for n in 0..consumers {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let info = wire.request(&format!("$JS.API.CONSUMER.INFO.S0.pull{n}"), "")?;
            if info.contains("\"num_ack_pending\":0,") && info.contains("\"num_pending\":0,") {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!("acknowledgements are missing: {info}"));
            }
        }
    }
    Ok(meter.sample(messages * consumers, Vec::new()))
}

fn pull_one(wire: &mut Wire, n: usize, messages: usize) -> Result<(), String> {
    let body = format!("{{\"batch\":{BATCH},\"expires\":30000000000}}");
    let ask = format!("PUB $JS.API.CONSUMER.MSG.NEXT.S0.pull{n} _P.{n} {}\r\n{body}\r\n", body.len());
    // Two requests are open, as with a client that asks ahead.
    wire.write(ask.repeat(2).as_bytes())?;
    let (mut received, mut out) = (0, Vec::new());
    while received < messages {
        out.clear();
        wire.read(|frame| {
            if !frame.header.is_empty() || frame.reply.is_empty() {
                return Err(format!("a pull was answered with {}", frame.text()));
            }
            received += 1;
            if ack_number(frame.reply, 3) != received {
                return Err(format!("{} where {received} was due", frame.reply.escape_ascii()));
            }
            out.extend_from_slice(b"PUB ");
            out.extend_from_slice(frame.reply);
            out.extend_from_slice(b" 4\r\n+ACK\r\n");
            if received % BATCH == 0 {
                out.extend_from_slice(ask.as_bytes());
            }
            Ok(())
        })?;
        if !out.is_empty() {
            wire.write(&out)?;
        }
    }
    Ok(())
}

/// Consumers with so many pending messages each, which are acknowledged in turns, each acknowledgement confirmed.
pub(super) fn confirmed(
    server: &Server,
    consumers: usize,
    messages: usize,
    window: usize,
) -> Result<Sample, String> {
    let mut wire = Wire::connect(server.port)?;
    wire.subscribe("_K.*")?;
    let mut replies: Vec<Vec<Vec<u8>>> = Vec::new();
    for n in 0..consumers {
        let name = format!("ack{n}");
        let config =
            format!("\"durable_name\":\"{name}\",\"ack_policy\":\"explicit\",\"max_ack_pending\":{messages}");
        add_consumer(&mut wire, &name, &config)?;
        let body = format!("{{\"batch\":{messages},\"expires\":30000000000}}");
        let ask = format!("PUB $JS.API.CONSUMER.MSG.NEXT.S0.{name} _K.{n} {}\r\n{body}\r\n", body.len());
        wire.write(ask.as_bytes())?;
        let mut pending = Vec::new();
        while pending.len() < messages {
            wire.read(|frame| {
                if !frame.header.is_empty() {
                    return Err(format!("a pull was answered with {}", frame.text()));
                }
                pending.push(frame.reply.to_vec());
                Ok(())
            })?;
        }
        replies.push(pending);
    }
    let (count, meter) = (consumers * messages, Meter::start(server));
    let delays = ask_in_lanes(
        &mut wire,
        window,
        count,
        |out, sent, lane| {
            let reply = replies.get(sent % consumers).and_then(|pending| pending.get(sent / consumers));
            out.extend_from_slice(b"PUB ");
            out.extend_from_slice(reply.map_or(b"", |reply| reply));
            let _ = write!(out, " _K.{lane} 4\r\n+ACK\r\n");
        },
        |frame| frame.payload.is_empty(),
    )?;
    let sample = meter.sample(count, delays);
    for n in 0..consumers {
        let info = wire.request(&format!("$JS.API.CONSUMER.INFO.S0.ack{n}"), "")?;
        if !info.contains("\"num_ack_pending\":0,") {
            return Err(format!("acknowledgements are missing: {info}"));
        }
    }
    Ok(sample)
}

/// Consumers that are measured one after the other.
const FILTERED: usize = 20;

/// A consumer of one of many groups of subjects: from the request for it to the last of its messages.
pub(super) fn filtered(server: &Server, groups: usize, messages: usize) -> Result<Sample, String> {
    let mut wire = Wire::connect(server.port)?;
    let (meter, mut delays) = (Meter::start(server), Vec::new());
    for n in 0..FILTERED {
        wire.subscribe_as(&format!("deliver.filtered.{n}"), 100 + n)?;
        let started = Instant::now();
        let filter = format!("s0.{}.*", n * 37 % groups);
        let config = format!(
            "\"filter_subject\":\"{filter}\",\"deliver_subject\":\"deliver.filtered.{n}\",\"ack_policy\":\"none\",\"mem_storage\":true,\"num_replicas\":1,\"inactive_threshold\":300000000000"
        );
        let mut received = 0;
        begin_consumer(&mut wire, &format!("filtered{n}"), &config)?;
        while received < messages {
            wire.read(|frame| {
                received += 1;
                if ack_number(frame.reply, 3) == received { Ok(()) } else { Err(frame.text()) }
            })?;
        }
        delays.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(meter.sample(FILTERED * messages, delays))
}

/// Connections that share the push consumers.
const SHARES: usize = 4;

/// Push consumers that all deliver what is being published.
pub(super) fn push(server: &Server, consumers: usize, messages: usize) -> Result<Sample, String> {
    let mut publisher = Wire::connect(server.port)?;
    publish::create(&mut publisher, 0, "")?;
    publisher.subscribe("_A.0")?;
    let received = Arc::new(AtomicUsize::new(0));
    let total = consumers * messages;
    let mut wires = Vec::new();
    for share in 0..SHARES {
        let mut wire = Wire::connect(server.port)?;
        for n in (share..consumers).step_by(SHARES) {
            // The Go server takes no notice of interest by wildcard.
            wire.subscribe_as(&format!("deliver.{n}"), 100 + n)?;
            let config = format!(
                "\"durable_name\":\"push{n}\",\"deliver_subject\":\"deliver.{n}\",\"ack_policy\":\"none\""
            );
            add_consumer(&mut wire, &format!("push{n}"), &config)?;
        }
        wires.push(wire);
    }
    let meter = Meter::start(server);
    let mut threads = Vec::new();
    for (share, mut wire) in wires.into_iter().enumerate() {
        let received = received.clone();
        let expected = (share..consumers).step_by(SHARES).count() * messages;
        threads.push(thread::spawn(move || -> Result<(), String> {
            let mut mine = 0;
            while mine < expected {
                wire.read(|_| {
                    mine += 1;
                    Ok(())
                })?;
            }
            received.fetch_add(mine, Ordering::Relaxed);
            Ok(())
        }));
    }
    publish::one(&mut publisher, 0, &Publishes { most: messages, ..PLAIN })?;
    for thread in threads {
        thread.join().map_err(|_| "a consumer panicked")??;
    }
    if received.load(Ordering::Relaxed) != total {
        return Err(format!("{} of {total} were delivered", received.load(Ordering::Relaxed)));
    }
    Ok(meter.sample(total, Vec::new()))
}

/// Asks `count` times, in `window` lanes with one question outstanding each; answers how long each answer took, in nanoseconds. The last
/// token of an answer's subject is its lane.
fn ask_in_lanes(
    wire: &mut Wire,
    window: usize,
    count: usize,
    ask: impl Fn(&mut Vec<u8>, usize, usize),
    is_right: impl Fn(&Frame<'_>) -> bool,
) -> Result<Vec<u64>, String> {
    let (mut sent, mut answered, mut out) = (0_usize, 0_usize, Vec::new());
    let (mut at, mut delays) = (vec![Instant::now(); window], Vec::with_capacity(count));
    for lane in 0..window {
        ask(&mut out, sent, lane);
        sent += 1;
    }
    while answered < count {
        if !out.is_empty() {
            wire.write(&out)?;
            out.clear();
        }
        wire.read(|frame| {
            if !is_right(frame) {
                return Err(format!("a question was answered with {}", frame.text()));
            }
            answered += 1;
            let lane = frame.lane();
            let asked = at.get_mut(lane).ok_or("an unknown lane")?;
            delays.push(u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX));
            if sent < count {
                *asked = Instant::now();
                ask(&mut out, sent, lane);
                sent += 1;
            }
            Ok(())
        })?;
    }
    Ok(delays)
}

/// The last message of a subject, again and again, with requests outstanding.
pub(super) fn direct(
    server: &Server,
    subjects: usize,
    window: usize,
    count: usize,
) -> Result<Sample, String> {
    let mut wire = Wire::connect(server.port)?;
    wire.subscribe("_G.*")?;
    let meter = Meter::start(server);
    let delays = ask_in_lanes(
        &mut wire,
        window,
        count,
        |out, sent, lane| {
            let _ =
                write!(out, "PUB $JS.API.DIRECT.GET.S0.s0.{} _G.{lane} 0\r\n\r\n", sent * 7919 % subjects);
        },
        |frame| frame.payload.len() == PLAIN.size,
    )?;
    Ok(meter.sample(count, delays))
}

/// Durable consumers made and removed, some at a time; a pair counts once.
pub(super) fn churn(server: &Server, window: usize, time: Duration) -> Result<Sample, String> {
    let mut wire = Wire::connect(server.port)?;
    publish::create(&mut wire, 0, "")?;
    wire.subscribe("_C.*")?;
    let make = |out: &mut Vec<u8>, lane: usize| {
        let body = format!(
            "{{\"stream_name\":\"S0\",\"action\":\"create\",\"config\":{{\"durable_name\":\"c{lane}\",\"ack_policy\":\"explicit\"}}}}"
        );
        let _ = write!(out, "PUB $JS.API.CONSUMER.CREATE.S0.c{lane} _C.{lane} {}\r\n{body}\r\n", body.len());
    };
    let (mut out, mut outstanding, mut pairs) = (Vec::new(), window, 0);
    let (mut asked, mut delays) = (vec![Instant::now(); window], Vec::new());
    for lane in 0..window {
        make(&mut out, lane);
    }
    let meter = Meter::start(server);
    while outstanding > 0 {
        wire.write(&out)?;
        out.clear();
        let open = meter.started.elapsed() < time;
        wire.read(|frame| {
            let lane = frame.lane();
            let at = asked.get_mut(lane).ok_or("an unknown lane")?;
            delays.push(u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX));
            *at = Instant::now();
            if frame.payload.windows(8).any(|w| w == b"\"error\":") {
                return Err(frame.text());
            }
            if frame.payload.starts_with(b"{\"type\":\"io.nats.jetstream.api.v1.consumer_create") {
                let _ = write!(out, "PUB $JS.API.CONSUMER.DELETE.S0.c{lane} _C.{lane} 0\r\n\r\n");
                return Ok(());
            }
            pairs += 1;
            if open {
                make(&mut out, lane);
            } else {
                outstanding -= 1;
            }
            Ok(())
        })?;
    }
    Ok(meter.sample(pairs, delays))
}
