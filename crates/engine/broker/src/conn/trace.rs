//! Protocol traces, for operators who switched them on.

use midge_stdx::goquote::quote;
use midge_wire::connect;
use midge_wire::encode;
use midge_wire::parse::{Op, Publish};

use super::client::ClientConn;
use crate::batch::Batch;
use crate::peer::Peer;
use crate::settings::TraceSettings;

impl ClientConn {
    #[cold]
    pub(super) fn trace_op(&self, op: &Op<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = match op {
            Op::Connect(json) => format!("CONNECT {}", connect::redacted(json)),
            Op::Ping => "PING".to_owned(),
            Op::Pong => "PONG".to_owned(),
            Op::Subscribe { subject, queue: Some(queue), sid } => {
                format!("SUB {} {} {}", text(subject), text(queue), text(sid))
            }
            Op::Subscribe { subject, queue: None, sid } => format!("SUB {} {}", text(subject), text(sid)),
            Op::Unsubscribe { sid, max: Some(max) } => format!("UNSUB {} {max}", text(sid)),
            Op::Unsubscribe { sid, max: None } => format!("UNSUB {}", text(sid)),
            Op::Info(json) => format!("INFO {}", text(json)),
            Op::Nothing => "+OK".to_owned(),
            Op::PeerError(message) => format!("-ERR {}", text(message)),
            Op::Publish(_) => return,
        };
        tracing::trace!("{} - <<- [{line}]", self.peer.label());
    }

    #[cold]
    pub(super) fn trace_publish(&self, publish: &Publish<'_>) {
        let line_end = (publish.payload_at as usize).saturating_sub(1);
        let line = publish.whole.get(..line_end).unwrap_or_default().trim_ascii_end();
        let label = self.peer.label();
        tracing::trace!("{label} - <<- [{}]", String::from_utf8_lossy(line));
        trace_payload(&label, "<<-", publish, self.settings.trace);
    }

    /// Sends `-ERR`.
    pub(super) fn send_error(&self, batch: &mut Batch, text: &str) {
        if self.broker.is_tracing() {
            self.trace_out(&format!("-ERR {text}"));
        }
        batch.send(&self.peer, &encode::error(text));
    }

    /// Sends `+OK`.
    pub(super) fn send_ok(&self, batch: &mut Batch) {
        self.trace_out("OK");
        batch.send(&self.peer, encode::OK);
    }

    pub(super) fn trace_out(&self, text: &str) {
        if self.broker.is_tracing() {
            tracing::trace!("{} - ->> [{text}]", self.peer.label());
        }
    }
}

/// The line of a payload, cut to what the operator wants to see of it.
pub(crate) fn trace_payload(label: &str, direction: &str, publish: &Publish<'_>, settings: TraceSettings) {
    let body = publish.body();
    let header = publish.header_len as usize;
    let body = if settings.headers_only { body.get(..header).unwrap_or_default() } else { body };
    if body.is_empty() {
        return;
    }
    let max = settings.max_len;
    if max > 0 && body.len() > max {
        let shown = quote(body.get(..max).unwrap_or_default());
        let shown = shown.strip_suffix('"').unwrap_or(&shown);
        tracing::trace!("{label} - {direction} MSG_PAYLOAD: [{shown}...\"]");
    } else {
        tracing::trace!("{label} - {direction} MSG_PAYLOAD: [{}]", quote(body));
    }
}

/// The lines of a delivery.
#[cold]
pub(crate) fn trace_delivery(peer: &Peer, sid: &[u8], publish: &Publish<'_>, settings: TraceSettings) {
    let label = peer.label();
    let text = String::from_utf8_lossy;
    let verb = if publish.header_len > 0 && peer.headers() { "HMSG" } else { "MSG" };
    let mut line = format!("{verb} {} {}", text(publish.subject), text(sid));
    if !publish.reply.is_empty() {
        line.push_str(&format!(" {}", text(publish.reply)));
    }
    if verb == "HMSG" {
        line.push_str(&format!(" {}", publish.header_len));
    }
    let stripped = if verb == "MSG" { publish.header_len as usize } else { 0 };
    line.push_str(&format!(" {}", publish.body().len() - stripped));
    tracing::trace!("{label} - ->> [{line}]");
    trace_payload(&label, "->>", publish, settings);
}
