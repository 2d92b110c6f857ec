//! The consumers of a stream that is opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig};
use midge_jsapi::json::{self, Mode};
use midge_jsapi::levels;
use midge_jsapi::stored::StoredConsumer;
use midge_stdx::clock::Wall;
use midge_store::consumer::{AckPolicy as KeptPolicy, ConsumerStore, Keeping};
use midge_store::format::keys::{AssetKey, Context};
use midge_store::format::names;
use midge_store::port::{DiskError, Fault, Files, Mode as OpenMode};
use midge_store::stream::set_aside;

use super::TakeDeltas;
use crate::account::JsAccount;
use crate::keys;
use crate::limits::MAX_META_LEN;
use crate::system::JetStream;

/// A consumer that was found.
pub(crate) struct OpenedConsumer {
    pub(crate) name: Arc<str>,
    pub(crate) created: Wall,
    pub(crate) config: ConsumerConfig,
    pub(crate) kept: ConsumerStore,
    pub(crate) key: Option<AssetKey>,
    /// Its files are to be written anew, under the present key.
    pub(crate) rekeyed: Option<Vec<u8>>,
}

/// A consumer whose metadata cannot be read. One that is made in its place goes on where it was.
pub(crate) struct Unread {
    pub(crate) name: Arc<str>,
    key: Option<AssetKey>,
    state: Vec<u8>,
    deltas: Vec<(u64, Bytes)>,
}

impl Unread {
    /// What it knew, as far as it ever came and that can be read.
    pub(crate) fn kept(&self, rules: (KeptPolicy, u64)) -> Option<ConsumerStore> {
        let opened =
            ConsumerStore::open(self.name.clone(), self.key.clone(), rules, &self.state, &self.deltas);
        match opened {
            Ok(kept) => Some(kept).filter(ConsumerStore::has_state),
            Err(error) => {
                tracing::error!(blame = "disk", "{error}; it begins anew");
                None
            }
        }
    }
}

/// What was found below a stream.
#[derive(Default)]
pub(super) struct FoundConsumers {
    pub(super) opened: Vec<OpenedConsumer>,
    pub(super) unread: Vec<Unread>,
    /// Those that need a newer server, and what of it.
    pub(super) unsupported: BTreeMap<String, String>,
}

/// Where a stream lies.
pub(super) struct Place<'a> {
    pub(super) js: &'a Arc<JetStream>,
    pub(super) account: &'a JsAccount,
    pub(super) stream: &'a str,
    pub(super) folder: &'a str,
    pub(super) files: &'a dyn Files,
}

/// Why a consumer is not there.
enum Trouble {
    Unsupported(String),
    Unreadable(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Trouble {
        Trouble::Unreadable(why)
    }
}

pub(super) fn open_consumers(place: &Place<'_>, deltas: &mut TakeDeltas<'_>) -> FoundConsumers {
    let (account, stream) = (place.account.name(), place.stream);
    let root = format!("{}/{}", place.folder, names::CONSUMERS);
    let mut found = FoundConsumers::default();
    let entries = match place.files.list(&root) {
        Ok(entries) => entries,
        Err(error) => {
            if error.fault != Fault::Absent {
                tracing::error!(blame = "disk", "{error}");
            }
            return found;
        }
    };
    for entry in entries.into_iter().filter(|entry| entry.folder && names::is_asset_name(&entry.name)) {
        let (name, folder) = (entry.name.as_str(), format!("{root}/{}", entry.name));
        let changes = deltas(place.folder, name);
        match open_consumer(place, &folder, name, &changes) {
            Ok(consumer) => found.opened.push(consumer),
            Err(Trouble::Unsupported(why)) => {
                tracing::warn!("    Consumer '{account} > {stream} > {name}' is offline: {why}");
                found.unsupported.insert(entry.name, why);
            }
            Err(Trouble::Unreadable(why)) => {
                tracing::warn!(
                    blame = "disk",
                    "    Error recovering consumer '{account} > {stream} > {name}': {why}"
                );
                found.unread.push(place.unread(&folder, name, changes));
            }
        }
    }
    found
}

impl Place<'_> {
    /// What there is of a consumer but its metadata, which is copied aside: one that is made in its place writes its own.
    fn unread(&self, folder: &str, name: &str, deltas: Vec<(u64, Bytes)>) -> Unread {
        match set_aside(self.files, folder, names::META) {
            Ok(Some(copy)) => tracing::warn!("    {folder}/{} was copied to {copy}", names::META),
            Ok(None) => {}
            Err(error) => tracing::error!(blame = "disk", "{error}"),
        }
        let read = |file: &str| read(self.files, &format!("{folder}/{file}")).ok().flatten();
        let key = read(names::META_KEY).and_then(|file| self.open_key(name, &file).ok());
        let key = key.map(|(key, _)| key);
        Unread { name: name.into(), key, state: read(names::CONSUMER_STATE).unwrap_or_default(), deltas }
    }

    fn open_key(&self, name: &str, file: &[u8]) -> Result<(AssetKey, bool), String> {
        let context = Context::Consumer { stream: self.stream, consumer: name };
        keys::open(self.js, self.account.name(), context, file)
            .map_err(|error| format!("unable to recover keys: {error}"))
    }
}

fn open_consumer(
    place: &Place<'_>,
    folder: &str,
    name: &str,
    deltas: &[(u64, Bytes)],
) -> Result<OpenedConsumer, Trouble> {
    let js = place.js;
    let read = |file: &str| read(place.files, &format!("{folder}/{file}")).map_err(|error| error.to_string());
    let key_file = read(names::META_KEY)?;
    let mut current = true;
    let mut key = None;
    if let Some(file) = &key_file {
        let (opened, is_current) = place.open_key(name, file)?;
        (key, current) = (Some(opened), is_current);
    } else if js.settings.at_rest.is_some() {
        current = false;
    }
    let meta = read(names::META)?.ok_or_else(|| super::NO_METADATA.to_owned())?;
    let plain = match &key {
        Some(key) => key.unseal(&meta).map_err(|error| error.to_string())?,
        None => meta,
    };
    let mut stored = StoredConsumer::default();
    json::decode_one(&plain, Mode::Lenient, &mut stored).map_err(|why| format!("metadata: {why}"))?;
    if let Some(why) = levels::unsupported(&stored.config.metadata) {
        return Err(Trouble::Unsupported(why));
    }
    let (policy, max_deliver) = kept_rules(&stored.config);
    let state = read(names::CONSUMER_STATE)?.unwrap_or_default();
    let arc_name: Arc<str> = name.into();
    let opened = ConsumerStore::open(arc_name.clone(), key.clone(), (policy, max_deliver), &state, deltas);
    let kept = match opened {
        Ok(kept) => kept,
        Err(error) => {
            // The consumer stays, and begins anew; what could not be read stays beside it.
            tracing::error!(blame = "disk", "    {error}; it begins anew");
            ConsumerStore::new(arc_name.clone(), Keeping::File, key.clone(), policy, max_deliver)
        }
    };
    let mut rekeyed = None;
    let context = Context::Consumer { stream: place.stream, consumer: name };
    if !current && let Some(new) = keys::create(js, place.account.name(), context, &mut *js.secret_entropy())
    {
        (key, rekeyed) = (Some(new.key), Some(new.file));
    }
    let StoredConsumer { created, config, .. } = stored;
    let kept = match &rekeyed {
        Some(_) => kept.with_key(key.clone()),
        None => kept,
    };
    Ok(OpenedConsumer { name: arc_name, created, config, kept, key, rekeyed })
}

/// A small file, whole; nothing when it is absent.
fn read(files: &dyn Files, path: &str) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match files.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.fault == Fault::Absent => return Ok(None),
        Err(error) => return Err(error),
    };
    let answer = files.len(file).and_then(|len| {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(MAX_META_LEN)];
        let got = files.read_at(file, 0, &mut bytes)?;
        bytes.truncate(got);
        Ok(Some(bytes))
    });
    files.close(file);
    answer
}

/// By which rules the kept state of a consumer moves: its policy, and how often a message is delivered at most, 0 for any number.
pub(crate) fn kept_rules(config: &ConsumerConfig) -> (KeptPolicy, u64) {
    let policy = match config.ack_policy {
        AckPolicy::None => KeptPolicy::None,
        AckPolicy::All => KeptPolicy::All,
        AckPolicy::Explicit => KeptPolicy::Explicit,
        AckPolicy::FlowControl => KeptPolicy::FlowControl,
    };
    (policy, u64::try_from(config.max_deliver).unwrap_or(0))
}
