//! A listener with a broker behind it, and clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use midge_auth::decide::{Setting, Users};
use midge_broker::account::Accounts;
use midge_broker::broker::{Broker, ClosedConn};
use midge_broker::settings::Settings;
use midge_config::schema::authorization::{Authorization, User};
use midge_config::schema::tls::{CertificatePair, HandshakeFirst, Tls};
use midge_net::accept;
use midge_net::entropy::SystemEntropy;
use midge_net::shard::Shards;
use midge_net::tls::ServerTls;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::Pki;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(10);

/// Options with the certificate that every [`Pki`] has.
pub fn options(pki: &Pki) -> Tls {
    Tls { certificates: vec![pair(pki, "server")], ca_file: pki.path("ca.pem"), ..Tls::default() }
}

pub fn pair(pki: &Pki, name: &str) -> CertificatePair {
    CertificatePair {
        cert_file: pki.path(&format!("{name}.pem")),
        key_file: pki.path(&format!("{name}.key")),
    }
}

pub struct Server {
    pub broker: Arc<Broker>,
    pub tls: Arc<ServerTls>,
    pub addr: SocketAddr,
    pub shards: Arc<Shards>,
    stop: watch::Sender<bool>,
}

/// What a server is to be like besides its TLS options.
#[derive(Default)]
pub struct Extra {
    pub allow_non_tls: bool,
    pub users: Vec<&'static str>,
    pub max_connections: Option<i64>,
}

impl Server {
    pub fn start(tls: &Tls) -> Server {
        Server::with(tls, Extra::default())
    }

    pub fn with(tls: &Tls, extra: Extra) -> Server {
        crate::events::record();
        let settings = Settings {
            tls_required: !extra.allow_non_tls,
            tls_available: extra.allow_non_tls,
            tls_verify: tls.verify,
            tls_map: tls.verify_and_map,
            max_connections: extra.max_connections.unwrap_or(1000),
            ..Settings::default()
        };
        let user = |name: &&str| User { username: (*name).to_owned(), ..User::default() };
        let authorization = Authorization {
            present: !extra.users.is_empty(),
            users: extra.users.iter().map(user).collect(),
            ..Authorization::default()
        };
        let setting = Setting { only_builtin_accounts: true, maps_certificates: tls.verify_and_map };
        let (users, complaints) = Users::compile(&authorization, setting);
        assert!(complaints.is_empty());
        let accounts = Accounts::new(None, &[], 1);
        let broker = Broker::new(settings, users, accounts, Box::new(SystemEntropy), 1);
        let shards = Arc::new(Shards::start(1).unwrap());
        let listener = accept::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let addr = listener.local_addr().unwrap();
        let tls = Arc::new(ServerTls::load(tls, extra.allow_non_tls).unwrap());
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(accept::serve_tls(listener, broker.clone(), shards.clone(), tls.clone(), stopped));
        Server { broker, tls, addr, shards, stop }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// The closed connection of a client, once it is closed.
    pub async fn closed(&self, client: SocketAddr) -> Arc<ClosedConn> {
        let find = || self.broker.closed_connections().into_iter().find(|c| c.peer.addr == Some(client));
        until(|| find().is_some()).await;
        find().unwrap()
    }

    /// Ends everything and waits for it.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.broker.shut_down();
        until(|| self.broker.connections() == 0).await;
        tokio::task::spawn_blocking(move || self.shards.join()).await.unwrap();
    }
}

/// Waits for a condition.
pub async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        while !condition() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("the condition never held");
}

/// Reads one line.
pub async fn line(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut line = Vec::new();
    let read = async {
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.unwrap());
        }
    };
    tokio::time::timeout(LONG, read).await.expect("a line");
    String::from_utf8(line).unwrap()
}

/// Everything until the end of the stream, however it ends.
pub async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut all)).await.expect("the end");
    all
}

/// A TLS handshake as a client.
pub async fn secure<S>(config: &Arc<ClientConfig>, stream: S) -> std::io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    secure_as(config, stream, "localhost").await
}

pub async fn secure_as<S>(config: &Arc<ClientConfig>, stream: S, host: &str) -> std::io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let host = ServerName::try_from(host.to_owned()).unwrap();
    let connect = TlsConnector::from(config.clone()).connect(host, stream);
    tokio::time::timeout(LONG, connect).await.expect("a handshake")
}

/// CONNECT and PING, and the answer.
pub async fn ping(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    stream.write_all(b"CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n").await.unwrap();
    stream.flush().await.unwrap();
    line(stream).await
}

pub fn first(tls: Tls) -> Tls {
    Tls { handshake_first: HandshakeFirst::On, ..tls }
}

pub fn auto(tls: Tls, wait: Duration) -> Tls {
    Tls { handshake_first: HandshakeFirst::Auto(wait), ..tls }
}
