//! A deterministic simulation of whole nodes.
