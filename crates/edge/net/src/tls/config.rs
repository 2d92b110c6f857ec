//! From files to what a handshake needs.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use midge_config::schema::tls::{HandshakeFirst, Tls};
use midge_stdx::clock::Wall;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};

use super::select::Certificates;
use super::verify::ClientCertificates;
use super::{certificate, ciphers};
use crate::limits::{TLS_SESSIONS, TLS_TICKETS};

/// Everything that was loaded together.
pub(super) struct Loaded {
    /// For clients of the NATS protocol.
    pub(super) clients: Arc<ServerConfig>,
    /// For monitoring, where no client certificate is asked for.
    pub(super) monitoring: Arc<ServerConfig>,
    /// Public keys that clients must have; `None` admits all.
    pub(super) pins: Option<HashSet<String>>,
    pub(super) timeout: Duration,
    pub(super) handshake_first: HandshakeFirst,
    pub(super) not_after: Option<Wall>,
}

impl Loaded {
    /// Reads the files. Errors: one line, in the words that operators know.
    pub(super) fn load(options: &Tls) -> Result<Loaded, String> {
        let (provider, versions) = ciphers::provider(options)?;
        let provider = Arc::new(provider);
        let mut keys = Vec::new();
        let count = options.certificates.len();
        for (n, pair) in options.certificates.iter().enumerate() {
            let number = if count > 1 { format!(" {}/{count}", n + 1) } else { String::new() };
            let key = certified_key(&pair.cert_file, &pair.key_file, &provider)
                .map_err(|error| format!("error parsing X509 certificate/key pair{number}: {error}"))?;
            keys.push(key);
        }
        let not_after = keys.first().and_then(|key| certificate::not_after(key.cert.first()?));
        let authorities = match options.ca_file.as_str() {
            "" => None,
            path => Some(authorities(path)?),
        };
        let resolver = Arc::new(Certificates::new(keys));
        let config = |verifier: Option<ClientCertificates>| {
            let builder = ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&versions)
                .map_err(|error| error.to_string())?;
            let builder = match verifier {
                Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
                None => builder.with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(resolver.clone());
            config.ignore_client_order = true;
            config.send_tls13_tickets = TLS_TICKETS;
            config.session_storage = rustls::server::ServerSessionMemoryCache::new(TLS_SESSIONS);
            Ok::<_, String>(Arc::new(config))
        };
        let verifier = if options.verify || options.verify_and_map {
            let announce = authorities.is_some();
            let authorities = match authorities {
                Some(authorities) => authorities,
                None => system_authorities(),
            };
            Some(ClientCertificates::new(authorities, announce, provider.clone())?)
        } else {
            None
        };
        let pins = (!options.pinned_certs.is_empty()).then(|| options.pinned_certs.iter().cloned().collect());
        Ok(Loaded {
            clients: config(verifier)?,
            monitoring: config(None)?,
            pins,
            timeout: options.timeout,
            handshake_first: options.handshake_first,
            not_after,
        })
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("open {path}: {}", words(&error)))
}

/// An error of the operating system in the words that operators know.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn certified_key(
    cert_file: &str,
    key_file: &str,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<CertifiedKey, String> {
    let (cert, key) = (read(cert_file)?, read(key_file)?);
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&cert).filter_map(Result::ok).collect();
    if chain.is_empty() {
        return Err("tls: failed to find any PEM data in certificate input".to_owned());
    }
    if !chain.iter().all(certificate::is_valid) {
        return Err("x509: malformed certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| match error {
        PemError::NoItemsFound => "tls: failed to find any PEM data in key input".to_owned(),
        _ => "tls: failed to parse private key".to_owned(),
    })?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| "tls: failed to parse private key".to_owned())?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => Err("tls: private key does not match public key".to_owned()),
    }
}

fn authorities(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let found: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).filter(certificate::is_valid).collect();
    if found.is_empty() { Err("failed to parse root ca certificate".to_owned()) } else { Ok(found) }
}

fn system_authorities() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!("Reading the certificate authorities of the system: {error}");
    }
    found.certs
}
