//! What a server costs that does nothing.

use std::thread;
use std::time::Duration;

use super::Sample;
use crate::client;
use crate::server::{Program, Server};

const CONNECTIONS: usize = 10_000;

/// Memory per idle connection with one subscription, bytes.
pub(crate) fn idle(program: &Program) -> Result<Sample, String> {
    let server = Server::start(program, &[])?;
    let before = server.resident_kb();
    let mut held = Vec::new();
    for n in 0..CONNECTIONS {
        let mut stream = client::connect(server.port)?;
        client::send(&mut stream, format!("SUB idle.{n} 1\r\n").as_bytes())?;
        held.push(stream);
    }
    let grown = server.resident_kb().saturating_sub(before);
    Ok(Sample { memory: grown as f64 * 1024.0 / CONNECTIONS as f64, ..Sample::default() })
}

/// From the start of the process to INFO, and the memory of an empty server once it has settled.
pub(crate) fn start_up(program: &Program) -> Result<Sample, String> {
    let server = Server::start(program, &[])?;
    let first = server.first_info;
    // Whatever a server does after its start, it has done by then.
    thread::sleep(Duration::from_millis(300));
    Ok(Sample {
        p50_us: first.as_nanos() as f64 / 1e3,
        memory: server.resident_kb() as f64,
        ..Sample::default()
    })
}
