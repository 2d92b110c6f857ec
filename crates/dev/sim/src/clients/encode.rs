//! Operations as bytes, in every spelling that servers accept.

use std::fmt::Write as _;

use super::ops::{Connect, Op, Publish};
use crate::draw::Draw;

/// How far a client strays from the usual spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Operations, of a hundred, in an unusual spelling.
    pub odd: usize,
}

/// The bytes of an operation.
pub fn encode(op: &Op, style: Style, draw: &mut Draw) -> Vec<u8> {
    let odd = draw.percent(style.odd);
    let mut blank = || if odd { draw.one(&[" ", "  ", "\t", "\t  "]) } else { " " };
    let line = |verb: &str, words: &[&str], blank: &mut dyn FnMut() -> &'static str| {
        let mut line = verb.to_owned();
        for word in words {
            line.push_str(blank());
            line.push_str(word);
        }
        line
    };
    let (mut out, body) = match op {
        Op::Connect(connect) => (line("CONNECT", &[&json(connect)], &mut blank), None),
        Op::Sub { subject, queue: None, sid } => (line("SUB", &[subject, sid], &mut blank), None),
        Op::Sub { subject, queue: Some(queue), sid } => {
            (line("SUB", &[subject, queue, sid], &mut blank), None)
        }
        Op::Unsub { sid, max: None } => (line("UNSUB", &[sid], &mut blank), None),
        Op::Unsub { sid, max: Some(max) } => (line("UNSUB", &[sid, max], &mut blank), None),
        Op::Publish(publish) => {
            let words = words(publish);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let verb = if publish.header.is_some() { "HPUB" } else { "PUB" };
            let mut body = publish.header.clone().unwrap_or_default();
            body.extend_from_slice(&publish.payload);
            (line(verb, &words, &mut blank), Some(body))
        }
        Op::Ping(junk) => {
            (format!("PING{}", " junk ".repeat(junk / 6 + 1).get(..*junk).unwrap_or_default()), None)
        }
        Op::Pong => ("PONG".to_owned(), None),
        Op::Nothing(text) => ((*text).to_owned(), None),
        Op::Bad(fault) => return fault.bytes.clone(),
    };
    if odd {
        let verb_end = out.find([' ', '\t']).unwrap_or(out.len());
        let verb: String = out[..verb_end]
            .chars()
            .map(|c| if draw.percent(50) { c.to_ascii_lowercase() } else { c })
            .collect();
        out.replace_range(..verb_end, &verb);
        if draw.percent(30) && !matches!(op, Op::Connect(_) | Op::Nothing(_)) {
            out.push(' ');
        }
    }
    let mut out = out.into_bytes();
    out.extend_from_slice(if odd && draw.percent(40) { b"\n" } else { b"\r\n" });
    if let Some(body) = body {
        out.extend_from_slice(&body);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn words(publish: &Publish) -> Vec<String> {
    let mut words = vec![publish.subject.clone()];
    if !publish.reply.is_empty() {
        words.push(publish.reply.clone());
    }
    let size = |n: usize| format!("{}{n}", "0".repeat(publish.zeros));
    let header = publish.header.as_ref().map_or(0, Vec::len);
    if publish.header.is_some() {
        words.push(size(header));
    }
    words.push(size(header + publish.payload.len()));
    words
}

fn json(connect: &Connect) -> String {
    let mut out = String::from("{");
    let flags = [
        ("verbose", connect.verbose),
        ("pedantic", connect.pedantic),
        ("echo", connect.echo),
        ("headers", connect.headers),
        ("no_responders", connect.no_responders),
    ];
    for (name, value) in flags {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(out, "\"{name}\":{value},");
        }
    }
    if let Some(protocol) = connect.protocol {
        let _ = write!(out, "\"protocol\":{protocol},");
    }
    if let Some((user, pass)) = &connect.login {
        let _ = write!(out, "\"user\":\"{user}\",\"pass\":\"{pass}\",");
    }
    if let Some(account) = &connect.account {
        let _ = write!(out, "\"account\":\"{account}\",");
    }
    out.push_str("\"lang\":\"sim\"}");
    out
}
