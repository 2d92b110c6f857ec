//! What is allowed, what is filled in, what is told.

use midge_jsapi::consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, ReplayPolicy};
use midge_jsapi::stream_config::{ConsumerLimits, Retention, StreamConfig};
use midge_stdx::clock::Wall;

use super::*;
use crate::consumer::tests::{check_cx as cx, stream_config as stream};

fn pull() -> ConsumerConfig {
    ConsumerConfig { name: "C".to_owned(), ack_policy: AckPolicy::Explicit, ..ConsumerConfig::default() }
}

fn push() -> ConsumerConfig {
    ConsumerConfig { deliver_subject: "q".to_owned(), ..pull() }
}

fn told(config: ConsumerConfig, cx: &CheckCx<'_>) -> (u16, String) {
    match check(config, cx) {
        Ok(config) => panic!("allowed: {config:?}"),
        Err(error) => (error.err_code, error.description),
    }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn defaults_stand_in() {
    let stream = stream();
    let config = check(pull(), &cx(&stream)).unwrap();
    let expected = ConsumerConfig {
        ack_wait_ns: 30_000_000_000,
        max_deliver: -1,
        max_waiting: 512,
        max_ack_pending: 1000,
        inactive_threshold_ns: 5_000_000_000,
        ..pull()
    };
    assert_eq!(config, expected);
    let none = ConsumerConfig { ack_policy: AckPolicy::None, durable_name: "C".to_owned(), ..pull() };
    let config = check(none, &cx(&stream)).unwrap();
    assert_eq!((config.ack_wait_ns, config.max_ack_pending, config.inactive_threshold_ns), (0, 0, 0));
    let negative = ConsumerConfig {
        max_waiting: -3,
        max_batch: -4,
        max_expires_ns: -5,
        max_bytes: -6,
        inactive_threshold_ns: -1,
        max_ack_pending: -5,
        ..pull()
    };
    let config = check(negative, &cx(&stream)).unwrap();
    assert_eq!(config, ConsumerConfig { max_ack_pending: -1, ..expected });
    let backoff = ConsumerConfig { ack_wait_ns: 7, backoff_ns: vec![3, 4], ..pull() };
    assert_eq!(check(backoff, &cx(&stream)).unwrap().ack_wait_ns, 3);
    let flow = ConsumerConfig { ack_policy: AckPolicy::FlowControl, idle_heartbeat_ns: 5, ..push() };
    let config = check(flow, &cx(&stream)).unwrap();
    assert!(config.flow_control && config.idle_heartbeat_ns == 1_000_000_000 && config.ack_wait_ns == 0);
    let pinned = ConsumerConfig {
        priority_policy: PriorityPolicy::PinnedClient,
        priority_groups: texts(&["a"]),
        ..pull()
    };
    assert_eq!(check(pinned, &cx(&stream)).unwrap().priority_timeout_ns, 120_000_000_000);
}

#[test]
fn limits_of_stream_and_server_stand_in_and_bound() {
    let limits = ConsumerLimits { inactive_threshold_ns: 9_000_000_000, max_ack_pending: 20 };
    let stream = StreamConfig { consumer_limits: limits, ..stream() };
    let server = CheckCx { max_ack_pending: 10, max_request_batch: 7, ..cx(&stream) };
    let config = check(pull(), &server).unwrap();
    assert_eq!(
        (config.max_ack_pending, config.max_batch, config.inactive_threshold_ns),
        (10, 7, 9_000_000_000)
    );
    let much = ConsumerConfig { max_ack_pending: 15, ..pull() };
    let excess = |limit: u32| (10121, format!("consumer max ack pending exceeds system limit of {limit}"));
    assert_eq!(told(much, &server), excess(10));
    assert_eq!(told(ConsumerConfig { max_ack_pending: 21, ..pull() }, &cx(&stream)), excess(20));
    let batch = ConsumerConfig { max_batch: 8, ..pull() };
    assert_eq!(
        told(batch, &server),
        (10125, "consumer max request batch exceeds server limit of 7".to_owned())
    );
    let long = ConsumerConfig { inactive_threshold_ns: 10_000_000_000, ..pull() };
    let text = "consumer inactive threshold exceeds system limit of 9s";
    assert_eq!(told(long, &server), (10153, text.to_owned()));
    let pedantic = CheckCx { pedantic: true, ..server };
    let set = ConsumerConfig { ack_wait_ns: 1, max_deliver: -1, ..pull() };
    let refusals = [
        (set.clone(), "max_ack_pending must be set if it's configured in stream limits"),
        (
            ConsumerConfig { max_ack_pending: 5, ..set.clone() },
            "inactive_threshold must be set if it's configured in stream limits",
        ),
        (
            ConsumerConfig { max_ack_pending: 5, inactive_threshold_ns: 1, ..set },
            "max_request_batch must be set if it's JetStream limits are set",
        ),
    ];
    for (config, text) in refusals {
        assert_eq!(told(config, &pedantic), (10157, format!("pedantic mode: {text}")));
    }
}

#[test]
fn pedantic_requests_get_no_corrections() {
    let stream = stream();
    let pedantic = CheckCx { pedantic: true, ..cx(&stream) };
    let cases = [
        (ConsumerConfig { max_deliver: -5, ..pull() }, "max_deliver must be set to -1"),
        (ConsumerConfig { max_ack_pending: -5, ..pull() }, "max_ack_pending must be set to -1"),
        (ConsumerConfig { max_waiting: -1, ..pull() }, "max_waiting must not be negative"),
        (ConsumerConfig { max_batch: -1, ..pull() }, "max_batch must not be negative"),
        (ConsumerConfig { inactive_threshold_ns: -2, ..pull() }, "inactive_threshold must not be negative"),
        (
            ConsumerConfig { backoff_ns: vec![5, 6], ..pull() },
            "first backoff value has to equal batch AckWait",
        ),
    ];
    for (config, text) in cases {
        assert_eq!(told(config, &pedantic), (10157, format!("pedantic mode: {text}")));
    }
    let flow = ConsumerConfig { ack_policy: AckPolicy::FlowControl, ..push() };
    assert_eq!(told(flow.clone(), &pedantic).0, 10219);
    let two = ConsumerConfig { flow_control: true, idle_heartbeat_ns: 2_000_000_000, ..flow };
    let text = "flow control ack policy heartbeat needs to be 1s";
    assert_eq!(told(two, &pedantic), (10052, text.to_owned()));
}

#[test]
fn refusals_have_the_numbers_of_the_go_server() {
    let stream = stream();
    let with = |change: &dyn Fn(&mut ConsumerConfig)| {
        let mut config = pull();
        change(&mut config);
        config
    };
    let cases: Vec<(ConsumerConfig, u16)> = vec![
        (with(&|c| c.name = "a.b".to_owned()), 10052),
        (with(&|c| c.name = "a b".to_owned()), 10052),
        (with(&|c| c.name = "a/b".to_owned()), 10127),
        (with(&|c| c.durable_name = "x".repeat(256)), 10102),
        (with(&|c| c.durable_name = "other".to_owned()), 10132),
        (with(&|c| c.num_replicas = 3), 10074),
        (with(&|c| c.num_replicas = -1), 10133),
        (with(&|c| c.ack_wait_ns = -1), 10183),
        (with(&|c| c.backoff_ns = vec![-1]), 10184),
        (with(&|c| (c.backoff_ns, c.max_deliver) = (vec![1, 2], 1)), 10116),
        (with(&|c| c.description = "x".repeat(4097)), 10107),
        (with(&|c| c.deliver_subject = "q.*".to_owned()), 10079),
        (with(&|c| c.deliver_subject = "x..1".to_owned()), 10112),
        (with(&|c| c.deliver_subject = "s.1".to_owned()), 10081),
        (with(&|c| (c.deliver_subject, c.max_waiting) = ("q".to_owned(), 4)), 10080),
        (with(&|c| (c.deliver_subject, c.idle_heartbeat_ns) = ("q".to_owned(), 1)), 10083),
        (with(&|c| (c.deliver_subject, c.flow_control) = ("q".to_owned(), true)), 10108),
        (ConsumerConfig { ack_policy: AckPolicy::None, max_ack_pending: 3, ..push() }, 10082),
        (with(&|c| c.rate_limit_bps = 5), 10086),
        (with(&|c| c.idle_heartbeat_ns = 1_000_000_000), 10088),
        (with(&|c| c.flow_control = true), 10089),
        (with(&|c| c.max_expires_ns = 500), 10115),
        (with(&|c| c.direct = true), 10090),
        (ConsumerConfig { direct: true, durable_name: "C".to_owned(), ..push() }, 10091),
        (with(&|c| (c.filter_subject, c.filter_subjects) = ("a".to_owned(), texts(&["b"]))), 10136),
        (with(&|c| c.filter_subject = "s..1".to_owned()), 10052),
        (with(&|c| c.filter_subject = "s 1".to_owned()), 10052),
        (with(&|c| c.filter_subjects = texts(&["a", ""])), 10139),
        (with(&|c| c.filter_subjects = texts(&["a", "a"])), 10138),
        (with(&|c| c.filter_subjects = texts(&["s.*", "s.1"])), 10138),
        (with(&|c| c.sample_freq = "abc".to_owned()), 10095),
        (with(&|c| drop(c.metadata.insert("a".to_owned(), "x".repeat(131_072)))), 10135),
        (with(&|c| c.priority_policy = PriorityPolicy::Overflow), 10159),
        (with(&|c| c.priority_groups = texts(&["a"])), 10196),
        (with(&|c| c.priority_timeout_ns = 5), 10197),
        (with(&|c| c.ack_policy = AckPolicy::FlowControl), 10218),
    ];
    for (config, number) in cases {
        assert_eq!(told(config.clone(), &cx(&stream)).0, number, "{config:?}");
    }
    let group = |name: &str| ConsumerConfig {
        priority_policy: PriorityPolicy::Overflow,
        priority_groups: texts(&[name]),
        ..pull()
    };
    for (name, number) in [("", 10161), ("a b", 10162), ("seventeen-letters", 10162)] {
        assert_eq!(told(group(name), &cx(&stream)).0, number);
    }
    assert!(check(group("A/_=-9"), &cx(&stream)).is_ok());
    assert_eq!(told(ConsumerConfig { deliver_subject: "q".to_owned(), ..group("a") }, &cx(&stream)).0, 10178);
    let flow = ConsumerConfig { ack_policy: AckPolicy::FlowControl, ..push() };
    assert_eq!(told(ConsumerConfig { max_ack_pending: -1, ..flow.clone() }, &cx(&stream)).0, 10220);
    assert_eq!(told(ConsumerConfig { ack_wait_ns: 5, ..flow.clone() }, &cx(&stream)).0, 10221);
    assert_eq!(told(ConsumerConfig { max_deliver: 3, ..flow }, &cx(&stream)).0, 10222);
    // Filters that overlap in part pass, and need not match the stream.
    let partial = ConsumerConfig { filter_subjects: texts(&["a.*.c", "a.b.*", "zz"]), ..pull() };
    assert!(check(partial, &cx(&stream)).is_ok());
}

/// One by one against all others this would take minutes.
#[test]
fn very_many_filters_are_compared_at_once() {
    let stream = StreamConfig { subjects: texts(&["s.>"]), ..stream() };
    let mut subjects: Vec<String> = (0..60_000).map(|n| format!("s.{n}.*")).collect();
    let config = ConsumerConfig { filter_subjects: subjects.clone(), ..pull() };
    assert!(check(config, &cx(&stream)).is_ok());
    subjects.push("s.*.a".to_owned());
    let config = ConsumerConfig { filter_subjects: subjects.clone(), ..pull() };
    assert!(check(config, &cx(&stream)).is_ok(), "what only overlaps is allowed");
    subjects.push("s.7.b".to_owned());
    let config = ConsumerConfig { filter_subjects: subjects, ..pull() };
    assert_eq!(told(config, &cx(&stream)).0, 10138);
}

#[test]
fn starts_have_to_fit_their_policy() {
    let stream = stream();
    let case = |policy, seq, time: bool| ConsumerConfig {
        deliver_policy: policy,
        opt_start_seq: seq,
        opt_start_time: time.then_some(Wall(1)),
        ..pull()
    };
    let refusals = [
        (case(DeliverPolicy::All, 4, false), "all, but optional start sequence is also set"),
        (case(DeliverPolicy::New, 0, true), "new, but optional start time is also set"),
        (case(DeliverPolicy::Last, 3, false), "last, but optional start sequence is also set"),
        (
            case(DeliverPolicy::LastPerSubject, 0, false),
            "last per subject, but optional filter subject is not set",
        ),
        (
            case(DeliverPolicy::ByStartSequence, 0, false),
            "by start sequence, but optional start sequence is not set",
        ),
        (
            case(DeliverPolicy::ByStartSequence, 1, true),
            "by start sequence, but optional start time is also set",
        ),
        (case(DeliverPolicy::ByStartTime, 3, false), "by start time, but optional start time is not set"),
        (
            case(DeliverPolicy::ByStartTime, 3, true),
            "by start time, but optional start start sequence is also set",
        ),
    ];
    for (config, text) in refusals {
        assert_eq!(
            told(config, &cx(&stream)),
            (10094, format!("consumer delivery policy is deliver {text}"))
        );
    }
}

#[test]
fn samples_are_percentages() {
    assert_eq!((sample_percent(""), sample_percent("30"), sample_percent("30%")), (Ok(0), Ok(30), Ok(30)));
    let error = |text: &str| sample_percent(text).unwrap_err();
    assert_eq!(error("abc"), r#"strconv.Atoi: parsing "abc": invalid syntax"#);
    assert_eq!(error("30%%"), r#"strconv.Atoi: parsing "30%": invalid syntax"#);
    assert_eq!(error("%"), r#"strconv.Atoi: parsing "": invalid syntax"#);
    assert_eq!(
        error("99999999999999999999"),
        r#"strconv.Atoi: parsing "99999999999999999999": value out of range"#
    );
    assert_eq!(error("-1"), "<nil>");
}

#[test]
fn work_queues_have_one_owner_for_each_message() {
    let stream = StreamConfig { retention: Retention::WorkQueue, ..stream() };
    let other = ConsumerConfig { filter_subject: "s.1.*".to_owned(), ..pull() };
    let all = pull();
    let others = [("A", &other)];
    let queue = CheckCx { others: &others, ..cx(&stream) };
    let filtered = |filter: &str| ConsumerConfig { filter_subject: filter.to_owned(), ..pull() };
    assert_eq!(told(ConsumerConfig { ack_policy: AckPolicy::None, ..pull() }, &queue).0, 10084);
    assert_eq!(told(ConsumerConfig { ack_policy: AckPolicy::All, ..pull() }, &queue).0, 10098);
    assert_eq!(told(ConsumerConfig { deliver_policy: DeliverPolicy::New, ..pull() }, &queue).0, 10101);
    assert_eq!(told(pull(), &queue).0, 10099);
    assert_eq!(told(filtered("s.*.2"), &queue).0, 10100);
    assert!(check(filtered("s.2.*"), &queue).is_ok());
    let unfiltered = [("A", &all)];
    assert_eq!(told(filtered("s.2"), &CheckCx { others: &unfiltered, ..queue }).0, 10100);
    assert!(
        check(pull(), &CheckCx { others: &unfiltered, name: "A", existing: Some(&pull()), ..queue }).is_ok()
    );
}

#[test]
fn whether_a_consumer_lasts_was_settled_when_it_was_made() {
    let stream = stream();
    let durable = ConsumerConfig { durable_name: "C".to_owned(), ..pull() };
    let of = |config: ConsumerConfig, existing: Option<&ConsumerConfig>| {
        check(config, &CheckCx { existing, ..cx(&stream) }).unwrap().inactive_threshold_ns
    };
    assert_eq!((of(pull(), None), of(durable.clone(), None)), (5_000_000_000, 0));
    assert_eq!((of(pull(), Some(&durable)), of(durable, Some(&pull()))), (0, 5_000_000_000));
}

#[test]
fn a_limit_of_the_stream_is_taken_over_whatever_is_acknowledged() {
    let limits = ConsumerLimits { max_ack_pending: 20, ..ConsumerLimits::default() };
    let limited = StreamConfig { consumer_limits: limits, ..stream() };
    let none = || ConsumerConfig { ack_policy: AckPolicy::None, ..pull() };
    assert_eq!(check(none(), &cx(&limited)).unwrap().max_ack_pending, 20);
    assert_eq!(check(none(), &cx(&stream())).unwrap().max_ack_pending, 0);
}

#[test]
fn a_stream_has_so_many_consumers() {
    let stream = StreamConfig { max_consumers: 2, ..stream() };
    let (a, b) = (pull(), ConsumerConfig { direct: true, ..push() });
    let others = [("A", &a), ("B", &b)];
    let full = CheckCx { others: &others, max_consumers: 1, ..cx(&stream) };
    assert_eq!(told(pull(), &full).0, 10026);
    assert!(check(pull(), &CheckCx { max_consumers: 0, ..full }).is_ok(), "direct ones are not counted");
    assert!(check(pull(), &CheckCx { existing: Some(&pull()), ..full }).is_ok());
    assert!(check(ConsumerConfig { direct: true, ..push() }, &full).is_ok());
}

#[test]
fn the_servers_default_counts_where_neither_stream_nor_account_says_how_many_consumers() {
    let of = |max_consumers: i64| StreamConfig { max_consumers, ..stream() };
    let (a, b) = (pull(), pull());
    let others = [("A", &a), ("B", &b)];
    for (of_stream, of_account, default, allowed) in [
        (-1, -1, 2, false),
        (0, 0, 2, false),
        (-1, -1, 3, true),
        (-1, -1, -1, true),
        (-1, 3, 2, true),
        (3, -1, 2, true),
        (2, -1, 1000, false),
        (-1, 2, 1000, false),
    ] {
        let stream = of(of_stream);
        let cx = CheckCx {
            others: &others,
            max_consumers: of_account,
            default_max_consumers: default,
            ..cx(&stream)
        };
        let case = (of_stream, of_account, default);
        match check(pull(), &cx) {
            Ok(_) => assert!(allowed, "{case:?}"),
            Err(error) => assert_eq!((error.err_code, allowed), (10026, false), "{case:?}"),
        }
        assert!(check(pull(), &CheckCx { existing: Some(&pull()), ..cx }).is_ok(), "{case:?}");
    }
}

#[test]
fn updates_change_what_can_change() {
    let old = ConsumerConfig { pause_until: Some(Wall(5)), idle_heartbeat_ns: 1, ..push() };
    assert_eq!(update(&old, ConsumerConfig { pause_until: None, ..old.clone() }, true), Ok(Change::Same));
    let new = ConsumerConfig { description: "d".to_owned(), ..old.clone() };
    let Ok(Change::Changed(changed)) = update(&old, new, true) else { panic!("it changes") };
    // A pause, of whoever asked for it, asks for its level.
    let level = changed.metadata.get("_nats.req.level").map(String::as_str);
    assert_eq!((&*changed.description, changed.pause_until, level), ("d", old.pause_until, Some("1")));
    let fixed = |change: &dyn Fn(&mut ConsumerConfig)| {
        let mut new = old.clone();
        change(&mut new);
        update(&old, new, true).unwrap_err().to_string()
    };
    assert_eq!(
        fixed(&|c| c.deliver_policy = DeliverPolicy::New),
        "deliver policy can not be updated (10012)"
    );
    assert_eq!(fixed(&|c| c.mem_storage = true), "storage type can not be updated (10012)");
    assert_eq!(fixed(&|c| c.sourcing = true), "sourcing can not be updated (10012)");
    assert_eq!(fixed(&|c| c.opt_start_seq = 3), "start sequence can not be updated (10012)");
    assert_eq!(fixed(&|c| c.ack_policy = AckPolicy::All), "ack policy can not be updated (10012)");
    assert_eq!(
        fixed(&|c| c.replay_policy = ReplayPolicy::Original),
        "replay policy can not be updated (10012)"
    );
    assert_eq!(fixed(&|c| c.idle_heartbeat_ns = 2), "heart beats can not be updated (10012)");
    assert_eq!(fixed(&|c| c.flow_control = true), "flow control can not be updated (10012)");
    assert_eq!(fixed(&|c| c.max_waiting = 2), "max waiting can not be updated (10012)");
    let text = "can not update push consumer to pull based (10012)";
    assert_eq!(fixed(&|c| c.deliver_subject.clear()), text);
    assert_eq!(fixed(&|c| c.deliver_subject = "r".to_owned()), "consumer name already in use (10013)");
    let moved = ConsumerConfig { deliver_subject: "r".to_owned(), ..old.clone() };
    assert!(matches!(update(&old, moved, false), Ok(Change::Changed(_))));
    let text = "can not update pull consumer to push based (10012)";
    assert_eq!(update(&pull(), push(), false).unwrap_err().to_string(), text);
}

#[test]
fn names_are_drawn() {
    let mut entropy = midge_stdx::entropy::Seeded::new(1);
    let (a, b) = (random_name(&mut entropy), random_name(&mut entropy));
    assert!(a.len() == 8 && a != b && a.bytes().all(|byte| byte.is_ascii_alphanumeric()));
}
