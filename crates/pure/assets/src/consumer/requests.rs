//! Pull requests that wait for messages.

use std::collections::BTreeMap;

use super::alarms::Alarms;

/// The level of a request that carries no priority, behind all that do.
pub(super) const LAST_LEVEL: u8 = 10;

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// Its inbox.
    pub(super) inbox: Vec<u8>,
    /// Messages that it still wants.
    pub(super) batch: u64,
    /// Bytes that it still wants, when it has a limit.
    pub(super) bytes: Option<u64>,
    /// It does not wait at the end of the stream.
    pub(super) no_wait: bool,
    /// When it ends.
    pub(super) expires_at: Option<i64>,
    /// Nanoseconds after which it hears that it is not forgotten; 0 for never.
    pub(super) heartbeat_ns: i64,
    /// When it came.
    pub(super) received: i64,
    /// When something was sent to it last, or it came.
    pub(super) last_sent: i64,
    /// Messages that it got.
    pub(super) delivered: u64,
    /// The pin that it carries.
    pub(super) pin: Vec<u8>,
    /// Lower ones are served first.
    pub(super) level: u8,
    /// It is served when as many messages wait for delivery …
    pub(super) min_pending: u64,
    /// … or for acknowledgement. Both 0: always.
    pub(super) min_ack_pending: u64,
    order: u64,
    /// Tells a request from a former one in its slot.
    generation: u64,
    live: bool,
}

impl Request {
    /// When something has to be done about it.
    fn deadline(&self) -> Option<i64> {
        let heartbeat = (self.heartbeat_ns > 0).then(|| self.last_sent.saturating_add(self.heartbeat_ns));
        match (self.expires_at, heartbeat) {
            (Some(expires), Some(heartbeat)) => Some(expires.min(heartbeat)),
            (expires, heartbeat) => expires.or(heartbeat),
        }
    }

    /// Whether it is over.
    pub(super) fn is_expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Where a request is kept.
pub(super) type Slot = u32;

/// Those that wait, by level and then in order, the one that was served going to the end of its level.
#[derive(Debug)]
pub(super) struct Requests {
    /// Slots are used again, with their memory.
    slots: Vec<Request>,
    free: Vec<Slot>,
    queue: BTreeMap<(u8, u64), Slot>,
    next_order: u64,
    next_generation: u64,
    alarms: Alarms<(Slot, u64)>,
    /// How many of them do not wait at the end of the stream.
    no_wait: usize,
}

impl Requests {
    pub(super) fn new() -> Requests {
        Requests {
            slots: Vec::new(),
            free: Vec::new(),
            queue: BTreeMap::new(),
            next_order: 0,
            next_generation: 0,
            alarms: Alarms::new(),
            no_wait: 0,
        }
    }

    /// How many wait.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether any would leave at the end of the stream.
    #[inline]
    pub(super) fn any_no_wait(&self) -> bool {
        self.no_wait > 0
    }

    /// Messages that all of them want together.
    pub(super) fn wanted(&self) -> u64 {
        self.iter().map(|(_, request)| request.batch).fold(0, u64::saturating_add)
    }

    /// Adds a request; `fill` writes it over a former one, of which everything but the memory is forgotten.
    pub(super) fn push(&mut self, fill: impl FnOnce(&mut Request)) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Request::default());
            (self.slots.len() - 1) as Slot
        });
        self.next_order += 1;
        self.next_generation += 1;
        let request = &mut self.slots[slot as usize];
        let (mut inbox, mut pin) = (std::mem::take(&mut request.inbox), std::mem::take(&mut request.pin));
        inbox.clear();
        pin.clear();
        *request = Request { inbox, pin, ..Request::default() };
        fill(request);
        (request.order, request.generation, request.live) = (self.next_order, self.next_generation, true);
        self.queue.insert((request.level, request.order), slot);
        self.no_wait += usize::from(request.no_wait);
        if let Some(at) = request.deadline() {
            self.alarms.set(at, (slot, request.generation));
        }
        if self.alarms.is_stale(self.queue.len()) {
            let slots = &self.slots;
            self.alarms.rebuild(self.queue.values().filter_map(|slot| {
                let request = &slots[*slot as usize];
                request.deadline().map(|at| (at, (*slot, request.generation)))
            }));
        }
        slot
    }

    /// The first one.
    #[inline]
    pub(super) fn first(&self) -> Option<Slot> {
        self.queue.first_key_value().map(|(_, slot)| *slot)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Request)> {
        self.queue.values().map(|slot| (*slot, &self.slots[*slot as usize]))
    }

    /// The one in a slot that was just told.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> &Request {
        &self.slots[slot as usize]
    }

    /// The same, to be changed; not its level and deadlines, except that something was sent.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> &mut Request {
        &mut self.slots[slot as usize]
    }

    /// Puts one at the end of its level.
    #[inline]
    pub(super) fn rotate(&mut self, slot: Slot) {
        if self.queue.len() > 1 {
            let level = self.slots[slot as usize].level;
            self.relevel(slot, level);
        }
    }

    /// Puts one at the end of a level.
    pub(super) fn relevel(&mut self, slot: Slot, level: u8) {
        self.next_order += 1;
        let request = &mut self.slots[slot as usize];
        self.queue.remove(&(request.level, request.order));
        (request.level, request.order) = (level, self.next_order);
        self.queue.insert((level, self.next_order), slot);
    }

    /// Takes one out. Its content stays readable until the next [`Requests::push`].
    pub(super) fn remove(&mut self, slot: Slot) {
        let request = &mut self.slots[slot as usize];
        if std::mem::replace(&mut request.live, false) {
            self.queue.remove(&(request.level, request.order));
            self.no_wait -= usize::from(request.no_wait);
            self.free.push(slot);
        }
    }

    /// No later than when the next one expires or wants a heartbeat.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        if self.queue.is_empty() { None } else { self.alarms.next() }
    }

    /// Takes one that has expired or wants a heartbeat. The caller removes it, or writes down that something was sent, and calls
    /// [`Requests::again`].
    pub(super) fn pop_due(&mut self, now: i64) -> Option<Slot> {
        let slots = &self.slots;
        let deadline = |(slot, generation): (Slot, u64)| {
            let request = slots.get(slot as usize)?;
            if request.live && request.generation == generation { request.deadline() } else { None }
        };
        self.alarms.pop_due(now, deadline).map(|(slot, _)| slot)
    }

    /// One that came up goes on waiting.
    pub(super) fn again(&mut self, slot: Slot) {
        let request = &self.slots[slot as usize];
        if let Some(at) = request.deadline() {
            self.alarms.set(at, (slot, request.generation));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(requests: &mut Requests, inbox: &str, level: u8, expires_at: Option<i64>) -> Slot {
        requests.push(|request| {
            request.inbox.extend_from_slice(inbox.as_bytes());
            (request.batch, request.level, request.expires_at) = (2, level, expires_at);
        })
    }

    fn order(requests: &Requests) -> Vec<&str> {
        requests.iter().map(|(_, request)| std::str::from_utf8(&request.inbox).unwrap()).collect()
    }

    #[test]
    fn the_one_that_was_served_goes_behind_those_of_its_level() {
        let mut requests = Requests::new();
        let c = push(&mut requests, "c", 1, None);
        let a = push(&mut requests, "a", 0, None);
        push(&mut requests, "b", 0, None);
        assert_eq!(order(&requests), ["a", "b", "c"]);
        requests.rotate(a);
        assert_eq!(order(&requests), ["b", "a", "c"]);
        requests.relevel(c, 0);
        assert_eq!(order(&requests), ["b", "a", "c"]);
        requests.remove(a);
        requests.remove(a);
        assert_eq!((order(&requests), requests.wanted()), (vec!["b", "c"], 4));
    }

    #[test]
    fn deadlines_belong_to_the_request_and_not_to_the_slot() {
        let mut requests = Requests::new();
        let first = push(&mut requests, "a", 0, Some(10));
        requests.remove(first);
        let second = push(&mut requests, "b", 0, Some(20));
        assert_eq!(first, second, "the slot is used again");
        assert_eq!(requests.pop_due(15), None);
        assert_eq!(requests.pop_due(20), Some(second));
        requests.get_mut(second).heartbeat_ns = 5;
        requests.get_mut(second).last_sent = 20;
        requests.get_mut(second).expires_at = Some(100);
        requests.again(second);
        assert_eq!((requests.pop_due(24), requests.pop_due(25)), (None, Some(second)));
    }
}
