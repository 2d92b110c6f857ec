//! The configuration language, the options table and the command line.
#![forbid(unsafe_code)]
pub mod schema;
