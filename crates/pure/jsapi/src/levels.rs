//! Levels of the API: which version an asset needs, which one a request needs, and the metadata that tells.
//!
//! 0 is everything before 2.11, then 1 is 2.11, 2 is 2.12, 4 is 2.14, 5 is 2.15.

use std::collections::BTreeMap;

use crate::consumer_config::{AckPolicy, ConsumerConfig, PriorityPolicy};
use crate::stream_config::{PersistMode, StreamConfig};

/// The level that is served.
pub const API_LEVEL: u8 = 5;
/// In metadata: the level that an asset needs; kept.
pub const REQUIRED_LEVEL_KEY: &str = "_nats.req.level";
/// In metadata: the version of the server; told, not kept.
pub const VERSION_KEY: &str = "_nats.ver";
/// In metadata: the level of the server; told, not kept.
pub const LEVEL_KEY: &str = "_nats.level";

/// Texts by key, as configurations carry them.
pub type Metadata = BTreeMap<String, String>;

/// The level that a stream with this configuration needs.
pub fn required_of_stream(config: &StreamConfig) -> u8 {
    if config.allow_batched {
        4
    } else if config.allow_msg_counter
        || config.allow_atomic
        || config.allow_msg_schedules
        || config.persist_mode == PersistMode::Async
    {
        2
    } else {
        u8::from(config.allow_msg_ttl || config.subject_delete_marker_ttl_ns > 0)
    }
}

/// The level that a consumer with this configuration needs.
pub fn required_of_consumer(config: &ConsumerConfig) -> u8 {
    if config.ack_policy == AckPolicy::FlowControl {
        4
    } else {
        let groups = config.priority_policy != PriorityPolicy::None || !config.priority_groups.is_empty();
        u8::from(config.pause_until.is_some() || groups)
    }
}

/// Makes metadata what is kept: without what is only told, with the level that is needed.
pub fn keep(metadata: &mut Metadata, required: u8) {
    forget_told(metadata);
    metadata.insert(REQUIRED_LEVEL_KEY.to_owned(), required.to_string());
}

/// Makes kept metadata what is told: with the server's version and level.
pub fn tell(metadata: &mut Metadata, version: &str) {
    metadata.insert(VERSION_KEY.to_owned(), version.to_owned());
    metadata.insert(LEVEL_KEY.to_owned(), API_LEVEL.to_string());
}

/// Removes what is only told.
pub fn forget_told(metadata: &mut Metadata) {
    metadata.remove(VERSION_KEY);
    metadata.remove(LEVEL_KEY);
}

/// Whether two sets say the same, the three keys above aside.
pub fn same_but_own(a: &Metadata, b: &Metadata) -> bool {
    let is_foreign = |key: &&String| ![REQUIRED_LEVEL_KEY, VERSION_KEY, LEVEL_KEY].contains(&key.as_str());
    a.keys().filter(is_foreign).count() == b.keys().filter(is_foreign).count()
        && a.iter().filter(|(key, _)| is_foreign(key)).all(|(key, value)| b.get(key) == Some(value))
}

/// Whether a request that needs the level in its header `Nats-Required-Api-Level` can be served; an empty header needs
/// none.
pub fn is_served(header: &[u8]) -> bool {
    let text = std::str::from_utf8(header).map_or("?", str::trim);
    text.is_empty() || text.parse::<i64>().is_ok_and(|level| level <= i64::from(API_LEVEL))
}

/// Why an asset with this metadata cannot be served, if it cannot.
pub fn unsupported(metadata: &Metadata) -> Option<String> {
    let level = metadata.get(REQUIRED_LEVEL_KEY)?;
    (!is_served(level.as_bytes()))
        .then(|| format!("unsupported - required API level: {level}, current API level: {API_LEVEL}"))
}

#[cfg(test)]
mod tests {
    use midge_stdx::clock::Wall;

    use super::*;

    #[test]
    fn streams_need_what_their_newest_feature_needs() {
        let with = |change: fn(&mut StreamConfig)| {
            let mut config = StreamConfig::default();
            change(&mut config);
            required_of_stream(&config)
        };
        assert_eq!(with(|_| ()), 0);
        assert_eq!(with(|c| c.allow_msg_ttl = true), 1);
        assert_eq!(with(|c| c.subject_delete_marker_ttl_ns = 1), 1);
        assert_eq!(with(|c| c.allow_msg_counter = true), 2);
        assert_eq!(with(|c| c.allow_atomic = true), 2);
        assert_eq!(with(|c| c.allow_msg_schedules = true), 2);
        assert_eq!(with(|c| c.persist_mode = PersistMode::Async), 2);
        assert_eq!(
            with(|c| {
                c.allow_batched = true;
                c.allow_msg_ttl = true;
            }),
            4
        );
    }

    #[test]
    fn consumers_need_what_their_newest_feature_needs() {
        let with = |change: fn(&mut ConsumerConfig)| {
            let mut config = ConsumerConfig::default();
            change(&mut config);
            required_of_consumer(&config)
        };
        assert_eq!(with(|_| ()), 0);
        assert_eq!(with(|c| c.pause_until = Some(Wall(1))), 1);
        assert_eq!(with(|c| c.priority_groups = vec!["g".to_owned()]), 1);
        assert_eq!(with(|c| c.priority_policy = PriorityPolicy::Overflow), 1);
        assert_eq!(with(|c| c.ack_policy = AckPolicy::FlowControl), 4);
    }

    #[test]
    fn metadata_is_kept_and_told() {
        let mut metadata = Metadata::from([
            ("a".to_owned(), "1".to_owned()),
            (VERSION_KEY.to_owned(), "forged".to_owned()),
            (REQUIRED_LEVEL_KEY.to_owned(), "9".to_owned()),
        ]);
        let before = metadata.clone();
        keep(&mut metadata, 2);
        assert_eq!(metadata.keys().collect::<Vec<_>>(), ["_nats.req.level", "a"]);
        assert_eq!((unsupported(&metadata), metadata[REQUIRED_LEVEL_KEY].as_str()), (None, "2"));
        tell(&mut metadata, "2.15.1");
        assert_eq!((metadata[VERSION_KEY].as_str(), metadata[LEVEL_KEY].as_str()), ("2.15.1", "5"));
        assert!(same_but_own(&before, &metadata));
        assert!(!same_but_own(&before, &Metadata::new()) && !same_but_own(&Metadata::new(), &before));
        let mut changed = before.clone();
        changed.insert("a".to_owned(), "2".to_owned());
        assert!(!same_but_own(&before, &changed));
        let text = "unsupported - required API level: 9, current API level: 5";
        assert_eq!(unsupported(&before).as_deref(), Some(text));
    }

    #[test]
    fn requests_say_which_level_they_need() {
        assert!(
            is_served(b"5") && is_served(b"0") && is_served(b"-1") && is_served(b" +5") && is_served(b"")
        );
        assert!(!is_served(b"6") && !is_served(b"x") && !is_served(b"5.0") && !is_served(b"\xff"));
    }
}
