//! Keys of encrypted stores, and stores that change theirs.
//!
//! What is under an old key or none is written anew: the new file and its new key are staged and synced first, then the key takes its place, then the
//! file. Cut between the two, the staged file is found again and is the one that the key opens.

use midge_stdx::entropy::Entropy;
use midge_stdx::hash::NamedHash;

use super::blocks::{decrypt, has_record};
use super::fast::IndexFile;
use super::folder::{self, Listing, list, messages, put, read};
use super::{Context, OpenError};
use crate::format::keys::{
    AssetKey, Candidate, Cipher, Context as KeyContext, KeyError, MasterKey, WrappingKey, candidates,
};
use crate::format::meta::stream_sum;
use crate::format::names::{self, InMessages, in_messages};
use crate::format::record::RecordKey;
use crate::format::{index_db, names::TEMPORARY};
use crate::port::{DiskError, Files};

/// What the name of a file ends in, before [`TEMPORARY`], that was written anew under another key.
pub(super) const KEYED: &str = ".keyed";

/// How a store is encrypted, and was.
pub struct StoreKeys {
    /// The account, or the name of the Raft group.
    pub owner: String,
    /// The configured key.
    pub master: MasterKey,
    /// The one before, under which files may still be.
    pub previous: Option<MasterKey>,
    /// The configured cipher.
    pub cipher: Cipher,
    /// Draws keys and nonces.
    pub entropy: Box<dyn Entropy>,
}

impl StoreKeys {
    fn candidates(&self) -> Vec<Candidate<'_>> {
        candidates(&self.master, self.previous.as_ref(), self.cipher)
    }

    fn create(&mut self, context: KeyContext<'_>) -> (AssetKey, Vec<u8>) {
        let wrapping = WrappingKey::derive(&self.master, &self.owner, context);
        AssetKey::create(self.cipher, &wrapping, &mut *self.entropy)
    }

    pub(super) fn open(&self, context: KeyContext<'_>, file: &[u8]) -> Result<(AssetKey, usize), KeyError> {
        AssetKey::open_any(&self.candidates(), &self.owner, context, file)
    }

    /// A key for a block that is begun, with its file.
    pub(super) fn begin_block(&mut self, stream: &str, index: u32) -> (AssetKey, Vec<u8>) {
        self.create(KeyContext::Block(stream, index))
    }

    /// The part of it that a new store needs.
    pub fn into_encryption(self) -> crate::stream::Encryption {
        crate::stream::Encryption {
            cipher: self.cipher,
            owner: self.owner.into(),
            master: self.master,
            entropy: self.entropy,
        }
    }
}

pub(super) fn staged(path: &str) -> String {
    format!("{path}{KEYED}{TEMPORARY}")
}

/// The key of metadata and index.
pub(super) struct MetaKey {
    key: Option<AssetKey>,
    /// Under the present key and cipher.
    current: bool,
}

impl MetaKey {
    /// Opens it, or finds that there is none and need not be. Changes nothing.
    pub(super) fn open(
        files: &dyn Files,
        folder: &str,
        stream: &str,
        keys: Option<&StoreKeys>,
    ) -> Result<MetaKey, OpenError> {
        let path = format!("{folder}/{}", names::META_KEY);
        match (read(files, &path)?, keys) {
            (Some(_), None) => Err(OpenError::NoKey),
            (Some(file), Some(keys)) => match keys.open(KeyContext::Stream(stream), &file) {
                Ok((key, at)) => Ok(MetaKey { key: Some(key), current: at == 0 }),
                Err(error) => Err(OpenError::Key { path, error }),
            },
            (None, keys) => {
                MetaKey::check_blocks(files, folder, stream, keys)?;
                Ok(MetaKey { key: None, current: keys.is_none() })
            }
        }
    }

    /// Without a key of metadata there may still be blocks with keys: one of those has to open.
    fn check_blocks(
        files: &dyn Files,
        folder: &str,
        stream: &str,
        keys: Option<&StoreKeys>,
    ) -> Result<(), OpenError> {
        let mut first = None;
        for entry in list(files, &messages(folder))?.unwrap_or_default() {
            let InMessages::Key(index) = in_messages(&entry.name) else { continue };
            let keys = keys.ok_or(OpenError::NoKey)?;
            let path = format!("{}/{}", messages(folder), entry.name);
            let file = read(files, &path)?.unwrap_or_default();
            match keys.open(KeyContext::Block(stream, index), &file) {
                Ok(_) => return Ok(()),
                // One of a wrong length says nothing of the key that made it.
                Err(KeyError::Size { .. }) => {}
                Err(error) => first = first.or(Some(OpenError::Key { path, error })),
            }
        }
        first.map_or(Ok(()), Err)
    }

    pub(super) fn key(&self) -> Option<&AssetKey> {
        self.key.as_ref()
    }

    /// Puts metadata and index under the present key, and answers it.
    pub(super) fn settle(
        self,
        context: &mut Context<'_>,
        keys: Option<&mut StoreKeys>,
        index: Option<&IndexFile>,
    ) -> Result<Option<AssetKey>, OpenError> {
        let Some(keys) = keys else { return Ok(None) };
        if self.current {
            return Ok(self.key);
        }
        let (files, folder, stream) = (context.files, context.folder, &*context.config.name);
        let (key, key_file) = keys.create(KeyContext::Stream(stream));
        let open = |bytes: Vec<u8>| match &self.key {
            Some(old) => old.unseal(&bytes).ok(),
            None => Some(bytes),
        };
        let path = |name: &str| format!("{folder}/{name}");
        let mut renames = vec![path(names::META_KEY)];
        put(files, &staged(&renames[0]), &key_file)?;
        if let Some(plain) = read(files, &path(names::META))?.and_then(open) {
            let sealed = key.seal(&plain, &mut *keys.entropy);
            put(files, &staged(&path(names::META)), &sealed)?;
            put(files, &staged(&path(names::META_SUM)), &stream_sum(stream, &sealed))?;
            renames.extend([path(names::META), path(names::META_SUM)]);
        }
        let index_path = format!("{}/{}", context.messages, names::INDEX);
        if index.is_some()
            && let Some(file) = read(files, &index_path)?
            && let Ok(body) = index_db::open(&file, stream, self.key.as_ref())
        {
            let mut sealed = key.seal(&body, &mut *keys.entropy);
            let hash = NamedHash::new(stream.as_bytes()).sum(&[&sealed]);
            sealed.extend_from_slice(&hash);
            put(files, &staged(&index_path), &sealed)?;
            files.sync_folder(&context.messages)?;
            renames.push(index_path);
        }
        files.sync_folder(folder)?;
        for (at, path) in renames.iter().enumerate() {
            files.rename(&staged(path), path)?;
            if at == 0 {
                files.sync_folder(folder)?;
            }
        }
        files.sync_folder(folder)?;
        files.sync_folder(&context.messages)?;
        context.recovery.mended.push("metadata and index were encrypted anew".into());
        Ok(Some(key))
    }
}

impl Context<'_> {
    /// Opens the keys of all blocks, and writes blocks anew that are under another key than the present one, or none. What remains in
    /// [`Context::blocks`] can be read.
    pub(super) fn settle_keys(
        &mut self,
        listing: &Listing,
        mut keys: Option<&mut StoreKeys>,
    ) -> Result<(), OpenError> {
        for &(index, len) in &listing.blocks {
            let Some(keys) = keys.as_deref_mut() else {
                self.blocks.insert(index, len);
                continue;
            };
            match self.settle_key(listing, index, keys)? {
                Ok(key) => {
                    self.keys.insert(index, key);
                    let path = self.path(index);
                    let len = read(self.files, &path)?.map_or(len, |file| file.len() as u64);
                    self.blocks.insert(index, len);
                }
                Err(cause) => self.recovery.unreadable.push((index, cause)),
            }
        }
        self.blocks.highest = listing.blocks.last().map_or(0, |(index, _)| *index);
        Ok(())
    }

    fn settle_key(
        &mut self,
        listing: &Listing,
        index: u32,
        keys: &mut StoreKeys,
    ) -> Result<Result<AssetKey, String>, OpenError> {
        let stream = &*self.config.name;
        let record_key = RecordKey::new(stream, index);
        let path = self.path(index);
        let key_path = format!("{}/{}", self.messages, names::block_key_file(index));
        let opened = match read(self.files, &key_path)? {
            None => None,
            Some(file) => match keys.open(KeyContext::Block(stream, index), &file) {
                Ok(opened) => Some(opened),
                Err(error) => return Ok(Err(error.to_string())),
            },
        };
        let staged_path = staged(&path);
        let cut = listing.leftovers.iter().any(|name| staged_path.ends_with(&format!("/{name}")));
        let (old, current) = match opened {
            Some((key, 0)) if !cut => return Ok(Ok(key)),
            Some((key, at)) => (Some(key), at == 0),
            None => (None, false),
        };
        let mut file = read(self.files, &path)?.unwrap_or_default();
        decrypt(old.as_ref(), &mut file);
        let sound = file.is_empty() || has_record(&file, &record_key);
        if let Some(key) = old.clone().filter(|_| current) {
            if !sound {
                // The key took its place, the block did not.
                let mut other = read(self.files, &staged_path)?.unwrap_or_default();
                decrypt(Some(&key), &mut other);
                if has_record(&other, &record_key) {
                    self.files.rename(&staged_path, &path)?;
                    self.files.sync_folder(&self.messages)?;
                    self.recovery.converted += 1;
                }
            }
            return Ok(Ok(key));
        }
        if !sound {
            let cause = if old.is_some() { "nothing under its key" } else { "its key is missing" };
            return Ok(Err(cause.into()));
        }
        Ok(Ok(self.convert(index, file, keys)?))
    }

    /// Writes a block under a new key.
    fn convert(
        &mut self,
        index: u32,
        mut file: Vec<u8>,
        keys: &mut StoreKeys,
    ) -> Result<AssetKey, DiskError> {
        let (key, key_file) = keys.begin_block(&self.config.name, index);
        decrypt(Some(&key), &mut file);
        let path = self.path(index);
        let key_path = format!("{}/{}", self.messages, names::block_key_file(index));
        put(self.files, &staged(&path), &file)?;
        put(self.files, &staged(&key_path), &key_file)?;
        self.files.sync_folder(&self.messages)?;
        self.files.rename(&staged(&key_path), &key_path)?;
        self.files.sync_folder(&self.messages)?;
        self.files.rename(&staged(&path), &path)?;
        self.files.sync_folder(&self.messages)?;
        self.recovery.converted += 1;
        Ok(key)
    }

    pub(super) fn path(&self, index: u32) -> String {
        format!("{}/{}", self.messages, names::block_file(index))
    }
}

/// Removes files that may be absent.
pub(super) fn remove_all(files: &dyn Files, paths: &[String]) -> Result<bool, DiskError> {
    let mut removed = false;
    for path in paths {
        removed |= read(files, path)?.is_some();
        folder::remove(files, path)?;
    }
    Ok(removed)
}
