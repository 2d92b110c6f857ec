//! The reply subjects that a connection may answer although it may not publish to them otherwise.
//!
//! Each delivered request grants its reply subject some answers for some time. Two requests that share a reply subject
//! grant twice: the original server counts the second delivery as if it were an answer, so that the one answer it
//! allows fails. As in the original, a live grant also overrides an explicit publish denial.

use std::time::Duration;

use midge_config::schema::authorization::ResponsePermission;
use midge_stdx::clock::Mono;
use midge_stdx::hash::Map;

use crate::limits::{MAX_RESPONSES, RESPONSE_PRUNE_ADDITIONS, RESPONSE_PRUNE_INTERVAL};

/// Reply subjects with the answers that are left to them. Holds at most [`MAX_RESPONSES`].
#[derive(Debug)]
pub struct ResponseTable {
    grants: Map<Box<[u8]>, Grant>,
    /// Answers per request; `None` for any number.
    max: Option<u64>,
    expires: Option<Duration>,
    added: usize,
    pruned: Mono,
}

#[derive(Debug)]
struct Grant {
    since: Mono,
    left: u64,
}

impl ResponseTable {
    /// An empty table.
    pub fn new(permission: &ResponsePermission, now: Mono) -> ResponseTable {
        ResponseTable {
            grants: Map::default(),
            max: u64::try_from(permission.max_msgs).ok(),
            expires: permission.expires,
            added: 0,
            pruned: now,
        }
    }

    /// A request with this reply subject is delivered to the connection, which may not publish to it otherwise.
    pub fn add(&mut self, reply: &[u8], now: Mono) {
        self.added += 1;
        if self.added >= RESPONSE_PRUNE_ADDITIONS || now.since(self.pruned) >= RESPONSE_PRUNE_INTERVAL {
            self.prune(now);
        }
        let max = self.max.unwrap_or(u64::MAX);
        if let Some(grant) = self.grants.get_mut(reply) {
            let live = is_live(grant, self.expires, now);
            grant.left = if live { grant.left.saturating_add(max) } else { max };
            grant.since = now;
            return;
        }
        if self.grants.len() >= MAX_RESPONSES {
            self.prune(now);
            self.drop_oldest();
        }
        self.grants.insert(reply.into(), Grant { since: now, left: max });
    }

    /// Whether the connection may publish to this reply subject now; counts as one answer.
    pub fn use_reply(&mut self, reply: &[u8], now: Mono) -> bool {
        let Some(grant) = self.grants.get_mut(reply) else { return false };
        let live = is_live(grant, self.expires, now);
        if live && self.max.is_some() {
            grant.left = grant.left.saturating_sub(1);
        }
        if !live || grant.left == 0 {
            self.grants.remove(reply);
        }
        live
    }

    /// The number of reply subjects held.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether no reply subject is held.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    fn prune(&mut self, now: Mono) {
        (self.added, self.pruned) = (0, now);
        let expires = self.expires;
        self.grants.retain(|_, grant| is_live(grant, expires, now));
    }

    /// Makes room by a quarter, so that the cost of finding the oldest is shared by many additions.
    fn drop_oldest(&mut self) {
        let excess = (self.grants.len() + MAX_RESPONSES / 4).saturating_sub(MAX_RESPONSES);
        if excess == 0 {
            return;
        }
        let mut ages: Vec<Mono> = self.grants.values().map(|grant| grant.since).collect();
        let (_, &mut limit, _) = ages.select_nth_unstable(excess - 1);
        let mut of_limit = excess - ages.iter().filter(|&&since| since < limit).count();
        self.grants.retain(|_, grant| {
            let drop = grant.since < limit || (grant.since == limit && of_limit > 0);
            of_limit -= usize::from(drop && grant.since == limit);
            !drop
        });
    }
}

fn is_live(grant: &Grant, expires: Option<Duration>, now: Mono) -> bool {
    expires.is_none_or(|expires| now.since(grant.since) <= expires)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(max_msgs: i64, expires: Option<u64>) -> ResponseTable {
        let expires = expires.map(Duration::from_millis);
        ResponseTable::new(&ResponsePermission { max_msgs, expires }, Mono(0))
    }

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    #[test]
    fn so_many_answers_and_no_more() {
        let mut table = table(2, Some(1000));
        assert!(!table.use_reply(b"r", ms(0)));
        table.add(b"r", ms(0));
        assert!(table.use_reply(b"r", ms(1)) && !table.use_reply(b"other", ms(1)));
        assert!(table.use_reply(b"r", ms(2)));
        assert!(!table.use_reply(b"r", ms(3)));
        assert!(table.is_empty());
    }

    #[test]
    fn requests_that_share_a_reply_subject_each_have_their_answer() {
        let mut table = table(1, Some(1000));
        table.add(b"r", ms(0));
        table.add(b"r", ms(1));
        assert!(table.use_reply(b"r", ms(2)) && table.use_reply(b"r", ms(2)));
        assert!(!table.use_reply(b"r", ms(2)));
    }

    #[test]
    fn answers_expire() {
        let mut table = table(-1, Some(100));
        table.add(b"r", ms(0));
        for _ in 0..1000 {
            assert!(table.use_reply(b"r", ms(100)));
        }
        assert!(!table.use_reply(b"r", ms(101)));
        table.add(b"r", ms(200));
        table.add(b"r", ms(400));
        assert!(table.use_reply(b"r", ms(500)));
    }

    #[test]
    fn an_expired_grant_is_not_added_to() {
        let mut table = table(1, Some(100));
        table.add(b"r", ms(0));
        table.add(b"r", ms(500));
        assert!(table.use_reply(b"r", ms(501)) && !table.use_reply(b"r", ms(501)));
    }

    #[test]
    fn without_expiry_answers_stay() {
        let mut table = table(1, None);
        table.add(b"r", ms(0));
        assert!(table.use_reply(b"r", ms(1_000_000_000)));
    }

    #[test]
    fn expired_entries_are_swept_by_time_and_by_count() {
        let mut table = table(1, Some(10));
        for n in 0..100_u32 {
            table.add(&n.to_le_bytes(), ms(0));
        }
        table.add(b"late", ms(1000));
        assert_eq!(table.len(), 1);
        let mut table = self::table(1, Some(10));
        for n in 0..u32::try_from(RESPONSE_PRUNE_ADDITIONS).unwrap() - 1 {
            table.add(&n.to_le_bytes(), ms(0));
        }
        table.add(b"late", ms(11));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_flood_forgets_the_oldest() {
        for expires in [None, Some(1_000_000)] {
            let mut table = table(1, expires);
            let count = u32::try_from(MAX_RESPONSES).unwrap() * 2;
            for n in 0..count {
                table.add(&n.to_le_bytes(), ms(u64::from(n) / 1000));
                assert!(table.len() <= MAX_RESPONSES);
            }
            assert!(table.len() > MAX_RESPONSES / 2);
            assert!(!table.use_reply(&0_u32.to_le_bytes(), ms(200)));
            assert!(table.use_reply(&(count - 1).to_le_bytes(), ms(200)));
        }
    }
}
