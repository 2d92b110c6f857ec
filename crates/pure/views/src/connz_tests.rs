use super::*;
use crate::json::pretty;

const NOW: Wall = Wall(100_000_000_000);

fn seconds(n: i64) -> Wall {
    Wall(n * 1_000_000_000)
}

fn conn(cid: u64) -> ConnInfo {
    ConnInfo {
        cid,
        kind: "Client",
        protocol: "nats",
        ip: "127.0.0.1".into(),
        port: 40268,
        start: seconds(i64::try_from(cid).unwrap()),
        last_activity: seconds(90),
        account: "$G".into(),
        user: "a".into(),
        ..ConnInfo::default()
    }
}

fn options(query: &str) -> Result<ConnzOptions, String> {
    ConnzOptions::decode(&Query::parse(query))
}

fn asked(query: &str, open: Vec<ConnInfo>, closed: Vec<ConnInfo>) -> Connz {
    connz("N1", open, closed, &options(query).unwrap(), NOW)
}

fn cids(document: &Connz) -> Vec<u64> {
    document.connections.iter().flatten().map(|conn| conn.cid).collect()
}

#[test]
fn parameters_are_decoded_and_faults_named() {
    let all =
        options("sort=rtt&auth=1&subs=DETAIL&offset=%2B5&limit=7&cid=9&state=ANY&user=u&acc=A&mqtt_client=m");
    let expected = ConnzOptions {
        sort: Sort::Rtt,
        auth: true,
        subscriptions: Subscriptions::Details,
        offset: 5,
        limit: 7,
        cid: 9,
        state: State::All,
        user: "u".into(),
        account: "A".into(),
        mqtt_client: "m".into(),
    };
    assert_eq!(all, Ok(expected));
    assert_eq!(options("auth=&subs=&user=&state="), Ok(ConnzOptions::default()));
    assert_eq!(options("auth=%zz&sort=cid&sort=x"), Ok(ConnzOptions::default()));
    for (query, error) in [
        ("sort=x", "invalid sorting option: x"),
        ("sort=+cid", "invalid sorting option:  cid"),
        ("sort=stop", "sort by stop only valid on closed connections"),
        ("sort=reason", "sort by reason only valid on closed connections"),
        ("state=any&sort=stop", "sort by stop only valid on closed connections"),
        ("state=foo", "Error decoding state for foo"),
        ("auth=x", r#"Error decoding boolean for 'auth': strconv.ParseBool: parsing "x": invalid syntax"#),
        ("subs=x", r#"Error decoding boolean for 'subs': strconv.ParseBool: parsing "x": invalid syntax"#),
        ("offset=x", r#"Error decoding int for 'offset': strconv.Atoi: parsing "x": invalid syntax"#),
        ("limit=x", r#"Error decoding int for 'limit': strconv.Atoi: parsing "x": invalid syntax"#),
        ("cid=-1", r#"Error decoding uint64 for 'cid': strconv.ParseUint: parsing "-1": invalid syntax"#),
    ] {
        assert_eq!(options(query), Err(error.to_owned()));
    }
    assert!(options("state=closed&sort=stop").is_ok() && options("state=CLOSED&sort=reason").is_ok());
}

#[test]
fn a_connection_prints_as_the_released_server_prints_it() {
    let sub = |subject: &str, queue: &str, sid: &str, max| SubDetail {
        subject: subject.into(),
        queue: queue.into(),
        sid: sid.into(),
        max,
        cid: 5,
        ..SubDetail::default()
    };
    let one = ConnInfo {
        rtt: Some(Duration::from_nanos(322_456)),
        subscriptions: 2,
        name: "<x>".into(),
        lang: "py".into(),
        version: "1".into(),
        subscription_details: vec![sub("foo", "", "1", 0), sub("bar", "q", "2", 5)],
        ..conn(5)
    };
    let head = r#"{
  "server_id": "N1",
  "now": "1970-01-01T00:01:40Z",
  "num_connections": 1,
  "total": 1,
  "offset": 0,
  "limit": 1024,
  "connections": [
    {
      "cid": 5,
      "kind": "Client",
      "type": "nats",
      "ip": "127.0.0.1",
      "port": 40268,
      "start": "1970-01-01T00:00:05Z",
      "last_activity": "1970-01-01T00:01:30Z",
      "rtt": "322µs",
      "uptime": "1m35s",
      "idle": "10s",
      "pending_bytes": 0,
      "in_msgs": 0,
      "out_msgs": 0,
      "in_bytes": 0,
      "out_bytes": 0,
      "subscriptions": 2,
      "name": "\u003cx\u003e",
      "lang": "py",
      "version": "1""#;
    let plain = pretty(&asked("", vec![one.clone()], vec![]));
    assert_eq!(plain, format!("{head}\n    }}\n  ]\n}}"));
    let subjects = pretty(&asked("auth=1&subs=1", vec![one.clone()], vec![]));
    let tail = r#",
      "authorized_user": "a",
      "subscriptions_list": [
        "foo",
        "bar"
      ],
      "name_tag": "$G"
    }
  ]
}"#;
    assert_eq!(subjects, format!("{head}{tail}"));
    let details = pretty(&asked("subs=detail&auth=true", vec![one], vec![]));
    let tail = r#",
      "authorized_user": "a",
      "subscriptions_list_detail": [
        {
          "subject": "foo",
          "sid": "1",
          "msgs": 0,
          "cid": 5
        },
        {
          "subject": "bar",
          "qgroup": "q",
          "sid": "2",
          "msgs": 0,
          "max": 5,
          "cid": 5
        }
      ],
      "name_tag": "$G"
    }
  ]
}"#;
    assert_eq!(details, format!("{head}{tail}"));
}

#[test]
fn users_certificates_and_accounts_show_with_auth_only() {
    let secure = ConnInfo {
        account: "A".into(),
        tls_version: "1.3",
        tls_cipher_suite: "TLS_AES_128_GCM_SHA256".into(),
        tls_peer_certs: vec![TlsPeerCert { subject: "CN=jo".into(), ..TlsPeerCert::default() }],
        tls_first: true,
        ..conn(5)
    };
    let bare = pretty(&asked("", vec![secure.clone()], vec![]));
    assert!(bare.contains("\"tls_version\": \"1.3\"") && bare.contains("\"tls_first\": true"));
    assert!(!bare.contains("CN=jo") && !bare.contains("account") && !bare.contains("authorized_user"));
    let full = pretty(&asked("auth=1", vec![secure], vec![]));
    for part in
        ["\"subject\": \"CN=jo\"", "\"account\": \"A\"", "\"name_tag\": \"A\"", "\"authorized_user\": \"a\""]
    {
        assert!(full.contains(part), "{part}");
    }
}

#[test]
fn closed_connections_say_when_and_why() {
    let closed = ConnInfo { stop: Some(seconds(95)), reason: "Read Error", ..conn(6) };
    let document = asked("state=closed", vec![conn(5)], vec![closed.clone()]);
    let text = pretty(&document);
    assert!(text.contains(
        "\"stop\": \"1970-01-01T00:01:35Z\",\n      \"reason\": \"Read Error\",\n      \"rtt\": \"0s\""
    ));
    assert!(text.contains("\"uptime\": \"1m29s\",\n      \"idle\": \"5s\""));
    assert_eq!(cids(&asked("state=all", vec![conn(5)], vec![closed.clone()])), [5, 6]);
    assert_eq!(cids(&asked("", vec![conn(5)], vec![closed])), [5]);
}

#[test]
fn lists_are_filtered_and_paged() {
    let open = || {
        let other = ConnInfo { user: "b".into(), account: "B".into(), ..conn(2) };
        let leaf = ConnInfo { kind: "Leafnode", ..conn(3) };
        vec![conn(1), other, leaf, ConnInfo { mqtt_client: "m".into(), ..conn(4) }]
    };
    for (query, expected, total, limit) in [
        ("", &[1, 2, 3, 4][..], 4, 1024),
        ("limit=2", &[1, 2], 4, 2),
        ("limit=2&offset=3", &[4], 4, 2),
        ("offset=10", &[], 4, 1024),
        ("offset=-5&limit=-5", &[1, 2, 3, 4], 4, 1024),
        ("cid=4", &[4], 4, 1),
        ("cid=3", &[], 4, 1),
        ("cid=99", &[], 4, 1),
        ("cid=4&state=closed", &[], 0, 1),
        ("user=b", &[2], 4, 1024),
        ("user=x", &[], 4, 1024),
        ("acc=B", &[2], 1, 1024),
        ("acc=$G&user=b", &[], 3, 1024),
        ("mqtt_client=m", &[4], 4, 1024),
    ] {
        let document = asked(query, open(), vec![]);
        assert_eq!(cids(&document), expected, "{query}");
        assert_eq!((document.total, document.limit), (total, limit), "{query}");
        assert_eq!(document.num_connections, expected.len());
    }
}

#[test]
fn every_sort_has_its_direction() {
    let low = ConnInfo { rtt: None, start: seconds(50), last_activity: seconds(60), ..conn(9) };
    let high = ConnInfo {
        rtt: Some(Duration::from_millis(1)),
        start: seconds(40),
        last_activity: seconds(70),
        pending_bytes: 1,
        in_msgs: 1,
        out_msgs: 1,
        in_bytes: 1,
        out_bytes: 1,
        subscriptions: 1,
        ..conn(10)
    };
    for (sort, first) in [
        ("cid", 9),
        ("start", 9),
        ("subs", 10),
        ("pending", 10),
        ("msgs_to", 10),
        ("msgs_from", 10),
        ("bytes_to", 10),
        ("bytes_from", 10),
        ("last", 10),
        ("idle", 9),
        ("uptime", 9),
        ("rtt", 10),
    ] {
        let document = asked(&format!("sort={sort}"), vec![high.clone(), low.clone()], vec![]);
        assert_eq!(cids(&document)[0], first, "{sort}");
    }
    let closed = |cid, stop, reason| ConnInfo { stop: Some(seconds(stop)), reason, ..conn(cid) };
    let both = || vec![closed(1, 70, "Write Error"), closed(2, 80, "Read Error")];
    assert_eq!(cids(&asked("state=closed&sort=stop", vec![], both())), [2, 1]);
    assert_eq!(cids(&asked("state=closed&sort=reason", vec![], both())), [2, 1]);
    assert_eq!(cids(&asked("state=closed&sort=uptime", vec![], both())), [1, 2]);
}

#[test]
fn an_unknown_account_gets_half_an_envelope() {
    let text = pretty(&Connz::unknown_account(&options("acc=zz").unwrap(), NOW));
    assert!(
        text.starts_with("{\n  \"server_id\": \"\",") && text.ends_with("\"connections\": null\n}"),
        "{text}"
    );
}

#[test]
fn round_trip_times_are_rounded_where_it_helps() {
    for (nanos, text) in
        [(0, "0s"), (999, "999ns"), (1_000, "1µs"), (322_456, "322µs"), (1_234_567, "1.234567ms")]
    {
        assert_eq!(rtt_text(Duration::from_nanos(nanos)), text);
    }
}
