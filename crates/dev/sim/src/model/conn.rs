//! A connection as the model has it.

use midge_stdx::clock::Mono;

use super::Check;
use super::pings::Pings;
use crate::swarm::Swarm;
use crate::users::PermissionSpec;

/// A subscription.
#[derive(Clone, Debug)]
pub struct Sub {
    /// What is subscribed to.
    pub subject: String,
    /// The queue group.
    pub queue: Option<String>,
    /// Its name.
    pub sid: String,
    /// Messages received.
    pub delivered: u64,
    /// Messages after which it ends.
    pub max: Option<u64>,
}

/// Permission to answer a request.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Where the answer goes.
    pub reply: String,
    /// When the request was delivered.
    pub since: Mono,
    /// Answers left.
    pub left: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Conn {
    /// Its number.
    pub cid: u64,
    /// Its account.
    pub account: String,
    /// Whether the account counts it.
    pub joined: bool,
    /// CONNECT has to come first.
    pub expects_connect: bool,
    /// It is logged in.
    pub connected: bool,
    /// A password is being checked, for this user.
    pub checking: Option<String>,
    /// The INFO that follows the first PONG was sent.
    pub introduced: bool,
    /// From CONNECT.
    pub verbose: bool,
    /// From CONNECT.
    pub pedantic: bool,
    /// From CONNECT.
    pub echo: bool,
    /// From CONNECT: what it asked for.
    pub wants_headers: bool,
    /// What is in force.
    pub headers: bool,
    /// From CONNECT.
    pub no_responders: bool,
    /// From CONNECT.
    pub protocol: i64,
    /// From CONNECT; the password is right.
    pub login: Option<(String, String)>,
    /// From CONNECT.
    pub obsolete: bool,
    /// What it may do.
    pub permissions: Option<PermissionSpec>,
    /// Requests that it may answer.
    pub grants: Vec<Grant>,
    /// Its subscriptions.
    pub subs: Vec<Sub>,
    /// Bytes of header and payload.
    pub max_payload: usize,
    /// Subscriptions; `None` for no limit.
    pub max_subs: Option<usize>,
    /// When the login must have happened.
    pub auth_deadline: Mono,
    /// Liveness.
    pub pings: Pings,
    /// Messages received from it.
    pub in_msgs: u64,
    /// Bytes received from it.
    pub in_bytes: u64,
    /// Messages sent to it.
    pub out_msgs: u64,
    /// Bytes sent to it.
    pub out_bytes: u64,
    /// Whether an overflow makes the two above uncertain.
    pub uncertain: bool,
}

impl Conn {
    /// A fresh connection.
    pub fn new(cid: u64, swarm: &Swarm, now: Mono) -> Conn {
        Conn {
            cid,
            account: "$G".to_owned(),
            joined: false,
            expects_connect: false,
            connected: false,
            checking: None,
            introduced: false,
            verbose: true,
            pedantic: true,
            echo: true,
            wants_headers: false,
            headers: false,
            no_responders: false,
            protocol: 0,
            login: None,
            obsolete: false,
            permissions: None,
            grants: Vec::new(),
            subs: Vec::new(),
            max_payload: swarm.max_payload,
            max_subs: Some(swarm.max_subscriptions).filter(|&n| n > 0),
            auth_deadline: Mono::NEVER,
            pings: Pings::new(swarm.ping_interval, swarm.ping_max, now),
            in_msgs: 0,
            in_bytes: 0,
            out_msgs: 0,
            out_bytes: 0,
            uncertain: false,
        }
    }

    /// Whether it must log in and has not.
    pub fn is_outside(&self) -> bool {
        self.expects_connect && !self.connected
    }

    /// Whether a delivery of `subject` to a subscription is allowed.
    pub fn may_receive(&self, subject: &str, sub: &Sub) -> bool {
        let loose = sub.queue.is_some() || sub.subject.contains(['*', '>']);
        !loose || self.permissions.as_ref().is_none_or(|p| !p.denies(subject, sub.queue.as_deref()))
    }

    /// A request was delivered: it may be answered, unless that is allowed anyway.
    pub fn grant(&mut self, reply: &str, now: Mono) {
        let Some((permissions, (max, expires))) =
            self.permissions.as_ref().and_then(|p| p.responses.map(|r| (p, r)))
        else {
            return;
        };
        if permissions.may_publish(reply) {
            return;
        }
        match self.grants.iter_mut().find(|g| g.reply == reply) {
            Some(grant) => {
                let live = now.since(grant.since) <= expires;
                grant.left = if live { grant.left + max } else { max };
                grant.since = now;
            }
            None => self.grants.push(Grant { reply: reply.to_owned(), since: now, left: max }),
        }
    }

    /// Uses a permission to answer, if there is one.
    pub fn answer(&mut self, reply: &str, now: Mono) -> bool {
        let Some((_, expires)) = self.permissions.as_ref().and_then(|p| p.responses) else { return false };
        let Some(grant) = self.grants.iter_mut().find(|g| g.reply == reply) else { return false };
        let live = grant.left > 0 && now.since(grant.since) <= expires;
        grant.left = if live { grant.left - 1 } else { 0 };
        self.grants.retain(|g| g.left > 0);
        live
    }

    /// Compares when the node wants to be called with when it must want that.
    pub fn check_deadline(&mut self, actual: Mono) -> Check<()> {
        if actual == self.auth_deadline && self.pings.latest() >= actual {
            return Ok(());
        }
        if self.auth_deadline < self.pings.earliest() {
            return Err(format!(
                "connection {} must be looked at at {}, not at {actual}",
                self.cid, self.auth_deadline
            ));
        }
        self.pings.adopt(actual).map_err(|e| format!("connection {}: {e}", self.cid))
    }
}
