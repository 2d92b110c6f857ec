//! Accounts; their users stand in [`Authorization`](super::Authorization) with the account's name.

use super::authorization::Permissions;

/// One configured account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its public key (`A…`); empty for none.
    pub nkey: String,
    /// Its limits.
    pub limits: AccountLimits,
    /// Permissions of its users that state none; they are already filled in at those users.
    pub default_permissions: Option<Permissions>,
}

/// Limits of an account; -1 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLimits {
    /// Client connections.
    pub max_connections: i32,
    /// Subscriptions of one connection.
    pub max_subscriptions: i32,
    /// Bytes of one message.
    pub max_payload: i32,
    /// Leaf node connections.
    pub max_leafnodes: i32,
}

impl Default for AccountLimits {
    fn default() -> Self {
        AccountLimits { max_connections: -1, max_subscriptions: -1, max_payload: -1, max_leafnodes: -1 }
    }
}
