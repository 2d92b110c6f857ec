//! Requests that overtake each other: each is answered once, and nothing is counted that is gone.

use super::node::Step;
use super::stage::Stage;

#[test]
fn what_is_made_and_deleted_at_once_is_answered_for_both() {
    for storage in ["memory", "file"] {
        let mut stage = Stage::new(None);
        let config = format!(r#"{{"name":"A","subjects":["a"],"storage":"{storage}"}}"#);
        stage.ask("$JS.API.STREAM.CREATE.A", "_R.create", &config);
        stage.ask("$JS.API.STREAM.DELETE.A", "_R.delete", "");
        stage.rest();
        assert!(!stage.answer("_R.create").is_empty());
        assert!(stage.answer("_R.delete").contains(r#""success":true"#), "{}", stage.answer("_R.delete"));
    }
    let mut stage = Stage::new(None);
    stage.make_with_consumer("c");
    let config = r#"{"stream_name":"A","config":{"name":"d","durable_name":"d","ack_policy":"explicit"}}"#;
    stage.ask("$JS.API.CONSUMER.CREATE.A.d", "_R.made", config);
    stage.ask("$JS.API.CONSUMER.DELETE.A.d", "_R.deleted", "");
    let change = config.replace(r#""d""#, r#""c""#).replace("explicit", r#"explicit","description":"new"#);
    stage.ask("$JS.API.CONSUMER.CREATE.A.c", "_R.changed", &change);
    stage.ask("$JS.API.CONSUMER.DELETE.A.c", "_R.last", "");
    stage.rest();
    assert!(stage.answer("_R.made").contains(r#""name":"d""#), "{}", stage.answer("_R.made"));
    assert!(stage.answer("_R.changed").contains(r#""description":"new""#), "{}", stage.answer("_R.changed"));
    for reply in ["_R.deleted", "_R.last"] {
        assert!(stage.answer(reply).contains(r#""success":true"#), "{}", stage.answer(reply));
    }
}

#[test]
fn a_deleted_stream_gives_its_open_batches_back() {
    let mut stage = Stage::new(None);
    // The server opens a thousand.
    for round in 0..25 {
        let config = r#"{"name":"M","subjects":["m"],"storage":"memory","allow_atomic":true}"#;
        stage.ask("$JS.API.STREAM.CREATE.M", &format!("_R.create.{round}"), config);
        stage.rest();
        for batch in 0..50 {
            let header =
                format!("NATS/1.0\r\nNats-Batch-Id: {batch}\r\nNats-Batch-Sequence: 1\r\n\r\n").into_bytes();
            let now = stage.time();
            stage.node.publish(now, "m", &format!("_R.{round}.{batch}"), &header, b"");
        }
        stage.rest();
        assert_eq!(stage.answer(&format!("_R.{round}.49")), "");
        stage.ask("$JS.API.STREAM.DELETE.M", &format!("_R.delete.{round}"), "");
        stage.rest();
    }
}

#[test]
fn copies_that_are_asked_for_together_are_as_many_as_may_be() {
    let mut stage = Stage::new(None);
    stage.make_with_consumer("c");
    stage.ask("a", "_R.publish", "message");
    stage.run(|step| !matches!(step, Step::Disk(_)));
    for at in 0..20 {
        let body = format!(r#"{{"deliver_subject":"nobody.{at}"}}"#);
        stage.ask("$JS.API.STREAM.SNAPSHOT.A", &format!("_R.copy.{at}"), &body);
    }
    stage.rest();
    let begun = (0..20).filter(|at| stage.answer(&format!("_R.copy.{at}")).contains(r#""config""#)).count();
    assert_eq!(begun, 8);
}

/// A consumer that acknowledges all up to a message has done with its own, not with what lies between for others.
#[test]
fn an_acknowledgement_of_many_leaves_a_work_queue_what_others_work_at() {
    let mut stage = Stage::new(None);
    let config = r#"{"name":"W","subjects":["w.*"],"storage":"file","retention":"workqueue"}"#;
    stage.ask("$JS.API.STREAM.CREATE.W", "_R.create", config);
    stage.rest();
    for at in 0..3 {
        stage.ask("w.own", &format!("_R.own.{at}"), "message");
        stage.ask("w.other", &format!("_R.other.{at}"), "message");
        stage.ask("w.nobody", &format!("_R.nobody.{at}"), "message");
    }
    let other = r#"{"stream_name":"W","config":{"durable_name":"other","ack_policy":"explicit","filter_subject":"w.other"}}"#;
    stage.ask("$JS.API.CONSUMER.CREATE.W.other", "_R.other", other);
    let own = r#"{"stream_name":"W","config":{"durable_name":"own","deliver_subject":"_D.c","ack_policy":"flow_control","max_ack_pending":3,"filter_subject":"w.own"}}"#;
    stage.ask("$JS.API.CONSUMER.CREATE.W.own", "_R.own", own);
    stage.pass(3);
    assert!(stage.answer("_R.own").contains(r#""created""#), "{}", stage.answer("_R.own"));
    let question = stage.questions.last().expect("it asks").clone();
    let now = stage.time();
    let header = b"NATS/1.0\r\nNats-Last-Consumer: 3\r\nNats-Last-Stream: 7\r\n\r\n";
    stage.node.publish(now, &question, "", header, b"");
    stage.rest();
    stage.ask("$JS.API.STREAM.INFO.W", "_R.info", r#"{"subjects_filter":">"}"#);
    stage.rest();
    let info = stage.answer("_R.info");
    assert!(info.contains(r#""w.other":3"#) && info.contains(r#""w.nobody":3"#), "{info}");
    assert!(!info.contains("w.own\":"), "{info}");
}

/// Who is told of a message follows from a list of filters, which changes with them.
#[test]
fn a_consumer_that_gets_something_else_is_told_of_that() {
    let mut stage = Stage::new(None);
    let config = r#"{"name":"I","subjects":["i.*"],"storage":"file","retention":"interest"}"#;
    stage.ask("$JS.API.STREAM.CREATE.I", "_R.create", config);
    stage.rest();
    let consumer = |filters: &str| {
        format!(
            r#"{{"stream_name":"I","config":{{"durable_name":"c","ack_policy":"explicit","deliver_subject":"_D.c","filter_subjects":[{filters}]}}}}"#
        )
    };
    for (at, filters, delivered) in
        [(0, r#""i.a""#, 1), (1, r#""i.b","i.c""#, 2), (2, r#""i.a","i.b""#, 2), (3, "", 3)]
    {
        stage.ask("$JS.API.CONSUMER.CREATE.I.c", &format!("_R.c.{at}"), &consumer(filters));
        stage.rest();
        let before = stage.acknowledgements.len();
        for subject in ["i.a", "i.b", "i.c"] {
            stage.ask(subject, &format!("_R.{at}.{subject}"), "message");
        }
        stage.rest();
        assert_eq!(stage.acknowledgements.len() - before, delivered, "filters {filters}");
    }
    stage.ask("$JS.API.CONSUMER.DELETE.I.c", "_R.delete", "");
    stage.ask("i.a", "_R.last", "message");
    stage.ask("$JS.API.STREAM.INFO.I", "_R.info", "");
    stage.rest();
    assert!(stage.answer("_R.info").contains(r#""messages":0,"#), "{}", stage.answer("_R.info"));
}

/// What leaves the stream in the turn in which a consumer changes is not counted for it any more.
#[test]
fn what_left_before_an_update_in_the_same_turn_is_not_pending() {
    let mut stage = Stage::new(None);
    let config = r#"{"name":"L","subjects":["l.*"],"storage":"memory","max_msgs_per_subject":1}"#;
    stage.ask("$JS.API.STREAM.CREATE.L", "_R.create", config);
    stage.rest();
    let consumer = |wait: u64| {
        format!(
            r#"{{"stream_name":"L","config":{{"durable_name":"c","ack_policy":"explicit","filter_subject":"l.a","ack_wait":{wait}}}}}"#
        )
    };
    stage.ask("$JS.API.CONSUMER.CREATE.L.c.l.a", "_R.made", &consumer(1_000_000_000));
    stage.ask("l.a", "_R.first", "message");
    stage.rest();
    stage.ask("l.a", "_R.second", "message");
    stage.ask("$JS.API.CONSUMER.CREATE.L.c.l.a", "_R.changed", &consumer(2_000_000_000));
    stage.ask("$JS.API.CONSUMER.INFO.L.c", "_R.info", "");
    stage.rest();
    assert!(
        stage.answer("_R.changed").contains(r#""ack_wait":2000000000"#),
        "{}",
        stage.answer("_R.changed")
    );
    assert!(stage.answer("_R.info").contains(r#""num_pending":1,"#), "{}", stage.answer("_R.info"));
}

/// A message that comes and goes before anybody could see it is counted for nobody, whoever makes the stream look in between.
#[test]
fn what_nobody_saw_is_not_taken_off_what_is_pending() {
    let mut stage = Stage::new(None);
    let config = r#"{"name":"L","subjects":["l.*"],"storage":"memory","max_msgs_per_subject":1}"#;
    stage.ask("$JS.API.STREAM.CREATE.L", "_R.create", config);
    stage.rest();
    let consumer = |name: &str| {
        format!(r#"{{"stream_name":"L","config":{{"durable_name":"{name}","ack_policy":"explicit"}}}}"#)
    };
    stage.ask("$JS.API.CONSUMER.CREATE.L.c", "_R.c", &consumer("c"));
    stage.ask("$JS.API.CONSUMER.INFO.L.c", "_R.none", "");
    stage.rest();
    assert!(stage.answer("_R.none").contains(r#""num_pending":0,"#), "{}", stage.answer("_R.none"));
    stage.ask("l.a", "_R.first", "message");
    stage.ask("l.a", "_R.second", "message");
    stage.ask("$JS.API.CONSUMER.CREATE.L.d", "_R.d", &consumer("d"));
    stage.ask("$JS.API.CONSUMER.INFO.L.c", "_R.info", "");
    stage.rest();
    assert!(stage.answer("_R.info").contains(r#""num_pending":1,"#), "{}", stage.answer("_R.info"));
}
