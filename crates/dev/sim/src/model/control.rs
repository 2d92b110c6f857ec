//! Every operation but publishing, and what happens without one.

use midge_broker::reason::Reason;
use midge_stdx::clock::{Mono, Now};

use super::conn::Sub;
use super::pings::Tick;
use super::rules::{is_valid, quoted};
use super::{Check, Model, Taps, Want};
use crate::clients::{Connect, Op};
use crate::users::PermissionSpec;

/// The text of a refused subscription.
fn denied(subject: &str, queue: Option<&str>, sid: Option<&str>) -> String {
    let mut text = format!("Permissions Violation for Subscription to {}", quoted(subject));
    if let Some(queue) = queue {
        text.push_str(&format!(" using queue {}", quoted(queue)));
    }
    if let Some(sid) = sid {
        text.push_str(&format!(" (sid {})", quoted(sid)));
    }
    text
}

impl Model {
    /// The node handled an operation. `follows`: the one before it in this call was a publish to the same subject.
    pub fn operate(&mut self, cid: u64, op: &Op, follows: bool, taps: &mut Taps, now: Now) -> Check<Want> {
        self.seen.operations += 1;
        let by_connect = match op {
            Op::Connect(_) => true,
            Op::Bad(fault) => fault.bytes.starts_with(b"C"),
            _ => false,
        };
        if self.conn(cid)?.is_outside() && !by_connect {
            let want = self.stand_in(cid, taps, now)?;
            if want != Want::Go {
                return Ok(want);
            }
        }
        let conn = self.conn(cid)?;
        match op {
            Op::Connect(connect) => return self.connect(cid, connect, taps, now),
            Op::Sub { subject, queue, sid } => {
                conn.pings.heard(now.mono);
                self.subscribe(cid, subject, queue.as_deref(), sid, taps)?;
            }
            Op::Unsub { sid, max } => {
                conn.pings.heard(now.mono);
                self.unsubscribe(cid, sid, max.as_deref(), taps)?;
            }
            Op::Publish(publish) => return self.publish(cid, publish, follows, taps, now),
            Op::Ping(_) => self.ping(cid, taps, now)?,
            Op::Pong => conn.pings.pong(now.mono),
            Op::Nothing(_) => {}
            Op::Bad(fault) => {
                self.seen.faults += 1;
                if let Some(answer) = fault.answer {
                    taps.error(cid, answer)?;
                }
                return Ok(Want::Close(fault.reason));
            }
        }
        Ok(Want::Go)
    }

    /// How many bytes of an operation must be there before the node has to act on it.
    pub fn notice(&self, cid: u64, op: &Op, bytes: &[u8]) -> usize {
        let Some(conn) = self.conns.get(&cid) else { return bytes.len() };
        let stays_out = conn.is_outside() && self.swarm.no_auth_user.is_empty();
        match op {
            Op::Connect(_) => bytes.len(),
            _ if stays_out && !bytes.starts_with(b"C") => 1,
            Op::Bad(fault) => fault.notice,
            Op::Publish(publish) if publish.header.is_some() && !conn.headers => line_len(bytes),
            Op::Publish(publish) => {
                let size = publish.payload.len() + publish.header.as_ref().map_or(0, Vec::len);
                if size > conn.max_payload { line_len(bytes) } else { bytes.len() }
            }
            _ => bytes.len(),
        }
    }

    /// The node saw the first byte of an operation that is not complete: whoever need not log in is let in by that.
    pub fn first_byte(&mut self, cid: u64, byte: u8, taps: &mut Taps, now: Now) -> Check<Want> {
        if self.conn(cid)?.is_outside() && !byte.eq_ignore_ascii_case(&b'c') {
            return self.stand_in(cid, taps, now);
        }
        Ok(Want::Go)
    }

    fn ping(&mut self, cid: u64, taps: &mut Taps, now: Now) -> Check<()> {
        let lame_duck = self.lame_duck;
        let conn = self.conn(cid)?;
        conn.pings.heard(now.mono);
        taps.line(cid, "PONG\r\n")?;
        if conn.introduced || !conn.connected {
            return Ok(());
        }
        conn.introduced = true;
        if conn.protocol >= 1 {
            let fields = [
                "\"connect_info\":true".to_owned(),
                format!("\"remote_account\":{}", quoted(&conn.account)),
                format!("\"max_payload\":{},", conn.max_payload),
            ];
            taps.info(cid, &fields, lame_duck)?;
        }
        Ok(())
    }

    fn stand_in(&mut self, cid: u64, taps: &mut Taps, now: Now) -> Check<Want> {
        let user = self.swarm.no_auth_user.clone();
        if user.is_empty() {
            return self.refuse(cid, taps);
        }
        self.admit(cid, &user, false, taps, now)
    }

    fn refuse(&mut self, cid: u64, taps: &mut Taps) -> Check<Want> {
        self.seen.faults += 1;
        taps.error(cid, "Authorization Violation")?;
        Ok(Want::Close(Reason::AuthenticationFailure))
    }

    fn connect(&mut self, cid: u64, connect: &Connect, taps: &mut Taps, now: Now) -> Check<Want> {
        let conn = self.conn(cid)?;
        if conn.connected {
            conn.subs.clear();
            conn.connected = false;
            conn.joined = false;
            conn.account = "$G".to_owned();
        }
        conn.verbose = connect.verbose.unwrap_or(conn.verbose);
        conn.pedantic = connect.pedantic.unwrap_or(conn.pedantic);
        conn.echo = connect.echo.unwrap_or(conn.echo);
        conn.wants_headers = connect.headers.unwrap_or(conn.wants_headers);
        conn.no_responders = connect.no_responders.unwrap_or(conn.no_responders);
        conn.protocol = connect.protocol.unwrap_or(conn.protocol);
        conn.obsolete |= connect.account.is_some();
        if connect.login.is_some() {
            conn.login.clone_from(&connect.login);
        }
        conn.pings.connected(now.mono);
        let login = conn.login.clone();
        if !self.needs_login() {
            return self.admit(cid, "", true, taps, now);
        }
        let user = match login {
            None if self.swarm.no_auth_user.is_empty() => return self.refuse(cid, taps),
            None => self.swarm.no_auth_user.clone(),
            Some((name, pass)) => {
                let Some(user) = self.swarm.users.iter().find(|u| u.name == name) else {
                    return self.refuse(cid, taps);
                };
                if user.is_hashed() {
                    self.conn(cid)?.checking = Some(name);
                    return Ok(Want::Work);
                }
                if user.stored != pass {
                    return self.refuse(cid, taps);
                }
                name
            }
        };
        self.admit(cid, &user, true, taps, now)
    }

    /// The answer of a password check came.
    pub fn checked(&mut self, cid: u64, taps: &mut Taps, now: Now) -> Check<Want> {
        match self.conn(cid)?.checking.take() {
            Some(user) => self.admit(cid, &user, true, taps, now),
            None => Err(format!("connection {cid} had no password to check")),
        }
    }

    fn admit(&mut self, cid: u64, user: &str, by_connect: bool, taps: &mut Taps, now: Now) -> Check<Want> {
        if by_connect && self.conn(cid)?.obsolete {
            return self.refuse(cid, taps);
        }
        let user = self.swarm.users.iter().find(|u| u.name == user);
        let permissions = user.and_then(|u| u.permissions.clone());
        let account = user.map_or("", |u| u.account.as_str());
        let account = if account.is_empty() { "$G".to_owned() } else { account.to_owned() };
        let limits = self.swarm.account_limits;
        let limit =
            |n: i32| Some(n).filter(|&n| account == "B" && n >= 0).and_then(|n| usize::try_from(n).ok());
        if limit(limits.max_connections).is_some_and(|most| self.clients(&account) >= most) {
            taps.error(cid, "maximum account active connections exceeded")?;
            return Ok(Want::Close(Reason::MaxAccountConnectionsExceeded));
        }
        let (payload, subs) = (limit(limits.max_payload), limit(limits.max_subscriptions));
        let server = (self.swarm.max_payload, Some(self.swarm.max_subscriptions).filter(|&n| n > 0));
        let conn = self.conn(cid)?;
        conn.max_payload = payload.map_or(server.0, |n| n.min(server.0));
        conn.max_subs = subs.into_iter().chain(server.1).min();
        conn.account = account;
        conn.joined = true;
        conn.connected = true;
        conn.auth_deadline = Mono::NEVER;
        conn.permissions = permissions;
        conn.grants.clear();
        let _ = now;
        if by_connect { self.agree(cid, taps) } else { Ok(Want::Go) }
    }

    fn agree(&mut self, cid: u64, taps: &mut Taps) -> Check<Want> {
        let supported = self.swarm.headers;
        let conn = self.conn(cid)?;
        if !(0..=1).contains(&conn.protocol) {
            taps.error(cid, "invalid client protocol")?;
            return Ok(Want::Close(Reason::BadClientProtocolVersion));
        }
        conn.headers = conn.wants_headers && supported;
        if conn.no_responders && !conn.headers {
            taps.error(cid, "no responders requires headers support")?;
            return Ok(Want::Close(Reason::NoRespondersRequiresHeaders));
        }
        if conn.verbose {
            taps.line(cid, "+OK\r\n")?;
        }
        Ok(Want::Go)
    }

    fn subscribe(
        &mut self,
        cid: u64,
        subject: &str,
        queue: Option<&str>,
        sid: &str,
        taps: &mut Taps,
    ) -> Check<()> {
        let max_tokens = self.swarm.max_tokens;
        let conn = self.conn(cid)?;
        let allowed = queue != Some("_sys_")
            && conn.permissions.as_ref().is_none_or(|p| p.may_subscribe(subject, queue));
        if !allowed {
            self.seen.refused += 1;
            return taps.error(cid, &denied(subject, queue, None));
        }
        if max_tokens > 0 && subject.split('.').count() > max_tokens {
            self.seen.refused += 1;
            let text =
                format!("Permissions Violation for Subscription to {}, too many tokens", quoted(subject));
            return taps.error(cid, &text);
        }
        if conn.max_subs.is_some_and(|most| conn.subs.len() >= most) {
            return taps.error(cid, "maximum subscriptions exceeded");
        }
        if !conn.subs.iter().any(|s| s.sid == sid) {
            if !is_valid(subject) {
                return taps.error(cid, "Invalid Subject");
            }
            conn.subs.push(Sub {
                subject: subject.to_owned(),
                queue: queue.map(str::to_owned),
                sid: sid.to_owned(),
                delivered: 0,
                max: None,
            });
        }
        if conn.verbose { taps.line(cid, "+OK\r\n") } else { Ok(()) }
    }

    fn unsubscribe(&mut self, cid: u64, sid: &str, max: Option<&str>, taps: &mut Taps) -> Check<()> {
        let max = max.and_then(|text| text.parse::<u64>().ok()).filter(|&n| n > 0);
        let conn = self.conn(cid)?;
        if let Some(at) = conn.subs.iter().position(|s| s.sid == sid) {
            match max {
                Some(max) if max > conn.subs[at].delivered => conn.subs[at].max = Some(max),
                _ => {
                    conn.subs.remove(at);
                }
            }
        }
        if conn.verbose { taps.line(cid, "+OK\r\n") } else { Ok(()) }
    }

    /// Time passed: PINGs, and those who did not log in.
    pub fn deadline(&mut self, cid: u64, taps: &mut Taps, now: Now) -> Check<Want> {
        let conn = self.conn(cid)?;
        if now.mono >= conn.auth_deadline && conn.is_outside() {
            conn.auth_deadline = Mono::NEVER;
            taps.error(cid, "Authentication Timeout")?;
            return Ok(Want::Close(Reason::AuthenticationTimeout));
        }
        if !conn.pings.is_due(now.mono) {
            return Ok(Want::Go);
        }
        match conn.pings.tick(now.mono) {
            Tick::Skip => Ok(Want::Go),
            Tick::Ping => {
                self.seen.pings += 1;
                taps.line(cid, "PING\r\n").map(|()| Want::Go)
            }
            Tick::Stale => {
                taps.error(cid, "Stale Connection")?;
                Ok(Want::Close(Reason::StaleConnection))
            }
        }
    }

    /// Somebody replaced the permissions, and the node carries that out now.
    pub fn permit(&mut self, cid: u64, permissions: Option<PermissionSpec>, taps: &mut Taps) -> Check<()> {
        let conn = self.conn(cid)?;
        conn.permissions = permissions;
        conn.grants.clear();
        let mut refused = Vec::new();
        let permissions = conn.permissions.clone();
        conn.subs.retain(|sub| {
            let queue = sub.queue.as_deref();
            let allowed = permissions.as_ref().is_none_or(|p| p.may_subscribe(&sub.subject, queue));
            if !allowed {
                refused.push(denied(&sub.subject, queue, Some(&sub.sid)));
            }
            allowed
        });
        self.seen.refused += refused.len() as u64;
        taps.errors(cid, refused)
    }

    /// Somebody announced lame duck mode, and the node tells this connection now.
    pub fn announce(&mut self, cid: u64, taps: &mut Taps) -> Check<()> {
        let conn = self.conn(cid)?;
        if conn.protocol >= 1 && conn.introduced {
            return taps.info(cid, &[format!("\"client_id\":{cid},")], true);
        }
        Ok(())
    }

    /// After an overflow nobody knows which messages were queued last; what the index still holds is believed, as far
    /// as it can be: a subscription with a maximum may have reached it, and so have made room for another, even of its
    /// name.
    pub fn adopt(&mut self, cid: u64, held: Vec<Sub>) -> Check<()> {
        let conn = self.conn(cid)?;
        conn.uncertain = true;
        for sub in &conn.subs {
            let same = |h: &Sub| (&h.subject, &h.queue, h.max) == (&sub.subject, &sub.queue, sub.max);
            let held = held.iter().find(|h| h.sid == sub.sid);
            let fits = sub.max.is_some() || held.is_some_and(|h| same(h) && h.delivered >= sub.delivered);
            if !fits {
                return Err(format!("connection {cid}: the index has {held:?} for {sub:?}"));
            }
        }
        let more = held.iter().find(|h| !conn.subs.iter().any(|s| s.sid == h.sid));
        if let Some(more) = more.filter(|_| conn.max_subs.is_none()) {
            return Err(format!("connection {cid}: {more:?} should not be in the index"));
        }
        conn.subs = held;
        Ok(())
    }
}

fn line_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| at + 1)
}
