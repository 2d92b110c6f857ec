//! What an account may use, and what it uses.
//!
//! - [`tiers`]: which limits count for a stream;
//! - [`usage`]: bytes and reservations, and whether there is room for more.
//!
//! Plain data: the owner tells it what streams come, go and grow, and asks before it lets them.

pub mod tiers;
pub mod usage;

pub use tiers::{Tiers, UNLIMITED};
pub use usage::{Account, Place, ServerRoom};
