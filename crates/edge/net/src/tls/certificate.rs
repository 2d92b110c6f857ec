//! What is read from certificates.

use midge_auth::dn::{self, RelativeName};
use midge_auth::tls_map::PeerNames;
use midge_stdx::clock::Wall;
use rustls::pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

const NANOS: i64 = 1_000_000_000;

fn hex_sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der.as_ref()).ok().map(|(_, certificate)| certificate)
}

/// Whether it can be read at all.
pub(super) fn is_valid(der: &CertificateDer<'_>) -> bool {
    parse(der).is_some()
}

fn subject(certificate: &X509Certificate<'_>) -> Vec<RelativeName> {
    let value = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let text = value
            .as_str()
            .map_or_else(|_| String::from_utf8_lossy(value.attr_value().data).into_owned(), str::to_owned);
        (value.attr_type().to_id_string(), text)
    };
    certificate.subject().iter_rdn().map(|part| part.iter().map(value).collect()).collect()
}

/// Subject as the reference server prints it, hash of the public key (SubjectPublicKeyInfo), hash of the certificate.
pub(super) fn facts(der: &CertificateDer<'_>) -> (String, String, String) {
    let certificate_hash = hex_sha256(der);
    match parse(der) {
        Some(certificate) => (
            dn::go_text(&subject(&certificate)),
            hex_sha256(certificate.tbs_certificate.subject_pki.raw),
            certificate_hash,
        ),
        None => (String::new(), String::new(), certificate_hash),
    }
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'_>) -> &'a [GeneralName<'a>] {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => &extension.value.general_names,
        _ => &[],
    }
}

/// The names by which a certificate is mapped to a user.
pub(super) fn names(der: &CertificateDer<'_>) -> Option<PeerNames> {
    let certificate = parse(der)?;
    let mut names = PeerNames { subject: subject(&certificate), ..PeerNames::default() };
    for name in alternative_names(&certificate) {
        match name {
            GeneralName::RFC822Name(name) => names.emails.push((*name).to_owned()),
            GeneralName::DNSName(name) => names.dns_names.push((*name).to_owned()),
            GeneralName::URI(name) => names.uris.push((*name).to_owned()),
            _ => {}
        }
    }
    Some(names)
}

/// The DNS names that a server certificate is good for, in lower case.
pub(super) fn host_names(der: &CertificateDer<'_>) -> Vec<String> {
    let names = names(der).map(|names| names.dns_names).unwrap_or_default();
    names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}

/// When it ends.
pub(super) fn not_after(der: &CertificateDer<'_>) -> Option<Wall> {
    parse(der).map(|certificate| Wall(certificate.validity().not_after.timestamp().saturating_mul(NANOS)))
}

/// Whether a client may show it at `now`, as far as its dates and purposes go.
pub(super) fn serves_clients(der: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Some(certificate) = parse(der) else { return false };
    let validity = certificate.validity();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let purposes = match certificate.extended_key_usage() {
        Ok(None) => true,
        Ok(Some(usage)) => usage.value.client_auth || usage.value.any,
        Err(_) => false,
    };
    purposes && (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
}

/// Whether it says that it vouches for itself.
pub(super) fn is_self_issued(der: &CertificateDer<'_>) -> bool {
    parse(der).is_some_and(|certificate| certificate.subject().as_raw() == certificate.issuer().as_raw())
}

/// Certificates for a log line: `subject SHA-256: hash; …`.
pub(super) fn fingerprints<'a>(chain: impl Iterator<Item = &'a CertificateDer<'a>>) -> String {
    let print = |der: &CertificateDer<'_>| {
        let (subject, _, hash) = facts(der);
        format!("{subject} SHA-256: {hash}")
    };
    chain.map(print).collect::<Vec<_>>().join("; ")
}
