//! Requests of JetStream scripts: a publish with headers, the replies to it, and what later steps need of what was seen.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use midge_stdx::clock::Wall;
use midge_stdx::gotime::rfc3339;
use regex_lite::{Captures, Regex};
use serde_json::Value;
use tokio::time::Instant;

use super::http::flatten;
use super::link::{Link, Piece};
use super::mask::Mask;
use super::play::Player;
use crate::script::{Ask, Awaited, escape, unescape};
use crate::server::PATIENCE;

/// The subscription for replies; scripts do not use this number.
pub(super) const SID: &str = "9999";
/// How long nothing has to come before a request counts as unanswered. Should an answer come later, the script is merely weaker.
const SILENCE: Duration = Duration::from_millis(250);
/// Between two requests of which an answer is awaited.
const AGAIN: Duration = Duration::from_millis(20);
/// Documents of up to so many bytes stand on one line; longer ones have a line per value.
const ONE_LINE: usize = 200;

/// What steps may refer to by `@NAME@`.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// `ack:CONSUMER.SEQ`, `reply`, `fc`, `pin`, `time`, `identity`, `name1` and so on.
    values: BTreeMap<String, String>,
    /// Names that the server made up.
    names: usize,
}

impl Seen {
    /// Fills in what was seen, and `@in:MILLISECONDS@`, a time from now.
    pub(super) fn expand(&self, text: &str) -> String {
        static NAME: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"@([a-z][a-z0-9]*(:[^@\s]+)?)@").expect("a valid pattern"));
        let filled = NAME.replace_all(text, |found: &Captures<'_>| {
            if let Some(millis) = found[1].strip_prefix("in:").and_then(|millis| millis.parse::<i64>().ok()) {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let nanos = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX) + millis * 1_000_000;
                return rfc3339(Wall(nanos));
            }
            self.values.get(&found[1]).cloned().unwrap_or_else(|| found[0].to_owned())
        });
        filled.into_owned()
    }

    fn put(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }
}

impl Player<'_> {
    /// Publishes and records what is waited for.
    pub(super) async fn ask(&mut self, name: &str, link: &mut Link, ask: &Ask, step: &str) -> Result<()> {
        if link.asked == 0 {
            link.send(format!("SUB _ASK.{name}.* {SID}\r\n").as_bytes()).await;
        }
        let deadline = Instant::now() + PATIENCE;
        match &ask.awaited {
            Awaited::Nothing => self.publish(link, ask, None).await?,
            Awaited::At(reply) => {
                let reply = String::from_utf8(unescape(&self.expand(reply))?)?;
                self.publish(link, ask, Some(&reply)).await?;
            }
            Awaited::Replies(count) => {
                let inbox = self.request(name, link, ask).await?;
                for _ in 0..*count {
                    match self.reply(link, &inbox, PATIENCE).await {
                        Some(reply) => self.record(&reply),
                        None => return self.no_reply(step),
                    }
                }
            }
            Awaited::Status => {
                let inbox = self.request(name, link, ask).await?;
                loop {
                    let Some(reply) = self.reply(link, &inbox, PATIENCE).await else {
                        return self.no_reply(step);
                    };
                    self.record(&reply);
                    if is_status(&reply) {
                        break;
                    }
                }
            }
            Awaited::Silence => {
                let inbox = self.request(name, link, ask).await?;
                match self.reply(link, &inbox, SILENCE).await {
                    Some(reply) => self.record(&reply),
                    None => self.transcript.saw("silence"),
                }
            }
            Awaited::Many(count) => {
                let mut inbox = String::new();
                for _ in 0..*count {
                    inbox = self.request(name, link, ask).await?;
                    if link.asked.is_multiple_of(64) && self.reply(link, &inbox, PATIENCE).await.is_none() {
                        return self.no_reply(step);
                    }
                }
                if !link.asked.is_multiple_of(64) {
                    match self.reply(link, &inbox, PATIENCE).await {
                        Some(reply) => self.record(&reply),
                        None => return self.no_reply(step),
                    }
                }
            }
            Awaited::Until(wanted) => {
                let wanted = self.expand(wanted);
                loop {
                    let inbox = self.request(name, link, ask).await?;
                    let Some(reply) = self.reply(link, &inbox, PATIENCE).await else {
                        return self.no_reply(step);
                    };
                    let holds = self.lines(&reply).iter().any(|line| line.contains(&wanted));
                    if holds || Instant::now() > deadline {
                        self.record(&reply);
                        if !holds {
                            self.transcript.stuck(step, "the reply never says so");
                        }
                        break;
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        Ok(())
    }

    fn no_reply(&mut self, step: &str) -> Result<()> {
        self.transcript.stuck(step, "no reply");
        Ok(())
    }

    async fn request(&mut self, name: &str, link: &mut Link, ask: &Ask) -> Result<String> {
        link.asked += 1;
        let inbox = format!("_ASK.{name}.{}", link.asked);
        self.publish(link, ask, Some(&inbox)).await?;
        Ok(inbox)
    }

    async fn publish(&mut self, link: &mut Link, ask: &Ask, reply: Option<&str>) -> Result<()> {
        link.asked = link.asked.max(1);
        let subject = String::from_utf8(unescape(&self.expand(&ask.subject))?)?;
        let body = unescape(&self.expand(&ask.body))?;
        let reply = reply.map_or_else(String::new, |reply| format!("{reply} "));
        let mut bytes = Vec::new();
        if ask.headers.is_empty() {
            bytes.extend(format!("PUB {subject} {reply}{}\r\n", body.len()).into_bytes());
        } else {
            let mut block = b"NATS/1.0\r\n".to_vec();
            for (name, value) in &ask.headers {
                block.extend(unescape(name)?);
                block.extend_from_slice(b": ");
                block.extend(unescape(&self.expand(value))?);
                block.extend_from_slice(b"\r\n");
            }
            block.extend_from_slice(b"\r\n");
            bytes.extend(
                format!("HPUB {subject} {reply}{} {}\r\n", block.len(), block.len() + body.len())
                    .into_bytes(),
            );
            bytes.extend(block);
        }
        bytes.extend(body);
        bytes.extend_from_slice(b"\r\n");
        link.send(&bytes).await;
        Ok(())
    }

    /// The next reply to a request; whatever else comes is kept for later steps.
    async fn reply(&mut self, link: &mut Link, inbox: &str, patience: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience;
        loop {
            match link.arrival(deadline.saturating_duration_since(Instant::now())).await {
                Piece::Bytes(bytes) => match sid(&bytes) {
                    Some((subject, SID)) if subject == inbox || !subject.starts_with("_ASK.") => {
                        self.observe(&bytes);
                        return Some(bytes);
                    }
                    // A late reply to an earlier request.
                    Some((_, SID)) => {}
                    _ => link.hold(bytes),
                },
                Piece::End | Piece::Stuck(_) => return None,
            }
        }
    }

    pub(super) fn record(&mut self, reply: &[u8]) {
        for line in self.lines(reply) {
            self.transcript.saw(&line);
        }
    }

    /// A reply as it is recorded: documents in order, long ones with a line per value.
    fn lines(&self, reply: &[u8]) -> Vec<String> {
        let Some(end) = reply.windows(2).position(|window| window == b"\r\n") else { return Vec::new() };
        let head = String::from_utf8_lossy(&reply[..end]).into_owned();
        let payload = reply[end + 2..].strip_suffix(b"\r\n").unwrap_or(&reply[end + 2..]);
        let mut lines = Vec::new();
        let body = match payload.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(end) if head.starts_with("HMSG") && payload[end + 4..].starts_with(b"{\"type\"") => {
                lines.push(self.mask.text(&escape(&payload[..end + 4])));
                &payload[end + 4..]
            }
            _ => payload,
        };
        if let Ok(mut document @ Value::Object(_)) = serde_json::from_slice::<Value>(body) {
            self.mask.json(&mut document);
            let text = document.to_string();
            if text.len() <= ONE_LINE {
                lines.push(text);
                return lines;
            }
            flatten("", &document, &mut |path, value| lines.push(format!("{path}: {value}")));
            return lines;
        }
        // Messages of a consumer come with their own subject and an ack subject.
        let words: Vec<&str> = head.split(' ').collect();
        let named = if words.get(1).is_some_and(|subject| subject.starts_with("_ASK.")) {
            String::new()
        } else {
            format!("{} ", words.get(1).unwrap_or(&""))
        };
        let reply_to = match (words.first(), words.len()) {
            (Some(&"MSG"), 5) | (Some(&"HMSG"), 6) => format!("{} ", words[3]),
            _ => String::new(),
        };
        let text = escape(payload);
        let text = if text.is_empty() { "(empty)" } else { &text };
        vec![self.mask.text(&format!("{named}{reply_to}{text}"))]
    }

    /// Remembers what later steps may refer to.
    pub(super) fn observe(&mut self, bytes: &[u8]) {
        let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else { return };
        if !(bytes.starts_with(b"MSG ") || bytes.starts_with(b"HMSG ")) {
            return;
        }
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let payload = &bytes[end + 2..];
        let words: Vec<&str> = head.split(' ').collect();
        if let (Some(&"MSG"), 5) | (Some(&"HMSG"), 6) = (words.first(), words.len()) {
            let reply = words[3];
            self.seen.put("reply", reply);
            if reply.starts_with("$JS.FC.") {
                self.seen.put("fc", reply);
            }
            let tokens: Vec<&str> = reply.split('.').collect();
            if reply.starts_with("$JS.ACK.") && tokens.len() == 9 {
                self.seen.put(&format!("ack:{}.{}", tokens[3], tokens[5]), reply);
            }
        }
        let text = String::from_utf8_lossy(payload);
        for (name, key) in [
            ("Nats-Pin-Id: ", "pin"),
            ("Nats-Time-Stamp: ", "time"),
            ("Nats-Stream-Identity: ", "identity"),
            ("Nats-Consumer-Stalled: ", "stalled"),
            ("Nats-UpTo-Sequence: ", "upto"),
        ] {
            if let Some(at) = text.find(name) {
                let value = text[at + name.len()..].lines().next().unwrap_or_default();
                self.seen.put(key, value);
            }
        }
        let body = payload
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map_or(payload, |end| if head.starts_with("HMSG") { &payload[end + 4..] } else { payload });
        if let Ok(document) = serde_json::from_slice::<Value>(body) {
            if document["type"].is_string() {
                self.transcript.documents.push(document.clone());
            }
            if let Some(time) = document["message"]["time"].as_str() {
                self.seen.put("time", time);
            }
            let kind = document["type"].as_str().unwrap_or_default();
            if let Some(name) = document["name"].as_str()
                && kind.ends_with("consumer_create_response")
                && document["config"]["name"].is_null()
                && document["config"]["durable_name"].is_null()
                && !self.seen.values.values().any(|known| known == name)
            {
                self.seen.names += 1;
                let key = format!("name{}", self.seen.names);
                self.seen.put(&key, name);
                self.mask.literal(name, &format!("<{key}>"));
            }
        }
    }
}

/// A delivery on one line. What is masked in it may vary in length, and then its size is masked, too.
pub(super) fn shown_delivery(mask: &Mask, head: &[u8], payload: &[u8]) -> String {
    let head = escape(head);
    // An empty reply subject leaves two blanks in some messages of the Go server.
    let words: Vec<&str> = head.split_whitespace().collect();
    let sizes = if head.starts_with("HMSG") { 2 } else { 1 };
    let short = words[..words.len().saturating_sub(sizes)].join(" ");
    if let Ok(mut document @ Value::Object(_)) = serde_json::from_slice::<Value>(payload) {
        mask.json(&mut document);
        return mask.text(&format!("{short} <size> | {document}"));
    }
    let text = escape(payload);
    let masked = mask.text(&text);
    let head = if masked == text { words.join(" ") } else { format!("{short} <size>") };
    format!("{} | {masked}", mask.text(&head))
}

/// Subject and subscription of a message.
pub(super) fn sid(bytes: &[u8]) -> Option<(&str, &str)> {
    let end = bytes.iter().position(|&byte| byte == b'\r')?;
    let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
    let verb = words.next()?;
    let subject = words.next()?;
    (verb == "MSG" || verb == "HMSG").then_some((subject, words.next()?))
}

/// Whether a message is a status, such as `NATS/1.0 404 No Messages`.
fn is_status(message: &[u8]) -> bool {
    let Some(end) = message.windows(2).position(|window| window == b"\r\n") else { return false };
    message.starts_with(b"HMSG")
        && message[end + 2..].strip_prefix(b"NATS/1.0 ").is_some_and(|rest| !rest.starts_with(b"100"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_from_a_message_with_headers() {
        assert!(is_status(b"HMSG a 1 27 27\r\nNATS/1.0 404 No Messages\r\n\r\n\r\n"));
        assert!(!is_status(b"HMSG a 1 27 27\r\nNATS/1.0\r\nA: b\r\n\r\n\r\n"));
        assert!(!is_status(b"HMSG a 1 27 27\r\nNATS/1.0 100 Idle Heartbeat\r\n\r\n\r\n"));
    }

    #[test]
    fn what_was_seen_is_filled_in() {
        let mut seen = Seen::default();
        seen.put("ack:C.5", "$JS.ACK.S.C.1.5.1.1.0");
        assert_eq!(seen.expand("@ack:C.5@ x"), "$JS.ACK.S.C.1.5.1.1.0 x");
        assert_eq!(seen.expand("@DIR@ @ack:C.6@ a@b.c"), "@DIR@ @ack:C.6@ a@b.c");
        assert!(seen.expand("@in:0@").starts_with("20"));
    }

    #[test]
    fn the_subscription_of_a_message_is_found() {
        assert_eq!(sid(b"MSG a.b 9999 2\r\nhi\r\n"), Some(("a.b", "9999")));
        assert_eq!(sid(b"PONG\r\n"), None);
    }
}
