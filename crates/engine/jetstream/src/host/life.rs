//! The life of a host: it begins, may fail and begin again, and ends by a stop or a deletion.

use std::sync::Arc;

use midge_assets::stream::Stream;
use midge_broker::batch::Batch;
use midge_broker::subscription::{Subscription, Target};
use midge_jsapi::advisories::{Deed, ServerOutOfStorage, StreamAction};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::responses::kind;
use midge_jsapi::stream_config::StreamConfig;
use midge_stdx::clock::{Mono, Now};
use midge_store::format::names;
use midge_store::format::side::{self, Schedule};
use midge_store::port::{Fault, Name, Promise};
use midge_store::stream::Step;
use midge_sync::atomic::Ordering;

use super::{GetDoor, Host};
use crate::account::{Offline, Phase};
use crate::api::ApiRequest;
use crate::api::manager::Told;
use crate::doors::PublishDoor;
use crate::limits::{FULL_FOR, RETRY_EVERY};
use crate::recover::OpenedStream;

/// What a host is told by others than clients.
pub(crate) enum Order {
    /// Use this configuration, which was checked against everything but the consumers.
    Update(Arc<StreamConfig>, Box<ApiRequest>),
    /// A create request for the stream as it is: answer like one.
    Created(Box<ApiRequest>),
    /// Delete the stream. The answer is sent by the owner of the registry.
    Delete,
    /// The server goes down.
    Stop,
    /// Say how you are, for a list.
    Describe(crate::api::gather::Place),
    /// Say how you are, for monitoring.
    Observe(crate::observe::Part),
    /// The store was opened again.
    Reopened(Box<OpenedStream>),
    /// The store could not be opened again.
    NotReopened {
        /// There is none: its creation never came to its end.
        unborn: bool,
    },
}

/// How far a life is.
pub(crate) enum Life {
    /// The first turn of a new stream is to come, which answers this request.
    Beginning(Option<Box<ApiRequest>>),
    /// The first turn of a stream that is made from a copy is to come.
    Restoring(Option<Box<ApiRequest>>),
    /// The first turn of a stream that was opened is to come.
    Recovered(Option<Box<OpenedStream>>),
    /// The first turn of a stream that is made again over what was there is to come.
    Again(Option<(Box<OpenedStream>, Box<ApiRequest>)>),
    /// It serves.
    Serving,
    /// The store has failed: appends are refused, and it is opened again.
    Failed {
        /// What publishers are told.
        error: ApiError,
        /// When the next attempt is made.
        retry_at: Mono,
        /// For the lack of space.
        full: bool,
    },
    /// Everything is being put into its files.
    Stopping {
        /// The index is written.
        written: bool,
        /// The lane is ending.
        unregistered: bool,
    },
    /// Everything is being removed.
    Deleting {
        /// The lane is ending.
        unregistered: bool,
        /// What is left belongs to no store.
        rest: bool,
    },
}

impl Life {
    /// The first turn is to come: what is in the inbox already comes behind what that does, which may be deletion.
    pub(super) fn is_to_begin(&self) -> bool {
        matches!(self, Life::Beginning(_) | Life::Restoring(_) | Life::Recovered(_) | Life::Again(_))
    }

    /// Nothing is taken any more.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self, Life::Stopping { .. } | Life::Deleting { .. })
    }

    /// The store has failed.
    pub(super) fn is_failed(&self) -> bool {
        matches!(self, Life::Failed { .. })
    }

    /// The store has failed for the lack of space.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Life::Failed { full: true, .. })
    }

    /// There was no space for what an opening has to write.
    pub(crate) fn unopened(now: Now) -> Life {
        let error = ApiError::from(errors::INSUFFICIENT_RESOURCES);
        Life::Failed { error, retry_at: now.mono + RETRY_EVERY, full: true }
    }

    /// Why nothing can be stored, if so.
    pub(super) fn refusal(&self) -> Option<ApiError> {
        match self {
            Life::Failed { error, .. } => Some(error.clone()),
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Mono {
        match self {
            Life::Failed { retry_at, .. } => *retry_at,
            _ => Mono::NEVER,
        }
    }
}

impl Host {
    /// Goes on with what begins or ends; answers whether it has ended.
    pub(super) fn live(&mut self, batch: &mut Batch, now: Now) -> bool {
        match std::mem::replace(&mut self.life, Life::Serving) {
            Life::Beginning(request) => {
                if let Some(request) = request {
                    self.begin_serving(batch, request, now);
                }
                // What came before may be served from now on.
                self.come_back();
                false
            }
            Life::Restoring(request) => {
                if let Some(request) = request {
                    let request = self.ask(request);
                    self.begin_restore(batch, request, now);
                }
                self.come_back();
                false
            }
            Life::Recovered(opened) => {
                if let Some(opened) = opened {
                    self.install(batch, *opened, now);
                }
                self.come_back();
                false
            }
            Life::Again(opened) => {
                if let Some((opened, request)) = opened {
                    self.begin_again_with(batch, *opened, request, now);
                }
                self.come_back();
                false
            }
            Life::Serving => {
                if self.store.failure().is_some() {
                    self.store_failed(batch, now);
                }
                self.leave(batch, now);
                false
            }
            Life::Failed { error, retry_at, full } => {
                self.life = Life::Failed { error: error.clone(), retry_at, full };
                self.unsettle(batch, &error, now);
                if self.lane.is_none() && self.doors.is_empty() && self.handle.phase() == Phase::Running {
                    // One that was never opened refuses by name what is published to it.
                    self.open_doors();
                }
                self.try_again(now);
                false
            }
            Life::Stopping { written, unregistered } => self.stop_on(written, unregistered),
            Life::Deleting { unregistered, rest } => self.delete_on(batch, unregistered, rest, now),
        }
    }

    fn begin_serving(&mut self, batch: &mut Batch, request: Box<ApiRequest>, now: Now) {
        let request = self.ask(request);
        self.write_meta();
        self.when_durable(
            batch,
            now,
            Box::new(move |host, batch, now| {
                if !host.leaving {
                    host.open_doors();
                    host.follow_configured();
                    host.handle.set_phase(Phase::Running);
                }
                host.reply_created(batch, request, true, now);
                let name = host.handle.name.clone();
                host.advise(batch, &StreamAction { stream: &name, deed: Deed::Create }, now);
            }),
        );
        self.submit();
        self.run_after(batch, now);
    }

    /// Serves what was there under a new configuration, which is kept before anything new is.
    fn begin_again_with(
        &mut self,
        batch: &mut Batch,
        opened: OpenedStream,
        request: Box<ApiRequest>,
        now: Now,
    ) {
        let request = self.ask(request);
        self.install(batch, opened, now);
        self.write_meta();
        self.after_reopening = Some(Box::new(move |host, batch, now| {
            let told = move |host: &mut Host, batch: &mut Batch, now: Now| {
                host.reply_created(batch, request, true, now);
                let name = host.handle.name.clone();
                host.advise(batch, &StreamAction { stream: &name, deed: Deed::Create }, now);
            };
            host.when_durable(batch, now, Box::new(told));
        }));
    }

    /// Has the configuration kept.
    pub(super) fn write_meta(&mut self) {
        if self.lane.is_none() {
            return;
        }
        let files = self.meta_files();
        self.store.replace_files(files, Promise::Durable);
    }

    /// Lets messages reach the stream. Doors that were open are replaced at once: who publishes meanwhile finds them or the new ones.
    pub(super) fn open_doors(&mut self) {
        let inbox = &self.handle.inbox;
        let mut doors = Vec::new();
        let mut open = |subject: &[u8], queue: Option<&[u8]>, target: Target| {
            doors.push(Arc::new(Subscription::new(target, subject, queue, b"js", false)));
        };
        for subject in &self.config.subjects {
            let door = PublishDoor {
                js: self.js.clone(),
                account: self.account.clone(),
                stream: self.handle.name.clone(),
                inbox: inbox.clone(),
            };
            open(subject.as_bytes(), None, Target::Internal(Arc::new(door)));
        }
        if self.config.allow_direct {
            for tail in ["", ".>"] {
                let subject = format!("$JS.API.DIRECT.GET.{}{tail}", self.handle.name);
                let door = Arc::new(GetDoor(inbox.clone()));
                open(subject.as_bytes(), Some(b"_sys_"), Target::Internal(door));
            }
        }
        self.doors = self.account.account.replace(&self.doors, doors);
    }

    fn close_all_doors(&mut self) {
        self.close_doors();
        self.unfollow();
        self.drop_snapshots();
    }

    pub(super) fn close_doors(&mut self) {
        self.account.account.remove_all(self.doors.iter());
        self.doors.clear();
    }

    /// The store refuses: what was not durable never will be.
    fn store_failed(&mut self, batch: &mut Batch, now: Now) {
        let Some(error) = self.store.failure().cloned() else { return };
        tracing::error!(
            blame = "disk",
            "JetStream stream '{} > {}' write error: {error}",
            self.account.name(),
            self.handle.name
        );
        let full = error.fault == Fault::Full;
        let told = if full {
            ApiError::from(errors::INSUFFICIENT_RESOURCES)
        } else {
            errors::STREAM_STORE_FAILED.because(&error)
        };
        self.handle.vitals.failed.store(true, Ordering::Release);
        *self.handle.vitals.failure.lock() = error.to_string();
        self.unsettle(batch, &told, now);
        // A lane that was given up has no room to tell of.
        self.crowded = false;
        if let (Some(disk), Some(lane)) = (&self.disk, self.lane) {
            disk.unregister(lane);
        }
        if full {
            self.tell_full(batch, now);
        }
        // What can be read is served again at once, unless that has just failed: an opening may have something to write itself.
        let fails_again = self.full_until.is_some_and(|until| now.mono < until);
        let retry_at = if full && !fails_again { now.mono } else { now.mono + RETRY_EVERY };
        self.life = Life::Failed { error: told.clone(), retry_at, full };
        self.fail_beginning(batch, &told, now);
    }

    /// What was being made, restored or opened when the store failed is not there: a new stream goes again, and nobody waits for an old one.
    fn fail_beginning(&mut self, batch: &mut Batch, error: &ApiError, now: Now) {
        let was_opening = std::mem::take(&mut self.opening);
        if std::mem::take(&mut self.counted) {
            self.js.opened();
        }
        if self.restore.is_some() || self.last_chunk.is_some() {
            let reply = self.last_chunk.take().unwrap_or_default();
            self.give_up_restore(batch, &reply, error, now);
        } else if !was_opening && self.handle.phase() == Phase::Opening {
            self.delete(batch, now);
        }
    }

    /// The configuration stays as it was, whatever others were told of an update.
    pub(super) fn keep_config(&self) {
        let (account, name) = (self.account.clone(), self.handle.name.clone());
        self.js.manager.tell(Told::Kept(account, name, self.config.clone()));
    }

    /// Those who wait for something to become durable are told that it will not.
    fn unsettle(&mut self, batch: &mut Batch, error: &ApiError, now: Now) {
        self.drop_tasks(batch, error, now);
        let mut replies = Vec::new();
        while let Some(entry) = self.held.pop_any() {
            replies.push(self.held.reply(&entry).to_vec());
        }
        self.held.tidy();
        self.republished.clear();
        for reply in replies {
            self.refuse_now(batch, &reply, error);
        }
    }

    fn try_again(&mut self, now: Now) {
        let ended = self.lane_has_ended();
        let Life::Failed { retry_at, .. } = &mut self.life else { return };
        if !ended || now.mono < *retry_at {
            return;
        }
        *retry_at = Mono::NEVER;
        crate::recover::reopen(&self.js, &self.account, &self.handle, self.store.uncertain_from());
    }

    /// There is space again.
    pub(super) fn space_returned(&mut self) {
        self.full_until = None;
        self.go_ahead();
        if let Life::Failed { retry_at, .. } = &mut self.life {
            *retry_at = Mono(0);
        }
    }

    /// Tells whoever looks after the server that its disk is full.
    fn tell_full(&mut self, batch: &mut Batch, now: Now) {
        let Some(system) = self.js.broker.accounts.system().cloned() else { return };
        let (js, handle) = (self.js.clone(), self.handle.clone());
        let event = ServerOutOfStorage {
            server: &js.settings.server_name,
            server_id: &js.settings.server_id,
            stream: &handle.name,
            cluster: "",
        };
        crate::advise::send_in(&js, &system, batch, &event, &mut self.ids, now);
    }

    /// The disk takes nothing any more.
    pub(super) fn disk_is_gone(&mut self) {
        if !self.life.is_ending() {
            tracing::error!(blame = "disk", "the disk of stream {} is closed", self.handle.name);
            let error = ApiError::from(errors::INSUFFICIENT_RESOURCES);
            self.life = Life::Failed { error, retry_at: Mono::NEVER, full: false };
        }
    }

    /// Obeys an order.
    pub(super) fn obey(&mut self, batch: &mut Batch, order: Order, now: Now) {
        match order {
            Order::Update(config, request) => match self.life.refusal() {
                Some(error) => {
                    self.keep_config();
                    request.refuse(batch, kind::STREAM_UPDATE, &error, now);
                }
                None => {
                    self.go_ahead();
                    self.update(batch, config, request, now);
                }
            },
            Order::Created(request) => match self.life.refusal() {
                Some(error) => request.refuse(batch, kind::STREAM_CREATE, &error, now),
                None => {
                    let request = self.ask(request);
                    self.reply_created(batch, request, true, now);
                }
            },
            Order::Describe(place) => self.describe(batch, place, now),
            Order::Observe(part) => self.fill_part(batch, part, now),
            Order::Delete => self.delete_when_answered(batch, now),
            Order::Stop => self.stop(batch, now),
            Order::Reopened(opened) => self.adopt(batch, *opened, now),
            Order::NotReopened { unborn } => {
                if let Some(reply) = self.last_chunk.take() {
                    let error = errors::STREAM_RESTORE.because("the files of the copy could not be opened");
                    self.give_up_restore(batch, &reply, &error, now);
                    self.life = Life::Deleting { unregistered: true, rest: true };
                } else if unborn && self.handle.phase() == Phase::Deleting {
                    self.life = Life::Deleting { unregistered: true, rest: true };
                } else if let Life::Failed { retry_at, .. } = &mut self.life {
                    *retry_at = now.mono + RETRY_EVERY;
                }
                self.refuse_postponed(batch, now);
            }
        }
    }

    fn stop(&mut self, batch: &mut Batch, now: Now) {
        self.go_ahead();
        self.close_all_doors();
        for id in self.consumers.ids() {
            self.with_consumer(batch, id, now, |consumer, cx| {
                consumer.server_shutdown(cx);
                consumer.checkpoint(cx);
            });
            let Host { consumers, store, entropy, .. } = self;
            if let Some(consumer) = consumers.get_mut(id) {
                consumer.write(Promise::Durable, now, entropy, store);
            }
        }
        self.keep_schedules();
        // The lane of a store that failed was given up then.
        let failed = self.life.is_failed();
        self.life = Life::Stopping { written: failed, unregistered: failed };
    }

    /// Has kept what the next start would otherwise find by reading messages.
    fn keep_schedules(&mut self) {
        if self.lane.is_none() || !self.config.allow_msg_schedules || self.life.is_failed() {
            return;
        }
        let list = self.stream.schedules().list();
        let entries = list.iter().map(|entry| Schedule {
            subject: &entry.subject,
            next_ns: entry.next_ns,
            seq: entry.seq,
        });
        let file = side::encode_schedules(self.store.appended() + 1, entries);
        let name = Name::Path(format!("{}/{}", names::MESSAGES, names::SCHEDULES).into());
        self.store.replace_files(vec![(name, file.into())], Promise::Durable);
    }

    fn stop_on(&mut self, mut written: bool, mut unregistered: bool) -> bool {
        if !written {
            written = self.store.stop() != Step::Wait;
            if written {
                self.store.close();
            }
            self.submit();
        }
        if self.lane.is_none() {
            return self.over();
        }
        let settled = self.store.is_settled() && self.submissions.is_empty();
        if written && !unregistered && (settled || self.store.failure().is_some()) {
            self.leave_disk();
            unregistered = true;
        }
        if unregistered && self.lane_has_ended() {
            return self.over();
        }
        self.life = Life::Stopping { written, unregistered };
        false
    }

    fn leave_disk(&mut self) {
        if let (Some(disk), Some(lane)) = (&self.disk, self.lane) {
            disk.unregister(lane);
        }
    }

    /// A store that failed is opened anew to be deleted, so that the journal knows of its end.
    fn delete_later(&mut self, batch: &mut Batch, now: Now) {
        self.close_all_doors();
        self.account.delete(&self.handle);
        self.drop_tasks(batch, &errors::STREAM_NOT_FOUND.into(), now);
        self.after_reopening = Some(Box::new(|host, batch, now| host.delete_when_answered(batch, now)));
    }

    pub(super) fn delete(&mut self, batch: &mut Batch, now: Now) {
        if self.life.is_failed() || self.store.failure().is_some() {
            return self.delete_later(batch, now);
        }
        self.go_ahead();
        self.close_all_doors();
        self.account.delete(&self.handle);
        for id in self.consumers.ids() {
            let told = self.consumers.get(id).filter(|c| !c.config().direct && !c.config().sourcing);
            let told = told.map(|consumer| consumer.identity().name.clone());
            self.with_consumer(batch, id, now, |consumer, cx| consumer.deleted(cx));
            self.consumers.remove(id, &self.account);
            if let Some(name) = told {
                self.advise_consumer(batch, &name, Deed::Delete, now);
            }
        }
        self.drop_tasks(batch, &errors::STREAM_NOT_FOUND.into(), now);
        self.free_usage();
        self.store.delete();
        self.life = Life::Deleting { unregistered: false, rest: false };
        // One in memory is gone with this turn, and its batches with it.
        self.end_batches();
        self.submit();
    }

    /// What the stream took counts no more.
    fn free_usage(&mut self) {
        let used = std::mem::take(&mut self.used);
        self.account.usage.add(self.config.storage, -used);
        self.js.usage.add(self.config.storage, -used);
    }

    fn delete_on(&mut self, batch: &mut Batch, mut unregistered: bool, rest: bool, now: Now) -> bool {
        if self.lane.is_none() {
            self.js.manager.tell(Told::Gone(self.account.clone(), self.handle.name.clone()));
            return self.gone(batch, now);
        }
        let settled = self.store.is_settled() && self.submissions.is_empty();
        if !unregistered && (settled || self.store.failure().is_some()) {
            self.leave_disk();
            unregistered = true;
        }
        if unregistered && self.lane_has_ended() {
            if let Some(error) = self.store.failure().filter(|_| !rest) {
                let error = errors::STREAM_STORE_FAILED.because(error);
                self.life = Life::Failed { error, retry_at: now.mono + RETRY_EVERY, full: false };
                self.delete_later(batch, now);
                return false;
            }
            self.remove_rest(rest);
            return self.gone(batch, now);
        }
        self.life = Life::Deleting { unregistered, rest };
        false
    }

    /// Tells that the stream is gone; what belongs to no store is removed first.
    fn remove_rest(&mut self, rest: bool) {
        let (js, account, name) = (self.js.clone(), self.account.clone(), self.handle.name.clone());
        let Some(disk) = self.disk.clone().filter(|_| rest) else {
            return js.manager.tell(Told::Gone(account, name));
        };
        self.free_usage();
        js.jobs.clone().run(Box::new(move |_| {
            let folder = format!("{}/streams/{name}", account.name());
            if let Err(error) = disk.files().remove_folder(&folder) {
                tracing::error!(blame = "disk", "{error}");
            }
            js.manager.tell(Told::Gone(account, name));
        }));
    }

    /// Whether the lane has ended. The disk says so once.
    fn lane_has_ended(&mut self) -> bool {
        self.lane_ended |= self.handle.inbox.released().is_some();
        self.lane_ended
    }

    fn over(&mut self) -> bool {
        self.handle.inbox.close();
        self.js.host_ended();
        true
    }

    /// The same after a deletion.
    fn gone(&mut self, batch: &mut Batch, now: Now) -> bool {
        let left = self.handle.inbox.close();
        self.answer_what_is_left(batch, left, now);
        self.js.host_ended();
        true
    }

    /// A turn panicked.
    pub(super) fn fence(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.js.opened();
        }
        self.close_all_doors();
        self.end_batches();
        let why = "stopped after an internal error".to_owned();
        self.handle.set_offline(Offline { why, ..Offline::default() });
        self.handle.vitals.failed.store(true, Ordering::Release);
        *self.handle.vitals.failure.lock() = "internal error".to_owned();
        self.leave_disk();
        self.handle.inbox.close();
        self.js.host_ended();
    }

    /// The store is whole again, and the consumers with it.
    fn adopt(&mut self, batch: &mut Batch, opened: OpenedStream, now: Now) {
        for id in self.consumers.ids() {
            // Those in memory have lost nothing; what they passed over may be there again.
            let config = self.consumers.get(id).map(|consumer| consumer.config());
            if config.is_some_and(|config| !config.mem_storage && !config.direct) {
                self.with_consumer(batch, id, now, |consumer, cx| consumer.interrupted(cx));
                self.consumers.remove(id, &self.account);
            }
        }
        // What was taken from other streams and not stored is taken again.
        self.unfollow();
        // Nor is anything else known that only a message says which may not be there.
        self.stream = Stream::new((*opened.config).clone(), opened.created, &mut self.entropy);
        self.lane_ended = false;
        let full = matches!(self.life, Life::Failed { full: true, .. });
        self.life = Life::Serving;
        self.held_back = full;
        self.full_until = full.then(|| now.mono + FULL_FOR);
        let in_memory = self.consumers.ids();
        self.install(batch, opened, now);
        for id in in_memory {
            self.with_consumer(batch, id, now, |consumer, cx| consumer.store_changed(cx));
            self.consumers.make_ready(id);
        }
        // An update may have been lost with what was not durable.
        self.keep_config();
        if full {
            return;
        }
        self.handle.vitals.failed.store(false, Ordering::Release);
        self.handle.vitals.failure.lock().clear();
        tracing::info!("JetStream stream '{} > {}' is served again", self.account.name(), self.handle.name);
    }
}
