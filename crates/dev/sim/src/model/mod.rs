//! What a server must do, said again, naively and with nothing shared.
//!
//! ```text
//!   node handles a batch ──▶ operations it took (from the script) ─┐
//!                       └──▶ bytes it queued per connection (taps) ─┴─▶ model: does one follow from the other?
//! ```
//!
//! The node is sequential within a batch, so the model decides at exactly the moment the node does: it applies the
//! operations in order and ticks off what each connection was queued. Free are only the choices that the protocol leaves
//! open: the order among one connection's subscriptions for one message, and the member of a queue group. Everything
//! else has to be there, byte for byte, once, in order; and nothing else may be there.

mod conn;
mod control;
mod pings;
mod route;
mod rules;
mod taps;

use std::collections::BTreeMap;

use midge_broker::reason::Reason;
use midge_stdx::clock::{Mono, Now};

pub use conn::{Conn, Sub};
pub use taps::{Tap, Taps};

use crate::swarm::Swarm;

/// A broken rule, in words.
pub type Check<T> = Result<T, String>;

/// How a call of the node has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The connection goes on.
    Go,
    /// A password is checked elsewhere.
    Work,
    /// The connection is closed for this reason.
    Close(Reason),
}

/// How often the model saw what, for judging what the runs cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Operations handled.
    pub operations: u64,
    /// Messages delivered.
    pub deliveries: u64,
    /// Messages that a queue group's member got.
    pub group_picks: u64,
    /// Messages that nobody received and that were answered with 503.
    pub unreached: u64,
    /// Subscriptions that ended at their maximum.
    pub spent: u64,
    /// Publishes and subscriptions that permissions refused.
    pub refused: u64,
    /// Deliveries that a deny list or the sender's own wish kept back.
    pub kept_back: u64,
    /// Answers that were allowed because a request had come.
    pub answers: u64,
    /// Connections closed for having too much queued.
    pub overflows: u64,
    /// Messages lost for a slow consumer, where the server is told to.
    pub dropped: u64,
    /// Connections closed for what they sent.
    pub faults: u64,
    /// PINGs of the server.
    pub pings: u64,
}

impl Seen {
    /// Adds another run's.
    pub fn add(&mut self, other: &Seen) {
        for (mine, theirs) in self.fields().into_iter().zip(other.list()) {
            *mine += theirs.1;
        }
    }

    fn fields(&mut self) -> [&mut u64; 12] {
        [
            &mut self.operations,
            &mut self.deliveries,
            &mut self.group_picks,
            &mut self.unreached,
            &mut self.spent,
            &mut self.refused,
            &mut self.kept_back,
            &mut self.answers,
            &mut self.overflows,
            &mut self.dropped,
            &mut self.faults,
            &mut self.pings,
        ]
    }

    /// Names and figures.
    pub fn list(&self) -> [(&'static str, u64); 12] {
        [
            ("operations", self.operations),
            ("deliveries", self.deliveries),
            ("group picks", self.group_picks),
            ("503s", self.unreached),
            ("spent subscriptions", self.spent),
            ("refusals", self.refused),
            ("kept back", self.kept_back),
            ("answers allowed", self.answers),
            ("overflows", self.overflows),
            ("dropped for slow", self.dropped),
            ("faults", self.faults),
            ("pings", self.pings),
        ]
    }
}

/// The server as the model has it.
#[derive(Debug)]
pub struct Model {
    /// The options of the run.
    pub swarm: Swarm,
    /// Connections that the server has not forgotten.
    pub conns: BTreeMap<u64, Conn>,
    /// What was seen.
    pub seen: Seen,
    /// Whether lame duck mode was announced.
    pub lame_duck: bool,
    /// Messages and bytes received from connections that are gone.
    pub received: (u64, u64),
    /// Answers of the server's own service so far.
    user_infos: u64,
}

impl Model {
    /// A server without connections.
    pub fn new(swarm: Swarm) -> Model {
        Model {
            swarm,
            conns: BTreeMap::new(),
            seen: Seen::default(),
            lame_duck: false,
            received: (0, 0),
            user_infos: 0,
        }
    }

    fn conn(&mut self, cid: u64) -> Check<&mut Conn> {
        self.conns.get_mut(&cid).ok_or_else(|| format!("connection {cid} acts though it is gone"))
    }

    /// Whether somebody has to log in.
    pub fn needs_login(&self) -> bool {
        !self.swarm.users.is_empty()
    }

    /// Subscriptions that an account must hold; the server's own is among them.
    pub fn subscriptions(&self, account: &str) -> usize {
        1 + self.conns.values().filter(|c| c.account == account).map(|c| c.subs.len()).sum::<usize>()
    }

    /// In words, how the subscriptions of an account differ from those that an index holds.
    pub fn odd_subscriptions(&self, account: &str, held: &[(u64, String)]) -> String {
        let own = self.conns.values().filter(|c| c.account == account);
        let wanted: Vec<(u64, &conn::Sub)> = own.flat_map(|c| c.subs.iter().map(|s| (c.cid, s))).collect();
        let missing: Vec<_> =
            wanted.iter().filter(|(cid, s)| !held.contains(&(*cid, s.sid.clone()))).collect();
        let extra: Vec<_> = held
            .iter()
            .filter(|(cid, sid)| *cid != 0 && !wanted.iter().any(|(c, s)| c == cid && s.sid == *sid))
            .collect();
        format!("missing {missing:?}, too much {extra:?}")
    }

    /// Clients that an account must count.
    pub fn clients(&self, account: &str) -> usize {
        self.conns.values().filter(|c| c.joined && c.account == account).count()
    }

    /// A connection was accepted and greeted.
    pub fn greeted(&mut self, cid: u64, now: Now, taps: &mut Taps) -> Check<Want> {
        let mut conn = Conn::new(cid, &self.swarm, now.mono);
        let info = [format!("\"client_id\":{cid},"), format!("\"max_payload\":{},", self.swarm.max_payload)];
        taps.info(cid, &info, self.lame_duck)?;
        let too_many = self.conns.len() + 1 > self.swarm.max_connections;
        if self.needs_login() && !too_many {
            conn.expects_connect = true;
            conn.auth_deadline = now.mono + self.swarm.auth_timeout;
        }
        self.conns.insert(cid, conn);
        if too_many {
            taps.error(cid, "maximum connections exceeded")?;
            return Ok(Want::Close(Reason::MaxConnectionsExceeded));
        }
        Ok(Want::Go)
    }

    /// A connection is forgotten.
    pub fn closed(&mut self, cid: u64) -> Check<Conn> {
        let conn = self.conns.remove(&cid).ok_or_else(|| format!("connection {cid} is closed twice"))?;
        self.received.0 += conn.in_msgs;
        self.received.1 += conn.in_bytes;
        Ok(conn)
    }

    /// When the node has to be called again for this connection: compares and adopts what is left to chance.
    pub fn check_deadline(&mut self, cid: u64, actual: Mono) -> Check<()> {
        let conn = self.conn(cid)?;
        conn.check_deadline(actual)
    }
}
