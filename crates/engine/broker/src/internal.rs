//! Services of the server itself, reached by subject like any other.

use std::sync::Arc;

use midge_stdx::clock::Now;

use crate::account::Account;
use crate::batch::Batch;
use crate::peer::Peer;

/// A message for a service, valid during the call.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What it was published to.
    pub subject: &'a [u8],
    /// Where an answer goes; empty for none.
    pub reply: &'a [u8],
    /// The header block, empty for none.
    pub header: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
    /// The account it was published in.
    pub account: &'a Arc<Account>,
    /// Who published it.
    pub from: &'a Arc<Peer>,
    /// When.
    pub now: Now,
}

/// Something the server itself does for messages of a subject. It is called without locks held, on the publisher's
/// thread, and must not wait; answers are published through the batch.
pub trait Service: Send + Sync {
    /// Whether it receives messages of a subject at all; where it does not, nobody was there.
    fn takes(&self, _subject: &[u8]) -> bool {
        true
    }

    /// Handles one message.
    fn handle(&self, batch: &mut Batch, request: &Request<'_>);
}
