//! The owner of the registry: streams come and go through it, one decision at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use midge_assets::stream::Stream;
use midge_assets::stream::config::{self, CheckCx, Created, Streams};
use midge_broker::batch::Batch;
use midge_broker::turn::{Next, Signal, Turn};
use midge_jsapi::advisories::{Deed, StreamAction};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::requests::{
    self, StreamCreate, StreamList as ListAsked, StreamNames as NamesAsked, StreamRestore,
};
use midge_jsapi::responses::{Done, StreamList, StreamNames, kind};
use midge_jsapi::stream_config::{Storage, StreamConfig};
use midge_jsapi::subjects::ApiCall;
use midge_stdx::clock::{Mono, Now};
use midge_stdx::entropy::Seeded;
use midge_store::format::keys::Context;
use midge_store::format::names;
use midge_store::stream::Store;
use midge_subject::wildcard;
use midge_sync::ordlock::Mutex;
use midge_sync::rank;

use super::ApiRequest;
use super::gather::Gather;
use crate::account::{JsAccount, Phase, StreamHandle};
use crate::host::{Host, Item, Life, NewHost, Order};
use crate::keys;
use crate::limits::{LIST_PAGE, NAMES_PAGE};
use crate::recover::{Again, make_again};
use crate::system::JetStream;

/// What hosts and jobs tell the manager.
pub(crate) enum Told {
    /// A stream is deleted, with everything it had.
    Gone(Arc<JsAccount>, Arc<str>),
    /// A stream keeps its configuration: an update was refused by its host.
    Kept(Arc<JsAccount>, Arc<str>, Arc<StreamConfig>),
    /// The store of a new stream is there, or could not be made.
    Made(Box<Made>),
    /// A stream whose configuration was lost is there again, or could not be opened.
    Again(Box<Again>),
    /// The last part of a list will not come: the list goes without it.
    Gathered(Arc<Gather>),
    /// Every stream of an account is to be deleted.
    Purge(Arc<JsAccount>),
    /// The server goes down.
    Stop,
}

/// What became of a store.
pub(crate) struct Made {
    account: Arc<JsAccount>,
    handle: Arc<StreamHandle>,
    request: Box<ApiRequest>,
    store: Result<MadeStore, String>,
    begin: Begin,
}

/// How a new stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// Empty.
    Empty,
    /// With a copy, which comes in chunks.
    Copy,
}

struct MadeStore {
    store: Store,
    lane: midge_store::port::Lane,
    key: Option<keys::NewKey>,
}

enum Input {
    Request(Box<ApiRequest>),
    Told(Told),
}

/// The mailbox of the manager. Requests are bounded by the number that is served at a time.
#[derive(Default)]
pub(crate) struct ManagerInbox {
    inputs: Mutex<{ rank::LEAF }, Vec<Input>>,
    signal: std::sync::OnceLock<Arc<Signal>>,
}

impl ManagerInbox {
    pub(crate) fn request(&self, request: Box<ApiRequest>) {
        self.push(Input::Request(request));
    }

    pub(crate) fn tell(&self, told: Told) {
        self.push(Input::Told(told));
    }

    fn push(&self, input: Input) {
        let first = {
            let mut inputs = self.inputs.lock();
            inputs.push(input);
            inputs.len() == 1
        };
        if first && let Some(signal) = self.signal.get() {
            signal.raise();
        }
    }
}

/// See the module.
struct Manager {
    js: Arc<JetStream>,
    entropy: Seeded,
    /// Requests about streams that are being deleted, by account and stream.
    parked: BTreeMap<(String, String), VecDeque<Box<ApiRequest>>>,
    over: bool,
}

/// Starts the manager.
pub(crate) fn start(js: &Arc<JetStream>) {
    let signal = Signal::new();
    let _ = js.manager.signal.set(signal.clone());
    let manager =
        Manager { js: js.clone(), entropy: js.draw_entropy(), parked: BTreeMap::new(), over: false };
    js.runner.run(Box::new(manager), signal, 0);
}

impl Turn for Manager {
    fn turn(&mut self, batch: &mut Batch, now: Now) -> Next {
        let inputs = std::mem::take(&mut *self.js.manager.inputs.lock());
        for input in inputs {
            match input {
                Input::Request(request) => self.serve(batch, request, now),
                Input::Told(told) => self.told(batch, told, now),
            }
        }
        if self.over { Next::Over } else { Next::Idle(Mono::NEVER) }
    }
}

/// The streams of an account, for checks.
struct Known<'a>(&'a JsAccount);

impl Streams for Known<'_> {
    fn find(&self, name: &str) -> Option<Arc<StreamConfig>> {
        self.0.config(name).filter(|_| !self.0.is_unconfigured(name))
    }

    fn others_overlap(&self, name: &str, subject: &str) -> bool {
        self.0.others_overlap(name, subject)
    }
}

impl Manager {
    fn serve(&mut self, batch: &mut Batch, request: Box<ApiRequest>, now: Now) {
        let subject = request.subject.clone();
        let Some(call) = ApiCall::parse(&subject) else { return };
        match call {
            ApiCall::StreamCreate { stream } => {
                if let Some(request) = self.park(request, stream) {
                    self.create(batch, request, stream, now);
                }
            }
            ApiCall::StreamUpdate { stream } => self.update(batch, request, stream, now),
            ApiCall::StreamDelete { stream } => self.delete(batch, request, stream, now),
            ApiCall::StreamNames => self.names(batch, &request, now),
            ApiCall::StreamList => self.list(batch, request, now),
            ApiCall::StreamRestore { stream } => {
                if let Some(request) = self.park(request, stream) {
                    self.restore(batch, request, stream, now);
                }
            }
            _ => {}
        }
    }

    /// A stream that is made from a copy.
    fn restore(&mut self, batch: &mut Batch, request: Box<ApiRequest>, name: &str, now: Now) {
        let kind = kind::STREAM_RESTORE;
        if requests::is_empty(&request.body) {
            return request.refuse(batch, kind, &errors::BAD_REQUEST.into(), now);
        }
        let asked: StreamRestore = match request.read() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind, &error, now),
        };
        let account = request.account.clone();
        if account.stream(name).is_some() {
            let error = ApiError::from(errors::STREAM_NAME_EXIST_RESTORE_FAILED);
            return request.refuse(batch, kind, &error, now);
        }
        let storage = asked.config.storage;
        match self.with_cx(&account, storage, false, |cx| config::create(asked.config, name, cx)) {
            Err(error) => request.refuse(batch, kind, &error, now),
            Ok(Created::Same) => {
                request.refuse(batch, kind, &errors::STREAM_NAME_EXIST_RESTORE_FAILED.into(), now);
            }
            Ok(Created::New(config)) => {
                self.make(batch, request, account, Arc::new(*config), Begin::Copy, now)
            }
        }
    }

    /// A stream of that name is being deleted: the request waits for it.
    fn park(&mut self, request: Box<ApiRequest>, stream: &str) -> Option<Box<ApiRequest>> {
        let deleting = request.account.stream(stream).is_some_and(|s| s.phase() == Phase::Deleting);
        if !deleting {
            return Some(request);
        }
        let key = (request.account.name().to_owned(), stream.to_owned());
        self.parked.entry(key).or_default().push_back(request);
        None
    }

    /// Runs a check with everything that configurations are checked against.
    fn with_cx<T>(
        &self,
        account: &JsAccount,
        storage: Storage,
        pedantic: bool,
        check: impl FnOnce(&CheckCx<'_>) -> T,
    ) -> T {
        let streams = Known(account);
        let limits = &account.limits;
        let room = |config: &StreamConfig| self.room(account, config);
        let cx = CheckCx {
            pedantic,
            max_duplicate_window_ns: self.js.settings.limits.max_duplicate_window_ns,
            max_bytes_required: limits.max_bytes_required,
            max_stream_bytes: match storage {
                Storage::Memory => limits.memory_max_stream_bytes,
                Storage::File => limits.storage_max_stream_bytes,
            },
            clustered: false,
            streams: &streams,
            room: &room,
        };
        check(&cx)
    }

    /// Whether account and server have room for a configuration: 5.3 of the API.
    fn room(&self, account: &JsAccount, config: &StreamConfig) -> Result<(), ApiError> {
        let limits = &account.limits;
        let (others, promised) = account.others(&config.name, config.storage);
        let known = account.stream(&config.name).filter(|stream| !stream.is_unconfigured());
        let is_new = known.is_none();
        if is_new && limits.max_streams > 0 && others as i64 >= limits.max_streams {
            return Err(errors::MAXIMUM_STREAMS_LIMIT.into());
        }
        if limits.max_consumers > 0 && config.max_consumers > limits.max_consumers {
            return Err(errors::MAXIMUM_CONSUMERS_LIMIT.into());
        }
        let (limit, server, code) = match config.storage {
            Storage::Memory => {
                (limits.max_memory, self.js.settings.max_memory, errors::MEMORY_RESOURCES_EXCEEDED)
            }
            Storage::File => {
                (limits.max_storage, self.js.settings.max_file, errors::STORAGE_RESOURCES_EXCEEDED)
            }
        };
        let own = config.max_bytes.max(1);
        if limit >= 0 && promised.with_unlimited().saturating_add(own) > limit {
            return Err(code.into());
        }
        let before = known.map_or(0, |stream| stream.config().max_bytes.max(0));
        // A stream without a limit is promised a byte: where everything is promised, or nothing may be kept, there is no room for it.
        let more = if is_new { own } else { config.max_bytes.max(0) - before };
        if more > 0 && self.js.reserved(config.storage).saturating_add(more) > server {
            return Err(code.into());
        }
        Ok(())
    }

    fn create(&mut self, batch: &mut Batch, request: Box<ApiRequest>, name: &str, now: Now) {
        let kind = kind::STREAM_CREATE;
        let asked: StreamCreate = match request.read() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind, &error, now),
        };
        let account = request.account.clone();
        let storage = asked.config.storage;
        let created =
            self.with_cx(&account, storage, asked.pedantic, |cx| config::create(asked.config, name, cx));
        match created {
            Err(error) => request.refuse(batch, kind, &error, now),
            Ok(Created::Same) => self.tell_host(batch, request, name, kind, Order::Created, now),
            Ok(Created::New(config)) => {
                self.make(batch, request, account, Arc::new(*config), Begin::Empty, now)
            }
        }
    }

    /// Makes a stream: its store first, on a thread that may wait.
    fn make(
        &mut self,
        batch: &mut Batch,
        request: Box<ApiRequest>,
        account: Arc<JsAccount>,
        config: Arc<StreamConfig>,
        begin: Begin,
        now: Now,
    ) {
        let inbox = self.js.new_inbox();
        let name: Arc<str> = config.name.as_str().into();
        let lost = account.stream(&name).filter(|stream| stream.is_unconfigured());
        if lost.is_some() && config.storage == Storage::Memory {
            // There are messages of it in files, and they stay.
            return request.refuse(batch, kind::STREAM_CREATE, &errors::STREAM_NAME_EXIST.into(), now);
        }
        let handle = Arc::new(StreamHandle::new(name, now.wall, config.clone(), inbox, Phase::Opening));
        account.insert(handle.clone());
        if let Some(lost) = lost {
            return make_again(&self.js, account, handle, lost, request);
        }
        let store_config = config::store_config(&config, &self.js.store_rules());
        if config.storage == Storage::Memory {
            let store = Store::in_memory(store_config, Box::new(self.js.draw_entropy()));
            return self.host(request, account, handle, store, (None, None), begin);
        }
        let Some(disk) = self.js.disk() else {
            account.remove(&handle.name);
            let error = errors::STREAM_CREATE.because("file storage is not enabled");
            return request.refuse(batch, kind::STREAM_CREATE, &error, now);
        };
        let js = self.js.clone();
        self.js.jobs.run(Box::new(move |_| {
            let folder = format!("{}/streams/{}", account.name(), handle.name);
            let context = Context::Stream(&handle.name);
            let key = keys::create(&js, account.name(), context, &mut *js.secret_entropy());
            // The lane creates the folder, and sees to it that its name stays.
            let made = disk
                .register(&folder, handle.inbox.clone())
                .and_then(|lane| {
                    disk.files().create_folder(&format!("{folder}/{}", names::MESSAGES)).map(|()| lane)
                })
                .map(|lane| {
                    let encryption = keys::store_keys(&js, account.name()).map(|keys| keys.into_encryption());
                    let sealing = key.as_ref().map(|new| Arc::new(new.key.clone()));
                    let filler = Box::new(js.draw_entropy());
                    MadeStore {
                        store: Store::create(store_config, lane, encryption, sealing, filler),
                        lane,
                        key,
                    }
                })
                .map_err(|error| error.to_string());
            js.manager.tell(Told::Made(Box::new(Made { account, handle, request, store: made, begin })));
        }));
    }

    fn host(
        &mut self,
        request: Box<ApiRequest>,
        account: Arc<JsAccount>,
        handle: Arc<StreamHandle>,
        store: Store,
        (lane, key): (Option<midge_store::port::Lane>, Option<keys::NewKey>),
        begin: Begin,
    ) {
        let config = handle.config();
        let stream = Stream::new((*config).clone(), handle.created, &mut self.entropy);
        let new = NewHost {
            js: self.js.clone(),
            account,
            handle: handle.clone(),
            config,
            store,
            stream,
            lane,
            key,
        };
        let life = match begin {
            Begin::Empty => Life::Beginning(Some(request)),
            Begin::Copy => Life::Restoring(Some(request)),
        };
        self.js.run(Host::new(new, life), &handle);
    }

    fn update(&mut self, batch: &mut Batch, request: Box<ApiRequest>, name: &str, now: Now) {
        let kind = kind::STREAM_UPDATE;
        let asked: StreamCreate = match request.read() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind, &error, now),
        };
        let account = request.account.clone();
        let storage = asked.config.storage;
        let handle = if asked.config.name == name {
            let there = account.stream(name).filter(|s| s.phase() != Phase::Deleting);
            there.ok_or_else(super::unknown_stream)
        } else {
            Err(errors::STREAM_MISMATCH.into())
        };
        let handle = match handle {
            Ok(handle) => handle,
            Err(missing) => {
                // What the configuration says by itself is told before which stream it is for.
                let error = self
                    .with_cx(&account, storage, asked.pedantic, |cx| config::check(asked.config, cx))
                    .err()
                    .unwrap_or(missing);
                return request.refuse(batch, kind, &error, now);
            }
        };
        let old = handle.config();
        let updated =
            self.with_cx(&account, storage, asked.pedantic, |cx| config::update(&old, asked.config, cx));
        match updated {
            Err(error) => request.refuse(batch, kind, &error, now),
            Ok(new) => {
                let new = Arc::new(new);
                if handle.phase() != Phase::Offline {
                    account.configure(&handle, new.clone());
                }
                self.tell_host(batch, request, name, kind, |request| Order::Update(new, request), now);
            }
        }
    }

    fn delete(&mut self, batch: &mut Batch, request: Box<ApiRequest>, name: &str, now: Now) {
        let kind = kind::STREAM_DELETE;
        if !requests::is_empty(&request.body) {
            return request.refuse(batch, kind, &errors::NOT_EMPTY_REQUEST.into(), now);
        }
        let account = request.account.clone();
        let Some(handle) = account.stream(name) else {
            return request.refuse(batch, kind, &super::unknown_stream(), now);
        };
        if handle.phase() == Phase::Deleting {
            return request.refuse(batch, kind, &super::unknown_stream(), now);
        }
        if !self.end(&account, &handle) {
            return request.refuse(batch, kind, &super::unknown_stream(), now);
        }
        let key = (account.name().to_owned(), name.to_owned());
        // Answered when everything is gone, before whoever waits for the name.
        self.parked.entry(key).or_default().push_front(request);
    }

    /// Has a stream deleted, by its host or, where nobody serves it, with its folder. What waits for the name is told when it is gone. False if
    /// there is nobody to do it.
    fn end(&self, account: &Arc<JsAccount>, handle: &Arc<StreamHandle>) -> bool {
        if handle.phase() != Phase::Offline {
            account.delete(handle);
            let _ = handle.inbox.send(Item::Order(Box::new(Order::Delete)));
            return true;
        }
        let Some(disk) = self.js.disk() else { return false };
        account.delete(handle);
        let (account, name) = (account.clone(), handle.name.clone());
        let js = self.js.clone();
        self.js.jobs.run(Box::new(move |_| {
            let folder = format!("{}/streams/{name}", account.name());
            if let Err(error) = disk.files().remove_folder(&folder) {
                tracing::error!(blame = "disk", "{error}");
            }
            js.manager.tell(Told::Gone(account, name));
        }));
        true
    }

    fn tell_host(
        &mut self,
        batch: &mut Batch,
        request: Box<ApiRequest>,
        name: &str,
        kind: &str,
        order: impl FnOnce(Box<ApiRequest>) -> Order,
        now: Now,
    ) {
        let Some(handle) = request.account.stream(name) else {
            return request.refuse(batch, kind, &super::unknown_stream(), now);
        };
        if let Some(why) = handle.offline() {
            return request.refuse(batch, kind, &errors::STREAM_OFFLINE_REASON.because(why), now);
        }
        let _ = handle.inbox.send(Item::Order(Box::new(order(request))));
    }

    fn told(&mut self, batch: &mut Batch, told: Told, now: Now) {
        match told {
            Told::Gone(account, name) => self.gone(batch, &account, &name, now),
            Told::Kept(account, name, config) => {
                if let Some(handle) = account.stream(&name) {
                    account.configure(&handle, config);
                }
            }
            Told::Made(made) => {
                let Made { account, handle, request, store, begin } = *made;
                match store {
                    Ok(MadeStore { store, lane, key }) => {
                        self.host(request, account, handle, store, (Some(lane), key), begin);
                    }
                    Err(why) => {
                        tracing::error!(
                            blame = "disk",
                            "stream '{} > {}': {why}",
                            account.name(),
                            handle.name
                        );
                        account.remove(&handle.name);
                        let error = errors::STREAM_CREATE.because("error creating store for stream");
                        request.refuse(batch, kind::STREAM_CREATE, &error, now);
                        // It may have been deleted meanwhile, and others may wait for the name.
                        self.unpark(batch, &account, &handle.name, now);
                    }
                }
            }
            Told::Again(again) => self.again(batch, *again, now),
            Told::Gathered(gather) => gather.finish(batch, now),
            Told::Purge(account) => {
                for stream in account.streams() {
                    self.end(&account, &stream);
                }
            }
            Told::Stop => self.over = true,
        }
    }

    /// A stream whose configuration was lost is served under the new one, or is as it was.
    fn again(&mut self, batch: &mut Batch, again: Again, now: Now) {
        let Again { account, handle, lost, request, opened } = again;
        match opened {
            Ok(opened) => {
                let life = Life::Again(Some((opened, request)));
                crate::recover::serve(&self.js, &account, &handle, life);
            }
            Err(why) => {
                tracing::error!(blame = "disk", "stream '{} > {}': {why}", account.name(), handle.name);
                account.insert(lost);
                request.refuse(batch, kind::STREAM_CREATE, &errors::STREAM_CREATE.because(why), now);
                let key = (account.name().to_owned(), handle.name.to_string());
                for request in self.parked.remove(&key).unwrap_or_default() {
                    self.serve(batch, request, now);
                }
            }
        }
    }

    /// A stream is gone: who asked for that is told, and who waited for the name comes next.
    fn gone(&mut self, batch: &mut Batch, account: &Arc<JsAccount>, name: &Arc<str>, now: Now) {
        account.remove(name);
        let event = StreamAction { stream: name, deed: Deed::Delete };
        crate::advise::send(&self.js, account, batch, &event, &mut self.entropy, now);
        self.unpark(batch, account, name, now);
    }

    fn unpark(&mut self, batch: &mut Batch, account: &Arc<JsAccount>, name: &Arc<str>, now: Now) {
        let key = (account.name().to_owned(), name.to_string());
        for request in self.parked.remove(&key).unwrap_or_default() {
            let is_delete =
                ApiCall::parse(&request.subject).is_some_and(|c| matches!(c, ApiCall::StreamDelete { .. }));
            if is_delete {
                request.answer(batch, kind::STREAM_DELETE, &Done { success: true }, now);
            } else {
                self.serve(batch, request, now);
            }
        }
    }

    /// The streams that collide with a filter, all of them without one.
    fn matching(account: &JsAccount, filter: &str) -> Vec<Arc<StreamHandle>> {
        let mut streams = account.streams();
        if !filter.is_empty() {
            let collides = |subject: &String| wildcard::overlaps(subject.as_bytes(), filter.as_bytes());
            streams.retain(|stream| stream.config().subjects.iter().any(collides));
        }
        streams
    }

    fn names(&mut self, batch: &mut Batch, request: &ApiRequest, now: Now) {
        let asked: NamesAsked = match request.read_optional() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind::STREAM_NAMES, &error, now),
        };
        let streams = Manager::matching(&request.account, &asked.subject);
        let (paging, from) = crate::host::page(streams.len(), asked.offset, NAMES_PAGE);
        let streams = streams.iter().skip(from).take(NAMES_PAGE).map(|s| s.name.to_string()).collect();
        request.answer(batch, kind::STREAM_NAMES, &StreamNames { paging, streams }, now);
    }

    fn list(&mut self, batch: &mut Batch, request: Box<ApiRequest>, now: Now) {
        let asked: ListAsked = match request.read_optional() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind::STREAM_LIST, &error, now),
        };
        let streams = Manager::matching(&request.account, &asked.subject);
        let (paging, from) = crate::host::page(streams.len(), asked.offset, LIST_PAGE);
        let mut list = StreamList::default();
        let mut live = Vec::new();
        for stream in streams.into_iter().skip(from).take(LIST_PAGE) {
            match stream.offline() {
                Some(why) => {
                    list.offline.insert(stream.name.to_string(), why);
                    list.missing.push(stream.name.to_string());
                }
                None => live.push(stream),
            }
        }
        let (gather, places) = Gather::begin(request, paging, list, live.len());
        for (stream, place) in live.iter().zip(places) {
            let _ = stream.inbox.send(Item::Order(Box::new(Order::Describe(place))));
        }
        gather.finish(batch, now);
    }
}
