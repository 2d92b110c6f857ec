//! The system's log, on this machine or another.
//!
//! The local one gets `<PRI>Mon _D HH:MM:SS tag[pid]: text` with the facility daemon; a remote one
//! `<PRI>RFC-3339 host tag[pid]: text` with the facility kern, which is what the reference server sends.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::{UnixDatagram, UnixStream};

use midge_stdx::goquote;
use midge_stdx::gotime::{self, Civil};

use super::url::{self, Address};
use super::{Reopened, Sink};
use crate::gowords;
use crate::limits::{SYSLOG_MESSAGE, SYSLOG_WAIT};
use crate::line::{Level, Line, Zone};

/// Where the local syslog listens.
#[cfg(unix)]
const LOCAL_SOCKETS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

const FACILITY_KERN: u8 = 0;
const FACILITY_DAEMON: u8 = 3 << 3;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[derive(Debug)]
enum Destination {
    Local,
    Remote(Address),
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
    #[cfg(unix)]
    Stream(UnixStream),
    #[cfg(unix)]
    Datagram(UnixDatagram),
}

impl Socket {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Socket::Udp(socket) => socket.send(message).map(drop),
            Socket::Tcp(socket) => socket.write_all(message),
            #[cfg(unix)]
            Socket::Stream(socket) => socket.write_all(message),
            #[cfg(unix)]
            Socket::Datagram(socket) => socket.send(message).map(drop),
        }
    }
}

/// Lines to a syslog.
#[derive(Debug)]
pub(crate) struct Syslog {
    destination: Destination,
    socket: Option<Socket>,
    facility: u8,
    /// Whether lines carry the short date and no host.
    short: bool,
    host: String,
    tag: String,
    zone: Zone,
}

impl Syslog {
    /// Connects to the syslog of this machine. Errors: `error connecting to syslog: "…"`.
    pub(crate) fn local(tag: String) -> Result<Syslog, String> {
        Syslog::connected(Destination::Local, FACILITY_DAEMON, tag)
    }

    /// Connects to a syslog by its address. Errors: `error invalid network type: "…"`,
    /// `error connecting to syslog: "…"`.
    pub(crate) fn remote(address: &str, tag: String) -> Result<Syslog, String> {
        Syslog::connected(Destination::Remote(url::parse(address)?), FACILITY_KERN, tag)
    }

    fn connected(destination: Destination, facility: u8, tag: String) -> Result<Syslog, String> {
        let socket = connect(&destination)
            .map_err(|error| format!("error connecting to syslog: {}", goquote::quote(error.as_bytes())))?;
        let short = matches!(destination, Destination::Local | Destination::Remote(Address::Unix(_)));
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Syslog { destination, socket: Some(socket), facility, short, host, tag, zone: Zone::local() })
    }

    fn message(&self, line: &Line) -> Vec<u8> {
        let severity = match line.level {
            Level::Fatal => 2,
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info | Level::Trace => 5,
            Level::Debug => 7,
        };
        let priority = self.facility + severity;
        let offset = self.zone.offset(line.at);
        let (tag, pid) = (&self.tag, std::process::id());
        let mut message = if self.short {
            let Civil { month, day, hour, minute, second, .. } = self.zone.civil(line.at);
            let month = MONTHS[(month as usize).saturating_sub(1) % MONTHS.len()];
            format!(
                "<{priority}>{month} {day:2} {hour:02}:{minute:02}:{second:02} {tag}[{pid}]: {}",
                line.text
            )
        } else {
            let whole_seconds = midge_stdx::clock::Wall(line.at.0 - line.at.0.rem_euclid(1_000_000_000));
            let date = gotime::rfc3339_at(whole_seconds, offset);
            format!("<{priority}>{date} {} {tag}[{pid}]: {}", self.host, line.text)
        };
        message.truncate(message.floor_char_boundary(SYSLOG_MESSAGE));
        message.push('\n');
        message.into_bytes()
    }
}

impl Sink for Syslog {
    fn print(&mut self, line: &Line) -> io::Result<()> {
        let message = self.message(line);
        if self.socket.as_mut().is_some_and(|socket| socket.send(&message).is_ok()) {
            return Ok(());
        }
        // A syslog that was restarted is found again.
        self.socket = None;
        let mut socket = connect(&self.destination).map_err(io::Error::other)?;
        socket.send(&message)?;
        self.socket = Some(socket);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reopen(&mut self) -> Reopened {
        Reopened::NoFile
    }
}

fn connect(destination: &Destination) -> Result<Socket, String> {
    match destination {
        Destination::Local => connect_local(),
        Destination::Remote(Address::Udp(host)) => {
            let address = resolve("udp", host)?;
            let any: SocketAddr =
                if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
            let connected = UdpSocket::bind(any).and_then(|socket| socket.connect(address).map(|()| socket));
            connected.map(Socket::Udp).map_err(|error| dial("udp", &address.to_string(), &error))
        }
        Destination::Remote(Address::Tcp(host)) => {
            let address = resolve("tcp", host)?;
            let connected = TcpStream::connect_timeout(&address, SYSLOG_WAIT)
                .and_then(|socket| socket.set_write_timeout(Some(SYSLOG_WAIT)).map(|()| socket));
            connected.map(Socket::Tcp).map_err(|error| dial("tcp", &address.to_string(), &error))
        }
        #[cfg(unix)]
        Destination::Remote(Address::Unix(path)) => {
            let connected = UnixStream::connect(path)
                .and_then(|socket| socket.set_write_timeout(Some(SYSLOG_WAIT)).map(|()| socket));
            connected.map(Socket::Stream).map_err(|error| dial("unix", path, &error))
        }
        #[cfg(not(unix))]
        Destination::Remote(Address::Unix(path)) => Err(format!("dial unix {path}: not supported here")),
    }
}

#[cfg(unix)]
fn connect_local() -> Result<Socket, String> {
    for path in LOCAL_SOCKETS {
        let datagram = UnixDatagram::unbound().and_then(|socket| {
            socket.connect(path)?;
            socket.set_write_timeout(Some(SYSLOG_WAIT))?;
            Ok(socket)
        });
        if let Ok(socket) = datagram {
            return Ok(Socket::Datagram(socket));
        }
        let stream = UnixStream::connect(path)
            .and_then(|socket| socket.set_write_timeout(Some(SYSLOG_WAIT)).map(|()| socket));
        if let Ok(socket) = stream {
            return Ok(Socket::Stream(socket));
        }
    }
    Err("Unix syslog delivery error".to_owned())
}

#[cfg(not(unix))]
fn connect_local() -> Result<Socket, String> {
    Err("Unix syslog delivery error".to_owned())
}

fn resolve(network: &str, host: &str) -> Result<SocketAddr, String> {
    let Some((name, _)) = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')) else {
        return Err(format!("dial {network}: address {host}: missing port in address"));
    };
    let found = host.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| format!("dial {network}: lookup {name}: no such host"))
}

fn dial(network: &str, address: &str, error: &io::Error) -> String {
    format!("dial {network} {address}: connect: {}", gowords::error(error))
}

#[cfg(test)]
mod tests {
    use midge_stdx::clock::Wall;

    use super::*;

    #[test]
    fn local_and_remote_messages_differ() {
        let sockets = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = format!("udp://{}", sockets.local_addr().unwrap());
        let mut syslog = Syslog::remote(&address, "nats-server".into()).unwrap();
        syslog.zone = Zone::Utc;
        syslog.host = "vm".into();
        let at = Wall(1_700_000_000_123_456_789);
        let pid = std::process::id();
        let mut message = |level, short: bool| {
            syslog.short = short;
            syslog.facility = if short { FACILITY_DAEMON } else { FACILITY_KERN };
            String::from_utf8(syslog.message(&Line { level, at, text: "hi".into() })).unwrap()
        };
        assert_eq!(
            message(Level::Info, false),
            format!("<5>2023-11-14T22:13:20Z vm nats-server[{pid}]: hi\n")
        );
        assert_eq!(message(Level::Info, true), format!("<29>Nov 14 22:13:20 nats-server[{pid}]: hi\n"));
        for (level, severity) in
            [(Level::Fatal, 2), (Level::Error, 3), (Level::Warn, 4), (Level::Trace, 5), (Level::Debug, 7)]
        {
            assert!(message(level, false).starts_with(&format!("<{severity}>")));
        }
        syslog.print(&Line { level: Level::Warn, at, text: "x".repeat(2 * SYSLOG_MESSAGE) }).unwrap();
        let mut buffer = vec![0; 2 * SYSLOG_MESSAGE];
        assert_eq!(sockets.recv(&mut buffer).unwrap(), SYSLOG_MESSAGE + 1);
    }

    #[test]
    fn addresses_that_lead_nowhere_are_named() {
        let error = |address: &str| Syslog::remote(address, String::new()).unwrap_err();
        assert_eq!(
            error("udp://127.0.0.1"),
            r#"error connecting to syslog: "dial udp: address 127.0.0.1: missing port in address""#
        );
        assert_eq!(
            error("unix:///no/such.sock"),
            r#"error connecting to syslog: "dial unix /no/such.sock: connect: no such file or directory""#
        );
    }
}
