//! Where clients connect.

/// A TCP port as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// This port.
    Fixed(u16),
    /// Any free port (`-1`); the edge reports the one that it bound.
    Random,
}

impl Port {
    /// The port of a number: `-1` is random, `None` for a number that is no port. Zero is a fixed zero.
    pub fn from_number(number: i64) -> Option<Port> {
        match number {
            -1 => Some(Port::Random),
            n => u16::try_from(n).ok().map(Port::Fixed),
        }
    }

    /// The number as a configuration states it: `-1` for random.
    pub fn number(self) -> i32 {
        match self {
            Port::Fixed(port) => i32::from(port),
            Port::Random => -1,
        }
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.number())
    }
}

/// The client listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address or name to bind.
    pub host: String,
    /// Port to bind.
    pub port: Port,
    /// `host[:port]` that INFO tells clients; empty for none.
    pub client_advertise: String,
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            host: String::from("0.0.0.0"),
            port: Port::Fixed(crate::limits::DEFAULT_PORT),
            client_advertise: String::new(),
        }
    }
}
