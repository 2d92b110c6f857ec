//! Handshakes.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use midge_auth::tls_map::PeerNames;
use midge_broker::peer::TlsFacts;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, ProtocolVersion};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::config::{Loaded, words};
use super::stream::TlsStream;
use super::{ServerTls, certificate, ciphers, verify};
use crate::establish::Opening;
use crate::limits::MONITORING_HANDSHAKE;

/// First byte of a record that begins a handshake.
pub(crate) const HANDSHAKE_RECORD: u8 = 0x16;

/// Why a handshake failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// For the log.
    pub(crate) text: String,
    /// Whether it is no more than noise: silence, or a peer that does not speak TLS.
    pub(crate) is_noise: bool,
    /// Whether the time was up.
    pub(crate) timed_out: bool,
}

impl Failure {
    fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), is_noise: false, timed_out: false }
    }

    fn timeout() -> Failure {
        Failure { text: "i/o timeout".to_owned(), is_noise: true, timed_out: true }
    }

    fn not_tls() -> Failure {
        let text = "tls: first record does not look like a TLS handshake".to_owned();
        Failure { text, is_noise: true, timed_out: false }
    }
}

/// A client whose handshake is done.
pub(crate) struct Secured<S> {
    pub(crate) stream: TlsStream<S>,
    pub(crate) facts: TlsFacts,
    /// From the first certificate of the client, if it showed one.
    pub(crate) names: Option<Arc<PeerNames>>,
    /// Why the client's key is refused although its handshake succeeded: for the debug log.
    pub(crate) unpinned: Option<String>,
}

impl ServerTls {
    /// The handshake with a client, within the configured time. A peer whose first byte does not begin one gets no
    /// answer at all.
    pub(crate) async fn handshake<S: Opening>(&self, stream: S) -> Result<Secured<S>, Failure> {
        let loaded = self.current.load_full();
        let (stream, session) = timed(loaded.timeout, shake(loaded.clients.clone(), stream)).await?;
        let (facts, names) = facts(&session);
        let unpinned = unpinned(&loaded, &facts);
        Ok(Secured { stream: TlsStream::new(stream, session), facts, names, unpinned })
    }

    /// The handshake with a client of monitoring, which shows no certificate. Errors: why it failed.
    pub async fn accept_monitoring<S>(&self, stream: S) -> Result<TlsStream<S>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.current.load().monitoring.clone();
        let done = timed(MONITORING_HANDSHAKE, accept(config, stream)).await;
        done.map(|(stream, session)| TlsStream::new(stream, session)).map_err(|failure| failure.text)
    }
}

async fn timed<T>(time: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| Err(Failure::timeout()))
}

async fn shake<S: Opening>(
    config: Arc<ServerConfig>,
    mut stream: S,
) -> Result<(S, ServerConnection), Failure> {
    match poll_fn(|cx| stream.poll_first(cx)).await {
        Ok(Some(HANDSHAKE_RECORD)) => accept(config, stream).await,
        Ok(Some(_)) => {
            // A socket that is closed with input unread would be reset rather than ended.
            let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await;
            Err(Failure::not_tls())
        }
        Ok(None) => Err(Failure::new("EOF")),
        Err(error) => Err(Failure::new(words(&error))),
    }
}

async fn accept<S>(config: Arc<ServerConfig>, stream: S) -> Result<(S, ServerConnection), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut accept = pin!(TlsAcceptor::from(config).accept(stream));
    let done = poll_fn(|cx| {
        verify::take_refused();
        match accept.as_mut().poll(cx) {
            // A refused certificate was noted in this very step.
            Poll::Ready(Err(error)) => Poll::Ready(Err(describe(&error, &verify::take_refused()))),
            other => other.map_err(|error| describe(&error, "")),
        }
    });
    Ok(done.await?.into_inner())
}

fn facts(session: &ServerConnection) -> (TlsFacts, Option<Arc<PeerNames>>) {
    let certificates = session.peer_certificates().unwrap_or_default();
    let facts = TlsFacts {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        },
        cipher: session
            .negotiated_cipher_suite()
            .map_or_else(String::new, |suite| ciphers::name(suite.suite())),
        first: false,
        peer_certificates: certificates.iter().map(certificate::facts).collect(),
    };
    (facts, certificates.first().and_then(certificate::names).map(Arc::new))
}

fn unpinned(loaded: &Loaded, facts: &TlsFacts) -> Option<String> {
    let pins = loaded.pins.as_ref()?;
    match facts.peer_certificates.first() {
        None => Some("Failed pinned cert test as client did not provide a certificate".to_owned()),
        Some((_, key, _)) if pins.contains(key) => None,
        Some((_, key, _)) => Some(format!("Failed pinned cert test for key id: {key}")),
    }
}

/// An error of the handshake in the words that operators know; `refused` names the certificates that were refused.
fn describe(error: &io::Error, refused: &str) -> Failure {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return Failure::new(match error.kind() {
            io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
            _ => words(error),
        });
    };
    let text = match tls {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => return Failure::not_tls(),
        Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_text(*alert)),
        Error::NoCertificatesPresented => "tls: client didn't provide a certificate".to_owned(),
        Error::DecryptError => "local error: tls: bad record MAC".to_owned(),
        Error::InvalidCertificate(why) => format!("tls: failed to verify certificate: {}", refusal(why)),
        Error::PeerIncompatible(why) => incompatibility(why),
        other => format!("tls: {other}"),
    };
    Failure::new(if refused.is_empty() { text } else { format!("{text} ({refused})") })
}

fn refusal(why: &CertificateError) -> String {
    match why {
        // A signature that is not the authority's, although the name of the issuer is.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "x509: certificate signed by unknown authority".to_owned()
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "x509: certificate has expired or is not yet valid".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "x509: certificate specifies an incompatible key usage".to_owned()
        }
        CertificateError::Other(rustls::OtherError(why)) => format!("x509: {why}"),
        other => format!("x509: {other}"),
    }
}

fn incompatibility(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => {
            "tls: no cipher suite supported by both client and server".to_owned()
        }
        PeerIncompatible::NoKxGroupsInCommon => {
            "tls: no key exchanges supported by both client and server".to_owned()
        }
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "tls: client offered only unsupported versions".to_owned()
        }
        other => format!("tls: {other:?}"),
    }
}

fn alert_text(alert: AlertDescription) -> String {
    let known = match alert {
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::UserCanceled => "user canceled",
        AlertDescription::CertificateRequired => "certificate required",
        other => return format!("alert {}", u8::from(other)),
    };
    known.to_owned()
}
