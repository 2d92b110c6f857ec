//! A stream that is made from a copy, which comes in chunks.

use std::sync::Arc;
use std::time::Duration;

use midge_assets::consumer::{Consumer, Identity};
use midge_assets::stream::backup::read::{BackupReader, Restored};
use midge_assets::stream::backup::write::KeptConsumer;
use midge_broker::batch::Batch;
use midge_broker::subscription::{Subscription, Target};
use midge_jsapi::advisories::{Deed, RestoreComplete, RestoreCreate, StreamAction};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::json::{self, Mode};
use midge_jsapi::responses::{self, RestoreBegun, StreamCreated, kind};
use midge_jsapi::stored::CopiedConsumer;
use midge_jsapi::stream_config::Storage;
use midge_jsapi::subjects;
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::{Entropy as _, Seeded};
use midge_stdx::goquote;
use midge_stdx::nuid::Nuid;
use midge_store::consumer::{ConsumerStore, Keeping};
use midge_store::format::keys::Context;
use midge_store::format::names;
use midge_store::port::{Name, Promise};
use midge_store::stream::{Scheduled, SourceProgress};

use super::api::Asked;
use super::snapshot::uncopied;
use super::{ConsumerDoor, ForConsumer, Host, Life, Parts};
use crate::account::Phase;
use crate::limits::RESTORED_FILE_LEN;
use crate::{client, keys, recover};

/// How long a chunk is waited for.
const CHUNK_WAIT: Duration = Duration::from_secs(5);

/// A restore that goes on.
pub(crate) struct Restore {
    reader: BackupReader,
    request: Asked,
    door: Option<Arc<Subscription>>,
    deadline: Mono,
    start: Wall,
    bytes: u64,
    consumers: Vec<KeptConsumer>,
    sources: Vec<SourceProgress>,
    schedules: Vec<Scheduled>,
    /// A file of an older copy that is not complete.
    file: Option<Partial>,
    /// Bytes of the files that are kept, by what their headers say.
    filed: u64,
}

/// A file that is not complete.
struct Partial {
    /// Its place; none for what is not kept.
    name: Option<Name>,
    /// Bytes that are missing.
    left: u64,
    content: Vec<u8>,
}

/// Where a file of a copy belongs, if it is kept: the configuration is the one of the request, and what of an index is too long is found out anew.
fn place_of(path: &str, len: u64) -> Option<Name> {
    let own = [names::META, names::META_SUM, names::META_KEY].contains(&path);
    let index = len > RESTORED_FILE_LEN && path == format!("{}/{}", names::MESSAGES, names::INDEX);
    if own || index {
        return None;
    }
    let block = path
        .strip_prefix("msgs/")
        .and_then(|file| file.strip_suffix(".blk"))
        .and_then(|number| number.parse::<u32>().ok());
    Some(block.map_or_else(|| Name::Path(path.into()), Name::Block))
}

impl Restore {
    fn new(request: Asked, now: Now) -> Restore {
        Restore {
            reader: BackupReader::default(),
            request,
            door: None,
            deadline: now.mono + CHUNK_WAIT,
            start: now.wall,
            bytes: 0,
            consumers: Vec::new(),
            sources: Vec::new(),
            schedules: Vec::new(),
            file: None,
            filed: 0,
        }
    }

    /// A file of an older copy begins.
    fn begin_file(&mut self, path: String, len: u64) -> Result<(), ApiError> {
        let name = place_of(&path, len);
        if name.is_some() {
            if len > RESTORED_FILE_LEN {
                let why = format!("file {path} of {len} bytes in backup, more than {RESTORED_FILE_LEN}");
                return Err(errors::STREAM_RESTORE.because(why));
            }
            self.filed = self.filed.saturating_add(len);
        }
        self.file = Some(Partial { name, left: len, content: Vec::new() });
        Ok(())
    }

    /// More of it.
    fn go_on(&mut self, bytes: &[u8]) {
        let Some(file) = &mut self.file else { return };
        file.left = file.left.saturating_sub(bytes.len() as u64);
        if file.name.is_some() {
            file.content.extend_from_slice(bytes);
        }
    }
}

/// Why a copy with such a consumer is refused.
fn no_consumer(name: &str, error: &ApiError) -> ApiError {
    let name = goquote::quote(name.as_bytes());
    let why = format!("failed to add consumer {name}: {} ({})", error.description, error.err_code);
    errors::STREAM_RESTORE.because(why)
}

impl Host {
    /// When a chunk has been waited for long enough.
    pub(super) fn restore_deadline(&self) -> Mono {
        self.restore.as_ref().map_or(Mono::NEVER, |restore| restore.deadline)
    }

    /// The store is there: the copy may come.
    pub(super) fn begin_restore(&mut self, batch: &mut Batch, request: Asked, now: Now) {
        self.write_meta();
        self.restore = Some(Box::new(Restore::new(request, now)));
        self.when_durable(batch, now, Box::new(|host, batch, now| host.invite_chunks(batch, now)));
        self.submit();
        self.run_after(batch, now);
    }

    fn invite_chunks(&mut self, batch: &mut Batch, now: Now) {
        let name = self.handle.name.clone();
        let id = Nuid::new(Seeded::new(self.ids.next_u64())).next_id();
        let subject = subjects::restore(&name, &id);
        let door = ConsumerDoor { inbox: self.handle.inbox.clone(), id: 0, what: ForConsumer::Chunk };
        let target = Target::Internal(Arc::new(door));
        let door = Arc::new(Subscription::new(target, subject.as_bytes(), None, b"js", false));
        // The subject is made of checked names, so this cannot fail.
        let _ = self.account.account.insert(door.clone());
        let Some(restore) = &mut self.restore else { return };
        restore.door = Some(door);
        restore.deadline = now.mono + CHUNK_WAIT;
        let request = restore.request.clone();
        request.answer(batch, kind::STREAM_RESTORE, &RestoreBegun { deliver_subject: subject }, now);
        let client = client::of(&request.from, &self.account, &self.js, now);
        self.advise(batch, &RestoreCreate { stream: &name, client: &client }, now);
    }

    /// A part of the copy; an empty one says that it is complete.
    pub(super) fn restore_chunk(&mut self, batch: &mut Batch, parts: &Parts<'_>, now: Now) {
        let Some(mut restore) = self.restore.take() else { return };
        restore.deadline = now.mono + CHUNK_WAIT;
        let mut found = Vec::new();
        let result = if parts.payload.is_empty() {
            restore.reader.finish(&mut self.store, now).map(Some)
        } else {
            restore.bytes += parts.payload.len() as u64;
            restore.reader.push(parts.payload, &mut self.store, now, &mut found).map(|()| None)
        };
        for part in found {
            match part {
                Restored::State(_) => {}
                Restored::Consumer(consumer) => restore.consumers.push(consumer),
                Restored::Schedule(schedule) => restore.schedules.push(schedule),
                Restored::Source(progress) => {
                    restore.sources.retain(|known| known.index_name != progress.index_name);
                    restore.sources.push(progress);
                }
                Restored::File { path, len } => {
                    if let Err(error) = restore.begin_file(path, len) {
                        self.restore = Some(restore);
                        return self.give_up_restore(batch, parts.reply, &error, now);
                    }
                    self.settle_file(&mut restore);
                }
                Restored::Content(bytes) => {
                    restore.go_on(&bytes);
                    self.settle_file(&mut restore);
                }
            }
        }
        self.touch(now);
        if let (Ok(_), Err(error)) = (&result, self.has_room(restore.filed)) {
            self.restore = Some(restore);
            return self.give_up_restore(batch, parts.reply, &error, now);
        }
        match result {
            Ok(None) => {
                self.restore = Some(restore);
                self.send_status(batch, parts.reply, b"");
            }
            Ok(Some(messages)) => self.restored(batch, *restore, messages, parts.reply, now),
            Err(error) => {
                let error = errors::STREAM_RESTORE.because(&error);
                self.restore = Some(restore);
                self.give_up_restore(batch, parts.reply, &error, now);
            }
        }
    }

    /// Whether account and server have room for what came so far.
    fn has_room(&self, filed: u64) -> Result<(), ApiError> {
        let (limits, settings, storage) = (&self.account.limits, &self.js.settings, self.config.storage);
        let (of_account, of_server, error) = match storage {
            Storage::Memory => (limits.max_memory, settings.max_memory, errors::MEMORY_RESOURCES_EXCEEDED),
            Storage::File => (limits.max_storage, settings.max_file, errors::STORAGE_RESOURCES_EXCEEDED),
        };
        let bytes = i64::try_from(self.store.state().bytes.saturating_add(filed)).unwrap_or(i64::MAX);
        let with_it = |used: i64| used.saturating_sub(self.used).saturating_add(bytes);
        let full = (of_account >= 0 && with_it(self.account.usage.of(storage)) > of_account)
            || with_it(self.js.usage.of(storage)) > of_server;
        if full { Err(error.into()) } else { Ok(()) }
    }

    /// A file of an older copy that is complete goes to its place.
    fn settle_file(&mut self, restore: &mut Restore) {
        if let Some(Partial { name: Some(name), content, .. }) = restore.file.take_if(|file| file.left == 0) {
            self.store.replace_files(vec![(name, content.into())], Promise::Cached);
        }
    }

    /// Everything came.
    fn restored(&mut self, batch: &mut Batch, restore: Restore, messages: bool, reply: &[u8], now: Now) {
        if let Some(door) = &restore.door {
            self.account.account.remove(door);
        }
        let reply: Arc<[u8]> = reply.into();
        self.last_chunk = Some(reply.clone());
        let Restore { request, start, bytes, consumers, sources, schedules, .. } = restore;
        let complete = {
            let reply = reply.clone();
            move |host: &mut Host, batch: &mut Batch, now: Now| {
                host.tell_restored(batch, &request, &reply, (start, bytes), now);
            }
        };
        if messages {
            for consumer in consumers {
                if let Err(error) = self.restore_consumer(batch, &consumer, now) {
                    self.last_chunk = None;
                    return self.give_up_restore(batch, &reply, &no_consumer(&consumer.name, &error), now);
                }
            }
            // Nothing is due, and nothing is asked of sources, before everything is there.
            self.stream.schedules().restore(&schedules);
            for source in sources {
                self.store.sourced(&source.index_name, source.seq, &source.identity);
            }
            self.touch(now);
            self.handle.set_phase(Phase::Running);
            self.open_doors();
            self.when_durable(batch, now, Box::new(complete));
            return;
        }
        // Files of a store: they are opened like those of a server that went.
        self.when_durable(
            batch,
            now,
            Box::new(move |host, _, now| {
                host.after_reopening = Some(Box::new(move |host, batch, now| match host.check_opened() {
                    Ok(()) => complete(host, batch, now),
                    Err(error) => {
                        host.last_chunk = None;
                        host.give_up_restore(batch, &reply, &error, now);
                    }
                }));
                host.reopen_now(now);
            }),
        );
    }

    /// Whether all consumers that came in files could have been made, one after the other.
    fn check_opened(&self) -> Result<(), ApiError> {
        let mut before = Vec::new();
        for (_, consumer) in self.consumers.iter() {
            let (name, config) = (&*consumer.identity().name, consumer.config());
            self.check_beside(config.clone(), name, None, &before, false)
                .map_err(|error| no_consumer(name, &error))?;
            before.push((name, config));
        }
        Ok(())
    }

    /// One that could not have been made is not made out of a copy.
    fn restore_consumer(&mut self, batch: &mut Batch, kept: &KeptConsumer, now: Now) -> Result<(), ApiError> {
        let mut copy = CopiedConsumer::default();
        json::decode_one(&kept.document, Mode::Lenient, &mut copy)
            .map_err(|why| errors::INVALID_JSON.because(&why))?;
        if !names::is_asset_name(&kept.name) {
            return Err(errors::CONSUMER_BAD_DURABLE_NAME.into());
        }
        if self.consumers.find(&kept.name).is_some() {
            return Err(errors::CONSUMER_ALREADY_EXISTS.into());
        }
        copy.config = self.check_consumer(copy.config, &kept.name, None, false)?;
        let name: Arc<str> = kept.name.as_str().into();
        let context = Context::Consumer { stream: &self.handle.name, consumer: &name };
        let file = self.lane.is_some();
        let new_key = file
            .then(|| keys::create(&self.js, self.account.name(), context, &mut *self.js.secret_entropy()));
        let (key, key_file) = new_key.flatten().map_or((None, None), |new| (Some(new.key), Some(new.file)));
        let keeping = if file && !copy.config.mem_storage { Keeping::File } else { Keeping::Memory };
        let (policy, max_deliver) = recover::kept_rules(&copy.config);
        let mut store = ConsumerStore::new(name.clone(), keeping, key.clone(), policy, max_deliver);
        if let Err(error) = store.update(uncopied(&copy.state), &mut self.store) {
            tracing::warn!(blame = "client", "consumer '{name}' of a copy: {error}; it begins anew");
        }
        let identity = Identity { stream: self.handle.name.clone(), name, created: now.wall };
        if keeping == Keeping::File {
            let mut files = self.consumer_files(&identity, &copy.config, key.as_ref(), key_file);
            files.push(store.state_file(now.wall.0, &mut *self.js.secret_entropy()));
            self.store.replace_files(files, Promise::Durable);
        }
        let config = copy.config;
        let consumer = self.with_cx(batch, now, |cx| Consumer::recover(identity, config, store, cx));
        self.place(consumer, key, batch, now);
        Ok(())
    }

    fn tell_restored(
        &mut self,
        batch: &mut Batch,
        request: &Asked,
        reply: &Arc<[u8]>,
        (start, bytes): (Wall, u64),
        now: Now,
    ) {
        let client = client::of(&request.from, &self.account, &self.js, now);
        let name = self.handle.name.clone();
        self.advise(batch, &StreamAction { stream: &name, deed: Deed::Create }, now);
        let event = RestoreComplete { stream: &name, start, end: now.wall, bytes, client: &client };
        self.advise(batch, &event, now);
        let reply = reply.clone();
        self.last_chunk = None;
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                host.told_info(now).map(|info| {
                    let answer = StreamCreated { info: Some(info), did_create: false };
                    let mut body = Vec::new();
                    responses::encode(kind::STREAM_CREATE, None, &answer, &mut body);
                    host.send_body(batch, &reply, &body);
                    // What is told is what was restored; more comes from here on.
                    host.follow_configured();
                })
            }),
        );
    }

    /// Nothing came for too long.
    pub(super) fn tick_restore(&mut self, batch: &mut Batch, now: Now) {
        if now.mono >= self.restore_deadline() && self.restore.as_ref().is_some_and(|r| r.door.is_some()) {
            let name = &self.handle.name;
            tracing::warn!(
                blame = "client",
                "restore of stream '{} > {name}' was given up",
                self.account.name()
            );
            self.give_up_restore(batch, b"", &errors::STREAM_RESTORE.because("no chunk came"), now);
        }
    }

    /// What was made of a copy is removed.
    pub(super) fn give_up_restore(&mut self, batch: &mut Batch, reply: &[u8], error: &ApiError, now: Now) {
        if let Some(door) = self.restore.take().and_then(|restore| restore.door) {
            self.account.account.remove(&door);
        }
        let mut body = Vec::new();
        responses::refuse(kind::STREAM_CREATE, error, &mut body);
        self.send_body(batch, reply, &body);
        self.delete(batch, now);
    }

    /// The lane is given up and the files are opened anew.
    fn reopen_now(&mut self, now: Now) {
        self.store.close();
        if let (Some(disk), Some(lane)) = (&self.disk, self.lane) {
            disk.unregister(lane);
        }
        let error = ApiError::from(errors::STREAM_OFFLINE);
        self.life = Life::Failed { error, retry_at: now.mono, full: false };
    }
}
