//! Options of the top level.

use super::Kind::{Bool, Duration, DurationText, Int, Listen, Map, Mixed, Text, Texts};
use super::{Block, Kind, Row};

const fn top(key: &'static str, kind: Kind, doc: &'static str) -> Row {
    Row::new(Block::Top, key, kind, doc)
}

/// Options of the top level, in the order of the reference text.
pub const SERVER_ROWS: &[Row] = &[
    top("listen", Listen, "Host and port for clients.").default("0.0.0.0:4222").refused("Host"),
    top("host", Text, "Address for clients.").aliases(&["net"]).default("0.0.0.0").refused("Host"),
    top("port", Int, "Port for clients; -1 takes any free one.").default("4222").refused("Port"),
    top("client_advertise", Text, "`host[:port]` that clients are told.").live(),
    top("server_name", Text, "Name of the server, without spaces.").refused("ServerName"),
    top("server_tags", Texts, "Tags, compared in lower case.").live(),
    top("server_metadata", Map, "Free texts shown by monitoring.").live(),
    top("feature_flags", Map, "Names with booleans; unknown names are ignored.").refused("FeatureFlags"),
    top("debug", Bool, "Log debug lines.").default("false").live(),
    top("trace", Bool, "Log the protocol.").default("false").live(),
    top("trace_verbose", Bool, "Trace the system account as well; sets `trace`.").default("false").live(),
    top("trace_headers", Bool, "Trace header blocks without payload; sets `trace`.").default("false").live(),
    top("logtime", Bool, "Start log lines with the time.").default("true").live(),
    top("logtime_utc", Bool, "That time is UTC.").default("false").live(),
    top("max_traced_msg_len", Int, "Bytes of a message in the trace; 0 for all.").default("0").live(),
    top("log_file", Text, "File for the log.").aliases(&["logfile"]).live(),
    top("log_size_limit", Int, "Bytes after which the log file is rotated; 0 for never.")
        .aliases(&["logfile_size_limit"])
        .default("0")
        .refused("LogSizeLimit"),
    top("log_max_num", Int, "Log files kept, the current one included; 0 for all.")
        .aliases(&["logfile_max_num"])
        .default("0")
        .refused("LogMaxFiles"),
    top("syslog", Bool, "Log to syslog.").default("false").live(),
    top("remote_syslog", Text, "Log to this syslog: `udp://host:port`, `tcp://…`, `unix://…`.").live(),
    top("pid_file", Text, "File that is given the process id.").aliases(&["pidfile"]).live(),
    top("ports_file_dir", Text, "Directory for the file with all ports.").live(),
    top("prof_port", Int, "Port for profiling.").default("0").refused("ProfPort").not_yet(),
    top("prof_block_rate", Int, "Rate of the blocking profile.").default("0").live().not_yet(),
    top("http", Listen, "Monitoring over HTTP.").refused("HTTPPort"),
    top("http_port", Int, "Port for monitoring over HTTP.")
        .aliases(&["monitor_port"])
        .default("0")
        .refused("HTTPPort"),
    top("https", Listen, "Monitoring over HTTPS, with the certificates of `tls`.").refused("HTTPSPort"),
    top("https_port", Int, "Port for monitoring over HTTPS.").default("0").refused("HTTPSPort"),
    top("http_base_path", Text, "Path of the monitoring pages.").default("").refused("HTTPBasePath"),
    top("max_control_line", Int, "Bytes of a protocol line.").default("4096").live(),
    top("max_payload", Int, "Bytes of a message; not above `max_pending`.").default("1048576").live(),
    top("max_pending", Int, "Bytes queued for a connection.").default("67108864").refused("MaxPending"),
    top("max_connections", Int, "Client connections; 0 or less refuses every client.")
        .aliases(&["max_conn"])
        .default("65536")
        .live(),
    top("max_subscriptions", Int, "Subscriptions of a connection; 0 for unlimited.")
        .aliases(&["max_subs"])
        .default("0")
        .refused("MaxSubs"),
    top("max_sub_tokens", Int, "Tokens of a subscribed subject, 1 to 255; unlimited if not stated.")
        .aliases(&["max_subscription_tokens"])
        .refused("MaxSubTokens"),
    top("max_closed_clients", Int, "Closed connections that monitoring remembers.")
        .default("10000")
        .refused("MaxClosedClients"),
    top("ping_interval", Duration, "Time between PINGs to a quiet client.").default("\"2m\"").live(),
    top("ping_max", Int, "Unanswered PINGs after which a client is closed.").default("2").live(),
    top("write_deadline", Duration, "Time that a write to a client may take.").default("\"10s\"").live(),
    top("write_timeout", Text, "`default`, `close` or `retry`: what follows when it takes longer.")
        .default("default")
        .refused("WriteTimeout"),
    top("lame_duck_duration", DurationText, "Length of lame duck mode, at least 30s.")
        .default("\"2m\"")
        .refused("LameDuckDuration"),
    top("lame_duck_grace_period", DurationText, "Time before lame duck mode closes the first client.")
        .default("\"10s\"")
        .refused("LameDuckGracePeriod"),
    top("connect_error_reports", Int, "Log every n-th failed first connect.").default("3600").live(),
    top("reconnect_error_reports", Int, "Log every n-th failed reconnect.").default("1").live(),
    top("disable_sublist_cache", Bool, "Match without a result cache.")
        .aliases(&["no_sublist_cache"])
        .default("false")
        .refused("NoSublistCache"),
    top("no_header_support", Bool, "Refuse message headers.").default("false").refused("NoHeaderSupport"),
    top("no_fast_producer_stall", Bool, "Do not slow down publishers for slow subscribers.")
        .default("false")
        .live(),
    top("proxy_protocol", Bool, "Expect the PROXY protocol on client connections.")
        .default("false")
        .refused("ProxyProtocol")
        .not_yet(),
    top("allow_non_tls", Bool, "Accept clients in clear text beside TLS.")
        .default("false")
        .refused("AllowNonTLS"),
    top("tls", Map, "TLS for clients.").live(),
    top("ocsp", Mixed, "Stapling of certificate states.").default("false").live().not_yet(),
    top("ocsp_cache", Mixed, "Cache of certificate states.").default("false").live().not_yet(),
    top("authorization", Map, "Who may log in.").live(),
    top("no_auth_user", Text, "The user that a client without credentials becomes.").refused("NoAuthUser"),
    top("default_sentinel", Text, "Credentials of clients that have none.").live().not_yet(),
    top("accounts", Mixed, "Accounts with their users: names, or a map.").live(),
    top("mappings", Map, "Subject mappings of the global account.").aliases(&["maps"]).live().not_yet(),
    top("system_account", Text, "The account of system events.")
        .aliases(&["system"])
        .refused("SystemAccount"),
    top("no_system_account", Bool, "Have no system account.")
        .aliases(&["no_system", "no_sys_acc"])
        .default("false")
        .refused("NoSystemAccount"),
    top("operator", Texts, "Operator tokens, or their files.")
        .aliases(&["operators", "roots", "root", "root_operator", "root_operators"])
        .refused("TrustedOperators")
        .not_yet(),
    top("trusted_keys", Texts, "Public keys of operators.")
        .aliases(&["trusted"])
        .refused("TrustedKeys")
        .not_yet(),
    top("resolver", Mixed, "Where account tokens come from.")
        .aliases(&["account_resolver", "accounts_resolver"])
        .live()
        .not_yet(),
    top("resolver_tls", Map, "TLS towards an account server.").live().not_yet(),
    top("resolver_preload", Map, "Account tokens known at start.").uncompared().not_yet(),
    top("resolver_pinned_accounts", Texts, "The only accounts that may log in.").uncompared().not_yet(),
    top("cluster", Map, "Routes to servers of the same cluster.").refused("Cluster").not_yet(),
    top("gateway", Map, "Connections to other clusters.").refused("Gateway").not_yet(),
    top("leafnodes", Map, "Leaf node connections.").aliases(&["leaf"]).refused("LeafNode").not_yet(),
    top("websocket", Map, "Clients over WebSocket.").aliases(&["ws"]).refused("Websocket").not_yet(),
    top("mqtt", Map, "Clients that speak MQTT.").refused("MQTT").not_yet(),
    top("jetstream", Mixed, "Stored streams: a boolean, `enabled` or a map.").default("false").live(),
    top("proxies", Map, "Trusted proxies.").live().not_yet(),
    top("store_dir", Text, "Directory of stored streams.").aliases(&["storedir"]).refused("StoreDir"),
    top("default_js_domain", Map, "Stream domains of accounts.").refused("JsAccDefaultDomain").not_yet(),
];
