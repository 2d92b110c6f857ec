//! Requests that are under way when a store fails, step by step.

use std::sync::Arc;

use midge_jetstream::settings::AtRest;
use midge_stdx::clock::Now;
use midge_store::format::keys::Cipher;
use midge_store::journal::{Committer, PlainRecords, Settings};

use super::disk::{RESERVE, SimDisk};
use super::node::{Node, Step};
use crate::disk::{Faults, Odds, SimFiles};
use crate::draw::Draw;

struct Stage {
    files: Arc<SimFiles>,
    node: Node,
    now: u64,
    draw: Draw,
    replies: Vec<(String, String)>,
    acknowledgements: Vec<String>,
}

fn at_rest(key: &str, previous: Option<&str>) -> Option<AtRest> {
    Some(AtRest {
        key: key.as_bytes().to_vec(),
        previous: previous.map(|key| key.as_bytes().to_vec()),
        cipher: Cipher::ChaCha,
    })
}

impl Stage {
    fn new(at_rest: Option<AtRest>) -> Stage {
        let files = Arc::new(SimFiles::new(Draw::new(7)));
        Stage::over(files, 1_000_000_000, at_rest)
    }

    fn over(files: Arc<SimFiles>, now: u64, at_rest: Option<AtRest>) -> Stage {
        let mut draw = Draw::new(now);
        let settings = Settings {
            segment_len: 2 << 20,
            first_segment_len: 1 << 20,
            reserve_len: RESERVE,
            ..Settings::default()
        };
        let (committer, report) = Committer::open(files.clone(), settings, &PlainRecords).expect("opens");
        assert!(report.is_clean(), "{report:?}");
        let disk = SimDisk::new(files.clone(), committer, 64, None);
        let node = Node::start(disk, report.deltas, at_rest, &mut draw);
        node.subscribe("_R.>", 0);
        node.subscribe("_D.c", 0);
        Stage { files, node, now, draw, replies: Vec::new(), acknowledgements: Vec::new() }
    }

    fn time(&self) -> Now {
        super::world::time(self.now)
    }

    fn ask(&mut self, subject: &str, reply: &str, body: &str) {
        let now = self.time();
        self.node.publish(now, subject, reply, b"", body.as_bytes());
    }

    /// Lets the node take the steps that are wanted until it rests.
    fn run(&mut self, wanted: impl Fn(Step) -> bool) {
        for _ in 0..10_000 {
            let mut ready = Vec::new();
            self.node.ready(self.time(), &mut ready);
            ready.retain(|step| wanted(*step));
            let Some(step) = ready.first() else {
                for event in self.node.take_events() {
                    if event.reply.starts_with("$JS.ACK.") {
                        self.acknowledgements.push(event.reply);
                    } else {
                        let text = String::from_utf8_lossy(&event.payload).into_owned();
                        self.replies.push((event.subject, text));
                    }
                }
                return;
            };
            self.now += 1000;
            self.node.step(*step, self.time(), &mut self.draw);
        }
        panic!("the node does not come to rest");
    }

    fn rest(&mut self) {
        self.run(|_| true);
    }

    /// So much time passes.
    fn pass(&mut self, seconds: u64) {
        let until = self.now + seconds * 1_000_000_000;
        while self.now < until {
            self.now = self.node.deadline().0.clamp(self.now + 1, until);
            self.rest();
        }
    }

    /// Where the first message that was delivered is acknowledged.
    fn acknowledgement(&self) -> &str {
        self.acknowledgements.first().expect("something was delivered")
    }

    /// The one answer that a request got.
    fn answer(&self, reply: &str) -> &str {
        let mut all = self.replies.iter().filter(|(to, _)| to == reply);
        let answer = all.next().unwrap_or_else(|| panic!("{reply} got no answer: {:?}", self.replies));
        assert!(all.next().is_none(), "{reply} got more than one answer");
        &answer.1
    }
}

#[test]
fn requests_that_wait_when_the_store_fails_are_refused() {
    let mut stage = Stage::new(None);
    stage.ask("$JS.API.STREAM.CREATE.A", "_R.create", r#"{"name":"A","subjects":["a"],"storage":"file"}"#);
    stage.rest();
    stage.ask(
        "$JS.API.CONSUMER.CREATE.A.old",
        "_R.old",
        r#"{"stream_name":"A","config":{"name":"old","durable_name":"old","ack_policy":"explicit"}}"#,
    );
    stage.rest();
    assert!(stage.answer("_R.create").contains("did_create"), "{}", stage.answer("_R.create"));
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

/// Whoever changes the key again waits for the start to be over, and for nothing else.
#[test]
fn a_start_under_another_key_is_over_when_nothing_is_under_the_former_one() {
    let mut stage = Stage::new(at_rest("one", None));
    stage.ask("$JS.API.STREAM.CREATE.A", "_R.create", r#"{"name":"A","subjects":["a"],"storage":"file"}"#);
    stage.rest();
    stage.ask(
        "$JS.API.CONSUMER.CREATE.A.c",
        "_R.c",
        r#"{"stream_name":"A","config":{"name":"c","durable_name":"c","ack_policy":"explicit"}}"#,
    );
    stage.rest();
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
