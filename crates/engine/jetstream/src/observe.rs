//! How monitoring sees JetStream: figures that anybody may read, and questions to the hosts, who alone know the rest.
//!
//! A question never waits: parts come when hosts take their turns, and whoever asked is woken by the last one. What has not come when patience ends is
//! shown from the figures that everybody may read.

use std::sync::{Arc, OnceLock};

use midge_jsapi::account::{ApiStats, ServerConfig, ServerStats};
use midge_jsapi::info::{ConsumerInfo, SourceInfo, StreamState};
use midge_jsapi::levels;
use midge_jsapi::stream_config::Storage;
use midge_sync::atomic::{AtomicU64, Ordering};
use midge_views::Wake;
use midge_views::metrics::{AssetFigures, StreamFigures};

use crate::account::{ApiCounts, JsAccount, Phase, StreamHandle, Vitals};
use crate::host::{Item, Order};
use crate::system::JetStream;

/// Which consumers of a stream are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// None.
    None,
    /// The one of this name.
    Named(Arc<str>),
    /// All but those of mirrors and sources.
    Own,
    /// All.
    All,
}

/// What a host says of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// What is in it.
    pub state: StreamState,
    /// How far it has followed its origin.
    pub mirror: Option<SourceInfo>,
    /// How far it has followed its sources.
    pub sources: Vec<SourceInfo>,
    /// The consumers asked for, by name.
    pub consumers: Vec<ConsumerInfo>,
    /// Those of mirrors and sources.
    pub direct_consumers: Vec<ConsumerInfo>,
}

/// A question to the hosts of several streams.
pub struct Inquiry(Arc<Shared>);

struct Shared {
    answers: Vec<OnceLock<Shown>>,
    missing: AtomicU64,
    wake: Wake,
}

impl Shared {
    /// One thing less to wait for.
    fn less(&self) {
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            (self.wake)();
        }
    }
}

/// The part of one host. No lock is taken when it is filled or dropped, since hosts and inboxes drop things under theirs.
pub(crate) struct Part {
    shared: Arc<Shared>,
    at: usize,
    pub(crate) which: Which,
}

impl Part {
    pub(crate) fn fill(self, shown: Shown) {
        if let Some(place) = self.shared.answers.get(self.at) {
            let _ = place.set(shown);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.shared.less();
    }
}

impl Inquiry {
    /// Asks the hosts of these streams. `wake` is called when all have answered, or will never.
    pub fn begin(streams: &[Arc<StreamHandle>], which: &Which, wake: Wake) -> Inquiry {
        let answers = streams.iter().map(|_| OnceLock::new()).collect();
        // One more than there are parts, so that it cannot be over before all were asked.
        let shared = Arc::new(Shared { answers, missing: AtomicU64::new(streams.len() as u64 + 1), wake });
        for (at, stream) in streams.iter().enumerate() {
            let part = Part { shared: shared.clone(), at, which: which.clone() };
            if stream.phase() == Phase::Running {
                // A host that is gone leaves its part empty.
                let _ = stream.inbox.send(Item::Order(Box::new(Order::Observe(part))));
            }
        }
        shared.less();
        Inquiry(shared)
    }

    /// What the host of the stream with that number has said, if it has.
    pub fn answer(&self, at: usize) -> Option<&Shown> {
        self.0.answers.get(at).and_then(OnceLock::get)
    }
}

impl std::fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inquiry")
            .field("missing", &self.0.missing.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn count(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

fn api(counts: &ApiCounts, level: i64, inflight: u64) -> ApiStats {
    ApiStats { level, total: count(&counts.total), errors: count(&counts.errors), inflight }
}

/// What the whole server uses.
pub fn stats(js: &JetStream) -> ServerStats {
    ServerStats {
        memory: unsigned(js.usage.of(Storage::Memory)),
        storage: unsigned(js.usage.of(Storage::File)),
        reserved_memory: unsigned(js.reserved(Storage::Memory)),
        reserved_storage: unsigned(js.reserved(Storage::File)),
        accounts: js.accounts().len() as i64,
        ha_assets: 0,
        api: api(&js.api, i64::from(levels::API_LEVEL), count(&js.inflight)),
    }
}

/// What an account uses. What it has reserved are its limits, and no limit is the largest number, as tools expect.
pub fn account_stats(account: &JsAccount) -> ServerStats {
    ServerStats {
        memory: unsigned(account.usage.of(Storage::Memory)),
        storage: unsigned(account.usage.of(Storage::File)),
        reserved_memory: account.limits.max_memory.cast_unsigned(),
        reserved_storage: account.limits.max_storage.cast_unsigned(),
        accounts: 0,
        ha_assets: 0,
        api: api(&account.api, 0, 0),
    }
}

/// How JetStream is set up. `fixed` says that the options state how much may be used.
pub fn config(js: &JetStream, fixed: bool) -> ServerConfig {
    let settings = &js.settings;
    ServerConfig {
        max_memory: settings.max_memory,
        max_storage: settings.max_file,
        store_dir: settings.store_dir.clone(),
        sync_interval_ns: i64::try_from(settings.sync_interval.as_nanos()).unwrap_or(i64::MAX),
        sync_always: settings.sync_always,
        domain: settings.domain.clone(),
        // Go's server forgets this one where it looks for the sizes itself.
        compress_ok: fixed,
        unique_tag: settings.unique_tag.clone(),
        strict: settings.strict,
    }
}

/// What everybody may read of a stream, where its host has not answered: without times and subjects.
pub fn rough_state(vitals: &Vitals) -> StreamState {
    StreamState {
        messages: count(&vitals.messages),
        bytes: count(&vitals.bytes),
        first_seq: count(&vitals.first_seq),
        last_seq: count(&vitals.last_seq),
        consumer_count: i64::try_from(count(&vitals.consumers)).unwrap_or(i64::MAX),
        ..StreamState::default()
    }
}

/// The streams of an account that are shown, by name: not those that are still being created or opened.
pub fn shown_streams(account: &JsAccount) -> Vec<Arc<StreamHandle>> {
    account.streams().into_iter().filter(|stream| stream.phase() != Phase::Opening).collect()
}

/// The figures of an account.
pub fn account_figures(account: &JsAccount) -> AssetFigures {
    let streams = shown_streams(account);
    AssetFigures {
        streams: streams.len() as u64,
        consumers: streams.iter().map(|stream| count(&stream.vitals.consumers)).sum(),
        messages: streams.iter().map(|stream| count(&stream.vitals.messages)).sum(),
        memory: unsigned(account.usage.of(Storage::Memory)),
        storage: unsigned(account.usage.of(Storage::File)),
        api_total: count(&account.api.total),
        api_errors: count(&account.api.errors),
    }
}

/// The figures of a stream.
pub fn stream_figures(account: &JsAccount, stream: &StreamHandle) -> StreamFigures {
    let vitals = &stream.vitals;
    StreamFigures {
        account: account.name().to_owned(),
        stream: stream.name.to_string(),
        messages: count(&vitals.messages),
        bytes: count(&vitals.bytes),
        first_seq: count(&vitals.first_seq),
        last_seq: count(&vitals.last_seq),
        consumers: count(&vitals.consumers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Inbox, Taken};
    use midge_broker::turn::Signal;
    use midge_jsapi::stream_config::StreamConfig;
    use midge_stdx::clock::Wall;
    use midge_sync::ordlock::Mutex;
    use midge_sync::rank;

    fn stream(name: &str, phase: Phase) -> Arc<StreamHandle> {
        let inbox = Arc::new(Inbox::new(Signal::new(), 10, 10));
        Arc::new(StreamHandle::new(name.into(), Wall(0), Arc::new(StreamConfig::default()), inbox, phase))
    }

    /// Counts with a lock, as others do who are told: nobody may hold one of the same rank while they call.
    struct Rung(Arc<Mutex<{ rank::LEAF }, u64>>);

    impl Rung {
        fn times(&self) -> u64 {
            *self.0.lock()
        }
    }

    fn rung() -> (Rung, Wake) {
        let rung = Arc::new(Mutex::new(0));
        let bell = rung.clone();
        (Rung(rung), Box::new(move || *bell.lock() += 1))
    }

    /// What a host finds in its inbox.
    fn part(stream: &StreamHandle) -> Option<Part> {
        let mut taken = Taken::default();
        stream.inbox.take(&mut taken);
        match taken.items.pop()? {
            Item::Order(order) => match *order {
                Order::Observe(part) => Some(part),
                _ => None,
            },
            _ => None,
        }
    }

    #[test]
    fn the_last_answer_wakes_once() {
        let streams = [stream("A", Phase::Running), stream("B", Phase::Running)];
        let (rung, wake) = rung();
        let inquiry = Inquiry::begin(&streams, &Which::Own, wake);
        let (a, b) = (part(&streams[0]).expect("asked"), part(&streams[1]).expect("asked"));
        assert_eq!((&a.which, rung.times()), (&Which::Own, 0));
        let shown =
            Shown { state: StreamState { messages: 7, ..StreamState::default() }, ..Shown::default() };
        b.fill(shown.clone());
        assert_eq!((inquiry.answer(1), inquiry.answer(0), rung.times()), (Some(&shown), None, 0));
        a.fill(Shown::default());
        assert!(inquiry.answer(0).is_some());
        assert_eq!(rung.times(), 1);
        assert_eq!(inquiry.answer(2), None);
    }

    #[test]
    fn nobody_waits_for_hosts_that_are_gone_or_do_not_serve() {
        let gone = stream("GONE", Phase::Running);
        gone.inbox.close();
        let (offline, opening) = (stream("OFF", Phase::Offline), stream("NEW", Phase::Opening));
        let (rung_early, wake) = rung();
        let inquiry = Inquiry::begin(&[gone, offline.clone(), opening], &Which::None, wake);
        assert_eq!(rung_early.times(), 1);
        assert!((0..3).all(|at| inquiry.answer(at).is_none()));
        assert!(part(&offline).is_none());
        // A host that ends with the question in its inbox lets the others be told.
        let ends = stream("ENDS", Phase::Running);
        let (rung_late, wake) = rung();
        let inquiry = Inquiry::begin(std::slice::from_ref(&ends), &Which::None, wake);
        assert_eq!(rung_late.times(), 0);
        ends.inbox.close();
        assert_eq!((rung_late.times(), inquiry.answer(0)), (1, None));
        let (rung_empty, wake) = rung();
        let _ = Inquiry::begin(&[], &Which::All, wake);
        assert_eq!(rung_empty.times(), 1);
    }
}
