//! Who the client is, and who the server is.

use midge_broker::reason::Reason;
use midge_config::schema::tls::{HandshakeFirst, Tls, TlsVersion};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::{DEFAULT_VERSIONS, version};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tracing::Level;

use crate::certificates::Pki;
use crate::events;
use crate::server::{Extra, Server, line, options, pair, ping, rest, secure, secure_as};

const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;
const SERVER: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ServerAuth;

/// Connects with a certificate and answers whether the server let the client in.
async fn is_let_in(server: &Server, pki: &Pki, certificate: Option<&str>) -> Result<String, String> {
    let mut client = server.connect().await;
    let addr = client.local_addr().unwrap();
    line(&mut client).await;
    if let Ok(mut client) = secure(&pki.client(certificate, DEFAULT_VERSIONS), client).await {
        let mut first = [0; 4];
        use tokio::io::AsyncWriteExt;
        let sent = client.write_all(b"CONNECT {}\r\nPING\r\n").await.and(client.flush().await);
        if sent.is_ok() && client.read_exact(&mut first).await.is_ok() && &first == b"+OK\r" {
            let peer = server.broker.peers().into_iter().find(|p| p.addr == Some(addr)).unwrap();
            return Ok(peer.with_details(|details| details.user.clone()));
        }
    }
    assert_eq!(server.closed(addr).await.reason, Reason::TlsHandshakeFailure);
    let (level, text) = events::find(&addr.to_string(), "TLS handshake error: ").unwrap();
    assert_eq!(level, Level::ERROR);
    Err(text.split_once("error: ").unwrap().1.to_owned())
}

#[tokio::test]
async fn client_certificates_are_verified() {
    let pki = Pki::new();
    let other = Pki::new();
    pki.issue("client", &[], CLIENT);
    pki.issue("wrong", &[], SERVER);
    other.issue("stranger", &[], CLIENT);
    for end in ["pem", "key"] {
        std::fs::copy(other.path(&format!("stranger.{end}")), pki.path(&format!("stranger.{end}"))).unwrap();
    }
    let server = Server::start(&Tls { verify: true, ..options(&pki) });
    assert!(is_let_in(&server, &pki, Some("client")).await.is_ok());
    let none = is_let_in(&server, &pki, None).await.unwrap_err();
    assert_eq!(none, "tls: client didn't provide a certificate");
    let stranger = is_let_in(&server, &pki, Some("stranger")).await.unwrap_err();
    let hash = hex(&Sha256::digest(pki.certificate("stranger")));
    assert_eq!(
        stranger,
        format!(
            "tls: failed to verify certificate: x509: certificate signed by unknown authority \
             (CN=stranger,O=midge SHA-256: {hash})"
        )
    );
    pki.self_signed("self");
    let own = is_let_in(&server, &pki, Some("self")).await.unwrap_err();
    assert!(own.contains("x509: certificate signed by unknown authority (CN=self SHA-256: "), "{own}");
    let wrong = is_let_in(&server, &pki, Some("wrong")).await.unwrap_err();
    assert!(wrong.contains("x509: certificate specifies an incompatible key usage (CN=wrong"), "{wrong}");
    server.stop().await;
}

#[tokio::test]
async fn what_the_client_showed_is_known() {
    let pki = Pki::new();
    pki.issue("client", &[], CLIENT);
    let server = Server::start(&Tls { verify: true, ..options(&pki) });
    let mut client = server.connect().await;
    line(&mut client).await;
    let mut client = secure(&pki.client(Some("client"), DEFAULT_VERSIONS), client).await.unwrap();
    assert_eq!(ping(&mut client).await, "PONG\r\n");
    let peer = server.broker.peers().pop().unwrap();
    let facts = peer.with_details(|details| details.tls.clone()).unwrap();
    let [(subject, key, certificate)] = &facts.peer_certificates[..] else { panic!("{facts:?}") };
    assert_eq!(subject, "CN=client,O=midge");
    assert_eq!(key.len(), 64);
    assert_eq!(*certificate, hex(&Sha256::digest(pki.certificate("client"))));
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_listed_as_authority_may_be_shown_by_a_client() {
    let pki = Pki::new();
    pki.self_signed("self");
    let server = Server::start(&Tls { verify: true, ca_file: pki.path("self.pem"), ..options(&pki) });
    assert!(is_let_in(&server, &pki, Some("self")).await.is_ok());
    server.stop().await;
}

#[tokio::test]
async fn certificates_are_mapped_to_users() {
    let pki = Pki::new();
    pki.issue("jo", &["jo@acme.com"], CLIENT);
    pki.issue("host", &["host.acme.com"], CLIENT);
    pki.issue("nobody", &["nobody@acme.com"], CLIENT);
    let tls = Tls { verify: true, verify_and_map: true, ..options(&pki) };
    let users = vec!["jo@acme.com", "host.acme.com", "CN=cy,O=midge"];
    pki.issue("cy", &[], CLIENT);
    let server = Server::with(&tls, Extra { users, ..Extra::default() });
    assert_eq!(is_let_in(&server, &pki, Some("jo")).await.unwrap(), "jo@acme.com");
    assert_eq!(is_let_in(&server, &pki, Some("host")).await.unwrap(), "host.acme.com");
    assert_eq!(is_let_in(&server, &pki, Some("cy")).await.unwrap(), "CN=cy,O=midge");
    let mut client = server.connect().await;
    let addr = client.local_addr().unwrap();
    line(&mut client).await;
    let mut client = secure(&pki.client(Some("nobody"), DEFAULT_VERSIONS), client).await.unwrap();
    assert_eq!(ping(&mut client).await, "-ERR 'Authorization Violation'\r\n");
    assert_eq!(server.closed(addr).await.reason, Reason::AuthenticationFailure);
    server.stop().await;
}

#[tokio::test]
async fn keys_can_be_pinned() {
    let pki = Pki::new();
    pki.issue("client", &[], CLIENT);
    pki.issue("other", &[], CLIENT);
    // The pin is learned from a server that lets everybody in.
    let server = Server::start(&Tls { verify: true, ..options(&pki) });
    let mut client = server.connect().await;
    line(&mut client).await;
    let mut client = secure(&pki.client(Some("client"), DEFAULT_VERSIONS), client).await.unwrap();
    ping(&mut client).await;
    let peer = server.broker.peers().pop().unwrap();
    let pin = peer.with_details(|details| details.tls.clone()).unwrap().peer_certificates[0].1.clone();
    server.stop().await;

    let tls = Tls { verify: true, pinned_certs: vec![pin], ..options(&pki) };
    let server = Server::start(&tls);
    assert!(is_let_in(&server, &pki, Some("client")).await.is_ok());
    assert_eq!(is_let_in(&server, &pki, Some("other")).await.unwrap_err(), "certificate not pinned");
    assert!(events::find("Failed pinned cert test for key id: ", "").is_some());
    server.stop().await;
    // Without verification no certificate is asked for, so nobody can have the key.
    let server = Server::start(&Tls { verify: false, ..tls });
    assert_eq!(is_let_in(&server, &pki, Some("client")).await.unwrap_err(), "certificate not pinned");
    server.stop().await;
}

#[tokio::test]
async fn the_lowest_version_is_kept() {
    let pki = Pki::new();
    let old = pki.client(None, &[&version::TLS12]);
    let server = Server::start(&options(&pki));
    let mut client = server.connect().await;
    line(&mut client).await;
    let mut client = secure(&old, client).await.unwrap();
    assert_eq!(ping(&mut client).await, "PONG\r\n");
    let peer = server.broker.peers().pop().unwrap();
    let facts = peer.with_details(|details| details.tls.clone()).unwrap();
    assert_eq!((facts.version, &*facts.cipher), ("1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));
    server.stop().await;
    let server = Server::start(&Tls { min_version: TlsVersion::Tls13, ..options(&pki) });
    let mut client = server.connect().await;
    let addr = client.local_addr().unwrap();
    line(&mut client).await;
    assert!(secure(&old, client).await.is_err());
    assert_eq!(server.closed(addr).await.reason, Reason::TlsHandshakeFailure);
    let (_, text) = events::find(&addr.to_string(), "TLS handshake error: ").unwrap();
    assert!(text.contains("tls: client offered only unsupported versions"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn a_server_shows_the_certificate_of_the_name_that_is_asked_for() {
    let pki = Pki::new();
    pki.issue("shop", &["shop.example", "*.wild.example"], SERVER);
    let tls = Tls {
        certificates: vec![pair(&pki, "server"), pair(&pki, "shop")],
        handshake_first: HandshakeFirst::On,
        ..options(&pki)
    };
    let server = Server::start(&tls);
    let config = pki.client(None, DEFAULT_VERSIONS);
    for (host, works) in
        [("localhost", true), ("shop.example", true), ("a.wild.example", true), ("else.example", false)]
    {
        let client = secure_as(&config, server.connect().await, host).await;
        assert_eq!(client.is_ok(), works, "{host}");
    }
    server.stop().await;
}

#[tokio::test]
async fn new_files_serve_new_connections() {
    let pki = Pki::new();
    let other = Pki::new();
    let server = Server::start(&options(&pki));
    let mut old = server.connect().await;
    line(&mut old).await;
    let mut old = secure(&pki.client(None, DEFAULT_VERSIONS), old).await.unwrap();
    server.tls.reload(&options(&other)).unwrap();
    assert!(server.tls.certificate_expiry().is_some());
    let mut client = server.connect().await;
    line(&mut client).await;
    assert!(secure(&pki.client(None, DEFAULT_VERSIONS), client).await.is_err());
    let mut client = server.connect().await;
    line(&mut client).await;
    let mut client = secure(&other.client(None, DEFAULT_VERSIONS), client).await.unwrap();
    assert_eq!(ping(&mut client).await, "PONG\r\n");
    assert_eq!(ping(&mut old).await, "PONG\r\n");
    // What cannot be loaded changes nothing.
    assert!(server.tls.reload(&Tls { ca_file: "/no/such/file".to_owned(), ..options(&pki) }).is_err());
    server.broker.kick(server.broker.peers()[0].cid);
    rest(&mut old).await;
    server.stop().await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
