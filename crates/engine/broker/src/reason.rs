//! Why a connection ended.

/// The reasons of the reference server that this server can have, under their numbers there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the text of each says what it means")]
pub enum Reason {
    ClientClosed = 1,
    AuthenticationTimeout = 2,
    AuthenticationFailure = 3,
    TlsHandshakeFailure = 4,
    SlowConsumerPendingBytes = 5,
    SlowConsumerWriteDeadline = 6,
    WriteError = 7,
    ReadError = 8,
    ParseError = 9,
    StaleConnection = 10,
    ProtocolViolation = 11,
    BadClientProtocolVersion = 12,
    MaxAccountConnectionsExceeded = 14,
    MaxConnectionsExceeded = 15,
    MaxPayloadExceeded = 16,
    MaxControlLineExceeded = 17,
    MaxSubscriptionsExceeded = 18,
    ServerShutdown = 21,
    AuthenticationExpired = 22,
    MissingAccount = 24,
    InternalClient = 26,
    NoRespondersRequiresHeaders = 28,
    Kicked = 35,
}

impl Reason {
    /// The text that monitoring and logs show.
    pub fn text(self) -> &'static str {
        match self {
            Reason::ClientClosed => "Client Closed",
            Reason::AuthenticationTimeout => "Authentication Timeout",
            Reason::AuthenticationFailure => "Authentication Failure",
            Reason::TlsHandshakeFailure => "TLS Handshake Failure",
            Reason::SlowConsumerPendingBytes => "Slow Consumer (Pending Bytes)",
            Reason::SlowConsumerWriteDeadline => "Slow Consumer (Write Deadline)",
            Reason::WriteError => "Write Error",
            Reason::ReadError => "Read Error",
            Reason::ParseError => "Parse Error",
            Reason::StaleConnection => "Stale Connection",
            Reason::ProtocolViolation => "Protocol Violation",
            Reason::BadClientProtocolVersion => "Bad Client Protocol Version",
            Reason::MaxAccountConnectionsExceeded => "Maximum Account Connections Exceeded",
            Reason::MaxConnectionsExceeded => "Maximum Connections Exceeded",
            Reason::MaxPayloadExceeded => "Maximum Message Payload Exceeded",
            Reason::MaxControlLineExceeded => "Maximum Control Line Exceeded",
            Reason::MaxSubscriptionsExceeded => "Maximum Subscriptions Exceeded",
            Reason::ServerShutdown => "Server Shutdown",
            Reason::AuthenticationExpired => "Authentication Expired",
            Reason::MissingAccount => "Missing Account",
            Reason::InternalClient => "Internal Client",
            Reason::NoRespondersRequiresHeaders => "No Responders Requires Headers",
            Reason::Kicked => "Kicked",
        }
    }

    /// Whether what is queued is still sent before the socket closes.
    pub fn flushes(self) -> bool {
        !matches!(
            self,
            Reason::ReadError
                | Reason::WriteError
                | Reason::SlowConsumerPendingBytes
                | Reason::SlowConsumerWriteDeadline
                | Reason::TlsHandshakeFailure
        )
    }
}
