//! A subscription: what a client (or the server itself) wants to receive.

use std::fmt;
use std::sync::Arc;

use midge_index::sublist::Keyed;
use midge_sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::internal::Service;
use crate::peer::Peer;

/// Who receives.
#[derive(Clone)]
pub enum Target {
    /// A connection.
    Peer(Arc<Peer>),
    /// A service of the server itself.
    Internal(Arc<dyn Service>),
}

/// One subscription. Its subject, queue and sid lie in one allocation.
pub struct Subscription {
    /// Who receives.
    pub target: Target,
    text: Box<[u8]>,
    subject_len: u32,
    queue_len: u32,
    has_queue: bool,
    /// Whether each delivery has to be checked against the receiver's deny list.
    filtered: AtomicBool,
    /// Messages delivered; changed under the receiver's queue lock only.
    delivered: AtomicU64,
    /// Messages in total after which it ends; 0 for none.
    max: AtomicU64,
    ended: AtomicBool,
}

impl Subscription {
    /// A subscription that receives until it is removed.
    pub fn new(target: Target, subject: &[u8], queue: Option<&[u8]>, sid: &[u8], filtered: bool) -> Self {
        let mut text = Vec::with_capacity(subject.len() + queue.map_or(0, <[u8]>::len) + sid.len());
        text.extend_from_slice(subject);
        text.extend_from_slice(queue.unwrap_or_default());
        text.extend_from_slice(sid);
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Subscription {
            target,
            text: text.into_boxed_slice(),
            subject_len: len(subject),
            queue_len: len(queue.unwrap_or_default()),
            has_queue: queue.is_some(),
            filtered: AtomicBool::new(filtered),
            delivered: AtomicU64::new(0),
            max: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }
    }

    /// What is subscribed to.
    #[inline]
    pub fn subject(&self) -> &[u8] {
        self.text.get(..self.subject_len as usize).unwrap_or_default()
    }

    /// The queue group, if any.
    #[inline]
    pub fn queue(&self) -> Option<&[u8]> {
        let start = self.subject_len as usize;
        if self.has_queue { self.text.get(start..start + self.queue_len as usize) } else { None }
    }

    /// The client's name for it.
    #[inline]
    pub fn sid(&self) -> &[u8] {
        self.text.get(self.subject_len as usize + self.queue_len as usize..).unwrap_or_default()
    }

    /// The connection that receives, if it is one.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        match &self.target {
            Target::Peer(peer) => Some(peer),
            Target::Internal(_) => None,
        }
    }

    /// Whether each delivery has to be checked against the receiver's deny list.
    #[inline]
    pub fn filtered(&self) -> bool {
        self.filtered.load(Ordering::Relaxed)
    }

    /// From now on each delivery is checked.
    pub fn set_filtered(&self) {
        self.filtered.store(true, Ordering::Relaxed);
    }

    /// Messages delivered so far.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// The maximum, if one was set.
    pub fn max(&self) -> Option<u64> {
        Some(self.max.load(Ordering::Acquire)).filter(|&n| n > 0)
    }

    /// Sets the maximum; answers whether it is reached already. Called under the receiver's queue lock.
    pub fn limit(&self, max: u64) -> bool {
        self.max.store(max, Ordering::Release);
        self.delivered() >= max
    }

    /// Counts up to `n` deliveries and answers how many may be made. Called under the receiver's queue lock, so that
    /// two publishers never exceed the maximum together.
    #[inline]
    pub fn claim(&self, n: u64) -> u64 {
        if self.ended.load(Ordering::Acquire) {
            return 0;
        }
        let delivered = self.delivered.load(Ordering::Relaxed);
        let max = self.max.load(Ordering::Acquire);
        let n = if max == 0 { n } else { n.min(max.saturating_sub(delivered)) };
        self.delivered.store(delivered + n, Ordering::Relaxed);
        n
    }

    /// Whether the maximum is reached.
    #[inline]
    pub fn is_spent(&self) -> bool {
        let max = self.max.load(Ordering::Acquire);
        max > 0 && self.delivered() >= max
    }

    /// Ends it; answers whether this call did.
    pub fn end(&self) -> bool {
        !self.ended.swap(true, Ordering::AcqRel)
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("subject", &self.subject().escape_ascii().to_string())
            .field("sid", &self.sid().escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}

impl Keyed for Subscription {
    fn subject(&self) -> &[u8] {
        Subscription::subject(self)
    }

    fn queue(&self) -> Option<&[u8]> {
        Subscription::queue(self)
    }
}
