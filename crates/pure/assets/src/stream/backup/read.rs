//! An archive as it comes in.

use midge_jsapi::info::StreamState;
use midge_jsapi::json::{self, Mode};
use midge_stdx::clock::{Now, Wall};
use midge_store::format::archive::{ArchiveError, EntryKind, Limits, Reader};
use midge_store::format::inflow::{Format, Inflow};
use midge_store::format::record::MAX_LEN;
use midge_store::format::tar::{TarError, TarItem, TarReader};
use midge_store::stream::{NewMessage, Scheduled, SourceProgress, Store, StoreError};

use super::write::KeptConsumer;
use crate::stream::follow::header;
use crate::stream::headers::Headers;
use crate::stream::schedule::pattern::Pattern;
use crate::stream::ttl::Ttl;

/// Bytes of a document: a state with many deleted sequences is long.
const MAX_DOCUMENT_LEN: usize = 32 << 20;

/// Why a copy cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The archive is damaged.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The files are damaged.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The store refused a message.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document is none.
    #[error("bad document in backup: {0}")]
    Document(String),
    /// Messages are not in order.
    #[error("message {seq} after {last} in backup")]
    Order {
        /// The one that came.
        seq: u64,
        /// The one before.
        last: u64,
    },
}

/// What came out of an archive, besides messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The state that the stream had.
    State(Box<StreamState>),
    /// A consumer.
    Consumer(KeptConsumer),
    /// How far a source was read when it gave a message that was stored; a later one counts more.
    Source(SourceProgress),
    /// A message with a schedule was stored.
    Schedule(Scheduled),
    /// A file of the store begins, relative to its folder.
    File {
        /// Its name: plain components with `/` between.
        path: String,
        /// Bytes that follow.
        len: u64,
    },
    /// A part of that file.
    Content(Vec<u8>),
}

enum Stage {
    Unknown(Inflow),
    Entries(Box<Reader>),
    Files(Box<TarReader>),
}

/// Reads an archive and stores its messages. Holds at most one entry and one chunk of it.
pub struct BackupReader {
    stage: Option<Stage>,
    state_last: u64,
    messages: u64,
}

impl Default for BackupReader {
    fn default() -> BackupReader {
        BackupReader { stage: Some(Stage::Unknown(Inflow::new())), state_last: 0, messages: 0 }
    }
}

impl BackupReader {
    /// Takes a part of the archive. Messages go into the store, which has to be new; what has expired leaves a gap, as do the gaps that there were. Everything else
    /// is handed to `found`; files are for the caller to write, who then opens a store over them.
    ///
    /// # Errors
    /// See [`RestoreError`]; the store is then to be deleted.
    pub fn push(
        &mut self,
        mut input: &[u8],
        store: &mut Store,
        now: Now,
        found: &mut Vec<Restored>,
    ) -> Result<(), RestoreError> {
        loop {
            let taken = match self.stage.as_mut() {
                Some(Stage::Unknown(inflow)) => inflow.push(input).map_err(ArchiveError::from)?,
                Some(Stage::Entries(reader)) => reader.push(input)?,
                Some(Stage::Files(reader)) => reader.push(input)?,
                None => return Ok(()),
            };
            input = input.get(taken..).unwrap_or_default();
            self.settle_format();
            self.drain(store, now, found)?;
            if input.is_empty() {
                return Ok(());
            }
        }
    }

    fn settle_format(&mut self) {
        let limits = Limits { message: MAX_LEN, document: MAX_DOCUMENT_LEN };
        self.stage = match self.stage.take() {
            Some(Stage::Unknown(inflow)) => Some(match inflow.format() {
                None => Stage::Unknown(inflow),
                Some(Format::Entries) => Stage::Entries(Box::new(Reader::new(inflow, limits))),
                Some(Format::Tar) => Stage::Files(Box::new(TarReader::new(inflow))),
            }),
            stage => stage,
        };
    }

    fn drain(&mut self, store: &mut Store, now: Now, found: &mut Vec<Restored>) -> Result<(), RestoreError> {
        match self.stage.as_mut() {
            Some(Stage::Entries(reader)) => {
                while let Some(entry) = reader.next_entry()? {
                    match entry.kind() {
                        EntryKind::State => {
                            let mut state = StreamState::default();
                            json::decode(entry.payload, Mode::Lenient, &mut state)
                                .map_err(RestoreError::Document)?;
                            self.state_last = state.last_seq;
                            found.push(Restored::State(Box::new(state)));
                        }
                        EntryKind::Consumer(name) => found.push(Restored::Consumer(KeptConsumer {
                            name: String::from_utf8_lossy(name).into_owned(),
                            document: entry.payload.to_vec(),
                        })),
                        EntryKind::Message => {
                            let message = NewMessage {
                                subject: entry.name,
                                headers: entry.headers,
                                payload: entry.payload,
                                ..NewMessage::default()
                            };
                            restore(store, entry.seq, entry.ts_ns, message, now, found)?;
                            self.messages += 1;
                        }
                        EntryKind::Unknown => {}
                    }
                }
            }
            Some(Stage::Files(reader)) => {
                while let Some(item) = reader.next_item()? {
                    found.push(match item {
                        TarItem::File { path, len } => Restored::File { path, len },
                        TarItem::Content(part) => Restored::Content(part.to_vec()),
                    });
                }
            }
            Some(Stage::Unknown(_)) | None => {}
        }
        Ok(())
    }

    /// To be asked when no more comes. Sequences that the stream had used up behind its last message are used up again. Answers whether messages were stored, and not
    /// files handed out.
    ///
    /// # Errors
    /// The archive is not complete.
    pub fn finish(&mut self, store: &mut Store, now: Now) -> Result<bool, RestoreError> {
        match self.stage.as_ref() {
            Some(Stage::Entries(reader)) => reader.finish()?,
            Some(Stage::Files(reader)) => {
                reader.finish()?;
                return Ok(false);
            }
            Some(Stage::Unknown(_)) | None => return Err(ArchiveError::Truncated.into()),
        }
        let last = store.appended();
        if self.state_last > last {
            store.skip_range(last + 1, self.state_last - last, now, false)?;
        }
        Ok(true)
    }

    /// Messages so far, those that had expired included.
    pub fn messages(&self) -> u64 {
        self.messages
    }
}

/// Stores a message at its sequence and with its time.
fn restore(
    store: &mut Store,
    seq: u64,
    ts_ns: i64,
    mut message: NewMessage<'_>,
    now: Now,
    found: &mut Vec<Restored>,
) -> Result<(), RestoreError> {
    let last = store.appended();
    if seq <= last {
        return Err(RestoreError::Order { seq, last });
    }
    let headers = Headers::read(message.headers);
    let mut expired = false;
    if store.config().ttl
        && let Ttl::Seconds(seconds) = Ttl::parse(headers.ttl)
    {
        let ttl_ns = i64::try_from(seconds.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX);
        expired = ts_ns.saturating_add(ttl_ns) <= now.wall.0;
        message.ttl_s = seconds;
    }
    message.scheduled = headers.schedule.is_some() && store.config().schedules;
    found.extend(headers.stream_source.and_then(header::progress).map(Restored::Source));
    let gap = seq - last - 1 + u64::from(expired);
    if gap > 0 {
        store.skip_range(last + 1, gap, now, false)?;
    }
    if !expired {
        store.append_at(seq, ts_ns, now.mono, &message, false)?;
        let pattern = headers.schedule.filter(|_| message.scheduled);
        let pattern = pattern.and_then(|text| Pattern::parse(text, headers.schedule_zone).ok());
        if let Some(next) = pattern.and_then(|pattern| pattern.resumed(Wall(ts_ns), now.wall)) {
            found.push(Restored::Schedule(Scheduled {
                subject: message.subject.into(),
                next_ns: next.0,
                seq,
            }));
        }
    }
    Ok(())
}
