//! A consumer beside a plain model that counts everything anew.
//!
//! The model is a list of messages, each with what happened to it. It knows the rules of section order, not of data structures: after every step floors,
//! numbers and deliveries are computed from the list and compared.

use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig};
use midge_store::consumer::delta::{self, Delta};
use midge_store::stream::{Filter, PurgeQuery};

use super::*;
use midge_stdx::entropy::Entropy;

/// What the model knows of a message.
#[derive(Clone, Debug, Default)]
struct Known {
    subject: String,
    gone: bool,
    /// Deliveries, with the number of the first one.
    deliveries: u64,
    first_delivery: u64,
    /// Nothing is to come any more.
    done: bool,
    given_up: bool,
    /// When it is overdue; `None` while it is queued.
    due: Option<u64>,
    queued: bool,
    /// When it was or would be overdue, queued or not.
    deadline: u64,
}

struct Model {
    rig: Rig,
    known: Vec<Known>,
    policy: AckPolicy,
    max_deliver: u64,
    max_ack_pending: usize,
    filter: Option<&'static str>,
    /// Deliveries so far.
    dseq: u64,
    /// The highest sequence that was delivered for the first time, or passed over by a purge.
    reached: u64,
    requests: u64,
    random: Seeded,
    steps: Vec<String>,
}

const ACK_WAIT_MS: u64 = 1000;
const SUBJECTS: [&str; 3] = ["s.a", "s.b", "s.c"];

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Seeded::new(seed);
        let policy = [AckPolicy::Explicit, AckPolicy::Explicit, AckPolicy::All, AckPolicy::None]
            [random.below(4) as usize];
        let max_deliver = [0, 0, 1, 2, 3][random.below(5) as usize];
        let max_ack_pending = [1000, 1000, 3, 7][random.below(4) as usize];
        let filter = [None, None, Some("s.b")][random.below(3) as usize];
        let config = ConsumerConfig {
            ack_policy: policy,
            ack_wait_ns: if policy == AckPolicy::None { 0 } else { (ACK_WAIT_MS * MS) as i64 },
            max_deliver: max_deliver as i64,
            max_ack_pending: if policy == AckPolicy::None { 0 } else { max_ack_pending as i64 },
            filter_subject: filter.unwrap_or_default().to_owned(),
            ..pull_config()
        };
        let rig = Rig::new(0, config);
        Model {
            rig,
            known: vec![Known { gone: true, done: true, ..Known::default() }],
            max_deliver: if policy == AckPolicy::None { 0 } else { max_deliver },
            policy,
            max_ack_pending: if policy == AckPolicy::None { usize::MAX } else { max_ack_pending },
            filter,
            dseq: 0,
            reached: 0,
            requests: 0,
            random,
            steps: Vec::new(),
        }
    }

    fn meant(&self, seq: usize) -> bool {
        self.filter.is_none_or(|filter| self.known[seq].subject == filter)
    }

    fn is_pending(&self, seq: usize) -> bool {
        let known = &self.known[seq];
        self.policy != AckPolicy::None && known.deliveries > 0 && !known.done && !known.given_up
    }

    fn pending(&self) -> Vec<usize> {
        (1..self.known.len()).filter(|seq| self.is_pending(*seq)).collect()
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=5 => self.publish(),
            6..=9 => self.pull(),
            10..=13 => self.ack(),
            14..=15 => self.nak(),
            16 => self.pass(),
            17 => self.remove(),
            18 if self.random.below(4) == 0 => self.purge(),
            19 if self.random.below(4) == 0 => self.restart(),
            19 => self.show(),
            _ => self.term(),
        }
        self.observe();
        self.compare();
    }

    fn publish(&mut self) {
        for _ in 0..=self.random.below(4) {
            let subject = SUBJECTS[self.random.below(3) as usize];
            self.rig.publish(subject, "x");
            self.known.push(Known { subject: subject.to_owned(), ..Known::default() });
        }
        // Some of it is not durable yet.
        let (last, before) = (self.known.len() as u64 - 1, self.rig.visible());
        let visible = last - self.random.below(3).min(last - before.min(last));
        self.rig.visible = Some(visible.max(before));
        self.steps.push(format!("publish to {last}, visible {visible}"));
        self.rig.turn();
    }

    /// Everything becomes durable.
    fn show(&mut self) {
        self.steps.push("show".to_owned());
        self.rig.visible = Some(self.known.len() as u64 - 1);
        self.rig.turn();
    }

    /// The process begins anew, with what was kept.
    fn restart(&mut self) {
        self.steps.push("restart".to_owned());
        let old = self.rig.consumer.take().unwrap();
        let (config, state) = (old.config().clone(), old.into_store().state().clone());
        if state.delivered.consumer_seq == 0 {
            self.rig.create(config);
        } else {
            let mut bytes = Vec::new();
            delta::encode(&Delta::Replaced { state }, &mut bytes);
            let kept = ConsumerStore::open("C".into(), None, (KeptPolicy::All, 0), b"", &[(1, bytes.into())]);
            self.rig.recover(config, kept.unwrap());
        }
        self.requests = 0;
        for known in &mut self.known {
            if std::mem::take(&mut known.queued) {
                known.due = Some(known.deadline);
            }
        }
        let now = self.rig.now.mono.0;
        for seq in self.pending() {
            if self.known[seq].due.is_some_and(|due| due <= now) {
                self.again(seq);
            }
        }
        self.rig.pass(0);
    }

    fn pull(&mut self) {
        let batch = 1 + self.random.below(5);
        self.steps.push(format!("pull {batch}"));
        self.requests += batch;
        self.rig.pull(&batch.to_string(), "a");
    }

    /// A delivered message, pending or not.
    fn some(&mut self) -> Option<usize> {
        let delivered: Vec<usize> =
            (1..self.known.len()).filter(|seq| self.known[*seq].deliveries > 0).collect();
        let pending = self.pending();
        let from = if self.random.below(4) == 0 || pending.is_empty() { delivered } else { pending };
        if from.is_empty() { None } else { Some(from[self.random.below(from.len() as u64) as usize]) }
    }

    fn subject_of(&self, seq: usize) -> String {
        let known = &self.known[seq];
        format!("$JS.ACK.S.C.{}.{seq}.{}.0.0", known.deliveries, known.first_delivery)
    }

    fn ack(&mut self) {
        let Some(seq) = self.some() else { return };
        let (subject, sync) = (self.subject_of(seq), self.random.below(2) == 0);
        self.steps.push(format!("ack {seq}"));
        self.finish(seq);
        self.rig.ack(&subject, "", if sync { "r" } else { "" });
    }

    fn finish(&mut self, seq: usize) {
        let range = if self.policy == AckPolicy::All { 1..=seq } else { seq..=seq };
        for seq in range {
            if self.is_pending(seq) {
                let known = &mut self.known[seq];
                (known.done, known.queued, known.due) = (true, false, None);
            }
        }
        // A late acknowledgement of one that was given up counts.
        let known = &mut self.known[seq];
        if known.given_up && self.policy == AckPolicy::Explicit {
            (known.given_up, known.done) = (false, true);
        }
    }

    fn nak(&mut self) {
        let Some(seq) = self.some() else { return };
        let subject = self.subject_of(seq);
        let delay_ms = [0, 500, 3000][self.random.below(3) as usize];
        let body = if delay_ms == 0 { "-NAK".to_owned() } else { format!("-NAK {delay_ms}ms") };
        self.steps.push(format!("{body} {seq}"));
        if self.is_pending(seq) {
            if delay_ms == 0 {
                self.again(seq);
            } else {
                let at = self.rig.now.mono.0 + delay_ms * MS;
                let known = &mut self.known[seq];
                (known.due, known.queued, known.deadline) = (Some(at), false, at);
            }
        }
        self.rig.ack(&subject, &body, "");
    }

    /// What is due is queued, or given up.
    fn again(&mut self, seq: usize) {
        let known = &mut self.known[seq];
        known.due = None;
        if self.max_deliver > 0 && known.deliveries >= self.max_deliver {
            (known.given_up, known.queued) = (true, false);
        } else {
            known.queued = true;
        }
    }

    fn term(&mut self) {
        let Some(seq) = self.some() else { return };
        let subject = self.subject_of(seq);
        self.steps.push(format!("term {seq}"));
        self.finish(seq);
        self.rig.ack(&subject, "+TERM", "");
    }

    fn pass(&mut self) {
        let nanos = (1 + self.random.below(2 * ACK_WAIT_MS)) * MS;
        self.steps.push(format!("pass {}ms", nanos / MS));
        let end = self.rig.now.mono.0 + nanos;
        // From one deadline to the next, since what is delivered again meanwhile has a new one.
        loop {
            let pending = self.pending();
            let next = pending.iter().filter_map(|seq| self.known[*seq].due).min();
            let to = next.filter(|due| *due <= end).unwrap_or(end);
            for seq in pending {
                if self.known[seq].due.is_some_and(|due| due <= to) {
                    self.again(seq);
                }
            }
            self.rig.pass(to.saturating_sub(self.rig.now.mono.0));
            self.observe();
            if next.is_none_or(|due| due > end) {
                return;
            }
        }
    }

    fn remove(&mut self) {
        if self.known.len() == 1 {
            return;
        }
        let seq = 1 + self.random.below(self.known.len() as u64 - 1) as usize;
        if self.known[seq].gone {
            return;
        }
        self.steps.push(format!("remove {seq}"));
        let subject = self.known[seq].subject.clone();
        assert!(matches!(self.rig.store.remove(seq as u64, false), Step::Ready(true)));
        self.leave(seq);
        with!(&mut self.rig, |consumer, cx| consumer.removed(cx, seq as u64, subject.as_bytes()));
        self.rig.turn();
    }

    fn leave(&mut self, seq: usize) {
        let known = &mut self.known[seq];
        (known.gone, known.done, known.queued, known.due) = (true, true, false, None);
    }

    fn purge(&mut self) {
        let last = self.known.len() - 1;
        let filter = [None, Some("s.a"), Some("s.b")][self.random.below(3) as usize];
        let below = if filter.is_none() { 1 + self.random.below(last as u64 + 1) } else { 0 };
        self.steps.push(format!("purge {filter:?} below {below}"));
        let meant = filter.map_or_else(Filter::all, |filter| Filter::one(filter.as_bytes()));
        assert!(self.rig.store.purge_matching(&mut PurgeQuery::new(meant, below, 0)).ready().is_some());
        for seq in 1..=last {
            let hit = filter.is_none_or(|filter| self.known[seq].subject == filter)
                && (below == 0 || (seq as u64) < below);
            if hit {
                self.leave(seq);
            }
        }
        with!(&mut self.rig, |consumer, cx| consumer.purged(cx));
        self.rig.turn();
    }

    /// Checks each delivery against the list.
    fn observe(&mut self) {
        let now = self.rig.now.mono.0;
        for out in self.rig.take() {
            let Out::Message { subject, reply, .. } = out else { continue };
            let of = ack_of(&reply);
            let seq = of.stream_seq as usize;
            self.dseq += 1;
            self.requests = self.requests.checked_sub(1).expect("more than was asked for");
            assert_eq!(of.consumer_seq, self.dseq, "deliveries are numbered without gaps");
            assert!(self.meant(seq), "{seq} is not meant");
            assert!(of.stream_seq <= self.rig.visible(), "{seq} is not visible");
            let known = &self.known[seq];
            assert_eq!(known.subject, subject);
            assert!(!known.gone && !known.done && !known.given_up, "{seq} was over: {known:?}");
            assert_eq!(of.deliveries, known.deliveries + 1);
            assert!(self.max_deliver == 0 || of.deliveries <= self.max_deliver);
            if known.deliveries == 0 {
                assert!(of.stream_seq > self.reached, "first deliveries ascend");
                self.reached = of.stream_seq;
                let held = self.pending().len() + usize::from(self.policy != AckPolicy::None);
                assert!(held <= self.max_ack_pending, "too many are not acknowledged");
            } else {
                assert!(known.queued, "{seq} was not due again");
            }
            let known = &mut self.known[seq];
            known.queued = false;
            known.deliveries += 1;
            if known.deliveries == 1 {
                known.first_delivery = self.dseq;
            }
            match self.policy {
                AckPolicy::None => known.done = true,
                _ => {
                    known.deadline = now + ACK_WAIT_MS * MS;
                    known.due = Some(known.deadline);
                }
            }
        }
    }

    fn compare(&mut self) {
        let pending = self.pending();
        let info = self.rig.info();
        assert_eq!(info.num_ack_pending as usize, pending.len(), "{pending:?}");
        let waiting = (1..=self.rig.visible() as usize)
            .filter(|seq| self.meant(*seq) && !self.known[*seq].gone && self.known[*seq].deliveries == 0)
            .count();
        assert_eq!(info.num_pending as usize, waiting);
        assert_eq!(info.delivered.consumer_seq, self.dseq);
        assert!(info.ack_floor.stream_seq <= info.delivered.stream_seq);
        assert!(info.ack_floor.consumer_seq <= info.delivered.consumer_seq);
        let redelivered = (1..self.known.len())
            .filter(|seq| {
                let known = &self.known[*seq];
                (self.is_pending(*seq) && known.deliveries > 1) || (known.given_up && !known.gone)
            })
            .count();
        if self.max_deliver != 1 && self.policy == AckPolicy::Explicit {
            assert_eq!(info.num_redelivered as usize, redelivered);
        }
        let floor = info.ack_floor.stream_seq as usize;
        assert!(pending.first().is_none_or(|first| floor < *first), "the floor is below what is pending");
        // What is given up leaves the floor where it is.
        if pending.is_empty() && self.max_deliver == 0 && self.policy != AckPolicy::None {
            assert_eq!(info.ack_floor.stream_seq, info.delivered.stream_seq, "nothing is waited for");
        }
        let consumer = self.rig.consumer.as_ref().unwrap();
        for seq in 1..self.known.len() {
            let known = &self.known[seq];
            let undelivered = known.deliveries == 0 && self.meant(seq) && !known.gone;
            if undelivered || self.is_pending(seq) {
                assert!(consumer.needs(seq as u64, known.subject.as_bytes()), "{seq} is needed");
            }
            if self.policy == AckPolicy::Explicit && known.done && !known.gone && !known.given_up {
                assert!(!consumer.needs(seq as u64, known.subject.as_bytes()), "{seq} is not needed");
            }
        }
        // Whoever waits gets what there is.
        let queued = (1..self.known.len()).any(|seq| self.known[seq].queued);
        let stalled = pending.len() >= self.max_ack_pending;
        if self.requests > 0 {
            assert!(!queued && (waiting == 0 || stalled), "somebody waits for what is there");
        }
    }
}

fn run(seed: u64, steps: usize) {
    let mut model = Model::new(seed);
    for _ in 0..steps {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| model.step()));
        if result.is_err() {
            let from = model.steps.len().saturating_sub(25);
            panic!(
                "seed {seed}, policy {:?}, max deliver {}: {:#?}",
                model.policy,
                model.max_deliver,
                &model.steps[from..]
            );
        }
    }
    // In the end all that is meant is delivered and can be acknowledged.
    model.show();
    let left = model.known.len() as u64;
    for _ in 0..=left {
        model.requests += left;
        model.rig.pull(&left.to_string(), "a");
        model.observe();
        for seq in model.pending() {
            let subject = model.subject_of(seq);
            model.finish(seq);
            model.rig.ack(&subject, "", "");
            model.observe();
        }
        model.compare();
    }
    let info = model.rig.info();
    assert_eq!((info.num_ack_pending, info.num_pending), (0, 0), "seed {seed}");
    let lost = (1..model.known.len())
        .find(|seq| model.meant(*seq) && !model.known[*seq].gone && model.known[*seq].deliveries == 0);
    assert_eq!(lost, None, "seed {seed}");
}

#[test]
fn a_thousand_lives_agree_with_the_model() {
    for seed in 0..1000 {
        run(seed, 120);
    }
}
