//! Requests that are under way when a store fails, step by step.

use midge_jetstream::settings::AtRest;
use midge_store::format::keys::Cipher;

use super::disk::RESERVE;
use super::node::Step;
use super::stage::Stage;
use crate::disk::{Faults, Odds};

fn at_rest(key: &str, previous: Option<&str>) -> Option<AtRest> {
    Some(AtRest {
        key: key.as_bytes().to_vec(),
        previous: previous.map(|key| key.as_bytes().to_vec()),
        cipher: Cipher::ChaCha,
    })
}

#[test]
fn requests_that_wait_when_the_store_fails_are_refused() {
    let mut stage = Stage::new(None);
    stage.make_with_consumer("old");
    stage.ask("a", "_R.publish", "message");
    stage.ask(
        "$JS.API.STREAM.UPDATE.A",
        "_R.update",
        r#"{"name":"A","subjects":["a"],"storage":"file","max_msgs":7}"#,
    );
    stage.ask(
        "$JS.API.CONSUMER.CREATE.A.new",
        "_R.new",
        r#"{"stream_name":"A","config":{"name":"new","durable_name":"new","ack_policy":"explicit"}}"#,
    );
    stage.ask("$JS.API.CONSUMER.DELETE.A.old", "_R.delete", "");
    stage.ask("$JS.API.STREAM.CREATE.B", "_R.second", r#"{"name":"B","subjects":["b"],"storage":"file"}"#);
    stage.run(|step| !matches!(step, Step::Disk(_)));
    stage.files.set_faults(Faults { sync_errors: 100, ..Faults::default() });
    stage.rest();
    for reply in ["_R.publish", "_R.update", "_R.new", "_R.delete", "_R.second"] {
        assert!(stage.answer(reply).contains(r#""error""#), "{reply}: {}", stage.answer(reply));
    }
    // The stream is served again, as it was.
    stage.files.set_faults(Faults::default());
    stage.pass(60);
    stage.ask("$JS.API.STREAM.INFO.A", "_R.info", "");
    stage.ask("$JS.API.CONSUMER.NAMES.A", "_R.names", "");
    stage.ask("$JS.API.STREAM.INFO.B", "_R.none", "");
    stage.rest();
    assert!(stage.answer("_R.info").contains(r#""max_msgs":-1"#), "{}", stage.answer("_R.info"));
    assert!(stage.answer("_R.names").contains(r#""consumers":["old"]"#), "{}", stage.answer("_R.names"));
    assert!(stage.answer("_R.none").contains("10059"), "{}", stage.answer("_R.none"));
}

/// What the journal has is put into its file while nobody waits for that, and finds no space.
#[test]
fn a_store_that_failed_aside_is_whole_again_before_anybody_writes() {
    let mut stage = Stage::new(None);
    stage.make_with_consumer("c");
    stage.files.set_faults(Faults { capacity: Some(stage.files.used()), ..Faults::default() });
    let config = r#"{"stream_name":"A","config":{"name":"c","durable_name":"c","ack_policy":"explicit","max_deliver":7}}"#;
    stage.ask("$JS.API.CONSUMER.CREATE.A.c", "_R.update", config);
    stage.rest();
    assert!(stage.answer("_R.update").contains(r#""max_deliver":7"#), "{}", stage.answer("_R.update"));
    stage.files.set_faults(Faults::default());
    stage.pass(10);
    stage.ask("a", "_R.publish", "message");
    stage.rest();
    assert!(stage.answer("_R.publish").contains(r#""seq":1"#), "{}", stage.answer("_R.publish"));
}

/// Whoever changes the key again waits for the start to be over, and for nothing else.
#[test]
fn a_start_under_another_key_is_over_when_nothing_is_under_the_former_one() {
    let mut stage = Stage::new(at_rest("one", None));
    stage.make_with_consumer("c");
    let (files, now) = (stage.files.clone(), stage.now);
    drop(stage);
    files.kill();
    let mut stage = Stage::over(files, now + 1_000_000_000, at_rest("two", Some("one")));
    for _ in 0..10_000 {
        if stage.node.js.recovery.is_done() {
            break;
        }
        let mut ready = Vec::new();
        stage.node.ready(stage.time(), &mut ready);
        // The disk is the last to do anything.
        let is_disk = |step: &&Step| matches!(step, Step::Disk(_));
        let step = *ready.iter().find(|step| !is_disk(step)).or(ready.first()).expect("it goes on");
        stage.now += 1000;
        stage.node.step(step, stage.time(), &mut stage.draw);
    }
    assert!(stage.node.js.recovery.is_done());
    let (files, now) = (stage.files.clone(), stage.now);
    drop(stage);
    files.power_cut(Odds { sectors: 0, lengths: 0, names: 0 });
    let mut stage = Stage::over(files, now + 1_000_000_000, at_rest("three", Some("two")));
    stage.rest();
    stage.ask("$JS.API.CONSUMER.NAMES.A", "_R.names", "");
    stage.rest();
    assert!(stage.answer("_R.names").contains(r#""consumers":["c"]"#), "{}", stage.answer("_R.names"));
}

#[test]
fn a_full_disk_takes_what_makes_room_and_no_messages() {
    let mut stage = Stage::new(None);
    for (name, subject) in [("A", "a"), ("B", "b")] {
        let config = format!(r#"{{"name":"{name}","subjects":["{subject}"],"storage":"file"}}"#);
        stage.ask(&format!("$JS.API.STREAM.CREATE.{name}"), "_R.create", &config);
        stage.rest();
    }
    let consumer = r#"{"stream_name":"A","config":{"name":"c","durable_name":"c","ack_policy":"explicit","deliver_subject":"_D.c"}}"#;
    stage.ask("$JS.API.CONSUMER.CREATE.A.c", "_R.c", consumer);
    stage.rest();
    let message = "m".repeat(4000);
    for at in 0..8 {
        stage.ask("a", &format!("_R.early.{at}"), &message);
        stage.rest();
    }
    stage.files.set_faults(Faults { capacity: Some(stage.files.used() + 10_000), ..Faults::default() });
    for at in 0..20 {
        stage.ask("a", &format!("_R.a.{at}"), &message);
        stage.run(|step| !matches!(step, Step::Job(_)));
        // While the files are being opened anew.
        stage.ask("$JS.API.STREAM.MSG.GET.A", &format!("_R.get.{at}"), r#"{"seq":1}"#);
        stage.run(|step| !matches!(step, Step::Job(_)));
        stage.rest();
        assert!(!stage.answer(&format!("_R.get.{at}")).contains(r#""error""#));
        stage.pass(1);
    }
    // To the last byte, as far as messages go.
    for at in 0..200 {
        stage.ask("a", &format!("_R.small.{at}"), "m");
        stage.rest();
        stage.pass(1);
    }
    let ack = stage.acknowledgement().to_owned();
    // That other streams are short of space as well, is known without trying.
    stage.ask("b", "_R.b", &message);
    stage.rest();
    for reply in ["_R.a.19", "_R.b"] {
        assert!(stage.answer(reply).contains("10023"), "{reply}: {}", stage.answer(reply));
    }
    stage.ask(&ack, "_R.acked", "+ACK");
    stage.ask("$JS.API.STREAM.MSG.DELETE.A", "_R.delete", r#"{"seq":2}"#);
    stage.rest();
    assert_eq!(stage.answer("_R.acked"), "");
    assert!(stage.answer("_R.delete").contains(r#""success":true"#), "{}", stage.answer("_R.delete"));
    stage.ask("$JS.API.STREAM.PURGE.A", "_R.purge", "");
    stage.rest();
    assert!(stage.answer("_R.purge").contains(r#""success":true"#), "{}", stage.answer("_R.purge"));
    // It passes by itself.
    stage.files.set_faults(Faults::default());
    stage.pass(10);
    for (subject, reply) in [("a", "_R.again.a"), ("b", "_R.again.b")] {
        stage.ask(subject, reply, &message);
        stage.rest();
        assert!(stage.answer(reply).contains(r#""seq":"#), "{reply}: {}", stage.answer(reply));
    }
}

/// What a start under another key has to write finds no space: that stream waits, and is told to be full.
#[test]
fn a_stream_that_cannot_be_opened_without_space_is_opened_when_there_is_some() {
    let mut stage = Stage::new(at_rest("one", None));
    stage.make_with_consumer("c");
    stage.ask("a", "_R.first", "message");
    stage.rest();
    let (files, now) = (stage.files.clone(), stage.now);
    drop(stage);
    files.kill();
    let mut stage = Stage::over(files, now + 1_000_000_000, at_rest("two", Some("one")));
    let capacity = Some(stage.files.used() - RESERVE);
    stage.files.set_faults(Faults { capacity, ..Faults::default() });
    stage.rest();
    assert!(stage.node.js.recovery.is_done());
    stage.ask("a", "_R.refused", "message");
    stage.rest();
    assert!(stage.answer("_R.refused").contains("10023"), "{}", stage.answer("_R.refused"));
    stage.ask("$JS.API.STREAM.INFO.A", "_R.unread", "");
    stage.pass(3);
    assert!(stage.answer("_R.unread").contains("10023"), "{}", stage.answer("_R.unread"));
    stage.files.set_faults(Faults::default());
    stage.pass(10);
    stage.ask("a", "_R.second", "message");
    stage.ask("$JS.API.CONSUMER.NAMES.A", "_R.names", "");
    stage.rest();
    assert!(stage.answer("_R.second").contains(r#""seq":2"#), "{}", stage.answer("_R.second"));
    assert!(stage.answer("_R.names").contains(r#""consumers":["c"]"#), "{}", stage.answer("_R.names"));
}

/// What was acknowledged is to be removed, which has to be written, and there is no space, nor any reserve.
#[test]
fn a_stream_whose_opening_has_to_write_is_read_without_space() {
    let mut stage = Stage::new(None);
    let config =
        r#"{"name":"W","subjects":["w"],"storage":"file","retention":"workqueue","allow_direct":true}"#;
    stage.ask("$JS.API.STREAM.CREATE.W", "_R.create", config);
    stage.rest();
    let consumer = r#"{"stream_name":"W","config":{"durable_name":"c","ack_policy":"explicit","deliver_subject":"_D.c"}}"#;
    stage.ask("$JS.API.CONSUMER.CREATE.W.c", "_R.c", consumer);
    for at in 0..3 {
        stage.ask("w", &format!("_R.{at}"), "message");
    }
    stage.rest();
    let ack = stage.acknowledgement().to_owned();
    let capacity = Some(stage.files.used() - RESERVE);
    stage.files.set_faults(Faults { capacity, ..Faults::default() });
    stage.rest();
    stage.ask(&ack, "_R.acked", "+ACK");
    stage.pass(10);
    assert_eq!(stage.answer("_R.acked"), "");
    for round in 0..20 {
        let (info, get) = (format!("_R.info.{round}"), format!("_R.get.{round}"));
        stage.ask("$JS.API.STREAM.INFO.W", &info, "");
        stage.ask("$JS.API.DIRECT.GET.W", &get, r#"{"seq":3}"#);
        stage.rest();
        assert!(stage.answer(&info).contains(r#""messages":2"#), "{}", stage.answer(&info));
        assert_eq!(stage.answer(&get), "message");
        stage.pass(1);
    }
    // Whoever wants something written learns that it is not.
    stage.ask("$JS.API.STREAM.MSG.DELETE.W", "_R.delete", r#"{"seq":2,"no_erase":true}"#);
    stage.rest();
    assert!(stage.answer("_R.delete").contains("10023"), "{}", stage.answer("_R.delete"));
    stage.files.set_faults(Faults::default());
    stage.pass(10);
    stage.ask("$JS.API.STREAM.MSG.DELETE.W", "_R.done", r#"{"seq":2,"no_erase":true}"#);
    stage.rest();
    assert!(stage.answer("_R.done").contains(r#""success":true"#), "{}", stage.answer("_R.done"));
    let (files, now) = (stage.files.clone(), stage.now);
    drop(stage);
    files.kill();
    let mut stage = Stage::over(files, now + 1_000_000_000, None);
    stage.rest();
    stage.ask("$JS.API.STREAM.INFO.W", "_R.info", "");
    stage.rest();
    assert!(stage.answer("_R.info").contains(r#""messages":1"#), "{}", stage.answer("_R.info"));
}
