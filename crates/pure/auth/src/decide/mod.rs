//! Credentials and facts in, a decision out.

mod client;
mod users;

use std::sync::Arc;

use crate::kinds::ConnectionKind;
use crate::password::PasswordWork;
use crate::permissions::Permissions;
use crate::tls_map::PeerNames;

pub use users::{Complaint, Setting, Users};

/// What a CONNECT says about who is connecting. Absent fields are empty, as on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Credentials<'a> {
    /// `user`
    pub user: &'a str,
    /// `pass`
    pub pass: &'a str,
    /// `auth_token`
    pub auth_token: &'a str,
    /// `nkey`
    pub nkey: &'a str,
    /// `sig`
    pub sig: &'a str,
    /// `jwt`; looked at only by servers that trust operators, which this floor does not have.
    pub jwt: &'a str,
}

/// What the server knows about the connection itself.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// How it came.
    pub kind: ConnectionKind,
    /// The nonce of its INFO; empty if none was sent.
    pub nonce: &'a [u8],
    /// The names of the certificate that it showed, verified.
    pub certificate: Option<&'a PeerNames>,
    /// Whether its listener maps certificates to users.
    pub map_certificate: bool,
}

/// What a user authenticated with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserKind {
    /// A key; the label is the public key.
    Nkey,
    /// A name; the label is the name.
    User,
    /// The token; the label never shows it.
    Token,
    /// Nothing at all.
    None,
}

/// An admitted user.
#[derive(Clone, Debug)]
pub struct Login {
    /// The account to bind to; empty for `$G`.
    pub account: Arc<str>,
    /// What the label is.
    pub kind: UserKind,
    /// What logs and monitoring show: the key, the user name, `[REDACTED]` for a token, or nothing.
    pub label: Arc<str>,
    /// `None` means that everything is allowed.
    pub permissions: Option<Arc<Permissions>>,
    /// Whether the user is the stand-in for clients without credentials.
    pub no_auth: bool,
    /// The user name in CONNECT that was ignored in favour of the certificate; to be warned about.
    pub ignored_user: Option<String>,
}

/// The answer to a CONNECT.
#[derive(Debug)]
pub enum Decision {
    /// The client is in.
    Accept(Login),
    /// The client is in if the work says so.
    Check {
        /// A password hash; to be run where waiting is allowed.
        work: PasswordWork,
        /// What to do if it fits; otherwise [`Reason::WrongPassword`].
        login: Login,
    },
    /// The client is out. All of them look the same on the wire.
    Refuse(Reason),
}

/// Why a client is refused: for logs, not for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No credential that this server asks for.
    NoCredentials,
    /// No such key.
    UnknownNkey,
    /// A key without a signature.
    NoSignature,
    /// The signature is not that of the key over the nonce.
    BadSignature,
    /// No such user.
    UnknownUser,
    /// The password does not fit.
    WrongPassword,
    /// The token does not fit.
    WrongToken,
    /// The user may not connect this way.
    ConnectionKind,
    /// The certificate stands for no user, or there is none.
    NoCertificateUser,
    /// The user has no password and can only be reached with a certificate.
    CertificateOnly,
}

impl Reason {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Reason::NoCredentials => "no credentials",
            Reason::UnknownNkey => "unknown nkey",
            Reason::NoSignature => "signature missing",
            Reason::BadSignature => "signature not verified",
            Reason::UnknownUser => "unknown user",
            Reason::WrongPassword => "wrong password",
            Reason::WrongToken => "wrong token",
            Reason::ConnectionKind => "connection type not allowed",
            Reason::NoCertificateUser => "no user for the certificate",
            Reason::CertificateOnly => "user needs a certificate",
        }
    }
}
