//! A node and its disk, taken step by step.

use std::sync::Arc;

use midge_jetstream::settings::AtRest;
use midge_stdx::clock::Now;
use midge_store::journal::{Committer, PlainRecords, Settings};

use super::disk::{RESERVE, SimDisk};
use super::node::{Node, Step};
use crate::disk::SimFiles;
use crate::draw::Draw;

/// See the module.
pub(super) struct Stage {
    pub(super) files: Arc<SimFiles>,
    pub(super) node: Node,
    pub(super) now: u64,
    pub(super) draw: Draw,
    pub(super) replies: Vec<(String, String)>,
    pub(super) acknowledgements: Vec<String>,
    /// Where flow control asks to be answered.
    pub(super) questions: Vec<String>,
}

impl Stage {
    /// A new node, over an empty disk.
    pub(super) fn new(at_rest: Option<AtRest>) -> Stage {
        let files = Arc::new(SimFiles::new(Draw::new(7)));
        Stage::over(files, 1_000_000_000, at_rest)
    }

    /// A node over a disk that was there before.
    pub(super) fn over(files: Arc<SimFiles>, now: u64, at_rest: Option<AtRest>) -> Stage {
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
        Stage {
            files,
            node,
            now,
            draw,
            replies: Vec::new(),
            acknowledgements: Vec::new(),
            questions: Vec::new(),
        }
    }

    pub(super) fn time(&self) -> Now {
        super::world::time(self.now)
    }

    /// A client publishes.
    pub(super) fn ask(&mut self, subject: &str, reply: &str, body: &str) {
        let now = self.time();
        self.node.publish(now, subject, reply, b"", body.as_bytes());
    }

    /// Makes stream A of subject `a`, with a consumer, both kept and told.
    pub(super) fn make_with_consumer(&mut self, consumer: &str) {
        let stream = r#"{"name":"A","subjects":["a"],"storage":"file"}"#;
        self.ask("$JS.API.STREAM.CREATE.A", "_R.create", stream);
        self.rest();
        let config = format!(
            r#"{{"stream_name":"A","config":{{"name":"{consumer}","durable_name":"{consumer}","ack_policy":"explicit"}}}}"#
        );
        self.ask(&format!("$JS.API.CONSUMER.CREATE.A.{consumer}"), &format!("_R.{consumer}"), &config);
        self.rest();
        for reply in ["_R.create", &format!("_R.{consumer}")] {
            assert!(self.answer(reply).contains(r#""created""#), "{}", self.answer(reply));
        }
    }

    /// Lets the node take the steps that are wanted until it rests.
    pub(super) fn run(&mut self, wanted: impl Fn(Step) -> bool) {
        for _ in 0..10_000 {
            let mut ready = Vec::new();
            self.node.ready(self.time(), &mut ready);
            ready.retain(|step| wanted(*step));
            let Some(step) = ready.first() else {
                for event in self.node.take_events() {
                    if event.reply.starts_with("$JS.ACK.") {
                        self.acknowledgements.push(event.reply);
                    } else if event.reply.starts_with("$JS.FC.") {
                        self.questions.push(event.reply);
                    } else {
                        // A status has nothing but headers.
                        let said = if event.payload.is_empty() { event.header } else { event.payload };
                        self.replies.push((event.subject, String::from_utf8_lossy(&said).into_owned()));
                    }
                }
                return;
            };
            self.now += 1000;
            self.node.step(*step, self.time(), &mut self.draw);
        }
        panic!("the node does not come to rest");
    }

    /// The same with all steps.
    pub(super) fn rest(&mut self) {
        self.run(|_| true);
    }

    /// So much time passes.
    pub(super) fn pass(&mut self, seconds: u64) {
        let until = self.now + seconds * 1_000_000_000;
        while self.now < until {
            self.now = self.node.deadline().0.clamp(self.now + 1, until);
            self.rest();
        }
    }

    /// Where the first message that was delivered is acknowledged.
    pub(super) fn acknowledgement(&self) -> &str {
        self.acknowledgements.first().expect("something was delivered")
    }

    /// The one answer that a request got.
    pub(super) fn answer(&self, reply: &str) -> &str {
        let mut all = self.replies.iter().filter(|(to, _)| to == reply);
        let answer = all.next().unwrap_or_else(|| panic!("{reply} got no answer: {:?}", self.replies));
        assert!(all.next().is_none(), "{reply} got more than one answer");
        &answer.1
    }
}
