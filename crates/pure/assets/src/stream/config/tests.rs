//! The rules for configurations, as the Go server 2.15.1 answers them.

use std::sync::Arc;

use midge_jsapi::errors::ApiError;
use midge_jsapi::json::{self, Mode};
use midge_jsapi::stream_config::StreamConfig;
use midge_subject::wildcard::overlaps;
use serde_json::{Map, Value, json};

use super::{Alone, CheckCx, Created, Streams, create, equal, update};

struct Others(Vec<StreamConfig>);

impl Streams for Others {
    fn find(&self, name: &str) -> Option<Arc<StreamConfig>> {
        self.0.iter().find(|config| config.name == name).cloned().map(Arc::new)
    }

    fn others_overlap(&self, name: &str, subject: &str) -> bool {
        let others = self.0.iter().filter(|config| config.name != name);
        others.flat_map(|other| &other.subjects).any(|theirs| overlaps(theirs.as_bytes(), subject.as_bytes()))
    }
}

fn cx(streams: &dyn Streams) -> CheckCx<'_> {
    CheckCx {
        pedantic: false,
        max_duplicate_window_ns: 3_600_000_000_000,
        max_bytes_required: false,
        max_stream_bytes: 0,
        clustered: false,
        streams,
        room: &|_| Ok(()),
    }
}

fn others() -> Others {
    let stream = |name: &str| StreamConfig {
        name: name.into(),
        subjects: vec![format!("{name}.>")],
        max_msg_size: -1,
        ..StreamConfig::default()
    };
    Others(vec![
        stream("ORIG"),
        StreamConfig { max_msg_size: 100, ..stream("ORIGBIG") },
        StreamConfig { allow_direct: true, ..stream("ORIGD") },
    ])
}

/// The plain configuration with changes; `null` removes a field.
fn config(changes: &[&str]) -> StreamConfig {
    let mut request = Map::from_iter([("name".into(), json!("T")), ("subjects".into(), json!(["T.>"]))]);
    for changes in changes {
        for (key, value) in serde_json::from_str::<Map<String, Value>>(changes).unwrap() {
            request.insert(key, value);
        }
    }
    request.retain(|_, value| !value.is_null());
    let mut config = StreamConfig::default();
    json::decode(Value::from(request).to_string().as_bytes(), Mode::Strict, &mut config).unwrap();
    config
}

fn difference(config: &StreamConfig) -> Value {
    let plain = json!({"name":"T","subjects":["T.>"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,
        "max_msgs_per_subject":-1,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"duplicate_window":120_000_000_000_u64,
        "compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,
        "allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false});
    let mut out = Vec::new();
    json::encode(config, &mut out);
    let mut found: Map<String, Value> = serde_json::from_slice(&out).unwrap();
    for (key, value) in plain.as_object().unwrap() {
        match found.get(key) {
            None => drop(found.insert(key.clone(), json!("ABSENT"))),
            Some(same) if same == value => drop(found.remove(key)),
            Some(_) => {}
        }
    }
    Value::from(found)
}

fn answer(result: Result<StreamConfig, ApiError>) -> (String, Value) {
    match result {
        Ok(config) => ("ok".into(), difference(&config)),
        Err(error) => (format!("{} {}", error.err_code, error.description), Value::Null),
    }
}

fn expected(text: &str) -> (String, Value) {
    match text.strip_prefix("ok ") {
        Some(json) => ("ok".into(), serde_json::from_str(json).unwrap()),
        None => (text.into(), Value::Null),
    }
}

fn new(result: Result<Created, ApiError>) -> Result<StreamConfig, ApiError> {
    result.map(|created| match created {
        Created::New(config) => *config,
        Created::Same => panic!("there is no such stream yet"),
    })
}

#[test]
fn new_streams_are_checked_and_completed_as_by_the_go_server() {
    let others = others();
    let mut wrong = Vec::new();
    for line in include_str!("created.tsv").lines().filter(|line| !line.starts_with('#')) {
        let [pedantic, request, want] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let cx = CheckCx { pedantic: pedantic == "p", ..cx(&others) };
        let got = answer(new(create(config(&[request]), "T", &cx)));
        if got != expected(want) {
            wrong.push(format!("{pedantic} {request}\n  want {want}\n  got  {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn changes_are_checked_as_by_the_go_server() {
    let others = others();
    let mut wrong = Vec::new();
    for line in include_str!("updated.tsv").lines().filter(|line| !line.starts_with('#')) {
        let [before, change, want] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let old = new(create(config(&[before]), "T", &cx(&others))).unwrap();
        let mut request = config(&[before, change]);
        if !request.subjects.is_empty() && !change.contains("mirror\"") {
            // The mirror goes where subjects come.
            request.mirror = None;
        }
        let got = answer(update(&old, request, &cx(&others)));
        if got != expected(want) {
            wrong.push(format!("{before} {change}\n  want {want}\n  got  {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_texts_and_metadata_have_a_longest_length() {
    let long = |field: &str, value: Value| {
        let changes = json!({ field: value }).to_string();
        let config = config(&[&changes]);
        answer(new(create(config.clone(), &config.name, &cx(&Alone)))).0
    };
    assert_eq!(long("name", json!("n".repeat(256))), "10052 stream name is too long, maximum allowed is 255");
    assert_eq!(
        long("name", json!("a b")),
        r"10052 stream name is required and can not contain '.', '*', '>', '\', '/'"
    );
    assert_eq!(long("name", json!("a/b")), "10128 Stream name can not contain path separators");
    assert_eq!(
        long("name", json!("")),
        r"10052 stream name is required and can not contain '.', '*', '>', '\', '/'"
    );
    assert_eq!(
        long("description", json!("d".repeat(4097))),
        "10052 stream description is too long, maximum allowed is 4096"
    );
    let metadata = json!({ "k": "v".repeat(128 << 10) });
    assert_eq!(long("metadata", metadata), "10052 stream metadata exceeds maximum size of 131072 bytes");
    assert_eq!(long("name", json!("n".repeat(255))), "ok");
}

/// One by one against all others this would take minutes.
#[test]
fn very_many_subjects_are_compared_at_once() {
    let streams = others();
    let mut subjects: Vec<String> = (0..60_000).map(|n| format!("s.{n}.*")).collect();
    let config = StreamConfig { name: "S".into(), subjects: subjects.clone(), ..StreamConfig::default() };
    assert!(create(config, "S", &cx(&Alone)).is_ok());
    subjects.push("s.*.a".to_owned());
    let config = StreamConfig { name: "S".into(), subjects, ..StreamConfig::default() };
    let error = create(config, "S", &cx(&streams)).unwrap_err();
    assert!(error.description.contains("subject \"s.0.*\" overlaps with \"s.*.a\""), "{error}");
}

#[test]
fn the_same_stream_may_be_created_again() {
    let stored = new(create(config(&[]), "T", &cx(&Alone))).unwrap();
    let there = Others(vec![stored.clone()]);
    let told = config(&[r#"{"metadata":{"_nats.ver":"2.15.1","_nats.level":"5"}}"#]);
    assert_eq!(create(told, "T", &cx(&there)), Ok(Created::Same));
    let other = create(config(&[r#"{"max_msgs":5}"#]), "T", &cx(&there));
    assert_eq!(other.unwrap_err().err_code, 10058);
    assert!(!equal(&stored, &StreamConfig { no_ack: true, ..stored.clone() }));
    assert_eq!(create(config(&[]), "U", &cx(&Alone)).unwrap_err().err_code, 10056);
}

#[test]
fn accounts_may_demand_and_limit_the_size_of_streams() {
    let required = CheckCx { max_bytes_required: true, max_stream_bytes: 1000, ..cx(&Alone) };
    let code =
        |changes: &str| create(config(&[changes]), "T", &required).map_err(|error| error.err_code).err();
    assert_eq!(
        (code("{}"), code(r#"{"max_bytes":1001}"#), code(r#"{"max_bytes":1000}"#)),
        (Some(10113), Some(10122), None)
    );
    let full = CheckCx { room: &|_| Err(midge_jsapi::errors::MAXIMUM_STREAMS_LIMIT.into()), ..cx(&Alone) };
    // The account is asked before the configuration is looked at.
    assert_eq!(create(config(&[r#"{"max_age":1}"#]), "T", &full).unwrap_err().err_code, 10027);
}

#[test]
fn bounds_of_consumers_may_not_fall_below_those_there_are() {
    use midge_jsapi::consumer_config::ConsumerConfig;
    let consumer = |inactive_threshold_ns, max_ack_pending| ConsumerConfig {
        inactive_threshold_ns,
        max_ack_pending,
        ..ConsumerConfig::default()
    };
    let consumers = [("a", consumer(5, 10)), ("b", consumer(1, 11)), ("c", consumer(6, 1))];
    let check = |changes: &str| {
        super::check_consumers(&config(&[changes]), consumers.iter().map(|(name, config)| (*name, config)))
    };
    let error = check(r#"{"consumer_limits":{"max_ack_pending":10,"inactive_threshold":5}}"#).unwrap_err();
    assert_eq!(error.to_string(), "change to limits violates consumers: b, c (10069)");
    assert_eq!(check("{}"), Ok(()));
}
