//! A server killed under load again and again, and after every restart a comparison of what it holds with what it promised:
//!
//! - every acknowledged publish is there, under its sequence, with its content;
//! - no sequence was ever seen with two contents;
//! - the messages of a publisher are in the order in which it sent them;
//! - a message whose acknowledgement was confirmed is not delivered again;
//! - a work queue and a stream with interest hold every acknowledged message that nobody acknowledged as consumed, and none whose
//!   consumption was confirmed;
//! - the counts of streams and consumers agree with what is there.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

mod book;
mod check;
mod load;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::stream::RetentionPolicy;
use async_nats::jetstream::{self, Context, consumer, stream};
use midge_testkit::server::Server;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use book::Book;

/// A stream of the load, and how its messages leave it.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) retention: RetentionPolicy,
    /// Whether publishes carry `Nats-Msg-Id` and are repeated until they are acknowledged.
    pub(crate) ids: bool,
    pub(crate) publishers: usize,
}

pub(crate) const KINDS: [Kind; 4] = [
    Kind { name: "PLAIN", retention: RetentionPolicy::Limits, ids: false, publishers: 6 },
    Kind { name: "IDS", retention: RetentionPolicy::Limits, ids: true, publishers: 4 },
    Kind { name: "WORK", retention: RetentionPolicy::WorkQueue, ids: false, publishers: 2 },
    Kind { name: "INTEREST", retention: RetentionPolicy::Interest, ids: true, publishers: 2 },
];

/// The durable consumer of every stream.
pub(crate) const DURABLE: &str = "reader";

/// A shared book.
pub(crate) type Shared = Arc<Mutex<Book>>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kill: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let (mut program, mut rounds, mut seed) = (None, 20, 1_u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--server" => program = Some(PathBuf::from(value)),
            "--rounds" => rounds = value.parse().context("--rounds takes a number")?,
            "--seed" => seed = value.parse().context("--seed takes a number")?,
            other => bail!("unknown argument {other}"),
        }
    }
    let program = program.context("--server is needed")?;
    let dir = std::env::temp_dir().join(format!("midge-kill-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let outcome = rounds_of(&program, &dir, rounds, seed).await;
    if outcome.is_ok() {
        std::fs::remove_dir_all(&dir)?;
    } else {
        eprintln!("kill: the store is left in {}", dir.display());
    }
    outcome
}

async fn start(program: &Path, dir: &Path) -> Result<Server> {
    let store = dir.join("store").display().to_string();
    Server::start(program, dir, &["-js".to_owned(), "-sd".to_owned(), store], &[]).await
}

async fn connect(server: &Server) -> Result<Context> {
    let client = async_nats::ConnectOptions::new()
        .connect(format!("nats://127.0.0.1:{}", server.port))
        .await
        .context("connecting")?;
    let mut js = jetstream::new(client);
    js.set_timeout(Duration::from_secs(20));
    Ok(js)
}

async fn prepare(js: &Context) -> Result<()> {
    for kind in &KINDS {
        let config = stream::Config {
            name: kind.name.to_owned(),
            subjects: vec![format!("{}.*", kind.name)],
            retention: kind.retention,
            allow_direct: true,
            ..Default::default()
        };
        let made = js.create_stream(config).await?;
        let durable = consumer::pull::Config {
            durable_name: Some(DURABLE.to_owned()),
            ack_wait: Duration::from_secs(2),
            max_ack_pending: 5000,
            ..Default::default()
        };
        made.create_consumer(durable).await?;
    }
    Ok(())
}

async fn rounds_of(program: &Path, dir: &Path, rounds: usize, seed: u64) -> Result<()> {
    let book: Shared = Arc::new(Mutex::new(Book::default()));
    let mut server = start(program, dir).await?;
    prepare(&connect(&server).await?).await?;
    let mut number = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for round in 1..=rounds {
        let js = connect(&server).await?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (index, kind) in KINDS.iter().enumerate() {
            for publisher in 0..kind.publishers {
                tasks.spawn(load::publish(js.clone(), book.clone(), index, publisher, stopped.clone()));
            }
            tasks.spawn(load::consume(js.clone(), book.clone(), index, stopped.clone()));
        }
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        // How long there is load before the kill is what the seed decides.
        tokio::time::sleep(Duration::from_millis(50 + number % 500)).await;
        server.kill().await?;
        let _ = stop.send(true);
        while let Some(task) = tasks.join_next().await {
            task.context("a task panicked")??;
        }
        drop(js);
        server = start(program, dir).await.with_context(|| format!("the restart of round {round}"))?;
        let js = connect(&server).await?;
        let mut book = book.lock().await;
        check::all(&js, &mut book).await.with_context(|| format!("round {round}"))?;
        println!("round {round}: {}", book.summary());
    }
    let js = connect(&server).await?;
    check::drain(&js, &mut *book.lock().await).await.context("the last messages")?;
    println!("everything was consumed: {}", book.lock().await.summary());
    server.kill().await
}
