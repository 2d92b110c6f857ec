//! What the server has promised and shown.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use crate::KINDS;

/// What is known of one stream.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The next number of each publisher.
    pub(crate) next: BTreeMap<usize, u64>,
    /// Publishes with an id that were not acknowledged: they are sent again.
    pub(crate) open: BTreeMap<usize, BTreeSet<u64>>,
    /// Every sequence that was shown, with its content.
    pub(crate) shown: BTreeMap<u64, String>,
    /// The sequences of acknowledged publishes.
    pub(crate) promised: BTreeSet<u64>,
    /// Sequences that the consumer received at least once.
    pub(crate) delivered: BTreeSet<u64>,
    /// Sequences whose acknowledgement was sent.
    pub(crate) attempted: BTreeSet<u64>,
    /// Sequences whose acknowledgement was confirmed.
    pub(crate) confirmed: BTreeSet<u64>,
    /// Up to here the stream has been read.
    pub(crate) read: u64,
    /// The last number of each publisher that was read.
    pub(crate) last: BTreeMap<String, u64>,
}

impl Page {
    /// A sequence was seen with this content.
    pub(crate) fn show(&mut self, sequence: u64, content: &str) -> Result<()> {
        let known = self.shown.entry(sequence).or_insert_with(|| content.to_owned());
        ensure!(known == content, "sequence {sequence} was {known:?} and is {content:?}");
        Ok(())
    }

    /// A publish was acknowledged.
    pub(crate) fn promise(&mut self, sequence: u64, content: &str) -> Result<()> {
        self.promised.insert(sequence);
        self.show(sequence, content)
    }

    /// A message was delivered.
    pub(crate) fn deliver(&mut self, sequence: u64, content: &str) -> Result<()> {
        ensure!(!self.confirmed.contains(&sequence), "{sequence} came again although its ack was confirmed");
        self.delivered.insert(sequence);
        self.show(sequence, content)
    }
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) pages: [Page; KINDS.len()],
}

impl Book {
    /// Counts, for the report.
    pub(crate) fn summary(&self) -> String {
        let page = |(kind, page): (&crate::Kind, &Page)| {
            format!("{} {} acknowledged {} consumed", kind.name, page.promised.len(), page.confirmed.len())
        };
        KINDS.iter().zip(&self.pages).map(page).collect::<Vec<_>>().join(", ")
    }
}
