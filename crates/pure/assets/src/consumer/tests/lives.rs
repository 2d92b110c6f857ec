//! Pauses, resets, purges, updates, restarts, the end.

use midge_jsapi::consumer_config::{ConsumerConfig, DeliverPolicy};
use midge_store::format::consumer_state::{ConsumerState, Pending, SequencePair};
use midge_store::stream::{Filter, PurgeQuery};

use super::*;

#[test]
fn a_pause_stops_delivery_and_ends_by_itself() {
    let config = ConsumerConfig { idle_heartbeat_ns: S as i64, ..push_config() };
    let mut rig = Rig::new(0, config);
    let until = Wall(rig.now.wall.0 + 2 * S as i64);
    with!(&mut rig, |consumer, cx| consumer.pause(cx, Some(until)));
    rig.publish("s", "");
    rig.turn();
    assert_eq!(rig.events(), [format!("Pause {{ paused: true, until: Some(Wall({})) }}", until.0)]);
    assert_eq!((rig.info().paused, rig.info().pause_remaining_ns), (true, 2 * S as i64));
    rig.pass(1999 * MS);
    assert_eq!(rig.statuses().len(), 1, "heartbeats go on");
    rig.pass(MS);
    assert!(!rig.info().paused);
    let out = rig.take();
    let resumed = Out::Event(format!("Pause {{ paused: false, until: Some(Wall({})) }}", until.0));
    assert!(out.contains(&resumed) && out.iter().any(|out| matches!(out, Out::Message { .. })));
    let level = |rig: &mut Rig| rig.info().config.unwrap().metadata.get("_nats.req.level").cloned();
    with!(&mut rig, |consumer, cx| consumer.pause(cx, Some(Wall(BEGIN_NS + 100 * S as i64))));
    assert_eq!(level(&mut rig).as_deref(), Some("1"), "older servers know no pauses");
    with!(&mut rig, |consumer, cx| consumer.pause(cx, None));
    assert_eq!(level(&mut rig).as_deref(), Some("0"));
    assert_eq!(rig.events().last().unwrap(), "Pause { paused: false, until: None }");
    rig.publish("s", "");
    rig.turn();
    assert_eq!(rig.messages().len(), 1);
}

fn reset(rig: &mut Rig, seq: u64) -> Result<u64, String> {
    let step = with!(rig, |consumer, cx| consumer.reset(cx, seq));
    let answer = step.ready().unwrap().map_err(|error| error.description);
    rig.turn();
    answer
}

#[test]
fn a_reset_begins_anew() {
    let mut rig = Rig::new(5, pull_config());
    rig.pull("3", "a");
    rig.ack("$JS.ACK.S.C.1.1.1.0.0", "", "");
    rig.ack("$JS.ACK.S.C.1.2.2.0.0", "-NAK", "");
    rig.take();
    assert_eq!(reset(&mut rig, 0), Ok(2));
    assert_eq!(rig.numbers(), ((0, 1), (0, 1), 0, 0, 4));
    assert_eq!((rig.info().delivered.last_active, rig.info().ack_floor.last_active), (None, None));
    rig.pull("9", "a");
    assert_eq!(rig.replies()[0], format!("$JS.ACK.S.C.1.2.1.{BEGIN_NS}.3"));
    assert_eq!(reset(&mut rig, 5), Ok(5));
    assert_eq!(rig.numbers(), ((1, 5), (0, 4), 1, 0, 0), "the request of before is served");
    let at =
        ConsumerConfig { deliver_policy: DeliverPolicy::ByStartSequence, opt_start_seq: 3, ..pull_config() };
    let mut rig = Rig::new(5, at);
    assert_eq!(reset(&mut rig, 2), Err("invalid reset: below start seq".to_owned()));
    assert_eq!(reset(&mut rig, 3), Ok(3));
    let time = ConsumerConfig {
        deliver_policy: DeliverPolicy::ByStartTime,
        opt_start_time: Some(Wall(BEGIN_NS + 1)),
        ..pull_config()
    };
    let mut rig = Rig::new(5, time);
    assert_eq!(reset(&mut rig, 5), Err("invalid reset: below start time".to_owned()));
    let new = ConsumerConfig { deliver_policy: DeliverPolicy::New, ..pull_config() };
    let mut rig = Rig::new(5, new);
    assert_eq!(reset(&mut rig, 5), Err("invalid reset: not allowed".to_owned()));
    assert_eq!(reset(&mut rig, 0), Ok(6));
}

#[test]
fn unused_ones_are_to_be_deleted() {
    let config = ConsumerConfig { inactive_threshold_ns: 5 * S as i64, ..pull_config() };
    let mut rig = Rig::new(1, config.clone());
    assert!(!rig.pass(5 * S));
    assert!(rig.pass(S), "the jitter is at most a second");
    let mut rig = Rig::new(1, config);
    rig.pull(r#"{"batch":2,"expires":20000000000}"#, "a");
    assert!(!rig.pass(24 * S), "somebody waits for 20 seconds");
    assert!(!rig.pass(16 * S), "and a message is not acknowledged");
    assert!(rig.pass(20 * S));
    let config = ConsumerConfig { inactive_threshold_ns: 5 * S as i64, ..push_config() };
    let mut rig = Rig::new(1, config);
    assert!(!rig.pass(60 * S));
    rig.out.deaf.insert("to".to_owned());
    with!(&mut rig, |consumer, cx| consumer.interest_changed(cx));
    assert!(!rig.pass(4999 * MS));
    assert!(rig.pass(MS));
    // A request without a limit of time counts while somebody listens for its answer.
    let config = ConsumerConfig { inactive_threshold_ns: 5 * S as i64, ..pull_config() };
    let mut rig = Rig::new(0, config);
    rig.pull("1", "a");
    assert!(!rig.pass(100 * S));
    rig.out.deaf.insert("a".to_owned());
    assert!(rig.pass(13 * S));
    let mut durable = Rig::new(1, pull_config());
    assert!(!durable.pass(10_000 * S));
}

#[test]
fn a_purge_moves_what_lies_before_it() {
    let mut rig = Rig::new(6, pull_config());
    rig.pull("4", "a");
    rig.ack("$JS.ACK.S.C.1.2.2.0.0", "", "");
    rig.ack("$JS.ACK.S.C.1.1.1.0.0", "-NAK", "");
    rig.take();
    let mut query = PurgeQuery::new(Filter::all(), 4, 0);
    assert_eq!(rig.store.purge_matching(&mut query), Step::Ready(3));
    with!(&mut rig, |consumer, cx| consumer.purged(cx));
    rig.turn();
    assert_eq!(rig.numbers(), ((4, 4), (3, 3), 1, 0, 2));
    rig.store.purge().unwrap();
    with!(&mut rig, |consumer, cx| consumer.purged(cx));
    rig.turn();
    assert_eq!(rig.numbers(), ((4, 6), (4, 6), 0, 0, 0));
    rig.publish("s", "");
    rig.pull("9", "a");
    assert_eq!(rig.messages(), ["a: 7"]);
}

#[test]
fn a_purge_of_some_drops_what_is_gone() {
    let mut rig = Rig::empty(stream_config());
    for subject in ["s.a", "s.b", "s.a", "s.b", "s.a", "s.b"] {
        rig.publish(subject, "");
    }
    rig.create(pull_config());
    rig.pull("4", "a");
    rig.take();
    assert_eq!(rig.info().ack_floor.last_active, None);
    let mut query = PurgeQuery::new(Filter::one(b"s.a"), 0, 0);
    assert_eq!(rig.store.purge_matching(&mut query), Step::Ready(3));
    with!(&mut rig, |consumer, cx| consumer.purged(cx));
    assert!(rig.info().ack_floor.last_active.is_some(), "two that were waited for are done with");
    rig.turn();
    assert_eq!(rig.numbers(), ((4, 4), (1, 1), 2, 0, 1));
    rig.ack("$JS.ACK.S.C.1.2.2.0.0", "", "");
    rig.ack("$JS.ACK.S.C.1.4.4.0.0", "", "");
    assert_eq!(rig.numbers(), ((4, 4), (4, 4), 0, 0, 1));
}

#[test]
fn updates_take_effect() {
    let config = ConsumerConfig { filter_subject: "s.1".to_owned(), ..pull_config() };
    let mut rig = Rig::new(4, config);
    rig.turn();
    assert_eq!(rig.info().num_pending, 1);
    let old = rig.consumer.as_ref().unwrap().config().clone();
    let new = ConsumerConfig { filter_subject: "s.>".to_owned(), ack_wait_ns: MS as i64, ..old };
    with!(&mut rig, |consumer, cx| consumer.update(cx, new));
    rig.turn();
    assert_eq!(rig.info().num_pending, 4);
    rig.pull("9", "a");
    rig.take();
    rig.pass(MS);
    assert_eq!(rig.messages().len(), 4, "the shorter wait counts");
    let old = rig.consumer.as_ref().unwrap().config().clone();
    let new = ConsumerConfig { ack_wait_ns: 10 * S as i64, max_ack_pending: 1, ..old };
    with!(&mut rig, |consumer, cx| consumer.update(cx, new));
    rig.publish("s.9", "");
    rig.turn();
    assert_eq!(rig.messages().len(), 0, "four are not acknowledged where one may be");
    assert_eq!(rig.info().num_ack_pending, 4);
}

fn recovered(rig: &mut Rig, state: ConsumerState) {
    let config = config::check(pull_config(), &check_cx(&rig.stream)).unwrap();
    let file = midge_store::format::consumer_state::encode(&state, rig.now.wall.0);
    let policy = (KeptPolicy::Explicit, 0);
    let kept = ConsumerStore::open("C".into(), None, policy, &file, &[]).unwrap();
    assert!(kept.has_state());
    rig.recover(config, kept);
}

fn pair(consumer_seq: u64, stream_seq: u64) -> SequencePair {
    SequencePair { consumer_seq, stream_seq }
}

fn pending(list: &[(u64, u64, i64)]) -> std::collections::BTreeMap<u64, Pending> {
    let entry = |(seq, consumer_seq, delivered_ns): &(u64, u64, i64)| {
        (*seq, Pending { consumer_seq: *consumer_seq, delivered_ns: *delivered_ns })
    };
    list.iter().map(entry).collect()
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut rig = Rig::new(6, pull_config());
    let old = BEGIN_NS - 60 * S as i64;
    let state = ConsumerState {
        delivered: pair(5, 4),
        ack_floor: pair(1, 1),
        pending: pending(&[(2, 2, old), (4, 4, BEGIN_NS)]),
        redelivered: [(2, 1)].into_iter().collect(),
    };
    recovered(&mut rig, state);
    rig.pull("9", "a");
    // New ones come before the overdue one is noticed, which is at once.
    rig.pass(0);
    let replies = rig.replies();
    let seqs: Vec<u64> = replies.iter().map(|reply| ack_of(reply).stream_seq).collect();
    assert_eq!(seqs, [5, 6, 2]);
    assert_eq!(ack_of(&replies[2]), AckOf { deliveries: 3, stream_seq: 2, consumer_seq: 8 });
    rig.pass(30 * S);
    assert!(rig.messages().contains(&"a: 4".to_owned()));
}

#[test]
fn a_restart_keeps_a_start_in_the_future() {
    let mut rig = Rig::new(3, pull_config());
    let state = ConsumerState { delivered: pair(0, 4), ack_floor: pair(0, 4), ..ConsumerState::default() };
    recovered(&mut rig, state);
    for _ in 0..2 {
        rig.publish("s", "");
    }
    rig.pull("9", "a");
    assert_eq!(rig.messages(), ["a: 5"]);
}

#[test]
fn a_restart_forgets_what_the_stream_has_lost() {
    let mut rig = Rig::new(3, pull_config());
    let state = ConsumerState {
        delivered: pair(9, 9),
        ack_floor: pair(1, 1),
        pending: pending(&[(2, 2, BEGIN_NS), (3, 3, BEGIN_NS), (7, 7, BEGIN_NS)]),
        redelivered: [(8, 1)].into_iter().collect(),
    };
    recovered(&mut rig, state);
    rig.turn();
    assert_eq!(rig.numbers(), ((3, 3), (1, 1), 2, 0, 0));
    let beyond = ConsumerState { delivered: pair(9, 9), ack_floor: pair(9, 9), ..ConsumerState::default() };
    recovered(&mut rig, beyond);
    rig.publish("s", "");
    rig.pull("9", "a");
    assert_eq!(rig.messages(), ["a: 4"]);
    let mut rig = Rig::new(6, pull_config());
    rig.store.purge().unwrap();
    let before = ConsumerState {
        delivered: pair(2, 2),
        ack_floor: pair(1, 1),
        pending: pending(&[(2, 2, BEGIN_NS)]),
        ..ConsumerState::default()
    };
    recovered(&mut rig, before);
    assert_eq!(rig.numbers(), ((2, 6), (2, 6), 0, 0, 0));
}
