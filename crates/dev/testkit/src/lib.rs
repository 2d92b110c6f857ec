//! Test harness: real servers on loopback, scripted conversations, the oracle.
