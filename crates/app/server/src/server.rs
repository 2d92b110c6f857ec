//! A running server.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use midge_auth::permissions::Permissions;
use midge_broker::broker::Broker;
use midge_config::schema::Port;
use midge_config::schema::authorization;
use midge_config::schema::tls::HandshakeFirst;
use midge_disk::Disk;
use midge_net::entropy::SystemEntropy;
use midge_net::shard::Shards;
use midge_net::tls::ServerTls;
use midge_net::{accept, clock};
use midge_node::{Node, Ports, assemble};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::advertise::advertised;
use crate::builder::{Builder, StartError};
use crate::files::{self, PortsFile};
use crate::lame_duck;
use crate::usage::{ProcessHost, usable_cpus};

/// Payload sizes above this are worth a warning.
const LARGE_PAYLOAD: i64 = 8 << 20;

/// How long the end waits for connections to flush.
const LONGEST_END: Duration = Duration::from_secs(5);

/// A running server. Dropping it without [`Server::shutdown`] leaves it running.
#[derive(Debug)]
pub struct Server {
    node: Arc<Node>,
    shards: Arc<Shards>,
    client_addr: Option<SocketAddr>,
    pub(crate) monitor_addr: Option<SocketAddr>,
    /// True closes the client listener; the second one closes monitoring.
    stop_accepting: watch::Sender<bool>,
    stop_monitoring: watch::Sender<bool>,
    pub(crate) tls: Option<Arc<ServerTls>>,
    /// Whether the client listener is open.
    accepting: watch::Sender<bool>,
    pub(crate) tasks: Vec<JoinHandle<()>>,
    ports_file: Option<PortsFile>,
    ended: watch::Sender<bool>,
    /// The store directory, when there are stored streams.
    disk: Option<Disk>,
}

impl Server {
    pub(crate) async fn start(builder: Builder) -> Result<Server, StartError> {
        let Builder { options, shards, listens, program } = builder;
        let count = shards.unwrap_or_else(usable_cpus);
        let now = clock::now();
        let mut seed = [0; 8];
        midge_net::entropy::fill(&mut seed);
        midge_stdx::hash::set_seed(u64::from_le_bytes(seed));
        let ports = Ports {
            secrets: Box::new(SystemEntropy),
            shards: count,
            midge_version: env!("CARGO_PKG_VERSION").to_owned(),
            host: Box::new(ProcessHost::new()),
        };
        let node = assemble(options, ports, now).map_err(StartError::Options)?;
        announce(&node, count);
        let options = &node.options;
        let tls = match &options.tls {
            Some(tls) => {
                Some(Arc::new(ServerTls::load(tls, options.allow_non_tls).map_err(StartError::Tls)?))
            }
            None => None,
        };
        if !options.server.pid_file.is_empty() {
            files::write_pid(&options.server.pid_file).map_err(StartError::System)?;
        }
        let shards = Arc::new(
            Shards::start(count)
                .map_err(|error| StartError::System(format!("cannot start threads: {error}")))?,
        );
        let (stop_accepting, accepting) = watch::channel(false);
        let (stop_monitoring, monitoring) = watch::channel(false);
        let mut server = Server {
            node: node.clone(),
            shards,
            client_addr: None,
            monitor_addr: None,
            stop_accepting,
            stop_monitoring,
            tls,
            accepting: watch::channel(false).0,
            tasks: Vec::new(),
            ports_file: None,
            ended: watch::channel(false).0,
            disk: None,
        };
        server.start_monitoring(monitoring).await?;
        server.disk = crate::jetstream::start(&node, &server.shards).await?;
        crate::jetstream::recovered(&node).await;
        if listens {
            server.listen(accepting).await?;
        }
        node.ready.store(true, std::sync::atomic::Ordering::Release);
        server.write_ports(&program)?;
        tracing::info!("Server is ready");
        Ok(server)
    }

    async fn listen(&mut self, stop: watch::Receiver<bool>) -> Result<(), StartError> {
        let options = &self.node.options;
        let (host, port) = (&options.listen.host, options.listen.port);
        let listener = bind(host, port).await.map_err(|error| {
            let at = format!("{}:{}", shown_host(host), port_number(port));
            StartError::System(format!("Error listening on port: {at}, \"listen tcp {at}: {error}\""))
        })?;
        let addr = listener.local_addr().map_err(|error| StartError::System(error.to_string()))?;
        self.client_addr = Some(addr);
        tracing::info!("Listening for client connections on {}:{}", shown_host(host), addr.port());
        self.node.broker.set_address(advertised(options, addr).map_err(StartError::System)?);
        if options.tls.is_some() {
            let word = if options.allow_non_tls { "available" } else { "required" };
            tracing::info!("TLS {word} for client connections");
        }
        if options.tls.as_ref().is_some_and(|tls| tls.handshake_first == HandshakeFirst::On) {
            tracing::warn!("Clients that are not using \"TLS Handshake First\" option will fail to connect");
        }
        let (broker, shards) = (self.node.broker.clone(), self.shards.clone());
        let (tls, accepting) = (self.tls.clone(), self.accepting.clone());
        accepting.send_replace(true);
        self.tasks.push(tokio::spawn(async move {
            match tls {
                Some(tls) => accept::serve_tls(listener, broker, shards, tls, stop).await,
                None => accept::serve(listener, broker, shards, stop).await,
            }
            accepting.send_replace(false);
        }));
        Ok(())
    }

    fn write_ports(&mut self, program: &str) -> Result<(), StartError> {
        let dir = &self.node.options.server.ports_file_dir;
        if dir.is_empty() {
            return Ok(());
        }
        let addresses: Vec<IpAddr> =
            if_addrs::get_if_addrs().unwrap_or_default().iter().map(if_addrs::Interface::ip).collect();
        let tls = self.node.options.tls.is_some();
        let list = |scheme: &str, addr: Option<SocketAddr>| {
            addr.map(|addr| files::urls(scheme, addr, &addresses)).unwrap_or_default()
        };
        let secure = self.node.options.monitoring.https.is_some();
        let ports = files::Ports {
            nats: list(if tls { "tls" } else { "nats" }, self.client_addr),
            monitoring: list(if secure { "https" } else { "http" }, self.monitor_addr),
        };
        self.ports_file = Some(PortsFile::write(dir, program, &ports).map_err(StartError::System)?);
        Ok(())
    }

    /// The address that clients were bound to; `None` without a listener.
    pub fn client_addr(&self) -> Option<SocketAddr> {
        self.client_addr
    }

    /// The address of monitoring; `None` without it.
    pub fn monitor_addr(&self) -> Option<SocketAddr> {
        self.monitor_addr
    }

    /// The node: connections, accounts, and what monitoring sees.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// A client connection inside the process: the returned end speaks the client protocol, beginning with INFO.
    /// `None` when the server has ended.
    pub async fn connect(&self) -> Option<tokio::io::DuplexStream> {
        accept::in_process(self.node.broker.clone(), &self.shards).await
    }

    /// Open client connections.
    pub fn connections(&self) -> u64 {
        self.node.broker.connections()
    }

    /// Replaces the permissions of a live connection. Publishing follows at once; subscriptions that are no longer
    /// allowed are removed with an error. Answers whether the connection exists. `None` allows everything.
    pub fn set_permissions(&self, cid: u64, permissions: Option<&authorization::Permissions>) -> bool {
        let compiled = permissions.map(|permissions| Arc::new(Permissions::compile(permissions).0));
        self.node.broker.set_permissions(cid, compiled)
    }

    /// Closes a connection. Answers whether it was open.
    pub fn kick(&self, cid: u64) -> bool {
        self.node.broker.kick(cid)
    }

    /// Waits until the server has ended.
    pub async fn wait(&self) {
        let mut ended = self.ended.subscribe();
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Lame duck mode: no new clients, those there are told and then closed over the configured time. Returns when all
    /// are gone; [`Server::shutdown`] is the caller's to call. A second call does nothing, and neither does one without a
    /// client listener.
    pub async fn lame_duck(&self) {
        let broker = &self.node.broker;
        if broker.is_lame_duck() || broker.is_stopping() || self.client_addr.is_none() {
            return;
        }
        tracing::info!("Entering lame duck mode, stop accepting new clients");
        self.stop_accepting.send_replace(true);
        // Clients are told when no new one can come any more.
        let mut accepting = self.accepting.subscribe();
        let _ = accepting.wait_for(|accepting| !*accepting).await;
        if broker.enter_lame_duck().is_empty() {
            return;
        }
        let server = &self.node.options.server;
        let closing =
            lame_duck::close_clients(broker, server.lame_duck_duration, server.lame_duck_grace_period);
        tokio::select! {
            () = closing => {}
            () = none_left(broker) => {}
            () = self.wait() => {}
        }
    }

    /// Ends the server: listeners first, then every connection with its last bytes.
    pub async fn shutdown(mut self) {
        self.end().await;
    }

    pub(crate) async fn end(&mut self) {
        let broker = &self.node.broker;
        if broker.is_stopping() {
            return;
        }
        tracing::info!("Initiating Shutdown...");
        self.node.ready.store(false, std::sync::atomic::Ordering::Release);
        self.stop_accepting.send_replace(true);
        crate::jetstream::stop(&self.node, self.disk.take()).await;
        broker.shut_down();
        if tokio::time::timeout(LONGEST_END, none_left(broker)).await.is_err() {
            tracing::warn!("{} connections did not end in time", broker.connections());
        }
        self.stop_monitoring.send_replace(true);
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
        let shards = self.shards.clone();
        let _ = tokio::task::spawn_blocking(move || shards.join()).await;
        self.ports_file = None;
        tracing::info!("Server Exiting..");
        self.ended.send_replace(true);
    }
}

/// Returns when no connection is open. The end of connections makes no event, so this looks every few milliseconds; it
/// runs only while the server goes down.
async fn none_left(broker: &Broker) {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    while broker.connections() > 0 {
        ticks.tick().await;
    }
}

/// Binds a listening socket on a host name or address. Errors are in the words of the reference server.
pub(crate) async fn bind(host: &str, port: Port) -> Result<TcpListener, String> {
    let host = if host.is_empty() { "0.0.0.0" } else { host.trim_matches(['[', ']']) };
    let number = u16::try_from(port.number()).unwrap_or(0);
    let lookup = (host.to_owned(), number);
    let found = tokio::task::spawn_blocking(move || lookup.to_socket_addrs().map(|mut list| list.next()))
        .await
        .map_err(|error| error.to_string())?;
    let addr = match found {
        Ok(Some(addr)) => addr,
        Ok(None) | Err(_) => return Err(format!("lookup {host}: no such host")),
    };
    // As with the reference server, the IPv4 wildcard takes clients over IPv6 too where the system can.
    let both = SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), number);
    if addr.ip() == IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
        && let Ok(listener) = accept::listen(both)
    {
        return Ok(listener);
    }
    accept::listen(addr).map_err(|error| {
        let text = error.to_string().to_lowercase();
        format!("bind: {}", text.split(" (os error").next().unwrap_or(&text))
    })
}

pub(crate) fn shown_host(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

fn port_number(port: Port) -> i32 {
    port.number().max(0)
}

/// The first lines of the log.
fn announce(node: &Node, shards: usize) {
    let settings = node.broker.settings();
    let identity = &settings.identity;
    tracing::info!("Starting nats-server");
    tracing::info!("  Version:  {}", identity.version);
    tracing::info!(
        "  Git:      [{}]",
        if identity.git_commit.is_empty() { "not set" } else { &identity.git_commit }
    );
    tracing::info!("  Midge:    {}", identity.midge_version);
    tracing::info!("  Name:     {}", identity.server_name);
    tracing::info!("  ID:       {}", identity.server_id);
    let origin = &node.options.origin;
    if !origin.config_file.is_empty() {
        tracing::info!("Using configuration file: {} ({})", origin.config_file, origin.digest);
    }
    if node.broker.users().has_plaintext_passwords() {
        tracing::warn!("Plaintext passwords detected, use nkeys or bcrypt");
    }
    if settings.max_payload > LARGE_PAYLOAD {
        tracing::warn!(
            "Maximum payloads over {} are generally discouraged and could lead to poor performance",
            midge_stdx::units::friendly_bytes(LARGE_PAYLOAD)
        );
    }
    tracing::debug!("Connections are served by {shards} threads");
}
