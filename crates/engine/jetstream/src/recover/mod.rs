//! What the store directory holds is opened: at start, again after a store has failed, and under a new configuration where that was lost.

mod again;
mod consumers;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use midge_assets::stream::schedule::Rules as HeaderRules;
use midge_assets::stream::{Stream, config as stream_config};
use midge_jsapi::json::{self, Mode};
use midge_jsapi::levels;
use midge_jsapi::stored::StoredStream;
use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::{Now, Wall};
use midge_store::format::keys::AssetKey;
use midge_store::format::names;
use midge_store::journal::Deltas;
use midge_store::port::{DiskError, Fault, Files, Lane, StoreDisk};
use midge_store::recover::History;
use midge_store::stream::{How, OpenError, Opening, Scheduled, State, Store, read_meta, write_again};
use midge_sync::atomic::Ordering;
use midge_sync::ordlock::Mutex;
use midge_sync::rank;

use crate::account::{JsAccount, Offline, Phase, StreamHandle};
use crate::host::{Host, Inbox, Item, Life, NewHost, Order};
use crate::keys;
use crate::limits::OPENED_TOGETHER;
use crate::system::JetStream;

pub(crate) use again::{Again, make_again};
use consumers::{FoundConsumers, Place, open_consumers};
pub(crate) use consumers::{OpenedConsumer, Unread, kept_rules};

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
    pub(crate) unread: Vec<Unread>,
}

/// What is said of a stream without metadata.
const NO_METADATA: &str = "metadata is missing";

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
    Offline(Box<StreamConfig>, Wall, Offline),
    /// Nothing of it can be used.
    Unreadable(String),
    /// Its configuration is lost, and nothing else: it can be made again.
    Unconfigured(String),
    /// It is as it should be, and there is no space for what an opening has to write: it is tried again.
    Full(String, Option<Box<(StreamConfig, Wall)>>),
    /// Its creation was cut short: it was told to nobody, and has no messages.
    Unborn,
}

impl Trouble {
    fn why(self) -> String {
        match self {
            Trouble::Offline(_, _, offline) => offline.why,
            Trouble::Unreadable(why) | Trouble::Unconfigured(why) | Trouble::Full(why, _) => why,
            Trouble::Unborn => NO_METADATA.to_owned(),
        }
    }
}

impl From<DiskError> for Trouble {
    fn from(error: DiskError) -> Trouble {
        let why = error.to_string();
        if error.fault == Fault::Full { Trouble::Full(why, None) } else { Trouble::Unreadable(why) }
    }
}

impl From<OpenError> for Trouble {
    fn from(error: OpenError) -> Trouble {
        match error {
            OpenError::Disk(error) => error.into(),
            other => Trouble::Unreadable(open_text(&other)),
        }
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
                serve(js, account, &handle, Life::Recovered(Some(Box::new(opened))));
            }
            Err(Trouble::Offline(config, created, offline)) => {
                tracing::warn!("  Stream '{} > {name}' is offline: {}", account.name(), offline.why);
                let handle = Arc::new(StreamHandle::new(
                    name.into(),
                    created,
                    Arc::new(*config),
                    inbox,
                    Phase::Offline,
                ));
                handle.set_offline(offline);
                account.insert(handle);
                js.opened();
            }
            Err(Trouble::Full(why, Some(configured))) => {
                tracing::error!(
                    blame = "disk",
                    "  Stream '{} > {name}' cannot be opened yet: {why}",
                    account.name()
                );
                let (config, created) = *configured;
                let (name, config) = (name.into(), Arc::new(config));
                let handle = Arc::new(StreamHandle::new(name, created, config, inbox, Phase::Running));
                handle.vitals.failed.store(true, Ordering::Release);
                handle.vitals.failure.lock().clone_from(&why);
                account.insert(handle.clone());
                serve(js, account, &handle, Life::unopened(now));
                js.opened();
            }
            Err(trouble @ (Trouble::Unreadable(_) | Trouble::Unconfigured(_) | Trouble::Full(..))) => {
                let unconfigured = matches!(trouble, Trouble::Unconfigured(_));
                let why = trouble.why();
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
                handle.set_offline(Offline { why, unconfigured, ..Offline::default() });
                account.insert(handle);
                js.opened();
            }
        }
    }
}

/// Gives an opened stream to a host of its own.
pub(crate) fn serve(js: &Arc<JetStream>, account: &Arc<JsAccount>, handle: &Arc<StreamHandle>, life: Life) {
    let mut entropy = js.draw_entropy();
    let stream = Stream::new((*handle.config()).clone(), handle.created, &mut entropy);
    let empty = Store::in_memory(
        midge_store::stream::Config::new(&handle.name, midge_store::stream::Medium::Memory),
        Box::new(js.draw_entropy()),
    );
    let new = NewHost {
        js: js.clone(),
        account: account.clone(),
        handle: handle.clone(),
        config: handle.config(),
        store: empty,
        stream,
        lane: None,
        key: None,
    };
    js.run(Host::new(new, life), handle);
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
                let why = trouble.why();
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
    let folder = format!("{}/streams/{name}", account.name());
    let keys = keys::store_keys(js, account.name());
    let meta = read_meta(&*files, &folder, name, keys.as_ref())?;
    let Some(meta) = meta else {
        return Err(if is_bare(&*files, &folder)? {
            Trouble::Unborn
        } else {
            Trouble::Unconfigured(NO_METADATA.to_owned())
        });
    };
    let mut stored = StoredStream::default();
    json::decode_one(&meta.json, Mode::Lenient, &mut stored)
        .map_err(|why| Trouble::Unconfigured(format!("metadata: {why}")))?;
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
        return Err(Trouble::Offline(Box::new(config), created, Offline { why, ..Offline::default() }));
    }
    let configured = (config.clone(), created);
    let opened = open_configured(js, account, configured, inbox, disk, deltas, &|_, _| Ok(()), now);
    opened.map_err(|trouble| match trouble {
        Trouble::Full(why, None) => Trouble::Full(why, Some(Box::new((config, created)))),
        other => other,
    })
}

/// Opens what is there under a configuration. `check` may refuse before anything is removed.
#[allow(clippy::too_many_arguments)]
fn open_configured(
    js: &Arc<JetStream>,
    account: &Arc<JsAccount>,
    (config, created): (StreamConfig, Wall),
    inbox: &Arc<Inbox>,
    disk: &dyn StoreDisk,
    deltas: &mut TakeDeltas<'_>,
    check: &dyn Fn(&State, &FoundConsumers) -> Result<(), String>,
    now: Now,
) -> Result<OpenedStream, Trouble> {
    let files = disk.files();
    let files = &*files;
    let name = config.name.clone();
    let folder = format!("{}/streams/{name}", account.name());
    let place = Place { js, account, stream: &name, folder: &folder, files };
    let found = open_consumers(&place, deltas);
    if let Some(consumer) = found.unsupported.keys().next() {
        let offline = Offline {
            why: format!("stopped - unsupported consumer {consumer:?}"),
            consumers: found.unsupported,
            ..Offline::default()
        };
        return Err(Trouble::Offline(Box::new(config), created, offline));
    }
    let opening = Opening {
        config: stream_config::store_config(&config, &js.store_rules()),
        folder: folder.clone(),
        history: History::Unknown,
        encryption: keys::store_keys(js, account.name()),
        now,
        headers: Some(Box::new(HeaderRules { now: now.wall, sources: config.sources.len() })),
    };
    let mut opened = opening.run(files)?;
    tell(&opened.recovery, account.name(), &name);
    check(opened.state(), &found).map_err(Trouble::Unreadable)?;
    let key = opened.key().cloned().map(Arc::new);
    let schedules = std::mem::take(&mut opened.schedules);
    let lane = disk.register(&folder, inbox.clone())?;
    let store = opened.into_store(lane, Box::new(js.draw_entropy()), now.mono);
    let FoundConsumers { opened: consumers, unread, .. } = found;
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
