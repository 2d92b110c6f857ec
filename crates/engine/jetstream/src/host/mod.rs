//! One owner for a stream, its store and its consumers.
//!
//! ```text
//!   doors (publishes, acknowledgements, pulls, gets, API) ─▶ Inbox ─▶ Host::turn ─┬─ assets::Stream, assets::Consumer decide
//!   disk: completions ─────────────────────────────────────▶                      ├─ Store: operations for the disk
//!                                                                                 └─ Held: answers, sent when durable
//! ```
//!
//! The order of a turn is the order of truth: what the disk completed, inputs in the order of their arrival, time, operations for the disk, answers and messages that
//! have become durable, deliveries. A step that needs a block stops its kind of work until the block is there; nothing waits.

mod api;
mod consumers;
mod expire;
mod follow;
mod held;
mod inbox;
mod install;
mod interest;
mod life;
mod observe;
mod outlet;
mod publish;
mod restore;
mod short;
mod show;
mod snapshot;
mod tasks;
mod unserved;

use std::collections::VecDeque;
use std::sync::Arc;

use midge_assets::stream::publish::Republished;
use midge_assets::stream::{Limits, Outbox, Stream};
use midge_broker::batch::Batch;
use midge_broker::subscription::Subscription;
use midge_broker::turn::{Next, Turn};
use midge_jsapi::stream_config::StreamConfig;
use midge_jsapi::subjects;
use midge_stdx::clock::{Mono, Now};
use midge_stdx::entropy::Seeded;
use midge_store::format::keys::AssetKey;
use midge_store::port::{Completion, Lane, StoreDisk, Submission, Submitted};
use midge_store::stream::{Change, Step, Store};

pub(crate) use api::page;
pub(crate) use consumers::Consumers;
pub(crate) use inbox::{
    ConsumerDoor, ForConsumer, GetDoor, Inbox, InterestDoor, Item, Parts, Refused, Taken, parts,
};
pub(crate) use life::{Life, Order};

use crate::account::{JsAccount, StreamHandle};
use crate::keys::NewKey;
use crate::limits::TURN_INPUTS;
use crate::system::JetStream;
use follow::Follow;
use held::Held;
use restore::Restore;
use snapshot::Snapshots;
use tasks::{After, Tasks};
use unserved::Postponed;

/// See the module.
pub(crate) struct Host {
    pub(crate) js: Arc<JetStream>,
    pub(crate) account: Arc<JsAccount>,
    pub(crate) handle: Arc<StreamHandle>,
    pub(crate) config: Arc<StreamConfig>,
    pub(crate) store: Store,
    pub(crate) stream: Stream,
    pub(crate) lane: Option<Lane>,
    disk: Option<Arc<dyn StoreDisk>>,
    /// The disk has said that the lane is over.
    lane_ended: bool,
    /// States of consumers are to be written whole.
    behind: bool,
    pub(crate) consumers: Consumers,
    pub(crate) limits: Limits,
    /// What the account and the server were told that is in use.
    used: i64,
    /// Open atomic and fast batches, as the server counts them.
    open_batches: (usize, usize),
    taken: Taken,
    at: usize,
    held: Held,
    outbox: Outbox,
    republished: VecDeque<Republished>,
    submissions: Vec<Submission>,
    /// The disk has more of this lane than it takes.
    crowded: bool,
    completions: Vec<Completion>,
    pub(crate) entropy: Seeded,
    /// The last sequence that others may see.
    visible: u64,
    /// The last sequence that consumers were told of.
    told: u64,
    tasks: Tasks,
    follow: Follow,
    snapshots: Snapshots,
    restore: Option<Box<Restore>>,
    /// A store that was opened is not whole yet, or its consumers are not there: nothing is served meanwhile.
    opening: bool,
    /// The start waits for this stream.
    counted: bool,
    /// What is done when the store was opened anew.
    after_reopening: Option<After>,
    /// Requests that came while the files were being opened anew.
    postponed: Vec<Postponed>,
    /// It is to be deleted when everybody who asked before has an answer: nothing is taken meanwhile.
    leaving: bool,
    /// Where the answer to the last chunk of a copy goes, while what came is not durable.
    last_chunk: Option<Arc<[u8]>>,
    doors: Vec<Arc<Subscription>>,
    life: Life,
    /// When to tidy up; never, if nothing happened since.
    tidy_at: Mono,
    /// When the store wants to be asked about ages again.
    expire_at: Mono,
    /// Another turn is wanted, whatever arrives.
    again: bool,
    /// Where texts are put together.
    text: Vec<u8>,
    /// What the store says it removed; empty between uses.
    changes: Vec<Change>,
    /// Messages that consumers need no more: from, to.
    to_remove: VecDeque<(u64, u64)>,
    /// For the ids of advisories.
    ids: Seeded,
    /// The account in acknowledgement subjects of the second form.
    account_hash: String,
    /// The key of the configuration's file, and the content of the key's own file while that is not written.
    key: Option<Arc<AssetKey>>,
    key_file: Option<Vec<u8>>,
    /// The disk is full: nothing is stored until then.
    full_until: Option<Mono>,
    /// What an opening and time had to write waits for space.
    held_back: bool,
}

/// What a host is made of.
pub(crate) struct NewHost {
    pub(crate) js: Arc<JetStream>,
    pub(crate) account: Arc<JsAccount>,
    pub(crate) handle: Arc<StreamHandle>,
    pub(crate) config: Arc<StreamConfig>,
    pub(crate) store: Store,
    pub(crate) stream: Stream,
    pub(crate) lane: Option<Lane>,
    pub(crate) key: Option<NewKey>,
}

impl Host {
    pub(crate) fn new(new: NewHost, life: Life) -> Host {
        let NewHost { js, account, handle, config, store, stream, lane, key } = new;
        let (entropy, ids) = (js.draw_entropy(), js.draw_entropy());
        let account_hash = subjects::hash8(account.name().as_bytes());
        let (key, key_file) = key.map_or((None, None), |new| (Some(Arc::new(new.key)), Some(new.file)));
        let visible = store.durable();
        let disk = js.disk();
        let counted = matches!(life, Life::Recovered(_));
        let opening = counted || matches!(life, Life::Again(_));
        let limits = js.stream_limits(&account);
        let consumers = Consumers::new(&js.settings.domain);
        Host {
            js,
            account,
            handle,
            config,
            store,
            stream,
            lane,
            disk,
            lane_ended: life.is_failed(),
            behind: false,
            consumers,
            limits,
            used: 0,
            open_batches: (0, 0),
            taken: Taken::default(),
            at: 0,
            held: Held::default(),
            outbox: Outbox::default(),
            republished: VecDeque::new(),
            submissions: Vec::new(),
            crowded: false,
            completions: Vec::new(),
            entropy,
            visible,
            told: visible,
            tasks: Tasks::default(),
            follow: Follow::default(),
            snapshots: Snapshots::default(),
            restore: None,
            opening,
            counted,
            after_reopening: None,
            postponed: Vec::new(),
            leaving: false,
            last_chunk: None,
            doors: Vec::new(),
            life,
            tidy_at: Mono::NEVER,
            expire_at: Mono(0),
            again: false,
            text: Vec::new(),
            changes: Vec::new(),
            to_remove: VecDeque::new(),
            ids,
            account_hash: String::from_utf8_lossy(&account_hash).into_owned(),
            key,
            key_file,
            full_until: None,
            held_back: false,
        }
    }

    /// Takes what the disk has done.
    fn take_from_disk(&mut self, now: Now) {
        let mut completions = std::mem::take(&mut self.completions);
        let said = self.handle.inbox.take_completions(&mut completions);
        if said.room {
            self.crowded = false;
        }
        if said.space {
            self.space_returned();
        }
        self.behind |= said.behind;
        let mut came = false;
        if !completions.is_empty() {
            self.consumers.more_is_done();
        }
        for completion in completions.drain(..) {
            came |= self.store.complete(completion, now.mono);
        }
        if came {
            self.tasks.blocks_came();
            self.consumers.blocks_came();
            self.expire_at = Mono(0);
        }
        self.completions = completions;
        let serves = self.lane.is_some() && !self.life.is_failed() && !self.life.is_ending();
        if said.refused && serves && self.store.failure().is_none() {
            // Asked for anything, the disk says why. The next publish should not be what finds it out.
            self.store.sync();
        }
    }

    fn takes_inputs(&self) -> bool {
        let ends = self.leaving || self.life.is_ending();
        let ready = !self.opening && !self.life.is_to_begin() && !ends;
        ready && !self.crowded && !self.tasks.is_full() && !self.held.is_full()
    }

    /// Handles inputs, in order; answers whether there may be more.
    fn take_inputs(&mut self, batch: &mut Batch, now: Now) -> bool {
        let mut budget = TURN_INPUTS;
        let mut taken = std::mem::take(&mut self.taken);
        let mut more = false;
        while self.takes_inputs() {
            if self.at >= taken.items.len() {
                taken.items.clear();
                self.at = 0;
                self.handle.inbox.take(&mut taken);
                if taken.items.is_empty() {
                    break;
                }
            }
            if budget == 0 {
                more = true;
                break;
            }
            budget -= 1;
            let Some(item) = taken.items.get_mut(self.at) else { break };
            if self.life.is_failed() {
                let item = std::mem::replace(item, Item::Interest(u32::MAX));
                self.at += 1;
                self.refuse_item(batch, item, &taken.bytes, now);
                continue;
            }
            let step = match item {
                Item::Publish(span) => {
                    let span = *span;
                    self.publish(batch, &span.of(&taken.bytes), now)
                }
                Item::Consumer(id, what, span) => {
                    let (id, what, span) = (*id, *what, *span);
                    self.go_ahead_for_consumer(what);
                    self.for_consumer(batch, id, what, &span.of(&taken.bytes), now)
                }
                Item::Get(span) => {
                    let span = *span;
                    self.direct_get(batch, &span.of(&taken.bytes), now);
                    Step::Ready(())
                }
                Item::Interest(id) => {
                    let id = *id;
                    self.interest_changed(batch, id, now);
                    Step::Ready(())
                }
                Item::Api(_) | Item::Order(_) => {
                    // The host may end, or its store fail, by what it does here: the item is used up before.
                    self.at += 1;
                    match std::mem::replace(item, Item::Interest(u32::MAX)) {
                        Item::Api(request) => self.api(batch, request, now),
                        Item::Order(order) => self.obey(batch, *order, now),
                        _ => {}
                    }
                    continue;
                }
            };
            if step == Step::Wait {
                break;
            }
            self.at += 1;
        }
        self.taken = taken;
        more
    }

    /// Hands the disk what there is to do.
    fn submit(&mut self) {
        self.store.take_submissions(&mut self.submissions);
        if self.life.is_failed() {
            // The lane was given up. What the files do not say is not the case when they are opened anew.
            self.submissions.clear();
        }
        if self.submissions.is_empty() || self.crowded {
            return;
        }
        if self.is_held_back() {
            return self.submit_reads();
        }
        let Some(disk) = &self.disk else { return };
        match disk.submit(&mut self.submissions) {
            Submitted::All => {}
            Submitted::Full => self.crowded = true,
            Submitted::NoLane | Submitted::Closed => {
                self.submissions.clear();
                self.disk_is_gone();
            }
        }
    }

    /// The earliest time at which something is due.
    fn next_deadline(&self) -> Mono {
        if self.life.is_ending() {
            // The disk says when it goes on.
            return Mono::NEVER;
        }
        [
            self.tidy_at,
            self.expire_at,
            self.stream.deadline().unwrap_or(Mono::NEVER),
            self.consumers.deadline(),
            // Before the lane has ended there is nothing to try, and the disk says when it has.
            if self.lane_ended { self.life.deadline() } else { Mono::NEVER },
            // Nothing is asked of other streams while the own store cannot take it.
            if matches!(self.life, Life::Serving) { self.follow.deadline() } else { Mono::NEVER },
            self.space_deadline(),
            self.snapshots.deadline(),
            self.restore_deadline(),
        ]
        .into_iter()
        .min()
        .unwrap_or(Mono::NEVER)
    }
}

impl Turn for Host {
    fn turn(&mut self, batch: &mut Batch, now: Now) -> Next {
        self.take_from_disk(now);
        let mut more = self.take_inputs(batch, now);
        self.run_tasks(batch, now);
        self.catch_up(batch, now);
        self.expire(batch, now);
        self.submit();
        // The disk may have done at once what needs no sync.
        self.take_from_disk(now);
        // What is to be told as it was before anything is delivered.
        self.run_tasks(batch, now);
        self.show(batch, now);
        more |= self.deliver(batch, now);
        self.remove_consumed(batch, now);
        self.submit();
        // What memory streams did is visible at once.
        self.show(batch, now);
        if self.live(batch, now) {
            return Next::Over;
        }
        // What began or ends may need the disk at once.
        self.submit();
        self.count_batches();
        self.report();
        // Tasks may have waited for what has just become visible.
        let more = more || self.tasks.can_go_on();
        if std::mem::take(&mut self.again) || more || self.consumers.has_ready() {
            Next::Again
        } else {
            Next::Idle(self.next_deadline())
        }
    }

    fn fenced(&mut self) {
        self.fence();
    }
}
