//! How far each source of the stream was read: `sources.db`.
//!
//! A message says in its header block from where it came, and so do records of messages that were deleted. The file is written before such records go: when a block
//! is begun, after which older ones may be dropped or packed, when a message is erased, with the index, and at a stop. What came later stands in the last
//! block. Without it, a stream whose messages were all consumed would be fed with everything again.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{SourceProgress, Store};
use crate::format::names;
use crate::format::side::{Source, encode_sources};
use crate::port::{Name, Op, Promise};

/// The last sequence taken, and which incarnation of the source that was.
type Progress = (u64, Box<[u8]>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sources {
    by_name: BTreeMap<Box<[u8]>, Progress>,
    /// The file says less.
    changed: bool,
}

impl Sources {
    /// What was found at opening; messages may have said more than the file.
    pub(super) fn found(progress: Vec<SourceProgress>) -> Sources {
        let changed = !progress.is_empty();
        Sources {
            by_name: progress.into_iter().map(|p| (p.index_name, (p.seq, p.identity))).collect(),
            changed,
        }
    }
}

impl Store {
    /// How far a source was read, and which incarnation of it. O(log sources).
    pub fn source(&self, index_name: &[u8]) -> Option<(u64, &[u8])> {
        self.sources.by_name.get(index_name).map(|(seq, identity)| (*seq, &**identity))
    }

    /// A source was read up to this sequence of its own; to be called when what it gave was appended, and before anything else is. O(log sources).
    pub fn sourced(&mut self, index_name: &[u8], seq: u64, identity: &[u8]) {
        self.sources.changed = true;
        match self.sources.by_name.get_mut(index_name) {
            Some(known) => {
                known.0 = seq;
                if *known.1 != *identity {
                    known.1 = identity.into();
                }
            }
            None => {
                self.sources.by_name.insert(index_name.into(), (seq, identity.into()));
            }
        }
    }

    /// Records may go by which the progress could be told.
    pub(super) fn keep_sources(&mut self) {
        if self.disk.is_some()
            && let Some(file) = self.sources_file()
        {
            self.seal();
            self.submit(Op::Replace { files: vec![file], promise: Promise::Cached });
        }
    }

    /// The end was cut, and sequences are given anew: a file that knows of the former ones would be believed.
    pub(super) fn renew_sources(&mut self) {
        self.sources.changed = !self.sources.by_name.is_empty();
        self.keep_sources();
    }

    /// The file, if it is to be written.
    pub(super) fn sources_file(&mut self) -> Option<(Name, Bytes)> {
        if !std::mem::take(&mut self.sources.changed) {
            return None;
        }
        let entries = self.sources.by_name.iter().map(|(index_name, (seq, identity))| Source {
            index_name,
            seq: *seq,
            identity,
        });
        let file = encode_sources(self.state.last_seq + 1, entries);
        Some((Name::Path(names::SOURCES.into()), file.into()))
    }
}
