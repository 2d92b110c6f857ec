//! What differs from seed to seed: the options of the node, the temper of its clients and of its network.
//!
//! A run that does a little of everything never does much of anything; so each seed leaves most kinds of trouble out
//! and dwells on the others.

use std::time::Duration;

use midge_config::Options;
use midge_config::schema::accounts::{Account, AccountLimits};
use midge_config::schema::server::WriteTimeout;

use crate::draw::Draw;
use crate::users::{self, UserSpec};

/// The options of one run.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Threads of the node.
    pub shards: usize,
    /// Clients connected at a time.
    pub clients: usize,
    /// Connections of each client, one after the other.
    pub sessions: usize,
    /// Acts of each connection.
    pub acts: usize,
    /// Bytes queued for a connection before it is a slow consumer.
    pub max_pending: usize,
    /// Bytes of header and payload.
    pub max_payload: usize,
    /// Bytes of a control line.
    pub max_control_line: usize,
    /// Subscriptions of a connection; 0 for no limit.
    pub max_subscriptions: usize,
    /// Tokens of a subscription; 0 for no limit.
    pub max_tokens: usize,
    /// Connections.
    pub max_connections: usize,
    /// Time between PINGs.
    pub ping_interval: Duration,
    /// PINGs without PONG.
    pub ping_max: u32,
    /// How long a socket may refuse bytes.
    pub write_deadline: Duration,
    /// Whether a socket that takes a little now and then stays connected.
    pub retry_writes: bool,
    /// Time for the login.
    pub auth_timeout: Duration,
    /// Whether the server supports headers.
    pub headers: bool,
    /// Whether slow consumers lose messages instead of slowing publishers.
    pub drop_for_slow: bool,
    /// Who may log in; everybody when empty.
    pub users: Vec<UserSpec>,
    /// The user that clients without credentials become; empty for none.
    pub no_auth_user: String,
    /// Limits of account `B`.
    pub account_limits: AccountLimits,
    /// Bytes that a socket takes before it refuses.
    pub socket: usize,
    /// Connections, of a hundred, that only their owner may write.
    pub owned: usize,
    /// Flushes, of a hundred, that a foreign shard leaves to the owner.
    pub leave_to_owner: usize,
    /// Whether queue subscriptions may match every subject.
    pub wild_queues: bool,
    /// How often clients do what, of a hundred.
    pub habits: Habits,
    /// Whether the run ends with a shut-down instead of every client leaving.
    pub shut_down: bool,
    /// Whether somebody kicks clients, changes their permissions, announces lame duck mode.
    pub admin: bool,
}

/// How often clients do what, of a hundred.
#[derive(Clone, Debug)]
pub struct Habits {
    /// CONNECT asks for `+OK`.
    pub verbose: usize,
    /// CONNECT asks for strict subjects.
    pub pedantic: usize,
    /// CONNECT refuses own messages.
    pub no_echo: usize,
    /// CONNECT understands headers.
    pub headers: usize,
    /// CONNECT wants to know when nobody listens.
    pub no_responders: usize,
    /// A subscription is a member of a queue.
    pub queue: usize,
    /// An UNSUB has a maximum.
    pub max: usize,
    /// A payload is large.
    pub large: usize,
    /// Something is wrong on purpose.
    pub bad: usize,
    /// The client stops reading for a while.
    pub stop_reading: usize,
    /// A publish comes in a burst of equal subjects.
    pub burst: usize,
    /// A publish asks for an answer.
    pub request: usize,
    /// The client answers nothing, not even PING.
    pub mute: usize,
    /// Bytes that a client reads at a time, at most.
    pub gulp: usize,
}

impl Swarm {
    /// The options of a seed.
    pub fn draw(draw: &mut Draw) -> Swarm {
        let auth = draw.percent(50);
        let services = auth && draw.percent(30);
        let users = match (auth, services) {
            (false, _) => Vec::new(),
            (true, false) => users::draw(draw),
            (true, true) => users::services(draw),
        };
        let stand_in = auth && draw.percent(30);
        let limited = draw.percent(30);
        let narrow = draw.percent(20);
        let slow = draw.percent(45);
        let mut swarm = Swarm {
            shards: draw.between(1, 4),
            clients: draw.between(2, 7),
            sessions: draw.between(1, 3),
            acts: draw.between(10, 70),
            max_pending: if slow { draw.pick(&[6_000, 20_000, 70_000, 300_000]) } else { 64 << 20 },
            max_payload: draw.pick(&[1_000, 20_000, 150_000, 1 << 20]),
            max_control_line: draw.pick(&[400, 1_024, 4_096]),
            max_subscriptions: if draw.percent(15) { draw.between(1, 6) } else { 0 },
            max_tokens: if draw.percent(15) { draw.between(1, 3) } else { 0 },
            max_connections: if draw.percent(10) { draw.between(1, 5) } else { 65_536 },
            ping_interval: Duration::from_millis(draw.pick(&[30, 500, 5_000, 120_000])),
            ping_max: draw.pick(&[1, 2, 3]),
            write_deadline: Duration::from_millis(draw.pick(&[20, 500, 10_000])),
            retry_writes: draw.percent(25),
            auth_timeout: Duration::from_millis(draw.pick(&[50, 2_000, 2_000, 2_000])),
            headers: !draw.percent(10),
            drop_for_slow: slow && draw.percent(30),
            no_auth_user: if stand_in { users[draw.below(users.len())].name.clone() } else { String::new() },
            users,
            account_limits: AccountLimits {
                max_connections: if limited { 2 } else { -1 },
                max_subscriptions: if limited { 3 } else { -1 },
                max_payload: if limited { 900 } else { -1 },
                ..AccountLimits::default()
            },
            socket: draw.pick(&[700, 5_000, 40_000, 200_000]),
            owned: draw.pick(&[0, 0, 30, 100]),
            leave_to_owner: draw.pick(&[0, 20, 50, 100]),
            wild_queues: draw.percent(60),
            habits: Habits::draw(draw, slow),
            shut_down: draw.percent(10),
            admin: draw.percent(20),
        };
        swarm.max_payload = swarm.max_payload.min(swarm.max_pending);
        if narrow {
            // Little sockets that everybody writes and slow readers: flushers meet, and are refused.
            (swarm.shards, swarm.socket, swarm.owned, swarm.leave_to_owner) = (4, 300, 0, 0);
            (swarm.habits.gulp, swarm.habits.bad) = (100, 3);
        }
        if services {
            let habits = &mut swarm.habits;
            (habits.request, habits.burst, habits.max) = (90, 60, habits.max.max(30));
        }
        swarm
    }

    /// The options that the node is assembled from.
    pub fn options(&self) -> Options {
        let mut options = Options::default();
        let limits = &mut options.limits;
        limits.max_connections = self.max_connections as i64;
        limits.max_subscriptions = self.max_subscriptions as i64;
        limits.max_sub_tokens = u8::try_from(self.max_tokens).unwrap_or(u8::MAX);
        limits.max_control_line = self.max_control_line as i64;
        limits.max_payload = self.max_payload as i64;
        limits.max_pending = self.max_pending as i64;
        limits.ping_interval = self.ping_interval;
        limits.ping_max = i64::from(self.ping_max);
        limits.write_deadline = self.write_deadline;
        limits.write_timeout = if self.retry_writes { WriteTimeout::Retry } else { WriteTimeout::Default };
        options.server.no_header_support = !self.headers;
        options.server.no_fast_producer_stall = self.drop_for_slow;
        options.authorization.timeout = Some(self.auth_timeout);
        options.authorization.users = self.users.iter().map(UserSpec::config).collect();
        options.authorization.no_auth_user.clone_from(&self.no_auth_user);
        options.authorization.present = !self.users.is_empty();
        for name in ["A", "B"] {
            let limits = if name == "B" { self.account_limits } else { AccountLimits::default() };
            options.accounts.push(Account { name: name.to_owned(), limits, ..Account::default() });
        }
        options
    }
}

impl Habits {
    fn draw(draw: &mut Draw, slow: bool) -> Habits {
        Habits {
            verbose: draw.pick(&[0, 20, 100]),
            pedantic: draw.pick(&[0, 30, 100]),
            no_echo: draw.pick(&[0, 30, 100]),
            headers: draw.pick(&[50, 90, 100]),
            no_responders: draw.pick(&[0, 50, 90]),
            queue: draw.pick(&[0, 30, 60]),
            max: draw.pick(&[0, 30, 80]),
            large: draw.pick(&[0, 3, 20]),
            bad: draw.pick(&[0, 0, 2, 8]),
            stop_reading: if slow { draw.pick(&[5, 15, 30]) } else { draw.pick(&[0, 2]) },
            burst: draw.pick(&[0, 20, 60]),
            request: draw.pick(&[0, 30, 80]),
            mute: draw.pick(&[0, 0, 10]),
            gulp: draw.pick(&[50, 3_000, 100_000]),
        }
    }
}
