//! Who may log in, and what they may do, as the simulator's own data.

use std::time::Duration;

use midge_config::schema::authorization::{self as schema, ResponsePermission, SubjectPermission};

use crate::draw::Draw;

/// A user of the simulated server.
#[derive(Clone, Debug)]
pub struct UserSpec {
    /// Its name; the password is the name with an `!` behind it.
    pub name: String,
    /// What the configuration holds: the password, or a hash of it.
    pub stored: String,
    /// Its account; empty for the global one.
    pub account: String,
    /// What it may do; `None` for everything.
    pub permissions: Option<PermissionSpec>,
}

/// Lists of permissions.
#[derive(Clone, Debug, Default)]
pub struct PermissionSpec {
    /// Subjects to publish to; `None` for all.
    pub publish_allow: Option<Vec<String>>,
    /// Subjects not to publish to.
    pub publish_deny: Vec<String>,
    /// Subjects, with queues perhaps, to subscribe to; `None` for all.
    pub subscribe_allow: Option<Vec<String>>,
    /// Subjects, with queues perhaps, not to subscribe to.
    pub subscribe_deny: Vec<String>,
    /// Answers per request, and how long they may take.
    pub responses: Option<(u64, Duration)>,
}

/// The password `hashed!`, hashed at the lowest cost there is.
const HASHED: &str = "$2b$04$piS0eTlPSKB9MLnfboUGc.EyCGDv4lQeP2In/Orh1Xzkq1okBVR8e";

impl UserSpec {
    fn new(name: &str, account: &str) -> UserSpec {
        UserSpec {
            name: name.to_owned(),
            stored: format!("{name}!"),
            account: account.to_owned(),
            permissions: None,
        }
    }

    /// Whether the password is checked elsewhere, while the connection waits.
    pub fn is_hashed(&self) -> bool {
        self.stored.starts_with('$')
    }

    /// The password to give.
    pub fn password(&self) -> String {
        format!("{}!", self.name)
    }

    /// The user as the configuration has it.
    pub fn config(&self) -> schema::User {
        schema::User {
            username: self.name.clone(),
            password: self.stored.clone(),
            account: self.account.clone(),
            permissions: self.permissions.as_ref().map(PermissionSpec::config),
            connection_types: Vec::new(),
        }
    }
}

impl PermissionSpec {
    /// The lists as the configuration has them.
    pub fn config(&self) -> schema::Permissions {
        let some = |list: &[String]| Some(list.to_vec()).filter(|list| !list.is_empty());
        schema::Permissions {
            publish: Some(SubjectPermission {
                allow: self.publish_allow.clone(),
                deny: some(&self.publish_deny),
            }),
            subscribe: Some(SubjectPermission {
                allow: self.subscribe_allow.clone(),
                deny: some(&self.subscribe_deny),
            }),
            responses: self.responses.map(|(max, expires)| ResponsePermission {
                max_msgs: i64::try_from(max).unwrap_or(i64::MAX),
                expires: Some(expires),
            }),
        }
    }

    /// Any lists.
    pub fn draw(draw: &mut Draw) -> PermissionSpec {
        const PUBLISH: [&str; 9] = ["a", "a.>", "b.*", "*.c", "c.a.b", ">", "_INBOX.>", "a.b", "*"];
        const SUBSCRIBE: [&str; 12] =
            ["a", "a.>", "b.*", "*.c", "c.a.b", "> q1", "a.* q2", "_INBOX.>", "b.> q*", "*", "a.b", "> v.*"];
        let list = |draw: &mut Draw, pool: &[&str], most| -> Vec<String> {
            (0..draw.between(1, most)).map(|_| draw.one(pool).to_owned()).collect()
        };
        let responses = draw.percent(45);
        PermissionSpec {
            publish_allow: (!responses && draw.percent(50)).then(|| {
                let mut allowed = list(draw, &PUBLISH, 4);
                allowed.push("_INBOX.>".to_owned());
                allowed
            }),
            publish_deny: if draw.percent(15) { list(draw, &PUBLISH[..5], 2) } else { Vec::new() },
            subscribe_allow: draw.percent(25).then(|| list(draw, &SUBSCRIBE, 4)),
            subscribe_deny: if draw.percent(40) { list(draw, &SUBSCRIBE, 3) } else { Vec::new() },
            responses: responses
                .then(|| (draw.between(1, 3) as u64, Duration::from_millis(draw.pick(&[1, 50, 120_000])))),
        }
    }
}

/// Users of whom most may only answer.
pub fn services(draw: &mut Draw) -> Vec<UserSpec> {
    let mut users = vec![UserSpec::new("anna", "A")];
    for name in ["p1", "p2", "p3"] {
        let expires = Duration::from_millis(draw.pick(&[1, 50, 120_000]));
        let responses = Some((draw.between(1, 3) as u64, expires));
        let permissions = Some(PermissionSpec { responses, ..PermissionSpec::default() });
        users.push(UserSpec { permissions, ..UserSpec::new(name, "A") });
    }
    users
}

/// The users of one run.
pub fn draw(draw: &mut Draw) -> Vec<UserSpec> {
    let mut users = vec![UserSpec::new("free", ""), UserSpec::new("anna", "A"), UserSpec::new("bert", "B")];
    for name in ["p1", "p2", "p3"] {
        let account = draw.pick(&["", "A", "A"]);
        let permissions = Some(PermissionSpec::draw(draw));
        users.push(UserSpec { permissions, ..UserSpec::new(name, account) });
    }
    if draw.percent(20) {
        users.push(UserSpec::new("sys", "$SYS"));
    }
    if draw.percent(10) {
        users.push(UserSpec { stored: HASHED.to_owned(), ..UserSpec::new("hashed", "A") });
    }
    users
}
