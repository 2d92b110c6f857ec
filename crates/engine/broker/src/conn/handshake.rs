//! INFO, CONNECT and the login between them.

use std::sync::Arc;

use midge_auth::decide::{Connection, Credentials, Decision, Login, UserKind};
use midge_auth::kinds::ConnectionKind;
use midge_stdx::clock::{Mono, Now};
use midge_wire::connect::Connect;
use midge_wire::{encode, errors};

use super::Flow;
use super::client::ClientConn;
use crate::batch::Batch;
use crate::broker::counter;
use crate::reason::Reason;

/// A login whose password is being checked elsewhere.
#[derive(Debug)]
pub(super) struct PendingLogin {
    login: Login,
}

impl ClientConn {
    /// Sends INFO; the first thing on a plain connection, the first thing inside TLS when TLS comes first. A connection
    /// too many is told so and closed.
    pub fn greet(&mut self, batch: &mut Batch) -> Flow {
        let users = self.broker.users();
        self.expects_connect = users.auth_required();
        let mut info = self.broker.info(&self.settings, &self.peer, &users);
        if users.nonce_required() {
            let bytes = self.broker.draw_nonce();
            self.nonce = data_encoding::BASE64URL_NOPAD.encode(&bytes);
            info.nonce.clone_from(&self.nonce);
        }
        // Where TLS came first it was required, even if others may stay in clear text.
        info.tls_required |= self.tls;
        batch.send(&self.peer, &encode::info(&info.to_json()));
        if let Flow::Close(reason) = self.refuse_surplus(batch) {
            return Flow::Close(reason);
        }
        tracing::debug!("{} - Client connection created", self.peer.label());
        Flow::Continue
    }

    /// A connection too many is told so and closed; for connections that are not greeted at once, so that they take no
    /// handshake either.
    pub fn refuse_surplus(&self, batch: &mut Batch) -> Flow {
        let max = self.settings.max_connections;
        if max >= 0 && self.broker.connections() <= max.unsigned_abs() {
            return Flow::Continue;
        }
        self.send_error(batch, errors::MAX_CONNECTIONS);
        tracing::error!("{} - {}", self.peer.label(), errors::MAX_CONNECTIONS);
        Flow::Close(Reason::MaxConnectionsExceeded)
    }

    /// Too many TLS handshakes begin at the moment: the client is told so, and closed.
    pub fn throttled(&self, batch: &mut Batch) -> Flow {
        self.send_error(batch, errors::TLS_RATE);
        Flow::Close(Reason::MaxConnectionsExceeded)
    }

    /// The transport is ready for CONNECT: the time for the login runs from now.
    pub fn secured(&mut self, now: Now) {
        if self.expects_connect && !self.connected {
            self.auth_deadline = now.mono + self.settings.auth_timeout;
        }
    }

    fn kind(&self) -> ConnectionKind {
        if self.peer.addr.is_none() { ConnectionKind::InProcess } else { ConnectionKind::Standard }
    }

    /// Something else than CONNECT came first although a login is required: a stand-in user may be let in.
    pub(super) fn first_operation_without_connect(&mut self, batch: &mut Batch) -> Flow {
        match self.broker.users().without_connect(self.kind()) {
            Some(login) => self.admit_login(batch, login, false),
            None => self.refuse_login(batch, "no CONNECT"),
        }
    }

    pub(super) fn connect(&mut self, batch: &mut Batch, json: &[u8]) -> Flow {
        self.pings.active(batch.now.mono);
        if let Err(error) = self.options.merge(json) {
            tracing::error!("{} - Error parsing CONNECT: {error}", self.peer.label());
            return Flow::Close(Reason::ProtocolViolation);
        }
        if self.connected {
            // A later CONNECT starts over, with the options that it does not state kept.
            self.remove_all();
            self.leave_account();
            self.connected = false;
        }
        self.plan_first_ping(batch.now);
        self.peer.with_details(|details| {
            details.name.clone_from(&self.options.name);
            details.lang.clone_from(&self.options.lang);
            details.version.clone_from(&self.options.version);
        });
        let Connect { user, pass, auth_token, nkey, sig, jwt, .. } = &*self.options;
        let credentials = Credentials { user, pass, auth_token, nkey, sig, jwt };
        let connection = Connection {
            kind: self.kind(),
            nonce: self.nonce.as_bytes(),
            certificate: self.certificate.as_deref(),
            map_certificate: self.tls && self.settings.tls_map,
        };
        match self.broker.users().decide(&credentials, &connection) {
            Decision::Accept(login) => self.admit_login(batch, login, true),
            Decision::Check { work, login } => {
                self.login = Some(PendingLogin { login });
                Flow::Work(work)
            }
            Decision::Refuse(why) => self.refuse_login(batch, why.text()),
        }
    }

    /// The answer to [`Flow::Work`].
    pub fn login_checked(&mut self, batch: &mut Batch, fits: bool) -> Flow {
        match self.login.take() {
            Some(pending) if fits => self.admit_login(batch, pending.login, true),
            Some(_) => self.refuse_login(batch, "wrong password"),
            None => Flow::Continue,
        }
    }

    /// Whether a password of this connection is being checked; its input waits.
    pub fn login_pending(&self) -> bool {
        self.login.is_some()
    }

    fn refuse_login(&self, batch: &mut Batch, why: &str) -> Flow {
        self.broker.counters.add(batch.shard, counter::AUTH_FAILURES, 1);
        self.send_error(batch, errors::AUTHORIZATION);
        let who = if !self.options.nkey.is_empty() {
            format!(" - Nkey \"{}\"", self.options.nkey)
        } else if !self.options.user.is_empty() {
            format!(" - User {}", midge_stdx::goquote::quote(self.options.user.as_bytes()))
        } else {
            String::new()
        };
        tracing::error!("{} - authentication error{who}", self.peer.label());
        tracing::debug!("{} - login refused: {why}", self.peer.label());
        Flow::Close(Reason::AuthenticationFailure)
    }

    /// Binds the connection to the account of its login; `by_connect` when CONNECT asked for it.
    fn admit_login(&mut self, batch: &mut Batch, login: Login, by_connect: bool) -> Flow {
        if let Some(user) = &login.ignored_user {
            tracing::warn!(
                "{} - User {} found in connect proto, but user required from cert",
                self.peer.label(),
                midge_stdx::goquote::quote(user.as_bytes())
            );
        }
        let obsolete = by_connect && (!self.options.account.is_empty() || self.options.new_account);
        if obsolete {
            return self.refuse_login(batch, "account in CONNECT");
        }
        let Some(account) = self.broker.accounts.find(&login.account) else {
            return self.refuse_login(batch, "unknown account");
        };
        if !account.join() {
            self.send_error(batch, errors::MAX_ACCOUNT_CONNECTIONS);
            tracing::error!("{} - {}", self.peer.label(), errors::MAX_ACCOUNT_CONNECTIONS);
            return Flow::Close(Reason::MaxAccountConnectionsExceeded);
        }
        self.leave_account();
        self.joined = true;
        self.account = account;
        self.auth_deadline = Mono::NEVER;
        self.connected = true;
        self.apply_limits();
        self.peer.set_permissions(login.permissions.clone(), batch.now);
        self.permissions = login.permissions;
        self.peer.with_details(|details| {
            details.account = Some(self.account.clone());
            details.user = login.label.to_string();
            details.user_kind = match login.kind {
                UserKind::Nkey => "nkey",
                UserKind::User => "user",
                UserKind::Token => "token",
                UserKind::None => "",
            };
        });
        if by_connect { self.agree(batch) } else { Flow::Continue }
    }

    /// The last checks of CONNECT, after the login.
    fn agree(&mut self, batch: &mut Batch) -> Flow {
        if !(0..=1).contains(&self.options.protocol) {
            self.send_error(batch, errors::BAD_PROTOCOL);
            tracing::error!("{} - {}", self.peer.label(), errors::BAD_PROTOCOL);
            return Flow::Close(Reason::BadClientProtocolVersion);
        }
        let headers = self.options.headers && self.settings.headers;
        self.rules.headers = headers;
        self.peer.set_headers(headers);
        if self.options.no_responders && !headers {
            self.send_error(batch, errors::NO_RESPONDERS_NEEDS_HEADERS);
            tracing::error!("{} - {}", self.peer.label(), errors::NO_RESPONDERS_NEEDS_HEADERS);
            return Flow::Close(Reason::NoRespondersRequiresHeaders);
        }
        if self.options.verbose {
            self.send_ok(batch);
        }
        Flow::Continue
    }

    fn leave_account(&mut self) {
        if std::mem::take(&mut self.joined) {
            self.account.leave();
        }
        self.account = Arc::clone(self.broker.accounts.global());
    }

    /// The smaller of what the server and the account allow.
    fn apply_limits(&mut self) {
        let least = |server: i64, account: i64| match (server, account) {
            (server, account) if account < 0 => server,
            (server, account) if server < 0 => account,
            (server, account) => server.min(account),
        };
        let limits = self.account.limits;
        self.rules.max_payload = least(self.settings.max_payload, limits.max_payload);
        let server = if self.settings.max_subscriptions > 0 { self.settings.max_subscriptions } else { -1 };
        self.max_subscriptions = least(server, limits.max_subscriptions);
    }

    /// The INFO that follows the first PONG.
    pub(super) fn send_connect_info(&self, batch: &mut Batch) {
        let users = self.broker.users();
        let mut info = self.broker.info(&self.settings, &self.peer, &users);
        info.connect_info = true;
        // A stand-in user made the login optional; that there is one shows here.
        info.auth_required = users.auth_required();
        info.remote_account.clone_from(&self.account.name);
        info.acc_is_sys = self.account.is_system;
        info.max_payload = self.rules.max_payload;
        batch.send(&self.peer, &encode::info(&info.to_json()));
    }
}
