//! Links between streams, and what comes over them.

use std::time::Duration;

use midge_jsapi::consumer_config::{AckPolicy, DeliverPolicy};
use midge_jsapi::json::{self, Mode};
use midge_jsapi::requests::ConsumerCreate;
use midge_jsapi::stream_config::{External, SourceConsumer, StreamConfig, StreamSource, SubjectTransform};
use midge_stdx::clock::{Mono, Now, Wall};
use midge_stdx::entropy::Seeded;

use super::{
    Action, Delivered, Link, Origins, Owner, Renaming, Role, Start, Taken, first_start, index_name,
    read_through,
};
use crate::stream::Verdict;
use crate::stream::tests::harness::{Bench, SECOND, block, config, text};

fn owner() -> Owner {
    Owner { stream: "D".into(), account: "A".into(), domain: "".into() }
}

fn origin() -> StreamSource {
    StreamSource { name: "O".into(), ..StreamSource::default() }
}

struct Wire {
    link: Link,
    now: Now,
    entropy: Seeded,
    out: Vec<Action>,
}

impl Wire {
    fn fresh(role: Role, source: StreamSource, taken: u64) -> Wire {
        let link = Link::new(role, source, owner(), None, taken, String::new());
        let now = Now { mono: Mono(1 << 40), wall: Wall(1_800_000_000 * SECOND) };
        Wire { link, now, entropy: Seeded::new(4), out: Vec::new() }
    }

    /// One whose first request is due.
    fn new(role: Role, source: StreamSource, taken: u64) -> Wire {
        let mut wire = Wire::fresh(role, source, taken);
        wire.tick(Start::All);
        wire.pass(1);
        wire
    }

    fn tick(&mut self, start: Start) {
        self.link.tick(self.now, start, &mut self.entropy, &mut self.out);
    }

    /// Where the answer to the request that goes out is awaited, and deliveries are.
    fn listens(&self) -> [String; 2] {
        let of = |wanted: bool| {
            let found = self.out.iter().find_map(|action| match action {
                Action::Subscribe { subject, deliveries } if *deliveries == wanted => Some(text(subject)),
                _ => None,
            });
            found.expect("a subscription").to_owned()
        };
        [of(false), of(true)]
    }

    /// Subject, headers and decoded body of the request that goes out.
    fn request(&mut self) -> (String, String, ConsumerCreate) {
        let mut found = None;
        for action in self.out.drain(..) {
            if let Action::Publish { subject, headers, payload, .. } = action {
                let mut body = ConsumerCreate::default();
                if !payload.is_empty() {
                    json::decode(&payload, Mode::Strict, &mut body).unwrap();
                }
                found = Some((text(&subject).to_owned(), text(&headers).to_owned(), body));
            }
        }
        found.expect("a request")
    }

    fn reply(&mut self, headers: &[(&str, &str)], body: &str) {
        let headers = block(headers);
        self.link.on_reply(&headers, body.as_bytes(), self.now, &mut self.entropy, &mut self.out);
    }

    fn deliver(&mut self, reply: &str, headers: &str) -> Taken {
        self.link.on_delivery(
            reply.as_bytes(),
            headers.as_bytes(),
            self.now,
            &mut self.entropy,
            &mut self.out,
        )
    }

    fn pass(&mut self, seconds: u64) {
        self.now.mono = self.now.mono + Duration::from_secs(seconds);
    }
}

#[test]
fn a_consumer_is_asked_for_where_reading_goes_on() {
    let mut wire = Wire::new(Role::Mirror, origin(), 0);
    wire.tick(Start::All);
    let (subject, headers, body) = wire.request();
    assert_eq!(
        (subject.as_str(), headers.as_str()),
        ("$JS.API.CONSUMER.CREATE.O", "NATS/1.0\r\nNats-Required-Api-Level: 4\r\n\r\n")
    );
    let config = &body.config;
    assert!(config.name.starts_with("JS_MIRROR_") && config.deliver_subject.starts_with("$JS.M."));
    assert_eq!(
        (config.ack_policy, config.deliver_policy, config.max_deliver),
        (AckPolicy::None, DeliverPolicy::All, 1)
    );
    assert!(config.direct && config.sourcing && config.flow_control && config.idle_heartbeat_ns == SECOND);
    assert_eq!(config.metadata.get("_nats.mirror.stream").map(String::as_str), Some("D"));
    let external = Some(External { api: "$JS.hub.API".into(), deliver: "to.me".into() });
    let source = StreamSource { filter_subject: "o.a".into(), external, ..origin() };
    let mut wire = Wire::new(Role::Source, source, 41);
    wire.tick(Start::All);
    let (subject, headers, body) = wire.request();
    assert_eq!(subject, format!("$JS.hub.API.CONSUMER.CREATE.O.{}.o.a", body.config.name));
    assert_eq!(headers, "NATS/1.0\r\nNats-Required-Api-Level: 5\r\nNats-Stream-Identity: \r\n\r\n");
    assert!(body.config.deliver_subject.starts_with("to.me.S."));
    assert_eq!((body.config.deliver_policy, body.config.opt_start_seq), (DeliverPolicy::ByStartSequence, 42));
}

#[test]
fn the_first_request_leaves_time_for_the_other_stream_to_be_made() {
    let mut wire = Wire::fresh(Role::Mirror, origin(), 0);
    assert!(wire.link.deadline() <= wire.now.mono);
    wire.tick(Start::All);
    let wait = wire.link.deadline().since(wire.now.mono);
    assert!((Duration::from_millis(100)..=Duration::from_millis(200)).contains(&wait), "{wait:?}");
    wire.now.mono = wire.now.mono + Duration::from_millis(99);
    wire.tick(Start::All);
    assert_eq!(wire.out, []);
    wire.now.mono = wire.link.deadline();
    wire.tick(Start::All);
    assert_eq!(wire.request().0, "$JS.API.CONSUMER.CREATE.O");
}

#[test]
fn older_servers_are_asked_as_they_understand() {
    let mut wire = Wire::new(Role::Source, origin(), 0);
    let mut levels = Vec::new();
    for error in [10185, 10025, 10025] {
        wire.tick(Start::Seq(7));
        let (_, headers, body) = wire.request();
        levels.push((headers.contains("Level: 5"), headers.contains("Level: 4"), body.config.sourcing));
        wire.reply(&[], &format!(r#"{{"error":{{"code":400,"err_code":{error},"description":"d"}}}}"#));
    }
    assert_eq!(levels, [(true, false, true), (false, true, true), (false, false, false)]);
    assert_eq!(wire.link.error().map(|error| error.to_string()), Some("d (10025)".into()));
    // The last refusal was final: the next attempt has to wait.
    assert!(wire.link.deadline() > wire.now.mono + Duration::from_secs(10));
    wire.pass(11);
    wire.tick(Start::All);
    assert_eq!(wire.link.deadline(), wire.now.mono + Duration::from_secs(30));
    wire.pass(31);
    wire.tick(Start::All);
    assert!(wire.link.deadline() > wire.now.mono + Duration::from_secs(20));
}

#[test]
fn each_request_has_subjects_of_its_own() {
    for role in [Role::Mirror, Role::Source] {
        let mut wire = Wire::new(role, origin(), 0);
        let mut known = std::collections::BTreeSet::new();
        for _ in 0..3 {
            wire.tick(Start::All);
            let [reply, deliver] = wire.listens();
            let awaited = wire
                .out
                .iter()
                .any(|action| matches!(action, Action::Publish { reply: told, .. } if text(told) == reply));
            assert!(awaited, "{:?}", wire.out);
            assert!(known.insert(reply) && known.insert(deliver), "{known:?}");
            wire.request();
            // Nobody is there to answer.
            wire.reply(&[], "");
            wire.out.clear();
            wire.pass(121);
        }
    }
}

#[test]
fn an_answer_that_is_not_of_the_api_is_no_consumer() {
    for role in [Role::Mirror, Role::Source] {
        for poison in ["", "x", "[]", "7", "null", "{"] {
            let mut wire = Wire::new(role, origin(), 4);
            wire.tick(Start::All);
            wire.request();
            wire.reply(&[("Status", "x")], poison);
            assert_eq!(wire.out, [Action::Unsubscribe], "{poison}");
            assert_eq!(wire.deliver("$JS.ACK.O.c.1.5.1.77.5", ""), Taken::Nothing, "{poison}");
            wire.out.clear();
            wire.pass(11);
            wire.tick(Start::All);
            assert_eq!(wire.request().2.config.opt_start_seq, 5, "{poison}");
        }
    }
}

#[test]
fn messages_are_taken_once_and_in_order() {
    let mut wire = Wire::new(Role::Source, origin(), 2);
    wire.tick(Start::All);
    wire.reply(&[("Nats-Stream-Identity", "IdIdIdId")], r#"{"type":"x"}"#);
    assert_eq!(wire.link.identity(), "IdIdIdId");
    wire.out.clear();
    assert_eq!(wire.deliver("$JS.ACK.O.c.1.3.1.77.5", ""), Taken::Message { seq: 3, ts_ns: 77 });
    wire.link.took(3);
    assert_eq!((wire.link.lag(), wire.link.active_ns(wire.now.mono)), (5, 0));
    assert_eq!(wire.deliver("$JS.ACK.O.c.2.3.1.77.5", ""), Taken::Nothing);
    assert_eq!(
        wire.deliver("", "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n"),
        Taken::Nothing
    );
    assert_eq!(wire.out, []);
    // Flow control is answered when everything is durable.
    wire.deliver("$JS.FC.O.c.abcd", "NATS/1.0 100 FlowControl Request\r\n\r\n");
    let Some(Action::Publish { subject, headers, when_durable: true, .. }) = wire.out.pop() else {
        panic!("no answer")
    };
    assert_eq!(text(&subject), "$JS.FC.O.c.abcd");
    assert_eq!(text(&headers), "NATS/1.0\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 3\r\n\r\n");
    wire.deliver(
        "",
        "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Consumer-Stalled: $JS.FC.O.c.x\r\n\r\n",
    );
    assert!(matches!(&wire.out[..], [Action::Publish { subject, .. }] if subject == "$JS.FC.O.c.x"));
    wire.out.clear();
    // Something was lost: it is asked for again, behind what was taken.
    assert_eq!(wire.deliver("$JS.ACK.O.c.1.9.5.77.5", ""), Taken::Nothing);
    assert_eq!(wire.out, [Action::Unsubscribe]);
    wire.pass(3);
    wire.tick(Start::All);
    let (_, headers, body) = wire.request();
    assert!(headers.contains("Nats-Stream-Identity: IdIdIdId"));
    assert_eq!(body.config.opt_start_seq, 4);
}

#[test]
fn silence_and_lost_messages_start_over() {
    let mut wire = Wire::new(Role::Mirror, origin(), 0);
    wire.tick(Start::All);
    wire.reply(&[], "{}");
    wire.out.clear();
    wire.pass(9);
    wire.tick(Start::All);
    assert_eq!(wire.out, []);
    wire.deliver("", "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n");
    assert_eq!(wire.out, [Action::Unsubscribe]);
    wire.pass(3);
    wire.tick(Start::All);
    wire.reply(&[], "{}");
    wire.out.clear();
    wire.pass(10);
    wire.tick(Start::All);
    assert_eq!(wire.out, [Action::Unsubscribe]);
}

#[test]
fn a_stream_that_was_made_anew_is_read_from_its_beginning() {
    let mut wire = Wire::new(Role::Source, origin(), 90);
    wire.tick(Start::Seq(3));
    wire.out.clear();
    wire.reply(&[], r#"{"error":{"code":400,"err_code":10225,"description":"x"}}"#);
    wire.pass(3);
    wire.tick(Start::Seq(3));
    assert_eq!(wire.request().2.config.opt_start_seq, 3);
}

#[test]
fn a_consumer_made_beforehand_is_reset() {
    let consumer = Some(SourceConsumer { name: "c".into(), deliver_subject: "d.x".into() });
    let mut wire = Wire::new(Role::Source, StreamSource { consumer, ..origin() }, 5);
    wire.tick(Start::All);
    assert!(wire.out.contains(&Action::Subscribe { subject: "d.x".into(), deliveries: true }));
    assert_eq!(wire.request().0, "$JS.API.CONSUMER.RESET.O.c");
    assert_eq!(wire.deliver("$JS.ACK.O.c.1.6.20.1.0", ""), Taken::Nothing, "it comes again after the reset");
    wire.reply(&[], r#"{"config":{"ack_policy":"flow_control"}}"#);
    assert_eq!(wire.deliver("$JS.ACK.O.c.1.6.20.1.0", ""), Taken::Message { seq: 6, ts_ns: 1 });
    assert_eq!(wire.deliver("$JS.ACK.O.c.1.7.21.1.0", ""), Taken::Message { seq: 7, ts_ns: 1 });
}

#[test]
fn a_consumer_made_beforehand_has_to_fit() {
    let consumer = Some(SourceConsumer { name: "c".into(), deliver_subject: "d.x".into() });
    for (role, code) in [(Role::Mirror, 10214), (Role::Source, 10217)] {
        let mut wire = Wire::new(role, StreamSource { consumer: consumer.clone(), ..origin() }, 5);
        wire.tick(Start::All);
        wire.reply(&[], r#"{"config":{"ack_policy":"explicit"}}"#);
        assert_eq!(wire.link.error().map(|error| error.err_code), Some(code));
        assert_eq!(wire.deliver("$JS.ACK.O.c.1.6.20.1.0", ""), Taken::Nothing);
    }
}

#[test]
fn links_begin_as_configured() {
    let timed = StreamSource { opt_start_time: Some(Wall(50)), ..origin() };
    assert_eq!(first_start(Role::Mirror, &timed, 90), Start::Time(Wall(50)));
    assert_eq!(first_start(Role::Source, &timed, 90), Start::Time(Wall(90)));
    assert_eq!(first_start(Role::Source, &StreamSource { opt_start_seq: 4, ..origin() }, 90), Start::Seq(4));
    assert_eq!(first_start(Role::Source, &origin(), 90), Start::All);
}

#[test]
fn a_mirror_keeps_sequences_and_times() {
    let mut bench = Bench::new(StreamConfig { mirror: Some(origin()), subjects: Vec::new(), ..config() });
    let transforms = vec![SubjectTransform { src: "o.*".into(), dest: "m.{{wildcard(1)}}".into() }];
    let renaming = Renaming::new(&StreamSource { subject_transforms: transforms, ..origin() });
    let headers = block(&[("A", "b"), ("Nats-Expected-Last-Sequence", "1"), ("Nats-Batch-Id", "x")]);
    let message = |seq: u64, subject: &'static [u8]| (seq, subject);
    for (seq, subject, want) in [
        (3, &b"o.a"[..], Verdict::Stored { seq: 3 }),
        (3, b"o.a", Verdict::Duplicate { seq: 3 }),
        (4, b"other", Verdict::Stored { seq: 4 }),
    ] {
        let (seq, subject) = message(seq, subject);
        let delivered = Delivered { seq, ts_ns: 70 + seq as i64, subject, headers: &headers, payload: b"p" };
        let got =
            bench.with(|stream, store, cx| stream.mirror(store, &delivered, &renaming, cx.now, cx.entropy));
        assert_eq!(got, want);
    }
    let stored = bench.message(3);
    assert_eq!(
        (stored.ts_ns, text(stored.subject()), text(stored.headers())),
        (73, "m.a", "NATS/1.0\r\nA: b\r\n\r\n")
    );
    assert_eq!(text(bench.message(4).subject()), "other");
    assert_eq!(bench.store.deleted(), 0);
    assert_eq!(bench.store.state().first_seq, 3);
}

#[test]
fn a_source_says_where_its_messages_came_from() {
    let mut bench = Bench::new(config());
    let source = StreamSource { filter_subject: "o.>".into(), ..origin() };
    let (origins, renaming) = (Origins::new(&source), Renaming::new(&source));
    let headers = block(&[("Nats-Stream-Source", "X 1 > > y"), ("Nats-Msg-Id", "i")]);
    let delivered = Delivered { seq: 8, ts_ns: 70, subject: b"o.a", headers: &headers, payload: b"p" };
    let mut send = || {
        bench.with(|stream, store, cx| stream.source(store, &delivered, &origins, "IdIdIdId", &renaming, cx))
    };
    assert_eq!((send(), send()), (Verdict::Stored { seq: 1 }, Verdict::Duplicate { seq: 1 }));
    let stored = bench.message(1);
    assert_eq!(
        text(stored.headers()),
        "NATS/1.0\r\nNats-Msg-Id: i\r\nNats-Stream-Source: O 8 o.> > o.a IdIdIdId\r\n\r\n"
    );
    let progress = super::header::progress(b"O 8 o.> > o.a IdIdIdId").unwrap();
    assert_eq!(progress.index_name.to_vec(), index_name(&source).into_bytes());
    // Two consumers of one stream make two sources of it.
    let consumer = Some(SourceConsumer { name: "f1".into(), deliver_subject: "feed".into() });
    assert_eq!(index_name(&StreamSource { consumer, ..source }), "O:C=1KEY7bT0 o.> >");
    let progress = super::header::progress(b"O:C=1KEY7bT0 8 o.> > o.a IdIdIdId").unwrap();
    assert_eq!(progress.index_name.to_vec(), b"O:C=1KEY7bT0 o.> >");
}

#[test]
fn messages_of_old_servers_stand_for_every_source_of_their_stream() {
    let mut bench = Bench::new(config());
    let filtered = StreamSource { filter_subject: "o.>".into(), ..origin() };
    let (all, some) = (index_name(&origin()), index_name(&filtered));
    assert_eq!(read_through(&bench.store, &all), None);
    let old = super::header::progress(b"O 5").unwrap();
    bench.store.sourced(&old.index_name, old.seq, &old.identity);
    let no_identity: &[u8] = b"";
    assert_eq!(read_through(&bench.store, &all), Some((5, no_identity)));
    assert_eq!(read_through(&bench.store, &some), Some((5, no_identity)));
    assert_eq!(read_through(&bench.store, "P > >"), None);
    // What is stored from then on says more.
    let new = super::header::progress(b"O 8 o.> > o.a IdIdIdId").unwrap();
    bench.store.sourced(&new.index_name, new.seq, &new.identity);
    assert_eq!(read_through(&bench.store, &some), Some((8, &b"IdIdIdId"[..])));
    assert_eq!(read_through(&bench.store, &all), Some((5, no_identity)));
}
