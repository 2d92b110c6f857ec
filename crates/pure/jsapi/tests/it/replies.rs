//! Answers of the Go server, read and written again: the same to the byte.

use std::collections::BTreeSet;

use midge_jsapi::account::AccountInfo;
use midge_jsapi::errors::{self, Code};
use midge_jsapi::json::{self, Mode, Object};
use midge_jsapi::responses::{self as reply, Reply, StoredMessage, kind};
use midge_stdx::gotime;

fn again<T: Object + Default>(text: &str) -> Reply<T> {
    let mut read = Reply::<T>::default();
    json::decode_one(text.as_bytes(), Mode::Strict, &mut read)
        .unwrap_or_else(|error| panic!("{error}: {text}"));
    let kind = read.header.kind.strip_prefix(reply::PREFIX).unwrap();
    let mut out = Vec::new();
    reply::encode(kind, read.header.error.as_ref(), &read.fields, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), text);
    if let Some(error) = &read.header.error {
        let mut out = Vec::new();
        reply::refuse(kind, error, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
        let code = Code::of(error.err_code).unwrap();
        assert_eq!(code.code, error.code);
        assert!(code.text.contains('{') || code.text == error.description);
    }
    read
}

#[test]
fn answers_are_written_as_they_were_read() {
    let mut kinds = BTreeSet::new();
    for text in include_str!("../data/replies.txt").lines() {
        let header = text.split('"').nth(3).unwrap();
        let kind = header.strip_prefix(reply::PREFIX).unwrap();
        kinds.insert(kind);
        match kind {
            kind::ACCOUNT_INFO => drop(again::<AccountInfo>(text)),
            kind::STREAM_CREATE => drop(again::<reply::StreamCreated>(text)),
            kind::STREAM_UPDATE | kind::STREAM_CANCEL_MOVE => drop(again::<reply::StreamUpdated>(text)),
            kind::STREAM_INFO => drop(again::<reply::StreamDetails>(text)),
            kind::STREAM_NAMES => drop(again::<reply::StreamNames>(text)),
            kind::STREAM_LIST => drop(again::<reply::StreamList>(text)),
            kind::STREAM_PURGE => drop(again::<reply::StreamPurged>(text)),
            kind::STREAM_SNAPSHOT => drop(again::<reply::SnapshotBegun>(text)),
            kind::STREAM_RESTORE => drop(again::<reply::RestoreBegun>(text)),
            kind::CONSUMER_CREATE | kind::CONSUMER_INFO => drop(again::<reply::ConsumerTold>(text)),
            kind::CONSUMER_NAMES => drop(again::<reply::ConsumerNames>(text)),
            kind::CONSUMER_LIST => drop(again::<reply::ConsumerList>(text)),
            kind::CONSUMER_PAUSE => drop(again::<reply::ConsumerPaused>(text)),
            kind::CONSUMER_RESET => drop(again::<reply::ConsumerReset>(text)),
            kind::MSG_GET if text.contains("\"message\"") => {}
            _ => drop(again::<reply::Done>(text)),
        }
    }
    assert!(kinds.len() >= 25, "{kinds:?}");
}

#[test]
fn messages_are_told_in_base64() {
    let time = |text| gotime::parse_rfc3339(text).unwrap().unwrap();
    let messages = [
        StoredMessage {
            subject: "s.0",
            seq: 10,
            header: b"",
            payload: b"hello",
            time: time("2026-11-21T18:59:30.245757584Z"),
        },
        StoredMessage {
            subject: "s.0",
            seq: 14,
            header: b"NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n",
            payload: b"x",
            time: time("2026-11-21T18:59:30.246322106Z"),
        },
        StoredMessage {
            subject: "l2",
            seq: 1,
            header: b"",
            payload: b"",
            time: time("2026-11-21T19:10:03.704300804Z"),
        },
    ];
    let bodies = [
        r#""subject":"s.0","seq":10,"data":"aGVsbG8=","time":"2026-11-21T18:59:30.245757584Z""#,
        r#""subject":"s.0","seq":14,"hdrs":"TkFUUy8xLjANCk5hdHMtTXNnLUlkOiBhDQoNCg==","data":"eA==","time":"2026-11-21T18:59:30.246322106Z""#,
        r#""subject":"l2","seq":1,"time":"2026-11-21T19:10:03.704300804Z""#,
    ];
    for (message, body) in messages.iter().zip(bodies) {
        let mut out = Vec::new();
        reply::encode_message(message, &mut out);
        let text =
            format!(r#"{{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{{{body}}}}}"#);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

#[test]
fn an_account_without_limits_and_one_with_tiers() {
    use midge_jsapi::account::{AccountLimits, ApiStats, Tier};

    let mut info = AccountInfo {
        total: Tier { memory: 1, limits: AccountLimits::UNLIMITED, ..Tier::default() },
        api: ApiStats { level: 5, total: 3, errors: 2, inflight: 1 },
        ..AccountInfo::default()
    };
    let mut out = Vec::new();
    reply::encode_account(&info, &mut out);
    let head = r#"{"type":"io.nats.jetstream.api.v1.account_info_response","memory":1,"storage":0,"reserved_memory":0,"reserved_storage":0,"streams":0,"consumers":0,"limits":{"max_memory":-1,"max_storage":-1,"max_streams":-1,"max_consumers":-1,"max_ack_pending":-1,"memory_max_stream_bytes":-1,"storage_max_stream_bytes":-1,"max_bytes_required":false},"api":{"level":5,"total":3,"errors":2,"inflight":1}"#;
    assert_eq!(String::from_utf8(out.clone()).unwrap(), format!("{head}}}"));
    info.tiers.insert("R3".to_owned(), Tier { streams: 4, ..Tier::default() });
    out.clear();
    reply::encode_account(&info, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(
            r#"{head},"tiers":{{"R3":{{"memory":0,"storage":0,"reserved_memory":0,"reserved_storage":0,"streams":4,"consumers":0,"limits":{{"max_memory":0,"max_storage":0,"max_streams":0,"max_consumers":0,"max_ack_pending":0,"memory_max_stream_bytes":0,"storage_max_stream_bytes":0,"max_bytes_required":false}}}}}}}}"#
        )
    );
}

#[test]
fn refusals_have_the_fields_that_are_always_there() {
    let error = errors::INVALID_JSON.because("x");
    let head = r#""error":{"code":400,"err_code":10025,"description":"invalid JSON: x"}"#;
    for (kind, tail) in [
        (kind::ACCOUNT_INFO, ""),
        (kind::STREAM_CREATE, ""),
        (kind::STREAM_NAMES, r#","total":0,"offset":0,"limit":0,"streams":null"#),
        (kind::STREAM_LIST, r#","total":0,"offset":0,"limit":0,"streams":[]"#),
        (kind::STREAM_INFO, r#","total":0,"offset":0,"limit":0"#),
        (kind::STREAM_PURGE, r#","purged":0"#),
        (kind::STREAM_SNAPSHOT, ""),
        (kind::STREAM_RESTORE, r#","deliver_subject":"""#),
        (kind::CONSUMER_NAMES, r#","total":0,"offset":0,"limit":0,"consumers":[]"#),
        (kind::CONSUMER_LIST, r#","total":0,"offset":0,"limit":0,"consumers":[]"#),
        (kind::CONSUMER_PAUSE, r#","paused":false,"pause_until":"0001-01-01T00:00:00Z""#),
        (kind::CONSUMER_RESET, r#","reset_seq":0"#),
        (kind::CONSUMER_UNPIN, ""),
    ] {
        let mut out = Vec::new();
        reply::refuse(kind, &error, &mut out);
        let text = format!(r#"{{"type":"io.nats.jetstream.api.v1.{kind}",{head}{tail}}}"#);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

#[test]
fn a_server_tells_how_it_is_set_up() {
    use midge_jsapi::account::{ServerConfig, ServerLimits, ServerStats};

    fn there_and_back<T: Object + Default>(text: &str) {
        let mut value = T::default();
        json::decode_one(text.as_bytes(), Mode::Strict, &mut value).unwrap();
        let mut out = Vec::new();
        json::encode(&value, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
    there_and_back::<ServerConfig>(
        r#"{"max_memory":1000000000,"max_storage":10000000000,"store_dir":"/z/jetstream","sync_interval":10000000000,"domain":"D","compress_ok":true,"unique_tag":"az","strict":true}"#,
    );
    there_and_back::<ServerStats>(
        r#"{"memory":0,"storage":0,"reserved_memory":0,"reserved_storage":0,"accounts":1,"ha_assets":0,"api":{"level":5,"total":0,"errors":0}}"#,
    );
    there_and_back::<ServerLimits>(
        r#"{"max_request_batch":10,"max_ack_pending":20,"max_ha_assets":5,"max_duplicate_window":60000000000,"max_batch_inflight_per_stream":3,"max_batch_inflight_total":4,"max_batch_size":5,"max_batch_timeout":3000000000,"default_max_consumers":7}"#,
    );
}
