//! What a connection may publish, subscribe to and answer.
//!
//! [`compile`] makes [`Permissions`] of the lists of a configuration, [`check`] answers questions of the data path,
//! [`responses`] keeps the reply subjects that a connection may answer.

pub mod check;
pub mod compile;
mod describe;
mod patterns;
pub mod responses;

use midge_config::schema::authorization::ResponsePermission;

pub use compile::BadEntry;
pub use responses::ResponseTable;

use patterns::{PatternSet, QueuePatterns};

/// Compiled permissions, shared by every connection of a user.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    publish_allow: Option<PatternSet>,
    publish_deny: PatternSet,
    subscribe_allow: Option<SubscribeRules>,
    subscribe_deny: SubscribeRules,
    responses: Option<ResponsePermission>,
    lists: Lists,
}

/// Entries without and with a queue.
#[derive(Clone, Debug, Default)]
struct SubscribeRules {
    plain: PatternSet,
    queues: QueuePatterns,
}

/// The entries that were understood, as they are shown to the user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lists {
    publish_allow: Vec<String>,
    publish_deny: Vec<String>,
    subscribe_allow: Vec<String>,
    subscribe_deny: Vec<String>,
}

impl Permissions {
    /// Whether a connection needs a [`ResponseTable`], and with which bounds.
    pub fn responses(&self) -> Option<&ResponsePermission> {
        self.responses.as_ref()
    }
}
