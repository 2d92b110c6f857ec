//! Who wants to know when somebody begins or ends to listen to just a subject.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_sync::atomic::{AtomicU64, Ordering};
use midge_sync::ordlock::Mutex;
use midge_sync::rank;

/// Told when subscriptions to a watched subject may have come or gone. Called without locks held, on any thread; to return quickly.
pub trait Watcher: Send + Sync {
    /// Interest in the subject may have changed.
    fn changed(&self);
}

type BySubject = BTreeMap<Box<[u8]>, Vec<Arc<dyn Watcher>>>;

/// Watched literal subjects.
#[derive(Default)]
pub(super) struct Watches {
    /// So that an account without watchers pays one load.
    len: AtomicU64,
    by_subject: Mutex<{ rank::LEAF }, BySubject>,
}

impl Watches {
    pub(super) fn add(&self, subject: &[u8], watcher: Arc<dyn Watcher>) {
        let mut map = self.by_subject.lock();
        map.entry(subject.into()).or_default().push(watcher);
        self.len.store(map.len() as u64, Ordering::Release);
    }

    pub(super) fn remove(&self, subject: &[u8], watcher: &Arc<dyn Watcher>) {
        let mut map = self.by_subject.lock();
        if let Some(list) = map.get_mut(subject) {
            list.retain(|other| !Arc::ptr_eq(other, watcher));
            if list.is_empty() {
                map.remove(subject);
            }
        }
        self.len.store(map.len() as u64, Ordering::Release);
    }

    /// Tells those who watch just this subject.
    #[inline]
    pub(super) fn changed(&self, subscribed: &[u8]) {
        if self.len.load(Ordering::Acquire) > 0 {
            self.tell(subscribed);
        }
    }

    fn tell(&self, subscribed: &[u8]) {
        let found = self.by_subject.lock().get(subscribed).cloned().unwrap_or_default();
        for watcher in found {
            watcher.changed();
        }
    }
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").field("subjects", &self.len.load(Ordering::Relaxed)).finish()
    }
}
