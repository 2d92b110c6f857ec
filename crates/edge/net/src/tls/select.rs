//! Which certificate a client is shown.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate;

/// Certificates in the order of the configuration. A client that names a host gets the first that is good for it, any
/// other client the first with which it can agree on a signature.
#[derive(Debug)]
pub(super) struct Certificates(Vec<(Arc<CertifiedKey>, Vec<String>)>);

impl Certificates {
    pub(super) fn new(list: Vec<CertifiedKey>) -> Certificates {
        let names = |key: &CertifiedKey| key.cert.first().map(certificate::host_names).unwrap_or_default();
        Certificates(
            list.into_iter()
                .map(|key| {
                    let names = names(&key);
                    (Arc::new(key), names)
                })
                .collect(),
        )
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let signs = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let host = hello.server_name().map(|host| host.trim_end_matches('.').to_ascii_lowercase());
        let named = |names: &[String]| host.as_ref().is_none_or(|host| names.iter().any(|n| covers(n, host)));
        let usable = || self.0.iter().filter(|(key, _)| signs(key));
        let chosen = usable().find(|(_, names)| named(names)).or_else(|| usable().next()).or(self.0.first());
        chosen.map(|(key, _)| key.clone())
    }
}

/// Whether a name in a certificate, with a star for its first label perhaps, stands for a host.
fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(first, parent)| !first.is_empty() && parent == rest),
        None => name == host,
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(covers("a.example", "a.example"));
        assert!(covers("*.example", "a.example"));
        for (name, host) in [
            ("*.example", "example"),
            ("*.example", "a.b.example"),
            ("*.example", ".example"),
            ("a.example", "b.example"),
        ] {
            assert!(!covers(name, host), "{name} {host}");
        }
    }
}
