//! Scripted clients: what they send is data, what they receive they read with a parser of their own.

mod encode;
mod ops;
mod read;
mod script;

pub use encode::{Style, encode};
pub use ops::{Act, Connect, Fault, Op, Publish};
pub use read::{Event, Reader};
pub use script::{Script, pattern};
