//! Files that cannot be used.

use midge_config::schema::tls::{CertificatePair, Tls};
use midge_net::tls::ServerTls;

use crate::certificates::Pki;
use crate::server::{options, pair};

fn error(tls: &Tls) -> String {
    ServerTls::load(tls, false).unwrap_err()
}

#[test]
fn errors_are_in_the_words_of_the_reference() {
    let pki = Pki::new();
    std::fs::write(pki.path("text"), "no PEM at all").unwrap();
    std::fs::write(pki.path("bad.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    pki.self_signed("other");
    let (cert, key) = (pki.path("server.pem"), pki.path("server.key"));
    let with = |cert: &str, key: &str| {
        let certificates = vec![CertificatePair { cert_file: cert.to_owned(), key_file: key.to_owned() }];
        error(&Tls { certificates, ..options(&pki) })
    };
    let prefix = "error parsing X509 certificate/key pair";
    assert_eq!(with("/no/cert", &key), format!("{prefix}: open /no/cert: no such file or directory"));
    assert_eq!(with(&cert, "/no/key"), format!("{prefix}: open /no/key: no such file or directory"));
    assert_eq!(
        with(&pki.path("text"), &key),
        format!("{prefix}: tls: failed to find any PEM data in certificate input")
    );
    assert_eq!(
        with(&cert, &pki.path("text")),
        format!("{prefix}: tls: failed to find any PEM data in key input")
    );
    assert_eq!(with(&pki.path("bad.pem"), &key), format!("{prefix}: x509: malformed certificate"));
    assert_eq!(
        with(&cert, &pki.path("other.key")),
        format!("{prefix}: tls: private key does not match public key")
    );
    let missing = CertificatePair { cert_file: "/no/cert".to_owned(), key_file: key.clone() };
    let second = Tls { certificates: vec![pair(&pki, "server"), missing], ..options(&pki) };
    assert_eq!(error(&second), format!("{prefix} 2/2: open /no/cert: no such file or directory"));
    let authorities = |path: String| error(&Tls { ca_file: path, ..options(&pki) });
    assert_eq!(authorities("/no/ca".to_owned()), "open /no/ca: no such file or directory");
    assert_eq!(authorities(pki.path("text")), "failed to parse root ca certificate");
    assert_eq!(authorities(pki.path("bad.pem")), "failed to parse root ca certificate");
}
