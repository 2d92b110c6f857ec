//! Nodes broken on purpose, so that the checks are checked.

use midge_store::journal::Flaw;

use super::json::Json;
use super::node::Event;
use super::world::World;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Completions come before the sync.
    AcknowledgeBeforeSync,
    /// Changes of consumers are said to be kept, and are not.
    LoseDeltas,
    /// A message disappears that nothing took away.
    DropMessage,
    /// A delivery is lost, and counts as acknowledged.
    LoseDelivery,
    /// A message is delivered again after its acknowledgement was confirmed.
    DeliverAcked,
    /// Two messages are delivered under each other's sequence.
    SwapContents,
    /// A publish is acknowledged as a duplicate of something else.
    WrongDuplicate,
    /// A publish is acknowledged and was never stored.
    AcknowledgeNothing,
    /// The count of pending messages is one too high.
    WrongPending,
    /// The count of unacknowledged messages is one too high.
    WrongAckPending,
    /// The floor lies beyond a message that is not acknowledged.
    WrongFloor,
    /// The stream says that it has one more message.
    WrongMessages,
    /// A maximum is not enforced.
    ForgetLimit,
    /// An update is forgotten by a crash.
    ForgetUpdate,
    /// What was acknowledged stays in the work queue.
    KeepWork,
    /// A consumer is said to be deleted, and is not.
    KeepConsumer,
    /// A consumer is said to be updated, and is not.
    ForgetChange,
    /// A stream is said to be deleted, and is not.
    KeepStream,
    /// The former key is not at hand when keys change.
    LoseKey,
    /// A mirror, or a stream with sources, loses a message.
    LoseCopy,
    /// What the disk failed to do is said to be done.
    AcknowledgeFailed,
    /// A disk has space again, and messages are still refused.
    StayFull,
    /// What expires leaves no marker.
    ForgetMarkers,
    /// A message does not live as long as it says, or longer.
    ForgetLife,
    /// What a message rolls up stays.
    KeepRolledUp,
    /// A subject with room refuses a message.
    RefuseRoom,
    /// Nothing is kept for the day on which there is no space.
    NoReserve,
    /// An increment is acknowledged and not counted.
    LoseIncrement,
    /// An increment is counted twice.
    CountTwice,
    /// A schedule does not come when it is due.
    ForgetSchedule,
}

/// All of them.
pub const ALL: [Break; 30] = [
    Break::AcknowledgeBeforeSync,
    Break::LoseDeltas,
    Break::DropMessage,
    Break::LoseDelivery,
    Break::DeliverAcked,
    Break::SwapContents,
    Break::WrongDuplicate,
    Break::AcknowledgeNothing,
    Break::WrongPending,
    Break::WrongAckPending,
    Break::WrongFloor,
    Break::WrongMessages,
    Break::ForgetLimit,
    Break::ForgetUpdate,
    Break::KeepWork,
    Break::KeepConsumer,
    Break::ForgetChange,
    Break::KeepStream,
    Break::LoseKey,
    Break::LoseCopy,
    Break::AcknowledgeFailed,
    Break::StayFull,
    Break::ForgetMarkers,
    Break::ForgetLife,
    Break::KeepRolledUp,
    Break::RefuseRoom,
    Break::NoReserve,
    Break::LoseIncrement,
    Break::CountTwice,
    Break::ForgetSchedule,
];

impl Break {
    /// The rule of the journal that this is, if it is one.
    pub(super) fn flaw(self) -> Option<Flaw> {
        (self == Break::AcknowledgeBeforeSync).then_some(Flaw::AcknowledgeBeforeSync)
    }
}

fn is_ack(event: &Event) -> bool {
    event.to == 0 && event.payload.starts_with(b"{\"stream\":")
}

impl World {
    /// Does to what reaches clients what a broken node would have done.
    pub(super) fn tamper(&mut self, events: &mut Vec<Event>) {
        let is_delivery = |event: &Event| event.to > 0 && event.reply.starts_with("$JS.ACK.");
        match self.broken {
            Some(Break::LoseDelivery) => {
                let lost: Vec<Event> =
                    events.extract_if(.., |e| is_delivery(e) && e.payload.starts_with(b"3|")).collect();
                for event in lost {
                    if let Some(node) = &mut self.node {
                        let now = super::world::time(self.now);
                        node.publish(now, &event.reply, "", b"", b"+TERM");
                    }
                }
            }
            Some(Break::DeliverAcked) => {
                let confirmed = |e: &Event| {
                    let seq = e.reply.split('.').nth(5).and_then(|seq| seq.parse().ok()).unwrap_or(0);
                    self.consumers[(e.to - 100) as usize].confirmed.contains(&seq)
                };
                let again = self.memory.iter().position(confirmed).map(|at| self.memory.remove(at));
                self.memory.extend(events.iter().filter(|e| is_delivery(e)).cloned());
                events.extend(again);
            }
            Some(Break::SwapContents) => {
                let two: Vec<usize> =
                    (0..events.len()).filter(|at| is_delivery(&events[*at])).take(2).collect();
                if let [one, other] = two.as_slice() {
                    let (a, b) = (events[*one].clone(), events[*other].clone());
                    (events[*one].subject, events[*one].payload) = (b.subject, b.payload);
                    (events[*other].subject, events[*other].payload) = (a.subject, a.payload);
                }
            }
            Some(Break::StayFull) if !self.shaken => {
                let was_full = self.verdict.seen.contains_key("times without space");
                for event in events.iter_mut().filter(|e| was_full && is_ack(e)) {
                    event.payload = br#"{"error":{"code":503,"err_code":10023}}"#.to_vec();
                }
            }
            Some(Break::WrongDuplicate | Break::AcknowledgeNothing) => {
                for event in events.iter_mut().filter(|e| is_ack(e)) {
                    let seq = Json::read(&event.payload).get("seq").number();
                    let text = match self.broken {
                        Some(Break::WrongDuplicate) if seq > 3 => {
                            format!(r#"{{"stream":"s0","seq":{},"duplicate": true}}"#, seq - 1)
                        }
                        Some(Break::AcknowledgeNothing) if seq > 3 => {
                            format!(r#"{{"stream":"s0","seq":{}}}"#, seq + 1)
                        }
                        _ => continue,
                    };
                    event.payload = text.into_bytes();
                }
            }
            Some(Break::RefuseRoom) => {
                let names: Vec<String> = self
                    .streams
                    .iter()
                    .filter(|stream| stream.features.new_per_subject && stream.last_told == 0)
                    .map(|stream| format!("{{\"stream\":\"{}\"", stream.name))
                    .collect();
                let first = |e: &&mut Event| {
                    is_ack(e) && names.iter().any(|name| e.payload.starts_with(name.as_bytes()))
                };
                for event in events.iter_mut().filter(first) {
                    event.payload = br#"{"error":{"code":503,"err_code":10077}}"#.to_vec();
                }
            }
            Some(Break::DropMessage) => {
                let last = self.streams[0].last_told;
                if last == 5
                    && let Some(node) = &mut self.node
                {
                    let body = br#"{"seq":4}"#;
                    node.publish(super::world::time(self.now), "$JS.API.STREAM.MSG.DELETE.s0", "", b"", body);
                }
            }
            _ => {}
        }
    }
}
