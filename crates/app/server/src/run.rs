//! Real ports wired, threads started.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use midge_config::Options;
use midge_net::accept;
use midge_net::entropy::SystemEntropy;
use midge_net::shard::Shards;
use midge_node::{Ports, assemble};
use tokio::sync::watch;

/// Runs until interrupted.
pub async fn run(options: Options) -> Result<(), String> {
    let shards = std::thread::available_parallelism().map_or(1, usize::from);
    let ports = Ports {
        secrets: Box::new(SystemEntropy),
        shards,
        midge_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let host = options.listen.host.clone();
    let port = u16::try_from(options.listen.port.number()).unwrap_or(0);
    let node = assemble(options, ports, midge_net::clock::now())?;
    let addr: SocketAddr = (host.as_str(), port).to_socket_addrs().map_err(|e| e.to_string())?.next().ok_or("no address")?;
    let listener = accept::listen(addr).map_err(|e| e.to_string())?;
    let shards = Arc::new(Shards::start(shards).map_err(|e| e.to_string())?);
    let (_stop, stopped) = watch::channel(false);
    accept::serve(listener, node.broker.clone(), shards, stopped).await;
    Ok(())
}
