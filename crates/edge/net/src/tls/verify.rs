//! Client certificates.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use super::certificate;

thread_local! {
    /// The chain that was refused last on this thread. A handshake is driven on one thread and reads this in the same
    /// step in which it fails.
    static REFUSED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Takes what is to be said of the certificates refused since the last call.
pub(super) fn take_refused() -> String {
    REFUSED.take()
}

/// Accepts chains that lead to an authority, and certificates that are themselves listed as authorities: a self-signed
/// client certificate in the file of authorities is trusted, as it always was.
#[derive(Debug)]
pub(super) struct ClientCertificates {
    chains: Arc<dyn ClientCertVerifier>,
    listed: HashSet<CertificateDer<'static>>,
}

impl ClientCertificates {
    /// `announce` tells clients which authorities are trusted. Errors: there is no authority.
    pub(super) fn new(
        authorities: Vec<CertificateDer<'static>>,
        announce: bool,
        provider: Arc<CryptoProvider>,
    ) -> Result<ClientCertificates, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities.iter().cloned());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        if !announce {
            builder = builder.clear_root_hint_subjects();
        }
        let chains =
            builder.build().map_err(|_| "no root ca certificate to verify clients with".to_owned())?;
        Ok(ClientCertificates { chains, listed: authorities.into_iter().collect() })
    }
}

impl ClientCertVerifier for ClientCertificates {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.listed.contains(end_entity) && certificate::serves_clients(end_entity, now) {
            return Ok(ClientCertVerified::assertion());
        }
        self.chains.verify_client_cert(end_entity, intermediates, now).map_err(|error| {
            REFUSED.set(certificate::fingerprints(std::iter::once(end_entity).chain(intermediates)));
            match error {
                // An authority nobody listed: what matters is that it is unknown, not that it is one.
                Error::InvalidCertificate(CertificateError::Other(_))
                    if certificate::is_self_issued(end_entity) =>
                {
                    CertificateError::UnknownIssuer.into()
                }
                error => error,
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}
