//! Requests about consumers.

use std::sync::Arc;

use midge_assets::consumer::config::{self as consumer_config, Change, CheckCx};
use midge_assets::consumer::{Consumer, Identity, Start, StartQuery};
use midge_broker::batch::Batch;
use midge_broker::routing::Outgoing;
use midge_jsapi::advisories::{ConsumerAction, Deed};
use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::headers;
use midge_jsapi::info::ConsumerInfo;
use midge_jsapi::json::{self, Mode};
use midge_jsapi::levels;
use midge_jsapi::requests::{
    self, Action, ConsumerCreate, ConsumerPause, ConsumerReset, ConsumerUnpin, Consumers,
};
use midge_jsapi::responses::ConsumerReset as ResetTold;
use midge_jsapi::responses::{ConsumerList, ConsumerNames, ConsumerPaused, ConsumerTold, Done, Paging, kind};
use midge_jsapi::stored::StoredConsumer;
use midge_jsapi::stream_config::Retention;
use midge_jsapi::subjects;
use midge_stdx::clock::Now;
use midge_store::consumer::{ConsumerStore, Keeping};
use midge_store::format::keys::Context;
use midge_store::format::meta::consumer_sum;
use midge_store::format::names;
use midge_store::port::{Name, Promise};
use midge_store::stream::Step;

use super::super::{Host, Parts};
use super::Asked;
use crate::keys;
use crate::limits::{LIST_PAGE, NAMES_PAGE};
use crate::recover;

/// What a create request amounts to.
struct Wanted {
    config: ConsumerConfig,
    name: String,
    /// The server chose the name, which the configuration does not show.
    unnamed: bool,
}

/// Bytes of the name of a folder.
const MAX_NAME_LEN: usize = 255;

impl Host {
    /// Creates or updates a consumer. `durable` says that the request came to the older subject.
    pub(super) fn consumer_create(
        &mut self,
        batch: &mut Batch,
        request: Asked,
        name: Option<&str>,
        filter: Option<&str>,
        durable: bool,
        now: Now,
    ) {
        let kind = kind::CONSUMER_CREATE;
        let refuse = |batch: &mut Batch, error: &ApiError| request.refuse(batch, kind, error, now);
        let asked: ConsumerCreate = match request.read() {
            Ok(asked) => asked,
            Err(error) => return refuse(batch, &error),
        };
        if let Some(known) = request.header(headers::STREAM_IDENTITY)
            && !known.is_empty()
            && (asked.config.direct || asked.config.sourcing)
            && known != subjects::stream_identity(self.handle.created).as_bytes()
        {
            let identity = subjects::stream_identity(self.handle.created);
            return refuse(batch, &errors::CONSUMER_STREAM_IDENTITY_MISMATCH.with(&[("{msg}", &identity)]));
        }
        let wanted = match self.wanted(&asked, name, filter, durable) {
            Ok(wanted) => wanted,
            Err(error) => return refuse(batch, &error),
        };
        let wanted = self.settle_sourcing(wanted);
        let existing = self.consumers.find(&wanted.name);
        let config = match self.check_consumer(wanted.config, &wanted.name, existing, asked.pedantic) {
            Ok(config) => config,
            Err(error) => return refuse(batch, &error),
        };
        if wanted.name.len() > MAX_NAME_LEN && self.lane.is_some() && !config.mem_storage {
            // No file system has such a folder.
            let error = errors::CONSUMER_CREATE.because("error creating store for consumer");
            return refuse(batch, &error);
        }
        match (existing, asked.action) {
            (None, Action::Update) => refuse(batch, &errors::CONSUMER_DOES_NOT_EXIST.into()),
            (None, action) => {
                let (name, unnamed) = (wanted.name.into(), wanted.unnamed);
                self.begin_consumer(batch, request, config, name, unnamed, action, now);
            }
            (Some(id), action) => self.change_consumer(batch, request, id, config, action, now),
        }
    }

    /// What subject and body say together: 3.2 of the API.
    fn wanted(
        &mut self,
        asked: &ConsumerCreate,
        name: Option<&str>,
        filter: Option<&str>,
        durable: bool,
    ) -> Result<Wanted, ApiError> {
        let mut config = asked.config.clone();
        levels::forget_told(&mut config.metadata);
        if asked.stream_name != *self.handle.name {
            return Err(errors::STREAM_MISMATCH.into());
        }
        let Some(name) = name else {
            if !config.durable_name.is_empty() {
                return Err(errors::CONSUMER_EPHEMERAL_WITH_DURABLE_NAME.into());
            }
            let unnamed = config.name.is_empty();
            let name =
                if unnamed { consumer_config::random_name(&mut self.entropy) } else { config.name.clone() };
            return Ok(Wanted { config, name, unnamed });
        };
        if name.contains(['\\', '/']) {
            return Err(errors::CONSUMER_NAME_CONTAINS_PATH_SEPARATORS.into());
        }
        if durable && config.durable_name.is_empty() {
            return Err(errors::CONSUMER_DURABLE_NAME_NOT_SET.into());
        }
        if !config.durable_name.is_empty() && config.durable_name != name {
            return Err(errors::CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT.into());
        }
        if let Some(filter) = filter {
            if !config.filter_subjects.is_empty() {
                return Err(errors::CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED.into());
            }
            if config.filter_subject != filter {
                return Err(errors::CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH.into());
            }
        }
        // A name in the subject says more than one in the body; a durable name there was compared with it.
        name.clone_into(&mut config.name);
        Ok(Wanted { config, name: name.to_owned(), unnamed: false })
    }

    /// A consumer that feeds another stream: where acknowledgements remove messages, it has to be one that lasts.
    fn settle_sourcing(&mut self, mut wanted: Wanted) -> Wanted {
        let config = &mut wanted.config;
        if !config.sourcing || !config.direct {
            return wanted;
        }
        if self.config.retention == Retention::Limits {
            let token = consumer_config::random_name(&mut self.entropy);
            wanted.name = format!("{}-{token}", wanted.name);
            config.name.clone_from(&wanted.name);
            return wanted;
        }
        config.direct = false;
        config.durable_name.clone_from(&wanted.name);
        config.name.clone_from(&wanted.name);
        config.ack_policy = AckPolicy::FlowControl;
        (config.ack_wait_ns, config.max_deliver, config.inactive_threshold_ns) = (0, 0, 0);
        wanted
    }

    pub(in crate::host) fn check_consumer(
        &self,
        config: ConsumerConfig,
        name: &str,
        existing: Option<u32>,
        pedantic: bool,
    ) -> Result<ConsumerConfig, ApiError> {
        let others: Vec<(&str, &ConsumerConfig)> = self
            .consumers
            .iter()
            .filter(|(id, _)| Some(*id) != existing)
            .map(|(_, consumer)| (&*consumer.identity().name, consumer.config()))
            .collect();
        self.check_beside(config, name, existing, &others, pedantic)
    }

    /// The same beside some of those that are there.
    pub(in crate::host) fn check_beside(
        &self,
        config: ConsumerConfig,
        name: &str,
        existing: Option<u32>,
        others: &[(&str, &ConsumerConfig)],
        pedantic: bool,
    ) -> Result<ConsumerConfig, ApiError> {
        let limit = |server: i64, account: i64| match (server > 0, account > 0) {
            (true, true) => server.min(account),
            (true, false) => server,
            (false, true) => account,
            (false, false) => 0,
        };
        let limits = &self.js.settings.limits;
        let cx = CheckCx {
            stream: &self.config,
            others,
            name,
            existing: existing.and_then(|id| self.consumers.get(id)).map(|consumer| consumer.config()),
            pedantic,
            clustered: false,
            max_ack_pending: limit(limits.max_ack_pending, self.account.limits.max_ack_pending),
            max_request_batch: limits.max_request_batch,
            max_consumers: self.account.limits.max_consumers,
            default_max_consumers: limits.default_max_consumers,
        };
        let mut config = consumer_config::check(config, &cx)?;
        let required = levels::required_of_consumer(&config);
        levels::keep(&mut config.metadata, required);
        Ok(config)
    }

    /// Looks for where a new consumer begins.
    #[allow(clippy::too_many_arguments)]
    fn begin_consumer(
        &mut self,
        batch: &mut Batch,
        request: Asked,
        config: ConsumerConfig,
        name: Arc<str>,
        unnamed: bool,
        action: Action,
        now: Now,
    ) {
        let mut query = StartQuery::new(&config, self.config.max_msgs_per_subject);
        let mut waited = false;
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                let appended = host.store.appended();
                let start = match query.step(&mut host.store, appended) {
                    Step::Ready(start) => start,
                    Step::Wait => {
                        waited = true;
                        return Step::Wait;
                    }
                    Step::Failed(error) => {
                        let error = errors::CONSUMER_CREATE.because(&error);
                        request.refuse(batch, kind::CONSUMER_CREATE, &error, now);
                        return Step::Ready(());
                    }
                };
                let existing = host.consumers.find(&name);
                let checked = if std::mem::take(&mut waited) {
                    // Others may have come first, with this name or with what this one was checked against.
                    host.check_consumer(config.clone(), &name, existing, false)
                } else {
                    Ok(config.clone())
                };
                match (checked, existing) {
                    (Err(error), _) => request.refuse(batch, kind::CONSUMER_CREATE, &error, now),
                    (Ok(config), Some(id)) => {
                        host.change_consumer(batch, request.clone(), id, config, action, now);
                    }
                    (Ok(config), None) => {
                        host.add_consumer(batch, request.clone(), config, &name, unnamed, start, now);
                    }
                }
                Step::Ready(())
            }),
        );
    }

    #[allow(clippy::too_many_arguments)]
    fn add_consumer(
        &mut self,
        batch: &mut Batch,
        request: Asked,
        mut config: ConsumerConfig,
        name: &Arc<str>,
        unnamed: bool,
        start: Start,
        now: Now,
    ) {
        if unnamed {
            config.name.clear();
        }
        let kept_in_file = self.lane.is_some() && !config.mem_storage && !config.direct;
        let keeping = if kept_in_file { Keeping::File } else { Keeping::Memory };
        let (policy, max_deliver) = recover::kept_rules(&config);
        let context = Context::Consumer { stream: &self.handle.name, consumer: name };
        let new_key = if self.lane.is_some() {
            keys::create(&self.js, self.account.name(), context, &mut *self.js.secret_entropy())
        } else {
            None
        };
        let (key, key_file) = new_key.map_or((None, None), |new| (Some(new.key), Some(new.file)));
        // In place of one whose metadata was lost, it goes on where that one was.
        let unread = self.consumers.unread.get(name).filter(|_| kept_in_file);
        let found = unread.and_then(|unread| unread.kept((policy, max_deliver)));
        let goes_on = found.is_some();
        let mut kept = match found {
            Some(kept) => kept.with_key(key.clone()),
            None => ConsumerStore::new(name.clone(), keeping, key.clone(), policy, max_deliver),
        };
        let identity = Identity { stream: self.handle.name.clone(), name: name.clone(), created: now.wall };
        // One in memory is gone with the server, as it says.
        if kept_in_file {
            let mut files = self.consumer_files(&identity, &config, key.as_ref(), key_file);
            if goes_on {
                // Under another key neither can be read without the other.
                files.push(kept.state_file(now.wall.0, &mut *self.js.secret_entropy()));
            }
            self.store.replace_files(files, Promise::Durable);
        }
        let consumer = self.with_cx(batch, now, |cx| match goes_on {
            true => Consumer::recover(identity, config, kept, cx),
            false => Consumer::new(identity, config, kept, start, cx),
        });
        let id = self.consumers.insert(consumer);
        self.consumers.set_key(id, key);
        if kept_in_file {
            let Host { consumers, store, entropy, .. } = self;
            if let Some(consumer) = consumers.get_mut(id) {
                consumer.write(Promise::Durable, now, entropy, store);
            }
        }
        self.consumers.open_doors(id, &self.account, &self.handle.inbox);
        self.with_consumer(batch, id, now, |consumer, cx| consumer.interest_changed(cx));
        self.told_created(batch, request, id, true, now);
    }

    /// Answers with a consumer, once it is kept. A new one is told as it was before its first delivery, so that what is pending is all there
    /// is to come: nothing is delivered before that is counted, which may take a block.
    fn told_created(&mut self, batch: &mut Batch, request: Asked, id: u32, created: bool, now: Now) {
        let Some(mut first) = self.told_consumer(id, now) else {
            let error = ApiError::from(errors::CONSUMER_NOT_FOUND);
            return request.refuse(batch, kind::CONSUMER_CREATE, &error, now);
        };
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                if host.with_consumer(batch, id, now, |consumer, cx| consumer.count(cx)) == Some(Step::Wait) {
                    return Step::Wait;
                }
                if let Some(counted) = host.told_consumer(id, now) {
                    first = counted;
                }
                host.tell_created(batch, request.clone(), id, first.clone(), created, now);
                Step::Ready(())
            }),
        );
    }

    fn tell_created(
        &mut self,
        batch: &mut Batch,
        request: Asked,
        id: u32,
        first: ConsumerInfo,
        created: bool,
        now: Now,
    ) {
        self.when_durable(
            batch,
            now,
            Box::new(move |host, batch, now| {
                // One that is deleted by now was made or changed before that, and is told of as it was then.
                let later = if created { None } else { host.told_consumer(id, now) };
                let info = later.unwrap_or(first);
                let internal = info.config.as_ref().is_some_and(|c| c.direct || c.sourcing);
                let header = if internal { host.identity_header() } else { Vec::new() };
                let name = info.name.clone();
                let mut body = Vec::new();
                midge_jsapi::responses::encode(
                    kind::CONSUMER_CREATE,
                    None,
                    &ConsumerTold { info: Some(info) },
                    &mut body,
                );
                request.send(batch, &header, body, false, now);
                if created {
                    host.advise_consumer(batch, &name, Deed::Create, now);
                }
            }),
        );
    }

    fn change_consumer(
        &mut self,
        batch: &mut Batch,
        request: Asked,
        id: u32,
        config: ConsumerConfig,
        action: Action,
        now: Now,
    ) {
        let Some(consumer) = self.consumers.get(id) else { return };
        let old = consumer.config().clone();
        let config = ConsumerConfig { name: old.name.clone(), ..config };
        let group = Some(old.deliver_group.as_bytes()).filter(|group| !group.is_empty());
        let active = !old.deliver_subject.is_empty()
            && old.deliver_subject != config.deliver_subject
            && self.account.account.has_subscriber(old.deliver_subject.as_bytes(), group);
        match consumer_config::update(&old, config, active) {
            Ok(Change::Same) => {}
            Ok(Change::Changed(_)) if action == Action::Create => {
                let error = ApiError::from(errors::CONSUMER_ALREADY_EXISTS);
                return request.refuse(batch, kind::CONSUMER_CREATE, &error, now);
            }
            Ok(Change::Changed(new)) => {
                // What left before is told while the list still leads to this consumer.
                self.removed(batch, now);
                self.consumers.unlist_filters(id);
                self.with_consumer(batch, id, now, |consumer, cx| consumer.update(cx, *new));
                self.consumers.list_filters(id);
                self.keep_consumer(id);
                self.consumers.open_doors(id, &self.account, &self.handle.inbox);
                self.with_consumer(batch, id, now, |consumer, cx| consumer.interest_changed(cx));
                self.consumers.make_ready(id);
                self.recheck_after_change(batch, now);
            }
            Err(error) => {
                let error = match action {
                    Action::Create => errors::CONSUMER_ALREADY_EXISTS.into(),
                    _ => error,
                };
                return request.refuse(batch, kind::CONSUMER_CREATE, &error, now);
            }
        }
        let feeds = self.consumers.get(id).is_some_and(|c| c.config().sourcing);
        if !feeds {
            return self.told_created(batch, request, id, false, now);
        }
        // What the other stream has not acknowledged is delivered to it again.
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                let step = host.with_consumer(batch, id, now, |consumer, cx| consumer.reset(cx, 0));
                if matches!(step, Some(Step::Wait)) {
                    return Step::Wait;
                }
                host.consumers.make_ready(id);
                host.told_created(batch, request.clone(), id, false, now);
                Step::Ready(())
            }),
        );
    }

    /// The header by which the stream is known from one of the same name.
    fn identity_header(&self) -> Vec<u8> {
        let identity = subjects::stream_identity(self.handle.created);
        format!("NATS/1.0\r\nNats-Stream-Identity: {identity}\r\n\r\n").into_bytes()
    }

    /// The consumer with the metadata that is only told.
    fn told_consumer(&self, id: u32, now: Now) -> Option<ConsumerInfo> {
        let mut info = self.consumers.get(id)?.info(now, self.visible);
        if let Some(config) = &mut info.config {
            levels::tell(&mut config.metadata, &self.js.settings.version);
        }
        Some(info)
    }

    /// Has the configuration of a consumer kept.
    fn keep_consumer(&mut self, id: u32) {
        let Some(consumer) = self.consumers.get(id) else { return };
        let (identity, config) = (consumer.identity().clone(), consumer.config().clone());
        if self.lane.is_none() || config.direct || config.mem_storage {
            return;
        }
        let key = self.consumers.key(id).cloned();
        let files = self.consumer_files(&identity, &config, key.as_ref(), None);
        self.store.replace_files(files, Promise::Durable);
    }

    /// The files in which the configuration of a consumer is kept.
    pub(in crate::host) fn consumer_files(
        &self,
        identity: &Identity,
        config: &ConsumerConfig,
        key: Option<&midge_store::format::keys::AssetKey>,
        key_file: Option<Vec<u8>>,
    ) -> Vec<(Name, bytes::Bytes)> {
        let stored = StoredConsumer {
            created: identity.created,
            name: identity.name.to_string(),
            config: config.clone(),
        };
        let mut text = Vec::new();
        json::encode(&stored, &mut text);
        if let Some(key) = key {
            text = key.seal(&text, &mut *self.js.secret_entropy());
        }
        let sum = consumer_sum(&self.handle.name, &identity.name, &text);
        let path = |file: &str| Name::Path(format!("{}/{}/{file}", names::CONSUMERS, identity.name).into());
        let mut files = vec![(path(names::META), text.into()), (path(names::META_SUM), sum.to_vec().into())];
        if let Some(file) = key_file {
            files.push((path(names::META_KEY), file.into()));
        }
        files
    }

    pub(super) fn consumer_names(&mut self, batch: &mut Batch, request: Asked, now: Now) {
        let asked: Consumers = match request.read_optional() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind::CONSUMER_NAMES, &error, now),
        };
        // One that is being made, or deleted, is not there or gone before that is durable.
        self.when_durable(
            batch,
            now,
            Box::new(move |host, batch, now| {
                let (paging, from) = page(host.listed().count(), asked.offset, NAMES_PAGE);
                let names = host.listed().skip(from).take(NAMES_PAGE);
                let consumers = names.map(|(_, c)| c.identity().name.to_string()).collect();
                request.answer(batch, kind::CONSUMER_NAMES, &ConsumerNames { paging, consumers }, now);
            }),
        );
    }

    pub(super) fn consumer_list(&mut self, batch: &mut Batch, request: Asked, now: Now) {
        let asked: Consumers = match request.read_optional() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind::CONSUMER_LIST, &error, now),
        };
        self.when_durable(
            batch,
            now,
            Box::new(move |host, batch, now| {
                let count = host.listed().count();
                let (paging, from) = page(count, asked.offset, LIST_PAGE);
                let visible = host.visible;
                let consumers =
                    host.listed().skip(from).take(LIST_PAGE).map(|(_, c)| c.info(now, visible)).collect();
                let list = ConsumerList { paging, consumers, ..ConsumerList::default() };
                request.answer(batch, kind::CONSUMER_LIST, &list, now);
            }),
        );
    }

    /// The consumers that lists tell of: those of mirrors and sources are not.
    fn listed(&self) -> impl Iterator<Item = (u32, &Consumer)> {
        self.consumers.iter().filter(|(_, consumer)| !consumer.config().direct)
    }

    pub(super) fn consumer_info(&mut self, batch: &mut Batch, request: Asked, name: &str, now: Now) {
        let kind = kind::CONSUMER_INFO;
        if !requests::is_empty(&request.body) {
            return request.refuse(batch, kind, &errors::NOT_EMPTY_REQUEST.into(), now);
        }
        let name = name.to_owned();
        self.when_durable(
            batch,
            now,
            Box::new(move |host, batch, now| {
                let Some(id) = host.consumers.find(&name) else {
                    return request.refuse(batch, kind, &errors::CONSUMER_NOT_FOUND.into(), now);
                };
                // Requests whose inboxes nobody listens to any more are not counted.
                host.with_consumer(batch, id, now, |consumer, cx| consumer.interest_changed(cx));
                host.consumers.make_ready(id);
                host.begin(
                    batch,
                    now,
                    Box::new(move |host, batch, now| {
                        let counted = host.with_consumer(batch, id, now, |consumer, cx| consumer.count(cx));
                        if counted == Some(Step::Wait) {
                            return Step::Wait;
                        }
                        match host.told_consumer(id, now) {
                            Some(info) => {
                                request.answer(batch, kind, &ConsumerTold { info: Some(info) }, now)
                            }
                            None => request.refuse(batch, kind, &errors::CONSUMER_NOT_FOUND.into(), now),
                        }
                        Step::Ready(())
                    }),
                );
            }),
        );
    }

    pub(super) fn consumer_delete(&mut self, batch: &mut Batch, request: Asked, name: &str, now: Now) {
        let kind = kind::CONSUMER_DELETE;
        if !requests::is_empty(&request.body) {
            return request.refuse(batch, kind, &errors::NOT_EMPTY_REQUEST.into(), now);
        }
        if let Some(id) = self.consumers.find(name) {
            self.delete_consumer(batch, id, now);
        } else if self.consumers.unread.remove(name).is_some() {
            self.remove_consumer_files(name);
            self.recheck_after_change(batch, now);
        } else {
            return request.refuse(batch, kind, &errors::CONSUMER_NOT_FOUND.into(), now);
        }
        self.when_durable(
            batch,
            now,
            Box::new(move |_, batch, now| request.answer(batch, kind, &Done { success: true }, now)),
        );
    }

    /// Deletes a consumer.
    pub(in crate::host) fn delete_consumer(&mut self, batch: &mut Batch, id: u32, now: Now) {
        self.with_consumer(batch, id, now, |consumer, cx| consumer.deleted(cx));
        let Some(consumer) = self.consumers.remove(id, &self.account) else { return };
        let name = consumer.identity().name.clone();
        let hidden = consumer.config().direct;
        self.remove_consumer_files(&name);
        if !hidden {
            self.advise_consumer(batch, &name, Deed::Delete, now);
        }
        self.recheck_after_change(batch, now);
    }

    fn remove_consumer_files(&mut self, name: &str) {
        if self.lane.is_some() {
            let folder = Name::Path(format!("{}/{name}/", names::CONSUMERS).into());
            self.store.remove_files(vec![folder], Promise::Durable);
        }
    }

    pub(in crate::host) fn advise_consumer(
        &mut self,
        batch: &mut Batch,
        consumer: &str,
        deed: Deed,
        now: Now,
    ) {
        let handle = self.handle.clone();
        self.advise(batch, &ConsumerAction { stream: &handle.name, consumer, deed }, now);
    }

    pub(super) fn consumer_pause(&mut self, batch: &mut Batch, request: Asked, name: &str, now: Now) {
        let kind = kind::CONSUMER_PAUSE;
        let asked: ConsumerPause = match request.read_optional() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind, &error, now),
        };
        let Some(id) = self.consumers.find(name) else {
            return request.refuse(batch, kind, &errors::CONSUMER_NOT_FOUND.into(), now);
        };
        let until = asked.pause_until.filter(|until| *until > now.wall);
        self.with_consumer(batch, id, now, |consumer, cx| consumer.pause(cx, asked.pause_until));
        self.keep_consumer(id);
        self.consumers.make_ready(id);
        self.when_durable(
            batch,
            now,
            Box::new(move |_, batch, now| {
                let remaining = until.map_or(0, |until| until.0.saturating_sub(now.wall.0).max(0));
                let answer = ConsumerPaused {
                    paused: until.is_some(),
                    pause_until: asked.pause_until,
                    pause_remaining_ns: remaining,
                };
                request.answer(batch, kind, &answer, now);
            }),
        );
    }

    pub(super) fn consumer_unpin(&mut self, batch: &mut Batch, request: &Asked, name: &str, now: Now) {
        let kind = kind::CONSUMER_UNPIN;
        let mut asked = ConsumerUnpin::default();
        if let Err(why) = json::decode_one(&request.body, Mode::Lenient, &mut asked) {
            return request.refuse(batch, kind, &errors::INVALID_JSON.because(why), now);
        }
        if asked.group.is_empty() {
            let error = errors::INVALID_JSON.because("consumer group not specified");
            return request.refuse(batch, kind, &error, now);
        }
        let Some(id) = self.consumers.find(name) else {
            return request.refuse(batch, kind, &errors::CONSUMER_NOT_FOUND.into(), now);
        };
        match self.with_consumer(batch, id, now, |consumer, cx| consumer.unpin(cx, &asked.group)) {
            Some(Err(error)) => request.refuse(batch, kind, &error, now),
            _ => {
                self.consumers.make_ready(id);
                request.answer(batch, kind, &Done::default(), now);
            }
        }
    }

    /// A request to begin anew elsewhere; it comes to the consumer's own subject, and is neither counted nor audited.
    pub(in crate::host) fn reset_consumer(
        &mut self,
        batch: &mut Batch,
        id: u32,
        parts: &Parts<'_>,
        now: Now,
    ) {
        let mut asked = ConsumerReset::default();
        let identified = midge_wire::headers::find(parts.header, headers::STREAM_IDENTITY).is_some();
        let reply: Arc<[u8]> = parts.reply.into();
        if let Some(level) = midge_wire::headers::find(parts.header, headers::REQUIRED_API_LEVEL)
            && !levels::is_served(level)
        {
            let mut body = Vec::new();
            let error = errors::REQUIRED_API_LEVEL.into();
            midge_jsapi::responses::refuse(kind::CONSUMER_RESET, &error, &mut body);
            return self.send_body(batch, &reply, &body);
        }
        if !parts.payload.is_empty()
            && let Err(why) = json::decode_one(parts.payload, Mode::Lenient, &mut asked)
        {
            let mut body = Vec::new();
            let error = errors::INVALID_JSON.because(why);
            midge_jsapi::responses::refuse(kind::CONSUMER_RESET, &error, &mut body);
            return self.send_body(batch, &reply, &body);
        }
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                let step = host.with_consumer(batch, id, now, |consumer, cx| consumer.reset(cx, asked.seq));
                let (error, at) = match step {
                    None => (Some(ApiError::from(errors::CONSUMER_NOT_FOUND)), 0),
                    Some(Step::Wait) => return Step::Wait,
                    Some(Step::Ready(Ok(at))) => (None, at),
                    Some(Step::Ready(Err(error))) => (Some(error), 0),
                    Some(Step::Failed(error)) => (Some(errors::CONSUMER_INVALID_RESET.because(&error)), 0),
                };
                let mut body = Vec::new();
                if let Some(error) = error {
                    midge_jsapi::responses::refuse(kind::CONSUMER_RESET, &error, &mut body);
                    host.send_body(batch, &reply, &body);
                    return Step::Ready(());
                }
                host.consumers.make_ready(id);
                let reply = reply.clone();
                let tell = move |host: &mut Host, batch: &mut Batch, now: Now| {
                    let info = host.told_consumer(id, now);
                    let told = ResetTold { info, reset_seq: at };
                    let mut body = Vec::new();
                    midge_jsapi::responses::encode(kind::CONSUMER_RESET, None, &told, &mut body);
                    // Who knows of identities learns the stream's.
                    let header = if identified { host.identity_header() } else { Vec::new() };
                    let (to, header) = (&reply[..], &header[..]);
                    let answer = Outgoing { to, subject: to, reply: b"", header, payload: &body };
                    if !to.is_empty() {
                        host.js.send(batch, &host.account, &answer);
                    }
                };
                if asked.seq == 0 {
                    // Going back to what is acknowledged promises nothing that could get lost, and whoever feeds a stream by
                    // this consumer takes what it delivers only behind the answer.
                    tell(host, batch, now);
                } else {
                    host.when_durable(batch, now, Box::new(tell));
                }
                Step::Ready(())
            }),
        );
    }
}

/// The page of a list, and where it begins.
pub(crate) fn page(total: usize, offset: i64, limit: usize) -> (Paging, usize) {
    let from = usize::try_from(offset).unwrap_or(0).min(total);
    (Paging { total: total as i64, offset: from as i64, limit: limit as i64 }, from)
}
