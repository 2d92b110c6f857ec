//! Medians, floors, and the table of the rows about streams.

use std::fmt::Write as _;

use super::{Floor, Round, Row};
use crate::load::Sample;
use crate::report::{best, median, ratio};

/// What became of a row.
pub(super) struct Outcome {
    name: &'static str,
    reference: String,
    always: String,
    midge: String,
    /// Each floor in words, and whether it holds.
    floors: Vec<(String, bool)>,
}

type Figure = fn(&Sample) -> f64;

fn figures(samples: &[Sample]) -> String {
    let typical = |figure: Figure| median(samples.iter().map(figure).collect());
    let mut parts = Vec::new();
    let (cpu, rate) = (typical(|s| s.cpu_ns), typical(|s| s.rate));
    if cpu > 0.0 {
        parts.push(format!("{cpu:.0} ns"));
    }
    if rate > 0.0 {
        parts.push(format!("{:.1} k/s", rate / 1e3));
    }
    let time = |us: f64| if us >= 20_000.0 { format!("{:.0} ms", us / 1e3) } else { format!("{us:.0} µs") };
    let (p50, p99, memory) = (typical(|s| s.p50_us), typical(|s| s.p99_us), typical(|s| s.memory));
    if p50 > 0.0 {
        parts.push(format!("p50 {}", time(p50)));
    }
    if p99 > 0.0 {
        parts.push(format!("p99 {}", time(p99)));
    }
    if memory > 0.0 {
        parts.push(format!("{memory:.0} B"));
    }
    parts.join(", ")
}

fn check(floor: Floor, samples: &[Round]) -> (String, bool) {
    let unsynced: fn(&Round) -> Sample = |round| round.reference;
    let synced: fn(&Round) -> Sample = |round| round.always.unwrap_or_default();
    let rate: Figure = |s| s.rate;
    let (word, bound, against, figure, low) = match floor {
        Floor::Rate(bound) => ("msgs/s ≥", bound, unsynced, rate, false),
        Floor::RateAlways(bound) => ("msgs/s ≥ always ×", bound, synced, rate, false),
        Floor::P50(bound) => ("p50 ≤", bound, unsynced, (|s| s.p50_us) as Figure, true),
        Floor::P99(bound) => ("p99 ≤", bound, unsynced, (|s| s.p99_us) as Figure, true),
        Floor::P99Always(bound) => ("p99 ≤ always ×", bound, synced, (|s| s.p99_us) as Figure, true),
        Floor::P50Always(bound) => ("p50 ≤ always ×", bound, synced, (|s| s.p50_us) as Figure, true),
        Floor::Cpu(bound) => ("CPU ≤", bound, unsynced, (|s| s.cpu_ns) as Figure, true),
        Floor::Memory(bound) => ("memory ≤", bound, unsynced, (|s| s.memory) as Figure, true),
    };
    let middle = median(samples.iter().map(|r| ratio(figure(&r.midge), figure(&against(r)))).collect());
    let all = |of: &dyn Fn(&Round) -> Sample| samples.iter().map(|r| figure(&of(r))).collect::<Vec<_>>();
    let top = ratio(best(&all(&|r| r.midge), low), best(&all(&against), low));
    let holds = if low { middle <= bound && top <= bound } else { middle >= bound && top >= bound };
    (format!("{word} {bound}: {middle:.2} ({top:.2})"), holds)
}

impl Outcome {
    pub(super) fn new(row: &Row, samples: &[Round]) -> Outcome {
        let of =
            |pick: &dyn Fn(&Round) -> Option<Sample>| samples.iter().filter_map(pick).collect::<Vec<_>>();
        Outcome {
            name: row.name,
            reference: figures(&of(&|r| Some(r.reference))),
            always: figures(&of(&|r| r.always)),
            midge: figures(&of(&|r| Some(r.midge))),
            floors: row.floors.iter().map(|floor| check(*floor, samples)).collect(),
        }
    }

    /// A row that did not come to its end.
    pub(super) fn failed(row: &Row, error: &str) -> Outcome {
        let floors = vec![(format!("not measured: {error}"), false)];
        Outcome {
            name: row.name,
            reference: String::new(),
            always: String::new(),
            midge: String::new(),
            floors,
        }
    }

    pub(super) fn holds(&self) -> bool {
        self.floors.iter().all(|(_, holds)| *holds)
    }
}

/// The table, as Markdown.
pub(super) fn table(results: &[Outcome]) -> String {
    let mut out = String::from(
        "| workload | Go 2.15.1 | Go, sync_interval: always | midge | floors: median (best) |\n|---|---|---|---|---|\n",
    );
    for result in results {
        let floors: Vec<String> = result
            .floors
            .iter()
            .map(|(text, holds)| if *holds { text.clone() } else { format!("**{text} MISSED**") })
            .collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            result.name,
            result.reference,
            result.always,
            result.midge,
            floors.join("; ")
        );
    }
    out
}
