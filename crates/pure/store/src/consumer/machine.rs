//! The rules by which deliveries and acknowledgements move a consumer's state.

use crate::consumer::delta::Delta;
use crate::format::consumer_state::{ConsumerState, Pending, SequencePair};

/// Which acknowledgements a consumer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckPolicy {
    /// None: delivered is acknowledged.
    None,
    /// One for everything up to it.
    All,
    /// One for each message.
    Explicit,
    /// By the answers of flow control; counts as [`AckPolicy::All`] here.
    FlowControl,
}

/// Why a change is refused. The texts are those of the Go server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    /// Redelivery or acknowledgement where none is asked for.
    #[error("ack policy is none")]
    NoAcks,
    /// The message is not pending.
    #[error("no message found")]
    NotPending,
    /// The floor is above what was delivered.
    #[error("bad ack floor for consumer")]
    ConsumerFloor,
    /// The same, by sequence of the stream.
    #[error("bad ack floor for stream")]
    StreamFloor,
    /// A pending message outside of floor and delivered.
    #[error("bad pending entry, sequence [{0}] out of range")]
    Pending(u64),
    /// What is here is newer.
    #[error("old update ignored")]
    Old,
}

/// The state of one consumer with the rules of its configuration.
#[derive(Clone, Debug)]
pub struct Machine {
    policy: AckPolicy,
    /// Deliveries of a message at most; 0 for any number.
    max_deliver: u64,
    state: ConsumerState,
}

impl Machine {
    /// A consumer that continues from `state`.
    pub fn new(policy: AckPolicy, max_deliver: u64, state: ConsumerState) -> Machine {
        Machine { policy, max_deliver, state }
    }

    /// The state.
    pub fn state(&self) -> &ConsumerState {
        &self.state
    }

    /// Takes over an updated configuration.
    pub fn configure(&mut self, policy: AckPolicy, max_deliver: u64) {
        self.policy = policy;
        self.max_deliver = max_deliver;
    }

    /// Applies a change. O(log pending), but for what an acknowledgement of many drops.
    ///
    /// # Errors
    /// The state is unchanged, except that [`ConsumerError::NotPending`] has forgotten the redeliveries of the message.
    pub fn apply(&mut self, delta: &Delta) -> Result<(), ConsumerError> {
        match delta {
            Delta::Starting { stream_seq } => self.start(*stream_seq),
            Delta::RaiseStarting { stream_seq } => self.raise(*stream_seq),
            Delta::Reset { stream_seq } => {
                self.state = ConsumerState::default();
                self.start(*stream_seq);
            }
            Delta::Delivered { sequences, deliveries, at_ns } => {
                return self.delivered(*sequences, *deliveries, *at_ns);
            }
            Delta::Acked { sequences } => return self.acked(*sequences),
            Delta::ForgetRedelivered { below } => {
                self.state.redelivered = self.state.redelivered.split_off(below)
            }
            Delta::Replaced { state } => {
                check(state)?;
                self.state.clone_from(state);
            }
        }
        Ok(())
    }

    /// Whether a state of another replica may replace this one: it has to be sound and not older.
    pub fn accepts(&self, state: &ConsumerState) -> Result<(), ConsumerError> {
        check(state)?;
        let (here, there) = (&self.state, state);
        let older = there.delivered.consumer_seq < here.delivered.consumer_seq
            || there.ack_floor.stream_seq < here.ack_floor.stream_seq;
        if older { Err(ConsumerError::Old) } else { Ok(()) }
    }

    fn start(&mut self, stream_seq: u64) {
        self.state.delivered.stream_seq = stream_seq;
        self.state.ack_floor.stream_seq = stream_seq;
    }

    fn raise(&mut self, stream_seq: u64) {
        raise(&mut self.state.delivered.stream_seq, stream_seq);
        if self.policy == AckPolicy::None {
            raise(&mut self.state.ack_floor.stream_seq, stream_seq);
        }
    }

    fn delivered(
        &mut self,
        sequences: SequencePair,
        deliveries: u64,
        at_ns: i64,
    ) -> Result<(), ConsumerError> {
        let state = &mut self.state;
        if self.policy == AckPolicy::None {
            if deliveries != 1 {
                return Err(ConsumerError::NoAcks);
            }
            for pair in [&mut state.delivered, &mut state.ack_floor] {
                raise(&mut pair.consumer_seq, sequences.consumer_seq);
                raise(&mut pair.stream_seq, sequences.stream_seq);
            }
            return Ok(());
        }
        if sequences.consumer_seq <= state.ack_floor.consumer_seq {
            return Ok(());
        }
        let seq = sequences.stream_seq;
        if seq <= state.delivered.stream_seq {
            if let Some(pending) = state.pending.get_mut(&seq) {
                pending.delivered_ns = at_ns;
            }
        } else {
            let pending = Pending { consumer_seq: sequences.consumer_seq, delivered_ns: at_ns };
            state.pending.insert(seq, pending);
        }
        raise(&mut state.delivered.consumer_seq, sequences.consumer_seq);
        raise(&mut state.delivered.stream_seq, seq);
        if deliveries > 1 {
            raise(state.redelivered.entry(seq).or_default(), deliveries - 1);
            if self.max_deliver > 0 && deliveries > self.max_deliver {
                state.pending.remove(&seq);
            }
        }
        Ok(())
    }

    fn acked(&mut self, sequences: SequencePair) -> Result<(), ConsumerError> {
        let state = &mut self.state;
        if self.policy == AckPolicy::None {
            return Err(ConsumerError::NoAcks);
        }
        let seq = sequences.stream_seq;
        state.redelivered.remove(&seq);
        if sequences.consumer_seq <= state.ack_floor.consumer_seq {
            return Ok(());
        }
        if self.policy == AckPolicy::Explicit {
            let Some(pending) = state.pending.remove(&seq) else { return Err(ConsumerError::NotPending) };
            if state.pending.is_empty() {
                state.ack_floor = state.delivered;
            } else if pending.consumer_seq == state.ack_floor.consumer_seq.saturating_add(1) {
                state.ack_floor = SequencePair { consumer_seq: pending.consumer_seq, stream_seq: seq };
                // The next pending message is found by order, not by trying every sequence up to it.
                let above = (std::ops::Bound::Excluded(seq), std::ops::Bound::Unbounded);
                if let Some((next, pending)) = state.pending.range(above).next() {
                    state.ack_floor = SequencePair {
                        consumer_seq: pending.consumer_seq.saturating_sub(1),
                        stream_seq: next.saturating_sub(1),
                    };
                }
            }
            return Ok(());
        }
        // The message itself may have left the stream since it was delivered.
        if seq > state.delivered.stream_seq || state.pending.range(..=seq).next().is_none() {
            return Err(ConsumerError::NotPending);
        }
        state.ack_floor = sequences;
        state.pending = state.pending.split_off(&seq.saturating_add(1));
        state.redelivered = state.redelivered.split_off(&seq.saturating_add(1));
        // What was delivered behind it has left the stream: nothing is waited for. What was given up keeps the floor below.
        if state.pending.is_empty()
            && state.redelivered.is_empty()
            && state.ack_floor.stream_seq < state.delivered.stream_seq
        {
            state.ack_floor = state.delivered;
        }
        Ok(())
    }
}

fn raise(value: &mut u64, to: u64) {
    *value = (*value).max(to);
}

fn check(state: &ConsumerState) -> Result<(), ConsumerError> {
    let (floor, delivered) = (state.ack_floor, state.delivered);
    if floor.consumer_seq > delivered.consumer_seq {
        return Err(ConsumerError::ConsumerFloor);
    }
    if floor.stream_seq > delivered.stream_seq {
        return Err(ConsumerError::StreamFloor);
    }
    let outside = |seq: &&u64| **seq <= floor.stream_seq || **seq > delivered.stream_seq;
    match state.pending.keys().find(outside) {
        Some(seq) => Err(ConsumerError::Pending(*seq)),
        None => Ok(()),
    }
}
