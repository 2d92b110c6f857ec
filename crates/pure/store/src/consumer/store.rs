//! The state of one consumer, kept by deltas beside the messages of its stream.

use std::sync::Arc;

use bytes::Bytes;

use super::delta::{self, Delta, DeltaError};
use super::{AckPolicy, ConsumerError, Machine};
use crate::format::consumer_state::{self, ConsumerState, ConsumerStateError};
use crate::format::keys::AssetKey;
use crate::format::names;
use crate::port::{Name, Promise};
use crate::stream::Store;
use midge_stdx::entropy::Entropy;

/// Bytes of deltas after which the whole state is written anew, if it is not longer than they are.
const CHECKPOINT_LEN: usize = 64 << 10;

/// How a consumer keeps its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// With its stream.
    File,
    /// Nowhere: it is gone when the process ends.
    Memory,
}

/// Why a consumer's files give no state. They are left as they are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenConsumerError {
    /// `o.dat` is damaged.
    #[error("consumer {consumer}: o.dat: {error}")]
    State {
        /// Its name.
        consumer: Arc<str>,
        /// What is wrong.
        error: ConsumerStateError,
    },
    /// `o.dat` does not open under its key.
    #[error("consumer {consumer}: o.dat: {error}")]
    Sealed {
        /// Its name.
        consumer: Arc<str>,
        /// What is wrong.
        error: crate::format::encrypt::OpenError,
    },
    /// What the journal held for it is damaged.
    #[error("consumer {consumer}: journal: {error}")]
    Delta {
        /// Its name.
        consumer: Arc<str>,
        /// What is wrong.
        error: DeltaError,
    },
}

/// See the module. Everything goes through the [`Store`] of the stream, whose marks tell when it is durable, so that a consumer is never ahead of
/// its stream on disk.
#[derive(Debug)]
pub struct ConsumerStore {
    name: Arc<str>,
    keeping: Keeping,
    key: Option<AssetKey>,
    machine: Machine,
    /// Bytes of deltas since the state was written whole.
    deltas_len: usize,
    /// It has a file.
    written: bool,
}

impl ConsumerStore {
    /// A consumer without history.
    pub fn new(
        name: Arc<str>,
        keeping: Keeping,
        key: Option<AssetKey>,
        policy: AckPolicy,
        max_deliver: u64,
    ) -> ConsumerStore {
        let machine = Machine::new(policy, max_deliver, ConsumerState::default());
        ConsumerStore { name, keeping, key, machine, deltas_len: 0, written: false }
    }

    /// A consumer with the content of its `o.dat` (none: empty), and what the journal held for it since.
    ///
    /// # Errors
    /// When something cannot be read; the owner decides whether to begin anew. Nothing was changed.
    pub fn open(
        name: Arc<str>,
        key: Option<AssetKey>,
        (policy, max_deliver): (AckPolicy, u64),
        file: &[u8],
        deltas: &[(u64, Bytes)],
    ) -> Result<ConsumerStore, OpenConsumerError> {
        let plain = match &key {
            Some(key) if !file.is_empty() => key
                .unseal(file)
                .map_err(|error| OpenConsumerError::Sealed { consumer: name.clone(), error })?,
            _ => file.to_vec(),
        };
        let state = consumer_state::decode(&plain)
            .map_err(|error| OpenConsumerError::State { consumer: name.clone(), error })?;
        let mut machine = Machine::new(policy, max_deliver, state);
        let mut deltas_len = 0;
        for (_, bytes) in deltas {
            deltas_len += bytes.len();
            for change in delta::decode(bytes) {
                let change =
                    change.map_err(|error| OpenConsumerError::Delta { consumer: name.clone(), error })?;
                // What was refused then is refused again.
                let _ = machine.apply(&change);
            }
        }
        let written = !file.is_empty();
        Ok(ConsumerStore { name, keeping: Keeping::File, key, machine, deltas_len, written })
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its state, of everything that was applied.
    pub fn state(&self) -> &ConsumerState {
        self.machine.state()
    }

    /// Whether it has delivered anything, or was written before.
    pub fn has_state(&self) -> bool {
        self.machine.state().delivered.consumer_seq != 0 || self.written
    }

    /// Takes over an updated configuration.
    pub fn configure(&mut self, policy: AckPolicy, max_deliver: u64) {
        self.machine.configure(policy, max_deliver);
    }

    /// Applies changes and has them kept. With [`Promise::Durable`] they are durable when [`Store::done`] reaches [`Store::mark`]; with
    /// [`Promise::Cached`] they become so by themselves. Costs what the changes change.
    ///
    /// # Errors
    /// The first refusal; changes before it are applied and kept, those after it are not.
    pub fn apply(
        &mut self,
        changes: &[Delta],
        promise: Promise,
        store: &mut Store,
    ) -> Result<(), ConsumerError> {
        let mut bytes = Vec::new();
        let mut result = Ok(());
        for change in changes {
            result = self.machine.apply(change);
            // A refusal may have forgotten redeliveries, which it does again when it is replayed.
            if result.is_ok() || result == Err(ConsumerError::NotPending) {
                delta::encode(change, &mut bytes);
            }
            if result.is_err() {
                break;
            }
        }
        if self.keeping == Keeping::File && !bytes.is_empty() {
            self.deltas_len += bytes.len();
            store.keep_delta(&self.name, bytes.into(), promise);
        }
        result
    }

    /// Takes over the state of another replica if it is sound and not older.
    ///
    /// # Errors
    /// The state is unchanged.
    pub fn update(&mut self, state: ConsumerState, store: &mut Store) -> Result<(), ConsumerError> {
        self.machine.accepts(&state)?;
        self.apply(&[Delta::Replaced { state }], Promise::Durable, store)
    }

    /// Writes the whole state when its deltas have become longer than it is. Call now and then. O(pending).
    pub fn checkpoint(&mut self, now_ns: i64, entropy: &mut dyn Entropy, store: &mut Store) {
        let state = self.machine.state();
        let len = 32 + 16 * state.pending.len() + 8 * state.redelivered.len();
        if self.deltas_len >= CHECKPOINT_LEN.max(len) {
            self.write(now_ns, entropy, Promise::Cached, store);
        }
    }

    /// Writes the whole state if there are changes that only the journal has. O(pending).
    pub fn catch_up(&mut self, now_ns: i64, entropy: &mut dyn Entropy, store: &mut Store) {
        if self.deltas_len > 0 {
            self.write(now_ns, entropy, Promise::Cached, store);
        }
    }

    /// Writes the whole state, as when the consumer is created and when the server stops. O(pending).
    pub fn write(&mut self, now_ns: i64, entropy: &mut dyn Entropy, promise: Promise, store: &mut Store) {
        if self.keeping == Keeping::Memory {
            return;
        }
        let file = self.state_file(now_ns, entropy);
        store.replace_files(vec![file], promise);
    }

    /// The file of the whole state, for an owner that replaces it together with others. It counts as written.
    pub fn state_file(&mut self, now_ns: i64, entropy: &mut dyn Entropy) -> (Name, Bytes) {
        let plain = consumer_state::encode(self.machine.state(), now_ns);
        let bytes = match &self.key {
            Some(key) => key.seal(&plain, entropy),
            None => plain,
        };
        self.deltas_len = 0;
        self.written = true;
        (self.file(names::CONSUMER_STATE), bytes.into())
    }

    /// The same consumer under another key. Its file has to be replaced, together with the key's.
    pub fn with_key(self, key: Option<AssetKey>) -> ConsumerStore {
        ConsumerStore { key, ..self }
    }

    /// Deletes the consumer's files.
    pub fn delete(self, store: &mut Store) {
        if self.keeping == Keeping::File {
            store.remove_files(vec![self.file("")], Promise::Durable);
        }
    }

    /// A file of the consumer; its folder, without a name.
    pub fn file(&self, name: &str) -> Name {
        Name::Path(format!("{}/{}/{name}", names::CONSUMERS, self.name).into())
    }
}
