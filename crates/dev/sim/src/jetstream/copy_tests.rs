//! Copies with something in them that no server has written.

use midge_codec::s2::{self, Level};
use midge_store::format::archive::{Entry, STATE, Writer};

use super::node::MAX_FILE;
use super::stage::Stage;

const BLOCK: usize = 512;

/// A copy without messages, with these consumers.
fn entries(consumers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    let mut put = |name: &str, document: &str| {
        let (name, payload) = (name.as_bytes(), document.as_bytes());
        writer.entry(&Entry { name, ts_ns: 1, seq: 0, headers: b"", payload }, &mut out);
    };
    put(STATE, "{}");
    for (name, config) in consumers {
        put(&format!("consumers/{name}"), &format!(r#"{{"config":{config},"state":{{}}}}"#));
    }
    writer.finish(&mut out);
    out
}

fn tar_header(path: &str, len: u64) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    out[..path.len()].copy_from_slice(path.as_bytes());
    out[124..135].copy_from_slice(format!("{len:011o}").as_bytes());
    out[156] = b'0';
    out[257..263].copy_from_slice(b"ustar\0");
    out[148..156].fill(b' ');
    let sum: u64 = out.iter().map(|&byte| u64::from(byte)).sum();
    out[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    out
}

/// A copy in the older form.
fn files(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, content) in files {
        tar.extend_from_slice(&tar_header(path, content.len() as u64));
        tar.extend_from_slice(content.as_bytes());
        tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    }
    tar.resize(tar.len() + 2 * BLOCK, 0);
    packed(&tar)
}

fn packed(tar: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    s2::encode(tar, Level::Fast, &mut out);
    out
}

/// Sends a copy of stream A, and the answer to its end, or to what was refused of it.
fn restore(stage: &mut Stage, config: &str, copy: &[u8]) -> String {
    let body = format!(r#"{{"config":{{"name":"A","subjects":["a.>"]{config}}},"state":{{}}}}"#);
    stage.ask("$JS.API.STREAM.RESTORE.A", "_R.begun", &body);
    stage.rest();
    let begun = stage.answer("_R.begun").to_owned();
    let subject = begun.split('"').find(|part| part.starts_with("$JS.SNAPSHOT.RESTORE.")).expect("begun");
    let now = stage.time();
    stage.node.publish(now, subject, "_R.chunk", b"", copy);
    stage.rest();
    let chunk = stage.answer("_R.chunk");
    if !chunk.is_empty() {
        return chunk.to_owned();
    }
    stage.ask(subject, "_R.end", "");
    stage.rest();
    stage.pass(5);
    stage.answer("_R.end").to_owned()
}

fn is_gone(stage: &mut Stage) {
    stage.ask("$JS.API.STREAM.INFO.A", "_R.info", "");
    stage.rest();
    assert!(stage.answer("_R.info").contains("10059"), "{}", stage.answer("_R.info"));
}

const PLAIN: &str = r#"{"durable_name":"c","name":"c","ack_policy":"explicit"}"#;

/// More of a configuration, the consumers of a copy, and what is told.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[test]
fn consumers_of_a_copy_are_there() {
    let copy = entries(&[("c", PLAIN), ("d", &PLAIN.replace(r#""c""#, r#""d""#))]);
    let mut stage = Stage::new(None);
    let answer = restore(&mut stage, "", &copy);
    assert!(answer.contains(r#""consumer_count":2"#), "{answer}");
}

#[test]
fn a_copy_with_a_consumer_that_cannot_be_is_refused() {
    let other = PLAIN.replace(r#""c""#, r#""d""#);
    let no_start = r#"{"durable_name":"c","ack_policy":"explicit","deliver_policy":"by_start_sequence"}"#;
    let bad_push = r#"{"durable_name":"c","ack_policy":"explicit","deliver_subject":"a b"}"#;
    let many = r#"{"durable_name":"c","ack_policy":"explicit","max_ack_pending":1000}"#;
    let both = [("c", PLAIN), ("d", &*other)];
    let cases: [Case<'_>; 7] = [
        (
            r#","retention":"workqueue""#,
            &both,
            r#"failed to add consumer \"d\": multiple non-filtered consumers not allowed on workqueue stream (10099)"#,
        ),
        (r#","max_consumers":1"#, &both, r#"\"d\": maximum consumers limit reached (10026)"#),
        (r#","consumer_limits":{"max_ack_pending":10}"#, &[("c", many)], "(10121)"),
        ("", &[("c", no_start)], "(10094)"),
        ("", &[("c", bad_push)], r#"failed to add consumer \"c\": "#),
        ("", &[("c", "[]")], r#"failed to add consumer \"c\": "#),
        ("", &[("..", PLAIN)], r#"failed to add consumer \"..\": "#),
    ];
    for (config, consumers, expected) in cases {
        let mut stage = Stage::new(None);
        let answer = restore(&mut stage, config, &entries(consumers));
        assert!(answer.contains("10062") && answer.contains(expected), "{config} {consumers:?}: {answer}");
        is_gone(&mut stage);
    }
}

#[test]
fn so_is_one_of_the_older_form() {
    let meta = |config: &str| config.replacen('{', r#"{"created":"2024-01-01T00:00:00Z","#, 1);
    let no_start = r#"{"name":"c","ack_policy":"explicit","deliver_policy":"by_start_sequence"}"#;
    let mut stage = Stage::new(None);
    let answer = restore(&mut stage, "", &files(&[("meta.inf", "{}"), ("obs/c/meta.inf", &meta(PLAIN))]));
    assert!(answer.contains(r#""consumer_count":1"#), "{answer}");
    let mut stage = Stage::new(None);
    let answer = restore(&mut stage, "", &files(&[("meta.inf", "{}"), ("obs/c/meta.inf", &meta(no_start))]));
    assert!(answer.contains("10062") && answer.contains("(10094)"), "{answer}");
    is_gone(&mut stage);
}

/// A file is held in memory until it is complete, so that its length has a maximum.
#[test]
fn a_file_of_a_copy_may_be_so_long_and_no_longer() {
    for (path, refused) in [("msgs/1.blk", true), ("obs/c/o.dat", true), ("msgs/index.db", false)] {
        let mut stage = Stage::new(None);
        let answer = restore(&mut stage, "", &packed(&tar_header(path, (256 << 20) + 1)));
        assert!(answer.contains("10062"), "{path}: {answer}");
        let told = format!("file {path} of 268435457 bytes in backup, more than 268435456");
        assert_eq!(answer.contains(&told), refused, "{path}: {answer}");
        is_gone(&mut stage);
    }
}

/// Files count before there is a store over them.
#[test]
fn files_of_a_copy_take_no_more_than_there_is() {
    let mut stage = Stage::new(None);
    let answer = restore(&mut stage, "", &packed(&tar_header("msgs/1.blk", MAX_FILE as u64 + 1)));
    assert!(answer.contains("10047"), "{answer}");
    is_gone(&mut stage);
    let mut stage = Stage::new(None);
    let answer = restore(&mut stage, "", &packed(&tar_header("msgs/1.blk", 1 << 20)));
    assert!(answer.contains("10062"), "{answer}");
}

#[test]
fn a_consumer_of_a_copy_is_not_ahead_of_its_stream() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    let state =
        r#"{"delivered":{"consumer_seq":9,"stream_seq":9},"ack_floor":{"consumer_seq":9,"stream_seq":9}}"#;
    let document = format!(r#"{{"config":{PLAIN},"state":{state}}}"#);
    for (name, payload) in [(STATE, "{}"), ("consumers/c", &document)] {
        let (name, payload) = (name.as_bytes(), payload.as_bytes());
        writer.entry(&Entry { name, ts_ns: 1, seq: 0, headers: b"", payload }, &mut out);
    }
    writer.finish(&mut out);
    let mut stage = Stage::new(None);
    let answer = restore(&mut stage, "", &out);
    assert!(answer.contains(r#""consumer_count":1"#), "{answer}");
    stage.ask("a.x", "_R.publish", "message");
    stage.ask("$JS.API.CONSUMER.MSG.NEXT.A.c", "_R.pull", "");
    stage.rest();
    assert!(stage.answer("_R.publish").contains(r#""seq":1"#), "{}", stage.answer("_R.publish"));
    assert_eq!(stage.acknowledgements.len(), 1);
}
