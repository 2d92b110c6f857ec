//! Monitoring documents as pure functions.
