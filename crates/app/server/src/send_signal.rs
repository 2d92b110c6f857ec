//! `--signal`: telling a running server something.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Names under which a server runs.
const NAMES: [&str; 2] = ["nats-server", "midge"];

fn signal_of(command: &str) -> Option<Signal> {
    Some(match command {
        "stop" => Signal::KILL,
        "quit" => Signal::INT,
        "term" => Signal::TERM,
        "reopen" => Signal::USR1,
        "reload" => Signal::HUP,
        "ldm" => Signal::USR2,
        _ => return None,
    })
}

/// Sends the signal of `command`. `argument` is a process id, a file that holds one, a prefix of ids that ends in `*`, or
/// empty for the only server that runs. Errors are the texts that scripts know.
pub(crate) fn send(command: &str, argument: &str) -> Result<(), String> {
    let expression = fs::read_to_string(argument).unwrap_or_else(|_| argument.to_owned());
    let pids = targets(&expression, running)?;
    let signal = signal_of(command)
        .ok_or_else(|| format!("unknown signal {}", midge_stdx::goquote::quote(command.as_bytes())))?;
    let mut failures = String::new();
    for pid in pids {
        let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let sent = target.map_or(Err(rustix::io::Errno::SRCH), |pid| kill_process(pid, signal));
        if let Err(error) = sent {
            let text = std::io::Error::from(error).to_string().to_lowercase();
            let text = text.split(" (os error").next().unwrap_or_default().to_owned();
            failures.push_str(&format!("\nsignal \"{command}\" {pid}: {text}"));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

/// The processes that an expression names; `running` lists those that there are.
fn targets(expression: &str, running: impl FnOnce() -> Vec<u32>) -> Result<Vec<u32>, String> {
    let (prefix, is_pattern) = match expression.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (expression, false),
    };
    let pids = if is_pattern {
        let wanted = running().into_iter().filter(|pid| pid.to_string().starts_with(prefix));
        wanted.collect()
    } else if prefix.is_empty() {
        let pids = running();
        if pids.len() > 1 {
            let list: Vec<String> = pids.iter().map(u32::to_string).collect();
            return Err(format!("multiple nats-server processes running:\n{}", list.join("\n")));
        }
        pids
    } else {
        let pid: u32 = prefix.parse().map_err(|_| format!("invalid pid: {prefix}"))?;
        vec![pid]
    };
    if pids.is_empty() {
        return Err("no nats-server processes running".to_owned());
    }
    Ok(pids)
}

/// Servers that run, this process excluded, by id.
fn running() -> Vec<u32> {
    let own = std::process::id();
    let mut pids: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != own && is_server(pid))
        .collect();
    pids.sort_unstable();
    pids
}

fn is_server(pid: u32) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    NAMES.contains(&name.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_named_by_id_by_prefix_or_by_being_the_only_one() {
        let of = |expression: &str, running: &[u32]| targets(expression, || running.to_vec());
        assert_eq!(of("", &[123]), Ok(vec![123]));
        assert_eq!(of("", &[]), Err("no nats-server processes running".to_owned()));
        assert_eq!(of("", &[123, 456]), Err("multiple nats-server processes running:\n123\n456".to_owned()));
        assert_eq!(of("*", &[123, 456]), Ok(vec![123, 456]));
        assert_eq!(of("12*", &[123, 456, 1234]), Ok(vec![123, 1234]));
        assert_eq!(of("9*", &[123]), Err("no nats-server processes running".to_owned()));
        assert_eq!(of("77", &[123]), Ok(vec![77]), "an id need not be in the list");
        assert_eq!(of("x", &[123]), Err("invalid pid: x".to_owned()));
    }
}
