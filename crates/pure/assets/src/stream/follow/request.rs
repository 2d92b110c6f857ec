//! The consumer that a stream asks of the one that feeds it.

use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use midge_jsapi::json;
use midge_jsapi::requests::ConsumerCreate;
use midge_jsapi::stream_config::StreamSource;
use midge_jsapi::subjects::{MIRROR_DELIVER_PREFIX, SOURCE_DELIVER_PREFIX, hash8};
use midge_stdx::clock::Wall;
use midge_stdx::entropy::Entropy;

/// Nanoseconds that nobody acknowledges.
const ACK_WAIT_NS: i64 = 22 * 3600 * 1_000_000_000;
/// Nanoseconds between heartbeats.
const HEARTBEAT_NS: i64 = 1_000_000_000;
/// Nanoseconds after which a consumer that nobody listens to goes.
const INACTIVE_NS: i64 = 10_000_000_000;

/// Whose messages these become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The stream that is fed.
    pub stream: Box<str>,
    /// Its account.
    pub account: Box<str>,
    /// Its domain; empty for none.
    pub domain: Box<str>,
}

/// How a stream is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is a copy.
    Mirror,
    /// It gathers.
    Source,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With everything.
    All,
    /// With a sequence.
    Seq(u64),
    /// With a time.
    Time(Wall),
}

/// Eight random letters and digits.
pub(super) fn token(entropy: &mut dyn Entropy) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..8).map(|_| char::from(ALPHABET[entropy.below(62) as usize])).collect()
}

/// The subject to which the messages are delivered, different each time.
pub(super) fn deliver_subject(role: Role, source: &StreamSource, entropy: &mut dyn Entropy) -> String {
    if let Some(consumer) = &source.consumer {
        return consumer.deliver_subject.clone();
    }
    let token = token(entropy);
    match source.external.as_ref().filter(|external| !external.deliver.is_empty()) {
        Some(external) => {
            let kind = if role == Role::Mirror { "M" } else { "S" };
            format!("{}.{kind}.{token}", external.deliver).replace("..", ".")
        }
        None if role == Role::Mirror => format!("{MIRROR_DELIVER_PREFIX}{token}"),
        None => format!("{SOURCE_DELIVER_PREFIX}{token}"),
    }
}

/// An API subject, under the prefix by which the other stream is reached.
pub(super) fn api_subject(source: &StreamSource, rest: &str) -> String {
    match source.external.as_ref().filter(|external| !external.api.is_empty()) {
        Some(external) => format!("{}.{rest}", external.api),
        None => format!("$JS.API.{rest}"),
    }
}

/// The name of the consumer. `index` is given when several sources read the same stream.
pub fn consumer_name(role: Role, owner: &Owner, index: Option<&str>) -> String {
    let mut whose = format!("{} {}", owner.stream, owner.account);
    if !owner.domain.is_empty() {
        whose = format!("{whose} {}", owner.domain);
    }
    if let Some(index) = index {
        whose = format!("{whose} {index}");
    }
    let hash = String::from_utf8_lossy(&hash8(whose.as_bytes())).into_owned();
    match role {
        Role::Mirror => format!("JS_MIRROR_{hash}"),
        Role::Source => format!("JS_SRC_{hash}"),
    }
}

/// Which subjects are asked for.
fn filters(source: &StreamSource) -> Vec<String> {
    if source.subject_transforms.is_empty() {
        let one = &source.filter_subject;
        return if one.is_empty() { Vec::new() } else { vec![one.clone()] };
    }
    let filters: Vec<String> =
        source.subject_transforms.iter().map(|transform| transform.src.clone()).collect();
    if filters.iter().any(|filter| filter.is_empty() || filter == ">") { Vec::new() } else { filters }
}

/// Subject and body of the request. Without `sourcing` it asks as servers before 2.14 do.
pub(super) fn create(
    role: Role,
    source: &StreamSource,
    owner: &Owner,
    name: String,
    deliver: &str,
    start: Start,
    sourcing: bool,
) -> (String, Vec<u8>) {
    let mut config = ConsumerConfig {
        name: name.clone(),
        deliver_subject: deliver.to_owned(),
        ack_policy: AckPolicy::None,
        ack_wait_ns: ACK_WAIT_NS,
        max_deliver: 1,
        idle_heartbeat_ns: HEARTBEAT_NS,
        inactive_threshold_ns: INACTIVE_NS,
        flow_control: true,
        direct: true,
        sourcing,
        ..ConsumerConfig::default()
    };
    match start {
        Start::All => config.deliver_policy = DeliverPolicy::All,
        Start::Seq(seq) => {
            (config.deliver_policy, config.opt_start_seq) = (DeliverPolicy::ByStartSequence, seq);
        }
        Start::Time(time) => {
            (config.deliver_policy, config.opt_start_time) = (DeliverPolicy::ByStartTime, Some(time));
        }
    }
    let kind = if role == Role::Mirror { "_nats.mirror" } else { "_nats.src" };
    for (key, value) in [("stream", &owner.stream), ("acc", &owner.account), ("domain", &owner.domain)] {
        if !value.is_empty() {
            config.metadata.insert(format!("{kind}.{key}"), value.to_string());
        }
    }
    let mut filters = filters(source);
    let mut rest = format!("CONSUMER.CREATE.{}", source.name);
    if filters.len() == 1 {
        config.filter_subject = filters.pop().unwrap_or_default();
        rest = format!("{rest}.{name}.{}", config.filter_subject);
    } else {
        config.filter_subjects = filters;
    }
    let request = ConsumerCreate { stream_name: source.name.clone(), config, ..ConsumerCreate::default() };
    let mut body = Vec::new();
    json::encode(&request, &mut body);
    (api_subject(source, &rest), body)
}
