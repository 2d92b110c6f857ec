//! The well-behaved client beside an attack, and the memory of the attacked.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A client that exchanges messages with itself on a thread of its own, until it is told to stop.
pub struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<Vec<Duration>>>,
}

impl Neighbour {
    /// Starts it, once it was let in.
    pub fn start(addr: SocketAddr, connect: &str) -> std::io::Result<Neighbour> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let (mut write, mut read) = (stream.try_clone()?, BufReader::new(stream));
        let mut line = String::new();
        read.read_line(&mut line)?;
        write!(write, "CONNECT {connect}\r\nSUB neighbour.talk 1\r\nPING\r\n")?;
        while line != "PONG\r\n" {
            line.clear();
            if read.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut took = Vec::new();
            while !stopped.load(Ordering::Relaxed) || took.is_empty() {
                let start = Instant::now();
                write.write_all(b"PUB neighbour.talk 5\r\nhello\r\n")?;
                let mut lines = 0;
                while lines < 2 {
                    line.clear();
                    if read.read_line(&mut line)? == 0 {
                        return Err(std::io::ErrorKind::UnexpectedEof.into());
                    }
                    match line.as_str() {
                        "PING\r\n" => write.write_all(b"PONG\r\n")?,
                        _ => lines += 1,
                    }
                }
                took.push(start.elapsed());
                // Often enough to see delays, seldom enough not to be the load itself.
                std::thread::park_timeout(Duration::from_millis(2));
            }
            Ok(took)
        });
        Ok(Neighbour { stop, thread })
    }

    /// Stops it and answers how long each exchange took, shortest first.
    pub fn stop(self) -> std::io::Result<Vec<Duration>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut took = self.thread.join().map_err(|_| std::io::Error::other("the client panicked"))??;
        took.sort_unstable();
        Ok(took)
    }
}

/// The most resident memory that a process has had, bytes.
pub fn peak_memory(pid: u32) -> std::io::Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().map_err(std::io::Error::other)?;
    Ok(kib * 1024)
}
