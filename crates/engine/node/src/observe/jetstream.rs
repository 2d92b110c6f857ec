//! JetStream as monitoring sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_jetstream::account::{Phase, StreamHandle};
use midge_jetstream::observe::{self as jetstream, Inquiry, Which};
use midge_jetstream::{JetStream, JsAccount};
use midge_jsapi::account::ServerLimits;
use midge_jsapi::info::ClusterInfo;
use midge_stdx::clock::Now;
use midge_sync::atomic::Ordering;
use midge_views::healthz::{Assets, HealthError, Healthz, HealthzOptions, JetStream as Health, Missing};
use midge_views::jsz::{AccountDetail, Jsz, JszOptions, NOT_LEADER, StreamDetail};
use midge_views::limits::{METRIC_ACCOUNTS, METRIC_STREAMS};
use midge_views::metrics::{AssetFigures, JetStreamFigures};
use midge_views::varz::JetStreamVarz;
use midge_views::{Question, Told, Wake};

use crate::Node;

impl Node {
    /// The limits of assets, as far as they are configured.
    fn stated_limits(&self, js: &JetStream) -> ServerLimits {
        let limits = &self.options.jetstream.limits;
        let (batch, stated) = (&limits.batch, |n: Option<i64>| n.unwrap_or(0));
        let nanos = |time: std::time::Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        ServerLimits {
            max_request_batch: limits.max_request_batch,
            max_ack_pending: limits.max_ack_pending,
            max_ha_assets: limits.max_ha_assets,
            max_duplicate_window_ns: nanos(limits.duplicate_window),
            max_batch_inflight_per_stream: stated(batch.max_inflight_per_stream),
            max_batch_inflight_total: stated(batch.max_inflight_total),
            max_batch_size: stated(batch.max_msgs),
            max_batch_timeout_ns: batch.timeout.map_or(0, nanos),
            default_max_consumers: js.settings.limits.default_max_consumers,
        }
    }

    /// Whether the options say how much may be used.
    fn has_fixed_sizes(&self) -> bool {
        let options = &self.options.jetstream;
        [options.max_memory, options.max_file].iter().all(|size| size.is_some_and(|size| size >= 0))
    }

    pub(super) fn jetstream_varz(&self) -> JetStreamVarz {
        let Some(js) = self.jetstream.get() else { return JetStreamVarz::default() };
        JetStreamVarz {
            config: Some(Told(jetstream::config(js, self.has_fixed_sizes()))),
            stats: Some(Told(jetstream::stats(js))),
            limits: Some(Told(self.stated_limits(js))),
        }
    }

    pub(super) fn ask_jsz(&self, options: &JszOptions, wake: Wake) -> Result<Box<dyn Question<Jsz>>, String> {
        let server_id = self.broker.settings().identity.server_id.clone();
        let Some(js) = self.jetstream.get() else {
            if options.leader_only {
                return Err(NOT_LEADER.to_owned());
            }
            return Ok(Box::new(Off { server_id }));
        };
        let accounts = js.accounts();
        let mut jsz = Jsz {
            stats: Told(jetstream::stats(js)),
            server_id,
            config: Told(jetstream::config(js, self.has_fixed_sizes())),
            limits: Some(Told(self.stated_limits(js))),
            total: accounts.len(),
            ..Jsz::default()
        };
        for account in &accounts {
            let figures = jetstream::account_figures(account);
            jsz.streams += figures.streams;
            jsz.consumers += figures.consumers;
            jsz.messages += figures.messages;
        }
        jsz.bytes = jsz.stats.0.memory + jsz.stats.0.storage;
        if options.raft {
            (jsz.streams_leader, jsz.consumers_leader) = (jsz.streams, jsz.consumers);
        }
        let named = accounts.iter().find(|account| account.name() == options.account);
        let shown: Vec<Arc<JsAccount>> = match named {
            Some(account) => vec![account.clone()],
            None if options.accounts => {
                accounts.get(options.page(accounts.len())).unwrap_or_default().to_vec()
            }
            None => Vec::new(),
        };
        let streams: Vec<Vec<Arc<StreamHandle>>> = shown
            .iter()
            .map(|account| if options.streams { jetstream::shown_streams(account) } else { Vec::new() })
            .collect();
        let which = match (options.consumers, options.direct_consumers) {
            (true, true) => Which::All,
            (true, false) => Which::Own,
            (false, _) => Which::None,
        };
        let inquiry = Inquiry::begin(&streams.concat(), &which, wake);
        let with_config = options.config;
        let leader = js.settings.server_name.clone();
        Ok(Box::new(Asked {
            jsz,
            shown: shown.into_iter().zip(streams).collect(),
            inquiry,
            with_config,
            leader,
        }))
    }

    pub(super) fn ask_healthz(&self, options: &HealthzOptions, wake: Wake) -> Box<dyn Question<Healthz>> {
        let ready = self.ready.load(Ordering::Acquire);
        let not_ready: &[&str] = if ready { &[] } else { &["server"] };
        let judge = |health| midge_views::healthz::healthz(options, not_ready, health);
        let js = match self.jetstream.get() {
            None if self.options.jetstream.enabled => return Box::new(Judged(judge(Health::Off))),
            None => return Box::new(Judged(judge(Health::None))),
            Some(js) if js.is_stopping() => return Box::new(Judged(judge(Health::Off))),
            Some(js) => js,
        };
        if !midge_views::healthz::concerns_assets(options) {
            return Box::new(Judged(judge(Health::On(Assets::default()))));
        }
        let (assets, stream) = assets(js, options);
        let asks = assets.troubles.is_empty() && assets.missing.is_none() && !options.consumer.is_empty();
        match stream {
            // The request is sound and nothing is wrong so far: whether there is such a consumer, its stream knows.
            Some(stream) if asks && judge(Health::On(assets.clone())).code == 200 => {
                let which = Which::Named(options.consumer.as_str().into());
                let inquiry = Inquiry::begin(&[stream], &which, wake);
                Box::new(AskedForConsumer { options: options.clone(), inquiry })
            }
            _ => Box::new(Judged(judge(Health::On(assets)))),
        }
    }

    pub(super) fn jetstream_figures(&self) -> Option<JetStreamFigures> {
        let js = self.jetstream.get()?;
        let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
        let stats = jetstream::stats(js);
        let accounts = js.accounts();
        let mut figures = JetStreamFigures {
            total: AssetFigures {
                memory: stats.memory,
                storage: stats.storage,
                api_total: stats.api.total,
                api_errors: stats.api.errors,
                ..AssetFigures::default()
            },
            accounts: accounts.len() as u64,
            max_memory: unsigned(js.settings.max_memory),
            max_storage: unsigned(js.settings.max_file),
            reserved_memory: stats.reserved_memory,
            reserved_storage: stats.reserved_storage,
            inflight: stats.api.inflight,
            disk: self.disk_figures.get().map(|read| read()),
            ..JetStreamFigures::default()
        };
        for account in &accounts {
            let of_account = jetstream::account_figures(account);
            figures.total.streams += of_account.streams;
            figures.total.consumers += of_account.consumers;
            figures.total.messages += of_account.messages;
            if figures.by_account.len() < METRIC_ACCOUNTS {
                figures.by_account.push((account.name().to_owned(), of_account));
            }
            for stream in jetstream::shown_streams(account) {
                figures.failed_streams += u64::from(stream.vitals.failed.load(Ordering::Acquire));
                if figures.by_stream.len() < METRIC_STREAMS {
                    figures.by_stream.push(jetstream::stream_figures(account, &stream));
                }
            }
        }
        Some(figures)
    }
}

/// JetStream is off.
struct Off {
    server_id: String,
}

impl Question<Jsz> for Off {
    fn answer(self: Box<Self>, now: Now) -> Jsz {
        Jsz { server_id: self.server_id, now: now.wall.into(), disabled: true, ..Jsz::default() }
    }
}

/// Hosts were asked.
struct Asked {
    jsz: Jsz,
    shown: Vec<(Arc<JsAccount>, Vec<Arc<StreamHandle>>)>,
    inquiry: Inquiry,
    with_config: bool,
    leader: String,
}

impl Question<Jsz> for Asked {
    fn answer(self: Box<Self>, now: Now) -> Jsz {
        let Asked { mut jsz, shown, inquiry, with_config, leader } = *self;
        jsz.now = now.wall.into();
        let mut at = 0;
        for (account, streams) in shown {
            let mut detail = AccountDetail {
                name: account.name().to_owned(),
                id: account.name().to_owned(),
                stats: Told(jetstream::account_stats(&account)),
                streams: Vec::with_capacity(streams.len()),
            };
            for stream in streams {
                let mut shown = stream_detail(&stream, &inquiry, at, with_config);
                jsz.partial |= shown.is_none() && stream.phase() != Phase::Offline;
                at += 1;
                let cluster = ClusterInfo { leader: leader.clone(), ..ClusterInfo::default() };
                let detail_of_stream = shown.get_or_insert_with(|| StreamDetail {
                    state: Told(jetstream::rough_state(&stream.vitals)),
                    ..StreamDetail::default()
                });
                detail_of_stream.name = stream.name.to_string();
                detail_of_stream.created = stream.created.into();
                detail_of_stream.cluster = Some(Told(cluster));
                detail_of_stream.config = with_config.then(|| Told((*stream.config()).clone()));
                detail.streams.extend(shown);
            }
            jsz.account_details.push(detail);
        }
        jsz
    }
}

/// What the host of a stream has said, if it has.
fn stream_detail(
    stream: &StreamHandle,
    inquiry: &Inquiry,
    at: usize,
    with_config: bool,
) -> Option<StreamDetail> {
    let shown = inquiry.answer(at)?.clone();
    let consumers = |list: Vec<midge_jsapi::info::ConsumerInfo>| {
        let all = list.into_iter().map(|mut info| {
            info.config = info.config.filter(|_| with_config);
            Told(info)
        });
        all.collect()
    };
    Some(StreamDetail {
        name: stream.name.to_string(),
        state: Told(shown.state),
        consumers: consumers(shown.consumers),
        direct_consumers: consumers(shown.direct_consumers),
        mirror: shown.mirror.map(Told),
        sources: shown.sources.into_iter().map(Told).collect(),
        ..StreamDetail::default()
    })
}

/// Nothing more has to be asked.
struct Judged(Healthz);

impl Question<Healthz> for Judged {
    fn answer(self: Box<Self>, _: Now) -> Healthz {
        self.0
    }
}

/// A stream was asked for a consumer.
struct AskedForConsumer {
    options: HealthzOptions,
    inquiry: Inquiry,
}

impl Question<Healthz> for AskedForConsumer {
    fn answer(self: Box<Self>, _: Now) -> Healthz {
        let HealthzOptions { account, stream, .. } = &self.options;
        let assets = match self.inquiry.answer(0) {
            None => Assets { troubles: vec![HealthError::silent(account, stream)], ..Assets::default() },
            Some(shown) if shown.consumers.is_empty() && shown.direct_consumers.is_empty() => {
                Assets { missing: Some(Missing::Consumer), ..Assets::default() }
            }
            Some(_) => Assets::default(),
        };
        midge_views::healthz::healthz(&self.options, &[], Health::On(assets))
    }
}

/// What is wrong with what was asked about, and the stream that was asked about.
fn assets(js: &JetStream, options: &HealthzOptions) -> (Assets, Option<Arc<StreamHandle>>) {
    let recovery = &js.recovery;
    if !recovery.is_done() {
        let opening = (recovery.opened.load(Ordering::Acquire), recovery.found.load(Ordering::Acquire));
        return (Assets { opening: Some(opening), ..Assets::default() }, None);
    }
    let asked = |account: &str| options.account.is_empty() || options.account == account;
    let asked_stream = |stream: &str| options.stream.is_empty() || options.stream == stream;
    let mut troubles: BTreeMap<String, Vec<HealthError>> = BTreeMap::new();
    let mut has_folder = false;
    for (account, streams) in recovery.skipped() {
        if !asked(&account) {
            continue;
        }
        has_folder = true;
        let known = js.broker.accounts.find(&account).is_some();
        let found = if known {
            let lost = streams.iter().filter(|stream| asked_stream(stream));
            lost.map(|stream| HealthError::unrecovered(&account, stream)).collect()
        } else if options.stream.is_empty() || !options.details {
            vec![HealthError::unresolved(&account)]
        } else {
            // Details of one stream of an account that nobody knows say only that it is not found.
            Vec::new()
        };
        troubles.insert(account, found);
    }
    let account = js.account(&options.account);
    let concerned = match &account {
        Some(account) => vec![account.clone()],
        None if options.account.is_empty() => js.accounts(),
        None => Vec::new(),
    };
    for account in concerned {
        let name = account.name();
        let streams = account.streams().into_iter().filter(|stream| asked_stream(&stream.name));
        let failed = streams.filter(|stream| stream.vitals.failed.load(Ordering::Acquire));
        let errors = failed.map(|stream| match stream.phase() {
            Phase::Offline => HealthError::unrecovered(name, &stream.name),
            _ => HealthError::write_failed(name, &stream.name, &stream.vitals.failure.lock()),
        });
        troubles.entry(name.to_owned()).or_default().extend(errors);
    }
    let stream = account.as_ref().and_then(|account| account.stream(&options.stream));
    let stream = stream.filter(|stream| stream.phase() != Phase::Deleting);
    let missing = match (&account, &stream) {
        (None, _) if !options.account.is_empty() && !has_folder => Some(Missing::Account),
        (_, None) if !options.stream.is_empty() => Some(Missing::Stream),
        _ => None,
    };
    (Assets { opening: None, troubles: troubles.into_values().flatten().collect(), missing }, stream)
}
