//! What a client does, as data.

use std::time::Duration;

use midge_broker::reason::Reason;

/// One step of a script.
#[derive(Clone, Debug)]
pub enum Act {
    /// Send these in one go.
    Send(Vec<Op>),
    /// Answer one of the requests received and not answered yet, if there is one.
    Respond {
        /// Which one.
        which: usize,
        /// How often.
        answers: usize,
    },
    /// Stop reading for a while.
    StopReading(Duration),
    /// Do nothing for a while.
    Idle(Duration),
    /// Go away: abruptly or in order, perhaps after a part of an operation.
    Leave {
        /// Abruptly.
        reset: bool,
        /// An operation of which the first part is sent before.
        half: Option<Op>,
    },
}

/// One operation of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// CONNECT.
    Connect(Connect),
    /// SUB.
    Sub {
        /// What is subscribed to.
        subject: String,
        /// The queue group.
        queue: Option<String>,
        /// Its name.
        sid: String,
    },
    /// UNSUB.
    Unsub {
        /// The subscription.
        sid: String,
        /// The second argument.
        max: Option<String>,
    },
    /// PUB or HPUB.
    Publish(Publish),
    /// PING with so many bytes of junk behind it.
    Ping(usize),
    /// PONG.
    Pong,
    /// `+OK`, or INFO with valid JSON: without effect.
    Nothing(&'static str),
    /// Something that ends the connection.
    Bad(Fault),
}

/// The fields of a CONNECT; `None` is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connect {
    /// `verbose`
    pub verbose: Option<bool>,
    /// `pedantic`
    pub pedantic: Option<bool>,
    /// `echo`
    pub echo: Option<bool>,
    /// `headers`
    pub headers: Option<bool>,
    /// `no_responders`
    pub no_responders: Option<bool>,
    /// `protocol`
    pub protocol: Option<i64>,
    /// `user` and `pass`
    pub login: Option<(String, String)>,
    /// `account`, which is obsolete and refused.
    pub account: Option<String>,
}

/// A message to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// Where to.
    pub subject: String,
    /// Where answers go, empty for none.
    pub reply: String,
    /// The header block; `None` for PUB.
    pub header: Option<Vec<u8>>,
    /// The payload.
    pub payload: Vec<u8>,
    /// Zeros before the sizes.
    pub zeros: usize,
}

/// What is wrong on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many of them must be there before the server has to notice.
    pub notice: usize,
    /// The text of `-ERR`, if there is one.
    pub answer: Option<&'static str>,
    /// The reason of the close.
    pub reason: Reason,
}
