//! What goes by itself: the oldest above a limit, the aged, the expired.

use std::collections::VecDeque;

use bytes::Bytes;
use midge_index::wheel::Fired;
use midge_stdx::clock::{Now, Wall};

use super::message::{Ttl, ttl};
use super::{Change, Config, Step, Store, SubjectState, ready};

/// Messages that one call of [`Store::expire`] removes at most.
const EXPIRE_BUDGET: usize = 1024;
/// Messages left in the first block when the next one is asked for.
const PREFETCH_MESSAGES: u64 = 1024;
/// Nanoseconds between two attempts to have markers published for the same messages.
const MARKER_RETRY_NS: u64 = 2_000_000_000;

/// What waits for a block.
#[derive(Debug, Default)]
pub(super) struct Debts {
    /// Subjects above their limit.
    subjects: VecDeque<Bytes>,
    /// Expired messages.
    due: VecDeque<u64>,
    /// Expired messages that may still be there, in the order in which they expired, with their times: until they are gone, the file that tells when
    /// messages expire has to tell of them.
    leaving: VecDeque<(u64, i64)>,
    /// Everything aged before this sequence outlives its age.
    aged: u64,
    /// Handed to the owner, who publishes markers.
    expired: Vec<Expired>,
    /// When that was begun last, from the first message on.
    marked_ns: u64,
    /// The last aged message that was handed over since then.
    handed: u64,
}

/// A message that expired, in a store with [`Config::delete_markers`]: the owner removes it, or publishes a marker in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    pub subject: Bytes,
    /// It is the last of its subject.
    pub last: bool,
}

impl Store {
    /// Whether limits are exceeded until a block is loaded: acknowledgements had better wait.
    pub fn is_over_limits(&self) -> bool {
        !self.debts.subjects.is_empty() || self.over_stream_limits()
    }

    fn over_stream_limits(&self) -> bool {
        let limits = self.config.removing_limits();
        (limits.max_msgs > 0 && self.state.messages > limits.max_msgs)
            || (limits.max_bytes > 0 && self.state.bytes > limits.max_bytes)
    }

    /// Whether the stream stays above its limits when subjects have come down to theirs.
    ///
    /// A rebuild applies the limit of a subject before those of the stream; so does the store, though it may have to wait for a block in between.
    fn over_stream_limits_alone(&self) -> bool {
        if !self.over_stream_limits() || self.debts.subjects.is_empty() {
            return self.over_stream_limits();
        }
        let limits = self.config.removing_limits();
        let above = |subject: &Bytes| {
            let total = self.subjects.get(subject).map_or(0, SubjectState::total);
            total.saturating_sub(self.config.max_msgs_per_subject)
        };
        let owed: u64 = self.debts.subjects.iter().map(above).sum();
        // How long the owed ones are is not known. Not even they may delay the limit for ever.
        let most_bytes = limits.max_bytes.saturating_add(u64::from(self.config.block_len));
        (limits.max_msgs > 0 && self.state.messages.saturating_sub(owed) > limits.max_msgs)
            || (limits.max_bytes > 0 && self.state.bytes > most_bytes)
    }

    /// Removes from the front what is too much, as far as blocks are loaded. Amortised O(1) per removed message, and O(subjects that wait for a block).
    pub(super) fn enforce_stream_limits(&mut self) {
        let mut removed = false;
        while self.over_stream_limits_alone() && self.state.messages > 0 {
            if !matches!(self.remove_front(), Step::Ready(())) {
                return;
            }
            removed = true;
        }
        let Some(front) = self.blocks.front().filter(|_| removed && self.blocks.len() > 1) else { return };
        if front.messages < PREFETCH_MESSAGES
            && let Some(next) = self.blocks.get(1).filter(|next| next.cache.is_none())
            && next.messages > 0
        {
            let _ = self.need(1);
        }
    }

    fn remove_front(&mut self) -> Step<()> {
        let seq = self.state.first_seq;
        let Some(at) = self.block_of(seq) else { return Step::Wait };
        ready!(self.need_message(at, seq));
        match self.cached_message(at, seq) {
            Ok(message) => {
                let counted = self.counted_of(&message);
                self.take_out(at, seq, counted, &message.shared_subject());
            }
            // What cannot be read still has to make room.
            Err(_) => self.take_out(at, seq, 0, &Bytes::new()),
        }
        Step::Ready(())
    }

    /// The only other message of a subject made room for a new one.
    pub(super) fn removed_by_limit(&mut self, seq: u64, counted: u32, subject: &[u8]) {
        if let Some(at) = self.block_of(seq).filter(|at| self.blocks[*at].is_live(seq)) {
            self.take_out(at, seq, counted, &Bytes::copy_from_slice(subject));
        }
    }

    /// A subject is above its limit.
    pub(super) fn owe(&mut self, subject: &[u8]) {
        if self.settle_subject(subject) {
            return;
        }
        if !self.debts.subjects.iter().any(|owed| owed == subject) {
            self.debts.subjects.push_back(Bytes::copy_from_slice(subject));
        }
    }

    /// Removes the oldest of a subject down to its limit; answers whether that is done.
    fn settle_subject(&mut self, subject: &[u8]) -> bool {
        let most = self.config.max_msgs_per_subject;
        while most > 0 && self.subjects.get(subject).is_some_and(|state| state.total() > most) {
            match self.resolve_first(subject) {
                Step::Ready(Some(seq)) => {
                    let Some(at) = self.block_of(seq) else { return true };
                    let Ok(message) = self.cached_message(at, seq) else { return true };
                    let counted = self.counted_of(&message);
                    self.take_out(at, seq, counted, &message.shared_subject());
                }
                Step::Ready(None) | Step::Failed(_) => return true,
                Step::Wait => return false,
            }
        }
        true
    }

    /// Goes on with what waited for blocks.
    pub(super) fn settle_debts(&mut self) {
        for _ in 0..self.debts.subjects.len() {
            let Some(subject) = self.debts.subjects.pop_front() else { break };
            self.owe(&subject);
        }
        self.enforce_stream_limits();
    }

    /// Takes a live message out of every account, leaving its record where it is. O(log b + length of the subject).
    pub(super) fn take_out(&mut self, at: usize, seq: u64, counted: u32, subject: &Bytes) {
        self.account_out(at, seq, counted, subject);
        self.changes.push(Change { messages: 1, bytes: u64::from(counted), seq, subject: subject.clone() });
    }

    /// [`Store::take_out`] without telling.
    pub(super) fn account_out(&mut self, at: usize, seq: u64, counted: u32, subject: &[u8]) {
        self.uncount(at, seq, counted, subject);
        let block = &self.blocks[at];
        if block.messages == 0 {
            self.emptied(at);
        } else if block.is_sparse() {
            self.reclaim(at);
        }
        if seq == self.state.first_seq {
            self.find_first();
        }
    }

    /// Takes a live message out of the totals of its block, its subject and the stream.
    pub(super) fn uncount(&mut self, at: usize, seq: u64, counted: u32, subject: &[u8]) {
        let block = &mut self.blocks[at];
        block.forget(seq, u64::from(counted));
        if let Some(postings) = block.cache.as_mut().and_then(|cache| cache.postings.as_mut()) {
            postings.remove(subject, seq);
        }
        if block.first_ts_ns.is_none()
            && let Some((cache, offset)) = block.cached(block.first_seq)
            && let Some((record, _)) = cache.record(offset)
        {
            block.first_ts_ns = Some(record.ts_ns);
        }
        self.state.messages -= 1;
        self.state.bytes = self.state.bytes.saturating_sub(u64::from(counted));
        if let Some(disk) = &mut self.disk {
            disk.flight.removed(seq);
        }
        if !subject.is_empty() {
            self.forget_subject(subject, seq);
        }
    }

    fn forget_subject(&mut self, subject: &[u8], seq: u64) {
        let Some(state) = self.subjects.get_mut(subject) else { return };
        let total = state.total().saturating_sub(1);
        if total == 0 {
            self.subjects.remove(subject);
            return;
        }
        state.set_total(total);
        if state.last_bound() == seq {
            state.forget_last(seq);
        }
    }

    /// Finds the first live message again, after the first one went.
    pub(super) fn find_first(&mut self) {
        while self.blocks.len() > 1 && self.blocks[0].messages == 0 {
            self.drop_block(0);
        }
        let live = self.blocks.iter().find(|block| block.messages > 0);
        self.state.first_seq = match live {
            Some(block) => block.first_seq,
            None => self.state.last_seq + 1,
        };
    }

    /// The time of the first message; 0 when there is none.
    pub fn first_ts_ns(&mut self) -> Step<i64> {
        let Some(at) = self.blocks.iter().position(|block| block.messages > 0) else { return Step::Ready(0) };
        if let Some(ts_ns) = self.blocks[at].first_ts_ns {
            return Step::Ready(ts_ns);
        }
        let seq = self.blocks[at].first_seq;
        ready!(self.need_message(at, seq));
        let ts_ns = self.cached_message(at, seq).map_or(0, |message| message.ts_ns);
        self.blocks[at].first_ts_ns = Some(ts_ns);
        Step::Ready(ts_ns)
    }

    /// Removes what is too old or has expired, as far as blocks are loaded, and no more than some thousand messages at a time. Answers when to call
    /// again, Unix nanoseconds.
    pub fn expire(&mut self, now: Now) -> Option<Wall> {
        self.now = now.mono;
        if self.closed {
            return None;
        }
        let mut budget = EXPIRE_BUDGET;
        self.forget_gone();
        let Debts { due, leaving, .. } = &mut self.debts;
        let mut room = budget.saturating_sub(due.len());
        self.wheel.expire(now.wall.0, |seq, expires_ns| {
            if room == 0 {
                return Fired::Stop;
            }
            room -= 1;
            due.push_back(seq);
            leaving.push_back((seq, expires_ns));
            Fired::Remove
        });
        self.expire_due(&mut budget);
        let aged = self.expire_aged(now, &mut budget);
        let due = (!self.debts.due.is_empty()).then_some(now.wall.0 + 250_000_000);
        let ttl = self.wheel.next_expiry_ns();
        [aged, due, ttl].into_iter().flatten().min().map(Wall)
    }

    fn forget_gone(&mut self) {
        while let Some(&(seq, _)) = self.debts.leaving.front()
            && !self.is_there(seq)
        {
            self.debts.leaving.pop_front();
        }
    }

    fn is_there(&self, seq: u64) -> bool {
        self.find(seq).is_ok_and(|at| self.blocks[at].is_live(seq))
    }

    /// The file that tells when messages expire. O(messages that do).
    pub(super) fn wheel_file(&mut self) -> Vec<u8> {
        self.forget_gone();
        let stamp = self.state.last_seq + 1;
        let mut file = Vec::new();
        let mut leaving = self.debts.leaving.iter().filter(|(seq, _)| self.is_there(*seq)).peekable();
        if leaving.peek().is_none() {
            self.wheel.encode(stamp, &mut file);
        } else {
            let mut wheel = self.wheel.clone();
            leaving.for_each(|&(seq, expires_ns)| {
                wheel.add(seq, expires_ns);
            });
            wheel.encode(stamp, &mut file);
        }
        file
    }

    /// The sequences behind this one are given anew: nothing is known of when their messages expire. O(messages that do).
    pub(super) fn forget_expiries_after(&mut self, last: u64) {
        let cut: Vec<(u64, i64)> = self.wheel.iter().filter(|(seq, _)| *seq > last).collect();
        for (seq, expires_ns) in cut {
            self.wheel.remove(seq, expires_ns);
        }
        self.debts.due.retain(|seq| *seq <= last);
        self.debts.leaving.retain(|(seq, _)| *seq <= last);
    }

    /// Takes the expired messages that the owner is to deal with.
    pub fn take_expired(&mut self, into: &mut Vec<Expired>) {
        into.append(&mut self.debts.expired);
    }

    fn expire_due(&mut self, budget: &mut usize) {
        while *budget > 0
            && let Some(seq) = self.debts.due.pop_front()
        {
            *budget -= 1;
            let step = if !self.is_there(seq) {
                Step::Ready(())
            } else if self.config.delete_markers {
                self.hand_over(seq)
            } else {
                self.remove(seq, false).map(|_| ())
            };
            if step == Step::Wait {
                self.debts.due.push_front(seq);
                return;
            }
        }
    }

    fn hand_over(&mut self, seq: u64) -> Step<()> {
        let message = ready!(self.load(seq));
        let subject = message.shared_subject();
        let last = ready!(self.resolve_last(&subject)) == Some(seq);
        self.debts.expired.push(Expired { seq, subject, last });
        Step::Ready(())
    }

    /// Removes aged messages; answers when the next one comes of age.
    fn expire_aged(&mut self, now: Now, budget: &mut usize) -> Option<i64> {
        let Config { max_age_ns, delete_markers, .. } = self.config;
        if max_age_ns == 0 || self.state.messages == 0 {
            return None;
        }
        if !delete_markers {
            return self.look_for_aged(now, self.debts.aged, budget);
        }
        // What was handed over stays until its marker is stored: it is looked at again after a while, in case the marker was refused.
        let since = now.mono.0.saturating_sub(self.debts.marked_ns);
        if self.debts.marked_ns == 0 || since >= MARKER_RETRY_NS {
            (self.debts.marked_ns, self.debts.handed) = (now.mono.0, 0);
        }
        let left = MARKER_RETRY_NS.saturating_sub(now.mono.0.saturating_sub(self.debts.marked_ns));
        let next = self.look_for_aged(now, self.debts.handed.saturating_add(1), budget);
        let waits = self.next_live(0).is_some_and(|first| first <= self.debts.handed);
        let again = waits.then(|| now.wall.0.saturating_add(i64::try_from(left).unwrap_or(i64::MAX)));
        [next, again].into_iter().flatten().min()
    }

    fn look_for_aged(&mut self, now: Now, from: u64, budget: &mut usize) -> Option<i64> {
        let Config { max_age_ns, delete_markers, ttl: with_ttl, .. } = self.config;
        let max_age = i64::try_from(max_age_ns).unwrap_or(i64::MAX);
        let cutoff = now.wall.0.saturating_sub(max_age);
        let mut from = from;
        loop {
            let first = self.next_live(from.max(self.state.first_seq))?;
            let at = self.block_of(first)?;
            let known = self.blocks[at].first_ts_ns.filter(|_| self.blocks[at].first_seq == first);
            if let Some(ts_ns) = known.filter(|ts_ns| *ts_ns > cutoff) {
                return Some(ts_ns.saturating_add(max_age).max(now.wall.0 + 250_000_000));
            }
            if *budget == 0 || !matches!(self.need_message(at, first), Step::Ready(())) {
                return Some(now.wall.0 + 250_000_000);
            }
            *budget -= 1;
            let Ok(message) = self.cached_message(at, first) else { return None };
            if message.ts_ns > cutoff {
                if self.blocks[at].first_seq == first {
                    self.blocks[at].first_ts_ns = Some(message.ts_ns);
                }
                return Some(message.ts_ns.saturating_add(max_age).max(now.wall.0 + 250_000_000));
            }
            from = first + 1;
            if with_ttl && ttl(message.headers()) == Ttl::Never {
                self.debts.aged = if delete_markers { 0 } else { from };
            } else if delete_markers {
                if !matches!(self.hand_over(first), Step::Ready(())) {
                    return Some(now.wall.0 + 250_000_000);
                }
                self.debts.handed = first;
            } else {
                let counted = self.counted_of(&message);
                self.take_out(at, first, counted, &message.shared_subject());
            }
        }
    }

    /// The first live sequence from this one on.
    pub(super) fn next_live(&self, from: u64) -> Option<u64> {
        let at = self.blocks.partition_point(|block| block.last_seq < from);
        self.blocks.iter().skip(at).find_map(|block| block.next_live(from))
    }

    /// Takes over a new configuration, and removes what it does not allow any more. The medium stays.
    pub fn configure(&mut self, config: Config) {
        let before = std::mem::replace(&mut self.config, config);
        self.config.medium = before.medium;
        self.config.name = before.name.clone();
        self.debts.aged = 0;
        if before.removing_limits() != self.config.removing_limits()
            || before.max_age_ns != self.config.max_age_ns
        {
            // What the limits removed so far cannot be derived by the new ones.
            if let Some(disk) = &mut self.disk {
                disk.vouched = false;
                disk.limited |= self.config.removes();
            }
            self.want_index();
        }
        let lower = self.config.max_msgs_per_subject;
        if lower > 0 && (before.max_msgs_per_subject == 0 || lower < before.max_msgs_per_subject) {
            self.trim_subjects();
        }
        self.enforce_stream_limits();
    }

    /// Removes the oldest of every subject above the limit. O(subjects), and the blocks they are in.
    pub(super) fn trim_subjects(&mut self) {
        let most = self.config.max_msgs_per_subject;
        let mut over = Vec::new();
        self.matching_subjects(&super::Filter::all(), |subject, state| {
            if state.total() > most {
                over.push(Bytes::copy_from_slice(subject));
            }
        });
        over.iter().for_each(|subject| self.owe(subject));
    }
}
