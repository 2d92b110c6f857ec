//! Cipher suites and key exchange groups: the names of a configuration, the values of rustls.

use midge_config::schema::tls::{self as schema, CIPHER_SUITES, CURVES, Curve, TlsVersion};
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suites, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion, version};

/// TLS 1.3, which a configuration cannot restrict; the reference server's order.
const TLS13: [SupportedCipherSuite; 3] = [
    suites::TLS13_AES_128_GCM_SHA256,
    suites::TLS13_AES_256_GCM_SHA384,
    suites::TLS13_CHACHA20_POLY1305_SHA256,
];

/// TLS 1.2 in the order of preference, which is the server's, whatever the order of a configuration.
const TLS12: [SupportedCipherSuite; 6] = [
    suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

const DEFAULT_CURVES: [Curve; 5] =
    [Curve::X25519Mlkem768, Curve::SecP256r1Mlkem768, Curve::X25519, Curve::P256, Curve::P384];

fn group(curve: Curve) -> Option<&'static dyn SupportedKxGroup> {
    Some(match curve {
        Curve::X25519Mlkem768 => kx_group::X25519MLKEM768,
        Curve::SecP256r1Mlkem768 => kx_group::SECP256R1MLKEM768,
        Curve::X25519 => kx_group::X25519,
        Curve::P256 => kx_group::SECP256R1,
        Curve::P384 => kx_group::SECP384R1,
        Curve::SecP384r1Mlkem1024 | Curve::P521 => return None,
    })
}

/// A suite under its registered name.
pub(super) fn name(suite: CipherSuite) -> String {
    let id = u16::from(suite);
    let known = CIPHER_SUITES.iter().find(|known| known.id == id);
    known.map_or_else(|| format!("0x{id:04x}"), |known| known.name.to_owned())
}

/// What a configuration asks for. Suites and groups that this server does not have are left out with a warning; it is
/// an error when none is left.
pub(super) fn provider(
    options: &schema::Tls,
) -> Result<(CryptoProvider, Vec<&'static SupportedProtocolVersion>), String> {
    let (mut tls12, mut only_unknown) = (TLS12.to_vec(), false);
    if !options.cipher_suites.is_empty() {
        let wanted = |suite: &SupportedCipherSuite| {
            options.cipher_suites.iter().any(|wanted| wanted.id == u16::from(suite.suite()))
        };
        tls12.retain(wanted);
        for suite in &options.cipher_suites {
            let have = TLS12.iter().chain(&TLS13).any(|known| u16::from(known.suite()) == suite.id);
            if !have {
                tracing::warn!("TLS cipher suite {} is not supported and is ignored", suite.name);
                only_unknown = true;
            }
        }
        only_unknown &= tls12.is_empty();
    }
    let mut versions = vec![&version::TLS13];
    if options.min_version == TlsVersion::Tls12 {
        if only_unknown {
            return Err("none of the configured cipher suites is supported".to_owned());
        }
        if !tls12.is_empty() {
            versions.push(&version::TLS12);
        }
    }
    let mut groups = Vec::new();
    let curves =
        if options.curve_preferences.is_empty() { &DEFAULT_CURVES } else { &options.curve_preferences[..] };
    for curve in curves {
        match group(*curve) {
            Some(group) => groups.push(group),
            None => {
                let name = CURVES.iter().find(|(_, known)| known == curve).map_or("", |(name, _)| name);
                tracing::warn!("TLS curve preference {name} is not supported and is ignored");
            }
        }
    }
    if groups.is_empty() {
        return Err("none of the configured curve preferences is supported".to_owned());
    }
    let provider = CryptoProvider {
        cipher_suites: TLS13.into_iter().chain(tls12).collect(),
        kx_groups: groups,
        ..aws_lc_rs::default_provider()
    };
    Ok((provider, versions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(suites: &[&str], curves: &[Curve]) -> schema::Tls {
        schema::Tls {
            cipher_suites: CIPHER_SUITES.iter().filter(|suite| suites.contains(&suite.name)).collect(),
            curve_preferences: curves.to_vec(),
            ..schema::Tls::default()
        }
    }

    #[test]
    fn names_are_the_registered_ones() {
        for suite in TLS12.iter().chain(&TLS13) {
            assert!(name(suite.suite()).starts_with("TLS_"));
        }
        assert_eq!(name(CipherSuite::TLS13_AES_128_GCM_SHA256), "TLS_AES_128_GCM_SHA256");
        assert_eq!(name(CipherSuite::Unknown(0xfefe)), "0xfefe");
    }

    #[test]
    fn suites_of_version_1_2_can_be_chosen() {
        let (all, versions) = provider(&options(&[], &[])).unwrap();
        assert_eq!((all.cipher_suites.len(), all.kx_groups.len(), versions.len()), (9, 5, 2));
        let wanted = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"];
        let (some, versions) = provider(&options(&wanted, &[])).unwrap();
        assert_eq!((some.cipher_suites.len(), versions.len()), (4, 2));
        let (modern, versions) = provider(&options(&["TLS_AES_128_GCM_SHA256"], &[])).unwrap();
        assert_eq!((modern.cipher_suites.len(), versions.len()), (3, 1));
    }

    #[test]
    fn nothing_left_is_an_error() {
        let old = options(&["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"], &[]);
        assert_eq!(provider(&old).unwrap_err(), "none of the configured cipher suites is supported");
        assert!(provider(&schema::Tls { min_version: TlsVersion::Tls13, ..old }).is_ok());
        let odd = options(&[], &[Curve::P521]);
        assert_eq!(provider(&odd).unwrap_err(), "none of the configured curve preferences is supported");
        let (some, _) = provider(&options(&[], &[Curve::P521, Curve::P256])).unwrap();
        assert_eq!(some.kx_groups.len(), 1);
    }
}
