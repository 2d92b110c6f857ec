//! What differs from seed to seed: streams, consumers, limits.

use super::features::Features;
use super::json::Json;
use super::model::{AckPolicy, ConsumerModel, Limits, Retention, Setting, StreamModel};
use crate::draw::Draw;

/// Limits of a stream by seed.
pub(super) fn limits(draw: &mut Draw) -> Limits {
    let mut limits = Limits::default();
    match draw.below(8) {
        0 => limits.max_msgs = draw.between(3, 30) as u64,
        1 => limits.max_per_subject = draw.between(1, 5) as u64,
        2 => limits.max_bytes = draw.between(600, 6000) as u64,
        3 => limits.max_age_ns = draw.between(1, 20) as u64 * 500_000_000,
        _ => {}
    }
    limits
}

/// The streams and consumers of a run.
pub(super) fn assets(draw: &mut Draw) -> (Vec<StreamModel>, Vec<ConsumerModel>) {
    let mut streams = Vec::new();
    let mut consumers = Vec::new();
    for at in 0..draw.between(1, 2) {
        let retention =
            draw.pick(&[Retention::Limits, Retention::Limits, Retention::WorkQueue, Retention::Interest]);
        let limits = if draw.percent(if retention == Retention::Limits { 70 } else { 20 }) {
            self::limits(draw)
        } else {
            Limits::default()
        };
        let (features, limits) =
            Features::draw(&mut draw.split(&format!("features {at}")), limits, retention);
        let discard_new = (limits.max_msgs > 0 || limits.max_bytes > 0) && draw.percent(30);
        let mut stream = StreamModel::new(&format!("s{at}"), retention, limits, discard_new);
        stream.in_memory = draw.percent(15);
        stream.features = features;
        stream.discard_new |= stream.features.new_per_subject;
        streams.push(stream);
        let filters: Vec<Vec<usize>> = match (retention, draw.below(5)) {
            (Retention::WorkQueue, 0) => vec![vec![0, 1], vec![2, 3]],
            (Retention::WorkQueue, 1) => vec![vec![0], vec![1], vec![2, 3]],
            (Retention::WorkQueue, _) => vec![vec![]],
            (_, 0) => vec![vec![], vec![1]],
            (_, 1) => vec![vec![], vec![], vec![2, 3]],
            (Retention::Limits, 2) => vec![],
            (_, 3) => {
                (0..draw.between(2, 4)).map(|_| (0..4).filter(|_| draw.percent(50)).collect()).collect()
            }
            _ => vec![vec![]],
        };
        for filter in filters {
            let explicit = retention == Retention::WorkQueue || draw.percent(60);
            let policy = match explicit {
                true => AckPolicy::Explicit,
                false => draw.pick(&[AckPolicy::All, AckPolicy::None]),
            };
            consumers.push(ConsumerModel {
                stream: at,
                name: format!("c{}", consumers.len()),
                filters: vec![filter.clone()],
                filter,
                policy,
                ack_wait_ns: draw.pick(&[200_000_000, 1_000_000_000, 30_000_000_000]),
                max_deliver: draw.pick(&[0, 0, 0, 2, 4]),
                max_ack_pending: draw.pick(&[1000, 1000, 3, 10]),
                push: draw.percent(25),
                exists: false,
                coming: false,
                leaving: false,
                life: 0,
                calm: true,
                asked: Vec::new(),
                since: 0,
                born: 0,
                delivered: Default::default(),
                confirmed: Default::default(),
                acked: Default::default(),
                pending: Default::default(),
                unsettled: Default::default(),
                exact: false,
                acked_below: Default::default(),
                held: Vec::new(),
                pulls: 0,
                last: (0, 0),
            });
        }
    }
    (streams, consumers)
}

/// An update of a consumer. Work queues give every subject to one consumer, and keep it so.
pub(super) fn setting(draw: &mut Draw, consumer: &ConsumerModel, retention: Retention) -> Setting {
    let mut setting = consumer.setting();
    match draw.below(3) {
        0 | 1 if consumer.policy == AckPolicy::None => {}
        0 => setting.ack_wait_ns = draw.pick(&[200_000_000, 1_000_000_000, 30_000_000_000]),
        1 => setting.max_ack_pending = draw.pick(&[1000, 3, 10]),
        _ if retention == Retention::WorkQueue => {}
        _ => {
            setting.filter = (0..4).filter(|_| draw.percent(60)).collect();
            if setting.filter.len() == 4 {
                setting.filter.clear();
            }
        }
    }
    setting
}

/// The setting that a configuration says.
pub(super) fn setting_of(config: &Json, stream: &str) -> Setting {
    let mut subjects: Vec<&str> = config.get("filter_subjects").list().iter().map(Json::text).collect();
    subjects.push(config.get("filter_subject").text());
    let number = |subject: &&str| subject.strip_prefix(stream)?.strip_prefix('.')?.parse().ok();
    let mut filter: Vec<usize> = subjects.iter().filter_map(number).collect();
    filter.sort_unstable();
    Setting {
        filter,
        ack_wait_ns: config.get("ack_wait").number(),
        max_ack_pending: config.get("max_ack_pending").number(),
    }
}

/// The body of a request to create or update a stream.
pub(super) fn stream_config(stream: &StreamModel, limits: Limits) -> String {
    let or_none = |n: u64| if n == 0 { -1 } else { i64::try_from(n).unwrap_or(i64::MAX) };
    let retention = match stream.retention {
        Retention::Limits => "limits",
        Retention::Interest => "interest",
        Retention::WorkQueue => "workqueue",
    };
    let storage = if stream.in_memory { "memory" } else { "file" };
    let discard = if stream.discard_new { "new" } else { "old" };
    let window = if limits.max_age_ns > 0 { limits.max_age_ns } else { 3_600_000_000_000 };
    format!(
        r#"{{"name":"{0}","subjects":["{0}.*"],"retention":"{retention}","discard":"{discard}","storage":"{storage}","num_replicas":1,"max_consumers":-1,"max_msgs":{1},"max_bytes":{2},"max_msgs_per_subject":{3},"max_age":{4},"max_msg_size":-1,"duplicate_window":{window},"allow_atomic":true,"allow_direct":true{5}}}"#,
        stream.name,
        or_none(limits.max_msgs),
        or_none(limits.max_bytes),
        or_none(limits.max_per_subject),
        limits.max_age_ns,
        stream.features.config(),
    )
}

/// The body of a request to create a consumer.
pub(super) fn consumer_config(
    at: usize,
    consumer: &ConsumerModel,
    setting: &Setting,
    stream: &StreamModel,
) -> String {
    let policy = match consumer.policy {
        AckPolicy::Explicit => "explicit",
        AckPolicy::All => "all",
        AckPolicy::None => "none",
    };
    let filters: Vec<String> =
        setting.filter.iter().map(|n| format!("\"{}\"", stream.subjects[*n])).collect();
    let filter = match filters.as_slice() {
        [] => String::new(),
        [one] => format!(r#","filter_subject":{one}"#),
        many => format!(r#","filter_subjects":[{}]"#, many.join(",")),
    };
    let deliver = if consumer.push { format!(r#","deliver_subject":"_D.{at}""#) } else { String::new() };
    let acks = if consumer.policy == AckPolicy::None {
        String::new()
    } else {
        let max_deliver = if consumer.max_deliver == 0 { -1 } else { consumer.max_deliver as i64 };
        format!(
            r#","ack_wait":{},"max_deliver":{max_deliver},"max_ack_pending":{}"#,
            setting.ack_wait_ns, setting.max_ack_pending
        )
    };
    format!(
        r#"{{"stream_name":"{}","config":{{"durable_name":"{}","deliver_policy":"all","replay_policy":"instant","ack_policy":"{policy}"{acks}{filter}{deliver}}}}}"#,
        stream.name, consumer.name
    )
}
