//! Names of files and folders below a store directory.
//!
//! ```text
//!  <account>/streams/<stream>/            meta.inf meta.sum [meta.key] [sources.db]
//!  <account>/streams/<stream>/msgs/       <N>.blk [<N>.key] index.db thw.db sched.db
//!  <account>/streams/<stream>/obs/<name>/ meta.inf meta.sum [meta.key] o.dat
//!  <account>/streams/<stream>/batches/<hash of the batch id>/   a whole store again
//! ```

use midge_stdx::hash::hash8;

/// Metadata of a stream or consumer.
pub const META: &str = "meta.inf";
/// Its checksum.
pub const META_SUM: &str = "meta.sum";
/// Its key, in encrypted stores.
pub const META_KEY: &str = "meta.key";
/// The folder of blocks.
pub const MESSAGES: &str = "msgs";
/// The folder of consumers.
pub const CONSUMERS: &str = "obs";
/// The folder of staged atomic batches.
pub const BATCHES: &str = "batches";
/// The index of all blocks, within the folder of blocks.
pub const INDEX: &str = "index.db";
/// Expiry of messages, within the folder of blocks.
pub const WHEEL: &str = "thw.db";
/// Scheduled messages, within the folder of blocks.
pub const SCHEDULES: &str = "sched.db";
/// Progress of sources, within the folder of the stream.
pub const SOURCES: &str = "sources.db";
/// State of a consumer, within its folder.
pub const CONSUMER_STATE: &str = "o.dat";
/// Blocks that are being deleted after a purge.
pub const PURGED: &str = "__msgs__";
/// Blocks that take the place of the purged ones.
pub const PURGE_STAGING: &str = "__new_msgs__";
/// Where legacy backups are unpacked, within the folder of an account.
pub const RESTORES: &str = "__snapshots__";
/// Leftovers of staged restores, within the store directory.
pub const SNAPSHOT_STAGING: &str = ".snap-staging";
/// What the name of a write probe starts with.
pub const PROBE: &str = "_test_";
/// What a file is written under before it is renamed.
pub const TEMPORARY: &str = ".tmp";

/// The longest name of a stream or consumer, in bytes.
pub const MAX_ASSET_NAME_LEN: usize = 255;

/// Whether a stream or consumer may have this name: 1 to 255 bytes without blanks, dots, wildcards and path separators.
pub fn is_asset_name(name: &str) -> bool {
    let bad = |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c | b'.' | b'*' | b'>' | b'\\' | b'/');
    !name.is_empty() && name.len() <= MAX_ASSET_NAME_LEN && !name.bytes().any(bad)
}

/// Whether a name may be a folder without leaving the one it is in. Names of accounts are whatever a configuration allows, and not all
/// of that is a folder.
pub fn is_folder_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && name.len() <= 255
        && !name.bytes().any(|byte| matches!(byte, b'/' | b'\\' | 0))
}

/// The folder of a staged batch.
pub fn batch_folder(batch_id: &str) -> String {
    hash8(batch_id.as_bytes()).into_iter().map(char::from).collect()
}

/// `<N>.blk`.
pub fn block_file(block: u32) -> String {
    format!("{block}.blk")
}

/// `<N>.key`.
pub fn block_key_file(block: u32) -> String {
    format!("{block}.key")
}

/// What an entry of the folder of blocks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InMessages {
    /// `<N>.blk`.
    Block(u32),
    /// `<N>.key`.
    Key(u32),
    /// [`INDEX`].
    Index,
    /// [`WHEEL`].
    Wheel,
    /// [`SCHEDULES`].
    Schedules,
    /// `<N>.idx` of servers before 2.10: used when it agrees with its block, then deleted.
    LegacyIndex(u32),
    /// `<N>.fss` of servers before 2.10: deleted.
    LegacySubjects(u32),
    /// What a crash left of a write that did not take effect: `*.tmp`, `<N>.new`.
    Leftover,
    /// Nobody's.
    Foreign,
}

/// Sorts an entry of the folder of blocks by its name. Numbers are written without padding, from 1 on.
pub fn in_messages(name: &str) -> InMessages {
    match name {
        INDEX => return InMessages::Index,
        WHEEL => return InMessages::Wheel,
        SCHEDULES => return InMessages::Schedules,
        _ if name.ends_with(TEMPORARY) => return InMessages::Leftover,
        _ => {}
    }
    let Some((number, extension)) = name.rsplit_once('.') else { return InMessages::Foreign };
    let Some(number) = block_number(number) else { return InMessages::Foreign };
    match extension {
        "blk" => InMessages::Block(number),
        "key" => InMessages::Key(number),
        "idx" => InMessages::LegacyIndex(number),
        "fss" => InMessages::LegacySubjects(number),
        "new" => InMessages::Leftover,
        _ => InMessages::Foreign,
    }
}

fn block_number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}

/// What an entry of the folder of an account's streams is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InStreams {
    /// A stream of this name.
    Stream,
    /// A stream whose deletion was not finished: to be deleted.
    Deleted,
    /// Nobody's.
    Foreign,
}

/// Sorts an entry of the folder of streams by its name.
pub fn in_streams(name: &str) -> InStreams {
    match name.strip_prefix('.') {
        Some(rest) if is_asset_name(rest) => InStreams::Deleted,
        None if is_asset_name(name) => InStreams::Stream,
        _ => InStreams::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_only_contain_an_extension_are_foreign() {
        let cases = [
            ("1.blk", InMessages::Block(1)),
            ("4294967295.blk", InMessages::Block(u32::MAX)),
            ("4294967296.blk", InMessages::Foreign),
            ("0.blk", InMessages::Foreign),
            ("01.blk", InMessages::Foreign),
            ("+1.blk", InMessages::Foreign),
            (".blk", InMessages::Foreign),
            ("1.blk.bak", InMessages::Foreign),
            ("a1.blk", InMessages::Foreign),
            ("1.blk.tmp", InMessages::Leftover),
            ("7.new", InMessages::Leftover),
            ("7.key", InMessages::Key(7)),
            ("7.idx", InMessages::LegacyIndex(7)),
            ("7.fss", InMessages::LegacySubjects(7)),
            ("index.db", InMessages::Index),
            ("index.db.tmp", InMessages::Leftover),
            ("thw.db", InMessages::Wheel),
            ("sched.db", InMessages::Schedules),
            ("blk", InMessages::Foreign),
        ];
        for (name, kind) in cases {
            assert_eq!(in_messages(name), kind, "{name}");
        }
        assert_eq!(in_messages(&block_file(12)), InMessages::Block(12));
        assert_eq!(in_messages(&block_key_file(12)), InMessages::Key(12));
    }

    #[test]
    fn assets_and_folders() {
        assert!(is_asset_name("ORDERS") && is_asset_name("größe") && is_asset_name(&"a".repeat(255)));
        for name in ["", "a b", "a.b", "a*", ">", "a/b", "a\\b", "a\x0cb", &"a".repeat(256)] {
            assert!(!is_asset_name(name), "{name}");
        }
        assert!(is_folder_name("$G") && is_folder_name("a b"));
        assert!(["", ".", "..", "../x", "a\0", "a\\b"].iter().all(|name| !is_folder_name(name)));
        assert_eq!(in_streams("ORDERS"), InStreams::Stream);
        assert_eq!(in_streams(".ORDERS"), InStreams::Deleted);
        assert_eq!(in_streams(".."), InStreams::Foreign);
    }
}
