//! What an update may change.

use midge_jsapi::consumer_config::ConsumerConfig;
use midge_jsapi::errors::{self, ApiError};
use midge_jsapi::levels;

/// What follows from an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Same,
    /// The consumer takes over this configuration.
    Changed(Box<ConsumerConfig>),
}

/// What an update of `old` to `new`, which was checked and has its defaults, changes; `active` says that somebody listens on the old deliver
/// subject. A pause is not changed by an update.
///
/// # Errors
/// Something that cannot be changed would be.
pub fn update(old: &ConsumerConfig, mut new: ConsumerConfig, active: bool) -> Result<Change, ApiError> {
    new.pause_until = old.pause_until;
    if *old == new {
        return Ok(Change::Same);
    }
    let required = levels::required_of_consumer(&new);
    levels::keep(&mut new.metadata, required);
    if *old == new {
        return Ok(Change::Same);
    }
    let fixed = [
        (old.deliver_policy != new.deliver_policy, "deliver policy can not be updated"),
        (old.mem_storage != new.mem_storage, "storage type can not be updated"),
        (old.direct != new.direct, "direct can not be updated"),
        (old.sourcing != new.sourcing, "sourcing can not be updated"),
        (old.opt_start_seq != new.opt_start_seq, "start sequence can not be updated"),
        (old.opt_start_time != new.opt_start_time, "start time can not be updated"),
        (old.ack_policy != new.ack_policy, "ack policy can not be updated"),
        (old.replay_policy != new.replay_policy, "replay policy can not be updated"),
        (old.idle_heartbeat_ns != new.idle_heartbeat_ns, "heart beats can not be updated"),
        (old.flow_control != new.flow_control, "flow control can not be updated"),
    ];
    let refuse = |text: &str| Err(errors::CONSUMER_CREATE.because(text));
    if let Some((_, text)) = fixed.iter().find(|(differs, _)| *differs) {
        return refuse(text);
    }
    if old.deliver_subject != new.deliver_subject {
        if old.deliver_subject.is_empty() {
            return refuse("can not update pull consumer to push based");
        }
        if new.deliver_subject.is_empty() {
            return refuse("can not update push consumer to pull based");
        }
        if active {
            return Err(errors::CONSUMER_NAME_EXIST.into());
        }
    }
    if old.max_waiting != new.max_waiting {
        return refuse("max waiting can not be updated");
    }
    Ok(Change::Changed(Box::new(new)))
}
