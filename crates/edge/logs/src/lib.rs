//! The server log: `tracing` events become the lines that operators and their tools know.
//!
//! ```text
//!   tracing::info!(…) ─▶ subscriber ─▶ queue ─▶ writer thread ─▶ sink: standard error │ file (rotation) │ syslog
//!                        level, text    bounded                  line format
//! ```
//!
//! A line is `[pid] YYYY/MM/DD HH:MM:SS.uuuuuu [LVL] text`. Only the message of an event is printed; its fields and the
//! spans around it are not. Debug and trace lines have a switch each, that works at run time; what is switched off
//! costs a load and a branch. The thread that logs never waits for a disk or a socket: a full queue holds it up for
//! [`limits::FULL_WAIT`] once, then lines are lost, and the log says how many.
//!
//! An event with the field `limited = true` is printed at most once per second with the same text.
//!
//! What it does not do: decide what is logged, read signals, end the process.
#![forbid(unsafe_code)]

mod gowords;
pub mod limits;
mod line;
mod logs;
mod queue;
mod repeats;
mod sink;
mod subscriber;

pub use logs::{Logs, NO_LOGGER};
pub use subscriber::LogSubscriber;
