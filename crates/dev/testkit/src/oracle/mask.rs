//! What must differ between two runs is masked: ids, ports, clocks, paths.

use std::path::Path;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::Value;

/// JSON fields that never agree between two runs.
const VOLATILE: [&str; 42] = [
    "server_id",
    "git_commit",
    "go",
    "client_id",
    "nonce",
    "xkey",
    "now",
    "start",
    "uptime",
    "rtt",
    "idle",
    "last_activity",
    "stop",
    "cpu",
    "mem",
    "cores",
    "gomaxprocs",
    "gomemlimit",
    "config_load_time",
    "port",
    "http_port",
    "https_port",
    "cid",
    "id",
    "time",
    "tls_cert_not_after",
    "expires",
    "cache_hit_rate",
    "num_cache",
    "num_matches",
    "avg_fanout",
    "max_fanout",
    "seq",
    "pending_bytes",
    "wait_time",
    "max_wait_time",
    "waits",
    "waiters",
    "memstats",
    "spki_sha256",
    "cert_sha256",
    "tls_cipher_suite",
];

/// The same for scripts about JetStream, where sequences and sizes are what matters.
const VOLATILE_JETSTREAM: [&str; 24] = [
    "server_id",
    "git_commit",
    "go",
    "client_id",
    "nonce",
    "xkey",
    "start",
    "stop",
    "end",
    "rtt",
    "ver",
    "lang",
    "port",
    "cid",
    "id",
    "time",
    "timestamp",
    "ts",
    "created",
    "active",
    "ack_time",
    "pause_remaining",
    "_nats.ver",
    "pinned_client_id",
];

/// Masks texts and documents of one run.
#[derive(Debug, Clone)]
pub struct Mask {
    /// Literal texts, such as folders, with what stands for them.
    literals: Vec<(String, String)>,
    fields: Vec<String>,
    volatile: &'static [&'static str],
    patterns: &'static [(Regex, &'static str)],
    /// Whether configuration digests depend on folders.
    hides_digest: bool,
}

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        (r"\bN[A-Z2-7]{55}\b", "<server>"),
        (r"\bX[A-Z2-7]{55}\b", "<xkey>"),
        (r"(?m)^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} ", "[<pid>] <clock> "),
        (r"(?m)^\[\d+\] \[", "[<pid>] ["),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
        (r"\.\d{4}\.\d\d\.\d\d\.\d\d\.\d\d\.\d\d\.\d{9}", ".<stamp>"),
        (r"\b127\.0\.0\.1:[1-9]\d*", "127.0.0.1:<port>"),
        (r"\bcid:\d+", "cid:<cid>"),
        (r"Git:      \[[^\]]*\]", "Git:      [<git>]"),
        (r"Go build: \S+", "Go build: <go>"),
        (r"with \d+ chunks of \d+ total bytes", "with <n> chunks of <n> total bytes"),
        (r"\b0x[0-9a-f]{6,}", "<address>"),
        (r"for a total of \S+", "for a total of <duration>"),
    ];
    patterns
        .into_iter()
        .map(|(pattern, with)| (Regex::new(pattern).expect("a valid pattern"), with))
        .collect()
});

static PATTERNS_JETSTREAM: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        (r"\bN[A-Z2-7]{55}\b", "<server>"),
        (r"\bX[A-Z2-7]{55}\b", "<xkey>"),
        (r"(?m)^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} ", "[<pid>] <clock> "),
        // Times far away are written in the script itself.
        (r"\b202\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
        (r"\b1[6-9]\d{17}\b", "<ns>"),
        (r"\b[0-9A-Za-z]{22}\b", "<nuid>"),
        (r"\b(JS_(MIRROR|SRC)_[0-9A-Za-z]{8})-[0-9A-Za-z]{8}\b", "$1-<id>"),
        (r"\$JS\.([MS])\.[0-9A-Za-z]{8}\b", "$$JS.$1.<id>"),
        (r"\$JSC\.R\.[0-9A-Za-z]{8}\b", "$$JSC.R.<id>"),
        (r"(\$JS\.FC\.\S+)\.[0-9A-Za-z]{4}\b", "$1.<id>"),
        (r"(Nats-Stream-Source: \S+ \d+ \S+ \S+ \S+) [0-9A-Za-z]{8}\b", "$1 <identity>"),
        (r"(identity does not match:) [0-9A-Za-z]{8}\b", "$1 <identity>"),
        (r"Nats-Stream-Identity: [0-9A-Za-z]{8}\b", "Nats-Stream-Identity: <identity>"),
        (r"\b127\.0\.0\.1:[1-9]\d*", "127.0.0.1:<port>"),
        (r"\bcid:\d+", "cid:<cid>"),
    ];
    patterns
        .into_iter()
        .map(|(pattern, with)| (Regex::new(pattern).expect("a valid pattern"), with))
        .collect()
});

static DIGEST: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("sha256:[0-9a-f]{64}").expect("a valid pattern"));

impl Mask {
    /// A mask for a run in `dir` with certificates in `certificates`.
    pub fn new(dir: &Path, certificates: &Path, fields: &[String], hides_digest: bool) -> Self {
        let literals = vec![
            (dir.display().to_string(), "<dir>".to_owned()),
            (certificates.display().to_string(), "<certs>".to_owned()),
        ];
        Self { literals, fields: fields.to_vec(), volatile: &VOLATILE, patterns: &PATTERNS, hides_digest }
    }

    /// The same mask for a conversation about JetStream.
    pub fn of_jetstream(mut self) -> Self {
        self.volatile = &VOLATILE_JETSTREAM;
        self.patterns = &PATTERNS_JETSTREAM;
        self
    }

    /// Lets a text, such as a name that the server made up, be shown by another.
    pub fn literal(&mut self, text: &str, name: &str) {
        self.literals.push((text.to_owned(), name.to_owned()));
    }

    /// Lets a number, such as a pid or port, be shown by a name.
    pub fn number(&mut self, number: u32, name: &'static str) {
        self.literals.push((number.to_string(), name.to_owned()));
    }

    /// Masks text.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (literal, with) in
            self.literals.iter().filter(|(literal, _)| !literal.bytes().all(|byte| byte.is_ascii_digit()))
        {
            text = text.replace(literal, with);
        }
        for (pattern, with) in self.patterns {
            text = pattern.replace_all(&text, *with).into_owned();
        }
        if self.hides_digest {
            text = DIGEST.replace_all(&text, "sha256:<digest>").into_owned();
        }
        for (number, with) in
            self.literals.iter().filter(|(literal, _)| literal.bytes().all(|byte| byte.is_ascii_digit()))
        {
            text = replace_number(&text, number, with);
        }
        text
    }

    /// Masks a document in place.
    pub fn json(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                // midge may say more about itself under names of its own, and not every build knows its commit.
                fields.retain(|name, _| !name.starts_with("midge") && name != "git_commit");
                for (name, value) in fields.iter_mut() {
                    let volatile = self.volatile.contains(&name.as_str()) || self.fields.contains(name);
                    let zero_time = value.as_str() == Some("0001-01-01T00:00:00Z");
                    if volatile && !value.is_object() && !value.is_array() && !zero_time {
                        *value = Value::String(format!("<{name}>"));
                    } else {
                        self.json(value);
                    }
                }
            }
            Value::Array(items) => {
                items.iter_mut().for_each(|item| self.json(item));
                // Figures of sources come out of one, too.
                if items.iter().all(|item| item.get("lag").is_some()) {
                    items.sort_by_key(Value::to_string);
                }
                // Lists of names, and of subscriptions, come out of hash maps in Go: they are sets.
                if items.iter().all(|item| item.is_string() || item.get("sid").is_some()) {
                    items.sort_by_key(Value::to_string);
                }
            }
            Value::String(text) => *text = self.text(text),
            _ => {}
        }
    }

    /// Whether a field is masked.
    pub fn covers(&self, name: &str) -> bool {
        self.volatile.contains(&name) || self.fields.iter().any(|field| field == name)
    }
}

/// Replaces a number where it is not part of a longer one.
fn replace_number(text: &str, number: &str, with: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(number) {
        let after = &rest[at + number.len()..];
        let joined = rest[..at].ends_with(|c: char| c.is_ascii_alphanumeric())
            || after.starts_with(|c: char| c.is_ascii_alphanumeric());
        result.push_str(&rest[..at]);
        result.push_str(if joined { number } else { with });
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> Mask {
        Mask::new(Path::new("/tmp/run"), Path::new("/tmp/certs"), &["extra".to_owned()], false)
    }

    #[test]
    fn log_prefixes_ports_and_paths_are_masked() {
        let line = "[12] 2026/01/02 03:04:05.123456 [DBG] 127.0.0.1:40000 - cid:5 - opened /tmp/run/x";
        assert_eq!(mask().text(line), "[<pid>] <clock> [DBG] 127.0.0.1:<port> - cid:<cid> - opened <dir>/x");
    }

    #[test]
    fn numbers_are_masked_as_whole_words() {
        let mut mask = mask();
        mask.number(42, "<pid>");
        assert_eq!(mask.text("42 142 x42 (42)"), "<pid> 142 x42 (<pid>)");
    }

    #[test]
    fn volatile_fields_keep_their_presence() {
        let mut value = serde_json::json!({"server_id": "x", "extra": 1, "kept": 2, "midge_version": "0"});
        mask().json(&mut value);
        assert_eq!(value, serde_json::json!({"server_id": "<server_id>", "extra": "<extra>", "kept": 2}));
    }
}
