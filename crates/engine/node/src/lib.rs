//! A whole node assembled over ports.
