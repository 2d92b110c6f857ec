//! What a shard carries through one batch of input: chunks, touched queues, remembered routes.

use std::sync::Arc;
use std::time::Duration;

use midge_index::sublist::Matched;
use midge_stdx::clock::Now;
use midge_stdx::entropy::{Entropy, Seeded};

use crate::limits::{BATCH_OUTPUT, CROWDED, CROWDED_SHARE, STALL_TOTAL};
use crate::outbound::Pool;
use crate::peer::Peer;
use crate::routing::RouteCache;
use crate::subscription::Subscription;

/// The context of one shard; reused batch after batch.
pub struct Batch {
    /// The shard's number.
    pub shard: usize,
    /// Chunks for reuse.
    pub pool: Pool,
    /// When the current batch began.
    pub now: Now,
    pub(crate) routes: RouteCache,
    pub(crate) matched: Matched<Arc<Subscription>>,
    /// Where messages of the server itself are put together.
    pub(crate) scratch: Vec<u8>,
    pub(crate) entropy: Seeded,
    dirty: Vec<Arc<Peer>>,
    /// Queues touched by this batch.
    dirty_seen: usize,
    id: u64,
    output: usize,
    stall: Duration,
    crowded: bool,
    /// The consumer with the most bytes queued, of those that have more than their share.
    crowded_peer: Option<(Arc<Peer>, usize)>,
    /// Messages and bytes delivered since the last [`Batch::take_delivered`].
    delivered: (u64, u64),
}

impl Batch {
    /// The context of shard `shard`; `seed` decides its choices among queue members.
    pub fn new(shard: usize, seed: u64) -> Self {
        Batch {
            shard,
            pool: Pool::default(),
            now: Now::default(),
            routes: RouteCache::default(),
            matched: Matched::default(),
            scratch: Vec::new(),
            entropy: Seeded::new(seed).split("queue members"),
            dirty: Vec::new(),
            dirty_seen: 0,
            id: (shard as u64 + 1) << 48,
            output: 0,
            stall: Duration::ZERO,
            crowded: false,
            crowded_peer: None,
            delivered: (0, 0),
        }
    }

    /// Starts a batch.
    #[inline]
    pub fn begin(&mut self, now: Now) {
        self.now = now;
        self.id += 1;
        self.output = 0;
        self.dirty_seen = 0;
        self.stall = Duration::ZERO;
        self.crowded = false;
        self.crowded_peer = None;
    }

    /// The batch's number, unlike that of any other batch of any shard.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether input should be left for the next batch, because enough was queued or a queue is nearly full.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.output >= BATCH_OUTPUT || self.crowded
    }

    /// Whether any queue was touched.
    #[inline]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// How long the publisher of this batch has to wait for slow consumers.
    #[inline]
    pub fn stall(&self) -> Duration {
        self.stall
    }

    pub(crate) fn add_stall(&mut self, wait: Duration) {
        self.stall = (self.stall + wait).min(STALL_TOTAL);
        self.crowded = true;
    }

    /// Notes that bytes were queued for a peer that is not on the list yet.
    #[inline]
    pub(crate) fn touched(&mut self, peer: &Arc<Peer>) {
        self.dirty_seen += 1;
        self.dirty.push(peer.clone());
    }

    #[inline]
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.output += bytes;
    }

    /// The bytes that one consumer may have queued before its publisher has to wait.
    #[inline]
    fn share(&self) -> usize {
        (CROWDED / self.dirty_seen.max(1)).max(CROWDED_SHARE)
    }

    /// Notes how much is queued for a consumer.
    #[inline]
    pub(crate) fn queued(&mut self, peer: &Arc<Peer>, pending: usize) {
        if pending > CROWDED_SHARE && self.crowded_peer.as_ref().is_none_or(|(_, most)| pending > *most) {
            self.crowded_peer = Some((peer.clone(), pending));
        }
    }

    /// Whether the publisher of this batch has to wait for a consumer, after the flush; see [`Peer::hold_back`].
    pub fn holds_back(&mut self, publisher: &Arc<Peer>) -> bool {
        let limit = self.share();
        let Some((peer, most)) = self.crowded_peer.take() else { return false };
        most > limit && peer.hold_back(publisher, limit)
    }

    #[inline]
    pub(crate) fn delivered(&mut self, messages: u64, bytes: u64) {
        self.delivered.0 += messages;
        self.delivered.1 += bytes;
    }

    /// Messages and bytes delivered since the last call.
    #[inline]
    pub fn take_delivered(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.delivered)
    }

    /// Queues bytes for one connection.
    pub fn send(&mut self, peer: &Arc<Peer>, bytes: &[u8]) {
        let listed = {
            let mut queue = peer.queue();
            queue.push(&mut self.pool, bytes);
            queue.pressure();
            queue.list(self.id)
        };
        self.output += bytes.len();
        if listed {
            self.dirty.push(peer.clone());
        }
    }

    /// Moves the touched queues into `into`, for the edge to flush.
    #[inline]
    pub fn take_dirty(&mut self, into: &mut Vec<Arc<Peer>>) {
        std::mem::swap(&mut self.dirty, into);
        self.dirty.clear();
    }

    /// A uniformly distributed number below `bound`.
    #[inline]
    pub(crate) fn pick(&mut self, bound: usize) -> usize {
        self.entropy.below(bound as u64) as usize
    }

    /// Gives back memory that a busy time needed; called when the shard has been idle for a while.
    pub fn relax(&mut self) {
        self.pool.shrink();
        self.dirty.shrink_to(64);
        self.matched = Matched::default();
        self.scratch = Vec::new();
    }
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("shard", &self.shard).field("id", &self.id).finish_non_exhaustive()
    }
}
