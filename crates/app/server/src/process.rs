//! A process that is nothing but a server: limits of the process, signals, exit codes.
