//! Consumers that are made while the store looks for where another one begins.

use midge_stdx::gotime::rfc3339;

use super::node::Step;
use super::stage::Stage;

/// A node with stream A of at most `most` consumers, whose messages are in files alone, and a time between two of them.
fn stage(most: i64) -> (Stage, String) {
    let mut stage = Stage::new(None);
    // So small a stream has small blocks, of three such messages.
    let config = format!(
        r#"{{"name":"A","subjects":["a.*"],"storage":"file","max_bytes":100000,"max_consumers":{most}}}"#
    );
    let message = "m".repeat(9000);
    stage.ask("$JS.API.STREAM.CREATE.A", "_R.create", &config);
    stage.rest();
    let mut between = String::new();
    for at in 0..10 {
        if at == 5 {
            between = rfc3339(stage.time().wall);
        }
        stage.ask(&format!("a.{}", at % 2), &format!("_R.{at}"), &message);
        stage.rest();
        stage.pass(1);
    }
    // What is not asked for is let go of.
    stage.pass(60);
    (stage, between)
}

fn create(stage: &mut Stage, name: &str, reply: &str, action: &str, rest: &str) {
    let body = format!(
        r#"{{"stream_name":"A","action":"{action}","config":{{"durable_name":"{name}","ack_policy":"explicit"{rest}}}}}"#
    );
    stage.ask(&format!("$JS.API.CONSUMER.CREATE.A.{name}"), reply, &body);
}

/// Has one consumer looked for, which takes a block that nobody brings for now.
fn begin(stage: &mut Stage, name: &str, since: &str, rest: &str) {
    let rest = format!(r#","deliver_policy":"by_start_time","opt_start_time":"{since}"{rest}"#);
    create(stage, name, &format!("_R.{name}"), "create", &rest);
    stage.run(|step| !matches!(step, Step::Disk(_)));
    let names = format!("_R.{name}.names");
    stage.ask("$JS.API.CONSUMER.NAMES.A", &names, "");
    stage.run(|step| !matches!(step, Step::Disk(_)));
    assert!(stage.answer(&names).contains(r#""total":0"#), "it is there at once: {}", stage.answer(&names));
}

#[test]
fn one_that_was_looked_for_begins_where_it_should() {
    let (mut stage, since) = stage(-1);
    begin(&mut stage, "late", &since, r#","filter_subject":"a.1""#);
    stage.rest();
    assert!(stage.answer("_R.late").contains(r#""num_pending":3"#), "{}", stage.answer("_R.late"));
}

#[test]
fn another_one_may_have_taken_the_last_place_meanwhile() {
    let (mut stage, since) = stage(1);
    begin(&mut stage, "late", &since, "");
    create(&mut stage, "early", "_R.early", "create", "");
    stage.rest();
    assert!(stage.answer("_R.early").contains(r#""created""#), "{}", stage.answer("_R.early"));
    assert!(stage.answer("_R.late").contains("10026"), "{}", stage.answer("_R.late"));
    stage.ask("$JS.API.CONSUMER.NAMES.A", "_R.names", "");
    stage.rest();
    assert!(stage.answer("_R.names").contains(r#""consumers":["early"]"#), "{}", stage.answer("_R.names"));
}

#[test]
fn another_one_may_have_taken_the_name_meanwhile() {
    let (mut stage, since) = stage(-1);
    begin(&mut stage, "late", &since, "");
    let rest = format!(
        r#","description":"another","deliver_policy":"by_start_time","opt_start_time":"{since}","max_deliver":7"#
    );
    create(&mut stage, "late", "_R.another", "create", &rest);
    // Whoever only wants it to be there gets it as it is, or changes it.
    create(&mut stage, "late", "_R.update", "", &rest);
    stage.rest();
    assert!(!stage.answer("_R.late").contains("description"), "{}", stage.answer("_R.late"));
    assert!(stage.answer("_R.another").contains("10148"), "{}", stage.answer("_R.another"));
    assert!(
        stage.answer("_R.update").contains(r#""description":"another""#),
        "{}",
        stage.answer("_R.update")
    );
    stage.ask("$JS.API.CONSUMER.NAMES.A", "_R.names", "");
    stage.rest();
    assert!(stage.answer("_R.names").contains(r#""total":1"#), "{}", stage.answer("_R.names"));
}

#[test]
fn the_stream_may_be_deleted_meanwhile() {
    let (mut stage, since) = stage(-1);
    begin(&mut stage, "late", &since, "");
    stage.ask("$JS.API.STREAM.DELETE.A", "_R.delete", "");
    stage.rest();
    assert!(stage.answer("_R.late").contains(r#""created""#), "{}", stage.answer("_R.late"));
    assert!(stage.answer("_R.delete").contains(r#""success":true"#), "{}", stage.answer("_R.delete"));
}

/// What was read to find the ids of the last minutes is not kept for good.
#[test]
fn blocks_that_a_start_has_read_leave_memory() {
    let (stage, since) = stage(-1);
    let (files, now) = (stage.files.clone(), stage.now);
    drop(stage);
    files.kill();
    let mut stage = Stage::over(files, now + 1_000_000_000, None);
    stage.rest();
    stage.pass(60);
    begin(&mut stage, "late", &since, "");
}
