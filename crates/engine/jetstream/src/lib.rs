//! Hosts of streams, the JetStream API, and the assembly of assets.
#![forbid(unsafe_code)]
