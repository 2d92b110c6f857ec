//! One publisher and one subscriber over TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Sample;
use crate::client::{self, Publisher, Receiver};
use crate::server::{Program, Server};

const SIZE: usize = 128;
const MESSAGES: usize = 1_000_000;

type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Runs the workload once against a fresh server with a certificate of its own.
pub(crate) fn secure(program: &Program) -> Result<Sample, String> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(|e| e.to_string())?;
    let dir = std::env::temp_dir().join(format!("midge-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).map_err(|e| e.to_string())?;
    std::fs::write(&key, made.signing_key.serialize_pem()).map_err(|e| e.to_string())?;
    let text = |path: &std::path::Path| path.display().to_string();
    let (cert, key) = (text(&cert), text(&key));
    let server = Server::start(program, &["--tls", "--tlscert", &cert, "--tlskey", &key])?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).map_err(|e| e.to_string())?;
    let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let mut subscriber = connect(server.port, &config)?;
    client::send(&mut subscriber, b"SUB bench.tls 1\r\n")?;
    let mut stream = connect(server.port, &config)?;
    let (before, started) = (server.cpu_ns(), Instant::now());
    let reading = thread::spawn(move || -> Result<(), String> {
        let mut receiver = Receiver::new("bench.tls", "1", "", SIZE, 1, false);
        let mut buffer = vec![0; 64 * 1024];
        while receiver.received < MESSAGES {
            let n = subscriber.read(&mut buffer).map_err(|e| e.to_string())?;
            receiver.feed(&buffer[..n], |_| ())?;
        }
        Ok(())
    });
    let mut publisher = Publisher::new(0, "bench.tls", "", SIZE, 64 * 1024);
    let mut left = MESSAGES;
    while left > 0 {
        left -= publisher.write(&mut stream, left, 0)?;
    }
    client::send(&mut stream, b"")?;
    reading.join().map_err(|_| "the subscriber panicked")??;
    let sample = Sample {
        cpu_ns: (server.cpu_ns() - before) as f64 / MESSAGES as f64,
        rate: MESSAGES as f64 / started.elapsed().as_secs_f64(),
        memory: server.peak_kb() as f64,
        ..Sample::default()
    };
    let _ = std::fs::remove_dir_all(dir);
    Ok(sample)
}

fn connect(port: u16, config: &Arc<ClientConfig>) -> Result<Secure, String> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    socket.set_nodelay(true).map_err(|e| e.to_string())?;
    // INFO comes in clear, up to its line end.
    let mut byte = [0];
    while byte != *b"\n" {
        socket.read_exact(&mut byte).map_err(|e| e.to_string())?;
    }
    let name = ServerName::try_from("localhost").map_err(|e| e.to_string())?;
    let session = ClientConnection::new(config.clone(), name).map_err(|e| e.to_string())?;
    let mut stream = StreamOwned::new(session, socket);
    stream.flush().map_err(|e| e.to_string())?;
    client::log_in(&mut stream)?;
    Ok(stream)
}
