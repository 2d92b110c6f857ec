//! The configuration language, the options table and the command line.
