//! Which values of options without a feature say that the feature is off.

use crate::lang::Value;

/// Whether a value switches a feature off, so that nothing is missing.
pub(super) fn is_off(key: &str, value: &Value) -> bool {
    match (key, value) {
        ("ocsp" | "ocsp_cache" | "ocsp_peer" | "proxy_protocol", value) => *value == Value::Bool(false),
        ("prof_port" | "prof_block_rate", value) => *value == Value::Integer(0),
        ("default_sentinel", Value::String(text)) => text.bytes().is_empty(),
        (
            "operator" | "trusted_keys" | "resolver_pinned_accounts" | "exports" | "imports",
            Value::Array(nodes),
        ) => nodes.is_empty(),
        (
            "mappings" | "proxies" | "resolver_preload" | "resolver_tls" | "default_js_domain",
            Value::Map(map),
        ) => map.is_empty(),
        // A listener without a port, and with nothing but the address for one, does not listen.
        ("cluster" | "gateway" | "leafnodes" | "websocket" | "mqtt", Value::Map(map)) => {
            map.iter().all(|(key, node)| match key.to_text().to_lowercase().as_str() {
                "port" => node.value == Value::Integer(0),
                "host" | "net" => matches!(node.value, Value::String(_)),
                _ => false,
            })
        }
        _ => false,
    }
}
