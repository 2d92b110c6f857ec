//! Typed options by topic.
pub mod authorization;
