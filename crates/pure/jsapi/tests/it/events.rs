//! Events as the Go server published them.

use midge_jsapi::advisories::*;
use midge_jsapi::client_info::ClientInfo;
use midge_jsapi::info::{PeerInfo, StreamState};
use midge_jsapi::json::{self, Mode};
use midge_stdx::clock::Wall;
use midge_stdx::gotime;

const CLIENT: &str = r#"{"start":"2026-11-21T18:59:56.678344351Z","host":"127.0.0.1","id":34,"acc":"A","user":"a","rtt":268238,"server":"orc","kind":"Client","client_type":"nats"}"#;

fn time(text: &str) -> Wall {
    gotime::parse_rfc3339(text).unwrap().unwrap()
}

fn client() -> ClientInfo {
    let mut client = ClientInfo::default();
    json::decode_one(CLIENT.as_bytes(), Mode::Strict, &mut client).unwrap();
    client
}

/// Compares with the type, behind which stand id and time, and the rest.
fn check<E: Event>(event: &E, domain: &str, subject: &str, kind: &str, rest: &str) {
    assert_eq!(event.subject(), subject);
    let mut out = Vec::new();
    event.encode("ID", time("2026-11-21T18:59:56.880566496Z"), domain, &mut out);
    let head = format!(r#"{{"type":"{kind}","id":"ID","timestamp":"2026-11-21T18:59:56.880566496Z""#);
    assert_eq!(String::from_utf8(out).unwrap(), format!("{head},{rest}}}"));
}

#[test]
fn deeds() {
    let kind = "io.nats.jetstream.advisory.v1.stream_action";
    for (deed, token, action) in [
        (Deed::Create, "CREATED", "create"),
        (Deed::Modify, "UPDATED", "modify"),
        (Deed::Delete, "DELETED", "delete"),
    ] {
        let event = StreamAction { stream: "S", deed };
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.{token}.S");
        check(&event, "D", &subject, kind, &format!(r#""stream":"S","action":"{action}","domain":"D""#));
        check(&event, "", &subject, kind, &format!(r#""stream":"S","action":"{action}""#));
    }
    check(
        &ConsumerAction { stream: "S", consumer: "C", deed: Deed::Delete },
        "D",
        "$JS.EVENT.ADVISORY.CONSUMER.DELETED.S.C",
        "io.nats.jetstream.advisory.v1.consumer_action",
        r#""stream":"S","consumer":"C","action":"delete","domain":"D""#,
    );
}

#[test]
fn consumers_pause_and_pin() {
    check(
        &ConsumerPause { stream: "S", consumer: "C", paused: false, pause_until: None },
        "D",
        "$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.C",
        "io.nats.jetstream.advisory.v1.consumer_pause",
        r#""stream":"S","consumer":"C","paused":false,"pause_until":"0001-01-01T00:00:00Z","domain":"D""#,
    );
    check(
        &GroupPinned { account: "A", stream: "S", consumer: "PR", group: "g", pinned_id: "id" },
        "D",
        "$JS.EVENT.ADVISORY.CONSUMER.PINNED.S.PR",
        "io.nats.jetstream.advisory.v1.consumer_group_pinned",
        r#""account":"A","stream":"S","consumer":"PR","domain":"D","group":"g","pinned_id":"id""#,
    );
    check(
        &GroupUnpinned { account: "A", stream: "S", consumer: "PR", group: "g", reason: UnpinReason::Admin },
        "D",
        "$JS.EVENT.ADVISORY.CONSUMER.UNPINNED.S.PR",
        "io.nats.jetstream.advisory.v1.consumer_group_unpinned",
        r#""account":"A","stream":"S","consumer":"PR","domain":"D","group":"g","reason":"admin""#,
    );
}

#[test]
fn deliveries() {
    let delivery = Delivery { stream: "A1", consumer: "D", consumer_seq: 3, stream_seq: 4, deliveries: 1 };
    let place = r#""stream":"A1","consumer":"D","consumer_seq":3,"stream_seq":4"#;
    check(
        &AckMetric { delivery, ack_time_ns: 523_953 },
        "D",
        "$JS.EVENT.METRIC.CONSUMER.ACK.A1.D",
        "io.nats.jetstream.metric.v1.consumer_ack",
        &format!(r#"{place},"ack_time":523953,"deliveries":1,"domain":"D""#),
    );
    check(
        &Nak(delivery),
        "D",
        "$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.A1.D",
        "io.nats.jetstream.advisory.v1.nak",
        &format!(r#"{place},"deliveries":1,"domain":"D""#),
    );
    let subject = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.A1.D";
    let kind = "io.nats.jetstream.advisory.v1.terminated";
    for (reason, text) in [
        (&b"because <x>"[..], r#""reason":"because \u003cx\u003e","#),
        (b"", ""),
        (b"a\xffb", r#""reason":"a\ufffdb","#),
    ] {
        let rest = format!(r#"{place},"deliveries":1,{text}"domain":"D""#);
        check(&Terminated { delivery, reason }, "D", subject, kind, &rest);
    }
    check(
        &MaxDeliver { stream: "A1", consumer: "D", stream_seq: 4, deliveries: 1 },
        "D",
        "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.A1.D",
        "io.nats.jetstream.advisory.v1.max_deliver",
        r#""stream":"A1","consumer":"D","stream_seq":4,"deliveries":1,"domain":"D""#,
    );
}

#[test]
fn copies() {
    let state = r#"{"messages":4,"bytes":144,"first_seq":1,"first_ts":"2026-11-21T18:59:56.880848059Z","last_seq":4,"last_ts":"2026-11-21T18:59:56.881411869Z","num_subjects":1,"consumer_count":1}"#;
    let mut read = StreamState::default();
    json::decode_one(state.as_bytes(), Mode::Strict, &mut read).unwrap();
    let mut asking = client();
    asking.jwt = "secret".to_owned();
    let client = asking.told();
    check(
        &SnapshotCreate { stream: "A1", state: &read, client: &client },
        "D",
        "$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_CREATE.A1",
        "io.nats.jetstream.advisory.v1.snapshot_create",
        &format!(r#""stream":"A1","state":{state},"client":{CLIENT},"domain":"D""#),
    );
    let (start, end) = (time("2026-11-21T18:59:57.827392456Z"), time("2026-11-21T18:59:57.827796074Z"));
    let span = r#""start":"2026-11-21T18:59:57.827392456Z","end":"2026-11-21T18:59:57.827796074Z""#;
    check(
        &SnapshotComplete { stream: "A1", start, end, client: &client, error: "" },
        "D",
        "$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.A1",
        "io.nats.jetstream.advisory.v1.snapshot_complete",
        &format!(r#""stream":"A1",{span},"client":{CLIENT},"domain":"D""#),
    );
    check(
        &SnapshotComplete { stream: "A1", start, end, client: &client, error: "broken" },
        "D",
        "$JS.EVENT.ADVISORY.STREAM.SNAPSHOT_COMPLETE.A1",
        "io.nats.jetstream.advisory.v1.snapshot_complete",
        &format!(r#""stream":"A1",{span},"client":{CLIENT},"domain":"D","error":"broken""#),
    );
    check(
        &RestoreCreate { stream: "A2", client: &client },
        "D",
        "$JS.EVENT.ADVISORY.STREAM.RESTORE_CREATE.A2",
        "io.nats.jetstream.advisory.v1.restore_create",
        &format!(r#""stream":"A2","client":{CLIENT},"domain":"D""#),
    );
    check(
        &RestoreComplete { stream: "A2", start, end, bytes: 584, client: &client },
        "D",
        "$JS.EVENT.ADVISORY.STREAM.RESTORE_COMPLETE.A2",
        "io.nats.jetstream.advisory.v1.restore_complete",
        &format!(r#""stream":"A2",{span},"bytes":584,"client":{CLIENT},"domain":"D""#),
    );
}

#[test]
fn batches_and_requests() {
    check(
        &BatchAbandoned { account: "", stream: "A1", batch: "b1", reason: AbandonReason::Incomplete },
        "D",
        "$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.A1",
        "io.nats.jetstream.advisory.v1.stream_batch_abandoned",
        r#""stream":"A1","domain":"D","batch":"b1","reason":"incomplete""#,
    );
    let client = client();
    let kind = "io.nats.jetstream.advisory.v1.api_audit";
    let subject = "$JS.API.STREAM.SNAPSHOT.A1";
    let mut event = ApiAudit {
        server: "orc",
        client: &client,
        subject,
        request: br#"{"a":1}"#,
        response: br#"{"b":"\u003e"}"#,
    };
    let head = format!(r#""server":"orc","client":{CLIENT},"subject":"$JS.API.STREAM.SNAPSHOT.A1""#);
    let tail = r#""response":"{\"b\":\"\\u003e\"}","domain":"D""#;
    check(&event, "D", "$JS.EVENT.ADVISORY.API", kind, &format!(r#"{head},"request":"{{\"a\":1}}",{tail}"#));
    event.request = b"";
    check(&event, "D", "$JS.EVENT.ADVISORY.API", kind, &format!("{head},{tail}"));
}

#[test]
fn leaders() {
    let peer = PeerInfo {
        name: "n".to_owned(),
        current: true,
        active_ns: 5,
        peer: "p".to_owned(),
        ..PeerInfo::default()
    };
    let replicas = [peer];
    let list = r#""replicas":[{"name":"n","current":true,"active":5,"peer":"p"}]"#;
    check(
        &StreamLeaderElected { account: "", stream: "S", leader: "n", replicas: &replicas },
        "",
        "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.S",
        "io.nats.jetstream.advisory.v1.stream_leader_elected",
        &format!(r#""stream":"S","leader":"n",{list}"#),
    );
    check(
        &ConsumerQuorumLost { account: "A", stream: "S", consumer: "C", replicas: &[] },
        "",
        "$JS.EVENT.ADVISORY.CONSUMER.QUORUM_LOST.S.C",
        "io.nats.jetstream.advisory.v1.consumer_quorum_lost",
        r#""account":"A","stream":"S","consumer":"C","replicas":null"#,
    );
    check(
        &ServerRemoved { server: "n", server_id: "N", cluster: "c" },
        "",
        "$JS.EVENT.ADVISORY.SERVER.REMOVED",
        "io.nats.jetstream.advisory.v1.server_removed",
        r#""server":"n","server_id":"N","cluster":"c""#,
    );
    check(
        &ApiLimitReached { server: "n", dropped: 10_000 },
        "D",
        "$JS.EVENT.ADVISORY.API.LIMIT_REACHED",
        "io.nats.jetstream.advisory.v1.api_limit_reached",
        r#""server":"n","domain":"D","dropped":10000"#,
    );
}
