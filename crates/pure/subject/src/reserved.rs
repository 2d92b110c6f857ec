//! Every namespace that the server keeps for itself, in one list.

/// Who may use a reserved name, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An ordinary subject on the wire; the server subscribes to it or publishes on it.
    ByConvention,
    /// Clients may not publish to it.
    NoPublish,
    /// Clients outside the system account may not publish to it.
    SystemAccountPublish,
    /// Clients may not name it as the reply of a message.
    NoReply,
    /// Clients may neither publish to it nor name it as a reply.
    NoPublishNoReply,
}

/// A prefix that means something to the server.
#[derive(Clone, Copy, Debug)]
pub struct Namespace {
    /// The bytes that names in it start with.
    pub prefix: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// What clients may not do with it.
    pub rule: Rule,
}

const fn ns(prefix: &'static str, rule: Rule, purpose: &'static str) -> Namespace {
    Namespace { prefix, purpose, rule }
}

/// Replies that cross a gateway.
pub const GATEWAY_REPLY: &[u8] = b"_GR_.";
/// The older form of [`GATEWAY_REPLY`].
pub const OLD_GATEWAY_REPLY: &[u8] = b"$GR.";
/// Raft traffic.
pub const RAFT: &[u8] = b"$NRG.";
/// Replies of service imports.
pub const SERVICE_REPLY: &[u8] = b"_R_.";
/// Acknowledgements of JetStream consumers.
pub const JETSTREAM_ACK: &[u8] = b"$JS.ACK.";
/// The queue group that the servers' own subscriptions use.
pub const SYSTEM_QUEUE: &[u8] = b"_sys_";

/// The list.
pub const NAMESPACES: &[Namespace] = &[
    ns("_GR_.", Rule::NoPublishNoReply, "replies that cross a gateway"),
    ns("$GR.", Rule::ByConvention, "replies that cross a gateway, older form"),
    ns("_R_.", Rule::NoReply, "replies of service imports"),
    ns("$NRG.", Rule::SystemAccountPublish, "Raft groups"),
    ns("$JS.ACK.", Rule::NoReply, "acknowledgements of consumers"),
    ns("$JS.API.", Rule::ByConvention, "the JetStream interface"),
    ns("$JS.EVENT.", Rule::ByConvention, "JetStream advisories and metrics"),
    ns("$JS.FC.", Rule::ByConvention, "flow control of consumers"),
    ns("$JS.", Rule::ByConvention, "JetStream"),
    ns("$JSC.", Rule::ByConvention, "JetStream inside a cluster"),
    ns("$KV.", Rule::ByConvention, "key-value buckets"),
    ns("$O.", Rule::ByConvention, "object stores"),
    ns("$MQTT.", Rule::ByConvention, "MQTT sessions and messages"),
    ns("$SYS.", Rule::ByConvention, "events and requests of the system account"),
    ns("$SRV.", Rule::ByConvention, "the service framework of clients"),
    ns("$LDS.", Rule::ByConvention, "loop detection of leaf nodes"),
    ns("_INBOX.", Rule::ByConvention, "inboxes of clients"),
];

fn starts_and_goes_on(name: &[u8], prefix: &[u8]) -> bool {
    name.len() > prefix.len() && name.starts_with(prefix)
}

/// Whether a client may not publish to `subject`.
#[inline]
pub fn refuses_publish(subject: &[u8], in_system_account: bool) -> bool {
    match subject.first() {
        Some(b'_') => starts_and_goes_on(subject, GATEWAY_REPLY),
        Some(b'$') => !in_system_account && subject.starts_with(RAFT),
        _ => false,
    }
}

/// Whether a client may not name `reply` as the reply of a message.
#[inline]
pub fn refuses_reply(reply: &[u8]) -> bool {
    match reply.first() {
        Some(b'_') => reply.starts_with(SERVICE_REPLY) || starts_and_goes_on(reply, GATEWAY_REPLY),
        Some(b'$') => starts_and_goes_on(reply, JETSTREAM_ACK),
        _ => false,
    }
}

/// Whether a client may not join `queue`.
#[inline]
pub fn refuses_queue(queue: &[u8]) -> bool {
    queue == SYSTEM_QUEUE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_kept_out() {
        for (name, publish, publish_system, reply) in [
            ("_GR_.", false, false, false),
            ("_GR_.x", true, true, true),
            ("_GR_", false, false, false),
            ("$NRG.", true, false, false),
            ("$NRG.x", true, false, false),
            ("$NRG", false, false, false),
            ("_R_.", false, false, true),
            ("_R_.x", false, false, true),
            ("$JS.ACK.", false, false, false),
            ("$JS.ACK.x", false, false, true),
            ("$JS.API.INFO", false, false, false),
            ("$SYS.x", false, false, false),
            ("_INBOX.x", false, false, false),
            ("", false, false, false),
        ] {
            let bytes = name.as_bytes();
            assert_eq!(refuses_publish(bytes, false), publish, "{name}");
            assert_eq!(refuses_publish(bytes, true), publish_system, "{name}");
            assert_eq!(refuses_reply(bytes), reply, "{name}");
        }
        assert!(refuses_queue(b"_sys_") && !refuses_queue(b"_sys_x") && !refuses_queue(b""));
    }

    #[test]
    fn the_list_and_the_predicates_agree() {
        for namespace in NAMESPACES {
            let name = format!("{}x", namespace.prefix);
            let (publish, system, reply) = match namespace.rule {
                Rule::ByConvention => (false, false, false),
                Rule::NoPublish => (true, true, false),
                Rule::SystemAccountPublish => (true, false, false),
                Rule::NoReply => (false, false, true),
                Rule::NoPublishNoReply => (true, true, true),
            };
            assert_eq!(refuses_publish(name.as_bytes(), false), publish, "{name}");
            assert_eq!(refuses_publish(name.as_bytes(), true), system, "{name}");
            assert_eq!(refuses_reply(name.as_bytes()), reply, "{name}");
        }
    }
}
