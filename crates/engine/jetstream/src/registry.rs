//! The streams of an account, with what new configurations are compared with: who has which subjects, and what is promised to whom.
//!
//! All of it is kept up to date by each change, so that no question visits all streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use midge_index::overlap::Overlaps;
use midge_jsapi::stream_config::{Storage, StreamConfig};

use crate::account::StreamHandle;

/// What streams of one storage are promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Promised {
    /// Bytes that were asked for. Each may be as large as a number can be.
    bytes: i128,
    /// Streams without a limit.
    unlimited: i128,
}

impl Promised {
    fn to(config: &StreamConfig) -> Promised {
        Promised { bytes: i128::from(config.max_bytes.max(0)), unlimited: i128::from(config.max_bytes <= 0) }
    }

    fn add(&mut self, other: Promised, sign: i128) {
        self.bytes += other.bytes * sign;
        self.unlimited += other.unlimited * sign;
    }

    /// Bytes that were asked for.
    pub(crate) fn bytes(self) -> i64 {
        i64::try_from(self.bytes).unwrap_or(i64::MAX)
    }

    /// The same, with a byte for each stream without a limit.
    pub(crate) fn with_unlimited(self) -> i64 {
        i64::try_from(self.bytes + self.unlimited).unwrap_or(i64::MAX)
    }

    /// Without what one of the streams is promised.
    pub(crate) fn without(mut self, config: &StreamConfig) -> Promised {
        self.add(Promised::to(config), -1);
        self
    }
}

struct Entry {
    handle: Arc<StreamHandle>,
    /// What is counted for it; nothing when it is being deleted.
    counted: Option<Arc<StreamConfig>>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Registry {
    streams: BTreeMap<Arc<str>, Entry>,
    subjects: Overlaps<Arc<str>>,
    memory: Promised,
    file: Promised,
    counted: usize,
}

impl Registry {
    /// A stream, which may be being deleted.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<StreamHandle>> {
        self.streams.get(name).map(|entry| &entry.handle)
    }

    /// All, by name, also those that are being deleted.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<StreamHandle>> {
        self.streams.values().map(|entry| &entry.handle)
    }

    /// The configuration of a stream that is not being deleted.
    pub(crate) fn counted(&self, name: &str) -> Option<&Arc<StreamConfig>> {
        self.streams.get(name)?.counted.as_ref()
    }

    /// Streams that are not being deleted.
    pub(crate) fn len(&self) -> usize {
        self.counted
    }

    /// What streams of this storage are promised.
    pub(crate) fn promised(&self, storage: Storage) -> Promised {
        match storage {
            Storage::Memory => self.memory,
            Storage::File => self.file,
        }
    }

    /// Whether a stream but the one of this name has a subject that overlaps.
    pub(crate) fn others_overlap(&self, name: &str, subject: &str) -> bool {
        self.subjects.any(subject.as_bytes(), |owner| **owner != *name)
    }

    pub(crate) fn insert(&mut self, handle: Arc<StreamHandle>) {
        let name = handle.name.clone();
        self.count(&name, None);
        let config = handle.config();
        self.streams.insert(name.clone(), Entry { handle, counted: None });
        self.count(&name, Some(config));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<StreamHandle>> {
        self.count(name, None);
        self.streams.remove(name).map(|entry| entry.handle)
    }

    /// A stream has another configuration. One that is being deleted stays without.
    pub(crate) fn configure(&mut self, name: &str, config: Arc<StreamConfig>) {
        if self.counted(name).is_some() {
            self.count(name, Some(config));
        }
    }

    /// A stream is being deleted: its subjects and bytes are free.
    pub(crate) fn delete(&mut self, name: &str) {
        self.count(name, None);
    }

    /// Counts this configuration for a stream, instead of what was counted.
    fn count(&mut self, name: &str, config: Option<Arc<StreamConfig>>) {
        let Some((name, entry)) = self.streams.get_key_value(name) else { return };
        let (name, before) = (name.clone(), entry.counted.clone());
        if let Some(before) = &before {
            for subject in &before.subjects {
                self.subjects.remove(subject.as_bytes(), &name);
            }
        }
        for (config, sign) in before.iter().map(|c| (c, -1)).chain(config.iter().map(|c| (c, 1))) {
            let promised = match config.storage {
                Storage::Memory => &mut self.memory,
                Storage::File => &mut self.file,
            };
            promised.add(Promised::to(config), sign);
        }
        self.counted = self.counted + usize::from(config.is_some()) - usize::from(before.is_some());
        for subject in config.iter().flat_map(|config| &config.subjects) {
            self.subjects.insert(subject.as_bytes(), name.clone());
        }
        if let Some(entry) = self.streams.get_mut(&name) {
            entry.counted = config;
        }
    }
}

#[cfg(test)]
mod tests {
    use midge_broker::turn::Signal;
    use midge_stdx::clock::Wall;

    use super::*;
    use crate::account::Phase;
    use crate::host::Inbox;

    fn config(name: &str, subject: &str, max_bytes: i64) -> Arc<StreamConfig> {
        let subjects = vec![subject.to_owned()];
        Arc::new(StreamConfig { name: name.into(), subjects, max_bytes, ..StreamConfig::default() })
    }

    fn stream(config: Arc<StreamConfig>) -> Arc<StreamHandle> {
        let inbox = Arc::new(Inbox::new(Signal::new(), 1, 1));
        Arc::new(StreamHandle::new(config.name.as_str().into(), Wall(0), config, inbox, Phase::Running))
    }

    fn figures(registry: &Registry) -> (usize, i64, i64) {
        let promised = registry.promised(Storage::File);
        (registry.len(), promised.bytes(), promised.with_unlimited())
    }

    #[test]
    fn what_is_counted_follows_each_change() {
        let mut registry = Registry::default();
        registry.insert(stream(config("A", "a.>", 100)));
        registry.insert(stream(config("B", "b.*", -1)));
        assert_eq!(figures(&registry), (2, 100, 101));
        assert!(registry.others_overlap("C", "a.x") && registry.others_overlap("C", "b.x"));
        assert!(!registry.others_overlap("A", "a.x") && !registry.others_overlap("C", "b.x.y"));

        registry.configure("A", config("A", "c", 7));
        assert_eq!(figures(&registry), (2, 7, 8));
        assert!(!registry.others_overlap("C", "a.x") && registry.others_overlap("B", "*"));
        assert_eq!(registry.promised(Storage::File).without(&config("B", "b.*", -1)).with_unlimited(), 7);

        registry.delete("A");
        assert_eq!(figures(&registry), (1, 0, 1));
        assert!(registry.counted("A").is_none() && registry.get("A").is_some());
        // The host keeps its old configuration, though it goes: nothing is counted again.
        registry.configure("A", config("A", "a.>", 100));
        assert_eq!(figures(&registry), (1, 0, 1));
        registry.remove("A");
        registry.remove("A");
        assert!(!registry.others_overlap("B", ">") && registry.get("A").is_none());
        assert_eq!(figures(&registry), (1, 0, 1));
    }

    #[test]
    fn a_stream_that_takes_the_place_of_another_is_counted_once() {
        let mut registry = Registry::default();
        registry.insert(stream(config("A", "a", i64::MAX)));
        registry.insert(stream(config("A", "b", i64::MAX)));
        registry.insert(stream(config("B", "c", i64::MAX)));
        assert_eq!(figures(&registry), (2, i64::MAX, i64::MAX));
        assert!(!registry.others_overlap("", "a"));
        registry.remove("A");
        registry.remove("B");
        assert_eq!(figures(&registry), (0, 0, 0));
    }
}
