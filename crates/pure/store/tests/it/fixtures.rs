//! The stores under `tests/fixtures`, in memory.

use std::path::{Path, PathBuf};

use midge_store::format::keys::{AssetKey, Candidate, Cipher, Context, MasterKey, candidates};
use midge_store::format::names::{InMessages, in_messages};
use midge_store::format::record::RecordKey;
use serde_json::Value;

pub const KEY: &[u8] = b"store-fixture-key-2.15.1";

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-2.15.1")
}

pub fn file(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn entries(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// One stream, or the log of a Raft group.
#[derive(Clone, Debug)]
pub struct Stream {
    pub topic: String,
    pub name: String,
    /// What keys are derived from besides the context.
    pub owner: String,
    pub path: PathBuf,
}

impl Stream {
    pub fn is_log(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "_js_")
    }

    /// Numbers of its blocks, ascending.
    pub fn blocks(&self) -> Vec<u32> {
        let names = entries(&self.path.join("msgs"));
        let mut blocks: Vec<u32> = names
            .iter()
            .filter_map(|name| match in_messages(name) {
                InMessages::Block(block) => Some(block),
                InMessages::Foreign | InMessages::Leftover => panic!("{name}"),
                _ => None,
            })
            .collect();
        blocks.sort_unstable();
        blocks
    }

    /// The file of a block as it is on disk.
    pub fn block_on_disk(&self, block: u32) -> Vec<u8> {
        file(self.path.join(format!("msgs/{block}.blk")))
    }

    /// The file of a block, decrypted.
    pub fn block(&self, block: u32) -> Vec<u8> {
        let mut bytes = self.block_on_disk(block);
        let key_file = self.path.join(format!("msgs/{block}.key"));
        if key_file.exists() {
            let key = self.open_key(&key_file, Context::Block(&self.name, block));
            key.keystream().apply(0, &mut bytes).unwrap();
        }
        bytes
    }

    pub fn record_key(&self, block: u32) -> RecordKey {
        RecordKey::new(&self.name, block)
    }

    /// The key of its metadata and index.
    pub fn key(&self) -> Option<AssetKey> {
        let path = self.path.join("meta.key");
        path.exists().then(|| self.open_key(&path, Context::Stream(&self.name)))
    }

    pub fn consumers(&self) -> Vec<String> {
        entries(&self.path.join("obs"))
    }

    pub fn consumer_key(&self, consumer: &str) -> Option<AssetKey> {
        let path = self.path.join("obs").join(consumer).join("meta.key");
        path.exists().then(|| self.open_key(&path, Context::Consumer { stream: &self.name, consumer }))
    }

    fn open_key(&self, path: &Path, context: Context<'_>) -> AssetKey {
        let master = MasterKey::new(KEY);
        let (key, at) =
            AssetKey::open_any(&candidates(&master, None, self.cipher()), &self.owner, context, &file(path))
                .unwrap();
        assert_eq!(at, 0, "{}", path.display());
        let wrong = MasterKey::new(b"another key");
        let wrong: &[Candidate<'_>] = &candidates(&wrong, None, self.cipher());
        assert!(AssetKey::open_any(wrong, &self.owner, context, &file(path)).is_err());
        key
    }

    pub fn cipher(&self) -> Cipher {
        if self.topic == "encrypted-aes" { Cipher::Aes } else { Cipher::ChaCha }
    }

    /// What the API of the running server said of it.
    pub fn expected(&self) -> Option<Value> {
        let path = folder().join(&self.topic).join("expected.json");
        let all: Value = path.exists().then(|| serde_json::from_slice(&file(&path)).unwrap())?;
        Some(all["streams"][&self.name].clone()).filter(|stream| !stream.is_null())
    }
}

/// Every stream and log of every topic.
pub fn streams() -> Vec<Stream> {
    let mut found = Vec::new();
    for topic in entries(&folder()) {
        let store = folder().join(&topic).join("store/jetstream");
        for account in entries(&store) {
            for (middle, log) in [("streams", false), ("_js_", true)] {
                let parent = store.join(&account).join(middle);
                for name in entries(&parent) {
                    let owner = if log { name.clone() } else { account.clone() };
                    found.push(Stream { topic: topic.clone(), path: parent.join(&name), name, owner });
                }
            }
        }
    }
    assert!(found.len() >= 20, "{}", found.len());
    found
}

pub fn stream(topic: &str, name: &str) -> Stream {
    streams().into_iter().find(|stream| stream.topic == topic && stream.name == name).unwrap()
}
