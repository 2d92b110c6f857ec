//! The table of workloads, with the floors that each has to hold.

use crate::load::{self, Flow, Requests, Sample, Shape};
use crate::server::Program;

/// Which figure of a sample a floor is about, and its bound as a ratio midge / reference.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Floor {
    /// CPU per message at most this.
    Cpu(f64),
    /// Messages per second at least this.
    Rate(f64),
    /// Memory at most this.
    Memory(f64),
    /// Half of the delays at most this.
    P50(f64),
    /// 99 of 100 delays at most this.
    P99(f64),
    /// midge's own rate, beside what disturbs it, at least this part of its rate alone.
    OwnRate(f64),
}

/// A run against one server; the second argument is the reference's sample of the same round, if there is one yet.
type Run = Box<dyn Fn(&Program, Option<&Sample>) -> Result<Sample, String>>;

/// One workload.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) floors: Vec<Floor>,
    /// CPU per message that is aimed at, as a ratio; 0 for none.
    pub(crate) aim: f64,
    /// CPU of a bare read and write of the same bytes, measured with the row.
    pub(crate) bare: Option<(usize, usize)>,
    pub(crate) run: Run,
}

fn flow_row(name: &str, flow: Flow, floors: Vec<Floor>, aim: f64) -> Row {
    let delayed = flow.subscribers > 0;
    let run = move |program: &Program, reference: Option<&Sample>| {
        let mut sample = load::flow(program, flow)?;
        if delayed {
            // Both servers get the load that is half of what the reference can take.
            let rate = reference.map_or(sample.rate, |r| r.rate) / 2.0;
            (sample.p50_us, sample.p99_us) = load::latency(program, flow, rate)?;
        }
        Ok(sample)
    };
    let mut floors = floors;
    floors.push(Floor::Memory(1.0));
    if !floors.iter().any(|floor| matches!(floor, Floor::Rate(_))) {
        floors.push(Floor::Rate(1.0));
    }
    if delayed {
        floors.extend([Floor::P50(1.0), Floor::P99(1.0)]);
    }
    let bare = (flow.publishers == 1 && flow.subscribers == 1 && flow.size >= 4096)
        .then_some((flow.size, flow.messages));
    Row { name: name.to_owned(), floors, aim, bare, run: Box::new(run) }
}

fn request_row(name: &str, requests: Requests, floors: Vec<Floor>, aim: f64) -> Row {
    let run = move |program: &Program, _: Option<&Sample>| load::requests(program, requests);
    Row { name: name.to_owned(), floors, aim, bare: None, run: Box::new(run) }
}

fn plain_row(name: &str, run: fn(&Program) -> Result<Sample, String>, floors: Vec<Floor>, aim: f64) -> Row {
    Row { name: name.to_owned(), floors, aim, bare: None, run: Box::new(move |program, _| run(program)) }
}

/// A header block of the usual size.
const HEADER: &str = "NATS/1.0\r\nTrace-Id: 0123456789\r\n\r\n";

fn one(publishers: usize, subscribers: usize, size: usize, messages: usize) -> Flow {
    Flow { publishers, subscribers, size, header: "", shape: Shape::All, messages }
}

/// Every row.
pub(crate) fn all() -> Vec<Row> {
    use Floor::{Cpu, Memory, OwnRate, P50, P99, Rate};
    let mut rows = vec![
        flow_row("publish only, 16 B", one(1, 0, 16, 10_000_000), vec![Cpu(0.4)], 0.2),
        flow_row("publish only, 128 B", one(1, 0, 128, 6_000_000), vec![Cpu(0.4)], 0.3),
        flow_row("1 to 1, 16 B", one(1, 1, 16, 5_000_000), vec![Cpu(0.4), Rate(2.0)], 0.2),
        flow_row("1 to 1, 256 B", one(1, 1, 256, 2_500_000), vec![Cpu(0.5), Rate(1.7)], 0.35),
        flow_row("1 to 1, 4 KiB", one(1, 1, 4096, 400_000), vec![Cpu(0.85), Rate(1.1)], 0.0),
        flow_row("1 to 1, 64 KiB", one(1, 1, 65_536, 25_000), vec![Cpu(0.7), Rate(1.1)], 0.0),
        flow_row("fan-out 1 to 10, 128 B", one(1, 10, 128, 500_000), vec![Cpu(0.35)], 0.2),
        flow_row("fan-out 1 to 100, 128 B", one(1, 100, 128, 50_000), vec![Cpu(0.35)], 0.2),
        flow_row("fan-out 1 to 1000, 128 B", one(1, 1000, 128, 2_500), vec![Cpu(0.4)], 0.2),
        flow_row("fan-in 10 to 1, 128 B", one(10, 1, 128, 250_000), vec![Cpu(0.45)], 0.25),
    ];
    let pairs = Flow { shape: Shape::Pairs, ..one(10, 10, 128, 250_000) };
    rows.push(flow_row("10 by 10 distinct subjects, 128 B", pairs, vec![Cpu(0.45)], 0.25));
    let queue = Flow { shape: Shape::Queue, ..one(10, 10, 128, 200_000) };
    rows.push(flow_row("queue group of 10, 128 B", queue, vec![Cpu(0.45)], 0.25));
    let headers = Flow { header: HEADER, ..one(1, 1, 128, 2_000_000) };
    rows.push(flow_row("with headers, 128 B", headers, vec![Cpu(0.3)], 0.2));
    let single = Requests { count: 20_000, window: 1, beside_fan_out: false };
    let many = Requests { count: 200_000, window: 64, beside_fan_out: false };
    let crowded = Requests { count: 10_000, window: 1, beside_fan_out: true };
    rows.extend([
        plain_row(
            "random subjects over 100k literal + 1k wildcard subscriptions",
            load::random_subjects,
            vec![Cpu(0.4), Memory(0.5), Rate(1.0)],
            0.2,
        ),
        plain_row("SUB/UNSUB at full speed, 100k subjects", load::churn, vec![Cpu(0.5), Rate(1.0)], 0.25),
        plain_row("1 to 1 beside 10k SUB/UNSUB per second", load::churn_beside, vec![OwnRate(0.85)], 0.0),
        request_row("request/reply, 1 at a time", single, vec![P50(0.95), Cpu(0.6)], 0.4),
        request_row("request/reply, 64 in flight", many, vec![Cpu(0.6), Rate(1.0)], 0.4),
        request_row("request/reply beside a 1 to 1000 fan-out", crowded, vec![P99(1.0)], 0.0),
        plain_row("10,000 idle connections, memory of each", load::idle, vec![Memory(0.2)], 0.0),
        plain_row("TLS 1 to 1, 128 B", load::secure, vec![Cpu(0.6), Rate(1.0)], 0.4),
        plain_row("start to first INFO; memory when empty", load::start_up, vec![P50(0.5), Memory(0.6)], 0.0),
    ]);
    rows
}
