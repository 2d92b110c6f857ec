//! The table of users, compiled once per configuration.

use std::sync::Arc;

use midge_config::schema::authorization::{self as schema, Authorization};
use midge_stdx::hash::Map;

use super::{Login, UserKind};
use crate::kinds::{ConnectionKind, ConnectionKinds};
use crate::nkey::{KeyKind, NkeyError, PublicKey};
use crate::password::is_bcrypt;
use crate::permissions::{BadEntry, Permissions};
use crate::tls_map::NamedUsers;

/// What the rest of the configuration contributes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting {
    /// Whether `$G` and the system account are the only accounts.
    pub only_builtin_accounts: bool,
    /// Whether some listener maps certificates to users.
    pub maps_certificates: bool,
}

/// One user, by name or by key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) account: Arc<str>,
    pub(super) label: Arc<str>,
    pub(super) kind: UserKind,
    pub(super) password: String,
    pub(super) key: Option<PublicKey>,
    pub(super) permissions: Option<Arc<Permissions>>,
    pub(super) kinds: ConnectionKinds,
}

impl Entry {
    pub(super) fn login(&self) -> Login {
        Login {
            account: self.account.clone(),
            kind: self.kind,
            label: self.label.clone(),
            permissions: self.permissions.clone(),
            no_auth: false,
            ignored_user: None,
        }
    }
}

/// Everybody who may log in.
#[derive(Clone, Debug, Default)]
pub struct Users {
    pub(super) users: Map<String, Entry>,
    pub(super) nkeys: Map<String, Entry>,
    pub(super) named: NamedUsers,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) token: String,
    pub(super) no_auth_user: String,
    pub(super) anonymous: bool,
    pub(super) maps_certificates: bool,
}

/// What was wrong with a configuration that is used all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// An entry of a user's permissions was skipped.
    Entry {
        /// The user.
        user: String,
        /// The entry.
        entry: BadEntry,
    },
    /// A key is none; nobody can log in with it.
    Nkey {
        /// Its text.
        nkey: String,
        /// Why.
        error: NkeyError,
    },
}

impl Users {
    /// Compiles the table, and reports what had to be left out.
    pub fn compile(config: &Authorization, setting: Setting) -> (Users, Vec<Complaint>) {
        let mut complaints = Vec::new();
        let mut users = Users {
            username: config.username.clone(),
            password: config.password.clone(),
            token: config.token.clone(),
            no_auth_user: config.no_auth_user.clone(),
            anonymous: !config.present
                && config.no_auth_user.is_empty()
                && config.username.is_empty()
                && config.token.is_empty()
                && setting.only_builtin_accounts,
            maps_certificates: setting.maps_certificates,
            ..Users::default()
        };
        // Users without a list of their own share one compiled default.
        let defaults =
            config.default_permissions.as_ref().map(|d| compile_permissions("", d, &mut complaints));
        let permissions =
            |name: &str, account: &str, own: &Option<schema::Permissions>, out: &mut _| match own {
                Some(own) if !is_blank(own) => Some(compile_permissions(name, own, out)),
                _ if account.is_empty() => defaults.clone(),
                own => own.as_ref().map(|own| compile_permissions(name, own, out)),
            };
        for user in &config.users {
            let name = user.username.as_str();
            let entry = Entry {
                account: user.account.as_str().into(),
                label: name.into(),
                kind: UserKind::User,
                password: user.password.clone(),
                key: None,
                permissions: permissions(name, &user.account, &user.permissions, &mut complaints),
                kinds: ConnectionKinds::from_names(&user.connection_types),
            };
            users.named.insert(name);
            users.users.insert(name.to_owned(), entry);
        }
        for user in &config.nkeys {
            let name = user.nkey.as_str();
            let key = PublicKey::parse(name, KeyKind::User)
                .map_err(|error| complaints.push(Complaint::Nkey { nkey: name.to_owned(), error }))
                .ok();
            let entry = Entry {
                account: user.account.as_str().into(),
                label: name.into(),
                kind: UserKind::Nkey,
                password: String::new(),
                key,
                permissions: permissions(name, &user.account, &user.permissions, &mut complaints),
                kinds: ConnectionKinds::from_names(&user.connection_types),
            };
            users.nkeys.insert(name.to_owned(), entry);
        }
        (users, complaints)
    }

    /// Whether CONNECT must bring something, or stand for somebody.
    pub fn auth_required(&self) -> bool {
        !self.users.is_empty()
            || !self.nkeys.is_empty()
            || !self.username.is_empty()
            || !self.token.is_empty()
    }

    /// What INFO says about it on a TCP connection: a configured `no_auth_user` makes credentials optional.
    pub fn info_auth_required(&self) -> bool {
        self.auth_required() && self.no_auth_user.is_empty()
    }

    /// Whether INFO must carry a nonce.
    pub fn nonce_required(&self) -> bool {
        !self.nkeys.is_empty()
    }

    /// Whether clients without credentials are accepted into `$G` because nothing in the configuration speaks
    /// against it: no accounts of its own, no `authorization` block, no `no_auth_user`. (The original makes up a user
    /// for them.)
    pub fn accepts_anonymous(&self) -> bool {
        self.anonymous
    }

    /// Whether some password or token stands in the configuration in clear.
    pub fn has_plaintext_passwords(&self) -> bool {
        let plain = |text: &str| !text.is_empty() && !is_bcrypt(text);
        plain(&self.password) || plain(&self.token) || self.users.values().any(|user| plain(&user.password))
    }

    /// The user that a client becomes which sends something else before CONNECT, while credentials are required.
    /// Only a `no_auth_user` with a name serves here, not one with a key.
    pub fn without_connect(&self, kind: ConnectionKind) -> Option<Login> {
        if self.anonymous {
            return Some(Users::anonymous_login());
        }
        let entry = self.users.get(&self.no_auth_user).filter(|entry| entry.kinds.admits(kind))?;
        Some(Login { no_auth: true, ..entry.login() })
    }

    /// Everything is allowed in `$G`.
    pub(super) fn anonymous_login() -> Login {
        Login {
            account: "".into(),
            kind: UserKind::None,
            label: "".into(),
            permissions: None,
            no_auth: true,
            ignored_user: None,
        }
    }
}

/// Permissions that state nothing at all count as none, so that defaults apply.
fn is_blank(permissions: &schema::Permissions) -> bool {
    permissions.publish.is_none() && permissions.subscribe.is_none() && permissions.responses.is_none()
}

fn compile_permissions(
    user: &str,
    config: &schema::Permissions,
    complaints: &mut Vec<Complaint>,
) -> Arc<Permissions> {
    let (permissions, bad) = Permissions::compile(config);
    complaints.extend(bad.into_iter().map(|entry| Complaint::Entry { user: user.to_owned(), entry }));
    Arc::new(permissions)
}
