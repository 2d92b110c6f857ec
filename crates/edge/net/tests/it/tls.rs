//! TLS on client connections.

mod files;
mod flow;
mod identity;
mod modes;
