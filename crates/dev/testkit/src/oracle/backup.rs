//! Backups through the API, as clients take them and bring them back: chunks that are acknowledged, chunks that are requests.

use anyhow::{Context, Result, bail};
use midge_store::format::archive::{EntryKind, Limits, Reader};
use midge_store::format::inflow::{Format, Inflow};
use serde_json::{Value, json};

use super::ask::{SID, sid};
use super::http::flatten;
use super::link::{Link, Piece};
use super::play::Player;
use crate::script::escape;
use crate::server::PATIENCE;

/// Bytes of an archive in one message of a restore.
const CHUNK: usize = 4096;
/// Scripts keep small streams.
const LARGEST: usize = 16 << 20;

/// What the last backup of a script holds.
#[derive(Debug, Default, Clone)]
pub(super) struct Backup {
    archive: Vec<u8>,
    config: Value,
    state: Value,
}

/// A message that came: its reply subject, its header block, its payload.
struct Arrived {
    reply: Option<String>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

impl Player<'_> {
    /// Takes a backup of a stream: records the reply, how the chunks ended, and what they hold.
    pub(super) async fn backup(
        &mut self,
        name: &str,
        link: &mut Link,
        stream: &str,
        json: &str,
        step: &str,
    ) -> Result<()> {
        let (inbox, chunks) = (self.inbox(name, link).await, self.inbox(name, link).await);
        let mut request = json!({ "deliver_subject": chunks });
        merge(&mut request, json)?;
        link.send(&message(
            &format!("$JS.API.STREAM.SNAPSHOT.{stream}"),
            &inbox,
            &serde_json::to_vec(&request)?,
        ))
        .await;
        let mut backup = Backup::default();
        let mut acknowledged = 0;
        loop {
            let Some((subject, arrived)) = self.arrived(link).await else {
                self.transcript.stuck(step, "the backup does not end");
                return Ok(());
            };
            if subject == inbox {
                self.told(&inbox, &arrived);
                let reply: Value = serde_json::from_slice(&arrived.payload).unwrap_or_default();
                if !reply["error"].is_null() {
                    return Ok(());
                }
                (backup.config, backup.state) = (reply["config"].clone(), reply["state"].clone());
                continue;
            }
            if subject != chunks {
                continue;
            }
            if arrived.payload.is_empty() {
                let end = if arrived.headers.is_empty() { "(empty)" } else { &escape(&arrived.headers) };
                self.transcript.saw(&format!("ends: {end}"));
                break;
            }
            backup.archive.extend_from_slice(&arrived.payload);
            if let Some(reply) = arrived.reply {
                acknowledged += 1;
                if acknowledged == 1 {
                    let text = self.mask.text(&reply);
                    self.transcript.saw(&format!("first chunk: {text}"));
                }
                link.send(&message(&reply, "", b"")).await;
            }
        }
        self.show(&backup.archive)?;
        self.backup = Some(backup);
        Ok(())
    }

    /// Makes a stream of the last backup. In the JSON text, `config` and `state` change what the backup says; `cut` leaves out as many bytes
    /// of the end, `flip` changes the byte at a place, `unfinished` stops before the end is told.
    pub(super) async fn restore(
        &mut self,
        name: &str,
        link: &mut Link,
        stream: &str,
        json: &str,
        step: &str,
    ) -> Result<()> {
        let backup = self.backup.clone().context("no backup was taken")?;
        let mut request = json!({ "config": backup.config, "state": backup.state });
        merge(&mut request, &self.expand(json))?;
        let fields = request.as_object_mut().context("an object")?;
        let mut number =
            |name: &str| fields.remove(name).and_then(|value| value.as_u64()).map(|n| n as usize);
        let (cut, flip, unfinished) = (number("cut"), number("flip"), number("unfinished"));
        let mut archive = backup.archive;
        archive.truncate(archive.len().saturating_sub(cut.unwrap_or(0)));
        if let Some(byte) = flip.and_then(|at| archive.get_mut(at)) {
            *byte ^= 0x55;
        }
        let inbox = self.inbox(name, link).await;
        let body = serde_json::to_vec(&request)?;
        link.send(&message(&format!("$JS.API.STREAM.RESTORE.{stream}"), &inbox, &body)).await;
        let Some(reply) = self.answer(link, &inbox).await else {
            self.transcript.stuck(step, "no reply");
            return Ok(());
        };
        self.told(&inbox, &reply);
        let reply: Value = serde_json::from_slice(&reply.payload).unwrap_or_default();
        let Some(target) = reply["deliver_subject"].as_str().filter(|subject| !subject.is_empty()) else {
            return Ok(());
        };
        let mut pieces: Vec<&[u8]> = archive.chunks(CHUNK).collect();
        if unfinished.is_none() {
            pieces.push(b"");
        }
        for piece in pieces {
            let inbox = self.inbox(name, link).await;
            link.send(&message(target, &inbox, piece)).await;
            let Some(answer) = self.answer(link, &inbox).await else {
                self.transcript.stuck(step, "a chunk is not answered");
                return Ok(());
            };
            if !answer.payload.is_empty() || !answer.headers.is_empty() {
                self.told(&inbox, &answer);
                break;
            }
        }
        Ok(())
    }

    fn told(&mut self, inbox: &str, reply: &Arrived) {
        let bytes = arrived_bytes(inbox, reply);
        self.observe(&bytes);
        self.record(&bytes);
    }

    async fn inbox(&mut self, name: &str, link: &mut Link) -> String {
        if link.asked == 0 {
            link.send(format!("SUB _ASK.{name}.* {SID}\r\n").as_bytes()).await;
        }
        link.asked += 1;
        format!("_ASK.{name}.{}", link.asked)
    }

    async fn answer(&mut self, link: &mut Link, inbox: &str) -> Option<Arrived> {
        loop {
            let (subject, arrived) = self.arrived(link).await?;
            if subject == inbox {
                return Some(arrived);
            }
        }
    }

    /// The next message for the inboxes of requests; whatever else comes is kept for later steps.
    async fn arrived(&mut self, link: &mut Link) -> Option<(String, Arrived)> {
        loop {
            let Piece::Bytes(bytes) = link.arrival(PATIENCE).await else { return None };
            match sid(&bytes) {
                Some((subject, SID)) => {
                    let subject = subject.to_owned();
                    return Some((subject, arrived(&bytes)?));
                }
                _ => link.hold(bytes),
            }
        }
    }

    /// Records the entries of an archive.
    fn show(&mut self, archive: &[u8]) -> Result<()> {
        let mut inflow = Inflow::new();
        let mut rest = archive;
        while inflow.format().is_none() && !rest.is_empty() {
            let taken = inflow.push(rest)?;
            rest = &rest[taken..];
        }
        match inflow.format() {
            Some(Format::Entries) => {}
            other => bail!("a backup of the format {other:?}"),
        }
        let mut shown: Vec<(u64, String, String)> = Vec::new();
        let mut reader = Reader::new(inflow, Limits { message: LARGEST, document: LARGEST });
        loop {
            while let Some(entry) = reader.next_entry()? {
                let name = escape(entry.name);
                let mut lines = Vec::new();
                if entry.kind() == EntryKind::Message {
                    let (headers, payload) = (escape(entry.headers), escape(entry.payload));
                    lines.push(format!("entry {} {name} {headers}{payload}", entry.seq));
                } else if let Ok(mut document) = serde_json::from_slice::<Value>(entry.payload) {
                    self.mask.json(&mut document);
                    flatten("", &document, &mut |path, value| {
                        lines.push(format!("entry {name}: {path}: {value}"))
                    });
                }
                // The Go server takes consumers in random order.
                lines
                    .into_iter()
                    .for_each(|line| shown.push((entry.seq, name.clone(), self.mask.text(&line))));
            }
            if rest.is_empty() {
                break;
            }
            let taken = reader.push(rest)?;
            rest = &rest[taken..];
        }
        shown.sort_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
        shown.iter().for_each(|(_, _, line)| self.transcript.saw(line));
        reader.finish().context("the archive does not end well")
    }
}

/// Lays the fields of a JSON text over a document, and those of objects in it over theirs.
fn merge(document: &mut Value, text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let more: Value = serde_json::from_str(text).context("the JSON text of the step")?;
    lay(document, more);
    Ok(())
}

fn lay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                lay(under.entry(name).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

fn message(subject: &str, reply: &str, body: &[u8]) -> Vec<u8> {
    let gap = if reply.is_empty() { "" } else { " " };
    let mut bytes = format!("PUB {subject} {reply}{gap}{}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn arrived(bytes: &[u8]) -> Option<Arrived> {
    let end = bytes.windows(2).position(|window| window == b"\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let words: Vec<&str> = head.split_whitespace().collect();
    let rest = bytes[end + 2..].strip_suffix(b"\r\n")?;
    let with_headers = head.starts_with("HMSG");
    let sizes = if with_headers { 2 } else { 1 };
    let reply = (words.len() == 4 + sizes).then(|| words[3].to_owned());
    let split = if with_headers { words.get(words.len() - 2)?.parse().ok()? } else { 0 };
    let (headers, payload) = rest.split_at_checked(split)?;
    Some(Arrived { reply, headers: headers.to_vec(), payload: payload.to_vec() })
}

/// A message as it is recorded.
fn arrived_bytes(subject: &str, arrived: &Arrived) -> Vec<u8> {
    let (headers, payload) = (&arrived.headers, &arrived.payload);
    let head = if headers.is_empty() {
        format!("MSG {subject} {SID} {}\r\n", payload.len())
    } else {
        format!("HMSG {subject} {SID} {} {}\r\n", headers.len(), headers.len() + payload.len())
    };
    [head.as_bytes(), headers, payload, b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_apart() {
        let plain = arrived(b"MSG a 1 back 2\r\nhi\r\n").unwrap();
        assert_eq!((plain.reply.as_deref(), plain.payload.as_slice()), (Some("back"), b"hi".as_slice()));
        let status = arrived(b"HMSG a 1 16 16\r\nNATS/1.0 204\r\n\r\n\r\n").unwrap();
        assert_eq!((status.reply, status.payload.len(), status.headers.len()), (None, 0, 16));
    }

    #[test]
    fn a_document_is_laid_over_another() {
        let mut under = json!({"config": {"name": "A", "max": 1}, "state": {}});
        merge(&mut under, r#"{"config":{"name":"B"},"cut":3}"#).unwrap();
        assert_eq!(under, json!({"config": {"name": "B", "max": 1}, "state": {}, "cut": 3}));
    }
}
