//! Medians, floors, and the table.

use std::fmt::Write as _;

use crate::load::{self, Sample};
use crate::rows::{Floor, Row};

/// What became of a row.
pub(crate) struct Result {
    name: String,
    reference: Sample,
    midge: Sample,
    /// Each floor in words, and whether it holds.
    floors: Vec<(String, bool)>,
    cpu_ratio: f64,
    aim: f64,
    bare_ns: Option<f64>,
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

pub(crate) fn best(values: &[f64], low_is_good: bool) -> f64 {
    let pick = if low_is_good { f64::min } else { f64::max };
    values.iter().copied().reduce(pick).unwrap_or(0.0)
}

type Figure = fn(&Sample) -> f64;

pub(crate) fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

/// The median of the rounds' ratios, and best against best.
fn ratios(samples: &[(Sample, Sample)], figure: Figure, low_is_good: bool) -> (f64, f64) {
    let rounds = samples.iter().map(|(reference, midge)| ratio(figure(midge), figure(reference))).collect();
    let all =
        |of: fn(&(Sample, Sample)) -> &Sample| samples.iter().map(|s| figure(of(s))).collect::<Vec<_>>();
    let (reference, midge) = (all(|s| &s.0), all(|s| &s.1));
    (median(rounds), ratio(best(&midge, low_is_good), best(&reference, low_is_good)))
}

fn check(floor: Floor, samples: &[(Sample, Sample)]) -> (String, bool) {
    let (word, bound, figure, low): (&str, f64, Figure, bool) = match floor {
        Floor::Cpu(bound) => ("CPU ≤", bound, |s| s.cpu_ns, true),
        Floor::Memory(bound) => ("memory ≤", bound, |s| s.memory, true),
        Floor::P50(bound) => ("p50 ≤", bound, |s| s.p50_us, true),
        Floor::P99(bound) => ("p99 ≤", bound, |s| s.p99_us, true),
        Floor::Rate(bound) => ("msgs/s ≥", bound, |s| s.rate, false),
        Floor::OwnRate(bound) => {
            let own = median(samples.iter().map(|(_, midge)| midge.rate / 1e6).collect());
            return (format!("own rate ≥ {bound}: {own:.2}"), own >= bound);
        }
    };
    let (median, best) = ratios(samples, figure, low);
    let holds = if low { median <= bound && best <= bound } else { median >= bound && best >= bound };
    (format!("{word} {bound}: {median:.2} ({best:.2})"), holds)
}

impl Result {
    pub(crate) fn new(row: &Row, samples: &[(Sample, Sample)]) -> Result {
        let typical = |of: fn(&(Sample, Sample)) -> &Sample| {
            let figure = |f: Figure| median(samples.iter().map(|s| f(of(s))).collect());
            Sample {
                cpu_ns: figure(|s| s.cpu_ns),
                rate: figure(|s| s.rate),
                memory: figure(|s| s.memory),
                p50_us: figure(|s| s.p50_us),
                p99_us: figure(|s| s.p99_us),
            }
        };
        Result {
            name: row.name.clone(),
            reference: typical(|s| &s.0),
            midge: typical(|s| &s.1),
            floors: row.floors.iter().map(|floor| check(*floor, samples)).collect(),
            cpu_ratio: ratios(samples, |s| s.cpu_ns, true).0,
            aim: row.aim,
            bare_ns: row.bare.and_then(|(size, messages)| load::bare(size, messages).ok()),
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.floors.iter().all(|(_, holds)| *holds)
    }

    fn figures(sample: &Sample) -> String {
        let mut parts = Vec::new();
        if sample.cpu_ns > 0.0 {
            parts.push(format!("{:.0} ns", sample.cpu_ns));
        }
        if sample.rate > 0.0 {
            parts.push(format!("{:.2} M/s", sample.rate / 1e6));
        }
        if sample.p50_us > 0.0 {
            parts.push(format!("p50 {:.0} µs", sample.p50_us));
        }
        if sample.p99_us > 0.0 {
            parts.push(format!("p99 {:.0} µs", sample.p99_us));
        }
        if sample.memory > 0.0 {
            parts.push(format!("{:.1} k", sample.memory / 1e3));
        }
        parts.join(", ")
    }
}

/// The table, as Markdown.
pub(crate) fn table(results: &[Result]) -> String {
    let mut out = String::from(
        "| workload | Go 2.15.1 | midge | floors: median (best) | aim |\n|---|---|---|---|---|\n",
    );
    for result in results {
        let floors: Vec<String> = result
            .floors
            .iter()
            .map(|(text, holds)| if *holds { text.clone() } else { format!("**{text} MISSED**") })
            .collect();
        let aim = match (result.aim, result.bare_ns) {
            (_, Some(bare)) => {
                format!("{:.2} × a bare read + write ({bare:.0} ns)", ratio(result.midge.cpu_ns, bare))
            }
            (aim, None) if aim > 0.0 => {
                format!("CPU ≤ {aim}: {}", if result.cpu_ratio <= aim { "met" } else { "not yet" })
            }
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {aim} |",
            result.name,
            Result::figures(&result.reference),
            Result::figures(&result.midge),
            floors.join("; "),
        );
    }
    out
}

/// Puts the table of the core rows into a document.
pub(crate) fn write_document(path: &str, table: &str, rounds: usize) -> std::result::Result<(), String> {
    between_marks(path, "core", &format!("Made by `cargo xtask bench core --rounds {rounds}`.\n\n{table}"))
}

/// Replaces what stands between the marks of a set of rows in a document.
pub(crate) fn between_marks(path: &str, set: &str, content: &str) -> std::result::Result<(), String> {
    let (begin, end) = (format!("<!-- bench {set}: begin -->\n"), format!("<!-- bench {set}: end -->\n"));
    let text = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
    let missing = || format!("{path} has no place for the table");
    let (before, rest) = text.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    std::fs::write(path, format!("{before}{begin}{content}\n{end}{after}"))
        .map_err(|e| format!("{path}: {e}"))
}
