//! The command line tool and streams: what an operator does with it, and backups exchanged with another server.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use midge_testkit::server::Server;
use serde_json::Value;
use tokio::process::Command;

use crate::{Tools, succeed};

/// The tool with one server.
struct Shell<'a> {
    tools: &'a Tools,
    dir: &'a Path,
    port: u16,
}

impl Shell<'_> {
    async fn run(&self, words: &str, more: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.tools.nats);
        command
            .args(["--server", &format!("nats://localhost:{}", self.port), "--no-context"])
            .args(words.split_whitespace())
            .args(more)
            .env("XDG_CONFIG_HOME", self.dir)
            .env("HOME", self.dir)
            .current_dir(self.dir)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        succeed(command).await.with_context(|| format!("nats {words}"))
    }

    /// A command whose output must contain all of `expected`.
    async fn shows(&self, words: &str, expected: &[&str]) -> Result<()> {
        let text = self.run(words, &[]).await?;
        for part in expected {
            ensure!(text.contains(part), "nats {words} shows no {part:?}: {}", text.trim());
        }
        println!("       nats {words}: {}", expected.join(", "));
        Ok(())
    }

    async fn state(&self, stream: &str) -> Result<Value> {
        let info: Value = serde_json::from_str(&self.run("stream info -j", &[stream]).await?)?;
        Ok(info["state"].clone())
    }
}

/// Everything, against one server; `other` is the released one, with which backups are exchanged.
pub(crate) async fn command_line(tools: &Tools, server: &Server, dir: &Path) -> Result<()> {
    let shell = Shell { tools, dir, port: server.port };
    streams(&shell).await?;
    consumers(&shell).await?;
    buckets(&shell).await?;
    benches(&shell).await?;
    if let Some(program) = &tools.reference {
        let home = dir.join("reference");
        std::fs::create_dir_all(&home)?;
        let store = home.join("store").display().to_string();
        let mut reference =
            Server::start(program, &home, &["-js".to_owned(), "-sd".to_owned(), store], &[]).await?;
        let theirs = Shell { tools, dir, port: reference.port };
        exchange(&shell, &theirs, "MIDGE").await.context("a backup of ours at the reference")?;
        exchange(&theirs, &shell, "GO").await.context("a backup of the reference at ours")?;
        reference.kill().await?;
    }
    shell.run("stream rm -f CLI", &[]).await?;
    ensure!(shell.run("stream info CLI", &[]).await.is_err(), "a removed stream is still there");
    Ok(())
}

async fn streams(shell: &Shell<'_>) -> Result<()> {
    shell.shows("stream add CLI --subjects cli.> --defaults", &["Stream CLI was created"]).await?;
    shell.run("pub cli.a", &["number {{.Count}}", "--count", "50"]).await?;
    shell.run("pub cli.b --jetstream", &["hello"]).await?;
    shell.shows("stream info CLI", &["Messages: 51", "Last Sequence: 51"]).await?;
    shell.shows("stream edit CLI -f --description edited --max-msgs 1000", &["edited"]).await?;
    shell.shows("stream ls", &["CLI", "edited"]).await?;
    shell.shows("stream report", &["CLI"]).await?;
    shell.shows("stream subjects CLI", &["cli.a", "cli.b"]).await?;
    shell.shows("stream get CLI 51", &["hello"]).await?;
    shell.shows("stream get CLI --last-for cli.a", &["number 50"]).await?;
    shell.run("stream rmm -f CLI 2", &[]).await?;
    shell.shows("stream gaps -f CLI", &["2"]).await?;
    shell.run("stream purge -f CLI --seq 11", &[]).await?;
    shell.shows("stream info CLI", &["Messages: 41", "First Sequence: 11"]).await?;
    shell.run("stream copy CLI COPY --subjects copy.>", &[]).await?;
    shell.shows("stream find --subject copy.>", &["COPY"]).await?;
    shell.run("stream purge -f CLI --subject cli.b", &[]).await?;
    ensure!(shell.state("CLI").await?["messages"] == 40, "after a purge of a subject");
    shell.run("stream rm -f COPY", &[]).await?;
    shell.shows("account info", &["Streams:"]).await?;
    shell.shows("server check jetstream", &["OK"]).await?;
    shell.shows("server check stream --stream CLI", &["OK"]).await
}

async fn consumers(shell: &Shell<'_>) -> Result<()> {
    shell.run("consumer add CLI PULL --pull --ack explicit --deliver all --defaults", &[]).await?;
    shell.shows("consumer next CLI PULL --count 3 --ack", &["number 11", "number 13"]).await?;
    shell.shows("consumer info CLI PULL", &["Unprocessed Messages: 37"]).await?;
    shell.shows("consumer report CLI", &["PULL"]).await?;
    shell.shows("consumer ls CLI", &["PULL"]).await?;
    shell.shows("consumer pause -f CLI PULL 1h", &["Paused"]).await?;
    shell.run("consumer resume -f CLI PULL", &[]).await?;
    shell.run("consumer edit -f CLI PULL --description edited", &[]).await?;
    shell
        .run(
            "consumer add CLI PUSH --target push.cli --ack none --deliver all --replay instant --defaults",
            &[],
        )
        .await?;
    shell.run("consumer rm -f CLI PUSH", &[]).await?;
    shell.shows("consumer next CLI PULL --count 2 --ack", &["number 15"]).await
}

async fn buckets(shell: &Shell<'_>) -> Result<()> {
    shell.run("kv add BOX --history 5", &[]).await?;
    shell.run("kv put BOX key one", &[]).await?;
    shell.run("kv update BOX key two 1", &[]).await?;
    ensure!(shell.run("kv update BOX key three 1", &[]).await.is_err(), "an old revision was taken");
    shell.shows("kv get BOX key --raw", &["two"]).await?;
    shell.shows("kv history BOX key", &["one", "two"]).await?;
    shell.shows("kv ls BOX", &["key"]).await?;
    shell.shows("kv status BOX", &["Values Stored: 2"]).await?;
    shell.run("kv del BOX key -f", &[]).await?;
    ensure!(shell.run("kv get BOX key", &[]).await.is_err(), "a deleted key was found");
    shell.run("kv create BOX key again", &[]).await?;
    shell.run("kv purge BOX key -f", &[]).await?;
    shell.run("kv compact BOX -f", &[]).await?;
    shell.run("kv del BOX -f", &[]).await?;
    shell.run("object add THINGS", &[]).await?;
    let data: Vec<u8> = (0..300_000_u32).map(|n| (n * 11 % 241).to_le_bytes()[0]).collect();
    std::fs::write(shell.dir.join("thing"), &data)?;
    shell.run("object put THINGS thing --no-progress -f", &[]).await?;
    shell.shows("object ls THINGS", &["thing"]).await?;
    shell.shows("object info THINGS thing", &["thing"]).await?;
    shell.run("object get THINGS thing --no-progress -f -O back", &[]).await?;
    ensure!(std::fs::read(shell.dir.join("back"))? == data, "the object came back changed");
    shell.run("object del THINGS thing -f", &[]).await?;
    shell.run("object del THINGS -f", &[]).await?;
    println!("       nats kv, nats object: put, update, get, history, delete, 300 kB there and back");
    Ok(())
}

async fn benches(shell: &Shell<'_>) -> Result<()> {
    let load = "--msgs 20000 --size 64 --no-progress";
    shell.run(&format!("bench js pub async bench.js --create --purge {load}"), &[]).await?;
    ensure!(shell.state("benchstream").await?["messages"] == 20_000, "after bench js pub async");
    for words in ["bench js ordered", "bench js fetch", "bench js get sync"] {
        shell.shows(&format!("{words} {load}"), &["msgs/sec"]).await?;
    }
    shell.run(&format!("bench js pub batch bench.js --create --purge --batch 100 {load}"), &[]).await?;
    ensure!(shell.state("benchstream").await?["messages"] == 20_000, "after bench js pub batch");
    shell.run("bench js pub sync bench.js --purge --msgs 500 --no-progress", &[]).await?;
    shell.run("stream rm -f benchstream", &[]).await?;
    println!("       nats bench js: pub async, ordered, fetch, get, pub batch, pub sync");
    Ok(())
}

/// A stream with gaps and a consumer, saved at `from` and restored at `to`.
async fn exchange(from: &Shell<'_>, to: &Shell<'_>, stream: &str) -> Result<()> {
    let subject = format!("exchange.{stream}");
    from.run(&format!("stream add {stream} --subjects {subject} --defaults"), &[]).await?;
    from.run(&format!("pub {subject} --count 500"), &["number {{.Count}}"]).await?;
    from.run(&format!("stream rmm -f {stream} 250"), &[]).await?;
    from.run(&format!("consumer add {stream} C --pull --ack explicit --deliver all --defaults"), &[]).await?;
    from.run(&format!("consumer next {stream} C --count 7 --ack"), &[]).await?;
    let backup = from.dir.join(format!("backup-{stream}")).display().to_string();
    from.run("stream backup --no-progress --consumers", &[stream, &backup]).await?;
    to.run("stream restore --no-progress", &[&backup]).await?;
    let (saved, restored) = (from.state(stream).await?, to.state(stream).await?);
    for field in ["messages", "bytes", "first_seq", "last_seq", "num_deleted", "consumer_count", "last_ts"] {
        ensure!(saved[field] == restored[field], "{field}: {} became {}", saved[field], restored[field]);
    }
    to.shows(&format!("stream get {stream} 500"), &["number 500"]).await?;
    to.shows(&format!("consumer next {stream} C --ack"), &["number 8"]).await?;
    to.run(&format!("pub {subject} after --jetstream"), &[]).await?;
    ensure!(to.state(stream).await?["last_seq"] == 501, "publishing into what was restored");
    to.run(&format!("stream rm -f {stream}"), &[]).await?;
    // The same server takes its own backup back.
    from.run(&format!("stream rm -f {stream}"), &[]).await?;
    from.run("stream restore --no-progress", &[&backup]).await?;
    ensure!(from.state(stream).await?["messages"] == 499, "restored where it was made");
    from.run(&format!("stream rm -f {stream}"), &[]).await?;
    println!("       nats stream backup, restore: {stream}, there and back");
    Ok(())
}
