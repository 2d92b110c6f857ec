//! Files of the Go server, read and written again.

// A test is a program: it may meet the operating system.
#![allow(clippy::disallowed_methods)]

mod ages;
mod backups;
mod blocks;
mod consumers;
mod disk;
mod fixtures;
mod indexes;
mod journal_late;
mod journal_refused;
mod open;
mod open_cuts;
mod open_faults;
mod open_replay;
mod parity_files;
mod parity_store;
mod recover;
mod states;
mod streams;
