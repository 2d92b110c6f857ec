//! Protocol traces, for operators who switched them on.

use midge_stdx::goquote::quote;
use midge_wire::connect;
use midge_wire::parse::{Op, Publish};

use super::client::ClientConn;

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
        let body = publish.body();
        if body.is_empty() {
            return;
        }
        let max = self.settings.max_traced_msg_len;
        if max > 0 && body.len() > max {
            let shown = quote(body.get(..max).unwrap_or_default());
            let shown = shown.strip_suffix('"').unwrap_or(&shown);
            tracing::trace!("{label} - <<- MSG_PAYLOAD: [{shown}...\"]");
        } else {
            tracing::trace!("{label} - <<- MSG_PAYLOAD: [{}]", quote(body));
        }
    }

    pub(super) fn trace_out(&self, text: &str) {
        if self.broker.is_tracing() {
            tracing::trace!("{} - ->> [{text}]", self.peer.label());
        }
    }
}
