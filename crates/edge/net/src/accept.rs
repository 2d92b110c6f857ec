//! Listeners: sockets come in and go to the shard with the fewest connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use midge_broker::broker::Broker;
use midge_broker::conn::Flow;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::clock;
use crate::conn::Connection;
use crate::establish::{self, OpeningHook, ReadAhead, SharedHook};
use crate::limits::{ACCEPT_PAUSE, LISTEN_BACKLOG, PIPE_BUFFER};
use crate::shard::{self, Shard, Shards};
use crate::tls::ServerTls;
use crate::transport::{OwnedHook, PlainHook, Transport};
use crate::wakeup::Wakeup;

/// Opens a listening socket; must be called inside a runtime. Errors: the operating system's.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let domain = if addr.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() && addr.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(i32::try_from(LISTEN_BACKLOG).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Accepts clients in clear text until `stop` turns true. When descriptors run out, accepting pauses and the operator
/// is told.
pub async fn serve(
    listener: TcpListener,
    broker: Arc<Broker>,
    shards: Arc<Shards>,
    stop: watch::Receiver<bool>,
) {
    serve_clients(listener, broker, shards, None, stop).await;
}

/// Like [`serve`], with TLS as its options say.
pub async fn serve_tls(
    listener: TcpListener,
    broker: Arc<Broker>,
    shards: Arc<Shards>,
    tls: Arc<ServerTls>,
    stop: watch::Receiver<bool>,
) {
    tokio::select! {
        () = serve_clients(listener, broker, shards, Some(tls.clone()), stop) => {}
        () = tls.report_refused() => {}
    }
}

async fn serve_clients(
    listener: TcpListener,
    broker: Arc<Broker>,
    shards: Arc<Shards>,
    tls: Option<Arc<ServerTls>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, addr)) => {
                pause = ACCEPT_PAUSE.0;
                place(stream, addr, broker.clone(), &shards, tls.clone()).await;
            }
            Err(error) => {
                tracing::error!("Temporary Client Accept Error ({error}), sleeping {}ms", pause.as_millis());
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }
}

async fn place(
    stream: TcpStream,
    addr: SocketAddr,
    broker: Arc<Broker>,
    shards: &Shards,
    tls: Option<Arc<ServerTls>>,
) {
    let Some(shard) = shards.least_loaded() else { return };
    // The socket moves to the poller of its shard.
    let Ok(stream) = stream.into_std() else { return };
    let owner = shard.clone();
    // A client over IPv4 has its IPv4 address, whichever way the listener takes it.
    let addr = SocketAddr::new(addr.ip().to_canonical(), addr.port());
    // Two kinds of task, so that a connection in clear does not hold the room that a handshake needs.
    match tls {
        None => {
            let task = move || async move {
                if let Ok(stream) = TcpStream::from_std(stream) {
                    client(stream, addr, broker, owner).await;
                }
            };
            shard.spawn(task).await;
        }
        Some(tls) => {
            let task = move || async move {
                if let Ok(stream) = TcpStream::from_std(stream) {
                    tls_client(stream, addr, broker, owner, &tls).await;
                }
            };
            shard.spawn(task).await;
        }
    }
}

async fn client(stream: TcpStream, addr: SocketAddr, broker: Arc<Broker>, owner: Arc<Shard>) {
    // Small answers must not wait for acknowledgements of earlier ones.
    let _ = stream.set_nodelay(true);
    let wakeup = Arc::new(Wakeup::default());
    let machine = broker.accept(Some(addr), owner.index, clock::now());
    let transport = Transport::plain(stream);
    if let Transport::Plain(_, socket) = &transport {
        let hook = PlainHook { socket: Arc::downgrade(socket), wakeup: wakeup.clone(), owner };
        machine.peer().attach(Box::new(hook));
    }
    start(Box::new(Connection::new(machine, transport, wakeup))).await;
}

async fn tls_client(
    stream: TcpStream,
    addr: SocketAddr,
    broker: Arc<Broker>,
    owner: Arc<Shard>,
    tls: &ServerTls,
) {
    let _ = stream.set_nodelay(true);
    let wakeup = Arc::new(Wakeup::default());
    let machine = broker.accept(Some(addr), owner.index, clock::now());
    let hook = OpeningHook::new(wakeup.clone());
    machine.peer().attach(Box::new(SharedHook(hook.clone())));
    let waker = wakeup.clone();
    let clear = move |stream| {
        let transport = Transport::plain(stream);
        if let Transport::Plain(_, socket) = &transport {
            hook.open(PlainHook { socket: Arc::downgrade(socket), wakeup: waker, owner });
        }
        transport
    };
    establish::establish(stream, machine, wakeup, tls, clear).await;
}

/// Greets a connection whose transport is ready, and serves it.
async fn start(mut connection: Box<Connection>) {
    let flow = shard::with(|local| {
        local.batch.begin(clock::now());
        let flow = connection.machine.greet(&mut local.batch);
        local.flush();
        flow
    });
    match flow {
        Flow::Close(reason) => connection.finish(reason).await,
        _ => {
            connection.machine.secured(clock::now());
            connection.run().await;
        }
    }
}

/// A client connection without a socket: its task runs on a shard, the caller gets the other end of the pipe. `None`
/// when there is no shard.
pub async fn in_process(broker: Arc<Broker>, shards: &Shards) -> Option<tokio::io::DuplexStream> {
    pipe(broker, shards, None).await
}

/// Like [`in_process`]; the client may begin a TLS handshake where it would send CONNECT.
pub async fn in_process_tls(
    broker: Arc<Broker>,
    shards: &Shards,
    tls: Arc<ServerTls>,
) -> Option<tokio::io::DuplexStream> {
    pipe(broker, shards, Some(tls)).await
}

async fn pipe(
    broker: Arc<Broker>,
    shards: &Shards,
    tls: Option<Arc<ServerTls>>,
) -> Option<tokio::io::DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(PIPE_BUFFER);
    let shard = shards.least_loaded()?;
    let index = shard.index;
    shard
        .spawn(move || async move {
            let wakeup = Arc::new(Wakeup::default());
            let machine = broker.accept(None, index, clock::now());
            machine.peer().attach(Box::new(OwnedHook { wakeup: wakeup.clone() }));
            let Some(tls) = tls else {
                let transport = Transport::owned(Box::new(ours));
                return start(Box::new(Connection::new(machine, transport, wakeup))).await;
            };
            let clear = |stream| Transport::owned(Box::new(stream));
            establish::establish(ReadAhead::new(ours), machine, wakeup, &tls, clear).await;
        })
        .await;
    Some(theirs)
}
