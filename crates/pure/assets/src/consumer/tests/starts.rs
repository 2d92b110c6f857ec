//! Where consumers begin.

use midge_jsapi::consumer_config::{ConsumerConfig, DeliverPolicy};

use super::*;

fn start(rig: &mut Rig, config: &ConsumerConfig) -> Start {
    let visible = rig.visible();
    StartQuery::new(config, rig.stream.max_msgs_per_subject).step(&mut rig.store, visible).ready().unwrap()
}

fn policy(policy: DeliverPolicy) -> ConsumerConfig {
    ConsumerConfig { deliver_policy: policy, ..pull_config() }
}

fn filtered(of: DeliverPolicy, filter: &str) -> ConsumerConfig {
    ConsumerConfig { filter_subject: filter.to_owned(), ..policy(of) }
}

/// Subjects a b a c a c, of which the first is gone.
fn stream() -> Rig {
    let mut rig = Rig::empty(stream_config());
    for subject in ["s.a", "s.b", "s.a", "s.c", "s.a", "s.c"] {
        rig.now.wall = Wall(rig.now.wall.0 + S as i64);
        rig.publish(subject, "");
    }
    assert!(matches!(rig.store.remove(1, false), Step::Ready(true)));
    rig
}

#[test]
fn an_empty_stream_begins_at_one() {
    let mut rig = Rig::empty(stream_config());
    for of in [DeliverPolicy::All, DeliverPolicy::Last, DeliverPolicy::New] {
        assert_eq!(start(&mut rig, &policy(of)).seq, 1);
    }
    assert_eq!(start(&mut rig, &filtered(DeliverPolicy::LastPerSubject, "s.*")).seq, 1);
    let at = ConsumerConfig { opt_start_seq: 7, ..policy(DeliverPolicy::ByStartSequence) };
    assert_eq!(start(&mut rig, &at).seq, 7, "the future is kept");
}

#[test]
fn each_policy_finds_its_place() {
    let mut rig = stream();
    assert_eq!(start(&mut rig, &policy(DeliverPolicy::All)).seq, 2);
    assert_eq!(start(&mut rig, &policy(DeliverPolicy::Last)).seq, 6);
    assert_eq!(start(&mut rig, &filtered(DeliverPolicy::Last, "s.a")).seq, 5);
    assert_eq!(start(&mut rig, &filtered(DeliverPolicy::Last, "none")).seq, 2);
    assert_eq!(start(&mut rig, &policy(DeliverPolicy::New)).seq, 7);
    let time = |seconds: u64| ConsumerConfig {
        opt_start_time: Some(Wall(BEGIN_NS + (seconds * S) as i64)),
        ..policy(DeliverPolicy::ByStartTime)
    };
    assert_eq!(start(&mut rig, &time(0)).seq, 2);
    assert_eq!(start(&mut rig, &time(4)).seq, 4);
    assert_eq!(start(&mut rig, &time(99)).seq, 7);
    let of = |subject: &str| ConsumerConfig { filter_subject: subject.to_owned(), ..time(4) };
    assert_eq!(start(&mut rig, &of("s.a")).seq, 5, "the first match from then on");
    assert_eq!(start(&mut rig, &of("none")).seq, 4);
    let at = |seq| ConsumerConfig { opt_start_seq: seq, ..policy(DeliverPolicy::ByStartSequence) };
    assert_eq!(start(&mut rig, &at(1)).seq, 2);
    assert_eq!(start(&mut rig, &at(4)).seq, 4);
    assert_eq!(start(&mut rig, &at(40)).seq, 40);
    let last = start(&mut rig, &filtered(DeliverPolicy::LastPerSubject, "s.*"));
    assert_eq!(last, Start { seq: 2, skip: vec![2, 5, 6], resume: 6 });
    rig.stream.max_msgs_per_subject = 1;
    let all = start(&mut rig, &filtered(DeliverPolicy::LastPerSubject, "s.*"));
    assert_eq!(all, Start { seq: 2, ..Start::default() });
}

#[test]
fn last_ones_that_are_not_visible_are_waited_for() {
    let mut rig = stream();
    rig.visible = Some(5);
    let config =
        config::check(filtered(DeliverPolicy::LastPerSubject, "s.*"), &check_cx(&rig.stream)).unwrap();
    let through = rig.store.appended();
    let start = StartQuery::new(&config, -1).step(&mut rig.store, through).ready().unwrap();
    assert_eq!(start.skip, [2, 5, 6]);
    let kept = ConsumerStore::new("C".into(), Keeping::Memory, None, KeptPolicy::Explicit, 0);
    rig.begin(config, kept, start);
    rig.publish("s.c", "");
    rig.pull("9", "a");
    assert_eq!(rig.messages(), ["a: 2", "a: 5"]);
    rig.visible = None;
    rig.turn();
    assert_eq!((rig.messages(), rig.info().num_pending), (vec!["a: 6".to_owned(), "a: 7".to_owned()], 0));
}

#[test]
fn what_does_not_count_is_not_the_last() {
    let mut rig = stream();
    rig.visible = Some(4);
    assert_eq!(start(&mut rig, &policy(DeliverPolicy::Last)).seq, 4);
    assert_eq!(start(&mut rig, &filtered(DeliverPolicy::Last, "s.a")).seq, 3);
    let last = start(&mut rig, &filtered(DeliverPolicy::LastPerSubject, "s.*"));
    assert_eq!(last, Start { seq: 2, skip: vec![2, 3, 4], resume: 4 });
}

#[test]
fn last_ones_first_then_all_that_follows() {
    let mut rig = stream();
    rig.create(filtered(DeliverPolicy::LastPerSubject, "s.*"));
    assert_eq!(rig.numbers(), ((0, 1), (0, 1), 0, 0, 3));
    rig.pull("1", "a");
    assert_eq!(rig.replies().len(), 1);
    rig.publish("s.b", "");
    rig.publish("s.b", "");
    // One of the list leaves before it is delivered.
    assert!(matches!(rig.store.remove(5, false), Step::Ready(true)));
    with!(&mut rig, |consumer, cx| consumer.removed(cx, 5, b"s.a"));
    rig.turn();
    assert_eq!(rig.info().num_pending, 3);
    let consumer = rig.consumer.as_ref().unwrap();
    assert!(consumer.needs(6, b"s.c") && consumer.needs(7, b"s.b"));
    assert!(!consumer.needs(4, b"s.c"), "it is none of the last");
    rig.pull("9", "a");
    assert_eq!(rig.messages(), ["a: 6", "a: 7", "a: 8"]);
    assert_eq!(rig.info().num_pending, 0);
}

#[test]
fn only_what_is_filtered_is_delivered_and_counted() {
    let mut rig = stream();
    let filters = ConsumerConfig {
        filter_subjects: vec!["s.b".to_owned(), "s.c".to_owned()],
        ..policy(DeliverPolicy::All)
    };
    rig.create(filters);
    rig.turn();
    assert_eq!(rig.info().num_pending, 3);
    rig.pull("2", "a");
    assert_eq!(rig.messages(), ["a: 2", "a: 4"]);
    rig.publish("s.a", "");
    rig.publish("s.c", "");
    rig.turn();
    assert_eq!(rig.info().num_pending, 2);
    let consumer = rig.consumer.as_ref().unwrap();
    assert!(!consumer.needs(7, b"s.a") && consumer.needs(8, b"s.c"));
    rig.pull("9", "a");
    assert_eq!(rig.messages(), ["a: 6", "a: 8"]);
}

#[test]
fn what_lies_before_a_start_in_the_future_does_not_wait() {
    let mut rig = stream();
    let at = ConsumerConfig { opt_start_seq: 8, ..policy(DeliverPolicy::ByStartSequence) };
    rig.create(at);
    rig.publish("s.a", "");
    rig.pull("9", "a");
    assert_eq!((rig.messages().len(), rig.info().num_pending), (0, 0));
    rig.publish("s.a", "");
    rig.turn();
    assert_eq!(rig.messages(), ["a: 8"]);
}
