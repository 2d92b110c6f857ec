//! A stream as an archive.

use midge_jsapi::info::StreamState;
use midge_jsapi::json;
use midge_stdx::clock::Wall;
use midge_store::format::archive::{CONSUMER_PREFIX, Entry, STATE, Writer};
use midge_store::stream::{Filter, NextQuery, Step, Store};

/// A consumer, as it stands in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptConsumer {
    /// Its name.
    pub name: String,
    /// A document with `config` and `state`.
    pub document: Vec<u8>,
}

/// An archive that is being written: the state, the consumers, the messages.
pub struct BackupWriter {
    archive: Option<Writer>,
    now: Wall,
    state: StreamState,
    consumers: std::vec::IntoIter<KeptConsumer>,
    begun: bool,
    next: NextQuery,
    last: u64,
}

impl BackupWriter {
    /// Of the messages up to `state.last_seq`: what comes later is not in it, what goes before it is reached is not either.
    pub fn new(state: StreamState, consumers: Vec<KeptConsumer>, now: Wall) -> BackupWriter {
        BackupWriter {
            archive: None,
            now,
            last: state.last_seq,
            state,
            consumers: consumers.into_iter(),
            begun: false,
            next: NextQuery { filter: Filter::all(), from: 0 },
        }
    }

    /// Appends about `budget` bytes, or what there is. Answers whether the archive is complete. With [`Step::Wait`] something may have been appended.
    pub fn step(&mut self, store: &mut Store, budget: usize, out: &mut Vec<u8>) -> Step<bool> {
        let enough = out.len().saturating_add(budget);
        if !self.begun {
            self.begun = true;
            let mut archive = Writer::new(out);
            let mut document = Vec::new();
            json::encode(&self.state, &mut document);
            archive.entry(&self.document(STATE, &document), out);
            for consumer in self.consumers.by_ref() {
                let name = format!("{CONSUMER_PREFIX}{}", consumer.name);
                let entry = Entry {
                    name: name.as_bytes(),
                    ts_ns: self.now.0,
                    seq: 0,
                    headers: b"",
                    payload: &consumer.document,
                };
                archive.entry(&entry, out);
            }
            self.archive = Some(archive);
        }
        // What the encoder holds back does not count, so that each step does a bounded amount of work.
        let mut handled = 0;
        while out.len() < enough && handled < budget {
            let Some(archive) = &mut self.archive else { return Step::Ready(true) };
            let message = match ready!(store.next(&mut self.next)) {
                Some(message) if message.seq <= self.last => message,
                _ => {
                    if let Some(archive) = self.archive.take() {
                        archive.finish(out);
                    }
                    return Step::Ready(true);
                }
            };
            let entry = Entry {
                name: message.subject(),
                ts_ns: message.ts_ns,
                seq: message.seq,
                headers: message.headers(),
                payload: message.payload(),
            };
            archive.entry(&entry, out);
            handled += message.record_len() as usize;
            self.next.from = message.seq + 1;
        }
        Step::Ready(self.archive.is_none())
    }

    fn document<'a>(&self, name: &'a str, document: &'a [u8]) -> Entry<'a> {
        Entry { name: name.as_bytes(), ts_ns: self.now.0, seq: 0, headers: b"", payload: document }
    }
}
