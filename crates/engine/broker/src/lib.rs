//! Connections, accounts and routing, without I/O.
