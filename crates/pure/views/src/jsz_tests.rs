use super::*;
use crate::json::pretty;
use midge_jsapi::account::ApiStats;
use midge_jsapi::info::SequenceInfo;
use midge_stdx::clock::Wall;

fn decoded(query: &str) -> Result<JszOptions, String> {
    JszOptions::decode(&Query::parse(query))
}

#[test]
fn consumers_imply_streams_and_streams_imply_accounts_unless_one_is_named() {
    let all = decoded("consumers=1").unwrap();
    assert!(all.consumers && all.streams && all.accounts);
    let one = decoded("streams=1&acc=A").unwrap();
    assert!(one.streams && !one.accounts && one.account == "A");
    assert!(decoded("acc=A&accounts=true").unwrap().accounts);
    assert_eq!(decoded(""), Ok(JszOptions::default()));
}

#[test]
fn the_first_bad_parameter_in_the_order_of_the_released_server_is_told() {
    let order = [
        "accounts",
        "streams",
        "consumers",
        "direct-consumers",
        "config",
        "offset",
        "limit",
        "leader-only",
        "raft",
        "stream-leader-only",
    ];
    for pair in order.windows(2) {
        let error = decoded(&format!("{}=x&{}=x", pair[1], pair[0])).unwrap_err();
        assert!(error.contains(&format!(" for '{}': ", pair[0])), "{error}");
    }
    assert_eq!(
        decoded("offset=99999999999999999999").unwrap_err(),
        "Error decoding int for 'offset': strconv.Atoi: parsing \"99999999999999999999\": value out of range"
    );
}

#[test]
fn a_page_of_accounts_has_no_end_only_where_the_limit_is_negative() {
    let page = |query: &str, accounts| decoded(query).unwrap().page(accounts);
    assert_eq!(page("", 3), 0..3);
    assert_eq!(page("", 2000), 0..1024);
    assert_eq!(page("offset=1&limit=1", 3), 1..2);
    assert_eq!(page("offset=-1&limit=-1", 2000), 0..2000);
    assert_eq!(page("offset=5", 2), 2..2);
}

#[test]
fn a_server_without_jetstream_prints_as_the_released_one() {
    let jsz =
        Jsz { server_id: "N".into(), now: Wall(1_500_000_000).into(), disabled: true, ..Jsz::default() };
    let expected = r#"{
  "memory": 0,
  "storage": 0,
  "reserved_memory": 0,
  "reserved_storage": 0,
  "accounts": 0,
  "ha_assets": 0,
  "api": {
    "level": 0,
    "total": 0,
    "errors": 0
  },
  "server_id": "N",
  "now": "1970-01-01T00:00:01.5Z",
  "disabled": true,
  "config": {
    "max_memory": 0,
    "max_storage": 0
  },
  "streams": 0,
  "consumers": 0,
  "messages": 0,
  "bytes": 0,
  "total": 0
}"#;
    assert_eq!(pretty(&jsz), expected);
}

#[test]
fn accounts_streams_and_consumers_print_as_by_the_released_server() {
    let consumer = ConsumerInfo {
        stream_name: "ONE".into(),
        name: "dur".into(),
        created: Wall(1),
        delivered: SequenceInfo { consumer_seq: 1, stream_seq: 1, last_active: Some(Wall(2)) },
        num_ack_pending: 1,
        num_pending: 3,
        ts: Wall(3),
        ..ConsumerInfo::default()
    };
    let stream = StreamDetail {
        name: "ONE".into(),
        created: Wall(1).into(),
        cluster: Some(Told(ClusterInfo { leader: "S1".into(), ..ClusterInfo::default() })),
        state: Told(StreamState {
            messages: 4,
            bytes: 160,
            first_seq: 1,
            last_seq: 5,
            consumer_count: 1,
            ..StreamState::default()
        }),
        consumers: vec![Told(consumer)],
        ..StreamDetail::default()
    };
    let account = AccountDetail {
        name: "A".into(),
        id: "A".into(),
        stats: Told(ServerStats {
            memory: 117,
            reserved_memory: 100_000_000,
            reserved_storage: u64::MAX,
            api: ApiStats { total: 12, errors: 1, ..ApiStats::default() },
            ..ServerStats::default()
        }),
        streams: vec![stream],
    };
    let jsz = Jsz { account_details: vec![account], total: 2, partial: true, ..Jsz::default() };
    let text = pretty(&jsz);
    let expected = r#"  "account_details": [
    {
      "name": "A",
      "id": "A",
      "memory": 117,
      "storage": 0,
      "reserved_memory": 100000000,
      "reserved_storage": 18446744073709551615,
      "accounts": 0,
      "ha_assets": 0,
      "api": {
        "level": 0,
        "total": 12,
        "errors": 1
      },
      "stream_detail": [
        {
          "name": "ONE",
          "created": "1970-01-01T00:00:00.000000001Z",
          "cluster": {
            "leader": "S1"
          },
          "state": {
            "messages": 4,
            "bytes": 160,
            "first_seq": 1,
            "first_ts": "0001-01-01T00:00:00Z",
            "last_seq": 5,
            "last_ts": "0001-01-01T00:00:00Z",
            "consumer_count": 1
          },
          "consumer_detail": [
            {
              "stream_name": "ONE",
              "name": "dur",
              "created": "1970-01-01T00:00:00.000000001Z",
              "delivered": {
                "consumer_seq": 1,
                "stream_seq": 1,
                "last_active": "1970-01-01T00:00:00.000000002Z"
              },
              "ack_floor": {
                "consumer_seq": 0,
                "stream_seq": 0
              },
              "num_ack_pending": 1,
              "num_redelivered": 0,
              "num_waiting": 0,
              "num_pending": 3,
              "ts": "1970-01-01T00:00:00.000000003Z"
            }
          ]
        }
      ]
    }
  ],
  "total": 2,
  "partial": true
}"#;
    assert!(text.ends_with(expected), "{text}");
}
