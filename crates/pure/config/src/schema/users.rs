//! Reads `authorization` and the users of accounts.

use super::authorization::{Authorization, NkeyUser, Permissions, User};
use super::decode::{Decoded, Decoder, shown};
use super::{Options, duration, nkey};
use crate::lang::{At, Node, Value};
use crate::quote::quoted;
use crate::table::Block;

/// Connection types that a user can be bound to.
const CONNECTION_TYPES: [&str; 7] =
    ["STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"];

/// Seconds of a log-in time-out that are suspiciously many.
const LONG_TIMEOUT: f64 = 60.0;

/// Users of one array.
#[derive(Default)]
pub(super) struct Users {
    pub(super) users: Vec<User>,
    pub(super) nkeys: Vec<NkeyUser>,
}

impl Users {
    /// Gives users without permissions the default ones, and every user its account.
    pub(super) fn complete(&mut self, account: &str, permissions: Option<&Permissions>) {
        for user in &mut self.users {
            account.clone_into(&mut user.account);
            if user.permissions.is_none() {
                user.permissions = permissions.cloned();
            }
        }
        for user in &mut self.nkeys {
            account.clone_into(&mut user.account);
            if user.permissions.is_none() {
                user.permissions = permissions.cloned();
            }
        }
    }
}

impl Decoder<'_> {
    /// The `authorization` block.
    pub(super) fn authorization(&mut self, options: &mut Options, node: &Node) -> Decoded<()> {
        let map = self.map(node)?;
        let mut read = Authorization::default();
        let mut users = None;
        for (key, entry) in map.iter() {
            let Some(row) = self.row(Block::Authorization, key, entry) else { continue };
            match row.key {
                "user" => read.username = self.text(entry)?,
                "pass" => read.password = self.text(entry)?,
                "token" => read.token = self.text(entry)?,
                "timeout" => {
                    let Ok(seconds) = self.seconds("authorization", entry) else { continue };
                    if seconds > LONG_TIMEOUT {
                        let stated = shown(&entry.value);
                        self.warn(&entry.at, "timeout", &format!(
                            "timeout of {stated} ({seconds:.6} seconds) is high, consider keeping it under 60 seconds. \
                             possibly caused by unquoted duration; use '1m' instead of 1m, for example"
                        ));
                    }
                    // Zero takes the default.
                    read.timeout = (seconds > 0.0).then(|| duration::from_seconds(seconds));
                }
                "users" => match self.users(entry, true) {
                    Ok(read) => users = Some(read),
                    Err(_) => continue,
                },
                "default_permissions" => read.default_permissions = self.permissions(entry).ok(),
                "proxy_required" if !self.bool(entry)? => {}
                _ => self.not_supported(key, entry, row),
            }
        }
        self.check_exclusions(node, &read, users.is_some(), options)?;
        let mut users = users.unwrap_or_default();
        users.complete("", read.default_permissions.as_ref());
        self.add_users(&mut options.authorization, users, &node.at);
        let target = &mut options.authorization;
        target.present = true;
        target.username = read.username;
        target.password = read.password;
        target.token = read.token;
        target.timeout = read.timeout;
        target.default_permissions = read.default_permissions;
        Ok(())
    }

    fn check_exclusions(
        &mut self,
        node: &Node,
        read: &Authorization,
        own_users: bool,
        options: &Options,
    ) -> Decoded<()> {
        let users =
            own_users || !options.authorization.users.is_empty() || !options.authorization.nkeys.is_empty();
        let token = !read.token.is_empty();
        // Beside users a password without a user counts for nothing.
        let why = match (!read.username.is_empty(), token, users) {
            _ if token && !read.password.is_empty() => "Cannot have a user/pass and token",
            (true, true, _) => "Cannot have a user/pass and token",
            (true, _, true) => "Can not have a single user/pass and a users array",
            (_, true, true) => "Can not have a token and a users array",
            _ => return Ok(()),
        };
        Err(self.error(&node.at, why))
    }

    /// Adds users to those of the whole configuration; names and keys are unique in it.
    pub(super) fn add_users(&mut self, target: &mut Authorization, users: Users, at: &At) {
        for user in users.users {
            if self.names.users.insert(user.username.clone()) {
                target.users.push(user);
            } else {
                self.error(at, format!("Duplicate user {} detected", quoted(&user.username)));
            }
        }
        for user in users.nkeys {
            if self.names.nkeys.insert(user.nkey.clone()) {
                target.nkeys.push(user);
            } else {
                self.error(at, format!("Duplicate nkey {} detected", quoted(&user.nkey)));
            }
        }
    }

    /// An array of users. Its own errors have a position when `positioned`.
    pub(super) fn users(&mut self, node: &Node, positioned: bool) -> Decoded<Users> {
        let Value::Array(nodes) = &node.value else {
            let text = format!("Expected users field to be an array, got {}", shown(&node.value));
            return Err(match positioned {
                true => self.error(&node.at, text),
                false => self.bare_error(&node.at, text),
            });
        };
        let mut users = Users::default();
        for entry in nodes {
            self.user(entry, &mut users)?;
        }
        Ok(users)
    }

    fn user(&mut self, node: &Node, users: &mut Users) -> Decoded<()> {
        let Value::Map(map) = &node.value else {
            let text = format!("Expected user entry to be a map/struct, got {}", shown(&node.value));
            return Err(self.error(&node.at, text));
        };
        let mut user = User::default();
        let mut key_text = String::new();
        let mut last = &node.at;
        for (key, entry) in map.iter() {
            last = &entry.at;
            let Some(row) = self.row(Block::User, key, entry) else { continue };
            match row.key {
                "user" => user.username = self.text(entry)?,
                "pass" => user.password = self.text(entry)?,
                "nkey" => key_text = self.text(entry)?,
                "permissions" => user.permissions = self.permissions(entry).ok(),
                "allowed_connection_types" => user.connection_types = self.connection_types(entry),
                "proxy_required" if !self.bool(entry)? => {}
                _ => self.not_supported(key, entry, row),
            }
        }
        if key_text.is_empty() {
            if user.username.is_empty() {
                return Err(self.error(last, "User entry requires a user"));
            }
            users.users.push(user);
            return Ok(());
        }
        if !nkey::is_public_key(&key_text, nkey::USER) {
            return Err(self.error(last, "Not a valid public nkey for a user"));
        }
        if !user.username.is_empty() || !user.password.is_empty() {
            return Err(self.error(last, "Nkey users do not take usernames or passwords"));
        }
        users.nkeys.push(NkeyUser {
            nkey: key_text,
            account: String::new(),
            permissions: user.permissions,
            connection_types: user.connection_types,
        });
        Ok(())
    }

    fn connection_types(&mut self, node: &Node) -> Vec<String> {
        let types = self.texts("allowed connection types", node);
        let types: Vec<String> = types.iter().map(|name| name.to_uppercase()).collect();
        let unknown: Vec<String> = types
            .iter()
            .filter(|name| !CONNECTION_TYPES.contains(&name.as_str()))
            .map(|name| quoted(name))
            .collect();
        if !unknown.is_empty() {
            self.error(&node.at, format!("invalid connection types [{}]", unknown.join(" ")));
        }
        types
    }

    /// A text or an array of texts; what else stands there is recorded.
    fn texts(&mut self, what: &str, node: &Node) -> Vec<String> {
        match &node.value {
            Value::String(text) => vec![text.to_text()],
            Value::Array(nodes) => {
                let mut texts = Vec::with_capacity(nodes.len());
                for element in nodes {
                    match &element.value {
                        Value::String(text) => texts.push(text.to_text()),
                        value => {
                            let got = value.type_name();
                            self.error(
                                &element.at,
                                format!("error parsing {what}: unsupported type in array {got}"),
                            );
                        }
                    }
                }
                texts
            }
            value => {
                let got = value.type_name();
                self.error(&node.at, format!("error parsing {what}: unsupported type {got}"));
                Vec::new()
            }
        }
    }
}
