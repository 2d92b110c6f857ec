//! What a stream and its consumers are after a start, and after many asked at once.

use midge_store::port::{Files as _, Mode};

use super::json::Json;
use super::stage::Stage;
use crate::disk::Odds;

fn make(stage: &mut Stage, more: &str) {
    let config = format!(r#"{{"name":"A","subjects":["a.>"],"storage":"file"{more}}}"#);
    stage.ask("$JS.API.STREAM.CREATE.A", "_R.create", &config);
    stage.rest();
    assert!(stage.answer("_R.create").contains(r#""created""#), "{}", stage.answer("_R.create"));
}

fn make_consumer(stage: &mut Stage) {
    let config = r#"{"stream_name":"A","config":{"durable_name":"c","ack_policy":"explicit"}}"#;
    stage.ask("$JS.API.CONSUMER.CREATE.A.c", "_R.c", config);
    stage.rest();
}

fn publish(stage: &mut Stage, subject: &str, reply: &str, header: &str) {
    let now = stage.time();
    stage.node.publish(now, subject, reply, header.as_bytes(), b"message");
}

/// The next server over the same disk, after the power was cut.
fn next(stage: Stage) -> Stage {
    let (files, now) = (stage.files.clone(), stage.now);
    drop(stage);
    files.power_cut(Odds { sectors: 0, lengths: 0, names: 0 });
    let mut stage = Stage::over(files, now + 1_000_000_000, None);
    stage.rest();
    stage
}

fn ask(stage: &mut Stage, call: &str, reply: &str) -> Json {
    stage.ask(&format!("$JS.API.{call}"), reply, "");
    stage.rest();
    Json::read(stage.answer(reply).as_bytes())
}

#[test]
fn a_stream_says_when_it_was_made_whatever_came_since() {
    let mut stage = Stage::new(None);
    make(&mut stage, "");
    let created = Json::read(stage.answer("_R.create").as_bytes()).get("created").text().to_owned();
    assert!(!created.is_empty());
    for round in 0..2 {
        stage = next(stage);
        let config =
            format!(r#"{{"name":"A","subjects":["a.>"],"storage":"file","max_msgs":{}}}"#, round + 5);
        stage.ask("$JS.API.STREAM.UPDATE.A", "_R.update", &config);
        stage.rest();
        let told = Json::read(stage.answer("_R.update").as_bytes());
        assert_eq!(told.get("created").text(), created, "updated {round}");
        assert_eq!(
            ask(&mut stage, "STREAM.INFO.A", "_R.info").get("created").text(),
            created,
            "told {round}"
        );
    }
}

#[test]
fn a_state_has_the_times_of_its_first_and_last_messages() {
    let mut stage = Stage::new(None);
    make(&mut stage, "");
    let mut times = Vec::new();
    for at in 0..3 {
        publish(&mut stage, "a.x", &format!("_R.{at}"), "");
        stage.rest();
        stage.ask("$JS.API.STREAM.MSG.GET.A", &format!("_R.get.{at}"), &format!(r#"{{"seq":{}}}"#, at + 1));
        stage.rest();
        let got = Json::read(stage.answer(&format!("_R.get.{at}")).as_bytes());
        times.push(got.get("message").get("time").text().to_owned());
        stage.pass(1);
    }
    assert!(times.is_sorted() && times[0] != times[1], "{times:?}");
    let told = |stage: &mut Stage, reply: &str| {
        let state = ask(stage, "STREAM.INFO.A", reply);
        let time = |key: &str| state.get("state").get(key).text().to_owned();
        (time("first_ts"), time("last_ts"))
    };
    assert_eq!(told(&mut stage, "_R.all"), (times[0].clone(), times[2].clone()));
    stage.ask("$JS.API.STREAM.MSG.DELETE.A", "_R.delete", r#"{"seq":1}"#);
    stage.rest();
    assert_eq!(told(&mut stage, "_R.less"), (times[1].clone(), times[2].clone()));
    stage = next(stage);
    assert_eq!(told(&mut stage, "_R.later"), (times[1].clone(), times[2].clone()));
}

/// Stream A with three messages, of which consumer `c` got two and acknowledged one.
fn worked() -> Stage {
    let mut stage = Stage::new(None);
    make(&mut stage, "");
    make_consumer(&mut stage);
    for at in 0..3 {
        publish(&mut stage, "a.x", &format!("_R.{at}"), "");
    }
    stage.ask("$JS.API.CONSUMER.MSG.NEXT.A.c", "_R.pull", "2");
    stage.rest();
    let ack = stage.acknowledgement().to_owned();
    stage.ask(&ack, "_R.acked", "+ACK");
    stage.rest();
    stage
}

#[test]
fn what_is_told_of_a_consumer_is_what_is_kept() {
    let mut stage = worked();
    let told = |stage: &mut Stage, reply: &str| {
        let info = ask(stage, "CONSUMER.INFO.A.c", reply);
        let pair = |key: &str| {
            let pair = info.get(key);
            (pair.get("consumer_seq").number(), pair.get("stream_seq").number())
        };
        (pair("delivered"), pair("ack_floor"), info.get("num_ack_pending").number())
    };
    let before = told(&mut stage, "_R.before");
    assert_eq!(before, ((2, 2), (1, 1), 1));
    for _ in 0..2 {
        stage = next(stage);
        assert_eq!(told(&mut stage, "_R.after"), before);
    }
}

#[test]
fn a_consumer_whose_state_is_damaged_begins_anew() {
    let mut stage = worked();
    stage.node.js.stop();
    stage.rest();
    let Stage { files, node, now, mut draw, .. } = stage;
    node.close(&mut draw).expect("it closes");
    let file = files.open("$G/streams/A/obs/c/o.dat", Mode::Write).expect("it has a state");
    files.write_at(file, 0, &[0xff; 16]).expect("it is written");
    files.close(file);
    let mut stage = Stage::over(files, now + 1_000_000_000, None);
    stage.rest();
    let info = ask(&mut stage, "CONSUMER.INFO.A.c", "_R.info");
    assert_eq!((info.get("num_pending").number(), info.get("num_ack_pending").number()), (3, 0));
    stage.ask("$JS.API.CONSUMER.MSG.NEXT.A.c", "_R.pull", "3");
    stage.rest();
    assert_eq!(stage.acknowledgements.len(), 3);
}

#[test]
fn of_many_who_expect_the_same_of_a_subject_one_is_right() {
    for storage in ["", r#","max_msgs_per_subject":1"#] {
        let mut stage = Stage::new(None);
        make(&mut stage, storage);
        for last in 0..3 {
            for at in 0..20 {
                let header = format!("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: {last}\r\n\r\n");
                publish(&mut stage, "a.x", &format!("_R.{last}.{at}"), &header);
            }
            stage.rest();
            let stored = |at: &u64| !stage.answer(&format!("_R.{last}.{at}")).contains(r#""error""#);
            let right: Vec<u64> = (0..20).filter(stored).collect();
            assert_eq!(right, [0], "last {last}");
            assert!((1..20).all(|at| stage.answer(&format!("_R.{last}.{at}")).contains("10071")));
        }
    }
}

#[test]
fn a_message_that_was_deleted_does_not_expire_as_well() {
    let mut stage = Stage::new(None);
    make(&mut stage, r#","allow_msg_ttl":true,"subject_delete_marker_ttl":60000000000"#);
    publish(&mut stage, "a.gone", "_R.gone", "NATS/1.0\r\nNats-TTL: 60s\r\n\r\n");
    publish(&mut stage, "a.stays", "_R.stays", "NATS/1.0\r\nNats-TTL: 60s\r\n\r\n");
    stage.rest();
    stage.ask("$JS.API.STREAM.MSG.DELETE.A", "_R.delete", r#"{"seq":1}"#);
    stage.rest();
    stage.pass(70);
    // The other one left a marker.
    stage.ask("$JS.API.STREAM.INFO.A", "_R.info", r#"{"subjects_filter":">"}"#);
    stage.rest();
    let info = stage.answer("_R.info");
    assert!(info.contains(r#""subjects":{"a.stays":1}"#) && info.contains(r#""last_seq":3"#), "{info}");
}
