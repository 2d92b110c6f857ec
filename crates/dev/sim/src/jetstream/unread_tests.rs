//! A consumer whose metadata cannot be read for some starts: what only the journal has of it is not lost.

use midge_store::port::{Files as _, Mode};

use super::stage::Stage;
use crate::disk::Odds;

const META: &str = "$G/streams/A/obs/c/meta.inf";
const STATE: &str = "$G/streams/A/obs/c/o.dat";

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    Power,
    Stop,
}

/// The next server over the same disk.
fn next(mut stage: Stage, end: End) -> Stage {
    if end == End::Stop {
        stage.node.js.stop();
        stage.rest();
        assert!(stage.node.has_stopped());
    }
    let Stage { files, node, now, mut draw, .. } = stage;
    match end {
        End::Stop => node.close(&mut draw).expect("it closes"),
        End::Kill | End::Power => drop(node),
    }
    match end {
        End::Kill => files.kill(),
        End::Power => files.power_cut(Odds { sectors: 0, lengths: 0, names: 0 }),
        End::Stop => {}
    }
    let mut stage = Stage::over(files, now + 1_000_000_000, None);
    stage.rest();
    stage
}

fn write(stage: &Stage, content: &[u8]) {
    let file = stage.files.open(META, Mode::Write).expect("there is metadata");
    stage.files.write_at(file, 0, content).expect("it is written");
    stage.files.set_len(file, content.len() as u64).expect("it is cut");
    stage.files.sync(file).expect("it is synced");
    stage.files.close(file);
}

/// Stream A with consumer `c`, which delivered three messages; the first two are acknowledged, for good.
fn acknowledged() -> Stage {
    let mut stage = Stage::new(None);
    stage.make_with_consumer("c");
    // What was made is in its files.
    let mut stage = next(stage, End::Stop);
    for at in 0..3 {
        stage.ask("a", &format!("_R.{at}"), "message");
    }
    stage.ask("$JS.API.CONSUMER.MSG.NEXT.A.c", "_R.pull", "3");
    stage.rest();
    let before = stage.files.peek(STATE);
    for at in 0..2 {
        let ack = stage.acknowledgements[at].clone();
        stage.ask(&ack, &format!("_R.acked.{at}"), "+ACK");
    }
    stage.rest();
    assert_eq!(stage.answer("_R.acked.1"), "");
    assert_eq!(stage.files.peek(STATE), before, "only the journal knows of that");
    stage
}

/// What is told of the consumer.
fn info(stage: &mut Stage, reply: &str) -> String {
    stage.ask("$JS.API.CONSUMER.INFO.A.c", reply, "");
    stage.rest();
    stage.answer(reply).to_owned()
}

#[test]
fn changes_in_the_journal_outlive_starts_without_metadata() {
    for ends in
        [[End::Kill, End::Kill], [End::Stop, End::Stop], [End::Power, End::Stop], [End::Stop, End::Kill]]
    {
        for remade in [false, true] {
            let stage = acknowledged();
            let whole = stage.files.peek(META).expect("there is metadata");
            write(&stage, b"no metadata");
            let mut stage = next(stage, End::Kill);
            for end in ends {
                assert!(info(&mut stage, "_R.none").contains("10014"), "{ends:?}");
                stage.pass(60);
                stage = next(stage, end);
            }
            if remade {
                let config = r#"{"stream_name":"A","config":{"durable_name":"c","ack_policy":"explicit"}}"#;
                stage.ask("$JS.API.CONSUMER.CREATE.A.c", "_R.again", config);
                stage.rest();
            } else {
                write(&stage, &whole);
                stage = next(stage, End::Kill);
            }
            for round in 0..2 {
                let told = info(&mut stage, "_R.info");
                assert!(
                    told.contains(r#""ack_floor":{"consumer_seq":2,"stream_seq":2"#)
                        && told.contains(r#""num_ack_pending":1"#),
                    "{ends:?}, made again {remade}, {round}: {told}"
                );
                stage = next(stage, End::Power);
            }
        }
    }
}
