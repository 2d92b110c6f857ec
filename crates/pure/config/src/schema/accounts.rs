//! Accounts; their users stand in [`Authorization`](super::Authorization) with the account's name.

use super::authorization::Permissions;
use super::decode::{Decoded, Decoder};
use super::jetstream::AccountJetStream;
use super::users::Users;
use super::{Options, nkey, off};
use crate::lang::{At, Node, Text, Value};
use crate::quote::quoted;
use crate::table::{Block, Status, find};

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
    /// Its stored streams; `None` when it has none.
    pub jetstream: Option<AccountJetStream>,
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

/// The account of users that name none; no configuration may define it.
const GLOBAL: &str = "$G";

impl Decoder<'_> {
    /// The `accounts` option: an array of names, or a map.
    pub(super) fn accounts(&mut self, options: &mut Options, node: &Node) -> Decoded<()> {
        match &node.value {
            Value::Array(nodes) => {
                for element in nodes {
                    let name = self.text(element)?;
                    if name == GLOBAL {
                        self.reserved(element);
                    } else if !self.names.accounts.insert(name.clone()) {
                        self.error(&element.at, format!("Duplicate Account Entry: {name}"));
                    } else {
                        options.accounts.push(Account { name, ..Account::default() });
                    }
                }
            }
            Value::Map(map) => {
                for (key, entry) in map.iter() {
                    self.account(options, key, entry)?;
                }
            }
            // Other values define no account, as scripts rely on.
            _ => {}
        }
        Ok(())
    }

    fn reserved(&mut self, node: &Node) {
        self.error(&node.at, format!("{} is a Reserved Account", quoted(GLOBAL)));
    }

    /// Users of accounts exclude the single user and the token of `authorization`.
    fn check_single_user(&mut self, options: &Options, at: &At) {
        let authorization = &options.authorization;
        if !authorization.username.is_empty() {
            self.error(at, "Can not have a single user/pass and accounts");
        }
        if !authorization.token.is_empty() {
            self.error(at, "Can not have a token and accounts");
        }
    }

    fn account(&mut self, options: &mut Options, key: &Text, node: &Node) -> Decoded<()> {
        let name = key.to_text();
        let Value::Map(map) = &node.value else {
            if !node.used {
                self.error(&node.at, "Expected map entries for accounts");
            }
            return Ok(());
        };
        if name == GLOBAL {
            self.reserved(node);
            return Ok(());
        }
        let mut account = Account { name, ..Account::default() };
        let mut users = Users::default();
        let mut users_at = &node.at;
        for (key, entry) in map.iter() {
            let Some(row) = self.row(Block::Account, key, entry) else { continue };
            match row.key {
                "nkey" => {
                    let text = self.text(entry)?;
                    if nkey::is_public_key(&text, nkey::ACCOUNT) {
                        account.nkey = text;
                    } else {
                        let text = quoted(&text);
                        self.error(&entry.at, format!("Not a valid public nkey for an account: {text}"));
                    }
                }
                "users" => {
                    users_at = &entry.at;
                    if let Ok(read) = self.users(entry, false) {
                        users = read;
                    }
                }
                "default_permissions" => account.default_permissions = self.permissions(entry).ok(),
                "limits" => account.limits = self.account_limits(entry)?,
                "jetstream" => account.jetstream = self.account_jetstream(entry)?,
                _ if row.status == Status::NotYet && off::is_off(row.key, &entry.value) => {}
                _ => self.not_supported(key, entry, row),
            }
        }
        if !users.users.is_empty() || !users.nkeys.is_empty() {
            self.check_single_user(options, users_at);
        }
        users.complete(&account.name, account.default_permissions.as_ref());
        self.add_users(&mut options.authorization, users, users_at);
        if self.names.accounts.insert(account.name.clone()) {
            options.accounts.push(account);
        } else if let Some(other) = options.accounts.iter_mut().find(|other| other.name == account.name) {
            // `accounts` stands twice, in different letter case: the later one counts.
            *other = account;
        }
        Ok(())
    }

    fn account_limits(&mut self, node: &Node) -> Decoded<AccountLimits> {
        let mut limits = AccountLimits::default();
        let Value::Map(map) = &node.value else {
            let got = super::decode::shown(&node.value);
            self.error(&node.at, format!("Expected account limits to be a map/struct, got {got}"));
            return Ok(limits);
        };
        for (key, entry) in map.iter() {
            let name = key.to_text();
            let Some(row) = find(Block::AccountLimits, &name) else {
                if !entry.used {
                    let name = quoted(&name);
                    self.error(&entry.at, format!("Unknown field {name} parsing account limits"));
                }
                continue;
            };
            let target = match row.key {
                "max_connections" => &mut limits.max_connections,
                "max_subscriptions" => &mut limits.max_subscriptions,
                "max_payload" => &mut limits.max_payload,
                _ => &mut limits.max_leafnodes,
            };
            match i32::try_from(self.int(entry)?) {
                Ok(value) => *target = value,
                Err(_) => {
                    self.error(&entry.at, format!("{name} value is too big"));
                }
            }
        }
        Ok(limits)
    }
}
