//! Sockets, shards and TLS.
