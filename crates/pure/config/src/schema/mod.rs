//! Typed options by topic.
//!
//! A file and a command line end up in one [`Options`]. Every field has the value that the server works with:
//! defaults are filled in, aliases and units are gone.

pub mod accounts;
pub mod authorization;
mod decode;
pub(crate) mod duration;
pub mod jetstream;
pub mod listen;
pub mod logging;
pub mod monitoring;
mod nkey;
mod off;
mod permissions;
pub mod server;
pub mod tls;
mod tls_block;
mod top;
mod users;

pub use accounts::{Account, AccountLimits};
pub use authorization::Authorization;
pub use jetstream::{AccountJetStream, JetStream};
pub use listen::{Listen, Port};
pub use logging::Logging;
pub use monitoring::Monitoring;
pub use server::{Limits, Server, WriteTimeout};
pub use tls::Tls;

use crate::lang::{self, Source};
use crate::limits;

/// Everything a server can be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Name, tags, life cycle, files.
    pub server: Server,
    /// Where clients connect.
    pub listen: Listen,
    /// Sizes, counts and times of client connections.
    pub limits: Limits,
    /// What is logged, and where to.
    pub logging: Logging,
    /// The monitoring listener.
    pub monitoring: Monitoring,
    /// TLS of the client listener; `None` when it is off.
    pub tls: Option<Tls>,
    /// Clients may stay in clear text although TLS is configured.
    pub allow_non_tls: bool,
    /// Who may log in. Users of every account stand here.
    pub authorization: Authorization,
    /// Configured accounts, in file order; `$G` and the automatic `$SYS` are not listed.
    pub accounts: Vec<Account>,
    /// Stored streams.
    pub jetstream: JetStream,
    /// Where these options come from.
    pub origin: Origin,
}

/// Where options come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The configuration file as given; empty without one.
    pub config_file: String,
    /// `sha256:` and 64 hex digits over the canonical JSON of the file; empty without a file.
    pub digest: String,
    /// The command line without the program name, to be applied again over a reloaded file.
    pub arguments: Vec<String>,
    /// Warnings of the file, one line each, with their position. They are printed to standard error.
    pub warnings: Vec<String>,
}

/// A place in a configuration file, printed as `<file>:<line>:<position>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file as given, or joined to the including file's directory.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Byte position in the line: from 0 on the first line, from 1 on the others.
    pub position: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.position)
    }
}

/// Applies a file over the options. The answer is the report of its warnings, with excerpts; the error is the report
/// of everything.
pub(crate) fn apply_file(options: &mut Options, path: &str, source: &dyn Source) -> Result<String, String> {
    let document = lang::parse_file(path, source)?;
    let mut decoder = decode::Decoder::new(&document.files);
    path.clone_into(&mut options.origin.config_file);
    options.origin.digest = document.map.digest();
    if document.map.is_empty() {
        decoder.warn_plain(format!("{path}: config has no values or is empty"));
    }
    decoder.document(options, &document.map);
    let outcome = decoder.finish();
    let report = outcome.report();
    if !outcome.errors.is_empty() {
        return Err(report);
    }
    options.origin.warnings = outcome.warnings;
    Ok(report)
}

/// Reads a configuration file over the defaults, as a start without flags does; it is not validated. The error is
/// the report: a line per warning and error, and excerpts.
pub fn load(path: &str, source: &dyn Source) -> Result<Options, String> {
    let mut options = Options::default();
    apply_file(&mut options, path, source)?;
    fill_defaults(&mut options);
    Ok(options)
}

/// Puts the default where a value of zero asks for it.
pub fn fill_defaults(options: &mut Options) {
    let Options { server, listen, limits: sizes, monitoring, .. } = options;
    if listen.host.is_empty() {
        listen.host = Listen::default().host;
    }
    if listen.port == Port::Fixed(0) {
        listen.port = Port::Fixed(limits::DEFAULT_PORT);
    }
    if monitoring.host.is_empty() {
        monitoring.host.clone_from(&listen.host);
    }
    for (value, default) in [
        (&mut sizes.max_connections, limits::DEFAULT_MAX_CONNECTIONS),
        (&mut sizes.max_control_line, limits::DEFAULT_MAX_CONTROL_LINE),
        (&mut sizes.max_payload, limits::DEFAULT_MAX_PAYLOAD),
        (&mut sizes.max_pending, limits::DEFAULT_MAX_PENDING),
        (&mut sizes.max_closed_clients, limits::DEFAULT_MAX_CLOSED_CLIENTS),
        (&mut sizes.ping_max, limits::DEFAULT_PING_MAX),
        (&mut server.connect_error_reports, limits::DEFAULT_CONNECT_ERROR_REPORTS),
        (&mut server.reconnect_error_reports, limits::DEFAULT_RECONNECT_ERROR_REPORTS),
    ] {
        if *value == 0 {
            *value = default;
        }
    }
    for (value, default) in [
        (&mut sizes.ping_interval, limits::DEFAULT_PING_INTERVAL),
        (&mut sizes.write_deadline, limits::DEFAULT_WRITE_DEADLINE),
        (&mut server.lame_duck_duration, limits::DEFAULT_LAME_DUCK_DURATION),
        (&mut server.lame_duck_grace_period, limits::DEFAULT_LAME_DUCK_GRACE_PERIOD),
    ] {
        if value.is_zero() {
            *value = default;
        }
    }
}

impl Options {
    /// Time from accept to a successful CONNECT: as stated, else two seconds, with TLS one more than its time-out.
    pub fn auth_timeout(&self) -> std::time::Duration {
        match (&self.authorization.timeout, &self.tls) {
            (Some(timeout), _) => *timeout,
            (None, Some(tls)) => tls.timeout.saturating_add(std::time::Duration::from_secs(1)),
            (None, None) => limits::DEFAULT_AUTH_TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests;
