//! Requests to the monitoring port, and documents as comparable lines.

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::mask::Mask;
use crate::script::HttpView;
use crate::server::PATIENCE;

/// Response headers that tools rely on.
const HEADERS: [&str; 3] = ["content-type", "access-control-allow-origin", "content-length"];

/// Sends a request and returns status line, headers and body.
pub async fn request(port: u16, method: &str, path: &str) -> Result<(String, Vec<String>, Vec<u8>)> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.context("the monitoring port")?;
    let method = if method.is_empty() { "GET" } else { method };
    let request = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut answer)).await.context("no end of the answer")??;
    let split =
        answer.windows(4).position(|window| window == b"\r\n\r\n").context("no end of the headers")?;
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let mut lines = head.split("\r\n").map(str::to_owned);
    let status = lines.next().unwrap_or_default();
    Ok((status, lines.collect(), answer[split + 4..].to_vec()))
}

/// The recorded lines of an answer.
pub fn shown(view: &HttpView, mask: &Mask, status: &str, headers: &[String], body: &[u8]) -> Vec<String> {
    let code = status.split_once(' ').map_or(status, |(_, code)| code);
    let mut lines = vec![code.to_owned()];
    if view.headers {
        let mut kept: Vec<String> = headers.iter().filter_map(|header| header_line(header, view)).collect();
        kept.sort();
        lines.extend(kept);
    }
    if view.raw {
        lines.extend(mask.text(&String::from_utf8_lossy(body)).lines().map(str::to_owned));
        return lines;
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(mut document) => {
            mask.json(&mut document);
            let mut flat = Vec::new();
            flatten("", &document, &mut |path, value| {
                if view.keys {
                    // A masked value says nothing about its type, which the field's name pins.
                    let name = path.rsplit('.').next().unwrap_or(path);
                    flat.push(format!("{path}: {}", if mask.covers(name) { "present" } else { kind(value) }));
                } else if view.fields.is_empty() || view.fields.iter().any(|field| selects(field, path)) {
                    flat.push(format!("{path}: {value}"));
                }
            });
            lines.extend(flat);
        }
        Err(_) => lines.push(mask.text(&crate::script::escape(body))),
    }
    lines
}

fn header_line(header: &str, view: &HttpView) -> Option<String> {
    let (name, value) = header.split_once(':')?;
    let name = name.to_lowercase();
    let length = name == "content-length";
    let wanted = HEADERS.contains(&name.as_str()) && (!length || view.raw);
    wanted.then(|| format!("{name}:{value}"))
}

/// Whether a wanted field, with indexes left out, names this path or a part above it.
fn selects(field: &str, path: &str) -> bool {
    let plain: String =
        path.split('.').map(|part| part.split('[').next().unwrap_or(part)).collect::<Vec<_>>().join(".");
    plain == field || plain.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Calls `each` for every leaf of a document, with its dotted path.
pub fn flatten(path: &str, value: &Value, each: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, each);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), item, each);
            }
        }
        leaf => each(path, leaf),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_lines() {
        let mut lines = Vec::new();
        flatten("", &serde_json::json!({"a": {"b": [1, {"c": null}]}, "d": {}}), &mut |path, value| {
            lines.push(format!("{path}={value}"));
        });
        assert_eq!(lines, ["a.b[0]=1", "a.b[1].c=null", "d={}"]);
    }

    #[test]
    fn fields_select_whole_names() {
        assert!(selects("connections.name", "connections[3].name"));
        assert!(selects("cluster", "cluster.name"));
        assert!(!selects("in_msg", "in_msgs"));
    }
}
