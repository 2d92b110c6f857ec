//! The midge server as a library.
