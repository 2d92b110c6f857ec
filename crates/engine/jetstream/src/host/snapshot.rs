//! Copies of the stream for whoever asks: as much at a time as the receiver acknowledges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use midge_assets::stream::backup::chunks::{Chunks, DONE, NO_FLOW, NO_INTEREST};
use midge_assets::stream::backup::write::{BackupWriter, KeptConsumer};
use midge_broker::batch::Batch;
use midge_broker::routing::Outgoing;
use midge_broker::subscription::{Subscription, Target};
use midge_jsapi::advisories::{SnapshotComplete, SnapshotCreate};
use midge_jsapi::client_info::ClientInfo;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::info::SequenceInfo;
use midge_jsapi::json;
use midge_jsapi::requests::{self, StreamSnapshot};
use midge_jsapi::responses::{SnapshotBegun, kind};
use midge_jsapi::stored::{CopiedConsumer, CopiedPending, CopiedState};
use midge_jsapi::subjects;
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::{Entropy as _, Seeded};
use midge_stdx::nuid::Nuid;
use midge_store::format::consumer_state::{ConsumerState, SequencePair};
use midge_store::stream::Step;

use super::api::Asked;
use super::{ConsumerDoor, ForConsumer, Host};
use crate::client;
use crate::limits::SNAPSHOTS;

/// How long somebody may take to listen.
const INTEREST_WAIT: Duration = Duration::from_secs(2);

/// How often it is looked whether somebody listens: that makes no event here.
const INTEREST_EVERY: Duration = Duration::from_millis(20);

/// When the first chunk is sent after the answer.
const FIRST_CHUNK_AFTER: Duration = Duration::from_millis(5);

/// One copy on its way.
struct Snapshot {
    number: u32,
    writer: BackupWriter,
    chunks: Chunks,
    deliver: String,
    door: Arc<Subscription>,
    client: ClientInfo,
    start: Wall,
    /// Nobody listened so far; when that is too long.
    interest_until: Option<Mono>,
    /// A chunk was sent that was full.
    was_full: bool,
    /// Everything was read.
    complete: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Snapshots {
    list: Vec<Snapshot>,
    next: u32,
    look_at: Option<Mono>,
}

impl Snapshots {
    /// When something is due.
    pub(super) fn deadline(&self) -> Mono {
        let flow = self.list.iter().filter_map(|snapshot| snapshot.chunks.deadline());
        flow.chain(self.look_at).min().unwrap_or(Mono::NEVER)
    }
}

impl Host {
    /// Begins a copy.
    pub(super) fn snapshot(&mut self, batch: &mut Batch, request: Asked, now: Now) {
        let kind = kind::STREAM_SNAPSHOT;
        if requests::is_empty(&request.body) {
            return request.refuse(batch, kind, &errors::BAD_REQUEST.into(), now);
        }
        let asked: StreamSnapshot = match request.read() {
            Ok(asked) => asked,
            Err(error) => return request.refuse(batch, kind, &error, now),
        };
        if self.snapshots.list.len() >= SNAPSHOTS {
            return request.refuse(batch, kind, &errors::INSUFFICIENT_RESOURCES.into(), now);
        }
        let id = Nuid::new(Seeded::new(self.ids.next_u64())).next_id();
        let chunks = match Chunks::new(&self.handle.name, id.clone(), &asked, now.mono) {
            Ok(chunks) => chunks,
            Err(error) => return request.refuse(batch, kind, &error, now),
        };
        let mut chunks = Some(chunks);
        self.when_durable(
            batch,
            now,
            Box::new(move |host, batch, now| {
                host.begin(
                    batch,
                    now,
                    Box::new(move |host, batch, now| {
                        let state = match host.state() {
                            Step::Ready(state) => state,
                            Step::Wait => return Step::Wait,
                            Step::Failed(error) => {
                                request.refuse(batch, kind, &errors::STREAM_GENERAL.because(&error), now);
                                return Step::Ready(());
                            }
                        };
                        if let Some(chunks) = chunks.take() {
                            host.send_snapshot(batch, &request, &asked, chunks, &id, state, now);
                        }
                        Step::Ready(())
                    }),
                );
            }),
        );
    }

    #[allow(clippy::too_many_arguments)]
    fn send_snapshot(
        &mut self,
        batch: &mut Batch,
        request: &Asked,
        asked: &StreamSnapshot,
        chunks: Chunks,
        id: &str,
        mut state: midge_jsapi::info::StreamState,
        now: Now,
    ) {
        if self.snapshots.list.len() >= SNAPSHOTS {
            // Others that were asked for at the same time came first.
            let error = ApiError::from(errors::INSUFFICIENT_RESOURCES);
            return request.refuse(batch, kind::STREAM_SNAPSHOT, &error, now);
        }
        let client = client::of(&request.from, &self.account, &self.js, now);
        let name = self.handle.name.clone();
        self.advise(batch, &SnapshotCreate { stream: &name, state: &state, client: &client }, now);
        let begun = SnapshotBegun { config: Some((*self.config).clone()), state: Some(state.clone()) };
        request.answer(batch, kind::STREAM_SNAPSHOT, &begun, now);
        let mut consumers = self.kept_consumers();
        if asked.no_consumers {
            consumers.clear();
            state.consumer_count = 0;
        }
        let number = self.snapshots.next;
        self.snapshots.next += 1;
        let door =
            ConsumerDoor { inbox: self.handle.inbox.clone(), id: number, what: ForConsumer::SnapshotAck };
        let subject = subjects::snapshot_acks(&name, id);
        let target = Target::Internal(Arc::new(door));
        let door = Arc::new(Subscription::new(target, subject.as_bytes(), None, b"js", false));
        // The subject is made of checked names, so this cannot fail.
        let _ = self.account.account.insert(door.clone());
        self.snapshots.list.push(Snapshot {
            number,
            writer: BackupWriter::new(state, consumers, now.wall),
            chunks,
            deliver: asked.deliver_subject.clone(),
            door,
            client,
            start: now.wall,
            interest_until: Some(now.mono + INTEREST_WAIT),
            was_full: false,
            complete: false,
        });
        // Requesters look at the answer before they expect the copy: a moment is left to them.
        self.snapshots.look_at = Some(now.mono + FIRST_CHUNK_AFTER);
    }

    fn kept_consumers(&self) -> Vec<KeptConsumer> {
        let kept = self.consumers.iter().filter(|(_, consumer)| !consumer.config().direct);
        kept.map(|(_, consumer)| {
            let copy = CopiedConsumer { config: consumer.config().clone(), state: copied(consumer.state()) };
            let mut document = Vec::new();
            json::encode(&copy, &mut document);
            KeptConsumer { name: consumer.identity().name.to_string(), document }
        })
        .collect()
    }

    /// A chunk has arrived.
    pub(super) fn snapshot_ack(&mut self, batch: &mut Batch, number: u32, now: Now) {
        if let Some(snapshot) = self.snapshots.list.iter_mut().find(|s| s.number == number) {
            snapshot.chunks.acknowledge(now.mono);
            self.pump_snapshot(batch, number, now);
        }
    }

    /// Sends what may be sent; as a task, so that it goes on when blocks came.
    fn pump_snapshot(&mut self, batch: &mut Batch, number: u32, now: Now) {
        self.begin(batch, now, Box::new(move |host, batch, now| host.send_chunks(batch, number, now)));
    }

    fn send_chunks(&mut self, batch: &mut Batch, number: u32, now: Now) -> Step<()> {
        let Some(at) = self.snapshots.list.iter().position(|s| s.number == number) else {
            return Step::Ready(());
        };
        if self.waits_for_interest(batch, at, now) {
            return Step::Ready(());
        }
        loop {
            let Some(snapshot) = self.snapshots.list.get_mut(at) else { return Step::Ready(()) };
            while let Some(chunk) = snapshot.chunks.next_chunk(now.mono) {
                snapshot.was_full |= !chunk.reply.is_empty();
                let to = snapshot.deliver.as_bytes();
                let (reply, payload) = (chunk.reply.as_bytes(), &chunk.bytes[..]);
                let message = Outgoing { to, subject: to, reply, header: b"", payload };
                self.js.send(batch, &self.account, &message);
            }
            if snapshot.complete && snapshot.chunks.is_done() {
                let header: &[u8] = if snapshot.was_full { DONE } else { b"" };
                self.end_snapshot(batch, at, header, "", now);
                return Step::Ready(());
            }
            let wanted = snapshot.chunks.wanted();
            if wanted == 0 {
                return Step::Ready(());
            }
            let mut bytes = Vec::new();
            let step = snapshot.writer.step(&mut self.store, wanted, &mut bytes);
            let complete = step == Step::Ready(true);
            snapshot.complete |= complete;
            snapshot.chunks.push(&bytes, complete);
            match step {
                Step::Ready(_) => {}
                Step::Wait => return Step::Wait,
                Step::Failed(error) => {
                    let header = format!("NATS/1.0 500 {error}\r\n\r\n");
                    self.end_snapshot(batch, at, header.as_bytes(), &error.to_string(), now);
                    return Step::Ready(());
                }
            }
        }
    }

    /// Whether nobody listens yet.
    fn waits_for_interest(&mut self, batch: &mut Batch, at: usize, now: Now) -> bool {
        let Some(snapshot) = self.snapshots.list.get_mut(at) else { return true };
        let Some(until) = snapshot.interest_until else { return false };
        if self.account.account.has_interest(snapshot.deliver.as_bytes()) {
            snapshot.interest_until = None;
            return false;
        }
        if now.mono >= until {
            self.end_snapshot(batch, at, NO_INTEREST, "no interest", now);
        } else {
            self.snapshots.look_at = Some(now.mono + INTEREST_EVERY);
        }
        true
    }

    /// What time brings.
    pub(super) fn tick_snapshots(&mut self, batch: &mut Batch, now: Now) {
        if now.mono < self.snapshots.deadline() {
            return;
        }
        self.snapshots.look_at = None;
        let numbers: Vec<u32> = self.snapshots.list.iter().map(|snapshot| snapshot.number).collect();
        for number in numbers {
            let Some(at) = self.snapshots.list.iter().position(|s| s.number == number) else { continue };
            let stalled = self.snapshots.list[at].chunks.deadline().is_some_and(|at| at <= now.mono);
            if stalled {
                self.end_snapshot(batch, at, NO_FLOW, "no flow response", now);
            } else if self.snapshots.list[at].interest_until.is_some() {
                self.pump_snapshot(batch, number, now);
            }
        }
    }

    fn end_snapshot(&mut self, batch: &mut Batch, at: usize, header: &[u8], error: &str, now: Now) {
        let snapshot = self.snapshots.list.remove(at);
        self.account.account.remove(&snapshot.door);
        let to = snapshot.deliver.as_bytes();
        self.js.send(batch, &self.account, &Outgoing { to, subject: to, reply: b"", header, payload: b"" });
        let name = self.handle.name.clone();
        let event = SnapshotComplete {
            stream: &name,
            start: snapshot.start,
            end: now.wall,
            client: &snapshot.client,
            error,
        };
        self.advise(batch, &event, now);
    }

    /// No copy goes on.
    pub(super) fn drop_snapshots(&mut self) {
        for snapshot in self.snapshots.list.drain(..) {
            self.account.account.remove(&snapshot.door);
        }
    }
}

fn copied(state: &ConsumerState) -> CopiedState {
    let pair = |pair: SequencePair| SequenceInfo {
        consumer_seq: pair.consumer_seq,
        stream_seq: pair.stream_seq,
        last_active: None,
    };
    CopiedState {
        delivered: pair(state.delivered),
        ack_floor: pair(state.ack_floor),
        pending: state
            .pending
            .iter()
            .map(|(seq, of)| {
                let pending = CopiedPending { sequence: of.consumer_seq, timestamp_ns: of.delivered_ns };
                (seq.to_string(), pending)
            })
            .collect(),
        redelivered: state.redelivered.iter().map(|(seq, count)| (seq.to_string(), *count)).collect(),
    }
}

/// The state that a copy tells. Numbers that are none are left out.
pub(super) fn uncopied(copy: &CopiedState) -> ConsumerState {
    let pair =
        |info: &SequenceInfo| SequencePair { consumer_seq: info.consumer_seq, stream_seq: info.stream_seq };
    let number = |text: &String| text.parse::<u64>().ok();
    ConsumerState {
        delivered: pair(&copy.delivered),
        ack_floor: pair(&copy.ack_floor),
        pending: copy
            .pending
            .iter()
            .filter_map(|(seq, of)| {
                let pending = midge_store::format::consumer_state::Pending {
                    consumer_seq: of.sequence,
                    delivered_ns: of.timestamp_ns,
                };
                Some((number(seq)?, pending))
            })
            .collect(),
        redelivered: copy
            .redelivered
            .iter()
            .filter_map(|(seq, count)| Some((number(seq)?, *count)))
            .collect::<BTreeMap<_, _>>(),
    }
}
