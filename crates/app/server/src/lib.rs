//! The midge server as a library.
//!
//! ```no_run
//! # async fn example() -> Result<(), midge_server::StartError> {
//! let server = midge_server::Builder::new().host("127.0.0.1").random_port().start().await?;
//! println!("listening on {:?}", server.client_addr());
//! let pipe = server.connect().await; // a client connection inside the process
//! server.shutdown().await;
//! # drop(pipe);
//! # Ok(())
//! # }
//! ```
//!
//! A program may run several servers at once; each has its own threads, ports and accounts. The caller's runtime drives
//! accepting and monitoring, the server's own threads drive the connections.
//!
//! What it does not do on its own: install a logger, touch signals or process limits. [`process`] does, for a program
//! that is nothing but a server.
#![forbid(unsafe_code)]

mod advertise;
mod builder;
mod disk_figures;
mod files;
mod jetstream;
mod lame_duck;
mod monitoring;
mod send_signal;
mod server;
mod usage;

pub mod process;

pub use builder::{Builder, StartError};
pub use midge_config as config;
pub use server::Server;
pub use usage::ProcessHost;
