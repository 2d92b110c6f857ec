//! Building a server.

use std::fmt;

use midge_config::schema::{Port, fill_defaults};
use midge_config::{MemorySource, Options};

use crate::server::Server;

/// Why a server did not start. Blame: the operator, or the operating system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The options contradict each other or name something that does not exist.
    Options(String),
    /// TLS cannot be set up from its files.
    Tls(String),
    /// The operating system refuses a port, a file or threads, or the address that clients are told is none.
    System(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Options(text) | StartError::Tls(text) | StartError::System(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for StartError {}

/// Options on their way to a [`Server`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    pub(crate) options: Options,
    pub(crate) shards: Option<usize>,
    pub(crate) listens: bool,
    /// Program name for the ports file; empty for none.
    pub(crate) program: String,
}

impl Builder {
    /// The defaults of the command: port 4222 on every address.
    pub fn new() -> Self {
        Builder { options: Options::default(), shards: None, listens: true, program: "midge".to_owned() }
    }

    /// Starts from options that were made elsewhere.
    pub fn from_options(options: Options) -> Self {
        Builder { options, ..Builder::new() }
    }

    /// Applies a configuration text over the defaults. The error is the report: a line per problem, with excerpts.
    pub fn from_config(text: &str) -> Result<Self, StartError> {
        let source = MemorySource::new().file("embedded.conf", text);
        let options = midge_config::schema::load("embedded.conf", &source).map_err(StartError::Options)?;
        Ok(Builder::from_options(options))
    }

    /// The address or name to listen on.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.options.listen.host);
        self
    }

    /// The port for clients.
    pub fn port(mut self, port: u16) -> Self {
        self.options.listen.port = Port::Fixed(port);
        self
    }

    /// Any free port for clients.
    pub fn random_port(mut self) -> Self {
        self.options.listen.port = Port::Random;
        self
    }

    /// No port at all: clients come through [`Server::connect`] only.
    pub fn without_listener(mut self) -> Self {
        self.listens = false;
        self
    }

    /// Monitoring on any free port.
    pub fn random_http_port(mut self) -> Self {
        self.options.monitoring.http = Some(Port::Random);
        self
    }

    /// The server's name.
    pub fn server_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.options.server.server_name);
        self
    }

    /// Threads for connections; the default is one per CPU that the process may use.
    pub fn shards(mut self, count: usize) -> Self {
        self.shards = Some(count.max(1));
        self
    }

    /// Changes any option.
    pub fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Starts the server; when this returns, it accepts clients.
    pub async fn start(mut self) -> Result<Server, StartError> {
        fill_defaults(&mut self.options);
        midge_config::validate::validate(&self.options).map_err(StartError::Options)?;
        Server::start(self).await
    }
}
