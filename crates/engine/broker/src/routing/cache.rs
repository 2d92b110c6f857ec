//! Routes that a shard remembers.
//!
//! One table serves all connections of the shard, so idle connections hold none and a thousand publishers of one subject
//! share one entry. A route is remembered when its subject is seen a second time, so that subjects which come once
//! (inboxes, random keys) cost a lookup in the index and nothing else.

use std::sync::Arc;

use midge_index::sublist::Matched;
use midge_stdx::hash::MapHasher;

use crate::account::{Account, Stamp};
use crate::limits::{CACHED_ROUTE_MEMBERS, CACHED_ROUTES};
use crate::subscription::Subscription;

/// Entries per row; a row is searched from its first entry on.
const WAYS: usize = 2;
const ROWS: usize = CACHED_ROUTES / WAYS;
const _: () = assert!(ROWS.is_power_of_two());

/// What matches a subject.
#[derive(Debug)]
pub struct Route {
    /// Plain subscriptions and queue groups.
    pub matched: Matched<Arc<Subscription>>,
    /// Whether no connection appears twice and there are no queue groups, so that a run may be delivered receiver by
    /// receiver.
    pub distinct: bool,
}

impl Route {
    /// Wraps what matched.
    pub fn new(matched: Matched<Arc<Subscription>>) -> Self {
        let mut cids: Vec<u64> = matched.plain.iter().filter_map(|s| s.peer().map(|p| p.cid)).collect();
        let all = cids.len();
        cids.sort_unstable();
        cids.dedup();
        let one_each = matched.plain.len() <= 1 || (cids.len() == all && all == matched.plain.len());
        let distinct = matched.queues.is_empty() && one_each;
        Route { matched, distinct }
    }
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    stamp: Stamp,
    account: u32,
    subject: Box<[u8]>,
    route: Arc<Route>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct RouteCache {
    hasher: MapHasher,
    rows: Vec<[Option<Entry>; WAYS]>,
    /// The upper halves of hashes seen once.
    seen: Vec<u32>,
    members: usize,
}

impl RouteCache {
    #[inline]
    fn hash(&self, account: &Account, subject: &[u8]) -> u64 {
        self.hasher.bytes(subject) ^ u64::from(account.id).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// A remembered route that still holds.
    #[inline]
    pub fn find(&self, account: &Account, subject: &[u8]) -> Option<Arc<Route>> {
        if self.rows.is_empty() {
            return None;
        }
        let hash = self.hash(account, subject);
        let row = self.rows.get(hash as usize & (ROWS - 1))?;
        let entry = row
            .iter()
            .flatten()
            .find(|e| e.hash == hash && e.account == account.id && *e.subject == *subject)?;
        (entry.stamp == account.stamp(subject)).then(|| entry.route.clone())
    }

    /// Whether the route of a subject is worth remembering: it came before, or comes more than once now.
    pub fn wants(&mut self, account: &Account, subject: &[u8], times: usize) -> bool {
        if self.seen.is_empty() {
            self.seen = vec![0; CACHED_ROUTES];
        }
        let hash = self.hash(account, subject);
        let tag = (hash >> 32) as u32 | 1;
        let Some(seen) = self.seen.get_mut(hash as usize & (CACHED_ROUTES - 1)) else { return false };
        let again = *seen == tag;
        *seen = tag;
        again || times > 1
    }

    /// Remembers a route, in the place of the older entry of its row.
    pub fn keep(&mut self, account: &Account, subject: &[u8], stamp: Stamp, route: Arc<Route>) {
        self.members += route.matched.len();
        if self.rows.is_empty() || self.members > CACHED_ROUTE_MEMBERS {
            self.rows.clear();
            self.rows.resize_with(ROWS, Default::default);
            self.members = route.matched.len();
        }
        let hash = self.hash(account, subject);
        let Some(row) = self.rows.get_mut(hash as usize & (ROWS - 1)) else { return };
        let entry = Entry { hash, stamp, account: account.id, subject: subject.into(), route };
        let same = row.iter().position(|e| {
            e.as_ref()
                .is_some_and(|e| e.hash == hash && e.account == account.id && e.subject == entry.subject)
        });
        let replaced = match same {
            Some(at) => row.get_mut(at).and_then(|slot| slot.replace(entry)),
            None => {
                row.rotate_right(1);
                row.first_mut().and_then(|slot| slot.replace(entry))
            }
        };
        if let Some(old) = replaced {
            self.members = self.members.saturating_sub(old.route.matched.len());
        }
    }
}
