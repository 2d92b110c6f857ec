//! TLS as configured: names and paths. The edge loads the files.

use std::time::Duration;

use super::Place;
use crate::limits;

/// One `tls` block.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Certificate chains with their keys, in file order.
    pub certificates: Vec<CertificatePair>,
    /// Certificate authorities that vouch for clients; empty takes those of the system.
    pub ca_file: String,
    /// Require and verify client certificates.
    pub verify: bool,
    /// Take the user from the client certificate; implies `verify`.
    pub verify_and_map: bool,
    /// Do not verify the other side when connecting out.
    pub insecure: bool,
    /// Time for a handshake.
    pub timeout: Duration,
    /// Whether `timeout` was stated; it moves the default time-out of authorization.
    pub timeout_stated: bool,
    /// Allowed TLS 1.2 cipher suites (1.3 suites may be listed too); empty takes the default.
    pub cipher_suites: Vec<&'static CipherSuite>,
    /// Insecure suites may be listed.
    pub allow_insecure_cipher_suites: bool,
    /// Key exchange groups; empty takes the default.
    pub curve_preferences: Vec<Curve>,
    /// Lowest protocol version.
    pub min_version: TlsVersion,
    /// SHA-256 of allowed client public keys (SubjectPublicKeyInfo), lower-case hex; empty allows all.
    pub pinned_certs: Vec<String>,
    /// Handshakes per second; 0 for unlimited.
    pub connection_rate_limit: i64,
    /// Whether TLS starts before INFO.
    pub handshake_first: HandshakeFirst,
    /// The `tls` key, for errors of loading; `None` when TLS comes from the command line.
    pub place: Option<Place>,
}

impl Default for Tls {
    fn default() -> Self {
        Tls {
            certificates: Vec::new(),
            ca_file: String::new(),
            verify: false,
            verify_and_map: false,
            insecure: false,
            timeout: limits::DEFAULT_TLS_TIMEOUT,
            timeout_stated: false,
            cipher_suites: Vec::new(),
            allow_insecure_cipher_suites: false,
            curve_preferences: Vec::new(),
            min_version: TlsVersion::Tls12,
            pinned_certs: Vec::new(),
            connection_rate_limit: 0,
            handshake_first: HandshakeFirst::Off,
            place: None,
        }
    }
}

/// Paths of a certificate chain and its key, both PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificatePair {
    /// The chain.
    pub cert_file: String,
    /// The private key.
    pub key_file: String,
}

/// Lowest accepted protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Whether the handshake comes before INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// INFO in clear text first.
    Off,
    /// TLS first, always.
    On,
    /// Wait this long for a handshake, then send INFO in clear text.
    Auto(Duration),
}

/// A cipher suite under its registered name.
#[derive(Debug, PartialEq, Eq)]
pub struct CipherSuite {
    /// The registered name.
    pub name: &'static str,
    /// The registered number.
    pub id: u16,
    /// Known to be weak: needs `allow_insecure_cipher_suites`.
    pub insecure: bool,
}

const fn suite(name: &'static str, id: u16, insecure: bool) -> CipherSuite {
    CipherSuite { name, id, insecure }
}

/// Every cipher suite that may be named.
pub const CIPHER_SUITES: &[CipherSuite] = &[
    suite("TLS_AES_128_GCM_SHA256", 0x1301, false),
    suite("TLS_AES_256_GCM_SHA384", 0x1302, false),
    suite("TLS_CHACHA20_POLY1305_SHA256", 0x1303, false),
    suite("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", 0xc009, false),
    suite("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", 0xc00a, false),
    suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", 0xc013, false),
    suite("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", 0xc014, false),
    suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b, false),
    suite("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c, false),
    suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f, false),
    suite("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030, false),
    suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8, false),
    suite("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9, false),
    suite("TLS_RSA_WITH_RC4_128_SHA", 0x0005, true),
    suite("TLS_RSA_WITH_3DES_EDE_CBC_SHA", 0x000a, true),
    suite("TLS_RSA_WITH_AES_128_CBC_SHA", 0x002f, true),
    suite("TLS_RSA_WITH_AES_256_CBC_SHA", 0x0035, true),
    suite("TLS_RSA_WITH_AES_128_CBC_SHA256", 0x003c, true),
    suite("TLS_RSA_WITH_AES_128_GCM_SHA256", 0x009c, true),
    suite("TLS_RSA_WITH_AES_256_GCM_SHA384", 0x009d, true),
    suite("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", 0xc007, true),
    suite("TLS_ECDHE_RSA_WITH_RC4_128_SHA", 0xc011, true),
    suite("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", 0xc012, true),
    suite("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", 0xc023, true),
    suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", 0xc027, true),
];

/// A key exchange group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `X25519MLKEM768`
    X25519Mlkem768,
    /// `SecP256r1MLKEM768`
    SecP256r1Mlkem768,
    /// `SecP384r1MLKEM1024`
    SecP384r1Mlkem1024,
    /// `X25519`
    X25519,
    /// `CurveP256`
    P256,
    /// `CurveP384`
    P384,
    /// `CurveP521`
    P521,
}

/// Every group under the name that a file uses.
pub const CURVES: &[(&str, Curve)] = &[
    ("X25519MLKEM768", Curve::X25519Mlkem768),
    ("SecP384r1MLKEM1024", Curve::SecP384r1Mlkem1024),
    ("SecP256r1MLKEM768", Curve::SecP256r1Mlkem768),
    ("X25519", Curve::X25519),
    ("CurveP256", Curve::P256),
    ("CurveP384", Curve::P384),
    ("CurveP521", Curve::P521),
];
