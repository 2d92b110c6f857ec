//! Users, passwords and permissions as a configuration file states them; `midge-auth` compiles them.

use std::time::Duration;

/// Top-level `authorization`, and the users of every account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authorization {
    /// Whether the block stands in the file, even empty: it suppresses the automatic user of `$G`.
    pub present: bool,
    /// The single user, if one is configured.
    pub username: String,
    /// Its password, plain or a bcrypt hash.
    pub password: String,
    /// The single token, plain or a bcrypt hash.
    pub token: String,
    /// Time from accept to a successful CONNECT; `None` takes the default (2 s; TLS time-out + 1 s with TLS).
    pub timeout: Option<Duration>,
    /// Users with passwords, of every account.
    pub users: Vec<User>,
    /// Users that sign the nonce, of every account.
    pub nkeys: Vec<NkeyUser>,
    /// The user that a client without credentials becomes; empty for none.
    pub no_auth_user: String,
    /// Permissions of users that state none.
    pub default_permissions: Option<Permissions>,
}

/// A user with a password.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    /// The name it logs in with.
    pub username: String,
    /// Plain or a bcrypt hash.
    pub password: String,
    /// The account it belongs to; empty for `$G`.
    pub account: String,
    /// `None` means that everything is allowed.
    pub permissions: Option<Permissions>,
    /// Allowed connection types, upper case; empty for all.
    pub connection_types: Vec<String>,
}

/// A user that signs the nonce.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NkeyUser {
    /// The public key (`U…`).
    pub nkey: String,
    /// The account it belongs to; empty for `$G`.
    pub account: String,
    /// `None` means that everything is allowed.
    pub permissions: Option<Permissions>,
    /// Allowed connection types, upper case; empty for all.
    pub connection_types: Vec<String>,
}

/// What a user may publish and subscribe to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Permissions {
    /// Publish lists; `None` restricts nothing.
    pub publish: Option<SubjectPermission>,
    /// Subscribe lists; an entry may be `subject queue`. `None` restricts nothing.
    pub subscribe: Option<SubjectPermission>,
    /// Permission to answer requests.
    pub responses: Option<ResponsePermission>,
}

/// One pair of lists. `None` and an empty list differ for publishing: an empty allow list allows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubjectPermission {
    /// Allowed subjects; `None` when the list is absent (a list that is empty in a file counts as absent).
    pub allow: Option<Vec<String>>,
    /// Denied subjects.
    pub deny: Option<Vec<String>>,
}

/// `allow_responses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponsePermission {
    /// Messages per reply subject; negative for unlimited.
    pub max_msgs: i64,
    /// How long a reply subject may be used; `None` for ever.
    pub expires: Option<Duration>,
}

impl Default for ResponsePermission {
    fn default() -> Self {
        ResponsePermission { max_msgs: 1, expires: Some(Duration::from_secs(120)) }
    }
}
