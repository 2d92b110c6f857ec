//! Which kinds of connection a user may use.

/// A kind of connection that users are admitted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionKind {
    /// A client over TCP, with or without TLS.
    Standard,
    /// A client over WebSocket.
    Websocket,
    /// A leaf node.
    Leafnode,
    /// A leaf node over WebSocket.
    LeafnodeWs,
    /// An MQTT client.
    Mqtt,
    /// An MQTT client over WebSocket.
    MqttWs,
    /// A client inside the server's own process.
    InProcess,
}

const NAMES: [(&str, ConnectionKind); 7] = [
    ("STANDARD", ConnectionKind::Standard),
    ("WEBSOCKET", ConnectionKind::Websocket),
    ("LEAFNODE", ConnectionKind::Leafnode),
    ("LEAFNODE_WS", ConnectionKind::LeafnodeWs),
    ("MQTT", ConnectionKind::Mqtt),
    ("MQTT_WS", ConnectionKind::MqttWs),
    ("IN_PROCESS", ConnectionKind::InProcess),
];

impl ConnectionKind {
    /// The name that configurations use.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |&(name, _)| name)
    }

    /// The kind of that name, in any case.
    pub fn parse(name: &str) -> Option<ConnectionKind> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, kind)| kind)
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// A set of kinds; the empty list of a configuration admits all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionKinds(u8);

impl ConnectionKinds {
    /// Every kind.
    pub const ALL: ConnectionKinds = ConnectionKinds(u8::MAX);

    /// The set of a list of names. Unknown names admit nothing.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> ConnectionKinds {
        if names.is_empty() {
            return ConnectionKinds::ALL;
        }
        let kinds = names.iter().filter_map(|name| ConnectionKind::parse(name.as_ref()));
        ConnectionKinds(kinds.fold(0, |set, kind| set | kind.bit()))
    }

    /// Whether the kind is admitted.
    pub fn admits(self, kind: ConnectionKind) -> bool {
        self.0 & kind.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_admit_what_they_name_and_no_list_admits_all() {
        let kinds: Vec<_> = NAMES.iter().map(|&(_, kind)| kind).collect();
        let all = ConnectionKinds::from_names::<&str>(&[]);
        assert!(kinds.iter().all(|&kind| all.admits(kind)));
        let some = ConnectionKinds::from_names(&["STANDARD", "mqtt_ws"]);
        let admitted: Vec<_> = kinds.iter().copied().filter(|&kind| some.admits(kind)).collect();
        assert_eq!(admitted, [ConnectionKind::Standard, ConnectionKind::MqttWs]);
        let unknown = ConnectionKinds::from_names(&["TELEGRAPH"]);
        assert!(!kinds.iter().any(|&kind| unknown.admits(kind)));
        assert_eq!(ConnectionKind::InProcess.name(), "IN_PROCESS");
    }
}
