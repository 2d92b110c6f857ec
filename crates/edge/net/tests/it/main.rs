//! Connections over real sockets.

mod certificates;
mod events;
mod server;
mod tls;
