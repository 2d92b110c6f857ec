//! Who asked gets an answer, whatever becomes of the stream meanwhile.

use super::node::Step;
use super::stage::Stage;
use crate::disk::Faults;

const STREAM: &str = r#"{"name":"A","subjects":["a"],"storage":"file","allow_direct":true}"#;

/// Stream A with direct gets, a message, and consumer `c`.
fn stage(storage: &str) -> Stage {
    let mut stage = Stage::new(None);
    stage.ask("$JS.API.STREAM.CREATE.A", "_R.create", &STREAM.replace("file", storage));
    stage.rest();
    let config = r#"{"stream_name":"A","config":{"durable_name":"c","ack_policy":"explicit"}}"#;
    stage.ask("$JS.API.CONSUMER.CREATE.A.c", "_R.c", config);
    stage.ask("a", "_R.first", "message");
    stage.rest();
    assert!(stage.answer("_R.first").contains(r#""seq":1"#), "{}", stage.answer("_R.first"));
    stage
}

#[test]
fn what_was_asked_before_a_deletion_is_answered_before_it() {
    for storage in ["memory", "file"] {
        let mut stage = stage(storage);
        stage.ask("a", "_R.publish", "message");
        stage.ask("$JS.API.STREAM.INFO.A", "_R.info", "");
        stage.ask("$JS.API.CONSUMER.INFO.A.c", "_R.consumer", "");
        stage.ask("$JS.API.CONSUMER.LIST.A", "_R.list", "");
        stage.ask("$JS.API.STREAM.MSG.GET.A", "_R.get", r#"{"seq":2}"#);
        stage.ask("$JS.API.DIRECT.GET.A", "_R.direct", r#"{"seq":2}"#);
        stage.ask("$JS.API.CONSUMER.RESET.A.c", "_R.reset", "");
        stage.ask("$JS.API.STREAM.DELETE.A", "_R.delete", "");
        stage.rest();
        for (reply, told) in [
            ("_R.publish", r#""seq":2"#),
            ("_R.info", r#""messages":2"#),
            ("_R.consumer", r#""num_pending":2"#),
            ("_R.list", r#""total":1"#),
            ("_R.get", r#""seq":2"#),
            ("_R.direct", "message"),
            ("_R.reset", r#""name":"c""#),
            ("_R.delete", r#""success":true"#),
        ] {
            assert!(stage.answer(reply).contains(told), "{storage} {reply}: {}", stage.answer(reply));
        }
        stage.ask("$JS.API.STREAM.INFO.A", "_R.none", "");
        stage.rest();
        assert!(stage.answer("_R.none").contains("10059"), "{}", stage.answer("_R.none"));
    }
}

#[test]
fn what_stands_behind_a_deletion_is_answered_as_if_nothing_were_there() {
    for storage in ["memory", "file"] {
        let mut stage = stage(storage);
        stage.ask("$JS.API.STREAM.DELETE.A", "_R.delete", "");
        // The owner of the registry has passed it on, the stream has not heard of it.
        stage.run(|step| step == Step::Turn(0));
        stage.ask("a", "_R.publish", "message");
        stage.ask("$JS.API.DIRECT.GET.A", "_R.direct", r#"{"seq":1}"#);
        stage.ask("$JS.API.CONSUMER.MSG.NEXT.A.c", "_R.pull", "");
        stage.ask("$JS.API.CONSUMER.RESET.A.c", "_R.reset", "");
        stage.ask("$JS.ACK.A.c.1.1.1.1.1", "_R.ack", "+ACK");
        stage.rest();
        assert!(stage.answer("_R.delete").contains(r#""success":true"#), "{}", stage.answer("_R.delete"));
        for (reply, subject) in [
            ("_R.publish", "a"),
            ("_R.direct", "$JS.API.DIRECT.GET.A"),
            ("_R.pull", "$JS.API.CONSUMER.MSG.NEXT.A.c"),
            ("_R.ack", "$JS.ACK.A.c.1.1.1.1.1"),
        ] {
            let status = format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n");
            assert_eq!(stage.answer(reply), status, "{storage}");
        }
        assert!(stage.answer("_R.reset").contains("10059"), "{}", stage.answer("_R.reset"));
    }
}

/// Takes the files of the stream away, and brings it to where it is about to open them anew.
fn fail(stage: &mut Stage) {
    stage.files.set_faults(Faults { sync_errors: 100, ..Faults::default() });
    stage.ask("a", "_R.failed", "message");
    stage.run(|step| !matches!(step, Step::Job(_)));
    assert!(stage.answer("_R.failed").contains(r#""error""#), "{}", stage.answer("_R.failed"));
}

#[test]
fn what_is_asked_of_a_store_that_failed_is_refused() {
    let mut stage = stage("file");
    stage.ask("$JS.API.CONSUMER.MSG.NEXT.A.c", "_R.taken", "");
    stage.rest();
    let ack = stage.acknowledgement().to_owned();
    stage.ask("$JS.API.CONSUMER.MSG.NEXT.A.c", "_R.waits", "");
    stage.rest();
    fail(&mut stage);
    stage.ask("$JS.API.DIRECT.GET.A", "_R.direct", r#"{"seq":1}"#);
    stage.ask("$JS.API.CONSUMER.RESET.A.c", "_R.reset", "");
    stage.ask("$JS.API.CONSUMER.MSG.NEXT.A.c", "_R.pull", "");
    // Not to be answered by anything that could be taken for a confirmation.
    stage.ask(&ack, "_R.ack", "+ACK");
    stage.rest();
    stage.files.set_faults(Faults::default());
    stage.pass(60);
    assert!(stage.answer("_R.direct").starts_with("NATS/1.0 500 "), "{}", stage.answer("_R.direct"));
    assert!(stage.answer("_R.reset").contains(r#""error""#), "{}", stage.answer("_R.reset"));
    for reply in ["_R.pull", "_R.waits"] {
        assert_eq!(stage.answer(reply), "NATS/1.0 409 Leadership Change\r\n\r\n");
    }
    assert!(stage.replies.iter().all(|(to, _)| to != "_R.ack"));
}

#[test]
fn what_is_asked_while_a_full_disk_is_opened_anew_is_answered_then() {
    let mut stage = stage("file");
    stage.files.set_faults(Faults { capacity: Some(stage.files.used() + 10_000), ..Faults::default() });
    stage.ask("a", "_R.failed", &"m".repeat(100_000));
    stage.run(|step| !matches!(step, Step::Job(_)));
    assert!(stage.answer("_R.failed").contains("10023"), "{}", stage.answer("_R.failed"));
    stage.ask("$JS.API.DIRECT.GET.A", "_R.direct", r#"{"seq":1}"#);
    stage.ask("$JS.API.CONSUMER.RESET.A.c", "_R.reset", "");
    stage.run(|step| !matches!(step, Step::Job(_)));
    stage.rest();
    assert_eq!(stage.answer("_R.direct"), "message");
    assert!(stage.answer("_R.reset").contains(r#""name":"c""#), "{}", stage.answer("_R.reset"));
}

#[test]
fn what_stands_behind_the_deletion_of_a_consumer_is_answered() {
    let mut stage = stage("file");
    stage.ask("$JS.API.CONSUMER.DELETE.A.c", "_R.delete", "");
    stage.ask("$JS.API.CONSUMER.MSG.NEXT.A.c", "_R.pull", "");
    stage.ask("$JS.API.CONSUMER.RESET.A.c", "_R.reset", "");
    stage.ask("$JS.ACK.A.c.1.1.1.1.1", "_R.ack", "+ACK");
    stage.rest();
    for reply in ["_R.pull", "_R.ack"] {
        assert!(stage.answer(reply).starts_with("NATS/1.0 503\r\n"), "{reply}: {}", stage.answer(reply));
    }
    assert!(stage.answer("_R.reset").contains("10014"), "{}", stage.answer("_R.reset"));
}

#[test]
fn a_consumer_is_listed_when_it_is_there_for_good() {
    for durable in [r#","durable_name":"d""#, r#","inactive_threshold":3600000000000"#] {
        let mut stage = stage("file");
        let config =
            format!(r#"{{"stream_name":"A","config":{{"name":"d","ack_policy":"explicit"{durable}}}}}"#);
        stage.ask("$JS.API.CONSUMER.CREATE.A.d", "_R.d", &config);
        stage.ask("$JS.API.CONSUMER.NAMES.A", "_R.names", "");
        stage.run(|step| !matches!(step, Step::Disk(_)));
        assert!(stage.replies.iter().all(|(to, _)| to != "_R.d" && to != "_R.names"), "{:?}", stage.replies);
        stage.rest();
        assert!(stage.answer("_R.names").contains(r#"["c","d"]"#), "{}", stage.answer("_R.names"));
    }
}
