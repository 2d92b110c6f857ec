//! What is checked before a message is routed.

use midge_auth::permissions::Permissions;
use midge_subject::{name, reserved};
use midge_wire::errors;
use midge_wire::parse::Publish;

use super::client::ClientConn;
use crate::batch::Batch;

/// Whether a client may not use this reply. Most replies are inboxes, which the first bytes tell apart.
#[inline]
pub(super) fn is_reserved_reply(reply: &[u8]) -> bool {
    match reply {
        [b'_', b'R' | b'G', ..] | [b'$', ..] => reserved::refuses_reply(reply),
        _ => false,
    }
}

impl ClientConn {
    /// Checks the first message of a run; what depends on the subject alone holds for those that join. Answers whether
    /// the message is routed.
    pub(super) fn admit(&mut self, batch: &mut Batch, publish: &Publish<'_>) -> bool {
        let pedantic_error = self.options.pedantic && !name::is_valid_publish(publish.subject);
        if pedantic_error {
            self.send_error(batch, errors::INVALID_PUBLISH_SUBJECT);
        }
        let Some(lasting) = self.may_publish(batch, publish.subject) else {
            self.refuse_publish(batch, publish.subject);
            return false;
        };
        if is_reserved_reply(publish.reply) {
            let quoted = midge_stdx::goquote::quote(publish.reply);
            let text = format!("Permissions Violation for Publish with Reply of {quoted}");
            self.send_error(batch, &text);
            tracing::error!("{} - Publish Violation - Reply {quoted}", self.peer.label());
            return false;
        }
        if self.options.verbose {
            self.send_ok(batch);
        }
        self.joinable = lasting && !self.options.verbose && !pedantic_error;
        true
    }

    /// Whether a subject may be published to, and if so, whether that holds for more than one message.
    fn may_publish(&self, batch: &Batch, subject: &[u8]) -> Option<bool> {
        if subject.first().is_some_and(|b| matches!(b, b'_' | b'$'))
            && reserved::refuses_publish(subject, self.account.is_system)
        {
            return None;
        }
        let permissions: &Permissions = match &self.permissions {
            None => return Some(true),
            Some(permissions) => permissions,
        };
        if permissions.may_publish(subject) {
            Some(true)
        } else if self.peer.use_response(subject, batch.now) {
            Some(false)
        } else {
            None
        }
    }

    fn refuse_publish(&self, batch: &mut Batch, subject: &[u8]) {
        let quoted = midge_stdx::goquote::quote(subject);
        let text = format!("Permissions Violation for Publish to {quoted}");
        self.send_error(batch, &text);
        tracing::error!("{} - Publish Violation - Subject {quoted}", self.peer.label());
    }
}
