//! The server log: line format, files, rotation, syslog.
