//! What the store directory holds is opened: at start, and again after a store has failed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use midge_assets::stream::schedule::Rules as HeaderRules;
use midge_assets::stream::{Stream, config as stream_config};
use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig};
use midge_jsapi::json::{self, Mode};
use midge_jsapi::levels;
use midge_jsapi::stored::{StoredConsumer, StoredStream};
use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::{Now, Wall};
use midge_store::consumer::{AckPolicy as KeptPolicy, ConsumerStore, Keeping};
use midge_store::format::keys::{AssetKey, Context};
use midge_store::format::names;
use midge_store::journal::Deltas;
use midge_store::port::{DiskError, Fault, Files, Lane, Mode as OpenMode, StoreDisk};
use midge_store::recover::History;
use midge_store::stream::{How, OpenError, Opening, Scheduled, Store, read_meta, write_again};
use midge_sync::atomic::Ordering;
use midge_sync::ordlock::Mutex;
use midge_sync::rank;

use crate::account::{JsAccount, Phase, StreamHandle};
use crate::host::{Host, Inbox, Item, Life, NewHost, Order};
use crate::keys;
use crate::limits::{MAX_META_LEN, OPENED_TOGETHER};
use crate::system::JetStream;

/// A stream that was opened, with what its host needs.
pub(crate) struct OpenedStream {
    pub(crate) config: Arc<StreamConfig>,
    pub(crate) created: Wall,
    pub(crate) store: Store,
    pub(crate) lane: Lane,
    pub(crate) key: Option<Arc<AssetKey>>,
    pub(crate) schedules: Vec<Scheduled>,
    pub(crate) consumers: Vec<OpenedConsumer>,
    /// Consumers that are there and cannot be read.
    pub(crate) unread: Vec<Arc<str>>,
}

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

/// Gives out what the journal held for a consumer, by the folder of its stream and its name.
type TakeDeltas<'a> = dyn FnMut(&str, &str) -> Vec<(u64, Bytes)> + 'a;

/// Deltas that the journal held, by folder and consumer.
type DeltaMap = BTreeMap<(Arc<str>, Arc<str>), Vec<(u64, Bytes)>>;

/// What the workers of a start share.
struct Start {
    js: Arc<JetStream>,
    deltas: Mutex<{ rank::LEAF }, DeltaMap>,
    left: Mutex<{ rank::LEAF }, VecDeque<(Arc<JsAccount>, String)>>,
}

/// Why a stream is not served.
enum Trouble {
    /// It is known, and what its configuration says was read.
    Offline(Box<StreamConfig>, Wall, String),
    /// Nothing of it can be used.
    Unreadable(String),
    /// Its creation was cut short: it was told to nobody, and has no messages.
    Unborn,
}

impl From<DiskError> for Trouble {
    fn from(error: DiskError) -> Trouble {
        Trouble::Unreadable(error.to_string())
    }
}

/// Begins to open everything that is in the store directory.
pub(crate) fn begin(js: &Arc<JetStream>, deltas: Vec<Deltas>) {
    let Some(disk) = js.disk() else {
        js.recovery.done.store(true, Ordering::Release);
        return;
    };
    let deltas = deltas.into_iter().map(|d| ((d.folder, d.consumer), d.changes)).collect();
    let start =
        Arc::new(Start { js: js.clone(), deltas: Mutex::new(deltas), left: Mutex::new(VecDeque::new()) });
    js.jobs.clone().run(Box::new(move |_| {
        let found = find(&start.js, &*disk.files());
        start.js.recovery.found.store(found.len() as u64, Ordering::Release);
        if found.is_empty() {
            return start.js.recovered();
        }
        let workers = found.len().min(OPENED_TOGETHER);
        *start.left.lock() = found.into();
        for _ in 0..workers {
            let start = start.clone();
            start.js.jobs.clone().run(Box::new(move |now| start.work(now)));
        }
    }));
}

/// Every stream in the store directory.
fn find(js: &JetStream, files: &dyn Files) -> Vec<(Arc<JsAccount>, String)> {
    let mut found = Vec::new();
    let folders = |path: &str| -> Vec<String> {
        match files.list(path) {
            Ok(entries) => entries.into_iter().filter(|e| e.folder).map(|e| e.name).collect(),
            Err(error) if error.fault == Fault::Absent => Vec::new(),
            Err(error) => {
                tracing::error!(blame = "disk", "{error}");
                Vec::new()
            }
        }
    };
    for account in folders("") {
        let streams = format!("{account}/streams");
        let Some(owner) = js.account(&account) else {
            // What begins with a dot is the server's own.
            if account.starts_with('.') {
                continue;
            }
            let left = folders(&streams).into_iter().filter(|name| names::is_asset_name(name)).collect();
            js.recovery.skipped.lock().push((account, left));
            continue;
        };
        for name in folders(&streams) {
            if let Some(rest) = name.strip_prefix('.') {
                // Its deletion was cut short.
                tracing::info!("Removing what is left of stream '{account} > {rest}'");
                if let Err(error) = files.remove_folder(&format!("{streams}/{name}")) {
                    tracing::warn!(blame = "disk", "{error}");
                }
            } else if names::is_asset_name(&name) {
                found.push((owner.clone(), name));
            } else {
                tracing::warn!(blame = "operator", "'{streams}/{name}' is no stream");
            }
        }
    }
    found
}

impl Start {
    fn work(self: Arc<Start>, now: Now) {
        loop {
            if self.js.is_stopping() {
                return;
            }
            let Some((account, name)) = self.left.lock().pop_front() else { return };
            self.open(&account, &name, now);
        }
    }

    fn open(&self, account: &Arc<JsAccount>, name: &str, now: Now) {
        let js = &self.js;
        let Some(disk) = js.disk() else { return };
        let inbox = js.new_inbox();
        let opened = open_stream(
            js,
            account,
            name,
            &inbox,
            &*disk,
            &mut |folder, consumer| {
                self.deltas.lock().remove(&(folder.into(), consumer.into())).unwrap_or_default()
            },
            now,
        );
        match opened {
            Err(Trouble::Unborn) => {
                tracing::info!(
                    "Removing what is left of stream '{} > {name}', which was not made",
                    account.name()
                );
                if let Err(error) = disk.files().remove_folder(&format!("{}/streams/{name}", account.name()))
                {
                    tracing::warn!(blame = "disk", "{error}");
                }
                js.opened();
            }
            Ok(opened) => {
                let state = *opened.store.state();
                tracing::info!(
                    "  Restored {} messages for stream '{} > {name}'",
                    state.messages,
                    account.name()
                );
                let handle = Arc::new(StreamHandle::new(
                    name.into(),
                    opened.created,
                    opened.config.clone(),
                    inbox,
                    Phase::Opening,
                ));
                account.insert(handle.clone());
                serve(js, account, &handle, opened, now);
            }
            Err(Trouble::Offline(config, created, why)) => {
                tracing::warn!("  Stream '{} > {name}' is offline: {why}", account.name());
                let handle = Arc::new(StreamHandle::new(
                    name.into(),
                    created,
                    Arc::new(*config),
                    inbox,
                    Phase::Offline,
                ));
                handle.set_offline(why);
                account.insert(handle);
                js.opened();
            }
            Err(Trouble::Unreadable(why)) => {
                tracing::warn!(
                    blame = "disk",
                    "  Error recovering stream '{} > {name}': {why}",
                    account.name()
                );
                let config = StreamConfig { name: name.to_owned(), ..StreamConfig::default() };
                let handle = Arc::new(StreamHandle::new(
                    name.into(),
                    Wall(0),
                    Arc::new(config),
                    inbox,
                    Phase::Offline,
                ));
                handle.vitals.failed.store(true, Ordering::Release);
                handle.vitals.failure.lock().clone_from(&why);
                handle.set_offline(why);
                account.insert(handle);
                js.opened();
            }
        }
    }
}

/// Gives an opened stream to a host of its own.
fn serve(
    js: &Arc<JetStream>,
    account: &Arc<JsAccount>,
    handle: &Arc<StreamHandle>,
    opened: OpenedStream,
    now: Now,
) {
    let mut entropy = js.draw_entropy();
    let stream = Stream::new((*opened.config).clone(), opened.created, &mut entropy);
    let empty = Store::in_memory(
        midge_store::stream::Config::new(&handle.name, midge_store::stream::Medium::Memory),
        Box::new(js.draw_entropy()),
    );
    let new = NewHost {
        js: js.clone(),
        account: account.clone(),
        handle: handle.clone(),
        config: opened.config.clone(),
        store: empty,
        stream,
        lane: None,
        key: None,
    };
    let _ = now;
    let host = Host::new(new, Life::Recovered(Some(Box::new(opened))));
    js.run(host, handle);
}

/// Opens the store of a host anew; the host is told.
///
/// Blocks from `uncertain` on hold what may not have reached the device.
pub(crate) fn reopen(
    js: &Arc<JetStream>,
    account: &Arc<JsAccount>,
    handle: &Arc<StreamHandle>,
    uncertain: Option<u32>,
) {
    let (js, account, handle) = (js.clone(), account.clone(), handle.clone());
    js.jobs.clone().run(Box::new(move |now| {
        let Some(disk) = js.disk() else { return };
        let inbox = handle.inbox.clone();
        let folder = format!("{}/streams/{}", account.name(), handle.name);
        // What consumers confirmed may be in the journal alone.
        let again = || uncertain.map_or(Ok(()), |from| write_again(&*disk.files(), &folder, from));
        let deltas = disk.deltas(&folder).and_then(|deltas| again().map(|()| deltas));
        let opened = deltas.map_err(Trouble::from).and_then(|deltas| {
            let mut left: BTreeMap<_, _> = deltas.into_iter().map(|d| (d.consumer, d.changes)).collect();
            let mut take = |_: &str, consumer: &str| left.remove(consumer).unwrap_or_default();
            open_stream(&js, &account, &handle.name, &inbox, &*disk, &mut take, now)
        });
        let order = match opened {
            Ok(opened) => Order::Reopened(Box::new(opened)),
            Err(trouble) => {
                let unborn = matches!(trouble, Trouble::Unborn);
                let why = match trouble {
                    Trouble::Offline(_, _, why) | Trouble::Unreadable(why) => why,
                    Trouble::Unborn => "metadata is missing".to_owned(),
                };
                tracing::error!(
                    blame = "disk",
                    "  Error recovering stream '{} > {}': {why}",
                    account.name(),
                    handle.name
                );
                Order::NotReopened { unborn }
            }
        };
        let _ = inbox.send(Item::Order(Box::new(order)));
    }));
}

fn open_stream(
    js: &Arc<JetStream>,
    account: &Arc<JsAccount>,
    name: &str,
    inbox: &Arc<Inbox>,
    disk: &dyn StoreDisk,
    deltas: &mut TakeDeltas<'_>,
    now: Now,
) -> Result<OpenedStream, Trouble> {
    let files = disk.files();
    let files = &*files;
    let folder = format!("{}/streams/{name}", account.name());
    let keys = keys::store_keys(js, account.name());
    let meta = read_meta(files, &folder, name, keys.as_ref())
        .map_err(|error| Trouble::Unreadable(open_text(&error)))?;
    let Some(meta) = meta else {
        return Err(if is_bare(files, &folder)? {
            Trouble::Unborn
        } else {
            Trouble::Unreadable("metadata is missing".to_owned())
        });
    };
    let mut stored = StoredStream::default();
    json::decode_one(&meta.json, Mode::Lenient, &mut stored)
        .map_err(|why| Trouble::Unreadable(format!("metadata: {why}")))?;
    if !meta.sum_matches {
        // The text is whole and says what it is: to leave the stream out would be the greater loss.
        tracing::warn!(
            blame = "disk",
            "  Metadata of stream '{} > {name}' does not match its checksum",
            account.name()
        );
    }
    let StoredStream { created, config } = stored;
    if let Some(why) = levels::unsupported(&config.metadata) {
        return Err(Trouble::Offline(Box::new(config), created, why));
    }
    let store_config = stream_config::store_config(&config, &js.store_rules());
    let opening = Opening {
        config: store_config,
        folder: folder.clone(),
        history: History::Unknown,
        encryption: keys,
        now,
        headers: Some(Box::new(HeaderRules { now: now.wall, sources: config.sources.len() })),
    };
    let mut opened = opening.run(files).map_err(|error| Trouble::Unreadable(open_text(&error)))?;
    tell(&opened.recovery, account.name(), name);
    let key = opened.key().cloned().map(Arc::new);
    let schedules = std::mem::take(&mut opened.schedules);
    let (consumers, unread) = open_consumers(js, account, name, &folder, files, deltas);
    let lane = disk.register(&folder, inbox.clone())?;
    let store = opened.into_store(lane, Box::new(js.draw_entropy()), now.mono);
    Ok(OpenedStream { config: Arc::new(config), created, store, lane, key, schedules, consumers, unread })
}

/// Whether a folder holds no file, nor a folder that holds anything.
fn is_bare(files: &dyn Files, folder: &str) -> Result<bool, DiskError> {
    for entry in files.list(folder)? {
        if !entry.folder || !files.list(&format!("{folder}/{}", entry.name))?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn open_text(error: &OpenError) -> String {
    match error {
        OpenError::NoKey | OpenError::Key { .. } => format!("unable to recover keys: {error}"),
        other => other.to_string(),
    }
}

/// What an operator should know of an opening.
fn tell(recovery: &midge_store::stream::Recovery, account: &str, stream: &str) {
    if !matches!(recovery.how, How::Index | How::New) {
        tracing::info!("  Stream '{account} > {stream}' was rebuilt: {:?}", recovery.how);
    }
    for damage in &recovery.damage {
        tracing::error!(blame = "disk", "  Stream '{account} > {stream}': {damage:?}");
    }
    for kept in &recovery.kept {
        tracing::warn!("  Stream '{account} > {stream}': kept aside: {kept:?}");
    }
    if !recovery.lost.is_empty() {
        tracing::error!(
            blame = "disk",
            "  Stream '{account} > {stream}' has lost messages, {} bytes",
            recovery.lost_bytes
        );
    }
}

fn open_consumers(
    js: &Arc<JetStream>,
    account: &JsAccount,
    stream: &str,
    folder: &str,
    files: &dyn Files,
    deltas: &mut TakeDeltas<'_>,
) -> (Vec<OpenedConsumer>, Vec<Arc<str>>) {
    let root = format!("{folder}/{}", names::CONSUMERS);
    let entries = match files.list(&root) {
        Ok(entries) => entries,
        Err(error) => {
            if error.fault != Fault::Absent {
                tracing::error!(blame = "disk", "{error}");
            }
            return (Vec::new(), Vec::new());
        }
    };
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    for entry in entries.into_iter().filter(|entry| entry.folder && names::is_asset_name(&entry.name)) {
        let changes = deltas(folder, &entry.name);
        match open_consumer(
            js,
            account,
            stream,
            &format!("{root}/{}", entry.name),
            &entry.name,
            files,
            &changes,
        ) {
            Ok(consumer) => found.push(consumer),
            Err(why) => {
                tracing::warn!(
                    blame = "disk",
                    "    Error recovering consumer '{} > {stream} > {}': {why}",
                    account.name(),
                    entry.name
                );
                unread.push(entry.name.as_str().into());
            }
        }
    }
    (found, unread)
}

fn open_consumer(
    js: &Arc<JetStream>,
    account: &JsAccount,
    stream: &str,
    folder: &str,
    name: &str,
    files: &dyn Files,
    deltas: &[(u64, Bytes)],
) -> Result<OpenedConsumer, String> {
    let read = |file: &str| read(files, &format!("{folder}/{file}")).map_err(|error| error.to_string());
    let key_file = read(names::META_KEY)?;
    let context = Context::Consumer { stream, consumer: name };
    let mut current = true;
    let mut key = None;
    if let Some(file) = &key_file {
        let (opened, is_current) = keys::open(js, account.name(), context, file)
            .map_err(|error| format!("unable to recover keys: {error}"))?;
        (key, current) = (Some(opened), is_current);
    } else if js.settings.at_rest.is_some() {
        current = false;
    }
    let meta = read(names::META)?.ok_or_else(|| "metadata is missing".to_owned())?;
    let plain = match &key {
        Some(key) => key.unseal(&meta).map_err(|error| error.to_string())?,
        None => meta,
    };
    let mut stored = StoredConsumer::default();
    json::decode_one(&plain, Mode::Lenient, &mut stored).map_err(|why| format!("metadata: {why}"))?;
    if let Some(why) = levels::unsupported(&stored.config.metadata) {
        return Err(why);
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
    if !current && let Some(new) = keys::create(js, account.name(), context, &mut *js.secret_entropy()) {
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
