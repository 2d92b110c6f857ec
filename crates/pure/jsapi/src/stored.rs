//! Configurations as the files beside the messages keep them (`meta.inf`).
//!
//! The text is what the checksum beside it covers, so writing is exact to the byte; reading takes what it knows.

use std::collections::BTreeMap;

use midge_stdx::clock::Wall;

use crate::consumer_config::ConsumerConfig;
use crate::info::SequenceInfo;
use crate::json::object;
use crate::stream_config::StreamConfig;

object! {
    /// What is kept of a stream.
    pub struct StoredStream("server.FileStreamInfo") {
        /// When it was made.
        created: Wall => "Created" always,
        /// Its configuration.
        config: StreamConfig => "" flat,
    }
}

object! {
    /// What is kept of a consumer.
    pub struct StoredConsumer("server.FileConsumerInfo") {
        /// When it was made.
        created: Wall => "Created" always,
        /// Its name, which the configuration of one that was named by the server lacks.
        name: String => "Name" always,
        /// Its configuration.
        config: ConsumerConfig => "" flat,
    }
}

object! {
    /// A consumer in a copy of its stream.
    pub struct CopiedConsumer("server.consumerBackup") {
        /// Its configuration.
        config: ConsumerConfig => "config" always,
        /// What it had delivered.
        state: CopiedState => "state" always,
    }
}

object! {
    /// What a consumer had delivered, by stream sequences as texts.
    pub struct CopiedState("server.ConsumerState") {
        /// The last delivery.
        delivered: SequenceInfo => "delivered" always,
        /// Everything up to here is acknowledged.
        ack_floor: SequenceInfo => "ack_floor" always,
        /// What is not acknowledged.
        pending: BTreeMap<String, CopiedPending> => "pending" omit,
        /// How often messages were delivered after the first time.
        redelivered: BTreeMap<String, u64> => "redelivered" omit,
    }
}

object! {
    /// A message that is not acknowledged.
    pub struct CopiedPending("server.Pending") {
        /// The number of its delivery.
        sequence: u64 => "Sequence" always,
        /// When that was, Unix nanoseconds.
        timestamp_ns: i64 => "Timestamp" always,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, Mode, Object};

    fn there_and_back<T: Object + Default>(text: &str) -> T {
        let mut value = T::default();
        json::decode_one(text.as_bytes(), Mode::Strict, &mut value).unwrap();
        let mut out = Vec::new();
        json::encode(&value, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
        value
    }

    #[test]
    fn streams_are_kept_to_the_byte() {
        let texts = include_str!("../tests/data/stored_streams.txt");
        for text in texts.lines() {
            let stored: StoredStream = there_and_back(text);
            assert!(stored.created > Wall(0) && !stored.config.name.is_empty());
        }
        assert!(texts.lines().count() > 15);
    }

    #[test]
    fn consumers_are_kept_to_the_byte() {
        let texts = include_str!("../tests/data/stored_consumers.txt");
        for text in texts.lines() {
            let stored: StoredConsumer = there_and_back(text);
            assert!(stored.created > Wall(0) && !stored.name.is_empty());
        }
        assert!(texts.lines().count() > 7);
    }

    #[test]
    fn the_name_of_an_unnamed_consumer_stays_apart() {
        let text = r#"{"Created":"2026-11-21T03:25:55Z","Name":"6M03spqn","deliver_policy":"all","ack_policy":"none","replay_policy":"instant","num_replicas":1}"#;
        let stored: StoredConsumer = there_and_back(text);
        assert_eq!((stored.name.as_str(), stored.config.name.as_str()), ("6M03spqn", ""));
    }

    #[test]
    fn what_a_later_server_wrote_is_told_apart_or_passed_over() {
        let text = br#"{"Created":"2026-11-21T03:25:55Z","name":"S","shape":"round"}"#;
        let mut stored = StoredStream::default();
        let error = json::decode_one(text, Mode::Strict, &mut stored);
        assert_eq!(error, Err(r#"json: unknown field "shape""#.to_owned()));
        assert_eq!(json::decode_one(text, Mode::Lenient, &mut stored), Ok(()));
        assert_eq!(stored.config.name, "S");
    }
}
