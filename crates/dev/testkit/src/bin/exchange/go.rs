//! The Go server on a store directory.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use async_nats::Client;
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::format::keys::Cipher;
use midge_testkit::server::Server;
use serde_json::{Value, json};

use crate::{Case, History, KEY, STREAM, Snapshot, Stored, draw_message, header_block};

/// The Go server on the store directory.
pub(crate) struct Reference {
    pub(crate) server: Server,
    client: Client,
}

impl Reference {
    pub(crate) async fn start(program: &Path, dir: &Path, case: &Case) -> Result<Reference> {
        let cipher = match case.cipher {
            None => String::new(),
            Some(Cipher::ChaCha) => format!("key: {KEY:?}, cipher: chacha, "),
            Some(Cipher::Aes) => format!("key: {KEY:?}, cipher: aes, "),
        };
        let store = dir.join("store");
        let config = dir.join("server.conf");
        std::fs::write(
            &config,
            format!("jetstream {{ {cipher}store_dir: {:?} }}\n", store.display().to_string()),
        )?;
        let arguments = ["-c".to_owned(), config.display().to_string()];
        let server = Server::start(program, dir, &arguments, &[]).await?;
        let client = async_nats::connect(format!("127.0.0.1:{}", server.port)).await?;
        Ok(Reference { server, client })
    }

    async fn ask(&self, subject: &str, request: Value) -> Result<Value> {
        let reply = self.client.request(format!("$JS.API.{subject}"), request.to_string().into()).await?;
        let reply: Value = serde_json::from_slice(&reply.payload)?;
        ensure!(reply["error"].is_null(), "{subject}: {}", reply["error"]);
        Ok(reply)
    }

    pub(crate) async fn create(&self, case: &Case) -> Result<()> {
        let config = json!({
            "name": STREAM, "subjects": ["a", "b", "a.>", "kv.>"], "storage": "file", "retention": "limits",
            "max_msgs": case.max_msgs, "max_msgs_per_subject": case.max_msgs_per_subject,
            "compression": if case.compression { "s2" } else { "none" },
            // Small blocks: a quarter of this, and no limit in sight.
            "max_bytes": if case.limited() { -1 } else { 4_000_000 },
        });
        self.ask(&format!("STREAM.CREATE.{STREAM}"), config).await?;
        Ok(())
    }

    /// Publishes, deletes, purges; answers what was deleted by sequence.
    pub(crate) async fn work(
        &self,
        draw: &mut Seeded,
        count: u64,
        purges: bool,
        history: &mut History,
    ) -> Result<BTreeSet<u64>> {
        let mut removed = BTreeSet::new();
        for _ in 0..count {
            let last =
                self.ask(&format!("STREAM.INFO.{STREAM}"), json!({})).await?["state"]["last_seq"].as_u64();
            match draw.below(20) {
                0..3 => {
                    let (seq, no_erase) = (1 + draw.below(last.unwrap_or(0) + 1), draw.below(2) == 0);
                    // It may be gone already.
                    let request = json!({"seq": seq, "no_erase": no_erase});
                    let _ = self.ask(&format!("STREAM.MSG.DELETE.{STREAM}"), request).await;
                    removed.insert(seq);
                }
                3 if draw.below(3) == 0 && purges => {
                    let filter = ["a.>", "kv.one"][draw.below(2) as usize];
                    self.ask(&format!("STREAM.PURGE.{STREAM}"), json!({"filter": filter})).await?;
                }
                4 if draw.below(12) == 0 => {
                    self.ask(&format!("STREAM.PURGE.{STREAM}"), json!({})).await?;
                }
                _ => {
                    let (subject, headers, payload) = draw_message(draw);
                    let stored = (subject.clone(), header_block(&headers), payload.clone());
                    let request = async_nats::Request::new().headers(headers).payload(payload.into());
                    let ack = self.client.send_request(subject, request).await?;
                    let ack: Value = serde_json::from_slice(&ack.payload)?;
                    history.insert(ack["seq"].as_u64().with_context(|| ack.to_string())?, stored);
                }
            }
        }
        Ok(removed)
    }

    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        let info = self.ask(&format!("STREAM.INFO.{STREAM}"), json!({"deleted_details": true})).await?;
        let state = &info["state"];
        let number = |key: &str| state[key].as_u64().unwrap_or(0);
        let deleted: Vec<u64> =
            state["deleted"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        let mut snapshot = Snapshot {
            messages: number("messages"),
            bytes: number("bytes"),
            first_seq: number("first_seq"),
            last_seq: number("last_seq"),
            ..Snapshot::default()
        };
        if snapshot.messages == 0 {
            return Ok(snapshot);
        }
        for seq in snapshot.first_seq..=snapshot.last_seq {
            if deleted.contains(&seq) {
                continue;
            }
            let reply = self.ask(&format!("STREAM.MSG.GET.{STREAM}"), json!({"seq": seq})).await?;
            let message = &reply["message"];
            let part = |key: &str| {
                message[key].as_str().map_or(Ok(Vec::new()), |text| {
                    data_encoding::BASE64.decode(text.as_bytes()).context("base64")
                })
            };
            let time = message["time"].as_str().context("a time")?;
            let time = midge_stdx::gotime::parse_rfc3339(time).ok().flatten().context("a time")?;
            let stored = Stored {
                subject: message["subject"].as_str().unwrap_or_default().into(),
                ts_ns: time.0,
                headers: part("hdrs")?,
                payload: part("data")?,
            };
            snapshot.stored.insert(seq, stored);
        }
        Ok(snapshot)
    }

    pub(crate) async fn end(mut self, clean: bool) -> Result<()> {
        if clean {
            self.server.signal("TERM")?;
            self.server.exit().await?;
        } else {
            self.server.kill().await?;
        }
        Ok(())
    }
}
