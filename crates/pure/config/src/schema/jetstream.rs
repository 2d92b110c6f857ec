//! Stored streams: the `jetstream` option of a server, and that of an account.

use std::time::Duration;

use midge_stdx::goquote;

use super::decode::{Decoded, Decoder, Stop, shown};
use super::duration;
use crate::lang::{Map, Node, Value};
use crate::quote::quoted;
use crate::table::{Block, find};

/// With what files are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    /// XChaCha20-Poly1305.
    #[default]
    ChaCha,
    /// AES-GCM.
    Aes,
}

/// The block `batch` of `limits`; `None` for the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchLimits {
    /// Open batches of a stream, atomic and fast ones each.
    pub max_inflight_per_stream: Option<i64>,
    /// Open batches of the server.
    pub max_inflight_total: Option<i64>,
    /// Messages of an atomic batch.
    pub max_msgs: Option<i64>,
    /// How long a batch may be idle.
    pub timeout: Option<Duration>,
}

/// The block `limits`; 0 for what is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JetStreamLimits {
    /// Pending acknowledgements of a consumer.
    pub max_ack_pending: i64,
    /// Replicated assets of a server.
    pub max_ha_assets: i64,
    /// Messages of one pull request.
    pub max_request_batch: i64,
    /// The longest window of duplicates.
    pub duplicate_window: Duration,
    /// Consumers of a stream that sets no limit of its own; negative for any number.
    pub default_max_consumers: i64,
    /// Batches.
    pub batch: BatchLimits,
}

/// The `jetstream` option of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct JetStream {
    /// Whether there are stored streams.
    pub enabled: bool,
    /// Bytes of memory streams; `None` for a share of what the machine has.
    pub max_memory: Option<i64>,
    /// Bytes of file streams; `None` for a share of the free space.
    pub max_file: Option<i64>,
    /// Whether requests with unknown fields are refused.
    pub strict: bool,
    /// How long what was written may stay unsynced; `None` when not stated.
    pub sync_interval: Option<Duration>,
    /// Every write is synced.
    pub sync_always: bool,
    /// The domain; empty for none.
    pub domain: String,
    /// The key of files at rest; empty for none.
    pub key: String,
    /// The key before.
    pub previous_key: String,
    /// The cipher of new files.
    pub cipher: Cipher,
    /// What leaf nodes do about domains.
    pub extension_hint: String,
    /// Placement: servers that share a tag with this prefix hold one replica only.
    pub unique_tag: String,
    /// Bytes of the messages that wait for a stream; `None` for the default.
    pub max_buffered_size: Option<i64>,
    /// The messages that wait for a stream; `None` for the default.
    pub max_buffered_msgs: Option<i64>,
    /// Requests of the API that wait.
    pub request_queue_limit: Option<i64>,
    /// Requests for information that wait.
    pub info_queue_limit: Option<i64>,
    /// Limits of assets.
    pub limits: JetStreamLimits,
}

impl Default for JetStream {
    fn default() -> Self {
        JetStream {
            enabled: false,
            max_memory: None,
            max_file: None,
            strict: true,
            sync_interval: None,
            sync_always: false,
            domain: String::new(),
            key: String::new(),
            previous_key: String::new(),
            cipher: Cipher::ChaCha,
            extension_hint: String::new(),
            unique_tag: String::new(),
            max_buffered_size: None,
            max_buffered_msgs: None,
            request_queue_limit: None,
            info_queue_limit: None,
            limits: JetStreamLimits::default(),
        }
    }
}

/// The `jetstream` option of an account; −1 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountJetStream {
    /// Bytes of memory streams.
    pub max_memory: i64,
    /// Bytes of file streams.
    pub max_store: i64,
    /// Streams.
    pub max_streams: i64,
    /// Consumers of one stream.
    pub max_consumers: i64,
    /// Whether streams have to state `max_bytes`.
    pub max_bytes_required: bool,
    /// `max_bytes` of a memory stream.
    pub memory_max_stream_bytes: i64,
    /// `max_bytes` of a file stream.
    pub disk_max_stream_bytes: i64,
    /// Pending acknowledgements of a consumer.
    pub max_ack_pending: i64,
}

impl Default for AccountJetStream {
    fn default() -> Self {
        AccountJetStream {
            max_memory: -1,
            max_store: -1,
            max_streams: -1,
            max_consumers: -1,
            max_bytes_required: false,
            memory_max_stream_bytes: -1,
            disk_max_stream_bytes: -1,
            max_ack_pending: -1,
        }
    }
}

impl Decoder<'_> {
    /// The `jetstream` option. `store_dir` of the block counts like that of the top level.
    pub(super) fn jetstream(
        &mut self,
        jetstream: &mut JetStream,
        store_dir: &mut String,
        node: &Node,
    ) -> Decoded<()> {
        match &node.value {
            Value::Bool(on) => jetstream.enabled = *on,
            Value::String(text) => {
                jetstream.enabled = switch(&text.to_text()).map_err(|why| self.error(&node.at, why))?;
            }
            Value::Map(map) => {
                jetstream.enabled = true;
                self.with_types_at(&node.at, |decoder| decoder.jetstream_block(jetstream, store_dir, map))?;
            }
            value => {
                let got = value.type_name();
                let why = format!("Expected map, bool or string to define JetStream, got {got}");
                return Err(self.error(&node.at, why));
            }
        }
        Ok(())
    }

    fn jetstream_block(&mut self, to: &mut JetStream, store_dir: &mut String, map: &Map) -> Decoded<()> {
        for (key, entry) in map.iter() {
            let name = key.to_text();
            let Some(row) = self.row(Block::JetStream, key, entry) else { continue };
            match row.key {
                "enabled" => to.enabled = self.bool(entry)?,
                "store_dir" => self.store_dir(store_dir, entry)?,
                "max_memory_store" => to.max_memory = Some(self.store_size("max_mem_store", entry)?),
                "max_file_store" => to.max_file = Some(self.store_size("max_file_store", entry)?),
                "strict" => match entry.value {
                    Value::Bool(strict) => to.strict = strict,
                    _ => {
                        let got = shown(&entry.value);
                        let why = format!("Expected 'true' or 'false' for bool value, got '{got}'");
                        return Err(self.error(&entry.at, why));
                    }
                },
                "sync_interval" => match &entry.value {
                    Value::String(text) if text.to_text().to_lowercase() == "always" => {
                        to.sync_always = true;
                        to.sync_interval = Some(DEFAULT_SYNC_INTERVAL);
                    }
                    _ => {
                        to.sync_interval = Some(self.duration(&name, entry)?);
                        to.sync_always = false;
                    }
                },
                "domain" => to.domain = self.text(entry)?,
                "key" => to.key = self.text(entry)?,
                "prev_key" => to.previous_key = self.text(entry)?,
                "cipher" => {
                    let cipher = self.text(entry)?;
                    to.cipher = match cipher.to_lowercase().as_str() {
                        "chacha" | "chachapoly" => Cipher::ChaCha,
                        "aes" => Cipher::Aes,
                        _ => {
                            let why = format!("Unknown cipher type: {}", quoted(&cipher));
                            return Err(self.error(&entry.at, why));
                        }
                    };
                }
                "extension_hint" => to.extension_hint = self.text(entry)?,
                "unique_tag" => to.unique_tag = self.text(entry)?.trim().to_lowercase(),
                // These bound what replication does: without a cluster they have nothing to bound, here as in the reference server.
                "max_outstanding_catchup" => {
                    self.store_size(row.key, entry)?;
                }
                "meta_compact_size" => {
                    if self.store_size(row.key, entry)? < 0 {
                        return Err(self.no_absolute_size(&name, entry, ""));
                    }
                }
                "meta_compact" => match entry.value {
                    Value::Integer(0..) => {}
                    _ => return Err(self.no_absolute_size(&name, entry, "")),
                },
                "meta_compact_sync" => {
                    self.bool(entry)?;
                }
                "max_concurrent_io" => match entry.value {
                    Value::Integer(4..=8192) => {}
                    _ => return Err(self.no_absolute_size(&name, entry, " between 4 and 8192")),
                },
                "max_buffered_size" => to.max_buffered_size = Some(self.store_size(row.key, entry)?),
                "max_buffered_msgs" => to.max_buffered_msgs = Some(self.size(&name, entry)?),
                "request_queue_limit" => to.request_queue_limit = Some(self.size(&name, entry)?),
                "info_queue_limit" => to.info_queue_limit = Some(self.size(&name, entry)?),
                "limits" => self.jetstream_limits(&mut to.limits, entry)?,
                _ => self.not_supported(key, entry, row),
            }
        }
        Ok(())
    }

    /// A number of bytes, or a text such as `1.5GB`.
    fn store_size(&mut self, what: &str, node: &Node) -> Decoded<i64> {
        match &node.value {
            Value::Integer(bytes) => Ok(*bytes),
            Value::String(text) => {
                storage_size(&text.to_text()).map_err(|why| self.error(&node.at, format!("{what} {why}")))
            }
            _ => Err(self.error(&node.at, format!("{what} must be int64 or string"))),
        }
    }

    /// A number; none and less than none stand for the default.
    fn size(&mut self, name: &str, node: &Node) -> Decoded<i64> {
        match node.value {
            Value::Integer(count) => Ok(count),
            _ => Err(self.not_parseable("size", name, node)),
        }
    }

    fn not_parseable(&mut self, what: &str, name: &str, node: &Node) -> Stop {
        let (name, got) = (quoted(name), shown(&node.value));
        self.error(&node.at, format!("Expected a parseable {what} for {name}, got {got}"))
    }

    fn no_absolute_size(&mut self, name: &str, node: &Node, range: &str) -> Stop {
        let (name, got) = (quoted(name), shown(&node.value));
        self.error(&node.at, format!("Expected an absolute size for {name}{range}, got {got}"))
    }

    /// Where files lie: to be said once, on top or in the block.
    pub(super) fn store_dir(&mut self, to: &mut String, node: &Node) -> Decoded<()> {
        let dir = self.text(node)?;
        if !to.is_empty() {
            return Err(self.error(&node.at, "Duplicate 'store_dir' configuration"));
        }
        *to = dir;
        Ok(())
    }

    /// A duration text whose fault is told without a position.
    fn limit_duration(&mut self, field: &str, node: &Node) -> Decoded<Duration> {
        let text = self.text(node)?;
        let nanos = duration::parse(&text).map_err(|why| self.bare_error(&node.at, why))?;
        duration::from_nanos(nanos).ok_or_else(|| self.error(&node.at, format!("{field} cannot be negative")))
    }

    fn jetstream_limits(&mut self, limits: &mut JetStreamLimits, node: &Node) -> Decoded<()> {
        let Value::Map(map) = &node.value else {
            let got = node.value.type_name();
            return Err(self.error(&node.at, format!("Expected a map to define JetStreamLimits, got {got}")));
        };
        for (key, entry) in map.iter() {
            let Some(row) = self.row(Block::JetStreamLimits, key, entry) else { continue };
            match row.key {
                "max_ack_pending" => limits.max_ack_pending = self.int(entry)?,
                "max_ha_assets" => limits.max_ha_assets = self.int(entry)?,
                "max_request_batch" => limits.max_request_batch = self.int(entry)?,
                "default_max_consumers" => limits.default_max_consumers = self.int(entry)?,
                "duplicate_window" => {
                    limits.duplicate_window = self.limit_duration("duplicate_window", entry)?;
                }
                _ => self.batch_limits(&mut limits.batch, entry)?,
            }
        }
        Ok(())
    }

    fn batch_limits(&mut self, batch: &mut BatchLimits, node: &Node) -> Decoded<()> {
        let Value::Map(map) = &node.value else {
            let got = node.value.type_name();
            return Err(self.error(&node.at, format!("Expected a map to define batch limits, got {got}")));
        };
        for (key, entry) in map.iter() {
            let Some(row) = self.row(Block::JetStreamBatch, key, entry) else { continue };
            match row.key {
                "max_inflight_per_stream" => batch.max_inflight_per_stream = Some(self.int(entry)?),
                "max_inflight_total" => batch.max_inflight_total = Some(self.int(entry)?),
                "max_msgs" => batch.max_msgs = Some(self.int(entry)?),
                _ => batch.timeout = Some(self.limit_duration("timeout", entry)?),
            }
        }
        Ok(())
    }

    /// The `jetstream` option of an account; `None` for none.
    pub(super) fn account_jetstream(&mut self, node: &Node) -> Decoded<Option<AccountJetStream>> {
        let map = match &node.value {
            Value::Bool(on) => return Ok(on.then(AccountJetStream::default)),
            Value::String(text) => {
                let on = switch(&text.to_text()).map_err(|why| self.bare_error(&node.at, why))?;
                return Ok(on.then(AccountJetStream::default));
            }
            Value::Map(map) => map,
            value => {
                let got = value.type_name();
                let why = format!("Expected map, bool or string to define JetStream, got {got}");
                return Err(self.bare_error(&node.at, why));
            }
        };
        let mut limits = AccountJetStream::default();
        for (key, entry) in map.iter() {
            let name = key.to_text();
            let Some(row) = find(Block::AccountJetStream, &name) else {
                if !entry.used {
                    let name = quoted(&name);
                    self.error(&entry.at, format!("unknown field {name}"));
                }
                continue;
            };
            match row.key {
                "max_memory" => limits.max_memory = self.size(&name, entry)?,
                "max_store" => limits.max_store = self.size(&name, entry)?,
                "max_streams" => limits.max_streams = self.size(&name, entry)?,
                "max_consumers" => limits.max_consumers = self.size(&name, entry)?,
                "max_bytes_required" => match entry.value {
                    Value::Bool(required) => limits.max_bytes_required = required,
                    _ => return Err(self.not_parseable("bool", &name, entry)),
                },
                "mem_max_stream_bytes" => limits.memory_max_stream_bytes = self.size(&name, entry)?,
                "disk_max_stream_bytes" => limits.disk_max_stream_bytes = self.size(&name, entry)?,
                "max_ack_pending" => limits.max_ack_pending = self.size(&name, entry)?,
                _ => self.replication_account(&name, entry)?,
            }
        }
        Ok(Some(limits))
    }

    /// In which account replication runs: without a cluster it runs in none, here as in the reference server.
    fn replication_account(&mut self, name: &str, node: &Node) -> Decoded<()> {
        let what = match &node.value {
            Value::String(text) => match text.to_text().as_str() {
                "system" | "owner" | "" => return Ok(()),
                _ => "Expected 'system' or 'owner' string value",
            },
            _ => "Expected either 'system' or 'owner' string value",
        };
        let (name, got) = (quoted(name), shown(&node.value));
        Err(self.error(&node.at, format!("{what} for {name}, got {got}")))
    }
}

/// What `always` and an unstated interval amount to in monitoring.
pub const DEFAULT_SYNC_INTERVAL: Duration = Duration::from_secs(120);

/// Whether a word means on.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "enabled" | "enable" => Ok(true),
        "disabled" | "disable" => Ok(false),
        _ => Err(format!("Expected 'enabled' or 'disabled' for string value, got '{text}'")),
    }
}

/// Digits and a unit of K, M, G, T (powers of 1024); nothing at all is 0.
fn storage_size(text: &str) -> Result<i64, String> {
    let Some((at, unit)) = text.char_indices().next_back() else { return Ok(0) };
    let digits = text.get(..at).unwrap_or_default();
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let fault = |why: &str| format!("strconv.ParseInt: parsing {}: {why}", goquote::quote(digits.as_bytes()));
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault("invalid syntax"));
    }
    let number: i64 = digits.parse().map_err(|_| fault("value out of range"))?;
    let shift = match unit {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        'T' => 40,
        _ => return Err("sizes defined as strings must end in K, M, G, T".to_owned()),
    };
    number.checked_mul(1 << shift).ok_or_else(|| format!("storage string {} is too large", quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(storage_size("1G"), Ok(1 << 30));
        assert_eq!(storage_size("-512K"), Ok(-(512 << 10)));
        assert_eq!(storage_size(""), Ok(0));
        for (text, why) in [
            ("12", "sizes defined as strings must end in K, M, G, T"),
            ("1m", "sizes defined as strings must end in K, M, G, T"),
            ("xM", "strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("G", "strconv.ParseInt: parsing \"\": invalid syntax"),
            (
                "99999999999999999999K",
                "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
            ),
            ("9999999999G", "storage string \"9999999999G\" is too large"),
            ("1é", "sizes defined as strings must end in K, M, G, T"),
        ] {
            assert_eq!(storage_size(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn an_unstated_interval_is_none() {
        assert_eq!(JetStream::default().sync_interval, None);
    }
}
