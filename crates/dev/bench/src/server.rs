//! Server processes and what they cost.

use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: String,
}

/// The two that are compared.
pub(crate) struct Programs {
    pub(crate) reference: Program,
    pub(crate) midge: Program,
}

impl Programs {
    pub(crate) fn from_environment() -> Result<Programs, String> {
        let program = |variable: &str| {
            let path = std::env::var(variable)
                .map_err(|_| format!("{variable} is not set; run cargo xtask bench core"))?;
            Ok::<Program, String>(Program { path })
        };
        Ok(Programs { reference: program("MIDGE_BENCH_GO")?, midge: program("MIDGE_BENCH_MIDGE")? })
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    /// From the start of the process to the first byte of INFO.
    pub(crate) first_info: Duration,
}

/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);
/// How long a server may take to stop.
const STOP: Duration = Duration::from_secs(300);

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}

impl Server {
    pub(crate) fn start(program: &Program, arguments: &[&str]) -> Result<Server, String> {
        let port = free_port()?;
        let started = Instant::now();
        let child = Command::new(&program.path)
            .args(["-a", "127.0.0.1", "-p", &port.to_string()])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{}: {e}", program.path))?;
        let mut server = Server { child, port, first_info: Duration::ZERO };
        loop {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_ok() {
                    server.first_info = started.elapsed();
                    return Ok(server);
                }
            }
            if started.elapsed() > START {
                return Err(format!("{} does not answer", program.path));
            }
            std::thread::yield_now();
        }
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().map_err(|e| e.to_string())?;
        let asked = Instant::now();
        while self.child.try_wait().map_err(|e| e.to_string())?.is_none() {
            if asked.elapsed() > STOP {
                return Err("the server does not stop".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Nanoseconds that its threads have run.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let tasks = format!("/proc/{}/task", self.child.id());
        let threads = fs::read_dir(tasks).into_iter().flatten().flatten();
        threads
            .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
            .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .sum()
    }

    fn status_kb(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    /// The most memory it has held, kilobytes.
    pub(crate) fn peak_kb(&self) -> u64 {
        self.status_kb("VmHWM")
    }

    /// The memory it holds, kilobytes.
    pub(crate) fn resident_kb(&self) -> u64 {
        self.status_kb("VmRSS")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
