//! The server as a library, over loopback sockets and pipes.

mod damage;
mod delivery;
mod embedding;
mod hostile;
mod language;
mod life;
mod liveness;
mod logins;
mod monitoring;
mod permissions;
mod pressure;
mod streams;
mod support;
