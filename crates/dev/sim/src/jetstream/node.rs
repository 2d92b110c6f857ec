//! A node of a broker and JetStream, one turn at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use midge_auth::decide::{Setting, Users};
use midge_broker::account::{Account, Accounts};
use midge_broker::batch::Batch;
use midge_broker::broker::Broker;
use midge_broker::internal::{Request, Service};
use midge_broker::routing::Outgoing;
use midge_broker::settings::Settings as BrokerSettings;
use midge_broker::subscription::{Subscription, Target};
use midge_broker::turn::{Next, Runner, Signal, Turn};
use midge_config::schema::Authorization;
use midge_jetstream::settings::{AtRest, ServerLimits, Settings, SyncPolicy};
use midge_jetstream::{JetStream, Jobs, JsAccount, Ports};
use midge_jsapi::account::AccountLimits;
use midge_stdx::clock::{Mono, Now};
use midge_store::journal::Deltas;

use super::disk::{DiskStep, SimDisk};
use crate::draw::Draw;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message that reached a client.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Which subscription.
    pub(super) to: u32,
    pub(super) subject: String,
    pub(super) reply: String,
    pub(super) header: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

/// A client's subscription.
struct Recorder {
    to: u32,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Service for Recorder {
    fn handle(&self, _: &mut Batch, request: &Request<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        lock(&self.events).push(Event {
            to: self.to,
            subject: text(request.subject),
            reply: text(request.reply),
            header: request.header.to_vec(),
            payload: request.payload.to_vec(),
        });
    }
}

struct Slot {
    turn: Box<dyn Turn>,
    raised: Arc<AtomicBool>,
    at: Mono,
    paused: bool,
}

#[derive(Default)]
struct SimRunner(Mutex<Vec<Slot>>);

impl Runner for SimRunner {
    fn run(&self, turn: Box<dyn Turn>, signal: Arc<Signal>, _: u64) {
        let raised = Arc::new(AtomicBool::new(true));
        let hook = raised.clone();
        signal.attach(Box::new(move || hook.store(true, Ordering::Relaxed)));
        lock(&self.0).push(Slot { turn, raised, at: Mono::NEVER, paused: false });
    }
}

type Job = Box<dyn FnOnce(Now) + Send>;

#[derive(Default)]
struct SimJobs(Mutex<Vec<Job>>);

impl Jobs for SimJobs {
    fn run(&self, job: Job) {
        lock(&self.0).push(job);
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The turn of an owner.
    Turn(usize),
    /// Something that blocks.
    Job(usize),
    /// Something of the disk.
    Disk(DiskStep),
}

/// See the module.
pub(super) struct Node {
    pub(super) js: Arc<JetStream>,
    disk: Arc<SimDisk>,
    broker: Arc<Broker>,
    account: Arc<Account>,
    batch: Batch,
    turns: Vec<Option<Slot>>,
    runner: Arc<SimRunner>,
    jobs: Arc<SimJobs>,
    events: Arc<Mutex<Vec<Event>>>,
}

/// Bytes that streams in files may take together: more than any run stores.
pub(super) const MAX_FILE: i64 = 128 << 20;

fn settings(at_rest: Option<AtRest>) -> Settings {
    Settings {
        store_dir: "store".into(),
        max_memory: 1 << 40,
        max_file: MAX_FILE,
        strict: false,
        sync: SyncPolicy::Durable,
        sync_interval: std::time::Duration::from_secs(120),
        sync_always: false,
        domain: String::new(),
        at_rest,
        max_buffered_msgs: 10_000,
        max_buffered_bytes: 64 << 20,
        api_requests: 10_000,
        unique_tag: String::new(),
        limits: ServerLimits::default(),
        ack_v2: false,
        server_name: "sim".into(),
        server_id: "SIM".into(),
        version: "2.15.1".into(),
    }
}

impl Node {
    /// Starts a node over a disk; what that holds is opened by the steps that follow.
    pub(super) fn start(
        disk: SimDisk,
        deltas: Vec<Deltas>,
        at_rest: Option<AtRest>,
        draw: &mut Draw,
    ) -> Node {
        let (users, _) = Users::compile(&Authorization::default(), Setting::default());
        let accounts = Accounts::new(Some("$SYS"), &[], 1);
        let entropy = || Box::new(draw.split("secrets").seeded());
        let broker = Broker::new(BrokerSettings::default(), users, accounts, entropy(), 1);
        let account = broker.accounts.global().clone();
        let (runner, jobs, disk) =
            (Arc::new(SimRunner::default()), Arc::new(SimJobs::default()), Arc::new(disk));
        let ports = Ports {
            runner: runner.clone(),
            jobs: jobs.clone(),
            disk: Some(disk.clone()),
            entropy: Box::new(Draw::new(draw.bits()).seeded()),
        };
        let owned = JsAccount::new(account.clone(), AccountLimits::UNLIMITED);
        let js = JetStream::new(settings(at_rest), broker.clone(), [owned], ports);
        midge_jetstream::start(&js, deltas);
        Node {
            js,
            disk,
            broker,
            account,
            batch: Batch::new(0, draw.bits()),
            turns: Vec::new(),
            runner,
            jobs,
            events: Arc::default(),
        }
    }

    /// A client listens, under a number of its own.
    pub(super) fn subscribe(&self, subject: &str, to: u32) {
        let recorder = Arc::new(Recorder { to, events: self.events.clone() });
        let target = Target::Internal(recorder);
        let subscription = Arc::new(Subscription::new(target, subject.as_bytes(), None, b"1", false));
        let _ = self.account.insert(subscription);
    }

    /// A client publishes; answers how many take it.
    pub(super) fn publish(
        &mut self,
        now: Now,
        subject: &str,
        reply: &str,
        header: &[u8],
        payload: &[u8],
    ) -> usize {
        self.batch.begin(now);
        let (to, reply) = (subject.as_bytes(), reply.as_bytes());
        let message = Outgoing { to, subject: to, reply, header, payload };
        self.broker.send(&mut self.batch, &self.account, &message)
    }

    /// What reached clients since the last call.
    pub(super) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.events))
    }

    /// What may happen now.
    pub(super) fn ready(&mut self, now: Now, into: &mut Vec<Step>) {
        for slot in lock(&self.runner.0).drain(..) {
            self.turns.push(Some(slot));
        }
        for (at, slot) in self.turns.iter().enumerate() {
            let Some(slot) = slot else { continue };
            let due = slot.at <= now.mono;
            if due || (!slot.paused && slot.raised.load(Ordering::Relaxed)) {
                into.push(Step::Turn(at));
            }
        }
        for at in 0..lock(&self.jobs.0).len() {
            into.push(Step::Job(at));
        }
        let mut steps = Vec::new();
        self.disk.ready(&mut steps);
        into.extend(steps.into_iter().map(Step::Disk));
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Mono {
        self.turns.iter().flatten().map(|slot| slot.at).min().unwrap_or(Mono::NEVER)
    }

    /// Does it.
    pub(super) fn step(&mut self, step: Step, now: Now, draw: &mut Draw) {
        match step {
            Step::Disk(step) => self.disk.step(step, draw),
            Step::Job(at) => {
                let job = lock(&self.jobs.0).remove(at);
                job(now);
            }
            Step::Turn(at) => {
                let Some(slot) = self.turns.get_mut(at).and_then(Option::as_mut) else { return };
                slot.raised.store(false, Ordering::Relaxed);
                (slot.at, slot.paused) = (Mono::NEVER, false);
                self.batch.begin(now);
                match slot.turn.turn(&mut self.batch, now) {
                    Next::Over => self.turns[at] = None,
                    Next::Again => slot.raised.store(true, Ordering::Relaxed),
                    Next::Idle(at) => slot.at = at,
                    Next::After(pause) => (slot.at, slot.paused) = (now.mono + pause, true),
                }
            }
        }
    }

    /// Whether every host has ended, after a stop.
    pub(super) fn has_stopped(&self) -> bool {
        self.js.hosts() == 0
    }

    /// Ends a node that has stopped, and closes its disk.
    pub(super) fn close(self, draw: &mut Draw) -> Result<(), String> {
        let disk = self.disk.clone();
        self.js.release();
        drop(self);
        disk.close(draw).map_err(|error| error.to_string())
    }
}

impl Drop for Node {
    /// What was subscribed to refers to the node, which would never go.
    fn drop(&mut self) {
        self.js.release();
        let mut all = Vec::new();
        self.broker.accounts.all().iter().for_each(|account| {
            account.for_each_subscription(|subscription| all.push((account.clone(), subscription.clone())));
        });
        for (account, subscription) in all {
            account.remove(&subscription);
        }
        self.turns.clear();
        lock(&self.runner.0).clear();
        lock(&self.jobs.0).clear();
    }
}
