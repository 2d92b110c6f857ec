//! Requests about the stream itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_assets::stream::info::{self, Deleted};
use midge_assets::stream::{config as stream_config, purge};
use midge_broker::batch::Batch;
use midge_jsapi::advisories::{Deed, StreamAction};
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::info::{ClusterInfo, StreamInfo, StreamState};
use midge_jsapi::json;
use midge_jsapi::levels;
use midge_jsapi::requests::{self, MsgDelete, StreamInfoRequest, StreamPurge};
use midge_jsapi::responses::{Done, Paging, StreamCreated, StreamDetails, StreamPurged, StreamUpdated, kind};
use midge_jsapi::stored::StoredStream;
use midge_jsapi::stream_config::{Retention, StreamConfig};
use midge_stdx::clock::Now;
use midge_store::format::meta::stream_sum;
use midge_store::format::names;
use midge_store::port::Name;
use midge_store::stream::{Filter, Step};

use super::super::Host;
use super::Asked;
use crate::api::ApiRequest;
use crate::api::gather::Place;

impl Host {
    /// What is told of the stream, without details.
    pub(in crate::host) fn info(&mut self, now: Now) -> Step<StreamInfo> {
        let state = match info::state(&mut self.store, self.visible, self.consumers.shown()) {
            Step::Ready(state) => state,
            Step::Wait => return Step::Wait,
            Step::Failed(error) => return Step::Failed(error),
        };
        let (mirror, sources) = self.told_links(now);
        Step::Ready(StreamInfo {
            mirror,
            sources,
            config: (*self.config).clone(),
            created: self.handle.created,
            state,
            ts: now.wall,
            ..StreamInfo::default()
        })
    }

    /// The state alone.
    pub(in crate::host) fn state(&mut self) -> Step<StreamState> {
        info::state(&mut self.store, self.visible, self.consumers.len())
    }

    /// The same with the metadata that is only told.
    pub(in crate::host) fn told_info(&mut self, now: Now) -> Step<StreamInfo> {
        self.info(now).map(|mut info| {
            levels::tell(&mut info.config.metadata, &self.js.settings.version);
            info
        })
    }

    /// The same for whoever asked; refused, and nothing, when it cannot be had.
    fn info_for(
        &mut self,
        batch: &mut Batch,
        request: &Asked,
        kind: &'static str,
        now: Now,
    ) -> Step<Option<StreamInfo>> {
        match self.told_info(now) {
            Step::Ready(info) => Step::Ready(Some(info)),
            Step::Wait => Step::Wait,
            Step::Failed(error) => {
                request.refuse(batch, kind, &errors::STREAM_GENERAL.because(&error), now);
                Step::Ready(None)
            }
        }
    }

    pub(in crate::host) fn reply_created(
        &mut self,
        batch: &mut Batch,
        request: Asked,
        did_create: bool,
        now: Now,
    ) {
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                host.info_for(batch, &request, kind::STREAM_CREATE, now).map(|info| {
                    if info.is_some() {
                        let answer = StreamCreated { info, did_create };
                        request.answer(batch, kind::STREAM_CREATE, &answer, now);
                    }
                })
            }),
        );
    }

    /// A part of a list.
    pub(in crate::host) fn describe(&mut self, batch: &mut Batch, place: Place, now: Now) {
        let mut place = Some(place);
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                let domain = host.js.settings.domain.clone();
                host.info(now).map(|info| {
                    if let Some(place) = place.take() {
                        place.fill(batch, StreamInfo { domain, ..info }, now);
                    }
                })
            }),
        );
    }

    pub(super) fn stream_info(&mut self, batch: &mut Batch, request: Asked, now: Now) {
        let asked: StreamInfoRequest = match request.read_optional() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind::STREAM_INFO, &error, now),
        };
        let mut deleted = asked.deleted_details.then(Deleted::default);
        let mut details: Option<Vec<u64>> = None;
        self.when_durable(
            batch,
            now,
            Box::new(move |host, batch, now| {
                host.begin(
                    batch,
                    now,
                    Box::new(move |host, batch, now| {
                        if let Some(cursor) = &mut deleted {
                            loop {
                                match cursor.step(&mut host.store, host.visible) {
                                    Step::Ready(Some(found)) => {
                                        details = Some(found);
                                        break;
                                    }
                                    Step::Ready(None) => {}
                                    Step::Wait => return Step::Wait,
                                    Step::Failed(_) => break,
                                }
                            }
                            deleted = None;
                        }
                        host.send_info(batch, &request, &asked, details.take(), now)
                    }),
                );
            }),
        );
    }

    fn send_info(
        &mut self,
        batch: &mut Batch,
        request: &ApiRequest,
        asked: &StreamInfoRequest,
        deleted: Option<Vec<u64>>,
        now: Now,
    ) -> Step<()> {
        let mut info = match self.told_info(now) {
            Step::Ready(info) => info,
            Step::Wait => return Step::Wait,
            Step::Failed(error) => {
                let error = errors::STREAM_GENERAL.because(&error);
                request.refuse(batch, kind::STREAM_INFO, &error, now);
                return Step::Ready(());
            }
        };
        if let Some(deleted) = deleted {
            info.state.num_deleted = deleted.len() as i64;
            info.state.deleted = deleted;
        }
        info.domain.clone_from(&self.js.settings.domain);
        info.cluster =
            Some(ClusterInfo { leader: self.js.settings.server_name.clone(), ..ClusterInfo::default() });
        let mut paging = Paging::default();
        if !asked.subjects_filter.is_empty() {
            let filter = Filter::one(asked.subjects_filter.as_bytes());
            let page = info::subjects(&self.store, &filter, asked.offset.max(0));
            // Where nothing matches, no page is told of.
            if page.total > 0 {
                paging =
                    Paging { total: page.total as i64, offset: page.offset as i64, limit: page.limit as i64 };
            }
            info.state.subjects = page.subjects.into_iter().collect::<BTreeMap<_, _>>();
        }
        request.answer(batch, kind::STREAM_INFO, &StreamDetails { paging, info: Some(info) }, now);
        Step::Ready(())
    }

    pub(super) fn stream_purge(&mut self, batch: &mut Batch, request: Asked, now: Now) {
        let asked: Result<StreamPurge, ApiError> = request.read_optional();
        let query = asked.and_then(|asked| purge::query(&self.config, &asked));
        let mut query = match query {
            Ok(query) => query,
            Err(error) => return request.refuse(batch, kind::STREAM_PURGE, &error, now),
        };
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                if host.stream.settle(&mut host.store) == Step::Wait {
                    return Step::Wait;
                }
                let purged = match host.store.purge_matching(&mut query) {
                    Step::Ready(purged) => purged,
                    Step::Wait => return Step::Wait,
                    Step::Failed(error) => {
                        let error = errors::STREAM_PURGE_FAILED.because(&error);
                        request.refuse(batch, kind::STREAM_PURGE, &error, now);
                        return Step::Ready(());
                    }
                };
                host.purged(batch, now);
                let request = request.clone();
                host.when_durable(
                    batch,
                    now,
                    Box::new(move |_, batch, now| {
                        let answer = StreamPurged { success: true, purged };
                        request.answer(batch, kind::STREAM_PURGE, &answer, now);
                    }),
                );
                Step::Ready(())
            }),
        );
    }

    /// Consumers learn that many messages went.
    fn purged(&mut self, batch: &mut Batch, now: Now) {
        let mut changes = std::mem::take(&mut self.changes);
        self.store.take_changes(&mut changes);
        let single = match &changes[..] {
            [change] if change.seq > 0 => Some(change.clone()),
            _ => None,
        };
        changes.clear();
        self.changes = changes;
        if let Some(change) = single {
            return self.tell_of_change(batch, &change, now);
        }
        for id in self.consumers.ids() {
            self.with_consumer(batch, id, now, |consumer, cx| consumer.purged(cx));
        }
    }

    pub(super) fn message_delete(&mut self, batch: &mut Batch, request: Asked, now: Now) {
        let kind = kind::MSG_DELETE;
        if requests::is_empty(&request.body) {
            return request.refuse(batch, kind, &errors::BAD_REQUEST.into(), now);
        }
        let asked: MsgDelete = match request.read() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind, &error, now),
        };
        if let Err(error) = purge::may_delete(&self.config) {
            return request.refuse(batch, kind, &error, now);
        }
        self.begin(
            batch,
            now,
            Box::new(move |host, batch, now| {
                match purge::delete(&mut host.store, asked.seq, !asked.no_erase) {
                    Step::Wait => return Step::Wait,
                    Step::Ready(Ok(())) => {}
                    Step::Ready(Err(error)) => {
                        request.refuse(batch, kind, &error, now);
                        return Step::Ready(());
                    }
                    Step::Failed(error) => {
                        let error = errors::STREAM_MSG_DELETE_FAILED.because(&error);
                        request.refuse(batch, kind, &error, now);
                        return Step::Ready(());
                    }
                }
                host.removed(batch, now);
                let request = request.clone();
                host.when_durable(
                    batch,
                    now,
                    Box::new(move |_, batch, now| {
                        request.answer(batch, kind, &Done { success: true }, now);
                    }),
                );
                Step::Ready(())
            }),
        );
    }

    /// Takes over a configuration.
    pub(in crate::host) fn update(
        &mut self,
        batch: &mut Batch,
        config: Arc<StreamConfig>,
        request: Box<ApiRequest>,
        now: Now,
    ) {
        let request = self.ask(request);
        if let Err(error) = self.check_consumers(&config) {
            self.keep_config();
            return request.refuse(batch, kind::STREAM_UPDATE, &error, now);
        }
        let old = std::mem::replace(&mut self.config, config.clone());
        self.stream.reconfigure((*config).clone());
        self.store.configure(stream_config::store_config(&config, &self.js.store_rules()));
        self.write_meta();
        if old.subjects != config.subjects || old.allow_direct != config.allow_direct {
            self.open_doors();
        }
        if old.mirror != config.mirror
            || old.sources != config.sources
            || old.mirror_direct != config.mirror_direct
        {
            self.follow_configured();
        }
        for id in self.consumers.ids() {
            if let Some(consumer) = self.consumers.get_mut(id) {
                consumer.stream_updated(config.retention);
            }
        }
        if old.retention == Retention::Limits && config.retention == Retention::Interest {
            self.recheck_after_change(batch, now);
        }
        self.removed(batch, now);
        self.when_durable(
            batch,
            now,
            Box::new(move |host, batch, now| {
                host.begin(
                    batch,
                    now,
                    Box::new(move |host, batch, now| {
                        let step = host.info_for(batch, &request, kind::STREAM_UPDATE, now);
                        let Step::Ready(info) = step else { return Step::Wait };
                        let Some(info) = info else { return Step::Ready(()) };
                        let info = StreamInfo { domain: host.js.settings.domain.clone(), ..info };
                        let updated = StreamUpdated { info: Some(info) };
                        request.answer(batch, kind::STREAM_UPDATE, &updated, now);
                        let name = host.handle.name.clone();
                        host.advise(batch, &StreamAction { stream: &name, deed: Deed::Modify }, now);
                        Step::Ready(())
                    }),
                );
            }),
        );
    }

    /// Whether consumers are within the limits that a configuration sets.
    fn check_consumers(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let limits = &config.consumer_limits;
        let breaks = |of: &midge_jsapi::consumer_config::ConsumerConfig| {
            (limits.max_ack_pending > 0 && of.max_ack_pending > limits.max_ack_pending)
                || (limits.inactive_threshold_ns > 0
                    && of.inactive_threshold_ns > limits.inactive_threshold_ns)
        };
        let broken: Vec<&str> = self
            .consumers
            .iter()
            .filter(|(_, consumer)| breaks(consumer.config()))
            .map(|(_, consumer)| &*consumer.identity().name)
            .collect();
        if broken.is_empty() {
            return Ok(());
        }
        let text = format!("change to limits violates consumers: {}", broken.join(", "));
        Err(errors::STREAM_UPDATE.because(text))
    }

    /// The files in which the configuration is kept.
    pub(in crate::host) fn meta_files(&mut self) -> Vec<(Name, bytes::Bytes)> {
        let stored = StoredStream { created: self.handle.created, config: (*self.config).clone() };
        let mut text = Vec::new();
        json::encode(&stored, &mut text);
        let text = match &self.key {
            Some(key) => key.seal(&text, &mut *self.js.secret_entropy()),
            None => text,
        };
        let sum = stream_sum(&self.handle.name, &text);
        let path = |name: &str| Name::Path(name.into());
        let mut files = vec![(path(names::META), text.into()), (path(names::META_SUM), sum.to_vec().into())];
        if let Some(file) = self.key_file.take() {
            files.push((path(names::META_KEY), file.into()));
        }
        files
    }
}
