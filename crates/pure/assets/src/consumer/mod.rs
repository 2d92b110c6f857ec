//! One consumer: what it delivers, to whom and when, and what is acknowledged.
//!
//! ```text
//!   pull, ack, flow_reply ──▶ ┌──────────┐ ──▶ Outlet: messages, statuses, replies, events
//!   stored, removed, purged ▶ │ Consumer │ ──▶ ConsumerStore: deltas of what was delivered and acknowledged
//!   turn, expire ───────────▶ └──────────┘ ──▶ Store: queries, which may have to wait for a block
//! ```
//!
//! A consumer owns everything but the messages: each call is given a [`Cx`] with the store of the stream, the time, randomness and an
//! [`Outlet`]. [`Consumer::turn`] delivers as far as it can and is called after any other input, and again when a block came that it waited
//! for; [`Consumer::deadline`] says when [`Consumer::expire`] is due.
//!
//! What is delivered, counted and told stops at [`StreamFacts::visible`]: a message that may yet be lost is seen by nobody.
//!
//! What was delivered and acknowledged is in the [`ConsumerStore`](midge_store::consumer::ConsumerStore) alone. Beside it there is only what a
//! restart may forget: waiting pull requests, who is pinned, the windows of flow control, the order of redeliveries and the heap of their
//! deadlines, which are computed from the times kept there. Times are those of the monotonic clock, tied to the wall clock once, so that a jump
//! of the wall clock redelivers nothing.
//!
//! Costs: a delivery or acknowledgement O(log of what is pending or waiting); no allocation for each but where the ordered maps grow. What
//! is delivered in one turn is kept by one write.
//!
//! Not here: the API's replies, who is interested in which subject, when messages leave a stream.

mod acks;
mod alarms;
pub mod config;
mod expire;
mod info;
mod lifecycle;
mod machine;
mod outlet;
mod pending;
mod pins;
mod pull;
mod push;
mod redelivery;
mod requests;
mod start;
mod status;
mod turn;

#[cfg(test)]
mod tests;

pub use machine::{Consumer, Identity, Progress};
pub use outlet::{AckOf, Cx, Delivery, Event, Outlet, StreamFacts};
pub use start::{Start, StartQuery};
