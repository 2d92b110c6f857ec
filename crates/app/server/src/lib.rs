//! The midge server as a library.
#![forbid(unsafe_code)]

pub mod run;

pub use midge_config as config;
