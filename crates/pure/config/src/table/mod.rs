//! The one table of options and flags: lookups, defaults, usage text and reference text derive from it.
//!
//! A key that is no row is an unknown field. A row that is [`Status::NotYet`] is refused unless its value says "off".

mod blocks;
pub mod flags;
pub mod render;
mod server;

pub use blocks::BLOCK_ROWS;
pub use flags::{FLAGS, Flag, FlagKind, Group};
pub use server::SERVER_ROWS;

/// Where an option stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Block {
    /// The top of the file.
    Top,
    /// `authorization`
    Authorization,
    /// An entry of `users`.
    User,
    /// `permissions`
    Permissions,
    /// `publish` or `subscribe` inside permissions.
    SubjectPermissions,
    /// `allow_responses`
    Responses,
    /// An account inside `accounts`.
    Account,
    /// `limits` of an account.
    AccountLimits,
    /// `jetstream`
    JetStream,
    /// `limits` of `jetstream`
    JetStreamLimits,
    /// `batch` of these limits
    JetStreamBatch,
    /// `jetstream` of an account
    AccountJetStream,
    /// `tls`
    Tls,
    /// An entry of `certs` inside `tls`.
    Certificates,
}

impl Block {
    /// Every block, with its heading in the reference text.
    pub const ALL: &'static [(Block, &'static str)] = &[
        (Block::Top, "Top level"),
        (Block::Authorization, "authorization"),
        (Block::User, "users"),
        (Block::Permissions, "permissions"),
        (Block::SubjectPermissions, "publish, subscribe"),
        (Block::Responses, "allow_responses"),
        (Block::Account, "accounts"),
        (Block::AccountLimits, "limits of an account"),
        (Block::JetStream, "jetstream"),
        (Block::JetStreamLimits, "limits of jetstream"),
        (Block::JetStreamBatch, "batch in limits of jetstream"),
        (Block::AccountJetStream, "jetstream of an account"),
        (Block::Tls, "tls"),
        (Block::Certificates, "certs of tls"),
    ];
}

/// What an option's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A boolean.
    Bool,
    /// An integer.
    Int,
    /// Text.
    Text,
    /// A duration; an integer is taken as seconds, with a warning.
    Duration,
    /// A duration, only as text.
    DurationText,
    /// Seconds with a fraction, or a duration.
    Seconds,
    /// A port, or `host:port`.
    Listen,
    /// Text, or an array of texts.
    Texts,
    /// A block with options or free keys.
    Map,
    /// One of several kinds.
    Mixed,
}

impl Kind {
    /// The word in the reference text.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Bool => "boolean",
            Kind::Int => "integer",
            Kind::Text => "text",
            Kind::Duration | Kind::DurationText => "duration",
            Kind::Seconds => "seconds or duration",
            Kind::Listen => "port or host:port",
            Kind::Texts => "list of texts",
            Kind::Map => "map",
            Kind::Mixed => "see text",
        }
    }
}

/// What a reload does with a changed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It takes effect.
    Live,
    /// The reload is refused, naming this field.
    Refused(&'static str),
    /// The change goes unnoticed until the next start.
    NotCompared,
    /// The enclosing block decides.
    Block,
}

/// Whether the feature behind an option exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Supported,
    /// It does not yet: the option is refused.
    NotYet,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where it stands.
    pub block: Block,
    /// Its name, lower case.
    pub key: &'static str,
    /// Its other names.
    pub aliases: &'static [&'static str],
    /// What its value is.
    pub kind: Kind,
    /// Its default as a file would state it; empty for none.
    pub default: &'static str,
    /// What a reload does with it.
    pub reload: Reload,
    /// Whether it works.
    pub status: Status,
    /// One line of reference.
    pub doc: &'static str,
}

impl Row {
    const fn new(block: Block, key: &'static str, kind: Kind, doc: &'static str) -> Row {
        let reload = Reload::Block;
        Row { block, key, aliases: &[], kind, default: "", reload, status: Status::Supported, doc }
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Row {
        self.aliases = aliases;
        self
    }

    const fn default(mut self, default: &'static str) -> Row {
        self.default = default;
        self
    }

    const fn live(mut self) -> Row {
        self.reload = Reload::Live;
        self
    }

    const fn refused(mut self, field: &'static str) -> Row {
        self.reload = Reload::Refused(field);
        self
    }

    const fn uncompared(mut self) -> Row {
        self.reload = Reload::NotCompared;
        self
    }

    const fn not_yet(mut self) -> Row {
        self.status = Status::NotYet;
        self
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.key).chain(self.aliases.iter().copied())
    }
}

/// Every row, the top level first.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    SERVER_ROWS.iter().chain(BLOCK_ROWS)
}

/// The row of a key as written in a file; letter case does not matter.
pub fn find(block: Block, key: &str) -> Option<&'static Row> {
    let key = key.to_lowercase();
    rows().find(|row| row.block == block && row.names().any(|name| name == key))
}

#[cfg(test)]
mod tests;
