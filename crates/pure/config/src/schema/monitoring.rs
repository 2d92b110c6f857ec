//! The monitoring listener.

use super::listen::Port;

/// HTTP or HTTPS monitoring; at most one of the two ports is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// Address to bind; empty takes the host of the client listener.
    pub host: String,
    /// Plain HTTP; `None` when off.
    pub http: Option<Port>,
    /// HTTPS, with the certificates of the client listener; `None` when off.
    pub https: Option<Port>,
    /// Path under which the pages stand, clean and with a leading `/`.
    pub base_path: String,
    /// The same as the file states it; monitoring shows this one.
    pub stated_base_path: String,
}

impl Default for Monitoring {
    fn default() -> Self {
        Monitoring {
            host: String::new(),
            http: None,
            https: None,
            base_path: String::from("/"),
            stated_base_path: String::new(),
        }
    }
}
