//! Certificates for tests, made anew for each run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A folder with `ca.pem`, and `NAME.pem` with `NAME.key` for `server` and the clients.
#[derive(Debug, Clone)]
pub struct Certificates {
    dir: PathBuf,
    client_pin: String,
}

/// Client certificates: name, common name, e-mail address, DNS name.
const CLIENTS: [(&str, &str, Option<&str>, Option<&str>); 3] = [
    ("client", "client", None, None),
    ("email", "by-mail", Some("derek@example.com"), None),
    ("host", "by-name", None, Some("app.example.com")),
];

impl Certificates {
    /// Makes all of them in a folder.
    pub fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let issuer = authority("midge test authority")?;
        std::fs::write(dir.join("ca.pem"), issuer.pem())?;
        let stranger = authority("another authority")?;

        let mut server = CertificateParams::new(vec!["localhost".to_owned()])?;
        server.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse()?));
        server.distinguished_name.push(DnType::CommonName, "localhost");
        write_signed(dir, "server", server, &issuer)?;

        let mut client_pin = String::new();
        for (name, common, email, dns) in CLIENTS {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::OrganizationName, "midge");
            params.distinguished_name.push(DnType::CommonName, common);
            if let Some(email) = email {
                params.subject_alt_names.push(SanType::Rfc822Name(email.try_into()?));
            }
            if let Some(dns) = dns {
                params.subject_alt_names.push(SanType::DnsName(dns.try_into()?));
            }
            let pin = write_signed(dir, name, params, &issuer)?;
            if name == "client" {
                client_pin = pin;
            }
        }
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "stranger");
        write_signed(dir, "stranger", params, &stranger)?;
        Ok(Self { dir: dir.to_path_buf(), client_pin })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The pin of the certificate named `client`: hexadecimal SHA-256 of its public key information.
    pub fn client_pin(&self) -> &str {
        &self.client_pin
    }

    /// A TLS client over a connected socket that trusts the authority.
    pub async fn connect(
        &self,
        socket: TcpStream,
        client: Option<&str>,
        only_tls12: bool,
    ) -> Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.client_config(client, only_tls12)?));
        Ok(connector.connect(ServerName::try_from("localhost")?, socket).await?)
    }

    fn client_config(&self, client: Option<&str>, only_tls12: bool) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.dir.join("ca.pem"))?)?;
        let versions: &[_] = if only_tls12 { &[&rustls::version::TLS12] } else { rustls::ALL_VERSIONS };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots);
        let Some(name) = client else { return Ok(builder.with_no_client_auth()) };
        let chain = vec![CertificateDer::from_pem_file(self.dir.join(format!("{name}.pem")))?];
        let key = PrivateKeyDer::from_pem_file(self.dir.join(format!("{name}.key")))?;
        Ok(builder.with_client_auth_cert(chain, key)?)
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// Writes certificate and key, and returns the pin of the public key.
fn write_signed(
    dir: &Path,
    name: &str,
    params: CertificateParams,
    issuer: &CertifiedIssuer<'static, KeyPair>,
) -> Result<String> {
    use rcgen::PublicKeyData;

    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    std::fs::write(dir.join(format!("{name}.pem")), certificate.pem())?;
    std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem())?;
    let digest = Sha256::digest(key.subject_public_key_info());
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
