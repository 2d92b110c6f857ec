//! The decision about a client's CONNECT.

use super::users::{Entry, Users};
use super::{Connection, Credentials, Decision, Login, Reason, UserKind};
use crate::password::{self, PasswordCheck};
use crate::tls_map;

/// What is shown in place of a token.
const REDACTED: &str = "[REDACTED]";

impl Users {
    /// Decides about a CONNECT. Keys are looked at first, then users (by certificate, by name, or the stand-in), then
    /// the single user or token.
    pub fn decide(&self, given: &Credentials<'_>, connection: &Connection<'_>) -> Decision {
        if !self.auth_required() {
            return Decision::Accept(unchecked(given));
        }
        let bare = given.user.is_empty() && given.pass.is_empty() && given.auth_token.is_empty();
        if !self.nkeys.is_empty() {
            if !given.nkey.is_empty() {
                return self.by_nkey(given, connection);
            }
            if let Some(entry) = self.nkeys.get(&self.no_auth_user).filter(|_| bare) {
                return stand_in(entry, connection);
            }
        }
        if self.anonymous && bare {
            return Decision::Accept(Users::anonymous_login());
        }
        if !self.users.is_empty() {
            if connection.map_certificate {
                return self.by_certificate(given, connection);
            }
            if let Some(entry) = self.users.get(&self.no_auth_user).filter(|_| bare) {
                return stand_in(entry, connection);
            }
            if !given.user.is_empty() {
                return self.by_name(given, connection);
            }
        }
        self.by_single(given)
    }

    fn by_nkey(&self, given: &Credentials<'_>, connection: &Connection<'_>) -> Decision {
        let Some(entry) = self.nkeys.get(given.nkey) else { return Decision::Refuse(Reason::UnknownNkey) };
        if given.nkey == self.no_auth_user {
            return stand_in(entry, connection);
        }
        if !entry.kinds.admits(connection.kind) {
            return Decision::Refuse(Reason::ConnectionKind);
        }
        if given.sig.is_empty() || connection.nonce.is_empty() {
            return Decision::Refuse(Reason::NoSignature);
        }
        match &entry.key {
            Some(key) if key.verify_text(connection.nonce, given.sig) => Decision::Accept(entry.login()),
            _ => Decision::Refuse(Reason::BadSignature),
        }
    }

    fn by_certificate(&self, given: &Credentials<'_>, connection: &Connection<'_>) -> Decision {
        let admitted =
            |name: &str| self.users.get(name).is_some_and(|entry| entry.kinds.admits(connection.kind));
        let found = connection
            .certificate
            .and_then(|names| tls_map::find_user(names, &self.named, &admitted))
            .and_then(|name| self.users.get(&name));
        let Some(entry) = found else { return Decision::Refuse(Reason::NoCertificateUser) };
        let ignored_user = Some(given.user.to_owned()).filter(|user| !user.is_empty());
        Decision::Accept(Login { ignored_user, ..entry.login() })
    }

    fn by_name(&self, given: &Credentials<'_>, connection: &Connection<'_>) -> Decision {
        let Some(entry) = self.users.get(given.user) else { return Decision::Refuse(Reason::UnknownUser) };
        if !entry.kinds.admits(connection.kind) {
            return Decision::Refuse(Reason::ConnectionKind);
        }
        if entry.password.is_empty() && self.maps_certificates {
            return Decision::Refuse(Reason::CertificateOnly);
        }
        with_password(&entry.password, given.pass, entry.login(), Reason::WrongPassword)
    }

    /// The token if one is configured, else the single user.
    fn by_single(&self, given: &Credentials<'_>) -> Decision {
        let login = |kind, label: &str| Login {
            kind,
            label: label.into(),
            no_auth: false,
            ..Users::anonymous_login()
        };
        if !self.token.is_empty() {
            let login = login(UserKind::Token, REDACTED);
            return with_password(&self.token, given.auth_token, login, Reason::WrongToken);
        }
        if self.username.is_empty() {
            return Decision::Refuse(Reason::NoCredentials);
        }
        if !password::equal(&self.username, given.user) {
            let nobody = given.user.is_empty();
            return Decision::Refuse(if nobody { Reason::NoCredentials } else { Reason::UnknownUser });
        }
        with_password(&self.password, given.pass, login(UserKind::User, given.user), Reason::WrongPassword)
    }
}

fn stand_in(entry: &Entry, connection: &Connection<'_>) -> Decision {
    if !entry.kinds.admits(connection.kind) {
        return Decision::Refuse(Reason::ConnectionKind);
    }
    Decision::Accept(Login { no_auth: true, ..entry.login() })
}

fn with_password(stored: &str, given: &str, login: Login, otherwise: Reason) -> Decision {
    match password::check(stored, given) {
        PasswordCheck::Done(true) => Decision::Accept(login),
        PasswordCheck::Done(false) => Decision::Refuse(otherwise),
        PasswordCheck::Deferred(work) => Decision::Check { work, login },
    }
}

/// Where nobody is asked, what a client calls itself is shown all the same.
fn unchecked(given: &Credentials<'_>) -> Login {
    let (kind, label) = if !given.nkey.is_empty() {
        (UserKind::Nkey, given.nkey)
    } else if !given.user.is_empty() {
        (UserKind::User, given.user)
    } else if !given.auth_token.is_empty() {
        (UserKind::Token, REDACTED)
    } else {
        (UserKind::None, "")
    };
    Login { kind, label: label.into(), no_auth: false, ..Users::anonymous_login() }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
