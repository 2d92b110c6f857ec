//! Keys of files at rest.

use std::sync::Arc;

use midge_stdx::entropy::Entropy;
use midge_store::format::keys::{AssetKey, Context, KeyError, MasterKey, WrappingKey, candidates};
use midge_store::stream::StoreKeys;

use crate::system::JetStream;

/// The key of an asset, with the content of its file.
pub(crate) struct NewKey {
    pub(crate) key: AssetKey,
    pub(crate) file: Vec<u8>,
}

/// How the store of a stream of an account is encrypted, if it is.
pub(crate) fn store_keys(js: &Arc<JetStream>, account: &str) -> Option<StoreKeys> {
    let at_rest = js.settings.at_rest.as_ref()?;
    Some(StoreKeys {
        owner: account.to_owned(),
        master: MasterKey::new(&at_rest.key),
        previous: at_rest.previous.as_deref().map(MasterKey::new),
        cipher: at_rest.cipher,
        entropy: js.secret_entropy(),
    })
}

/// A key for a new asset of an account, if assets are encrypted.
pub(crate) fn create(
    js: &JetStream,
    account: &str,
    context: Context<'_>,
    entropy: &mut dyn Entropy,
) -> Option<NewKey> {
    let at_rest = js.settings.at_rest.as_ref()?;
    let wrapping = WrappingKey::derive(&MasterKey::new(&at_rest.key), account, context);
    let (key, file) = AssetKey::create(at_rest.cipher, &wrapping, entropy);
    Some(NewKey { key, file })
}

/// Opens the key file of an asset. The answer says whether it is under the present key and cipher.
pub(crate) fn open(
    js: &JetStream,
    account: &str,
    context: Context<'_>,
    file: &[u8],
) -> Result<(AssetKey, bool), KeyError> {
    let Some(at_rest) = &js.settings.at_rest else { return Err(KeyError::Sealed) };
    let (master, previous) = (MasterKey::new(&at_rest.key), at_rest.previous.as_deref().map(MasterKey::new));
    let candidates = candidates(&master, previous.as_ref(), at_rest.cipher);
    AssetKey::open_any(&candidates, account, context, file).map(|(key, at)| (key, at == 0))
}
