//! Bytes that cannot be understood, and how their connection ends.

use midge_wire::errors;
use midge_wire::limits::MAX_QUOTED;
use midge_wire::parse::Fault;

use super::Flow;
use super::client::ClientConn;
use crate::batch::Batch;
use crate::reason::Reason;

impl ClientConn {
    /// Answers and logs a fault of the peer. Wrong arguments close without an answer, as they do upstream.
    pub(super) fn fault(&self, batch: &mut Batch, fault: Fault, input: &[u8]) -> Flow {
        let is_verb = matches!(fault, Fault::UnknownOperation | Fault::ControlLine);
        let quoted = if is_verb {
            midge_stdx::goquote::quote(input.get(..input.len().min(MAX_QUOTED)).unwrap_or_default())
        } else {
            midge_stdx::goquote::quote(arguments(input))
        };
        let (answer, log, reason) = match fault {
            Fault::UnknownOperation => (
                Some(errors::UNKNOWN_OPERATION),
                format!("Client parser ERROR, proto={quoted}"),
                Reason::ProtocolViolation,
            ),
            Fault::ControlLine => (
                Some(errors::MAX_CONTROL_LINE),
                format!(
                    "maximum control line exceeded, max control line size {}: proto={quoted}",
                    self.rules.max_control_line
                ),
                Reason::MaxControlLineExceeded,
            ),
            Fault::MaxPayload(size) => (
                Some(errors::MAX_PAYLOAD),
                format!("maximum payload exceeded: {size} vs {}", self.rules.max_payload),
                Reason::MaxPayloadExceeded,
            ),
            Fault::PubArgs => (None, format!("processPub Parse Error: {quoted}"), Reason::ProtocolViolation),
            Fault::PubSize => {
                (None, format!("processPub Bad or Missing Size: {quoted}"), Reason::ProtocolViolation)
            }
            Fault::HpubArgs => {
                (None, format!("processHeaderPub Parse Error: {quoted}"), Reason::ProtocolViolation)
            }
            Fault::HpubHeaderSize => (
                None,
                format!("processHeaderPub Bad or Missing Header Size: {quoted}"),
                Reason::ProtocolViolation,
            ),
            Fault::HpubTotalSize => (
                None,
                format!("processHeaderPub Bad or Missing Total Size: {quoted}"),
                Reason::ProtocolViolation,
            ),
            Fault::HpubHeaderBeyondTotal => (
                None,
                format!("processHeaderPub Header Size larger then TotalSize: {quoted}"),
                Reason::ProtocolViolation,
            ),
            Fault::HeadersNotSupported => {
                (None, "message headers not supported".to_owned(), Reason::ProtocolViolation)
            }
            Fault::SubArgs => (None, format!("processSub Parse Error: {quoted}"), Reason::ProtocolViolation),
            Fault::UnsubArgs => {
                (None, format!("processUnsub Parse Error: {quoted}"), Reason::ProtocolViolation)
            }
        };
        if let Some(text) = answer {
            self.send_error(batch, text);
        }
        tracing::error!("{} - {log}", self.peer.label());
        Flow::Close(reason)
    }

    /// INFO from a client: it must be JSON, and means nothing.
    pub(super) fn peer_info(&self, json: &[u8]) -> Flow {
        if midge_wire::connect::is_json(json) {
            return Flow::Continue;
        }
        tracing::error!("{} - Error parsing INFO", self.peer.label());
        Flow::Close(Reason::ProtocolViolation)
    }
}

/// The arguments of the line that the input begins with. Lines are no longer than the maximum, so the text is bounded.
fn arguments(input: &[u8]) -> &[u8] {
    let line = input.split(|&b| b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let verb = line.iter().position(|b| b" \t".contains(b)).unwrap_or(line.len());
    line.get(verb..).unwrap_or_default().trim_ascii_start()
}
