//! Monitoring, metrics and probes over HTTP.
