//! JetStream as part of a node.

use std::sync::Arc;
use std::time::Duration;

use midge_broker::account::GLOBAL;
use midge_config::schema::jetstream::{Cipher, DEFAULT_SYNC_INTERVAL};
use midge_config::schema::{AccountJetStream, JetStream as Options};
use midge_jetstream::settings::{AtRest, ServerLimits, Settings, SyncPolicy};
use midge_jetstream::{JetStream, JsAccount};
use midge_jsapi::account::AccountLimits;
use midge_store::format::keys::Cipher as StoreCipher;

use crate::Node;

/// What the surroundings say about the resources of JetStream.
#[derive(Clone, Debug)]
pub struct Resources {
    /// The store directory, as shown.
    pub store_dir: String,
    /// Bytes of memory that streams may take where the options do not say.
    pub memory: i64,
    /// Bytes of disk that streams may take where the options do not say.
    pub disk: i64,
}

/// Makes JetStream part of the node, if the options say so, and begins to open what the store directory holds. Errors are the operator's.
pub fn start(
    node: &Arc<Node>,
    resources: Resources,
    deltas: Vec<midge_store::journal::Deltas>,
    ports: midge_jetstream::Ports,
) -> Result<(), String> {
    let options = &node.options.jetstream;
    let settings = settings(node, options, resources);
    let system = node.broker.accounts.system().map(|account| account.name.clone());
    let mut accounts = Vec::new();
    if node.options.accounts.is_empty() {
        accounts.push(JsAccount::new(node.broker.accounts.global().clone(), AccountLimits::UNLIMITED));
    }
    for account in &node.options.accounts {
        let Some(limits) = &account.jetstream else { continue };
        if Some(&account.name) == system.as_ref() {
            return Err("jetstream can not be enabled on the system account".to_owned());
        }
        if let Some(found) = node.broker.accounts.find(&account.name) {
            accounts.push(JsAccount::new(found, account_limits(limits)));
        }
    }
    let only_system = node.options.accounts.iter().all(|a| Some(&a.name) == system.as_ref());
    if accounts.is_empty() && only_system {
        accounts.extend(
            node.broker
                .accounts
                .find(GLOBAL)
                .map(|account| JsAccount::new(account, AccountLimits::UNLIMITED)),
        );
    }
    let jetstream = JetStream::new(settings, node.broker.clone(), accounts, ports);
    let mut shown = midge_broker::settings::Settings::clone(&node.broker.settings());
    shown.jetstream = true;
    shown.domain.clone_from(&jetstream.settings.domain);
    node.broker.set_settings(shown);
    midge_jetstream::start(&jetstream, deltas);
    let _ = node.jetstream.set(jetstream);
    Ok(())
}

fn settings(node: &Node, options: &Options, resources: Resources) -> Settings {
    let identity = node.broker.settings().identity.clone();
    let limit = |stated: Option<i64>, otherwise: i64| stated.filter(|n| *n >= 0).unwrap_or(otherwise);
    let count = |stated: Option<i64>, otherwise: usize| {
        stated.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(otherwise)
    };
    let flag = |name: &str| node.feature_flags().into_iter().any(|(flag, on)| flag == name && on);
    let interval = options.sync_interval.unwrap_or(DEFAULT_SYNC_INTERVAL);
    let default = ServerLimits::default();
    let limits = &options.limits;
    let batch = &limits.batch;
    Settings {
        store_dir: resources.store_dir,
        max_memory: limit(options.max_memory, resources.memory),
        max_file: limit(options.max_file, resources.disk),
        strict: options.strict,
        sync: match options.sync_interval {
            Some(interval) if !options.sync_always => SyncPolicy::Interval(interval),
            _ => SyncPolicy::Durable,
        },
        sync_interval: interval,
        sync_always: options.sync_always,
        domain: options.domain.clone(),
        at_rest: (!options.key.is_empty()).then(|| AtRest {
            key: options.key.clone().into_bytes(),
            previous: (!options.previous_key.is_empty()).then(|| options.previous_key.clone().into_bytes()),
            cipher: match options.cipher {
                Cipher::ChaCha => StoreCipher::ChaCha,
                Cipher::Aes => StoreCipher::Aes,
            },
        }),
        max_buffered_msgs: count(options.max_buffered_msgs, midge_jetstream::limits::BUFFERED_MSGS),
        max_buffered_bytes: count(options.max_buffered_size, midge_jetstream::limits::BUFFERED_BYTES),
        api_requests: count(options.request_queue_limit, midge_jetstream::limits::API_REQUESTS),
        unique_tag: options.unique_tag.clone(),
        limits: ServerLimits {
            max_ack_pending: limits.max_ack_pending,
            max_ha_assets: limits.max_ha_assets,
            max_request_batch: limits.max_request_batch,
            default_max_consumers: match limits.default_max_consumers {
                0 => default.default_max_consumers,
                stated => stated,
            },
            max_duplicate_window_ns: i64::try_from(limits.duplicate_window.as_nanos()).unwrap_or(i64::MAX),
            batch_inflight_per_stream: count(
                batch.max_inflight_per_stream,
                default.batch_inflight_per_stream,
            ),
            batch_inflight_total: count(batch.max_inflight_total, default.batch_inflight_total),
            batch_msgs: count(batch.max_msgs, default.batch_msgs),
            batch_timeout: batch.timeout.filter(|t| *t > Duration::ZERO).unwrap_or(default.batch_timeout),
            fast_inflight_per_stream: count(batch.max_inflight_per_stream, default.fast_inflight_per_stream),
            fast_inflight_total: count(batch.max_inflight_total, default.fast_inflight_total),
        },
        ack_v2: flag("js_ack_fc_v2"),
        server_name: identity.server_name,
        server_id: identity.server_id,
        version: identity.version,
    }
}

fn account_limits(limits: &AccountJetStream) -> AccountLimits {
    AccountLimits {
        max_memory: limits.max_memory,
        max_storage: limits.max_store,
        max_streams: limits.max_streams,
        max_consumers: limits.max_consumers,
        max_ack_pending: limits.max_ack_pending,
        memory_max_stream_bytes: limits.memory_max_stream_bytes,
        storage_max_stream_bytes: limits.disk_max_stream_bytes,
        max_bytes_required: limits.max_bytes_required,
    }
}
