//! What is logged, and where to.

/// Log options. The destination is the first that is set: file, remote syslog, syslog, standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Log `[DBG]` lines.
    pub debug: bool,
    /// Log the protocol.
    pub trace: bool,
    /// Trace the system account as well.
    pub trace_verbose: bool,
    /// Of message payloads trace the header block alone.
    pub trace_headers: bool,
    /// Payload bytes in a trace line; 0 for all.
    pub max_traced_msg_len: i64,
    /// Start lines with the time.
    pub logtime: bool,
    /// The time is UTC, not local.
    pub logtime_utc: bool,
    /// Path of the log file; empty for none.
    pub log_file: String,
    /// Bytes after which the file is rotated; 0 for never.
    pub log_size_limit: i64,
    /// Files kept, the current one included; 0 for all.
    pub log_max_num: i64,
    /// Log to the local syslog.
    pub syslog: bool,
    /// Syslog address (`udp://host:port`, `tcp://…`, `unix://…`); empty for none.
    pub remote_syslog: String,
}

impl Default for Logging {
    fn default() -> Self {
        Logging {
            debug: false,
            trace: false,
            trace_verbose: false,
            trace_headers: false,
            max_traced_msg_len: 0,
            logtime: true,
            logtime_utc: false,
            log_file: String::new(),
            log_size_limit: 0,
            log_max_num: 0,
            syslog: false,
            remote_syslog: String::new(),
        }
    }
}
