//! A stream whose configuration is lost is made again over the messages that are there.
//!
//! Nothing goes but what the limits of the new configuration remove: what cannot be read is copied aside before anything takes its place, consumers come back,
//! and a retention under which messages would go that are there is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_jsapi::stream_config::{Retention, StreamConfig};
use midge_store::format::names;
use midge_store::stream::{State, set_aside};

use super::{FoundConsumers, OpenedStream, Trouble, open_configured};
use crate::account::{JsAccount, StreamHandle};
use crate::api::ApiRequest;
use crate::api::manager::Told;
use crate::system::JetStream;

/// What became of such a stream.
pub(crate) struct Again {
    pub(crate) account: Arc<JsAccount>,
    pub(crate) handle: Arc<StreamHandle>,
    /// What stood for the stream before.
    pub(crate) lost: Arc<StreamHandle>,
    pub(crate) request: Box<ApiRequest>,
    pub(crate) opened: Result<Box<OpenedStream>, String>,
}

/// Opens what is there as `handle` says, on a thread that may wait; the owner of the registry is told.
pub(crate) fn make_again(
    js: &Arc<JetStream>,
    account: Arc<JsAccount>,
    handle: Arc<StreamHandle>,
    lost: Arc<StreamHandle>,
    request: Box<ApiRequest>,
) {
    let owner = js.clone();
    js.jobs.run(Box::new(move |now| {
        let js = owner;
        let opened = open(&js, &account, &handle, now).map_err(Trouble::why).map(Box::new);
        js.manager.tell(Told::Again(Box::new(Again { account, handle, lost, request, opened })));
    }));
}

fn open(
    js: &Arc<JetStream>,
    account: &Arc<JsAccount>,
    handle: &StreamHandle,
    now: midge_stdx::clock::Now,
) -> Result<OpenedStream, Trouble> {
    let disk = js.disk().ok_or_else(|| Trouble::Unreadable("file storage is not enabled".to_owned()))?;
    let folder = format!("{}/streams/{}", account.name(), handle.name);
    let config = handle.config();
    if let Some(copy) = set_aside(&*disk.files(), &folder, names::META)? {
        tracing::warn!("  {folder}/{} was copied to {copy}", names::META);
    }
    let deltas = disk.deltas(&folder)?;
    let mut left: BTreeMap<_, _> = deltas.into_iter().map(|d| (d.consumer, d.changes)).collect();
    let mut take = |_: &str, consumer: &str| left.remove(consumer).unwrap_or_default();
    let check = |state: &State, found: &FoundConsumers| match takes_away(&config, state, found) {
        true => Err(format!(
            "messages of the stream are there that retention {} would remove",
            config.retention.text()
        )),
        false => Ok(()),
    };
    let configured = ((*config).clone(), handle.created);
    let opened = open_configured(js, account, configured, &handle.inbox, &*disk, &mut take, &check, now)?;
    tracing::info!(
        "  Stream '{} > {}' was made again with {} messages",
        account.name(),
        handle.name,
        opened.store.state().messages
    );
    Ok(opened)
}

/// Whether a retention says that the first message should not be there: it was not that of the stream, then.
fn takes_away(config: &StreamConfig, state: &State, found: &FoundConsumers) -> bool {
    if state.messages == 0 || !found.unread.is_empty() {
        return false;
    }
    let mut done_with_all = found.opened.iter().map(|consumer| {
        let all = consumer.config.filter_subject.is_empty() && consumer.config.filter_subjects.is_empty();
        all && consumer.kept.state().ack_floor.stream_seq >= state.first_seq
    });
    match config.retention {
        Retention::Limits => false,
        Retention::Interest => done_with_all.all(|done| done),
        Retention::WorkQueue => done_with_all.any(|done| done),
    }
}
