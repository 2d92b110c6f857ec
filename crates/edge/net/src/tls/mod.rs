//! TLS. Every type of rustls stays in this module.
//!
//! ```text
//!   config::schema::Tls ─▶ config (files, roots, suites, groups) ─▶ ServerTls ──┬─▶ accept: handshake ─▶ stream
//!                          select (certificate by name)                         │   facts, names, pins
//!                          verify (client certificates)                         └─▶ rate: handshakes per second
//! ```
//!
//! [`ServerTls`] can be loaded again while it is in use: new handshakes take the new files, connections keep theirs.

mod accept;
mod certificate;
mod ciphers;
mod config;
mod rate;
mod select;
mod stream;
mod verify;

use std::time::Duration;

use arc_swap::ArcSwap;
use midge_config::schema::tls::{HandshakeFirst, Tls};
use midge_stdx::clock::Wall;

pub(crate) use accept::{Failure, HANDSHAKE_RECORD};
pub use stream::TlsStream;

use config::Loaded;
use rate::RateLimit;

/// The TLS of a listener.
pub struct ServerTls {
    current: ArcSwap<Loaded>,
    allow_non_tls: bool,
    rate: Option<RateLimit>,
}

impl ServerTls {
    /// Loads certificates, keys and authorities. With `allow_non_tls` clients may also stay in clear text. Errors: one
    /// line without position; the caller knows where the `tls` key stands.
    pub fn load(options: &Tls, allow_non_tls: bool) -> Result<ServerTls, String> {
        Ok(ServerTls {
            current: ArcSwap::from_pointee(Loaded::load(options)?),
            allow_non_tls,
            rate: RateLimit::new(options.connection_rate_limit),
        })
    }

    /// Loads again, for handshakes that begin from now on. The rate limit stays what it was. Errors: as with
    /// [`ServerTls::load`]; then nothing changes.
    pub fn reload(&self, options: &Tls) -> Result<(), String> {
        self.current.store(Loaded::load(options)?.into());
        Ok(())
    }

    /// When the first certificate ends.
    pub fn certificate_expiry(&self) -> Option<Wall> {
        self.current.load().not_after
    }

    pub(crate) fn allow_non_tls(&self) -> bool {
        self.allow_non_tls
    }

    pub(crate) fn handshake_first(&self) -> HandshakeFirst {
        self.current.load().handshake_first
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.current.load().timeout
    }

    /// Whether one more handshake may begin now.
    pub(crate) fn admits(&self) -> bool {
        self.rate.as_ref().is_none_or(|rate| rate.admit(crate::clock::now().mono))
    }

    /// Tells the operator every second how many connections were refused; never ends.
    pub(crate) async fn report_refused(&self) {
        match &self.rate {
            Some(rate) => rate.report().await,
            None => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("allow_non_tls", &self.allow_non_tls).finish_non_exhaustive()
    }
}
