//! The flags of the command line.

/// What a flag's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagKind {
    /// `-x` or `-x=false`.
    Bool,
    /// A number.
    Int,
    /// Any text.
    Text,
}

/// Under which heading of the usage text a flag stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Server.
    Server,
    /// Logging.
    Logging,
    /// Stored streams.
    JetStream,
    /// Authorization.
    Authorization,
    /// TLS.
    Tls,
    /// Clusters.
    Cluster,
    /// Profiling.
    Profiling,
    /// Help and version.
    Common,
}

impl Group {
    /// The groups in the order of the usage text, with their headings.
    pub const ALL: &'static [(Group, &'static str)] = &[
        (Group::Server, "Server Options"),
        (Group::Logging, "Logging Options"),
        (Group::JetStream, "JetStream Options"),
        (Group::Authorization, "Authorization Options"),
        (Group::Tls, "TLS Options"),
        (Group::Cluster, "Cluster Options"),
        (Group::Profiling, "Profiling Options"),
        (Group::Common, "Common Options"),
    ];
}

/// One flag with all its names.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its names; the first names it in this crate.
    pub names: &'static [&'static str],
    /// What its value is.
    pub kind: FlagKind,
    /// The value in the usage text; empty for booleans.
    pub argument: &'static str,
    /// Its heading.
    pub group: Group,
    /// The top-level option that it sets; empty for none.
    pub option: &'static str,
    /// Whether the feature behind it exists.
    pub supported: bool,
    /// One line of usage.
    pub doc: &'static str,
}

const fn flag(
    names: &'static [&'static str],
    kind: FlagKind,
    argument: &'static str,
    group: Group,
    option: &'static str,
    doc: &'static str,
) -> Flag {
    Flag { names, kind, argument, group, option, supported: true, doc }
}

impl Flag {
    const fn not_yet(mut self) -> Flag {
        self.supported = false;
        self
    }

    /// The name under which the rest of the crate knows the flag.
    pub fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or("")
    }

    /// The flag of a name without dashes; letters are case-sensitive.
    pub fn find(name: &str) -> Option<&'static Flag> {
        FLAGS.iter().find(|flag| flag.names.contains(&name))
    }
}

use FlagKind::{Bool, Int, Text};
use Group::{Authorization, Cluster, Common, JetStream, Logging, Profiling, Server, Tls};

/// Every flag, in the order of the usage text.
pub const FLAGS: &[Flag] = &[
    flag(&["a", "addr", "net"], Text, "<host>", Server, "host", "Address to bind (default: 0.0.0.0)"),
    flag(&["p", "port"], Int, "<port>", Server, "port", "Port for clients, -1 for any (default: 4222)"),
    flag(&["n", "name", "server_name"], Text, "<name>", Server, "server_name", "Server name (default: auto)"),
    flag(&["P", "pid"], Text, "<file>", Server, "pid_file", "File that is given the process id"),
    flag(&["m", "http_port"], Int, "<port>", Server, "http_port", "Port for monitoring over http"),
    flag(&["ms", "https_port"], Int, "<port>", Server, "https_port", "Port for monitoring over https"),
    flag(&["c", "config"], Text, "<file>", Server, "", "Configuration file"),
    flag(&["t"], Bool, "", Server, "", "Check the configuration file and exit"),
    flag(
        &["sl", "signal"],
        Text,
        "<signal>[=<pid>]",
        Server,
        "",
        "Signal a running server (ldm, stop, quit, term, reopen, reload); pid is a number or a pid file",
    ),
    flag(
        &["client_advertise"],
        Text,
        "<host:port>",
        Server,
        "client_advertise",
        "Address that clients are told",
    ),
    flag(
        &["ports_file_dir"],
        Text,
        "<dir>",
        Server,
        "ports_file_dir",
        "Directory for the file with all ports (<executable>_<pid>.ports)",
    ),
    flag(&["l", "log"], Text, "<file>", Logging, "log_file", "File for the log"),
    flag(&["T", "logtime"], Bool, "", Logging, "logtime", "Start log lines with the time (default: true)"),
    flag(&["logtime_utc"], Bool, "", Logging, "logtime_utc", "That time is UTC (default: false)"),
    flag(&["s", "syslog"], Bool, "", Logging, "syslog", "Log to syslog"),
    flag(
        &["r", "remote_syslog"],
        Text,
        "<address>",
        Logging,
        "remote_syslog",
        "Log to this syslog (udp://localhost:514)",
    ),
    flag(&["D", "debug"], Bool, "", Logging, "debug", "Debug output"),
    flag(&["V", "trace"], Bool, "", Logging, "trace", "Trace the protocol"),
    flag(&["VV"], Bool, "", Logging, "", "Trace the protocol and the system account"),
    flag(&["DV"], Bool, "", Logging, "", "Debug output and trace"),
    flag(&["DVV"], Bool, "", Logging, "", "Debug output and trace, the system account included"),
    flag(
        &["log_size_limit"],
        Int,
        "<bytes>",
        Logging,
        "log_size_limit",
        "Rotate the log file at this size (default: never)",
    ),
    flag(
        &["max_traced_msg_len"],
        Int,
        "<bytes>",
        Logging,
        "max_traced_msg_len",
        "Bytes of a message shown in the trace (default: unlimited)",
    ),
    flag(&["js", "jetstream"], Bool, "", JetStream, "jetstream", "Enable JetStream"),
    flag(&["sd", "store_dir"], Text, "<dir>", JetStream, "store_dir", "Directory of stored streams"),
    flag(&["user"], Text, "<user>", Authorization, "", "User that clients must name"),
    flag(&["pass"], Text, "<password>", Authorization, "", "Password that clients must give"),
    flag(&["auth"], Text, "<token>", Authorization, "", "Token that clients must give"),
    flag(&["tls"], Bool, "", Tls, "", "Enable TLS, do not verify clients (default: false)"),
    flag(&["tlscert"], Text, "<file>", Tls, "", "Certificate of the server"),
    flag(&["tlskey"], Text, "<file>", Tls, "", "Private key of that certificate"),
    flag(&["tlsverify"], Bool, "", Tls, "", "Enable TLS and verify client certificates"),
    flag(&["tlscacert"], Text, "<file>", Tls, "", "Certificate authority for client certificates"),
    flag(&["routes"], Text, "<url, url>", Cluster, "", "Routes to connect to").not_yet(),
    flag(&["cluster"], Text, "<url>", Cluster, "", "Listen for routes on this address").not_yet(),
    flag(&["cluster_name"], Text, "<name>", Cluster, "", "Cluster name (default: generated)").not_yet(),
    flag(&["no_advertise"], Bool, "", Cluster, "", "Do not tell clients about the cluster").not_yet(),
    flag(&["cluster_advertise"], Text, "<host:port>", Cluster, "", "Address that other servers are told")
        .not_yet(),
    flag(&["connect_retries"], Int, "<number>", Cluster, "", "Retries of routes learned from others")
        .not_yet(),
    flag(&["cluster_listen"], Text, "<url>", Cluster, "", "Same as cluster").not_yet(),
    flag(&["profile"], Int, "<port>", Profiling, "prof_port", "Port for profiling over http").not_yet(),
    flag(&["h", "help"], Bool, "", Common, "", "Show this message"),
    flag(&["v", "version"], Bool, "", Common, "", "Show the version"),
    flag(&["help_tls"], Bool, "", Common, "", "Show help for TLS"),
];
