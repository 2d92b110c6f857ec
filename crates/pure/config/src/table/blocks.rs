//! Options inside blocks.

use super::Kind::{Bool, Duration, Int, Map, Mixed, Seconds, Text, Texts};
use super::{Block, Row};

use Block::{
    Account, AccountLimits, Authorization, Certificates, Permissions, Responses, SubjectPermissions, Tls,
    User,
};

/// Options inside blocks, in the order of the reference text.
pub const BLOCK_ROWS: &[Row] = &[
    Row::new(Authorization, "user", Text, "The single user.").aliases(&["username"]),
    Row::new(Authorization, "pass", Text, "Its password, plain or a bcrypt hash.").aliases(&["password"]),
    Row::new(Authorization, "token", Text, "The single token, plain or a bcrypt hash."),
    Row::new(Authorization, "timeout", Seconds, "Time to log in; with TLS one second more than that of TLS.")
        .default("2"),
    Row::new(Authorization, "users", Mixed, "Users, one map each."),
    Row::new(Authorization, "default_permissions", Map, "Permissions of users that state none.")
        .aliases(&["default_permission", "permissions"]),
    Row::new(Authorization, "auth_callout", Map, "Ask a service who may log in.")
        .aliases(&["auth_hook"])
        .not_yet(),
    Row::new(Authorization, "proxy_required", Bool, "Clients must come through a trusted proxy.")
        .default("false")
        .not_yet(),
    Row::new(User, "user", Text, "Name.").aliases(&["username"]),
    Row::new(User, "pass", Text, "Password, plain or a bcrypt hash.").aliases(&["password"]),
    Row::new(User, "nkey", Text, "Public key, instead of name and password."),
    Row::new(User, "permissions", Map, "What the user may do; everything if not stated.")
        .aliases(&["permission", "authorization"]),
    Row::new(
        User,
        "allowed_connection_types",
        Texts,
        "`STANDARD`, `WEBSOCKET`, `LEAFNODE`, `LEAFNODE_WS`, `MQTT`, `MQTT_WS`, `IN_PROCESS`; all if not stated.",
    )
    .aliases(&["connection_types", "clients"]),
    Row::new(User, "proxy_required", Bool, "The user must come through a trusted proxy.")
        .default("false")
        .not_yet(),
    Row::new(Permissions, "publish", Mixed, "A subject, allowed subjects, or a map of allow and deny.")
        .aliases(&["pub", "import"]),
    Row::new(Permissions, "subscribe", Mixed, "The same; an entry may be `subject queue`.")
        .aliases(&["sub", "export"]),
    Row::new(Permissions, "allow_responses", Mixed, "Answers to received requests: a boolean or a map.")
        .aliases(&["publish_allow_responses"]),
    Row::new(SubjectPermissions, "allow", Texts, "Allowed subjects; all if not stated."),
    Row::new(SubjectPermissions, "deny", Texts, "Denied subjects."),
    Row::new(Responses, "max", Int, "Answers per request; negative for unlimited.")
        .aliases(&["max_msgs", "max_messages", "max_responses"])
        .default("1"),
    Row::new(Responses, "expires", Duration, "Time to answer; negative for unlimited.")
        .aliases(&["expiration", "ttl"])
        .default("\"2m\""),
    Row::new(Account, "nkey", Text, "Public key of the account."),
    Row::new(Account, "users", Mixed, "Users, one map each."),
    Row::new(Account, "default_permissions", Map, "Permissions of users that state none."),
    Row::new(Account, "limits", Map, "Limits of the account."),
    Row::new(Account, "exports", Mixed, "What other accounts may import.").not_yet(),
    Row::new(Account, "imports", Mixed, "What other accounts export.").not_yet(),
    Row::new(Account, "mappings", Map, "Subject mappings.").aliases(&["maps"]).not_yet(),
    Row::new(Account, "jetstream", Mixed, "Stored streams of the account.").default("false").not_yet(),
    Row::new(Account, "msg_trace", Mixed, "Where traces of messages go.").aliases(&["trace_dest"]).not_yet(),
    Row::new(AccountLimits, "max_connections", Int, "Client connections; -1 for unlimited.")
        .aliases(&["max_conn"])
        .default("-1"),
    Row::new(AccountLimits, "max_subscriptions", Int, "Subscriptions of a connection; -1 for unlimited.")
        .aliases(&["max_subs"])
        .default("-1"),
    Row::new(AccountLimits, "max_payload", Int, "Bytes of a message; -1 for unlimited.")
        .aliases(&["max_pay"])
        .default("-1"),
    Row::new(AccountLimits, "max_leafnodes", Int, "Leaf node connections; -1 for unlimited.")
        .aliases(&["max_leafs"])
        .default("-1"),
    Row::new(Tls, "cert_file", Text, "Certificate chain, PEM.").live(),
    Row::new(Tls, "key_file", Text, "Its private key, PEM.").live(),
    Row::new(Tls, "certs", Mixed, "Several chains: an array of maps.").aliases(&["certificates"]).live(),
    Row::new(Tls, "ca_file", Text, "Authorities that vouch for clients, PEM.").live(),
    Row::new(Tls, "verify", Bool, "Require client certificates and verify them.").default("false").live(),
    Row::new(Tls, "verify_and_map", Bool, "Take the user from the client certificate; implies verify.")
        .default("false")
        .refused("TLSMap"),
    Row::new(Tls, "verify_cert_and_check_known_urls", Bool, "Not for clients.").default("false"),
    Row::new(Tls, "insecure", Bool, "Do not verify the other side when connecting out.").default("false"),
    Row::new(Tls, "timeout", Seconds, "Time for a handshake.").default("2").live(),
    Row::new(Tls, "cipher_suites", Mixed, "Allowed cipher suites by name.").live(),
    Row::new(Tls, "allow_insecure_cipher_suites", Bool, "Weak suites may be listed.").default("false").live(),
    Row::new(Tls, "curve_preferences", Mixed, "Allowed key exchange groups by name.").live(),
    Row::new(Tls, "min_version", Text, "`1.2` or `1.3`.").default("\"1.2\"").live(),
    Row::new(Tls, "pinned_certs", Mixed, "SHA-256 of allowed client public keys, in hex.").live(),
    Row::new(Tls, "connection_rate_limit", Int, "Handshakes per second; 0 for unlimited.")
        .default("0")
        .refused("TLSRateLimit"),
    Row::new(Tls, "handshake_first", Mixed, "TLS before INFO: a boolean, `auto`, or the time to wait for it.")
        .aliases(&["first", "immediate"])
        .default("false")
        .live(),
    Row::new(Tls, "ocsp_peer", Mixed, "Check the states of client certificates.").default("false").not_yet(),
    Row::new(Tls, "cert_store", Text, "Store of certificates of another operating system.").not_yet(),
    Row::new(Tls, "cert_match_by", Text, "How to search that store.").not_yet(),
    Row::new(Tls, "cert_match", Text, "What to search it for.").not_yet(),
    Row::new(Tls, "cert_match_skip_invalid", Bool, "Skip expired certificates of it.")
        .default("false")
        .not_yet(),
    Row::new(Tls, "ca_certs_match", Texts, "Authorities of it.").not_yet(),
    Row::new(Certificates, "cert_file", Text, "Certificate chain, PEM."),
    Row::new(Certificates, "key_file", Text, "Its private key, PEM."),
];
