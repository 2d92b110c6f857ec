//! The INFO document.

use serde::Serialize;

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What a server tells a client about itself; fields of other connection kinds come with those kinds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Info {
    /// The server's public key (`N…`).
    pub server_id: String,
    /// Configured name, else the id.
    pub server_name: String,
    /// The version that clients gate features on.
    pub version: String,
    /// Protocol level.
    pub proto: i32,
    /// Seven hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub git_commit: String,
    /// What the server was built with; clients only show it.
    pub go: String,
    /// Where clients reach it.
    pub host: String,
    /// Where clients reach it.
    pub port: u16,
    /// Whether HPUB and HMSG may be used.
    pub headers: bool,
    /// Whether CONNECT has to carry credentials.
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    /// Whether TLS must follow.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    /// Whether a client certificate is asked for.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    /// Whether TLS may follow.
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    /// Bytes of header and payload, −1 for no limit.
    pub max_payload: i64,
    /// Whether there are stored streams.
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    /// The connection's id.
    #[serde(skip_serializing_if = "is_zero")]
    pub client_id: u64,
    /// The connection's address as the server sees it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_ip: String,
    /// What an nkey user signs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// The domain of stored streams.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Other servers' addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connect_urls: Vec<String>,
    /// Whether the server is about to close its connections.
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// Whether this INFO answers the first PING after CONNECT.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    /// The account the connection is bound to; only with `connect_info`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remote_account: String,
    /// Whether that is the system account; only with `connect_info`.
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    /// JetStream API level.
    #[serde(skip_serializing_if = "is_zero")]
    pub api_lvl: u64,
    /// The server's public curve key (`X…`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
    /// This implementation's own version; the reference server has no such field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub midge: String,
}

impl Info {
    /// The document as the reference server writes it: compact, with `<`, `>` and `&` escaped.
    pub fn to_json(&self) -> String {
        // Serialising strings and numbers to memory cannot fail.
        let plain = serde_json::to_string(self).unwrap_or_default();
        let mut out = String::with_capacity(plain.len());
        for c in plain.chars() {
            match c {
                '<' => out.push_str("\\u003c"),
                '>' => out.push_str("\\u003e"),
                '&' => out.push_str("\\u0026"),
                c => out.push(c),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_values_are_left_out_and_markup_is_escaped() {
        let info = Info { server_name: "<a&b>".into(), max_payload: -1, headers: true, ..Info::default() };
        assert_eq!(
            info.to_json(),
            "{\"server_id\":\"\",\"server_name\":\"\\u003ca\\u0026b\\u003e\",\"version\":\"\",\"proto\":0,\"go\":\"\",\
             \"host\":\"\",\"port\":0,\"headers\":true,\"max_payload\":-1}"
        );
    }
}
