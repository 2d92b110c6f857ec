//! What the process uses, and what it may use.

use std::fs;
use std::sync::Mutex;
use std::time::Instant;

use midge_node::{Host, Usage};

/// Reads the process's own figures from the operating system.
#[derive(Debug)]
pub struct ProcessHost {
    /// When CPU use was last read, and what it was.
    last: Mutex<(Instant, f64)>,
}

impl ProcessHost {
    /// CPU use is counted from now.
    pub fn new() -> Self {
        ProcessHost { last: Mutex::new((Instant::now(), cpu_seconds())) }
    }
}

impl Default for ProcessHost {
    fn default() -> Self {
        ProcessHost::new()
    }
}

impl Host for ProcessHost {
    fn usage(&self) -> Usage {
        let now = Instant::now();
        let seconds = cpu_seconds();
        let percent = {
            let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (since, before) = *last;
            let wall = now.duration_since(since).as_secs_f64();
            if wall >= 1.0 {
                *last = (now, seconds);
            }
            if wall > 0.0 { (seconds - before) / wall * 100.0 } else { 0.0 }
        };
        Usage {
            memory: resident_memory(),
            cpu_seconds: seconds,
            cpu_percent: percent.round(),
            cores: online_cpus(),
            usable_cores: usable_cpus(),
            memory_limit: memory_limit(),
            open_files: open_files(),
        }
    }
}

/// CPU seconds of all threads, user and system.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) as f64 / rustix::param::clock_ticks_per_second() as f64
}

fn resident_memory() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()));
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

fn online_cpus() -> usize {
    let listed = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let count = listed.lines().filter(|line| line.starts_with("processor")).count();
    if count > 0 { count } else { usable_cpus() }
}

/// CPUs that the process may use: the scheduler's mask and the control group's quota, rounded up.
pub fn usable_cpus() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let quota = fs::read_to_string("/sys/fs/cgroup/cpu.max").ok().and_then(|text| quota_cpus(&text));
    quota.map_or(allowed, |quota| quota.clamp(1, allowed))
}

/// `quota period` of a control group as CPUs; `None` for no quota.
fn quota_cpus(text: &str) -> Option<usize> {
    let mut fields = text.split_whitespace();
    let quota: u64 = fields.next()?.parse().ok()?;
    let period: u64 = fields.next()?.parse().ok()?;
    usize::try_from(quota.div_ceil(period.max(1))).ok()
}

/// The control group's memory limit, bytes; 0 for none.
pub fn memory_limit() -> u64 {
    let text = fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Bytes of memory that the process may use: those of the machine, or of its control group when that has fewer.
pub fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    let all = kib.saturating_mul(1024);
    Some(match memory_limit() {
        0 => all,
        limit => all.min(limit),
    })
}

/// Raises the soft limit of open files to the hard one; answers both as they are afterwards, or why not.
pub fn raise_open_files() -> Result<(u64, u64), String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })
        .map_err(|error| format!("cannot raise the limit of open files: {error}"))?;
    let number = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    Ok((number(limit.current), number(hard)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_round_up_to_whole_cpus() {
        assert_eq!(quota_cpus("max 100000"), None);
        assert_eq!(quota_cpus("150000 100000"), Some(2));
        assert_eq!(quota_cpus("50000 100000"), Some(1));
        assert_eq!(quota_cpus(""), None);
    }

    #[test]
    fn the_process_sees_itself() {
        let usage = ProcessHost::new().usage();
        assert!(usage.memory > 0 && usage.open_files > 0);
        assert!(usage.usable_cores >= 1 && usage.cores >= usage.usable_cores);
    }
}
