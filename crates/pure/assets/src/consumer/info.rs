//! What is told about a consumer.

use midge_jsapi::info::{ConsumerInfo, PriorityGroupState, SequenceInfo};
use midge_stdx::clock::Now;

use super::machine::Consumer;

impl Consumer {
    /// The consumer as the API tells it, without dynamic metadata and cluster; `visible` is the last sequence of the stream that may be seen.
    /// Changes nothing. O(waiting requests).
    pub fn info(&self, now: Now, visible: u64) -> ConsumerInfo {
        let state = self.kept.state();
        let sequences =
            |consumer_seq, stream_seq, last_active| SequenceInfo { consumer_seq, stream_seq, last_active };
        let delivered = state.delivered;
        let floor = state.ack_floor;
        let time = self.time(now);
        let waiting = self.requests.iter().filter(|(_, request)| !request.is_expired(time)).count();
        let redelivered = if self.config.max_deliver == 1 { 0 } else { state.redelivered.len() };
        let paused = self.is_paused(now);
        let remaining = self.config.pause_until.map_or(0, |until| until.0.saturating_sub(now.wall.0));
        ConsumerInfo {
            stream_name: self.identity.stream.to_string(),
            name: self.identity.name.to_string(),
            created: self.identity.created,
            config: Some(self.config.clone()),
            delivered: sequences(delivered.consumer_seq, delivered.stream_seq, self.last_delivered),
            ack_floor: sequences(floor.consumer_seq, floor.stream_seq, self.last_acked),
            num_ack_pending: state.pending.len() as i64,
            num_redelivered: redelivered as i64,
            num_waiting: waiting as i64,
            num_pending: self.num_pending(visible),
            cluster: None,
            push_bound: self.rules.push && self.push.active,
            paused,
            pause_remaining_ns: if paused { remaining } else { 0 },
            ts: now.wall,
            priority_groups: self
                .config
                .priority_groups
                .iter()
                .take(1)
                .map(|group| PriorityGroupState {
                    group: group.clone(),
                    pinned_client_id: self.pin.as_ref().map_or_else(String::new, |pin| pin.text().to_owned()),
                    pinned_ts: self.pin.as_ref().map(|pin| pin.since),
                })
                .collect(),
        }
    }
}
